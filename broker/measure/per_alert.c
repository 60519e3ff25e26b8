/* per_alert.c - the terminal, the page and the JSON must show the same cost per alert, so it is computed
 * here only. */
#include "per_alert.h"

#include <math.h>

static double over(double a, double b)
{
    return a > 0 && b > 0 ? a / b : NAN;
}

nj_per_alert nj_per_alert_of(double alerts, double hits, double cpu_ns, double wall_ns)
{
    return (nj_per_alert){ .cpu_us = over(cpu_ns / 1e3, alerts),
                           .cpu_us_hit = over(cpu_ns / 1e3, hits),
                           .wall_us = over(wall_ns / 1e3, alerts),
                           .per_s_core = over(alerts * 1e9, cpu_ns),
                           .effective_per_s_core = cpu_ns > 0 ? hits * 1e9 / cpu_ns : NAN };
}

double nj_cpu_share(double cpu_ns, double run_cpu_ns)
{
    return run_cpu_ns > 0 && cpu_ns >= 0 ? cpu_ns / run_cpu_ns : NAN;
}

double nj_cpu_rest(double stages_cpu_ns, double run_cpu_ns)
{
    return stages_cpu_ns > 0 && run_cpu_ns > stages_cpu_ns ? run_cpu_ns - stages_cpu_ns : 0;
}
