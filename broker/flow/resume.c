/* resume.c - a resumed run must know up to which alert each output is complete: it reads the journals,
 * refuses those that are not its own, and writes down what the next one needs. */
#include "resume.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "../base/log.h"
#include "../base/output.h"
#include "overload.h"
#include "shared.h"

static const char *const class_name[] = { "chunks", "emitted", "filtered", "dead", "duplicates", "others" };
enum { CLASSES = 6, OTHERS = 5 /* said by a shard alone */ };

static uint64_t *class_of(nj_ledger *l, int i)
{
    uint64_t *const at[CLASSES] = { &l->settled, &l->emitted,    &l->filtered,
                                    &l->dead,    &l->duplicates, &l->others };
    return at[i];
}

/* ---- the memories ---------------------------------------------------------------------------- */

static int read_state(memory *m)
{
    json_t *state = m->mark.state && *m->mark.state ? json_loads(m->mark.state, 0, NULL) : NULL;
    const json_t *list = json_object_get(state, "streams"), *s;
    size_t i;
    int rc = 0;
    m->item = calloc(json_array_size(list) + 1, sizeof *m->item);
    if (!m->item || (m->mark.state && *m->mark.state && !state)) rc = -1; /* it was read as JSON before */
    m->written = (uint64_t)json_integer_value(json_object_get(state, "written"));
    const char *digest = json_string_value(json_object_get(state, "digest"));
    m->digest = digest ? strtoull(digest, NULL, 16) : 0;
    json_array_foreach(list, i, s)
    {
        const char *name = json_string_value(json_object_get(s, "name")),
                   *member = json_string_value(json_object_get(s, "member"));
        if (rc || !name) continue;
        known *k = &m->item[m->n++];
        *k = (known){ .name = strdup(name), .member = strdup(member ? member : "") };
        k->at.offset = json_integer_value(json_object_get(s, "offset"));
        k->at.record = (uint32_t)json_integer_value(json_object_get(s, "record"));
        k->published = json_integer_value(json_object_get(s, "published"));
        for (int c = 0; c < CLASSES; c++)
            *class_of(&k->ledger, c) = (uint64_t)json_integer_value(json_object_get(s, class_name[c]));
        if (!k->name || !k->member) rc = -1;
    }
    json_decref(state);
    return rc;
}

/* What the supervisor kept of earlier workers. */
static int read_kept(memory *m, const nj_kept *kept)
{
    if (!kept->turn) return 0;
    const nj_kept_set *set = &kept->set[kept->turn & 1];
    m->item = calloc(set->n + 1, sizeof *m->item);
    if (!m->item) return -1;
    for (uint32_t i = 0; i < set->n; i++) {
        known *k = &m->item[m->n++];
        *k = (known){ .name = strdup(set->stream[i].name),
                      .member = strdup(""),
                      .at = { set->stream[i].offset, set->stream[i].record },
                      .ledger = set->stream[i].sum };
        if (!k->name || !k->member) return -1;
    }
    return 0;
}

static const char *spec_of(const run *r, uint32_t sink)
{
    const nj_run_options *o = r->options;
    uint32_t own = o->own_sink ? 1 : 0;
    return sink < own || sink - own >= o->n_sinks ? NULL : o->sink[sink - own];
}

/* from=committed is where a group continues: a file sink in --append continues with it. */
static bool is_implied(const nj_run_options *o)
{
    for (uint32_t i = 0; i < o->n_sources && o->mode == NJ_SINK_APPEND; i++) {
        const char *from = strstr(o->source[i], "from=");
        if (!strncmp(o->source[i], "kafka://", 8) && (!from || !strncmp(from + 5, "committed", 9)))
            return true;
    }
    return false;
}

