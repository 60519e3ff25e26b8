/* defined.c - column names are checked before the first packet, by the maps and layouts in the binary. */
#include "decoder.h"

#include <string.h>

#include "../base/embed.h"

bool nj_decoder_defines(const nj_decoder *decoder, const char *path)
{
    for (int s = 0; s < NJ_STAMPS; s++)
        if (!strcmp(path, nj_stamp_name[s])) return true;
    uint8_t stamp;
    const char *hdu;
    if (nj_plane_path(path, &stamp, &hdu)) return true;
    for (uint32_t m = 0; m < decoder->n_maps; m++)
        for (uint32_t c = 0; c < decoder->map[m]->n_columns; c++)
            if (!strcmp(decoder->map[m]->column[c].name, path)) return true;
    return nj_merged_find(path) != NULL;
}

static bool is_float(nj_type type)
{
    return type == NJ_F32 || type == NJ_F64;
}

static nj_type wider(nj_type a, nj_type b)
{
    if (!a || !b || a == b) return a ? a : b;
    if (a == NJ_STR || b == NJ_STR) return a; /* no type holds both: the first one keeps its own */
    if (is_float(a) == is_float(b)) return a > b ? a : b;
    return a == NJ_U8 || b == NJ_U8 ? (is_float(a) ? a : b) : NJ_F64;
}

void nj_offer_join(nj_offer *offer, const nj_offer *other)
{
    offer->type = wider(offer->type, other->type);
    offer->mixed |= other->mixed;
    if (!offer->shape) offer->shape = other->shape;
    if (!other->unit || !*other->unit || !strcmp(other->unit, "1")) return;
    if (!offer->unit)
        offer->unit = other->unit;
    else if (strcmp(offer->unit, other->unit) != 0)
        offer->unit = "";
}

static bool is_layout(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && !strcmp(name + n - 5, ".avsc");
}

void nj_decoder_offer(nj_decoder *decoder, const char *path, nj_offer *offer)
{
    for (uint32_t m = 0; m < decoder->n_maps; m++) {
        const nj_map_column *column = nj_map_find(decoder->map[m], path);
        if (column) nj_offer_join(offer, &(nj_offer){ column->type, column->shape, column->unit, false });
    }
    const nj_merged_column *merged = nj_merged_find(path);
    if (merged) nj_offer_join(offer, &(nj_offer){ merged->type, merged->shape, merged->unit, false });
    if (strncmp(path, "packet.", 7)) return;
    for (const nj_embedded *f = nj_embedded_files; f->name; f++) {
        nj_error ignored;
        nj_offer has;
        const nj_schema *schema =
            is_layout(f->name) ? nj_decoder_schema(decoder, (const uint8_t *)f->data, f->n, NULL, &ignored)
                               : NULL;
        if (schema && nj_schema_offer(schema, path, &has, NULL) == 0) nj_offer_join(offer, &has);
        nj_schema_drop(schema);
    }
}

uint32_t nj_decoder_surveys(const nj_decoder *decoder, const char **name, uint32_t cap)
{
    uint32_t n = 0;
    for (uint32_t m = 0; m < decoder->n_maps; m++) {
        uint32_t k = 0;
        while (k < n && strcmp(name[k], decoder->map[m]->survey)) k++;
        if (k == n && n < cap) name[n++] = decoder->map[m]->survey;
    }
    return n;
}

bool nj_decoder_known(const nj_decoder *decoder, uint32_t k, nj_known *known)
{
    for (uint32_t m = 0; m < decoder->n_maps; k -= decoder->map[m++]->n_columns) {
        if (k >= decoder->map[m]->n_columns) continue;
        const nj_map_column *c = &decoder->map[m]->column[k];
        *known = (nj_known){ decoder->map[m]->survey, c->name, { c->type, c->shape, c->unit } };
        return true;
    }
    return false;
}
