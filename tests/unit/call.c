/* call.c - which stamps are opened together: those that a module has said it will ask for, and no others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/graph/call.h"

enum { ROWS = 20, NEEDS = 3 }; /* a number between two images */

typedef struct toy {
    nj_stamp science[ROWS], template[ROWS];
    nj_layout layout;
    nj_batch batch;
    nj_need need[NEEDS];
    nj_instance in;
    uint32_t col[NEEDS], row[ROWS];
    nj_stream stream;
    nj_chunk chunk;
    nj_step step;
    nj_counter stamps;
    nj_worker worker;
    nj_call call;
    nj_work work;
    char asked[4096]; /* the rows of each request, as text */
} toy;

/* Opens all it is given, but what is made to stay closed. */
static void open_all(void *opener, nj_stamp *const *stamp, uint32_t n, nj_arena *arena, const char **why)
{
    toy *t = opener;
    (void)arena;
    for (uint32_t k = 0; k < n; k++) {
        const bool science = stamp[k] >= t->science && stamp[k] < t->science + ROWS;
        const size_t row = (size_t)(stamp[k] - (science ? t->science : t->template));
        assert_int_equal(stamp[k]->state, NJ_STAMP_PACKED);
        snprintf(t->asked + strlen(t->asked), sizeof t->asked - strlen(t->asked), "%s%s%zu", k ? " " : "",
                 science ? "s" : "t", row);
        if (stamp[k]->size == 0) stamp[k]->state = NJ_STAMP_OPEN;
        if (stamp[k]->size == 1 && k == 0)
            stamp[k]->state = NJ_STAMP_BAD; /* one that only says so when it is first */
    }
    strcat(t->asked, "\n");
    *why = stamp[0]->state == NJ_STAMP_BAD ? "damaged" : NULL;
}

static toy *toy_new(bool every_row)
{
    toy *t = calloc(1, sizeof *t);
    for (int i = 0; i < ROWS; i++) {
        t->science[i].state = t->template[i].state = NJ_STAMP_PACKED;
        t->row[i] = (uint32_t)i;
    }
    t->batch.layout = &t->layout;
    t->batch.n = ROWS;
    t->batch.stamp[0] = t->science;
    t->batch.stamp[1] = t->template;
    t->batch.row = calloc(ROWS, sizeof *t->batch.row);
    t->stream.name = "test";
    t->chunk.stream = &t->stream;
    for (int i = 0; i < ROWS; i++) t->batch.row[i].chunk = &t->chunk;
    t->need[0].shape = t->need[2].shape = NJ_IMAGE;
    t->need[1].shape = NJ_SCALAR;
    t->col[0] = NJ_FIRST_STAMP;
    t->col[1] = 0;
    t->col[2] = NJ_FIRST_STAMP + 1;
    t->in = (nj_instance){ .name = "toy", .need = t->need, .n_needs = NEEDS, .every_row = every_row };
    t->step.in = &t->in;
    t->step.col = t->col;
    t->worker = (nj_worker){ .stamps = &t->stamps, .open_stamp = open_all, .opener = t };
    t->worker.slot = &t->worker.own_slot;
    t->call = (nj_call){ &t->worker, &t->batch, &t->step };
    t->work = (nj_work){ .n = ROWS, .row = t->row, .opaque = &t->call };
    return t;
}

static void toy_free(toy *t)
{
    free(t->batch.row);
    free(t);
}

static void test_only_who_says_so(void **state)
{
    (void)state;
    toy *t = toy_new(false);
    assert_non_null(nj_call_image(&t->work, 0, 3));
    assert_non_null(nj_call_image(&t->work, 2, 3));
    assert_non_null(nj_call_image(&t->work, 2, 3)); /* is open */
    assert_string_equal(t->asked, "s3\nt3\n");
    assert_int_equal(t->stamps.calls, 2);
    toy_free(t);
}

static void test_next_rows_of_the_column(void **state)
{
    (void)state;
    toy *t = toy_new(true);
    assert_non_null(nj_call_image(&t->work, 0, 0));
    assert_string_equal(t->asked, "s0 s1 s2 s3\n");
    assert_int_equal(t->stamps.calls, 4);
    toy_free(t);
}

/* The template of a row is not asked for when its science stamp is not there. */
static void test_rows_that_stop_early(void **state)
{
    (void)state;
    toy *t = toy_new(true);
    t->science[2].state = NJ_STAMP_NONE;
    t->science[3].size = 1;
    assert_non_null(nj_call_image(&t->work, 0, 0));
    assert_non_null(nj_call_image(&t->work, 2, 0));
    assert_string_equal(t->asked, "s0 s1 s3 s4\nt0 t1 t4\n");
    assert_int_equal(t->science[3].state, NJ_STAMP_PACKED);
    assert_null(nj_call_image(&t->work, 0, 3));
    assert_int_equal(t->science[3].state, NJ_STAMP_BAD);
    toy_free(t);
}

/* Rows before the one that is asked for, those of another call, and open ones are let alone. */
static void test_rows_of_the_call(void **state)
{
    (void)state;
    toy *t = toy_new(true);
    static const uint32_t rows[] = { 3, 7, 8, 15 };
    t->work.row = rows;
    t->work.n = 4;
    t->science[8].state = NJ_STAMP_OPEN;
    assert_non_null(nj_call_image(&t->work, 0, 7));
    assert_non_null(nj_call_image(&t->work, 0, 3));
    assert_string_equal(t->asked, "s7 s15\ns3\n");
    toy_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_who_says_so),
        cmocka_unit_test(test_next_rows_of_the_column),
        cmocka_unit_test(test_rows_that_stop_early),
        cmocka_unit_test(test_rows_of_the_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
