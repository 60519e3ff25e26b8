/* members.h - the packets inside a file, however it is packed: a tar or a zip, a packed file, and these in
 * one another. All kinds are detected by content. Owner: the ingest thread. */
#ifndef NJ_SOURCE_MEMBERS_H
#define NJ_SOURCE_MEMBERS_H

#include "classes.h"

/* What all that one source reads has in common. */
typedef struct nj_members_common {
    const char *spec; /* for messages; lives as long as the members */
    nj_stream *stream;
    const nj_source_host *host;
    nj_source_conf conf;
    nj_skipped skipped;
    nj_trouble trouble;
    bool json;       /* files of JSON are packets: there is nothing else */
    uint64_t n_json; /* of them that were skipped, because it was not known */
} nj_members_common;

typedef struct nj_members nj_members;
/* Of a file that is open: a regular one from its beginning, a pipe. The descriptor stays the caller's. */
nj_members *nj_members_of_file(nj_members_common *common, int fd);
/* Of whatever nj_members_take() is given. */
nj_members *nj_members_of_pieces(nj_members_common *common);
void nj_members_free(nj_members *m); /* NULL allowed */

/* The next packet: 1 with *chunk (its member is set, its offset is not); 0 = the end; -1: cannot continue,
 * err names the file and the member. A damaged member comes as a chunk with a fault,
 * and is counted in common->trouble. */
int nj_members_next(nj_members *m, nj_chunk **chunk, nj_error *err);
/* Looks at a file that was read (taken over): 1 = *out is the packet in it; 0 = none, or several:
 * nj_members_next() has them; -1: out of memory. */
int nj_members_take(nj_members *m, nj_chunk *chunk, nj_chunk **out, nj_error *err);
/* Is a member under way, of a file given to nj_members_take()? */
bool nj_members_inside(const nj_members *m);
double nj_members_done(const nj_members *m); /* bytes of the file so far; any thread */

/* Does a file begin as something that is unpacked: gzip, zstd, bzip2, xz, tar, zip, lz4 ...? */
bool nj_members_are_in(const uint8_t *bytes, size_t n);
/* The same for the beginning of a file, if it is a regular one. 2: and it is an Avro file, packed or not. */
int nj_members_look(const char *path);

#endif
