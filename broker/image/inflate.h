/* inflate.h - several gzip members unpacked in one loop: 0.6 to 0.75 of the time of one after the other. */
#ifndef NJ_IMAGE_INFLATE_H
#define NJ_IMAGE_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So many bytes behind the announced ones may be written to. */
enum { NJ_INFLATE_SLACK = 256 };

typedef struct nj_member {
    const uint8_t *bytes; /* [size] the member, and nothing behind it */
    size_t size;
    uint8_t *out; /* [announced + NJ_INFLATE_SLACK] */
    size_t announced;
    bool done; /* set: the announced bytes are at out, and the checksum is theirs */
} nj_member;

/* The area that the streams of one thread work in. */
typedef struct nj_inflate_work nj_inflate_work;
nj_inflate_work *nj_inflate_work_new(void);
void nj_inflate_work_free(nj_inflate_work *inflater);

/* The size that a member announces in its last four bytes, when it is one to be taken here: 0 = it is none.
 * Members that pack very well, very large ones and those with an unusual header are not. */
size_t nj_inflate_announced(const uint8_t *bytes, size_t size);

/* Unpacks the members. What is not done afterwards is not said to be wrong: it is unusual (a stored block, a
 * code of one word), or damaged, and libdeflate is to say which. What is done, libdeflate takes as well, and
 * gives the same bytes. */
void nj_inflate(nj_inflate_work *inflater, nj_member *member, size_t n);
/* The same by instructions that every processor has. */
void nj_inflate_portable(nj_inflate_work *inflater, nj_member *member, size_t n);

#endif
