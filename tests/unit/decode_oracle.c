/* decode_oracle.c - every field of every stored packet against avro-c (avro_generic_value), every pixel
 * against zlib + cfitsio. */
#include "decode_kit.h"

#include <avro.h>
#include <fitsio.h>
#include <math.h>
#include <zlib.h>

#include "broker/schema/registry.h"
#include "broker/image/opener.h"

enum { MAX_COLUMNS = 3000, MAX_PATH = 300, MAX_LAYOUTS = 200 };

typedef struct counts {
    size_t files, records, values, nulls, stamps, pixels, columns;
} counts;

/* ---- the columns of a schema, found by walking avro-c's own copy of it ----------------------- */

typedef struct shape {
    nj_column_def col[MAX_COLUMNS];
    uint32_t n;
    nj_layout layout;
    const nj_schema *schema;
} shape;

static void add(shape *s, const nj_schema *schema, const char *path)
{
    nj_offer offer;
    bool in_map;
    if (nj_schema_offer(schema, path, &offer, &in_map)) return;
    for (uint32_t i = 0; i < s->n; i++)
        if (!strcmp(s->col[i].path, path)) return; /* a name that stands twice in a record */
    assert_true(s->n < MAX_COLUMNS);
    s->col[s->n++] = (nj_column_def){ strdup(path), offer.type, offer.shape, NULL, 1 };
}

static void walk(shape *s, const nj_schema *schema, avro_schema_t at, const char *path, int depth)
{
    char next[MAX_PATH];
    if (depth > 10) return;
    if (is_avro_link(at)) at = avro_schema_link_target(at);
    if (is_avro_record(at)) {
        for (size_t i = 0; i < avro_schema_record_size(at); i++) {
            snprintf(next, sizeof next, "%.200s.%.90s", path, avro_schema_record_field_name(at, (int)i));
            walk(s, schema, avro_schema_record_field_get_by_index(at, (int)i), next, depth + 1);
        }
    } else if (is_avro_union(at)) {
        /* the decoder enters the first branch that leads on:
         * every branch is asked for, and those it refuses are not added */
        for (size_t i = 0; i < avro_schema_union_size(at); i++)
            if (!is_avro_null(avro_schema_union_branch(at, (int)i)))
                walk(s, schema, avro_schema_union_branch(at, (int)i), path, depth + 1);
    } else if (is_avro_array(at)) {
        if (strchr(path, '[')) return; /* arrays inside arrays are no columns */
        snprintf(next, sizeof next, "%.250s[]", path);
        walk(s, schema, avro_schema_array_items(at), next, depth + 1);
    } else {
        add(s, schema, path);
    }
}

/* ---- one value ------------------------------------------------------------------------------- */

/* Goes through unions; false when the value is null. */
static bool settle(avro_value_t *v)
{
    avro_value_t branch;
    while (avro_value_get_type(v) == AVRO_UNION) {
        if (avro_value_get_current_branch(v, &branch)) return false;
        *v = branch;
    }
    return avro_value_get_type(v) != AVRO_NULL;
}

/* Follows "a.b" from a record; stops at "[]" and leaves the rest of the path. False: null on the way. */
static bool follow(avro_value_t *v, const char **path)
{
    while (**path && **path != '[') {
        char name[MAX_PATH];
        size_t n = strcspn(*path, ".[");
        snprintf(name, sizeof name, "%.*s", (int)n, *path);
        avro_value_t field;
        if (!settle(v) || avro_value_get_type(v) != AVRO_RECORD ||
            avro_value_get_by_name(v, name, &field, NULL))
            return false;
        *v = field;
        *path += n + ((*path)[n] == '.');
    }
    return settle(v);
}

static double number_at(nj_type type, const void *data, size_t at)
{
    switch (type) {
    case NJ_U8: return ((const uint8_t *)data)[at];
    case NJ_I32: return ((const int32_t *)data)[at];
    case NJ_I64: return (double)((const int64_t *)data)[at];
    case NJ_F32: return ((const float *)data)[at];
    case NJ_F64: return ((const double *)data)[at];
    default: return NAN;
    }
}

