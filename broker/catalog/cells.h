/* cells.h - inside catalog: what one cell of a table is worth. */
#ifndef NJ_CATALOG_CELLS_H
#define NJ_CATALOG_CELLS_H

#include "../../modules/kit/sky/njx.h"
#include "build.h"
#include "table.h"

/* How a position's column is to be read. */
typedef struct nj_angle_form {
    double factor; /* of a plain number, to degrees */
    int hours;     /* parts are hours, minutes, seconds */
    int one_form;  /* nothing says the unit: a right ascension is in parts as the first one was,
                    * or is not as that was not */
    int parts;     /* the first one was in parts */
    int bare;      /* nothing says the unit of its plain numbers: they are taken as degrees */
    int settled;
} nj_angle_form;

/* The range of positions whose unit nothing says. */
typedef struct nj_spread {
    uint64_t n;
    double low[2], high[2]; /* of ra, of dec */
} nj_spread;

/* Adds a position, in degrees as it was taken. */
void nj_spread_add(nj_spread *spread, double ra, double dec);
/* "hours" or "radians" when the whole sky in that unit would have this range,
 * which would be a small part of it in degrees. */
const char *nj_spread_doubt(const nj_spread *spread);

/* A cell as the column's type; text[64] holds the digits of a number that goes into a text column.
 * -1: it is no such value. */
int nj_cell_value(const nj_table_cell *cell, nj_type type, njx_value *v, char text[64]);
/* Are its characters digits alone, but for a sign? */
int nj_cell_is_digits(const nj_table_cell *cell);
/* How the column of a position is written: by unit (AUTO: by the column's own), and by its first value.
 * -1 with err. */
int nj_settle_angle(nj_angle_form *form, nj_angle unit, int is_dec, const nj_table_column *column,
                    const nj_table_cell *first, nj_error *err);
/* Degrees; NaN: the cell is no angle, or in a form that may mean two things. */
double nj_cell_angle(const nj_table_cell *cell, const nj_angle_form *form);
/* The factor of proper motions to mas/yr by their unit ("": mas/yr is assumed); 0: not known. */
double nj_motion_factor(const char *unit);

#endif
