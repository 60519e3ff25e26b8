/* record.c - some values of a record depend on several fields: series are joined, alternatives chosen, nulls
 * filled in. */
#include "read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "read_steps.h"

int nj_datum_reserve(nj_datum_reader *r, uint32_t g, size_t need)
{
    const nj_plan_group *group = &r->plan->group[g];
    nj_batch *b = r->batch;
    uint32_t lead = group->column[0], cap = b->series_cap[lead];
    if (need <= cap) return 0;
    if (need > UINT32_MAX / 4) return -1;
    uint32_t more = cap ? cap : 32 * b->cap;
    while (more < need) more *= 2;
    size_t used = r->index[NJ_AT_GROUP + g];
    for (uint32_t k = 0; k < group->n_columns; k++) {
        uint32_t column = group->column[k];
        size_t size = nj_type_size(r->plan->layout->col[column].type);
        char *data = nj_arena_alloc(&b->arena, more * size);
        if (!data) return -1;
        if (used) memcpy(data, b->col[column].data, used * size);
        b->col[column].data = data;
        b->series_cap[column] = more;
    }
    for (uint32_t i = 0; i < r->plan->n_targets; i++)
        if (r->plan->target[i].at == NJ_AT_GROUP + g)
            r->base[i] = (char *)b->col[r->plan->target[i].column].data;
    return 0;
}

static void finish_picks(nj_datum_reader *r)
{
    const nj_layout *layout = r->plan->layout;
    for (uint32_t i = 0; i < r->plan->n_picks; i++) {
        const nj_pick *pick = &r->plan->pick[i];
        uint32_t k = 0;
        while (k + 1 < pick->n && nj_is_null((nj_type)pick->type, &r->slot[pick->slot + k])) k++;
        size_t size = nj_type_size((nj_type)pick->type);
        char *data = pick->column == nj_plan_id_column(layout) ? (char *)r->batch->id
                                                               : (char *)r->batch->col[pick->column].data;
        memcpy(data + r->batch->n * size, &r->slot[pick->slot + k], size);
    }
}

/* Elements of a part that lacks the column's field. */
static void fill_missing(nj_type type, char *to, size_t n, double value)
{
    if (isnan(value))
        nj_fill_null(type, to, n);
    else
        for (size_t i = 0; i < n; i++) nj_put_constant(type, to + i * nj_type_size(type), "", value);
}

/* Puts the array parts of a group into the map's order when the packet has another. `to` has room for all. */
static int reorder(nj_datum_reader *r, uint32_t g, size_t start, size_t total)
{
    const nj_plan_group *group = &r->plan->group[g];
    for (uint32_t k = 0; k < group->n_columns; k++) {
        uint32_t column = group->column[k];
        size_t size = nj_type_size(r->plan->layout->col[column].type);
        char *data = (char *)r->batch->col[column].data,
             *copy = nj_arena_alloc(&r->batch->arena, (total + 1) * size), *to = data + start * size;
        if (!copy) return -1;
        memcpy(copy, to, (r->index[NJ_AT_GROUP + g] - start) * size);
        for (uint32_t part = 0; part < group->n_parts; part++) {
            uint32_t i = g * NJ_MAP_PARTS + part, slot = group->slot[part * r->plan->layout->n_packet + k];
            if (group->array[part]) {
                memcpy(to, copy + (r->from[i] - start) * size, r->count[i] * size);
                to += r->count[i] * size;
            } else {
                if (slot == NJ_NO_SLOT)
                    fill_missing(r->plan->layout->col[column].type, to, 1, group->missing[k]);
                else
                    memcpy(to, &r->slot[slot], size);
                to += size;
            }
        }
    }
    r->index[NJ_AT_GROUP + g] = start + total;
    return 0;
}

/* Appends the single elements, and sets what the schema lacks to "no answer". */
static int finish_group(nj_datum_reader *r, uint32_t g)
{
    const nj_plan_group *group = &r->plan->group[g];
    const nj_layout *layout = r->plan->layout;
    uint32_t *off = (uint32_t *)r->batch->col[group->column[0]].off;
    size_t start = off[r->batch->n], *tail = &r->index[NJ_AT_GROUP + g],
           total = *tail - start + group->n_single;
    if (nj_datum_reserve(r, g, start + total)) return -1;
    for (uint32_t part = 0; part < group->n_parts; part++) {
        uint32_t i = g * NJ_MAP_PARTS + part;
        for (uint32_t k = 0; group->array[part] && r->count[i] && k < group->n_columns; k++) {
            if (group->slot[part * layout->n_packet + k] != NJ_NO_SLOT) continue;
            nj_type type = layout->col[group->column[k]].type;
            fill_missing(type, (char *)r->batch->col[group->column[k]].data + r->from[i] * nj_type_size(type),
                         r->count[i], group->missing[k]);
        }
    }
    if (!group->in_order) {
        if (reorder(r, g, start, total)) return -1;
    } else {
        for (uint32_t part = 0; part < group->n_parts; part++) {
            if (group->array[part]) continue;
            for (uint32_t k = 0; k < group->n_columns; k++) {
                uint32_t slot = group->slot[part * layout->n_packet + k];
                nj_type type = layout->col[group->column[k]].type;
                size_t size = nj_type_size(type);
                char *to = (char *)r->batch->col[group->column[k]].data + *tail * size;
                if (slot == NJ_NO_SLOT)
                    fill_missing(type, to, 1, group->missing[k]);
                else
                    memcpy(to, &r->slot[slot], size);
            }
            ++*tail;
        }
    }
    off[r->batch->n + 1] = (uint32_t)*tail;
    return 0;
}

