/* list.c - all commands with their tables as JSON: what tests and other programs read. */
#include "../base/json.h"
#include "command.h"

static void put_meanings(nj_json *j, const char *key, const nj_meaning *m)
{
    nj_json_open(j, key, '{');
    for (; m && m->name; m++) nj_json_string(j, m->name, m->doc);
    nj_json_close(j);
}

static void put_option(nj_json *j, const nj_option *o)
{
    static const char *const type[] = { "flag", "text", "word", "int", "i64", "u64", "f64", "each" };
    const char letter[2] = { o->letter, 0 };
    const bool ranged = o->type == NJ_OPTION_INT || o->type == NJ_OPTION_I64 || o->type == NJ_OPTION_U64 ||
                        o->type == NJ_OPTION_F64;
    nj_json_open(j, NULL, '{');
    nj_json_put(j, "name=%s letter=%s type=%s value=%s default=%s", o->name, o->letter ? letter : NULL,
                type[o->type], o->value, o->def);
    if (o->words) nj_json_put(j, "words=%s", o->words);
    if (ranged) {
        nj_json_open(j, "range", '[');
        nj_json_item(j, "%g", o->lo);
        nj_json_item(j, "%g", o->hi);
        nj_json_close(j);
    }
    nj_json_put(j, "doc=%s", o->doc);
    nj_json_close(j);
}

static void put_commands(nj_json *j, const nj_command *const *all);

static void put_command(nj_json *j, const nj_command *c)
{
    nj_json_open(j, NULL, '{');
    nj_json_put(j, "name=%s usage=%s summary=%s help=%s", c->name, c->usage, c->summary, c->help);
    nj_json_open(j, "options", '[');
    NJ_EACH_OPTION (o, c->options) put_option(j, o);
    nj_json_close(j);
    put_meanings(j, "arguments", c->arguments);
    put_meanings(j, "exits", c->exits);
    if (c->verbs) {
        nj_json_open(j, "commands", '[');
        put_commands(j, c->verbs);
        nj_json_close(j);
    }
    nj_json_close(j);
}

static void put_commands(nj_json *j, const nj_command *const *all)
{
    for (const nj_command *const *c = all; *c; c++) put_command(j, *c);
}

void nj_commands_json(const nj_command *const *all, nj_buffer *out)
{
    nj_json j = nj_json_begin(out, '[');
    put_commands(&j, all);
    nj_json_end(&j);
}
