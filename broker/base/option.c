/* option.c - all commands read their command line from tables by one parser, so that all of them reject the
 * same mistakes. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "option.h"
#include "settings.h"

enum { MOST = 128, WORD = 48 };

typedef struct parser {
    const nj_option *const *tables;
    void *conf;
    int argc, at; /* argv[at] is read next */
    char **argv;
    nj_words *words;
    nj_error *err;
    const nj_option *seen[MOST]; /* those that keep one value, and that value */
    const char *value[MOST];
    size_t n_seen;
} parser;

const nj_option *nj_option_next(const nj_option *const *tables, const nj_option *last, size_t *table)
{
    const nj_option *o = last ? last + 1 : tables[ *table = 0];
    while (o && !o->name) o = tables[++*table];
    return o;
}

static const nj_option *by_letter(const parser *p, char letter)
{
    NJ_EACH_OPTION (o, p->tables)
        if (o->letter == letter) return o;
    return NULL;
}

static const nj_option *by_name(const parser *p, const char *name, size_t n)
{
    NJ_EACH_OPTION (o, p->tables)
        if (!strncmp(o->name, name, n) && !o->name[n]) return o;
    return NULL;
}

/* ---- complaints ------------------------------------------------------------------------------ */

static void add_word(char *all, size_t room, const char *word)
{
    size_t n = strlen(all);
    if (n + strlen(word) + 6 < room)
        snprintf(all + n, room - n, "%s%s", n ? " " : "", word);
    else if (n + 4 < room && strcmp(all + n - 3, "..."))
        strcat(all, " ...");
}

static int not_known(const parser *p, const char *word)
{
    char name[MOST][WORD], all[320] = "";
    const char *list[MOST];
    size_t n = 0;
    NJ_EACH_OPTION (o, p->tables) {
        if (n == MOST) break;
        list[n] = name[n];
        snprintf(name[n++], WORD, "--%s", o->name);
        add_word(all, sizeof all, list[n - 1]);
    }
    const char *near = strlen(word) > 2 ? nj_nearest(word, list, n) : NULL; /* any two letters are
                                                                             * near each other */
    if (near) return nj_fail(p->err, "option %s is not known; did you mean %s?", word, near);
    return nj_fail(p->err, "option %s is not known; there %s %s", word, n == 1 ? "is" : "are",
                   n ? all : "none");
}

/* One letter: the same letter in the other case is what was meant, if there is one. */
static int letter_not_known(const parser *p, char letter)
{
    char word[3] = { '-', letter, 0 };
    const nj_option *other = by_letter(p, (char)(letter ^ 0x20));
    if (other) return nj_fail(p->err, "option %s is not known; did you mean -%c?", word, other->letter);
    return not_known(p, word);
}

/* ---- values ---------------------------------------------------------------------------------- */

static int bad_value(const nj_option *o, const char *said, const char *value, nj_error *err)
{
    if (o->type == NJ_OPTION_F64)
        return nj_fail(err, "%s %s: expected a number from %g to %g", said, value, o->lo, o->hi);
    if (o->hi > 9e18)
        return nj_fail(err, "%s %s: expected a whole number, %.15g or more", said, value, o->lo);
    return nj_fail(err, "%s %s: expected a whole number from %.15g to %.15g", said, value, o->lo, o->hi);
}

static int store_number(const nj_option *o, void *at, const char *said, const char *value, nj_error *err)
{
    char *end;
    errno = 0;
    double v = strtod(value, &end);
    if (end == value || *end || !(v >= o->lo && v <= o->hi)) return bad_value(o, said, value, err);
    *(double *)at = v;
    return 0;
}

static int store_whole(const nj_option *o, void *at, const char *said, const char *value, nj_error *err)
{
    char *end;
    errno = 0;
    bool is_unsigned = o->type == NJ_OPTION_U64;
    unsigned long long u =
        is_unsigned ? strtoull(value, &end, 10) : (unsigned long long)strtoll(value, &end, 10);
    double v = is_unsigned ? (double)u : (double)(long long)u;
    if (end == value || *end || errno || (is_unsigned && strchr(value, '-')) || !(v >= o->lo && v <= o->hi))
        return bad_value(o, said, value, err);
    if (o->type == NJ_OPTION_INT)
        *(int *)at = (int)u;
    else if (is_unsigned)
        *(uint64_t *)at = u;
    else
        *(int64_t *)at = (int64_t)u;
    return 0;
}

