/* folder.c - schemas may be a folder of .avsc files that refer to each other; this joins them into one
 * schema. */
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "registry.h"

#include "../base/file.h"

/* What nests deeper than the second is refused by the parser of schemas, which allows a quarter of it: a type
 * takes up to four steps here. */
enum { MAX_FILES = 200, MAX_NESTING = 512 };

typedef struct type_file {
    char name[300]; /* full name */
    json_t *json;
    bool used; /* stands in the document already */
} type_file;

typedef struct folder {
    type_file file[MAX_FILES];
    size_t n;
} folder;

static void full_name(char *text, size_t size, const char *name, const char *space)
{
    if (strchr(name, '.') || !*space)
        snprintf(text, size, "%s", name);
    else
        snprintf(text, size, "%s.%s", space, name);
}

static type_file *find(folder *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++)
        if (!strcmp(f->file[i].name, name)) return &f->file[i];
    return NULL;
}

static json_t *expand(folder *f, const json_t *json, const char *space, int nesting);

static json_t *expand_name(folder *f, const char *name, const char *space, int nesting)
{
    char full[300];
    full_name(full, sizeof full, name, space);
    type_file *t = find(f, full);
    if (!t) t = find(f, name);
    if (!t) return json_string(name); /* a primitive type, or one defined in its place */
    if (t->used) return json_string(t->name);
    t->used = true;
    return expand(f, t->json, "", nesting + 1);
}

static json_t *expand_object(folder *f, const json_t *json, const char *space, int nesting)
{
    const char *name = json_string_value(json_object_get(json, "name")),
               *own = json_string_value(json_object_get(json, "namespace"));
    char full[300] = "", inner[300];
    snprintf(inner, sizeof inner, "%s", own ? own : space);
    if (name) {
        full_name(full, sizeof full, name, inner);
        char *dot = strrchr(full, '.');
        snprintf(inner, sizeof inner, "%.*s", dot ? (int)(dot - full) : 0, full);
    }
    json_t *copy = json_copy((json_t *)(uintptr_t)json);
    static const char *const child[] = { "type", "items", "values" };
    for (int i = 0; i < 3 && copy; i++) {
        const json_t *type = json_object_get(json, child[i]);
        if (type && (i > 0 || !json_is_string(type) || find(f, json_string_value(type))))
            json_object_set_new(copy, child[i], expand(f, type, inner, nesting + 1));
    }
    const json_t *fields = json_object_get(json, "fields");
    if (json_is_array(fields) && copy) {
        json_t *list = json_array();
        for (size_t i = 0; i < json_array_size(fields); i++) {
            const json_t *field = json_array_get(fields, i);
            json_t *one = json_copy((json_t *)(uintptr_t)field);
            if (one && json_object_get(field, "type"))
                json_object_set_new(one, "type",
                                    expand(f, json_object_get(field, "type"), inner, nesting + 1));
            json_array_append_new(list, one);
        }
        json_object_set_new(copy, "fields", list);
    }
    return copy;
}

static json_t *expand(folder *f, const json_t *json, const char *space, int nesting)
{
    if (nesting > MAX_NESTING) return json_null();
    if (json_is_string(json)) return expand_name(f, json_string_value(json), space, nesting);
    if (json_is_object(json)) return expand_object(f, json, space, nesting);
    if (!json_is_array(json)) return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(json); i++)
        json_array_append_new(list, expand(f, json_array_get(json, i), space, nesting + 1));
    return list;
}

/* A document that others use by its name; one without a name cannot be referred to. There is room. */
static bool add_type(folder *f, json_t *json)
{
    const char *name = json_string_value(json_object_get(json, "name")),
               *space = json_string_value(json_object_get(json, "namespace"));
    if (!name) return false;
    f->file[f->n].json = json;
    full_name(f->file[f->n].name, sizeof f->file[f->n].name, name, space ? space : "");
    f->n++;
    return true;
}

