/* hostless_rules.c - each rule of hostless detection on stamps made for it: even noise without tails
 * (nothing is clipped by chance), and bright or missing pixels at known places. */
#include "tests/module/host.h"
#include "hostless_row.h"

typedef struct stamps {
    float pixel[2][64 * 64];
    nj_image image[2];
} stamps;

static void make(stamps *s, uint32_t rows, uint32_t cols)
{
    for (int k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < rows * cols; i++)
            s->pixel[k][i] = (float)(100 + 10 * nj_made_uniform(nj_made_hash(k + 1) + i));
        s->image[k] = (nj_image){ .pixel = s->pixel[k], .rows = rows, .cols = cols };
    }
}

/* n pixels of image k from (top, left) on, 4 to a row. */
static void put(stamps *s, int k, uint32_t top, uint32_t left, uint32_t n, float value)
{
    for (uint32_t i = 0; i < n; i++) s->pixel[k][(top + i / 4) * s->image[k].cols + left + i % 4] = value;
}

static stamps *current;
static int32_t stamp_px = NJ_NO_I32; /* of the survey's map */
static uint8_t near_bright_star = NJ_NO_U8;
static const nj_image *image_of(const nj_work *w, uint32_t need, uint32_t r)
{
    (void)w, (void)r;
    return current->image[need].pixel ? &current->image[need] : NULL;
}

static row run(const char *settings, stamps *s)
{
    static const uint32_t zero = 0;
    const int64_t id = 42;
    char ini[512];
    snprintf(ini, sizeof ini, "[module.tested]\nkind = hostless\n%s", settings);
    host h;
    open_host(&h, ini, "tested", NULL);
    nj_made_thread t = open_thread(&h.set.item[0]);
    row r = no_row;
    void *out[] = ROW_OUTPUTS(r);
    nj_made_batch b = { .in = t.in };
    const nj_col none = { 0 }, px = { &stamp_px, NULL },
                 bright = { &near_bright_star, NULL }, *const in[] = { &none, &none, &px, &bright };
    nj_work w = { .size = sizeof w,
                  .n = 1,
                  .row = &zero,
                  .in = in,
                  .out = out,
                  .reason = &r.reason,
                  .id = &id,
                  .opaque = &b,
                  .scratch = nj_made_scratch,
                  .text = nj_made_text,
                  .image = image_of };
    current = s;
    assert_int_equal(t.in->module->process(t.in->self, t.block, &w), NJ_OK);
    nj_arena_free(&b.scratch);
    nj_made_thread_close(&t);
    close_host(&h);
    return r;
}

#define EXPECT(r, stage_, lone_, science, template)                                                          \
    do {                                                                                                     \
        assert_int_equal((r).reason, NJ_DONE);                                                               \
        assert_int_equal((r).stage, stage_);                                                                 \
        assert_int_equal((r).candidate, stage_ > 0);                                                         \
        assert_int_equal((r).clipped[0], science);                                                           \
        assert_int_equal((r).clipped[1], template);                                                          \
        if (stage_)                                                                                          \
            assert_string_equal((r).lone, lone_);                                                            \
        else                                                                                                 \
            assert_null((r).lone);                                                                           \
        assert_int_equal(isnan((r).ks[0]), !(stage_));                                                       \
        assert_int_equal(isnan((r).ks[1]), !(stage_));                                                       \
    } while (0)

static stamps s;

static void nothing_there(void **state)
{
    (void)state;
    make(&s, 63, 63);
    row r = run("", &s);
    EXPECT(r, 0, NULL, 0, 0);
    assert_int_equal(r.verdict, 0);
    assert_int_equal(r.n_nan, 0);
    assert_int_equal(r.n_bad, 0);
}

static void a_source_in_one_stamp(void **state)
{
    (void)state;
    make(&s, 63, 63);
    put(&s, 0, 5, 5, 8, 5000);
    row r = run("", &s);
    EXPECT(r, 1, "science", 8, 0);
    assert_true(isnan(r.sd[0]) && isnan(r.sd[1])); /* one draw has no spread */
    make(&s, 63, 63);
    put(&s, 1, 5, 5, 8, 5000);
    r = run("", &s);
    EXPECT(r, 1, "template", 0, 8);
}

