/* answers.c - modules make mistakes; invalid reasons and values outside the declared range are found here
 * for every row. */
#include "answers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../base/log.h"

nj_answers *nj_answers_new(const nj_instances *set)
{
    size_t n_gives = 0;
    for (uint32_t i = 0; i < set->n; i++) n_gives += set->item[i].n_gives;
    nj_answers *answers = calloc(1, (set->n + 1) * sizeof *answers + n_gives * sizeof(nj_beyond));
    if (!answers) return NULL;
    nj_beyond *beyond = (nj_beyond *)(answers + set->n + 1);
    for (uint32_t i = 0; i < set->n; i++) {
        answers[i].beyond = beyond;
        beyond += set->item[i].n_gives;
    }
    return answers;
}

void nj_answers_free(nj_answers *answers)
{
    free(answers);
}

void nj_answers_merge(nj_answers *into, const nj_answers *from, uint32_t n_gives)
{
    if (!into->silent) into->silent_id = from->silent_id;
    if (!into->invalid) into->invalid_id = from->invalid_id, into->invalid_reason = from->invalid_reason;
    if (!into->failed) into->failed_id = from->failed_id;
    if (!into->n_state) into->state_id = from->state_id;
    if (!into->n_beyond) into->beyond_id = from->beyond_id;
    into->n_state += from->n_state;
    into->n_beyond += from->n_beyond;
    into->silent += from->silent;
    into->invalid += from->invalid;
    into->failed += from->failed;
    for (uint32_t g = 0; g < n_gives; g++) {
        if (!into->beyond[g].n) into->beyond[g] = from->beyond[g], into->beyond[g].n = 0;
        into->beyond[g].n += from->beyond[g].n;
    }
}

/* Elements [*first, *first + *n) of a give are the row's; false: the output is absent. */
static bool elements(const nj_step *s, const nj_batch *b, uint32_t g, uint32_t row, size_t *first, size_t *n)
{
    const nj_give *give = &s->in->give[g];
    const uint32_t *off = b->col[s->first_out + g].off;
    if (!give->width && !off) return false;
    *first = give->width ? (size_t)row * give->width : off[row];
    *n = give->width ? give->width : off[row + 1] - off[row];
    return true;
}

static void clear(const nj_step *s, const nj_batch *b, void *const *out, uint32_t row)
{
    size_t first, n;
    for (uint32_t g = 0; g < s->in->n_gives; g++)
        if (out[g] && elements(s, b, g, row, &first, &n))
            nj_fill_null(s->in->give[g].type, (char *)out[g] + first * nj_type_size(s->in->give[g].type), n);
}

void nj_answers_clear(const nj_step *s, const nj_batch *b, const nj_work *w, uint32_t row)
{
    clear(s, b, w->out, row);
    w->reason[row] = NJ_NO_REASON;
}

void nj_answers_state(nj_answers *answers, const char *instance, int64_t id, const char *what)
{
    if (!answers->n_state) answers->state_id = id;
    if (answers->n_state++ < 3)
        nj_log(NJ_LOG_WARN, "module %s changed %s of the process, alert %" PRId64 "; it is set back",
               instance, what, id);
}

void nj_answers_beyond(nj_answers *answers, const char *instance, const char *output, int64_t id)
{
    if (!answers->n_beyond) answers->beyond_id = id;
    if (answers->n_beyond++ < 3)
        nj_log(NJ_LOG_ERROR, "module %s wrote before or behind its output %s, alert %" PRId64, instance,
               output, id);
}

void nj_answers_reject(nj_answers *answers, const nj_step *s, const nj_batch *b, const nj_work *w,
                       uint32_t row)
{
    uint8_t reason = w->reason[row];
    if (reason == NJ_NO_REASON) {
        if (!answers->silent++) answers->silent_id = w->id[row];
    } else {
        if (!answers->invalid++) answers->invalid_id = w->id[row], answers->invalid_reason = reason;
    }
    w->reason[row] = NJ_FAILED;
    clear(s, b, w->out, row);
}

void nj_answers_failed(nj_answers *answers, const nj_step *s, const nj_batch *b, const nj_work *w, int status)
{
    if (!answers->failed) answers->failed_id = w->id[w->row[0]];
    if (answers->failed < 3 * (uint64_t)w->n)
        nj_log(NJ_LOG_ERROR, "module %s failed on %u rows from alert %" PRId64 " (status %d)", s->in->name,
               w->n, w->id[w->row[0]], status);
    answers->failed += w->n;
    for (uint32_t k = 0; k < w->n; k++) {
        w->reason[w->row[k]] = NJ_FAILED;
        clear(s, b, w->out, w->row[k]);
    }
}

/* NaN compares false, so that "no answer" is within. Other nulls are skipped by name. */
#define COUNT(TYPE, IS_NULL)                                                                                 \
    do {                                                                                                     \
        const TYPE *x = data;                                                                                \
        for (size_t i = 0; i < n; i++) count += ((double)x[i] < lo || (double)x[i] > hi) && !(IS_NULL);      \
    } while (0)