/* Is this journal the one of the resumed run? */
static int check_mark(run *r, memory *m, const char *path, bool strict, nj_error *err)
{
    struct run_resume *z = r->resume;
    if (!z->run[0]) snprintf(z->run, sizeof z->run, "%s", m->mark.run);
    if (strcmp(z->run, m->mark.run) != 0) {
        if (strict)
            return nj_fail(err, "%s: its journal is of another run (%s) than that of the first output (%s)",
                           path, m->mark.run, z->run);
        nj_mark_free(&m->mark); /* of a run before: replaced or added to, as --overwrite and --append say */
        return 0;
    }
    int level = strict ? NJ_LOG_ERROR : NJ_LOG_WARN;
    int n = nj_flow_configuration_differs(m->mark.configuration, z->configuration, path, level);
    if (n && strict)
        return nj_fail(err,
                       "%s: cannot be resumed: the run that wrote it had another configuration (%d line%s, "
                       "above)",
                       path, n, n == 1 ? "" : "s");
    if (n) nj_log(NJ_LOG_WARN, "%s: continues with another configuration than before", path);
    return read_state(m) || nj_flow_columns_back(r, m->mark.state)
               ? nj_fail(err, "%s: out of memory for the journal", path)
               : 0;
}

/* A file whose letters belong to the run, among those that its folder has. */
static int find_letters(run *r, memory *m, nj_error *err)
{
    struct run_resume *z = r->resume;
    for (unsigned k = 1; k < 1000; k++) {
        const char *path = r->options->dead_letters ? r->options->dead_letters : nj_flow_letters_path(r, k);
        if (!path) return nj_fail(err, "out of memory");
        if (nj_dead_letters_look(path, &m->mark, err)) return -1;
        const char *owner = nj_flow_letters_owner(r);
        if (!z->run[0] && m->mark.kind == NJ_MARK_THERE && !m->mark.complete && owner &&
            !strcmp(m->mark.configuration, owner)) { /* it died before an output had a commit of its own */
            snprintf(z->run, sizeof z->run, "%s", m->mark.run);
            z->on = true;
        }
        if (m->mark.kind == NJ_MARK_THERE && !strcmp(m->mark.run, z->run)) {
            z->letters = strdup(path);
            return z->letters && !read_state(m) ? 0 : nj_fail(err, "out of memory");
        }
        bool there = m->mark.kind == NJ_MARK_THERE || m->mark.kind == NJ_MARK_UNKNOWN;
        /* a run that died after it had made the file, and before it had its journal, left it empty */
        if (r->options->dead_letters && m->mark.kind == NJ_MARK_NEW)
            return (z->letters = strdup(path)) ? 0 : nj_fail(err, "out of memory");
        nj_mark_free(&m->mark);
        if (r->options->dead_letters || !there) return 0;
    }
    return 0;
}

static int new_name(struct run_resume *z)
{
    uint32_t some = 0;
    struct tm utc;
    time_t now = time(NULL);
    if (getrandom(&some, sizeof some, GRND_NONBLOCK) < 0) some = (uint32_t)getpid();
    size_t n = strftime(z->run, sizeof z->run, "%Y%m%dT%H%M%SZ-", gmtime_r(&now, &utc));
    snprintf(z->run + n, sizeof z->run - n, "%08" PRIx32, some);
    return 0;
}

static const known *find(const memory *m, const char *key)
{
    for (uint32_t i = 0; i < m->n; i++)
        if (!strcmp(m->item[i].name, key)) return &m->item[i];
    return NULL;
}

/* Up to where all outputs have a stream; NULL: one of them has nothing of it. */
static const known *least_of(const struct run_resume *z, const char *key)
{
    const known *least = NULL;
    for (uint32_t i = 0; i + 1 < z->n; i++) { /* the last are the dead letters */
        const known *k = find(&z->of[i], key);
        if (z->of[i].counts && !k) return NULL;
        if (k && (!least || nj_before(k->at.offset, k->at.record, least->at))) least = k;
    }
    return least;
}

/* A worker that dies leaves its sums to the next one; those of the runs before it are in the journals, which
 * are further by then. */
static void seed(run *r)
{
    const struct run_resume *z = r->resume;
    for (uint32_t i = 0; i + 1 < z->n; i++) {
        if (!z->of[i].counts) continue;
        for (uint32_t k = 0; k < z->of[i].n; k++) {
            const known *least = least_of(z, z->of[i].item[k].name);
            if (least) nj_flow_keep_seed(r, least->name, least->at.offset, least->at.record, &least->ledger);
        }
        return; /* what this one lacks is read from its beginning */
    }
}

