/* resume_columns.c - a raw column has the type that the first packets have; a resumed run may meet other
 * packets first, or none, and its files must continue with the columns that they have. */
#include <jansson.h>
#include <string.h>

#include "internal.h"
#include "resume.h"

/* Its type and unit are known by a packet. */
static bool is_raw(const run *r, uint32_t f)
{
    return r->field_from[f].kind == FIELD_WANT && !strncmp(r->field[f].key, "packet.", 7);
}

bool nj_flow_columns_known(const run *r)
{
    for (uint32_t f = 0; f < r->n_shown; f++)
        if (is_raw(r, f) && !r->want[r->field_from[f].index].type) return false;
    return true;
}

void nj_flow_columns_note(run *r)
{
    nj_buffer *out = &r->resume->columns;
    out->n = 0;
    for (uint32_t f = 0; f < r->n_shown; f++) {
        const nj_field *field = &r->field[f];
        if (!is_raw(r, f) || !r->want[r->field_from[f].index].type) continue;
        nj_buffer_text(out, out->n ? ",{\"key\":" : "{\"key\":");
        nj_json_text(out, field->key);
        nj_buffer_printf(out, ",\"type\":\"%s\"", nj_type_name(field->type));
        if (field->width != 1) nj_buffer_printf(out, ",\"width\":%u", field->width);
        if (field->mixed) nj_buffer_text(out, ",\"mixed\":true");
        if (field->unit && *field->unit) {
            nj_buffer_text(out, ",\"unit\":");
            nj_json_text(out, field->unit);
        }
        nj_buffer_text(out, "}");
    }
}

static nj_type type_of(const char *name)
{
    for (int type = NJ_U8; name && type <= NJ_STR; type++)
        if (!strcmp(nj_type_name((nj_type)type), name)) return (nj_type)type;
    return 0;
}

int nj_flow_columns_back(run *r, const char *state)
{
    json_t *all = state && *state ? json_loads(state, 0, NULL) : NULL, *item;
    size_t i;
    int rc = state && *state && !all ? -1 : 0;
    json_array_foreach(json_object_get(all, "columns"), i, item)
    {
        const char *key = json_string_value(json_object_get(item, "key")),
                   *units = json_string_value(json_object_get(item, "unit"));
        nj_type type = type_of(json_string_value(json_object_get(item, "type")));
        json_t *width = json_object_get(item, "width");
        for (uint32_t f = 0; key && type && f < r->n_fields; f++) {
            nj_field *field = &r->field[f];
            if (!is_raw(r, f) || strcmp(field->key, key) != 0) continue;
            nj_want *want = &r->want[r->field_from[f].index];
            if (want->type) continue;
            want->type = field->type = type;
            field->width = width ? (uint32_t)json_integer_value(width) : 1;
            field->mixed = json_is_true(json_object_get(item, "mixed"));
            if (units && !(field->unit = nj_arena_text(&r->arena, units, strlen(units)))) rc = -1;
            r->surveys.old_filters = true;
        }
    }
    json_decref(all);
    return rc;
}
