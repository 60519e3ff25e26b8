/* overload.c - measures how long alerts wait, says which modules go (graph/shed.h has the rules), and keeps
 * account of the alerts that went without them. */
#include "overload.h"

#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../graph/shed.h"
#include "internal.h"
#include "output.h"
#include "supervise.h"

typedef struct overload {
    pthread_mutex_t lock; /* of the rules and of `out` */
    nj_shed shed;
    bool *may;    /* [instances] optional */
    double *cost; /* [instances] */
    uint8_t *out; /* [instances] left out now; atomic reads by others */
    uint8_t *own; /* [threads][instances] as each thread's present unit has it */
    bool live;    /* a source whose messages have times of publication */
    nj_shed_account *account;
    bool owned; /* it is not the supervisor's */
} overload;

/* ---- the account ------------------------------------------------------------------------------- */

static nj_shed_module *module_in(nj_shed_account *a, const char *name)
{
    for (uint32_t i = 0; i < a->n; i++)
        if (!strcmp(a->module[i].name, name)) return &a->module[i];
    if (a->n == NJ_SHED_KINDS) return NULL;
    nj_shed_module *m = &a->module[a->n++];
    memset(m, 0, sizeof *m);
    snprintf(m->name, sizeof m->name, "%s", name);
    return m;
}

void nj_shed_note(nj_shed_account *a, const char *module, const char *name, int64_t first, int64_t last,
                  uint64_t alerts)
{
    nj_shed_module *m = module_in(a, module);
    if (!m) return;
    m->alerts += alerts;
    nj_shed_range *r = NULL;
    for (uint32_t i = m->n_ranges; i-- > 0 && !r;) /* the latest one of the stream */
        if (!strncmp(m->range[i].stream, name, sizeof r->stream - 1)) r = &m->range[i];
    bool goes_on = r && first <= r->last + 1 && last >= r->first;
    if (!goes_on && !alerts) return;
    if (!goes_on && m->n_ranges == NJ_SHED_RANGES) {
        m->more = true;
        r = &m->range[NJ_SHED_RANGES - 1];
    } else if (!goes_on) {
        r = &m->range[m->n_ranges++];
        *r = (nj_shed_range){ .first = first, .last = last };
        snprintf(r->stream, sizeof r->stream, "%s", name);
    }
    if (first < r->first) r->first = first;
    if (last > r->last) r->last = last;
    r->alerts += alerts;
}

/* ---- what is optional -------------------------------------------------------------------------- */

/* The instance whose column this is, or NULL. */
static nj_instance *owner_of(const run *r, const char *path)
{
    const char *dot = strchr(path, '.');
    nj_instances *set = (nj_instances *)&r->engine.instances;
    for (uint32_t i = 0; dot && i < set->n; i++)
        if (strlen(set->item[i].name) == (size_t)(dot - path) &&
            !strncmp(set->item[i].name, path, (size_t)(dot - path)))
            return &set->item[i];
    return NULL;
}

/* What a clause reads decides whether there is a row. */
static int keep_names(const run *r, const char *where, bool *may, nj_error *err)
{
    char **name = NULL;
    size_t n = 0;
    if (!where) return 0;
    if (nj_filter_names("max_lag_s", where, &name, &n, err)) return -1;
    for (size_t i = 0; i < n; i++) {
        const nj_instance *in = owner_of(r, name[i]);
        if (in) may[in - r->engine.instances.item] = false;
    }
    free(name);
    return 0;
}

static bool gives_canonical(const nj_instance *in)
{
    for (uint32_t k = 0; k < in->n_gives; k++)
        if (in->give[k].flags & NJ_GIVE_CANONICAL) return true;
    return false;
}

