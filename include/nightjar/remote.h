/* nightjar/remote.h - nearest rows of a remote catalogue (the CDS X-Match service),
 * asked for in the background and kept.
 *
 * A position is looked up in a table; one that is new is queued, and one background thread sends the queue in
 * batches over libcurl, several at once, with a time limit, retries with jitter, and a circuit breaker: after
 * breaker_failures failures in a row nothing is sent, and nothing waits, for breaker_pause_s. Answers may be
 * kept on disk. An answer counts only when it is whole: status 200, a header with angDist, id and every
 * column, rows of as many cells, a newline at the end. Anything else is a failure, never "no match".
 *
 * Reference: CDS X-Match, Boch, Pineau & Derriere 2012, ASPC 461, 291. */
#ifndef NIGHTJAR_REMOTE_H
#define NIGHTJAR_REMOTE_H
#include "nightjar/module.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    NJ_REMOTE_COLUMNS = 8,      /* most columns of one catalogue */
    NJ_REMOTE_TITLE_BYTES = 64, /* of a column's title, with its NUL */
    NJ_REMOTE_TEXT_BYTES = 160, /* of all cells of one answer, tab-separated, with the NUL;
                                 * what is longer is cut */
    NJ_REMOTE_REQUESTS = 8      /* most requests at the same time */
};

/* Texts stay the caller's and live as long as the service does. */
typedef struct nj_remote_conf {
    const char *url, *cat2; /* of the service; "simbad" or "vizier:TABLE" */
    const char *cache;      /* file that keeps the answers; "" = none */
    double radius_arcsec;   /* 0.001 .. 180: a row counts when it is nearer than this */
    double cell_arcsec;     /* 0.001 .. 60: positions in one cell of this size share an answer */
    double timeout_ms;      /* a request is given up after this */
    double linger_ms;       /* a request waits this long for more rows; 0 = not */
    double retry_ms;        /* pause after the first failure; doubles up to 64 times that, with jitter */
    double breaker_pause_s, cache_days;
    int64_t batch_rows;       /* most rows of a request */
    int64_t requests;         /* at the same time, 1 .. NJ_REMOTE_REQUESTS */
    int64_t retries;          /* how often a row is asked for again */
    int64_t breaker_failures; /* in a row */
    int64_t table_rows;       /* positions kept in memory: up to the next power of two, at least 64 */
} nj_remote_conf;

typedef enum { NJ_REMOTE_NO_PLACE, NJ_REMOTE_UNAVAILABLE, NJ_REMOTE_NONE, NJ_REMOTE_MATCH } nj_remote_state;

typedef struct nj_remote_place {
    double ra_deg, dec_deg;          /* given; NaN, |ra| > 720 or |dec| > 90 = NJ_REMOTE_NO_PLACE */
    nj_remote_state state;           /* returned */
    double sep_arcsec;               /* NJ_REMOTE_MATCH: separation of the nearest row, by the service */
    char text[NJ_REMOTE_TEXT_BYTES]; /* NJ_REMOTE_MATCH: its cells in the order of the titles,
                                      * tab-separated */
    uint64_t key;                    /* the service's own */
    uint8_t waits;
} nj_remote_place;

typedef struct nj_remote nj_remote;

/* Memory comes from host->alloc() and lives with the instance. title: [n] names of the catalogue's columns,
 * at most NJ_REMOTE_COLUMNS; copied. Returns NJ_OK, NJ_ENOMEM, or NJ_ECONF (the cache cannot be written;
 * logged). *out is set as soon as nj_remote_close() has something to give back, also on failure;
 * NULL before. */
int nj_remote_open(const nj_host *host, const nj_remote_conf *conf,
                   const char (*title)[NJ_REMOTE_TITLE_BYTES], uint32_t n, nj_remote **out);
/* Starts the thread at the first call (thread_open() of a module: nothing runs before the host is ready). Any
 * thread. NJ_OK or NJ_ENOMEM. */
int nj_remote_start(nj_remote *r);
/* Answers n places. Waits until all are answered or budget_ms are over; what is not answered by then is
 * NJ_REMOTE_UNAVAILABLE, and its answer still comes, for the next alert there. 0 = only what is known
 * already. Any thread, several at once. */
void nj_remote_ask(nj_remote *r, nj_remote_place *place, uint32_t n, double budget_ms);
/* Stops and joins the thread; NULL is allowed. */
void nj_remote_close(nj_remote *r);

#ifdef __cplusplus
}
#endif
#endif
