/* packed.h - outputs that are packed while they are written: gzip members or zstd frames, one after the
 * other, so that the file can be cut back to the end of any of them and continues from there. */
#ifndef NJ_SINK_PACKED_H
#define NJ_SINK_PACKED_H

#include "../base/buffer.h"
#include "../base/unpack.h"
#include "file.h"

/* By the ending of a name, `.part` skipped: .gz, .zst, or none of them. */
nj_packing nj_packed_by_name(const char *path);
/* -1 with err: the name ends as packed data does (.gz, .bz2, .xz, ...), and `scheme` does not write that.
 * `packs`: .gz and .zst are written. `instead`: what to do; NULL = nothing. */
int nj_packed_check(const char *path, const char *scheme, bool packs, const char *instead, nj_error *err);

typedef struct nj_packer nj_packer;
/* NULL when memory is short. */
nj_packer *nj_packer_new(nj_packing kind, int level);
void nj_packer_free(nj_packer *packer); /* NULL allowed */
/* Each adds to `out`; memory shortage shows in out->failed or as -1. */
int nj_packer_add(nj_packer *packer, nj_buffer *out, const void *bytes, size_t n);
int nj_packer_flush(nj_packer *packer, nj_buffer *out); /* all of it can be read */
int nj_packer_end(nj_packer *packer, nj_buffer *out);   /* the frame is whole; nothing when none is open */
/* About how many bytes a flush would give: what was added packs as what came out before, at first to a
 * quarter. */
size_t nj_packer_holds(const nj_packer *packer);

/* Where the last whole frame of the file ends; what was broken off stands behind it. -1 with err: what stands
 * there is no such frame, or a damaged one. */
int nj_packed_whole(const nj_outfile *file, nj_packing kind, off_t *end, nj_error *err);

#endif
