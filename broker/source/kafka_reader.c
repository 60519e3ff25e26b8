/* kafka_reader.c - a second consumer with the settings of the source's own: it looks at messages beside the
 * stream, takes no part in the group and commits nothing. */
#include "kafka_parts.h"

static void no_errors(rd_kafka_t *rk, int error, const char *reason, void *opaque)
{
    (void)rk, (void)error, (void)reason, (void)opaque; /* the source's own consumer reports them */
}

rd_kafka_t *nj_kafka_reader_like(rd_kafka_t *of, const char *reset)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(rd_kafka_conf(of));
    rd_kafka_conf_set_rebalance_cb(conf, NULL);
    rd_kafka_conf_set_offset_commit_cb(conf, NULL);
    rd_kafka_conf_set_error_cb(conf, no_errors);
    const nj_kafka_pair other[] = { { "enable.auto.commit", "false" },
                                    { "group.instance.id", "" },
                                    { "auto.offset.reset", reset },
                                    { "log_level", "0" },
                                    { 0 } };
    for (const nj_kafka_pair *p = other; p->name; p++)
        rd_kafka_conf_set(conf, p->name, p->value, why, sizeof why);
    rd_kafka_t *rk = nj_kafka_client(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!rk) rd_kafka_conf_destroy(conf);
    return rk;
}
