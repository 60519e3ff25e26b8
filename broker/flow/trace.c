/* trace.c - the question "what happened to this alert?" is answered by the run itself, as it happens: the
 * ledger only has sums. */
#include "trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../base/secret.h"
#include "../batch/cell.h"
#include "output.h"

enum { FEW = 3, LINE = 1900, SURE_BYTES = 5 };

/* An alert that was written, or filtered, and is not acknowledged yet. */
typedef struct waiting {
    int64_t id, offset, arrival_ns;
    const nj_chunk *chunk; /* held by the batch only: compared, never read */
    uint32_t record;
    const char *stream;
} waiting;

struct trace {
    int64_t *id; /* sorted */
    uint64_t *seen;
    uint32_t n;
    FILE *file; /* NULL: standard error */
    const char *path;
    waiting *waiting;
    uint32_t n_waiting, cap_waiting;
    bool failed; /* a line could not be kept */
};

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int nj_flow_trace_begin(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    if (!o->n_traces) return o->trace_file ? nj_fail(err, "--trace-file: no --trace names an alert") : 0;
    trace *t = r->trace = calloc(1, sizeof *t);
    if (t) t->id = calloc(o->n_traces, sizeof *t->id);
    if (t) t->seen = calloc(o->n_traces, sizeof *t->seen);
    if (!t || !t->id || !t->seen) return nj_fail(err, "out of memory");
    memcpy(t->id, o->trace, o->n_traces * sizeof *t->id);
    qsort(t->id, o->n_traces, sizeof *t->id, by_value);
    for (uint32_t i = 0; i < o->n_traces; i++)
        if (!i || t->id[i] != t->id[i - 1]) t->id[t->n++] = t->id[i];
    t->path = o->trace_file;
    if (t->path && !(t->file = fopen(t->path, o->resume ? "ae" : "we")))
        return nj_fail(err, "--trace-file: %s cannot be made: %s", t->path, strerror(errno));
    return 0;
}

void nj_flow_trace_free(run *r)
{
    trace *t = r->trace;
    if (!t) return;
    if (t->file && (fflush(t->file) | ferror(t->file) | fclose(t->file)))
        nj_log(NJ_LOG_WARN, "--trace-file: %s is not complete: %s", t->path, strerror(errno));
    free(t->id);
    free(t->seen);
    free(t->waiting);
    free(t);
    r->trace = NULL;
}

/* Its number among those asked for, or -1. */
static int find(const trace *t, int64_t id)
{
    const int64_t *at = bsearch(&id, t->id, t->n, sizeof id, by_value);
    return at ? (int)(at - t->id) : -1;
}

__attribute__((format(printf, 3, 4))) static void say(const trace *t, int64_t id, const char *format, ...)
{
    char text[LINE + 100], line[LINE + 240];
    va_list ap;
    va_start(ap, format);
    const int whole = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (whole >= (int)sizeof text)
        nj_secret_scrub_cut(text);
    else
        nj_secret_scrub(text);
    if (!t->file && nj_log_is_json()) {
        char plain[LINE + 200], more[48];
        plain[nj_log_plain(plain, sizeof plain, text)] = '\0';
        snprintf(more, sizeof more, "\"trace\": %" PRId64, id);
        char json[2 * sizeof plain + 640];
        size_t size = nj_log_json(json, sizeof json, NJ_LOG_INFO, "flow", "", plain, more);
        if (write(STDERR_FILENO, json, size) < 0) return;
        return;
    }
    size_t n = t->file ? 0 : nj_log_stamp(line, 40);
    n += (size_t)snprintf(line + n, 64, "%strace %" PRId64 ": ", t->file ? "" : "nightjar: ", id);
    n += nj_log_plain(line + n, sizeof line - n - 2, text);
    line[n++] = '\n';
    if (t->file)
        fwrite(line, 1, n, t->file);
    else if (write(STDERR_FILENO, line, n) < 0)
        return; /* as for all messages */
}

void nj_flow_trace_end(run *r)
{
    const trace *t = r->trace;
    for (uint32_t i = 0; t && i < t->n; i++)
        if (!t->seen[i])
            say(t, t->id[i], "it did not come%s; %" PRIu64 " alerts did",
                r->options->resume ? " since the last restart" : "", r->output.written);
    if (t && t->failed) nj_log(NJ_LOG_WARN, "--trace: memory was short, some lines are missing");
}

