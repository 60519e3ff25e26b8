/* graph.c - modules name the columns they need and give; this resolves the names for one survey and orders
 * the modules. */
#include "graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"

/* While resolving, own columns (gives, derived) are numbered from OWN on; packet columns from 0.
 * Renumbered at the end. */
enum { OWN = 1u << 20 };

typedef struct resolver {
    nj_graph *g;
    const nj_offers *offers;
    nj_column_def *packet;
    uint32_t n_packet, cap_packet, n_own, cap_own, cap_derived;
    nj_column *own;
    bool failed;         /* err says why: memory, or a limit */
    uint32_t *first_out; /* [instance] own number of its first give, or NJ_NO_COLUMN: not taken in yet */
    uint32_t **col;      /* [instance][need] */
    const char **off;    /* [instance] why it cannot run */
    nj_plane_def *plane; /* [NJ_PLANES] those of the layout */
    uint8_t *queue;      /* [instance] 1 = to be resolved, 2 = done */
    nj_error *err;
} resolver;

static uint32_t lookup(resolver *r, const char *path, nj_type type, const char *unit, nj_shape shape,
                       const char **why);

/* Is the survey one of the instance's ("ztf, babamul")? */
static int serves(const nj_instance *in, const char *survey)
{
    size_t n = strlen(survey);
    if (!in->surveys || !in->surveys[0]) return 1;
    for (const char *p = in->surveys; *p;) {
        p += strspn(p, ", ");
        size_t word = strcspn(p, ", ");
        if (word == n && !strncmp(p, survey, n)) return 1;
        p += word;
    }
    return 0;
}

static uint32_t fails(resolver *r)
{
    if (!r->failed) nj_fail(r->err, "out of memory");
    r->failed = true;
    return NJ_NO_COLUMN;
}

/* Room for one more in an array of the arena; the smaller one stays there, unused.
 * Column numbers end at OWN. */
static int grow(resolver *r, void *array, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap) return 0;
    if (n >= OWN - 1) {
        if (!r->failed)
            nj_fail(r->err, "survey %s: more than %u columns in one graph; ask for fewer",
                    r->g->layout.survey, OWN - 1);
        r->failed = true;
        return -1;
    }
    void *old, *more;
    memcpy(&old, array, sizeof old);
    uint32_t room = *cap ? 2 * *cap : 256;
    if (!(more = nj_arena_alloc(&r->g->arena, room * size))) return (void)fails(r), -1;
    if (n) memcpy(more, old, n * size);
    memcpy(array, &more, sizeof more);
    *cap = room;
    return 0;
}

static const char *own_name(resolver *r, const nj_instance *in, const nj_give *give)
{
    return give->flags & NJ_GIVE_CANONICAL ? give->name
                                           : nj_arena_printf(&r->g->arena, "%s.%s", in->name, give->name);
}

/* Takes an instance in: its gives get columns, its needs are resolved later. */
static uint32_t take_in(resolver *r, uint32_t i)
{
    const nj_instance *in = &r->g->set->item[i];
    if (r->first_out[i] == NJ_NO_COLUMN) {
        r->first_out[i] = r->n_own;
        r->queue[i] = 1;
        for (uint32_t k = 0; k < in->n_gives; k++) {
            const nj_give *give = &in->give[k];
            const char *path = own_name(r, in, give);
            if (!path) return fails(r);
            if (grow(r, &r->own, r->n_own, &r->cap_own, sizeof *r->own)) return NJ_NO_COLUMN;
            r->own[r->n_own++] =
                (nj_column){ path,        give->unit, give->type, give->width ? NJ_SCALAR : NJ_SERIES,
                             give->width, -1,         (int32_t)i, k };
        }
    }
    return r->first_out[i];
}

