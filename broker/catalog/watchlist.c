/* watchlist.c - people keep watchlists by hand, with radii, owners and dates in many forms: each row is
 * checked before it becomes one of a catalogue, so that what is wrong is named and left out alone. */
#include "watchlist.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "../base/settings.h"
#include "build_job.h"

enum { RA, DEC, ID, RADIUS, OWNER, EXPIRES, OWN };

static const char *const usual_id[] = { "id",          "name",   "objname", "object", "objectId",
                                        "designation", "source", "objid",   NULL };
static const char *const usual_radius[] = { "radius", "radius_arcsec", "rad", "match_radius", NULL };
static const char *const usual_owner[] = { "owner", "user", "contact", "group", "email", NULL };
static const char *const usual_expires[] = { "expires", "expiry",      "expire", "expiration",
                                             "until",   "valid_until", NULL };

typedef struct reader {
    const nj_watchlist *list;
    nj_watched *got;
    nj_table *table;
    int column[OWN + NJ_WATCH_EXTRA]; /* of the table; -1 = none */
    int cell[OWN + NJ_WATCH_EXTRA];   /* of a row */
    nj_angle_form angle[2];
    double radius_factor; /* to arcsec */
    uint64_t row;
    nj_error *err;
} reader;

static int missing(const reader *r, const char *what, const char *name)
{
    char list[400] = "";
    const char *known[256];
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->table->n_columns; i++) {
        size_t at = strlen(list);
        snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", r->table->column[i].name);
        if (n < 256) known[n++] = r->table->column[i].name;
    }
    const char *near = nj_nearest(name, known, n);
    return nj_fail(r->err, "%s: no %scolumn '%s'%s%s%s (there are: %s)", r->list->path, what, name,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", list);
}

/* The column that the user names, or the first of the usual names that the list has. */
static int choose(reader *r, int which, const char *asked, const char *const *usual, const char *option,
                  char name[72])
{
    int c = -1;
    if (asked && (c = nj_table_find(r->table, asked)) < 0) return missing(r, "", asked);
    for (; c < 0 && *usual; usual++) c = nj_table_find(r->table, *usual);
    const char *other = c >= 0 && !asked ? nj_table_other_case(r->table, c) : NULL;
    if (other)
        return nj_fail(r->err, "%s: '%s' and '%s' may both be meant: say --%s", r->list->path,
                       r->table->column[c].name, other, option);
    r->column[which] = c;
    if (c >= 0) snprintf(name, 72, "%s", r->table->column[c].name);
    return 0;
}

static int choose_extra(reader *r)
{
    char item[72];
    for (const char *at = r->list->columns; at && *at;) {
        size_t n = strcspn(at, ",");
        snprintf(item, sizeof item, "%.*s", (int)(n < 71 ? n : 71), at + strspn(at, " "));
        at += n + (at[n] == ',');
        if (!*item) continue;
        int c = nj_table_find(r->table, item);
        if (c < 0) return missing(r, "", item);
        if (r->got->n_extra == NJ_WATCH_EXTRA)
            return nj_fail(r->err, "--columns: more than %d", NJ_WATCH_EXTRA);
        r->column[OWN + r->got->n_extra] = c;
        snprintf(r->got->extra[r->got->n_extra++], 72, "%s", r->table->column[c].name);
    }
    return 0;
}

static int choose_columns(reader *r)
{
    const nj_watchlist *l = r->list;
    nj_watched *g = r->got;
    if (choose(r, RA, l->ra, nj_usual_ra, "ra", g->ra) || choose(r, DEC, l->dec, nj_usual_dec, "dec", g->dec))
        return -1;
    if (r->column[RA] < 0) return missing(r, "position: no ", "ra");
    if (r->column[DEC] < 0) return missing(r, "position: no ", "dec");
    if (choose(r, ID, l->id, usual_id, "id", g->id) ||
        choose(r, RADIUS, l->radius, usual_radius, "radius-column", g->radius) ||
        choose(r, OWNER, l->owner, usual_owner, "owner", g->owner) ||
        choose(r, EXPIRES, l->expires, usual_expires, "expires", g->expires))
        return -1;
    if (choose_extra(r)) return -1;
    r->radius_factor = 1;
    const char *unit = r->column[RADIUS] >= 0 ? r->table->column[r->column[RADIUS]].unit : "";
    if (!strcasecmp(unit, "deg") || !strcasecmp(unit, "degree") || !strcasecmp(unit, "degrees"))
        r->radius_factor = 3600;
    else if (!strcasecmp(unit, "arcmin"))
        r->radius_factor = 60;
    else if (*unit && strcasecmp(unit, "arcsec") && strcmp(unit, "\""))
        return nj_fail(r->err, "%s: radii in '%s': arcsec, arcmin and deg are read", l->path, unit);
    uint32_t select[OWN + NJ_WATCH_EXTRA], n = 0;
    for (uint32_t k = 0; k < OWN + g->n_extra; k++) {
        r->cell[k] = r->column[k] < 0 ? -1 : (int)n;
        if (r->column[k] >= 0) select[n++] = (uint32_t)r->column[k];
    }
    return r->table->class->select(r->table, select, n, r->err);
}

