/* html.h - run reports (JSON, as nj_report_json writes them) as one self-contained page: no network, no
 * library, readable without JavaScript (which only sorts tables). */
#ifndef NJ_REPORT_HTML_H
#define NJ_REPORT_HTML_H

#include <jansson.h>

#include "../base/buffer.h"
#include "../base/error.h"

enum { NJ_HTML_LINES = 8, NJ_HTML_RUNS = 64 };

/* A survey's camera: alerts of one exposure over so many cores, to be done in 1 s and in 2 s. */
typedef struct nj_exposure {
    char name[32];
    double alerts, cores;
} nj_exposure;

typedef struct nj_page {
    const json_t *run[NJ_HTML_RUNS]; /* the first is the one shown; the others give the spread
                                      * of the throughput */
    uint32_t n_runs;
    nj_exposure exposure[NJ_HTML_LINES];
    uint32_t n_exposures;
    const char *json; /* of the first run, as in its file: goes into the page whole */
} nj_page;

/* -1 with err: memory is short. */
int nj_report_html(const nj_page *page, nj_buffer *out, nj_error *err);

#endif
