/* new_module.c - `nightjar new-module NAME`: a module to fill in, that already compiles, runs and keeps all
 * rules. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/buffer.h"
#include "../base/embed.h"
#include "../graph/modules.h"
#include "command.h"

enum { LONGEST = 59 };

static int is_valid(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return n && !name[n] && n <= LONGEST && name[0] >= 'a' && name[0] <= 'z';
}

/* Of Python, in small letters: no function has such a name. */
static int is_keyword(const char *name)
{
    static const char *const word[] = { "and",    "as",       "assert", "async",  "await",    "break",
                                        "class",  "continue", "def",    "del",    "elif",     "else",
                                        "except", "finally",  "for",    "from",   "global",   "if",
                                        "import", "in",       "is",     "lambda", "nonlocal", "not",
                                        "or",     "pass",     "raise",  "return", "try",      "while",
                                        "with",   "yield" };
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (!strcmp(name, word[i])) return 1;
    return 0;
}

static int is_taken(const char *name)
{
    for (const nj_module *const *m = nj_builtin_modules; *m; m++)
        if (!strcmp((*m)->name, name)) return 1;
    return 0;
}

/* The template with its own name, fill_in, replaced. */
static void fill_in(nj_buffer *out, const char *text, const char *name)
{
    static const char own[] = "fill_in";
    for (const char *at; (at = strstr(text, own)) != NULL; text = at + sizeof own - 1) {
        nj_buffer_add(out, text, (size_t)(at - text));
        nj_buffer_text(out, name);
    }
    nj_buffer_text(out, text);
}

static int write_new(const char *path, const nj_buffer *text)
{
    FILE *f = fopen(path, "wx");
    if (!f) return -1;
    int bad = fwrite(text->data, 1, text->n, f) != text->n;
    return fclose(f) || bad ? -1 : 0;
}

typedef struct options {
    bool cxx, python;
} options;

static const nj_option table[] = { { "cxx", 0, NJ_OPTION_FLAG, offsetof(options, cxx),
                                     .doc = "in C++ (20): a shared object, NAME.cc in this folder" },
                                   { "python", 0, NJ_OPTION_FLAG, offsetof(options, python),
                                     .doc =
                                         "in Python: a function over NumPy arrays, NAME.py in this folder" },
                                   { 0 } };

static int new_module(int argc, char **argv);

NJ_COMMAND(new_module) = {
    .name = "new-module",
    .usage = "new-module NAME [--cxx | --python]",
    .summary = "a module to fill in, that compiles, runs and keeps all rules",
    .help =
        "Writes modules/NAME.c in the project's own folder, NAME.c anywhere else, and NAME.cc or NAME.py; an "
        "existing "
        "file is never touched. What it prints are the next commands. With an installation below a prefix of "
        "your own, pkg-config needs PKG_CONFIG_PATH=PREFIX/lib/pkgconfig.\n",
    .main = new_module,
    .options = { table },
    .arguments = (const nj_meaning[]){ { "NAME",
                                         "a small letter, then small letters, digits and '_', 59 at most" },
                                       { 0 } },
    .exits = (const nj_meaning[]){ { "1",
                                     "the name is not one, or taken; the file exists or cannot be written" },
                                   { 0 } },
};

static int new_module(int argc, char **argv)
{
    options o = { .cxx = false };
    nj_words words;
    nj_error err = { "" };
    if (nj_command_parse(&nj_command_new_module, &o, argc, argv, &words, &err))
        return fprintf(stderr, "nightjar new-module: %s\n", err.text), NJ_EXIT_USAGE;
    const char *name = words.n == 1 ? words.item[0] : "";
    const char *ending = o.python ? "py" : o.cxx ? "cc" : "c";
    char path[128];
    snprintf(path, sizeof path, "data/embed/module_template.%s", ending);
    const nj_embedded *template = nj_embedded_find(path);
    struct stat st;
    nj_buffer text = { 0 };
    if (!is_valid(name)) {
        fprintf(stderr,
                "nightjar new-module: expected one NAME: a small letter, then small letters, digits and '_', "
                "%d at most\n",
                LONGEST);
        return NJ_EXIT_USAGE;
    }
    if ((o.cxx && o.python) || (o.python && is_keyword(name))) {
        fprintf(stderr, "nightjar new-module: %s%s\n", o.cxx ? "--cxx or --python, not both" : name,
                o.cxx ? "" : " is a word of Python's own, and no name of a function");
        return NJ_EXIT_USAGE;
    }
    if (is_taken(name)) {
        fprintf(stderr, "nightjar new-module: there is a module %s already (nightjar modules %s)\n", name,
                name);
        return NJ_EXIT_USAGE;
    }
    /* the project's own folder, which builds what is in modules/ */
    int in_tree = !o.cxx && !o.python && stat("modules", &st) == 0 && S_ISDIR(st.st_mode) &&
                  access("Makefile", F_OK) == 0 && access("include/nightjar/module.h", F_OK) == 0;
    snprintf(path, sizeof path, "%s%s.%s", in_tree ? "modules/" : "", name, ending);
    if (template) fill_in(&text, template->data, name);
    int bad = !template || text.failed || write_new(path, &text);
    if (bad) fprintf(stderr, "nightjar new-module: %s: %s\n", path, strerror(errno));
    nj_buffer_free(&text);
    if (bad) return NJ_EXIT_USAGE;
    printf("%s is written. Fill it in; then\n", path);
    if (in_tree)
        printf("  make                                    # built in\n"
               "  ./nightjar modules %s\n"
               "  ./nightjar check %s data/sample.tar.gz\n"
               "  ./nightjar run -m %s -o ndjson:- data/sample.tar.gz\n"
               "  ./nightjar profile %s data/sample.tar.gz --lines\n"
               "  ./nightjar bench %s\n",
               name, path, name, path, path);
    else if (o.python)
        printf("  nightjar check %s ALERTS     # does it keep the rules of a module?\n"
               "  nightjar modules --module-path %s %s\n"
               "  nightjar run --module-path %s -m %s -o ndjson:- ALERTS\n"
               "  nightjar profile %s ALERTS --lines\n"
               "ALERTS: `nightjar simulate -n 500 -o night.tar` makes some. The interpreter (python3, or\n"
               "$NIGHTJAR_PYTHON) wants NumPy and the package nightjar: pip install ./modules/python.\n",
               path, path, name, path, name, path);
    else
        printf("  nightjar check %s ALERTS     # does it keep the rules of a module?\n"
               "  %s -O2 -g -fPIC -shared -DNJ_SHARED $(pkg-config --cflags nightjar) \\\n"
               "      %s -o %s.so $(pkg-config --libs nightjar)\n"
               "  nightjar modules --module-path %s.so %s\n"
               "  nightjar run --module-path %s.so -m %s -o ndjson:- ALERTS\n"
               "  nightjar profile %s ALERTS --lines\n"
               "  nightjar bench %s ALERTS\n"
               "ALERTS: `nightjar simulate -n 500 -o night.tar` makes some. pkg-config knows nightjar after\n"
               "`make install`; `nightjar new-module --help` says more.\n",
               path, o.cxx ? "c++ -std=c++20" : "cc -std=c11", path, name, name, name, name, name, path,
               path);
    return NJ_EXIT_OK;
}
