/* settings.c - `nightjar settings [SECTION]`: every key with its default, range and unit,
 * from the tables that read them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../base/json.h"
#include "../base/log.h"
#include "../batch/batch.h"
#include "../engine/engine.h"
#include "../flow/cli.h"
#include "../flow/reload.h"
#include "../flow/sections.h"
#include "command.h"

typedef struct options {
    nj_cli cli;
    bool json, names;
} options;

static const nj_option table[] = { { "json", 0, NJ_OPTION_FLAG, offsetof(options, json), .doc = "as JSON" },
                                   { "names", 0, NJ_OPTION_FLAG, offsetof(options, names),
                                     .doc = "SECTION.KEY= of each key, one a line" },
                                   { 0 } };

static int settings(int argc, char **argv);

NJ_COMMAND(settings) = {
    .name = "settings",
    .usage = "settings [SECTION] [options]",
    .summary = "every setting: default, range, unit and what it does",
    .help = "Settings are given in a file ([SECTION], KEY = VALUE) for -c, or by -D SECTION.KEY=VALUE. The "
            "value shown is the default, or what -c, -D and the built-in sections of modules say. Whole "
            "numbers may end in k, M, G (powers of 1024); yes, no, true, false, on, off are 1 and 0.\n",
    .main = settings,
    .options = { table, nj_cli_settings, nj_cli_paths },
    .arguments = (const nj_meaning[]){ { "SECTION",
                                         "one section: run, sink.fits, module.hostless, ... (else all)" },
                                       { 0 } },
};

typedef struct printer {
    options *o;
    nj_buffer *out;
    const char *only; /* one section, or NULL */
    nj_json json;     /* of --json */
    uint32_t n;       /* sections that were printed */
} printer;

static bool is_ranged(const nj_param *p)
{
    return p->type != NJ_STR && (isfinite(p->lo) || isfinite(p->hi)) && p->hi > p->lo;
}

static void range_text(const nj_param *p, char text[96])
{
    const char *unit = p->unit && *p->unit && strcmp(p->unit, "1") ? p->unit : "";
    *text = 0;
    if (p->type == NJ_U8 && p->hi == 1)
        snprintf(text, 96, "yes or no");
    else if (is_ranged(p))
        snprintf(text, 96, "%.10g .. %.10g%s%s", p->lo, p->hi, *unit ? " " : "", unit);
    else
        snprintf(text, 96, "%s", unit);
}

static const char *value_of(printer *to, const char *section, const nj_param *p)
{
    const char *value = nj_settings_get(&to->o->cli.settings, section, p->name);
    return value ? value : p->def ? p->def : "";
}

static void show_key(printer *to, const char *section, const nj_param *p)
{
    char range[96];
    nj_buffer name = { 0 }, text = { 0 };
    range_text(p, range);
    nj_buffer_printf(&name, "%s = %s", p->name, value_of(to, section, p));
    nj_buffer_printf(&text, "%s%s%s%s%s", p->doc ? p->doc : "", *range ? " (" : "", range, *range ? ")" : "",
                     nj_reloads(section, p->name) ? "; SIGHUP reloads it" : "");
    if (name.data && text.data) nj_help_entry(to->out, name.data, text.data, NJ_HELP_AT);
    nj_buffer_free(&name);
    nj_buffer_free(&text);
}

static void json_key(printer *to, const char *section, const nj_param *p)
{
    nj_json *j = &to->json;
    nj_json_open(j, NULL, '{');
    nj_json_put(j, "key=%s type=%s default=%s value=%s", p->name, nj_type_name(p->type), p->def,
                value_of(to, section, p));
    if (is_ranged(p)) {
        nj_json_open(j, "range", '[');
        nj_json_item(j, "%g", p->lo);
        nj_json_item(j, "%g", p->hi);
        nj_json_close(j);
    }
    nj_json_put(j, "unit=%s doc=%s reloads=%hhd", p->unit && strcmp(p->unit, "1") ? p->unit : "", p->doc,
                nj_reloads(section, p->name));
    nj_json_close(j);
}

/* One section with the keys of up to two tables. */
static void section(printer *to, const char *name, const char *doc, const nj_param *first,
                    const nj_param *second)
{
    const nj_param *tables[] = { first, second };
    if (to->only && strcmp(to->only, name)) return;
    if (to->o->json) {
        nj_json_open(&to->json, NULL, '{');
        nj_json_put(&to->json, "section=%s doc=%s any_key=%hhd", name, doc, !first);
        nj_json_open(&to->json, "keys", '[');
    } else if (!to->o->names) {
        nj_buffer line = { 0 };
        nj_buffer_printf(&line, "[%s] %s", name, doc);
        if (to->n) nj_buffer_text(to->out, "\n");
        nj_help_wrap(to->out, line.data ? line.data : "", 0, 4);
        nj_buffer_free(&line);
    }
    for (int i = 0; i < 2; i++)
        for (const nj_param *p = tables[i]; p && p->name; p++) {
            if (to->o->names)
                nj_buffer_printf(to->out, "%s.%s=\n", name, p->name);
            else if (to->o->json)
                json_key(to, name, p);
            else
                show_key(to, name, p);
        }
    if (to->o->json) nj_json_close(&to->json);
    if (to->o->json) nj_json_close(&to->json);
    to->n++;
}

