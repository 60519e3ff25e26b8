/* cell.h - one value of an output column, whatever its type:
 * for sinks and filters that do not care for the width of a number. */
#ifndef NJ_BATCH_CELL_H
#define NJ_BATCH_CELL_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rows.h"

typedef enum { NJ_CELL_NULL, NJ_CELL_INT, NJ_CELL_REAL, NJ_CELL_TEXT } nj_cell_kind;

typedef struct nj_cell {
    nj_cell_kind kind;
    union {
        int64_t i;
        double f;
        const char *text; /* lives as long as the batch */
    };
} nj_cell;

/* The kind that the column's values have when they are not null. */
static inline nj_cell_kind nj_field_kind(const nj_field *field)
{
    if (field->type == NJ_STR || field->text) return NJ_CELL_TEXT;
    return field->type == NJ_F32 || field->type == NJ_F64 ? NJ_CELL_REAL : NJ_CELL_INT;
}

/* The word of an index into the column's table; NULL for "no answer". */
static inline const char *nj_field_word(const nj_field *field, uint8_t index)
{
    if (index == NJ_NO_U8 || (field->text == nj_reason_name && index >= NJ_REASONS)) return NULL;
    return field->text[index];
}

/* Element i of a column; data NULL and NaN are null. A float keeps its value: 0.1f is
 * 0.100000001... */
static inline nj_cell nj_cell_get(const nj_field *field, const void *data, size_t i)
{
    nj_cell cell = { NJ_CELL_NULL, { 0 } };
    if (!data) return cell;
    switch (field->type) {
    case NJ_U8: {
        uint8_t v = ((const uint8_t *)data)[i];
        if (field->text) {
            cell.text = nj_field_word(field, v);
            if (cell.text) cell.kind = NJ_CELL_TEXT;
        } else if (v != NJ_NO_U8) {
            cell.kind = NJ_CELL_INT;
            cell.i = v;
        }
        break;
    }
    case NJ_I32:
        cell.i = ((const int32_t *)data)[i];
        if (cell.i != NJ_NO_I32) cell.kind = NJ_CELL_INT;
        break;
    case NJ_I64:
        cell.i = ((const int64_t *)data)[i];
        if (cell.i != NJ_NO_I64) cell.kind = NJ_CELL_INT;
        break;
    case NJ_F32:
        cell.f = (double)((const float *)data)[i];
        if (!isnan(cell.f)) cell.kind = NJ_CELL_REAL;
        break;
    case NJ_F64:
        cell.f = ((const double *)data)[i];
        if (!isnan(cell.f)) cell.kind = NJ_CELL_REAL;
        break;
    case NJ_STR:
        cell.text = ((const char *const *)data)[i];
        if (cell.text) cell.kind = NJ_CELL_TEXT;
        break;
    }
    return cell;
}

/* The same, with a number where the packet had one: for readers that take both in one column. A text without
 * a point, exponent or word is a whole number that an int64 holds. */
static inline nj_cell nj_cell_own(const nj_field *field, const void *data, size_t i)
{
    nj_cell cell = nj_cell_get(field, data, i);
    if (!field->mixed || cell.kind != NJ_CELL_TEXT || cell.text[strlen(cell.text) + 1] != NJ_TEXT_WAS_NUMBER)
        return cell;
    bool whole = strspn(cell.text, "-0123456789") == strlen(cell.text);
    if (whole && strcmp(cell.text, "-0") && strlen(cell.text) < 20)
        return (nj_cell){ NJ_CELL_INT, { .i = strtoll(cell.text, NULL, 10) } };
    return (nj_cell){ NJ_CELL_REAL, { .f = strtod(cell.text, NULL) } };
}

/* Where a row's values of a column begin and end. False: the whole value is null (no data). */
static inline bool nj_cell_range(const nj_field *field, const nj_col *col, uint32_t row, size_t *from,
                                 size_t *to)
{
    if (!col->data || (!field->width && !col->off)) return false;
    *from = field->width ? (size_t)row * field->width : col->off[row];
    *to = field->width ? *from + field->width : col->off[row + 1];
    return true;
}

#endif
