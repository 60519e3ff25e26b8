/* knows.c - is a name canonical in any survey map? For near misses before the first packet is seen. */
#include "decoder.h"

#include <string.h>

bool nj_decoder_knows(const nj_decoder *decoder, const char *path)
{
    for (int s = 0; s < NJ_STAMPS; s++)
        if (!strcmp(path, nj_stamp_name[s])) return true;
    uint8_t stamp;
    const char *hdu;
    if (nj_plane_path(path, &stamp, &hdu)) return true;
    for (uint32_t m = 0; m < decoder->n_maps; m++)
        for (uint32_t c = 0; c < decoder->map[m]->n_columns; c++)
            if (!strcmp(decoder->map[m]->column[c].name, path)) return true;
    return false;
}
