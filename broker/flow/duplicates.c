/* duplicates.c - a night that was downloaded twice, or an archive made of the same files twice, gives twice
 * the candidates: which files have the same alerts is counted and said, whether they are dropped or not. */
#include "duplicates.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "missing.h"
#include "output.h"

enum { MOST_IDS = 1 << 21, MOST_NAMES = 1 << 18, PAIRS = 64, FIRST_CAP = 1 << 12 };

/* Where an id was first. */
typedef struct place {
    uint64_t key; /* 0 = empty */
    uint32_t stream;
    uint32_t name; /* of the file or member in it, among those noted; UINT32_MAX = not noted */
} place;

typedef struct pair {
    uint32_t first, second; /* streams */
    uint64_t n;
    int64_t id;                   /* of the first one */
    char before[512], where[512]; /* of its first and its second time */
} pair;

typedef struct seen_id {
    int64_t id;
    uint64_t survey; /* key of its name; 0 = the output does not say */
} seen_id;

typedef struct duplicates {
    place *place; /* [cap] NULL: no source has files */
    uint32_t n, cap;
    const char **name; /* [n_names] members */
    uint32_t n_names, cap_names;
    uint32_t last_stream; /* of the last name, with its chunk's offset */
    int64_t last_offset;
    nj_arena names;
    bool full; /* there were more ids than are remembered */
    pair pair[PAIRS];
    uint32_t n_pairs;
    uint64_t n_more; /* duplicates of pairs that had no room */
    seen_id *seen;   /* [n_seen] sorted; of --seen */
    size_t n_seen, cap_seen;
    uint32_t survey_field;
    uint64_t n_seen_again;
} duplicates;

/* ---- of an earlier run ----------------------------------------------------------------------- */

static int add_seen(void *duplicates_, int64_t id, const char *of)
{
    duplicates *d = duplicates_;
    if (d->n_seen == d->cap_seen) {
        size_t cap = d->cap_seen ? 2 * d->cap_seen : 1024;
        seen_id *more = realloc(d->seen, cap * sizeof *more);
        if (!more) return -1;
        d->seen = more;
        d->cap_seen = cap;
    }
    d->seen[d->n_seen++] = (seen_id){ id, of ? nj_flow_key(of) : 0 };
    return 0;
}

