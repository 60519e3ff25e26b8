/* ranges.h - an image on a server, of which only the blocks that stamps need are fetched: HTTP range
 * requests, also of objects in S3. */
#ifndef NJ_CUTOUT_RANGES_H
#define NJ_CUTOUT_RANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/error.h"

typedef struct nj_ranges nj_ranges;

/* http://, https:// or s3://BUCKET/KEY. */
bool nj_ranges_is(const char *path);
/* Asks for the beginning, which says how long the file is. NULL with err. One thread at a time.
 * s3: the endpoint of AWS_ENDPOINT_URL (https://BUCKET.s3.REGION.amazonaws.com), the region of AWS_REGION
 * (us-east-1), signed with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where they are set. */
nj_ranges *nj_ranges_open(const char *url, nj_error *err);
void nj_ranges_close(nj_ranges *remote); /* NULL allowed */

/* A file of that length here, for libraries that open paths; blocks are zeros until they are fetched. */
const char *nj_ranges_path(const nj_ranges *remote);
uint64_t nj_ranges_size(const nj_ranges *remote);

/* These bytes will be wanted; what is here already is not asked for again. */
void nj_ranges_want(nj_ranges *remote, uint64_t from, uint64_t n);
/* Fetches all that is wanted, with so many requests at a time; blocks that stand close come in one. */
int nj_ranges_fetch(nj_ranges *remote, int connections, nj_error *err);
/* The headers of a FITS file up to the first image or packed image that ends the search, or with `all` of all
 * HDUs. */
int nj_ranges_headers(nj_ranges *remote, bool all, nj_error *err);

typedef struct nj_ranges_account {
    uint64_t requests, bytes; /* that were answered, and what came */
} nj_ranges_account;
nj_ranges_account nj_ranges_account_of(const nj_ranges *remote);

#endif
