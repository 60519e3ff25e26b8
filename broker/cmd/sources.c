/* sources.c - `nightjar sources`: every kind of SOURCE, from the table that opens them. */
#include <stdio.h>
#include <string.h>

#include "../base/json.h"
#include "../source/source.h"
#include "command.h"

typedef struct options {
    bool json;
} options;

static const nj_option table[] = { { "json", 0, NJ_OPTION_FLAG, offsetof(options, json), .doc = "as JSON" },
                                   { 0 } };

static int sources(int argc, char **argv);

NJ_COMMAND(sources) = {
    .name = "sources",
    .usage = "sources [--json]",
    .summary = "what a SOURCE may be, and what may stand behind its '?'",
    .help = "The first kind that recognises the name, or the file behind it, reads it. Packed files (gzip, "
            "zstd, bzip2, xz) are unpacked wherever they lie. `[source]` and `[kafka]` of `nightjar "
            "settings` set them up.\n",
    .main = sources,
    .options = { table },
};

/* "key=VALUE meaning", one a line: calls `put` with each. */
static void each_key(const char *query, void *to, void (*put)(void *, const char *, const char *))
{
    for (const char *line = query; line && *line; line += strcspn(line, "\n") + 1) {
        nj_buffer key = { 0 }, doc = { 0 };
        size_t n = strcspn(line, " ");
        if (line[n - 1] == ',') n += strcspn(line + n + 1, " ") + 1;
        while (line[n - 1] == ',') n += strcspn(line + n + 1, " ") + 1;
        nj_buffer_add(&key, line, n);
        nj_buffer_add(&doc, line + n + 1, strcspn(line + n + 1, "\n"));
        if (key.data && doc.data) put(to, key.data, doc.data);
        nj_buffer_free(&key);
        nj_buffer_free(&doc);
    }
}

static void show_key(void *out, const char *key, const char *doc)
{
    nj_buffer name = { 0 };
    nj_buffer_printf(&name, "  ?%s", key);
    nj_help_entry(out, name.data ? name.data : "", doc, NJ_HELP_AT);
    nj_buffer_free(&name);
}

static void json_key(void *json, const char *key, const char *doc)
{
    nj_json_open(json, NULL, '{');
    nj_json_put(json, "key=%s doc=%s", key, doc);
    nj_json_close(json);
}

static int sources(int argc, char **argv)
{
    options o = { 0 };
    nj_words words;
    nj_error err = { "" };
    nj_buffer out = { 0 };
    nj_json json = { 0 };
    int bad = nj_command_parse(&nj_command_sources, &o, argc, argv, &words, &err);
    if (!bad && words.n) bad = nj_fail(&err, "'%s': no argument is expected", words.item[0]);
    if (bad) return fprintf(stderr, "nightjar sources: %s\n", err.text), NJ_EXIT_USAGE;
    if (o.json) json = nj_json_begin(&out, '[');
    for (const nj_source_class *const *c = nj_source_classes; *c; c++) {
        if (o.json) {
            nj_json_open(&json, NULL, '{');
            nj_json_put(&json, "name=%s form=%s doc=%s", (*c)->name, (*c)->form, (*c)->doc);
            nj_json_open(&json, "query", '[');
            each_key((*c)->query, &json, json_key);
            nj_json_close(&json);
            nj_json_close(&json);
        } else {
            nj_help_entry(&out, (*c)->form, (*c)->doc, NJ_HELP_AT);
            each_key((*c)->query, &out, show_key);
        }
    }
    if (o.json) nj_json_end(&json);
    return nj_command_print(&out);
}
