/* Cross-match with a remote catalogue by the CDS X-Match service (SIMBAD, VizieR tables), off the hot path.
 *
 *     [module.simbad]
 *     kind = xmatch_remote
 *     cat2 = simbad
 *     columns = main_type:otype
 *     radius_arcsec = 1
 *     budget_ms = 2000           ; a batch waits at most this long; 0 = answers only from the cache
 *
 * process() looks every position up in a table, queues those that are new, and waits until all are answered or the
 * budget is spent; what is not answered by then is `unavailable` (the answer still comes, for the next alert there). One
 * background thread sends the queue in batches over libcurl, several at once, with a time limit, retries with jitter, and
 * a circuit breaker: after breaker_failures failures in a row nothing is sent, and nothing waits, for breaker_pause_s.
 * Answers may be kept on disk (cache = FILE) for cache_days.
 *
 * An answer counts only when it is whole: status 200, a header with angDist, id and every column, rows of as many cells,
 * a newline at the end. Anything else is a failure, never "no match".
 * Differs from Fink: a failed request is tried again, and its label is "Fail" without the status.
 *
 * Reference: CDS X-Match, Boch, Pineau & Derriere 2012, ASPC 461, 291. */
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nightjar/column.h"

enum { RA, DEC };
enum { SEP, STATE, FIRST_COLUMN };
enum { MOST_COLUMNS = 8, TEXT_BYTES = 160, PROBES = 16, MOST_FLIGHTS = 8, MOST_ANSWER_BYTES = 16 << 20 };

typedef struct conf {
    const char *url, *cat2, *columns, *none_text, *fail_text, *cache;
    double radius_arcsec, cell_arcsec, budget_ms, timeout_ms, linger_ms, retry_ms, breaker_pause_s, cache_days;
    int64_t batch_rows, requests, retries, breaker_failures, table_rows;
} conf;

typedef enum { ENTRY_FREE, ENTRY_QUEUED, ENTRY_SENT, ENTRY_FAILED, ENTRY_NONE, ENTRY_MATCH } entry_state;

typedef struct entry { /* one position's answer */
    uint64_t key;
    double ra, dec, sep_arcsec;
    int32_t day;       /* of the answer, since 1970 */
    int64_t failed_ns; /* when it failed: not asked again for a pause */
    uint8_t state, tries;
    char text[TEXT_BYTES]; /* the columns' cells, tab-separated */
} entry;

typedef struct flight { /* one request on its way */
    CURL *easy;
    curl_mime *mime;
    char *body, *answer;
    size_t n_answer;
    uint32_t *row; /* [batch_rows] entries asked for; cell `id` is the index here */
    uint32_t n;
    bool overflow;
} flight;

typedef struct remote {
    const nj_host *host;
    conf c;
    uint64_t salt; /* of service, catalogue, columns, radius */
    uint32_t n_columns;
    char title[MOST_COLUMNS][64], name[MOST_COLUMNS][64];
    pthread_mutex_t lock;
    pthread_cond_t asked, answered;
    entry *table; /* [mask + 1] */
    uint32_t mask;
    uint32_t *queue, head, n_queued; /* ring of entries, [mask + 1] */
    int64_t retry_at_ns;             /* nothing is sent before; 0 = now */
    int64_t open_until_ns;           /* the breaker: nothing waits before; 0 = closed */
    int failures;                    /* in a row */
    bool running, stop;
    uint64_t seed;
    pthread_t thread;
    CURLM *multi;
    flight flight[MOST_FLIGHTS];
    uint32_t n_flights;
    FILE *disk; /* appended to by the thread */
} remote;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int32_t today(void)
{
    return (int32_t)(time(NULL) / 86400);
}

/* --- the table (under the lock) --- */

static uint64_t mix(uint64_t h)
{
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 27) * 0x94d049bb133111ebu;
    return h ^ h >> 31;
}