/* A run that was killed between its last rows and its report left none, an empty file, or that of the
 * interrupted run before: then this run has nothing to do but to report. */
static bool lacks_report(const char *path)
{
    if (!path || nj_output_is_standard(path)) return false;
    json_t *old = json_load_file(path, 0, NULL);
    const json_t *ledger = json_object_get(old, "ledger");
    bool whole =
        json_is_true(json_object_get(ledger, "closed")) && !json_is_true(json_object_get(old, "interrupted"));
    json_decref(old);
    return !whole;
}

int nj_flow_resume_look(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    struct run_resume *z = r->resume = calloc(1, sizeof *z);
    uint32_t own = o->own_sink ? 1 : 0, n = own + o->n_sinks, files = 0, there = 0, complete = 0;
    if (!z) return nj_fail(err, "out of memory");
    z->n = (n ? n : 1) + 1;
    z->of = calloc(z->n, sizeof *z->of);
    z->configuration = nj_flow_configuration(r);
    if (!z->of || !z->configuration) return nj_fail(err, "out of memory");
    /* a worker that died before the run had its name has begun nothing: this one is as the first */
    z->restart = o->resume && o->shared && o->shared->incarnation && o->shared->run[0];
    if (z->restart) snprintf(z->run, sizeof z->run, "%s", o->shared->run);
    bool strict = o->resume && !z->restart, implied = !o->resume && is_implied(o);
    for (uint32_t i = own; (o->resume || implied) && i < n; i++) {
        memory *m = &z->of[i];
        const char *path = nj_sink_path(spec_of(r, i));
        if (!path) continue;
        if (nj_sink_look(spec_of(r, i), &m->mark, err)) return -1;
        if (m->mark.kind == NJ_MARK_UNKNOWN && strict)
            return nj_fail(err, "%s: has no journal, so that --resume cannot find out what is in it", path);
        if (m->mark.kind == NJ_MARK_THERE && check_mark(r, m, path, strict, err)) return -1;
        m->counts = m->mark.kind == NJ_MARK_THERE || m->mark.kind == NJ_MARK_NEW;
        files += m->mark.kind != NJ_MARK_NONE;
        there += m->mark.kind == NJ_MARK_THERE;
        complete += m->mark.kind == NJ_MARK_THERE && m->mark.complete;
        if (m->mark.kind == NJ_MARK_NEW && strict)
            nj_log(NJ_LOG_INFO, "%s: does not exist yet: it begins at the beginning", path);
    }
    if (strict && !files && !(o->dead_letters && !access(o->dead_letters, F_OK)))
        return nj_fail(err, "--resume: no output keeps a journal; files do (ndjson, csv, avro, fits, sqlite, "
                            "parquet, packets)");
    bool finished = strict && there && complete == files; /* a worker's successor still has to report */
    if (finished && lacks_report(o->report))
        nj_log(NJ_LOG_INFO, "the outputs are complete: only the report is written");
    else if (finished) {
        nj_log(NJ_LOG_INFO, "the outputs are complete: there is nothing to resume");
        return 1;
    }
    z->on = there || z->restart;
    if (z->restart && read_kept(&z->kept, &o->shared->kept)) return nj_fail(err, "out of memory");
    for (uint32_t i = 0; z->on && i < n; i++)
        if (!z->of[i].counts)
            nj_log(NJ_LOG_INFO,
                   "%s: keeps no journal: its rows of the last second before the end may come twice",
                   spec_of(r, i) ? spec_of(r, i) : "the output");
    if ((z->on || (strict && files)) && find_letters(r, &z->of[z->n - 1], err)) return -1;
    z->of[z->n - 1].counts = z->letters != NULL;
    if (!z->run[0]) new_name(z);
    if (o->shared) snprintf(o->shared->run, sizeof o->shared->run, "%s", z->run);
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < z->n; i++) {
        const memory *m = &z->of[i];
        if (m->mark.commit > z->commit) z->commit = m->mark.commit;
        if (!m->counts || i == z->n - 1 || m->mark.commit >= first) continue;
        first = m->mark.commit;
        r->output.written = m->written;
        r->output.digest = m->digest;
    }
    if (z->restart && o->shared) { /* the report adds what was before */
        const nj_kept_set *set = &o->shared->kept.set[o->shared->kept.turn & 1];
        r->output.written = r->output.digest = 0;
        for (uint32_t i = 0; i < z->kept.n; i++) {
            const nj_ledger *l = &z->kept.item[i].ledger;
            r->output.written += l->emitted + l->filtered + l->duplicates;
        }
        z->digest = o->shared->kept.turn ? set->digest : 0;
    }
    if (z->on && !z->restart && o->shared && !o->eos) seed(r); /* a topic may be behind the files */
    if (z->on && r->conf.dedup)
        nj_log(NJ_LOG_WARN,
               "[run] dedup: ids of the interrupted run are not known; a duplicate of one is kept");
    return 0;
}

