/* members_state.h - one archive that is being read, shared by the files that do it. */
#ifndef NJ_SOURCE_MEMBERS_STATE_H
#define NJ_SOURCE_MEMBERS_STATE_H

#include "../base/ahead.h"
#include "../base/unpack.h"
#include "members.h"

/* A tar may announce any size: memory follows what arrives, not what is announced. */
enum { NJ_MEMBERS_BLOCK = 256 << 10, NJ_MEMBERS_ROOM = 4 << 20, NJ_MEMBER_NAME = 512, NJ_MEMBERS_DEPTH = 4 };

struct nj_members {
    nj_members_common *common;
    int fd;           /* -1 = owned, or nothing at all */
    nj_chunk *owned;  /* the archive is its bytes */
    const char *path; /* of the archive in its source, for names: "a.tar/"; "" = the source itself */
    int depth;
    nj_members *inside; /* a member that is an archive itself */

    nj_unpacker *unpack;
    nj_ahead *ahead; /* NULL: unpack is asked by the reader itself */
    bool run_ahead;  /* yet to be begun */
    struct archive *reader;
    const uint8_t *head; /* the first piece, read before the reader was there */
    size_t n_head;
    bool opened, single, failed, in_damage, is_tar, packed_otherwise;
    bool feed_failed, feed_ended;
    nj_error feed_err;
    uint64_t fed, zeros; /* bytes given to the reader; of these, zeros at the end */
    double done;
    int64_t n_members;
    char member[NJ_MEMBER_NAME]; /* the present one, for messages */
    char before[NJ_MEMBER_NAME]; /* the last one that was read whole */
};

nj_members *nj_members_new(nj_members_common *common, int fd, nj_chunk *owned, const char *path, int depth);
bool nj_members_is_archive(const uint8_t *bytes, size_t n);
/* A chunk of the bytes, which it takes over; NULL when memory is short. */
nj_chunk *nj_members_chunk(nj_members *m, uint8_t *bytes, size_t size, const char *name);

/* A member that cannot be read: a dead letter in *out (1), or trouble of the source alone (0; the chunk is
 * gone). */
int nj_members_fault(nj_members *m, nj_chunk *chunk, const char *why, nj_chunk **out);

#endif
