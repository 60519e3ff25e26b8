/* sky_service.c - the sky service: a file that is replaced, also under running searches. */
#include "sky_kit.h"

#include <pthread.h>
#include <sched.h>

static const nj_sky *service(void)
{
    const nj_sky *sky = nj_service("sky", NJ_SKY_VERSION);
    assert_non_null(sky);
    assert_null(nj_service("sky", NJ_SKY_VERSION + 1));
    return sky;
}

static void a_new_file_is_the_next_views(void **state)
{
    (void)state;
    const nj_sky *sky = service();
    places *p = awkward_places();
    char why[600] = "", path[200];
    snprintf(path, sizeof path, "%s", path_of("swap.njx"));
    write_catalog(path, p, 1000, "old", 0, 0);
    nj_sky_catalog *cat = sky->open(path, why, sizeof why), *same = sky->open(path, why, sizeof why);
    assert_non_null(cat);
    assert_ptr_equal(cat, same); /* one mapping, however many users */
    sky->close(same);
    const nj_sky_view *old = sky->begin(cat);
    char old_hash[65];
    snprintf(old_hash, sizeof old_hash, "%s", sky->info(old)->hash);
    int name = sky->column(old, "Name");
    write_catalog(path, p, 900, "new", 0, 0);
    sky->recheck();
    const nj_sky_view *new = sky->begin(cat);
    assert_ptr_not_equal(old, new);
    assert_int_equal(sky->info(old)->n_rows, 1000);
    assert_int_equal(sky->info(new)->n_rows, 900);
    assert_int_equal(sky->info(new)->generation, 2);
    for (uint64_t r = 0; r < 900; r++) {
        const char *text = sky->text(old, name, r);
        if (text) assert_memory_equal(text, "old", 3);
        text = sky->text(new, name, r);
        if (text) assert_memory_equal(text, "new", 3);
    }
    sky->end(cat, old);
    sky->end(cat, new);
    nj_file_write(path,
                  "garbage, but long enough to be looked at: "
                  "....................................................................."
                  ".........................................................................................."
                  "........................."
                  ".........................................................................................."
                  ".........................",
                  340);
    sky->recheck();
    const nj_sky_view *still = sky->begin(cat);
    assert_ptr_equal(still, new);
    assert_int_equal(sky->problem(cat, why, sizeof why), 1);
    assert_non_null(strstr(why, "swap.njx"));
    assert_int_equal(sky->problem(cat, why, sizeof why), 0);
    sky->end(cat, still);
    unlink(path);
    sky->recheck();
    still = sky->begin(cat);
    assert_ptr_equal(still, new);
    sky->end(cat, still);
    njx_options fewer = { .path = path, .n_columns = 1, .column = columns };
    njx_writer *w = njx_create(&fewer, why, sizeof why);
    assert_int_equal(njx_finish(w, (uint8_t[32]){ 0 }, why, sizeof why), 0);
    sky->recheck();
    still = sky->begin(cat);
    assert_ptr_equal(still, new);
    assert_int_equal(sky->problem(cat, why, sizeof why), 1);
    assert_non_null(strstr(why, "lacks column 'z'"));
    sky->end(cat, still);
    sky->close(cat);
    assert_null(sky->open("no_such_catalogue.njx", why, sizeof why));
    assert_non_null(strstr(why, "no_such_catalogue.njx"));
    free(p);
}

typedef struct storm {
    const nj_sky *sky;
    nj_sky_catalog *cat;
    const places *places;
    _Atomic int stop;
    _Atomic long mixed, batches;
    _Atomic uint64_t newest;
} storm;

static void *search_for_ever(void *arg)
{
    storm *s = arg;
    while (!s->stop) {
        const nj_sky_view *v = s->sky->begin(s->cat);
        const nj_sky_info *info = s->sky->info(v);
        int name = s->sky->column(v, "name");
        uint8_t found[64];
        uint32_t n[64];
        uint64_t row[64];
        double sep[64];
        nj_sky_cones c = {
            .n = 64, .cap = 1, .ra = s->places->ra, .dec = s->places->dec, .one_radius_arcsec = 1
        };
        s->sky->search(v, &c, &(nj_sky_matches){ found, n, row, sep });
        char mark = 0;
        for (int i = 0; i < 64; i++) {
            const char *text = found[i] == NJ_SKY_MATCH || found[i] == NJ_SKY_OVERFLOW
                                   ? s->sky->text(v, name, row[i])
                                   : NULL;
            if (found[i] == NJ_SKY_NONE) s->mixed++; /* every place is in every generation */
            if (text && mark && text[0] != mark) s->mixed++;
            if (text) mark = text[0];
        }
        if (info->generation > s->newest) s->newest = info->generation;
        s->sky->end(s->cat, v);
        s->batches++;
    }
    return NULL;
}

static void add_served(void *opaque, const nj_sky_served *s)
{
    uint64_t *sum = opaque;
    if (strstr(s->path, "storm.njx")) sum[0]++, sum[1] += s->n_searched;
    assert_int_equal(strlen(s->hash), 64);
}

static void swaps_under_searches_never_mix(void **state)
{
    (void)state;
    places *p = awkward_places();
    char why[300], path[200], mark[2] = "A";
    snprintf(path, sizeof path, "%s", path_of("storm.njx"));
    write_catalog(path, p, 300, mark, 0, 0);
    storm s = { .sky = service(), .places = p };
    s.cat = s.sky->open(path, why, sizeof why);
    assert_non_null(s.cat);
    pthread_t thread[3];
    for (int i = 0; i < 3; i++) pthread_create(&thread[i], NULL, search_for_ever, &s);
    for (int i = 1; i < 40; i++) {
        mark[0] = (char)('A' + i % 26);
        write_catalog(path, p, 300 + i, mark, 0, 0);
        s.sky->recheck();
        while (s.newest < (uint64_t)i + 1)
            sched_yield(); /* one thread has it; the others may be
                            * in the one before */
    }
    s.stop = 1;
    for (int i = 0; i < 3; i++) pthread_join(thread[i], NULL);
    assert_int_equal(s.mixed, 0);
    assert_int_equal(s.newest, 40);
    uint64_t sum[2] = { 0 };
    s.sky->served(add_served, sum);
    assert_int_equal(sum[0], s.newest);
    assert_int_equal(sum[1], 64 * s.batches);
    s.sky->close(s.cat);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_file_is_the_next_views),
        cmocka_unit_test(swaps_under_searches_never_mix),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
