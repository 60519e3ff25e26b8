/* man.c - `nightjar man [COMMAND]`: a page of the manual, in roff. */
#include <stdio.h>

#include "command.h"

static int man(int argc, char **argv);

NJ_COMMAND(man) = {
    .name = "man",
    .usage = "man [COMMAND]",
    .summary = "a page of the manual for man(1); `make man` writes all of them",
    .help = "  nightjar man run | man -l -\n",
    .main = man,
    .arguments = (const nj_meaning[]){ { "COMMAND", "its page; without one: the page of nightjar" }, { 0 } },
};

static int man(int argc, char **argv)
{
    nj_words words;
    nj_error err = { "" };
    nj_buffer text = { 0 };
    const nj_command *c = NULL;
    int bad = nj_command_parse(&nj_command_man, NULL, argc, argv, &words, &err);
    if (!bad && words.n > 1) bad = nj_fail(&err, "one COMMAND");
    if (!bad && words.n) bad = (c = nj_command_find(nj_commands, words.item, 1, &err)) ? 0 : -1;
    if (bad) return fprintf(stderr, "nightjar man: %s\n", err.text), NJ_EXIT_USAGE;
    if (c)
        nj_man_command(c, &text);
    else
        nj_man_overview(nj_commands, &text);
    return nj_command_print(&text);
}
