/* answers.c - what the workers found wrong in the outputs of modules is collected, logged and put into the
 * report. */
#include "../graph/answers.h"

#include <stdlib.h>

#include "../base/log.h"
#include "internal.h"

static void add(nj_report *report, nj_report_wrong wrong)
{
    if (!wrong.n) return;
    nj_report_wrong *list = realloc(report->wrong, (report->n_wrong + 1) * sizeof *list);
    if (!list) return; /* it was logged */
    report->wrong = list;
    list[report->n_wrong++] = wrong;
}

static nj_report_wrong of(const char *module, const char *what, uint64_t n, int64_t id)
{
    nj_report_wrong wrong = {
        .what = what, .n = n, .first_id = id, .lo = NAN, .hi = NAN, .first_value = NAN
    };
    snprintf(wrong.name, sizeof wrong.name, "%s", module);
    return wrong;
}

static void of_instance(nj_report *report, const nj_instance *in, const nj_answers *a)
{
    add(report, of(in->name, "call_failed", a->failed, a->failed_id));
    add(report, of(in->name, "process_state", a->n_state, a->state_id));
    add(report, of(in->name, "written_beyond", a->n_beyond, a->beyond_id));
    add(report, of(in->name, "no_reason", a->silent, a->silent_id));
    nj_report_wrong invalid = of(in->name, "invalid_reason", a->invalid, a->invalid_id);
    invalid.first_value = a->invalid_reason;
    add(report, invalid);
    for (uint32_t g = 0; g < in->n_gives; g++) {
        const nj_beyond *beyond = &a->beyond[g];
        nj_report_wrong range = of(in->name, "out_of_range", beyond->n, beyond->id);
        snprintf(range.name, sizeof range.name, "%s.%s", in->name, in->give[g].name);
        range.first_value = beyond->value;
        range.is_whole = in->give[g].type == NJ_I64;
        range.first_whole = beyond->whole;
        range.lo = in->give[g].lo;
        range.hi = in->give[g].hi;
        add(report, range);
    }
}

void nj_flow_answers(const run *r, nj_report *report)
{
    const nj_instances *set = &r->engine.instances;
    nj_answers *sum = nj_answers_new(set);
    if (!sum) {
        nj_log(NJ_LOG_WARN, "out of memory: whether modules gave wrong values is not reported");
        return;
    }
    for (int t = 0; t < r->n_threads; t++)
        for (uint32_t i = 0; i < set->n; i++)
            nj_answers_merge(&sum[i], &r->thread[t].worker->answers[i], set->item[i].n_gives);
    nj_answers_report(set, sum);
    for (uint32_t i = 0; i < set->n; i++) of_instance(report, &set->item[i], &sum[i]);
    nj_answers_free(sum);
}
