/* map.c - a survey is described by a text file of canonical names and packet paths; this parses and checks
 * it. */
#include "map.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TOKENS = 128, MAX_COLUMNS = 400, MAX_RULES = 32, MAX_GROUPS = 8, MAX_WORDS = 64 };

typedef struct token {
    const char *text;
    bool quoted;
} token;

typedef struct reader {
    nj_map *map;
    nj_error *err;
    const char *where;
    int line;
    bool amends, begun; /* of lines that change a map which is there: their first line has been read */
    token token[MAX_TOKENS];
    uint32_t n, at;
} reader;

static int bad(reader *r, const char *what, const char *word)
{
    return nj_fail(r->err, "%s:%d: %s%s%s%s", r->where, r->line, what, word ? " '" : "", word ? word : "",
                   word ? "'" : "");
}

/* Words, "texts" and {lists} (one token each, without their marks); # starts a comment. */
static int split(reader *r, const char *text, size_t n)
{
    r->n = r->at = 0;
    for (size_t i = 0; i < n;) {
        if (isspace((unsigned char)text[i])) {
            i++;
            continue;
        }
        if (text[i] == '#') break;
        if (r->n == MAX_TOKENS) return bad(r, "more words than a line may have", NULL);
        size_t from = i;
        char close = text[i] == '"' ? '"' : text[i] == '{' ? '}' : 0;
        if (close) {
            for (i++; i < n && text[i] != close; i++) {
            }
            if (i == n) return bad(r, "no end of what this opens:", close == '"' ? "\"" : "{");
            i++;
        } else {
            while (i < n && !isspace((unsigned char)text[i])) i++;
        }
        char *copy = nj_arena_text(&r->map->arena, text + from, i - from - (close == '"'));
        if (!copy) return bad(r, "out of memory", NULL);
        r->token[r->n++] = (token){ close == '"' ? copy + 1 : copy, close == '"' };
    }
    return 0;
}

static const char *peek(const reader *r)
{
    return r->at < r->n && !r->token[r->at].quoted ? r->token[r->at].text : "";
}

static bool take(reader *r, const char *word)
{
    if (strcmp(peek(r), word)) return false;
    r->at++;
    return true;
}

static int take_number(reader *r, double *value)
{
    if (r->at == r->n) return bad(r, "a number is missing at the end of the line", NULL);
    const char *text = r->token[r->at].text;
    char *end;
    *value = strtod(text, &end);
    if (end == text || *end) return bad(r, "no number:", text);
    r->at++;
    return 0;
}

