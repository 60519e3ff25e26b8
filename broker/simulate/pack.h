/* pack.h - deflate for stamps. Three quarters of a simulated packet's time was libdeflate's search for
 * matches that noise does not have; this writes one block of Huffman codes, with matches only for the runs of
 * the FITS header and of the padding. The size is that of libdeflate's level 1 within 1 %. */
#ifndef NJ_SIMULATE_PACK_H
#define NJ_SIMULATE_PACK_H

#include <stddef.h>
#include <stdint.h>

/* Given: bytes[n], of which [from, to) is noise (no runs are looked for there; to - from a multiple of 4).
 * Returned: a whole deflate stream (RFC 1951) in out, its length; 0 when it might not fit into room.
 * Pure; any thread. */
size_t nj_sim_deflate(const uint8_t *bytes, size_t n, size_t from, size_t to, uint8_t *out, size_t room);

#endif