float *nj_flow_trace_clock(const run *r, nj_batch *b)
{
    bool any = false;
    for (uint32_t i = 0; i < b->n && !any; i++) any = find(r->trace, b->id[i]) >= 0;
    return any ? nj_arena_zalloc(&b->arena, (2 + (size_t)r->engine.instances.n) * sizeof(float)) : NULL;
}

/* ---- values ---------------------------------------------------------------------------------- */

static void add_cell(nj_buffer *to, nj_type type, nj_cell cell)
{
    char digits[32];
    switch (cell.kind) {
    case NJ_CELL_NULL: nj_buffer_text(to, "null"); break;
    case NJ_CELL_INT: nj_buffer_printf(to, "%" PRId64, cell.i); break;
    case NJ_CELL_REAL:
        if (type == NJ_F32)
            nj_shortest_f32(digits, (float)cell.f);
        else
            nj_shortest_f64(digits, cell.f);
        nj_buffer_text(to, digits);
        break;
    case NJ_CELL_TEXT: nj_buffer_printf(to, "'%.120s'", cell.text); break;
    }
}

/* Long series are shortened: the first and the last few, and how many there are. */
static void add_value(nj_buffer *to, const nj_column *c, const nj_col *col, uint32_t row)
{
    const nj_field field = { .type = c->type, .width = c->shape == NJ_SERIES ? 0 : c->width };
    size_t from, end;
    if (!nj_cell_range(&field, col, row, &from, &end)) {
        nj_buffer_text(to, "null");
        return;
    }
    size_t n = end - from;
    bool list = field.width != 1;
    if (list) nj_buffer_text(to, "[");
    for (size_t i = 0; i < n; i++) {
        if (n > 2 * FEW + 1 && i == FEW) {
            nj_buffer_text(to, ", ...");
            i = n - FEW;
        }
        if (i) nj_buffer_text(to, ", ");
        add_cell(to, c->type, nj_cell_get(&field, col->data, from + i));
    }
    if (list) nj_buffer_printf(to, n > 2 * FEW + 1 ? "], %zu values" : "]", n);
}

static void say_stamp(const trace *t, const nj_batch *b, uint32_t row, const char *path, const nj_stamp *list)
{
    static const char *const state[] = { "not there", "not opened by any module", "opened", "unreadable" };
    const nj_stamp *s = list ? &list[row] : NULL;
    if (!s) return;
    if (s->state == NJ_STAMP_OPEN)
        say(t, b->id[row], "%s = %u x %u pixels, %u of them NaN", path, s->image.cols, s->image.rows,
            s->image.n_nan);
    else
        say(t, b->id[row], "%s = %u bytes, %s", path, s->size, state[s->state & 3]);
}

/* The columns that modules, outputs and filters asked for: of the packet, and made of those. */
static void say_columns(const trace *t, const nj_graph *g, const nj_batch *b, uint32_t row)
{
    for (uint32_t c = 0; c < g->layout.n; c++) {
        const nj_column *column = &g->col[c];
        if (column->step >= 0) continue;                       /* a module's: among its answers */
        if (column->derived >= 0 && !b->col[c].data) continue; /* its module was not called */
        nj_buffer text = { 0 };
        add_value(&text, column, &b->col[c], row);
        bool is_null = text.data && !strcmp(text.data, "null"), has_unit = column->unit && *column->unit;
        const char *in = has_unit && !is_null && strcmp(column->unit, "1") ? column->unit : "";
        say(t, b->id[row], "%s = %s%s%s%s", column->path, text.data ? text.data : "", *in ? " " : "", in,
            column->derived >= 0 ? " (made of the packet's)" : "");
        nj_buffer_free(&text);
    }
    for (uint32_t k = 0; k < NJ_STAMPS; k++) say_stamp(t, b, row, nj_stamp_name[k], b->stamp[k]);
    for (uint32_t k = 0; k < g->layout.n_planes; k++)
        say_stamp(t, b, row, g->layout.plane[k].path, b->plane[k]);
}