static int take_words(reader *r, nj_change *change)
{
    nj_word word[MAX_WORDS];
    uint32_t n = 0;
    char *list = nj_arena_text(&r->map->arena, peek(r) + 1, strlen(peek(r)) - 2), *save = NULL;
    if (!list) return bad(r, "out of memory", NULL);
    for (char *w = strtok_r(list, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
        char *colon = strrchr(w, ':'), *end;
        if (!colon || colon == w || !colon[1] || n == MAX_WORDS) return bad(r, "no from:to:", w);
        *colon = 0;
        double number = strtod(colon + 1, &end);
        word[n] = (nj_word){ .from = w, .text = colon + 1, .number = *end ? NJ_NO_F64 : number };
        number = strtod(w, &end);
        word[n++].from_number = !*end ? number : !strcmp(w, "true") ? 1 : !strcmp(w, "false") ? 0 : NJ_NO_F64;
    }
    nj_word *copy = nj_arena_alloc(&r->map->arena, (n + 1) * sizeof *copy);
    if (!copy) return bad(r, "out of memory", NULL);
    memcpy(copy, word, n * sizeof *copy);
    change->word = copy;
    change->n_words = n;
    r->at++;
    return 0;
}

/* {..} | null V | scale X | offset X | ? A : B | above ? A : B, until the line ends */
static int take_change(reader *r, nj_change *change)
{
    while (r->at < r->n) {
        if (*peek(r) == '{') {
            if (take_words(r, change)) return -1;
        } else if (take(r, "null")) {
            change->has_null = true;
            if (take_number(r, &change->null_value)) return -1;
        } else if (take(r, "hash")) {
            change->hash = true;
        } else if (take(r, "iso")) {
            change->iso = true;
        } else if (take(r, "scale")) {
            if (take_number(r, &change->scale)) return -1;
        } else if (take(r, "offset")) {
            if (take_number(r, &change->offset)) return -1;
        } else if (!strcmp(peek(r), "?") || !strcmp(peek(r), "above0")) {
            change->asks = true;
            change->asks_sign = take(r, "above0");
            if (!take(r, "?")) return bad(r, "'?' is missing behind", "above0");
            if (take_number(r, &change->if_present)) return -1;
            if (!take(r, ":")) return bad(r, "':' is missing; found", peek(r));
            if (take_number(r, &change->if_absent)) return -1;
        } else {
            return bad(r, "not known here:", r->token[r->at].text);
        }
    }
    return 0;
}

static bool is_path(const char *text)
{
    return isalpha((unsigned char)*text) || *text == '_';
}

/* path | "prefix" path | ... */
static int take_choice(reader *r, nj_choice *choice)
{
    if (take(r, "-")) return 0; /* this part has no such field */
    do {
        nj_source_path *a = &choice->alternative[choice->n];
        if (choice->n == NJ_MAP_ALTERNATIVES)
            return bad(r, "more alternatives than the map format allows", NULL);
        if (r->at + 1 < r->n && r->token[r->at].quoted) a->prefix = r->token[r->at++].text;
        if (!is_path(peek(r)))
            return bad(r, "a path is missing; found",
                       r->at < r->n ? r->token[r->at].text : "the end of the line");
        a->path = r->token[r->at++].text;
        choice->n++;
    } while (take(r, "|"));
    return 0;
}

/* A text in quotes, or a number: the same in every row. */
static bool is_constant(const token *t)
{
    return t->quoted || isdigit((unsigned char)*t->text) || (strchr("+-.", *t->text) && t->text[1]);
}

static int take_constant(reader *r, nj_map_column *c)
{
    double number;
    c->constant = r->token[r->at].text;
    if (c->type != NJ_STR) return take_number(r, &number); /* moves on */
    r->at++;
    return 0;
}

static int take_source(reader *r, nj_map_column *c, uint32_t n_parts)
{
    if (r->at + 1 == r->n && is_constant(&r->token[r->at])) return take_constant(r, c);
    uint32_t n = 0;
    do {
        if (n == n_parts) return bad(r, "more '+' than the series has parts:", c->name);
        if (take_choice(r, &c->part[n++])) return -1;
    } while (take(r, "+"));
    if (n != 1 && n != n_parts)
        return bad(r, "say it once for all parts of the series or once for each:", c->name);
    for (uint32_t i = n; i < n_parts; i++) c->part[i] = c->part[0];
    return take_change(r, &c->change);
}

static int type_of(const char *text, nj_map_column *c)
{
    static const struct {
        const char *name;
        nj_type type;
    } types[] = { { "u8", NJ_U8 },   { "i32", NJ_I32 }, { "i64", NJ_I64 },
                  { "f32", NJ_F32 }, { "f64", NJ_F64 }, { "str", NJ_STR } };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(text, types[i].name)) {
            c->type = types[i].type;
            return 0;
        }
    if (strcmp(text, "image")) return -1;
    c->type = NJ_F32;
    c->shape = NJ_IMAGE;
    return 0;
}

/* name |= path | path: more alternatives, behind those that are there;
 * of a series in each part that has the column */
static int add_alternatives(reader *r)
{
    nj_map_column *c = (nj_map_column *)(uintptr_t)nj_map_find(r->map, r->token[0].text);
    nj_choice more = { .n = 0 };
    if (!c || c->constant)
        return bad(r, "'|=' wants a column with paths; there is no such", r->token[0].text);
    r->at = 2;
    if (take_choice(r, &more)) return -1;
    if (r->at < r->n) return bad(r, "not known here:", r->token[r->at].text);
    for (uint32_t part = 0; part < NJ_MAP_PARTS; part++) {
        nj_choice *choice = &c->part[part];
        if (!choice->n) continue;
        if (choice->n + more.n > NJ_MAP_ALTERNATIVES)
            return bad(r, "more alternatives than the map format allows", NULL);
        for (uint32_t i = 0; i < more.n; i++) choice->alternative[choice->n++] = more.alternative[i];
    }
    return 0;
}

/* name type [unit] = source change */
static int read_column(reader *r)
{
    nj_map *m = r->map;
    if (r->n > 2 && !r->token[1].quoted && !strcmp(r->token[1].text, "|=")) return add_alternatives(r);
    if (m->n_columns == MAX_COLUMNS) return bad(r, "more columns than a map may have", NULL);
    nj_map_column c = { .name = r->token[0].text,
                        .unit = "1",
                        .shape = NJ_SCALAR,
                        .group = NJ_MAP_NO_GROUP,
                        .change = { .scale = 1 },
                        .line = r->line };
    nj_map_column *known = (nj_map_column *)(uintptr_t)nj_map_find(m, c.name);
    if (known && !r->amends) return bad(r, "this column stands twice:", c.name);
    if (r->n < 4 || type_of(r->token[1].text, &c)) return bad(r, "no 'name type [unit] = path':", c.name);
    r->at = 2;
    if (!take(r, "=")) {
        c.unit = r->token[r->at++].text;
        if (!take(r, "=")) return bad(r, "'=' is missing in", c.name);
    }
    const char *dot = strchr(c.name, '.');
    uint32_t n_parts = 1;
    for (uint32_t g = 0; dot && g < m->n_groups; g++) {
        if (strncmp(m->group[g].name, c.name, (size_t)(dot - c.name)) || m->group[g].name[dot - c.name])
            continue;
        c.group = (uint8_t)g;
        c.shape = NJ_SERIES;
        n_parts = m->group[g].n_parts;
    }
    if (dot && c.shape == NJ_SCALAR) return bad(r, "no 'series' line above for", c.name);
    if (take_source(r, &c, n_parts)) return -1;
    *(known ? known : &m->column[m->n_columns++]) = c;
    return 0;
}

