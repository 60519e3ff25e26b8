/* lookup.c - which column a name stands for: a stamp, a view, what a module gives, or a field of the
 * packet. */
#include "resolver.h"

#include <stdlib.h>
#include <string.h>

/* What the packet has itself is not computed. */
static bool packet_has(const nj_resolver *r, const char *path)
{
    nj_type type;
    nj_shape shape;
    const char *unit = NULL;
    bool in_map = false;
    return r->offers->offer(r->offers->schema, path, &type, &shape, &unit, &in_map) >= 0 && in_map;
}

static int is_for(const nj_instance *in, const char *survey)
{
    size_t n = strlen(survey);
    for (const char *p = in->surveys; *p;) {
        p += strspn(p, ", ");
        size_t word = strcspn(p, ", ");
        if (word == n && !strncmp(p, survey, n)) return 1;
        p += word;
    }
    return 0;
}

int nj_resolver_serves(const nj_instance *in, const nj_offers *offers)
{
    if (!in->surveys || !in->surveys[0]) return 1;
    return is_for(in, offers->survey) || (offers->serves && is_for(in, offers->serves));
}

uint32_t nj_resolver_fails(nj_resolver *r)
{
    if (!r->failed) nj_fail(r->err, "out of memory");
    r->failed = true;
    return NJ_NO_COLUMN;
}

/* Room for one more in an array of the arena; the smaller one stays there, unused.
 * Column numbers end at NJ_OWN. */
static int grow(nj_resolver *r, void *array, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap) return 0;
    if (n >= NJ_OWN - 1) {
        if (!r->failed)
            nj_fail(r->err, "survey %s: more than %u columns in one graph; ask for fewer",
                    r->g->layout.survey, NJ_OWN - 1);
        r->failed = true;
        return -1;
    }
    void *old, *more;
    memcpy(&old, array, sizeof old);
    uint32_t room = *cap ? 2 * *cap : 256;
    if (!(more = nj_arena_alloc(&r->g->arena, room * size))) return (void)nj_resolver_fails(r), -1;
    if (n) memcpy(more, old, n * size);
    memcpy(array, &more, sizeof more);
    *cap = room;
    return 0;
}

static const char *own_name(nj_resolver *r, const nj_instance *in, const nj_give *give)
{
    return give->flags & NJ_GIVE_CANONICAL ? give->name
                                           : nj_arena_printf(&r->g->arena, "%s.%s", in->name, give->name);
}

uint32_t nj_resolver_take_in(nj_resolver *r, uint32_t i)
{
    const nj_instance *in = &r->g->set->item[i];
    if (r->first_out[i] == NJ_NO_COLUMN) {
        r->first_out[i] = r->n_own;
        r->queue[i] = 1;
        for (uint32_t k = 0; k < in->n_gives; k++) {
            const nj_give *give = &in->give[k];
            const char *path = own_name(r, in, give);
            if (!path) return nj_resolver_fails(r);
            if (grow(r, &r->own, r->n_own, &r->cap_own, sizeof *r->own)) return NJ_NO_COLUMN;
            r->own[r->n_own++] =
                (nj_column){ path,        give->unit, give->type, give->width ? NJ_SCALAR : NJ_SERIES,
                             give->width, -1,         (int32_t)i, k };
        }
    }
    return r->first_out[i];
}

static uint32_t derive(nj_resolver *r, const char *path, nj_derived d, nj_column column)
{
    if (!path) return nj_resolver_fails(r);
    for (uint32_t k = 0; k < r->n_own; k++)
        if (r->own[k].derived >= 0 && !strcmp(r->own[k].path, path) && r->own[k].type == column.type) {
            const nj_derived *have = &r->g->derived[r->own[k].derived];
            if (have->kind == d.kind && have->base == d.base && have->scale == d.scale) return NJ_OWN + k;
        }
    if (grow(r, &r->own, r->n_own, &r->cap_own, sizeof *r->own) ||
        grow(r, &r->g->derived, r->g->n_derived, &r->cap_derived, sizeof *r->g->derived))
        return NJ_NO_COLUMN;
    column.path = path;
    column.derived = (int32_t)r->g->n_derived;
    column.step = -1;
    r->g->derived[r->g->n_derived++] = d;
    r->own[r->n_own] = column;
    return NJ_OWN + r->n_own++;
}

