/* remote.h - inside nightjar/remote.h: the table of positions, requests on their way,
 * and the thread that sends them. */
#ifndef NJ_KIT_REMOTE_H
#define NJ_KIT_REMOTE_H

#include "nightjar/remote.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

typedef enum { ENTRY_FREE, ENTRY_QUEUED, ENTRY_SENT, ENTRY_FAILED, ENTRY_NONE, ENTRY_MATCH } nj_entry_state;

typedef struct nj_entry { /* one position's answer */
    uint64_t key;
    double ra, dec, sep_arcsec;
    int32_t day;       /* of the answer, since 1970 */
    int64_t failed_ns; /* when it failed: not asked again for a pause */
    uint8_t state, tries;
    char text[NJ_REMOTE_TEXT_BYTES]; /* the columns' cells, tab-separated */
} nj_entry;

typedef struct nj_flight { /* one request on its way */
    CURL *easy;
    curl_mime *mime;
    char *body, *answer;
    size_t n_answer;
    uint32_t *row; /* [batch_rows] entries asked for; cell `id` is the index here */
    uint32_t n;
    bool overflow;
} nj_flight;

struct nj_remote {
    const nj_host *host;
    nj_remote_conf c;
    uint64_t salt; /* of service, catalogue, columns, radius */
    uint32_t n_columns;
    char title[NJ_REMOTE_COLUMNS][NJ_REMOTE_TITLE_BYTES];
    pthread_mutex_t lock;
    pthread_cond_t asked, answered;
    nj_entry *table; /* [mask + 1] */
    uint32_t mask;
    uint32_t *queue, head, n_queued; /* ring of entries, [mask + 1] */
    int64_t retry_at_ns;             /* nothing is sent before; 0 = now */
    int64_t open_until_ns;           /* the breaker: nothing waits before; 0 = closed */
    int failures;                    /* in a row */
    bool running, stop;
    uint64_t seed;
    pthread_t thread;
    CURLM *multi;
    nj_flight flight[NJ_REMOTE_REQUESTS];
    uint32_t n_flights;
    FILE *disk; /* appended to by the thread */
};

typedef struct nj_remote_nearest { /* the nearest row of one position */
    double sep_arcsec;             /* INFINITY = none */
    char text[NJ_REMOTE_TEXT_BYTES];
} nj_remote_nearest;

/* --- table.c: everything under the lock --- */

int64_t nj_remote_now_ns(void);
int32_t nj_remote_today(void);
uint64_t nj_remote_mix(uint64_t h);
/* The titles of the columns, comma-separated, as the service wants them. */
void nj_remote_titles(const nj_remote *r, char *to, size_t cap);
/* What distinguishes this service's answers from another's in a file. */
uint64_t nj_remote_salt(const nj_remote *r);
uint64_t nj_remote_key(const nj_remote *r, double ra, double dec);
bool nj_entry_is_answer(const nj_entry *e);
bool nj_entry_is_waiting(const nj_entry *e);
/* The position's entry; else one that may be given away (free, else the oldest answer nearby);
 * NULL when all are in use. */
nj_entry *nj_remote_entry(const nj_remote *r, uint64_t key, bool *found);
int nj_remote_enqueue(nj_remote *r, nj_entry *e); /* -1: the queue is full */
/* Reads what is still good of the cache, writes it again (old days go),
 * and leaves the file open to append to. */
int nj_remote_open_disk(nj_remote *r);
void nj_entry_write(FILE *f, const nj_entry *e);

/* --- answer.c --- */

/* The whole answer: best[f->n] filled; false when it is not one. */
bool nj_remote_read_answer(const nj_remote *r, const nj_flight *f, nj_remote_nearest *best);

/* --- send.c --- */

/* The thread: user is the nj_remote. */
void *nj_remote_work(void *user);

#endif
