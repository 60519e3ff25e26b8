/* metrics_text.h - the lines of a page of metrics (Prometheus' text format 0.0.4), and its parts. */
#ifndef NJ_FLOW_METRICS_TEXT_H
#define NJ_FLOW_METRICS_TEXT_H

#include "metrics.h"

void nj_metrics_family(nj_buffer *b, const char *name, const char *type, const char *help);
/* key="value": backslash, quote and line feed are escaped. */
void nj_metrics_label(nj_buffer *b, const char *key, const char *value);
/* With one label, or none (key NULL). */
void nj_metrics_sample(nj_buffer *b, const char *name, const char *key, const char *value, double v);

typedef struct nj_metrics_module {
    const char *name;
    nj_counter *count; /* sum over the workers */
} nj_metrics_module;

/* metrics_energy.c: joules, grams and money of the modules, which only grow. */
void nj_metrics_energy_text(const nj_metrics_of *m, nj_buffer *b, const nj_metrics_module *list, uint32_t n);

#endif
