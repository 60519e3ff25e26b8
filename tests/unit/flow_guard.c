/* flow_guard.c - a packet that kills the decoder and a row that kills an output become dead letters, and the
 * next worker continues. */
/* link: -Wl,--wrap=nj_sink_open,--wrap=nj_dispatch,--wrap=malloc,--wrap=realloc,--wrap=nj_cursor_open */
#include "flow_script.h"

#include <sys/mman.h>

#include "broker/flow/supervise.h"

static script *s; /* of all workers */
static int64_t read_crashes_at;

int __real_nj_cursor_open(nj_cursor *cursor, nj_decoder *decoder, nj_chunk *chunk, nj_error *err);
int __wrap_nj_cursor_open(nj_cursor *cursor, nj_decoder *decoder, nj_chunk *chunk, nj_error *err);
int __wrap_nj_cursor_open(nj_cursor *cursor, nj_decoder *decoder, nj_chunk *chunk, nj_error *err)
{
    if (chunk->offset == read_crashes_at && !chunk->fault) raise(SIGTRAP);
    return __real_nj_cursor_open(cursor, decoder, chunk, err);
}

static int begin(void **state)
{
    s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return s == MAP_FAILED ? -1 : script_make_folder(state);
}

static int end(void **state)
{
    munmap(s, sizeof *s);
    return script_remove_folder(state);
}

static void new_script(int chunks, int n)
{
    read_crashes_at = -1;
    script_new(s, chunks, n);
    script_now = s;
}

static int work(void *cli_, nj_shared *shared)
{
    nj_cli *cli = cli_;
    cli->options.shared = shared;
    if (shared->incarnation) cli->options.mode = NJ_SINK_APPEND;
    s->rc = nj_run(&cli->options, &s->report, &s->err);
    shared->exit_code = s->rc;
    shared->ended = 1;
    return s->rc;
}

/* Returns the exit code; a chunk is a batch, of up to 8 rows. */
static int supervised(void)
{
    char *argv[] = { "run",         "-q",
                     "-j",          "1",
                     "-m",          "nalerthist",
                     "-D",          "run.batch_rows=8",
                     "--overwrite", "--dead-letters",
                     script_dead,   "script:",
                     NULL };
    const nj_guard_conf conf = { .deadline_s = 30, .quarantine = 5, .quarantine_alerts = 10000 };
    nj_cli cli;
    assert_int_equal(nj_cli_parse(&cli, sizeof argv / sizeof *argv - 1, argv, &s->err), 0);
    cli.options.open_source = script_open;
    int rc = nj_supervise(&conf, work, &cli, NULL, &s->err);
    nj_cli_free(&cli);
    return rc;
}

static int times(int alert)
{
    int n = 0;
    for (int i = 0; i < s->n_rows; i++) n += s->row[i] == 100 + alert;
    return n;
}

static void a_row_that_kills_an_output(void **state)
{
    (void)state;
    for (int per_chunk = 1; per_chunk <= 4; per_chunk += 3) {
        new_script(6, per_chunk);
        s->write_crashes_at = 3;
        assert_int_equal(supervised(), NJ_EXIT_OK);
        for (int i = 0; i < 6 * per_chunk; i++) assert_int_equal(times(i) > 0, i != 3);
        assert_int_equal(s->report.ledger.dead, 1);
        assert_int_equal(s->report.ledger.emitted, 6 * per_chunk - 1);
        assert_true(nj_ledger_closed(&s->report.ledger));
        /* with several rows in the call the first death only names the output */
        assert_in_range(s->report.restarts, 1, 2);
    }
}

static void a_packet_that_kills_the_decoder(void **state)
{
    (void)state;
    new_script(6, 1);
    read_crashes_at = 2;
    assert_int_equal(supervised(), NJ_EXIT_OK);
    for (int i = 0; i < 6; i++) assert_int_equal(times(i) > 0, i != 2);
    assert_int_equal(s->report.ledger.dead, 1);
    assert_int_equal(s->report.ledger.emitted, 5);
    assert_int_equal(s->report.restarts, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_row_that_kills_an_output),
                                        cmocka_unit_test(a_packet_that_kills_the_decoder) };
    return cmocka_run_group_tests(tests, begin, end);
}