static uint64_t count_beyond(nj_type type, const void *data, size_t n, double lo, double hi)
{
    if (type == NJ_F32) lo = (float)lo, hi = (float)hi; /* 0.3f is above 0.3, and meant */
    uint64_t count = 0;
    switch (type) {
    case NJ_U8: COUNT(uint8_t, x[i] == NJ_NO_U8); break;
    case NJ_I32: COUNT(int32_t, x[i] == NJ_NO_I32); break;
    case NJ_I64: COUNT(int64_t, x[i] == NJ_NO_I64); break;
    case NJ_F32: COUNT(float, 0); break;
    case NJ_F64: COUNT(double, 0); break;
    case NJ_STR: break;
    }
    return count;
}

/* Keeps the first one, by row: seldom done. */
static void keep_first(nj_beyond *beyond, const nj_step *s, const nj_batch *b, uint32_t g, const void *data)
{
    const nj_give *give = &s->in->give[g];
    const bool f32 = give->type == NJ_F32;
    const double lo = f32 ? (float)give->lo : give->lo, hi = f32 ? (float)give->hi : give->hi;
    size_t first, n;
    for (uint32_t r = 0; r < b->n; r++) {
        if (!elements(s, b, g, r, &first, &n)) return;
        for (size_t i = first; i < first + n; i++) {
            double value = nj_number(give->type, data, i);
            if (!(value < lo || value > hi)) continue;
            beyond->id = b->id[r];
            beyond->value = value;
            if (give->type == NJ_I64) beyond->whole = ((const int64_t *)data)[i];
            return;
        }
    }
}

void nj_answers_range(nj_answers *answers, const nj_step *s, const nj_batch *b, void *const *out)
{
    for (uint32_t g = 0; g < s->in->n_gives; g++) {
        const nj_give *give = &s->in->give[g];
        if (!out[g] || give->type == NJ_STR || (isinf(give->lo) && isinf(give->hi))) continue;
        size_t n = give->width ? (size_t)b->n * give->width : b->col[s->first_out + g].off[b->n];
        uint64_t beyond = count_beyond(give->type, out[g], n, give->lo, give->hi);
        if (!beyond) continue;
        if (!answers->beyond[g].n) keep_first(&answers->beyond[g], s, b, g, out[g]);
        answers->beyond[g].n += beyond;
    }
}

static const char *rows(uint64_t n)
{
    return n == 1 ? "row" : "rows";
}

void nj_answers_report(const nj_instances *set, const nj_answers *answers)
{
    for (uint32_t i = 0; i < set->n; i++) {
        const nj_instance *in = &set->item[i];
        const nj_answers *a = &answers[i];
        if (a->failed)
            nj_log(NJ_LOG_WARN,
                   "module %s: process() failed on %" PRIu64 " %s, the first alert %" PRId64
                   "; their values are null",
                   in->name, a->failed, rows(a->failed), a->failed_id);
        if (a->n_beyond)
            nj_log(NJ_LOG_WARN,
                   "module %s: it wrote before or behind its outputs %" PRIu64
                   " times, the first alert %" PRId64 "; those rows are failed",
                   in->name, a->n_beyond, a->beyond_id);
        if (a->n_state > 3)
            nj_log(NJ_LOG_WARN,
                   "module %s: it changed the state of the process %" PRIu64
                   " times, the first alert %" PRId64,
                   in->name, a->n_state, a->state_id);
        if (a->silent)
            nj_log(NJ_LOG_WARN,
                   "module %s: no reason for %" PRIu64 " %s, the first alert %" PRId64
                   "; their values are null (process() must set w->reason[row], to NJ_DONE for an answer)",
                   in->name, a->silent, rows(a->silent), a->silent_id);
        if (a->invalid)
            nj_log(NJ_LOG_WARN,
                   "module %s: a reason that is none of a module's for %" PRIu64
                   " %s, the first %u of alert %" PRId64 "; their values are null",
                   in->name, a->invalid, rows(a->invalid), a->invalid_reason, a->invalid_id);
        for (uint32_t g = 0; g < in->n_gives; g++) {
            const nj_give *give = &in->give[g];
            const nj_beyond *beyond = &a->beyond[g];
            char first[32];
            if (give->type == NJ_I64)
                snprintf(first, sizeof first, "%" PRId64, beyond->whole);
            else
                snprintf(first, sizeof first, "%.9g", beyond->value);
            if (beyond->n)
                nj_log(NJ_LOG_WARN,
                       "%s.%s: %" PRIu64 " %s outside its range of %g to %g, the first %s of alert %" PRId64
                       "; kept as %s",
                       in->name, give->name, beyond->n, beyond->n == 1 ? "value is" : "values are", give->lo,
                       give->hi, first, beyond->id, beyond->n == 1 ? "it is" : "they are");
        }
    }
}
