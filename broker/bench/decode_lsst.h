/* decode_lsst.h - the part of bench decode that --survey lsst chooses. */
#ifndef NJ_BENCH_DECODE_LSST_H
#define NJ_BENCH_DECODE_LSST_H

#include "harness.h"

int nj_bench_decode_lsst(nj_bench_run *run);

#endif
