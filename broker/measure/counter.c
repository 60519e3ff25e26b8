/* counter.c - each worker counts for itself; these functions merge the counters and share out CPU time when
 * it has stopped. */
#include "counter.h"

void nj_counter_share_cpu(nj_counter *const *counter, uint32_t n, int64_t cpu_ns)
{
    int64_t gained = 0;
    for (uint32_t i = 0; i < n; i++) gained += counter[i]->wall_ns - counter[i]->shared_ns;
    for (uint32_t i = 0; i < n && gained > 0; i++) {
        double share = (double)(counter[i]->wall_ns - counter[i]->shared_ns) / (double)gained;
        counter[i]->cpu_ns += (int64_t)((double)cpu_ns * share + 0.5);
        counter[i]->shared_ns = counter[i]->wall_ns;
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
    nj_histogram_merge(&into->one, &from->one);
}

nj_per_alert nj_counter_cost(const nj_counter *c)
{
    return nj_per_alert_of((double)c->offered, (double)c->hits, (double)c->cpu_ns, (double)c->wall_ns);
}
