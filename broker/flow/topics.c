/* topics.c - people write topics and others must run them, so all that is said of one stands in its section,
 * in a file of its own. */
#include "topics.h"

#include <ctype.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/embed.h"
#include "../base/secret.h"

const nj_param nj_topic_keys[] = {
    { "where", NJ_STR, "", offsetof(nj_topic, where), 0, 0, "1",
      "the clause that an alert must match, as -w; -t NAME takes the topic" },
    { "sentence", NJ_STR, "", offsetof(nj_topic, sentence), 0, 0, "1", "what the topic is, in words" },
    { "owner", NJ_STR, "", offsetof(nj_topic, owner), 0, 0, "1", "whom to ask about it" },
    { "cap", NJ_STR, "", offsetof(nj_topic, cap_text), 0, 0, "1",
      "at most so many alerts of a night: 5 %, or 200; `nightjar topics check` fails above it" },
    { "sinks", NJ_STR, "", offsetof(nj_topic, sinks), 0, 0, "1",
      "outputs that get the rows of this topic alone, as -o, blanks between them" },
    { "columns", NJ_STR, "", offsetof(nj_topic, columns), 0, 0, "1",
      "the columns of those outputs, commas between them, behind candid and jd; empty: all" },
    { "passes", NJ_STR, "", offsetof(nj_topic, passes), 0, 0, "1",
      "alerts that must match: FILE#ID, commas between them; FILE is beside the settings file" },
    { "fails", NJ_STR, "", offsetof(nj_topic, fails), 0, 0, "1", "alerts that must not, in the same form" },
    { "at_most", NJ_STR, "", offsetof(nj_topic, at_most), 0, 0, "1",
      "tests of size: 5 % of FILE, commas between them" },
    { 0 },
};

int nj_topic_cap_read(const char *text, nj_topic_cap *cap, const char **rest)
{
    char *end;
    *cap = (nj_topic_cap){ .share = NAN };
    double value = strtod(text, &end);
    if (end == text || !isfinite(value) || value < 0) return -1;
    end += strspn(end, " \t");
    if (*end == '%') {
        if (value > 100) return -1;
        cap->share = value / 100;
        end++;
    } else if (value != floor(value) || value < 1 || value > 1e15) {
        return -1;
    } else {
        cap->n = (uint64_t)value;
    }
    end += strspn(end, " \t");
    if (rest) *rest = end;
    return rest || !*end ? 0 : -1;
}

bool nj_topic_over(const nj_topic_cap *cap, uint64_t matches, uint64_t alerts)
{
    if (cap->n) return matches > cap->n;
    return !isnan(cap->share) && alerts && (double)matches > cap->share * (double)alerts;
}

static const char *where_of(const nj_settings *s, const char *section, const char *key)
{
    for (size_t i = s->n; i-- > 0;)
        if (!strcmp(s->item[i].section, section) && !strcmp(s->item[i].key, key)) return s->item[i].where;
    return "";
}

int nj_topic_read(nj_settings *s, const char *name, nj_topic *t, nj_error *err)
{
    char section[256];
    *t = (nj_topic){ .name = name, .where = "", .sinks = "", .cap_text = "" };
    snprintf(section, sizeof section, "topic.%.200s", name);
    if (!nj_name_is_valid(name)) return nj_fail(err, "[%s]: the name of a topic is [a-z][a-z0-9_]*", section);
    if (nj_settings_apply(s, section, nj_topic_keys, NULL, t, err)) return -1;
    t->said = where_of(s, section, "where");
    t->cap.share = NAN;
    if (*t->cap_text && nj_topic_cap_read(t->cap_text, &t->cap, NULL))
        return nj_fail(err, "%s: [%s] cap = %s: expected a share (5 %%) or a number of alerts (200)",
                       where_of(s, section, "cap"), section, t->cap_text);
    return 0;
}

int nj_topics_sinks(nj_cli *cli, nj_error *err)
{
    nj_run_options *o = &cli->options;
    for (uint32_t i = 0; i < o->n_topics; i++) {
        nj_topic t;
        if (nj_topic_read(&cli->settings, cli->topic[i].name, &t, err)) return -1;
        for (const char *p = t.sinks + strspn(t.sinks, " \t\n"); *p; p += strspn(p, " \t\n")) {
            size_t n = strcspn(p, " \t\n");
            const char **sink = realloc(cli->sink, (o->n_sinks + 1) * sizeof *sink);
            if (sink) o->sink = cli->sink = sink;
            const char **topic = realloc(cli->sink_topic, (o->n_sinks + 1) * sizeof *topic);
            if (topic) {
                for (uint32_t k = 0; !cli->sink_topic && k < o->n_sinks; k++) topic[k] = NULL;
                o->sink_topic = cli->sink_topic = topic;
            }
            const char *spec = nj_arena_text(&cli->arena, p, n);
            if (spec) spec = nj_secret_hide(spec);
            if (!sink || !topic || !spec) return nj_fail(err, "out of memory");
            cli->sink[o->n_sinks] = spec;
            cli->sink_topic[o->n_sinks++] = t.name;
            p += n;
        }
    }
    return 0;
}

