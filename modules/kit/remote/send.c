/* send.c - requests must not block the stream, so a thread sends them, with retries and a circuit breaker. */
#include "remote.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_ANSWER_BYTES = 16 << 20 };

static double jitter(nj_remote *r)
{
    r->seed = nj_remote_mix(r->seed + 0x9e3779b97f4a7c15u);
    return 0.5 + (double)(r->seed >> 11) * 0x1p-53;
}

static void settle_success(nj_remote *r, nj_flight *f, const nj_remote_nearest *best)
{
    if (r->open_until_ns) r->host->log(r->host->opaque, 2, "xmatch_remote: %s answers again", r->c.url);
    r->failures = 0;
    r->open_until_ns = r->retry_at_ns = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        nj_entry *e = &r->table[f->row[i]];
        bool match = best[i].sep_arcsec < r->c.radius_arcsec;
        e->state = match ? ENTRY_MATCH : ENTRY_NONE;
        e->day = nj_remote_today();
        e->sep_arcsec = match ? best[i].sep_arcsec : 0;
        memcpy(e->text, best[i].text, NJ_REMOTE_TEXT_BYTES);
        if (r->disk) nj_entry_write(r->disk, e);
    }
    if (r->disk) fflush(r->disk);
}

static void settle_failure(nj_remote *r, nj_flight *f, const char *why)
{
    int64_t now = nj_remote_now_ns();
    r->failures++;
    double wait_ms = r->c.retry_ms * (double)(1 << (r->failures < 7 ? r->failures - 1 : 6)) * jitter(r);
    r->retry_at_ns = now + (int64_t)(wait_ms * 1e6);
    bool open = r->failures >= r->c.breaker_failures;
    if (open) {
        if (!r->open_until_ns)
            r->host->log(
                r->host->opaque, 1,
                "xmatch_remote: %s: %s; %d failures in a row: its answers are 'unavailable' for %g s",
                r->c.url, why, r->failures, r->c.breaker_pause_s);
        r->open_until_ns = r->retry_at_ns = now + (int64_t)(r->c.breaker_pause_s * 1e9 * jitter(r));
    }
    for (uint32_t i = 0; i < f->n; i++) {
        nj_entry *e = &r->table[f->row[i]];
        if (!open && e->tries++ < r->c.retries && nj_remote_enqueue(r, e) == 0) continue;
        e->state = ENTRY_FAILED;
        e->failed_ns = now;
    }
}

static size_t take_bytes(char *data, size_t size, size_t n, void *user)
{
    nj_flight *f = user;
    if (f->n_answer + size * n > MOST_ANSWER_BYTES) {
        f->overflow = true;
        return 0;
    }
    char *answer = realloc(f->answer, f->n_answer + size * n + 1);
    if (!answer) return 0;
    f->answer = answer;
    memcpy(answer + f->n_answer, data, size * n);
    f->n_answer += size * n;
    return size * n;
}

static void add_field(curl_mime *mime, const char *name, const char *value)
{
    curl_mimepart *part = curl_mime_addpart(mime);
    curl_mime_name(part, name);
    curl_mime_data(part, value, CURL_ZERO_TERMINATED);
}

static void end_flight(nj_remote *r, nj_flight *f)
{
    if (f->easy) {
        curl_multi_remove_handle(r->multi, f->easy);
        curl_easy_cleanup(f->easy);
    }
    curl_mime_free(f->mime);
    free(f->body);
    free(f->answer);
    uint32_t *row = f->row;
    memset(f, 0, sizeof *f);
    f->row = row;
}

