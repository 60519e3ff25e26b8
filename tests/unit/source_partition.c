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
    nj_partition_assign(&all, p);
    int64_t handed = 0, acked = 0;
    /* gaps in the offsets, as a broker's control records leave them;
     * 200 in flight on the ring's 256, then 2000 */
    for (int depth = 200; depth <= 2000; depth += 1800)
        for (int i = 0; i < 3000; i++) {
            assert_int_equal(nj_partition_hand(&all, p, 3 * handed++), 0);
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
    nj_partition_assign(&all, p);
    for (int64_t i = 0; i < 10; i++) assert_int_equal(nj_partition_hand(&all, p, i), 0);
    assert_int_equal(nj_partition_ack(&all, p, 1, 4), 0);
    assert_int_equal(nj_partition_revoke(&all, p), 6);
    assert_int_equal(nj_partition_ack(&all, p, 1, 8), -1);
    nj_partition_assign(&all, p);
    for (int64_t i = 4; i < 7; i++) assert_int_equal(nj_partition_hand(&all, p, i), 0);
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
    nj_partition_assign(&all, p);
    assert_int_equal(nj_partition_pass(&all, p, 3), 3);
    assert_int_equal(nj_partition_acked(&all, p), 3);
    assert_int_equal(nj_partition_hand(&all, p, 3), 0);
    assert_int_equal(nj_partition_hand(&all, p, 4), 0);
    assert_int_equal(nj_partition_pass(&all, p, 7), -1); /* alerts are under way */
    assert_int_equal(nj_partition_ack(&all, p, 1, 4), 0);
    assert_int_equal(nj_partition_done(&all, p, 4), 4); /* one still is */
    assert_int_equal(nj_partition_ack(&all, p, 1, 5), 0);
    assert_int_equal(nj_partition_done(&all, p, 5), 7);
    assert_int_equal(nj_partition_revoke(&all, p), 0);
    nj_partition_assign(&all, p);
    assert_int_equal(nj_partition_done(&all, p, 6), 6); /* another assignment may begin earlier */
    nj_partitions_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_in_flight_wrap_and_grow),
        cmocka_unit_test(an_earlier_generation_acknowledges_nothing),
        cmocka_unit_test(what_is_no_alert_is_passed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
