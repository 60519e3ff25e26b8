/* webhook_post.c - a chat server must not hold up a stream, nor lose a message because it was busy for a
 * moment: the rules of when to try again and when to give up. */
#include "webhook_post.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "../base/buffer.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "../base/patience.h"
#include "../base/secret.h"
#include "../base/sha256.h"
#include "waits.h"

enum { SLICE_MS = 50, PAUSE_MOST_MS = 30000, ANSWER_MOST = 4096 };

struct nj_post {
    nj_post_conf conf;
    CURL *curl;
    struct curl_slist *headers; /* of each request */
    char *address, *name, *template;
    nj_buffer answer;
    double retry_after_s;    /* of the last answer; 0 = none */
    int64_t next_ns;         /* the pace allows no request before */
    int64_t closed_until_ns; /* nothing got through for so long that nothing is tried before; 0 = open */
    int64_t closed_ms;       /* how long it was closed the last time */
    uint64_t n_requests;
    char why[300];
};

const char *nj_post_name(const nj_post *p)
{
    return p->name;
}

uint64_t nj_post_requests(const nj_post *p)
{
    return p->n_requests;
}

void nj_post_free(nj_post *p)
{
    if (!p) return;
    if (p->curl) curl_easy_cleanup(p->curl);
    curl_slist_free_all(p->headers);
    nj_buffer_free(&p->answer);
    free(p->address);
    free(p->name);
    free(p->template);
    free(p);
}

/* --- the address --- */

static int add_header(nj_post *p, const char *line)
{
    struct curl_slist *more = curl_slist_append(p->headers, line);
    if (!more) return -1;
    p->headers = more;
    return 0;
}

static bool is_address(const char *text)
{
    return !strncmp(text, "http://", 7) || !strncmp(text, "https://", 8);
}

/* A line of the file, without what stands around it. */
static char *strip(char *line)
{
    line += strspn(line, " \t");
    size_t n = strlen(line);
    while (n && strchr(" \t\r\n", line[n - 1])) line[--n] = 0;
    return line;
}

static int take_line(nj_post *p, const char *path, int number, char *line, nj_error *err)
{
    const char *colon = strchr(line, ':');
    if (!*line || *line == '#') return 0;
    if (!p->address) {
        if (!is_address(line))
            return nj_fail(err, "%s:%d: expected the address, https://HOST/PATH, as the first line", path,
                           number);
        return (p->address = strdup(line)) ? 0 : nj_fail(err, "out of memory");
    }
    if (!strncmp(line, "template", 8) && line[8 + strspn(line + 8, " \t")] == '=') {
        const char *value = line + 9 + strspn(line + 8, " \t");
        free(p->template);
        p->template = strdup(value + strspn(value, " \t"));
        return p->template ? 0 : nj_fail(err, "out of memory");
    }
    if (!colon || colon == line || memchr(line, ' ', (size_t)(colon - line)))
        return nj_fail(err, "%s:%d: expected a header (Name: value) or template = NAME", path, number);
    const char *value = colon + 1 + strspn(colon + 1, " \t"), *word = strrchr(value, ' ');
    nj_secret_remember(value);
    if (word) nj_secret_remember(word + 1); /* "Bearer KEY" */
    return add_header(p, line) ? nj_fail(err, "out of memory") : 0;
}

static int read_target(nj_post *p, const char *path, nj_error *err)
{
    char line[4096];
    int number = 0, rc = 0;
    FILE *f = fopen(path, "r");
    if (!f)
        return nj_fail(err, "webhook:%s: is no address (https://...), and no file that can be read: %m",
                       path);
    while (!rc && fgets(line, sizeof line, f)) {
        number++;
        if (strlen(line) == sizeof line - 1)
            rc = nj_fail(err, "%s:%d: longer than %zu bytes", path, number, sizeof line - 2);
        else
            rc = take_line(p, path, number, strip(line), err);
    }
    fclose(f);
    if (!rc && !p->address) rc = nj_fail(err, "%s: has no address in its first line", path);
    return rc;
}

