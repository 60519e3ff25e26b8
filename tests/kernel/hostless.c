/* hostless.c - hostless detection on 635 real alerts against the values of the reference code
 * (shared/oracles/README.md). */
#include "oracle.h"

#include <zlib.h>

#include "nightjar/num.h"
#include "tests/module/host.h"
#include "hostless_row.h"

static const char *const sets[] = { "host", "few", "reg0", "slsn", "yso", "sym", "dt", "G", "dev", NULL };
static alerts all[9];
static table reference[9];

static int load(void **state)
{
    (void)state;
    for (int s = 0; kit_shared() && sets[s]; s++) {
        alerts_load(&all[s], sets[s]);
        if (table_load(&reference[s], sets[s], "")) fail_msg("no table of %s", sets[s]);
        assert_int_equal(all[s].n, reference[s].n);
        for (int i = 0; i < all[s].n; i++)
            assert_int_equal(all[s].item[i].id,
                             strtoll(table_text(&reference[s], (uint32_t)i, "candid"), NULL, 10));
    }
    return 0;
}

static int unload(void **state)
{
    (void)state;
    for (int s = 0; kit_shared() && sets[s]; s++) alerts_free(&all[s]), table_free(&reference[s]);
    return 0;
}

/* --- the module, one alert at a time --- */

static const char *const give_name[] = { "candidate",        "stage",      "lone",        "clipped_science",
                                         "clipped_template", "ks_science", "ks_template", "ks_science_sd",
                                         "ks_template_sd",   "n_nan",      "n_bad",       "verdict",
                                         "verdict_reason" };
typedef struct gate { /* what the gated instance needs besides the alert */
    double score[4];
    int32_t roid;
    const char *label;
} gate;

static const alert *current;

static const nj_image *image_of(const nj_work *w, uint32_t need, uint32_t r)
{
    (void)w, (void)r;
    return current->stamp[need].pixel ? &current->stamp[need] : NULL;
}

static void open_instance(host *h, const char *settings)
{
    char ini[512];
    snprintf(ini, sizeof ini, "[module.tested]\nkind = hostless\n%s", settings);
    open_host(h, ini, "tested", NULL);
}

static row run(const nj_instance *in, void *thread, int (*process)(const void *, void *, const nj_work *),
               const alert *a, const gate *g)
{
    static const uint32_t zero = 0;
    row r = no_row;
    void *out[] = ROW_OUTPUTS(r);
    for (size_t k = 0; k < sizeof out / sizeof *out; k++) assert_string_equal(in->give[k].name, give_name[k]);
    uint32_t off[2] = { 0, a->n_mag };
    nj_col col[16] = { { 0 } };
    const nj_col *in_col[16];
    for (int k = 0; k < 16; k++) in_col[k] = &col[k];
    if (g) {
        const char *const path[] = { "stamp.science",
                                     "stamp.template",
                                     "stamp_px",
                                     "jd",
                                     "first_jd",
                                     "lc.mag",
                                     "snn_snia_vs_nonia.score",
                                     "snn_sn_vs_all.score",
                                     "early_snia.score",
                                     "kilonova.score",
                                     "roid.roid",
                                     "finkclass.label" };
        for (int k = 0; k < 12; k++) assert_string_equal(in->need[k].path, path[k]);
        col[3].data = &a->jd, col[4].data = &a->jdstarthist, col[5] = (nj_col){ a->mag, off };
        for (int k = 0; k < 4; k++) col[6 + k].data = &g->score[k];
        col[10].data = &g->roid, col[11].data = &g->label;
    }
    nj_made_batch b = { .in = in };
    nj_work w = { .size = sizeof w,
                  .n = 1,
                  .row = &zero,
                  .in = in_col,
                  .out = out,
                  .reason = &r.reason,
                  .id = &a->id,
                  .opaque = &b,
                  .scratch = nj_made_scratch,
                  .text = nj_made_text,
                  .image = image_of };
    current = a;
    assert_int_equal(process(in->self, thread, &w), NJ_OK);
    nj_made_free(&b);
    return r;
}

/* --- oracle A: everything that has no random numbers in it, exactly --- */

static void expect_mask(const table *t, uint32_t i, const char *what, const char *image, const nj_clip *clip,
                        const float *pixel, uint32_t n)
{
    char column[64];
    uint8_t mask[63 * 63];
    uint32_t n_masked = nj_clip_mask(clip, pixel, n, mask);
    assert_int_equal(n_masked, clip->n - clip->n_kept);
    snprintf(column, sizeof column, "hostless.%s_masked_%s", what, image);
    if (n_masked != table_number(t, i, column))
        fail_msg("row %u: %s is %u, not %s", i, column, n_masked, table_text(t, i, column));
    snprintf(column, sizeof column, "hostless.%s_mask_crc32_%s", what, image);
    uint32_t crc = (uint32_t)crc32(crc32(0, NULL, 0), mask, n);
    if (crc != table_number(t, i, column))
        fail_msg("row %u: %s is %u, not %s", i, column, crc, table_text(t, i, column));
}

