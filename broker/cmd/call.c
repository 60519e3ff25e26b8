/* call.c - `nightjar call MODULE TABLE.csv`: a module's process() on columns of one's own, for tests against
 * other code, without packets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/debug.h"
#include "../base/file.h"
#include "../base/log.h"
#include "../check/check.h"
#include "../flow/cli.h"
#include "../profile/replay.h"
#include "command.h"

static int call(int argc, char **argv);

NJ_COMMAND(call) = {
    .name = "call",
    .usage = "call MODULE TABLE.csv [options]",
    .summary = "a module's answers to rows of one's own, as JSON",
    .help =
        "The header of the table names needs of the module; the rows are written as reference values are "
        "(modules/README.md): the points of a series with blanks between them, a stamp as @FILE.fits beside "
        "the table. A row of outputs and its reason is one line of JSON.\n",
    .main = call,
    .options = { nj_cli_settings, nj_cli_paths, nj_options_of_debug },
    .arguments = (const nj_meaning[]){ { "MODULE", "an instance, a .so or a .py file" },
                                       { "TABLE.csv", "rows of its needs" },
                                       { 0 } },
    .exits = (const nj_meaning[]){ { "1", "wrong usage or settings, or the module cannot be opened" },
                                   { "2", "the table cannot be read" },
                                   { 0 } },
};

enum { MAX_BYTES = 1 << 30 };

/* The folder in which the stamps of the table are. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
}

static int answer(const nj_cli *cli, nj_error *err)
{
    const char *module = cli->source[0], *path = cli->source[1];
    const bool file = nj_ends_with(module, ".so") || nj_ends_with(module, ".py");
    const nj_replay_options o = { .settings = (nj_settings *)&cli->settings,
                                  .instance = file ? NULL : module,
                                  .module_file = file ? module : NULL,
                                  .module_path = cli->module_path,
                                  .n_module_paths = cli->options.n_module_paths };
    nj_replay r = { 0 };
    int rc = NJ_EXIT_OK;
    char *values = nj_file_read(path, MAX_BYTES, NULL), *folder = folder_of(path);
    if (!values || !folder) {
        nj_fail(err, "%s: cannot be read", path);
        rc = NJ_EXIT_SOURCE;
    } else if (nj_replay_choose(&r, &o, err) || nj_engine_open(&r.engine, r.instance, err)) {
        rc = NJ_EXIT_USAGE;
    } else {
        const nj_instance *in = nj_instances_find(&r.engine.instances, r.instance);
        nj_check c = { .in = in,
                       .set = &r.engine.instances,
                       .decoder = r.engine.decoder,
                       .values = values,
                       .values_folder = folder,
                       .answers = stdout };
        if (!in)
            nj_fail(err, "%s: it has no module", module), rc = NJ_EXIT_USAGE;
        else
            nj_check_values(&c);
        if (c.verdict == NJ_CHECKED_WRONG) {
            nj_fail(err, "%s: %s", path, c.what);
            rc = NJ_EXIT_SOURCE;
        }
    }
    nj_replay_close(&r);
    free(values);
    free(folder);
    return rc;
}

static int call(int argc, char **argv)
{
    nj_cli cli = { 0 };
    nj_error err = { "" };
    int rc = NJ_EXIT_USAGE;
    if (nj_cli_read(&cli, nj_command_call.options, argc, argv, &err) == 0) {
        nj_log_level(NJ_LOG_WARN);
        if (cli.options.n_sources != 2)
            nj_fail(&err, "expected MODULE TABLE.csv; see `nightjar call --help`");
        else
            rc = answer(&cli, &err);
    }
    if (err.text[0]) fprintf(stderr, "nightjar call: %s\n", err.text);
    nj_cli_free(&cli);
    return rc;
}
