/* flow_run.c - a run must keep the order, acknowledge, respect limits and end,
 * also when its source or an output fails. */
/* link: -Wl,--wrap=nj_sink_open,--wrap=nj_dispatch,--wrap=malloc,--wrap=realloc */
#include "flow_script.h"

static script s;

static void order_is_that_of_the_source(void **state)
{
    (void)state;
    script_new(&s, 12, 2);
    s.slow_batch = 1; /* three units overtake the second one */
    s.overtaken_by = 5;
    script_run(&s, "4", NULL);
    assert_int_equal(s.rc, NJ_EXIT_OK);
    assert_rows(&s, 0, 24);
    assert_int_equal(s.n_begun, 1);
    assert_int_equal(last_ack(&s), 12);
    assert_int_equal(s.report.ledger.emitted, 24);
    assert_true(nj_ledger_closed(&s.report.ledger));
    nj_report_free(&s.report);
}

static void a_run_without_alerts_has_a_header(void **state)
{
    (void)state;
    script_new(&s, 0, 0);
    script_run(&s, "2", NULL);
    assert_int_equal(s.rc, NJ_EXIT_OK);
    assert_int_equal(s.n_begun, 1);
    assert_int_equal(s.n_rows, 0);
    assert_int_equal(s.n_acks, 0);
    nj_report_free(&s.report);
}

/* What is not a row is acknowledged like one, once it is safe: filtered, dead, a duplicate, refused. */
static void what_is_no_row_is_acknowledged_too(void **state)
{
    (void)state;
    script_new(&s, 6, 1);
    s.chunk[4] = (script_chunk){ 0, 0 };
    s.chunk[5] = (script_chunk){ 1, 1 }; /* again */
    s.refuse_at = 3;
    script_run(&s, "2", (const char *const[]){ "-w", "candid <> 102", "-D", "run.dedup=100", NULL });
    assert_int_equal(s.rc, NJ_EXIT_OK);
    assert_rows(&s, 0, 2);
    const nj_ledger *l = &s.report.ledger;
    assert_int_equal(l->emitted, 2);
    assert_int_equal(l->filtered, 1);
    assert_int_equal(l->duplicates, 1);
    assert_int_equal(l->dead, 2);
    assert_int_equal(l->consumed, 6);
    assert_true(nj_ledger_closed(l));
    assert_int_equal(last_ack(&s), 6);
    nj_report_free(&s.report);

    script_new(&s, 3, 1);
    s.chunk[1].n = 0;
    script_run(&s, "1", (const char *const[]){ "--strict", NULL });
    assert_int_equal(s.rc, NJ_EXIT_STRICT);
    assert_int_equal(last_ack(&s), 3);
    nj_report_free(&s.report);
}

static void duplicates_are_those_within_the_window(void **state)
{
    (void)state;
    for (int window = 0; window < 2; window++) {
        script_new(&s, 6, 1);
        for (int k = 3; k < 6; k++) s.chunk[k].first = k - 3; /* 0 1 2 0 1 2 */
        script_run(&s, "3", (const char *const[]){ "-D", window ? "run.dedup=3" : "run.dedup=0", NULL });
        assert_int_equal(s.rc, NJ_EXIT_OK);
        assert_int_equal(s.n_rows, window ? 3 : 6);
        assert_int_equal(s.report.ledger.duplicates, window ? 3 : 0);
        assert_true(nj_ledger_closed(&s.report.ledger));
        nj_report_free(&s.report);
    }
}

/* A chunk that a limit cuts comes again as a whole, so it is not acknowledged. */
static void a_limit_is_exact(void **state)
{
    (void)state;
    script_new(&s, 9, 3);
    script_run(&s, "3", (const char *const[]){ "--limit", "5", NULL });
    assert_int_equal(s.rc, NJ_EXIT_OK);
    assert_rows(&s, 0, 5);
    assert_int_equal(last_ack(&s), 1);
    assert_int_equal(s.report.ledger.emitted, 5);
    assert_int_equal(s.report.ledger.returned, s.report.ledger.consumed - 5);
    assert_true(nj_ledger_closed(&s.report.ledger));
    nj_report_free(&s.report);

    script_new(&s, 9, 1); /* where chunks end there is nothing to return */
    script_run(&s, "3", (const char *const[]){ "--limit", "5", NULL });
    assert_rows(&s, 0, 5);
    assert_int_equal(last_ack(&s), 5);
    assert_int_equal(s.report.ledger.returned, 0);
    nj_report_free(&s.report);
}

