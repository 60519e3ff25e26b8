/* standardized_flux.c - apparent flux of the source (difference plus reference), and for catalogued objects
 * in units of their median flux.
 *
 * Given: the difference photometry and its nearest reference source; a CSV table with the columns object,
 * median_g and median_r (median apparent flux in Jy, empty = none).
 * Returned: flux and error of the alert, and with series = 1 of every point; standardized ones only for
 * objects of the table, bands g and r.
 * Notes: no answer for upper limits and without a reference magnitude. The nearest reference source is taken
 * whatever its distance. The flux can be 0 or negative.
 * Reference: nightjar/astro.h; the use for blazars: Fink's CTAO filter, https://fink-broker.org. */
#include <stdlib.h>

#include "nightjar/astro.h"
#include "nightjar/column.h"
#include "nightjar/csv.h"

enum { MAG, MAG_ERR, REF_MAG, REF_MAG_ERR, POSITIVE, BAND, OBJECT };
enum {
    DC_FLUX,
    DC_SIGMA,
    KNOWN,
    STD_FLUX,
    STD_SIGMA,
    SERIES_DC_FLUX,
    SERIES_DC_SIGMA,
    SERIES_STD_FLUX,
    SERIES_STD_SIGMA
};

typedef struct conf {
    const char *catalogue;
    int64_t series;
} conf;

typedef struct object {
    const char *name;
    double median_jy[2]; /* g, r */
    uint32_t row;        /* in the table */
} object;

typedef struct catalogue {
    const conf *conf;
    uint32_t n;     /* sorted by name */
    object *object; /* [n] */
} catalogue;

/* --- the catalogue --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const object *)a)->name, ((const object *)b)->name);
}

static int by_name_and_row(const void *a, const void *b)
{
    uint32_t i = ((const object *)a)->row, k = ((const object *)b)->row;
    int order = by_name(a, b);
    return order ? order : (i > k) - (i < k);
}

/* Sorts by name; of several rows of one object the first counts. */
static void sort_objects(catalogue *c)
{
    uint32_t n = 0;
    qsort(c->object, c->n, sizeof *c->object, by_name_and_row);
    for (uint32_t i = 0; i < c->n; i++)
        if (!n || by_name(&c->object[n - 1], &c->object[i])) c->object[n++] = c->object[i];
    c->n = n;
}

static double number(const char *cell)
{
    return *cell ? strtod(cell, NULL) : NAN;
}

static int add_object(const nj_host *host, catalogue *c, const nj_csv *row, const int column[3])
{
    for (int k = 0; k < 3; k++)
        if ((uint32_t)column[k] >= row->n) return NJ_OK; /* a short row: no such object */
    size_t length = strlen(row->cell[column[0]]) + 1;
    char *name = host->alloc(host->opaque, length);
    if (!name) return NJ_ENOMEM;
    memcpy(name, row->cell[column[0]], length);
    c->object[c->n] = (object){ name, { number(row->cell[column[1]]), number(row->cell[column[2]]) }, c->n };
    c->n++;
    return NJ_OK;
}

static int read_catalogue(const nj_host *host, catalogue *c)
{
    static const char *const title[] = { "object", "median_g", "median_r" };
    const void *bytes;
    size_t n, lines = 1;
    int rc = host->data(host->opaque, c->conf->catalogue, &bytes, &n);
    if (rc != NJ_OK) {
        host->log(host->opaque, 0, "standardized_flux: catalogue '%s' %s", c->conf->catalogue,
                  rc == NJ_ENO_CATALOG ? "is not on the data path" : "cannot be read");
        return rc;
    }
    for (size_t i = 0; i < n; i++) lines += ((const char *)bytes)[i] == '\n';
    c->object = host->alloc(host->opaque, lines * sizeof *c->object);
    if (!c->object) return NJ_ENOMEM;
    nj_csv csv = { .at = bytes, .end = (const char *)bytes + n };
    int column[3] = { -1, -1, -1 }, got = nj_csv_row(&csv);
    for (int k = 0; k < 3 && got == 1 && rc == NJ_OK; k++) {
        column[k] = nj_csv_column(&csv, title[k]);
        if (column[k] >= 0) continue;
        host->log(host->opaque, 0, "standardized_flux: %s has no column %s", c->conf->catalogue, title[k]);
        rc = NJ_ECONF;
    }
    while (rc == NJ_OK && (got = nj_csv_row(&csv)) == 1) rc = add_object(host, c, &csv, column);
    if (rc == NJ_OK && got < 0) {
        host->log(host->opaque, 0, "standardized_flux: %s:%u: malformed row", c->conf->catalogue, csv.line);
        rc = NJ_ECONF;
    }
    nj_csv_free(&csv);
    sort_objects(c);
    return rc;
}

static int open_catalogue(const nj_host *host, const void *conf_, void **self)
{
    catalogue *c = host->alloc(host->opaque, sizeof *c);
    if (!c) return NJ_ENOMEM;
    *c = (catalogue){ .conf = conf_ };
    int rc = *c->conf->catalogue ? read_catalogue(host, c) : NJ_OK;
    if (rc == NJ_OK) *self = c;
    return rc;
}

static const object *find(const catalogue *c, const char *name)
{
    object key = { name, { 0, 0 }, 0 };
    return name && c->n ? bsearch(&key, c->object, c->n, sizeof key, by_name) : NULL;
}

/* --- one alert --- */

typedef struct answer {
    double dc_flux_jy, dc_sigma_jy, std_flux, std_sigma;
} answer;