static uint32_t derive(resolver *r, const char *path, nj_derived d, nj_column column)
{
    if (!path) return fails(r);
    for (uint32_t k = 0; k < r->n_own; k++)
        if (r->own[k].derived >= 0 && !strcmp(r->own[k].path, path) && r->own[k].type == column.type) {
            const nj_derived *have = &r->g->derived[r->own[k].derived];
            if (have->kind == d.kind && have->base == d.base && have->scale == d.scale) return OWN + k;
        }
    if (grow(r, &r->own, r->n_own, &r->cap_own, sizeof *r->own) ||
        grow(r, &r->g->derived, r->g->n_derived, &r->cap_derived, sizeof *r->g->derived))
        return NJ_NO_COLUMN;
    column.path = path;
    column.derived = (int32_t)r->g->n_derived;
    column.step = -1;
    r->g->derived[r->g->n_derived++] = d;
    r->own[r->n_own] = column;
    return OWN + r->n_own++;
}

static const char *two_units(resolver *r, const char *have, const char *asked)
{
    const char *text = nj_arena_printf(&r->g->arena, "it is in %s, asked for in %s", have, asked);
    return text ? text : "the units do not convert";
}

/* A give, converted when the asker wants another number type or unit. */
static uint32_t from_give(resolver *r, uint32_t own, nj_type type, const char *unit, nj_shape shape,
                          const char **why)
{
    nj_column have = r->own[own];
    double scale = nj_unit_factor(have.unit, unit);
    if (shape && have.shape != shape) return *why = "scalar and series do not match", NJ_NO_COLUMN;
    if (isnan(scale)) return *why = two_units(r, have.unit, unit), NJ_NO_COLUMN;
    if (!type || (type == have.type && scale == 1)) return OWN + own;
    if (type == NJ_STR || have.type == NJ_STR) return *why = "text and number do not match", NJ_NO_COLUMN;
    if (have.shape == NJ_SCALAR && have.width != 1) return *why = "a vector does not convert", NJ_NO_COLUMN;
    nj_derived d = { NJ_DERIVE_CONVERT, OWN + own, NJ_NO_COLUMN, 0, have.type, type, have.shape, scale };
    have.type = type;
    have.unit = unit ? unit : have.unit;
    return derive(r, have.path, d, have);
}

static uint32_t from_packet(resolver *r, const char *path, nj_type type, const char *unit, nj_shape shape,
                            const char **why)
{
    nj_type natural;
    nj_shape have;
    const char *have_unit = NULL;
    bool in_map = false;
    int offered = r->offers->offer(r->offers->schema, path, &natural, &have, &have_unit, &in_map),
        found = offered >= 0;
    if (!found && !in_map && strncmp(path, "packet.", 7)) return *why = "nothing gives it", NJ_NO_COLUMN;
    if (!found && !in_map) { /* a raw path that this schema lacks: null, and other schemas may have it */
        have = strstr(path, "[]") ? NJ_SERIES : NJ_SCALAR;
        natural = type ? type : NJ_F64;
    }
    if (shape && have != shape) return *why = "scalar and series do not match", NJ_NO_COLUMN;
    double scale = nj_unit_factor(have_unit, unit);
    if (isnan(scale)) return *why = two_units(r, have_unit, unit), NJ_NO_COLUMN;
    if (!type) type = natural;
    /* a raw text can be had of anything; a number of a text only where there are numbers, too */
    bool convert = offered == 1 || (type == NJ_STR && !in_map && !strncmp(path, "packet.", 7));
    if (found && !convert && (type == NJ_STR) != (natural == NJ_STR))
        return *why = "text and number do not match", NJ_NO_COLUMN;
    for (uint32_t k = 0; k < r->n_packet; k++)
        if (!strcmp(r->packet[k].path, path) && r->packet[k].type == type && r->packet[k].scale == scale)
            return k;
    if (grow(r, &r->packet, r->n_packet, &r->cap_packet, sizeof *r->packet)) return NJ_NO_COLUMN;
    const char *kept = nj_arena_text(&r->g->arena, path, strlen(path));
    if (!kept) return fails(r);
    r->packet[r->n_packet] = (nj_column_def){ kept, type, have, unit ? unit : have_unit, scale };
    return r->n_packet++;
}

