/* bench_file.h - the times in a bench file: of `nightjar bench --json` or of Google Benchmark;
 * and JSON read from a file. */
#ifndef NJ_REPORT_BENCH_FILE_H
#define NJ_REPORT_BENCH_FILE_H

#include <jansson.h>
#include <stdint.h>

#include "../base/error.h"

/* What was left out, so that it can be reported. */
typedef struct nj_bench_left {
    uint32_t n;
    char which[640]; /* names and why, of as many as fit */
} nj_bench_left;

/* Called for each time, in ns. 0, or -1 to stop. */
typedef int (*nj_bench_take)(void *opaque, const char *name, double ns);

/* Each time of a `benchmarks` array: our own `samples`,
 * or real_time and cpu_time of Google Benchmark in any time_unit.
 * Notes: CPU time, but real time where the benchmark was registered so (its name ends
 * in /real_time or /manual_time) or the
 *   file has no other. Repetitions are samples of their run_name. Where a benchmark has aggregates alone, its
 *   median, or else its mean, is its one sample.
 * Returned: 0; -1 when `take` wanted to stop. */
int nj_bench_times(const json_t *benchmarks, nj_bench_take take, void *opaque, nj_bench_left *left);
/* Says what was left, on stderr, in one line; nothing when that is none. */
void nj_bench_report_left(const char *file, const nj_bench_left *left);

/* A JSON file, whole; its text as well when `text` is not NULL (the caller frees it). NULL with err: it is
 * not there, is empty, or is no JSON and so no report either. */
json_t *nj_json_read(const char *path, char **text, nj_error *err);

#endif