static void masks_are_equal(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    nj_clip_work *work = aligned_alloc(64, (nj_clip_work_size() + 63) / 64 * 64);
    int n_stamps = 0;
    for (int s = 0; sets[s]; s++)
        for (uint32_t i = 0; i < reference[s].n; i++)
            for (int k = 0; k < 2; k++) {
                const nj_image *stamp = &all[s].item[i].stamp[k];
                const char *image = k ? "tpl" : "sci";
                if (strcmp(table_text(&reference[s], i, "hostless.status"), "ok")) continue;
                assert_int_equal(stamp->rows * stamp->cols, 63 * 63);
                nj_clip first, second, centre;
                float crop[14 * 14];
                nj_clip_begin(work, nj_isa_best(), stamp->pixel, 63 * 63, &first);
                nj_clip_passes(work, 3, 10, &first);
                expect_mask(&reference[s], i, "first", image, &first, stamp->pixel, 63 * 63);
                second = first;
                nj_clip_passes(work, 3, 10, &second);
                char column[64];
                snprintf(column, sizeof column, "hostless.second_masked_%s", image);
                assert_int_equal(second.n - second.n_kept, (int)table_number(&reference[s], i, column));
                /* what lets process() leave it out */
                if (first.converged) assert_int_equal(second.n_kept, first.n_kept);
                for (int p = 0; p < 14 * 14; p++) {
                    float v = stamp->pixel[(24 + p / 14) * 63 + 24 + p % 14];
                    crop[p] = v >= first.lo && v <= first.hi ? v : NAN;
                }
                nj_clip_begin(work, nj_isa_best(), crop, 14 * 14, &centre);
                nj_clip_passes(work, 3, 10, &centre);
                expect_mask(&reference[s], i, "centre", image, &centre, crop, 14 * 14);
                n_stamps++;
            }
    assert_int_equal(n_stamps, 2 * 617);
    free(work);
}

static void candidates_are_equal(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    host h;
    open_instance(&h, "");
    nj_made_thread t = open_thread(&h.set.item[0]);
    int n_rows = 0, n_candidates = 0;
    for (int s = 0; sets[s]; s++)
        for (uint32_t i = 0; i < reference[s].n; i++, n_rows++) {
            const table *ref = &reference[s];
            row r = run(t.in, t.block, t.in->module->process, &all[s].item[i], NULL);
            if (strcmp(table_text(ref, i, "hostless.status"), "ok")) {
                assert_int_equal(r.reason, NJ_RANGE);
                assert_int_equal(r.candidate, NJ_NO_U8);
                continue;
            }
            int one = (int)table_number(ref, i, "hostless.stage1"),
                two = (int)table_number(ref, i, "hostless.stage2");
            assert_int_equal(r.reason, NJ_DONE);
            assert_int_equal(r.candidate, (int)table_number(ref, i, "hostless.candidate"));
            assert_int_equal(r.stage, one ? 1 : two ? 2 : 0);
            assert_int_equal(
                r.clipped[0],
                (int)table_number(ref, i, one ? "hostless.second_masked_sci" : "hostless.centre_masked_sci"));
            assert_int_equal(
                r.clipped[1],
                (int)table_number(ref, i, one ? "hostless.second_masked_tpl" : "hostless.centre_masked_tpl"));
            assert_int_equal(r.candidate, !isnan(r.ks[0]) && !isnan(r.ks[1]));
            if (r.candidate)
                assert_string_equal(r.lone, r.clipped[0] > r.clipped[1] ? "science" : "template");
            else
                assert_null(r.lone);
            n_candidates += r.candidate;
        }
    assert_int_equal(n_rows, 635);
    assert_int_equal(n_candidates, 90);
    nj_made_thread_close(&t);
    close_host(&h);
}

