/* settings.c - INI files and -D options are read by one parser, so that every wrong key or value is rejected
 * with its place. */
#include "settings.h"

#include <assert.h>
#include <errno.h>
#include <ini.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secret.h"

int nj_settings_set(nj_settings *s, const char *section, const char *key, const char *value,
                    const char *where)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 32;
        nj_setting *item = realloc(s->item, cap * sizeof *item);
        if (!item) return -1;
        s->item = item;
        s->cap = cap;
    }
    assert(s->item);
    nj_setting *t = &s->item[s->n];
    *t = (nj_setting){ .section = nj_arena_text(&s->arena, section, strlen(section)),
                       .key = nj_arena_text(&s->arena, key, strlen(key)),
                       .value = nj_arena_text(&s->arena, value, strlen(value)),
                       .where = nj_arena_text(&s->arena, where, strlen(where)) };
    if (!t->section || !t->key || !t->value || !t->where) return -1;
    s->n++;
    if (nj_secret_is(key)) nj_secret_remember(value);
    nj_secret_remember_address(value);
    nj_secret_remember_webhooks(value);
    return 0;
}

typedef struct ini_context {
    nj_settings *settings;
    const char *name, *at; /* at: the rest of the text */
    size_t first;          /* of its settings */
    int line, too_long;    /* too_long: a line that libinih would cut without a message */
    int long_section;      /* the same of a section's name */
    int no_memory;
    const char *before; /* where the present key of the present section stood already, in this text */
    int continued;      /* the present line begins with a blank: more of the last value */
} ini_context;

/* libinih keeps so much of the names of sections, and of a key for the lines that continue after it. */
enum { MAX_SECTION = 49 };

/* libinih's fgets. */
static char *next_line(char *to, int room, void *stream)
{
    ini_context *c = stream;
    size_t n = strcspn(c->at, "\n");
    if (!*c->at || c->too_long) return NULL;
    c->line++;
    if (n + 2 > (size_t)room) {
        c->too_long = c->line;
        return NULL;
    }
    size_t name = *c->at == '[' ? strcspn(c->at, "]\n") - 1 : 0;
    if (name > MAX_SECTION) {
        c->long_section = c->line;
        return NULL;
    }
    c->continued = *c->at == ' ' || *c->at == '\t';
    memcpy(to, c->at, n);
    memcpy(to + n, "\n", 2);
    c->at += n + (c->at[n] == '\n');
    return to;
}

/* Where the section had the key already in the present text; NULL: nowhere. */
static const char *stood_before(const ini_context *c, const char *section, const char *key)
{
    const size_t n = strlen(c->name);
    for (size_t i = c->settings->item ? c->settings->n : 0; i-- > c->first;) {
        const nj_setting *t = &c->settings->item[i];
        if (!strcmp(t->key, key) && !strcmp(t->section, section)) return t->where + n + 1;
    }
    return NULL;
}

static int on_ini(void *user, const char *section, const char *key, const char *value)
{
    ini_context *c = user;
    nj_settings *s = c->settings;
    char *where = nj_arena_printf(&s->arena, "%s:%d", c->name, c->line);
    c->no_memory = !where;
    if (!where) return 0;
    if (!value) value = "";
    nj_setting *last = s->n ? &s->item[s->n - 1] : NULL;
    if (!c->continued || !last || strcmp(last->section, section) || strncmp(last->key, key, MAX_SECTION)) {
        if ((c->before = stood_before(c, section, key))) return 0;
        return !(c->no_memory = nj_settings_set(s, section, key, value, where) != 0);
    }
    const char *longer = nj_arena_printf(&s->arena, "%s %s", last->value, value);
    if (longer) last->value = longer;
    c->no_memory = !longer;
    return longer != NULL;
}

int nj_settings_ini(nj_settings *s, const char *name, const char *text, nj_error *err)
{
    ini_context c = { .settings = s, .name = name, .at = text, .first = s->n };
    int line = ini_parse_stream(next_line, &c, on_ini, &c);
    if (c.too_long)
        return nj_fail(
            err, "%s:%d: longer than 198 characters; a value continues in a line that begins with a blank",
            name, c.too_long);
    if (c.long_section)
        return nj_fail(err, "%s:%d: the name of a section has at most %d characters", name, c.long_section,
                       MAX_SECTION);
    if (c.before)
        return nj_fail(err, "%s:%d: this key of the section is in line %s, too; one would be lost", name,
                       line, c.before);
    if (line < 0 || c.no_memory) return nj_fail(err, "%s: out of memory", name);
    if (line)
        return nj_fail(err, "%s:%d: not a line of the form [section], key = value or ; comment", name, line);
    return 0;
}