/* Is element `at` of the column what avro-c has? null: avro-c has no value. */
static bool same(const avro_value_t *v, bool null, nj_type type, const void *data, size_t at, counts *n)
{
    int32_t i = 0;
    int64_t l = 0;
    float f = 0;
    double d = 0;
    int b = 0;
    const char *text = NULL;
    size_t size = 0;
    if (null)
        n->nulls++;
    else
        n->values++;
    avro_type_t kind = null ? AVRO_NULL : avro_value_get_type(v);
    /* a union of several numbers has the column type of the first; the others are converted */
    if (kind == AVRO_INT32 && type != NJ_I32)
        return !avro_value_get_int(v, &i) && number_at(type, data, at) == i;
    if (kind == AVRO_DOUBLE && type == NJ_F32)
        return !avro_value_get_double(v, &d) && ((const float *)data)[at] == (float)d;
    switch (kind) {
    case AVRO_INT32: avro_value_get_int(v, &i); return type == NJ_I32 && ((const int32_t *)data)[at] == i;
    case AVRO_INT64: avro_value_get_long(v, &l); return type == NJ_I64 && ((const int64_t *)data)[at] == l;
    case AVRO_FLOAT:
        avro_value_get_float(v, &f);
        return type == NJ_F32 && !memcmp(&((const float *)data)[at], &f, 4);
    case AVRO_DOUBLE:
        avro_value_get_double(v, &d);
        return type == NJ_F64 && !memcmp(&((const double *)data)[at], &d, 8);
    case AVRO_BOOLEAN:
        avro_value_get_boolean(v, &b);
        return type == NJ_U8 && ((const uint8_t *)data)[at] == (b != 0);
    case AVRO_ENUM:
        avro_value_get_enum(v, &b);
        text = avro_schema_enum_get(avro_value_get_schema(v), b);
        return type == NJ_STR && ((char *const *)data)[at] && !strcmp(((char *const *)data)[at], text);
    case AVRO_STRING:
        avro_value_get_string(v, &text, &size);
        return type == NJ_STR && ((char *const *)data)[at] &&
               strlen(((char *const *)data)[at]) == strlen(text) && !strcmp(((char *const *)data)[at], text);
    default: {
        uint64_t empty[1];
        nj_fill_null(type, empty, 1);
        if (type == NJ_F32) return isnan(((const float *)data)[at]);
        if (type == NJ_F64) return isnan(((const double *)data)[at]);
        return !memcmp((const char *)data + at * nj_type_size(type), empty, nj_type_size(type));
    }
    }
}

static void compare_column(const char *file, const avro_value_t *top, const nj_column_def *def,
                           const nj_col *col, uint32_t row, counts *n)
{
    avro_value_t v = *top, item;
    const char *path = def->path + strlen("packet.");
    bool some = follow(&v, &path);
    if (def->shape == NJ_SCALAR) {
        if (!same(&v, !some, def->type, col->data, row, n))
            fail_msg("%s row %u: %s differs", file, row, def->path);
        return;
    }
    size_t size = 0;
    if (some && avro_value_get_type(&v) == AVRO_ARRAY) avro_value_get_size(&v, &size);
    if (col->off[row + 1] - col->off[row] != size)
        fail_msg("%s row %u: %s has %u elements, not %zu", file, row, def->path,
                 col->off[row + 1] - col->off[row], size);
    for (size_t i = 0; i < size; i++) {
        const char *rest = path + 2 + (path[2] == '.');
        avro_value_get_by_index(&v, i, &item, NULL);
        bool there = follow(&item, &rest);
        if (!same(&item, !there, def->type, col->data, col->off[row] + i, n))
            fail_msg("%s row %u: %s[%zu] differs", file, row, def->path, i);
    }
}

/* ---- stamps ---------------------------------------------------------------------------------- */