/* The gate, with the reference's own scores. */
static void gate_is_equal(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    host h;
    open_instance(&h, "gate = 1\n");
    const nj_instance *in = nj_instances_find(&h.set, "tested");
    nj_made_thread t = open_thread(in);
    int n_passed = 0;
    for (int s = 0; sets[s]; s++)
        for (uint32_t i = 0; i < reference[s].n; i++) {
            const table *ref = &reference[s];
            gate g = {
                { table_number(ref, i, "snn_snia_vs_nonia.roid"), table_number(ref, i, "snn_sn_vs_all.roid"),
                  table_number(ref, i, "rf_snia_vs_nonia.al_loop"), table_number(ref, i, "rf_kn_vs_nonkn") },
                (int32_t)table_number(ref, i, "roid"),
                table_text(ref, i, "finkclass")
            };
            row r = run(in, t.block, in->module->process, &all[s].item[i], &g);
            int passed = r.reason != NJ_CUT;
            if (passed != (int)table_number(ref, i, "hostless.gate"))
                fail_msg("%s row %u: gate %d, not %s", sets[s], i, passed,
                         table_text(ref, i, "hostless.gate"));
            n_passed += passed;
        }
    assert_true(n_passed > 50);
    nj_made_thread_close(&t);
    close_host(&h);
}

/* --- oracle B: the reference's own random numbers --- */

static void numpy_numerators(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    static const int numerator[] = { 6828, 10634, 7268, 10172, 2774, 5010 };
    host h;
    open_instance(&h, "rng = numpy\nseed = 1337\n");
    nj_made_thread t = open_thread(&h.set.item[0]);
    int n = 0;
    for (int i = 0; i < all[0].n; i++) {
        row r = run(t.in, t.block, t.in->module->process, &all[0].item[i], NULL);
        for (int k = 0; k < 2 && r.candidate == 1; k++, n++)
            assert_true(fabs(r.ks[k] - numerator[n] / 39800.0) < 1e-12); /* the quotients' last bits,
                                                                          * nothing else */
    }
    assert_int_equal(n, 6);
    nj_made_thread_close(&t);
    close_host(&h);
}

/* Every candidate of every set, one stream per set;
 * "alone": the seed set again before each (without dev, for time). */
static void numpy_stream(void **state)
{
    if (!kit_shared()) skip();
    const int alone = *(const int *)*state;
    host h;
    open_instance(&h, "rng = numpy\nseed = 1337\n");
    int n = 0;
    for (int s = 0; sets[s] && !(alone && s == 8); s++) {
        nj_made_thread t = open_thread(&h.set.item[0]);
        for (uint32_t i = 0; i < reference[s].n; i++) {
            if (alone && table_number(&reference[s], i, "hostless.candidate") == 1) {
                nj_made_thread_close(&t);
                t = open_thread(&h.set.item[0]);
            }
            row r = run(t.in, t.block, t.in->module->process, &all[s].item[i], NULL);
            for (int k = 0; k < 2 && r.candidate == 1; k++, n++) {
                char column[64];
                snprintf(column, sizeof column, "hostless.%s%s", k ? "template" : "science",
                         alone ? ".alone" : "");
                double want = table_number(&reference[s], i, column);
                if (!(fabs(r.ks[k] - want) < 1e-12))
                    fail_msg("%s row %u: %s is %.17g, not %.17g", sets[s], i, column, r.ks[k], want);
            }
        }
        nj_made_thread_close(&t);
    }
    assert_int_equal(n, alone ? 2 * 28 : 2 * 90);
    close_host(&h);
}

/* --- oracle C: the distribution --- */

/* Mean of 240 draws against the reference's mean of 60; z of a difference of means. 56 tests: |z| < 4 by
 * chance fails one run of seeds in 280, and the seeds are fixed. The standard deviations agree within a
 * factor (F test, far tail). */
static void means_agree(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    enum { REPEATS = 240 };
    host h;
    open_instance(&h, "repeats = 240\n");
    nj_made_thread t = open_thread(&h.set.item[0]);
    int n = 0;
    double sum = 0;
    for (int s = 0; sets[s]; s++) {
        table spread;
        if (table_load(&spread, sets[s], ".hostless_spread")) continue;
        for (uint32_t i = 0; i < spread.n; i++) {
            int64_t id = strtoll(table_text(&spread, i, "candid"), NULL, 10);
            int a = 0;
            while (a < all[s].n && all[s].item[a].id != id) a++;
            assert_true(a < all[s].n);
            row r = run(t.in, t.block, t.in->module->process, &all[s].item[a], NULL);
            for (int k = 0; k < 2; k++, n++) {
                double n2 = table_number(&spread, i, "seeds"),
                       m2 = table_number(&spread, i, k ? "template.mean" : "science.mean");
                double s2 = table_number(&spread, i, k ? "template.sd" : "science.sd");
                double z = (r.ks[k] - m2) / sqrt(r.sd[k] * r.sd[k] / REPEATS + s2 * s2 / n2);
                if (!(fabs(z) < 4))
                    fail_msg("%s %lld image %d: %.4f +- %.4f, reference %.4f +- %.4f, z = %.2f", sets[s],
                             (long long)id, k, r.ks[k], r.sd[k], m2, s2, z);
                if (!(r.sd[k] > s2 / 2 && r.sd[k] < 2 * s2))
                    fail_msg("%s %lld image %d: sd %.4f, reference %.4f", sets[s], (long long)id, k, r.sd[k],
                             s2);
                sum += z;
            }
        }
        table_free(&spread);
    }
    assert_int_equal(n, 56);
    assert_true(fabs(sum / sqrt(n)) < 4); /* no drift of all of them */
    print_message("mean z of %d distances: %.2f\n", n, sum / n);
    nj_made_thread_close(&t);
    close_host(&h);
}

