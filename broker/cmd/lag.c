/* lag.c - `nightjar lag`: how far a consumer group is behind, per partition. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/debug.h"
#include "../base/json.h"
#include "../base/patience.h"
#include "../flow/cli.h"
#include "../kafka/end.h"
#include "../kafka/kafka.h"
#include "../base/log.h"
#include "../kafka/position.h"
#include "../kafka/topics.h"
#include "command.h"

enum { QUERY_MS = 10000, WATCH_S = 2 };

typedef struct options {
    nj_settings settings;
    bool json, watch;
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

/* Where the partitions begin or end, as a new list. Not rd_kafka_query_watermark_offsets: with librdkafka
 * 2.0.2 that waits forever when the broker has just gone. NULL with err. */
static rd_kafka_topic_partition_list_t *bounds(rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *list,
                                               int64_t which, nj_error *err)
{
    rd_kafka_topic_partition_list_t *of = rd_kafka_topic_partition_list_copy(list);
    for (int i = 0; i < of->cnt; i++) of->elems[i].offset = which;
    rd_kafka_resp_err_t e = rd_kafka_offsets_for_times(rk, of, QUERY_MS);
    for (int i = 0; i < of->cnt; i++) {
        const rd_kafka_topic_partition_t *t = &of->elems[i];
        if (!e && !t->err) continue;
        nj_fail(err, "%s[%" PRId32 "]: %s", t->topic, t->partition, rd_kafka_err2str(e ? e : t->err));
        rd_kafka_topic_partition_list_destroy(of);
        return NULL;
    }
    return of;
}

static int print_all(const options *o, rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, nj_error *err)
{
    rd_kafka_resp_err_t e = rd_kafka_committed(rk, list, QUERY_MS);
    int64_t sum = 0;
    if (e) return nj_fail(err, "committed offsets: %s", rd_kafka_err2str(e));
    rd_kafka_topic_partition_list_t *begin = bounds(rk, list, RD_KAFKA_OFFSET_BEGINNING, err),
                                    *end = begin ? bounds(rk, list, RD_KAFKA_OFFSET_END, err) : NULL;
    if (!end) {
        if (begin) rd_kafka_topic_partition_list_destroy(begin);
        return -1;
    }
    if (!o->json)
        printf("%-48s %9s %12s %12s %12s %10s\n", "topic", "partition", "committed", "low", "high", "lag");
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_topic_partition_t *t = &list->elems[i];
        int64_t low = begin->elems[i].offset, high = end->elems[i].offset;
        int64_t from = t->offset > low ? t->offset : low, lag = high > from ? high - from : 0;
        sum += lag;
        print_one(o, t, low, high, lag);
    }
    if (!o->json) printf("%-48s %9s %12s %12s %12s %10" PRId64 "\n", "total", "", "", "", "", sum);
    rd_kafka_topic_partition_list_destroy(begin);
    rd_kafka_topic_partition_list_destroy(end);
    return 0;
}

/* One look, with the topics that are there now. */
static int look(const options *o, rd_kafka_t *rk, const nj_kafka_target *target, nj_error *err)
{
    rd_kafka_topic_partition_list_t *list = nj_kafka_topics(rk, target, QUERY_MS, err);
    char when[16];
    time_t now = time(NULL);
    struct tm utc;
    if (list && o->watch && !o->json && strftime(when, sizeof when, "%H:%M:%S", gmtime_r(&now, &utc)))
        printf("%s UTC\n", when);
    int rc = list && print_all(o, rk, list, err) == 0 ? NJ_EXIT_OK : NJ_EXIT_SOURCE;
    if (list) rd_kafka_topic_partition_list_destroy(list);
    fflush(stdout);
    return rc;
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
        !(rk = nj_kafka_client(RD_KAFKA_CONSUMER, conf, why, sizeof why)))
        nj_fail(err, "%s: %s", spec, why);
    if (conf && !rk) rd_kafka_conf_destroy(conf);
    if (rk) {
        bool first = true;
        do {
            rc = look(o, rk, &target, err);
            if (rc && !first) nj_log(NJ_LOG_WARN, "lag: %s", err->text); /* it may come back */
            if (rc && first) break;
            first = false;
            for (int i = 0; i < 10 * WATCH_S && o->watch && !nj_stopping(); i++)
                nanosleep(&(struct timespec){ 0, 100000000 }, NULL);
        } while (o->watch && !nj_stopping());
        if (!first) rc = NJ_EXIT_OK;
        nj_kafka_end(rk, 0, spec);
    }
    nj_kafka_target_free(&target);
    return rc;
}

static const nj_option table[] = {
    { "json", 0, NJ_OPTION_FLAG, offsetof(options, json), .doc = "one object per partition, one line each" },
    { "watch", 0, NJ_OPTION_FLAG, offsetof(options, watch), .doc = "again every 2 s, until Ctrl-C" },
    { 0 }
};

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
    if (o.watch) nj_stop_on_signals_quietly();
    if (!failed) rc = lag(&o, words.item[0], &err);
    if (rc) nj_log(NJ_LOG_ERROR, "lag: %s", err.text);
    nj_settings_free(&o.settings);
    return rc;
}