static nj_type type_of(const resolver *r, uint32_t c)
{
    return c < OWN ? r->packet[c].type : r->own[c - OWN].type;
}
static const char *unit_of(const resolver *r, uint32_t c)
{
    return c < OWN ? r->packet[c].unit : r->own[c - OWN].unit;
}

static uint32_t view(resolver *r, const char *path, const char *at, nj_type type, const char *unit,
                     const char **why)
{
    static const char bands[] = "ugrizy";
    const char *base_path = nj_arena_text(&r->g->arena, path, (size_t)(at - path));
    if (!base_path) return fails(r);
    int by_time = !strcmp(at, "@time") || !strcmp(at, "@sorted");
    const char *band = at[1] && !at[2] ? strchr(bands, at[1]) : NULL;
    if (!by_time && !band) return *why = "no such view (@time, @g, @r, ...)", NJ_NO_COLUMN;
    uint32_t base = lookup(r, base_path, type, unit, NJ_SERIES, why);
    uint32_t key = by_time ? lookup(r, "lc.jd", NJ_F64, "d", NJ_SERIES, why)
                           : lookup(r, "lc.band", NJ_I32, NULL, NJ_SERIES, why);
    if (base == NJ_NO_COLUMN || key == NJ_NO_COLUMN) return NJ_NO_COLUMN;
    nj_type t = type_of(r, base);
    nj_derived d = { by_time ? NJ_DERIVE_TIME : NJ_DERIVE_BAND,
                     base,
                     key,
                     band ? (int32_t)(band - bands) : 0,
                     t,
                     t,
                     NJ_SERIES,
                     1 };
    nj_column column = { path, unit_of(r, base), t, NJ_SERIES, 0, -1, -1, 0 };
    return derive(r, nj_arena_text(&r->g->arena, path, strlen(path)), d, column);
}

static uint32_t stamp(resolver *r, uint8_t s, const char **why)
{
    nj_type t;
    nj_shape have;
    const char *u;
    bool in_map = false;
    if (r->offers->offer(r->offers->schema, nj_stamp_name[s], &t, &have, &u, &in_map) && !in_map)
        return *why = "nothing gives it", NJ_NO_COLUMN;
    r->g->layout.stamps |= (uint8_t)(1u << s);
    return NJ_FIRST_STAMP + s;
}

/* Another HDU of a stamp: the stamp itself with a name or number of one. */
static uint32_t plane(resolver *r, const char *path, uint8_t s, const char *hdu, const char **why)
{
    nj_layout *layout = &r->g->layout;
    uint32_t base = stamp(r, s, why);
    if (base == NJ_NO_COLUMN || !strcmp(hdu, "0]")) return base;
    for (uint32_t k = 0; k < layout->n_planes; k++)
        if (!strcmp(r->plane[k].path, path)) return NJ_FIRST_STAMP + NJ_STAMPS + k;
    if (layout->n_planes == NJ_PLANES) {
        if (!r->failed)
            nj_fail(r->err, "%s: modules ask for more than %d different HDUs of one survey's stamps", path,
                    NJ_PLANES);
        r->failed = true;
        return NJ_NO_COLUMN;
    }
    nj_plane_def *def = &r->plane[layout->n_planes];
    *def = (nj_plane_def){ nj_arena_text(&r->g->arena, path, strlen(path)),
                           nj_arena_text(&r->g->arena, hdu, strlen(hdu) - 1), s };
    if (!def->path || !def->hdu) return fails(r);
    layout->plane = r->plane;
    return NJ_FIRST_STAMP + NJ_STAMPS + layout->n_planes++;
}

