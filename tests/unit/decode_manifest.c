/* decode_manifest.c - every stored packet of MANIFEST.tsv: decoded with the values that its collectors read
 * with readers of their own, or in the table of refused ones with its reason. */
#include "decode_kit.h"

#include <fitsio.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/schema/registry.h"
#include "broker/avro/tree.h"
#include "broker/image/opener.h"

#define COLUMN(path, type, shape)                                                                            \
    {                                                                                                        \
        path, type, shape, NULL, 1                                                                           \
    }
enum { CANDID, JD, RA, DEC, LC_JD, TOP_ID, N_COLUMNS };
static const nj_column_def columns[N_COLUMNS] = {
    COLUMN("candid", NJ_I64, NJ_SCALAR), COLUMN("jd", NJ_F64, NJ_SCALAR),
    COLUMN("ra", NJ_F64, NJ_SCALAR),     COLUMN("dec", NJ_F64, NJ_SCALAR),
    COLUMN("lc.jd", NJ_F64, NJ_SERIES),  COLUMN("packet.diaSourceId", NJ_I64, NJ_SCALAR)
};
static const nj_layout layout = { "any", N_COLUMNS, N_COLUMNS, columns, 7 };

/* oddities/ have their own table in decode.c. */
static const struct refused {
    const char *file, *reason;
} refused[] = {
    { "other/babamul/ampel_lsst_report.avro",
      /* a report, no alert */
      "no survey map matches the schema 'ampel.contrib.hu.model.LSSTReport.LSSTReport'" },
};
enum { N_REFUSED = sizeof refused / sizeof *refused };

/* A number behind "key=" in the notes; the key must not be the end of a longer one. */
static bool noted(const char *notes, const char *key, double *value, int64_t *whole)
{
    size_t n = strlen(key);
    for (const char *at = strstr(notes, key); at; at = strstr(at + 1, key)) {
        char *end;
        if (at[n] != '=' || (at > notes && at[-1] != ' ')) continue;
        if (whole)
            *whole = strtoll(at + n + 1, &end, 10);
        else
            *value = strtod(at + n + 1, &end);
        return end != at + n + 1 && strchr("; \t\n", *end);
    }
    return false;
}

typedef struct seen {
    int files, rows, values, shapes, refused;
} seen;

static void check_number(const char *file, const char *what, double value, double want, seen *n)
{
    n->values++;
    /* both are the packet's own double */
    if (value != want) fail_msg("%s: %s is %.17g, not %.17g", file, what, value, want);
}

/* "Science 63x63", rows first; also "_science". */
static void check_shapes(const char *file, const char *notes, nj_opener *opener, nj_batch *b, seen *n)
{
    static const char *const name[NJ_STAMPS][2] = { { "Science ", "_science " },
                                                    { "Template ", "_template " },
                                                    { "Difference ", "_difference " } };
    for (int s = 0; s < NJ_STAMPS; s++) {
        unsigned rows, cols;
        const char *at = strstr(notes, name[s][0]);
        if (!at) at = strstr(notes, name[s][1]);
        if (!at || sscanf(strchr(at, ' '), " %ux%u", &rows, &cols) != 2) continue;
        nj_stamp *stamp = &b->stamp[s][0];
        const char *why = NULL;
        nj_stamp_open(opener, stamp, &b->arena, &why);
        if (stamp->state != NJ_STAMP_OPEN || stamp->image.rows != rows || stamp->image.cols != cols)
            fail_msg("%s: %s is %ux%u (%s), not %ux%u", file, nj_stamp_name[s], stamp->image.rows,
                     stamp->image.cols, why ? why : "-", rows, cols);
        n->shapes++;
    }
}

