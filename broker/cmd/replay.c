/* replay.c - `nightjar replay`: stored nights into Kafka, at a given rate. */
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/debug.h"
#include "../base/log.h"
#include "../engine/feed.h"
#include "../engine/reader.h"
#include "../replay/replayer.h"
#include "command.h"

static _Atomic int stop; /* set by a handler, read by the sending threads */

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

/* The time of a chunk's first alert, through the decoder. */
typedef struct jd_reader {
    nj_decoder *decoder;
    nj_reader reader;
    nj_layout layout;
    double jd;
    bool found;
    nj_error *why;
} jd_reader;

static const nj_layout *jd_layout(void *opaque, const nj_schema *schema, nj_error *err)
{
    static const nj_column_def column = { "jd", NJ_F64, NJ_SCALAR, "d", 1 };
    jd_reader *c = opaque;
    (void)err;
    c->layout = (nj_layout){ .survey = nj_schema_survey(schema), .n_packet = 1, .n = 1, .col = &column };
    return &c->layout;
}

static int first_jd(void *opaque, nj_batch **batch)
{
    jd_reader *c = opaque;
    const nj_batch *b = *batch;
    c->found = b->n > 0;
    if (c->found)
        c->jd = ((const double *)b->col[0].data)[0];
    else
        nj_fail(c->why, "%s", b->n_dead ? b->dead[0].reason : "it holds no alert");
    return NJ_READ_STOPPED;
}

static int jd_of(void *opaque, nj_chunk *chunk, double *jd, nj_error *err)
{
    jd_reader *c = opaque;
    c->why = err;
    c->found = false;
    nj_reader_forget(&c->reader);
    int rc = nj_reader_take(&c->reader, chunk, err);
    if (rc == NJ_READ_ON) rc = nj_reader_flush(&c->reader, true);
    if (rc < 0) return nj_fail(err, "out of memory");
    *jd = c->jd;
    return c->found ? 0 : -1;
}

typedef struct options {
    nj_settings settings; /* first: nj_options_of_settings */
    nj_replayer_args args;
    uint64_t limit;
    int window;
    bool quiet;
    jd_reader times;
} options;

static int set_rate(void *conf, const char *text, nj_error *err)
{
    options *o = conf;
    return nj_pace_parse(text, &o->args.pace, &o->args.speed, err);
}

static const nj_option table[] = {
    { "to", 0, NJ_OPTION_TEXT, offsetof(options, args.to), "kafka://HOST:PORT/TOPIC",
      .doc = "where to (required)" },
    { "rate", 0, NJ_OPTION_CALL, .value = "N/s|xK|asap", .take = set_rate,
      .doc = "messages per second; K times the original cadence (the alerts' jd); or as fast as the brokers "
             "take them (asap, the default). With xK alerts that are out of order of time are sorted within "
             "--window alerts, and refused beyond it" },
    { "window", 0, NJ_OPTION_INT, offsetof(options, window), "N", NULL, 1, 10000000,
      .doc = "alerts held to sort them (default: 4096, at most 256 MiB)" },
    { "limit", 0, NJ_OPTION_U64, offsetof(options, limit), "N", NULL, 1, (double)UINT64_MAX,
      .doc = "stop after N messages" },
    { "quiet", 'q', NJ_OPTION_FLAG, offsetof(options, quiet), .doc = "no line at the end" },
    { 0 }
};

static int replay_main(int argc, char **argv);

NJ_COMMAND(replay) = {
    .name = "replay",
    .usage = "replay SOURCE... --to kafka://HOST:PORT/TOPIC [--rate N/s|xK|asap]",
    .summary = "stored alerts into Kafka, byte for byte, at a given rate",
    .help = "Every file or member becomes one message, byte for byte; an Avro file of many records stays one "
            "message.\n",
    .main = replay_main,
    .options = { table, nj_options_of_settings, nj_options_of_debug },
    .arguments = (const nj_meaning[]){ { "SOURCE", "as for run" }, { 0 } },
    .exits = (const nj_meaning[]){ { "2", "a source could not be read" },
                                   { "3", "messages were not delivered" },
                                   { "130", "interrupted" },
                                   { 0 } },
};