static int find_optional(const run *r, bool *may, nj_error *err)
{
    const nj_run_options *o = r->options;
    const nj_instances *set = &r->engine.instances;
    for (uint32_t i = 0; i < set->n; i++) {
        const nj_instance *in = &set->item[i];
        may[i] =
            in->wanted && !in->serial && !(in->module->flags & NJ_MODULE_ADAPTER) && !gives_canonical(in);
    }
    if (keep_names(r, o->where, may, err)) return -1;
    for (uint32_t i = 0; i < o->n_topics; i++) {
        char section[256];
        snprintf(section, sizeof section, "topic.%s", o->topic[i].name);
        const char *where =
            o->topic[i].where ? o->topic[i].where : nj_settings_get(o->settings, section, "where");
        if (keep_names(r, where, may, err)) return -1;
    }
    for (bool more = true; more;) { /* nor what those need that must stay */
        more = false;
        for (uint32_t i = 0; i < set->n; i++)
            for (uint32_t k = 0; !may[i] && k < set->item[i].n_needs; k++) {
                const nj_instance *in = owner_of(r, set->item[i].need[k].path);
                if (!in || !may[in - set->item]) continue;
                may[in - set->item] = false;
                more = true;
            }
    }
    return 0;
}

/* ---- the rules at work ------------------------------------------------------------------------- */

int nj_flow_overload_begin(run *r, nj_error *err)
{
    nj_guard_conf conf;
    uint32_t n = r->engine.instances.n;
    if (nj_settings_apply(r->options->settings, "guard", nj_guard_settings, NULL, &conf, err)) return -1;
    if (!(conf.max_lag_s > 0) || r->options->missing) return 0;
    if (!r->conf.counters)
        return nj_fail(err,
                       "[guard] max_lag_s needs what modules cost, and [run] counters = 0 measures none");
    overload *v = r->overload = calloc(1, sizeof *v);
    if (!v) return nj_fail(err, "out of memory");
    pthread_mutex_init(&v->lock, NULL);
    v->shed.max_lag_s = conf.max_lag_s;
    v->may = calloc(n + 1, sizeof *v->may);
    v->cost = calloc(n + 1, sizeof *v->cost);
    v->out = calloc(n + 1, 1);
    v->own = calloc((size_t)r->n_threads * n + 1, 1);
    v->owned = !r->options->shared;
    v->account = v->owned ? calloc(1, sizeof *v->account) : &r->options->shared->shed;
    if (!v->may || !v->cost || !v->out || !v->own || !v->account) return nj_fail(err, "out of memory");
    for (uint32_t i = 0; i < r->n_sources; i++) v->live |= r->source[i]->class->ack != NULL;
    if (find_optional(r, v->may, err)) return -1;
    uint32_t optional = 0;
    for (uint32_t i = 0; i < n; i++) optional += v->may[i];
    if (!optional)
        nj_log(NJ_LOG_WARN,
               "[guard] max_lag_s: no module of this run is optional: filters and topics read the "
               "others, or they take alerts in their order");
    for (int t = 0; t < r->n_threads; t++) r->thread[t].worker->left_out = v->own + (size_t)t * n;
    return 0;
}

/* Counters have one writer each, and are read as they are. */
__attribute__((noinline, no_sanitize("thread"))) static void measure(const run *r, overload *v)
{
    for (uint32_t i = 0; i < r->engine.instances.n; i++) {
        uint64_t rows = 0;
        int64_t ns = 0;
        for (int t = 0; t < r->n_threads; t++) {
            const volatile nj_counter *c = &r->thread[t].worker->module[i];
            rows += c->offered - c->reason[NJ_SHED];
            ns += c->wall_ns;
        }
        v->cost[i] = rows ? (double)ns / (double)rows : 0;
    }
}

/* How long the first alert of the unit has waited: in this process, and in a stream. */
static double lag_of(const overload *v, const unit *u)
{
    const nj_chunk *c = u->chunk[0];
    double waited = (double)(nj_now_ns() - c->arrival_ns) / 1e9;
    double published =
        v->live && c->publish_ms > 0 ? (double)(nj_calendar_ns() / 1000000 - c->publish_ms) / 1e3 : 0;
    return waited > published ? waited : published;
}