const nj_mark *nj_flow_mark(const run *r, uint32_t sink)
{
    const memory *m = r->resume ? &r->resume->of[sink] : NULL;
    return m && (m->mark.kind == NJ_MARK_THERE || m->mark.kind == NJ_MARK_NEW) ? &m->mark : NULL;
}

bool nj_flow_mark_known(const run *r, uint32_t sink)
{
    const nj_mark *mark = nj_flow_mark(r, sink);
    return mark && mark->kind == NJ_MARK_THERE && !strcmp(mark->configuration, r->resume->configuration);
}

/* ---- streams --------------------------------------------------------------------------------- */

/* Its name in journals, and in the memory that has room for so much. Of a long one the end counts, too. */
static void make_key(char key[NJ_STREAM_NAME], const char *name, int again)
{
    char twice[16] = "", hash[24] = "";
    int room = again > 1 ? 200 : 250;
    if (again > 1) snprintf(twice, sizeof twice, " (%d)", again);
    if (strlen(name) > (size_t)room) room -= snprintf(hash, sizeof hash, "#%016" PRIx64, nj_flow_key(name));
    snprintf(key, NJ_STREAM_NAME, "%.*s%s%s", room, name, hash, twice);
}

int nj_flow_stream_begin(run *r, stream *s)
{
    const struct run_resume *z = r->resume;
    progress_of *p = s->progress = calloc(1, sizeof *p);
    char key[NJ_STREAM_NAME];
    int again = 1;
    if (!p) return -1;
    p->is_kafka = !strncmp(s->name, "kafka://", 8);
    for (uint32_t i = 0; !p->is_kafka && i < r->accounts.n_streams; i++)
        again += !strcmp(r->accounts.stream[i]->name, s->name);
    make_key(key, s->name, again);
    p->key = strdup(key);
    p->written = p->kept = p->next = p->skip = (position){ -1, 0 };
    if (!p->key) return -1;
    if (!z || !z->on) return 0;
    p->ahead = calloc(z->n, sizeof *p->ahead);
    p->had = calloc(z->n + 1, sizeof *p->had);
    if (!p->ahead || !p->had) return -1;
    for (uint32_t i = 0; i <= z->n; i++) { /* the last: of the supervisor */
        const known *k = find(i < z->n ? &z->of[i] : &z->kept, p->key);
        if (i < z->n) p->ahead[i] = k ? k->at : (position){ -1, 0 };
        if (k && k->published > p->published) p->published = k->published;
        if (!k || p->is_kafka) continue;
        const int64_t begun = k->at.offset + (k->at.record > 0);
        if (begun > p->furthest) p->furthest = begun;
        p->had[p->n_had++] = k;
    }
    /* --eos: the offsets of what the topic has are in the group; the journals of files have their own */
    const known *least = r->output.eos_source && p->is_kafka ? NULL : least_of(z, p->key);
    if (z->restart) least = find(&z->kept, p->key); /* not ahead of the report's sums */
    if (!least) return 0;
    p->written = p->kept = p->next = least->at;
    p->sum = p->next_sum = least->ledger;
    snprintf(p->member, sizeof p->member, "%s", least->member);
    memcpy(p->next_member, p->member, sizeof p->member);
    p->compare = true;
    if (p->is_kafka) return 0;
    p->skip = least->at;
    return 0;
}