/* ---- modules --------------------------------------------------------------------------------- */

static void say_answer(const trace *t, const nj_graph *g, const nj_batch *b, uint32_t row, uint32_t number)
{
    const nj_step *s = &g->step[number];
    const nj_outputs *outputs = b->state;
    if (s->off) {
        say(t, b->id[row], "module %s is off on survey %s: %s", s->in->name, g->layout.survey, s->off);
        return;
    }
    uint8_t reason = outputs->reason[number][row];
    char time[48] = "";
    if (outputs->cost && isfinite(outputs->cost[2 + s->instance]))
        snprintf(time, sizeof time, ", %.2f us", (double)outputs->cost[2 + s->instance] / 1e3);
    nj_buffer text = { 0 };
    nj_buffer_printf(&text, "module %s: %s%s", s->in->name,
                     reason < NJ_REASONS ? nj_reason_name[reason] : "no reason", time);
    for (uint32_t k = 0; k < s->in->n_gives; k++) {
        if (text.n > LINE - 300) { /* another line for the rest */
            say(t, b->id[row], "%s", text.data);
            text.n = 0;
            nj_buffer_printf(&text, "module %s, further", s->in->name);
        }
        nj_buffer_printf(&text, "%s %s = ", k && text.n ? "," : ":", s->in->give[k].name);
        add_value(&text, &g->col[s->first_out + k], &b->col[s->first_out + k], row);
    }
    say(t, b->id[row], "%s", text.data ? text.data : "out of memory");
    nj_buffer_free(&text);
}

static void say_origin(const trace *t, const nj_batch *b, uint32_t row, uint64_t times)
{
    const nj_row *from = &b->row[row];
    const nj_chunk *c = from->chunk;
    char where[512];
    say(t, b->id[row], "it came%s from %s, record %u, %u bytes, in unit %" PRIu64 " with %u alerts",
        times > 1 ? " again," : "", nj_chunk_where(c, where, sizeof where), from->record, from->size, b->seq,
        b->n);
    if (c->stream->partition >= 0)
        say(t, b->id[row],
            "partition %d, offset %" PRId64 ", generation %u, published %" PRId64 " ms after 1970",
            c->stream->partition, c->offset, c->generation, c->publish_ms);
}

static void wait_for(trace *t, const nj_batch *b, uint32_t row)
{
    if (t->n_waiting == t->cap_waiting) {
        uint32_t cap = 2 * t->cap_waiting + 16;
        waiting *more = realloc(t->waiting, cap * sizeof *more);
        if (!more) {
            t->failed = true;
            return;
        }
        t->waiting = more;
        t->cap_waiting = cap;
    }
    const nj_row *from = &b->row[row];
    t->waiting[t->n_waiting++] = (waiting){ b->id[row],  from->chunk->offset, from->chunk->arrival_ns,
                                            from->chunk, from->record,        from->chunk->stream->name };
}

void nj_flow_trace_rows(out *o, const survey *s, const nj_batch *b)
{
    trace *t = o->r->trace;
    const nj_graph *g = s->graph;
    for (uint32_t row = 0; row < b->n; row++) {
        int k = find(t, b->id[row]);
        if (k < 0) continue;
        say_origin(t, b, row, ++t->seen[k]);
        say(t, b->id[row], "survey %s, schema %s", g->layout.survey, b->row[row].schema);
        say_columns(t, g, b, row);
        for (uint32_t n = 0; n < g->n_steps; n++) say_answer(t, g, b, row, n);
        wait_for(t, b, row);
    }
}

/* ---- what became of it ----------------------------------------------------------------------- */

void nj_flow_trace_filter(out *o, const char *kind, const char *name, const nj_rows *rows, const bool *shown)
{
    for (uint32_t k = 0; k < rows->n; k++) {
        uint32_t row = rows->row[k];
        int64_t id = o->batch->id[row];
        if (find(o->r->trace, id) < 0) continue;
        say(o->r->trace, id, "%s%s%s: %s", kind, *name ? " " : "", name,
            !o->pass[k]            ? "the clause is not true"
            : shown && !shown[row] ? "the clause is true, but its programme is not public"
                                   : "the clause is true");
    }
}