static void a_source_in_the_centre(void **state)
{
    (void)state;
    make(&s, 63, 63); /* a field star in both, the transient in the middle of science */
    put(&s, 0, 5, 5, 8, 5000), put(&s, 1, 5, 5, 8, 5000);
    put(&s, 0, 30, 30, 7, 5000);
    row r = run("", &s);
    EXPECT(r, 2, "science", 7, 0);
    make(&s, 63, 63); /* the centre is rows and columns 24 to 37: a source just outside does not count */
    put(&s, 0, 5, 5, 8, 5000), put(&s, 1, 5, 5, 8, 5000);
    put(&s, 0, 38, 30, 8, 5000);
    r = run("", &s);
    EXPECT(r, 0, NULL, 0, 0);
    put(&s, 0, 36, 34, 8, 5000); /* rows 36 and 37, columns 34 to 37: inside to the last pixel */
    r = run("", &s);
    EXPECT(r, 2, "science", 8, 0);
}

static void more_than_five_and_fewer_than_three(void **state)
{
    (void)state;
    static const struct {
        uint32_t science, template;
        int stage;
    } of[] = { { 5, 0, 0 }, { 6, 0, 1 }, { 6, 2, 1 }, { 6, 3, 0 }, { 2, 6, 1 }, { 3, 6, 0 }, { 0, 5, 0 } };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        make(&s, 63, 63);
        put(&s, 0, 28, 28, of[i].science, 5000);
        put(&s, 1, 28, 28, of[i].template, 5000);
        row r = run("", &s);
        assert_int_equal(r.stage, of[i].stage);
        assert_int_equal(r.clipped[0], of[i].science);
        assert_int_equal(r.clipped[1], of[i].template);
    }
}

static void missing_and_bad_pixels(void **state)
{
    (void)state;
    make(&s, 63, 63);
    put(&s, 0, 28, 28, 6, NAN); /* NaN counts as masked */
    row r = run("", &s);
    EXPECT(r, 1, "science", 6, 0);
    assert_int_equal(r.n_nan, 6);
    make(&s, 63, 63);
    put(&s, 1, 0, 0, 3, -3.4028235e38f); /* overflow: nothing of the template is clipped */
    put(&s, 0, 28, 28, 6, 5000), put(&s, 1, 28, 28, 6, 5000);
    r = run("", &s);
    EXPECT(r, 1, "science", 6, 0);
    assert_int_equal(r.n_bad, 3);
    assert_int_equal(run("bad_above = 1000\n", &s).n_bad, 15);
}

static void no_answer(void **state)
{
    (void)state;
    make(&s, 63, 62);
    row r = run("", &s);
    assert_int_equal(r.reason, NJ_RANGE);
    assert_true(r.candidate == NJ_NO_U8 && r.clipped[0] == NJ_NO_I32 && r.verdict == NJ_NO_U8 &&
                r.n_nan == NJ_NO_I32);
    make(&s, 63, 63);
    s.image[1].rows = 48;
    assert_int_equal(run("", &s).reason, NJ_RANGE);
    make(&s, 30, 30);
    assert_int_equal(run("survey = ztf\n", &s).reason, NJ_RANGE);
    make(&s, 63, 63);
    s.image[1].pixel = NULL;
    assert_int_equal(run("", &s).reason, NJ_NO_INPUT);
    make(&s, 63, 63); /* a flat template: all its shuffles are the same */
    for (int i = 0; i < 63 * 63; i++) s.pixel[1][i] = 7;
    put(&s, 0, 28, 28, 6, 5000);
    r = run("max_science = 1\nmax_template = 1\n", &s);
    assert_int_equal(r.reason, NJ_NO_FIT);
    assert_true(r.candidate == 1 && r.verdict == 0 && isnan(r.ks[1]) && !isnan(r.ks[0]));
}