static uint32_t lookup(resolver *r, const char *path, nj_type type, const char *unit, nj_shape shape,
                       const char **why)
{
    const nj_instances *set = r->g->set;
    const char *hdu;
    uint8_t which;
    for (uint8_t s = 0; s < NJ_STAMPS; s++)
        if (!strcmp(path, nj_stamp_name[s])) return stamp(r, s, why);
    if (nj_plane_path(path, &which, &hdu)) return plane(r, path, which, hdu, why);
    const char *at = strchr(path, '@');
    if (at) return view(r, path, at, type, unit, why);
    for (uint32_t i = 0; i < set->n; i++) {
        const nj_instance *in = &set->item[i];
        size_t n = strlen(in->name);
        bool adapter = in->module->flags & NJ_MODULE_ADAPTER;
        if (adapter && !serves(in, r->offers->survey)) continue;
        for (uint32_t k = 0; k < in->n_gives; k++) {
            const nj_give *give = &in->give[k];
            int mine = give->flags & NJ_GIVE_CANONICAL ? !strcmp(give->name, path)
                                                       : !strncmp(path, in->name, n) && path[n] == '.' &&
                                                             !strcmp(path + n + 1, give->name);
            if (!mine) continue;
            if (r->off[i]) return *why = "its module is off for this survey", NJ_NO_COLUMN;
            uint32_t first = take_in(r, i);
            return r->failed ? NJ_NO_COLUMN : from_give(r, first + k, type, unit, shape, why);
        }
        if (!adapter && !strncmp(path, in->name, n) && path[n] == '.')
            return *why = "that module has no such column", NJ_NO_COLUMN;
    }
    return from_packet(r, path, type, unit, shape, why);
}

static int resolve_instance(resolver *r, uint32_t i)
{
    const nj_instance *in = &r->g->set->item[i];
    r->col[i] = nj_arena_alloc(&r->g->arena, (in->n_needs + 1) * sizeof *r->col[i]);
    if (!r->col[i]) return nj_fail(r->err, "out of memory");
    r->queue[i] = 2;
    if (!serves(in, r->offers->survey)) {
        for (uint32_t k = 0; k < in->n_needs; k++) r->col[i][k] = NJ_NO_COLUMN;
        r->off[i] = nj_arena_printf(&r->g->arena, "it is for %s alerts only (surveys)", in->surveys);
        return r->off[i] ? 0 : nj_fail(r->err, "out of memory");
    }
    for (uint32_t k = 0; k < in->n_needs; k++) {
        const nj_need *need = &in->need[k];
        const char *why = NULL;
        uint32_t c =
            lookup(r, need->path, need->shape == NJ_IMAGE ? 0 : need->type, need->unit, need->shape, &why);
        r->col[i][k] = c;
        if (c == NJ_NO_COLUMN && !(need->flags & NJ_NEED_OPTIONAL) && !r->off[i]) {
            r->off[i] =
                nj_arena_printf(&r->g->arena, "it needs %s: %s", need->path, why ? why : "nothing gives it");
            if (!r->off[i]) fails(r);
        }
        if (r->failed) return -1;
    }
    return 0;
}

/* The instances a column depends on, as marks. */
static void mark_deps(const resolver *r, uint32_t c, uint8_t *mark)
{
    if (c == NJ_NO_COLUMN || c >= NJ_FIRST_STAMP || c < OWN) return;
    const nj_column *column = &r->own[c - OWN];
    if (column->derived >= 0) {
        mark_deps(r, r->g->derived[column->derived].base, mark);
        mark_deps(r, r->g->derived[column->derived].key, mark);
    } else {
        mark[column->step] = 1;
    }
}

