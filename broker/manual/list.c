/* list.c - all commands with their tables as JSON: what tests and other programs read. */
#include "command.h"

static void put_text(nj_buffer *out, const char *key, const char *value)
{
    nj_buffer_printf(out, ", \"%s\": ", key);
    nj_json_text(out, value);
}

static void put_meanings(nj_buffer *out, const char *key, const nj_meaning *m)
{
    const char *between = "";
    nj_buffer_printf(out, ", \"%s\": {", key);
    for (; m && m->name; m++, between = ", ") {
        nj_buffer_text(out, between);
        nj_json_text(out, m->name);
        nj_buffer_text(out, ": ");
        nj_json_text(out, m->doc);
    }
    nj_buffer_text(out, "}");
}

static void put_option(nj_buffer *out, const nj_option *o)
{
    static const char *const type[] = { "flag", "text", "word", "int", "i64", "u64", "f64", "each" };
    char letter[2] = { o->letter, 0 };
    bool ranged = o->type == NJ_OPTION_INT || o->type == NJ_OPTION_I64 || o->type == NJ_OPTION_U64 ||
                  o->type == NJ_OPTION_F64;
    nj_buffer_text(out, "{\"name\": ");
    nj_json_text(out, o->name);
    put_text(out, "letter", o->letter ? letter : NULL);
    put_text(out, "type", type[o->type]);
    put_text(out, "value", o->value);
    put_text(out, "default", o->def);
    if (o->words) put_text(out, "words", o->words);
    if (ranged) {
        nj_buffer_text(out, ", \"range\": [");
        nj_json_f64(out, o->lo);
        nj_buffer_text(out, ", ");
        nj_json_f64(out, o->hi);
        nj_buffer_text(out, "]");
    }
    put_text(out, "doc", o->doc);
    nj_buffer_text(out, "}");
}

static void put_command(nj_buffer *out, const nj_command *c)
{
    const char *between = "";
    nj_buffer_text(out, "{\"name\": ");
    nj_json_text(out, c->name);
    put_text(out, "usage", c->usage);
    put_text(out, "summary", c->summary);
    put_text(out, "help", c->help);
    nj_buffer_text(out, ", \"options\": [");
    NJ_EACH_OPTION (o, c->options) {
        nj_buffer_text(out, between);
        put_option(out, o);
        between = ", ";
    }
    nj_buffer_text(out, "]");
    put_meanings(out, "arguments", c->arguments);
    put_meanings(out, "exits", c->exits);
    if (c->verbs) {
        nj_buffer_text(out, ", \"commands\": ");
        nj_commands_json(c->verbs, out);
    }
    nj_buffer_text(out, "}");
}

void nj_commands_json(const nj_command *const *all, nj_buffer *out)
{
    nj_buffer_text(out, "[");
    for (const nj_command *const *c = all; *c; c++) {
        if (c != all) nj_buffer_text(out, ",\n ");
        put_command(out, *c);
    }
    nj_buffer_text(out, "]");
}
