/* table.c - a table without its closing row would be read beyond its end, so every row is checked before it
 * is used. */
#include "table.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../batch/batch.h"
#include "extent.h"
#include "modules.h"

enum { MAX_ROWS = 1 << 16, MAX_NAME = 255, MAX_TEXT = 4096, PAGE = 4096 /* or a multiple of it */ };

static const char *const table_name[] = { "needs", "gives", "params" };

/* Pages that were there a moment ago: few hold all texts of a table.
 * Forgotten with each table, as memory comes and goes. */
static _Thread_local uintptr_t seen[32];

/* Looked at by the kernel, which answers EFAULT where a process would crash:
 * it reads the set before it refuses this `how`. */
static bool page_is_there(uintptr_t at)
{
    uintptr_t page = at / PAGE + 1; /* 0 = none */
    uintptr_t *kept = &seen[page % (sizeof seen / sizeof *seen)];
    if (*kept == page) return true;
    int error = errno;
    long rc = syscall(SYS_rt_sigprocmask, ~0, at & ~(uintptr_t)7, NULL, 8);
    bool there = rc == 0 || errno != EFAULT;
    errno = error;
    if (there) *kept = page;
    return there;
}

bool nj_is_there(const void *at, size_t n)
{
    uintptr_t first = (uintptr_t)at, last = first + (n ? n - 1 : 0);
    if (!at || last < first) return false;
    for (uintptr_t page = first & ~(uintptr_t)(PAGE - 1); page <= last; page += PAGE) {
        if (!page_is_there(page < first ? first : page)) return false;
        if (page > UINTPTR_MAX - PAGE) break;
    }
    return true;
}

/* Beyond a table's end there may be a sanitizer's fence: looking at it is the purpose here. */
__attribute__((no_sanitize("address"))) static void peek(void *to, const void *from, size_t n)
{
    char *t = to;
    const volatile char *f = from;
    for (size_t i = 0; i < n; i++) t[i] = f[i];
}

bool nj_is_text(const char *text, size_t most)
{
    for (size_t i = 0; text && i <= most; i++) {
        unsigned char c;
        if ((i == 0 || (uintptr_t)(text + i) % PAGE == 0) && !nj_is_there(text + i, 1)) return false;
        peek(&c, text + i, 1);
        if (!c) return true;
        if ((c < ' ' && c != '\n' && c != '\t') || c == 127) return false;
    }
    return false;
}

typedef union row {
    const char *name; /* every type of row begins with it */
    nj_need need;
    nj_give give;
    nj_param param;
} row;

static const char *wrong_type(nj_type type)
{
    return type < NJ_U8 || type > NJ_STR ? "has a type that is none" : NULL;
}

static const char *wrong_need(const nj_need *n)
{
    if (n->shape < NJ_SCALAR || n->shape > NJ_IMAGE) return "has a shape that is none";
    if (!nj_is_text(n->unit, MAX_NAME)) return "has no unit (\"1\" for a plain number)";
    return wrong_type(n->type);
}

static const char *wrong_give(const nj_give *g)
{
    if (!nj_is_text(g->unit, MAX_NAME)) return "has no unit (\"1\" for a plain number)";
    if (!nj_is_text(g->doc, MAX_TEXT)) return "has no sentence that says what it is";
    if (g->width > MAX_ROWS) return "has more than 65536 values per alert";
    if (g->type != NJ_STR && g->lo > g->hi) return "has a range whose begin is above its end";
    return wrong_type(g->type);
}

static const char *wrong_param(const nj_param *p, const nj_module *m)
{
    if (p->def && !nj_is_text(p->def, MAX_TEXT)) return "has a default that is no text";
    if (p->unit && !nj_is_text(p->unit, MAX_NAME)) return "has a unit that is no text";
    if (!nj_is_text(p->doc, MAX_TEXT)) return "has no sentence that says what it is";
    const char *type = wrong_type(p->type);
    if (type) return type;
    size_t size = nj_type_size(p->type);
    if (p->offset > m->conf_size || m->conf_size - p->offset < size)
        return "lies beyond the settings' struct: is conf_size its sizeof?";
    return NULL;
}

