/* help.c - `nightjar help [COMMAND]`: all commands, or the options of one. */
#include <stdio.h>

#include "command.h"

typedef struct options {
    bool json;
} options;

static const nj_option table[] = {
    { "json", 0, NJ_OPTION_FLAG, offsetof(options, json), .doc = "all commands, their options and exit codes as JSON" }, { 0 }
};

static int help(int argc, char **argv);

NJ_COMMAND(help) = {
    .name = "help",
    .usage = "help [COMMAND [COMMAND]] [--json]",
    .summary = "all commands, or the options of one",
    .main = help,
    .options = { table },
    .arguments = (const nj_meaning[]){ { "COMMAND", "a command, and for catalog and model one of theirs: catalog build" },
                                       { 0 } },
    .by_table = true,
};

static int help(int argc, char **argv)
{
    options o = { 0 };
    nj_words words;
    nj_error err = { "" };
    nj_buffer text = { 0 };
    const nj_command *c = NULL;
    int bad = nj_command_parse(&nj_command_help, &o, argc, argv, &words, &err);
    if (!bad && words.n) bad = (c = nj_command_find(nj_commands, words.item, words.n, &err)) ? 0 : -1;
    if (bad) return fprintf(stderr, "nightjar help: %s\n", err.text), NJ_EXIT_USAGE;
    if (o.json)
        nj_commands_json(nj_commands, &text);
    else if (c)
        nj_help_command(c, words.n > 1 ? words.item[0] : NULL, &text);
    else
        nj_help_overview(nj_commands, &text);
    if (o.json) nj_buffer_text(&text, "\n");
    bad = text.failed || fwrite(text.data, 1, text.n, stdout) != text.n || fflush(stdout);
    nj_buffer_free(&text);
    return bad ? NJ_EXIT_LEDGER : NJ_EXIT_OK;
}
