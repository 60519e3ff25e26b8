/* modules.c - `nightjar modules [NAME]`: the module table, printed from itself. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../base/debug.h"
#include "../base/file.h"
#include "../base/log.h"
#include "../engine/engine.h"
#include "../flow/cli.h"
#include "../batch/batch.h"
#include "../graph/instance.h"
#include "command.h"

static void print_range(double lo, double hi)
{
    printf("%c%g, %g%c", isinf(lo) ? '(' : '[', lo, hi, isinf(hi) ? ')' : ']');
}

static void print_settings(const nj_module *m)
{
    nj_arena arena = { 0 };
    void *params = NULL;
    int n = nj_table_rows(&arena, m->params, m->param_size, sizeof(nj_param), &params);
    for (const nj_param *p = params; n > 0; p++, n--)
        printf("  %-20s = %-10s %s  %s\n", p->name, p->def ? p->def : "", p->unit ? p->unit : "", p->doc);
    nj_arena_free(&arena);
}

static void print_one(const nj_instance *in)
{
    const nj_module *m = in->module;
    printf("%s %s%s%s - %s\n  paper: %s\n  %s\n", m->name, m->version,
           strcmp(in->name, m->name) ? " as " : "", strcmp(in->name, m->name) ? in->name : "", m->summary,
           m->paper, in->path ? in->path : "built in");
    printf("needs\n");
    for (uint32_t k = 0; k < in->n_needs; k++)
        printf("  %-36s %-4s %-7s %-8s%s\n", in->need[k].path, nj_type_name(in->need[k].type),
               in->need[k].shape == NJ_SCALAR   ? "scalar"
               : in->need[k].shape == NJ_SERIES ? "series"
                                                : "image",
               in->need[k].unit, in->need[k].flags & NJ_NEED_OPTIONAL ? " optional" : "");
    printf("gives\n");
    for (uint32_t k = 0; k < in->n_gives; k++) {
        const nj_give *g = &in->give[k];
        printf("  %s%s%-24s %-4s %-8s ", g->flags & NJ_GIVE_CANONICAL ? "" : in->name,
               g->flags & NJ_GIVE_CANONICAL ? "" : ".", g->name, nj_type_name(g->type), g->unit);
        print_range(g->lo, g->hi);
        if (!isnan(g->flag_above)) printf(" flagged above %g", g->flag_above);
        printf("  %s\n", g->doc);
    }
    printf("settings [module.%s]\n", in->name);
    print_settings(m);
}

/* One that is no instance by itself: its columns follow from the settings of a section. */
static void print_kind(const nj_module *m)
{
    printf("%s %s - %s\n  paper: %s\n"
           "  it needs a section of its own, from which its needs and gives follow:\n"
           "      [module.NAME]\n      kind = %s\n"
           "settings [module.NAME]\n",
           m->name, m->version, m->summary, m->paper, m->name);
    print_settings(m);
}
typedef struct options {
    nj_cli cli;
    bool names;
} options;

static const nj_option table[] = { { "names", 0, NJ_OPTION_FLAG, offsetof(options, names),
                                     .doc = "names of instances alone, one a line" },
                                   { 0 } };

static int modules_main(int argc, char **argv);

NJ_COMMAND(modules) = {
    .name = "modules",
    .usage = "modules [NAME] [options]",
    .summary = "the module table; with a NAME its needs, gives, settings, paper",
    .main = modules_main,
    .options = { table, nj_cli_settings, nj_cli_modules, nj_cli_paths, nj_options_of_debug },
    .arguments = (const nj_meaning[]){ { "NAME",
                                         "an instance: a module, or a [module.NAME] of the settings" },
                                       { 0 } },
};

/* Of the default set, and those that run only when they are asked for. */
static void print_names(const nj_instances *set)
{
    const nj_settings *s = set->settings;
    for (uint32_t i = 0; i < set->n; i++) printf("%s\n", set->item[i].name);
    for (size_t i = 0; i < s->n; i++) {
        const char *name = s->item[i].section + 7;
        if (strncmp(s->item[i].section, "module.", 7) || nj_instances_find(set, name)) continue;
        if (i && !strcmp(s->item[i].section, s->item[i - 1].section)) continue; /* another key of it */
        printf("%s\n", name);
    }
}

static int modules_main(int argc, char **argv)
{
    options o = { 0 };
    nj_cli *cli = &o.cli;
    nj_error err = { "" };
    nj_modules modules = { 0 };
    nj_instances set = { 0 };
    int rc =
        nj_cli_read(cli, nj_command_modules.options, argc, argv, &err) || nj_modules_builtin(&modules, &err);
    for (uint32_t i = 0; rc == 0 && i < cli->options.n_module_paths; i++)
        rc = nj_ends_with(cli->module_path[i], ".py")
                 ? -!nj_engine_python(&cli->settings, cli->module_path[i], &err)
                 : nj_modules_load(&modules, cli->module_path[i], &err);
    if (rc == 0 && cli->options.n_sources > 1)
        rc = nj_fail(&err, "modules: one NAME, not %u", cli->options.n_sources);
    const char *one = cli->options.n_sources ? cli->source[0] : NULL;
    if (rc == 0 && one && nj_settings_get(&cli->settings, "models", "path"))
        set.data_path = nj_settings_get(&cli->settings, "models", "path");
    const nj_loaded_module *kind = rc == 0 && one ? nj_modules_find(&modules, one) : NULL;
    char section[128];
    snprintf(section, sizeof section, "module.%.100s", one ? one : "");
    if (kind && (!kind->module->declare || nj_settings_get(&cli->settings, section, "kind"))) kind = NULL;
    if (rc == 0 && !kind)
        rc = nj_instances_choose(&set, &modules, &cli->settings, one ? one : cli->options.select, &err);
    if (rc) {
        nj_log(NJ_LOG_ERROR, "%s", err.text);
    } else if (kind) {
        print_kind(kind->module);
    } else if (o.names) {
        print_names(&set);
    } else if (one) {
        for (uint32_t i = 0; i < set.n; i++)
            if (!strcmp(set.item[i].name, one)) print_one(&set.item[i]);
    } else {
        printf("%-22s %-18s %-8s %5s %5s  %s\n", "instance", "module", "version", "needs", "gives",
               "what it is");
        for (uint32_t i = 0; i < set.n; i++) {
            const nj_instance *in = &set.item[i];
            printf("%-22s %-18s %-8s %5u %5u  %s\n", in->name, in->module->name, in->module->version,
                   in->n_needs, in->n_gives, in->module->summary);
        }
        for (uint32_t i = 0; i < set.n_off; i++) printf("%s is off: %s\n", set.off[i].name, set.off[i].why);
    }
    nj_instances_close(&set);
    nj_modules_free(&modules);
    nj_cli_free(cli);
    return rc ? NJ_EXIT_USAGE : NJ_EXIT_OK;
}
