/* html.h - run reports (JSON, as nj_report_json writes them) as one self-contained page: no network, no
 * library, readable without JavaScript (which only sorts tables). */
#ifndef NJ_REPORT_HTML_H
#define NJ_REPORT_HTML_H

#include <jansson.h>

#include "../base/buffer.h"

enum { NJ_HTML_LINES = 8, NJ_HTML_RUNS = 64, NJ_HTML_STAGES = 260 };

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

/* One module or stage of the first run, as the page needs it. */
typedef struct nj_html_stage {
    const char *name;
    const json_t *json;
    int is_module;
    double offered, passed, hits, flagged, share, onsky, low, high; /* low, high: whiskers of onsky;
                                                                     * NAN = none */
} nj_html_stage;

void nj_report_html(const nj_page *page, nj_buffer *out);

/* Text with & < > " escaped. */
void nj_html_text(nj_buffer *out, const char *text);
/* svg.c: each writes one <svg> whose width is that of its place. */
void nj_svg_throughput(nj_buffer *out, const nj_html_stage *stage, uint32_t n, const nj_exposure *exposure,
                       uint32_t n_exposures);
void nj_svg_share(nj_buffer *out, const nj_html_stage *stage, uint32_t n);
void nj_svg_funnel(nj_buffer *out, const nj_html_stage *stage, uint32_t n);
/* cells: [[lower edge in ns, entries], ...]; with marks at p50 and p99. */
void nj_svg_histogram(nj_buffer *out, const json_t *cells, double p50_ns, double p99_ns);
/* svg_analysis.c: of a stage's `drift`, of the report's `exposures`. */
void nj_svg_drift(nj_buffer *out, const json_t *drift);
void nj_svg_waterfall(nj_buffer *out, const json_t *exposures);
void nj_svg_worst(nj_buffer *out, const json_t *exposures);
/* "54.9k"; "12.3 us". Return text. */
const char *nj_html_si(char text[24], double value);
const char *nj_html_duration(char text[24], double ns);

#endif
