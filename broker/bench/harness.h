/* harness.h - verify, then time: what every subject of `nightjar bench` uses. One thread.
 *
 * A subject is one file broker/bench/NAME.c with one nj_bench, and one row in table.c. Its run() gets its
 * data ready, checks that every case gives the right answer (nj_bench_verify), and times the cases against
 * each other (nj_bench_time), in turn within one run,
 * because the machines change speed by up to 2x from minute to minute. */
#ifndef NJ_BENCH_HARNESS_H
#define NJ_BENCH_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct nj_bench_run nj_bench_run;

typedef struct nj_bench {
    const char *name, *doc;        /* "decode", one sentence */
    int (*run)(nj_bench_run *run); /* 0, or -1: could not run, or a verification failed (both said already) */
} nj_bench;

extern const nj_bench *const nj_benches[]; /* table.c; ends with NULL */

/* One thing to time. work() does all `items` once; it is called many times and must do the same each time. */
typedef struct nj_bench_case {
    const char *name; /* "projection"; the result is called "decode/projection" */
    void (*work)(void *state);
    void *state;
    double items; /* alerts (or rows, stamps ...) of one call; results are per item */
    double bytes; /* input bytes of one call; 0 = no bytes/s */
} nj_bench_case;

/* Times n cases in turn: warm-up, calls doubled until one round of a case takes at least `floor` (5 ms), then
 * rounds A B C A B C ... (at least 9, more while --seconds last), each round after one untimed call of the
 * same case, so that none pays for the state that the one before left behind. Thread CPU time, the timer's
 * own cost taken off. Prints and keeps min, median and median absolute deviation in ns per item. n <= 16. */
void nj_bench_time(nj_bench_run *run, const nj_bench_case *cases, size_t n);
/* A ratio of two cases of the last nj_bench_time: median over the rounds of time(slow) / time(fast), with the
 * middle half of the rounds as its spread. at_least, at_most: the bar, NAN = none;
 * a missed bar makes the command end with 5. */
double nj_bench_ratio(nj_bench_run *run, const char *what, size_t slow, size_t fast, double at_least,
                      double at_most);
/* What a subject timed itself because it needs more than one thread: `rounds` (at most 201) samples of CPU
 * and wall ns per item, of all threads together. Kept and written like a case of nj_bench_time;
 * printed by the subject. */
void nj_bench_samples(nj_bench_run *run, const char *name, int threads, double items, uint32_t rounds,
                      const double *cpu, const double *wall);
/* Rounds that a subject should do when one round of all its cases takes round_s: at least `least`, more while
 * --seconds (per case) last. */
uint32_t nj_bench_rounds(const nj_bench_run *run, uint32_t least, size_t n_cases, double round_s);
/* Median of a case of the last nj_bench_time, ns per item. */
double nj_bench_median(const nj_bench_run *run, size_t which);
/* A figure with a bar of its own (a time, a speed): printed and kept like a ratio. */
void nj_bench_bar(nj_bench_run *run, const char *what, double value, const char *unit, double at_least,
                  double at_most);
/* A figure that is no time (bytes, counts, a worst error). */
void nj_bench_figure(nj_bench_run *run, const char *name, double value, const char *unit);
/* The same, kept and not printed: for subjects with a table of their own. */
void nj_bench_keep(nj_bench_run *run, const char *name, double value, const char *unit);
/* Says what was checked; ok false makes the subject's run a failure. Returns ok. */
__attribute__((format(printf, 3, 4))) bool nj_bench_verify(nj_bench_run *run, bool ok, const char *format,
                                                           ...);
__attribute__((format(printf, 2, 3))) void nj_bench_note(nj_bench_run *run, const char *format, ...);

/* --seconds below 0.05: a trial whether all works, whose figures are not to be quoted; data need not be
 * larger than the caches. */
bool nj_bench_trial(const nj_bench_run *run);
/* What the data are, with a digest: stands in the file's context. */
__attribute__((format(printf, 2, 3))) void nj_bench_digest(nj_bench_run *run, const char *format, ...);

/* What the command line said. data: --data, else NULL. survey: --survey, else "ztf". */
const char *nj_bench_data(const nj_bench_run *run);
const char *nj_bench_survey(const nj_bench_run *run);
/* Keeps the compiler from dropping a result. */
static inline void nj_bench_use(const void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* For the command. */
typedef struct nj_bench_options {
    const char *data, *survey;
    double seconds; /* per case */
    const char *module,
        *module_file; /* `modules` times this instance alone; the shared object that it is in */
} nj_bench_options;
const nj_bench_options *nj_bench_asked(const nj_bench_run *run);
nj_bench_run *nj_bench_run_new(const nj_bench_options *options);
void nj_bench_run_free(nj_bench_run *run);
/* 0; -1: it failed or an answer is wrong; 1: it timed nothing and verified nothing. */
int nj_bench_subject(nj_bench_run *run, const nj_bench *bench);
/* Own JSON, and Google Benchmark's (its compare tool reads it). -1 = the file could not be written. */
int nj_bench_write(const nj_bench_run *run, const char *path);
int nj_bench_write_google(const nj_bench_run *run, const char *path);
/* Bars that were missed. */
int nj_bench_missed(const nj_bench_run *run);

#endif