/* Kahn's algorithm in table order; what is left over is a cycle. */
static int order(resolver *r, uint32_t *out, uint32_t *n_out)
{
    uint32_t n = r->g->set->n, done = 0, want = 0;
    uint8_t *dep = calloc((size_t)n * n + 1, 1), *placed = calloc(n + 1, 1);
    if (!dep || !placed) return free(dep), free(placed), nj_fail(r->err, "out of memory");
    for (uint32_t i = 0; i < n; i++) {
        if (r->queue[i] != 2) continue;
        want++;
        for (uint32_t k = 0; k < r->g->set->item[i].n_needs; k++)
            mark_deps(r, r->col[i][k], dep + (size_t)i * n);
    }
    for (int moved = 1; moved;) {
        moved = 0;
        for (uint32_t i = 0; i < n; i++) {
            int ready = r->queue[i] == 2 && !placed[i];
            for (uint32_t k = 0; k < n && ready; k++) ready = !dep[(size_t)i * n + k] || placed[k];
            if (!ready) continue;
            placed[i] = 1;
            out[done++] = i;
            moved = 1;
        }
    }
    int rc = 0;
    if (done < want) {
        nj_buffer names = { 0 };
        uint32_t i = 0;
        while (i < n && (r->queue[i] != 2 || placed[i])) i++;
        for (uint32_t hops = 0; hops <= n && i < n; hops++) { /* walk the unplaced dependencies
                                                               * until one repeats */
            nj_buffer_printf(&names, "%s -> ", r->g->set->item[i].name);
            if (placed[i] == 2) break;
            placed[i] = 2;
            uint32_t k = 0;
            while (k < n && !(dep[(size_t)i * n + k] && placed[k] != 1)) k++;
            i = k;
        }
        rc = nj_fail(r->err, "modules need each other in a circle: %.*s",
                     (int)(names.n > 4 ? names.n - 4 : 0), names.data ? names.data : "");
        nj_buffer_free(&names);
    }
    *n_out = done;
    free(dep);
    free(placed);
    return rc;
}

static uint32_t renumber(const resolver *r, uint32_t c)
{
    return c == NJ_NO_COLUMN || c >= NJ_FIRST_STAMP || c < OWN ? c : r->n_packet + (c - OWN);
}

static void add_prepare(const nj_graph *g, uint32_t c, uint32_t *list, uint32_t *n)
{
    if (c == NJ_NO_COLUMN || c >= NJ_FIRST_STAMP || g->col[c].derived < 0) return;
    add_prepare(g, g->derived[g->col[c].derived].base, list, n);
    add_prepare(g, g->derived[g->col[c].derived].key, list, n);
    for (uint32_t i = 0; i < *n; i++)
        if (list[i] == c) return;
    list[(*n)++] = c;
}

/* The packet columns that a column cannot be without:
 * itself, or those that the step which gives it requires. */
static void add_required(const nj_graph *g, uint32_t c, uint32_t *list, uint32_t *n)
{
    if (c == NJ_NO_COLUMN || c >= NJ_FIRST_STAMP) return;
    if (c >= g->layout.n_packet && g->col[c].derived >= 0) {
        add_required(g, g->derived[g->col[c].derived].base, list, n);
    } else if (c >= g->layout.n_packet) {
        const nj_step *giver = &g->step[g->col[c].step]; /* stands before its users,
                                                          * so its own list is complete */
        for (uint32_t k = 0; k < giver->n_required; k++) add_required(g, giver->required[k], list, n);
    } else {
        for (uint32_t k = 0; k < *n; k++)
            if (list[k] == c) return;
        list[(*n)++] = c;
    }
}

/* The first n of a list, in the arena. */
static const uint32_t *keep_list(nj_graph *g, const uint32_t *list, uint32_t n)
{
    uint32_t *kept = nj_arena_alloc(&g->arena, n * sizeof n + 4);
    if (kept && n) memcpy(kept, list, n * sizeof n);
    return kept;
}

/* list: room for each column once. */
static int build_step(resolver *r, nj_step *s, uint32_t i, uint32_t *list)
{
    nj_graph *g = r->g;
    const nj_instance *in = &g->set->item[i];
    uint32_t n = 0;
    for (uint32_t k = 0; k < in->n_needs; k++) r->col[i][k] = renumber(r, r->col[i][k]);
    *s = (nj_step){ .in = in,
                    .instance = i,
                    .col = r->col[i],
                    .first_out = g->layout.n_packet + r->first_out[i],
                    .off = r->off[i] };
    for (uint32_t k = 0; k < in->n_needs; k++) add_prepare(g, r->col[i][k], list, &n);
    s->prepare = keep_list(g, list, n);
    s->n_prepare = n;
    n = 0;
    for (uint32_t k = 0; k < in->n_needs; k++)
        if (!(in->need[k].flags & NJ_NEED_OPTIONAL)) add_required(g, r->col[i][k], list, &n);
    s->required = keep_list(g, list, n);
    s->n_required = n;
    return s->prepare && s->required ? 0 : -1;
}

