/* simulate.c - `nightjar simulate`: makes a night of alerts whose truth is known. */
#include "command.h"

#include <errno.h>
#include <math.h>
#include <omp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../simulate/simulate.h"
#include "../simulate/writer.h"

enum { SLOTS_PER_THREAD = 32, MOST_THREADS = 64 };

typedef struct options {
    nj_simulator_conf conf;
    const char *out, *truth;
    int threads, exposures;
    bool overwrite, quiet;
    nj_settings settings;
} options;

/* One alert on its way from a thread to the writer. */
typedef struct slot {
    uint8_t *bytes;
    size_t size, room;
    nj_simulated alert;
    int rc;
} slot;

static int keep(slot *s)
{
    if (s->room < s->alert.size) {
        uint8_t *bytes = realloc(s->bytes, s->alert.size * 5 / 4);
        if (!bytes) return -1;
        s->bytes = bytes;
        s->room = s->alert.size * 5 / 4;
    }
    memcpy(s->bytes, s->alert.bytes, s->alert.size);
    s->size = s->alert.size;
    return 1;
}

static void progress(const options *o, uint64_t done, uint64_t bytes, int64_t start, int last)
{
    double seconds = (double)(nj_now_ns() - start) * 1e-9, rate = (double)done / (seconds > 0 ? seconds : 1);
    if (o->quiet || (!last && !isatty(STDERR_FILENO))) return;
    fprintf(stderr, "%ssimulated %llu of %llu alerts, %.1f MB, %.0f alerts/s%s",
            isatty(STDERR_FILENO) ? "\r" : "", (unsigned long long)done, (unsigned long long)o->conf.alerts,
            (double)bytes * 1e-6, rate, last ? "\n" : "");
}

/* Fills the slots by all threads, then writes them in order:
 * the output does not depend on the number of threads. */
static int produce(const options *o, nj_simulator **sim, slot *slots, nj_sim_writer *writer, FILE *truth,
                   nj_error *err)
{
    uint64_t total = nj_simulator_alerts(sim[0]), bytes = 0;
    int64_t start = nj_now_ns(), shown = start;
    int per_round = SLOTS_PER_THREAD * o->threads;
    for (uint64_t from = 0; from < total; from += (uint64_t)per_round) {
        int n = total - from < (uint64_t)per_round ? (int)(total - from) : per_round;
#pragma omp parallel for schedule(dynamic, 4) num_threads(o->threads)
        for (int k = 0; k < n; k++) {
            slots[k].rc = nj_simulator_make(sim[omp_get_thread_num()], from + (uint64_t)k, &slots[k].alert);
            if (slots[k].rc == 1) slots[k].rc = keep(&slots[k]);
        }
        for (int k = 0; k < n; k++) {
            slot *s = &slots[k];
            if (s->rc != 1) return nj_fail(err, "out of memory");
            int64_t mtime = (int64_t)((s->alert.truth.jd - 2440587.5) * 86400) + 900;
            if (nj_sim_writer_add(writer, s->alert.member, s->bytes, s->size, mtime, err)) return -1;
            if (truth) nj_truth_line(truth, &s->alert.truth);
            bytes += s->size;
        }
        if (nj_now_ns() - shown > 500000000)
            progress(o, from + (uint64_t)n, bytes, start, 0), shown = nj_now_ns();
    }
    progress(o, total, bytes, start, 1);
    return 0;
}

/* truth.csv in the folder where OUT lies; none for streams unless it was asked for. */
static int open_truth(const options *o, FILE **truth, nj_error *err)
{
    char path[4096] = "";
    if (o->truth) {
        snprintf(path, sizeof path, "%s", o->truth);
    } else if (strcmp(o->out, "-") && strncmp(o->out, "kafka://", 8)) {
        size_t n = strlen(o->out);
        while (n && o->out[n - 1] == '/') n--;
        while (n && o->out[n - 1] != '/') n--;
        snprintf(path, sizeof path, "%.*struth.csv", (int)n, o->out);
    }
    *truth = NULL;
    if (!path[0]) return 0;
    if (!o->overwrite && !access(path, F_OK))
        return nj_fail(err, "%s: the file exists; --overwrite replaces it, --truth names another", path);
    *truth = fopen(path, "w");
    if (!*truth) return nj_fail(err, "%s: %s", path, strerror(errno));
    nj_truth_heading(*truth);
    return 0;
}

static int simulate(options *o)
{
    nj_error err;
    nj_simulator *sim[MOST_THREADS] = { 0 };
    slot *slots = calloc((size_t)(SLOTS_PER_THREAD * o->threads), sizeof *slots);
    nj_sim_writer *writer = NULL;
    FILE *truth = NULL;
    int code = NJ_EXIT_USAGE;
    for (int t = 0; t < o->threads && slots; t++)
        if (!(sim[t] = nj_simulator_new(&o->conf, &err))) goto done;
    if (!slots) {
        nj_fail(&err, "out of memory");
        goto done;
    }
    o->conf.alerts = nj_simulator_alerts(sim[0]);
    nj_sim_writer_args args = { .spec = o->out, .overwrite = o->overwrite, .settings = &o->settings };
    if (open_truth(o, &truth, &err) || !(writer = nj_sim_writer_open(&args, &err))) goto done;
    code = produce(o, sim, slots, writer, truth, &err) ? NJ_EXIT_LEDGER : NJ_EXIT_OK;
done:
    if (code) nj_log(NJ_LOG_ERROR, "%s", err.text);
    if (writer && nj_sim_writer_close(writer, &err)) {
        if (!code) nj_log(NJ_LOG_ERROR, "%s", err.text);
        code = NJ_EXIT_LEDGER;
    }
    if (truth && fclose(truth)) {
        nj_log(NJ_LOG_ERROR, "truth: %s", strerror(errno));
        code = NJ_EXIT_LEDGER;
    }
    for (int t = 0; t < o->threads; t++) nj_simulator_free(sim[t]);
    for (int k = 0; slots && k < SLOTS_PER_THREAD * o->threads; k++) free(slots[k].bytes);
    free(slots);
    return code;
}

