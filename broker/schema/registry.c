/* registry.c - Kafka messages carry only a schema id; this finds the schema in folders, in a cache or at a
 * registry. */
#include "registry.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/buffer.h"
#include "../base/clock.h"
#include "../base/file.h"
#include "../base/log.h"
#include "../base/secret.h"

enum {
    MAX_BODY = 16 << 20,
    MAX_REFERENCES = 200,
    MAX_UNKNOWN = 256,
    FIRST_PAUSE_MS = 250,
    LAST_PAUSE_MS = 5000,   /* between two questions while alerts wait */
    CLOSED_MOST_MS = 60000, /* after alerts have waited as long as they may */
    LOOK_MS = 100,          /* how often a wait looks whether the run ends */
    ONE_COMMAND_S = 30      /* a command that is no run waits no longer */
};

typedef struct registry_conf {
    const char *url, *user, *password, *password_file, *ca, *schemas, *cache;
    double timeout_s, wait_s, unknown_s, negative_s;
    int64_t builtin;
} registry_conf;

const nj_param nj_registry_settings[] = {
    { "url", NJ_STR, "", offsetof(registry_conf, url), 0, 0, "1",
      "schema registry with Confluent's REST interface" },
    { "user", NJ_STR, "", offsetof(registry_conf, user), 0, 0, "1", "for basic authentication" },
    { "password", NJ_STR, "", offsetof(registry_conf, password), 0, 0, "1",
      "or $NIGHTJAR_REGISTRY_PASSWORD" },
    { "password_file", NJ_STR, "", offsetof(registry_conf, password_file), 0, 0, "1",
      "file whose first line is the password" },
    { "ca", NJ_STR, "", offsetof(registry_conf, ca), 0, 0, "1", "file with the certificates to trust" },
    { "schemas", NJ_STR, "", offsetof(registry_conf, schemas), 0, 0, "1",
      "folder of schemas, looked into before the registry is asked" },
    { "cache", NJ_STR, "", offsetof(registry_conf, cache), 0, 0, "1",
      "folder to keep fetched schemas in; off = none" },
    { "timeout_s", NJ_F64, "10", offsetof(registry_conf, timeout_s), 0.1, 600, "s", "of one request" },
    { "wait_s", NJ_F64, "-1", offsetof(registry_conf, wait_s), -1, 1e9, "s",
      "how long alerts wait for an unavailable registry, before they are dead letters; -1 = until it is "
      "back" },
    { "unknown_s", NJ_F64, "10", offsetof(registry_conf, unknown_s), 0, 86400, "s",
      "how long an id that the registry does not know is asked for again, before its alerts are dead "
      "letters" },
    { "negative_s", NJ_F64, "60", offsetof(registry_conf, negative_s), 0, 86400, "s",
      "pause before an unknown id is asked for again" },
    { "builtin", NJ_I64, "1", offsetof(registry_conf, builtin), 0, 1, "1",
      "1: packets known to be LSST's (topic, --survey) whose id is unknown are read by the built-in layout "
      "of that release" },
    { 0 }
};

typedef struct unknown {
    char name[40];
    int64_t until_ns;
    char why[300];
} unknown;

struct nj_registry {
    registry_conf conf;
    char cache[4096]; /* "" = none */
    char login[512];
    pthread_mutex_t lock;
    CURL *curl;
    unknown unknown[MAX_UNKNOWN];
    uint32_t n_unknown;
    int64_t closed_until_ns; /* the registry does not answer: not asked before */
    int64_t pause_ms;
    int64_t spent_ns, spent_at_ns; /* waited for unknown ids, of unknown_s; it comes back with time */
    bool (*stopped)(void *opaque); /* NULL: this is no run */
    void *opaque;
    bool waiting; /* atomic */
    bool full;    /* atomic: no more goes into the cache */
};

/* ---- settings -------------------------------------------------------------------------------- */

static void find_cache(nj_registry *r)
{
    const char *home = getenv("XDG_CACHE_HOME"), *user = getenv("HOME");
    if (!*r->conf.url || !strcmp(r->conf.cache, "off")) return;
    uint32_t hash = 2166136261u; /* one folder per registry: ids mean nothing across them */
    for (const char *c = r->conf.url; *c; c++) hash = (hash ^ (uint8_t)*c) * 16777619u;
    int n = 0;
    if (*r->conf.cache)
        n = snprintf(r->cache, sizeof r->cache, "%s/%08x", r->conf.cache, hash);
    else if (home && *home)
        n = snprintf(r->cache, sizeof r->cache, "%s/nightjar/registry/%08x", home, hash);
    else if (user && *user)
        n = snprintf(r->cache, sizeof r->cache, "%s/.cache/nightjar/registry/%08x", user, hash);
    if (n >= (int)sizeof r->cache) r->cache[0] = 0;
}