static const char *words(uint8_t outcome)
{
    switch (outcome) {
    case ROW_FILTERED: return "filtered: no output has it";
    case ROW_DUPLICATE: return "a duplicate: its id came before (run.dedup), so that no output has it";
    case ROW_RETURNED: return "given back to the source: it is behind --limit, or behind an alert that waits";
    case ROW_REFUSED: return "no output has it: it is a dead letter";
    case ROW_AGAIN: return "it comes again, and a run before this one had settled it";
    default: return NULL;
    }
}

void nj_flow_trace_outcome(out *o, const nj_batch *b)
{
    const run *r = o->r;
    for (uint32_t row = 0; row < b->n; row++) {
        if (find(r->trace, b->id[row]) < 0) continue;
        const char *text =
            r->output.failed ? "an output failed before it was safe; it comes again" : words(o->outcome[row]);
        if (text) {
            say(r->trace, b->id[row], "%s", text);
            continue;
        }
        for (uint32_t i = 0; i < r->options->n_sinks; i++)
            say(r->trace, b->id[row], "written to %s", r->options->sink[i]);
        if (!r->options->n_sinks)
            say(r->trace, b->id[row], "it goes to the outputs, and there are none (-o)");
    }
}

/* Does the datum hold the number, as Avro writes it? Sure enough for numbers as long as those of alerts. */
static bool holds(const uint8_t *bytes, size_t size, int64_t id)
{
    uint8_t code[10];
    size_t n = 0;
    for (uint64_t z = (uint64_t)id << 1 ^ (uint64_t)(id >> 63);; z >>= 7) {
        code[n++] = (uint8_t)((z & 127) | (z > 127 ? 128 : 0));
        if (z < 128) break;
    }
    return n >= SURE_BYTES && bytes && memmem(bytes, size, code, n);
}

/* Is the number a word of the name ("2536114081815015001.avro")? */
static bool is_named(const char *name, int64_t id)
{
    char digits[24];
    size_t n = (size_t)snprintf(digits, sizeof digits, "%" PRId64, id);
    for (const char *at = name; at && (at = strstr(at, digits)); at++) {
        bool before = at > name && at[-1] >= '0' && at[-1] <= '9', behind = at[n] >= '0' && at[n] <= '9';
        if (!before && !behind) return true;
    }
    return false;
}

/* A row of the run that becomes a dead letter now; else what its bytes and its name say. */
static bool is_of(const run *r, const nj_dead *dead, int64_t id)
{
    const trace *t = r->trace;
    const out *o = r->output.thread;
    for (uint32_t i = 0; o && o->batch && i < o->batch->n; i++)
        if (o->batch->row[i].chunk == dead->chunk && o->batch->row[i].record == dead->record)
            return o->batch->id[i] == id;
    for (uint32_t i = 0; i < t->n_waiting; i++)
        if (t->waiting[i].chunk == dead->chunk && t->waiting[i].record == dead->record)
            return t->waiting[i].id == id;
    return holds(dead->bytes, dead->size, id) || is_named(dead->chunk->member, id);
}

void nj_flow_trace_dead(run *r, const nj_dead *dead)
{
    trace *t = r->trace;
    char where[512];
    for (uint32_t k = 0; k < t->n; k++) {
        if (!is_of(r, dead, t->id[k])) continue;
        t->seen[k]++;
        say(t, t->id[k], "a dead letter: %s, record %u: %s%s%s (by %s)",
            nj_chunk_where(dead->chunk, where, sizeof where), dead->record, dead->field ? dead->field : "",
            dead->field ? ": " : "", dead->reason, dead->module);
    }
}

void nj_flow_trace_settled(run *r, bool acknowledged)
{
    trace *t = r->trace;
    int64_t now = nj_now_ns();
    for (uint32_t i = 0; i < t->n_waiting; i++) {
        const waiting *w = &t->waiting[i];
        if (acknowledged)
            say(t, w->id, "acknowledged %.1f ms after it arrived: %s is done up to number %" PRId64,
                (double)(now - w->arrival_ns) / 1e6, w->stream, w->offset);
        else
            say(t, w->id, "%s was not acknowledged: it comes again", w->stream);
    }
    t->n_waiting = 0;
}
