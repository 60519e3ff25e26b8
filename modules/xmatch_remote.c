/* xmatch_remote.c - cross-match with a remote catalogue by the CDS X-Match service (SIMBAD, VizieR tables),
 * off the hot path.
 *
 *     [module.simbad]
 *     kind = xmatch_remote
 *     cat2 = simbad
 *     columns = main_type:otype
 *     radius_arcsec = 1
 *     budget_ms = 2000           ; a batch waits at most this long; 0 = answers only from the cache
 *
 * process() asks for every position of the batch at once and waits until all are answered or the budget is
 * spent; what is not answered by then is `unavailable`. How it asks, retries and keeps: nightjar/remote.h.
 * Differs from Fink: a failed request is tried again, and its label is "Fail" without the status.
 *
 * Reference: CDS X-Match, Boch, Pineau & Derriere 2012, ASPC 461, 291. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "nightjar/column.h"
#include "nightjar/list.h"
#include "nightjar/remote.h"

enum { RA, DEC };
enum { SEP, STATE, FIRST_COLUMN };

typedef struct conf {
    nj_remote_conf remote;
    const char *columns, *none_text, *fail_text;
    double budget_ms;
} conf;

typedef struct remote {
    conf c;
    nj_remote *service;
    uint32_t n_columns;
    char title[NJ_REMOTE_COLUMNS][NJ_REMOTE_TITLE_BYTES], name[NJ_REMOTE_COLUMNS][NJ_REMOTE_TITLE_BYTES];
} remote;

static int parse_columns(const nj_host *host, const conf *c, remote *r)
{
    char title[NJ_REMOTE_TITLE_BYTES], name[NJ_REMOTE_TITLE_BYTES];
    for (const char *list = c->columns; nj_list_item(&list, title, name, sizeof name);) {
        if (r->n_columns == NJ_REMOTE_COLUMNS) {
            host->log(host->opaque, 0, "xmatch_remote: more than %d columns", NJ_REMOTE_COLUMNS);
            return NJ_ECONF;
        }
        for (char *q = name; *q; q++)
            *q = isalnum((unsigned char)*q) && !(*q & 0x80) ? (char)tolower((unsigned char)*q) : '_';
        memcpy(r->title[r->n_columns], title, sizeof title);
        memcpy(r->name[r->n_columns++], name, sizeof name);
    }
    return r->n_columns ? NJ_OK : NJ_ECONF;
}

static int declare(const nj_host *host, const void *conf_, nj_tables *tables)
{
    static const nj_need needs[] = { { "ra", NJ_F64, NJ_SCALAR, "deg", 0 },
                                     { "dec", NJ_F64, NJ_SCALAR, "deg", 0 },
                                     { 0 } };
    const conf *c = conf_;
    remote *r = host->alloc(host->opaque, sizeof *r); /* the names that the table points to */
    nj_give *give = host->alloc(host->opaque, (FIRST_COLUMN + NJ_REMOTE_COLUMNS + 1) * sizeof *give);
    if (!r || !give) return NJ_ENOMEM;
    *r = (remote){ 0 };
    int rc = parse_columns(host, c, r);
    if (rc != NJ_OK) return rc;
    /* clang-format off */
    give[SEP] = (nj_give){ "sep_arcsec", NJ_F64, 1, -1, "arcsec", 0, 36000, NAN, 0,
                           "separation of the nearest row, by the service; none without a match" };
    give[STATE] = (nj_give){ "state", NJ_STR, 1, -1, "1", -INFINITY, INFINITY, NAN, 0,
                             "match, none or unavailable; none without a position" };
    for (uint32_t k = 0; k < r->n_columns; k++)
        give[FIRST_COLUMN + k] = (nj_give){ r->name[k], NJ_STR, 1, -1, "1", -INFINITY, INFINITY, NAN, 0,
            "of the nearest row; none_text without a match, fail_text when the service is unavailable" };
    /* clang-format on */
    give[FIRST_COLUMN + r->n_columns] = (nj_give){ 0 };
    *tables = (nj_tables){ needs, give };
    return NJ_OK;
}

static int open_remote(const nj_host *host, const void *conf_, void **self)
{
    remote *r = host->alloc(host->opaque, sizeof *r);
    if (!r) return NJ_ENOMEM;
    *r = (remote){ .c = *(const conf *)conf_ };
    *self = r;
    int rc = parse_columns(host, &r->c, r);
    return rc != NJ_OK ? rc : nj_remote_open(host, &r->c.remote, r->title, r->n_columns, &r->service);
}

static int thread_open(const void *self, void *thread)
{
    (void)thread;
    return nj_remote_start(((const remote *)self)->service);
}

static void close_remote(void *self)
{
    if (self) nj_remote_close(((remote *)self)->service);
}

static void put_text(const remote *r, const nj_work *w, uint32_t row, const char *text)
{
    for (uint32_t k = 0; k < r->n_columns; k++)
        nj_put_text(w, FIRST_COLUMN + k, row, *text ? text : NJ_NO_STR);
}

