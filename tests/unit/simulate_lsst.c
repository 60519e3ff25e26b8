/* simulate_lsst.c - LSST-like packets: read back by avro-c and cfitsio, in both framings; the pattern of
 * visits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <avro.h>
#include <fitsio.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "broker/simulate/simulate.h"
#include "broker/simulate/world.h"
#include "simulate_kit.h"

enum { N = 240 };

static size_t items(const avro_value_t *record, const char *name)
{
    int null;
    size_t n = 0;
    avro_value_t v = field(record, name, &null);
    if (!null) assert_int_equal(avro_value_get_size(&v, &n), 0);
    assert_true(null || n > 0);
    return n;
}

/* Three HDUs, a square image of that side, a point spread that sums to one.
 * Returns the NaN pixels of the first. */
static int check_stamp(const avro_value_t *record, const char *name, int side)
{
    static float image[64 * 64];
    static double psf[64 * 64];
    avro_value_t v;
    const void *bytes;
    size_t n;
    fitsfile *f = NULL;
    int status = 0, n_hdu = 0, null, any, n_nan = 0;
    long axes[2] = { 0, 0 };
    v = field(record, name, &null);
    assert_false(null);
    assert_int_equal(avro_value_get_bytes(&v, &bytes, &n), 0);
    assert_int_equal(n % 2880, 0);
    void *memory = (void *)(uintptr_t)bytes;
    fits_open_memfile(&f, "stamp", READONLY, &memory, &n, 0, NULL, &status);
    fits_get_num_hdus(f, &n_hdu, &status);
    assert_int_equal(n_hdu, 3);
    for (int hdu = 1; hdu <= 2; hdu++) {
        fits_movabs_hdu(f, hdu, NULL, &status);
        fits_get_img_size(f, 2, axes, &status);
        assert_true(axes[0] == side && axes[1] == side);
        fits_read_img(f, TFLOAT, 1, side * side, NULL, image, &any, &status);
        for (int i = 0; i < side * side; i++) {
            if (hdu == 1)
                n_nan += isnan(image[i]) != 0;
            else
                assert_true(isnan(image[i]) || image[i] > 0); /* a variance */
        }
    }
    fits_movabs_hdu(f, 3, NULL, &status);
    fits_get_img_size(f, 2, axes, &status);
    assert_true(axes[0] >= 39 && axes[0] <= 49 && axes[0] == axes[1]);
    fits_read_img(f, TDOUBLE, 1, axes[0] * axes[1], NULL, psf, &any, &status);
    double sum = 0;
    for (long i = 0; i < axes[0] * axes[1]; i++) sum += psf[i];
    assert_true(fabs(sum - 1) < 0.01); /* what a box of ten sigma leaves out */
    fits_close_file(f, &status);
    assert_int_equal(status, 0);
    return n_nan;
}

