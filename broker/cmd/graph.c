/* graph.c - `nightjar graph`: the stages and why, for the survey of a source's first packet. */
#include <stdio.h>

#include "../base/log.h"
#include "../flow/cli.h"
#include "command.h"

static int graph_main(int argc, char **argv)
{
    nj_cli cli;
    nj_error err = { "" };
    nj_buffer text = { 0 };
    int rc = nj_cli_parse(&cli, argc, argv, &err);
    if (rc == 0 && cli.options.n_sources == 0) rc = nj_fail(&err, "graph: name a source, so that its survey is known");
    if (rc == 0) rc = nj_run_graph(&cli.options, cli.dot, &text, &err);
    if (rc == 0)
        fwrite(text.data, 1, text.n, stdout);
    else
        nj_log(NJ_LOG_ERROR, "%s", err.text);
    nj_buffer_free(&text);
    nj_cli_free(&cli);
    return rc ? NJ_EXIT_USAGE : NJ_EXIT_OK;
}

NJ_COMMAND(graph) = { "graph", "graph [--dot] [run options] SOURCE", "the stages and why: which column orders which module", NULL,
                      graph_main };
