/* change.c - a changed schema is reported to the user: fields that were added, removed or have another
 * type. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/buffer.h"
#include "../base/log.h"
#include "decoder.h"

enum { MAX_DEPTH = 8, MAX_FIELDS = 20000, MAX_REPORTED = 40 };

typedef struct field {
    char path[160], type[60];
} field;

typedef struct fields {
    field *field;
    size_t n;
} fields;

static void type_text(const nj_tree *tree, uint32_t at, char *text, size_t size)
{
    const nj_node *node = &tree->node[at];
    if (node->kind != NJ_K_UNION) {
        snprintf(text, size, "%s", nj_kind_name[node->kind]);
        return;
    }
    size_t n = 0;
    for (uint32_t i = 0; i < node->n && n + 12 < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%s", i ? " or " : "",
                              nj_kind_name[tree->node[tree->child[node->first + i].node].kind]);
}

static void list(fields *f, const nj_tree *tree, uint32_t at, const char *path, int depth)
{
    const nj_node *node = &tree->node[at];
    char inner[160];
    if (depth > MAX_DEPTH) return;
    if (node->kind == NJ_K_UNION) {
        for (uint32_t i = 0; i < node->n; i++)
            list(f, tree, tree->child[node->first + i].node, path, depth + 1);
    } else if (node->kind == NJ_K_ARRAY) {
        snprintf(inner, sizeof inner, "%.150s[]", path);
        list(f, tree, tree->child[node->first].node, inner, depth + 1);
    } else if (node->kind == NJ_K_RECORD) {
        for (uint32_t i = 0; i < node->n && f->n < MAX_FIELDS; i++) {
            const nj_child *child = &tree->child[node->first + i];
            snprintf(inner, sizeof inner, "%.90s%s%.60s", path, *path ? "." : "", child->name);
            field *new = &f->field[f->n++];
            snprintf(new->path, sizeof new->path, "%s", inner);
            type_text(tree, child->node, new->type, sizeof new->type);
            list(f, tree, child->node, inner, depth + 1);
        }
    }
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const field *)a)->path, ((const field *)b)->path);
}

/* Nothing below a field that came or went as a whole. */
static bool inside(const char *path, const char *whole)
{
    size_t n = strlen(whole);
    return n && !strncmp(path, whole, n) && (path[n] == '.' || path[n] == '[');
}

static void compare(nj_buffer *out, const fields *a, const fields *b)
{
    const char *gone = "", *come = "";
    int reported = 0;
    for (size_t i = 0, k = 0; i < a->n || k < b->n;) {
        int order = i == a->n ? 1 : k == b->n ? -1 : by_path(&a->field[i], &b->field[k]);
        const field *old = order <= 0 ? &a->field[i++] : NULL, *new = order >= 0 ? &b->field[k++] : NULL;
        bool same = old && new && !strcmp(old->type, new->type);
        if (same || (!new &&inside(old->path, gone)) || (!old && inside(new->path, come))) continue;
        if (!new) gone = old->path;
        if (!old) come = new->path;
        if (++reported > MAX_REPORTED) continue;
        if (!old)
            nj_buffer_printf(out, "\n  + %s (%s)", new->path, new->type);
        else if (!new)
            nj_buffer_printf(out, "\n  - %s (%s)", old->path, old->type);
        else
            nj_buffer_printf(out, "\n  ~ %s: %s, was %s", new->path, new->type, old->type);
    }
    if (reported > MAX_REPORTED) nj_buffer_printf(out, "\n  and %d more", reported - MAX_REPORTED);
    if (!reported) nj_buffer_text(out, "\n  no field differs");
}

void nj_schema_report_change(uint32_t id, const nj_schema *before, const nj_schema *now)
{
    fields a = { calloc(MAX_FIELDS, sizeof(field)), 0 }, b = { calloc(MAX_FIELDS, sizeof(field)), 0 };
    nj_buffer text = { 0 };
    if (a.field && b.field) {
        list(&a, &before->tree, before->tree.root, "", 0);
        list(&b, &now->tree, now->tree.root, "", 0);
        qsort(a.field, a.n, sizeof *a.field, by_path);
        qsort(b.field, b.n, sizeof *b.field, by_path);
        compare(&text, &a, &b);
        char which[32] = "";
        if (id) snprintf(which, sizeof which, ", id %u", id);
        nj_log(NJ_LOG_WARN, "a new schema%s: %s; against %s:%s", which, now->name, before->name,
               text.data ? text.data : "");
    }
    nj_buffer_free(&text);
    free(a.field);
    free(b.field);
}

/* 11 of "lsst.v11_0.alert" and "ztf.alert 11.0"; -1: it says none. */
static long major_of(const nj_schema *schema)
{
    const char *text = schema->tree.version;
    if (text && *text >= '0' && *text <= '9') return strtol(text, NULL, 10);
    for (text = schema->name; *text; text++)
        if (*text == 'v' && text[1] >= '0' && text[1] <= '9' && (text == schema->name || text[-1] == '.'))
            return strtol(text + 1, NULL, 10);
    return -1;
}

void nj_decoder_note_version(nj_decoder *d, const nj_schema *schema)
{
    const nj_schema *before = NULL;
    const long major = major_of(schema);
    if (major < 0) return;
    pthread_mutex_lock(&d->lock);
    if (!d->highest) d->highest = calloc(d->n_maps, sizeof *d->highest);
    for (uint32_t m = 0; d->highest && m < d->n_maps; m++) {
        if (d->map[m] != schema->map) continue;
        before = d->highest[m];
        if (before && major_of(before) >= major)
            before = NULL;
        else
            d->highest[m] = nj_schema_hold(schema);
    }
    pthread_mutex_unlock(&d->lock);
    if (before) nj_schema_report_change(0, before, schema);
    nj_schema_drop(before);
}