/* "https://host:8080", which is no secret; a name and password in it are. */
static int name_server(nj_post *p)
{
    const char *host = strstr(p->address, "://") + 3;
    const size_t n = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', n), *from = at ? at + 1 : host;
    nj_secret_remember_address(p->address);
    if (strlen(host + n) >= 8) nj_secret_remember(host + n);
    return asprintf(&p->name, "webhook:%.*s%.*s", (int)(host - p->address), p->address,
                    (int)(host + n - from), from) < 0
               ? -1
               : 0;
}

static size_t take_answer(char *bytes, size_t size, size_t n, void *post)
{
    nj_post *p = post;
    const size_t all = size * n, room = ANSWER_MOST - p->answer.n;
    nj_buffer_add(&p->answer, bytes, all < room ? all : room);
    return all;
}

static int go_on(void *post, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)post, (void)a, (void)b, (void)c, (void)d;
    return nj_patience_over();
}

nj_post *nj_post_open(const char *target, const nj_post_conf *conf, const char **template, nj_error *err)
{
    nj_post *p = calloc(1, sizeof *p);
    target = nj_secret_address(target);
    if (!p || curl_global_init(CURL_GLOBAL_DEFAULT)) {
        nj_fail(err, "webhook: libcurl cannot be set up");
        goto bad;
    }
    p->conf = *conf;
    if (is_address(target) ? !(p->address = strdup(target)) : read_target(p, target, err)) goto bad;
    p->curl = curl_easy_init();
    if (!p->curl || name_server(p) || add_header(p, "Content-Type: application/json") ||
        add_header(p, "Expect:")) {
        nj_fail(err, "webhook: out of memory");
        goto bad;
    }
    CURLU *parts = curl_url();
    const bool good = parts && !curl_url_set(parts, CURLUPART_URL, p->address, 0);
    curl_url_cleanup(parts);
    if (!good) {
        nj_fail(err, "%s: the address is none that libcurl understands", p->name);
        goto bad;
    }
    *template = p->template;
    return p;
bad:
    nj_post_free(p);
    return NULL;
}

/* --- a request --- */

static nj_post_answer read_answer(nj_post *p, CURLcode rc, const char *there, const char *trouble)
{
    static nj_log_limit told;
    long status = 0;
    curl_easy_getinfo(p->curl, CURLINFO_RESPONSE_CODE, &status);
    if (rc != CURLE_OK) {
        if (*trouble) nj_log_limited(&told, 10, NJ_LOG_INFO, "%s: %s", p->name, trouble);
        snprintf(p->why, sizeof p->why, "%.250s", /* without times and ports: reasons are counted by text */
                 rc == CURLE_OPERATION_TIMEDOUT ? "no answer in time" : curl_easy_strerror(rc));
        return NJ_POST_GONE;
    }
    if (status >= 200 && status < 300) return NJ_POST_TAKEN;
    const char *said = p->answer.data ? p->answer.data : "";
    if (there && status >= 400 && status < 500 && strstr(said, there)) return NJ_POST_TAKEN;
    size_t n = strcspn(said, "\r\n");
    snprintf(p->why, sizeof p->why, "HTTP status %ld%s%.*s%s%s", status, n ? " '" : "",
             (int)(n < 120 ? n : 120), said, n ? "'" : "",
             status >= 300 && status < 400 ? ": redirections are not followed" : "");
    nj_secret_scrub(p->why);
    switch (status) {
    case 400:
    case 413:
    case 422:
    case 409: return NJ_POST_REFUSED;
    default: return NJ_POST_GONE;
    }
}

/* Would the same request be taken later? */
static bool may_get_better(nj_post *p)
{
    long status = 0;
    curl_easy_getinfo(p->curl, CURLINFO_RESPONSE_CODE, &status);
    return !status || status == 408 || status == 425 || status == 429 || status >= 500;
}

static nj_post_answer request(nj_post *p, const char *body, size_t n, struct curl_slist *headers,
                              const char *there)
{
    char trouble[CURL_ERROR_SIZE] = "";
    CURL *c = p->curl;
    p->answer.n = 0;
    p->retry_after_s = 0;
    p->n_requests++;
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, p->address);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "nightjar");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, trouble);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)nj_patience_ms((int)(p->conf.timeout_s * 1e3)));
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, p);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, go_on);
    if (*p->conf.ca) curl_easy_setopt(c, CURLOPT_CAINFO, p->conf.ca);
    const CURLcode rc = curl_easy_perform(c);
    curl_off_t wait_s = 0; /* seconds, or until a date */
    if (!curl_easy_getinfo(c, CURLINFO_RETRY_AFTER, &wait_s)) p->retry_after_s = (double)wait_s;
    return read_answer(p, rc, there, trouble);
}

