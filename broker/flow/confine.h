/* confine.h - [guard] sandbox: what a run's process, and its modules, may do beside their work. */
#ifndef NJ_FLOW_CONFINE_H
#define NJ_FLOW_CONFINE_H

#include "../base/error.h"

struct run;
struct nj_report;

/* Files: from here on the process writes where the run's outputs are. Before there are threads. */
int nj_flow_confine_files(struct run *r, nj_error *err);
/* Calls: the calling thread, and those that it makes, run modules. */
void nj_flow_confine_calls(struct run *r);
int nj_flow_confine_report(const struct run *r, struct nj_report *report);
void nj_flow_confine_free(struct run *r);

#endif