/* 2024-03-15 or 20240315. */
static int night(void *conf, const char *text, nj_error *err)
{
    options *o = conf;
    char digits[9];
    size_t n = 0;
    for (const char *p = text; *p; p++) {
        if (*p == '-' && (n == 4 || n == 6)) continue;
        if (*p < '0' || *p > '9' || n == 8) n = 9;
        if (n >= 8) break;
        digits[n++] = *p;
    }
    if (n != 8) return nj_fail(err, "--night %s is not a date of the form 2024-03-15", text);
    digits[8] = 0;
    o->conf.night = atoi(digits);
    return 0;
}

static int set_kafka(void *conf, const char *text, nj_error *err)
{
    return nj_settings_kafka(&((options *)conf)->settings, text, err);
}

#define AT(x) offsetof(options, x)

static const nj_option table[] = {
    { "out", 'o', NJ_OPTION_TEXT, AT(out), "OUT",
      .doc = "OUT.tar.gz, OUT.tar, a folder, - (tar on standard output), or kafka://HOST:PORT/TOPIC" },
    { "alerts", 'n', NJ_OPTION_U64, AT(conf.alerts), "N", NULL, 1, 1e9, .doc = "how many (1000)" },
    { "seed", 0, NJ_OPTION_U64, AT(conf.seed), "S", NULL, 0, (double)UINT64_MAX,
      .doc = "the same seed gives the same bytes, on any number of threads (0)" },
    { "exposures", 0, NJ_OPTION_INT, AT(exposures), "N", NULL, 1, 1 << 20,
      .doc = "over how many exposures (one per 300 alerts, LSST one per 10,000; at least 4)" },
    { "night", 0, NJ_OPTION_CALL, .value = "DATE", .take = night,
      .doc = "night of observation, UTC (2024-03-15); nights of a seed see the same fields and objects" },
    { "survey", 0, NJ_OPTION_TEXT, AT(conf.survey), "NAME",
      .doc =
          "ztf, or lsst: packets of release 11.0, 10,000 alerts per visit and bursts of four times as many" },
    { "schema", 0, NJ_OPTION_TEXT, AT(conf.schema), "V",
      .doc = "3.3, 4.02 (with forced photometry) or mix (mix, by exposure)" },
    { "encoder", 0, NJ_OPTION_TEXT, AT(conf.encoder), "E",
      .doc = "stream, archive or mix: the two real writers differ in the order of unions (mix); LSST: stream "
             "(container files) or confluent (schema id 1100 and datum; to Kafka by default)" },
    { "truth", 0, NJ_OPTION_TEXT, AT(truth), "FILE",
      .doc = "what each alert really is (truth.csv beside OUT; for - and kafka:// only when named)" },
    { "threads", 'j', NJ_OPTION_INT, AT(threads), "N", NULL, 1, MOST_THREADS,
      .doc = "compute threads (all)" },
    { "kafka", 'X', NJ_OPTION_CALL, .value = "NAME=VALUE", .take = set_kafka,
      .doc = "a setting of librdkafka" },
    { "overwrite", 0, NJ_OPTION_FLAG, AT(overwrite), .doc = "replace an output file, add to a folder" },
    { "quiet", 'q', NJ_OPTION_FLAG, AT(quiet), .doc = "no progress, no summary" },
    { 0 }
};

static int run(int argc, char **argv);

NJ_COMMAND(simulate) = {
    .name = "simulate",
    .usage = "simulate [options] -o OUT",
    .summary = "a realistic night of alerts with known truth",
    .main = run,
    .options = { table },
    .exits = (const nj_meaning[]){ { "3", "the output could not be written" }, { 0 } },
};

static int parse(int argc, char **argv, options *o, nj_error *err)
{
    nj_words words;
    if (nj_command_parse(&nj_command_simulate, o, argc, argv, &words, err)) return -1;
    if (words.n) return nj_fail(err, "'%s' is not an option; the output is named by -o", words.item[0]);
    if (!o->out)
        return nj_fail(err, "-o OUT is missing: a .tar.gz, a .tar, a folder, - or kafka://HOST:PORT/TOPIC");
    if (o->exposures) o->conf.exposures = (uint32_t)o->exposures;
    bool lsst = o->conf.survey && !strcmp(o->conf.survey, "lsst");
    if (!o->conf.encoder && lsst && !strncmp(o->out, "kafka://", 8)) o->conf.encoder = "confluent";
    return 0;
}

static int run(int argc, char **argv)
{
    options o = { .threads = omp_get_num_procs() };
    nj_error err = { "" };
    if (o.threads > MOST_THREADS) o.threads = MOST_THREADS;
    signal(SIGPIPE, SIG_IGN); /* a reader that leaves early is an error of write(2),
                               * so that truth.csv is still closed */
    int bad = parse(argc, argv, &o, &err);
    if (bad) nj_log(NJ_LOG_ERROR, "simulate: %s", err.text);
    int code = bad ? NJ_EXIT_USAGE : simulate(&o);
    nj_settings_free(&o.settings);
    return code;
}
