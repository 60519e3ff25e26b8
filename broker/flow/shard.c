/* shard.c - N runs share a night: what this one says of its part, and what cannot be shared. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../base/version.h"
#include "internal.h"

/* The number of a part within the run: source, partition, part in it. */
enum { RANK_BITS = 12, PART_BITS = 40 };

const nj_shard *nj_flow_shard(const run *r)
{
    return r->options->shard.n ? &r->options->shard : NULL;
}

int nj_flow_shard_check(const run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    if (!o->shard.n) return 0;
    if (o->limit)
        return nj_fail(err,
                       "--shard and --limit do not go together: each shard would stop after %lld alerts, "
                       "which are not the first ones of the night",
                       (long long)o->limit);
    if (r->conf.dedup)
        return nj_fail(err,
                       "--shard and [run] dedup = %lld do not go together: no shard sees what the others "
                       "have; drop duplicates from what `nightjar merge` makes",
                       (long long)r->conf.dedup);
    if (o->eos)
        return nj_fail(err,
                       "--shard and --eos do not go together: the shards' transactions may end differently");
    const char *serial = nj_engine_serial(&r->engine);
    if (serial)
        return nj_fail(err,
                       "--shard: module %s remembers alerts in the order of the source, and a shard lacks "
                       "those of the others; leave it out with -m -%s, or run the night whole",
                       serial, serial);
    for (uint32_t i = 0; i < o->n_sources; i++)
        if (!strncmp(o->source[i], "embedded://", 11))
            return nj_fail(err,
                           "%s: --shard: the embedded broker is this process's own; name the source itself",
                           o->source[i]);
    if (o->n_sources >= 1u << (63 - RANK_BITS - PART_BITS))
        return nj_fail(err, "--shard: more than %u sources", (1u << (63 - RANK_BITS - PART_BITS)) - 1);
    return 0;
}

int nj_flow_shard_fields(run *r)
{
    if (!r->options->shard.n) return 0;
    r->n_shard = 2;
    return nj_flow_add_field(r,
                             (nj_field){ "shard.part", NULL, NJ_I64, 1, "1",
                                         "which part of the night the alert is in; merge orders by it",
                                         NULL },
                             (field_source){ FIELD_SHARD, 0, 0 }) ||
                   nj_flow_add_field(r,
                                     (nj_field){ "shard.record", NULL, NJ_I64, 1, "1",
                                                 "number of the alert's record in its packet or file", NULL },
                                     (field_source){ FIELD_SHARD, 1, 0 })
               ? -1
               : 0;
}

int nj_flow_shard_survey(const run *r, survey *s, nj_error *err)
{
    if (r->options->shard.by != NJ_SHARD_EXPOSURE) return 0;
    s->exposure = s->column[r->exposure_field];
    if (s->exposure < s->graph->layout.n_packet) return 0;
    return nj_fail(err, "--shard-by exposure: packets of survey %s have no exposure; --shard-by id works",
                   s->graph->layout.survey);
}

bool nj_flow_shard_mine(const run *r, const nj_batch *b, uint32_t row)
{
    const nj_shard *shard = &r->options->shard;
    const survey *s = b->layout->owner;
    uint64_t key;
    if (shard->by == NJ_SHARD_ID) {
        if (b->id[row] == NJ_NO_I64) return nj_shard_has_rest(shard);
        return nj_shard_has_key(shard, (uint64_t)b->id[row]);
    }
    double exposure = ((const double *)b->col[s->exposure].data)[row];
    if (exposure != exposure) return nj_shard_has_rest(shard);
    memcpy(&key, &exposure, sizeof key);
    return nj_shard_has_key(shard, key);
}

static int64_t number_of(const nj_chunk *c)
{
    return (int64_t)c->stream->source << (RANK_BITS + PART_BITS) | (int64_t)c->stream->rank << PART_BITS |
           c->part;
}

