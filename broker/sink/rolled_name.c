/* rolled_name.c - the name of an output says by itself what goes into which file: its places, its options and
 * the borders of nights are read here. */
#include "rolled_name.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/buffer.h"
#include "../base/night.h"
#include "../base/settings.h"

static const char *const place[] = { "night", "date", "hour", "survey", "topic", "schema", "n" };
enum { NIGHT, DATE, HOUR, SURVEY, TOPIC, SCHEMA, NUMBER, PLACES };
static const char *const option[] = { "rotate", "late", "by" };
enum { ROTATE, LATE, BY, OPTIONS };
#define PLACES_SAID "{night}, {date}, {hour}, {survey}, {topic}, {schema} and {n}"

/* The last '?' with a NAME=VALUE behind it, and no slash: else it belongs to the path. */
static const char *options_of(const char *target)
{
    const char *from = strrchr(target, '?');
    return from && strchr(from, '=') && !strchr(from, '/') ? from : NULL;
}

bool nj_rolled_is(const char *target)
{
    return strpbrk(target, "{}") || options_of(target);
}

bool nj_rolled_is_folder(const char *target)
{
    const char *end = options_of(target);
    size_t n = end ? (size_t)(end - target) : strlen(target);
    return n && target[n - 1] == '/';
}

size_t nj_rolled_root(const char *target, bool *tree)
{
    const char *options = options_of(target), *end = options ? options : target + strlen(target);
    size_t n = strcspn(target, "{");
    *tree = nj_rolled_is_folder(target) || (target[n] && strchr(target + n, '/'));
    if (target + n > end) n = (size_t)(end - target);
    while (n && target[n - 1] != '/') n--;
    return n;
}

char *nj_rolled_stem(const char *text)
{
    bool tree;
    const size_t root = nj_rolled_root(text, &tree), n = strlen(text);
    char *stem = malloc(n + 2);
    if (!stem || !tree) return stem ? memcpy(stem, text, n + 1) : NULL;
    memcpy(stem, text, root);
    stem[root] = '.';
    memcpy(stem + root + 1, text + root, n - root + 1);
    for (char *at = stem + root; *at; at++)
        if (*at == '/') *at = '+';
    return stem;
}

bool nj_rolled_says(const nj_rolled_name *name, const char *column)
{
    static const char folder[] = "survey={survey}/";
    if (strcmp(column, "survey") != 0) return false;
    for (const char *at = name->text; (at = strstr(at, folder)); at++)
        if (at == name->text || at[-1] == '/') return true;
    return false;
}

static int index_of(const char *const *list, int n, const char *word, size_t size)
{
    for (int i = 0; i < n; i++)
        if (strlen(list[i]) == size && !strncmp(list[i], word, size)) return i;
    return -1;
}

/* ---- sizes and times ------------------------------------------------------------------------- */

typedef struct unit {
    const char *name;
    double factor;
} unit;

static const unit size_unit[] = { { "B", 1 },
                                  { "kB", 1e3 },
                                  { "MB", 1e6 },
                                  { "GB", 1e9 },
                                  { "TB", 1e12 },
                                  { "k", 1024.0 },
                                  { "M", 1048576.0 },
                                  { "G", 1073741824.0 },
                                  { "T", 1099511627776.0 },
                                  { "KiB", 1024.0 },
                                  { "MiB", 1048576.0 },
                                  { "GiB", 1073741824.0 },
                                  { "TiB", 1099511627776.0 },
                                  { NULL, 0 } },
                  time_unit[] = { { "s", 1 },    { "m", 60 },    { "min", 60 },
                                  { "h", 3600 }, { "d", 86400 }, { NULL, 0 } };

/* A number and one of the units; false: it is none. */
static bool read_amount(const char *word, const unit *units, double *value)
{
    char *end;
    double number = strtod(word, &end);
    if (end == word || !(number >= 0) || !isfinite(number) || !strncmp(word, "0x", 2)) return false;
    for (; units->name; units++)
        if (!strcmp(end, units->name)) return *value = number * units->factor, true;
    return false;
}

/* ---- options --------------------------------------------------------------------------------- */

static int add_rotation(nj_rolled_name *name, const char *target, const char *word, nj_error *err)
{
    double value;
    int which = index_of(place, HOUR + 1, word, strlen(word));
    if (which >= 0) {
        const bool there[] = { name->night, name->date, name->hour };
        if (there[which]) return 0;
        return nj_fail(err, "%s: rotate=%s wants {%s} in the name of the file", target, word, place[which]);
    }
    if (read_amount(word, time_unit, &value)) {
        if (value < 1)
            return nj_fail(err, "%s: rotate=%s: a file is written for a second at least", target, word);
        name->max_s = value;
    } else if (read_amount(word, size_unit, &value)) {
        if (value < 1024 || value > 1e15)
            return nj_fail(err, "%s: rotate=%s: a file has 1 kB at least, 1000 TB at most", target, word);
        name->max_bytes = (int64_t)value;
    } else {
        return nj_fail(
            err,
            "%s: rotate=%s is none of: a size (100MB, 1GB, 1GiB), a time (30m, 1h, 1d), night, date, hour",
            target, word);
    }
    if (name->number) return 0;
    return nj_fail(err, "%s: rotate=%s makes several files: {n} in the name gives each a number", target,
                   word);
}

