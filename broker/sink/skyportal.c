/* skyportal.c - a marshal is fed without a line of code on its side: the record that SkyPortal already reads
 * from the broker BOOM (data/embed/skyportal.avsc). */
#include "skyportal.h"

#include <math.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/embed.h"
#include "../batch/cell.h"

enum {
    OBJECT,
    SURVEY,
    JD,
    RA,
    DEC,
    DRB,
    PROGRAMID,
    LC_JD,
    LC_MAG,
    LC_MAG_ERR,
    LC_LIMIT,
    LC_FLUX,
    LC_FLUX_ERR,
    LC_POSITIVE,
    LC_BAND,
    LC_CANDID,
    LC_PROGRAMID,
    LC_RA,
    LC_DEC,
    FP_JD,
    FP_FLUX,
    FP_FLUX_ERR,
    FP_BAND,
    FP_ZP,
    COLUMNS
};
_Static_assert((int)COLUMNS == (int)NJ_SKYPORTAL_COLUMNS, "one number of columns");

const char *const nj_skyportal_wants[] = { [OBJECT] = "object",
                                           [SURVEY] = "survey",
                                           [JD] = "jd",
                                           [RA] = "ra",
                                           [DEC] = "dec",
                                           [DRB] = "drb",
                                           [PROGRAMID] = "programid",
                                           [LC_JD] = "lc.jd",
                                           [LC_MAG] = "lc.mag",
                                           [LC_MAG_ERR] = "lc.mag_err",
                                           [LC_LIMIT] = "lc.limit_mag",
                                           [LC_FLUX] = "lc.flux",
                                           [LC_FLUX_ERR] = "lc.flux_err",
                                           [LC_POSITIVE] = "lc.positive",
                                           [LC_BAND] = "lc.band",
                                           [LC_CANDID] = "lc.candid",
                                           [LC_PROGRAMID] = "lc.programid",
                                           [LC_RA] = "lc.ra",
                                           [LC_DEC] = "lc.dec",
                                           [FP_JD] = "fp.jd",
                                           [FP_FLUX] = "fp.flux",
                                           [FP_FLUX_ERR] = "fp.flux_err",
                                           [FP_BAND] = "fp.band",
                                           [FP_ZP] = "fp.zp",
                                           [COLUMNS] = NULL };

static void find_columns(nj_skyportal *s, const nj_layout *layout)
{
    s->layout = layout;
    for (int c = 0; c < COLUMNS; c++) {
        s->at[c] = UINT32_MAX;
        for (uint32_t k = 0; k < layout->n_packet; k++)
            if (!strcmp(layout->col[k].path, nj_skyportal_wants[c])) s->at[c] = k;
    }
}

/* --- one alert --- */

typedef struct alert {
    nj_skyportal *s;
    const nj_batch *b;
    uint32_t row;
    const char *survey;
    double zero_point;
    int programid;
    int64_t n_points;
} alert;

static double number(const alert *a, int c, size_t i)
{
    const uint32_t k = a->s->at[c];
    if (k == UINT32_MAX || !a->b->col[k].data) return NAN;
    return nj_number(a->b->layout->col[k].type, a->b->col[k].data, i);
}

static const char *text(const alert *a, int c)
{
    const uint32_t k = a->s->at[c];
    if (k == UINT32_MAX || a->b->layout->col[k].type != NJ_STR || !a->b->col[k].data) return NULL;
    return ((const char *const *)a->b->col[k].data)[a->row];
}

static int64_t integer(const alert *a, int c, size_t i)
{
    const uint32_t k = a->s->at[c];
    if (k == UINT32_MAX || !a->b->col[k].data || a->b->layout->col[k].type != NJ_I64) return NJ_NO_I64;
    return ((const int64_t *)a->b->col[k].data)[i];
}

static bool range(const alert *a, int c, size_t *from, size_t *to)
{
    const uint32_t k = a->s->at[c];
    if (k == UINT32_MAX || !a->b->col[k].off || !a->b->col[k].data) return false;
    *from = a->b->col[k].off[a->row];
    *to = a->b->col[k].off[a->row + 1];
    return true;
}

/* --- Avro --- */

static void put_double(nj_buffer *out, double v)
{
    nj_buffer_add(out, &v, sizeof v); /* little-endian, as all that this runs on */
}

static void put_optional(nj_buffer *out, double v)
{
    nj_ocf_long(out, isfinite(v));
    if (isfinite(v)) put_double(out, v);
}

/* --- photometry --- */

typedef struct point {
    double jd, flux, flux_err; /* flux NaN: an upper limit */
    double band, ra, dec;
    int64_t candid;
    int programid;
    bool forced;
} point;