static void check_values(const char *file, const char *notes, nj_opener *opener, nj_batch *b, seen *n)
{
    double x;
    int64_t id, points;
    const struct {
        const char *key;
        int column;
        double offset;
    } number[] = { { "ra", RA, 0 },
                   { "dec", DEC, 0 },
                   { "decl", DEC, 0 },
                   { "RA", RA, 0 },
                   { "Dec", DEC, 0 },
                   { "jd", JD, 0 },
                   { "mjd", JD, 2400000.5 },
                   { "midpointMjdTai", JD, 2400000.5 },
                   { "midPointTai", JD, 2400000.5 } };
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        if (noted(notes, number[i].key, &x, NULL))
            check_number(file, number[i].key, KIT_AT(b, number[i].column, double, 0), x + number[i].offset,
                         n);
    bool fake = strstr(notes, "SYNTHETIC") && strstr(file, "lsst/"); /* its two ids differ:
                                                                      * the notes have the one at the top */
    if (noted(notes, "candid", NULL, &id) || noted(notes, "diaSourceId", NULL, &id)) {
        n->values++;
        if ((fake ? KIT_AT(b, TOP_ID, int64_t, 0) : b->id[0]) != id &&
            !(fake && KIT_AT(b, TOP_ID, int64_t, 0) == NJ_NO_I64))
            fail_msg("%s: the id is %lld, not %lld", file, (long long)b->id[0], (long long)id);
    }
    if (noted(notes, "prv_candidates", NULL, &points) || noted(notes, "prvDiaSources", NULL, &points)) {
        n->values++;
        if (b->col[LC_JD].off[1] != points + 1)
            fail_msg("%s: %u points, not %lld and the current one", file, b->col[LC_JD].off[1],
                     (long long)points);
    }
    check_shapes(file, notes, opener, b, n);
}

static void check_file(nj_decoder *const decoder[2], const char *file, const char *notes, seen *n)
{
    nj_cursor cursor = { 0 };
    nj_error err = { "" };
    size_t size = 0;
    int64_t records = 1;
    nj_decoder *d = decoder[strstr(file, "lsst/bare/") != NULL];
    uint8_t *bytes = kit_file(file, &size);
    if (!bytes) fail_msg("%s is not there", file);
    nj_chunk *chunk = kit_chunk(bytes, size);
    free(bytes);
    nj_batch *b = nj_batch_new();
    nj_opener *opener = nj_opener_new(d);
    const struct refused *r = refused;
    while (r < refused + N_REFUSED && strcmp(r->file, file)) r++;
    n->files++;
    assert_int_equal(nj_batch_begin(b, &layout, 64), 0);
    int rc = nj_cursor_open(&cursor, d, chunk, &err);
    if (r < refused + N_REFUSED) {
        if (rc == 0 || !strstr(err.text, r->reason)) fail_msg("%s: should be refused: %s", file, err.text);
        n->refused++;
    } else {
        if (rc || nj_cursor_read(&cursor, b, 64, SIZE_MAX)) fail_msg("%s: %s", file, err.text);
        if (b->n_dead) fail_msg("%s: %s", file, b->dead[0].reason);
        noted(notes, "records", NULL, &records);
        assert_int_equal(b->n, records);
        check_values(file, notes, opener, b, n);
        n->rows += (int)b->n;
    }
    nj_batch_free(b);
    nj_opener_free(opener);
    nj_cursor_free(&cursor);
    nj_chunk_drop(chunk);
}

