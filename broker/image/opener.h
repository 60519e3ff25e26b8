/* opener.h - a packed stamp becomes pixels: unpacking into a bounded buffer, then FITS. */
#ifndef NJ_IMAGE_OPENER_H
#define NJ_IMAGE_OPENER_H

#include "../avro/decode.h"

/* Work area for opening stamps: one per thread. */
typedef struct nj_opener nj_opener;
nj_opener *nj_opener_new(nj_decoder *decoder);
void nj_opener_free(nj_opener *opener);
/* Opens a packed stamp: state becomes NJ_STAMP_OPEN (pixels in the arena) or NJ_STAMP_BAD. No effect on
 * others. why (NULL allowed): a static text when it is bad. */
void nj_stamp_open(nj_opener *opener, nj_stamp *stamp, nj_arena *arena, const char **why);

/* Opens those of the packed stamps, NJ_OPENER_AHEAD at most, that are faster unpacked together. The others
 * stay packed, whatever is wrong with them: nj_stamp_open is to say it when they are asked for. */
enum { NJ_OPENER_AHEAD = 4 };
void nj_stamps_open_ahead(nj_opener *opener, nj_stamp *const *stamp, uint32_t n, nj_arena *arena);

/* Opens the first of n stamps, and those behind it that are faster opened with it: as a graph asks for it
 * (nj_worker_new), which has no opener. why: of the first. */
void nj_stamp_for_graph(void *opener, nj_stamp *const *stamp, uint32_t n, nj_arena *arena, const char **why);

#endif
