/* member.c - two runs on one host must not take each other's place in a group, and a run that was killed must
 * find its own again: slots, held by locks that die with the process. */
#include "member.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "../base/log.h"
#include "end.h"
#include "topics.h"

enum { SLOTS = 256, ASK_MS = 3000 };

static uint64_t hash(uint64_t h, const char *text)
{
    for (; *text; text++) h = (h ^ (uint8_t)*text) * UINT64_C(1099511628211);
    return h;
}

static const uint64_t HASH_OF_NOTHING = UINT64_C(1469598103934665603);

static void no_errors(rd_kafka_t *rk, int error, const char *reason, void *opaque)
{
    (void)rk, (void)error, (void)reason, (void)opaque; /* the consumer meets them, too, and reports them */
}

/* What the topics are now, by a client that is in no group. -1: nobody answers. */
static int topics_now(const rd_kafka_conf_t *of, const nj_kafka_target *target, unsigned *topics)
{
    char why[256], number[32];
    nj_error ignored;
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(of);
    rd_kafka_conf_set_rebalance_cb(conf, NULL);
    rd_kafka_conf_set_offset_commit_cb(conf, NULL);
    rd_kafka_conf_set_error_cb(conf, no_errors);
    rd_kafka_conf_set(conf, "log_level", "0", why, sizeof why);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!rk) rd_kafka_conf_destroy(conf);
    rd_kafka_topic_partition_list_t *list = rk ? nj_kafka_topics(rk, target, ASK_MS, &ignored) : NULL;
    uint64_t h = hash(HASH_OF_NOTHING, target->topic);
    for (int i = 0; list && i < list->cnt; i++) {
        snprintf(number, sizeof number, "/%d", (int)list->elems[i].partition);
        h = hash(hash(h, list->elems[i].topic), number);
    }
    *topics = (unsigned)(h ^ h >> 32);
    int rc = list ? 0 : -1;
    if (list) rd_kafka_topic_partition_list_destroy(list);
    if (rk) nj_kafka_end(rk, 0, target->hosts);
    return rc;
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
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
        int busy = fd < 0 || errno == EWOULDBLOCK;
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
    unsigned topics;
    const char *said = settings ? nj_settings_get(settings, "kafka", "group_instance") : NULL;
    *lock = -1;
    if (rd_kafka_conf_get(conf, "group.instance.id", own, &m) == RD_KAFKA_CONF_OK && own[0]) return 0;
    if (said && !strcmp(said, "off")) return 0;
    if (said && *said && strcmp(said, "auto") != 0) return set(conf, said, err);
    if (rd_kafka_conf_get(conf, "group.id", group, &n) != RD_KAFKA_CONF_OK) return 0;
    if (topics_now(conf, target, &topics)) return 0; /* what it would be given cannot be checked */
    snprintf(of, sizeof of, "%s-%08x", group, topics);
    *lock = nj_kafka_own_name(of, name, sizeof name);
    if (*lock < 0) {
        nj_log(NJ_LOG_INFO,
               "kafka: no lock for a place of this host in the group %s: it is a member without a name",
               group);
        return 0;
    }
    nj_log(NJ_LOG_DEBUG, "kafka: member %s of group %s", name, group);
    return set(conf, name, err);
}