static uint64_t hash_text(uint64_t h, const char *s)
{
    while (*s) h = (h ^ (uint8_t)*s++) * 1099511628211u;
    return mix(h);
}

/* A position's cell: steps of cell_arcsec in dec, and in ra on the band's own circle. */
static uint64_t key_of(const remote *r, double ra, double dec)
{
    double step = r->c.cell_arcsec / 3600, band = floor((dec + 90) / step);
    double c = cos((band * step - 90) * M_PI / 180);
    ra -= 360 * floor(ra / 360);
    uint64_t key =
        mix(r->salt ^ mix((uint64_t)band + 1) ^ mix((uint64_t)floor(ra * (c > 1e-9 ? c : 1e-9) / step) + 0x9e3779b97f4a7c15u));
    return key ? key : 1;
}

static bool is_answer(const entry *e)
{
    return e->state == ENTRY_NONE || e->state == ENTRY_MATCH;
}
static bool is_waiting(const entry *e)
{
    return e->state == ENTRY_QUEUED || e->state == ENTRY_SENT;
}

/* The position's entry; else one that may be given away (free, else the oldest answer nearby); NULL when all are in use. */
static entry *entry_of(const remote *r, uint64_t key, bool *found)
{
    entry *spare = NULL;
    for (uint32_t i = 0; i < PROBES; i++) {
        entry *e = &r->table[(uint32_t)(key + i) & r->mask];
        if (e->state != ENTRY_FREE && e->key == key) {
            *found = true;
            return e;
        }
        if (is_waiting(e) || (spare && spare->state == ENTRY_FREE)) continue;
        if (!spare || e->state == ENTRY_FREE || e->day < spare->day) spare = e;
    }
    *found = false;
    return spare;
}

static int enqueue(remote *r, entry *e)
{
    if (r->n_queued > r->mask) return -1;
    r->queue[(r->head + r->n_queued++) & r->mask] = (uint32_t)(e - r->table);
    e->state = ENTRY_QUEUED;
    return 0;
}

/* --- the disk: lines "DAY KEY STATE SEP TEXT", tab-separated --- */

static void write_entry(FILE *f, const entry *e)
{
    fprintf(f, "%d\t%016llx\t%c\t%.9g\t%s\n", e->day, (unsigned long long)e->key, e->state == ENTRY_MATCH ? 'm' : 'n',
            e->sep_arcsec, e->text);
}

static void read_disk(remote *r)
{
    char line[TEXT_BYTES + 128];
    FILE *f = fopen(r->c.cache, "r");
    while (f && fgets(line, sizeof line, f)) {
        unsigned long long key;
        int day, at = 0;
        char state;
        double sep;
        size_t n = strlen(line);
        if (!n || line[n - 1] != '\n') continue; /* torn */
        line[n - 1] = 0;
        if (sscanf(line, "%d\t%llx\t%c\t%lf%n", &day, &key, &state, &sep, &at) != 4 || line[at] != '\t' ||
            (state != 'm' && state != 'n'))
            continue;
        if (today() - day >= r->c.cache_days || strlen(line + at + 1) >= TEXT_BYTES) continue;
        bool found;
        entry *e = entry_of(r, key, &found);
        if (!e) continue;
        *e = (entry){ .key = key, .day = day, .sep_arcsec = sep, .state = state == 'm' ? ENTRY_MATCH : ENTRY_NONE };
        memcpy(e->text, line + at + 1, strlen(line + at + 1) + 1);
    }
    if (f) fclose(f);
}