static int finish(resolver *r, const uint32_t *sequence, uint32_t n_steps)
{
    nj_graph *g = r->g;
    g->layout.n_packet = r->n_packet;
    g->layout.n = r->n_packet + r->n_own;
    g->layout.col = r->packet;
    g->n_steps = n_steps;
    g->col = nj_arena_zalloc(&g->arena, (g->layout.n + 1) * sizeof *g->col);
    g->step = nj_arena_zalloc(&g->arena, (n_steps + 1) * sizeof *g->step);
    g->step_of = nj_arena_alloc(&g->arena, (g->set->n + 1) * sizeof *g->step_of);
    uint32_t *list = nj_arena_alloc(&g->arena, (g->layout.n + 1) * sizeof *list);
    if (!g->col || !g->step || !g->step_of || !list) return nj_fail(r->err, "out of memory");
    for (uint32_t i = 0; i < g->set->n; i++) g->step_of[i] = -1;
    for (uint32_t s = 0; s < n_steps; s++) g->step_of[sequence[s]] = (int32_t)s;
    for (uint32_t c = 0; c < r->n_packet; c++)
        g->col[c] = (nj_column){
            r->packet[c].path, r->packet[c].unit, r->packet[c].type, r->packet[c].shape, 1, -1, -1, 0
        };
    for (uint32_t k = 0; k < r->n_own; k++) {
        nj_column *column = &g->col[r->n_packet + k];
        *column = r->own[k];
        if (column->step >= 0) column->step = g->step_of[column->step];
    }
    for (uint32_t k = 0; k < g->n_derived; k++) {
        g->derived[k].base = renumber(r, g->derived[k].base);
        g->derived[k].key = renumber(r, g->derived[k].key);
    }
    for (uint32_t s = 0; s < n_steps; s++)
        if (build_step(r, &g->step[s], sequence[s], list)) return nj_fail(r->err, "out of memory");
    for (uint32_t k = 0; k < g->n_wants; k++) g->want[k] = renumber(r, g->want[k]);
    return 0;
}

static int resolve(resolver *r, const nj_want *want)
{
    nj_graph *g = r->g;
    uint32_t n = g->set->n, n_steps = 0;
    for (uint32_t i = 0; i < n; i++) {
        r->first_out[i] = NJ_NO_COLUMN;
        if (g->set->item[i].wanted) take_in(r, i);
        if (r->failed) return -1;
    }
    for (uint32_t k = 0; k < g->n_wants; k++) {
        const char *why = NULL;
        g->want[k] = lookup(r, want[k].path, want[k].type, want[k].unit, 0, &why);
        if (r->failed) return -1;
    }
    for (int more = 1; more;) { /* resolving an instance can take in an adapter */
        more = 0;
        for (uint32_t i = 0; i < n; i++)
            if (r->queue[i] == 1) {
                if (resolve_instance(r, i)) return -1;
                more = 1;
            }
    }
    /* an instance whose required need comes from one that is off, is off too */
    for (int again = 1; again;) {
        again = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (r->queue[i] != 2 || r->off[i]) continue;
            const nj_instance *in = &g->set->item[i];
            for (uint32_t k = 0; k < in->n_needs && !r->off[i]; k++) {
                uint32_t c = r->col[i][k];
                while (c != NJ_NO_COLUMN && c < NJ_FIRST_STAMP && c >= OWN && r->own[c - OWN].derived >= 0)
                    c = g->derived[r->own[c - OWN].derived].base;
                if (in->need[k].flags & NJ_NEED_OPTIONAL || c == NJ_NO_COLUMN || c >= NJ_FIRST_STAMP ||
                    c < OWN)
                    continue;
                if (!r->off[r->own[c - OWN].step]) continue;
                r->off[i] = nj_arena_printf(&g->arena, "it needs %s, which is off", in->need[k].path);
                if (!r->off[i]) return nj_fail(r->err, "out of memory");
                again = 1;
            }
        }
    }
    uint32_t *sequence = nj_arena_alloc(&g->arena, (n + 1) * sizeof *sequence);
    if (!sequence) return nj_fail(r->err, "out of memory");
    if (order(r, sequence, &n_steps)) return -1;
    return finish(r, sequence, n_steps);
}