void nj_flow_overload_unit(run *r, int thread, const unit *u)
{
    overload *v = r->overload;
    if (!v || !u->n) return;
    const nj_instances *set = &r->engine.instances;
    const nj_chunk *c = u->chunk[0];
    double lag = lag_of(v, u), now = (double)nj_now_ns() / 1e9;
    uint32_t which = NJ_SHED_NONE;
    pthread_mutex_lock(&v->lock);
    int wish = nj_shed_wish(&v->shed, lag, now);
    if (wish > 0) measure(r, v);
    if (wish > 0)
        which = nj_shed_more(&v->shed, v->cost, v->may, set->n, now);
    else if (wish < 0)
        which = nj_shed_less(&v->shed, now);
    if (which != NJ_SHED_NONE) __atomic_store_n(&v->out[which], wish > 0, __ATOMIC_RELAXED);
    memcpy(v->own + (size_t)thread * set->n, v->out, set->n);
    pthread_mutex_unlock(&v->lock);
    if (which == NJ_SHED_NONE) return;
    static nj_log_limit said;
    nj_log_limited(&said, 30, NJ_LOG_WARN,
                   "%s %s from %s offset %lld on: alerts wait %.1f s ([guard] max_lag_s)",
                   set->item[which].name, wish > 0 ? "is left out" : "is back", c->stream->name,
                   (long long)c->offset, lag);
}

bool nj_flow_is_left_out(const run *r, uint32_t instance)
{
    const overload *v = r->overload;
    return v && __atomic_load_n(&v->out[instance], __ATOMIC_RELAXED);
}

void nj_flow_overload_note(run *r, const nj_batch *b, const uint8_t *outcome)
{
    const overload *v = r->overload;
    const nj_graph *g = b->graph;
    const nj_outputs *answers = b->state;
    if (!v || !g || !b->n || !answers) return;
    for (uint32_t s = 0; s < g->n_steps; s++) {
        if (answers->reason[s][0] != NJ_SHED || !g->step[s].in->wanted) continue;
        uint32_t row = 0;
        for (uint32_t i = 0; i < b->n_receipts; i++) {
            const nj_chunk *c = b->receipt[i].chunk;
            uint64_t n = 0;
            for (uint32_t k = 0; k < b->receipt[i].n_rows; k++) n += outcome[row++] == ROW_EMIT;
            nj_shed_note(v->account, g->step[s].in->name, c->stream->name, c->offset, c->offset, n);
        }
    }
}

/* ---- where it is reported ---------------------------------------------------------------------- */

void nj_flow_overload_state(const run *r, nj_buffer *to)
{
    const overload *v = r->overload;
    if (!v || !v->account->n) return;
    nj_buffer_text(to, ",\"shed\":[");
    for (uint32_t i = 0; i < v->account->n; i++) {
        const nj_shed_module *m = &v->account->module[i];
        nj_buffer_text(to, i ? ",{\"module\":" : "{\"module\":");
        nj_json_text(to, m->name);
        nj_buffer_printf(to, ",\"alerts\":%llu}", (unsigned long long)m->alerts);
    }
    nj_buffer_text(to, "]");
}

int nj_flow_overload_report(const run *r, nj_report *report)
{
    const overload *v = r->overload;
    if (!v || !v->account->n) return 0;
    report->shed = malloc(sizeof *report->shed);
    if (!report->shed) return -1;
    memcpy(report->shed, v->account, sizeof *report->shed);
    return 0;
}

void nj_flow_overload_free(run *r)
{
    overload *v = r->overload;
    if (!v) return;
    pthread_mutex_destroy(&v->lock);
    free(v->may);
    free(v->cost);
    free(v->out);
    free(v->own);
    if (v->owned) free(v->account);
    free(v);
    r->overload = NULL;
}
