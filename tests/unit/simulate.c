/* simulate.c - the simulator: the same bytes for the same seed, and the statistics of real nights (shares,
 * sizes, nulls, gzip ratios), read back by avro-c and libdeflate. Bands: measured on 2,232 public packets;
 * the widths are what 1,500 alerts of five fields can hold (neighbours on a quadrant share their history, so
 * that counts are far from independent). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <avro.h>
#include <libdeflate.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/simulate/noise.h"
#include "broker/simulate/simulate.h"
#include "simulate_kit.h"

enum { N = 1500 };

/* ---- reading back ---------------------------------------------------------------------------- */
static const char *text(const avro_value_t *record, const char *name)
{
    int null;
    avro_value_t v = field(record, name, &null);
    const char *s = NULL;
    size_t n;
    if (!null) assert_int_equal(avro_value_get_string(&v, &s, &n), 0);
    return s;
}

typedef struct packet {
    FILE *file;
    avro_file_reader_t reader;
    avro_value_iface_t *iface;
    avro_value_t value;
} packet;

static void packet_open(packet *p, const nj_simulated *a)
{
    p->file = fmemopen((void *)(uintptr_t)a->bytes, a->size, "r");
    assert_int_equal(avro_file_reader_fp(p->file, "packet", 0, &p->reader), 0);
    avro_schema_t schema = avro_file_reader_get_writer_schema(p->reader);
    p->iface = avro_generic_class_from_schema(schema);
    avro_schema_decref(schema);
    assert_non_null(p->iface);
    assert_int_equal(avro_generic_value_new(p->iface, &p->value), 0);
    assert_int_equal(avro_file_reader_read_value(p->reader, &p->value), 0);
}

static void packet_close(packet *p)
{
    avro_value_t again;
    assert_int_equal(avro_generic_value_new(p->iface, &again), 0);
    assert_int_not_equal(avro_file_reader_read_value(p->reader, &again), 0); /* one record and no more */
    avro_value_decref(&again);
    avro_value_decref(&p->value);
    avro_value_iface_decref(p->iface);
    avro_file_reader_close(p->reader);
    fclose(p->file);
}

typedef struct stamp {
    size_t packed;
    int rows, cols, n_nan, n_deep;
    float pixel[63 * 63];
    char cards[480];
    char name[80];
} stamp;

