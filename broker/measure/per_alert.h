/* per_alert.h - what an alert costs: CPU time. One function makes the figures of the table, the report, the
 * page, bench, compare and diff, so that they agree. Words: data/embed/terms.txt. */
#ifndef NJ_MEASURE_PER_ALERT_H
#define NJ_MEASURE_PER_ALERT_H

/* NAN: there was no alert, or nothing was clocked. */
typedef struct nj_per_alert {
    double cpu_us;               /* CPU time per alert: the cost */
    double cpu_us_hit;           /* CPU time per hit */
    double wall_us;              /* wall time per alert */
    double per_s_core;           /* alerts/s per core: 1e6 / cpu_us */
    double effective_per_s_core; /* hits, not alerts */
} nj_per_alert;

/* alerts: offered to a module or stage, consumed by a run. */
nj_per_alert nj_per_alert_of(double alerts, double hits, double cpu_ns, double wall_ns);
/* Part of the run's CPU time, 0..1; NAN when that is not known. */
double nj_cpu_share(double cpu_ns, double run_cpu_ns);
/* CPU ns of the run that its modules and stages together did not take; 0 when they were not clocked. */
double nj_cpu_rest(double stages_cpu_ns, double run_cpu_ns);

#endif