static void a_source_that_breaks_ends_the_run_and_keeps_what_it_gave(void **state)
{
    (void)state;
    script_new(&s, 8, 1);
    s.source_fails_at = 5;
    script_run(&s, "2", NULL);
    assert_int_equal(s.rc, NJ_EXIT_SOURCE);
    assert_non_null(strstr(s.err.text, "script: it broke"));
    assert_rows(&s, 0, 5);
    assert_int_equal(last_ack(&s), 5);
    assert_true(nj_ledger_closed(&s.report.ledger));
    nj_report_free(&s.report);
}

/* An output that fails at a row: that row's chunk and all behind it come again. */
static void an_output_that_fails_ends_the_run(void **state)
{
    (void)state;
    static const char *const says[] = { "script: it is full", "script: it does not arrive",
                                        "script: no header", "script: it does not end" };
    for (size_t k = 0; k < sizeof says / sizeof *says; k++) {
        script_new(&s, 20, 1);
        if (k == 0) s.write_fails_at = 7;
        if (k == 1) s.flush_fails = true;
        if (k == 2) s.begin_fails = true;
        if (k == 3) s.close_fails = true;
        script_run(&s, "3", NULL);
        assert_int_equal(s.rc, NJ_EXIT_LEDGER);
        assert_non_null(strstr(s.err.text, says[k]));
        assert_true(last_ack(&s) <= s.n_safe);
        if (k == 0) assert_rows(&s, 0, 7);
        if (k == 1 || k == 2) assert_int_equal(s.n_acks, 0);
        if (k == 1 || k == 2) assert_int_equal(s.report.ledger.emitted, 0);
        if (k == 3) assert_rows(&s, 0, 20);
        nj_report_free(&s.report);
    }
}

/* Memory that is short: the run ends with an error, and nothing behind a lost alert is acknowledged. */
static void fatal(const char *where)
{
    assert_int_equal(s.rc, NJ_EXIT_LEDGER);
    if (!strstr(s.err.text, where)) fail_msg("'%s' instead of '%s'", s.err.text, where);
    for (int i = 0; i < s.n_rows; i++) assert_int_equal(s.row[i], 100 + i);
    assert_true(last_ack(&s) <= s.n_safe);
    nj_report_free(&s.report);
}

static void fatal_in_the_thread_that_reads(void **state)
{
    (void)state;
    script_new(&s, 9, 1);
    s.no_memory_at = 4;
    script_run(&s, "2", NULL);
    assert_true(s.n_rows <= 4);
    fatal("out of memory while reading");
}

static void fatal_in_a_thread_that_computes(void **state)
{
    (void)state;
    for (int threads = 1; threads < 5; threads += 3) {
        script_new(&s, 30, 1);
        s.broken_batch = 6;
        script_run(&s, threads == 1 ? "1" : "4", NULL);
        assert_true(s.n_rows <= 6);
        fatal("out of memory while computing");
    }
}

static void fatal_in_the_thread_that_writes(void **state)
{
    (void)state;
    script_new(&s, 30, 1);
    s.no_receipt_at = 0;
    script_run(&s, "2", NULL);
    assert_int_equal(s.n_acks, 0);
    fatal("out of memory while writing");
}

static void a_stop_ends_with_all_accounts_closed(void **state)
{
    (void)state;
    script_new(&s, 40, 1);
    s.stop_at = 3;
    script_run(&s, "2", NULL);
    assert_int_equal(s.rc, NJ_EXIT_INTERRUPTED);
    assert_rows(&s, 0, s.n_rows); /* what was under way is finished */
    assert_true(s.n_rows >= 4);
    assert_int_equal(last_ack(&s), s.n_rows);
    assert_int_equal(s.report.ledger.emitted, s.n_rows);
    assert_true(nj_ledger_closed(&s.report.ledger));
    nj_report_free(&s.report);
}

static void a_drain_waits_for_all_that_was_handed_over(void **state)
{
    (void)state;
    script_new(&s, 10, 2);
    s.drain_at = 7;
    s.drain_ms = 600000;
    script_run(&s, "3", NULL);
    assert_int_equal(s.rc, NJ_EXIT_OK);
    assert_int_equal(s.drained, 0);
    assert_int_equal(s.acked_at_drain, 7);
    assert_rows(&s, 0, 20);
    assert_int_equal(last_ack(&s), 10);
    nj_report_free(&s.report);
}

