/* demo.c - `nightjar demo`: a simulated night through the embedded Kafka broker and all modules, then the report. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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
        execl("/proc/self/exe", "nightjar", "simulate", "--alerts", alerts, "--seed", seed, "-o", "-", (char *)NULL);
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

/* Takes "--alerts N" and "--seed S" out of the arguments. */
static const char *take(int *argc, char **argv, const char *option, const char *value)
{
    for (int i = 1; i + 1 < *argc; i++) {
        if (strcmp(argv[i], option)) continue;
        value = argv[i + 1];
        memmove(&argv[i], &argv[i + 2], (size_t)(*argc - i - 1) * sizeof *argv); /* the NULL at the end too */
        *argc -= 2;
    }
    return value;
}

static int demo_main(int argc, char **argv)
{
    const char *alerts = take(&argc, argv, "--alerts", "5000"), *seed = take(&argc, argv, "--seed", "1");
    static const char *const own[] = { "--alerts", "--seed" };
    nj_cli cli;
    nj_error err = { "" };
    int bad = nj_cli_parse(&cli, argc, argv, &err);
    for (int i = 1; bad && i < argc; i++) { /* the run's options are not all that there are here */
        for (size_t k = 0; k < sizeof own / sizeof *own; k++)
            if (!strcmp(argv[i], own[k])) nj_fail(&err, "option %s lacks its value", own[k]);
        const char *near = nj_nearest(argv[i], own, sizeof own / sizeof *own);
        if (near && argv[i][0] == '-' && strstr(err.text, argv[i]))
            nj_fail(&err, "option %s is not known; did you mean %s?", argv[i], near);
    }
    if (!bad && cli.options.n_sources)
        bad = nj_fail(&err, "demo: it has its own SOURCE, so '%s' would not be read", cli.source[0]);
    if (bad || nj_cli_begin(&cli, &err)) {
        nj_log(NJ_LOG_ERROR, "%s", err.text);
        nj_cli_free(&cli);
        return NJ_EXIT_USAGE;
    }
    pid_t child = start_simulator(alerts, seed);
    if (child < 0) {
        nj_log(NJ_LOG_ERROR, "demo: the simulator cannot be started");
        nj_cli_free(&cli);
        return NJ_EXIT_SOURCE;
    }
    if (!cli.quiet)
        fprintf(stderr, "A simulated night of %s alerts (seed %s) through the embedded Kafka broker:\n", alerts, seed);
    nj_stop_on_signals();
    cli.source[0] = "embedded://-";
    cli.options.n_sources = 1;
    cli.options.stop = nj_stop_flag();
    nj_report report;
    int rc = nj_run(&cli.options, &report, &err);
    rc = nj_cli_report(&cli, &report, rc, &err);
    close(STDIN_FILENO); /* a simulator that is still writing ends with a broken pipe */
    int status = 0;
    waitpid(child, &status, 0);
    if (rc == NJ_EXIT_OK && (!WIFEXITED(status) || WEXITSTATUS(status))) {
        nj_log(NJ_LOG_ERROR, "demo: the simulator failed");
        rc = NJ_EXIT_SOURCE;
    }
    nj_report_free(&report);
    nj_cli_free(&cli);
    return rc;
}

NJ_COMMAND(demo) = { "demo", "demo [--alerts N] [--seed S] [run options]",
                     "simulate, embedded Kafka broker, run, report: no service, no download", NULL, demo_main };
