/* topics.c - `nightjar topics`: the ready topics of the settings, each with its clause. */
#include <stdio.h>
#include <string.h>

#include "../base/debug.h"
#include "../base/json.h"
#include "../base/log.h"
#include "../flow/cli.h"
#include "command.h"

typedef struct options {
    nj_cli cli;
    bool json, names;
} options;

static const nj_option table[] = { { "json", 0, NJ_OPTION_FLAG, offsetof(options, json), .doc = "as JSON" },
                                   { "names", 0, NJ_OPTION_FLAG, offsetof(options, names),
                                     .doc = "names alone, one a line" },
                                   { 0 } };

static int topics(int argc, char **argv);

NJ_COMMAND(topics) = {
    .name = "topics",
    .usage = "topics [-c FILE] [-D topic.NAME.where=SQL] [--json | --names]",
    .summary = "the ready topics: what -t takes without a clause",
    .help = "A topic is a section [topic.NAME] with where = SQL; `nightjar run -t NAME='SQL'` needs none.\n",
    .main = topics,
    .options = { table, nj_cli_settings, nj_options_of_debug },
};

/* Is it the last one said of its topic, so that it is the one that counts? */
static bool counts(const nj_settings *s, size_t i)
{
    if (strncmp(s->item[i].section, "topic.", 6) || strcmp(s->item[i].key, "where")) return false;
    for (size_t k = i + 1; k < s->n; k++)
        if (!strcmp(s->item[i].section, s->item[k].section) && !strcmp(s->item[k].key, "where")) return false;
    return true;
}

static void show(const options *o, nj_buffer *out)
{
    const nj_settings *s = &o->cli.settings;
    nj_json json = { 0 };
    if (o->json && !o->names) json = nj_json_begin(out, '[');
    for (size_t i = 0; i < s->n; i++) {
        if (!counts(s, i)) continue;
        if (o->names) {
            nj_buffer_printf(out, "%s\n", s->item[i].section + 6);
        } else if (o->json) {
            nj_json_open(&json, NULL, '{');
            nj_json_put(&json, "name=%s where=%s said=%s", s->item[i].section + 6, s->item[i].value,
                        s->item[i].where);
            nj_json_close(&json);
        } else {
            nj_help_entry(out, s->item[i].section + 6, s->item[i].value, NJ_HELP_AT);
        }
    }
    if (o->json && !o->names) nj_json_end(&json);
}

static int topics(int argc, char **argv)
{
    options o = { 0 };
    nj_error err = { "" };
    nj_buffer out = { 0 };
    int rc = nj_cli_read(&o.cli, nj_command_topics.options, argc, argv, &err);
    if (rc == 0 && o.cli.options.n_sources) rc = nj_fail(&err, "it takes no word: '%s'", o.cli.source[0]);
    if (rc == 0) show(&o, &out);
    if (rc) nj_log(NJ_LOG_ERROR, "topics: %s", err.text);
    nj_cli_free(&o.cli);
    return rc ? NJ_EXIT_USAGE : nj_command_print(&out);
}
