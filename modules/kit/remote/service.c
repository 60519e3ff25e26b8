/* service.c - the functions that a module calls to open, query and close a remote service. */
#include "remote.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int nj_remote_open(const nj_host *host, const nj_remote_conf *conf,
                   const char (*title)[NJ_REMOTE_TITLE_BYTES], uint32_t n, nj_remote **out)
{
    *out = NULL;
    nj_remote *r = host->alloc(host->opaque, sizeof *r);
    if (!r) return NJ_ENOMEM;
    *r = (nj_remote){ .host = host, .c = *conf, .seed = (uint64_t)getpid(), .n_columns = n };
    memcpy(r->title, title, n * sizeof *title);
    r->salt = nj_remote_salt(r);
    uint32_t rows = 64;
    while (rows < r->c.table_rows) rows *= 2;
    r->mask = rows - 1;
    r->table = host->alloc(host->opaque, rows * sizeof *r->table);
    r->queue = host->alloc(host->opaque, rows * sizeof *r->queue);
    if (!r->table || !r->queue) return NJ_ENOMEM;
    memset(r->table, 0, rows * sizeof *r->table);
    for (int k = 0; k < r->c.requests; k++)
        if (!(r->flight[k].row = host->alloc(host->opaque, (size_t)r->c.batch_rows * sizeof(uint32_t))))
            return NJ_ENOMEM;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->asked, &attributes);
    pthread_cond_init(&r->answered, &attributes);
    pthread_condattr_destroy(&attributes);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    r->multi = curl_multi_init();
    *out = r;
    return r->multi ? nj_remote_open_disk(r) : NJ_ENOMEM;
}

int nj_remote_start(nj_remote *r)
{
    int rc = NJ_OK;
    pthread_mutex_lock(&r->lock);
    if (!r->running) {
        r->stop = false;
        r->running = pthread_create(&r->thread, NULL, nj_remote_work, r) == 0;
        if (!r->running) rc = NJ_ENOMEM;
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

void nj_remote_close(nj_remote *r)
{
    if (!r) return;
    if (r->running) {
        pthread_mutex_lock(&r->lock);
        r->stop = true;
        pthread_cond_broadcast(&r->asked);
        pthread_mutex_unlock(&r->lock);
        curl_multi_wakeup(r->multi);
        pthread_join(r->thread, NULL);
    }
    curl_multi_cleanup(r->multi);
    if (r->disk) fclose(r->disk);
    pthread_cond_destroy(&r->asked);
    pthread_cond_destroy(&r->answered);
    pthread_mutex_destroy(&r->lock);
    curl_global_cleanup();
}

/* Makes sure that the position is answered or asked for. True = worth waiting for. Under the lock. */
static bool ask(nj_remote *r, double ra, double dec, uint64_t key, int64_t now)
{
    bool found;
    nj_entry *e = nj_remote_entry(r, key, &found);
    if (!e) return false; /* everything nearby is on its way: unavailable */
    if (found && nj_entry_is_answer(e) && nj_remote_today() - e->day < r->c.cache_days) return false;
    if (found && nj_entry_is_waiting(e)) return true;
    if (found && e->state == ENTRY_FAILED && now - e->failed_ns < (int64_t)(r->c.breaker_pause_s * 1e9))
        return false;
    if (r->open_until_ns > now) return false;
    *e = (nj_entry){ .key = key, .ra = ra, .dec = dec };
    if (nj_remote_enqueue(r, e)) e->state = ENTRY_FREE;
    return e->state == ENTRY_QUEUED;
}

static bool all_answered(const nj_remote *r, const nj_remote_place *place, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        bool found;
        const nj_entry *e = place[k].waits ? nj_remote_entry(r, place[k].key, &found) : NULL;
        if (e && found && nj_entry_is_waiting(e)) return false;
    }
    return true;
}

static void answer(const nj_remote *r, nj_remote_place *p)
{
    bool found;
    p->state = NJ_REMOTE_NO_PLACE;
    if (!p->key) return;
    const nj_entry *e = nj_remote_entry(r, p->key, &found);
    p->state = !e || !found || !nj_entry_is_answer(e) ? NJ_REMOTE_UNAVAILABLE
               : e->state == ENTRY_MATCH              ? NJ_REMOTE_MATCH
                                                      : NJ_REMOTE_NONE;
    if (p->state != NJ_REMOTE_MATCH) return;
    p->sep_arcsec = e->sep_arcsec;
    memcpy(p->text, e->text, sizeof p->text);
}

void nj_remote_ask(nj_remote *r, nj_remote_place *place, uint32_t n, double budget_ms)
{
    bool any = false;
    int64_t now = nj_remote_now_ns(), until_ns = now + (int64_t)(budget_ms * 1e6);
    struct timespec until = { until_ns / 1000000000, until_ns % 1000000000 };
    pthread_mutex_lock(&r->lock);
    for (uint32_t k = 0; k < n; k++) {
        nj_remote_place *p = &place[k];
        bool good = fabs(p->ra_deg) <= 720 && fabs(p->dec_deg) <= 90;
        p->key = good ? nj_remote_key(r, p->ra_deg, p->dec_deg) : 0;
        p->waits = good && ask(r, p->ra_deg - 360 * floor(p->ra_deg / 360), p->dec_deg, p->key, now);
        any |= p->waits;
    }
    if (any) pthread_cond_signal(&r->asked);
    if (any && r->n_flights) curl_multi_wakeup(r->multi); /* it may be waiting for the network */
    while (any && budget_ms > 0 && !all_answered(r, place, n) && r->open_until_ns <= now)
        if (pthread_cond_timedwait(&r->answered, &r->lock, &until) == ETIMEDOUT) break;
    for (uint32_t k = 0; k < n; k++) answer(r, &place[k]);
    pthread_mutex_unlock(&r->lock);
}
