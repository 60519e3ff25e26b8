/* blazars.c - standardized_flux with the real catalogue of CTAO's blazars: an alert made for every object of
 * it. Skipped without the shared folder. */
#include "host.h"

#include <unistd.h>

#include "broker/parquet/parquet.h"

enum { MAG, MAG_ERR, REF_MAG, REF_MAG_ERR, POSITIVE, BAND, OBJECT }; /* needs */
enum { DC_FLUX, DC_SIGMA, KNOWN, STD_FLUX, STD_SIGMA };              /* gives */
enum { MOST = 1000 };

static char name_of[MOST][32];
static double median_of[MOST][2];
static uint32_t n_objects;

static void read_column(const nj_parquet *file, const char *title, int k)
{
    nj_error err = { "" };
    nj_parquet_values v;
    int leaf = nj_parquet_find(file, title);
    nj_parquet_column *column = leaf < 0 ? NULL : nj_parquet_column_open(file, (uint32_t)leaf, &err);
    if (!column || nj_parquet_read(column, MOST, &v, &err)) fail_msg("%s: %s", title, err.text);
    n_objects = v.n_levels;
    for (uint32_t i = 0; i < v.n_levels; i++) {
        if (k < 0) {
            const nj_parquet_bytes *b = v.value;
            snprintf(name_of[i], sizeof *name_of, "%.*s", (int)b[i].n, (const char *)b[i].data);
        } else {
            bool null = v.def && v.def[i] < nj_parquet_leaf_at(file, (uint32_t)leaf)->max_def;
            median_of[i][k] = null ? NAN : ((const double *)v.value)[i];
        }
    }
    nj_parquet_column_close(column);
}

static void write_catalogue(const char *folder)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/blazars.csv", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "object,median_g,median_r\n");
    for (uint32_t i = 0; i < n_objects; i++) {
        fprintf(f, "%s", name_of[i]);
        for (int k = 0; k < 2; k++)
            if (isnan(median_of[i][k]))
                fprintf(f, ",");
            else
                fprintf(f, ",%.17g", median_of[i][k]);
        fprintf(f, "\n");
    }
    assert_int_equal(fclose(f), 0);
}

static void *column(nj_made_batch *b, uint32_t need, size_t size, const uint32_t *off)
{
    void *data = nj_arena_alloc(&b->arena, (b->n + 1) * size);
    b->col[need] = (nj_col){ data, off };
    return data;
}

/* One alert of one point per row: difference magnitude 18, reference 17, bands in turn,
 * object i of the catalogue or none. */
static void build_alerts(nj_made_batch *b, const nj_instance *in, uint32_t n)
{
    static nj_made_row spec[2 * MOST];
    nj_made_begin(b, in, spec, n);
    uint32_t *off = nj_arena_alloc(&b->arena, (n + 1) * sizeof *off);
    double *mag = column(b, MAG, 8, off), *err = column(b, MAG_ERR, 8, off),
           *ref = column(b, REF_MAG, 8, off);
    double *ref_err = column(b, REF_MAG_ERR, 8, off);
    uint8_t *positive = column(b, POSITIVE, 1, off), *band = column(b, BAND, 1, off);
    const char **object = column(b, OBJECT, sizeof *object, NULL);
    for (uint32_t r = 0; r < n; r++) {
        off[r] = r;
        mag[r] = 18, err[r] = 0.1, ref[r] = 17, ref_err[r] = 0.05;
        positive[r] = 1;
        band[r] = (uint8_t)(1 + r % 3);
        object[r] = r / 3 < n_objects ? name_of[r / 3] : "ZTF99nobody";
    }
    off[n] = n;
    nj_made_clear(b);
}

static void every_object_is_found(void **state)
{
    (void)state;
    const char *shared = getenv("NIGHTJAR_SHARED");
    char path[4096], folder[] = "/tmp/nightjar-blazars-XXXXXX",
                     ini[] = "[module.blazars]\nkind = standardized_flux\ncatalogue = blazars.csv\n";
    snprintf(path, sizeof path, "%s/real/catalogs/CTAO_blazars_ztf_dr23.v03_2026.parquet",
             shared ? shared : "");
    if (!shared || access(path, R_OK)) skip();
    nj_error err = { "" };
    nj_parquet *file = nj_parquet_open(path, &err);
    if (!file) fail_msg("%s", err.text);
    read_column(file, "ZTF_name", -1);
    read_column(file, "medians.1", 0);
    read_column(file, "medians.2", 1);
    nj_parquet_close(file);
    assert_int_equal(n_objects, 231);
    assert_non_null(mkdtemp(folder));
    write_catalogue(folder);
    host h;
    open_host(&h, ini, "blazars", folder);
    nj_made_batch b;
    nj_made_thread t = open_thread(&h.set.item[0]);
    build_alerts(&b, &h.set.item[0], 3 * n_objects + 3);
    assert_int_equal(nj_made_call_all(&b, &t, h.set.item[0].module->process, 64), NJ_OK);
    double flux = 3631 * (pow(10, -0.4 * 17) + pow(10, -0.4 * 18));
    uint32_t n_values = 0;
    for (uint32_t r = 0; r < b.n; r++) {
        uint32_t i = r / 3, first = 0;
        while (i < n_objects && strcmp(name_of[first], name_of[i]))
            first++; /* an object twice:
                      * its first row */
        double median = i < n_objects && r % 3 < 2 ? median_of[first][r % 3] : NAN,
               std = ((double *)b.out[STD_FLUX])[r];
        assert_int_equal(b.reason[r], NJ_DONE);
        assert_int_equal(((uint8_t *)b.out[KNOWN])[r], i < n_objects);
        assert_true(fabs(((double *)b.out[DC_FLUX])[r] - flux) < 1e-12);
        assert_int_equal(isnan(std) != 0, isnan(median) != 0);
        if (isnan(std)) continue;
        assert_true(fabs(std * median / flux - 1) < 1e-12); /* rounding of a division */
        n_values++;
    }
    print_message("# %u objects, %u standardized fluxes\n", n_objects, n_values);
    assert_true(n_values > 400);
    nj_made_free(&b);
    nj_made_thread_close(&t);
    close_host(&h);
    snprintf(path, sizeof path, "%s/blazars.csv", folder);
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_object_is_found) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
