/* main.c - picks the subcommand; the table is made from broker/cmd/. */
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "base/version.h"
#include "cmd/command.h"
#include "graph/crash.h"

static void overview(FILE *to)
{
    nj_buffer text = { 0 };
    nj_help_overview(nj_commands, &text);
    fputs(text.data ? text.data : "", to);
    nj_buffer_free(&text);
}

static int no_command(char **word)
{
    nj_error err;
    nj_command_find(nj_commands, word, 1, &err);
    fprintf(stderr, "nightjar: %s\n", err.text);
    return NJ_EXIT_USAGE;
}

/* --help anywhere before a "--": `catalog build --help` as well. */
static bool asks_for_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return true;
    return false;
}

static int help(const nj_command *c, char *word)
{
    nj_error ignored;
    nj_buffer text = { 0 };
    const nj_command *verb = c->verbs && word ? nj_command_find(c->verbs, &word, 1, &ignored) : NULL;
    nj_help_command(verb ? verb : c, verb ? c->name : NULL, &text);
    fputs(text.data ? text.data : "", stdout);
    nj_buffer_free(&text);
    return NJ_EXIT_OK;
}

int main(int argc, char **argv)
{
    nj_crash_watch();
    argv = nj_secret_command_line(argc, argv);
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        overview(argc < 2 ? stderr : stdout);
        return argc < 2 ? NJ_EXIT_USAGE : NJ_EXIT_OK;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("nightjar %s (%s), %s %s\n", nj_version, nj_revision, nj_compiler, nj_flags);
        return NJ_EXIT_OK;
    }
    for (const nj_command *const *c = nj_commands; *c; c++) {
        if (strcmp((*c)->name, argv[1])) continue;
        if (asks_for_help(argc - 2, argv + 2)) return help(*c, argv[2]);
        return (*c)->main(argc - 1, argv + 1);
    }
    return no_command(argv + 1);
}