int nj_settings_file(nj_settings *s, const char *path, nj_error *err)
{
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    size_t n = 0, got;
    int rc = -1;
    if (!f) return nj_fail(err, "%s: cannot be read: %s", path, strerror(errno));
    do {
        char *more = realloc(text, n + 4097);
        if (!more) {
            nj_fail(err, "%s: out of memory", path);
            goto done;
        }
        text = more;
        got = fread(text + n, 1, 4096, f);
        n += got;
    } while (got);
    text[n] = 0;
    if (ferror(f))
        nj_fail(err, "%s: cannot be read: %s", path, strerror(errno));
    else if (strlen(text) < n)
        nj_fail(err, "%s: byte %zu is a NUL: no text", path, strlen(text) + 1);
    else
        rc = nj_settings_ini(s, path, text, err);
done:
    free(text);
    fclose(f);
    return rc;
}

int nj_settings_define(nj_settings *s, const char *text, nj_error *err)
{
    const char *equals = strchr(text, '='), *dot = strchr(text, '.');
    if (dot && (!strncmp(text, "module.", 7) || !strncmp(text, "topic.", 6) || !strncmp(text, "sink.", 5)))
        /* sections of two words; keys may have dots */
        dot = strchr(dot + 1, '.');
    if (!equals || !dot || dot > equals || dot == text || dot + 1 == equals)
        return nj_fail(err, "-D %.*s: expected section.key=value", (int)strcspn(text, "="), text);
    char *section = nj_arena_text(&s->arena, text, (size_t)(dot - text));
    char *key = nj_arena_text(&s->arena, dot + 1, (size_t)(equals - dot - 1));
    if (!section || !key || nj_settings_set(s, section, key, equals + 1, "-D"))
        return nj_fail(err, "out of memory");
    return 0;
}

int nj_settings_kafka(nj_settings *s, const char *text, nj_error *err)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return nj_fail(err, "-X %.*s: expected name=value", (int)strcspn(text, "="), text);
    char *name = nj_arena_text(&s->arena, text, (size_t)(equals - text));
    return name && nj_settings_set(s, "kafka", name, equals + 1, "-X") == 0 ? 0
                                                                            : nj_fail(err, "out of memory");
}

const char *nj_settings_get(nj_settings *s, const char *section, const char *key)
{
    const char *value = NULL;
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->item[i].section, section) && !strcmp(s->item[i].key, key)) {
            s->item[i].used = 1;
            value = s->item[i].value;
        }
    return value;
}

static size_t edit_distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);
    if (n >= 63) return 99;
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t best = diagonal + (a[i] != b[j]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j + 1] + 1 < best) best = row[j + 1] + 1;
            diagonal = row[j + 1];
            row[j + 1] = best;
        }
    }
    return row[n];
}

bool nj_setting_is_built_in(const nj_setting *t)
{
    return strstr(t->where, ".ini (built in)") != NULL;
}

bool nj_name_is_valid(const char *name)
{
    if (!name || name[0] < 'a' || name[0] > 'z') return false;
    return !name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")];
}

const char *nj_nearest(const char *word, const char *const *candidate, size_t n)
{
    const char *best = NULL;
    size_t least = strlen(word) / 3 + 2;
    for (size_t i = 0; i < n; i++) {
        size_t d = edit_distance(word, candidate[i]);
        if (d && d < least) { /* 0: the wrong word itself stands in some list */
            least = d;
            best = candidate[i];
        }
    }
    return best;
}

static int in_list(const char *const *list, const char *word)
{
    for (; list && *list; list++) {
        size_t n = strlen(*list);
        if (n && (*list)[n - 1] == '*' ? !strncmp(*list, word, n - 1) : !strcmp(*list, word)) return 1;
    }
    return 0;
}