/* What was under way when a partition was lost is not written, and when the partition comes back to the same
 * run it is: each row once, whatever had been written before. */
static void a_partition_that_is_lost_and_comes_back_has_each_row_once(void **state)
{
    (void)state;
    script_new(&s, 12, 2);
    s.lost_at = 6;
    s.revokes = true;
    s.slow_batch = 3; /* it is under way until messages of the second assignment are through */
    s.overtaken_by = 8;
    script_run(&s, "4",
               (const char *const[]){ "-D", "run.commit_ms=60000", NULL }); /* one commit, at the end */
    assert_int_equal(s.rc, NJ_EXIT_OK);
    assert_rows(&s, 0, 24);
    assert_int_equal(last_ack(&s), 12);
    assert_int_equal(s.report.ledger.emitted, 24);
    assert_true(nj_ledger_closed(&s.report.ledger));
    nj_report_free(&s.report);
}

static void a_drain_ends_where_it_must(void **state)
{
    (void)state;
    script_new(&s, 10, 1); /* an output that hangs longer than the drain may take */
    s.drain_at = 7;
    s.drain_ms = 20;
    s.flush_waits = true;
    script_run(&s, "3", NULL);
    assert_int_equal(s.rc, NJ_EXIT_OK);
    assert_int_equal(s.drained, -1);
    assert_int_equal(s.acked_at_drain, 0);
    assert_int_equal(last_ack(&s), 10); /* and the run continued */
    nj_report_free(&s.report);

    script_new(&s, 10, 1); /* an output that has failed: nobody will ever acknowledge */
    s.drain_at = 7;
    s.drain_ms = 600000;
    s.flush_fails = true;
    script_run(&s, "3", NULL);
    assert_int_equal(s.rc, NJ_EXIT_LEDGER);
    assert_int_equal(s.n_acks, 0);
    nj_report_free(&s.report);
}

/* A drain that came too late: chunks come again that are written, or on their way,
 * and one of them is dead. */
static void what_comes_again_is_written_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads += 3) {
        script_new(&s, 8, 2);
        s.chunk[3].n = 0;
        s.lost_at = 6;
        s.again_from = 2;
        script_run(&s, threads == 1 ? "1" : "4", NULL);
        assert_int_equal(s.rc, NJ_EXIT_OK);
        assert_int_equal(s.n_rows, 14);
        for (int i = 0; i < s.n_rows; i++) assert_int_equal(s.row[i], 100 + (i < 6 ? i : i + 2));
        assert_int_equal(s.report.ledger.emitted, 14);
        assert_int_equal(s.report.ledger.dead, 1);
        assert_int_equal(s.report.ledger.consumed, 15);
        assert_int_equal(s.report.ledger.chunks, 12);
        assert_true(nj_ledger_closed(&s.report.ledger));
        assert_int_equal(last_ack(&s), 8);
        nj_report_free(&s.report);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_that_of_the_source),
        cmocka_unit_test(a_run_without_alerts_has_a_header),
        cmocka_unit_test(what_is_no_row_is_acknowledged_too),
        cmocka_unit_test(duplicates_are_those_within_the_window),
        cmocka_unit_test(a_limit_is_exact),
        cmocka_unit_test(a_source_that_breaks_ends_the_run_and_keeps_what_it_gave),
        cmocka_unit_test(an_output_that_fails_ends_the_run),
        cmocka_unit_test(fatal_in_the_thread_that_reads),
        cmocka_unit_test(fatal_in_a_thread_that_computes),
        cmocka_unit_test(fatal_in_the_thread_that_writes),
        cmocka_unit_test(a_stop_ends_with_all_accounts_closed),
        cmocka_unit_test(a_drain_waits_for_all_that_was_handed_over),
        cmocka_unit_test(a_drain_ends_where_it_must),
        cmocka_unit_test(what_comes_again_is_written_once),
        cmocka_unit_test(a_partition_that_is_lost_and_comes_back_has_each_row_once),
    };
    return cmocka_run_group_tests(tests, script_make_folder, script_remove_folder);
}