/* The module of a section [module.NAME], or NULL. */
static const nj_module *module_of(const nj_modules *modules, nj_settings *s, const char *name)
{
    char section_name[128];
    snprintf(section_name, sizeof section_name, "module.%s", name);
    const char *kind = nj_settings_get(s, section_name, "kind");
    const nj_loaded_module *e = nj_modules_find(modules, kind ? kind : name);
    return e ? e->module : NULL;
}

static int module_section(printer *to, nj_engine *engine, const char *name, const nj_param *host_keys,
                          nj_error *err)
{
    const nj_module *m = module_of(&engine->modules, &to->o->cli.settings, name);
    void *own = NULL;
    char section_name[128];
    if (!m) return 0;
    if (nj_table_rows(&engine->arena, m->params, m->param_size, sizeof(nj_param), &own) < 0)
        return nj_fail(err, "out of memory");
    snprintf(section_name, sizeof section_name, "module.%s", name);
    section(to, section_name, m->summary, own, host_keys);
    return 0;
}

/* Is the section's name said here for the first time? */
static bool is_first(const nj_settings *s, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (!strcmp(s->item[k].section, s->item[i].section)) return false;
    return true;
}

/* Modules without a section of their own first, then those of the settings. */
static int module_sections(printer *to, nj_engine *engine, const nj_param *host_keys, nj_error *err)
{
    nj_settings *s = &to->o->cli.settings;
    const size_t said = s->n;
    for (uint32_t i = 0; i < engine->modules.n; i++) {
        const char *name = engine->modules.item[i].module->name;
        bool has_section = false;
        for (size_t k = 0; k < said; k++)
            has_section |=
                !strncmp(s->item[k].section, "module.", 7) && !strcmp(s->item[k].section + 7, name);
        if (!has_section && module_section(to, engine, name, host_keys, err)) return -1;
    }
    for (size_t i = 0; i < said; i++)
        if (!strncmp(s->item[i].section, "module.", 7) && is_first(s, i) &&
            module_section(to, engine, s->item[i].section + 7, host_keys, err))
            return -1;
    return 0;
}

/* No section of that name was printed: which is near? */
static int no_section(nj_engine *engine, const nj_settings *s, const char *name, nj_error *err)
{
    size_t n = 0, most = 64 + engine->modules.n + s->n;
    const char **known = nj_arena_alloc(&engine->arena, most * sizeof *known);
    if (!known) return nj_fail(err, "out of memory");
    for (const nj_section *c = nj_sections; c->name && n < 64; c++) known[n++] = c->name;
    for (uint32_t i = 0; i < engine->modules.n; i++) {
        known[n] = nj_arena_printf(&engine->arena, "module.%s", engine->modules.item[i].module->name);
        n += known[n] != NULL;
    }
    for (size_t i = 0; i < s->n; i++) known[n++] = s->item[i].section;
    const char *near = nj_nearest(name, known, n);
    if (near) return nj_fail(err, "no section [%s]; did you mean [%s]?", name, near);
    return nj_fail(err, "no section [%s]; `nightjar settings` lists them", name);
}

static int print(printer *to, nj_engine *engine, nj_error *err)
{
    const nj_param *host_keys = NULL;
    for (const nj_section *c = nj_sections; c->name; c++) {
        section(to, c->name, c->doc, c->keys, NULL);
        if (!strcmp(c->name, "module.NAME")) host_keys = c->keys;
    }
    if (module_sections(to, engine, to->only ? host_keys : NULL, err)) return -1;
    if (to->only && !strncmp(to->only, "topic.", 6))
        for (size_t i = 0; i < to->o->cli.settings.n; i++)
            if (!strcmp(to->o->cli.settings.item[i].section, to->only) && !to->n)
                for (const nj_section *c = nj_sections; c->name; c++)
                    if (!strcmp(c->name, "topic.NAME")) section(to, to->only, "a ready topic", c->keys, NULL);
    if (!to->n) return no_section(engine, &to->o->cli.settings, to->only, err);
    if (to->o->json) nj_json_end(&to->json);
    return 0;
}

static int settings(int argc, char **argv)
{
    options o = { 0 };
    nj_engine engine = { 0 };
    nj_error err = { "" };
    nj_buffer out = { 0 };
    nj_run_options *r = &o.cli.options;
    int rc = nj_cli_read(&o.cli, nj_command_settings.options, argc, argv, &err);
    if (rc == 0 && r->n_sources > 1) rc = nj_fail(&err, "one SECTION, not %u", r->n_sources);
    if (rc == 0) rc = nj_engine_load(&engine, &o.cli.settings, r->module_path, r->n_module_paths, &err);
    if (rc == 0) {
        printer to = { .o = &o, .out = &out, .only = r->n_sources ? o.cli.source[0] : NULL };
        if (o.json) to.json = nj_json_begin(&out, '[');
        rc = print(&to, &engine, &err);
    }
    if (rc) nj_log(NJ_LOG_ERROR, "settings: %s", err.text);
    nj_engine_close(&engine);
    nj_cli_free(&o.cli);
    if (rc) nj_buffer_free(&out);
    return rc ? NJ_EXIT_USAGE : nj_command_print(&out);
}
