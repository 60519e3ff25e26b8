/* clause_functions.c - what a clause may call beside SQLite's own functions; a call with the wrong values is
 * refused before the first alert, for SQLite would take a text for a number, and a null for an answer. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clause_parser.h"

const nj_query_function nj_query_functions[] = {
    { "sep", "sep(ra, dec, ra2, dec2)", "ndnd", "f64", "arcsec",
      "angle between two positions in degrees; null where one of the values is null, or a declination is "
      "beyond 90" },
    { "night", "night(jd)", "n", "i64", "",
      "20260315: the date of the local noon before, at [run] site, as {night} in the name of an output; null "
      "outside of the years 1 to 9999" },
    { "dmag_per_day", "dmag_per_day(band, days)", "bp", "f64", "mag/d",
      "slope of lc.mag against lc.jd by least squares without weights, of this alert's detections in the "
      "band 'u' 'g' 'r' 'i' 'z' 'y', from jd - days to jd, both included; below 0 it brightens; null with "
      "fewer than two points, and when they have one time" },
    { "in_region", "in_region('NAME')", NULL, "u8", "",
      "1 inside the regions of the instance NAME (kind = region), or of one of them: NAME.REGION" },
    { 0 },
};

static const char *const ordinal[] = { "first", "second", "third", "fourth" };

typedef struct value { /* in a call: tokens [from, end) */
    size_t from, end;
} value;

static int refuse(const nj_clause_parser *p, const nj_query_function *f, const value *v, size_t at,
                  const char *why)
{
    const nj_clause_token *first = &p->token[v->from], *last = &p->token[v->end - 1];
    return nj_fail(p->err, "%s: the %s value, %.*s, %s", f->form, ordinal[at],
                   (int)(last->end - first->start), p->where + first->start, why);
}

static bool is_text_of_lc(const char *name)
{
    int c = nj_clause_lc_column(name);
    return c == NJ_LC_BAND || c == NJ_LC_KIND;
}

/* A number as it stands there, with its sign. */
static bool constant(const nj_clause_parser *p, const value *v, double *number)
{
    const nj_clause_token *t = &p->token[v->from];
    bool minus = nj_clause_is_sign(p, t, '-'), is_signed = minus || nj_clause_is_sign(p, t, '+');
    char *end;
    if (v->end - v->from != 1u + is_signed || t[is_signed].kind != NJ_TOKEN_LITERAL) return false;
    const char *text = p->where + t[is_signed].start;
    if (!isdigit((unsigned char)*text) && *text != '.') return false; /* TRUE */
    *number = strtod(text, &end) * (minus ? -1 : 1);
    return true;
}

static int check_band(nj_clause_parser *p, const nj_query_function *f, const value *v, size_t at)
{
    const nj_clause_token *t = &p->token[v->from];
    double number;
    if (constant(p, v, &number))
        return refuse(p, f, v, at, "is a number: a passband is 'u' 'g' 'r' 'i' 'z' or 'y'");
    if (v->end - v->from != 1 || t->kind != NJ_TOKEN_TEXT) return 0;
    if (t->end - t->start == 3 && strchr("ugrizy", p->where[t->start + 1])) return 0;
    return refuse(p, f, v, at, "is no passband: 'u' 'g' 'r' 'i' 'z' 'y'");
}

