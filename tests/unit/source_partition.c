/* source_partition.c - what a Kafka source remembers of a partition: offsets in flight, generations, what is
 * acknowledged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/kafka/partition.h"

static void offsets_in_flight_wrap_and_grow(void **state)
{
    (void)state;
    nj_partitions all;
    nj_partitions_init(&all);
    nj_partition *p = nj_partitions_add(&all, "t", 3);
    assert_ptr_equal(nj_partitions_find(&all, "t", 3), p);
    assert_null(nj_partitions_find(&all, "t", 2));
    assert_null(nj_partitions_find(&all, "u", 3));
    nj_partition_assign(&all, p, 0);
    int64_t handed = 0, acked = 0;
    /* gaps in the offsets, as a broker's control records leave them;
     * 200 in flight on the ring's 256, then 2000 */
    for (int depth = 200; depth <= 2000; depth += 1800)
        for (int i = 0; i < 3000; i++) {
            assert_int_equal(nj_partition_deliver(&all, p, 3 * handed++), 0);
            if (handed - acked > depth) assert_int_equal(nj_partition_ack(&all, p, 1, 3 * acked++ + 1), 0);
            assert_int_equal(nj_partition_in_flight(&all, p), handed - acked);
        }
    assert_int_equal(nj_partition_acked(&all, p), 3 * (acked - 1) + 1);
    assert_int_equal(nj_partition_ack(&all, p, 1, 3 * handed), 0);
    assert_int_equal(nj_partition_in_flight(&all, p), 0);
    nj_partitions_free(&all);
}

static void an_earlier_generation_acknowledges_nothing(void **state)
{
    (void)state;
    nj_partitions all;
    nj_partitions_init(&all);
    nj_partition *p = nj_partitions_add(&all, "t", 0);
    assert_int_equal(nj_partition_acked(&all, p), -1);
    assert_int_equal(nj_partition_ack(&all, p, 0, 5), -1); /* not assigned yet */
    nj_partition_assign(&all, p, 0);
    for (int64_t i = 0; i < 10; i++) assert_int_equal(nj_partition_deliver(&all, p, i), 0);
    assert_int_equal(nj_partition_ack(&all, p, 1, 4), 0);
    assert_int_equal(nj_partition_revoke(&all, p), 6);
    assert_int_equal(nj_partition_ack(&all, p, 1, 8), -1);
    nj_partition_assign(&all, p, 0);
    for (int64_t i = 4; i < 7; i++) assert_int_equal(nj_partition_deliver(&all, p, i), 0);
    assert_int_equal(nj_partition_ack(&all, p, 1, 10), -1);
    assert_int_equal(nj_partition_in_flight(&all, p), 3);
    assert_int_equal(nj_partition_acked(&all, p), 4);
    assert_int_equal(nj_partition_ack(&all, p, 2, 7), 0);
    assert_int_equal(nj_partition_ack(&all, p, 2, 6), 0); /* acknowledgements never go back */
    assert_int_equal(nj_partition_acked(&all, p), 7);
    nj_partitions_free(&all);
}

/* What is no alert: its offsets are stored at once,
 * or with the acknowledgement of the last alert before them. */
static void what_is_no_alert_is_passed(void **state)
{
    (void)state;
    nj_partitions all;
    nj_partitions_init(&all);
    nj_partition *p = nj_partitions_add(&all, "t", 0);
    nj_partition_assign(&all, p, 0);
    assert_int_equal(nj_partition_pass(&all, p, 3), 3);
    assert_int_equal(nj_partition_acked(&all, p), 3);
    assert_int_equal(nj_partition_deliver(&all, p, 3), 0);
    assert_int_equal(nj_partition_deliver(&all, p, 4), 0);
    assert_int_equal(nj_partition_pass(&all, p, 7), -1); /* alerts are under way */
    assert_int_equal(nj_partition_ack(&all, p, 1, 4), 0);
    assert_int_equal(nj_partition_done(&all, p, 4), 4); /* one still is */
    assert_int_equal(nj_partition_ack(&all, p, 1, 5), 0);
    assert_int_equal(nj_partition_done(&all, p, 5), 7);
    assert_int_equal(nj_partition_revoke(&all, p), 0);
    nj_partition_assign(&all, p, 0);
    assert_int_equal(nj_partition_done(&all, p, 6), 6); /* another assignment may begin earlier */
    nj_partitions_free(&all);
}