static uint8_t *gunzip(const uint8_t *bytes, size_t size, size_t *n)
{
    size_t cap = 1 << 22;
    uint8_t *out = malloc(cap);
    z_stream z = {
        .next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)size, .next_out = out, .avail_out = (uInt)cap
    };
    assert_int_equal(inflateInit2(&z, 31), Z_OK);
    int rc = inflate(&z, Z_FINISH);
    *n = z.total_out;
    inflateEnd(&z);
    if (rc == Z_STREAM_END) return out;
    free(out);
    return NULL;
}

/* The image as cfitsio reads it. */
static void compare_pixels(const char *file, nj_opener *opener, nj_stamp *stamp, nj_arena *arena, counts *n)
{
    const char *why = NULL;
    nj_stamp_open(opener, stamp, arena, &why);
    size_t size = stamp->size;
    uint8_t *plain = NULL;
    const uint8_t *bytes = stamp->bytes;
    if (size > 2 && bytes[0] == 0x1f && bytes[1] == 0x8b) bytes = plain = gunzip(bytes, size, &size);
    fitsfile *f = NULL;
    int status = 0, naxis = 0, bitpix, any;
    long axis[2] = { 0, 0 };
    void *memory = (void *)(uintptr_t)bytes;
    bool readable = bytes && !fits_open_memfile(&f, "x", READONLY, &memory, &size, 0, NULL, &status) &&
                    !fits_get_img_param(f, 2, &bitpix, &naxis, axis, &status);
    if (readable && naxis == 0) /* an empty primary: the image is in the first extension */
        readable = !fits_movrel_hdu(f, 1, NULL, &status) &&
                   !fits_get_img_param(f, 2, &bitpix, &naxis, axis, &status);
    readable = readable && naxis == 2;
    if (readable != (stamp->state == NJ_STAMP_OPEN))
        fail_msg("%s: a stamp is %s for us (%s)", file, readable ? "bad" : "good", why ? why : "-");
    if (readable) {
        size_t pixels = (size_t)axis[0] * (size_t)axis[1];
        float *pixel = malloc(pixels * sizeof *pixel), null = NAN;
        uint32_t n_nan = 0;
        assert_int_equal(fits_read_img(f, TFLOAT, 1, (LONGLONG)pixels, &null, pixel, &any, &status), 0);
        assert_int_equal(stamp->image.rows, axis[1]);
        assert_int_equal(stamp->image.cols, axis[0]);
        assert_int_equal((uintptr_t)stamp->image.pixel % 64, 0);
        for (size_t i = 0; i < pixels; i++) {
            bool nan = isnan(pixel[i]);
            n_nan += nan;
            /* -0 is 0: cfitsio drops its sign */
            if (nan ? !isnan(stamp->image.pixel[i]) : pixel[i] != stamp->image.pixel[i])
                fail_msg("%s: pixel %zu is %a, not %a", file, i, (double)stamp->image.pixel[i],
                         (double)pixel[i]);
        }
        assert_int_equal(stamp->image.n_nan, n_nan);
        free(pixel);
        n->stamps++;
        n->pixels += pixels;
    }
    if (f) {
        status = 0;
        fits_close_file(f, &status);
    }
    free(plain);
}

/* ---- files ----------------------------------------------------------------------------------- */

typedef struct bench {
    nj_settings settings;
    nj_decoder *decoder;
    nj_opener *opener;
    nj_cursor cursor;
    nj_batch *batch;
    shape *shape[MAX_LAYOUTS]; /* layouts live as long as the decoder */
    size_t n_shapes;
} bench;

static shape *shape_of(bench *b, const nj_schema *schema, avro_schema_t avro)
{
    for (size_t i = 0; i < b->n_shapes; i++)
        if (b->shape[i]->schema == schema) return b->shape[i];
    shape *s = calloc(1, sizeof *s);
    assert_true(b->n_shapes < MAX_LAYOUTS);
    s->schema = schema;
    walk(s, schema, avro, "packet", 0);
    s->layout = (nj_layout){ nj_schema_survey(schema), s->n, s->n, s->col, 7 };
    assert_true(s->n > 10);
    return b->shape[b->n_shapes++] = s;
}