static void finish_constants(nj_datum_reader *r)
{
    nj_batch *b = r->batch;
    for (uint32_t i = 0; i < r->plan->n_constants; i++) {
        const nj_constant *c = &r->plan->constant[i];
        size_t from = b->n, to = b->n + 1, size = nj_type_size((nj_type)c->type);
        if (b->col[c->column].off) {
            from = b->col[c->column].off[b->n];
            to = b->col[c->column].off[b->n + 1];
        }
        for (; from < to; from++)
            nj_put_constant((nj_type)c->type, (char *)b->col[c->column].data + from * size, c->text,
                            c->number);
    }
}

const uint8_t *nj_datum_record(nj_datum_reader *r, const uint8_t *datum, const uint8_t *end)
{
    const nj_plan *plan = r->plan;
    nj_batch *b = r->batch;
    r->end = end;
    r->depth = 0;
    r->reason = r->field = NULL;
    r->at = datum;
    r->index[NJ_AT_ROW] = b->n;
    for (uint32_t g = 0; g < plan->n_groups; g++)
        r->index[NJ_AT_GROUP + g] = b->col[plan->group[g].column[0]].off[b->n];
    memset(r->count, 0, plan->n_groups * NJ_MAP_PARTS * sizeof *r->count);
    b->id[b->n] = NJ_NO_I64;
    for (uint32_t i = 0; i < plan->n_preset; i++) nj_datum_preset(r, plan->preset[i]);
    const uint8_t *p = nj_datum_run(r, plan->op, datum);
    if (p) {
        finish_picks(r);
        for (uint32_t g = 0; g < plan->n_groups && p; g++)
            if (finish_group(r, g)) p = NULL;
        if (p) finish_constants(r);
    }
    if (b->arena.failed) { /* a text is missing that the packet has */
        p = NULL;
        r->reason = NULL;
    }
    if (!p) nj_datum_undo(r);
    return p;
}

void nj_datum_undo(nj_datum_reader *r)
{
    const nj_layout *layout = r->plan->layout;
    nj_batch *b = r->batch;
    for (uint32_t c = 0; c < layout->n_packet; c++) {
        nj_type type = layout->col[c].type;
        if (!b->col[c].off) nj_fill_null(type, (char *)b->col[c].data + b->n * nj_type_size(type), 1);
    }
    for (int s = 0; s < NJ_STAMPS; s++)
        if (b->stamp[s]) b->stamp[s][b->n] = (nj_stamp){ 0 };
}

static int room(nj_datum_reader *r, const nj_plan *plan)
{
    if (plan->n_targets > r->cap_targets) {
        free(r->base);
        r->base = malloc(plan->n_targets * sizeof *r->base);
        r->cap_targets = r->base ? plan->n_targets : 0;
    }
    if (plan->n_slots > r->cap_slots) {
        free(r->slot);
        r->slot = malloc(plan->n_slots * sizeof *r->slot);
        r->cap_slots = r->slot ? plan->n_slots : 0;
    }
    if (plan->n_groups + 1 > r->cap_groups) {
        size_t n = plan->n_groups + 1;
        free(r->index);
        free(r->from);
        free(r->count);
        r->index = calloc(n + NJ_AT_GROUP, sizeof *r->index);
        r->from = calloc(n * NJ_MAP_PARTS, sizeof *r->from);
        r->count = calloc(n * NJ_MAP_PARTS, sizeof *r->count);
        r->cap_groups = r->index && r->from && r->count ? n : 0;
    }
    return plan->n_targets > r->cap_targets || plan->n_slots > r->cap_slots || r->cap_groups == 0 ? -1 : 0;
}

/* Columns of a group share the leader's offsets; no series is without data, however short. */
static int begin_series(nj_datum_reader *r)
{
    for (uint32_t g = 0; g < r->plan->n_groups; g++) {
        const nj_plan_group *group = &r->plan->group[g];
        nj_col *lead = &r->batch->col[group->column[0]];
        if (lead->data) continue;
        r->index[NJ_AT_GROUP + g] = 0;
        if (nj_datum_reserve(r, g, 1)) return -1;
        for (uint32_t k = 1; k < group->n_columns; k++) r->batch->col[group->column[k]].off = lead->off;
    }
    return 0;
}

int nj_datum_begin(nj_datum_reader *r, const nj_plan *plan, nj_batch *batch)
{
    if (room(r, plan)) return -1;
    r->plan = plan;
    r->batch = batch;
    if (begin_series(r)) return -1;
    r->index[NJ_AT_SLOT] = 0;
    for (uint32_t i = 0; i < plan->n_targets; i++) {
        const nj_target *t = &plan->target[i];
        if (t->stamp)
            r->base[i] = (char *)batch->stamp[t->stamp - 1];
        else if (t->at == NJ_AT_SLOT)
            r->base[i] = (char *)&r->slot[t->slot];
        else if (t->column == nj_plan_id_column(plan->layout))
            r->base[i] = (char *)batch->id;
        else
            r->base[i] = (char *)batch->col[t->column].data;
    }
    return 0;
}

void nj_datum_free(nj_datum_reader *r)
{
    free(r->base);
    free(r->slot);
    free(r->index);
    free(r->from);
    free(r->count);
    *r = (nj_datum_reader){ 0 };
}
