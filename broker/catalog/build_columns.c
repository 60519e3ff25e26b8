/* build_columns.c - which columns of the inputs go into a catalogue, of which names and types. */
#include "build_job.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../base/settings.h"

int nj_build_missing(const nj_build_job *j, const nj_table *t, const char *file, const char *what,
                     const char *name)
{
    const char *first = NULL;
    for (uint32_t i = 0; i < t->n_columns; i++) {
        if (strcasecmp(t->column[i].name, name) != 0) continue;
        if (first)
            return nj_fail(j->err, "%s: '%s' may be the column '%s' or '%s': write it as it stands there",
                           file, name, first, t->column[i].name);
        first = t->column[i].name;
    }
    const char **known = calloc(t->n_columns + 1, sizeof *known);
    char list[300] = "";
    for (uint32_t i = 0; known && i < t->n_columns; i++) {
        known[i] = t->column[i].name;
        size_t at = strlen(list);
        if (at < sizeof list - 80) snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", known[i]);
    }
    const char *near = known ? nj_nearest(name, known, t->n_columns) : NULL;
    nj_fail(j->err, "%s: no %s column '%s'%s%s%s (there are: %s)", file, what, name,
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", list);
    free(known);
    return -1;
}

/* The usual names of positions, the most specific first. */
const char *const nj_usual_ra[] = { "ra",      "RAdeg",  "_RAJ2000",       "RAJ2000",
                                    "RA_ICRS", "RAICRS", "raMean",         "meanra",
                                    "ramean",  "R.A.",   "RightAscension", "right_ascension",
                                    NULL };
const char *const nj_usual_dec[] = { "dec",         "DEdeg",       "_DEJ2000", "DEJ2000", "DE_ICRS",
                                     "DEICRS",      "decMean",     "meandec",  "decmean", "Dec",
                                     "Declination", "declination", NULL };

static int choose_position(const nj_build_job *j, const nj_table *t, const char *file, const char *asked,
                           const char *const *usual, const char *what, char out[72])
{
    if (asked) {
        int c = nj_table_find(t, asked);
        if (c < 0) return nj_build_missing(j, t, file, what, asked);
        snprintf(out, 72, "%s", t->column[c].name);
        return 0;
    }
    for (; *usual; usual++) {
        int c = nj_table_find(t, *usual);
        if (c < 0) continue;
        const char *other = nj_table_other_case(t, c);
        if (other)
            return nj_fail(j->err, "%s: '%s' and '%s' may both be the %s of the position: say --%s", file,
                           t->column[c].name, other, what, what);
        snprintf(out, 72, "%s", t->column[c].name);
        return 0;
    }
    return nj_build_missing(j, t, file, what, what);
}

void nj_catalog_name(const char *from, char to[48])
{
    size_t n = 0;
    if (!isalpha((unsigned char)*from)) to[n++] = 'c';
    for (; *from && n < 47; from++)
        to[n++] = isalnum((unsigned char)*from) ? (char)tolower((unsigned char)*from) : '_';
    while (n > 1 && to[n - 1] == '_') n--;
    to[n] = 0;
}

static int add_column(nj_build_job *j, const char *source, const char *name, nj_type type)
{
    if (j->n_columns == NJX_COLUMNS - 1)
        return nj_fail(j->err, "%s: more than %d columns: choose some with --columns", j->b->output,
                       NJX_COLUMNS - 1);
    nj_build_column *w = &j->column[j->n_columns];
    snprintf(w->source, sizeof w->source, "%s", source);
    nj_catalog_name(name, w->name);
    w->type = type;
    for (uint32_t i = 0; i < j->n_columns; i++)
        if (!strcmp(j->column[i].name, w->name))
            return nj_fail(j->err,
                           "two columns would be called '%s' ('%s' and '%s'): give one another name "
                           "(--columns '%s:NAME')",
                           w->name, j->column[i].source, source, source);
    if (j->b->number && !strcmp(j->b->number, w->name))
        return nj_fail(j->err, "two columns would be called '%s': choose another name for --number", w->name);
    j->n_columns++;
    return 0;
}

static int parse_columns(nj_build_job *j)
{
    static const struct {
        const char *name;
        nj_type type;
    } types[] = { { "u8", NJ_U8 },   { "i32", NJ_I32 }, { "i64", NJ_I64 },
                  { "f32", NJ_F32 }, { "f64", NJ_F64 }, { "str", NJ_STR } };
    for (const char *p = j->b->columns; p && *p;) {
        char item[200], *part[3] = { item, NULL, NULL };
        size_t n = strcspn(p, ",");
        if (n >= sizeof item) return nj_fail(j->err, "--columns: '%.40s...' is too long", p);
        memcpy(item, p, n);
        item[n] = 0;
        p += n + (p[n] == ',');
        for (int k = 1; k < 3 && part[k - 1]; k++)
            if ((part[k] = strchr(part[k - 1], ':'))) *part[k]++ = 0;
        while (*part[0] == ' ') part[0]++;
        for (size_t end = strlen(part[0]); end && part[0][end - 1] == ' ';) part[0][--end] = 0;
        nj_type type = 0;
        for (size_t k = 0; part[2] && k < sizeof types / sizeof *types; k++)
            if (!strcmp(types[k].name, part[2])) type = types[k].type;
        if (part[2] && !type)
            return nj_fail(j->err, "--columns: '%s' is no type: u8, i32, i64, f32, f64 or str", part[2]);
        if (!*part[0]) return nj_fail(j->err, "--columns: an empty name");
        if (add_column(j, part[0], part[1] && *part[1] ? part[1] : part[0], type)) return -1;
    }
    return 0;
}

/* Settles what the first input decides: positions, all columns when none were chosen, types, units. */
int nj_build_settle(nj_build_job *j, const nj_table *t)
{
    const nj_catalog_build *b = j->b;
    if (choose_position(j, t, j->file[0], b->ra, nj_usual_ra, "ra", j->ra) ||
        choose_position(j, t, j->file[0], b->dec, nj_usual_dec, "dec", j->dec))
        return -1;
    if (b->columns && parse_columns(j)) return -1;
    for (uint32_t i = 0; !b->columns && i < t->n_columns; i++) {
        const char *name = t->column[i].name;
        if (!strcmp(name, j->ra) || !strcmp(name, j->dec) || !*name) continue;
        if (add_column(j, name, name, 0)) return -1;
    }
    for (uint32_t i = 0; i < j->n_columns; i++) {
        int c = nj_table_find(t, j->column[i].source);
        if (c < 0) return nj_build_missing(j, t, j->file[0], "such", j->column[i].source);
        nj_build_column *w = &j->column[i];
        w->asked = w->type != 0;
        if (!w->asked) {
            w->type = j->instead[i] ? j->instead[i] : t->column[c].type;
            w->guessed = !t->column[c].declared;
            w->big = t->column[c].big;
        }
        snprintf(j->column[i].unit, sizeof j->column[i].unit, "%s", t->column[c].unit);
    }
    return 0;
}

int nj_build_create(nj_build_job *j)
{
    nj_sky_column column[NJX_COLUMNS];
    char source[256] = "";
    for (uint32_t i = 0; i < j->n_columns; i++)
        column[i] = (nj_sky_column){ j->column[i].name, j->column[i].type, j->column[i].unit };
    uint32_t n = j->n_columns;
    if (j->b->number) column[n++] = (nj_sky_column){ j->b->number, NJ_I64, "" };
    for (uint32_t i = 0; i < j->n_files; i++) {
        const char *slash = strrchr(j->file[i], '/'), *name = slash ? slash + 1 : j->file[i];
        size_t at = strlen(source);
        if (at + strlen(name) + 8 > sizeof source) {
            snprintf(source + at, sizeof source - at, " ...");
            break;
        }
        snprintf(source + at, sizeof source - at, "%s%s", i ? " " : "", name);
    }
    njx_options o = { .path = j->b->output,
                      .source = source,
                      .frame = j->b->frame ? j->b->frame : "icrs",
                      .epoch_year = j->b->epoch_year,
                      .radius_arcsec = j->b->radius_arcsec,
                      .memory_bytes = j->b->memory_bytes,
                      .has_motion = j->b->pm_ra && j->b->pm_dec,
                      .compact = j->b->compact,
                      .n_columns = n,
                      .column = column };
    j->writer = njx_create(&o, j->err->text, sizeof j->err->text);
    return j->writer ? 0 : -1;
}