static void packets_hold_what_the_survey_sends(void **state)
{
    (void)state;
    nj_error err;
    nj_simulator *s =
        nj_simulator_new(&(nj_simulator_conf){ .survey = "lsst", .alerts = N, .seed = 4 }, &err);
    if (!s) fail_msg("%s", err.text);
    nj_simulated a;
    int n = 0, n_asteroids = 0, n_holes = 0, n_history = 0;
    double bytes = 0;
    while (nj_simulator_next(s, &a) == 1) {
        FILE *file = fmemopen((void *)(uintptr_t)a.bytes, a.size, "r");
        avro_file_reader_t reader;
        avro_value_t packet;
        int null, no_object, no_orbit, no_ss;
        assert_int_equal(avro_file_reader_fp(file, "packet", 0, &reader), 0);
        avro_schema_t schema = avro_file_reader_get_writer_schema(reader);
        avro_value_iface_t *iface = avro_generic_class_from_schema(schema);
        assert_int_equal(avro_generic_value_new(iface, &packet), 0);
        assert_int_equal(avro_file_reader_read_value(reader, &packet), 0);
        avro_value_t source = field(&packet, "diaSource", &null),
                     object = field(&packet, "diaObject", &no_object);
        field(&packet, "ssSource", &no_ss);
        field(&packet, "mpc_orbits", &no_orbit);
        int asteroid = !strcmp(a.truth.class, "asteroid");
        assert_true(asteroid == no_object && asteroid == !no_ss && asteroid == !no_orbit);
        assert_true(number(&packet, "diaSourceId") == (double)a.truth.candid &&
                    number(&source, "diaSourceId") == (double)a.truth.candid);
        assert_true(fabs(number(&source, "midpointMjdTai") + 2400000.5 - a.truth.jd) < 1e-6);
        assert_true(fabs(number(&source, "psfFlux") / number(&source, "psfFluxErr")) >= 4.99);
        assert_int_equal(number(&source, "psfFlux") > 0, a.truth.positive);
        assert_in_range((int)number(&source, "detector"), 0, 188);
        size_t n_prv = items(&packet, "prvDiaSources");
        items(&packet, "prvDiaForcedSources");
        if (!no_object) assert_int_equal((int)number(&object, "nDiaSources"), (int)n_prv + 1);
        n_history += n_prv > 0;
        int holes = check_stamp(&packet, "cutoutDifference", a.truth.rows);
        assert_int_equal(holes, a.truth.n_nan);
        assert_int_equal(check_stamp(&packet, "cutoutScience", a.truth.rows), holes);
        assert_int_equal(check_stamp(&packet, "cutoutTemplate", a.truth.rows), 0);
        n_holes += holes > 0;
        n_asteroids += asteroid;
        bytes += (double)a.size;
        n++;
        avro_value_decref(&packet);
        avro_value_iface_decref(iface);
        avro_schema_decref(schema);
        avro_file_reader_close(reader);
        fclose(file);
    }
    nj_simulator_free(s);
    assert_int_equal(n, N);
    assert_in_range(n_asteroids, N / 10, N / 4);
    assert_in_range(n_holes, 3, 30); /* 1 in 18 of 240; three standard deviations and a bit */
    assert_true(n_history > N / 3);
    /* 101 to 161 kB without the schema when the history is short, and 24 kB of it. */
    assert_true(bytes / n > 115e3 && bytes / n < 185e3);
}

static void confluent_framing_carries_the_same_datum(void **state)
{
    (void)state;
    nj_error err;
    nj_simulator *files = nj_simulator_new(&(nj_simulator_conf){ .survey = "lsst", .alerts = 12 }, &err);
    nj_simulator *wire = nj_simulator_new(
        &(nj_simulator_conf){ .survey = "lsst", .alerts = 12, .encoder = "confluent" }, &err);
    assert_non_null(files);
    assert_non_null(wire);
    nj_simulated a, b;
    while (nj_simulator_next(files, &a) == 1) {
        assert_int_equal(nj_simulator_next(wire, &b), 1);
        assert_memory_equal(b.bytes, "\0\0\0\x04\x4c", 5); /* 1100, big-endian */
        size_t n = b.size - 5;
        assert_true(a.size > n + 20000);
        assert_memory_equal(a.bytes + a.size - 16 - n, b.bytes + 5, n); /* before the last sync marker */
        assert_non_null(strstr(b.member, ".msg"));
    }
    nj_simulator_free(files);
    nj_simulator_free(wire);
}

static void visits_follow_the_cadence(void **state)
{
    (void)state;
    enum { VISITS = 400 };
    nj_sim_night plan;
    uint32_t least = UINT32_MAX, most = 0;
    int n_bursts = 0;
    assert_int_equal(nj_sim_night_plan(&plan, &nj_sim_lsst_cadence, 1, 3000, VISITS * 10000ull, VISITS), 0);
    for (uint32_t i = 0; i < VISITS; i++) {
        const nj_sim_exposure *e = &plan.exposure[i];
        if (e->n < least) least = e->n;
        if (e->n > most) most = e->n;
        if (i) assert_true(fabs((e->jd - e[-1].jd) * 86400 - 39) < 0.02); /* jd has seven digits: 9 ms */
        assert_true(e->twin == i || plan.exposure[e->twin].field == e->field);
    }
    for (uint32_t i = 0; i < VISITS; i++) n_bursts += plan.exposure[i].n > 2 * least;
    nj_sim_night_free(&plan);
    assert_in_range(most, 4 * least - 10, 4 * least + 10);
    assert_in_range(least, 7000, 10000);
    assert_in_range(n_bursts, 4, 60); /* 1 in 16 of 200 pointings, each seen twice */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_hold_what_the_survey_sends),
        cmocka_unit_test(confluent_framing_carries_the_same_datum),
        cmocka_unit_test(visits_follow_the_cadence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
