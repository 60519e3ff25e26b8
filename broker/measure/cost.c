/* cost.c - a report states what the work costs in money; prices, utilisation and their bands are read and
 * combined here. */
#include "cost.h"

#include <string.h>

typedef struct cost_conf {
    double core_hour, use, egress_gb;
    int64_t year;
    const char *currency, *source;
} cost_conf;

const nj_param nj_cost_settings[] = {
    { "core_hour", NJ_F64, "0", offsetof(cost_conf, core_hour), 0, 1e6, "1",
      "price of a paid core-hour; 0 = the dated example" },
    { "use", NJ_F64, "0", offsetof(cost_conf, use), 0, 1, "1",
      "busy share of the core-hours paid; 0 = 0.5, from 0.3 to 0.7" },
    { "egress_gb", NJ_F64, "0.09", offsetof(cost_conf, egress_gb), 0, 1e6, "1",
      "price of a gigabyte sent to other networks" },
    { "currency", NJ_STR, "USD", offsetof(cost_conf, currency), 0, 0, "1", "of all prices" },
    { "source", NJ_STR, "the settings", offsetof(cost_conf, source), 0, 0, "1",
      "where the price of a core-hour is from" },
    { "year", NJ_I64, "0", offsetof(cost_conf, year), 0, 2200, "1", "of the prices; 0 = not given" },
    { 0 },
};

/* AWS m5.xlarge, 4 vCPU: 0.192 on demand, 0.045 as spot instance (Rubin DMTN-137, prices of 2019). What was
 * paid there per active core-hour was three times the spot price: a busy share of 0.3 and up. */
static const nj_cost example = { .currency = "USD",
                                 .source = "AWS m5.xlarge",
                                 .kind = "assumed",
                                 .year = 2019,
                                 .core_hour = 0.048,
                                 .core_hour_low = 0.011,
                                 .core_hour_high = 0.048,
                                 .use = 0.5,
                                 .use_low = 0.3,
                                 .use_high = 0.7,
                                 .egress_gb = 0.09 };

int nj_cost_read(nj_settings *settings, nj_cost *cost, nj_error *err)
{
    cost_conf c;
    nj_settings none = { 0 };
    *cost = example;
    if (nj_settings_apply(settings ? settings : &none, "cost", nj_cost_settings, NULL, &c, err)) return -1;
    if (c.core_hour == 0 && strcmp(c.currency, example.currency))
        return nj_fail(err, "[cost] currency = %s: give core_hour in it; the example's prices are USD",
                       c.currency);
    if (c.core_hour > 0) {
        cost->core_hour = cost->core_hour_low = cost->core_hour_high = c.core_hour;
        cost->source = c.source;
        cost->year = (int)c.year;
        cost->currency = c.currency;
    }
    if (c.use > 0) cost->use = cost->use_low = cost->use_high = c.use;
    if (c.core_hour > 0 && c.use > 0) cost->kind = "modelled";
    cost->egress_gb = c.egress_gb;
    return 0;
}

double nj_cost_busy(const nj_cost *cost, double busy_s)
{
    return busy_s / 3600 * cost->core_hour / cost->use;
}

double nj_cost_busy_low(const nj_cost *cost, double busy_s)
{
    return busy_s / 3600 * cost->core_hour_low / cost->use_high;
}

double nj_cost_busy_high(const nj_cost *cost, double busy_s)
{
    return busy_s / 3600 * cost->core_hour_high / cost->use_low;
}
