/* thin.c - how the cost of a cross-match grows with its catalogue is measured on thinner copies of it. */
#include "thin.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "../../modules/kit/sky/njx.h"
#include "nightjar/sky.h"

typedef struct opened {
    const nj_sky *sky;
    nj_sky_catalog *cat;
    const nj_sky_view *view;
    const nj_sky_info *info;
} opened;

static int open_one(opened *o, const char *name, nj_error *err)
{
    o->sky = nj_sky_service(NJ_SKY_VERSION);
    o->cat = o->sky->open(name, err->text, sizeof err->text);
    if (!o->cat) return -1;
    o->view = o->sky->begin(o->cat);
    o->info = o->sky->info(o->view);
    return 0;
}

static void close_one(opened *o)
{
    o->sky->end(o->cat, o->view);
    o->sky->close(o->cat);
}

int nj_catalog_rows(const char *name, uint64_t *n_rows, nj_error *err)
{
    opened o;
    if (open_one(&o, name, err)) return -1;
    *n_rows = o.info->n_rows;
    close_one(&o);
    return 0;
}

static bool is_kept(uint64_t row, uint64_t every)
{
    uint64_t z = (row + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return every <= 1 || (z ^ z >> 31) % every == 0;
}

static int copy_row(njx_writer *w, const opened *o, uint64_t row, nj_error *err)
{
    njx_value value[NJX_COLUMNS];
    double ra, dec;
    o->sky->position(o->view, row, &ra, &dec);
    for (uint32_t c = 0; c < o->info->n_columns; c++) {
        memset(&value[c], 0, sizeof value[c]);
        if (o->info->column[c].type == NJ_STR) {
            value[c].text = o->sky->text(o->view, (int)c, row);
            value[c].n_text = value[c].text ? (uint32_t)strlen(value[c].text) : 0;
        } else if (o->info->column[c].type == NJ_F32 || o->info->column[c].type == NJ_F64)
            value[c].number = o->sky->number(o->view, (int)c, row);
        else
            value[c].integer = o->sky->integer(o->view, (int)c, row);
    }
    return njx_add(w, ra, dec, NAN, NAN, value, err->text, sizeof err->text) < 0 ? -1 : 0;
}

int nj_catalog_thin(const char *name, const char *to, uint64_t every, uint64_t *n_rows, nj_error *err)
{
    opened o;
    if (open_one(&o, name, err)) return -1;
    const njx_options options = { .path = to,
                                  .source = o.info->source,
                                  .frame = o.info->frame,
                                  .epoch_year = o.info->epoch_year,
                                  .radius_arcsec = o.info->radius_arcsec,
                                  .n_columns = o.info->n_columns,
                                  .column = o.info->column };
    njx_writer *w = njx_create(&options, err->text, sizeof err->text);
    int rc = w ? 0 : -1;
    *n_rows = 0;
    for (uint64_t row = 0; row < o.info->n_rows && rc == 0; row++) {
        if (!is_kept(row, every)) continue;
        rc = copy_row(w, &o, row, err);
        ++*n_rows;
    }
    if (rc && w) njx_abandon(w);
    const uint8_t no_source[32] = { 0 }; /* it has none: it is a part of another one */
    if (rc == 0) rc = njx_finish(w, no_source, err->text, sizeof err->text);
    close_one(&o);
    return rc;
}
