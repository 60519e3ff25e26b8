/* filter.h - SQL WHERE clauses over the columns of a batch, evaluated by SQLite on a virtual table that reads
 * the batch in place. Names stand as they are in the output:
 * `hostless.ks_template < 0.85 AND roid.roid IS NOT 3`.
 *
 * In a clause: every scalar column, SQLite's operators, scalar, mathematical and date functions, those of
 * nj_query_functions (sep, night, dmag_per_day), CASE, and subqueries, window functions among them, on the
 * light curve: `(SELECT min(mag) FROM lc WHERE band = 'g') < 18`, `EXISTS (SELECT 1 FROM lc WHERE kind =
 * 'limit')`. lc has jd, band ('u' 'g' 'r' 'i' 'z' 'y'), mag, mag_err, flux (nJy), kind ('detection', 'limit',
 * 'forced'); inside such a subquery these names are lc's, and alert.mag is the alert's own. Not in a clause:
 * other tables, statements, comments, parameters, random numbers.
 * A float column is compared with its exact value: 0.65 stored as a float is 0.6499999761581421. */
#ifndef NJ_QUERY_FILTER_H
#define NJ_QUERY_FILTER_H

#include "../base/error.h"
#include "../batch/rows.h"
#include "clause.h"

typedef struct nj_filter nj_filter; /* used by one thread at a time */

/* The light curve of the rows: the series of nj_lc_path[], by row of the batch; a column whose data is NULL
 * is null throughout. band and kind are text, or codes (band u 0 .. y 5; kind detection 0, limit 1, forced 2)
 * in any integer type. */
typedef struct nj_light_curve {
    nj_col col[NJ_LC_COLUMNS];
    nj_type type[NJ_LC_COLUMNS];
} nj_light_curve;

/* The columns that a clause uses, each once, as written; for a light curve also "lc.jd", "lc.mag" ... *names
 * is one malloc'ed block, freed by free(). label ("-w", "-t bright") begins the messages. */
int nj_filter_names(const char *label, const char *where, char ***names, size_t *n, nj_error *err);

/* One prepared statement. longitude: of the nights of night(), degrees east; NAN = there is no site. field
 * must live as long as the filter. NULL with err, which names the label and the
 * clause: not SQL, an unknown name (with the nearest known one), a series or vector,
 * something that a clause must not do. */
nj_filter *nj_filter_new(const char *label, const char *where, const nj_field *field, uint32_t n_fields,
                         double longitude, nj_error *err);
/* What is legal but probably not meant (`!=` on a text column drops the null rows), one line per case,
 * or NULL. */
const char *nj_filter_warning(const nj_filter *filter);
/* pass[k] = 1 when rows->row[k] satisfies the clause, 0 when it is false or null; fields as given to
 * nj_filter_new. lc: NULL when the clause reads none. -1 with err: an error while running (text too long,
 * more than a million steps per row). */
int nj_filter_run(nj_filter *filter, const nj_rows *rows, const nj_light_curve *lc, uint8_t *pass,
                  nj_error *err);
/* The same; when it fails, each row is asked alone, and on_failed is called for those that fail still: their
 * pass[] is 0. -1 with err: memory is short, or the first 64 rows have all failed, so that the clause is to
 * blame and not an alert. */
typedef void nj_filter_failed(void *opaque, uint32_t row, const char *why);
int nj_filter_run_each(nj_filter *filter, const nj_rows *rows, const nj_light_curve *lc, uint8_t *pass,
                       nj_filter_failed *on_failed, void *opaque, nj_error *err);
/* The rows are those of a stream: it must not end for 64 alerts in a row, with which it would begin again. */
void nj_filter_never_ends(nj_filter *filter);
void nj_filter_free(nj_filter *filter);

#endif