/* series lc = prv_candidates[] + candidate */
static int read_series(reader *r)
{
    nj_map *m = r->map;
    if (r->n < 4 || m->n_groups == MAX_GROUPS)
        return bad(r, "no 'series name = part + part', or too many of them", NULL);
    nj_map_group g = { .name = r->token[1].text };
    for (uint32_t i = 0; i < m->n_groups; i++)
        if (!strcmp(m->group[i].name, g.name)) return bad(r, "this series stands twice:", g.name);
    r->at = 2;
    if (!take(r, "=")) return bad(r, "'=' is missing in series", g.name);
    do {
        if (g.n_parts == NJ_MAP_PARTS) return bad(r, "more parts than a series may have:", g.name);
        const bool root = !strcmp(peek(r), ".");
        if (!root && !is_path(peek(r))) return bad(r, "a path is missing; found", peek(r));
        g.part[g.n_parts++] = root ? "" : r->token[r->at].text;
        r->at++;
    } while (take(r, "+"));
    if (r->at < r->n) return bad(r, "not known here:", r->token[r->at].text);
    m->group[m->n_groups++] = g;
    return 0;
}

/* match name PATTERN... | match both TOPIC PATH... | match topic PATTERN... | match fields PATH... */
static int read_match(reader *r)
{
    static const char *const kind[] = { "name", "both", "topic", "fields" };
    nj_map *m = r->map;
    nj_map_rule rule = { 0 };
    if (r->n < 3 || r->n > 18 || m->n_rules == MAX_RULES)
        return bad(r, "no 'match name|both|topic|fields WORD...', or too many", NULL);
    size_t k = 0;
    while (k < 4 && strcmp(r->token[1].text, kind[k])) k++;
    if (k == 4) return bad(r, "match what? name, both, topic or fields, not", r->token[1].text);
    rule.kind = k == 0 ? NJ_RULE_NAME : k == 1 ? NJ_RULE_BOTH : k == 2 ? NJ_RULE_TOPIC : NJ_RULE_FIELDS;
    if (rule.kind == NJ_RULE_BOTH && r->n < 4)
        return bad(r, "match both a topic and fields; there is only", r->token[2].text);
    for (uint32_t i = 2; i < r->n; i++) rule.word[rule.n++] = r->token[i].text;
    m->rule[m->n_rules++] = rule;
    return 0;
}

enum { TAI_MINUS_UTC_S = 37 }; /* since 2017 */

/* time utc|tai start|mid|end SECONDS: the scale of jd, which moment of an exposure it is,
 * and how long one lasts */
static int read_time(reader *r)
{
    static const char *const scale[] = { "utc", "tai" }, *const ref[] = { "start", "mid", "end" };
    static const char *const said[] = { "UTC", "TAI" }, *const moment[] = { "start of exposure",
                                                                            "mid-exposure",
                                                                            "end of exposure" };
    static const double part[] = { 1, 0.5, 0 };
    nj_survey_facts *f = &r->map->facts;
    size_t s = 0, k = 0;
    char *end = NULL;
    while (s < 2 && strcmp(r->token[1].text, scale[s])) s++;
    while (k < 3 && strcmp(r->token[2].text, ref[k])) k++;
    double seconds = strtod(r->token[3].text, &end);
    if (s == 2) return bad(r, "the scale of time is utc or tai, not", r->token[1].text);
    if (k == 3) return bad(r, "jd is start, mid or end of an exposure, not", r->token[2].text);
    if (*end || !(seconds >= 0 && seconds <= 86400))
        return bad(r, "an exposure lasts 0 to 86400 s, not", r->token[3].text);
    f->has_time = true;
    f->exposure_end_s = part[k] * seconds - (s == 1 ? TAI_MINUS_UTC_S : 0);
    f->scale = said[s];
    f->moment = moment[k];
    return 0;
}

/* public ID...: the observing programmes (column programid) whose alerts are public */
static int read_public(reader *r)
{
    nj_survey_facts *f = &r->map->facts;
    f->n_programs = 0;
    if (r->n - 1 > NJ_PUBLIC_PROGRAMS) return bad(r, "more public programmes than a map may have", NULL);
    for (uint32_t i = 1; i < r->n; i++) {
        char *end;
        f->programs[f->n_programs++] = strtoll(r->token[i].text, &end, 10);
        if (end == r->token[i].text || *end)
            return bad(r, "the number of a programme is not", r->token[i].text);
    }
    return 0;
}

