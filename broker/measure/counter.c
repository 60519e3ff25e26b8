/* counter.c - each worker counts for itself; these functions merge the counters and share out CPU time when
 * it has stopped. */
#include "counter.h"

/* Wall time since the last share in which the thread was at work. */
static int64_t worked_ns(const nj_counter *c)
{
    int64_t ns = c->wall_ns - c->shared_ns - (c->waited_ns - c->shared_waited_ns);
    return ns > 0 ? ns : 0;
}

void nj_counter_share_cpu(nj_counter *const *counter, uint32_t n, int64_t cpu_ns)
{
    int64_t gained = 0;
    for (uint32_t i = 0; i < n; i++) gained += worked_ns(counter[i]);
    for (uint32_t i = 0; i < n && gained > 0; i++) {
        double share = (double)worked_ns(counter[i]) / (double)gained;
        counter[i]->cpu_ns += (int64_t)((double)cpu_ns * share + 0.5);
        counter[i]->shared_ns = counter[i]->wall_ns;
        counter[i]->shared_waited_ns = counter[i]->waited_ns;
    }
}

void nj_counter_merge(nj_counter *into, const nj_counter *from)
{
    into->calls += from->calls;
    into->offered += from->offered;
    into->passed += from->passed;
    into->hits += from->hits;
    into->flagged += from->flagged;
    for (int i = 0; i < NJ_COUNTER_REASONS; i++) into->reason[i] += from->reason[i];
    into->wall_ns += from->wall_ns;
    into->cpu_ns += from->cpu_ns;
    into->elsewhere_ns += from->elsewhere_ns;
    into->waited_ns += from->waited_ns;
    nj_histogram_merge(&into->one, &from->one);
}

nj_per_alert nj_counter_cost(const nj_counter *c)
{
    return nj_per_alert_of((double)c->offered, (double)c->hits, (double)c->cpu_ns, (double)c->wall_ns);
}