static void a_bright_star_is_a_reason(void **state)
{
    (void)state;
    make(&s, 63, 63);
    put(&s, 0, 28, 28, 9, 400);
    const char *settings = "max_science = 1\nmax_template = 1\n",
               *strict = "max_science = 1\nmax_template = 1\nbright_star = 1\n";
    assert_null(run(settings, &s).why);
    near_bright_star = 0;
    assert_null(run(strict, &s).why);
    near_bright_star = 1;
    const row told = run(settings, &s), taken = run(strict, &s);
    near_bright_star = NJ_NO_U8;
    assert_int_equal(told.verdict, 1);
    assert_string_equal(told.why, "bright_star");
    assert_int_equal(taken.verdict, 0);
    assert_string_equal(taken.why, "bright_star");
    assert_string_equal(run("max_science = 0\n", &s).why, "ks");
    make(&s, 63, 63);
    assert_string_equal(run(settings, &s).why, "no_candidate");
}

static void verdict_and_repeats(void **state)
{
    (void)state;
    make(&s, 63, 63);
    put(&s, 0, 28, 28, 9, 400);
    row r = run("max_science = 1\nmax_template = 1\n", &s);
    assert_int_equal(r.verdict, 1);
    char settings[128];
    snprintf(settings, sizeof settings, "max_science = %.17g\nmax_template = 1\n", r.ks[0]);
    assert_int_equal(run(settings, &s).verdict, 1); /* the thresholds belong to the verdict */
    snprintf(settings, sizeof settings, "max_science = %.17g\nmax_template = 1\n", nextafter(r.ks[0], 0));
    assert_int_equal(run(settings, &s).verdict, 0);
    snprintf(settings, sizeof settings, "max_science = 1\nmax_template = %.17g\n", nextafter(r.ks[1], 0));
    assert_int_equal(run(settings, &s).verdict, 0);
    row many = run("repeats = 16\n", &s), again = run("repeats = 16\n", &s),
        other = run("repeats = 16\nseed = 8\n", &s);
    for (int k = 0; k < 2; k++) {
        assert_true(many.sd[k] > 0 && fabs(many.ks[k] - r.ks[k]) < 6 * many.sd[k]);
        assert_true(many.ks[k] == again.ks[k] && many.sd[k] == again.sd[k] && many.ks[k] != other.ks[k]);
        assert_true(fabs(many.ks[k] - other.ks[k]) < 6 * hypot(many.sd[k], other.sd[k]) / 4);
    }
}

static void rubin_rules(void **state)
{
    (void)state;
    make(&s, 30, 30); /* at most 20 masked pixels in the template */
    put(&s, 1, 4, 4, 20, 50000);
    row r = run("", &s);
    EXPECT(r, 1, "template", 0, 20);
    make(&s, 30, 30);
    put(&s, 1, 4, 4, 21, 50000);
    r = run("", &s);
    EXPECT(r, 0, NULL, 0, 21);
    make(&s, 30, 30);
    put(&s, 0, 4, 4, 24, 50000); /* there is no such limit for science */
    r = run("", &s);
    EXPECT(r, 1, "science", 24, 0);

    make(&s, 30, 30); /* the centre is clipped afresh: rows and columns 8 to 21 */
    put(&s, 0, 2, 2, 8, 5000), put(&s, 1, 2, 2, 8, 5000);
    put(&s, 0, 12, 12, 7, 5000);
    r = run("", &s);
    EXPECT(r, 2, "science", 7, 0);

    make(&s, 30, 30); /* ... from raw pixels: what the whole stamp's clip removed can come
                       * back in the centre */
    put(&s, 0, 2, 2, 8, 5000), put(&s, 1, 2, 2, 8, 5000);
    for (uint32_t i = 8; i < 22; i += 2)
        for (uint32_t j = 8; j < 22; j++)
            s.pixel[0][i * 30 + j] = 160; /* half of the centre,
                                           * no outlier there */
    r = run("", &s);
    EXPECT(r, 0, NULL, 0, 0);

    make(&s, 40, 40); /* larger stamps: the central 30 x 30, rows 5 to 34 */
    put(&s, 0, 2, 2, 8, 5000);
    r = run("survey = rubin\n", &s);
    EXPECT(r, 0, NULL, 0, 0);
    put(&s, 0, 5, 5, 8, 5000);
    r = run("survey = rubin\n", &s);
    EXPECT(r, 1, "science", 8, 0);
    assert_int_equal(run("", &s).reason, NJ_RANGE); /* 40 x 40 is no stamp of either survey by its shape */
    stamp_px = 30;                                  /* ... but the survey's map says which */
    r = run("", &s);
    EXPECT(r, 1, "science", 8, 0);
    stamp_px = 63;
    make(&s, 30, 30); /* an edge stamp that happens to have Rubin's shape */
    assert_int_equal(run("", &s).reason, NJ_RANGE);
    stamp_px = NJ_NO_I32;

    make(&s, 29, 30);
    assert_int_equal(run("survey = rubin\n", &s).reason, NJ_RANGE);
}