/* ---- cells ---- */

static int text_of(const nj_table_cell *c, char text[80])
{
    if (c->kind == NJ_TABLE_INTEGER) return snprintf(text, 80, "%" PRId64, c->integer);
    if (c->kind == NJ_TABLE_REAL) return snprintf(text, 80, "%.17g", c->number);
    return snprintf(text, 80, "%.*s", c->kind == NJ_TABLE_TEXT ? (int)c->n_text : 0,
                    c->kind == NJ_TABLE_TEXT ? c->text : "");
}

/* NaN: it is no number. */
static double number_of(const nj_table_cell *c)
{
    char text[80], *end;
    text_of(c, text);
    double v = strtod(text, &end);
    while (isspace((unsigned char)*end)) end++;
    return end == text || *end ? NAN : v;
}

/* A Julian Date of a date (UTC), a Julian Date or an MJD. NaN: it is none. */
static double date_of(const nj_table_cell *c)
{
    static const char *const form[] = { "%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M",
                                        "%Y-%m-%d %H:%M:%S" };
    char text[80];
    size_t n = (size_t)text_of(c, text);
    double v = number_of(c);
    if (v > 2400000 && v < 2600000) return v;
    if (v > 40000 && v < 100000) return v + 2400000.5;
    while (n && (isspace((unsigned char)text[n - 1]) || text[n - 1] == 'Z')) text[--n < 79 ? n : 79] = 0;
    for (size_t k = 0; k < sizeof form / sizeof *form; k++) {
        struct tm tm = { 0 };
        const char *end = strptime(text, form[k], &tm);
        if (end && (!*end || (*end == '.' && strspn(end + 1, "0123456789") == strlen(end + 1))))
            return (double)timegm(&tm) / 86400 + 2440587.5;
    }
    return NAN;
}

static void bad_row(reader *r, const char *what, const char *text)
{
    char row[320];
    r->got->n_bad++;
    int n = snprintf(row, sizeof row, "row %" PRIu64, r->row);
    if (r->table->line) n += snprintf(row + n, sizeof row - (size_t)n, " (line %" PRIu64 ")", r->table->line);
    snprintf(row + n, sizeof row - (size_t)n, ": %s%.200s", what, text);
    r->list->bad(r->list->opaque, row);
}

static void bad_cell(reader *r, const char *what, const char *column, const nj_table_cell *c)
{
    char text[80], said[240];
    text_of(c, text);
    snprintf(said, sizeof said, "%s is %s%s%s", column, c->kind == NJ_TABLE_NULL ? "nothing" : "'",
             c->kind == NJ_TABLE_NULL ? "" : text, c->kind == NJ_TABLE_NULL ? "" : "'");
    bad_row(r, what, said);
}

static void put_text(nj_buffer *csv, const nj_table_cell *c)
{
    char text[80];
    if (c->kind != NJ_TABLE_TEXT) {
        text_of(c, text);
        nj_buffer_printf(csv, ",%s", text);
        return;
    }
    nj_buffer_text(csv, ",\"");
    for (uint32_t k = 0; k < c->n_text; k++)
        nj_buffer_printf(csv, c->text[k] == '"' ? "\"\"" : "%c",
                         c->text[k] == '\n' || c->text[k] == '\r' ? ' ' : c->text[k]);
    nj_buffer_text(csv, "\"");
}

