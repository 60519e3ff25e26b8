/* cli.c - `run`, `demo` and `inspect --hostless` stop on signals and report in the same way. */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/exit.h"
#include "../base/log.h"
#include "../base/patience.h"
#include "../base/output.h"
#include "../graph/crash.h"
#include "../graph/services.h"
#include "nightjar/sky.h"

static _Atomic int stop; /* set by a handler, read by every thread */

static _Atomic bool terminal, quietly;

static void on_signal(int number)
{
    static const char words[] = NJ_STOP_WORDS, text[] = "\r\033[Knightjar: " NJ_STOP_WORDS "\n";
    const size_t clear = 4; /* over the line of progress */
    (void)number;
    if (quietly) {
        stop = 1;
        return;
    }
    if (stop) nj_exit_at_once(NJ_EXIT_INTERRUPTED); /* asked twice */
    stop = 1;
    int error = errno;
    char json[1200];
    size_t skipped = terminal ? 0 : clear, n = sizeof text - 1 - skipped;
    bool as_json = nj_log_is_json();
    if (as_json) n = nj_log_json(json, sizeof json, NJ_LOG_INFO, "flow", "", words, NULL);
    if (write(STDERR_FILENO, as_json ? json : text + skipped, n) < 0) stop = 1;
    errno = error;
}

static const nj_sky *sky; /* the table; constant once set */

static void on_hangup(int number)
{
#define NJ_HANGUP_WORDS                                                                                      \
    "SIGHUP: without a supervisor no new settings are taken; catalogues are looked at again"
    static const char words[] = NJ_HANGUP_WORDS, text[] = "nightjar: warning: " NJ_HANGUP_WORDS "\n";
    (void)number;
    if (sky) sky->recheck();
    if (quietly) return; /* there is a supervisor, which says what it does */
    const int error = errno;
    char json[1200];
    const bool as_json = nj_log_is_json();
    const size_t n =
        as_json ? nj_log_json(json, sizeof json, NJ_LOG_WARN, "flow", "", words, NULL) : sizeof text - 1;
    if (write(STDERR_FILENO, as_json ? json : text, n) < 0) errno = error;
    errno = error;
}

void nj_stop_on_signals(void)
{
    struct sigaction again = { .sa_handler = on_hangup, .sa_flags = SA_RESTART };
    sky = nj_service("sky", NJ_SKY_VERSION);
    terminal = isatty(STDERR_FILENO);
    sigaction(SIGHUP, &again, NULL); /* look at the catalogues' files now */
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    nj_stop_watched(&stop);
}

void nj_stop_on_signals_quietly(void)
{
    quietly = true;
    nj_stop_on_signals();
}

const _Atomic int *nj_stop_flag(void)
{
    return &stop;
}

/* Rows and a report, one behind the other in one file, are neither. */
static int report_to_standard_output(const nj_cli *cli, nj_error *err)
{
    const nj_run_options *o = &cli->options;
    for (uint32_t i = 0; i < o->n_sinks; i++) {
        const char *target = strchr(o->sink[i], ':');
        if (target && nj_output_is_standard(target + 1))
            return nj_fail(err, "--report %s: -o %s writes there; name a file", cli->report_path, o->sink[i]);
    }
    return nj_output_take(err);
}

/* What a person watches needs none, and systemd's journal has its own. */
static bool log_needs_time(const nj_cli *cli)
{
    if (cli->log_time != NJ_LOG_TIME_AUTO) return cli->log_time == NJ_LOG_TIME_YES;
    return !isatty(STDERR_FILENO) && !getenv("JOURNAL_STREAM");
}

int nj_cli_begin(nj_cli *cli, nj_error *err)
{
    nj_error why;
    nj_log_stamps(log_needs_time(cli));
    if (!cli->report_path) return 0;
    if (nj_output_is_standard(cli->report_path)) return report_to_standard_output(cli, err);
    /* an old report stays until the new one is there */
    if (nj_outfile_open(&cli->report, cli->report_path, NJ_SINK_APPEND, &why) == 0) return 0;
    return nj_fail(err, "--report %s", why.text);
}

static int write_report(nj_cli *cli, const nj_buffer *text, nj_error *err)
{
    struct stat st, now;
    nj_outfile *file = &cli->report;
    if (nj_output_is_standard(cli->report_path)) {
        nj_outfile standard = { .path = (char *)"standard output", .fd = nj_output_fd() };
        return nj_outfile_write(&standard, text->data, text->n, err);
    }
    bool regular = !fstat(file->fd, &st) && S_ISREG(st.st_mode);
    /* it may have been moved or removed during the run: what the path names now is what counts */
    if (regular && (stat(cli->report_path, &now) || st.st_dev != now.st_dev || st.st_ino != now.st_ino)) {
        nj_outfile_close(file, false, NULL);
        if (nj_outfile_open(file, cli->report_path, NJ_SINK_OVERWRITE, err)) return -1;
    }
    if (regular && nj_outfile_cut(file, 0, err)) return -1;
    return nj_outfile_write(file, text->data, text->n, err);
}

int nj_cli_report(nj_cli *cli, const nj_report *report, int rc, const nj_error *err)
{
    bool ran = report->n_stages > 0;
    bool between = nj_output_taken() && nj_log_is_json(); /* a table is no object */
    if (ran && !cli->quiet && !between) nj_report_terminal(report, nj_output_taken() ? stderr : stdout);
    if (rc != NJ_EXIT_OK && rc != NJ_EXIT_INTERRUPTED && err->text[0] && !err->said)
        nj_log(NJ_LOG_ERROR, "%s", err->text);
    if (!ran || !cli->report_path) return rc;
    nj_buffer json = { 0 };
    nj_report_json(report, &json);
    nj_error why = { "out of memory" };
    if (json.failed || write_report(cli, &json, &why)) {
        nj_log(NJ_LOG_ERROR, "the report cannot be written: %s", why.text);
        if (rc == NJ_EXIT_OK) rc = NJ_EXIT_LEDGER; /* 1 would say that nothing was read */
    }
    nj_outfile_close(&cli->report, false, NULL);
    nj_buffer_free(&json);
    return rc;
}

void nj_cli_free(nj_cli *cli)
{
    if (cli->report.path) nj_outfile_close(&cli->report, true, NULL); /* nothing was written */
    nj_settings_free(&cli->settings);
    nj_arena_free(&cli->arena);
    free(cli->source);
    free(cli->sink);
    free(cli->sink_topic);
    free(cli->seen);
    free(cli->module_path);
    free(cli->topic);
    free(cli->followed);
    free(cli->trace);
    memset(cli, 0, sizeof *cli);
}
