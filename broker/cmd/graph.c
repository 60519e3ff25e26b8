/* graph.c - `nightjar graph`: the stages and why, for the survey of a source's first packet. */
#include <stdio.h>

#include "../base/debug.h"
#include "../base/log.h"
#include "../flow/cli.h"
#include "command.h"

typedef struct options {
    nj_cli cli;
    bool dot;
} options;

static const nj_option table[] = { { "dot", 0, NJ_OPTION_FLAG, offsetof(options, dot),
                                     .doc = "for Graphviz: nightjar graph --dot SOURCE | dot -Tsvg" },
                                   { 0 } };

static int graph_main(int argc, char **argv);

NJ_COMMAND(graph) = {
    .name = "graph",
    .usage = "graph [--dot] [run options] SOURCE",
    .summary = "the stages and why: which column orders which module",
    .main = graph_main,
    .options = { table, nj_cli_settings, nj_cli_modules, nj_cli_paths, nj_cli_run, nj_options_of_debug },
    .arguments = (const nj_meaning[]){ { "SOURCE",
                                         "as for run: its first packet says which survey's graph is meant" },
                                       { 0 } },
};

static int graph_main(int argc, char **argv)
{
    options o = { 0 };
    nj_cli *cli = &o.cli;
    nj_error err = { "" };
    nj_buffer text = { 0 };
    int rc = nj_cli_read(cli, nj_command_graph.options, argc, argv, &err);
    if (rc == 0 && cli->options.n_sources == 0)
        rc = nj_fail(&err, "graph: name a source, so that its survey is known");
    if (rc == 0) rc = nj_run_graph(&cli->options, o.dot, &text, &err);
    if (rc == 0)
        fwrite(text.data, 1, text.n, stdout);
    else
        nj_log(NJ_LOG_ERROR, "%s", err.text);
    nj_buffer_free(&text);
    nj_cli_free(cli);
    return rc ? NJ_EXIT_USAGE : NJ_EXIT_OK;
}