static void every_packet_of_the_manifest(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    char define[4200];
    nj_settings settings[2] = { { .n = 0 }, { .n = 0 } };
    snprintf(define, sizeof define, "registry.schemas=%s/real/schemas/lsst", kit_shared());
    nj_decoder *decoder[2] = { kit_decoder(&settings[0], define), NULL };
    snprintf(define, sizeof define, "decode.schema=%s/real/lsst/bare/schema_lsst_v9_0.json", kit_shared());
    decoder[1] = kit_decoder(&settings[1], define);
    size_t size = 0;
    char *manifest = (char *)kit_file("MANIFEST.tsv", &size), *save = NULL;
    assert_non_null(manifest);
    seen n = { 0 };
    for (char *line = strtok_r(manifest, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *tab = strchr(line, '\t');
        if (!tab) continue;
        *tab = 0;
        const char *notes = strrchr(tab + 1, '\t'), *dot = strrchr(line, '.');
        bool packet = dot && (!strcmp(dot, ".avro") || !strcmp(dot, ".msg") || !strcmp(dot, ".datum"));
        if (!packet || !notes ||
            (strncmp(line, "ztf/", 4) && strncmp(line, "lsst/", 5) && strncmp(line, "other/", 6)))
            continue;
        check_file(decoder, line, notes + 1, &n);
    }
    print_message("# %d files, %d rows, %d values and %d image shapes as noted, %d refused\n", n.files,
                  n.rows, n.values, n.shapes, n.refused);
    assert_true(n.files == 444 && n.values > 1700 && n.shapes > 180);
    assert_int_equal(n.refused, N_REFUSED);
    free(manifest);
    for (int i = 0; i < 2; i++) {
        nj_decoder_free(decoder[i]);
        nj_settings_free(&settings[i]);
    }
}

/* Which test reads the files that are neither packets nor schemas nor stamps; or why nothing does. */
static const struct other_file {
    const char *start, *end, *who;
    int n;
} other_files[] = {
    { "catalogs/", "", "unit/catalog.c, unit/parquet.c, module/xmatch.c: tables, no alerts", 9 },
    { "models/", ".h5",
      "not read: weights in HDF5; the network is a model folder in models/onnx, which module/stamps.c runs",
      6 },
    { "models/", ".json", "not read: settings beside such weights", 5 },
    { "models/", ".onnx", "not read as it is: a model comes as a folder with its manifest (models/onnx)", 1 },
    { "models/", ".pt", "not read: pickles; models/onnx has the networks, which module/oracle.c runs", 2 },
    { "models/", ".tflite", "not read: TensorFlow Lite; braai is in models/onnx, T2 is not here", 2 },
    { "models/", ".ubj", "not read: XGBoost's own format; e2e/export_model.sh exports it", 2 },
    { "models/", ".zip", "not read: its forests are in models/onnx, which module/oracle.c runs", 1 },
    { "lsst/bare/schema", ".json", "the test above: schema of the datums beside it", 1 },
    { "other/fink_hostless/rows", ".tsv", "not read: a table for people beside the stamps", 1 },
};

static bool ends_with(const char *text, const char *tail)
{
    size_t n = strlen(text), m = strlen(tail);
    return n >= m && !strcmp(text + n - m, tail);
}

/* A schema that is whole, or one whose types stand in the files beside it. Returns whether it is whole. */
static bool check_schema(const char *file)
{
    nj_error err = { "" };
    nj_tree tree;
    size_t size = 0, joined;
    char *text = (char *)kit_file(file, &size), folder[] = "/tmp/nightjar-schemas-XXXXXX", path[4400],
         link[200];
    assert_non_null(text);
    int rc = nj_tree_parse(&tree, text, size, &err);
    free(text);
    if (rc == 0) {
        nj_tree_free(&tree);
        return true;
    }
    if (!strstr(err.text, "before it is defined")) fail_msg("%s: %s", file, err.text);
    assert_non_null(mkdtemp(folder)); /* under MAJOR/MINOR, as --schemas wants it */
    snprintf(path, sizeof path, "%s/real/%s", kit_shared(), file);
    *strrchr(path, '/') = 0;
    snprintf(link, sizeof link, "%s/9", folder);
    assert_int_equal(mkdir(link, 0755), 0);
    snprintf(link, sizeof link, "%s/9/0", folder);
    assert_int_equal(symlink(path, link), 0);
    text = nj_schema_from_folder(folder, "900", &joined, &err);
    unlink(link);
    *strrchr(link, '/') = 0;
    rmdir(link);
    rmdir(folder);
    if (!text || nj_tree_parse(&tree, text, joined, &err))
        fail_msg("%s, with the files beside it: %s", file, err.text);
    nj_tree_free(&tree);
    free(text);
    return false;
}

/* A packed stamp, pixel by pixel against cfitsio, which inflates by itself. */
static size_t check_stamp(nj_opener *opener, const char *file)
{
    char path[4300];
    size_t size = 0, n;
    nj_arena arena = { 0 };
    uint8_t *bytes = kit_file(file, &size);
    nj_stamp stamp = { .bytes = bytes, .size = (uint32_t)size, .state = NJ_STAMP_PACKED };
    const char *why = NULL;
    nj_stamp_open(opener, &stamp, &arena, &why);
    if (stamp.state != NJ_STAMP_OPEN) fail_msg("%s: %s", file, why);
    n = (size_t)stamp.image.rows * stamp.image.cols;
    float *want = malloc(n * sizeof *want);
    fitsfile *f = NULL;
    int status = 0, any;
    snprintf(path, sizeof path, "%s/real/%s", kit_shared(), file);
    fits_open_file(&f, path, READONLY, &status);
    fits_read_img(f, TFLOAT, 1, (long)n, NULL, want, &any, &status);
    if (f) fits_close_file(f, &status);
    assert_int_equal(status, 0);
    for (size_t i = 0; i < n; i++) /* the same bytes */
        if (isnan(want[i]) ? !isnan(stamp.image.pixel[i]) : stamp.image.pixel[i] != want[i])
            fail_msg("%s: pixel %zu is %g, not %g", file, i, (double)stamp.image.pixel[i], (double)want[i]);
    free(want);
    free(bytes);
    nj_arena_free(&arena);
    return n;
}

static void every_other_file_of_the_manifest(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    enum { N_OTHER = sizeof other_files / sizeof *other_files };
    nj_settings settings = { .n = 0 };
    nj_decoder *decoder = kit_decoder(&settings, NULL);
    nj_opener *opener = nj_opener_new(decoder);
    size_t size = 0, pixels = 0;
    int all = 0, packets = 0, oddities = 0, schemas = 0, whole = 0, stamps = 0, other[N_OTHER] = { 0 };
    char *manifest = (char *)kit_file("MANIFEST.tsv", &size), *save = NULL;
    assert_non_null(manifest);
    strtok_r(manifest, "\n", &save); /* the heading */
    for (char *line; (line = strtok_r(NULL, "\n", &save)); all++) {
        line[strcspn(line, "\t")] = 0;
        if (!strncmp(line, "oddities/", 9)) {
            oddities++; /* decode.c has their table */
        } else if (ends_with(line, ".avro") || ends_with(line, ".msg") || ends_with(line, ".datum")) {
            packets++; /* the test above */
        } else if (ends_with(line, ".avsc")) {
            whole += check_schema(line);
            schemas++;
        } else if (ends_with(line, ".fits.gz") && !strncmp(line, "other/", 6)) {
            pixels += check_stamp(opener, line);
            stamps++;
        } else {
            int k = 0;
            while (k < N_OTHER && (strncmp(line, other_files[k].start, strlen(other_files[k].start)) ||
                                   !ends_with(line, other_files[k].end)))
                k++;
            if (k == N_OTHER) fail_msg("%s is in no table", line);
            other[k]++;
        }
    }
    for (int k = 0; k < N_OTHER; k++)
        if (other[k] != other_files[k].n)
            fail_msg("%s*%s: %d files", other_files[k].start, other_files[k].end, other[k]);
    print_message("# %d files: %d packets, %d oddities, %d schemas (%d whole, the others with those beside "
                  "them), %d stamps of %zu pixels\n",
                  all, packets, oddities, schemas, whole, stamps, pixels);
    assert_true(all == 928 && packets == 444 && oddities == 34 && schemas == 204 && stamps == 216);
    nj_opener_free(opener);
    nj_decoder_free(decoder);
    nj_settings_free(&settings);
    free(manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_packet_of_the_manifest),
                                        cmocka_unit_test(every_other_file_of_the_manifest) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
