/* charts.h - the places of what the charts of a run report show, for the .svg files of data/embed/pages: x
 * and widths in per cent of the chart, y and heights in pixels. Each puts a list or an object into the
 * page's values. */
#ifndef NJ_REPORT_CHARTS_H
#define NJ_REPORT_CHARTS_H

#include "../base/template.h"
#include "html.h"

enum { NJ_HTML_STAGES = 260 };

/* One module or stage of the first run, as the page needs it. */
typedef struct nj_html_stage {
    const char *name;
    const json_t *json;
    int is_module;
    double offered, passed, hits, flagged, share, onsky, low, high; /* low, high: whiskers of onsky;
                                                                     * NAN = none */
} nj_html_stage;

/* charts.c */
void nj_chart_throughput(nj_template_values *v, const nj_html_stage *stage, uint32_t n, const nj_page *page);
void nj_chart_shares(nj_template_values *v, const nj_html_stage *stage, uint32_t n);
void nj_chart_funnel(nj_template_values *v, const nj_html_stage *stage, uint32_t n); /* modules alone */
void nj_chart_distributions(nj_template_values *v, const nj_html_stage *stage, uint32_t n);
/* charts_time.c: of the stages' `drift` and of the report's `exposures`. */
void nj_chart_drifts(nj_template_values *v, const json_t *run);
void nj_chart_waterfall(nj_template_values *v, const json_t *exposures);
void nj_chart_slowest(nj_template_values *v, const json_t *exposures);

#endif
