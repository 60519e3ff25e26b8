/* command.c - finding a command and reading its command line, with what was meant by a wrong name. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/exit.h"
#include "../base/settings.h"
#include "command.h"

enum { MOST = 64 };

int nj_command_parse(const nj_command *c, void *conf, int argc, char **argv, nj_words *words, nj_error *err)
{
    return nj_options_parse(c->options, conf, argc, argv, words, err);
}

static const nj_command *by_name(const nj_command *const *all, const char *name)
{
    while (*all && strcmp((*all)->name, name)) all++;
    return *all;
}

static void no_such(const nj_command *const *all, const char *word, nj_error *err)
{
    const char *name[MOST + 1];
    size_t n = 0;
    for (; all[n] && n < MOST; n++) name[n] = all[n]->name;
    name[n] = NULL;
    nj_word_wrong("command", word, name, err);
}

const nj_command *nj_command_find(const nj_command *const *all, char *const *word, int n, nj_error *err)
{
    const nj_command *c = n > 0 ? by_name(all, word[0]) : NULL;
    if (!c) return no_such(all, n > 0 ? word[0] : "", err), NULL;
    if (n == 1) return c;
    if (c->verbs) return nj_command_find(c->verbs, word + 1, n - 1, err);
    nj_fail(err, "'%s' has no commands of its own", c->name);
    return NULL;
}

int nj_command_verb(const nj_command *c, int argc, char **argv)
{
    nj_error err = { "" };
    nj_buffer text = { 0 };
    const nj_command *verb = argc > 1 ? nj_command_find(c->verbs, argv + 1, 1, &err) : NULL;
    if (verb) return verb->main(argc - 1, argv + 1);
    if (argc > 1) {
        fprintf(stderr, "nightjar %s: %s\n", c->name, err.text);
    } else {
        nj_help_command(c, NULL, &text);
        fputs(text.data ? text.data : "", stderr);
        nj_buffer_free(&text);
    }
    return NJ_EXIT_USAGE;
}

const char *nj_meaning_of(const nj_meaning *table, const char *name)
{
    while (table && table->name && strcmp(table->name, name)) table++;
    return table ? table->doc : NULL;
}

int nj_command_print(nj_buffer *text)
{
    int bad =
        text->failed || fwrite(text->data ? text->data : "", 1, text->n, stdout) != text->n || fflush(stdout);
    if (bad)
        fprintf(stderr, "nightjar: standard output: %s\n", text->failed ? "out of memory" : strerror(errno));
    nj_buffer_free(text);
    return bad ? NJ_EXIT_LEDGER : NJ_EXIT_OK;
}
