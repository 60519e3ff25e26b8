/* profile.h - what one module costs, to the line: the result of both passes, and its writers. */
#ifndef NJ_PROFILE_PROFILE_H
#define NJ_PROFILE_PROFILE_H

#include <stdio.h>

#include "../base/arena.h"
#include "../base/buffer.h"
#include "../base/json.h"
#include "../base/template.h"
#include "../measure/energy.h"
#include "energy_pass.h"
#include "hits.h"
#include "perf.h"
#include "sample.h"
#include "scaling_pass.h"
#include "singly.h"
#include "symbols.h"

typedef struct nj_profile_line {
    uint64_t hits; /* NJ_NOT_A_LINE: nothing to execute, or not counted */
    uint32_t samples;
} nj_profile_line;

typedef struct nj_profile_function {
    const char *name, *file; /* file "": compiled without -g */
    int first, last;         /* lines; last < first: not known */
    bool counted;            /* its hits are known */
    uint64_t calls;
    uint32_t samples;      /* that it or what it called was running in */
    nj_profile_line *line; /* [last - first + 1] */
    double total_ns;       /* of one replay */
} nj_profile_function;

typedef struct nj_profile_stack { /* one path of calls, for the flame graph: outermost first */
    uint32_t *function, depth, samples;
} nj_profile_stack;

typedef struct nj_profile_show {
    bool lines, skip_zero, sort, summary, colour;
    double unit_s;
} nj_profile_show;

typedef struct nj_profile_overhead { /* CPU time with samples over that without, less 1:
                                      * median and its 95 % interval */
    double median, low, high;
    double per_cpu_s; /* samples; more than asked for where the thread had to share its CPU
                       * and timers rang meanwhile */
    uint32_t pairs;   /* 0: not measured */
} nj_profile_overhead;

typedef struct nj_profile_counter {
    double per_alert; /* NAN: not counted */
    double share;     /* of the time that it was counting */
    const char *why;  /* it was not counted */
} nj_profile_counter;

typedef struct nj_profile {
    nj_arena arena;
    nj_profile_show show;
    const char *instance, *version, *source, *built, *clock;
    const char *no_hits, *no_lines; /* why not; NULL = they are here */
    const char *no_overhead;        /* why it was not measured */
    nj_profile_overhead overhead;
    uint32_t threads, batch_rows;
    char digest[65];
    uint64_t alerts, dead, replays;
    bool cut;                      /* the sources had more */
    nj_counter count;              /* of one replay */
    uint32_t samples, unplaced;    /* in the module; of them without a stack that leads to it */
    int64_t wall_ns, cpu_ns;       /* in process(), all replays; cpu_ns of the loop around it */
    double span_ns;                /* what is shared out: of one replay, by the clock chosen */
    nj_profile_function *function; /* [n_functions]; the first one is process() */
    uint32_t n_functions;
    nj_profile_stack *stack;
    uint32_t n_stacks;
    double cpu_ns_per_alert; /* in process() */
    nj_energy_source energy; /* tier NULL: not known; texts in the arena */
    nj_carbon carbon;
    const char *energy_hint; /* why there is no better source; NULL */
    bool has_counters, has_singly, has_scaling;
    nj_profile_counter counter[NJ_PERF_EVENTS];
    nj_singly singly;
    nj_scalings scaling;
    nj_energy_pass energy_ab; /* tier "": not asked for */
} nj_profile;                 /* zero-initialised */

/* Puts the samples on functions and lines. p's header is filled by the caller; entry is the address of
 * process(). hits NULL = none. */
int nj_profile_collect(nj_profile *p, nj_sampler *const *sampler, uint32_t n_samplers, nj_symbols *symbols,
                       uint64_t entry, const nj_hits *hits, nj_error *err);
/* The lines [1 .. *n] of a text file, NUL-terminated, in the arena; NULL when it cannot be read. */
const char **nj_profile_text(nj_arena *arena, const char *file, uint32_t *n);
/* A path as it is seen from the working directory. */
const char *nj_profile_path(const char *path);
/* Has a table of its own: the module's functions, and the more costly ones of other sources that are
 * here; not the compiler's headers of intrinsics. The others are named in one line. */
bool nj_profile_has_table(const nj_profile *p, const nj_profile_function *f);
/* Standard error of a share from n samples. */
double nj_profile_error(double share, double n);

void nj_profile_table(nj_profile *p, FILE *to);
int nj_profile_json(nj_profile *p, nj_buffer *out, nj_error *err);
/* A page that needs nothing else, readable without JavaScript, dark and light.
 * -1 with err: memory is short. */
int nj_profile_html(nj_profile *p, nj_buffer *out, nj_error *err);
/* The flame graph: widths are shares of the module's time, who calls whom goes upwards. */
int nj_profile_flame(nj_profile *p, nj_buffer *out, nj_error *err);
/* The values of flame.svg; to = NULL: they are all. */
void nj_flame_put(nj_template_values *v, json_t *to, const nj_profile *p);
void nj_profile_free(nj_profile *p);

/* counters.c: replays for about a second with perf events around each worker,
 * and their section in each format. */
int nj_counters_count(nj_profile *p, nj_replay *r, nj_error *err);
void nj_counters_table(const nj_profile *p, FILE *to);
void nj_counters_json(const nj_profile *p, nj_json *j);
void nj_counters_put(nj_template_values *v, json_t *list, const nj_profile *p); /* of the page */

/* footprint.c: joules and grams per million alerts.
 * energy was begun before the time pass and is read here. */
void nj_footprint_take(nj_profile *p, nj_energy *energy);
void nj_footprint_table(const nj_profile *p, FILE *to);
void nj_footprint_json(const nj_profile *p, nj_json *j);
void nj_footprint_put(nj_template_values *v, json_t *list, const nj_profile *p); /* of the page */

/* singly_show.c: the section of --per-alert. */
void nj_singly_table(const nj_singly *s, FILE *to);
void nj_singly_json(const nj_singly *s, nj_json *j);
void nj_singly_put(nj_template_values *v, json_t *list, const nj_singly *s); /* of the page */

/* scaling_show.c: the section of --scaling. */
void nj_scaling_table(const nj_profile *p, FILE *to);
void nj_scaling_json(const nj_profile *p, nj_json *j);
void nj_scaling_put(nj_template_values *v, json_t *list, const nj_profile *p); /* of the page */

#endif
