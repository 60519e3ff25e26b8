/* cost.h - what the work costs in money: the price of a core-hour, how much of what is paid is used, and
 * traffic out. A dated example replaces prices that were not given;
 * every figure carries its band and its source. */
#ifndef NJ_MEASURE_COST_H
#define NJ_MEASURE_COST_H

#include "../base/settings.h"

typedef struct nj_cost {
    const char *currency, *source, *kind;            /* kind: "modelled" when the settings give
                                                      * price and use, else "assumed" */
    int year;                                        /* of the prices */
    double core_hour, core_hour_low, core_hour_high; /* a paid core-hour */
    double use, use_low, use_high;                   /* busy core-time / paid core-time, (0, 1] */
    double egress_gb;                                /* 1e9 bytes sent out */
} nj_cost;

/* Reads [cost]; the texts live as long as the settings. -1 with err. settings NULL = the example. */
int nj_cost_read(nj_settings *settings, nj_cost *cost, nj_error *err);
/* Of so many busy core-seconds: busy / 3600 * core_hour / use. Band: from the cheapest hours best used to the
 * most expensive hours worst used. */
double nj_cost_busy(const nj_cost *cost, double busy_s);
double nj_cost_busy_low(const nj_cost *cost, double busy_s);
double nj_cost_busy_high(const nj_cost *cost, double busy_s);

extern const nj_param nj_cost_settings[]; /* what [cost] may say; ends with {0} */

#endif
