/* build.h - from tables to a catalogue file (.njx), by way of modules/kit/sky's writer. */
#ifndef NJ_CATALOG_BUILD_H
#define NJ_CATALOG_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include "../base/error.h"

typedef enum { NJ_ANGLE_AUTO, NJ_ANGLE_DEG, NJ_ANGLE_HMS, NJ_ANGLE_RAD } nj_angle;

typedef struct nj_catalog_build {
    const char *const *input; /* files or folders of Parquet, read one after the other;
                               * same columns in each */
    uint32_t n_inputs;
    const char *output;
    const char *ra, *dec;       /* columns; NULL = the usual names */
    nj_angle unit;              /* AUTO: hms when the first value is text with parts,
                                 * else by the column's unit, else deg */
    const char *pm_ra, *pm_dec; /* columns, ra * cos(dec); NULL = no motion */
    double pm_scale;            /* to mas/yr: 1, or 1000 for arcsec/yr;
                                 * 0 = by the columns' unit, mas/yr where there is none */
    const char *columns;        /* "SOURCE[:NAME[:TYPE]],..."; NULL = all but the positions; "" = none */
    const char *number;         /* name of a column with the source's row number (from 0 over all inputs),
                                 * or NULL */
    const char *frame;          /* for the record; NULL = "icrs", and a file that says otherwise is refused */
    double epoch_year, radius_arcsec; /* NaN = not given */
    size_t memory_bytes;              /* 0 = 1 GiB */
    int compact;
    /* Called now and then; NULL allowed. done 0..1 of the inputs. */
    void (*progress)(void *opaque, double done, uint64_t rows);
    void *opaque;
} nj_catalog_build;

typedef struct nj_catalog_built {
    uint64_t n_rows, n_rejected; /* rejected: no position, out of range, or unreadable */
    uint64_t n_bad_values;       /* cells of number columns that are none: null in the catalogue */
    char first_bad[200];         /* "column 'z', row 17 (line 21): 'abc' is no number" */
    char first_rejected[320];    /* "row 17 (line 21): ra is nothing, dec is 'x'" */
    char notes[1024];            /* lines of what else is not in the catalogue as it stood in
                                  * the inputs, "" */
} nj_catalog_built;

int nj_catalog_make(const nj_catalog_build *build, nj_catalog_built *built, nj_error *err);

/* One angle from text: "12.5", "00 01 16.37", "-00:30:00", "23h10m5.2s", "+29d35m34s". hours: parts are
 * hours, minutes, seconds, unless a letter h or d says what they are. NaN when it is none, or a part is out
 * of range. Plain numbers: degrees unless hours. */
double nj_parse_angle(const char *text, size_t n, int hours);
/* Has the text a letter that says what its first part is? */
int nj_angle_has_letter(const char *text, size_t n);
/* Has the text parts ("1 2 3", "1:2:3", "1h2m3s")? */
int nj_angle_has_parts(const char *text, size_t n);
/* [a-z][a-z0-9_]*, as columns and instances are called. */
void nj_catalog_name(const char *from, char to[48]);

#endif
