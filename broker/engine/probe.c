/* probe.c - a shared object that crashes when it is loaded would take every worker with it, so a child loads,
 * opens and calls it once before the run does. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../base/file.h"
#include "../base/log.h"
#include "../graph/crash.h"
#include "../graph/fence.h"
#include "../graph/trial.h"
#include "engine.h"

enum { POINTS = 3, MOST_S = 60 };

/* ---- one row that no packet had -------------------------------------------------------------- */

static nj_arena arena; /* of the child */

static void *room(const nj_work *w, size_t bytes)
{
    (void)w;
    return nj_arena_alloc(&arena, bytes);
}

static const char *text(const nj_work *w, const char *s, size_t n)
{
    (void)w;
    return nj_arena_text(&arena, s, n);
}

static const nj_image *no_image(const nj_work *w, uint32_t need, uint32_t row)
{
    (void)w, (void)need, (void)row;
    return NULL;
}

/* Values that a packet could have. */
static const void *values(nj_type type)
{
    static const uint8_t u8[POINTS] = { 1, 1, 1 };
    static const int32_t i32[POINTS] = { 1, 1, 2 };
    static const int64_t i64[POINTS] = { 1, 2, 3 };
    static const float f32[POINTS] = { 18.5F, 18.75F, 19 };
    static const double f64[POINTS] = { 18.5, 18.75, 19 };
    static const char *const str[POINTS] = { "a", "a", "a" };
    switch (type) {
    case NJ_U8: return u8;
    case NJ_I32: return i32;
    case NJ_I64: return i64;
    case NJ_F32: return f32;
    case NJ_F64: return f64;
    default: return str;
    }
}

static void call(const nj_instance *in, void *thread)
{
    static const uint32_t off[2] = { 0, POINTS }, row[1] = { 0 };
    static const int64_t id[1] = { 1 };
    uint8_t *reason = nj_fence_alloc(&arena, 1);
    nj_col *col = nj_arena_zalloc(&arena, (in->n_needs + 1) * sizeof *col);
    const nj_col **given = nj_arena_zalloc(&arena, (in->n_needs + 1) * sizeof *given);
    void **out = nj_arena_zalloc(&arena, (in->n_gives + 1) * sizeof *out);
    if (!reason || !col || !given || !out) return;
    for (uint32_t k = 0; k < in->n_needs; k++) {
        given[k] = &col[k];
        if (in->need[k].shape == NJ_IMAGE) continue;
        size_t size = POINTS * nj_type_size(in->need[k].type);
        void *data = nj_arena_alloc(&arena, size); /* aligned as the host's */
        if (!data) return;
        memcpy(data, values(in->need[k].type), size);
        col[k] = (nj_col){ data, in->need[k].shape == NJ_SERIES ? off : NULL };
    }
    for (uint32_t g = 0; g < in->n_gives; g++) {
        size_t n = in->give[g].width ? in->give[g].width : POINTS;
        out[g] = nj_fence_alloc(&arena, n * nj_type_size(in->give[g].type));
        if (!out[g]) return;
        nj_fill_null(in->give[g].type, out[g], n);
    }
    reason[0] = NJ_NO_REASON;
    const nj_work w = { .size = sizeof w,
                        .n = 1,
                        .row = row,
                        .in = given,
                        .out = out,
                        .reason = reason,
                        .id = id,
                        .scratch = room,
                        .text = text,
                        .image = no_image };
    nj_slot_enter(nj_slot_set_up, in->name, NJ_PHASE_PROCESS);
    in->module->process(in->self, thread, &w);
    nj_slot_leave(nj_slot_set_up);
}

/* ---- the child ------------------------------------------------------------------------------- */

static void is_next(const nj_instance *in)
{
    snprintf(nj_guard_here->probed, sizeof nj_guard_here->probed, "%s: module %s", in->path, in->name);
}

/* What is wrong but does not crash is reported when the run itself comes to it. */
static void probe(nj_settings *settings, const char *const *path, uint32_t n, const char *select)
{
    nj_engine e = { 0 };
    nj_error ignored;
    if (nj_engine_load(&e, settings, path, n, &ignored) || nj_engine_choose(&e, select, &ignored)) return;
    nj_instances *set = &e.instances;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < set->n; i++)
        if (set->item[i].path) set->item[kept++] = set->item[i];
    for (set->n = 0; set->n < kept; set->n++) { /* one by one, so that each has its name */
        nj_instances one = *set;
        nj_instance *in = &set->item[set->n];
        one.item = in;
        one.n = 1;
        is_next(in);
        if (nj_instances_open(&one, in->name, &ignored)) continue;
        nj_worker *w = nj_worker_new(&one, NULL, NULL, 0, false, &ignored);
        if (!w) continue;
        call(in, w->thread[0]);
        nj_worker_free(w); /* thread_close() */
    }
}

int nj_engine_probe(nj_settings *settings, const char *const *path, uint32_t n, const char *select,
                    nj_error *err)
{
    nj_guard *g = nj_guard_here;
    uint32_t objects = 0;
    for (uint32_t i = 0; i < n; i++) objects += !nj_ends_with(path[i], ".py"); /* those run in processes */
    if (!g || !objects) return 0;
    nj_slot *slot = &g->trial[NJ_SLOT_SET_UP];
    memset(slot, 0, sizeof *slot);
    snprintf(g->probed, sizeof g->probed, "%s", path[0]);
    pid_t child = fork();
    if (child < 0) return 0; /* then the run finds it out by itself */
    if (child == 0) {
        const struct rlimit none = { 0, 0 };
        int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setrlimit(RLIMIT_CORE, &none);
        for (int fd = 0; fd < 3 && nowhere >= 0; fd++) dup2(nowhere, fd);
        nj_crash_child();
        nj_slot_set_up_at(slot);
        probe(settings, path, n, select);
        nj_exit_at_once(0);
    }
    int died = nj_trial_died(child, slot, g->conf.deadline_s, MOST_S);
    atomic_store(&g->n_slots, 0); /* the child's threads took some */
    if (!died) return 0;
    nj_phase phase = atomic_load(&slot->phase);
    return nj_fail(err, "%s, crashed %s when it was tried: %s; it is refused%s%.500s", g->probed,
                   nj_phase_name[phase], slot->death.what, slot->death.stack[0] ? "; stack: " : "",
                   slot->death.stack);
}
