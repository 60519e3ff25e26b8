/* man.c - pages for man(1), in man(7)'s roff, from the tables. */
#include <ctype.h>
#include <string.h>

#include "../base/version.h"
#include "command.h"

/* Text for roff: a line that begins with a dot is no request, a dash stays a dash that can be copied. */
static void put(nj_buffer *out, const char *text, size_t n)
{
    if (n && (*text == '.' || *text == '\'')) nj_buffer_text(out, "\\&");
    for (size_t i = 0; i < n; i++) {
        const char *as = text[i] == '\\'  ? "\\e"
                         : text[i] == '-' ? "\\-"
                         : text[i] == '`' ? "\\(ga"
                         : text[i] == '^' ? "\\(ha"
                                          : NULL;
        if (text[i] == '~') as = "\\(ti";
        if (text[i] == '\'') as = "\\(aq";
        if (as)
            nj_buffer_text(out, as);
        else
            nj_buffer_add(out, text + i, 1);
    }
}

static void put_text(nj_buffer *out, const char *text)
{
    put(out, text, strlen(text));
}

static void put_line(nj_buffer *out, const char *text)
{
    put_text(out, text);
    nj_buffer_text(out, "\n");
}

static void section(nj_buffer *out, const char *name)
{
    nj_buffer_printf(out, ".SH %s\n", name);
}

static void heading(nj_buffer *out, const char *name)
{
    nj_buffer_text(out, ".TH ");
    for (const char *p = name; *p; p++) nj_buffer_printf(out, "%c", toupper((unsigned char)*p));
    nj_buffer_printf(out, " 1 \"%s\" \"nightjar %s\" \"nightjar\"\n", nj_date, nj_version);
    section(out, "NAME");
}

/* Paragraphs, one a line; a line that begins with a blank stays as it is. */
static void paragraphs(nj_buffer *out, const char *text)
{
    bool verbatim = false, first = true;
    for (; text && *text; text += *text == '\n') {
        size_t n = strcspn(text, "\n");
        bool now = n && *text == ' ';
        if (now != verbatim) nj_buffer_text(out, now ? ".nf\n" : ".fi\n");
        if (n && !now && !first) nj_buffer_text(out, ".PP\n");
        put(out, text, n);
        if (n) nj_buffer_text(out, "\n");
        verbatim = now;
        first = false;
        text += n;
    }
    if (verbatim) nj_buffer_text(out, ".fi\n");
}

static void tagged(nj_buffer *out, const char *name, const char *doc)
{
    nj_buffer_text(out, ".TP\n.B ");
    put_line(out, name);
    put_line(out, doc);
}

static void option(nj_buffer *out, const nj_option *o)
{
    nj_buffer_text(out, ".TP\n");
    if (o->letter) nj_buffer_printf(out, "\\fB\\-%c\\fR, ", o->letter);
    nj_buffer_text(out, "\\fB\\-\\-");
    put_text(out, o->name);
    nj_buffer_text(out, "\\fR");
    if (o->value) {
        nj_buffer_text(out, " \\fI");
        put_text(out, o->value);
        nj_buffer_text(out, "\\fR");
    }
    nj_buffer_text(out, "\n");
    put_text(out, o->doc);
    if (o->def) {
        nj_buffer_text(out, " (default: ");
        put_text(out, o->def);
        nj_buffer_text(out, ")");
    }
    nj_buffer_text(out, "\n");
}

/* SYNOPSIS to exit codes of one command; of a verb as a section of its command's page. */
static void body(nj_buffer *out, const nj_command *c, const char *parent)
{
    const nj_meaning *m;
    section(out, parent ? c->name : "SYNOPSIS");
    nj_buffer_printf(out, ".B nightjar %s%s", parent ? parent : "", parent ? " " : "");
    put_line(out, c->usage);
    if (parent) nj_buffer_text(out, ".PP\n");
    if (parent) put_line(out, c->summary);
    if (c->help) {
        if (!parent) section(out, "DESCRIPTION");
        paragraphs(out, c->help);
    }
    if (c->arguments && !parent) section(out, "ARGUMENTS");
    for (m = c->arguments; m && m->name; m++) tagged(out, m->name, m->doc);
    if (c->options[0] && !parent) section(out, "OPTIONS");
    NJ_EACH_OPTION (o, c->options) option(out, o);
    if (c->verbs) return;
    if (!parent) section(out, "EXIT STATUS");
    if (parent) nj_buffer_text(out, ".PP\nExit status:\n");
    const char *good = nj_meaning_of(c->exits, "0"), *wrong = nj_meaning_of(c->exits, "1");
    tagged(out, "0", good ? good : NJ_EXIT_0_MEANS);
    tagged(out, "1", wrong ? wrong : NJ_EXIT_1_MEANS);
    for (m = c->exits; m && m->name; m++)
        if (strcmp(m->name, "0") && strcmp(m->name, "1")) tagged(out, m->name, m->doc);
}

void nj_man_command(const nj_command *c, nj_buffer *out)
{
    nj_buffer name = { 0 };
    nj_buffer_printf(&name, "nightjar-%s", c->name);
    heading(out, name.data ? name.data : "");
    put_text(out, name.data ? name.data : "");
    nj_buffer_text(out, " \\- ");
    put_line(out, c->summary);
    body(out, c, NULL);
    for (const nj_command *const *v = c->verbs; v && *v; v++) body(out, *v, c->name);
    section(out, "SEE ALSO");
    nj_buffer_text(out, ".BR nightjar (1)\n");
    out->failed |= name.failed;
    nj_buffer_free(&name);
}

void nj_man_overview(const nj_command *const *all, nj_buffer *out)
{
    heading(out, "nightjar");
    nj_buffer_text(out, "nightjar \\- ");
    put_line(out, NJ_PROGRAM_SUMMARY);
    section(out, "SYNOPSIS");
    nj_buffer_text(out, ".B nightjar\n.I COMMAND\n[\\fIoptions\\fR]\n");
    section(out, "COMMANDS");
    for (const nj_command *const *c = all; *c; c++) {
        nj_buffer_text(out, ".TP\n.BR nightjar\\-");
        put_text(out, (*c)->name);
        nj_buffer_text(out, " (1)\n");
        put_line(out, (*c)->summary);
    }
}
