/* fields.c - `nightjar inspect` shows every field of a packet, also fields that no map names. */
#include "fields.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/utf8.h"

enum { DEPTH_MOST = 8, FIELDS_MOST = 4096, PATH_MOST = 256 };

typedef struct walk {
    nj_packet_view *view;
    json_t *named; /* name -> definition, borrowed references */
    uint32_t cap, n_columns, cap_columns;
    int failed;
} walk;

/* ---- the schema's tree ----------------------------------------------------------------------- */
static nj_packet_field *add_field(walk *w)
{
    nj_packet_view *v = w->view;
    if (v->n_fields == w->cap) {
        uint32_t cap = w->cap ? 2 * w->cap : 256;
        nj_packet_field *field = cap > 2 * FIELDS_MOST ? NULL : realloc(v->field, cap * sizeof *field);
        if (!field) {
            w->failed = 1;
            return NULL;
        }
        v->field = field;
        w->cap = cap;
    }
    return &v->field[v->n_fields++];
}

static int32_t add_column(walk *w, const char *path, nj_type type, nj_shape shape)
{
    nj_packet_view *v = w->view;
    if (w->n_columns == w->cap_columns) {
        uint32_t cap = w->cap_columns ? 2 * w->cap_columns : 256;
        nj_column_def *column = realloc(v->column, cap * sizeof *column);
        if (!column) {
            w->failed = 1;
            return -1;
        }
        v->column = column;
        w->cap_columns = cap;
    }
    const char *copy = nj_arena_text(&v->arena, path, strlen(path));
    if (!copy) w->failed = 1;
    v->column[w->n_columns] = (nj_column_def){ copy, type, shape, NULL, 1 };
    return (int32_t)w->n_columns++;
}

static void split_doc(walk *w, json_t *field, nj_packet_field *f)
{
    const char *doc = json_string_value(json_object_get(field, "doc"));
    f->doc = f->unit = "";
    if (!doc) return;
    const char *open = strrchr(doc, '['), *close = open ? strchr(open, ']') : NULL;
    /* "[mag]" is a unit, "[00 .. 63]" is not. */
    int is_unit =
        close && close > open + 1 && close - open < 16 && !memchr(open, ' ', (size_t)(close - open));
    size_t n = is_unit && !close[1] ? (size_t)(open - doc) : strlen(doc);
    while (n && (doc[n - 1] == ' ' || doc[n - 1] == '\n')) n--;
    f->doc = nj_arena_text(&w->view->arena, doc, n);
    if (is_unit) f->unit = nj_arena_text(&w->view->arena, open + 1, (size_t)(close - open - 1));
    if (!f->doc || !f->unit) w->failed = 1;
}

/* Behind names and unions: the definition that holds the values. */
static json_t *resolve(walk *w, json_t *type, const char *space)
{
    for (int turn = 0; turn < DEPTH_MOST && type; turn++) {
        if (json_is_array(type)) {
            json_t *branch = NULL;
            for (size_t i = 0; i < json_array_size(type) && !branch; i++) {
                const char *name = json_string_value(json_array_get(type, i));
                if (!name || strcmp(name, "null")) branch = json_array_get(type, i);
            }
            type = branch;
        } else if (json_is_string(type)) {
            char full[2 * PATH_MOST + 2];
            snprintf(full, sizeof full, "%s.%s", space, json_string_value(type));
            json_t *known = json_object_get(w->named, json_string_value(type));
            if (!known) known = json_object_get(w->named, full);
            if (!known) return type;
            type = known;
        } else if (json_is_object(json_object_get(type, "type"))) {
            type = json_object_get(type, "type");
        } else {
            break;
        }
    }
    return type;
}

static const char *space_of(json_t *record, const char *outer, char room[PATH_MOST])
{
    const char *own = json_string_value(json_object_get(record, "namespace")),
               *name = json_string_value(json_object_get(record, "name"));
    const char *dot = name ? strrchr(name, '.') : NULL;
    if (dot)
        snprintf(room, PATH_MOST, "%.*s", (int)(dot - name), name);
    else
        snprintf(room, PATH_MOST, "%s", own ? own : outer);
    return room;
}

