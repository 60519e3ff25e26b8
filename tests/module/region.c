/* region.c - the module region over a folder that changes: a file renamed over another, added, taken away,
 * and one that is wrong. */
#include "host.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "nightjar/region.h"
#include "nightjar/sky.h"

static char folder[] = "/tmp/nightjar-region.XXXXXX";
static nj_arena scratch;
static nj_modules modules;
static nj_settings settings;
static nj_instances set;
static const nj_instance *in;
static uint8_t inside[2], reason[2];
static int32_t n_inside[2];
static const char *names[2];

static void *scratch_alloc(const struct nj_work *w, size_t bytes)
{
    (void)w;
    return nj_arena_alloc(&scratch, bytes);
}
static const char *scratch_text(const struct nj_work *w, const char *s, size_t n)
{
    (void)w;
    return nj_arena_text(&scratch, s, n);
}

/* As who makes such files does: written beside it, then renamed. */
static void put(const char *name, const char *text)
{
    char path[200], temp[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(temp, sizeof temp, "%s/.%s.tmp", folder, name);
    FILE *f = fopen(temp, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(rename(temp, path), 0);
}

static void take_away(const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(unlink(path), 0);
}

/* The names of the regions that hold (150, 2) after the files have been looked at; "" = none. */
static const char *names_now(void)
{
    double ra[2] = { 150, NAN }, dec[2] = { 2, 2 };
    nj_col col[2] = { { ra, NULL }, { dec, NULL } };
    const nj_col *ins[2] = { &col[0], &col[1] };
    void *out[3] = { inside, n_inside, (void *)names };
    uint32_t rows[2] = { 0, 1 };
    names[0] = names[1] = NULL;
    ((const nj_sky *)set.host.service(&set, "sky", NJ_SKY_VERSION))->recheck();
    nj_work w = { .size = sizeof w,
                  .n = 2,
                  .row = rows,
                  .in = ins,
                  .out = out,
                  .reason = reason,
                  .scratch = scratch_alloc,
                  .text = scratch_text };
    assert_int_equal(in->module->process(in->self, NULL, &w), NJ_OK);
    return names[0] ? names[0] : "";
}

static int open_it(void **state)
{
    (void)state;
    char text[300];
    nj_error err = { "" };
    if (!mkdtemp(folder)) return -1;
    put("one.reg", "icrs\ncircle(150,2,1)\n");
    put("two.txt", "0/0-11\n");
    snprintf(text, sizeof text, "[module.here]\nkind = region\nfiles = %s/\n", folder);
    if (nj_modules_builtin(&modules, &err) || nj_settings_ini(&settings, "test", text, &err) ||
        nj_instances_choose(&set, &modules, &settings, "here", &err) ||
        nj_instances_open(&set, "here", &err)) {
        print_message("# %s\n", err.text);
        return -1;
    }
    in = nj_instances_find(&set, "here");
    return in ? 0 : -1;
}

static int close_it(void **state)
{
    (void)state;
    char command[100];
    nj_instances_close(&set);
    nj_settings_free(&settings);
    nj_modules_free(&modules);
    nj_arena_free(&scratch);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void a_folder_is_followed(void **state)
{
    (void)state;
    assert_string_equal(names_now(), "one,two");
    assert_int_equal(n_inside[0], 2);
    assert_int_equal(inside[0], 1);
    assert_int_equal(reason[1], NJ_NO_INPUT);
    put("one.reg", "icrs\ncircle(150,7,1)\n");
    assert_string_equal(names_now(), "two");
    put("three.json", "{\"0\": [0,1,2,3,4,5,6,7,8,9,10,11]}");
    assert_string_equal(names_now(), "three,two");
    take_away("two.txt");
    assert_string_equal(names_now(), "three");
    take_away("three.json");
    assert_string_equal(names_now(), "");
    assert_int_equal(inside[0], 0);
}

static void a_wrong_file_leaves_the_old_state(void **state)
{
    (void)state;
    put("four.txt", "0/0-11");
    assert_string_equal(names_now(), "four");
    put("one.reg", "icrs\ncircle(150,2,1)\n");
    put("four.txt", "0/0-12");
    assert_string_equal(names_now(), "four");
    put("four.txt", "0/");
    assert_string_equal(names_now(), "one");
}

static void a_state_that_is_held_stays(void **state)
{
    (void)state;
    const nj_region *sky = set.host.service(&set, "region", NJ_REGION_VERSION);
    nj_region_set *own;
    char why[300], list[300];
    uint64_t bits[1];
    put("held.txt", "0/0-11");
    snprintf(list, sizeof list, "%s/held.txt:a name of its own", folder);
    assert_int_equal(sky->open(list, 0.9, 0, &own, why, sizeof why), NJ_OK);
    const nj_region_view *old = sky->begin(own);
    put("held.txt", "0/");
    ((const nj_sky *)set.host.service(&set, "sky", NJ_SKY_VERSION))->recheck();
    const nj_region_view *new = sky->begin(own);
    assert_int_equal(sky->find(new, 150, 2, bits), 0);
    assert_int_equal(sky->find(old, 150, 2, bits), 1);
    assert_string_equal(sky->name(old, 0), "a name of its own");
    sky->end(own, old);
    sky->end(own, new);
    take_away("held.txt");
    ((const nj_sky *)set.host.service(&set, "sky", NJ_SKY_VERSION))->recheck();
    new = sky->begin(own);
    assert_int_equal(sky->count(new), 1); /* between unlink and rename */
    sky->end(own, new);
    sky->close(own);
}

static void old_files_of_a_folder_are_left_out(void **state)
{
    (void)state;
    const nj_region *sky = set.host.service(&set, "region", NJ_REGION_VERSION);
    nj_region_set *own;
    char why[300], list[300], path[200];
    uint64_t bits[1];
    struct timespec then[2] = { { time(NULL) - 3 * 86400, 0 }, { time(NULL) - 3 * 86400, 0 } };
    put("old.txt", "0/0-11");
    snprintf(path, sizeof path, "%s/old.txt", folder);
    snprintf(list, sizeof list, "%s/", folder);
    assert_int_equal(sky->open(list, 0.9, 2, &own, why, sizeof why), NJ_OK);
    const nj_region_view *view = sky->begin(own);
    uint32_t n = sky->count(view);
    int32_t hold = sky->find(view, 150, -80, bits);
    sky->end(own, view);
    assert_int_equal(hold, 1);
    assert_int_equal(utimensat(AT_FDCWD, path, then, 0), 0);
    ((const nj_sky *)set.host.service(&set, "sky", NJ_SKY_VERSION))->recheck();
    view = sky->begin(own);
    assert_int_equal(sky->count(view), n - 1);
    assert_int_equal(sky->find(view, 150, -80, bits), 0);
    sky->end(own, view);
    sky->close(own);
    take_away("old.txt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_followed),
        cmocka_unit_test(a_wrong_file_leaves_the_old_state),
        cmocka_unit_test(a_state_that_is_held_stays),
        cmocka_unit_test(old_files_of_a_folder_are_left_out),
    };
    return cmocka_run_group_tests(tests, open_it, close_it);
}
