/* demo.c - `nightjar demo`: a simulated night through the embedded Kafka broker and all modules, then the
 * report. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/debug.h"
#include "../base/log.h"
#include "../flow/cli.h"
#include "command.h"

/* The simulator runs as a process of its own, so that its CPU time is not charged to the run. */
static pid_t start_simulator(const char *alerts, const char *seed)
{
    int fd[2];
    if (pipe(fd)) return -1;
    pid_t child = fork();
    if (child == 0) {
        dup2(fd[1], STDOUT_FILENO);
        close(fd[0]);
        close(fd[1]);
        execl("/proc/self/exe", "nightjar", "simulate", "--alerts", alerts, "--seed", seed, "-o", "-",
              (char *)NULL);
        _exit(127);
    }
    close(fd[1]);
    if (child < 0 || dup2(fd[0], STDIN_FILENO) < 0) {
        close(fd[0]);
        return -1;
    }
    close(fd[0]);
    return child;
}

typedef struct options {
    nj_cli cli;
    int64_t alerts;
    uint64_t seed;
} options;

static const nj_option table[] = { { "alerts", 0, NJ_OPTION_I64, offsetof(options, alerts), "N", "5000", 1,
                                     1e9, .doc = "alerts of the simulated night" },
                                   { "seed", 0, NJ_OPTION_U64, offsetof(options, seed), "S", "1", 0,
                                     (double)UINT64_MAX, .doc = "the same seed gives the same night" },
                                   { 0 } };

static int demo_main(int argc, char **argv);

NJ_COMMAND(demo) = {
    .name = "demo",
    .usage = "demo [--alerts N] [--seed S] [run options]",
    .summary = "simulate, embedded Kafka broker, run, report: no service, no download",
    .main = demo_main,
    .options = { table, nj_cli_settings, nj_cli_modules, nj_cli_paths, nj_cli_run, nj_options_of_debug },
    .exits = (const nj_meaning[]){ { "2", "the simulator or the embedded broker failed" },
                                   { "3", "the accounts do not close, or an output failed" },
                                   { "4", "--strict, and there are dead letters" },
                                   { "130", "interrupted; what was read is accounted for" },
                                   { 0 } },
};

static int demo_main(int argc, char **argv)
{
    options o = { 0 };
    nj_cli *cli = &o.cli;
    nj_error err = { "" };
    char alerts[24], seed[24];
    int bad = nj_cli_read(cli, nj_command_demo.options, argc, argv, &err);
    if (!bad && cli->options.n_sources)
        bad = nj_fail(&err, "demo: it has its own SOURCE, so '%s' would not be read", cli->source[0]);
    snprintf(alerts, sizeof alerts, "%" PRId64, o.alerts);
    snprintf(seed, sizeof seed, "%" PRIu64, o.seed);
    if (bad || nj_cli_begin(cli, &err)) {
        nj_log(NJ_LOG_ERROR, "%s", err.text);
        nj_cli_free(cli);
        return NJ_EXIT_USAGE;
    }
    pid_t child = start_simulator(alerts, seed);
    if (child < 0) {
        nj_log(NJ_LOG_ERROR, "demo: the simulator cannot be started");
        nj_cli_free(cli);
        return NJ_EXIT_SOURCE;
    }
    if (!cli->quiet)
        fprintf(stderr, "A simulated night of %s alerts (seed %s) through the embedded Kafka broker:\n",
                alerts, seed);
    nj_stop_on_signals();
    cli->source[0] = "embedded://-";
    cli->options.n_sources = 1;
    cli->options.stop = nj_stop_flag();
    nj_report report;
    int rc = nj_run(&cli->options, &report, &err);
    rc = nj_cli_report(cli, &report, rc, &err);
    close(STDIN_FILENO); /* a simulator that is still writing ends with a broken pipe */
    int status = 0;
    waitpid(child, &status, 0);
    if (rc == NJ_EXIT_OK && (!WIFEXITED(status) || WEXITSTATUS(status))) {
        nj_log(NJ_LOG_ERROR, "demo: the simulator failed");
        rc = NJ_EXIT_SOURCE;
    }
    nj_report_free(&report);
    nj_cli_free(cli);
    return rc;
}