static void remember(walk *w, json_t *record, const char *space)
{
    char full[2 * PATH_MOST + 2];
    const char *name = json_string_value(json_object_get(record, "name"));
    if (!name) return;
    json_object_set(w->named, name, record);
    snprintf(full, sizeof full, "%s.%s", space, name);
    if (!strchr(name, '.')) json_object_set(w->named, full, record);
}

static void walk_record(walk *w, json_t *record, const char *path, const char *outer, uint32_t depth,
                        int in_list);

static void walk_field(walk *w, json_t *field, const char *path, const char *space, uint32_t depth,
                       int in_list)
{
    char here[PATH_MOST], packet[PATH_MOST + 8];
    const char *name = json_string_value(json_object_get(field, "name"));
    nj_packet_field *f = name ? add_field(w) : NULL;
    if (!f) return;
    uint32_t at = w->view->n_fields - 1;
    *f = (nj_packet_field){ .kind = NJ_FIELD_OTHER,
                            .name = nj_arena_text(&w->view->arena, name, strlen(name)),
                            .depth = depth,
                            .column = -1 };
    split_doc(w, field, f);
    snprintf(here, sizeof here, "%s%s%s", path, *path ? "." : "", name);
    json_t *type = resolve(w, json_object_get(field, "type"), space);
    const char *word =
        json_is_object(type) ? json_string_value(json_object_get(type, "type")) : json_string_value(type);
    json_t *items = word && !strcmp(word, "array") ? resolve(w, json_object_get(type, "items"), space) : NULL;
    if (word && !strcmp(word, "record")) {
        f->kind = NJ_FIELD_GROUP;
        walk_record(w, type, here, space, depth + 1, in_list);
    } else if (items && json_is_object(items) && json_object_get(items, "fields") && !in_list) {
        f->kind = NJ_FIELD_LIST;
        strncat(here, "[]", sizeof here - strlen(here) - 1);
        walk_record(w, items, here, space, depth + 1, 1);
    } else {
        nj_offer offer;
        bool in_map;
        snprintf(packet, sizeof packet, "packet.%s", here);
        int known = word && strcmp(word, "bytes") &&
                    !nj_schema_offer(w->view->schema, packet, &offer, &in_map) && offer.shape != NJ_IMAGE;
        if (known && (offer.shape == NJ_SERIES) == in_list) {
            f->kind = NJ_FIELD_VALUE;
            f->column = add_column(w, packet, offer.type, offer.shape);
        }
    }
    w->view->field[at].end = w->view->n_fields;
}

static void walk_record(walk *w, json_t *record, const char *path, const char *outer, uint32_t depth,
                        int in_list)
{
    char room[PATH_MOST];
    const char *space = space_of(record, outer, room);
    size_t i;
    json_t *field;
    remember(w, record, space);
    if (depth >= DEPTH_MOST) return;
    json_array_foreach(json_object_get(record, "fields"), i, field)
        walk_field(w, field, path, space, depth, in_list);
}

static int32_t canonical(walk *w, const char *name, nj_type type)
{
    nj_offer offer;
    bool in_map;
    if (nj_schema_offer(w->view->schema, name, &offer, &in_map)) return -1;
    return add_column(w, name, type, offer.shape);
}