static int parse(options *o, nj_words *words, int argc, char **argv, nj_error *err)
{
    if (nj_command_parse(&nj_command_replay, o, argc, argv, words, err)) return -1;
    o->args.window = (uint32_t)o->window;
    if (!o->args.to) return nj_fail(err, "--to kafka://HOST:PORT/TOPIC is missing");
    return words->n ? 0 : nj_fail(err, "no SOURCE given");
}

/* All sources to their ends. Returns an exit code. */
static int replay_sources(options *o, nj_feed *feed, nj_replayer *to, nj_error *err)
{
    for (uint64_t sent = 0; !stop && (!o->limit || sent < o->limit);) {
        nj_chunk *chunk = NULL;
        nj_next next = nj_feed_next(feed, 100, &chunk, err);
        if (next == NJ_NEXT_END) break;
        if (next == NJ_NEXT_ERROR) return NJ_EXIT_SOURCE;
        if (next != NJ_NEXT_CHUNK) continue;
        if (chunk->fault) { /* reported, and the source ends as an error */
            nj_chunk_drop(chunk);
            continue;
        }
        if (nj_replayer_send(to, chunk, err)) return NJ_EXIT_LEDGER;
        sent++;
    }
    return NJ_EXIT_OK;
}

static void print(const options *o, const nj_replayed *d)
{
    char asked[64] = "";
    double s = d->seconds > 0 ? d->seconds : 1e-9;
    if (o->quiet) return;
    if (o->args.pace == NJ_PACE_RATE)
        snprintf(asked, sizeof asked, " (asked: %g/s; at most %.3f s late)", o->args.speed, d->late_s);
    if (o->args.pace == NJ_PACE_CADENCE)
        snprintf(asked, sizeof asked, " (x%g of the original; at most %.3f s late)", o->args.speed,
                 d->late_s);
    fprintf(stderr, "%" PRIu64 " messages, %.1f MB in %.3f s to %s: %.1f messages/s, %.1f MB/s%s\n",
            d->messages, (double)d->bytes * 1e-6, d->seconds, o->args.to, (double)d->messages / s,
            (double)d->bytes * 1e-6 / s, asked);
}

static int open_times(options *o, nj_error *err)
{
    jd_reader *c = &o->times;
    if (o->args.pace != NJ_PACE_CADENCE) return 0;
    c->decoder = nj_decoder_new(&o->settings, err);
    c->reader.o = (nj_reader_options){ .decoder = c->decoder,
                                       .batch_rows = 1,
                                       .batch_bytes = SIZE_MAX,
                                       .layout = jd_layout,
                                       .full = first_jd,
                                       .opaque = c };
    return c->decoder ? 0 : -1;
}

static int replay_all(options *o, char **spec, uint32_t n, nj_error *err)
{
    nj_replayed done = { 0 };
    if (open_times(o, err)) return NJ_EXIT_USAGE;
    o->args.jd = jd_of;
    o->args.opaque = &o->times;
    o->args.settings = &o->settings;
    o->args.stop = &stop;
    nj_replayer *to = nj_replayer_open(&o->args, err);
    if (!to) return NJ_EXIT_LEDGER;
    nj_feed *feed = nj_feed_open(&o->settings, (const char *const *)spec, n, 0, err);
    int rc = feed ? replay_sources(o, feed, to, err) : NJ_EXIT_SOURCE;
    nj_error why = { "" };
    if (nj_replayer_close(to, &done, &why) && !rc) {
        *err = why;
        rc = NJ_EXIT_LEDGER;
    }
    nj_feed_close(feed);
    print(o, &done);
    return rc;
}

static void free_options(options *o)
{
    nj_reader_free(&o->times.reader);
    nj_decoder_free(o->times.decoder);
    nj_settings_free(&o->settings);
}

static int replay_main(int argc, char **argv)
{
    options o = { 0 };
    nj_error err = { "" };
    int rc = NJ_EXIT_USAGE;
    nj_words words;
    if (parse(&o, &words, argc, argv, &err) == 0) {
        struct sigaction act = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
        sigaction(SIGINT, &act, NULL);
        sigaction(SIGTERM, &act, NULL);
        rc = replay_all(&o, words.item, (uint32_t)words.n, &err);
    }
    if (rc) nj_log(NJ_LOG_ERROR, "replay: %s", err.text);
    free_options(&o);
    return !rc && stop ? NJ_EXIT_INTERRUPTED : rc;
}