void nj_flow_stream_end(stream *s)
{
    progress_of *p = s->progress;
    if (!p) return;
    free(p->key);
    free(p->ahead);
    free(p->had);
    free(p);
}

static void add_stream(nj_buffer *out, const known *k, bool first)
{
    nj_buffer_text(out, first ? "{\"name\":" : ",{\"name\":");
    nj_json_text(out, k->name);
    nj_buffer_printf(out, ",\"offset\":%lld,\"record\":%u,\"member\":", (long long)k->at.offset,
                     k->at.record);
    nj_json_text(out, k->member);
    if (k->published > 0) nj_buffer_printf(out, ",\"published\":%lld", (long long)k->published);
    for (int c = 0; c < CLASSES; c++) {
        uint64_t n = *class_of((nj_ledger *)&k->ledger, c);
        if (c != OTHERS || n) nj_buffer_printf(out, ",\"%s\":%llu", class_name[c], (unsigned long long)n);
    }
    nj_buffer_text(out, "}");
}

void nj_flow_state(const run *r, uint32_t sink, nj_buffer *out)
{
    const memory *m = &r->resume->of[sink];
    bool first = true;
    uint32_t n = __atomic_load_n(&r->accounts.n_streams, __ATOMIC_ACQUIRE);
    nj_buffer_printf(out, "{\"written\":%llu,\"digest\":\"%016llx\",\"streams\":[",
                     (unsigned long long)r->output.written,
                     (unsigned long long)(r->resume->digest + r->output.digest));
    for (uint32_t i = 0; i < n; i++) {
        progress_of *p = r->accounts.stream[i]->progress;
        const known *k =
            p->ahead && nj_before(p->next.offset, p->next.record, p->ahead[sink]) ? find(m, p->key) : NULL;
        if (!k && p->next.offset < 0) continue;
        const known now = { p->key, p->next_member, p->next, p->published, p->next_sum };
        add_stream(out, k ? k : &now, first);
        first = false;
    }
    for (uint32_t i = 0; i < m->n; i++) { /* of partitions that others have now */
        bool here = false;
        for (uint32_t s = 0; s < n && !here; s++)
            here = !strcmp(r->accounts.stream[s]->progress->key, m->item[i].name);
        if (here) continue;
        add_stream(out, &m->item[i], first);
        first = false;
    }
    nj_buffer_text(out, "]");
    uint32_t n_early = __atomic_load_n(&r->accounts.n_early, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < n_early && i < EARLY_MOST; i++) {
        nj_buffer_text(out, i ? "," : ",\"ended_early\":[");
        nj_json_text(out, r->accounts.early[i]);
    }
    if (n_early) nj_buffer_text(out, "]");
    if (r->resume->columns.n) nj_buffer_printf(out, ",\"columns\":[%s]", r->resume->columns.data);
    nj_flow_overload_state(r, out);
    nj_flow_shard_state(r, out);
    nj_buffer_text(out, "}");
}

void nj_flow_kept(run *r)
{
    uint32_t n = __atomic_load_n(&r->accounts.n_streams, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < n; i++) {
        progress_of *p = r->accounts.stream[i]->progress;
        p->kept.record = p->next.record;
        __atomic_store_n(&p->kept.offset, p->next.offset, __ATOMIC_RELEASE);
        p->sum = p->next_sum;
        memcpy(p->member, p->next_member, sizeof p->member);
    }
}

static void free_memory(memory *m)
{
    for (uint32_t k = 0; k < m->n; k++) {
        free(m->item[k].name);
        free(m->item[k].member);
    }
    free(m->item);
    nj_mark_free(&m->mark);
}

void nj_flow_resume_free(run *r)
{
    struct run_resume *z = r->resume;
    if (!z) return;
    for (uint32_t i = 0; z->of && i < z->n; i++) free_memory(&z->of[i]);
    free_memory(&z->kept);
    free(z->of);
    free(z->configuration);
    free(z->letters);
    nj_buffer_free(&z->columns);
    free(z);
    r->resume = NULL;
}