int nj_packet_view_build(nj_packet_view *v, const nj_schema *schema, const void *json, size_t size,
                         nj_error *err)
{
    static const struct {
        const char *name;
        nj_type type;
    } series[NJ_VIEW_SERIES] = { { "lc.jd", NJ_F64 },      { "lc.mag", NJ_F64 },
                                 { "lc.mag_err", NJ_F64 }, { "lc.limit_mag", NJ_F64 },
                                 { "lc.band", NJ_U8 },     { "lc.positive", NJ_U8 },
                                 { "lc.flux", NJ_F64 },    { "lc.flux_err", NJ_F64 } };
    json_error_t why;
    json_t *root = json_loadb(json, size, 0, &why);
    walk w = { .view = v, .named = json_object() };
    v->schema = schema;
    if (root && w.named) {
        walk_record(&w, root, "", "", 0, 0);
        for (int k = 0; k < NJ_VIEW_SERIES; k++) v->series[k] = canonical(&w, series[k].name, series[k].type);
        v->object = canonical(&w, "object", NJ_STR);
        v->band = canonical(&w, "band", NJ_STR);
    }
    uint8_t stamps = 0;
    for (int s = 0; s < NJ_STAMPS; s++) {
        nj_offer offer;
        bool in_map;
        if (!nj_schema_offer(schema, nj_stamp_name[s], &offer, &in_map)) stamps |= (uint8_t)(1u << s);
    }
    v->layout = (nj_layout){ nj_schema_survey(schema), w.n_columns, w.n_columns, v->column, stamps };
    int rc = !root ? nj_fail(err, "schema: %s", why.text)
             : w.failed || !w.named
                 ? nj_fail(err, "a schema of more than %d fields, or no memory", FIELDS_MOST)
                 : 0;
    json_decref(w.named);
    json_decref(root);
    return rc;
}

void nj_packet_view_free(nj_packet_view *v)
{
    free(v->field);
    free(v->column);
    nj_arena_free(&v->arena);
    *v = (nj_packet_view){ 0 };
}

/* ---- values ---------------------------------------------------------------------------------- */
static bool add_value(nj_type type, const void *data, uint32_t i, nj_buffer *out)
{
    switch (type) {
    case NJ_U8:
        if (((const uint8_t *)data)[i] == NJ_NO_U8) return false;
        nj_json_i64(out, ((const uint8_t *)data)[i]);
        return true;
    case NJ_I32:
        if (((const int32_t *)data)[i] == NJ_NO_I32) return false;
        nj_json_i64(out, ((const int32_t *)data)[i]);
        return true;
    case NJ_I64:
        if (((const int64_t *)data)[i] == NJ_NO_I64) return false;
        nj_json_i64(out, ((const int64_t *)data)[i]);
        return true;
    case NJ_F32:
        if (isnan(((const float *)data)[i])) return false;
        if (isinf(((const float *)data)[i]))
            nj_buffer_text(out, ((const float *)data)[i] > 0 ? "inf" : "-inf");
        else
            nj_json_value_f32(out, ((const float *)data)[i]);
        return true;
    case NJ_F64:
        if (isnan(((const double *)data)[i])) return false;
        if (isinf(((const double *)data)[i]))
            nj_buffer_text(out, ((const double *)data)[i] > 0 ? "inf" : "-inf");
        else
            nj_json_value_f64(out, ((const double *)data)[i]);
        return true;
    case NJ_STR: {
        const char *text = ((const char *const *)data)[i];
        if (!text) return false;
        nj_utf8_show(out, text);
        return true;
    }
    }
    return false;
}

bool nj_packet_value(const nj_packet_view *v, const nj_batch *batch, int32_t column, uint32_t element,
                     nj_buffer *out)
{
    const nj_col *c = &batch->col[column];
    return c->data && add_value(v->column[column].type, c->data, element, out);
}

/* The first column below a field. */
static int32_t first_column(const nj_packet_view *v, uint32_t field)
{
    for (uint32_t i = field; i < v->field[field].end; i++)
        if (v->field[i].column >= 0) return v->field[i].column;
    return -1;
}

void nj_packet_items(const nj_packet_view *v, const nj_batch *batch, uint32_t list, uint32_t row,
                     uint32_t *from, uint32_t *to)
{
    int32_t column = first_column(v, list);
    const uint32_t *off = column < 0 ? NULL : batch->col[column].off;
    *from = off ? off[row] : 0;
    *to = off ? off[row + 1] : 0;
}
