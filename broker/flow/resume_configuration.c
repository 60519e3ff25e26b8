/* resume_configuration.c - rows of two configurations in one file are neither's, so the journal has all on
 * which rows depend, and a resumed run that differs is told in what. */
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../base/secret.h"
#include "resume.h"

static void add_setting(nj_buffer *out, const nj_settings *s, size_t i)
{
    static const char *const section[] = { "module.", "topic.", "decode", "sink." };
    static const char *const of_run[] = { "dedup", "reference", "private_topics", "site" };
    const nj_setting *t = &s->item[i];
    bool counts = false;
    for (size_t k = 0; k < sizeof section / sizeof *section; k++)
        counts |= !strncmp(t->section, section[k], strlen(section[k]));
    for (size_t k = 0; k < sizeof of_run / sizeof *of_run; k++)
        counts |= !strcmp(t->section, "run") && !strcmp(t->key, of_run[k]);
    if (!strncmp(t->section, "topic.", 6)) /* what is said of it besides makes no other rows */
        counts = !strcmp(t->key, "where") || !strcmp(t->key, "sinks") || !strcmp(t->key, "columns");
    if (!counts || nj_setting_is_built_in(t)) return;
    for (size_t k = i + 1; k < s->n; k++) /* of equal keys the last one counts */
        if (!strcmp(s->item[k].section, t->section) && !strcmp(s->item[k].key, t->key)) return;
    nj_buffer_printf(out, "setting %s.%s = %s\n", t->section, t->key, t->value);
}

char *nj_flow_configuration(const run *r)
{
    const nj_run_options *o = r->options;
    nj_buffer out = { 0 };
    for (uint32_t i = 0; i < o->n_sources; i++)
        if (!strstr(o->source[i], "://")) nj_buffer_printf(&out, "source %s\n", o->source[i]);
    for (uint32_t f = 0; f < r->n_out; f++) nj_buffer_printf(&out, "column %s\n", r->field[f].key);
    for (const nj_metadata *m = r->metadata; m && m->key; m++)
        if (strcmp(m->key, "nightjar.version") != 0) nj_buffer_printf(&out, "%s = %s\n", m->key, m->value);
    if (o->where) nj_buffer_printf(&out, "where %s\n", o->where);
    for (uint32_t i = 0; i < o->n_topics; i++)
        nj_buffer_printf(&out, "topic %s %s\n", o->topic[i].name, o->topic[i].where ? o->topic[i].where : "");
    if (o->missing) nj_buffer_printf(&out, "missing %s\n", o->missing);
    for (uint32_t i = 0; i < o->n_seen; i++) nj_buffer_printf(&out, "seen %s\n", o->seen[i]);
    if (o->shard.n)
        nj_buffer_printf(&out, "shard %u/%u by %s\n", o->shard.k, o->shard.n, nj_shard_by_name[o->shard.by]);
    if (o->limit) nj_buffer_printf(&out, "limit %lld\n", (long long)o->limit);
    for (size_t i = 0; i < o->settings->n; i++) add_setting(&out, o->settings, i);
    nj_buffer_text(&out, "");
    if (out.failed) nj_buffer_free(&out);
    if (out.data) nj_secret_scrub(out.data); /* a topic's webhook */
    return out.data;
}

static bool has_line(const char *text, const char *line, size_t n)
{
    for (const char *end; (end = strchr(text, '\n')); text = end + 1)
        if ((size_t)(end - text) == n && !memcmp(text, line, n)) return true;
    return false;
}

/* Says the lines of one that the other lacks; returns how many. A module has dozens of columns: they are one
 * line, with the first few names. */
static int report_lines(const char *of, const char *lacks, const char *what, const char *path, int level)
{
    int n = 0, columns = 0;
    char names[200] = "";
    for (const char *end; (end = strchr(of, '\n')); of = end + 1) {
        size_t size = (size_t)(end - of), used = strlen(names);
        if (has_line(lacks, of, size)) continue;
        n++;
        if (strncmp(of, "column ", 7) != 0) {
            if (n - columns <= 20) nj_log(level, "%s: %s: %.*s", path, what, (int)size, of);
        } else if (columns++ < 4) {
            snprintf(names + used, sizeof names - used, "%s%.*s", used ? ", " : "", (int)size - 7, of + 7);
        }
    }
    if (columns)
        nj_log(level, "%s: %s: %d column%s: %s%s", path, what, columns, columns == 1 ? "" : "s", names,
               columns > 4 ? ", ..." : "");
    return n;
}

/* The next line whose place counts: a table's columns, and sources, which may be given twice. NULL: none. */
static const char *next_in_order(const char *at, size_t *n)
{
    for (const char *end; (end = strchr(at, '\n')); at = end + 1) {
        *n = (size_t)(end - at);
        if (!strncmp(at, "column ", 7) || !strncmp(at, "source ", 7)) return at;
    }
    return NULL;
}

static bool have_one_order(const char *a, const char *b)
{
    for (size_t na = 0, nb = 0;; a += na + 1, b += nb + 1) {
        a = next_in_order(a, &na);
        b = next_in_order(b, &nb);
        if (!a || !b) return a == b;
        if (na != nb || memcmp(a, b, na) != 0) return false;
    }
}

int nj_flow_configuration_differs(const char *journal, const char *mine, const char *path, int level)
{
    int n = report_lines(journal, mine, "the journal has", path, level) +
            report_lines(mine, journal, "this run has", path, level);
    if (n || have_one_order(journal, mine)) return n;
    nj_log(level, "%s: this run has its columns or its sources in another order than the journal", path);
    return 1;
}
