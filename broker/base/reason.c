/* reason.c - rows, reports, metrics and pages name the reasons alike, so the names are here, once. */
#include "reason.h"

const char *const nj_reason_name[NJ_REASON_NAMES] = { "done",        "cut",    "few_points",
                                                      "no_input",    "no_fit", "range",
                                                      "unavailable", "failed", "shed" };