/* False: the run ends, and its waits have taken as long as they may. */
static bool sleep_until(int64_t until_ns)
{
    for (int64_t now; (now = nj_now_ns()) < until_ns;) {
        const int64_t left = (until_ns - now) / 1000000 + 1;
        const int most = left < 3600000 ? (int)left : 3600000;
        if (nj_patience_ms(most) < most) return false; /* the time would not be enough */
        nanosleep(&(struct timespec){ 0, (left < SLICE_MS ? left : SLICE_MS) * 1000000 }, NULL);
    }
    return true;
}

/* How long nothing is tried after a server was given up: it grows while none gets through. */
static void close_for_now(nj_post *p, bool for_good)
{
    const int64_t first = (int64_t)(p->conf.pause_s * 1e3) * (for_good ? 30 : 1);
    if (!p->closed_until_ns)
        nj_log(NJ_LOG_WARN, "%s: takes nothing: %s; until it does, rows for it are dead letters", p->name,
               p->why);
    p->closed_ms = p->closed_ms ? 2 * p->closed_ms : first;
    if (p->closed_ms > PAUSE_MOST_MS) p->closed_ms = PAUSE_MOST_MS;
    p->closed_until_ns = nj_now_ns() + p->closed_ms * 1000000;
}

static void open_again(nj_post *p)
{
    if (p->closed_until_ns) nj_log(NJ_LOG_INFO, "%s: answers again", p->name);
    p->closed_until_ns = p->closed_ms = 0;
}

static nj_post_answer send_with_pauses(nj_post *p, const char *body, size_t n, struct curl_slist *headers,
                                       const char *there)
{
    const int64_t gap_ns = (int64_t)(60e9 / p->conf.per_minute), begin_ns = nj_now_ns(),
                  end_ns = begin_ns + (int64_t)(p->conf.patience_s * 1e9);
    const bool closed = p->closed_until_ns != 0;
    double pause_ms = p->conf.pause_s * 1e3;
    nj_wait wait = { 0 };
    nj_post_answer a = NJ_POST_GONE;
    if (closed && begin_ns < p->closed_until_ns) return NJ_POST_GONE; /* why is the last one */
    for (;;) {
        snprintf(p->why, sizeof p->why, "the run was stopped, and the pace allows no request now");
        if (!sleep_until(p->next_ns)) break;
        p->next_ns = nj_now_ns() + gap_ns;
        a = request(p, body, n, headers, there);
        if (a != NJ_POST_GONE || !may_get_better(p) || closed || nj_stopping()) break;
        double ms = p->retry_after_s * 1e3 > pause_ms ? p->retry_after_s * 1e3 : pause_ms;
        const int64_t next_ns = nj_now_ns() + (int64_t)(ms * 1e6);
        if (next_ns > end_ns) break;
        nj_wait_notes(&wait, p->name, p->why);
        if (!sleep_until(next_ns)) break;
        pause_ms = 2 * pause_ms < PAUSE_MOST_MS ? 2 * pause_ms : PAUSE_MOST_MS;
    }
    if (a != NJ_POST_GONE) {
        nj_wait_over(&wait, p->name);
        open_again(p);
    } else {
        nj_wait_given_up(&wait);
        close_for_now(p, !may_get_better(p));
    }
    return a;
}

nj_post_answer nj_post_send(nj_post *p, const char *body, size_t n, const char *there, char why[300])
{
    char hash[65], line[96];
    nj_sha256(body, n, hash);
    snprintf(line, sizeof line, "Idempotency-Key: %.32s", hash); /* a time-out may come after it was taken */
    struct curl_slist own = { line, p->headers };
    nj_post_answer a = send_with_pauses(p, body, n, &own, there);
    memcpy(why, p->why, sizeof p->why);
    return a;
}
