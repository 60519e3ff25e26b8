/* open.c - opens the chosen instances, leaves out those that lack what they need, and closes them at the
 * end. */
#include "instances.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/debug.h"
#include "../base/clock.h"
#include "slot.h"
#include "state.h"

/* A need that an instance would give which is off; *off is that one. */
static const char *missing_provider(const nj_instances *set, const nj_instance *in, const nj_off **off)
{
    for (uint32_t k = 0; k < in->n_needs; k++) {
        const char *path = in->need[k].path, *dot = strchr(path, '.');
        if (in->need[k].flags & NJ_NEED_OPTIONAL || !dot) continue;
        if ((*off = nj_instances_find_off(set, path, (size_t)(dot - path)))) return path;
    }
    return NULL;
}

static void close_one(const nj_instance *in)
{
    if (!in->opened || !in->module->close) return;
    nj_slot_enter(nj_slot_set_up, in->name, NJ_PHASE_CLOSE);
    in->module->close(in->self);
    nj_slot_leave(nj_slot_set_up);
}

static void take_out(nj_instances *set, uint32_t i)
{
    memmove(&set->item[i], &set->item[i + 1], (set->n - i - 1) * sizeof *set->item);
    set->n--;
}

static int open_one(nj_instances *set, nj_instance *in)
{
    nj_state state;
    nj_state_begin(&state, true);
    int rc = in->module->open(&set->host, in->conf, &in->self);
    nj_state_left(&state, in->name, nj_phase_name[NJ_PHASE_OPEN]);
    return rc;
}

int nj_instances_open(nj_instances *set, const char *select, nj_error *err)
{
    for (uint32_t i = 0; i < set->n;) {
        nj_instance *in = &set->item[i];
        int64_t start = nj_now_ns();
        nj_set_up_begin(set);
        nj_slot_enter(nj_slot_set_up, in->name, NJ_PHASE_OPEN);
        set->opening = in;
        int rc = in->module->open ? open_one(set, in) : NJ_OK;
        set->opening = NULL;
        nj_slot_leave(nj_slot_set_up);
        nj_set_up_end(set, rc != NJ_OK);
        in->cold_start_ns = nj_now_ns() - start;
        if (rc != NJ_OK && set->no_memory) rc = NJ_ENOMEM;
        nj_debug(NJ_DEBUG_MODULE, "%s: open() gave %d after %.3f ms", in->name, rc,
                 (double)in->cold_start_ns / 1e6);
        if (rc == NJ_OK) {
            in->opened = true;
            i++;
            continue;
        }
        const char *why = set->said[0]      ? set->said
                          : rc == NJ_ENOMEM ? "out of memory"
                                            : "it does not say why";
        if (nj_is_selected(select, in->name)) return nj_fail(err, "module %s cannot open: %s", in->name, why);
        if (!nj_what_is_absent(rc))
            return nj_fail(err, "module %s cannot open: %s (-m -%s leaves it out)", in->name, why, in->name);
        if (nj_instances_leave_out(set, in->name, rc, why, err)) return -1;
        take_out(set, i);
    }
    for (uint32_t i = 0; i < set->n;) { /* again from the start after each one: it may have been a provider */
        const nj_off *off;
        const char *path = missing_provider(set, &set->item[i], &off);
        if (!path) {
            i++;
            continue;
        }
        nj_instance gone = set->item[i];
        char why[512];
        snprintf(why, sizeof why, "it needs %.128s, and %s is off: %.256s", path, off->name, off->why);
        if (nj_is_selected(select, gone.name)) return nj_fail(err, "module %s: %s", gone.name, why);
        close_one(&gone);
        take_out(set, i);
        if (nj_instances_note_off(set, gone.name, off->status, why, err)) return -1;
        i = 0;
    }
    return 0;
}

void nj_instances_close(nj_instances *set)
{
    for (uint32_t i = 0; i < set->n; i++) close_one(&set->item[i]);
    for (uint32_t i = 0; i < set->n_files; i++)
        if (set->file[i].n) munmap((void *)set->file[i].bytes, set->file[i].n);
    free(set->file);
    free(set->off);
    free(set->item);
    nj_arena_free(&set->arena);
    *set = (nj_instances){ 0 };
}
