/* help.c - what `nightjar help` and --help print, from the tables, in 80 columns. */
#include <string.h>

#include "../base/version.h"
#include "command.h"

enum { WIDTH = 80, SUMMARY_AT = 25, EXIT_AT = 7 };

static void blanks(nj_buffer *out, size_t n)
{
    nj_buffer_printf(out, "%*s", (int)n, "");
}

void nj_help_wrap(nj_buffer *out, const char *text, size_t at, size_t indent)
{
    for (bool first = true; *text; first = false) {
        size_t n = strcspn(text, " ");
        if (!first && at + 1 + n > WIDTH) {
            nj_buffer_text(out, "\n");
            blanks(out, at = indent);
        } else if (!first) {
            nj_buffer_text(out, " ");
            at++;
        }
        nj_buffer_add(out, text, n);
        at += n;
        text += n;
        text += strspn(text, " ");
    }
    nj_buffer_text(out, "\n");
}

/* Paragraphs, one a line; a line that begins with a blank stays as it is. */
static void paragraphs(nj_buffer *out, const char *text)
{
    for (; text && *text; text += *text == '\n') {
        size_t n = strcspn(text, "\n");
        nj_buffer line = { 0 };
        nj_buffer_add(&line, text, n);
        if (line.n && *text == ' ')
            nj_buffer_printf(out, "%s\n", line.data);
        else if (line.n)
            nj_help_wrap(out, line.data, 0, 0);
        else
            nj_buffer_text(out, "\n");
        out->failed |= line.failed;
        nj_buffer_free(&line);
        text += n;
    }
}

/* "  name", and its text beside it, or below where the name is long. */
void nj_help_entry(nj_buffer *out, const char *name, const char *text, size_t indent)
{
    size_t n = 2 + strlen(name);
    nj_buffer_text(out, "  ");
    if (n > WIDTH) {
        nj_help_wrap(out, name, 2, 6);
        n = 0;
    } else if (n + 1 > indent) {
        nj_buffer_printf(out, "%s\n", name);
        n = 0;
    } else {
        nj_buffer_text(out, name);
    }
    blanks(out, indent - n);
    nj_help_wrap(out, text, indent, indent);
}

static void option_entry(nj_buffer *out, const nj_option *o)
{
    char name[128];
    nj_buffer text = { 0 };
    int n = o->letter ? snprintf(name, sizeof name, "-%c, --%s", o->letter, o->name)
                      : snprintf(name, sizeof name, "    --%s", o->name);
    if (o->value) snprintf(name + n, sizeof name - (size_t)n, " %s", o->value);
    nj_buffer_text(&text, o->doc);
    if (o->def) nj_buffer_printf(&text, " (default: %s)", o->def);
    nj_help_entry(out, name, text.data ? text.data : "", NJ_HELP_AT);
    out->failed |= text.failed;
    nj_buffer_free(&text);
}

static void meanings(nj_buffer *out, const char *title, const nj_meaning *m)
{
    if (m) nj_buffer_printf(out, "\n%s\n", title);
    for (; m && m->name; m++) nj_help_entry(out, m->name, m->doc, NJ_HELP_AT);
}

/* 0 and 1 mean the same of all commands that do not say otherwise. */
static void exits(nj_buffer *out, const nj_command *c)
{
    const char *good = nj_meaning_of(c->exits, "0"), *wrong = nj_meaning_of(c->exits, "1");
    nj_buffer_text(out, "\nExit codes\n");
    nj_help_entry(out, "0", good ? good : NJ_EXIT_0_MEANS, EXIT_AT);
    nj_help_entry(out, "1", wrong ? wrong : NJ_EXIT_1_MEANS, EXIT_AT);
    for (const nj_meaning *m = c->exits; m && m->name; m++)
        if (strcmp(m->name, "0") && strcmp(m->name, "1")) nj_help_entry(out, m->name, m->doc, EXIT_AT);
}

static void verbs(nj_buffer *out, const nj_command *c)
{
    if (!c->verbs) return;
    nj_buffer_text(out, "\nCommands\n");
    for (const nj_command *const *v = c->verbs; *v; v++)
        nj_help_entry(out, (*v)->name, (*v)->summary, NJ_HELP_AT);
    for (const nj_command *const *v = c->verbs; *v; v++) {
        nj_buffer_text(out, "\n");
        nj_help_command(*v, c->name, out);
    }
}

void nj_help_command(const nj_command *c, const char *parent, nj_buffer *out)
{
    nj_buffer usage = { 0 };
    nj_buffer_printf(&usage, "nightjar %s%s%s", parent ? parent : "", parent ? " " : "", c->usage);
    nj_help_wrap(out, usage.data ? usage.data : "", 0, 4);
    nj_buffer_free(&usage);
    nj_buffer_text(out, "  ");
    nj_help_wrap(out, c->summary, 2, 2);
    meanings(out, "Arguments", c->arguments);
    if (c->options[0]) nj_buffer_text(out, "\nOptions\n");
    NJ_EACH_OPTION (o, c->options) option_entry(out, o);
    if (c->help) nj_buffer_text(out, "\n");
    paragraphs(out, c->help);
    if (!c->verbs) exits(out, c);
    verbs(out, c);
}

void nj_help_overview(const nj_command *const *all, nj_buffer *out)
{
    nj_buffer_printf(out, "nightjar %s (%s)\n", nj_version, nj_revision);
    nj_buffer_text(out, NJ_PROGRAM_SUMMARY "\n\n");
    for (const nj_command *const *c = all; *c; c++) {
        nj_buffer name = { 0 };
        nj_buffer_printf(&name, "nightjar %s", (*c)->name);
        nj_help_entry(out, name.data ? name.data : "", (*c)->summary, SUMMARY_AT);
        nj_buffer_free(&name);
    }
    nj_buffer_text(out, "\n`nightjar help COMMAND` lists the options of a command, `nightjar help "
                        "terms`\nexplains the words of the reports.\n");
}