static void stamp_open(const avro_value_t *record, const char *name, stamp *s)
{
    static uint8_t fits[7 * 2880];
    int null;
    avro_value_t cutout = field(record, name, &null), data;
    const void *bytes;
    size_t n, whole;
    assert_false(null);
    snprintf(s->name, sizeof s->name, "%s", text(&cutout, "fileName"));
    assert_int_equal(avro_value_get_by_name(&cutout, "stampData", &data, NULL), 0);
    assert_int_equal(avro_value_get_bytes(&data, &bytes, &n), 0);
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    assert_int_equal(libdeflate_gzip_decompress(d, bytes, n, fits, sizeof fits, &whole), 0);
    libdeflate_free_decompressor(d);
    assert_memory_equal(bytes, "\x1f\x8b\x08\0", 4);             /* no name in the gzip header */
    assert_memory_equal((const char *)bytes + 8, "\x02\x03", 2); /* "best", Unix */
    memcpy(s->cards, fits, 480);
    s->packed = n;
    assert_int_equal(sscanf((char *)fits + 240, "NAXIS1  = %d", &s->cols), 1);
    assert_int_equal(sscanf((char *)fits + 320, "NAXIS2  = %d", &s->rows), 1);
    assert_true(whole % 2880 == 0 && whole >= 2880 + 4 * (size_t)(s->rows * s->cols));
    s->n_nan = s->n_deep = 0;
    for (int i = 0; i < s->rows * s->cols; i++) {
        uint32_t bits;
        memcpy(&bits, fits + 2880 + 4 * i, 4);
        bits = __builtin_bswap32(bits);
        memcpy(&s->pixel[i], &bits, 4);
        s->n_nan += isnan(s->pixel[i]);
        s->n_deep += s->pixel[i] < -1e30f;
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double quantile(double *value, size_t n, double q)
{
    assert_true(n > 0);
    qsort(value, n, sizeof *value, by_value);
    return value[(size_t)(q * (double)(n - 1) + 0.5)];
}

static nj_simulator *simulator(nj_simulator_conf conf)
{
    nj_error err;
    nj_simulator *s = nj_simulator_new(&conf, &err);
    if (!s) fail_msg("%s", err.text);
    return s;
}

/* ---- tests ----------------------------------------------------------------------------------- */
static void the_same_seed_gives_the_same_bytes_in_any_order(void **state)
{
    (void)state;
    nj_simulator *a = simulator((nj_simulator_conf){ .alerts = 60, .seed = 7 }),
                 *b = simulator((nj_simulator_conf){ .alerts = 60, .seed = 7 });
    nj_simulator *c = simulator((nj_simulator_conf){ .alerts = 60, .seed = 8 });
    nj_simulated x, y;
    uint64_t n = 0;
    while (nj_simulator_next(a, &x) == 1) {
        assert_int_equal(nj_simulator_make(b, 59 - n, &y), 1); /* backwards, with state left over */
        assert_int_equal(nj_simulator_make(b, n, &y), 1);
        assert_true(x.size == y.size && !memcmp(x.bytes, y.bytes, x.size));
        assert_memory_equal(&x.truth, &y.truth, sizeof x.truth);
        assert_int_equal(nj_simulator_make(c, n, &y), 1);
        assert_false(x.size == y.size && !memcmp(x.bytes, y.bytes, x.size));
        n++;
    }
    assert_int_equal(n, 60);
    nj_simulator_free(a);
    nj_simulator_free(b);
    nj_simulator_free(c);
}

static void wrong_settings_are_refused(void **state)
{
    (void)state;
    static const struct {
        nj_simulator_conf conf;
        const char *says;
    } bad[] = { { { .survey = "sdss" }, "no survey" }, { { .schema = "9" }, "no schema" },
                { { .encoder = "x" }, "no encoder" },  { { .night = 20240230 }, "no night" },
                { { .night = 19990101 }, "no night" }, { { .alerts = 100000, .exposures = 2 }, "too few" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nj_error err = { "" };
        assert_null(nj_simulator_new(&bad[i].conf, &err));
        assert_non_null(strstr(err.text, bad[i].says));
    }
}

static void noise_is_gaussian_and_bells_hold_their_flux(void **state)
{
    (void)state;
    enum { COUNT = 400000 };
    static float x[COUNT];
    static float image[NJ_SIM_PIXELS];
    double sum = 0, square = 0, fourth = 0, product = 0, flux = 0;
    nj_sim_normals(x, COUNT, nj_sim_key(1, 2));
    for (int i = 0; i < COUNT; i++) {
        double v = x[i];
        sum += v;
        square += v * v;
        fourth += v * v * v * v;
        if (i) product += v * x[i - 1];
    }
    /* Five standard errors of each moment. */
    assert_true(fabs(sum / COUNT) < 5 / sqrt(COUNT));
    assert_true(fabs(square / COUNT - 1) < 5 * sqrt(2.0 / COUNT));
    assert_true(fabs(fourth / COUNT - 3) < 5 * sqrt(96.0 / COUNT));
    assert_true(fabs(product / COUNT) < 5 / sqrt(COUNT));
    const nj_sim_bell bell = { 31.3f, 30.6f, 0.10f, 0.04f, 0.08f, 1 };
    nj_sim_add_bell(image, &bell);
    for (int i = 0; i < NJ_SIM_PIXELS; i++) flux += image[i];
    /* The integral of exp(-q) is pi / sqrt(ac - b^2); 1e-4 for the polynomial of exp and float sums. */
    assert_true(fabs(flux / (M_PI / sqrt(0.10 * 0.08 - 0.04 * 0.04)) - 1) < 1e-4);
}

typedef struct night {
    double size[N], prv[N], ratio[3][N];
    int n_ratio, n, n_nan, n_cut, n_positive, n_null_history, n_limits, n_detections, n_archive, n_402,
        n_forced_missing, n_forced;
    int n_known_asteroids, n_class[8];
} night;

static void check_history(const avro_value_t *record, double jd, night *t)
{
    int null, limits = 0, n_fields = 0;
    avro_value_t list = field(record, "prv_candidates", &null), item, f;
    size_t n = 0;
    double before = 0;
    if (null) {
        t->n_null_history++;
        return;
    }
    avro_value_get_size(&list, &n);
    assert_true(n > 0);
    t->prv[t->n] = (double)n;
    for (size_t i = 0; i < n; i++) {
        int n_null = 0;
        avro_value_get_by_index(&list, i, &item, NULL);
        double at = number(&item, "jd");
        assert_true(at >= before && at < jd && at > jd - 30);
        before = at;
        limits = isnan(number(&item, "magpsf"));
        size_t all;
        avro_value_get_size(&item, &all);
        for (size_t k = 0; k < all; k++) {
            const char *name;
            avro_value_get_by_index(&item, k, &f, &name);
            field(&item, name, &null);
            n_null += null;
            n_fields++;
        }
        assert_int_equal(n_null, limits ? 41 : 3);
        t->n_limits += limits;
        t->n_detections += !limits;
    }
    assert_int_equal(n_fields, 57 * (int)n);
}

static void check_candidate(const avro_value_t *c, const nj_truth *truth, night *t)
{
    size_t n;
    avro_value_get_size(c, &n);
    assert_int_equal(n, 103);
    for (size_t k = 0; k < n; k++) { /* no null and no NaN anywhere */
        const char *name;
        int null;
        avro_value_t f;
        avro_value_get_by_index(c, k, &f, &name);
        avro_value_t v = field(c, name, &null);
        assert_false(null);
        if (avro_value_get_type(&v) != AVRO_STRING) assert_true(isfinite(number(c, name)));
    }
    assert_int_equal(strcmp(text(c, "isdiffpos"), "t") == 0, truth->positive);
    assert_true(number(c, "fid") == (truth->band[0] == 'g' ? 1 : 2));
    assert_true(fabs(number(c, "ra") - truth->ra) * 3600 * cos(truth->dec * M_PI / 180) < 3 &&
                fabs(number(c, "dec") - truth->dec) * 3600 < 3);
    assert_true(number(c, "sigmapsf") < 0.25 && number(c, "rb") >= 0 && number(c, "rb") <= 1 &&
                number(c, "drb") >= 0 && number(c, "drb") <= 1);
    assert_int_equal(strcmp(text(c, "ssnamenr"), "null") == 0, number(c, "ssdistnr") == -999);
    t->n_known_asteroids += !strcmp(truth->class, "asteroid") && number(c, "ssdistnr") >= 0;
}

static void check_forced(const avro_value_t *record, night *t)
{
    int null;
    avro_value_t list = field(record, "fp_hists", &null), item;
    size_t n = 0;
    if (null) return;
    avro_value_get_size(&list, &n);
    assert_in_range(n, 1, 21);
    for (size_t i = 0; i < n; i++) {
        avro_value_get_by_index(&list, i, &item, NULL);
        t->n_forced++;
        t->n_forced_missing += number(&item, "forcediffimflux") == -99999;
    }
}

static void check_stamps(const avro_value_t *record, const nj_truth *truth, night *t)
{
    static const char *const names[3] = { "cutoutScience", "cutoutTemplate", "cutoutDifference" };
    static stamp s[3];
    for (int k = 0; k < 3; k++) {
        stamp_open(record, names[k], &s[k]);
        assert_memory_equal(s[k].cards, "SIMPLE  =  T  ", 14);
        assert_int_equal(s[k].rows, truth->rows);
        assert_int_equal(s[k].cols, truth->cols);
        int whole = s[k].rows == 63 && s[k].cols == 63;
        assert_true(whole || (s[k].rows >= 41 && s[k].cols >= 41));
    }
    assert_non_null(strstr(s[2].name, truth->positive ? "scimref" : "refmsci"));
    assert_int_equal(s[0].n_nan, truth->n_nan);
    assert_int_equal(s[2].n_nan, truth->n_nan);
    assert_int_equal(s[1].n_nan, 0);
    assert_true(s[1].n_deep == 0 || s[1].n_deep == truth->n_nan);
    t->n_nan += truth->n_nan > 0;
    int cut = truth->rows < 63 || truth->cols < 63;
    t->n_cut += cut;
    if (cut || truth->n_nan) return;
    for (int k = 0; k < 3; k++) t->ratio[k][t->n_ratio] = (double)s[k].packed / (7 * 2880);
    t->n_ratio++;
}

#define BAND(value, lo, hi)                                                                                  \
    do {                                                                                                     \
        double value_ = (value);                                                                             \
        if (!(value_ >= (lo) && value_ <= (hi)))                                                             \
            fail_msg("%s = %g is outside %g .. %g", #value, value_, (double)(lo), (double)(hi));             \
    } while (0)

static void a_night_has_the_statistics_of_real_ones(void **state)
{
    (void)state;
    static night t;
    static const char *const classes[] = { "star",     "variable", "galaxy",  "supernova",
                                           "asteroid", "hostless", "artefact" };
    nj_simulator *s = simulator((nj_simulator_conf){ .alerts = N, .seed = 42, .exposures = 40 });
    nj_simulated a;
    while (nj_simulator_next(s, &a) == 1) {
        packet p;
        int null;
        packet_open(&p, &a);
        avro_value_t candidate = field(&p.value, "candidate", &null);
        assert_string_equal(text(&p.value, "objectId"), a.truth.object);
        assert_string_equal(text(&p.value, "schemavsn"), a.truth.schema);
        assert_true(number(&p.value, "candid") == number(&candidate, "candid"));
        check_candidate(&candidate, &a.truth, &t);
        check_history(&p.value, number(&candidate, "jd"), &t);
        if (!strcmp(a.truth.schema, "4.02")) check_forced(&p.value, &t);
        check_stamps(&p.value, &a.truth, &t);
        t.size[t.n] = (double)a.size;
        t.n_positive += a.truth.positive;
        t.n_archive += !strcmp(a.truth.encoder, "archive");
        t.n_402 += !strcmp(a.truth.schema, "4.02");
        for (int k = 0; k < 7; k++) t.n_class[k] += !strcmp(a.truth.class, classes[k]);
        t.n++;
        packet_close(&p);
    }
    nj_simulator_free(s);
    assert_int_equal(t.n, N);
    BAND(quantile(t.size, N, 0.05), 62e3, 69e3);                      /* 64.5 k (3.3) to 69.6 k (4.02) */
    BAND(quantile(t.size, N, 0.50), 68e3, 77e3);                      /* 70.8 k, 73.5 k */
    BAND(quantile(t.size, N, 0.95), 76e3, 98e3);                      /* 92.4 k, 77.5 k */
    BAND(quantile(t.ratio[0], (size_t)t.n_ratio, 0.5), 0.636, 0.676); /* 0.656, 3 % either way as for
                                                                       * the others */
    BAND(quantile(t.ratio[1], (size_t)t.n_ratio, 0.5), 0.609, 0.647); /* 0.628 */
    BAND(quantile(t.ratio[2], (size_t)t.n_ratio, 0.5), 0.718, 0.762); /* 0.740 */
    BAND(quantile(t.prv, N, 0.05), 0, 6);                             /* 2 */
    BAND(quantile(t.prv, N, 0.50), 12, 24);                           /* 18 */
    BAND(quantile(t.prv, N, 0.95), 50, 100);                          /* 75 */
    BAND((double)t.n_null_history / N, 0, 0.05);
    BAND((double)t.n_nan / N, 0.09, 0.15);      /* 0.12 */
    BAND((double)t.n_cut / N, 0.002, 0.016);    /* 0.007 */
    BAND((double)t.n_positive / N, 0.60, 0.82); /* 0.63, 0.78 */
    BAND((double)t.n_limits / (t.n_limits + t.n_detections), 0.25, 0.8);
    BAND((double)t.n_forced_missing / t.n_forced, 0.38, 0.48); /* 0.43 */
    BAND((double)t.n_archive / N, 0.2, 0.8);
    BAND((double)t.n_402 / N, 0.1, 0.6);
    BAND((double)t.n_known_asteroids / t.n_class[4], 0.8, 0.98);
    for (int k = 0; k < 7; k++) assert_true(t.n_class[k] > N / 50);
}

/* The truth is what the stamps show: the flux of the difference,
 * and an empty template under a hostless transient. */
static void stamps_show_the_truth(void **state)
{
    (void)state;
    static stamp s;
    static double ratio[N];
    int n = 0, n_hostless = 0, n_empty = 0, n_supernova = 0, n_hosted = 0;
    nj_simulator *sim = simulator((nj_simulator_conf){ .alerts = 1000, .seed = 3, .exposures = 20 });
    nj_simulated a;
    while (nj_simulator_next(sim, &a) == 1) {
        packet p;
        int null, hostless = !strcmp(a.truth.class, "hostless"),
                  supernova = !strcmp(a.truth.class, "supernova");
        if (a.truth.rows != 63 || a.truth.cols != 63 || a.truth.n_nan) continue;
        packet_open(&p, &a);
        avro_value_t candidate = field(&p.value, "candidate", &null);
        if ((hostless || supernova || !strcmp(a.truth.class, "variable")) && a.truth.snr > 30 &&
            a.truth.mag > 15) {
            double sum = 0;
            stamp_open(&p.value, "cutoutDifference", &s);
            for (int y = 31 - 7; y <= 31 + 7; y++)
                for (int x = 31 - 7; x <= 31 + 7; x++) sum += s.pixel[63 * y + x];
            ratio[n++] = sum / pow(10, 0.4 * (number(&candidate, "magzpsci") - a.truth.mag));
        }
        if (hostless || supernova) {
            double centre = 0, ring = 0;
            int m = 0;
            stamp_open(&p.value, "cutoutTemplate", &s);
            for (int y = 31 - 10; y <= 31 + 10; y++)
                for (int x = 31 - 10; x <= 31 + 10; x++) {
                    int in = abs(x - 31) <= 2 && abs(y - 31) <= 2, out = abs(x - 31) >= 7 || abs(y - 31) >= 7;
                    if (in)
                        centre += s.pixel[63 * y + x] / 25;
                    else if (out)
                        ring += s.pixel[63 * y + x], m++;
                }
            /* 1.5 DN: template noise of 1.5 DN, shared by neighbours, over 25 pixels, three times. */
            if (hostless) n_hostless++, n_empty += centre - ring / m < 1.5;
            if (supernova) n_supernova++, n_hosted += centre - ring / m > 1.5;
        }
        packet_close(&p);
    }
    nj_simulator_free(sim);
    assert_true(n >= 20);
    BAND(quantile(ratio, (size_t)n, 0.5), 0.93, 1.07);
    assert_true(n_hostless >= 20 && n_supernova >= 20);
    BAND((double)n_empty / n_hostless, 0.9, 1);
    BAND((double)n_hosted / n_supernova, 0.75, 1);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void nights_of_a_seed_see_the_same_objects(void **state)
{
    (void)state;
    static char name[2][600][16];
    int n_again = 0, n_twice = 0;
    for (int k = 0; k < 2; k++) {
        nj_simulator *s =
            simulator((nj_simulator_conf){ .alerts = 600, .seed = 5, .night = 20240310 + 3 * k });
        nj_simulated a;
        for (int i = 0; nj_simulator_next(s, &a) == 1; i++) memcpy(name[k][i], a.truth.object, 16);
        nj_simulator_free(s);
    }
    qsort(name[0], 600, 16, by_name);
    for (int i = 0; i < 600; i++) n_again += bsearch(name[1][i], name[0], 600, 16, by_name) != NULL;
    for (int i = 1; i < 600; i++) n_twice += !strcmp(name[0][i], name[0][i - 1]);
    BAND(n_again, 100, 500);
    BAND(n_twice, 50, 300); /* the second visit of the same night */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_bytes_in_any_order),
        cmocka_unit_test(wrong_settings_are_refused),
        cmocka_unit_test(noise_is_gaussian_and_bells_hold_their_flux),
        cmocka_unit_test(a_night_has_the_statistics_of_real_ones),
        cmocka_unit_test(stamps_show_the_truth),
        cmocka_unit_test(nights_of_a_seed_see_the_same_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
