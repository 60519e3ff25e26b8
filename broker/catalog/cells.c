/* cells.c - what one cell of a table is worth: a value of its column's type, or an angle. */
#include "cells.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "text.h"

static int text_number(const nj_table_cell *cell, double *v)
{
    char text[64], *end;
    if (cell->n_text >= sizeof text) return -1;
    memcpy(text, cell->text, cell->n_text);
    text[cell->n_text] = 0;
    *v = strtod(text, &end);
    if (isinf(*v) && strpbrk(text, "0123456789")) return -1; /* 1e400: a number that no double holds */
    return *end || end == text ? -1 : 0;
}

static int text_integer(const nj_table_cell *cell, int64_t *v)
{
    char text[32], *end;
    double d;
    if (cell->n_text < sizeof text) {
        memcpy(text, cell->text, cell->n_text);
        text[cell->n_text] = 0;
        errno = 0;
        *v = strtoll(text, &end, 10);
        if (!*end && end != text && !errno) return 0;
    }
    if (text_number(cell, &d) || d != floor(d) || fabs(d) > 9e15) return -1;
    *v = (int64_t)d;
    return 0;
}

int nj_cell_value(const nj_table_cell *cell, nj_type type, njx_value *v, char text[64])
{
    *v = (njx_value){ .number = NJ_NO_F64, .integer = NJ_NO_I64 };
    if (cell->kind == NJ_TABLE_NULL) return 0;
    if (type != NJ_STR && cell->kind == NJ_TABLE_TEXT &&
        nj_text_is_nan(&(nj_span){ (char *)cell->text, cell->n_text }))
        return 0;
    if (type == NJ_STR) {
        v->text = cell->text;
        v->n_text = cell->n_text;
        if (cell->kind == NJ_TABLE_TEXT) return 0;
        v->text = text;
        v->n_text =
            (uint32_t)(cell->kind == NJ_TABLE_INTEGER ? snprintf(text, 64, "%lld", (long long)cell->integer)
                                                      : snprintf(text, 64, "%.17g", cell->number));
        return 0;
    }
    if (type == NJ_F32 || type == NJ_F64) {
        if (cell->kind != NJ_TABLE_TEXT)
            v->number = cell->number;
        else if (text_number(cell, &v->number))
            return -1;
        return type == NJ_F32 && isfinite(v->number) && fabs(v->number) > FLT_MAX ? -1 : 0;
    }
    if (cell->kind == NJ_TABLE_TEXT && text_integer(cell, &v->integer)) return -1;
    if (cell->kind == NJ_TABLE_REAL && (cell->number != floor(cell->number) || fabs(cell->number) > 9e15))
        return -1;
    if (cell->kind != NJ_TABLE_TEXT)
        v->integer = cell->kind == NJ_TABLE_REAL ? (int64_t)cell->number : cell->integer;
    if (type == NJ_U8) return v->integer < 0 || v->integer > 254 ? -1 : 0;
    if (type == NJ_I32) return v->integer <= INT32_MIN || v->integer > INT32_MAX ? -1 : 0;
    return v->integer == NJ_NO_I64 ? -1 : 0; /* which stands for no value */
}