static int by_id(const void *a, const void *b)
{
    const seen_id *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Of the same survey, where both say which. */
static bool was_seen(const duplicates *d, int64_t id, const char *of)
{
    size_t low = 0, high = d->n_seen;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (d->seen[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    const uint64_t key = of ? nj_flow_key(of) : 0;
    for (; low < d->n_seen && d->seen[low].id == id; low++)
        if (!key || !d->seen[low].survey || d->seen[low].survey == key) return true;
    return false;
}

int nj_flow_duplicates_begin(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    bool files = false;
    for (uint32_t i = 0; i < r->n_sources; i++) files |= r->source[i]->class->ack == NULL;
    if (!files && !o->n_seen) return 0;
    duplicates *d = r->duplicates = calloc(1, sizeof *d);
    if (!d) return nj_fail(err, "out of memory");
    d->survey_field = UINT32_MAX;
    for (uint32_t f = 0; f < r->n_fields; f++)
        if (!strcmp(r->field[f].key, "survey")) d->survey_field = f;
    for (uint32_t i = 0; i < o->n_seen; i++) {
        const size_t before = d->n_seen;
        if (nj_output_ids("--seen", o->seen[i], false, add_seen, d, err)) return -1;
        nj_log(NJ_LOG_INFO, "--seen %s: %zu alerts, which count as duplicates", o->seen[i],
               d->n_seen - before);
    }
    if (d->n_seen) qsort(d->seen, d->n_seen, sizeof *d->seen, by_id);
    if (!files) return 0;
    d->cap = FIRST_CAP;
    d->place = calloc(d->cap, sizeof *d->place);
    return d->place ? 0 : nj_fail(err, "out of memory");
}

void nj_flow_duplicates_free(run *r)
{
    if (!r->duplicates) return;
    free(r->duplicates->place);
    free(r->duplicates->seen);
    free(r->duplicates->name);
    nj_arena_free(&r->duplicates->names);
    free(r->duplicates);
    r->duplicates = NULL;
}

/* ---- of two files ---------------------------------------------------------------------------- */

static place *slot_of(place *table, uint32_t cap, uint64_t key)
{
    uint32_t i = (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (cap - 1);
    while (table[i].key && table[i].key != key) i = (i + 1) & (cap - 1);
    return &table[i];
}

/* At most half full. False: no memory, or there are enough. */
static bool grow(duplicates *d)
{
    if (2 * d->n < d->cap) return true;
    if (d->n >= MOST_IDS) return false;
    place *more = calloc(2 * (size_t)d->cap, sizeof *more);
    if (!more) return false;
    for (uint32_t i = 0; i < d->cap; i++)
        if (d->place[i].key) *slot_of(more, 2 * d->cap, d->place[i].key) = d->place[i];
    free(d->place);
    d->place = more;
    d->cap *= 2;
    return true;
}

/* The number of the chunk's name; rows of one chunk come one behind the other. */
static uint32_t name_of(duplicates *d, const nj_chunk *chunk)
{
    if (!chunk->member || d->n_names == MOST_NAMES) return UINT32_MAX;
    if (d->n_names && d->last_stream == chunk->stream->id && d->last_offset == chunk->offset)
        return d->n_names - 1;
    if (d->n_names == d->cap_names) {
        uint32_t cap = d->cap_names ? 2 * d->cap_names : 256;
        const char **more = realloc(d->name, cap * sizeof *more);
        if (!more) return UINT32_MAX;
        d->name = more;
        d->cap_names = cap;
    }
    const char *text = nj_arena_text(&d->names, chunk->member, strlen(chunk->member));
    if (!text) return UINT32_MAX;
    d->last_stream = chunk->stream->id;
    d->last_offset = chunk->offset;
    d->name[d->n_names] = text;
    return d->n_names++;
}

static void note_pair(const run *r, duplicates *d, const place *first, const nj_chunk *now, int64_t id)
{
    uint32_t k = 0;
    while (k < d->n_pairs && (d->pair[k].first != first->stream || d->pair[k].second != now->stream->id)) k++;
    if (k == PAIRS) {
        d->n_more++;
        return;
    }
    pair *p = &d->pair[k];
    if (k == d->n_pairs) {
        const char *name = first->name == UINT32_MAX ? NULL : d->name[first->name];
        d->n_pairs++;
        *p = (pair){ .first = first->stream, .second = now->stream->id, .id = id };
        snprintf(p->before, sizeof p->before, "%.250s%s%.250s", r->accounts.stream[first->stream]->name,
                 name ? ": " : "", name ? name : "");
        nj_chunk_where(now, p->where, sizeof p->where);
    }
    p->n++;
}

static void note(const run *r, duplicates *d, const nj_chunk *chunk, int64_t id, uint64_t salt)
{
    uint64_t key = (uint64_t)id ^ salt;
    if (!key) key = 1;
    place *at = slot_of(d->place, d->cap, key);
    if (at->key) return note_pair(r, d, at, chunk, id);
    if (!grow(d)) {
        d->full = true;
        return;
    }
    at = slot_of(d->place, d->cap, key);
    *at = (place){ key, chunk->stream->id, name_of(d, chunk) };
    d->n++;
}

bool nj_flow_is_duplicate(struct out *o, const nj_batch *b, uint32_t row, uint64_t salt)
{
    run *r = o->r;
    duplicates *d = r->duplicates;
    const int64_t id = b->id[row];
    bool is = r->output.dedup && nj_dedup_seen(r->output.dedup, id, salt);
    if (!d || id == NJ_NO_I64) return is;
    if (d->place && !b->row[row].chunk->stream->topic) note(r, d, b->row[row].chunk, id, salt);
    if (!d->n_seen || is) return is;
    const nj_col *of = d->survey_field == UINT32_MAX ? NULL : &o->value[d->survey_field];
    is = was_seen(d, id, of && of->data ? ((const char *const *)of->data)[row] : NULL);
    d->n_seen_again += is;
    return is;
}

int nj_flow_duplicates_report(const run *r, nj_report *report)
{
    const duplicates *d = r->duplicates;
    if (!d) return 0;
    report->duplicate = calloc(d->n_pairs + 1, sizeof *report->duplicate);
    if (!report->duplicate) return -1;
    for (uint32_t k = 0; k < d->n_pairs; k++) {
        const pair *p = &d->pair[k];
        nj_report_duplicate *to = &report->duplicate[report->n_duplicates++];
        const char *first = r->accounts.stream[p->first]->name, *second = r->accounts.stream[p->second]->name;
        *to = (nj_report_duplicate){ .n = p->n, .id = p->id };
        snprintf(to->first, sizeof to->first, "%.250s", first);
        snprintf(to->second, sizeof to->second, "%.250s", second);
        nj_log(NJ_LOG_WARN, "%llu alert%s of %s came before, in %s: the first is %lld, in %s and in %s%s",
               (unsigned long long)p->n, p->n == 1 ? "" : "s", second,
               p->first == p->second ? "the same source" : first, (long long)p->id, p->before, p->where,
               r->output.dedup ? "" : "; [run] dedup = N drops them");
    }
    if (d->n_more)
        nj_log(NJ_LOG_WARN, "%llu more alerts came before, in other files", (unsigned long long)d->n_more);
    if (d->full)
        nj_log(NJ_LOG_INFO, "whether alerts are in two files was looked at for the first %u ids only", d->n);
    return 0;
}