/* Offsets without messages: those below the partition's first one were deleted, the others were the ends of
 * transactions or compacted. */
static void what_was_deleted_differs_from_what_gave_no_message(void **state)
{
    (void)state;
    nj_partitions all;
    int64_t from, to;
    nj_partitions_init(&all);
    nj_partition *p = nj_partitions_add(&all, "t", 0);
    nj_partition_assign(&all, p, 100);
    nj_partition_came(&all, p, 100); /* the one that was expected */
    assert_false(nj_partition_has_holes(&all, p));
    p->next = 101;
    nj_partition_came(&all, p, 103); /* two control records */
    assert_true(nj_partition_has_holes(&all, p));
    nj_partition_bounds(&all, p, 50, 200);
    assert_false(nj_partition_has_holes(&all, p));
    assert_int_equal(nj_partition_deleted(&all, p, &from, &to), 0);
    p->next = 104;
    nj_partition_came(&all, p, 400);
    nj_partition_bounds(&all, p, -1, 500); /* an end says nothing about it */
    assert_true(nj_partition_has_holes(&all, p));
    nj_partition_bounds(&all, p, 398, 500); /* and two more control records */
    assert_int_equal(nj_partition_deleted(&all, p, &from, &to), 398 - 104);
    assert_int_equal(from, 104);
    assert_int_equal(to, 398);
    assert_int_equal(nj_partition_deleted(&all, p, &from, &to), 0); /* reported once */
    nj_partitions_free(&all);
}

static void a_look_sees_what_is_done_and_the_end(void **state)
{
    (void)state;
    nj_partitions all;
    nj_stream stream = { .name = "t" };
    const nj_stream *of = NULL;
    int64_t done, end;
    nj_partitions_init(&all);
    nj_partition *p = nj_partitions_add(&all, "t", 0);
    p->stream = &stream;
    assert_false(nj_partition_look(&all, 0, &of, &done, &end)); /* nobody has it */
    assert_false(nj_partition_look(&all, 1, &of, &done, &end));
    nj_partition_assign(&all, p, 7);
    assert_true(nj_partition_look(&all, 0, &of, &done, &end));
    assert_ptr_equal(of, &stream);
    assert_int_equal(done, 7);
    assert_int_equal(end, -1);
    assert_int_equal(nj_partition_deliver(&all, p, 7), 0);
    nj_partition_bounds(&all, p, 0, 20);
    nj_partition_look(&all, 0, &of, &done, &end);
    assert_int_equal(done, 7); /* handed over is not done */
    assert_int_equal(end, 20);
    assert_int_equal(nj_partition_ack(&all, p, 1, 8), 0);
    nj_partition_look(&all, 0, &of, &done, &end);
    assert_int_equal(done, 8);
    assert_int_equal(nj_partition_revoke(&all, p), 0);
    assert_int_equal(stream.revoked, 0); /* nothing was under way */
    nj_partition_assign(&all, p, 8);
    assert_int_equal(nj_partition_deliver(&all, p, 8), 0);
    assert_int_equal(nj_partition_revoke(&all, p), 1);
    assert_int_equal(stream.revoked, 2); /* what comes again elsewhere is not written here */
    nj_partitions_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_in_flight_wrap_and_grow),
        cmocka_unit_test(an_earlier_generation_acknowledges_nothing),
        cmocka_unit_test(what_is_no_alert_is_passed),
        cmocka_unit_test(what_was_deleted_differs_from_what_gave_no_message),
        cmocka_unit_test(a_look_sees_what_is_done_and_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