nj_graph *nj_graph_new(const nj_instances *set, const nj_offers *offers, const nj_want *want,
                       uint32_t n_wants, nj_error *err)
{
    nj_graph *g = calloc(1, sizeof *g);
    if (!g) return nj_fail(err, "out of memory"), NULL;
    nj_arena *a = &g->arena;
    g->set = set;
    g->layout.survey = nj_arena_text(a, offers->survey, strlen(offers->survey));
    g->n_wants = n_wants;
    g->want = nj_arena_alloc(a, (n_wants + 1) * sizeof *g->want);
    resolver r = { .g = g,
                   .offers = offers,
                   .err = err,
                   .first_out = nj_arena_alloc(a, (set->n + 1) * sizeof *r.first_out),
                   .col = nj_arena_zalloc(a, (set->n + 1) * sizeof *r.col),
                   .off = nj_arena_zalloc(a, (set->n + 1) * sizeof *r.off),
                   .plane = nj_arena_zalloc(a, NJ_PLANES * sizeof *r.plane),
                   .queue = nj_arena_zalloc(a, set->n + 1) };
    int ok = g->layout.survey && g->want && r.first_out && r.col && r.off && r.plane && r.queue;
    if (!ok) nj_fail(err, "out of memory");
    if (!ok || resolve(&r, want)) {
        nj_graph_free(g);
        return NULL;
    }
    return g;
}

void nj_graph_free(nj_graph *g)
{
    if (!g) return;
    nj_arena_free(&g->arena);
    free(g);
}

static const char *giver(const nj_graph *g, uint32_t c)
{
    if (c >= NJ_FIRST_STAMP) return "packet";
    while (g->col[c].derived >= 0) c = g->derived[g->col[c].derived].base;
    return g->col[c].step >= 0 ? g->step[g->col[c].step].in->name : "packet";
}

void nj_graph_print(const nj_graph *g, int dot, nj_buffer *out)
{
    if (dot)
        nj_buffer_printf(out, "digraph \"%s\" {\n  rankdir=LR; node [shape=box];\n", g->layout.survey);
    else
        nj_buffer_printf(out, "survey %s: %u columns from the packet, %u modules\n", g->layout.survey,
                         g->layout.n_packet, g->n_steps);
    for (uint32_t s = 0; s < g->n_steps; s++) {
        const nj_step *step = &g->step[s];
        if (!dot)
            nj_buffer_printf(out, "%2u %-20s%s%s\n", s + 1, step->in->name, step->off ? " off: " : "",
                             step->off ? step->off : "");
        for (uint32_t k = 0; k < step->in->n_needs; k++) {
            uint32_t c = step->col[k];
            const char *path = step->in->need[k].path, *from = c == NJ_NO_COLUMN ? "(absent)" : giver(g, c);
            if (dot)
                nj_buffer_printf(out, "  \"%s\" -> \"%s\" [label=\"%s\"%s];\n", from, step->in->name, path,
                                 c == NJ_NO_COLUMN ? ",style=dotted" : "");
            else
                nj_buffer_printf(out, "      %-36s from %s%s\n", path, from,
                                 step->in->need[k].flags & NJ_NEED_OPTIONAL ? " (optional)" : "");
        }
    }
    if (dot) nj_buffer_text(out, "}\n");
}
