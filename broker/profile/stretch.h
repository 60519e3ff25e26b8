/* stretch.h - a batch of another size, made of the rows of one that was read. */
#ifndef NJ_PROFILE_STRETCH_H
#define NJ_PROFILE_STRETCH_H

#include "../batch/batch.h"

typedef struct nj_stretch {
    uint32_t rows;        /* those of `pick`, again from the first when there are more */
    uint32_t points;      /* of each series that has any; 0 = as they are */
    uint32_t side;        /* pixels, of the stamps that are open; 0 = as they are */
    const uint32_t *pick; /* [n_picks] rows to take */
    uint32_t n_picks;
} nj_stretch;

/* What: the packet's columns, in a batch of the same layout; nothing is computed. A longer series repeats
 * itself towards the past, its times (f64 columns of days: jd, mjd) a little more than its own span earlier
 * each time; a shorter one keeps its newest points. A stamp is tiled, or cut, about its middle.
 * Notes: `from` must outlive `to`, which has its texts, packets and stamps. Scalars are as they were, also
 * those that count the history. -1: out of memory. */
int nj_stretch_batch(nj_batch *to, const nj_batch *from, const nj_stretch *size);
/* Points of the longest series of a row, pixels of its largest stamp that is open. */
uint32_t nj_stretch_points(const nj_batch *batch, uint32_t row);
uint32_t nj_stretch_pixels(const nj_batch *batch, uint32_t row);

#endif
