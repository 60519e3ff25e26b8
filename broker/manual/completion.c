/* completion.c - what bash and zsh complete, from the tables:
 * commands, options, the words that a value may be, files. */
#include <string.h>

#include "command.h"

/* What the value of an option is, for a shell. */
typedef enum kind { FREE, FILES, FOLDERS, WORDS, SHOWN } kind;

/* Values that nightjar itself can list: options by their names and by how the help calls their values. */
static const struct {
    const char *option, *value, *command;
} shown[] = { { "columns", "LIST", "columns --names" },
              { "modules", "LIST", "modules --names" },
              { "define", "SECTION.KEY=VALUE", "settings --names" },
              { "topic", "NAME['=SQL']", "topics --names" },
              { "output", "SINK", "sinks --names" } };

static const char *command_of(const nj_option *o)
{
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        if (!strcmp(o->name, shown[i].option) && !strcmp(o->value, shown[i].value)) return shown[i].command;
    return NULL;
}

static kind kind_of(const nj_option *o)
{
    static const char *const files[] = { "FILE",     "PATH",      "CSV", "CAT.njx",
                                         "RUN.json", "PAGE.html", "OUT", "PREFIX" };
    if (!o->value) return FREE;
    if (o->words) return WORDS;
    if (command_of(o)) return SHOWN;
    if (!strcmp(o->value, "DIR")) return FOLDERS;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (!strcmp(o->value, files[i])) return FILES;
    return FREE;
}

static void words_of(nj_buffer *out, const char *words)
{
    for (const char *p = words; *p; p++) nj_buffer_printf(out, "%c", *p == '|' ? ' ' : *p);
}

static void names_of(nj_buffer *out, const nj_command *const *all)
{
    for (const nj_command *const *c = all; *c; c++)
        nj_buffer_printf(out, "%s%s", c == all ? "" : " ", (*c)->name);
}

/* What the first word behind a command may be: its own commands, all commands (of `help`), a shell. */
static bool first_words(nj_buffer *out, const nj_command *const *all, const nj_command *c)
{
    bool names_commands = c->arguments && !strcmp(c->arguments->name, "COMMAND");
    if (c->verbs || names_commands) names_of(out, c->verbs ? c->verbs : all);
    if (!strcmp(c->name, "completion")) nj_buffer_text(out, "bash zsh");
    return c->verbs || names_commands || !strcmp(c->name, "completion");
}

/* ---- bash ------------------------------------------------------------------------------------ */

static void bash_options(nj_buffer *out, const nj_command *c)
{
    NJ_EACH_OPTION (o, c->options) {
        nj_buffer_printf(out, "--%s ", o->name);
        if (o->letter) nj_buffer_printf(out, "-%c ", o->letter);
    }
    nj_buffer_text(out, "--help");
}

static void bash_values(nj_buffer *out, const nj_command *const *all, const nj_command *c, const char *name)
{
    (void)all;
    NJ_EACH_OPTION (o, c->options) {
        if (!o->value) continue;
        nj_buffer_printf(out, "    '%s:--%s'", name, o->name);
        if (o->letter) nj_buffer_printf(out, " | '%s:-%c'", name, o->letter);
        nj_buffer_text(out, ") ");
        switch (kind_of(o)) {
        case FILES: nj_buffer_text(out, "files=-f"); break;
        case FOLDERS: nj_buffer_text(out, "files=-d"); break;
        case WORDS:
            nj_buffer_text(out, "words='");
            words_of(out, o->words);
            nj_buffer_text(out, "'");
            break;
        case SHOWN: nj_buffer_printf(out, "words=$(\"$1\" %s 2>/dev/null)", command_of(o)); break;
        case FREE: nj_buffer_text(out, "return"); break;
        }
        nj_buffer_text(out, " ;;\n");
    }
}

static void bash_case(nj_buffer *out, const nj_command *const *all, const nj_command *c, const char *name)
{
    nj_buffer first = { 0 };
    nj_buffer_printf(out, "    '%s') options='", name);
    bash_options(out, c);
    nj_buffer_text(out, "'");
    if (first_words(&first, all, c))
        nj_buffer_printf(out, "; [ \"$COMP_CWORD\" -eq 2 ] && words='%s'", first.data);
    nj_buffer_text(out, " ;;\n");
    nj_buffer_free(&first);
}

/* Calls `put` for each command and each of its verbs, by the name "catalog build". */
static void each(nj_buffer *out, const nj_command *const *all,
                 void (*put)(nj_buffer *, const nj_command *const *, const nj_command *, const char *))
{
    for (const nj_command *const *c = all; *c; c++) {
        put(out, all, *c, (*c)->name);
        for (const nj_command *const *v = (*c)->verbs; v && *v; v++) {
            nj_buffer name = { 0 };
            nj_buffer_printf(&name, "%s %s", (*c)->name, (*v)->name);
            if (name.data) put(out, all, *v, name.data);
            nj_buffer_free(&name);
        }
    }
}

