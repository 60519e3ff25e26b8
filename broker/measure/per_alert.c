/* per_alert.c - the terminal, the page and the JSON must show the same cost per alert, so it is computed
 * here only. */
#include "per_alert.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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

const char *nj_us_words(char text[24], double us)
{
    if (!isfinite(us)) return strcpy(text, "-");
    snprintf(text, 24, us > 0 && us < 0.005 ? "<0.01" : "%.2f", us);
    return text;
}

const char *nj_rate_words(char text[24], double v)
{
    static const char *const suffix[] = { "", "k", "M", "G", "T" };
    int s = 0;
    if (!isfinite(v)) return strcpy(text, "-");
    while (fabs(v) >= 999.5 && s < 4) v /= 1000, s++;
    snprintf(text, 24, fabs(v) >= 99.95 ? "%.0f%s" : fabs(v) >= 9.995 ? "%.1f%s" : "%.2f%s", v, suffix[s]);
    return text;
}

const char *nj_share_words(char text[24], double share)
{
    if (!isfinite(share)) return strcpy(text, "-");
    snprintf(text, 24, "%.1f %%", 100 * share);
    return text;
}
