/* planner.h - FFTW plans one transform at a time: who makes or drops a plan holds this. */
#ifndef NJ_NUM_PLANNER_H
#define NJ_NUM_PLANNER_H
#include <pthread.h>

extern pthread_mutex_t nj_fft_planner;

#endif
