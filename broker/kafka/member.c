/* member.c - two runs on one host must not take each other's place in a group, and a run that was killed must
 * find its own again: slots, held by locks that die with the process. The lock's file names the supervisor of
 * who holds it, and which run that is. */
#include "member.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../base/log.h"
#include "../base/runtime.h"

enum { SLOTS = 256, DYING_MS = 5000, STEP_MS = 10, ALIVE_MS = 5000, SESSION_MS = 45000 };

/* What the lock's file says. */
typedef struct holder {
    long supervisor; /* 0 = it has none */
    uint64_t whose;
    bool left; /* it ended by itself */
} holder;

/* Where slots are looked for, and for whom. */
typedef struct slots {
    char stem[480]; /* of the files' names */
    uint64_t whose;
    int keep_ms;
} slots;

static uint64_t hash(uint64_t h, const char *text)
{
    for (; *text; text++) h = (h ^ (uint8_t)*text) * UINT64_C(1099511628211);
    return h;
}

static const uint64_t HASH_OF_NOTHING = UINT64_C(1469598103934665603);

static void write_holder(int lock, const holder *h)
{
    char text[64];
    int n = snprintf(text, sizeof text, "by %010ld for %016" PRIx64 " %s\n", h->supervisor, h->whose,
                     h->left ? "left" : "here");
    if (pwrite(lock, text, (size_t)n, 0) != n)
        nj_log(NJ_LOG_DEBUG, "kafka: who has the slot is not kept: %s", strerror(errno));
}

/* False: nobody had it. */
static bool read_holder(int fd, holder *h)
{
    char text[64] = "", state[8] = "";
    *h = (holder){ 0 };
    if (pread(fd, text, sizeof text - 1, 0) <= 0) return false;
    if (sscanf(text, "by %10ld for %16" SCNx64 " %4s", &h->supervisor, &h->whose, state) != 3) return false;
    h->left = !strcmp(state, "left");
    return true;
}

