/* main.c - picks the subcommand; the table is made from broker/cmd/. */
#include <stdio.h>
#include <string.h>

#include "base/settings.h"
#include "base/version.h"
#include "cmd/command.h"
#include "graph/crash.h"

static void help(FILE *to)
{
    fprintf(to, "nightjar %s (%s) - alert streams through C science modules, measured and accounted for\n\n", nj_version,
            nj_revision);
    for (const nj_command *const *c = nj_commands; *c; c++) fprintf(to, "  nightjar %-44s %s\n", (*c)->usage, (*c)->summary);
    fprintf(to, "\n`nightjar COMMAND --help` lists the options of a command.\n");
}

static int no_command(const char *word)
{
    const char *name[64];
    size_t n = 0;
    for (; nj_commands[n] && n < 64; n++) name[n] = nj_commands[n]->name;
    const char *near = nj_nearest(word, name, n);
    if (near) {
        fprintf(stderr, "nightjar: no command '%s'; did you mean '%s'?\n", word, near);
    } else {
        fprintf(stderr, "nightjar: no command '%s'\n", word);
        help(stderr);
    }
    return NJ_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    nj_crash_watch();
    if (argc < 2 || !strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        help(argc < 2 ? stderr : stdout);
        return argc < 2 ? NJ_EXIT_USAGE : NJ_EXIT_OK;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("nightjar %s (%s), %s %s\n", nj_version, nj_revision, nj_compiler, nj_flags);
        return NJ_EXIT_OK;
    }
    for (const nj_command *const *c = nj_commands; *c; c++) {
        if (strcmp((*c)->name, argv[1])) continue;
        if (argc > 2 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h"))) {
            printf("nightjar %s\n  %s\n%s", (*c)->usage, (*c)->summary, (*c)->help ? (*c)->help : "");
            return NJ_EXIT_OK;
        }
        return (*c)->main(argc - 1, argv + 1);
    }
    return no_command(argv[1]);
}