int nj_flow_shard_values(const run *r, nj_batch *b, nj_col *value)
{
    if (!r->n_shard) return 0;
    int64_t *part = nj_arena_alloc(&b->arena, (b->n + 1) * sizeof *part),
            *record = nj_arena_alloc(&b->arena, (b->n + 1) * sizeof *record);
    if (!part || !record) return -1;
    for (uint32_t i = 0; i < b->n; i++) {
        part[i] = number_of(b->row[i].chunk);
        record[i] = b->row[i].record;
    }
    value[0] = (nj_col){ .data = part };
    value[1] = (nj_col){ .data = record };
    return 0;
}

void nj_flow_shard_columns(const run *r, uint32_t sink, nj_rows *rows)
{
    if (!r->n_shard || r->sink[sink]->class->is_file) return;
    rows->field += r->n_shard;
    rows->n_fields -= r->n_shard;
    if (rows->value) rows->value += r->n_shard;
}

void nj_flow_shard_state(const run *r, nj_buffer *out)
{
    const nj_shard *shard = &r->options->shard;
    if (!shard->n) return;
    nj_buffer_printf(out, ",\"shard\":{\"k\":%u,\"n\":%u,\"by\":\"%s\",\"version\":\"%s (%s)\",\"parts\":[",
                     shard->k, shard->n, nj_shard_by_name[shard->by], nj_version, nj_revision);
    uint32_t n = __atomic_load_n(&r->accounts.n_streams, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0, first = 1; i < n; i++) {
        const nj_stream *s = &r->accounts.stream[i]->public;
        uint64_t own = __atomic_load_n(&s->own, __ATOMIC_RELAXED),
                 left = __atomic_load_n(&s->left, __ATOMIC_RELAXED);
        if (!own && !left) continue;
        nj_buffer_text(out, first ? "{\"source\":" : ",{\"source\":");
        nj_json_text(out, s->name);
        nj_buffer_printf(out, ",\"of\":\"%s\",\"own\":%" PRIu64 ",\"left\":%" PRIu64 "}", s->part, own, left);
        first = 0;
    }
    nj_buffer_text(out, "]}");
}

/* The parts of all sources, by what they are: their names are few. */
static void add_words(const run *r, nj_buffer *to)
{
    static const char *const kind[] = { "member", "file", "row group", "letter", "partition" };
    for (size_t k = 0; k < sizeof kind / sizeof *kind; k++) {
        uint64_t own = 0, left = 0;
        for (uint32_t i = 0; i < r->accounts.n_streams; i++) {
            const nj_stream *s = &r->accounts.stream[i]->public;
            if (!s->part || strcmp(s->part, kind[k])) continue;
            own += s->own;
            left += s->left;
        }
        if (own || left)
            nj_buffer_printf(to, "%s%" PRIu64 " %s%s, and %" PRIu64 " left to the other shards",
                             to->n ? "; " : "", own, kind[k], own == 1 ? "" : "s", left);
    }
}

int nj_flow_shard_report(const run *r, nj_report *report)
{
    const nj_shard *shard = &r->options->shard;
    nj_buffer words = { 0 };
    if (!shard->n) return 0;
    report->shard.k = shard->k;
    report->shard.n = shard->n;
    report->shard.by = nj_shard_by_name[shard->by];
    for (uint32_t i = 0; i < report->n_streams; i++) {
        const nj_stream *s = &r->accounts.stream[i]->public;
        report->stream[i].part = s->part;
        report->stream[i].own = s->own;
        report->stream[i].left = s->left;
    }
    add_words(r, &words);
    if (report->ledger.others)
        nj_buffer_printf(&words, "%s%" PRIu64 " alerts left to the other shards", words.n ? "; " : "",
                         report->ledger.others);
    nj_buffer_text(&words, "");
    if (!words.failed)
        nj_log(NJ_LOG_INFO, "shard %u of %u, by %s: %s", shard->k, shard->n, nj_shard_by_name[shard->by],
               words.data[0] ? words.data : "all there was");
    nj_buffer_free(&words);
    return words.failed ? -1 : 0;
}