/* ---- files of topics ------------------------------------------------------------------------- */

static int add(nj_cli *cli, const char *name, nj_error *err)
{
    nj_run_options *o = &cli->options;
    for (uint32_t i = 0; i < o->n_topics; i++)
        if (!strcmp(cli->topic[i].name, name)) return 0;
    nj_topic_option *more = realloc(cli->topic, (o->n_topics + 2) * sizeof *more);
    if (!more) return nj_fail(err, "out of memory");
    cli->topic = more;
    o->topic = more;
    cli->topic[o->n_topics++] = (nj_topic_option){ name, NULL };
    return 0;
}

/* Two files with a topic of one name: the second would take the place of the first. */
static int refuse_twice(const nj_settings *s, size_t first, const nj_setting *t, nj_error *err)
{
    for (size_t i = 0; i < first; i++) {
        const nj_setting *before = &s->item[i];
        if (strcmp(before->section, t->section) || strcmp(before->key, "where")) continue;
        const bool of_file = !nj_setting_is_built_in(before) || !strncmp(before->where, "topics/", 7);
        if (!of_file || !strcmp(before->where, "-D")) continue;
        return nj_fail(err, "%s: [%s] is there already, at %s", t->where, t->section, before->where);
    }
    return 0;
}

/* The near miss of a name that is neither a file nor built in. */
static int no_file(const char *name, nj_error *err)
{
    const char *known[64], *near;
    char kept[64][64];
    size_t n = 0;
    for (const nj_embedded *e = nj_embedded_files; e->name && n < 64; e++) {
        if (strncmp(e->name, "data/topics/", 12)) continue;
        snprintf(kept[n], sizeof kept[n], "%.*s", (int)strcspn(e->name + 12, "."), e->name + 12);
        known[n] = kept[n];
        n++;
    }
    near = nj_nearest(name, known, n);
    if (near) return nj_fail(err, "--topics %s: neither a file nor built in; did you mean '%s'?", name, near);
    return nj_fail(err, "--topics %s: neither a file nor built in", name);
}

int nj_topics_file(nj_cli *cli, const char *name, nj_error *err)
{
    nj_settings *s = &cli->settings;
    const size_t first = s->n;
    const uint32_t before = cli->options.n_topics;
    const char *inside = nj_arena_printf(&cli->arena, "data/topics/%s.ini", name),
               *shown = nj_arena_printf(&cli->arena, "topics/%s.ini (built in)", name);
    if (!inside || !shown) return nj_fail(err, "out of memory");
    bool is_file = access(name, F_OK) == 0 || strpbrk(name, "./");
    const nj_embedded *built_in = is_file ? NULL : nj_embedded_find(inside);
    if (!is_file && !built_in) return no_file(name, err);
    if (is_file) {
        nj_followed *more = realloc(cli->followed, (cli->n_followed + 1) * sizeof *more);
        if (!more) return nj_fail(err, "out of memory");
        cli->followed = more;
        more[cli->n_followed] = (nj_followed){ .name = nj_arena_text(&cli->arena, name, strlen(name)) };
        if (!more[cli->n_followed].name) return nj_fail(err, "out of memory");
        nj_follow_take(&more[cli->n_followed]);
        /* a pipe can be read once only, and who opens it again waits */
        cli->n_followed += more[cli->n_followed].there && S_ISREG(more[cli->n_followed].taken.st_mode);
    }
    if (built_in ? nj_settings_ini(s, shown, built_in->data, err) : nj_settings_file(s, name, err)) return -1;
    for (size_t i = first; i < s->n; i++) {
        const nj_setting *t = &s->item[i];
        if (!strncmp(t->section, "module.", 7)) continue;
        if (strncmp(t->section, "topic.", 6))
            return nj_fail(err,
                           "%s: [%s]: a file of topics has [topic.NAME] and [module.NAME]; -c takes others",
                           t->where, t->section);
        if (!strcmp(t->key, "where") && refuse_twice(s, first, t, err)) return -1;
        if (add(cli, t->section + 6, err)) return -1;
    }
    for (uint32_t k = before; k < cli->options.n_topics; k++) {
        nj_topic topic;
        if (nj_topic_read(s, cli->topic[k].name, &topic, err)) return -1;
        if (!*topic.where)
            return nj_fail(err, "%s: [topic.%s] has no clause (where = SQL)", name, topic.name);
    }
    if (cli->options.n_topics == before) return nj_fail(err, "--topics %s: it has no topic", name);
    return 0;
}