/* "wall|cpu" must have it. */
static int store_word(const nj_option *o, void *at, const char *said, const char *value, nj_error *err)
{
    char word[16][WORD], all[256] = "";
    const char *list[16];
    size_t n = 0;
    for (const char *p = o->words; *p && n < 16; p += strcspn(p, "|"), p += *p == '|') {
        list[n] = word[n];
        snprintf(word[n++], WORD, "%.*s", (int)strcspn(p, "|"), p);
        add_word(all, sizeof all, list[n - 1]);
        if (strcmp(list[n - 1], value)) continue;
        *(const char **)at = value;
        return 0;
    }
    const char *near = nj_nearest(value, list, n);
    if (near) return nj_fail(err, "%s %s: did you mean %s?", said, value, near);
    return nj_fail(err, "%s %s: expected one of %s", said, value, all);
}

/* said: how the option was written. */
static int store(const nj_option *o, void *conf, const char *said, const char *value, nj_error *err)
{
    void *at = (char *)conf + o->offset;
    switch (o->type) {
    case NJ_OPTION_FLAG: *(bool *)at = true; return 0;
    case NJ_OPTION_TEXT: *(const char **)at = value; return 0;
    case NJ_OPTION_WORD: return store_word(o, at, said, value, err);
    case NJ_OPTION_F64: return store_number(o, at, said, value, err);
    case NJ_OPTION_CALL: return o->take(conf, value, err);
    default: return store_whole(o, at, said, value, err);
    }
}

static int store_defaults(const nj_option *const *tables, void *conf, nj_error *err)
{
    NJ_EACH_OPTION (o, tables)
        if (o->def && o->type != NJ_OPTION_CALL && store(o, conf, o->name, o->def, err)) return -1;
    return 0;
}

/* ---- words of the command line --------------------------------------------------------------- */

/* Is the word an option, so that it cannot be the value of one before it? A value may
 * begin with a dash (-m -hostless). */
static bool is_option(const parser *p, const char *word)
{
    return !strncmp(word, "--", 2) && word[2] && by_name(p, word + 2, strcspn(word + 2, "="));
}

/* Of an option that keeps one value and is given twice the last one counts:
 * reported, because the first one has no effect. */
static void report_repeated(parser *p, const nj_option *o, const char *said, const char *value)
{
    size_t i = 0;
    if (o->type == NJ_OPTION_CALL) return;
    while (i < p->n_seen && p->seen[i] != o) i++;
    if (i < p->n_seen && strcmp(p->value[i], value))
        nj_log(NJ_LOG_WARN, "%s is given twice: %s is used, %s is not", said, value, p->value[i]);
    if (i == MOST) return;
    p->seen[i] = o;
    p->value[i] = value;
    if (i == p->n_seen) p->n_seen++;
}

/* said: "--limit" or "-j"; value: what stands in the same word, or NULL. */
static int take(parser *p, const nj_option *o, const char *said, const char *value)
{
    if (!o->value)
        return value ? nj_fail(p->err, "option %s takes no value", said)
                     : store(o, p->conf, said, "", p->err);
    if (!value && (p->at == p->argc || is_option(p, p->argv[p->at])))
        return nj_fail(p->err, "option %s lacks its value", said);
    if (!value) value = p->argv[p->at++];
    report_repeated(p, o, said, value);
    return store(o, p->conf, said, value, p->err);
}

/* How many options begin so; the last of them. */
static size_t by_prefix(const parser *p, const char *name, size_t n, const nj_option **last, char all[256])
{
    size_t found = 0;
    char one[WORD];
    NJ_EACH_OPTION (o, p->tables) {
        if (!n || strncmp(o->name, name, n)) continue;
        snprintf(one, sizeof one, "--%s", o->name);
        add_word(all, 256, one);
        *last = o;
        found++;
    }
    return found;
}

