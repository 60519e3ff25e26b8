/* sinks.c - `nightjar sinks`: every output, from the table that opens them. */
#include <stdio.h>

#include "../base/json.h"
#include "../sink/sink.h"
#include "command.h"

typedef struct options {
    bool json, names;
} options;

static const nj_option table[] = { { "json", 0, NJ_OPTION_FLAG, offsetof(options, json), .doc = "as JSON" },
                                   { "names", 0, NJ_OPTION_FLAG, offsetof(options, names),
                                     .doc = "what stands before the path, one a line" },
                                   { 0 } };

static int sinks(int argc, char **argv);

NJ_COMMAND(sinks) = {
    .name = "sinks",
    .usage = "sinks [--json | --names]",
    .summary = "where rows can go: what -o takes",
    .help = "A file that exists is refused unless --overwrite or --append is given. [sink.NAME] of `nightjar "
            "settings` sets them up; broker/sink/READING.md shows how to read the files.\n\n"
            "A PATH with places makes several files: {night} (noon to noon of [run] site), {date} and {hour} "
            "(UTC), {survey}, {topic} (-t), {schema} (of the packet), {n} (a number). Behind it: "
            "?rotate=1GB,1h (a file has so many bytes, or is so old; wants {n}) and &late=10m (how long a "
            "night's file waits for late alerts). Folders may have places, too (all but {n}): "
            "DIR/?by=survey,night is DIR/survey={survey}/night={night}/part-{n}.parquet, for pyarrow, Spark "
            "and the like. A file is called PATH.part until it is finished; then it does not change any more."
            "\n",
    .main = sinks,
    .options = { table },
};

static int sinks(int argc, char **argv)
{
    options o = { 0 };
    nj_words words;
    nj_error err = { "" };
    nj_buffer out = { 0 };
    nj_json json = { 0 };
    int bad = nj_command_parse(&nj_command_sinks, &o, argc, argv, &words, &err);
    if (!bad && words.n) bad = nj_fail(&err, "'%s': no argument is expected", words.item[0]);
    if (bad) return fprintf(stderr, "nightjar sinks: %s\n", err.text), NJ_EXIT_USAGE;
    if (o.json && !o.names) json = nj_json_begin(&out, '[');
    for (const nj_sink_class *const *c = nj_sink_classes; *c; c++) {
        if (o.names) {
            nj_buffer_printf(&out, "%s:\n", (*c)->scheme);
        } else if (o.json) {
            nj_json_open(&json, NULL, '{');
            nj_json_put(&json, "name=%s form=%s file=%hhd doc=%s", (*c)->scheme, (*c)->form, (*c)->is_file,
                        (*c)->doc);
            nj_json_close(&json);
        } else {
            nj_help_entry(&out, (*c)->form, (*c)->doc, NJ_HELP_AT);
        }
    }
    if (o.json && !o.names) nj_json_end(&json);
    return nj_command_print(&out);
}
