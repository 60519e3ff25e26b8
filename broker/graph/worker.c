/* worker.c - what one compute thread needs to call modules: their thread blocks, counters and notes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "answers.h"
#include "dispatch.h"
#include "state.h"
#include "trial.h"

static int open_thread(const nj_instance *in, void *thread)
{
    nj_state state;
    nj_state_begin(&state, false);
    int rc = in->module->thread_open(in->self, thread);
    nj_state_left(&state, in->name, nj_phase_name[NJ_PHASE_THREAD_OPEN]);
    return rc;
}

/* The guard's numbers of the instances. */
static uint32_t *guarded(const nj_instances *set)
{
    uint32_t *number = malloc((set->n + 1) * sizeof *number);
    for (uint32_t i = 0; number && i < set->n; i++)
        number[i] = nj_guard_module_of(nj_guard_here, set->item[i].name);
    return number;
}

nj_worker *nj_worker_new(const nj_instances *set, nj_open_stamp open_stamp, void *opener, uint64_t single,
                         bool reference, nj_error *err)
{
    nj_worker *w = calloc(1, sizeof *w);
    if (!w) return nj_fail(err, "out of memory"), NULL;
    *w = (nj_worker){ .set = set,
                      .open_stamp = open_stamp,
                      .opener = opener,
                      .single = single,
                      .reference = reference,
                      .thread = calloc(set->n + 1, sizeof *w->thread),
                      .module = calloc(set->n + 1, sizeof *w->module),
                      .stamps = calloc(1, sizeof *w->stamps),
                      .decode = calloc(1, sizeof *w->decode),
                      .countdown = calloc(set->n + 1, sizeof *w->countdown),
                      .n_calls = calloc(set->n + 1, sizeof *w->n_calls),
                      .answers = nj_answers_new(set),
                      .share = calloc(set->n + 2, sizeof *w->share) };
    int ok = w->thread && w->module && w->stamps && w->decode && w->countdown && w->n_calls && w->answers &&
             w->share;
    w->slot = nj_guard_slot(nj_guard_here);
    if (!w->slot) w->slot = &w->own_slot;
    nj_slot_add(w->slot);
    if (ok && nj_guard_here) ok = (w->guarded = guarded(set)) != NULL;
    if (!ok) nj_fail(err, "out of memory");
    if (ok) {
        w->share[0] = w->decode;
        w->share[1] = w->stamps;
        for (uint32_t i = 0; i < set->n; i++) w->share[2 + i] = &w->module[i];
    }
    for (uint32_t i = 0; i < set->n && ok; i++) {
        const nj_instance *in = &set->item[i];
        size_t size = (in->module->thread_size + 127) & ~(size_t)63;
        ok = posix_memalign(&w->thread[i], 64, size) == 0;
        if (!ok) {
            nj_fail(err, "out of memory");
            break;
        }
        memset(w->thread[i], 0, size);
        nj_slot_enter(w->slot, in->name, NJ_PHASE_THREAD_OPEN);
        int rc = in->module->thread_open ? open_thread(in, w->thread[i]) : NJ_OK;
        nj_slot_leave(w->slot);
        if (rc != NJ_OK) {
            nj_fail(err, "module %s: a worker's area cannot be opened", in->name);
            free(w->thread[i]);
            w->thread[i] = NULL;
            ok = 0;
        }
    }
    if (ok) return w;
    nj_worker_free(w);
    return NULL;
}

void nj_worker_free(nj_worker *w)
{
    if (!w) return;
    for (uint32_t i = 0; w->thread && i < w->set->n; i++) {
        if (!w->thread[i]) continue;
        const nj_instance *in = &w->set->item[i];
        nj_slot_enter(w->slot, in->name, NJ_PHASE_THREAD_CLOSE);
        if (in->module->thread_close) in->module->thread_close(in->self, w->thread[i]);
        nj_slot_leave(w->slot);
        free(w->thread[i]);
    }
    if (w->slot) nj_slot_remove(w->slot);
    free(w->guarded);
    nj_arena_free(&w->scratch);
    free(w->thread);
    free(w->module);
    free(w->stamps);
    free(w->decode);
    free(w->countdown);
    free(w->n_calls);
    free(w->surroundings);
    nj_answers_free(w->answers);
    free(w->share);
    free(w);
}

void nj_worker_share_cpu(nj_worker *w, int64_t cpu_ns)
{
    nj_counter_share_cpu(w->share, w->set->n + 2, cpu_ns);
}