/* All records of one container file; frees its bytes. False: avro-c cannot open it. */
static bool compare_bytes(bench *b, const char *name, uint8_t *bytes, size_t size, counts *n)
{
    nj_error err = { "" };
    assert_non_null(bytes);
    nj_chunk *chunk = kit_chunk(bytes, size);
    FILE *f = fmemopen(bytes, size, "rb");
    avro_file_reader_t file;
    if (avro_file_reader_fp(f, name, 1, &file)) {
        print_message("# %s: avro-c: %s\n", name, avro_strerror());
        nj_chunk_drop(chunk);
        free(bytes);
        return false;
    }
    avro_schema_t schema = avro_file_reader_get_writer_schema(file);
    avro_value_iface_t *class = avro_generic_class_from_schema(schema);
    avro_value_t top;
    avro_generic_value_new(class, &top);
    if (nj_cursor_open(&b->cursor, b->decoder, chunk, &err)) fail_msg("%s: %s", name, err.text);
    shape *s = shape_of(b, b->cursor.schema, schema);
    n->files++;
    for (int more = 1; more;) {
        assert_int_equal(nj_batch_begin(b->batch, &s->layout, 7), 0);
        more = nj_cursor_read(&b->cursor, b->batch, 7, SIZE_MAX);
        if (b->batch->n_dead) fail_msg("%s: %s", name, b->batch->dead[0].reason);
        for (uint32_t row = 0; row < b->batch->n; row++) {
            if (avro_file_reader_read_value(file, &top)) fail_msg("%s: avro-c: %s", name, avro_strerror());
            for (uint32_t c = 0; c < s->n; c++)
                compare_column(name, &top, &s->col[c], &b->batch->col[c], row, n);
            for (int k = 0; k < NJ_STAMPS; k++)
                if (b->batch->stamp[k][row].state == NJ_STAMP_PACKED)
                    compare_pixels(name, b->opener, &b->batch->stamp[k][row], &b->batch->arena, n);
            n->records++;
            n->columns += s->n;
        }
    }
    /* avro-c has no more either; but of ATLAS it returns a second record of a file
     * whose only block says one */
    if (!strstr(name, "atlas") && !avro_file_reader_read_value(file, &top))
        fail_msg("%s: avro-c has more records", name);
    nj_batch_end(b->batch);
    avro_value_decref(&top);
    avro_value_iface_decref(class);
    avro_schema_decref(schema);
    avro_file_reader_close(file);
    nj_chunk_drop(chunk);
    free(bytes);
    return true;
}

static bool compare_file(bench *b, const char *name, counts *n)
{
    size_t size = 0;
    uint8_t *bytes = kit_file(name, &size);
    return compare_bytes(b, name, bytes, size, n);
}

static void bench_close(bench *b)
{
    nj_cursor_free(&b->cursor);
    nj_batch_free(b->batch);
    nj_opener_free(b->opener);
    nj_decoder_free(b->decoder);
    for (size_t i = 0; i < b->n_shapes; i++) {
        for (uint32_t c = 0; c < b->shape[i]->n; c++) free((char *)(uintptr_t)b->shape[i]->col[c].path);
        free(b->shape[i]);
    }
    nj_settings_free(&b->settings);
}

/* Returns how many files avro-c cannot open. */
static int compare_folder(const char *folder, const char *suffix, counts *n)
{
    int n_files, closed = 0;
    bench b = { .batch = nj_batch_new() };
    b.decoder = kit_decoder(&b.settings, NULL);
    b.opener = nj_opener_new(b.decoder);
    char **names = kit_folder(folder, suffix, &n_files);
    for (int i = 0; i < n_files; i++) {
        closed += !compare_file(&b, names[i], n);
        free(names[i]);
    }
    free(names);
    print_message("# %s: %zu files, %zu schemas, %zu records, %zu columns, %zu values, %zu nulls, %zu "
                  "stamps, %zu pixels\n",
                  folder, n->files, b.n_shapes, n->records, n->columns, n->values, n->nulls, n->stamps,
                  n->pixels);
    bench_close(&b);
    return closed;
}

