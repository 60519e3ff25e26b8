/* topics.c - a target names topics by a list or by a pattern; which partitions are that now? */
#include "topics.h"

#include <regex.h>
#include <string.h>

#include "end.h"

static int is_wanted(const char *topics, const regex_t *regex, const char *name)
{
    if (regex) return regexec(regex, name, 0, NULL, 0) == 0;
    size_t n = strlen(name);
    for (const char *p = topics; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (!strncmp(p, name, n) && (p[n] == '\0' || p[n] == ',')) return 1;
    }
    return 0;
}

/* The list may be empty. */
static rd_kafka_topic_partition_list_t *look(rd_kafka_t *rk, const nj_kafka_target *target, int timeout_ms,
                                             nj_error *err)
{
    const struct rd_kafka_metadata *m;
    regex_t regex;
    int is_regex = target->topic[0] == '^';
    if (is_regex && regcomp(&regex, target->topic, REG_EXTENDED | REG_NOSUB)) {
        nj_fail(err, "%s is not a regular expression", target->topic);
        return NULL;
    }
    rd_kafka_resp_err_t e = rd_kafka_metadata(rk, 1, NULL, &m, timeout_ms);
    rd_kafka_topic_partition_list_t *list = NULL;
    if (e) {
        nj_fail(err, "kafka://%s: no broker answers: %s", target->hosts, rd_kafka_err2str(e));
    } else {
        list = rd_kafka_topic_partition_list_new(64);
        for (int i = 0; i < m->topic_cnt; i++)
            for (int k = 0; is_wanted(target->topic, is_regex ? &regex : NULL, m->topics[i].topic) &&
                            k < m->topics[i].partition_cnt;
                 k++)
                rd_kafka_topic_partition_list_add(list, m->topics[i].topic, m->topics[i].partitions[k].id);
        rd_kafka_metadata_destroy(m);
        rd_kafka_topic_partition_list_sort(list, NULL, NULL);
    }
    if (is_regex) regfree(&regex);
    return list;
}

rd_kafka_topic_partition_list_t *nj_kafka_topics(rd_kafka_t *rk, const nj_kafka_target *target,
                                                 int timeout_ms, nj_error *err)
{
    rd_kafka_topic_partition_list_t *list = look(rk, target, timeout_ms, err);
    if (list && !list->cnt) {
        rd_kafka_topic_partition_list_destroy(list);
        nj_fail(err, "kafka://%s has no topic %s", target->hosts, target->topic);
        return NULL;
    }
    return list;
}

static void no_errors(rd_kafka_t *rk, int error, const char *reason, void *opaque)
{
    (void)rk, (void)error, (void)reason, (void)opaque; /* the consumer gets them, too, and reports them */
}

rd_kafka_topic_partition_list_t *nj_kafka_topics_now(const rd_kafka_conf_t *of, const nj_kafka_target *target,
                                                     int timeout_ms)
{
    char why[256];
    nj_error ignored;
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(of);
    rd_kafka_conf_set_rebalance_cb(conf, NULL);
    rd_kafka_conf_set_offset_commit_cb(conf, NULL);
    rd_kafka_conf_set_error_cb(conf, no_errors);
    rd_kafka_conf_set(conf, "log_level", "0", why, sizeof why);
    rd_kafka_t *rk = nj_kafka_client(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rd_kafka_topic_partition_list_t *list = look(rk, target, timeout_ms, &ignored);
    nj_kafka_end(rk, 0, target->hosts);
    return list;
}
