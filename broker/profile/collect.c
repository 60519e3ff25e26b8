/* collect.c - samples and counts become functions and lines. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../base/file.h"
#include "profile.h"

enum { MAX_FRAMES = 1024 };

typedef struct collector {
    nj_profile *p;
    nj_symbols *symbols;
    const nj_hits *hits;
    uint32_t entry;    /* function of process() */
    uint64_t entry_pc; /* its address */
    int *tail;         /* [cap_tails] line of process() that leaves for a function;
                        * 0 = not known, -1 = not asked yet */
    uint32_t cap_tails;
    int32_t *slot; /* [cap_slots] symbols' function -> index in p->function, or -1 */
    uint32_t cap_slots, cap_functions;
} collector;

const char **nj_profile_text(nj_arena *arena, const char *file, uint32_t *n)
{
    *n = 0;
    FILE *f = file && *file ? fopen(file, "rb") : NULL;
    if (!f) return NULL;
    nj_buffer text = { 0 };
    char part[65536];
    for (size_t got; (got = fread(part, 1, sizeof part, f)) > 0;) nj_buffer_add(&text, part, got);
    fclose(f);
    uint32_t lines = 2;
    for (size_t i = 0; i < text.n; i++) lines += text.data[i] == '\n';
    const char **line = nj_arena_zalloc(arena, (lines + 1) * sizeof *line);
    char *copy = nj_arena_text(arena, text.data ? text.data : "", text.n);
    nj_buffer_free(&text);
    if (!line || !copy) return NULL;
    line[0] = "";
    while (*copy) {
        char *end = strchrnul(copy, '\n');
        line[++*n] = copy;
        copy = *end ? end + 1 : end;
        *end = 0;
    }
    return line;
}

double nj_profile_error(double share, double n)
{
    return n > 0 ? sqrt(share * (1 - share) / n) : NAN;
}

/* Where a function ends, for those that gcov did not see: at the first brace in column 1. */
static int last_line(nj_profile *p, const char *file, int first)
{
    uint32_t n;
    const char **line = nj_profile_text(&p->arena, file, &n);
    for (uint32_t i = (uint32_t)first; line && i <= n; i++)
        if (line[i][0] == '}' || (i == (uint32_t)first && strchr(line[i], '{') && strchr(line[i], '}')))
            return (int)i;
    return first - 1;
}

static uint32_t add_function(collector *c, const char *name, const char *file, int first, int last)
{
    nj_profile *p = c->p;
    if (p->n_functions == c->cap_functions) {
        c->cap_functions = c->cap_functions ? 2 * c->cap_functions : 64;
        p->function = realloc(p->function, c->cap_functions * sizeof *p->function);
        if (!p->function) nj_give_up("profile: out of memory");
    }
    nj_profile_function *f = &p->function[p->n_functions];
    *f = (nj_profile_function){ .name = nj_arena_text(&p->arena, name, strlen(name)),
                                .file = nj_arena_text(&p->arena, file, strlen(file)),
                                .first = first,
                                .last = last };
    uint32_t n = last >= first ? (uint32_t)(last - first + 1) : 0;
    f->line = nj_arena_zalloc(&p->arena, (n + 1) * sizeof *f->line);
    if (!f->name || !f->file || !f->line) nj_give_up("profile: out of memory");
    for (uint32_t i = 0; i <= n; i++) f->line[i].hits = NJ_NOT_A_LINE;
    return p->n_functions++;
}

/* The functions that were counted come first, in the order of the source. */
static void add_counted(collector *c)
{
    for (uint32_t i = 0; c->hits && i < c->hits->n_functions; i++) {
        const nj_hits_function *h = &c->hits->function[i];
        uint32_t at = add_function(c, h->name, c->p->source, h->first, h->last); /* the array may move */
        nj_profile_function *f = &c->p->function[at];
        f->counted = true;
        f->calls = h->calls;
        for (int line = h->first; line <= h->last && (uint32_t)line < c->hits->n_lines; line++)
            f->line[line - h->first].hits = c->hits->line[line];
    }
}

/* A function that is always inlined is none to gcov, but its lines are counted. */
static void take_counts(const collector *c, nj_profile_function *f)
{
    for (int line = f->last; line >= f->first; line--) {
        uint64_t hits = (uint32_t)line < c->hits->n_lines ? c->hits->line[line] : NJ_NOT_A_LINE;
        f->line[line - f->first].hits = hits;
        if (hits == NJ_NOT_A_LINE) continue;
        f->counted = true;
        f->calls = hits;
    }
}

static uint32_t slot_of(collector *c, uint32_t function)
{
    if (function >= c->cap_slots) {
        uint32_t more = function - c->cap_slots + 256;
        c->slot = realloc(c->slot, ((size_t)c->cap_slots + more) * sizeof *c->slot);
        if (!c->slot) nj_give_up("profile: out of memory");
        memset(c->slot + c->cap_slots, 0xff, more * sizeof *c->slot); /* -1 */
        c->cap_slots += more;
    }
    if (c->slot[function] >= 0) return (uint32_t)c->slot[function];
    const nj_function *f = nj_symbols_function(c->symbols, function);
    nj_profile *p = c->p;
    uint32_t i = 0;
    while (i < p->n_functions && !(p->function[i].counted && !strcmp(p->function[i].name, f->name) &&
                                   !strcmp(nj_base_name(p->function[i].file), nj_base_name(f->file))))
        i++;
    if (i == p->n_functions) {
        i = add_function(c, f->name, f->file, f->line, f->line ? last_line(p, f->file, f->line) : -1);
        if (c->hits && p->source && !strcmp(nj_base_name(f->file), nj_base_name(p->source)))
            take_counts(c, &p->function[i]);
    }
    c->slot[function] = (int32_t)i;
    return i;
}