static void put_point(alert *a, const point *p)
{
    static const char band[][2] = { "u", "g", "r", "i", "z", "y" };
    nj_buffer *out = &a->s->points;
    if (!isfinite(p->jd) || !isfinite(p->flux_err) || p->flux_err <= 0 || !(p->band >= 0 && p->band < 6))
        return;
    a->n_points++;
    put_double(out, p->jd);
    put_optional(out, p->flux);
    put_double(out, p->flux_err);
    nj_ocf_text(out, band[(int)p->band]);
    put_double(out, a->zero_point);
    nj_ocf_long(out, p->forced);
    nj_ocf_long(out, p->programid);
    nj_ocf_text(out, a->survey);
    put_optional(out, p->ra);
    put_optional(out, p->dec);
    nj_ocf_long(out, p->candid != NJ_NO_I64);
    if (p->candid != NJ_NO_I64) nj_ocf_long(out, p->candid);
}

/* Of a magnitude; SkyPortal takes it times 1e-9. */
static double flux_of(const alert *a, double mag)
{
    return 1e9 * pow(10, -0.4 * (mag - a->zero_point));
}

static void put_light_curve(alert *a)
{
    size_t from, to;
    if (!range(a, LC_JD, &from, &to)) return;
    for (size_t i = from; i < to; i++) {
        const double mag = number(a, LC_MAG, i), program = number(a, LC_PROGRAMID, i);
        point p = { .jd = number(a, LC_JD, i),
                    .flux = number(a, LC_FLUX, i),
                    .flux_err = number(a, LC_FLUX_ERR, i),
                    .band = number(a, LC_BAND, i),
                    .ra = number(a, LC_RA, i),
                    .dec = number(a, LC_DEC, i),
                    .candid = integer(a, LC_CANDID, i),
                    .programid = isfinite(program) ? (int)program : a->programid };
        if (isfinite(mag)) {
            p.flux = flux_of(a, mag) * (number(a, LC_POSITIVE, i) == 0 ? -1 : 1);
            p.flux_err = fabs(p.flux) * number(a, LC_MAG_ERR, i) * M_LN10 / 2.5;
        } else if (!isfinite(p.flux_err)) { /* a limit of 5 sigma */
            p.flux = NAN;
            p.flux_err = flux_of(a, number(a, LC_LIMIT, i)) / 5;
        }
        put_point(a, &p);
    }
}

static void put_forced(alert *a)
{
    size_t from, to;
    if (!range(a, FP_JD, &from, &to)) return;
    for (size_t i = from; i < to; i++) {
        const double zp = number(a, FP_ZP, i); /* of counts; without it the flux is in nJy */
        const double scale = isfinite(zp) ? flux_of(a, zp) : a->s->at[FP_ZP] == UINT32_MAX ? 1 : NAN;
        put_point(a, &(point){ .jd = number(a, FP_JD, i),
                               .flux = number(a, FP_FLUX, i) * scale,
                               .flux_err = number(a, FP_FLUX_ERR, i) * scale,
                               .band = number(a, FP_BAND, i),
                               .ra = NAN,
                               .dec = NAN,
                               .candid = NJ_NO_I64,
                               .programid = a->programid,
                               .forced = true });
    }
}

/* --- filters --- */

/* The answers of modules, as JSON; nulls, reasons and lists are left out. */
static void put_annotations(nj_buffer *out, const nj_rows *rows, uint32_t row)
{
    out->n = 0;
    nj_buffer_text(out, "{");
    for (uint32_t f = 0; f < rows->n_fields; f++) {
        const nj_field *field = &rows->field[f];
        if (!field->instance || field->width != 1 || field->text) continue;
        const nj_cell cell = nj_cell_get(field, rows->value[f].data, row);
        if (cell.kind == NJ_CELL_NULL || (cell.kind == NJ_CELL_REAL && !isfinite(cell.f))) continue;
        if (out->n > 1) nj_buffer_text(out, ",");
        nj_json_text(out, field->key);
        nj_buffer_text(out, ":");
        if (cell.kind == NJ_CELL_TEXT)
            nj_json_text(out, cell.text);
        else if (cell.kind == NJ_CELL_INT)
            nj_json_i64(out, cell.i);
        else if (field->type == NJ_F32)
            nj_json_f32(out, (float)cell.f);
        else
            nj_json_f64(out, cell.f);
    }
    nj_buffer_text(out, "}");
}

static void put_filters(nj_skyportal *s, const nj_rows *rows, uint32_t row, nj_buffer *out)
{
    const char *topics = rows->topics ? rows->topics[row] : "all";
    const double now = (double)nj_calendar_ns() / 1e9;
    put_annotations(&s->text, rows, row);
    if (s->text.failed) out->failed = 1;
    for (const char *end; topics && *topics && s->text.data; topics = *end ? end + 1 : end) {
        end = topics + strcspn(topics, ",");
        nj_ocf_long(out, 1);
        nj_ocf_bytes(out, topics, (size_t)(end - topics));
        put_double(out, now);
        nj_ocf_text(out, s->text.data);
    }
    nj_ocf_long(out, 0);
}

