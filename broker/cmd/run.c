/* run.c - `nightjar run`: options to nj_run, and the report at the end. */
#include "../base/log.h"
#include "../flow/cli.h"
#include "command.h"

static int run_main(int argc, char **argv)
{
    nj_cli cli;
    nj_error err = { "" };
    if (nj_cli_parse(&cli, argc, argv, &err) || nj_cli_begin(&cli, &err)) {
        nj_log(NJ_LOG_ERROR, "%s", err.text);
        nj_cli_free(&cli);
        return NJ_EXIT_USAGE;
    }
    if (cli.options.n_sources == 0) {
        nj_log(NJ_LOG_ERROR, "run: no SOURCE given; `nightjar run --help` lists the kinds");
        nj_cli_free(&cli);
        return NJ_EXIT_USAGE;
    }
    nj_stop_on_signals();
    cli.options.stop = nj_stop_flag();
    nj_report report;
    int rc = nj_run(&cli.options, &report, &err);
    rc = nj_cli_report(&cli, &report, rc, &err);
    nj_report_free(&report);
    nj_cli_free(&cli);
    return rc;
}

NJ_COMMAND(run) = { "run", "run [options] SOURCE...", "consume, decode, run the modules, write, account, measure", nj_run_help,
                    run_main };
