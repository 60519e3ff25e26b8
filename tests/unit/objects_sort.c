/* objects_sort.c - the external sort of `objects`: order, stability and every record, with more runs than are
 * merged at once; a disk that takes no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "broker/objects/sort.h"

static uint64_t seed = 7;

static uint32_t below(uint32_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((seed >> 33) % n);
}

static const char *folder(void)
{
    const char *tmp = getenv("TMPDIR");
    return tmp && *tmp ? tmp : "/tmp";
}

/* Keys of 1 to 6 letters: many are equal, some are the begin of others. The payload is the number. */
static void sort(size_t memory, uint32_t n, uint32_t least_runs)
{
    nj_error err = { "" };
    nj_sorter *s = nj_sorter_new(folder(), memory, &err);
    assert_non_null(s);
    for (uint32_t i = 0; i < n; i++) {
        char key[8];
        const uint32_t size = 1 + below(6);
        for (uint32_t k = 0; k < size; k++) key[k] = (char)('a' + below(3));
        assert_int_equal(nj_sorter_add(s, key, size, &i, sizeof i, &err), 0);
    }
    char before[8] = "";
    uint32_t before_size = 0, before_number = 0, count = 0, wrong = 0;
    uint8_t *seen = calloc(n, 1);
    nj_sorted r;
    int rc;
    for (; (rc = nj_sorter_next(s, &r, &err)) > 0; count++) {
        uint32_t number;
        memcpy(&number, r.payload, sizeof number);
        const uint32_t m = r.key_size < before_size ? r.key_size : before_size;
        const int c = memcmp(before, r.key, m);
        const int order = c ? c : (int)before_size - (int)r.key_size;
        wrong += order > 0 || (order == 0 && count && before_number >= number) || seen[number];
        seen[number] = 1;
        memcpy(before, r.key, r.key_size);
        before_size = r.key_size;
        before_number = number;
    }
    assert_int_equal(rc, 0);
    assert_int_equal(count, n);
    assert_int_equal(wrong, 0);
    assert_true(nj_sorter_runs(s) >= least_runs);
    free(seen);
    nj_sorter_free(s);
}

static void in_memory(void **state)
{
    (void)state;
    sort(1 << 20, 5000, 0);
}

static void on_the_disk(void **state)
{
    (void)state;
    sort(40000, 20000, 10);
}

static void more_runs_than_are_merged_at_once(void **state)
{
    (void)state;
    sort(2000, 20000, 130);
}

static void nothing_is_sorted(void **state)
{
    (void)state;
    sort(1000, 0, 0);
}

static void a_record_larger_than_memory(void **state)
{
    (void)state;
    nj_error err = { "" };
    nj_sorter *s = nj_sorter_new(folder(), 100, &err);
    uint8_t *large = calloc(5000, 1);
    nj_sorted r;
    assert_int_equal(nj_sorter_add(s, "b", 1, large, 5000, &err), 0);
    assert_int_equal(nj_sorter_add(s, "a", 1, "x", 1, &err), 0);
    assert_int_equal(nj_sorter_next(s, &r, &err), 1);
    assert_int_equal(r.size, 1);
    assert_int_equal(nj_sorter_next(s, &r, &err), 1);
    assert_int_equal(r.size, 5000);
    assert_int_equal(nj_sorter_next(s, &r, &err), 0);
    free(large);
    nj_sorter_free(s);
}

static void a_disk_that_is_full(void **state)
{
    (void)state;
    nj_error err = { "" };
    struct rlimit before, little;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    little = (struct rlimit){ 4096, before.rlim_max };
    nj_sorter *s = nj_sorter_new(folder(), 1 << 20, &err);
    char payload[1000] = "";
    int rc = 0;
    setrlimit(RLIMIT_FSIZE, &little);
    for (int i = 0; i < 3000 && !rc; i++) rc = nj_sorter_add(s, "k", 1, payload, sizeof payload, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(rc, -1);
    assert_non_null(strstr(err.text, "cannot write"));
    nj_sorter_free(s);
    nj_error other = { "" };
    s = nj_sorter_new("/nowhere", 10, &other);
    rc = 0;
    for (int i = 0; i < 3 && !rc; i++) rc = nj_sorter_add(s, "k", 1, payload, sizeof payload, &other);
    assert_int_equal(rc, -1);
    assert_non_null(strstr(other.text, "/nowhere"));
    nj_sorter_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(in_memory),
                                        cmocka_unit_test(on_the_disk),
                                        cmocka_unit_test(more_runs_than_are_merged_at_once),
                                        cmocka_unit_test(nothing_is_sorted),
                                        cmocka_unit_test(a_record_larger_than_memory),
                                        cmocka_unit_test(a_disk_that_is_full) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