/* Numbers and texts of the row that are no answer of a module. */
static void put_properties(const nj_rows *rows, uint32_t row, nj_buffer *out)
{
    for (uint32_t f = 0; f < rows->n_fields; f++) {
        const nj_field *field = &rows->field[f];
        if (field->instance || field->width != 1) continue;
        const nj_cell cell = nj_cell_own(field, rows->value[f].data, row);
        nj_ocf_long(out, 1);
        nj_ocf_text(out, field->key);
        const double v = cell.kind == NJ_CELL_INT ? (double)cell.i : cell.kind == NJ_CELL_REAL ? cell.f : NAN;
        nj_ocf_long(out, cell.kind == NJ_CELL_TEXT ? 2 : isfinite(v));
        if (cell.kind == NJ_CELL_TEXT)
            nj_ocf_text(out, cell.text);
        else if (isfinite(v))
            put_double(out, v);
    }
    nj_ocf_long(out, 0);
}

static void put_stamp(const alert *a, int which, nj_buffer *out)
{
    const nj_stamp *stamp = a->b->stamp[which] ? &a->b->stamp[which][a->row] : NULL;
    const bool there = stamp && stamp->bytes;
    nj_ocf_long(out, there);
    if (there) nj_ocf_bytes(out, stamp->bytes, stamp->size);
}

static const char *put_alert(alert *a, const nj_rows *rows, nj_buffer *out)
{
    static const char *const lacking = "it has no id, object, time or position, which SkyPortal needs";
    const double jd = number(a, JD, a->row), ra = number(a, RA, a->row), dec = number(a, DEC, a->row),
                 program = number(a, PROGRAMID, a->row);
    const char *object = text(a, OBJECT);
    const int64_t id = a->b->id[a->row];
    char survey[32];
    if (!object || id == NJ_NO_I64 || !isfinite(jd) || !isfinite(ra) || !isfinite(dec)) return lacking;
    a->survey = text(a, SURVEY) ? text(a, SURVEY) : a->b->layout->survey;
    size_t n = 0;
    for (; a->survey[n] && n + 1 < sizeof survey; n++)
        survey[n] = (char)(a->survey[n] >= 'a' && a->survey[n] <= 'z' ? a->survey[n] - 32 : a->survey[n]);
    survey[n] = 0;
    a->survey = survey;
    a->zero_point = !strcmp(survey, "ZTF") ? 23.9 : 8.9; /* as SkyPortal has them */
    a->programid = isfinite(program) ? (int)program : 1;
    nj_ocf_long(out, id);
    nj_ocf_text(out, object);
    put_double(out, jd);
    put_double(out, ra);
    put_double(out, dec);
    nj_ocf_text(out, survey);
    put_optional(out, number(a, DRB, a->row));
    put_properties(rows, a->row, out);
    put_filters(a->s, rows, a->row, out);
    a->s->points.n = 0;
    put_light_curve(a);
    put_forced(a);
    if (a->n_points) {
        nj_ocf_long(out, a->n_points);
        nj_buffer_add(out, a->s->points.data, a->s->points.n);
    }
    nj_ocf_long(out, 0);
    for (int k = 0; k < NJ_STAMPS; k++) put_stamp(a, k, out);
    return NULL;
}

const char *nj_skyportal_write(nj_skyportal *s, const nj_rows *rows, uint32_t row, nj_buffer *out)
{
    const nj_batch *b = rows->batch;
    if (!b || !b->layout) return "its packet is not here";
    if (s->layout != b->layout) find_columns(s, b->layout);
    if (!s->header.n) {
        const nj_embedded *schema = nj_embedded_find("data/embed/skyportal.avsc");
        nj_ocf_header(&s->header, schema ? schema->data : "", "null", NULL, s->sync);
    }
    s->datum.n = 0;
    alert a = { .s = s, .b = b, .row = row };
    const char *why = put_alert(&a, rows, &s->datum);
    if (why) return why;
    nj_buffer_add(out, s->header.data, s->header.n);
    nj_ocf_long(out, 1);
    nj_ocf_bytes(out, s->datum.data, s->datum.n);
    nj_buffer_add(out, s->sync, NJ_OCF_SYNC);
    if (s->header.failed || s->datum.failed || s->points.failed) out->failed = 1;
    return NULL;
}

void nj_skyportal_free(nj_skyportal *s)
{
    nj_buffer_free(&s->header);
    nj_buffer_free(&s->datum);
    nj_buffer_free(&s->points);
    nj_buffer_free(&s->text);
}