void nj_complete_bash(const nj_command *const *all, nj_buffer *out)
{
    nj_buffer_text(
        out, "# bash completion of nightjar, made by `nightjar completion bash`: source it in ~/.bashrc\n"
             "_nightjar() {\n"
             "  local current=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
             "  local command=\"${COMP_WORDS[1]}\" options= words= files=-f\n"
             "  COMPREPLY=()\n"
             "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
             "    COMPREPLY=($(compgen -W '");
    names_of(out, all);
    nj_buffer_text(out, " --help --version' -- \"$current\"))\n"
                        "    return\n"
                        "  fi\n"
                        "  case \"$command ${COMP_WORDS[2]}\" in\n   ");
    for (const nj_command *const *c = all; *c; c++)
        for (const nj_command *const *v = (*c)->verbs; v && *v; v++)
            nj_buffer_printf(out, " '%s %s' |", (*c)->name, (*v)->name);
    nj_buffer_text(out, " '-') [ \"$COMP_CWORD\" -gt 2 ] && command=\"$command ${COMP_WORDS[2]}\" ;;\n"
                        "  esac\n"
                        "  case \"$command\" in\n");
    each(out, all, bash_case);
    nj_buffer_text(out, "  esac\n"
                        "  case \"$command:$before\" in\n");
    each(out, all, bash_values);
    nj_buffer_text(out,
                   "    *) case \"$current\" in -*) words=$options files= ;; esac ;;\n"
                   "  esac\n"
                   "  [ -n \"$words\" ] && files=\n"
                   "  COMPREPLY=($(compgen ${files:+\"$files\"} ${words:+-W \"$words\"} -- \"$current\"))\n"
                   "  [ -n \"$files\" ] && compopt -o filenames 2>/dev/null\n"
                   "  return 0\n"
                   "}\n"
                   "complete -F _nightjar nightjar\n");
}

/* ---- zsh ------------------------------------------------------------------------------------- */

/* A sentence within '...[...]': brackets, colons and quotes would end it. */
static void zsh_text(nj_buffer *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            nj_buffer_text(out, "'\\''");
        else if (strchr("[]:\\", *text))
            nj_buffer_printf(out, "\\%c", *text);
        else
            nj_buffer_printf(out, "%c", *text);
    }
}

static void zsh_value(nj_buffer *out, const nj_option *o)
{
    nj_buffer_text(out, ":");
    for (const char *p = o->value; *p; p++)
        if (!strchr("'\"[]:\\", *p)) nj_buffer_printf(out, "%c", *p);
    nj_buffer_text(out, ":");
    switch (kind_of(o)) {
    case FILES: nj_buffer_text(out, "_files"); break;
    case FOLDERS: nj_buffer_text(out, "_files -/"); break;
    case WORDS:
        nj_buffer_text(out, "(");
        words_of(out, o->words);
        nj_buffer_text(out, ")");
        break;
    case SHOWN: nj_buffer_printf(out, "{_nightjar_listed %s}", command_of(o)); break;
    case FREE: nj_buffer_text(out, " "); break;
    }
}

static void zsh_options(nj_buffer *out, const nj_command *c)
{
    NJ_EACH_OPTION (o, c->options) {
        for (int letter = 0; letter < (o->letter ? 2 : 1); letter++) {
            nj_buffer_text(out, " \\\n        '*");
            if (letter)
                nj_buffer_printf(out, "-%c", o->letter);
            else
                nj_buffer_printf(out, "--%s", o->name);
            nj_buffer_text(out, "[");
            zsh_text(out, o->doc);
            nj_buffer_text(out, "]");
            if (o->value) zsh_value(out, o);
            nj_buffer_text(out, "'");
        }
    }
    nj_buffer_text(out, " \\\n        '--help[what it does and its options]'");
}

static void zsh_case(nj_buffer *out, const nj_command *const *all, const nj_command *c, const char *name)
{
    nj_buffer first = { 0 };
    nj_buffer_printf(out, "    '%s')\n      _arguments -s", name);
    zsh_options(out, c);
    if (first_words(&first, all, c)) nj_buffer_printf(out, " \\\n        '1:word:(%s)'", first.data);
    nj_buffer_text(out, " \\\n        '*:file:_files' ;;\n");
    nj_buffer_free(&first);
}

void nj_complete_zsh(const nj_command *const *all, nj_buffer *out)
{
    nj_buffer_text(
        out, "#compdef nightjar\n"
             "# zsh completion of nightjar, made by `nightjar completion zsh`: a file _nightjar of $fpath\n"
             "_nightjar_listed() {\n"
             "  local -a listed\n"
             "  listed=(${(f)\"$(nightjar \"$@\" 2>/dev/null)\"})\n"
             "  compadd -a listed\n"
             "}\n"
             "_nightjar() {\n"
             "  local command=$words[2]\n"
             "  if (( CURRENT == 2 )); then\n"
             "    local -a described=(\n");
    for (const nj_command *const *c = all; *c; c++) {
        nj_buffer_printf(out, "      '%s:", (*c)->name);
        zsh_text(out, (*c)->summary);
        nj_buffer_text(out, "'\n");
    }
    nj_buffer_text(out, "    )\n"
                        "    _describe command described\n"
                        "    return\n"
                        "  fi\n"
                        "  shift words\n"
                        "  (( CURRENT-- ))\n"
                        "  case \"$command $words[2]\" in\n   ");
    for (const nj_command *const *c = all; *c; c++)
        for (const nj_command *const *v = (*c)->verbs; v && *v; v++)
            nj_buffer_printf(out, " '%s %s' |", (*c)->name, (*v)->name);
    nj_buffer_text(out, " '-')\n"
                        "      if (( CURRENT > 2 )); then command=\"$command $words[2]\"; shift words; (( "
                        "CURRENT-- )); fi ;;\n"
                        "  esac\n"
                        "  case $command in\n");
    each(out, all, zsh_case);
    nj_buffer_text(
        out,
        "  esac\n"
        "}\n"
        "if [ \"$funcstack[1]\" = _nightjar ]; then _nightjar \"$@\"; else compdef _nightjar nightjar; fi\n");
}
