/* state.h - rounding, locale, working directory, signals and limits belong to the process, and so to every
 * module: what one of them changes is set back behind its call, and reported. */
#ifndef NJ_GRAPH_STATE_H
#define NJ_GRAPH_STATE_H

#include <fenv.h>
#include <locale.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* What is looked at behind every call: no system call. */
typedef struct nj_state_quick {
    uint32_t sse; /* control bits; elsewhere the rounding mode */
    uint16_t x87;
    locale_t thread_locale;
    const char *locale; /* as setlocale() says it: another pointer is another locale */
} nj_state_quick;

enum { NJ_STATE_SIGNALS = 10, NJ_STATE_LIMITS = 5 };

/* What is looked at behind calls that come once, and behind each module's first ones. */
typedef struct nj_state {
    nj_state_quick quick;
    char locale[512]; /* its name, for the way back */
    sigset_t mask;    /* of this thread */
    struct sigaction action[NJ_STATE_SIGNALS];
    struct rlimit limit[NJ_STATE_LIMITS];
    struct stat folder, standard[3];
    int kept[3]; /* copies of the standard descriptors; -1 = it was closed */
    mode_t mask_of_files;
    bool alone; /* no other thread runs: the mask of files may be looked at */
} nj_state;

#if defined __x86_64__
enum { NJ_SSE_CONTROL = 0xffc0 }; /* all but the flags of what happened */
#endif

static inline nj_state_quick nj_state_look(void)
{
    nj_state_quick q;
#if defined __x86_64__
    q.sse = __builtin_ia32_stmxcsr() & NJ_SSE_CONTROL;
    __asm__ volatile("fnstcw %0" : "=m"(q.x87));
#else
    q.sse = (uint32_t)fegetround();
    q.x87 = 0;
#endif
    q.thread_locale = uselocale((locale_t)0);
    q.locale = setlocale(LC_ALL, NULL);
    return q;
}

static inline bool nj_state_same(const nj_state_quick *a, const nj_state_quick *b)
{
    return a->sse == b->sse && a->x87 == b->x87 && a->thread_locale == b->thread_locale &&
           a->locale == b->locale;
}

/* Before and behind a call. end: sets back what is not as it was; what[size]: "the rounding mode, the
 * locale"; true: something was changed. */
void nj_state_begin(nj_state *state, bool alone);
bool nj_state_end(nj_state *state, char *what, size_t size);
/* The same for a call that comes once: what it changed is reported, with the module and where
 * ("in open()"). */
void nj_state_left(nj_state *state, const char *module, const char *where);
/* The same of the quick part; locale: a copy of the name that goes with `was`. */
bool nj_state_set_back(nj_state_quick *was, const char *locale, char *what, size_t size);

/* The working directory and the signals that this thread blocks: looked at once a batch. */
typedef struct nj_state_batch {
    struct stat folder;
    sigset_t mask;
} nj_state_batch;
void nj_state_batch_begin(nj_state_batch *state);
bool nj_state_batch_end(const nj_state_batch *state, char *what, size_t size);

#endif
