/* fitslock.c - cfitsio's table of open files is not safe between threads, so all calls share this lock. */
#include "fitslock.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards a library that is itself global */

void nj_fits_lock(void)
{
    pthread_mutex_lock(&lock);
}
void nj_fits_unlock(void)
{
    pthread_mutex_unlock(&lock);
}