static int take_long(parser *p, const char *word)
{
    const char *name = word + 2;
    size_t n = strcspn(name, "=");
    char said[WORD], all[256] = "";
    const nj_option *o = by_name(p, name, n);
    snprintf(said, sizeof said, "%.*s", (int)n + 2, word);
    size_t found = o ? 1 : by_prefix(p, name, n, &o, all);
    if (found > 1) return nj_fail(p->err, "option %s can be each of %s", said, all);
    if (found) snprintf(said, sizeof said, "--%s", o->name);
    return found ? take(p, o, said, name[n] ? name + n + 1 : NULL) : not_known(p, said);
}

static int take_letters(parser *p, const char *word)
{
    if (word[2] && by_name(p, word + 1, strcspn(word + 1, "="))) /* it would be taken for -c olumns */
        return nj_fail(p->err, "option %s is not known; did you mean -%s?", word, word);
    for (const char *letter = word + 1; *letter; letter++) {
        const nj_option *o = by_letter(p, *letter);
        char said[3] = { '-', *letter, 0 };
        if (!o) return letter_not_known(p, *letter);
        if (o->value) return take(p, o, said, letter[1] ? letter + 1 : NULL);
        if (take(p, o, said, NULL)) return -1;
    }
    return 0;
}

/* "-" is standard input, -5 a number. */
static bool is_plain(const parser *p, const char *word)
{
    if (word[0] != '-' || !word[1]) return true;
    return strchr("0123456789.", word[1]) && !by_letter(p, word[1]);
}

int nj_options_parse(const nj_option *const *tables, void *conf, int argc, char **argv, nj_words *words,
                     nj_error *err)
{
    parser p = {
        .tables = tables, .conf = conf, .argc = argc, .at = 1, .argv = argv, .words = words, .err = err
    };
    bool only_words = false;
    *words = (nj_words){ .item = argv + 1, .before = -1 };
    if (store_defaults(tables, conf, err)) return -1;
    while (p.at < argc) {
        char *word = argv[p.at++];
        if (only_words || is_plain(&p, word)) {
            words->item[words->n++] = word; /* always at or before argv[at] */
        } else if (!strcmp(word, "--")) {
            only_words = true;
            words->before = words->n;
        } else if (word[1] == '-' ? take_long(&p, word) : take_letters(&p, word)) {
            return -1;
        }
    }
    if (words->before < 0) words->before = words->n;
    return 0;
}

/* ---- words that must be one of a few --------------------------------------------------------- */

int nj_word_wrong(const char *what, const char *word, const char *const *known, nj_error *err)
{
    char all[320] = "";
    size_t n = 0;
    for (; known[n]; n++)
        if (strlen(all) + strlen(known[n]) + 3 < sizeof all) strcat(strcat(all, n ? ", " : ""), known[n]);
    const char *near = nj_nearest(word, known, n);
    if (near) return nj_fail(err, "no %s '%s'; did you mean '%s'?", what, word, near);
    return nj_fail(err, "no %s '%s'; there are %s", what, word, all);
}

/* ---- settings -------------------------------------------------------------------------------- */

static int add_kafka(void *settings, const char *text, nj_error *err)
{
    return nj_settings_kafka(settings, text, err);
}

static int add_file(void *settings, const char *path, nj_error *err)
{
    return nj_settings_file(settings, path, err);
}

static int define(void *settings, const char *text, nj_error *err)
{
    return nj_settings_define(settings, text, err);
}

const nj_option nj_options_of_settings[] = {
    { "kafka", 'X', NJ_OPTION_CALL, .value = "NAME=VALUE", .take = add_kafka,
      .doc = "a setting of librdkafka (sasl.username=..., compression.type=zstd)" },
    { "config", 'c', NJ_OPTION_CALL, .value = "FILE", .take = add_file, .doc = "settings (INI), as for run" },
    { "define", 'D', NJ_OPTION_CALL, .value = "SECTION.KEY=VALUE", .take = define,
      .doc = "one setting, as for run" },
    { 0 }
};
