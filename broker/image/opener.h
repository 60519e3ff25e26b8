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

/* nj_stamp_open as a graph asks for it (nj_worker_new), which has no opener. */
void nj_stamp_for_graph(void *opener, nj_stamp *stamp, nj_arena *arena, const char **why);

#endif
