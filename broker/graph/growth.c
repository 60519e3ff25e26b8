/* growth.c - a worker that grows too large is replaced, which hides a module that leaks and does not repair
 * it. Which one it is shows when modules are called one at a time; that costs the other threads, so it is
 * done only after a replacement. */
#include "growth.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum {
    LEAST_GROWN = 3, /* calls in which a module grew */
    SHARE = 2,       /* it has more than 1/SHARE of what all grew by */
    OF_MOST = 16,    /* and more than 1/OF_MOST of max_rss */
    GIVE_UP = 4      /* replacements that were measured, and no module found */
};

static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static int statm = -1;
static pthread_once_t opened = PTHREAD_ONCE_INIT;
static bool child;
static int64_t before;
static int64_t largest[NJ_GUARD_MODULES];

static void open_statm(void)
{
    statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

int64_t nj_own_bytes(void)
{
    char text[128];
    long resident = 0, of_files = 0;
    pthread_once(&opened, open_statm);
    ssize_t n = statm < 0 ? -1 : pread(statm, text, sizeof text - 1, 0);
    if (n <= 0) return 0;
    text[n] = 0;
    if (sscanf(text, "%*d %ld %ld", &resident, &of_files) != 2) return 0;
    return (int64_t)(resident - of_files) * sysconf(_SC_PAGESIZE);
}

void nj_growth_begin(void)
{
    if (child) return;
    pthread_mutex_lock(&one);
    before = nj_own_bytes();
}

void nj_growth_end(nj_worker *w, const nj_step *s)
{
    if (child) return;
    uint32_t i = w->guarded ? w->guarded[s->instance] : NJ_NO_MODULE;
    int64_t grown = nj_own_bytes() - before;
    if (i < NJ_GUARD_MODULES && grown) nj_growth_note(&nj_guard_here->module[i], &largest[i], grown);
    pthread_mutex_unlock(&one);
}

void nj_growth_child(void)
{
    child = true;
}

void nj_growth_note(nj_guard_module *m, int64_t *most, int64_t bytes)
{
    if (bytes > 0) atomic_fetch_add(&m->n_grown, 1);
    if (bytes > *most) { /* the largest of each worker does not count */
        int64_t smaller = *most;
        *most = bytes;
        bytes = smaller;
    }
    atomic_fetch_add(&m->grown, bytes);
}

/* The one that has most of it, or NJ_NO_MODULE. */
static uint32_t culprit(const nj_guard *g)
{
    uint32_t n = atomic_load(&g->n_modules), worst = NJ_NO_MODULE;
    int64_t all = 0, most = 0;
    for (uint32_t i = 0; i < n; i++) {
        int64_t grown = atomic_load(&g->module[i].grown);
        if (grown > 0) all += grown;
        if (grown > most) most = grown, worst = i;
    }
    if (worst == NJ_NO_MODULE || atomic_load(&g->module[worst].n_grown) < LEAST_GROWN) return NJ_NO_MODULE;
    return most > all / SHARE && most > g->conf.max_rss / OF_MOST ? worst : NJ_NO_MODULE;
}

uint32_t nj_growth_replaced(nj_guard *g, char *text, size_t size)
{
    *text = 0;
    if (g->given_up) return NJ_NO_MODULE;
    if (!atomic_exchange(&g->measure, 1)) {
        snprintf(text, size, "modules are called one at a time from now on, to find the one that grows");
        return NJ_NO_MODULE;
    }
    uint32_t i = culprit(g), n = atomic_load(&g->n_modules);
    if (i != NJ_NO_MODULE) {
        nj_guard_module *m = &g->module[i];
        snprintf(text, size, "module %s grew by %lld MB in %u calls: it is off for the rest of the run",
                 m->name, (long long)(atomic_load(&m->grown) >> 20), atomic_load(&m->n_grown));
        atomic_store(&m->off_grown, atomic_load(&m->grown));
        atomic_store(&m->tried, 1);
        atomic_store(&m->off, 1);
    } else if (++g->n_measured < GIVE_UP) {
        return i;
    } else {
        g->given_up = true;
        snprintf(
            text, size,
            "no module grows by itself; [guard] max_rss may be too small for models, catalogues and batches");
    }
    atomic_store(&g->measure, 0);
    g->n_measured = 0;
    for (uint32_t k = 0; k < n; k++) {
        atomic_store(&g->module[k].grown, 0);
        atomic_store(&g->module[k].n_grown, 0);
    }
    return i;
}
