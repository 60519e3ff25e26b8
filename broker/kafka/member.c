/* member.c - two runs on one host must not take each other's place in a group, and a run that was killed must
 * find its own again: slots, held by locks that die with the process. The lock's file names the supervisor of
 * who holds it. */
#include "member.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/log.h"

enum { SLOTS = 256, DYING_MS = 5000, STEP_MS = 10 };

static uint64_t hash(uint64_t h, const char *text)
{
    for (; *text; text++) h = (h ^ (uint8_t)*text) * UINT64_C(1099511628211);
    return h;
}

static const uint64_t HASH_OF_NOTHING = UINT64_C(1469598103934665603);

/* The supervisor of who holds the lock; nothing if it has none. */
static void write_holder(int lock)
{
    char text[32];
    int signal = 0;
    bool watched = !prctl(PR_GET_PDEATHSIG, &signal) && signal;
    int n = snprintf(text, sizeof text, "by %010ld\n", watched ? (long)getppid() : 0L);
    if (pwrite(lock, text, (size_t)n, 0) != n)
        nj_log(NJ_LOG_DEBUG, "kafka: who has the slot is not kept: %s", strerror(errno));
}

/* A run that was killed has a worker that dies a moment after it, later on a busy machine. Its slot is waited
 * for: in another one its partitions and its open transaction would be left until their time is over. */
static bool wait_for_dead(int fd)
{
    char text[32] = "";
    long holder = 0;
    if (pread(fd, text, sizeof text - 1, 0) <= 0 || sscanf(text, "by %10ld", &holder) != 1) return false;
    if (holder <= 0 || !kill((pid_t)holder, 0) || errno != ESRCH) return false;
    for (int waited = 0; waited < DYING_MS; waited += STEP_MS) {
        if (!flock(fd, LOCK_EX | LOCK_NB)) return true;
        usleep(STEP_MS * 1000);
    }
    return false;
}

/* The lock of the first free slot, -1: none could be had. */
static int take_slot(const char *group, int *slot)
{
    unsigned in_group = (unsigned)hash(HASH_OF_NOTHING, group);
    const char *folder = getenv("XDG_RUNTIME_DIR");
    char path[512];
    if (!folder || access(folder, W_OK)) folder = "/tmp";
    for (*slot = 0; *slot < SLOTS; ++*slot) {
        snprintf(path, sizeof path, "%s/nightjar-%u-%08x-%d.lock", folder, (unsigned)geteuid(), in_group,
                 *slot);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        int got = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0, busy = fd < 0 || errno == EWOULDBLOCK;
        if (got || (busy && fd >= 0 && wait_for_dead(fd))) {
            write_holder(fd);
            return fd;
        }
        if (fd >= 0) close(fd);
        if (!busy) return -1; /* a file system without locks */
    }
    return -1;
}

int nj_kafka_own_name(const char *of, char *name, size_t size)
{
    char host[128] = "";
    int slot;
    if (gethostname(host, sizeof host - 1) || !host[0]) return -1;
    int lock = take_slot(of, &slot);
    if (lock >= 0) snprintf(name, size, "%s-%u-%s-%d", host, (unsigned)geteuid(), of, slot);
    return lock;
}

void nj_kafka_member_alive(int lock)
{
    if (futimens(lock, NULL))
        nj_log(NJ_LOG_DEBUG, "kafka: the file of the member's name is not touched: %s", strerror(errno));
}

static int set(rd_kafka_conf_t *conf, const char *name, nj_error *err)
{
    char why[256];
    return rd_kafka_conf_set(conf, "group.instance.id", name, why, sizeof why) == RD_KAFKA_CONF_OK
               ? 0
               : nj_fail(err, "[kafka] group_instance: %s", why);
}

int nj_kafka_set_member(rd_kafka_conf_t *conf, nj_settings *settings, const nj_kafka_target *target,
                        int *lock, nj_error *err)
{
    char group[384] = "", own[384] = "", of[400], name[640];
    size_t n = sizeof group, m = sizeof own;
    const char *said = settings ? nj_settings_get(settings, "kafka", "group_instance") : NULL;
    *lock = -1;
    if (rd_kafka_conf_get(conf, "group.instance.id", own, &m) == RD_KAFKA_CONF_OK && own[0]) return 0;
    if (said && !strcmp(said, "off")) return 0;
    if (said && *said && strcmp(said, "auto") != 0) return set(conf, said, err);
    if (rd_kafka_conf_get(conf, "group.id", group, &n) != RD_KAFKA_CONF_OK) return 0;
    /* runs of other topics have slots of their own */
    snprintf(of, sizeof of, "%s-%08x", group, (unsigned)hash(HASH_OF_NOTHING, target->topic));
    *lock = nj_kafka_own_name(of, name, sizeof name);
    if (*lock < 0) {
        nj_log(NJ_LOG_INFO,
               "kafka: no lock for a member name of this host in the group %s: it joins without a name",
               group);
        return 0;
    }
    nj_log(NJ_LOG_DEBUG, "kafka: member %s of group %s", name, group);
    return set(conf, name, err);
}