/* The rules are the same for stamps of any side that the survey's map or the settings name. */
static void other_sides(void **state)
{
    static const uint32_t sides[] = { 14, 24, 51, 52, 63 };
    (void)state;
    for (uint32_t k = 0; k < sizeof sides / sizeof *sides; k++) {
        const uint32_t side = sides[k];
        stamp_px = (int32_t)side;
        make(&s, side, side);
        put(&s, 0, 2, 2, 8, 5000); /* in the whole stamp */
        row r = run("", &s);
        EXPECT(r, 1, "science", 8, 0);
        assert_false(isnan(r.ks[0]));
        make(&s, side - 1, side);
        assert_int_equal(run("", &s).reason, NJ_RANGE);
    }
    stamp_px = 51; /* 51 / 2 - 7: the centre begins at row 18 */
    make(&s, 51, 51);
    put(&s, 0, 2, 2, 8, 5000), put(&s, 1, 2, 2, 8, 5000);
    put(&s, 0, 18, 18, 7, 5000);
    EXPECT(run("", &s), 2, "science", 7, 0);
    make(&s, 51, 51);
    put(&s, 0, 2, 2, 8, 5000), put(&s, 1, 2, 2, 8, 5000);
    put(&s, 0, 16, 10, 7, 5000); /* just outside it */
    EXPECT(run("", &s), 0, NULL, 0, 0);
    make(&s, 60, 60); /* larger stamps: the central 51 x 51, rows 5 to 55 */
    put(&s, 0, 2, 2, 8, 5000);
    EXPECT(run("", &s), 0, NULL, 0, 0);
    stamp_px = NJ_NO_I32;
    make(&s, 51, 51);
    put(&s, 0, 2, 2, 8, 5000);
    EXPECT(run("stamp_px = 51\n", &s), 1, "science", 8, 0);
    EXPECT(run("survey = ztf\nstamp_px = 51\n", &s), 1, "science", 8, 0);
    assert_int_equal(run("", &s).reason, NJ_RANGE);
    stamp_px = 13; /* what no rule is for */
    make(&s, 40, 40);
    assert_int_equal(run("", &s).reason, NJ_RANGE);
    stamp_px = 64;
    make(&s, 63, 63);
    assert_int_equal(run("", &s).reason, NJ_RANGE);
    stamp_px = NJ_NO_I32;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_sides),
        cmocka_unit_test(nothing_there),
        cmocka_unit_test(a_source_in_one_stamp),
        cmocka_unit_test(a_source_in_the_centre),
        cmocka_unit_test(more_than_five_and_fewer_than_three),
        cmocka_unit_test(missing_and_bad_pixels),
        cmocka_unit_test(no_answer),
        cmocka_unit_test(a_bright_star_is_a_reason),
        cmocka_unit_test(verdict_and_repeats),
        cmocka_unit_test(rubin_rules),
    };
    return cmocka_run_group_tests_name("hostless_rules", tests, NULL, NULL);
}
