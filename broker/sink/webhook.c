/* webhook.c - rows as posts to a chat, a marshal or any server that takes JSON: for the few alerts that a
 * person or another program waits for. A row counts when the server has it or it is a dead letter. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "classes.h"
#include "json.h"
#include "kept_row.h"
#include "webhook_post.h"
#include "wording.h"

enum { WAITING_MOST = 1000 }; /* rows: write() sends them then */

typedef struct webhook_conf {
    nj_post_conf post;
    const char *template;
    int64_t batch;
} webhook_conf;

#define AT(field) offsetof(webhook_conf, field)
const nj_param nj_webhook_settings[] = {
    { "template", NJ_STR, "", AT(template), 0, 0, "1",
      "slack, mattermost, tom, rows, or a JSON file; empty: by the server's name, else rows" },
    { "batch", NJ_I64, "20", AT(batch), 1, 10000, "1", "alerts in one request, at most" },
    { "per_minute", NJ_F64, "60", AT(post.per_minute), 0.01, 1e6, "1", "requests, at most" },
    { "timeout_s", NJ_F64, "10", AT(post.timeout_s), 0.01, 600, "s", "of one request" },
    { "pause_s", NJ_F64, "1", AT(post.pause_s), 0.001, 600, "s",
      "before a request is sent again; it doubles, to 30 s" },
    { "patience_s", NJ_F64, "60", AT(post.patience_s), 0, 3600, "s",
      "how long a request is tried again, before its rows are dead letters" },
    { "ca", NJ_STR, "", AT(post.ca), 0, 0, "1", "file with the certificates to trust" },
    { 0 }
};

typedef struct webhook {
    nj_sink base;
    webhook_conf conf;
    char *ca; /* of the settings, which need not live as long */
    nj_post *post;
    nj_wording words;
    nj_json_keys keys;
    nj_kept_rows way;
    json_t *alert[WAITING_MOST];
    nj_kept_row *from[WAITING_MOST]; /* NULL: rows of this run are not kept */
    uint32_t n;
    uint64_t n_sent, n_dead;
    nj_buffer row, body;
} webhook;

static int close_webhook(nj_sink *sink, nj_error *err);

/* By the name of the server, when nothing else says it. */
static const char *usual_template(const char *server)
{
    if (strstr(server, "slack.com") || strstr(server, "discord.com")) return "slack";
    return strstr(server, "mattermost") ? "mattermost" : "rows";
}

static nj_sink *open_webhook(const nj_sink_args *args, nj_error *err)
{
    const char *template = NULL;
    webhook *s = calloc(1, sizeof *s);
    if (!s) {
        nj_fail(err, "webhook: out of memory");
        return NULL;
    }
    s->base.class = &nj_sink_webhook;
    s->way =
        (nj_kept_rows){ .refuse = args->refuse, .module = "sink.webhook", .opaque = args->refuse_opaque };
    if (nj_settings_apply(args->settings, "sink.webhook", nj_webhook_settings, NULL, &s->conf, err)) goto bad;
    s->ca = strdup(s->conf.post.ca);
    s->conf.post.ca = s->ca;
    if (!s->ca) {
        nj_fail(err, "webhook: out of memory");
        goto bad;
    }
    if (!*args->target) {
        nj_fail(err,
                "-o webhook: expected webhook:https://HOST/PATH, or webhook:FILE with the address in its "
                "first line");
        goto bad;
    }
    s->post = nj_post_open(args->target, &s->conf.post, &template, err);
    if (!s->post) goto bad;
    if (!template && *s->conf.template) template = s->conf.template;
    if (nj_wording_read(&s->words, template ? template : usual_template(nj_post_name(s->post)), err))
        goto bad;
    if (!s->words.each) s->conf.batch = 1;
    if (nj_json_infinity(&s->keys, "webhook", "number", err)) goto bad;
    return &s->base;
bad:
    close_webhook(&s->base, NULL);
    return NULL;
}

static int begin(nj_sink *sink, const nj_field *field, uint32_t n_fields, const nj_metadata *metadata,
                 nj_error *err)
{
    webhook *s = (webhook *)sink;
    (void)metadata;
    if (nj_wording_check(&s->words, field, n_fields, err)) return -1;
    return nj_json_keys_new(&s->keys, field, n_fields, err);
}

