/* html_analysis.h - the page's parts on drift along the run and on exposures;
 * each writes nothing when the report has none. */
#ifndef NJ_REPORT_HTML_ANALYSIS_H
#define NJ_REPORT_HTML_ANALYSIS_H

#include "html.h"

void nj_html_drift(nj_buffer *out, const json_t *run);
void nj_html_exposures(nj_buffer *out, const json_t *run);

#endif