/* f->row[0 .. f->n) go out; -1: no memory. */
static int send_flight(nj_remote *r, nj_flight *f)
{
    size_t cap = (size_t)f->n * 64 + 64, at;
    char radius[32], titles[600];
    f->body = malloc(cap);
    f->easy = curl_easy_init();
    if (!f->body || !f->easy || !(f->mime = curl_mime_init(f->easy))) return -1;
    at = (size_t)snprintf(f->body, cap, "ra_in,dec_in,id\n");
    for (uint32_t i = 0; i < f->n; i++) {
        const nj_entry *e = &r->table[f->row[i]];
        at += (size_t)snprintf(f->body + at, cap - at, "%.9f,%.9f,%u\n", e->ra, e->dec, i);
    }
    snprintf(radius, sizeof radius, "%.9g", r->c.radius_arcsec);
    nj_remote_titles(r, titles, sizeof titles);
    const char *const fields[][2] = { { "request", "xmatch" }, { "distMaxArcsec", radius },
                                      { "selection", "all" },  { "RESPONSEFORMAT", "csv" },
                                      { "cat2", r->c.cat2 },   { "cols2", titles },
                                      { "colRA1", "ra_in" },   { "colDec1", "dec_in" } };
    for (size_t k = 0; k < sizeof fields / sizeof *fields; k++)
        add_field(f->mime, fields[k][0], fields[k][1]);
    curl_mimepart *part = curl_mime_addpart(f->mime);
    curl_mime_name(part, "cat1");
    curl_mime_filename(part, "cat1.csv");
    curl_mime_type(part, "text/csv");
    curl_mime_data(part, f->body, at);
    curl_easy_setopt(f->easy, CURLOPT_URL, r->c.url);
    curl_easy_setopt(f->easy, CURLOPT_MIMEPOST, f->mime);
    curl_easy_setopt(f->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(f->easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(f->easy, CURLOPT_MAXREDIRS, 3L);
    curl_easy_setopt(f->easy, CURLOPT_TIMEOUT_MS, (long)r->c.timeout_ms);
    curl_easy_setopt(f->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)r->c.timeout_ms);
    curl_easy_setopt(f->easy, CURLOPT_USERAGENT, "nightjar");
    curl_easy_setopt(f->easy, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(f->easy, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(f->easy, CURLOPT_PRIVATE, f);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(f->easy, CURLOPT_PROTOCOLS_STR, "http,https");
#endif
    return curl_multi_add_handle(r->multi, f->easy) == CURLM_OK ? 0 : -1;
}

/* Starts requests while there are rows and places. Under the lock. */
static void send_queue(nj_remote *r)
{
    for (uint32_t k = 0; k < r->c.requests && r->n_queued; k++) {
        nj_flight *f = &r->flight[k];
        if (f->easy) continue;
        while (r->n_queued && f->n < r->c.batch_rows) {
            f->row[f->n++] = r->queue[r->head];
            r->table[r->queue[r->head]].state = ENTRY_SENT;
            r->head = (r->head + 1) & r->mask;
            r->n_queued--;
        }
        r->n_flights++;
        if (send_flight(r, f)) {
            settle_failure(r, f, "no memory");
            end_flight(r, f);
            r->n_flights--;
        }
        if (r->failures) return; /* one request tries whether the service is back */
    }
}

static void finish_flight(nj_remote *r, nj_flight *f, CURLcode code)
{
    long status = 0;
    char why[128];
    nj_remote_nearest *best = malloc(f->n * sizeof *best);
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    bool good = best && code == CURLE_OK && status == 200 && nj_remote_read_answer(r, f, best);
    if (code != CURLE_OK)
        snprintf(why, sizeof why, "%s",
                 f->overflow ? "an answer of more than 16 MiB" : curl_easy_strerror(code));
    else if (status != 200)
        snprintf(why, sizeof why, "status %ld", status);
    else
        snprintf(why, sizeof why, "an answer that is no table of matches");
    pthread_mutex_lock(&r->lock);
    if (good)
        settle_success(r, f, best);
    else
        settle_failure(r, f, why);
    end_flight(r, f);
    r->n_flights--;
    pthread_cond_broadcast(&r->answered);
    pthread_mutex_unlock(&r->lock);
    free(best);
}

/* Waits for rows, for the end of a pause, or a moment for more rows. False = stop.
 * Takes and gives back the lock. */
static bool wait_for_work(nj_remote *r)
{
    pthread_mutex_lock(&r->lock);
    while (!r->stop && !r->n_flights && !r->n_queued) pthread_cond_wait(&r->asked, &r->lock);
    if (!r->stop && !r->n_flights && r->n_queued < r->c.batch_rows && r->c.linger_ms > 0) {
        struct timespec until;
        int64_t at = nj_remote_now_ns() + (int64_t)(r->c.linger_ms * 1e6);
        until = (struct timespec){ at / 1000000000, at % 1000000000 };
        while (!r->stop && r->n_queued < r->c.batch_rows &&
               pthread_cond_timedwait(&r->asked, &r->lock, &until) != ETIMEDOUT) {
        }
    }
    int64_t pause = r->retry_at_ns - nj_remote_now_ns();
    if (!r->stop && !r->n_flights && pause > 0) {
        struct timespec until = { r->retry_at_ns / 1000000000, r->retry_at_ns % 1000000000 };
        while (!r->stop && pthread_cond_timedwait(&r->asked, &r->lock, &until) != ETIMEDOUT) {
        }
    }
    if (!r->stop && nj_remote_now_ns() >= r->retry_at_ns) send_queue(r);
    bool go = !r->stop;
    pthread_mutex_unlock(&r->lock);
    return go;
}

void *nj_remote_work(void *user)
{
    nj_remote *r = user;
    sigset_t pipe; /* a connection that the other side closed is an error, not a signal */
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    while (wait_for_work(r)) {
        int running, left;
        if (!r->n_flights) continue;
        curl_multi_perform(r->multi, &running);
        for (CURLMsg *m; (m = curl_multi_info_read(r->multi, &left));) {
            nj_flight *f = NULL;
            CURLcode code = m->data.result;
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&f);
            finish_flight(r, f, code);
        }
        if (r->n_flights) curl_multi_poll(r->multi, NULL, 0, 50, NULL);
    }
    for (int k = 0; k < NJ_REMOTE_REQUESTS; k++)
        if (r->flight[k].easy) end_flight(r, &r->flight[k]);
    return NULL;
}
