/* help.c - `nightjar help [COMMAND]`: all commands, the options of one, or the words that all of them use. */
#include <stdio.h>
#include <string.h>

#include "../base/settings.h"
#include "../report/fit.h"
#include "../report/terms.h"
#include "command.h"

typedef struct options {
    bool json;
} options;

static const nj_option table[] = { { "json", 0, NJ_OPTION_FLAG, offsetof(options, json),
                                     .doc = "all commands, their options and exit codes as JSON" },
                                   { 0 } };

static int help(int argc, char **argv);

NJ_COMMAND(help) = {
    .name = "help",
    .usage = "help [COMMAND [COMMAND] | terms [WORD]] [--json]",
    .summary = "all commands, the options of one, or what the words of the reports mean",
    .main = help,
    .options = { table },
    .arguments =
        (const nj_meaning[]){
            { "COMMAND", "a command, and for catalog and model one of theirs: catalog build" },
            { "terms", "the words of tables, pages and reports, each with its one meaning" },
            { "WORD", "those whose name has this word in it" },
            { 0 } },
};

static int one_term(const char *word)
{
    nj_term term;
    const char *name[64], *near;
    char names[64][sizeof term.name], text[sizeof term + 8];
    size_t n = 0;
    int found = 0;
    for (const char *at = NULL; nj_terms_next(&at, &term);) {
        if (n < 64) name[n] = strcpy(names[n], term.name), n++;
        if (!strstr(term.name, word)) continue;
        snprintf(text, sizeof text, "%s: %s", term.name, term.meaning);
        nj_fit_text(stdout, nj_fit_width(stdout), text);
        found = 1;
    }
    if (found) return NJ_EXIT_OK;
    near = nj_nearest(word, name, n);
    fprintf(stderr, "nightjar help: no term '%s'%s%s%s; `nightjar help terms` has them all\n", word,
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return NJ_EXIT_USAGE;
}

static int terms(const nj_words *words)
{
    if (words->n == 1) return fputs(nj_terms_text(), stdout), NJ_EXIT_OK;
    if (words->n == 2) return one_term(words->item[1]);
    return fprintf(stderr, "nightjar help: one argument is expected, and no second: %s\n", words->item[2]),
           NJ_EXIT_USAGE;
}

static int help(int argc, char **argv)
{
    options o = { 0 };
    nj_words words;
    nj_error err = { "" };
    nj_buffer text = { 0 };
    const nj_command *c = NULL;
    int bad = nj_command_parse(&nj_command_help, &o, argc, argv, &words, &err);
    if (!bad && words.n && !strcmp(words.item[0], "terms") && !o.json) return terms(&words);
    if (!bad && words.n) bad = (c = nj_command_find(nj_commands, words.item, words.n, &err)) ? 0 : -1;
    if (bad) return fprintf(stderr, "nightjar help: %s\n", err.text), NJ_EXIT_USAGE;
    if (o.json)
        nj_commands_json(nj_commands, &text);
    else if (c)
        nj_help_command(c, words.n > 1 ? words.item[0] : NULL, &text);
    else
        nj_help_overview(nj_commands, &text);
    return nj_command_print(&text);
}