static const nj_table_cell none = { .kind = NJ_TABLE_NULL };

static const nj_table_cell *at(const reader *r, const nj_table_cell *cell, uint32_t which)
{
    return r->cell[which] < 0 ? &none : &cell[r->cell[which]];
}

static int settle(reader *r, int k, const nj_table_cell *c)
{
    if (r->angle[k].settled || c->kind == NJ_TABLE_NULL) return 0;
    return nj_settle_angle(&r->angle[k], r->list->unit, k, &r->table->column[r->column[k]], c, r->err);
}

/* One row: written when all of it is right. -1 with err. */
static int take(reader *r, const nj_table_cell *cell, nj_buffer *csv)
{
    const nj_table_cell *ra = at(r, cell, RA), *dec = at(r, cell, DEC), *radius = at(r, cell, RADIUS),
                        *expires = at(r, cell, EXPIRES);
    if (settle(r, RA, ra) || settle(r, DEC, dec)) return -1;
    double a = ra->kind ? nj_cell_angle(ra, &r->angle[RA]) : NAN,
           d = dec->kind ? nj_cell_angle(dec, &r->angle[DEC]) : NAN, size = r->list->radius_arcsec, jd = NAN;
    if (!(a >= -180 && a <= 360)) return bad_cell(r, "no position: ", r->got->ra, ra), 0;
    if (!(d >= -90 && d <= 90)) return bad_cell(r, "no position: ", r->got->dec, dec), 0;
    if (radius->kind) {
        size = number_of(radius) * r->radius_factor;
        if (!(size > 0 && size <= 36000))
            return bad_cell(r, "no radius above 0 and up to 10 degrees: ", r->got->radius, radius), 0;
    }
    if (expires->kind) {
        jd = date_of(expires);
        if (isnan(jd)) return bad_cell(r, "no date: ", r->got->expires, expires), 0;
    }
    if (jd <= (double)r->list->now_ms / 86400e3 + 2440587.5) return r->got->n_expired++, 0;
    if (size > r->got->widest) r->got->widest = size;
    nj_buffer_printf(csv, "%.10f,%.10f,%.6f,", a, d, size);
    if (!isnan(jd)) nj_buffer_printf(csv, "%.6f", jd);
    put_text(csv, at(r, cell, ID));
    put_text(csv, at(r, cell, OWNER));
    for (uint32_t k = 0; k < r->got->n_extra; k++) put_text(csv, at(r, cell, OWN + k));
    nj_buffer_text(csv, "\n");
    r->got->n_rows++;
    return 0;
}

static int read_rows(reader *r, nj_buffer *csv)
{
    nj_table_cell cell[OWN + NJ_WATCH_EXTRA];
    for (;;) {
        uint64_t line = r->table->line;
        int got = r->table->class->next(r->table, cell, r->err);
        r->row += got != 0;
        if (got > 0 && take(r, cell, csv)) return -1;
        if (got == 0) return 0;
        if (got > 0) continue;
        /* a row of a text that has other cells than the header is bad alone; other damage ends the list */
        if (r->table->line == line || !strstr(r->err->text, " cells where the header has ")) return -1;
        const char *what = strstr(r->err->text, ": ");
        bad_row(r, what ? what + 2 : r->err->text, "");
    }
}

int nj_watchlist_read(const nj_watchlist *list, nj_buffer *csv, nj_watched *got, nj_error *err)
{
    reader r = { .list = list, .got = got, .err = err };
    char name[48];
    *got = (nj_watched){ 0 };
    for (size_t k = 0; k < sizeof r.column / sizeof *r.column; k++) r.column[k] = -1;
    r.table = nj_table_open(list->path, 1, err);
    if (!r.table) return -1;
    int rc = choose_columns(&r);
    if (!rc) {
        nj_buffer_text(csv, "ra,dec,radius,expires,id,owner");
        for (uint32_t k = 0; k < got->n_extra; k++) {
            nj_catalog_name(got->extra[k], name);
            nj_buffer_printf(csv, ",%s", name);
        }
        nj_buffer_text(csv, "\n");
        rc = read_rows(&r, csv);
    }
    nj_table_close(r.table);
    if (!rc && csv->failed) rc = nj_fail(err, "%s: out of memory", list->path);
    return rc;
}