/* Reads what is still good, writes it anew (old days go), and leaves the file open to append to. */
static int open_disk(remote *r)
{
    if (!*r->c.cache) return NJ_OK;
    read_disk(r);
    char temp[4096];
    snprintf(temp, sizeof temp, "%s.%d.tmp", r->c.cache, (int)getpid());
    FILE *f = fopen(temp, "w");
    for (uint32_t i = 0; f && i <= r->mask; i++)
        if (is_answer(&r->table[i])) write_entry(f, &r->table[i]);
    if (!f || fflush(f) || rename(temp, r->c.cache)) {
        r->host->log(r->host->opaque, 0, "xmatch_remote: %s: cannot be written: %s", r->c.cache, strerror(errno));
        if (f) fclose(f);
        unlink(temp);
        return NJ_ECONF;
    }
    r->disk = f;
    return NJ_OK;
}

/* --- answers --- */

/* Cuts a CSV line at commas (quotes allowed) in place; the cells, or -1 when there are more than cap. */
static int cut(char *line, char **cell, int cap)
{
    int n = 0;
    for (char *p = line; p;) {
        if (n == cap) return -1;
        if (*p == '"') {
            char *to = ++p;
            cell[n++] = to;
            while (*p && !(*p == '"' && p[1] != '"')) {
                if (*p == '"') p++;
                *to++ = *p++;
            }
            if (!*p) return -1;
            p++;
            *to = 0;
            if (*p && *p != ',') return -1;
            p = *p ? p + 1 : NULL;
        } else {
            cell[n++] = p;
            p = strchr(p, ',');
            if (p) *p++ = 0;
        }
    }
    return n;
}

typedef struct answer_columns {
    int n, id, distance, column[MOST_COLUMNS];
} answer_columns;

static bool read_head(const remote *r, char *line, answer_columns *a)
{
    char *cell[256];
    a->n = cut(line, cell, 256);
    a->id = a->distance = -1;
    for (uint32_t k = 0; k < r->n_columns; k++) a->column[k] = -1;
    for (int i = 0; i < a->n; i++) {
        if (!strcmp(cell[i], "id")) a->id = i;
        if (!strcmp(cell[i], "angDist")) a->distance = i;
        for (uint32_t k = 0; k < r->n_columns; k++)
            if (!strcmp(cell[i], r->title[k])) a->column[k] = i;
    }
    for (uint32_t k = 0; k < r->n_columns; k++)
        if (a->column[k] < 0) return false;
    return a->id >= 0 && a->distance >= 0;
}

typedef struct nearest {
    double sep;
    char text[TEXT_BYTES];
} nearest;

/* One row of the answer into the nearest of its id; false = it is not a row. */
static bool read_row(const remote *r, char *line, const answer_columns *a, nearest *best, uint32_t n)
{
    char *cell[256], *end;
    if (cut(line, cell, 256) != a->n) return false;
    unsigned long id = strtoul(cell[a->id], &end, 10);
    if (*end || end == cell[a->id] || id >= n) return false;
    double sep = strtod(cell[a->distance], &end);
    if (*end || end == cell[a->distance] || !(sep >= 0) || sep > 2 * r->c.radius_arcsec + 1) return false;
    if (!(sep < best[id].sep) || !(sep < r->c.radius_arcsec)) return true;
    best[id].sep = sep;
    size_t at = 0;
    for (uint32_t k = 0; k < r->n_columns; k++) {
        const char *text = cell[a->column[k]];
        while (*text == ' ') text++;
        size_t length = strcspn(text, "\t\r\n");
        while (length && text[length - 1] == ' ') length--;
        if (at + length + 2 > TEXT_BYTES) length = TEXT_BYTES - 2 - at;
        if (k) best[id].text[at++] = '\t';
        memcpy(best[id].text + at, text, length);
        at += length;
        best[id].text[at] = 0;
    }
    return true;
}

/* The whole answer: best[n] filled; false when it is not one. */
static bool read_answer(const remote *r, flight *f, nearest *best)
{
    answer_columns a;
    char *at = f->answer, *end = f->answer + f->n_answer;
    if (f->overflow || f->n_answer == 0 || end[-1] != '\n' || memchr(at, 0, f->n_answer)) return false;
    *end = 0;
    for (uint32_t i = 0; i < f->n; i++) best[i] = (nearest){ .sep = INFINITY };
    for (bool head = true; at < end; head = false) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        *newline = 0;
        if (newline > at && newline[-1] == '\r') newline[-1] = 0;
        if (head ? !read_head(r, at, &a) : *at && !read_row(r, at, &a, best, f->n)) return false;
        at = newline + 1;
    }
    return true;
}