static int load(folder *f, const char *path, nj_error *err)
{
    json_error_t why;
    struct dirent **entry;
    int n = scandir(path, &entry, NULL, alphasort), rc = 0;
    for (int i = 0; i < n; i++) {
        char file[4700];
        snprintf(file, sizeof file, "%.4000s/%s", path, entry[i]->d_name);
        if (rc == 0 && nj_ends_with(file, ".avsc") && !nj_is_special(file)) {
            json_t *json = f->n < MAX_FILES ? json_load_file(file, 0, &why) : NULL;
            if (f->n == MAX_FILES)
                rc = nj_fail(err, "%.400s: more than %d files of schemas in one folder", path, MAX_FILES);
            else if (!json)
                rc = nj_fail(err, "%.400s: %.200s (line %d)", file, why.text, why.line);
            else if (!add_type(f, json)) {
                json_decref(json);
                rc = nj_fail(err, "%.400s: a type without a name, which no other file can use", file);
            }
        }
        free(entry[i]);
    }
    if (n >= 0) free(entry);
    return rc;
}

/* The document of the type whose name ends in "alert". */
static char *join(folder *f, const char *path, nj_error *err)
{
    type_file *root = NULL;
    for (size_t i = 0; i < f->n; i++)
        if (nj_ends_with(f->file[i].name, ".alert") || !strcmp(f->file[i].name, "alert")) root = &f->file[i];
    if (!root && f->n == 1) root = &f->file[0];
    if (!root) {
        nj_fail(err, "%.500s: no file defines a record 'alert'", path);
        return NULL;
    }
    root->used = true;
    json_t *whole = expand(f, root->json, "", 0);
    char *text = json_dumps(whole, JSON_COMPACT);
    json_decref(whole);
    if (!text) nj_fail(err, "out of memory");
    return text;
}

char *nj_schema_join(json_t **schema, size_t n)
{
    folder *f = n <= MAX_FILES + 1 ? calloc(1, sizeof *f) : NULL;
    if (!f) return NULL;
    for (size_t i = 1; i < n; i++) add_type(f, schema[i]);
    json_t *whole = expand(f, schema[0], "", 0);
    char *text = json_dumps(whole, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(whole);
    free(f);
    return text;
}

char *nj_schema_from_folder(const char *where, const char *name, size_t *size, nj_error *err)
{
    char path[4096];
    struct stat st;
    for (int i = 0; i < 2; i++) {
        json_error_t why;
        snprintf(path, sizeof path, i ? "%s/%s.json" : "%s/%s.avsc", where, name);
        if (stat(path, &st)) continue;
        json_t *json = json_load_file(path, JSON_DECODE_ANY, &why);
        char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        json_decref(json);
        if (!text)
            nj_fail(err, "%.500s: %.200s", path, why.text);
        else
            *size = strlen(text);
        return text;
    }
    char *end;
    unsigned long id = strtoul(name, &end, 10); /* a GUID has no release */
    for (int i = 0; i < 2 && !*end; i++) {
        snprintf(path, sizeof path, "%s/%s%lu/%lu", where, i ? "lsst/" : "", id / 100, id % 100);
        if (stat(path, &st) || !S_ISDIR(st.st_mode)) continue;
        folder *f = calloc(1, sizeof *f);
        char *text = NULL;
        if (!f)
            nj_fail(err, "out of memory");
        else if (!load(f, path, err))
            text = join(f, path, err);
        for (size_t k = 0; f && k < f->n; k++) json_decref(f->file[k].json);
        free(f);
        if (text) *size = strlen(text);
        return text;
    }
    if (*end)
        nj_fail(err, "schema id %s: nothing in %.400s (no %s.avsc)", name, where, name);
    else
        nj_fail(err, "schema id %s: nothing in %.400s (neither %s.avsc nor %lu/%lu/*.avsc)", name, where,
                name, id / 100, id % 100);
    return NULL;
}
