/* cli.h - the command line that `run`, `demo` and `graph` share. */
#ifndef NJ_FLOW_CLI_H
#define NJ_FLOW_CLI_H

#include "../base/option.h"
#include "../sink/file.h"
#include "follow.h"
#include "run.h"

/* Options of a run; offsets into nj_cli, which is the first member of the struct of a
 * command that has more. */
extern const nj_option nj_cli_settings[]; /* -c, -D */
extern const nj_option nj_cli_modules[];  /* -m */
extern const nj_option nj_cli_paths[];    /* --module-path */
extern const nj_option nj_cli_run[];      /* all others */

typedef struct nj_cli {
    nj_settings settings;
    nj_run_options options;
    nj_arena arena;
    const char *report_path;
    nj_outfile report; /* open from nj_cli_begin() on, so that no second run writes it */
    const char **source, **sink, **module_path;
    const char **sink_topic; /* [n_sinks], or NULL */
    const char **seen;
    nj_topic_option *topic;
    nj_followed *followed; /* files of --topics; those that are built in do not change */
    uint32_t n_followed;
    int64_t *trace;
    bool quiet;
    enum { NJ_LOG_TIME_AUTO, NJ_LOG_TIME_NO, NJ_LOG_TIME_YES } log_time;
} nj_cli;

/* Reads the options into cli->options; settings hold data/instances.ini, then -c files, then -D.
 * -1 with err. */
int nj_cli_parse(nj_cli *cli, int argc, char **argv, nj_error *err);
/* The same with the tables of a command (ends with NULL); cli is the first member of their struct. */
int nj_cli_read(nj_cli *cli, const nj_option *const *tables, int argc, char **argv, nj_error *err);
/* Messages with or without times from here on. Takes the file of --report: a place that cannot be written is
 * found before the run, not behind it. */
int nj_cli_begin(nj_cli *cli, nj_error *err);
/* Prints the table, writes --report, says what went wrong; returns the exit code. */
int nj_cli_report(nj_cli *cli, const nj_report *report, int rc, const nj_error *err);
void nj_cli_free(nj_cli *cli);

#define NJ_STOP_WORDS "finishing what was read; once more to stop at once"
/* Ctrl-C and SIGTERM set the flag; a second one ends the process at once. */
void nj_stop_on_signals(void);
/* The same in a worker: its supervisor counts, and says so. */
void nj_stop_on_signals_quietly(void);
const _Atomic int *nj_stop_flag(void);

#endif