static answer point(const nj_work *w, uint32_t row, uint32_t i, const object *known)
{
    uint8_t positive = nj_u8_series(w, POSITIVE, row)[i], band = nj_u8_series(w, BAND, row)[i];
    const double *ref = nj_f64_series(w, REF_MAG, row), *ref_err = nj_f64_series(w, REF_MAG_ERR, row);
    nj_dc dc = { NAN, NAN };
    if (positive != NJ_NO_U8 && ref && ref_err)
        dc = nj_dc_flux(nj_f64_series(w, MAG, row)[i], nj_f64_series(w, MAG_ERR, row)[i], ref[i], ref_err[i],
                        positive);
    answer a = { dc.flux * NJ_JY_OF_MAG0, dc.sigma * NJ_JY_OF_MAG0, NAN, NAN };
    double median = known && (band == 1 || band == 2) ? known->median_jy[band - 1] : NAN;
    a.std_flux = a.dc_flux_jy / median;
    a.std_sigma = a.dc_sigma_jy / median;
    return a;
}

static void put_series(const nj_work *w, uint32_t row, uint32_t i, const answer *a)
{
    size_t at = w->in[MAG]->off[row] + i;
    const double value[] = { a->dc_flux_jy, a->dc_sigma_jy, a->std_flux, a->std_sigma };
    for (uint32_t k = 0; k < 4; k++)
        if (w->out[SERIES_DC_FLUX + k]) ((double *)w->out[SERIES_DC_FLUX + k])[at] = value[k];
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)thread;
    const catalogue *c = self;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k], n = nj_points(w, MAG, row);
        const object *known = find(c, nj_text_of(w, OBJECT, row));
        nj_put_u8(w, KNOWN, row, known != NULL);
        answer a = { NAN, NAN, NAN, NAN };
        for (uint32_t i = c->conf->series || !n ? 0 : n - 1; i < n; i++) {
            a = point(w, row, i, known);
            if (c->conf->series) put_series(w, row, i, &a);
        }
        nj_put_f64(w, DC_FLUX, row, a.dc_flux_jy);
        nj_put_f64(w, DC_SIGMA, row, a.dc_sigma_jy);
        nj_put_f64(w, STD_FLUX, row, a.std_flux);
        nj_put_f64(w, STD_SIGMA, row, a.std_sigma);
        w->reason[row] = isnan(a.dc_flux_jy) ? NJ_NO_INPUT : NJ_DONE;
    }
    return NJ_OK;
}

#define OPEN -INFINITY, INFINITY, NAN, 0
#define LC(name, unit, flags)                                                                                \
    {                                                                                                        \
        "lc." name, NJ_F64, NJ_SERIES, unit, flags                                                           \
    }
#define SCALARS                                                                                              \
    { "dc_flux_jy",                                                                                          \
      NJ_F64,                                                                                                \
      1,                                                                                                     \
      -1,                                                                                                    \
      "Jy",                                                                                                  \
      OPEN,                                                                                                  \
      "apparent flux of the alert; none without a reference magnitude" },                                    \
        { "dc_sigma_jy", NJ_F64, 1, -1, "Jy", OPEN, "its error" },                                           \
        { "known", NJ_U8, 1,   -1, "1",                                                                      \
          0,       1,     NAN, 0,  "1 when the object is in the catalogue, else 0; 0 without a catalogue" }, \
        { "std_flux",                                                                                        \
          NJ_F64,                                                                                            \
          1,                                                                                                 \
          -1,                                                                                                \
          "1",                                                                                               \
          OPEN,                                                                                              \
          "apparent flux over the object's median in the band; none for other objects and bands" },          \
    {                                                                                                        \
        "std_sigma", NJ_F64, 1, -1, "1", OPEN, "its error"                                                   \
    }
#define SERIES(name, unit, text)                                                                             \
    {                                                                                                        \
        name, NJ_F64, 0, MAG, unit, OPEN, text " of every point of the light curve; none for upper limits"   \
    }

static const nj_need needs[] = { LC("mag", "mag", 0),
                                 LC("mag_err", "mag", 0),
                                 LC("ref_mag", "mag", NJ_NEED_OPTIONAL),
                                 LC("ref_mag_err", "mag", NJ_NEED_OPTIONAL),
                                 { "lc.positive", NJ_U8, NJ_SERIES, "1", 0 },
                                 { "lc.band", NJ_U8, NJ_SERIES, "1", 0 },
                                 { "object", NJ_STR, NJ_SCALAR, "", NJ_NEED_OPTIONAL },
                                 { 0 } };
static const nj_give scalars[] = { SCALARS, { 0 } };
static const nj_give all[] = { SCALARS,
                               SERIES("dc_flux_jy_series", "Jy", "apparent flux"),
                               SERIES("dc_sigma_jy_series", "Jy", "its error"),
                               SERIES("std_flux_series", "1", "standardized flux"),
                               SERIES("std_sigma_series", "1", "its error"),
                               { 0 } };

static int declare(const nj_host *host, const void *conf_, nj_tables *tables)
{
    (void)host;
    *tables = (nj_tables){ needs, ((const conf *)conf_)->series ? all : scalars };
    return NJ_OK;
}

NJ_MODULE(standardized_flux) = {
    NJ_HEADER,
    .name = "standardized_flux",
    .version = "1.0",
    .summary = "apparent flux, and for catalogued objects over their median",
    .paper = "none: apparent photometry as in ZTF's Science Data System, section 6.5",
    .needs = needs,
    .gives = scalars,
    .params =
        (const nj_param[]){
            { "catalogue", NJ_STR, "", offsetof(conf, catalogue), 0, 0, "1",
              "CSV table with the columns object, median_g, median_r (Jy); empty = none" },
            { "series", NJ_I64, "0", offsetof(conf, series), 0, 1, "1", "1: also the whole light curve" },
            { 0 } },
    .conf_size = sizeof(conf),
    .declare = declare,
    .open = open_catalogue,
    .process = process
};