/* --- the thread --- */

static double jitter(remote *r)
{
    r->seed = mix(r->seed + 0x9e3779b97f4a7c15u);
    return 0.5 + (double)(r->seed >> 11) * 0x1p-53;
}

static void settle_success(remote *r, flight *f, const nearest *best)
{
    if (r->open_until_ns) r->host->log(r->host->opaque, 2, "xmatch_remote: %s answers again", r->c.url);
    r->failures = 0;
    r->open_until_ns = r->retry_at_ns = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        entry *e = &r->table[f->row[i]];
        bool match = best[i].sep < r->c.radius_arcsec;
        e->state = match ? ENTRY_MATCH : ENTRY_NONE;
        e->day = today();
        e->sep_arcsec = match ? best[i].sep : 0;
        memcpy(e->text, best[i].text, TEXT_BYTES);
        if (r->disk) write_entry(r->disk, e);
    }
    if (r->disk) fflush(r->disk);
}

static void settle_failure(remote *r, flight *f, const char *why)
{
    int64_t now = now_ns();
    r->failures++;
    double wait_ms = r->c.retry_ms * (double)(1 << (r->failures < 7 ? r->failures - 1 : 6)) * jitter(r);
    r->retry_at_ns = now + (int64_t)(wait_ms * 1e6);
    bool open = r->failures >= r->c.breaker_failures;
    if (open) {
        if (!r->open_until_ns)
            r->host->log(r->host->opaque, 1,
                         "xmatch_remote: %s: %s; %d failures in a row: its answers are 'unavailable' for %g s", r->c.url, why,
                         r->failures, r->c.breaker_pause_s);
        r->open_until_ns = r->retry_at_ns = now + (int64_t)(r->c.breaker_pause_s * 1e9 * jitter(r));
    }
    for (uint32_t i = 0; i < f->n; i++) {
        entry *e = &r->table[f->row[i]];
        if (!open && e->tries++ < r->c.retries && enqueue(r, e) == 0) continue;
        e->state = ENTRY_FAILED;
        e->failed_ns = now;
    }
}