static int out_of_range(const nj_param *p, const nj_setting *t, const char *where, nj_error *err)
{
    return nj_fail(err, "%s: [%s] %s = %s is outside %g .. %g %s", where, t->section, p->name, t->value,
                   p->lo, p->hi, p->unit ? p->unit : "");
}

static int store(const nj_param *p, const nj_setting *t, void *conf, nj_error *err)
{
    void *at = (char *)conf + p->offset;
    const char *where = t->where;
    char *end = NULL;
    if (p->type == NJ_STR) {
        *(const char **)at = t->value;
        return 0;
    }
    errno = 0;
    if (p->type == NJ_F32 || p->type == NJ_F64) {
        double v = strtod(t->value, &end);
        if (end == t->value || *end)
            return nj_fail(err, "%s: [%s] %s = %s is not a number", where, t->section, p->name, t->value);
        if (!(v >= p->lo && v <= p->hi)) return out_of_range(p, t, where, err);
        if (p->type == NJ_F64)
            *(double *)at = v;
        else
            *(float *)at = (float)v;
        return 0;
    }
    long long v = strtoll(t->value, &end, 0);
    if (end == t->value) {
        static const char *const yes[] = { "yes", "true", "on", NULL }, *const no[] = { "no", "false", "off",
                                                                                        NULL };
        if (in_list(yes, t->value))
            v = 1;
        else if (in_list(no, t->value))
            v = 0;
        else
            return nj_fail(err, "%s: [%s] %s = %s is not a whole number", where, t->section, p->name,
                           t->value);
        end = (char *)t->value + strlen(t->value);
    }
    int shift = *end == 'k' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if (end[shift ? 1 : 0] || errno)
        return nj_fail(err, "%s: [%s] %s = %s is not a whole number", where, t->section, p->name, t->value);
    if (shift && (v > (INT64_MAX >> shift) || v < (INT64_MIN >> shift)))
        return out_of_range(p, t, where, err);
    v *= 1LL << shift;
    if (!((double)v >= p->lo && (double)v <= p->hi)) return out_of_range(p, t, where, err);
    if (p->type == NJ_U8)
        *(uint8_t *)at = (uint8_t)v;
    else if (p->type == NJ_I32)
        *(int32_t *)at = (int32_t)v;
    else
        *(int64_t *)at = v;
    return 0;
}

int nj_settings_no_key(const nj_setting *t, const char *const *known, size_t n, nj_error *err)
{
    char all[320] = "";
    const char *near = nj_nearest(t->key, known, n);
    if (near)
        return nj_fail(err, "%s: [%s] has no key '%s'; did you mean '%s'?", t->where, t->section, t->key,
                       near);
    for (size_t k = 0, at = 0; k < n; k++) {
        if (at + strlen(known[k]) + sizeof ", , ..." > sizeof all) {
            strcpy(all + at, ", ...");
            break;
        }
        at += (size_t)sprintf(all + at, "%s%s", at ? ", " : "", known[k]);
    }
    return nj_fail(err, "%s: [%s] has no key '%s'%s%s", t->where, t->section, t->key, n ? "; there are " : "",
                   all);
}

int nj_settings_apply(nj_settings *s, const char *section, const nj_param *table, const char *const *also,
                      void *conf, nj_error *err)
{
    const char *name[64];
    size_t n = 0;
    for (const nj_param *p = table; p && p->name; p++) {
        nj_setting def = { section, p->name, p->def, "default", 1 };
        if (n < 64) name[n++] = p->name;
        if (p->def && store(p, &def, conf, err)) return -1;
    }
    for (size_t i = 0; i < s->n; i++) {
        nj_setting *t = &s->item[i];
        if (strcmp(t->section, section)) continue;
        t->used = 1;
        if (in_list(also, t->key)) continue;
        const nj_param *p = table;
        while (p && p->name && strcmp(p->name, t->key)) p++;
        if (!p || !p->name) return nj_settings_no_key(t, name, n, err);
        if (store(p, t, conf, err)) return -1;
    }
    return 0;
}

void nj_settings_free(nj_settings *s)
{
    free(s->item);
    nj_arena_free(&s->arena);
    *s = (nj_settings){ 0 };
}