/* Alerts [from, from + n) will not be sent. */
static int give_up(webhook *s, uint32_t from, uint32_t n, const char *why, nj_error *err)
{
    for (uint32_t k = from; k < from + n; k++) {
        if (!s->from[k])
            return nj_fail(err, "%s: %u alerts were not taken: %s", nj_post_name(s->post), n, why);
        nj_kept_row_refuse(&s->way, s->from[k], "%s did not take it: %s", nj_post_name(s->post), why);
        s->n_dead++;
    }
    return 0;
}

static int send(webhook *s, uint32_t from, uint32_t n, nj_error *err)
{
    char why[300];
    s->body.n = 0;
    nj_wording_write(&s->words, s->alert + from, n, &s->body);
    if (s->body.failed) return nj_fail(err, "%s: out of memory", nj_post_name(s->post));
    switch (nj_post_send(s->post, s->body.data, s->body.n, s->words.there, why)) {
    case NJ_POST_TAKEN: s->n_sent += n; return 0;
    case NJ_POST_GONE: return give_up(s, from, n, why, err);
    default: break;
    }
    if (n == 1) return give_up(s, from, 1, why, err);
    const uint32_t half = n / 2; /* one of them is at fault, or they are too many */
    return send(s, from, half, err) || send(s, from + half, n - half, err) ? -1 : 0;
}

static void forget(webhook *s)
{
    for (uint32_t k = 0; k < s->n; k++) {
        json_decref(s->alert[k]);
        if (s->from[k]) nj_kept_row_done(&s->way, s->from[k]);
    }
    s->n = 0;
}

static int flush(nj_sink *sink, nj_error *err)
{
    webhook *s = (webhook *)sink;
    int rc = 0;
    for (uint32_t at = 0, n; at < s->n && !rc; at += n) {
        n = s->n - at < (uint32_t)s->conf.batch ? s->n - at : (uint32_t)s->conf.batch;
        rc = send(s, at, n, err);
    }
    forget(s);
    return rc;
}

static int write_rows(nj_sink *sink, const nj_rows *rows, nj_error *err)
{
    webhook *s = (webhook *)sink;
    for (uint32_t k = 0; k < rows->n; k++) {
        const uint32_t row = rows->row[k];
        json_t *alert = nj_wording_alert(&s->keys, rows, row, &s->row);
        if (!alert) return nj_fail(err, "%s: out of memory", nj_post_name(s->post));
        s->from[s->n] = nj_kept_row_new(&s->way, rows, row);
        s->alert[s->n++] = alert;
        if (s->way.refuse && rows->batch && !s->from[s->n - 1])
            return nj_fail(err, "%s: out of memory", nj_post_name(s->post));
        if (s->n == WAITING_MOST && flush(sink, err)) return -1;
    }
    return 0;
}

static int close_webhook(nj_sink *sink, nj_error *err)
{
    webhook *s = (webhook *)sink;
    int rc = s->post && s->n ? flush(sink, err) : 0;
    if (s->n_dead)
        nj_log(NJ_LOG_WARN, "%s: %llu alerts were sent, %llu are dead letters: the file of those is a SOURCE",
               nj_post_name(s->post), (unsigned long long)s->n_sent, (unsigned long long)s->n_dead);
    nj_kept_rows_drop(&s->way);
    nj_wording_free(&s->words);
    nj_post_free(s->post);
    nj_json_keys_free(&s->keys);
    nj_buffer_free(&s->row);
    nj_buffer_free(&s->body);
    free(s->ca);
    free(s);
    return rc;
}

const nj_sink_class nj_sink_webhook = {
    .scheme = "webhook",
    .refuses = true,
    .form = "webhook:URL, webhook:FILE",
    .doc =
        "posts to a chat, marshal or server as a JSON template says ([sink.webhook]); FILE keeps the address "
        "and keys out of sight",
    .open = open_webhook,
    .begin = begin,
    .write = write_rows,
    .flush = flush,
    .close = close_webhook,
};