static int check_value(nj_clause_parser *p, const nj_query_function *f, const value *v, size_t at)
{
    const nj_clause_token *t = &p->token[v->from];
    const bool alone = v->end - v->from == 1;
    double number;
    if (alone && t->kind == NJ_TOKEN_NAME && t->index != SIZE_MAX)
        p->clause->given[p->clause->n_given++] = (nj_call_column){ t->index, f, at };
    if (f->takes[at] == 'b') {
        /* dmag_per_day(g, 10): where there is no such column, a text was meant */
        if (alone && t->kind == NJ_TOKEN_NAME && t->index != SIZE_MAX &&
            p->clause->role[t->index] == NJ_ROLE_PLAIN)
            p->clause->role[t->index] = NJ_ROLE_COMPARED;
        return check_band(p, f, v, at);
    }
    if (alone && t->kind == NJ_TOKEN_TEXT) return refuse(p, f, v, at, "is a text and no number");
    if (alone && t->kind == NJ_TOKEN_NAME && t->index == SIZE_MAX && is_text_of_lc(t->name))
        return refuse(p, f, v, at, "is a text and no number");
    if (!constant(p, v, &number)) return 0;
    if (f->takes[at] == 'd' && fabs(number) > 90) return refuse(p, f, v, at, "is no declination: -90 to 90");
    if (f->takes[at] == 'p' && !(number > 0)) return refuse(p, f, v, at, "is not above 0");
    return 0;
}

/* The values of a call whose parenthesis is token `open`; how many there are, of which the first `most` are
 * kept. */
static size_t split(const nj_clause_parser *p, size_t open, value *v, size_t most)
{
    size_t depth = 0, n = 0, from = open + 1, i = open;
    for (; i < p->n; i++) {
        const nj_clause_token *t = &p->token[i];
        depth += nj_clause_is_sign(p, t, '(');
        depth -= nj_clause_is_sign(p, t, ')');
        if (depth && !(depth == 1 && nj_clause_is_sign(p, t, ','))) continue;
        if (i == from && !depth && !n) return 0;
        if (n < most) v[n] = (value){ from, i };
        n++;
        from = i + 1;
        if (!depth) break;
    }
    return n;
}

static int check_call(nj_clause_parser *p, size_t i, const nj_query_function *f)
{
    value v[4];
    const size_t wanted = strlen(f->takes), n = split(p, i + 1, v, 4);
    if (n != wanted)
        return nj_fail(p->err, "%s takes %zu value%s, not %zu: %.40s", f->form, wanted,
                       wanted == 1 ? "" : "s", n, p->where + p->token[i].start);
    for (size_t k = 0; k < n; k++) {
        if (v[k].from == v[k].end)
            return nj_fail(p->err, "%s: the %s value is missing: %.40s", f->form, ordinal[k],
                           p->where + p->token[i].start);
        if (check_value(p, f, &v[k], k)) return -1;
    }
    return 0;
}

int nj_clause_check_calls(nj_clause_parser *p)
{
    nj_clause *c = p->clause;
    for (size_t i = 0; i < p->n; i++) {
        nj_clause_token *t = &p->token[i];
        if (t->kind != NJ_TOKEN_FUNCTION) continue;
        for (const nj_query_function *f = nj_query_functions; f->name; f++)
            if (f->takes && strlen(f->name) == t->end - t->start &&
                !strncasecmp(p->where + t->start, f->name, t->end - t->start))
                t->call = f;
        if (!t->call) continue;
        if (check_call(p, i, t->call)) return -1;
        if (!strcmp(t->call->name, "night")) c->night = true;
        if (strcmp(t->call->name, "dmag_per_day")) continue;
        nj_clause_name(p, "jd", NJ_ROLE_PLAIN);
        c->lc = true;
        c->lc_used |= 1u << NJ_LC_JD | 1u << NJ_LC_BAND | 1u << NJ_LC_MAG | 1u << NJ_LC_KIND;
    }
    return 0;
}

void nj_clause_add_hidden(const nj_clause_parser *p, const nj_clause_token *call, nj_buffer *out)
{
    const nj_clause *c = p->clause;
    if (strcmp(call->call->name, "dmag_per_day")) return;
    nj_buffer_text(out, "\"alert\".\"nj_row\", \"alert\".");
    for (size_t i = 0; i < c->n_names; i++)
        if (!strcmp(c->name[i], "jd")) nj_clause_quote(c, i, out);
    nj_buffer_text(out, ", ");
}