static size_t take_bytes(char *data, size_t size, size_t n, void *user)
{
    flight *f = user;
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

static void end_flight(remote *r, flight *f)
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

/* The titles of the columns, comma-separated, as the service wants them. */
static void list_titles(const remote *r, char *to, size_t cap)
{
    size_t at = 0;
    to[0] = 0;
    for (uint32_t k = 0; k < r->n_columns && at < cap; k++)
        at += (size_t)snprintf(to + at, cap - at, "%s%s", k ? "," : "", r->title[k]);
}

/* f->row[0 .. f->n) go out; -1: no memory. */
static int send_flight(remote *r, flight *f)
{
    size_t cap = (size_t)f->n * 64 + 64, at;
    char radius[32], titles[600];
    f->body = malloc(cap);
    f->easy = curl_easy_init();
    if (!f->body || !f->easy || !(f->mime = curl_mime_init(f->easy))) return -1;
    at = (size_t)snprintf(f->body, cap, "ra_in,dec_in,id\n");
    for (uint32_t i = 0; i < f->n; i++) {
        const entry *e = &r->table[f->row[i]];
        at += (size_t)snprintf(f->body + at, cap - at, "%.9f,%.9f,%u\n", e->ra, e->dec, i);
    }
    snprintf(radius, sizeof radius, "%.9g", r->c.radius_arcsec);
    list_titles(r, titles, sizeof titles);
    const char *const fields[][2] = { { "request", "xmatch" },     { "distMaxArcsec", radius }, { "selection", "all" },
                                      { "RESPONSEFORMAT", "csv" }, { "cat2", r->c.cat2 },       { "cols2", titles },
                                      { "colRA1", "ra_in" },       { "colDec1", "dec_in" } };
    for (size_t k = 0; k < sizeof fields / sizeof *fields; k++) add_field(f->mime, fields[k][0], fields[k][1]);
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
static void send_queue(remote *r)
{
    for (uint32_t k = 0; k < r->c.requests && r->n_queued; k++) {
        flight *f = &r->flight[k];
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

static void finish_flight(remote *r, flight *f, CURLcode code)
{
    long status = 0;
    char why[128];
    nearest *best = malloc(f->n * sizeof *best);
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    bool good = best && code == CURLE_OK && status == 200 && read_answer(r, f, best);
    if (code != CURLE_OK)
        snprintf(why, sizeof why, "%s", f->overflow ? "an answer of more than 16 MiB" : curl_easy_strerror(code));
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

/* Waits for rows, for the end of a pause, or a moment for more rows. False = stop. Takes and gives back the lock. */
static bool wait_for_work(remote *r)
{
    pthread_mutex_lock(&r->lock);
    while (!r->stop && !r->n_flights && !r->n_queued) pthread_cond_wait(&r->asked, &r->lock);
    if (!r->stop && !r->n_flights && r->n_queued < r->c.batch_rows && r->c.linger_ms > 0) {
        struct timespec until;
        int64_t at = now_ns() + (int64_t)(r->c.linger_ms * 1e6);
        until = (struct timespec){ at / 1000000000, at % 1000000000 };
        while (!r->stop && r->n_queued < r->c.batch_rows && pthread_cond_timedwait(&r->asked, &r->lock, &until) != ETIMEDOUT) {
        }
    }
    int64_t pause = r->retry_at_ns - now_ns();
    if (!r->stop && !r->n_flights && pause > 0) {
        struct timespec until = { r->retry_at_ns / 1000000000, r->retry_at_ns % 1000000000 };
        while (!r->stop && pthread_cond_timedwait(&r->asked, &r->lock, &until) != ETIMEDOUT) {
        }
    }
    if (!r->stop && now_ns() >= r->retry_at_ns) send_queue(r);
    bool go = !r->stop;
    pthread_mutex_unlock(&r->lock);
    return go;
}

static void *work(void *user)
{
    remote *r = user;
    sigset_t pipe; /* a connection that the other side closed is an error, not a signal */
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    while (wait_for_work(r)) {
        int running, left;
        if (!r->n_flights) continue;
        curl_multi_perform(r->multi, &running);
        for (CURLMsg *m; (m = curl_multi_info_read(r->multi, &left));) {
            flight *f = NULL;
            CURLcode code = m->data.result;
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&f);
            finish_flight(r, f, code);
        }
        if (r->n_flights) curl_multi_poll(r->multi, NULL, 0, 50, NULL);
    }
    for (int k = 0; k < MOST_FLIGHTS; k++)
        if (r->flight[k].easy) end_flight(r, &r->flight[k]);
    return NULL;
}

/* --- the module --- */

static int parse_columns(const nj_host *host, const conf *c, remote *r)
{
    for (const char *p = c->columns; *p;) {
        char item[128];
        size_t n = strcspn(p, ",");
        while (n && *p == ' ') p++, n--;
        snprintf(item, sizeof item, "%.*s", (int)n, p);
        p += n + (p[n] == ',');
        for (n = strlen(item); n && item[n - 1] == ' ';) item[--n] = 0;
        if (!*item) continue;
        char *colon = strchr(item, ':');
        if (colon) *colon++ = 0;
        if (r->n_columns == MOST_COLUMNS) {
            host->log(host->opaque, 0, "xmatch_remote: more than %d columns", MOST_COLUMNS);
            return NJ_ECONF;
        }
        snprintf(r->title[r->n_columns], 64, "%.63s", item);
        char *name = r->name[r->n_columns++];
        snprintf(name, 64, "%.63s", colon ? colon : item);
        for (char *q = name; *q; q++)
            *q = *q >= 'A' && *q <= 'Z' ? (char)(*q + 32) : (*q >= 'a' && *q <= 'z') || (*q >= '0' && *q <= '9') ? *q : '_';
    }
    return r->n_columns ? NJ_OK : NJ_ECONF;
}

static int declare(const nj_host *host, const void *conf_, nj_tables *tables)
{
    static const nj_need needs[] = { { "ra", NJ_F64, NJ_SCALAR, "deg", 0 }, { "dec", NJ_F64, NJ_SCALAR, "deg", 0 }, { 0 } };
    const conf *c = conf_;
    remote *r = host->alloc(host->opaque, sizeof *r);
    nj_give *give = host->alloc(host->opaque, (FIRST_COLUMN + MOST_COLUMNS + 1) * sizeof *give);
    if (!r || !give) return NJ_ENOMEM;
    *r = (remote){ .host = host };
    int rc = parse_columns(host, c, r);
    if (rc != NJ_OK) return rc;
    give[SEP] = (nj_give){ "sep_arcsec",
                           NJ_F64,
                           1,
                           -1,
                           "arcsec",
                           0,
                           36000,
                           NAN,
                           0,
                           "separation of the nearest row, by the service; none without a match" };
    give[STATE] = (nj_give){ "state",   NJ_STR,   1,   -1, "1",
                             -INFINITY, INFINITY, NAN, 0,  "match, none or unavailable; none without a position" };
    for (uint32_t k = 0; k < r->n_columns; k++)
        give[FIRST_COLUMN + k] =
            (nj_give){ r->name[k], NJ_STR,
                       1,          -1,
                       "1",        -INFINITY,
                       INFINITY,   NAN,
                       0,          "of the nearest row; none_text without a match, fail_text when the service is unavailable" };
    give[FIRST_COLUMN + r->n_columns] = (nj_give){ 0 };
    *tables = (nj_tables){ needs, give };
    return NJ_OK;
}

static int open_remote(const nj_host *host, const void *conf_, void **self)
{
    remote *r = host->alloc(host->opaque, sizeof *r);
    if (!r) return NJ_ENOMEM;
    *r = (remote){ .host = host, .c = *(const conf *)conf_, .seed = (uint64_t)getpid() };
    char titles[600], radius[32];
    int rc = parse_columns(host, &r->c, r);
    if (rc != NJ_OK) return rc;
    list_titles(r, titles, sizeof titles);
    snprintf(radius, sizeof radius, "%.9g %.9g", r->c.radius_arcsec, r->c.cell_arcsec);
    r->salt = hash_text(hash_text(hash_text(hash_text(1469598103934665603u, r->c.url), r->c.cat2), titles), radius);
    for (r->mask = 64; r->mask < r->c.table_rows; r->mask *= 2) {
    }
    r->table = host->alloc(host->opaque, r->mask * sizeof *r->table);
    r->queue = host->alloc(host->opaque, r->mask * sizeof *r->queue);
    if (!r->table || !r->queue) return NJ_ENOMEM;
    memset(r->table, 0, r->mask * sizeof *r->table);
    r->mask--;
    for (int k = 0; k < r->c.requests; k++)
        if (!(r->flight[k].row = host->alloc(host->opaque, (size_t)r->c.batch_rows * sizeof(uint32_t)))) return NJ_ENOMEM;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->asked, &attributes);
    pthread_cond_init(&r->answered, &attributes);
    pthread_condattr_destroy(&attributes);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    r->multi = curl_multi_init();
    *self = r;
    return r->multi ? open_disk(r) : NJ_ENOMEM;
}

/* The thread starts with the first worker: nothing runs before the host is ready to run. */
static int thread_open(const void *self, void *thread)
{
    (void)thread;
    remote *r = (remote *)self; /* its own lock guards what changes */
    int rc = NJ_OK;
    pthread_mutex_lock(&r->lock);
    if (!r->running) {
        r->stop = false;
        r->running = pthread_create(&r->thread, NULL, work, r) == 0;
        if (!r->running) rc = NJ_ENOMEM;
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

static void close_remote(void *self)
{
    remote *r = self;
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
static bool ask(remote *r, double ra, double dec, uint64_t key, int64_t now)
{
    bool found;
    entry *e = entry_of(r, key, &found);
    if (!e) return false; /* everything nearby is on its way: unavailable */
    if (found && is_answer(e) && today() - e->day < r->c.cache_days) return false;
    if (found && is_waiting(e)) return true;
    if (found && e->state == ENTRY_FAILED && now - e->failed_ns < (int64_t)(r->c.breaker_pause_s * 1e9)) return false;
    if (r->open_until_ns > now) return false;
    *e = (entry){ .key = key, .ra = ra, .dec = dec };
    if (enqueue(r, e)) e->state = ENTRY_FREE;
    return e->state == ENTRY_QUEUED;
}

static bool all_answered(const remote *r, const uint64_t *key, const uint8_t *waits, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        bool found;
        const entry *e = waits[k] ? entry_of(r, key[k], &found) : NULL;
        if (e && found && is_waiting(e)) return false;
    }
    return true;
}

static void put_text(const remote *r, const nj_work *w, uint32_t row, const char *text)
{
    for (uint32_t k = 0; k < r->n_columns; k++) nj_put_text(w, FIRST_COLUMN + k, row, *text ? text : NJ_NO_STR);
}

static void put_row(const remote *r, const nj_work *w, uint32_t row, uint64_t key)
{
    bool found;
    const entry *e = entry_of(r, key, &found);
    if (!e || !found || !is_answer(e)) {
        nj_put_text(w, STATE, row, "unavailable");
        put_text(r, w, row, r->c.fail_text);
        w->reason[row] = NJ_UNAVAILABLE;
        return;
    }
    w->reason[row] = NJ_DONE;
    nj_put_text(w, STATE, row, e->state == ENTRY_MATCH ? "match" : "none");
    if (e->state == ENTRY_NONE) {
        put_text(r, w, row, r->c.none_text);
        return;
    }
    nj_put_f64(w, SEP, row, e->sep_arcsec);
    const char *p = e->text;
    for (uint32_t k = 0; k < r->n_columns; k++) {
        size_t n = strcspn(p, "\t");
        nj_put_text(w, FIRST_COLUMN + k, row, n ? w->text(w, p, n) : NJ_NO_STR);
        p += n + (p[n] == '\t');
    }
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)thread;
    remote *r = (remote *)self;
    uint64_t *key = w->scratch(w, w->n * sizeof *key);
    uint8_t *waits = w->scratch(w, w->n);
    if (!key || !waits) return NJ_ENOMEM;
    bool any = false;
    int64_t now = now_ns(), until_ns = now + (int64_t)(r->c.budget_ms * 1e6);
    struct timespec until = { until_ns / 1000000000, until_ns % 1000000000 };
    pthread_mutex_lock(&r->lock);
    for (uint32_t k = 0; k < w->n; k++) {
        double ra = nj_f64_of(w, RA, w->row[k]), dec = nj_f64_of(w, DEC, w->row[k]);
        int good = fabs(ra) <= 720 && fabs(dec) <= 90;
        key[k] = good ? key_of(r, ra, dec) : 0;
        waits[k] = good && ask(r, ra - 360 * floor(ra / 360), dec, key[k], now);
        any |= waits[k];
    }
    if (any) pthread_cond_signal(&r->asked);
    if (any && r->n_flights) curl_multi_wakeup(r->multi); /* it may be waiting for the network */
    while (any && r->c.budget_ms > 0 && !all_answered(r, key, waits, w->n) && r->open_until_ns <= now)
        if (pthread_cond_timedwait(&r->answered, &r->lock, &until) == ETIMEDOUT) break;
    for (uint32_t k = 0; k < w->n; k++) {
        if (key[k])
            put_row(r, w, w->row[k], key[k]);
        else
            w->reason[w->row[k]] = NJ_NO_INPUT;
    }
    pthread_mutex_unlock(&r->lock);
    return NJ_OK;
}

#define PARAM(n, t, def, lo, hi, unit, doc)                                                                                      \
    {                                                                                                                            \
#n, t, def, offsetof(conf, n), lo, hi, unit, doc                                                                         \
    }
NJ_MODULE(xmatch_remote) = {
    NJ_HEADER,
    .name = "xmatch_remote",
    .version = "1.0",
    .summary = "the nearest row of SIMBAD or a VizieR table, by the CDS X-Match service",
    .paper = "Boch, Pineau & Derriere 2012, ASPC 461, 291",
    .flags = NJ_WHOLE_BATCH,
    .params =
        (const nj_param[]){
            PARAM(url, NJ_STR, "http://cdsxmatch.u-strasbg.fr/xmatch/api/v1/sync", 0, 0, "1", "the service"),
            PARAM(cat2, NJ_STR, "simbad", 0, 0, "1", "simbad, or vizier:TABLE such as vizier:B/vsx/vsx"),
            PARAM(columns, NJ_STR, "main_type:otype", 0, 0, "1",
                  "columns of the table, comma-separated, title:name to rename; given as text"),
            PARAM(radius_arcsec, NJ_F64, "1", 0.001, 180, "arcsec", "a row counts when it is nearer than this"),
            PARAM(none_text, NJ_STR, "", 0, 0, "1", "what the columns say when nothing is near; empty = null"),
            PARAM(fail_text, NJ_STR, "", 0, 0, "1", "what the columns say when the service is unavailable; empty = null"),
            PARAM(budget_ms, NJ_F64, "2000", 0, 600000, "ms",
                  "a batch waits at most this long; 0 = never, only what is known already"),
            PARAM(timeout_ms, NJ_F64, "10000", 1, 600000, "ms", "a request is given up after this"),
            PARAM(linger_ms, NJ_F64, "10", 0, 10000, "ms", "a request waits this long for more rows"),
            PARAM(batch_rows, NJ_I64, "1000", 1, 100000, "1", "most rows of a request"),
            PARAM(requests, NJ_I64, "2", 1, MOST_FLIGHTS, "1", "requests at the same time"),
            PARAM(retries, NJ_I64, "2", 0, 20, "1", "how often a row is asked for again"),
            PARAM(retry_ms, NJ_F64, "250", 1, 600000, "ms", "pause after the first failure; doubles, with jitter"),
            PARAM(breaker_failures, NJ_I64, "5", 1, 1000, "1", "failures in a row after which nothing is sent for a while"),
            PARAM(breaker_pause_s, NJ_F64, "30", 0.01, 86400, "s", "that while"),
            PARAM(table_rows, NJ_I64, "65536", 64, 1 << 24, "1", "positions kept in memory"),
            PARAM(cell_arcsec, NJ_F64, "0.1", 0.001, 60, "arcsec", "positions in one cell of this size share an answer"),
            PARAM(cache, NJ_STR, "", 0, 0, "1", "file that keeps the answers; empty = none"),
            PARAM(cache_days, NJ_F64, "7", 1, 36500, "d", "how long an answer is good"),
            { 0 } },
    .conf_size = sizeof(conf),
    .declare = declare,
    .open = open_remote,
    .thread_open = thread_open,
    .process = process,
    .close = close_remote
};