static const char *two_units(nj_resolver *r, const char *have, const char *asked)
{
    const char *text = nj_arena_printf(&r->g->arena, "it is in %s, asked for in %s", have, asked);
    return text ? text : "the units do not convert";
}

/* A give, converted when the asker wants another number type or unit. */
static uint32_t from_give(nj_resolver *r, uint32_t own, nj_type type, const char *unit, nj_shape shape,
                          const char **why)
{
    nj_column have = r->own[own];
    double scale = nj_unit_factor(have.unit, unit);
    if (shape && have.shape != shape) return *why = "scalar and series do not match", NJ_NO_COLUMN;
    if (isnan(scale)) return *why = two_units(r, have.unit, unit), NJ_NO_COLUMN;
    if (!type || (type == have.type && scale == 1)) return NJ_OWN + own;
    if (type == NJ_STR || have.type == NJ_STR) return *why = "text and number do not match", NJ_NO_COLUMN;
    if (have.shape == NJ_SCALAR && have.width != 1) return *why = "a vector does not convert", NJ_NO_COLUMN;
    nj_derived d = { NJ_DERIVE_CONVERT, NJ_OWN + own, NJ_NO_COLUMN, 0, have.type, type, have.shape, scale };
    have.type = type;
    have.unit = unit ? unit : have.unit;
    return derive(r, have.path, d, have);
}

static uint32_t from_packet(nj_resolver *r, const char *path, nj_type type, const char *unit, nj_shape shape,
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
    if (!kept) return nj_resolver_fails(r);
    r->packet[r->n_packet] = (nj_column_def){ kept, type, have, unit ? unit : have_unit, scale };
    return r->n_packet++;
}

static nj_type type_of(const nj_resolver *r, uint32_t c)
{
    return c < NJ_OWN ? r->packet[c].type : r->own[c - NJ_OWN].type;
}
static const char *unit_of(const nj_resolver *r, uint32_t c)
{
    return c < NJ_OWN ? r->packet[c].unit : r->own[c - NJ_OWN].unit;
}

static uint32_t view(nj_resolver *r, const char *path, const char *at, nj_type type, const char *unit,
                     const char **why)
{
    static const char bands[] = "ugrizy";
    const char *base_path = nj_arena_text(&r->g->arena, path, (size_t)(at - path));
    if (!base_path) return nj_resolver_fails(r);
    int by_time = !strcmp(at, "@time") || !strcmp(at, "@sorted");
    const char *band = at[1] && !at[2] ? strchr(bands, at[1]) : NULL;
    if (!by_time && !band) return *why = "no such view (@time, @g, @r, ...)", NJ_NO_COLUMN;
    uint32_t base = nj_resolver_lookup(r, base_path, type, unit, NJ_SERIES, why);
    uint32_t key = by_time ? nj_resolver_lookup(r, "lc.jd", NJ_F64, "d", NJ_SERIES, why)
                           : nj_resolver_lookup(r, "lc.band", NJ_I32, NULL, NJ_SERIES, why);
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

static uint32_t stamp(nj_resolver *r, uint8_t s, const char **why)
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
static uint32_t plane(nj_resolver *r, const char *path, uint8_t s, const char *hdu, const char **why)
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
    if (!def->path || !def->hdu) return nj_resolver_fails(r);
    layout->plane = r->plane;
    return NJ_FIRST_STAMP + NJ_STAMPS + layout->n_planes++;
}

uint32_t nj_resolver_lookup(nj_resolver *r, const char *path, nj_type type, const char *unit, nj_shape shape,
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
        if (adapter && (!nj_resolver_serves(in, r->offers) || packet_has(r, path))) continue;
        for (uint32_t k = 0; k < in->n_gives; k++) {
            const nj_give *give = &in->give[k];
            int mine = give->flags & NJ_GIVE_CANONICAL ? !strcmp(give->name, path)
                                                       : !strncmp(path, in->name, n) && path[n] == '.' &&
                                                             !strcmp(path + n + 1, give->name);
            if (!mine) continue;
            if (r->off[i]) return *why = "its module is off for this survey", NJ_NO_COLUMN;
            uint32_t first = nj_resolver_take_in(r, i);
            return r->failed ? NJ_NO_COLUMN : from_give(r, first + k, type, unit, shape, why);
        }
        if (!adapter && !strncmp(path, in->name, n) && path[n] == '.')
            return *why = "that module has no such column", NJ_NO_COLUMN;
    }
    return from_packet(r, path, type, unit, shape, why);
}