/* --- the fast version, the plain one, and the instruction sets --- */

static void expect_same(const row *a, const row *b, const char *what, int64_t id)
{
    if (a->candidate != b->candidate || a->stage != b->stage || a->lone != b->lone ||
        a->verdict != b->verdict || a->reason != b->reason ||
        memcmp(a->clipped, b->clipped, sizeof a->clipped) || memcmp(a->ks, b->ks, sizeof a->ks) ||
        memcmp(a->sd, b->sd, sizeof a->sd))
        fail_msg("%s: %lld differs", what, (long long)id);
}

static void all_instruction_sets_give_the_same_bits(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    host h[NJ_ISAS];
    nj_made_thread t[NJ_ISAS];
    for (int v = 0; v < NJ_ISAS; v++) {
        char settings[64];
        snprintf(settings, sizeof settings, "repeats = 2\nisa = %s\n", nj_isa_name[v]);
        open_instance(&h[v], settings);
        t[v] = open_thread(&h[v].set.item[0]);
    }
    for (int s = 0; sets[s]; s++)
        for (int i = 0; i < all[s].n; i++) {
            row first = run(t[0].in, t[0].block, t[0].in->module->process, &all[s].item[i], NULL);
            for (int v = 1; v < NJ_ISAS; v++) {
                row r = run(t[v].in, t[v].block, t[v].in->module->process, &all[s].item[i], NULL);
                expect_same(&first, &r, nj_isa_name[v], all[s].item[i].id);
            }
        }
    for (int v = 0; v < NJ_ISAS; v++) nj_made_thread_close(&t[v]), close_host(&h[v]);
    if (nj_isa_best() != NJ_ISA_AVX512)
        print_message("this processor has no more than %s\n", nj_isa_name[nj_isa_best()]);
}

/* Same draws: D moves by at most 2 steps of its grid, 2/39800, by single precision, and mostly not at all. */
static void fast_equals_plain(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    host h;
    open_instance(&h, "");
    nj_made_thread t = open_thread(&h.set.item[0]);
    int n = 0, n_exact = 0;
    for (int s = 0; sets[s]; s++)
        for (int i = 0; i < all[s].n; i++) {
            row a = run(t.in, t.block, t.in->module->process, &all[s].item[i], NULL);
            if (a.candidate != 1 || (s == 8 && n % 3)) { /* a third of the last and longest set */
                n += a.candidate == 1;
                continue;
            }
            row b = run(t.in, t.block, t.in->module->process_ref, &all[s].item[i], NULL);
            for (int k = 0; k < 2; k++)
                if (!(fabs(a.ks[k] - b.ks[k]) < 2.5 / 39800))
                    fail_msg("%s row %d: %.17g, plain %.17g", sets[s], i, a.ks[k], b.ks[k]);
            n_exact += a.ks[0] == b.ks[0] && a.ks[1] == b.ks[1];
            a.ks[0] = b.ks[0], a.ks[1] = b.ks[1];
            expect_same(&a, &b, "plain", all[s].item[i].id);
            n++;
        }
    assert_int_equal(n, 90);
    assert_true(n_exact > 40);
    nj_made_thread_close(&t);
    close_host(&h);
}

int main(void)
{
    static int in_order = 0, alone = 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_are_equal),
        cmocka_unit_test(candidates_are_equal),
        cmocka_unit_test(gate_is_equal),
        cmocka_unit_test(numpy_numerators),
        { "numpy_stream in order", numpy_stream, NULL, NULL, &in_order },
        { "numpy_stream alone", numpy_stream, NULL, NULL, &alone },
        cmocka_unit_test(means_agree),
        cmocka_unit_test(all_instruction_sets_give_the_same_bits),
        cmocka_unit_test(fast_equals_plain),
    };
    return cmocka_run_group_tests_name("hostless", tests, load, unload);
}
