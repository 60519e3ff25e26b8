/* table.c - the list of subjects of `nightjar bench`: one file each, one row each. */
#include "harness.h"

extern const nj_bench nj_bench_counters;
extern const nj_bench nj_bench_decode;
extern const nj_bench nj_bench_fits;
extern const nj_bench nj_bench_hostless;
extern const nj_bench nj_bench_kernels;
extern const nj_bench nj_bench_modules;
extern const nj_bench nj_bench_networks;
extern const nj_bench nj_bench_pipeline;
extern const nj_bench nj_bench_regions;
extern const nj_bench nj_bench_simulate;
extern const nj_bench nj_bench_sky;
extern const nj_bench nj_bench_threads;
extern const nj_bench nj_bench_trees;

const nj_bench *const nj_benches[] = {
    &nj_bench_counters, &nj_bench_decode,
    &nj_bench_fits,     &nj_bench_hostless,
    &nj_bench_kernels,  &nj_bench_modules,
    &nj_bench_networks, &nj_bench_pipeline,
    &nj_bench_regions,  &nj_bench_simulate,
    &nj_bench_sky,      &nj_bench_threads,
    &nj_bench_trees,    NULL,
};