static void put_row(const remote *r, const nj_work *w, uint32_t row, const nj_remote_place *p)
{
    static const struct {
        const char *text;
        nj_reason reason;
    } says[] = { [NJ_REMOTE_NO_PLACE] = { NJ_NO_STR, NJ_NO_INPUT },
                 [NJ_REMOTE_UNAVAILABLE] = { "unavailable", NJ_UNAVAILABLE },
                 [NJ_REMOTE_NONE] = { "none", NJ_DONE },
                 [NJ_REMOTE_MATCH] = { "match", NJ_DONE } };
    w->reason[row] = (uint8_t)says[p->state].reason;
    nj_put_text(w, STATE, row, says[p->state].text);
    if (p->state == NJ_REMOTE_UNAVAILABLE) put_text(r, w, row, r->c.fail_text);
    if (p->state == NJ_REMOTE_NONE) put_text(r, w, row, r->c.none_text);
    if (p->state != NJ_REMOTE_MATCH) return;
    nj_put_f64(w, SEP, row, p->sep_arcsec);
    const char *cell = p->text;
    for (uint32_t k = 0; k < r->n_columns; k++) {
        size_t n = strcspn(cell, "\t");
        nj_put_text(w, FIRST_COLUMN + k, row, n ? w->text(w, cell, n) : NJ_NO_STR);
        cell += n + (cell[n] == '\t');
    }
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)thread;
    const remote *r = self;
    nj_remote_place *place = w->scratch(w, w->n * sizeof *place);
    if (!place) return NJ_ENOMEM;
    for (uint32_t k = 0; k < w->n; k++) {
        place[k].ra_deg = nj_f64_of(w, RA, w->row[k]);
        place[k].dec_deg = nj_f64_of(w, DEC, w->row[k]);
    }
    nj_remote_ask(r->service, place, w->n, r->c.budget_ms);
    for (uint32_t k = 0; k < w->n; k++) put_row(r, w, w->row[k], &place[k]);
    return NJ_OK;
}

#define REMOTE(n, t, def, lo, hi, unit, doc)                                                                 \
    {                                                                                                        \
#n, t, def, offsetof(conf, remote.n), lo, hi, unit, doc                                              \
    }
#define PARAM(n, t, def, lo, hi, unit, doc)                                                                  \
    {                                                                                                        \
#n, t, def, offsetof(conf, n), lo, hi, unit, doc                                                     \
    }
NJ_MODULE(xmatch_remote) = {
    NJ_HEADER,
    .name = "xmatch_remote",
    .version = "1.0",
    .summary = "the nearest row of SIMBAD or a VizieR table, by the CDS X-Match service",
    .paper = "Boch, Pineau & Derriere 2012, ASPC 461, 291",
    .flags = NJ_MODULE_WHOLE_BATCH,
    .params =
        (const nj_param[]){
            REMOTE(url, NJ_STR, "http://cdsxmatch.u-strasbg.fr/xmatch/api/v1/sync", 0, 0, "1", "the service"),
            REMOTE(cat2, NJ_STR, "simbad", 0, 0, "1", "simbad, or vizier:TABLE such as vizier:B/vsx/vsx"),
            PARAM(columns, NJ_STR, "main_type:otype", 0, 0, "1",
                  "columns of the table, comma-separated, title:name to rename; given as text"),
            REMOTE(radius_arcsec, NJ_F64, "1", 0.001, 180, "arcsec",
                   "a row counts when it is nearer than this"),
            PARAM(none_text, NJ_STR, "", 0, 0, "1",
                  "what the columns say when nothing is near; empty = null"),
            PARAM(fail_text, NJ_STR, "", 0, 0, "1",
                  "what the columns say when the service is unavailable; empty = null"),
            PARAM(budget_ms, NJ_F64, "2000", 0, 600000, "ms",
                  "a batch waits at most this long; 0 = never, only what is known already"),
            REMOTE(timeout_ms, NJ_F64, "10000", 1, 600000, "ms", "a request is given up after this"),
            REMOTE(linger_ms, NJ_F64, "10", 0, 10000, "ms", "a request waits this long for more rows"),
            REMOTE(batch_rows, NJ_I64, "1000", 1, 100000, "1", "most rows of a request"),
            REMOTE(requests, NJ_I64, "2", 1, NJ_REMOTE_REQUESTS, "1", "requests at the same time"),
            REMOTE(retries, NJ_I64, "2", 0, 20, "1", "how often a row is asked for again"),
            REMOTE(retry_ms, NJ_F64, "250", 1, 600000, "ms",
                   "pause after the first failure; doubles, with jitter"),
            REMOTE(breaker_failures, NJ_I64, "5", 1, 1000, "1",
                   "failures in a row after which nothing is sent for a while"),
            REMOTE(breaker_pause_s, NJ_F64, "30", 0.01, 86400, "s", "that while"),
            REMOTE(table_rows, NJ_I64, "65536", 64, 1 << 24, "1", "positions kept in memory"),
            REMOTE(cell_arcsec, NJ_F64, "0.1", 0.001, 60, "arcsec",
                   "positions in one cell of this size share an answer"),
            REMOTE(cache, NJ_STR, "", 0, 0, "1", "file that keeps the answers; empty = none"),
            REMOTE(cache_days, NJ_F64, "7", 1, 36500, "d", "how long an answer is good"),
            { 0 } },
    .conf_size = sizeof(conf),
    .declare = declare,
    .open = open_remote,
    .thread_open = thread_open,
    .process = process,
    .close = close_remote
};
