/* lag.c - `nightjar lag`: how far a consumer group is behind, per partition. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/debug.h"
#include "../base/json.h"
#include "../kafka/end.h"
#include "../kafka/kafka.h"
#include "../base/log.h"
#include "../kafka/position.h"
#include "../kafka/topics.h"
#include "command.h"

enum { QUERY_MS = 10000 };

typedef struct options {
    nj_settings settings;
    bool json;
} options;

static void print_one(const options *o, const rd_kafka_topic_partition_t *t, int64_t low, int64_t high,
                      int64_t lag)
{
    char committed[32] = "-";
    if (t->offset >= 0) snprintf(committed, sizeof committed, "%" PRId64, t->offset);
    if (!o->json) {
        printf("%-48s %9" PRId32 " %12s %12" PRId64 " %12" PRId64 " %10" PRId64 "\n", t->topic, t->partition,
               committed, low, high, lag);
        return;
    }
    nj_buffer b = { 0 };
    nj_json json = nj_json_begin_line(&b);
    nj_json_put(&json, "topic=%s partition=%d", t->topic, (int)t->partition);
    nj_json_raw(&json, "committed", t->offset >= 0 ? committed : "null",
                strlen(t->offset >= 0 ? committed : "null"));
    nj_json_put(&json, "low=%lld high=%lld lag=%lld", (long long)low, (long long)high, (long long)lag);
    nj_json_end(&json);
    fputs(b.data ? b.data : "", stdout);
    nj_buffer_free(&b);
}

static int print_all(const options *o, rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, nj_error *err)
{
    rd_kafka_resp_err_t e = rd_kafka_committed(rk, list, QUERY_MS);
    int64_t low, high, sum = 0;
    if (e) return nj_fail(err, "committed offsets: %s", rd_kafka_err2str(e));
    if (!o->json)
        printf("%-48s %9s %12s %12s %12s %10s\n", "topic", "partition", "committed", "low", "high", "lag");
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_topic_partition_t *t = &list->elems[i];
        e = rd_kafka_query_watermark_offsets(rk, t->topic, t->partition, &low, &high, QUERY_MS);
        if (e) return nj_fail(err, "%s[%" PRId32 "]: %s", t->topic, t->partition, rd_kafka_err2str(e));
        int64_t from = t->offset > low ? t->offset : low, lag = high > from ? high - from : 0;
        sum += lag;
        print_one(o, t, low, high, lag);
    }
    if (!o->json) printf("%-48s %9s %12s %12s %12s %10" PRId64 "\n", "total", "", "", "", "", sum);
    return 0;
}

static int lag(const options *o, const char *spec, nj_error *err)
{
    /* one failed look is enough to say so: no lines about retries */
    static const nj_kafka_pair preset[] = { { "log_level", "2" }, { "enable.auto.commit", "false" }, { 0 } };
    nj_kafka_target target;
    nj_positions positions;
    char why[512];
    int rc = NJ_EXIT_USAGE;
    if (nj_kafka_target_parse(&target, spec, err)) return rc;
    rd_kafka_conf_t *conf = nj_positions_parse(&positions, target.query, err)
                                ? NULL
                                : nj_kafka_conf(target.hosts, preset, NULL, (nj_settings *)&o->settings, err);
    rd_kafka_t *rk = NULL;
    if (conf && nj_kafka_set_group(conf, positions.group, err) == 0 &&
        !(rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why)))
        nj_fail(err, "%s: %s", spec, why);
    if (conf && !rk) rd_kafka_conf_destroy(conf);
    if (rk) {
        rd_kafka_topic_partition_list_t *list = nj_kafka_topics(rk, &target, QUERY_MS, err);
        rc = list && print_all(o, rk, list, err) == 0 ? NJ_EXIT_OK : NJ_EXIT_SOURCE;
        if (list) rd_kafka_topic_partition_list_destroy(list);
        nj_kafka_end(rk, 0, spec);
    }
    nj_kafka_target_free(&target);
    return rc;
}

static const nj_option table[] = { { "json", 0, NJ_OPTION_FLAG, offsetof(options, json),
                                     .doc = "one object per partition, one line each" },
                                   { 0 } };

static int lag_main(int argc, char **argv);

NJ_COMMAND(lag) = {
    .name = "lag",
    .usage = "lag kafka://HOST:PORT/TOPIC[?group=G] [options]",
    .summary = "how far a consumer group is behind, per partition",
    .help = "Lag is the number of messages behind the committed offset; of a partition without one, all that "
            "it holds.\n",
    .main = lag_main,
    .options = { nj_options_of_settings, table, nj_options_of_debug },
    .arguments =
        (const nj_meaning[]){
            { "TOPIC", "TOPIC[,TOPIC] or ^REGEX, with ?group=G as for run (default nightjar)" }, { 0 } },
    .exits = (const nj_meaning[]){ { "2", "no broker answers, or the topics are not there" }, { 0 } },
};

static int lag_main(int argc, char **argv)
{
    options o = { 0 };
    nj_words words;
    nj_error err = { "" };
    int rc = NJ_EXIT_USAGE, failed = nj_command_parse(&nj_command_lag, &o, argc, argv, &words, &err);
    if (!failed && words.n != 1) failed = nj_fail(&err, "expected one kafka://HOST:PORT/TOPIC?group=G");
    if (!failed) rc = lag(&o, words.item[0], &err);
    if (rc) nj_log(NJ_LOG_ERROR, "lag: %s", err.text);
    nj_settings_free(&o.settings);
    return rc;
}