int nj_settle_angle(nj_angle_form *a, nj_angle unit, int is_dec, const nj_table_column *column,
                    const nj_table_cell *first, nj_error *err)
{
    static const struct {
        const char *word;
        double factor;
    } known[] = { { "", 1 },
                  { "deg", 1 },
                  { "degree", 1 },
                  { "degrees", 1 },
                  { "d", 1 },
                  { "rad", 180 / M_PI },
                  { "radian", 180 / M_PI },
                  { "radians", 180 / M_PI },
                  { "h", 15 },
                  { "hr", 15 },
                  { "hour", 15 },
                  { "hours", 15 },
                  { "hourangle", 15 },
                  { "h:m:s", 15 },
                  { "hms", 15 },
                  { "d:m:s", 1 },
                  { "dms", 1 },
                  { "hh:mm:ss", 15 },
                  { "dd:mm:ss", 1 },
                  { "\"h:m:s\"", 15 },
                  { "\"d:m:s\"", 1 },
                  { "angle", 1 },
                  { "\u00b0", 1 } };
    int parts = first->kind == NJ_TABLE_TEXT && nj_angle_has_parts(first->text, first->n_text);
    *a = (nj_angle_form){ .factor = 1, .parts = parts, .settled = 1 };
    switch (unit) {
    case NJ_ANGLE_DEG: return 0;
    case NJ_ANGLE_RAD: a->factor = 180 / M_PI; return 0;
    case NJ_ANGLE_HMS:
        a->factor = is_dec ? 1 : 15;
        a->hours = !is_dec;
        return 0;
    case NJ_ANGLE_AUTO:
        a->one_form = !is_dec && !*column->unit;
        a->bare = !*column->unit && !parts;
        break;
    }
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        if (strcasecmp(known[k].word, column->unit) != 0) continue;
        a->factor = known[k].factor;
        /* parts of a right ascension are hours, unless its unit is one of degrees */
        a->hours = parts && !is_dec ? !*column->unit || a->factor == 15 : a->factor == 15;
        if (parts && a->factor != 1 && a->factor != 15)
            return nj_fail(err, "column '%s' is in %s, and '%.*s' has parts: say --unit", column->name,
                           column->unit, (int)first->n_text, first->text);
        return 0;
    }
    return nj_fail(
        err,
        "column '%s' is in '%s', which is no unit of positions that is known: say --unit deg, hms or rad",
        column->name, column->unit);
}

double nj_cell_angle(const nj_table_cell *cell, const nj_angle_form *a)
{
    double v;
    if (cell->kind == NJ_TABLE_NULL) return NAN;
    if (cell->kind != NJ_TABLE_TEXT) return cell->number * a->factor;
    int parts = nj_angle_has_parts(cell->text, cell->n_text);
    if (a->one_form && parts != a->parts && !nj_angle_has_letter(cell->text, cell->n_text)) return NAN;
    if (parts) {
        if (a->factor != 1 && a->factor != 15) return NAN;
        return nj_parse_angle(cell->text, cell->n_text, a->hours);
    }
    return text_number(cell, &v) ? NAN : v * a->factor;
}

void nj_spread_add(nj_spread *s, double ra, double dec)
{
    const double at[2] = { ra, dec };
    if (isnan(ra) || isnan(dec)) return;
    for (int k = 0; k < 2; k++) {
        if (!s->n || at[k] < s->low[k]) s->low[k] = at[k];
        if (!s->n || at[k] > s->high[k]) s->high[k] = at[k];
    }
    s->n++;
}

const char *nj_spread_doubt(const nj_spread *s)
{
    const double width = s->high[0] - s->low[0], height = s->high[1] - s->low[1];
    if (s->n < 10 || s->low[0] < 0) return NULL;
    if (s->high[0] <= 2 * M_PI && width > 1.4 * M_PI && s->low[1] >= -M_PI / 2 && s->high[1] <= M_PI / 2 &&
        height > 0.7)
        return "radians";
    return s->high[0] <= 24 && width > 17 && height > 30 ? "hours" : NULL;
}

double nj_motion_factor(const char *unit)
{
    static const struct {
        const char *word;
        double factor;
    } known[] = { { "", 1 }, { "mas", 1 }, { "arcsec", 1000 }, { "deg", 3.6e6 } };
    size_t n = strcspn(unit, "/.* ");
    const char *per = unit + n;
    if (*per && strcmp(per, "/yr") && strcmp(per, ".yr-1") && strcmp(per, ".yr**-1") && strcmp(per, "/a") &&
        strcmp(per, "/year") && strcmp(per, " yr-1") && strcmp(per, " / yr") && strcmp(per, ".yr^-1"))
        return 0;
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (strlen(known[k].word) == n && !strncasecmp(known[k].word, unit, n) && (n == 0) == !*per)
            return known[k].factor;
    return 0;
}

int nj_cell_is_digits(const nj_table_cell *cell)
{
    uint32_t at = cell->n_text && (*cell->text == '-' || *cell->text == '+');
    for (uint32_t i = at; i < cell->n_text; i++)
        if (!isdigit((unsigned char)cell->text[i])) return 0;
    return cell->n_text > at;
}
