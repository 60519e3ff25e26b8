/* command.h - what a command says about itself: one table of options, words and exit codes. Help, man pages,
 * completion and the JSON for tests are made from it. */
#ifndef NJ_MANUAL_COMMAND_H
#define NJ_MANUAL_COMMAND_H

#include <stdio.h>

#include "../base/buffer.h"
#include "../base/error.h"
#include "../base/option.h"

/* A word of the usage ("SOURCE"), or an exit code ("5"), and what it means. A table ends with {0}. */
typedef struct nj_meaning {
    const char *name, *doc;
} nj_meaning;

#define NJ_PROGRAM_SUMMARY "alert streams through C science modules, measured and accounted for"
#define NJ_EXIT_0_MEANS "done"
#define NJ_EXIT_1_MEANS "wrong usage or settings"

/* The doc of a name, or NULL. The table may be NULL. */
const char *nj_meaning_of(const nj_meaning *table, const char *name);

enum { NJ_COMMAND_TABLES = 6 };

typedef struct nj_command {
    const char *name;                   /* as typed; '-' where the file name has '_' */
    const char *usage;                  /* "run [options] SOURCE..." */
    const char *summary;                /* one line for the help */
    const char *help;                   /* paragraphs behind the options, one a line;
                                         * lines that begin with a blank stay as they are */
    int (*main)(int argc, char **argv); /* argv[0] is the command; returns the exit code */
    const nj_option *options[NJ_COMMAND_TABLES + 1];
    const nj_meaning *arguments;
    const nj_meaning *exits;               /* those beyond 0 and 1 that it ends with,
                                            * or what 0 and 1 mean here */
    const struct nj_command *const *verbs; /* `catalog build`, ...: commands of their own; ends with NULL */
} nj_command;

/* Reads argv by the command's tables. -1 with err. */
int nj_command_parse(const nj_command *c, void *conf, int argc, char **argv, nj_words *words, nj_error *err);
/* The command or the verb that the words name ("catalog", "build"); NULL with err and the nearest. */
const nj_command *nj_command_find(const nj_command *const *all, char *const *word, int n, nj_error *err);
/* Runs one of the command's verbs, or says which there are. */
int nj_command_verb(const nj_command *c, int argc, char **argv);

/* Prints and frees the text. Returns the exit code. */
int nj_command_print(nj_buffer *text);

/* parent: "catalog" for its verbs, else NULL. Lines of help have at most 80 columns. */
void nj_help_command(const nj_command *c, const char *parent, nj_buffer *out);
void nj_help_overview(const nj_command *const *all, nj_buffer *out);
/* Text in lines of at most 80 columns, the first one after `at` columns, the others indented. */
void nj_help_wrap(nj_buffer *out, const char *text, size_t at, size_t indent);
/* "  name", and its text beside it from column `indent` on, or below where the name is long. */
enum { NJ_HELP_AT = 26 };
void nj_help_entry(nj_buffer *out, const char *name, const char *text, size_t indent);
void nj_commands_json(const nj_command *const *all, nj_buffer *out);

/* roff for man(7): the overview of all, or the page of one. */
void nj_man_overview(const nj_command *const *all, nj_buffer *out);
void nj_man_command(const nj_command *c, nj_buffer *out);

void nj_complete_bash(const nj_command *const *all, nj_buffer *out);
void nj_complete_zsh(const nj_command *const *all, nj_buffer *out);

#endif