static void every_field_of_every_ztf_packet(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    counts n = { 0 };
    assert_int_equal(compare_folder("ztf", ".avro", &n), 0);
    assert_int_equal(n.files, 322);
    assert_int_equal(n.records, 322);
    assert_int_equal(n.stamps, 3 * 322);
    assert_true(n.values > 200000 && n.nulls > 100000); /* it did compare something */
}

/* The other surveys, as far as avro-c can open their files: one of ATLAS has a field "chi/N". */
static void every_field_of_the_other_surveys(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    static const struct {
        const char *folder;
        size_t files;
        int closed;
    } folder[] = { { "lsst/ocf", 2, 0 },        { "lsst/fink", 10, 0 },     { "lsst/fake", 16, 0 },
                   { "other/winter", 12, 0 },   { "other/pgir", 12, 0 },    { "other/turbo", 8, 0 },
                   { "other/decam", 1, 0 },     { "other/decat", 7, 0 },    { "other/atlas", 5, 1 },
                   { "other/elasticc", 21, 0 }, { "other/fink_ztf", 1, 0 }, { "other/synthetic", 2, 0 } };
    size_t records = 0;
    for (size_t i = 0; i < sizeof folder / sizeof *folder; i++) {
        counts n = { 0 };
        int closed = compare_folder(folder[i].folder, ".avro", &n);
        if (n.files != folder[i].files || closed != folder[i].closed)
            fail_msg("%s: %zu files compared, %d closed to avro-c", folder[i].folder, n.files, closed);
        records += n.records;
    }
    print_message("# %zu records\n", records);
}

/* Framed and bare datums, put into container files with the schema that their id or their folder names. */
static void every_field_of_framed_and_bare_lsst(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    static const struct {
        const char *folder, *suffix;
        size_t files;
    } folder[] = { { "lsst/wire", ".msg", 5 }, { "lsst/fake", ".msg", 10 }, { "lsst/bare", ".datum", 7 } };
    char schemas[4200];
    snprintf(schemas, sizeof schemas, "%s/real/schemas/lsst", kit_shared());
    for (size_t k = 0; k < sizeof folder / sizeof *folder; k++) {
        counts n = { 0 };
        int n_files;
        bool framed = k < 2;
        bench b = { .batch = nj_batch_new() };
        b.decoder = kit_decoder(&b.settings, NULL);
        b.opener = nj_opener_new(b.decoder);
        char **names = kit_folder(folder[k].folder, folder[k].suffix, &n_files);
        for (int i = 0; i < n_files; i++) {
            size_t size = 0, n_schema = 0;
            nj_error err = { "" };
            uint8_t *bytes = kit_file(names[i], &size);
            uint32_t id =
                (uint32_t)bytes[1] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 8 | bytes[4];
            char name[16];
            snprintf(name, sizeof name, "%u", id);
            char *schema = framed ? nj_schema_from_folder(schemas, name, &n_schema, &err)
                                  : (char *)kit_file("lsst/bare/schema_lsst_v9_0.json", &n_schema);
            if (!schema) fail_msg("%s: %s", names[i], err.text);
            nj_buffer file = { 0 };
            kit_header(&file, schema, "null");
            kit_block(&file, 1, bytes + 5 * framed, size - 5 * framed);
            if (!compare_bytes(&b, names[i], (uint8_t *)file.data, file.n, &n))
                fail_msg("%s: closed to avro-c", names[i]);
            free(schema);
            free(bytes);
            free(names[i]);
        }
        free(names);
        print_message("# %s: %zu files, %zu values, %zu nulls, %zu stamps, %zu pixels\n", folder[k].folder,
                      n.files, n.values, n.nulls, n.stamps, n.pixels);
        assert_true(n.files == folder[k].files && n.values > 10 * n.files);
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_field_of_every_ztf_packet),
                                        cmocka_unit_test(every_field_of_the_other_surveys),
                                        cmocka_unit_test(every_field_of_framed_and_bare_lsst) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
