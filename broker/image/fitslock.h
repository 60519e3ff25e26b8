/* fitslock.h - one lock around cfitsio, whose table of open files is not safe between threads
 * (heasarc/cfitsio #100). Whoever calls cfitsio from a thread that is not alone holds it from open to close,
 * or around each call of a file that stays open. */
#ifndef NJ_IMAGE_FITSLOCK_H
#define NJ_IMAGE_FITSLOCK_H

void nj_fits_lock(void);
void nj_fits_unlock(void);

#endif