/* A directive has the form of none of the columns: no '='. 1 = it is none. */
static int read_fact(reader *r)
{
    const char *first = r->token[0].text;
    for (uint32_t i = 1; i < r->n; i++)
        if (strchr(r->token[i].text, '=')) return 1;
    if (!strcmp(first, "time"))
        return r->n == 4 ? read_time(r) : bad(r, "time SCALE REF SECONDS has three words", NULL);
    if (!strcmp(first, "public"))
        return r->n > 1 ? read_public(r) : bad(r, "public names no programme", NULL);
    if (!strcmp(first, "serves")) {
        r->map->serves = r->token[1].text;
        return r->n == 2 ? 0 : bad(r, "serves names one survey", NULL);
    }
    if (strcmp(first, "schemas")) return 1;
    if (r->n != 2 || strcmp(r->token[1].text, "builtin")) return bad(r, "schemas can only be builtin", NULL);
    r->map->facts.builtin_schemas = true;
    return 0;
}

static int read_line(reader *r)
{
    if (r->n == 0) return 0;
    const char *first = r->token[0].text;
    if (r->amends && !r->begun) { /* its "amend SURVEY" */
        r->begun = true;
        return 0;
    }
    if (!strcmp(first, "survey") && r->n == 2 && !r->amends) { /* with more words it is the column
                                                                * of this name */
        r->map->survey = r->token[1].text;
        return 0;
    }
    if (!r->map->survey) return bad(r, "the first line must be 'survey NAME', not", first);
    if (!strcmp(first, "match")) return read_match(r);
    if (!strcmp(first, "series")) return read_series(r);
    int fact = read_fact(r);
    if (fact <= 0) return fact;
    return read_column(r);
}

static int read_all(reader *r, const char *text)
{
    nj_map *m = r->map;
    if (!r->amends) {
        m->rule = calloc(MAX_RULES, sizeof *m->rule);
        m->group = calloc(MAX_GROUPS, sizeof *m->group);
        m->column = calloc(MAX_COLUMNS, sizeof *m->column);
    }
    if (!m->rule || !m->group || !m->column) return bad(r, "out of memory", NULL);
    while (*text) {
        size_t n = strcspn(text, "\n");
        r->line++;
        if (split(r, text, n) || read_line(r)) return -1;
        text += n + (text[n] == '\n');
    }
    if (!m->survey) return bad(r, "no 'survey NAME'", NULL);
    free(m->name);
    m->name = calloc(m->n_columns + 1, sizeof *m->name);
    if (!m->name) return bad(r, "out of memory", NULL);
    for (uint32_t c = 0; c < m->n_columns; c++) m->name[c] = m->column[c].name;
    return 0;
}

nj_map *nj_map_read(const char *where, const char *text, nj_error *err)
{
    reader *r = calloc(1, sizeof *r);
    nj_map *map = calloc(1, sizeof *map);
    int rc = -1;
    if (r && map) {
        *r = (reader){ .map = map, .err = err, .where = where };
        rc = read_all(r, text);
    } else {
        nj_fail(err, "out of memory");
    }
    free(r);
    if (rc == 0) return map;
    nj_map_free(map);
    return NULL;
}

bool nj_map_amends(const char *text, char *survey, size_t size)
{
    char word[16], name[64];
    while (*text) {
        size_t n = strcspn(text, "\n");
        size_t blank = strspn(text, " \t\r");
        if (blank < n && text[blank] != '#') {
            if (sscanf(text, " %15s %63s", word, name) != 2 || strcmp(word, "amend")) return false;
            snprintf(survey, size, "%s", name);
            return true;
        }
        text += n + (text[n] == '\n');
    }
    return false;
}

int nj_map_amend(nj_map *map, const char *where, const char *text, nj_error *err)
{
    reader *r = calloc(1, sizeof *r);
    if (!r) return nj_fail(err, "out of memory");
    *r = (reader){ .map = map, .err = err, .where = where, .amends = true };
    int rc = read_all(r, text);
    free(r);
    return rc;
}

void nj_map_free(nj_map *map)
{
    if (!map) return;
    nj_arena_free(&map->arena);
    free(map->rule);
    free(map->group);
    free(map->column);
    free(map->name);
    free(map);
}

const nj_map_column *nj_map_find(const nj_map *map, const char *name)
{
    for (uint32_t c = 0; c < map->n_columns; c++) {
        const char *other = map->column[c].name; /* most differ in their first letter: no call for those */
        if (*other == *name && !strcmp(other, name)) return &map->column[c];
    }
    return NULL;
}