static int open_slot(const slots *s, int slot, int flags)
{
    char path[512];
    snprintf(path, sizeof path, "%s-%d.lock", s->stem, slot);
    return open(path, O_RDWR | flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* A run that was killed has a worker that dies a moment after it, later on a busy machine. Its slot is waited
 * for: in another one its partitions and its open transaction would be left until their time is over. */
static bool wait_for_dead(int fd, const holder *h)
{
    if (h->supervisor <= 0 || !kill((pid_t)h->supervisor, 0) || errno != ESRCH) return false;
    for (int waited = 0; waited < DYING_MS; waited += STEP_MS) {
        if (!flock(fd, LOCK_EX | LOCK_NB)) return true;
        usleep(STEP_MS * 1000);
    }
    return false;
}

/* Of another run that was killed, or lives: as long as it may come back its name is left to it. It then has
 * the partitions whose rows are in its files, and nobody waits for a member that is gone. */
static bool is_kept(const slots *s, int fd)
{
    holder h;
    struct stat st;
    if (!read_holder(fd, &h) || h.left || h.whose == s->whose || fstat(fd, &st)) return false;
    const int64_t age_ms = ((int64_t)time(NULL) - st.st_mtime) * 1000;
    return age_ms >= 0 && age_ms <= (int64_t)s->keep_ms + ALIVE_MS;
}

/* The slot that this run had last; -1: none that it can have. */
static int take_own(const slots *s, int *slot)
{
    int best = -1;
    struct stat st, of_best = { 0 };
    for (int i = 0; i < SLOTS; i++) {
        holder h;
        int fd = open_slot(s, i, 0);
        bool its = fd >= 0 && read_holder(fd, &h) && h.whose == s->whose && !fstat(fd, &st) &&
                   (best < 0 || st.st_mtime > of_best.st_mtime) &&
                   (!flock(fd, LOCK_EX | LOCK_NB) || wait_for_dead(fd, &h));
        if (its) {
            if (best >= 0) close(best);
            best = fd;
            of_best = st;
            *slot = i;
        } else if (fd >= 0) {
            close(fd);
        }
    }
    return best;
}

/* The first free slot; -1: none. */
static int take_free(const slots *s, int *slot)
{
    for (*slot = 0; *slot < SLOTS; ++*slot) {
        int fd = open_slot(s, *slot, O_CREAT);
        if (fd < 0) return -1;
        /* asked before the lock is tried, too: its owner must not find it locked by who only looks */
        if (!is_kept(s, fd)) {
            if (!flock(fd, LOCK_EX | LOCK_NB)) {
                if (!is_kept(s, fd)) return fd;
            } else if (errno != EWOULDBLOCK) { /* a file system without locks */
                close(fd);
                return -1;
            }
        }
        close(fd);
    }
    return -1;
}

/* Whatever their order; a topic may follow. */
static uint64_t hash_of_hosts(const char *hosts)
{
    char one[300];
    uint64_t sum = 0;
    for (size_t n; *hosts && *hosts != '/'; hosts += n + (hosts[n] == ',')) {
        n = strcspn(hosts, ",/");
        snprintf(one, sizeof one, "%.*s", (int)n, hosts);
        sum += hash(HASH_OF_NOTHING, one);
    }
    return sum;
}

int nj_kafka_own_name(nj_kafka_own *own, const nj_kafka_kind *kind, char *name, size_t size)
{
    char host[128] = "";
    int slot = 0, signal = 0;
    char folder[400];
    slots s = { .whose = hash(HASH_OF_NOTHING, kind->whose ? kind->whose : ""), .keep_ms = kind->keep_ms };
    *own = (nj_kafka_own){ .lock = -1 };
    if (gethostname(host, sizeof host - 1) || !host[0]) return -1;
    if (nj_runtime_folder(folder, sizeof folder)) return -1;
    /* the folder, too: a login and a service may have different ones, and do not see each other's slots */
    unsigned number = (unsigned)(hash(hash(HASH_OF_NOTHING, kind->topics ? kind->topics : ""), folder) ^
                                 hash_of_hosts(kind->hosts));
    if (snprintf(s.stem, sizeof s.stem, "%s/%08x%08x", folder, (unsigned)hash(HASH_OF_NOTHING, kind->of),
                 number) >= (int)sizeof s.stem)
        return -1;
    own->lock = take_own(&s, &slot);
    if (own->lock < 0) own->lock = take_free(&s, &slot);
    if (own->lock < 0) return -1;
    bool watched = !prctl(PR_GET_PDEATHSIG, &signal) && signal;
    write_holder(own->lock, &(holder){ watched ? (long)getppid() : 0, s.whose, false });
    nj_kafka_own_alive(own, 0);
    snprintf(name, size, "%s-%u-%s-%08x-%d", host, (unsigned)geteuid(), kind->of, number, slot);
    return 0;
}

void nj_kafka_own_alive(nj_kafka_own *own, int64_t now_ns)
{
    if (own->lock < 0 || (own->alive_ns && now_ns - own->alive_ns < ALIVE_MS * INT64_C(1000000))) return;
    own->alive_ns = now_ns;
    if (futimens(own->lock, NULL))
        nj_log(NJ_LOG_DEBUG, "kafka: the file of the member's name is not touched: %s", strerror(errno));
}

void nj_kafka_own_leave(nj_kafka_own *own)
{
    holder h;
    if (own->lock < 0) return;
    if (read_holder(own->lock, &h)) {
        h.left = true;
        write_holder(own->lock, &h);
    }
    close(own->lock);
    own->lock = -1;
}

static int set(rd_kafka_conf_t *conf, const char *name, nj_error *err)
{
    char why[256];
    return rd_kafka_conf_set(conf, "group.instance.id", name, why, sizeof why) == RD_KAFKA_CONF_OK
               ? 0
               : nj_fail(err, "[kafka] group_instance: %s", why);
}

static int number_of(const rd_kafka_conf_t *conf, const char *name, int otherwise)
{
    char text[32] = "";
    size_t n = sizeof text;
    return rd_kafka_conf_get(conf, name, text, &n) == RD_KAFKA_CONF_OK && atoi(text) > 0 ? atoi(text)
                                                                                         : otherwise;
}

int nj_kafka_set_member(rd_kafka_conf_t *conf, nj_settings *settings, const nj_kafka_target *target,
                        const char *whose, nj_kafka_own *own, nj_error *err)
{
    char group[384] = "", had[384] = "", name[640];
    size_t n = sizeof group, m = sizeof had;
    const char *said = settings ? nj_settings_get(settings, "kafka", "group_instance") : NULL;
    *own = (nj_kafka_own){ .lock = -1 };
    if (rd_kafka_conf_get(conf, "group.instance.id", had, &m) == RD_KAFKA_CONF_OK && had[0]) return 0;
    if (said && !strcmp(said, "off")) return 0;
    if (said && *said && strcmp(said, "auto") != 0) return set(conf, said, err);
    if (rd_kafka_conf_get(conf, "group.id", group, &n) != RD_KAFKA_CONF_OK) return 0;
    const nj_kafka_kind kind = { group, target->topic, target->hosts, whose,
                                 number_of(conf, "session.timeout.ms", SESSION_MS) };
    if (nj_kafka_own_name(own, &kind, name, sizeof name)) {
        nj_log(NJ_LOG_INFO,
               "kafka: no lock for a member name of this host in the group %s: it joins without a name",
               group);
        return 0;
    }
    nj_log(NJ_LOG_DEBUG, "kafka: member %s of group %s", name, group);
    return set(conf, name, err);
}
