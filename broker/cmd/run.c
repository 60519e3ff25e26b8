/* run.c - `nightjar run`: options to nj_run, and the report at the end. */
#include "../base/log.h"
#include "../flow/cli.h"
#include "command.h"

static int run_main(int argc, char **argv);

NJ_COMMAND(run) = {
    .name = "run",
    .usage = "run [options] SOURCE...",
    .summary = "consume, decode, run the modules, write, account, measure",
    .main = run_main,
    .options = { nj_cli_settings, nj_cli_modules, nj_cli_paths, nj_cli_run },
    .arguments =
        (const nj_meaning[]){
            { "SOURCE", "FILE.avro, FOLDER (Avro or Parquet), FILE.tar, FILE.tar.gz, - (stdin: OCF or tar), "
                        "kafka://HOST:PORT/TOPIC[,TOPIC] or /^REGEX with ?group=G&from=FROM&until=UNTIL, "
                        "embedded://SOURCE; FROM: committed, earliest, latest, OFFSET or TIMESTAMP; UNTIL: "
                        "idle:SECONDS, end or count:N; `nightjar sources` says more" },
            { 0 } },
    .exits = (const nj_meaning[]){ { "0", "all alerts are accounted for" },
                                   { "2", "a source could not be read" },
                                   { "3", "the accounts do not close, or an output failed" },
                                   { "4", "--strict, and there are dead letters" },
                                   { "130", "interrupted; what was read is accounted for" },
                                   { 0 } },
};

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