/* The frames of one sample down to the host's dispatch, innermost first. 0: the stack does not lead there. */
static uint32_t frames_of(collector *c, const nj_sampler *sampler, uint32_t sample, nj_frame *out)
{
    const uint64_t *pc;
    uint32_t depth = nj_sampler_stack(sampler, sample, &pc), n = 0;
    for (uint32_t i = 0; i < depth; i++) {
        const nj_frame *frame;
        uint32_t m = nj_symbols_frames(c->symbols, pc[i], i > 0, &frame);
        for (uint32_t k = 0; k < m && n < MAX_FRAMES; k++) {
            if (nj_symbols_is_dispatch(nj_symbols_function(c->symbols, frame[k].function)))
                return k ? 0 : n; /* k: its own clock */
            out[n++] = frame[k];
        }
    }
    for (uint32_t k = n; k > 0; k--) /* a host without debug information */
        if (out[k - 1].function == c->entry) return k;
    return 0;
}

static void add_stack(collector *c, const uint32_t *function, uint32_t depth)
{
    nj_profile *p = c->p;
    for (uint32_t i = 0; i < p->n_stacks; i++)
        if (p->stack[i].depth == depth && !memcmp(p->stack[i].function, function, depth * sizeof *function)) {
            p->stack[i].samples++;
            return;
        }
    if (p->n_stacks % 256 == 0) p->stack = realloc(p->stack, (p->n_stacks + 256) * sizeof *p->stack);
    if (!p->stack) nj_give_up("profile: out of memory");
    uint32_t *copy = nj_arena_alloc(&p->arena, (depth + 1) * sizeof *copy);
    if (!copy) nj_give_up("profile: out of memory");
    memcpy(copy, function, depth * sizeof *function);
    p->stack[p->n_stacks++] = (nj_profile_stack){ copy, depth, 1 };
}

static int tail_line(collector *c, uint32_t callee)
{
    if (callee >= c->cap_tails) {
        uint32_t more = callee - c->cap_tails + 256;
        c->tail = realloc(c->tail, ((size_t)c->cap_tails + more) * sizeof *c->tail);
        if (!c->tail) nj_give_up("profile: out of memory");
        memset(c->tail + c->cap_tails, 0xff, more * sizeof *c->tail); /* -1 */
        c->cap_tails += more;
    }
    if (c->tail[callee] < 0)
        c->tail[callee] =
            nj_symbols_tail_line(c->symbols, c->entry_pc, nj_symbols_function(c->symbols, callee)->name);
    return c->tail[callee];
}

/* One line per distinct function: that of its outermost frame, so that recursion counts once. */
static void credit(collector *c, const nj_frame *frame, uint32_t n)
{
    uint32_t path[MAX_FRAMES + 1], depth = 0; /* + process() itself */
    if (frame[n - 1].function != c->entry) {  /* process() left by a tail call: it is not on the stack */
        path[depth++] = slot_of(c, c->entry);
        nj_profile_function *f = &c->p->function[path[0]];
        int line = tail_line(c, frame[n - 1].function);
        f->samples++;
        if (line >= f->first && line <= f->last) f->line[line - f->first].samples++;
    }
    for (uint32_t k = n; k-- > 0;) {
        /* the piece has the line */
        if (k > 0 && frame[k - 1].part && frame[k - 1].function == frame[k].function) continue;
        uint32_t slot = slot_of(c, frame[k].function), seen = 0;
        while (seen < depth && path[seen] != slot) seen++;
        path[depth++] = slot;
        if (seen < depth - 1) continue;
        nj_profile_function *f = &c->p->function[slot];
        f->samples++;
        if (frame[k].line >= f->first && frame[k].line <= f->last)
            f->line[frame[k].line - f->first].samples++;
    }
    add_stack(c, path, depth);
}

int nj_profile_collect(nj_profile *p, nj_sampler *const *sampler, uint32_t n_samplers, nj_symbols *symbols,
                       uint64_t entry, const nj_hits *hits, nj_error *err)
{
    collector c = { .p = p, .symbols = symbols, .hits = hits, .entry_pc = entry };
    const nj_frame *of_entry;
    uint32_t n = nj_symbols_frames(symbols, entry, false, &of_entry);
    nj_frame *frame = malloc(MAX_FRAMES * sizeof *frame);
    if (!frame) return nj_fail(err, "out of memory");
    c.entry = of_entry[n - 1].function;
    add_counted(&c);
    slot_of(&c, c.entry);
    p->samples = p->unplaced = 0;
    for (uint32_t k = 0; k < n_samplers; k++)
        for (uint32_t i = 0; i < nj_sampler_taken(sampler[k]); i++) {
            n = frames_of(&c, sampler[k], i, frame);
            if (n)
                credit(&c, frame, n);
            else
                p->unplaced++;
            p->samples += n > 0;
        }
    for (uint32_t i = 0; i < p->n_functions; i++)
        p->function[i].total_ns = p->samples ? p->span_ns * p->function[i].samples / p->samples : 0;
    free(frame);
    free(c.slot);
    free(c.tail);
    return 0;
}

void nj_profile_free(nj_profile *p)
{
    free(p->function);
    free(p->stack);
    nj_singly_free(&p->singly);
    nj_energy_pass_free(&p->energy_ab);
    nj_scalings_free(&p->scaling);
    nj_arena_free(&p->arena);
}