static const char *wrong_row(const row *r, nj_table kind, const nj_module *m)
{
    switch (kind) {
    case NJ_TABLE_NEEDS: return wrong_need(&r->need);
    case NJ_TABLE_GIVES: return wrong_give(&r->give);
    case NJ_TABLE_PARAMS: return wrong_param(&r->param, m);
    }
    return NULL;
}

static size_t stride_of(const nj_module *m, nj_table kind)
{
    return kind == NJ_TABLE_NEEDS ? m->need_size : kind == NJ_TABLE_GIVES ? m->give_size : m->param_size;
}

/* Does another kind of table, or the module itself, begin in this row? Rows of one kind may be shared. */
static bool another_begins(const nj_table_of *of, nj_table kind, const char *at, size_t n)
{
    const nj_module *m = of->module;
    const void *const begin[] = { m->needs, m->gives, m->params, of->at };
    for (size_t i = 0; i < sizeof begin / sizeof *begin; i++) {
        const char *b = begin[i];
        if (b && i != (size_t)kind && b >= at && b < at + n) return true;
    }
    return false;
}

static int does_not_end(const nj_table_of *of, nj_table kind, int n, nj_error *err)
{
    return nj_fail(err, "%s: its %s have no closing row: write { 0 } behind the last one (row %d)", of->who,
                   table_name[kind], n);
}

int nj_table_check(const nj_table_of *of, nj_table kind, const void *rows, nj_error *err)
{
    const size_t stride = stride_of(of->module, kind), size = stride < sizeof(row) ? stride : sizeof(row);
    if (!rows) return 0;
    memset(seen, 0, sizeof seen);
    uintptr_t end = nj_extent_end(rows);
    for (int i = 0; i < MAX_ROWS; i++) {
        const char *at = (const char *)rows + (size_t)i * stride;
        row r = { 0 };
        if (end && (uintptr_t)at + sizeof r.name > end) return does_not_end(of, kind, i, err);
        if (!nj_is_there(at, sizeof r.name)) return does_not_end(of, kind, i, err);
        peek(&r.name, at, sizeof r.name);
        if (!r.name) return 0;
        if ((end && (uintptr_t)at + stride > end) || !nj_is_there(at, stride))
            return does_not_end(of, kind, i, err);
        if (!end && another_begins(of, kind, at, stride)) return does_not_end(of, kind, i, err);
        peek(&r, at, size);
        if (!nj_is_text(r.name, MAX_NAME) || !*r.name) {
            if (i > 0 && !end) return does_not_end(of, kind, i, err);
            return nj_fail(err, "%s: row %d of its %s begins with no name", of->who, i + 1, table_name[kind]);
        }
        const char *wrong = wrong_row(&r, kind, of->module);
        if (wrong)
            return nj_fail(err, "%s: row %d of its %s, '%s', %s%s", of->who, i + 1, table_name[kind], r.name,
                           wrong, i > 0 && !end ? "; or the closing { 0 } is missing before it" : "");
    }
    return nj_fail(err, "%s: its %s have more than %d rows: is the closing { 0 } missing?", of->who,
                   table_name[kind], MAX_ROWS);
}

int nj_table_likes(const nj_table_of *of, const nj_need *need, int n_needs, const nj_give *give, int n_gives,
                   nj_error *err)
{
    for (int i = 0; i < n_gives; i++) {
        if (give[i].width) continue;
        int like = give[i].like;
        if (like < 0 || like >= n_needs)
            return nj_fail(err, "%s: '%s' has as many values as its need %d, and there are %d", of->who,
                           give[i].name, like, n_needs);
        if (need[like].shape != NJ_SERIES)
            return nj_fail(err, "%s: '%s' has as many values as '%s', which is no series", of->who,
                           give[i].name, need[like].path);
    }
    return 0;
}