static int read_option(nj_rolled_name *name, const char *target, char *text, nj_error *err)
{
    char *equals = strchr(text, '='), *next;
    int which = equals ? index_of(option, OPTIONS, text, (size_t)(equals - text)) : -1;
    if (which < 0) {
        if (equals) *equals = 0;
        const char *near = nj_nearest(text, option, OPTIONS);
        return nj_fail(err, "%s: there is no option '%s'; %s%s%sthere are rotate=, late= and by=", target,
                       text, near ? "did you mean '" : "", near ? near : "", near ? "'? " : "");
    }
    if (which == BY)
        return nj_rolled_is_folder(target)
                   ? 0 /* it is in the name by now */
                   : nj_fail(err, "%s: by= makes folders in a folder: DIR/?by=%s", target, equals + 1);
    if (which == LATE) {
        if (read_amount(equals + 1, time_unit, &name->late_s)) return 0;
        return nj_fail(err, "%s: late=%s is no time (0s, 10m, 1h)", target, equals + 1);
    }
    for (char *word = equals + 1; word; word = next) {
        next = strpbrk(word, ",|");
        if (next) *next++ = 0;
        if (add_rotation(name, target, word, err)) return -1;
    }
    return 0;
}

static int read_options(nj_rolled_name *name, const char *target, const char *from, nj_error *err)
{
    char *text = strdup(from + 1), *next;
    int rc = text ? 0 : nj_fail(err, "%s: out of memory", target);
    for (char *word = text; word && !rc; word = next) {
        next = strchr(word, '&');
        if (next) *next++ = 0;
        rc = read_option(name, target, word, err);
    }
    free(text);
    return rc;
}

/* ---- places ---------------------------------------------------------------------------------- */

/* The value of by=; NULL: it is not given. */
static const char *by_of(const char *options, size_t *n)
{
    for (const char *at = options; at && *at; at = strchr(at, '&')) {
        if (strncmp(++at, "by=", 3) != 0) continue;
        *n = strcspn(at + 3, "&");
        return at + 3;
    }
    return NULL;
}

/* DIR/?by=night,survey is DIR/night={night}/survey={survey}/part-{n}.parquet. */
static int spell_out(nj_rolled_name *name, const char *ending, const char *target, const char *options,
                     nj_error *err)
{
    static const char usual[] = "night";
    nj_buffer text = { 0 };
    size_t n = 0, size;
    const char *by = by_of(options, &n);
    if (!by) by = usual, n = strlen(usual);
    nj_buffer_text(&text, name->text);
    for (const char *end = by + n; by <= end; by += size + 1) {
        size = strcspn(by, ",|&");
        if (by + size > end) size = (size_t)(end - by);
        char word[32];
        snprintf(word, sizeof word, "%.*s", (int)size, by);
        if (index_of(place, NUMBER, by, size) < 0) {
            const char *near = nj_nearest(word, place, NUMBER);
            nj_buffer_free(&text);
            return nj_fail(err, "%s: by=%s: %s%s%sthere are night, date, hour, survey, topic and schema",
                           target, word, near ? "did you mean '" : "", near ? near : "", near ? "'? " : "");
        }
        nj_buffer_printf(&text, "%s={%s}/", word, word);
    }
    nj_buffer_printf(&text, "part-{n}%s", ending);
    if (text.failed) return nj_buffer_free(&text), nj_fail(err, "%s: out of memory", target);
    free(name->text);
    name->text = text.data;
    return 0;
}

static int read_places(nj_rolled_name *name, const char *target, nj_error *err)
{
    bool *const there[PLACES] = { &name->night, &name->date,   &name->hour,  &name->survey,
                                  &name->topic, &name->schema, &name->number };
    const char *slash = strrchr(name->text, '/'), *file = slash ? slash + 1 : name->text;
    size_t folder = (size_t)(file - name->text);
    for (const char *at = name->text; (at = strpbrk(at, "{}")); at++) {
        const char *end = *at == '{' ? strpbrk(at + 1, "{}") : NULL;
        if (!end || *end != '}') return nj_fail(err, "%s: a '%c' without its other half", target, *at);
        char word[32];
        snprintf(word, sizeof word, "%.*s", (int)(end - at - 1), at + 1);
        int which = index_of(place, PLACES, at + 1, (size_t)(end - at - 1));
        if (which < 0) {
            const char *near = nj_nearest(word, place, PLACES);
            return nj_fail(err, "%s: there is no {%s}; %s%s%sthere are " PLACES_SAID, target, word,
                           near ? "did you mean {" : "", near ? near : "", near ? "}? " : "");
        }
        if (which == NUMBER && (size_t)(at - name->text) < folder)
            return nj_fail(err, "%s: {n} is the number of a file: put it into the name of the file", target);
        *there[which] = true;
        at = end;
    }
    if (!*file) return nj_fail(err, "%s: is a folder, not a file", target);
    if (name->hour && !name->date && !name->night)
        return nj_fail(err, "%s: {hour} is the same on every day: put {date} or {night} into the name, too",
                       target);
    return 0;
}