static int find_login(nj_registry *r, nj_error *err)
{
    char line[256] = "";
    const char *password = *r->conf.password ? r->conf.password : getenv("NIGHTJAR_REGISTRY_PASSWORD");
    if (*r->conf.password_file) {
        FILE *f = fopen(r->conf.password_file, "r");
        if (!f) return nj_fail(err, "[registry] password_file: %.300s: %m", r->conf.password_file);
        if (!fgets(line, sizeof line, f)) line[0] = 0;
        fclose(f);
        line[strcspn(line, "\r\n")] = 0;
        password = line;
        nj_secret_remember(line);
    }
    if (*r->conf.user)
        snprintf(r->login, sizeof r->login, "%.200s:%.250s", r->conf.user, password ? password : "");
    return 0;
}

nj_registry *nj_registry_new(nj_settings *settings, nj_error *err)
{
    nj_registry *r = calloc(1, sizeof *r);
    if (!r) {
        nj_fail(err, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&r->lock, NULL);
    int rc = nj_settings_apply(settings, "registry", nj_registry_settings, NULL, &r->conf, err);
    if (rc == 0) find_cache(r);
    if (rc == 0) rc = find_login(r, err);
    if (rc == 0 && *r->conf.ca && access(r->conf.ca, R_OK))
        rc = nj_fail(err, "[registry] ca: %.300s: %m", r->conf.ca);
    if (rc == 0 && *r->conf.url && curl_global_init(CURL_GLOBAL_DEFAULT))
        rc = nj_fail(err, "libcurl cannot be set up");
    if (rc == 0 && *r->conf.url && !(r->curl = curl_easy_init()))
        rc = nj_fail(err, "libcurl cannot be set up");
    if (rc == 0) return r;
    nj_registry_free(r);
    return NULL;
}

void nj_registry_free(nj_registry *r)
{
    if (!r) return;
    if (r->curl) curl_easy_cleanup(r->curl);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

bool nj_registry_is_empty(const nj_registry *r)
{
    return !*r->conf.url && !*r->conf.schemas;
}

void nj_registry_waits(nj_registry *r, bool (*stopped)(void *opaque), void *opaque)
{
    r->stopped = stopped;
    r->opaque = opaque;
}

bool nj_registry_waiting(const nj_registry *r)
{
    return __atomic_load_n(&r->waiting, __ATOMIC_RELAXED);
}

bool nj_registry_allows_builtin(const nj_registry *r)
{
    return r->conf.builtin != 0;
}

/* ---- the cache on disk ----------------------------------------------------------------------- */

static char *read_cache(const nj_registry *r, const char *name, size_t *size)
{
    char path[4200];
    json_error_t why;
    if (!*r->cache) return NULL;
    snprintf(path, sizeof path, "%s/%s.json", r->cache, name);
    json_t *json = json_load_file(path, JSON_DECODE_ANY, &why);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(json);
    if (text) *size = strlen(text);
    return text;
}

/* What cannot be kept is fetched again by the next run. */
void nj_registry_keep(nj_registry *r, const char *name, const char *text, size_t size)
{
    char path[4200];
    if (!*r->cache || __atomic_load_n(&r->full, __ATOMIC_RELAXED)) return;
    snprintf(path, sizeof path, "%s/%s.json", r->cache, name);
    if (!nj_folder_make(r->cache, 0777) && !nj_file_replace(path, text, size)) return;
    nj_log(NJ_LOG_WARN, "%s: schemas of the registry are not kept for later runs: %s", r->cache,
           strerror(errno));
    __atomic_store_n(&r->full, true, __ATOMIC_RELAXED);
}

void nj_registry_keeps_nothing(nj_registry *r)
{
    __atomic_store_n(&r->full, true, __ATOMIC_RELAXED);
}

/* ---- the registry ---------------------------------------------------------------------------- */

static size_t take_body(char *bytes, size_t size, size_t n, void *to)
{
    nj_buffer *body = to;
    if (body->n + size * n > MAX_BODY) return 0; /* curl ends the transfer */
    nj_buffer_add(body, bytes, size * n);
    return body->failed ? 0 : size * n;
}

/* UNKNOWN: the registry says of this id that there is none, or that its schema is none. LATER: whoever
 * answers is no registry in order, and says nothing about the alerts: they wait. */
typedef enum answer { GOOD, UNKNOWN, LATER } answer;

static bool run_ends(const nj_registry *r)
{
    return r->stopped && r->stopped(r->opaque);
}

/* While curl waits for the other side. */
static int go_on(void *r, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return run_ends(r); /* not 0 ends the transfer */
}

/* Is it the registry that answers? A proxy, a log-in page or a web server without the registry behind it says
 * 404 as well, but not with an error code in JSON. */
static bool has_error_code(const nj_buffer *body)
{
    json_error_t why;
    json_t *json = json_loadb(body->data ? body->data : "", body->n, 0, &why);
    bool has = json_is_integer(json_object_get(json, "error_code"));
    json_decref(json);
    return has;
}

static answer request(nj_registry *r, const char *path, nj_buffer *body, nj_error *err)
{
    char url[2048], why[CURL_ERROR_SIZE] = "";
    size_t n = strlen(r->conf.url);
    long status = 0;
    int length = snprintf(url, sizeof url, "%.*s/%s", (int)(n && r->conf.url[n - 1] == '/' ? n - 1 : n),
                          r->conf.url, path);
    if (length >= (int)sizeof url) return nj_fail(err, "an address of %d bytes", length), UNKNOWN;
    curl_easy_reset(r->curl);
    curl_easy_setopt(r->curl, CURLOPT_URL, url);
    curl_easy_setopt(r->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(r->curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(r->curl, CURLOPT_TIMEOUT_MS, (long)(r->conf.timeout_s * 1e3));
    curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(r->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(r->curl, CURLOPT_XFERINFOFUNCTION, go_on);
    curl_easy_setopt(r->curl, CURLOPT_XFERINFODATA, r);
    curl_easy_setopt(r->curl, CURLOPT_USERAGENT, "nightjar");
    curl_easy_setopt(r->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    if (*r->login) curl_easy_setopt(r->curl, CURLOPT_USERPWD, r->login);
    if (*r->conf.ca) curl_easy_setopt(r->curl, CURLOPT_CAINFO, r->conf.ca);
    CURLcode rc = curl_easy_perform(r->curl);
    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    if (rc == CURLE_WRITE_ERROR && body->n)
        return nj_fail(err, "an answer of more than %d bytes", MAX_BODY), UNKNOWN;
    if (rc != CURLE_OK) return nj_fail(err, "%.300s", *why ? why : curl_easy_strerror(rc)), LATER;
    if (status == 200) return GOOD;
    nj_fail(err, "HTTP status %ld", status);
    return (status == 404 || status == 422) && has_error_code(body) ? UNKNOWN : LATER;
}

/* A schema and those that it refers to, in the order in which they were fetched: the first is the whole. */
typedef struct documents {
    json_t *schema[MAX_REFERENCES + 1];
    char *path[MAX_REFERENCES + 1]; /* where it came from: one that several refer to is fetched once */
    size_t n;
    char *text; /* of the first, as it came */
} documents;

static answer fetch_references(nj_registry *r, const json_t *list, documents *d, nj_error *err);

/* {"schema": "<JSON text>", "references": [{"name": ..., "subject": ..., "version": ...}, ...]} */
static answer fetch_document(nj_registry *r, const char *path, documents *d, nj_error *err)
{
    nj_buffer body = { 0 };
    json_error_t why;
    for (size_t i = 0; i < d->n; i++)
        if (!strcmp(d->path[i], path)) return GOOD;
    if (d->n > MAX_REFERENCES)
        return nj_fail(err, "more than %d schemas refer to each other", MAX_REFERENCES), UNKNOWN;
    answer a = request(r, path, &body, err);
    json_t *json = a == GOOD ? json_loadb(body.data ? body.data : "", body.n, 0, &why) : NULL;
    const json_t *text = json_object_get(json, "schema");
    if (a == GOOD && !json_is_string(text)) {
        nj_fail(err, "an answer without a schema (%zu bytes, starting with '%.20s')", body.n,
                body.n ? body.data : "");
        a = LATER; /* not the registry's page */
    } else if (a == GOOD) {
        json_t *schema = json_loadb(json_string_value(text), json_string_length(text), JSON_DECODE_ANY, &why);
        if (!d->n) d->text = strdup(json_string_value(text));
        d->path[d->n] = strdup(path);
        d->schema[d->n++] = schema;
        if (!schema)
            a = (nj_fail(err, "the schema is not JSON: %.200s (line %d)", why.text, why.line), UNKNOWN);
        if (a == GOOD) a = fetch_references(r, json_object_get(json, "references"), d, err);
    }
    json_decref(json);
    nj_buffer_free(&body);
    return a;
}

static answer fetch_references(nj_registry *r, const json_t *list, documents *d, nj_error *err)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *subject = json_string_value(json_object_get(one, "subject")),
                   *name = json_string_value(json_object_get(one, "name"));
        const json_t *version = json_object_get(one, "version");
        char path[1024];
        nj_error why = { "" };
        if (!subject || !json_is_integer(version))
            return nj_fail(err, "a reference without a subject and a version"), UNKNOWN;
        char *escaped = curl_easy_escape(r->curl, subject, 0);
        snprintf(path, sizeof path, "subjects/%s/versions/%lld", escaped ? escaped : "",
                 (long long)json_integer_value(version));
        curl_free(escaped);
        answer a = fetch_document(r, path, d, &why);
        if (a != GOOD)
            return nj_fail(err, "it refers to %.100s (%.150s): %.200s", name ? name : subject, path,
                           why.text),
                   a;
    }
    return GOOD;
}

static answer ask(nj_registry *r, const char *name, char **text, size_t *size, nj_error *err)
{
    documents d = { .n = 0 };
    char path[100];
    snprintf(path, sizeof path, "schemas/%s/%s", strchr(name, '-') ? "guids" : "ids", name);
    answer a = fetch_document(r, path, &d, err);
    if (a == GOOD && !(*text = d.n == 1 ? d.text : nj_schema_join(d.schema, d.n)))
        a = (nj_fail(err, "out of memory"), UNKNOWN);
    if (a == GOOD) *size = strlen(*text);
    if (a != GOOD || d.n > 1) free(d.text);
    for (size_t i = 0; i < d.n; i++) {
        json_decref(d.schema[i]);
        free(d.path[i]);
    }
    return a;
}

static const unknown *find_unknown(const nj_registry *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_unknown && i < MAX_UNKNOWN; i++)
        if (!strcmp(r->unknown[i].name, name) && nj_now_ns() < r->unknown[i].until_ns) return &r->unknown[i];
    return NULL;
}

static void add_unknown(nj_registry *r, const char *name, const char *why)
{
    unknown *u = &r->unknown[r->n_unknown++ % MAX_UNKNOWN]; /* of too many the oldest goes */
    *u = (unknown){ .until_ns = nj_now_ns() + (int64_t)(r->conf.negative_s * 1e9) };
    snprintf(u->name, sizeof u->name, "%s", name);
    snprintf(u->why, sizeof u->why, "%.290s", why);
}

/* Returns early when the run ends. */
static void sleep_ms(const nj_registry *r, int64_t ms)
{
    for (int64_t part; ms > 0 && !run_ends(r); ms -= part) {
        part = r->stopped && ms > LOOK_MS ? LOOK_MS : ms;
        struct timespec t = { part / 1000, part % 1000 * 1000000 };
        nanosleep(&t, NULL);
    }
}

/* Waiting for ids that may be new at the registry is bounded over all ids: what was spent comes back at a
 * tenth of the time that passes, so that a stream of junk ids loses no more than that. */
static int64_t left_for_unknown_ns(nj_registry *r)
{
    int64_t now = nj_now_ns(), back = (now - r->spent_at_ns) / 10;
    r->spent_ns = r->spent_ns > back ? r->spent_ns - back : 0;
    r->spent_at_ns = now;
    return (int64_t)(r->conf.unknown_s * 1e9) - r->spent_ns;
}

/* How long alerts may wait for an unavailable registry; -1 = forever. */
static double patience_s(const nj_registry *r)
{
    if (r->conf.wait_s >= 0) return r->conf.wait_s;
    return r->stopped ? -1 : ONE_COMMAND_S;
}

static void close_for_a_while(nj_registry *r)
{
    r->pause_ms = 2 * r->pause_ms;
    if (!r->pause_ms) r->pause_ms = 1000;
    if (r->pause_ms > CLOSED_MOST_MS) r->pause_ms = CLOSED_MOST_MS;
    r->closed_until_ns = nj_now_ns() + r->pause_ms * 1000000;
}

/* One line when a wait begins, and one a minute while it lasts. */
static void report_wait(const nj_error *err, int64_t since_ns, int64_t *reported_ns)
{
    int64_t now = nj_now_ns();
    if (*reported_ns && now - *reported_ns < INT64_C(60000000000)) return;
    if (*reported_ns)
        nj_log(NJ_LOG_WARN, "%s; alerts have waited for %.0f s, asking again", err->text,
               (double)(now - since_ns) / 1e9);
    else
        nj_log(NJ_LOG_WARN, "%s; alerts wait, asking again", err->text);
    *reported_ns = now;
}

/* The answer says that there is no such schema: asks a few times more, for it may be new, or one of several
 * servers may be behind the others. */
static bool may_ask_again(nj_registry *r, int64_t pause_ms)
{
    int64_t left_ms = left_for_unknown_ns(r) / 1000000;
    if (left_ms <= 0) return false;
    if (pause_ms > left_ms) pause_ms = left_ms;
    int64_t before = nj_now_ns();
    sleep_ms(r, pause_ms);
    r->spent_ns += nj_now_ns() - before;
    r->spent_at_ns = nj_now_ns();
    return true;
}

/* Asks until there is an answer or the patience is at its end.
 * Under the lock: all wait for the one who asks. */
static char *fetch(nj_registry *r, const char *name, bool patient, size_t *size, nj_error *err)
{
    nj_error why = { "" };
    char *text = NULL;
    const unknown *u = find_unknown(r, name);
    if (u) {
        nj_fail(err, "schema id %s: %s", name, u->why);
        return NULL;
    }
    if (nj_now_ns() < r->closed_until_ns) {
        nj_fail(err, "schema id %s: the registry %.200s did not answer a moment ago", name, r->conf.url);
        return NULL;
    }
    int64_t since = nj_now_ns(), reported = 0;
    double most_s = patient ? patience_s(r) : 0;
    for (int64_t pause = FIRST_PAUSE_MS;; pause = 2 * pause < LAST_PAUSE_MS ? 2 * pause : LAST_PAUSE_MS) {
        answer a = ask(r, name, &text, size, &why);
        if (a == GOOD) {
            r->pause_ms = 0;
            if (reported) nj_log(NJ_LOG_INFO, "schema id %s: the registry has answered; alerts resume", name);
            return text;
        }
        nj_fail(err, "schema id %s: the registry %.200s: %.300s", name, r->conf.url, why.text);
        if (a == UNKNOWN) {
            if (patient && may_ask_again(r, pause) && !run_ends(r)) continue;
            if (run_ends(r)) break;
            add_unknown(r, name, err->text + strlen("schema id ") + (size_t)snprintf(NULL, 0, "%s: ", name));
            return NULL;
        }
        int64_t left_ms = most_s < 0 ? INT64_MAX : (int64_t)(most_s * 1e3) - (nj_now_ns() - since) / 1000000;
        if (run_ends(r)) break;
        if (left_ms <= 0) {
            close_for_a_while(r);
            return NULL;
        }
        report_wait(err, since, &reported);
        __atomic_store_n(&r->waiting, true, __ATOMIC_RELAXED);
        sleep_ms(r, pause < left_ms ? pause : left_ms);
        if (run_ends(r)) break;
    }
    err->later = true;
    return NULL;
}

char *nj_registry_get(nj_registry *r, const char *name, bool patient, size_t *size, nj_error *err)
{
    nj_error why = { "" };
    char *text = NULL;
    pthread_mutex_lock(&r->lock);
    text = read_cache(r, name, size);
    if (!text && *r->conf.schemas) { /* a file at hand is better than a wait,
                                      * and ids never change their meaning */
        text = nj_schema_from_folder(r->conf.schemas, name, size, &why);
        if (!text && !*r->conf.url) nj_fail(err, "%s", why.text);
    }
    if (!text && *r->conf.url) {
        text = fetch(r, name, patient, size, err);
        __atomic_store_n(&r->waiting, false, __ATOMIC_RELAXED);
    } else if (!text && !*r->conf.schemas) {
        nj_fail(err, "schema id %s: set [registry] url, or [registry] schemas to a folder of schemas", name);
    }
    pthread_mutex_unlock(&r->lock);
    return text;
}