int nj_rolled_parse(nj_rolled_name *name, const char *scheme, const char *ending, const char *target,
                    nj_error *err)
{
    const char *options = options_of(target);
    *name = (nj_rolled_name){ .late_s = 600 };
    name->text = options ? strndup(target, (size_t)(options - target)) : strdup(target);
    if (!name->text) return nj_fail(err, "%s: out of memory", target);
    int rc = 0;
    if (!strcmp(name->text, "-") || !strncmp(name->text, "/dev/", 5))
        rc = nj_fail(err, "%s:%s: only files are rotated, and have names with places", scheme, target);
    if (!rc && ending && nj_rolled_is_folder(target)) rc = spell_out(name, ending, target, options, err);
    if (!rc) rc = read_places(name, target, err);
    if (!rc && options) rc = read_options(name, target, options, err);
    if (!rc) name->root = nj_rolled_root(name->text, &name->folders);
    if (!rc && !(name->stem = nj_rolled_stem(name->text))) rc = nj_fail(err, "%s: out of memory", target);
    if (rc) nj_rolled_name_free(name);
    return rc;
}

void nj_rolled_name_free(nj_rolled_name *name)
{
    free(name->text);
    free(name->stem);
    *name = (nj_rolled_name){ 0 };
}

/* ---- filling in ------------------------------------------------------------------------------ */

static const double epoch = 2440587.5; /* 1970-01-01 00:00 as a Julian Date */

nj_rolled_key nj_rolled_key_of(const nj_rolled_name *name, double jd)
{
    nj_rolled_key key = { .survey = "", .topic = "", .schema = "" };
    const int32_t night = nj_night_of(jd, name->longitude);
    bool usable = night != NJ_NIGHT_UNKNOWN;
    double day = floor(jd - epoch);
    if (name->night) key.night = night;
    if (name->date) key.date = usable ? (int32_t)day : NJ_ROLLED_UNKNOWN;
    if (name->hour) key.hour = usable ? (int32_t)((jd - epoch - day) * 24) : NJ_ROLLED_UNKNOWN;
    return key;
}

double nj_rolled_end(const nj_rolled_name *name, double jd)
{
    double end = INFINITY;
    const int32_t night = nj_night_of(jd, name->longitude);
    if (night == NJ_NIGHT_UNKNOWN) return end;
    if (name->night) end = fmin(end, night + 1.5 - name->longitude / 360);
    if (name->date) end = fmin(end, floor(jd - epoch) + 1);
    if (name->hour) end = fmin(end, (floor((jd - epoch) * 24) + 1) / 24);
    return end * 86400;
}

static void add_date(nj_buffer *out, int32_t days)
{
    if (days == NJ_ROLLED_UNKNOWN)
        nj_buffer_text(out, "unknown");
    else
        nj_buffer_printf(out, "%08d", (int)nj_date_of(days));
}

char *nj_rolled_file(const nj_rolled_name *name, const nj_rolled_key *key, uint32_t number)
{
    nj_buffer out = { 0 };
    const char *slash = strrchr(name->text, '/'), *last = strrchr(name->text, '}');
    /* where a number goes that the name has no place for: before the endings */
    const char *endings = strchr(last > slash ? last : slash ? slash : name->text, '.');
    if (!endings) endings = name->text + strlen(name->text);
    for (const char *at = name->text;; at++) {
        if (at == endings && number > 1 && !name->number) nj_buffer_printf(&out, "-%u", number);
        if (!*at) break;
        if (*at != '{') {
            nj_buffer_add(&out, at, 1);
            continue;
        }
        const char *end = strchr(at, '}');
        switch (index_of(place, PLACES, at + 1, (size_t)(end - at - 1))) {
        case NIGHT: add_date(&out, key->night); break;
        case DATE: add_date(&out, key->date); break;
        case HOUR:
            if (key->hour == NJ_ROLLED_UNKNOWN)
                nj_buffer_text(&out, "unknown");
            else
                nj_buffer_printf(&out, "%02d", (int)key->hour);
            break;
        case SURVEY: nj_buffer_text(&out, key->survey); break;
        case TOPIC: nj_buffer_text(&out, key->topic); break;
        case SCHEMA: nj_buffer_text(&out, key->schema); break;
        default: nj_buffer_printf(&out, "%04u", number);
        }
        at = end;
    }
    nj_buffer_add(&out, "", 0);
    if (!out.failed) return out.data;
    nj_buffer_free(&out);
    return NULL;
}
