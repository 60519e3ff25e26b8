/* graph.c - the graph: ABI checks, choice of instances, ordering by columns, views, slices, reasons and
 * counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "broker/graph/answers.h"
#include "broker/graph/dispatch.h"

/* --- toy modules --- */
static int double_mag(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t r = w->row[k];
        double m = ((const double *)w->in[0]->data)[r];
        if (isnan(m)) {
            w->reason[r] = NJ_CUT;
            continue;
        }
        ((double *)w->out[0])[r] = 2 * m;
        w->reason[r] = NJ_DONE;
    }
    return NJ_OK;
}
static int count_points(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t r = w->row[k];
        const nj_col *g = w->in[0], *t = w->in[1];
        ((int32_t *)w->out[0])[r] = g->data ? (int32_t)(g->off[r + 1] - g->off[r]) : -1;
        ((double *)w->out[1])[r] =
            t->data && t->off[r + 1] > t->off[r] ? ((const double *)t->data)[t->off[r]] : NAN;
        if (w->id[r] != 13) w->reason[r] = NJ_DONE; /* 13: forgets to say why */
    }
    return w->n == 1 && w->id[w->row[0]] == 99 ? NJ_EDATA : NJ_OK;
}
#define TOY(N, NEEDS, GIVES, PROCESS)                                                                        \
    static const nj_module N = { NJ_HEADER,                                                                  \
                                 .name = #N,                                                                 \
                                 .version = "1.0",                                                           \
                                 .summary = "toy",                                                           \
                                 .paper = "none: test",                                                      \
                                 .needs = (const nj_need[]){ NEEDS{ 0 } },                                   \
                                 .gives = (const nj_give[]){ GIVES{ 0 } },                                   \
                                 .process = PROCESS };
#define NEED(P, T, S, U) { P, T, S, U, 0 },
#define NEED_OPT(P, T, S, U) { P, T, S, U, NJ_NEED_OPTIONAL },
#define GIVE(NAME, T) { NAME, T, 1, -1, "1", -INFINITY, INFINITY, 3.5, 0, "toy" },
TOY(alpha, NEED("mag", NJ_F64, NJ_SCALAR, "mag"), GIVE("twice", NJ_F64), double_mag)
TOY(beta, NEED("alpha.twice", NJ_F64, NJ_SCALAR, "1"), GIVE("four", NJ_F64), double_mag)
TOY(views, NEED("lc.mag@g", NJ_F64, NJ_SERIES, "mag") NEED("lc.mag@time", NJ_F64, NJ_SERIES, "mag"),
    GIVE("n", NJ_I32) GIVE("first", NJ_F64), count_points)
TOY(ring_a, NEED("ring_b.x", NJ_F64, NJ_SCALAR, "1"), GIVE("x", NJ_F64), double_mag)
TOY(ring_b, NEED("ring_a.x", NJ_F64, NJ_SCALAR, "1"), GIVE("x", NJ_F64), double_mag)
TOY(hungry, NEED("nosuch", NJ_F64, NJ_SCALAR, "1"), GIVE("x", NJ_F64), double_mag)
TOY(content, NEED("mag", NJ_F64, NJ_SCALAR, "mag") NEED_OPT("nosuch", NJ_F64, NJ_SCALAR, "1"),
    GIVE("x", NJ_F64), double_mag)
TOY(wrong_unit, NEED("mag", NJ_F64, NJ_SCALAR, "nJy"), GIVE("x", NJ_F64), double_mag)
TOY(lacking, NEED("newer", NJ_F64, NJ_SCALAR, "1"), GIVE("x", NJ_F64), double_mag)

static int offer(const void *schema, const char *path, nj_type *type, nj_shape *shape, const char **unit,
                 bool *in_map)
{
    (void)schema;
    static const struct {
        const char *path;
        nj_type type;
        nj_shape shape;
        const char *unit;
        int there;
    } all[] = {
        { "mag", NJ_F32, NJ_SCALAR, "mag", 1 },   { "lc.mag", NJ_F64, NJ_SERIES, "mag", 1 },
        { "lc.band", NJ_I32, NJ_SERIES, "1", 1 }, { "lc.jd", NJ_F64, NJ_SERIES, "d", 1 },
        { "newer", NJ_F64, NJ_SCALAR, "1", 0 },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(all[i].path, path)) {
            *type = all[i].type;
            *shape = all[i].shape;
            *unit = all[i].unit;
            *in_map = true;
            return all[i].there ? 0 : -1;
        }
    return -1;
}
static const nj_offers offers = { NULL, "toy", offer };

typedef struct bench {
    nj_modules modules;
    nj_settings settings;
    nj_instances set;
    nj_graph *graph;
    nj_error err;
} bench;

static int set_up(bench *b, const nj_module *const *list, const char *select)
{
    memset(b, 0, sizeof *b);
    for (; *list; list++) assert_int_equal(nj_modules_add(&b->modules, *list, NULL, &b->err), 0);
    if (nj_instances_choose(&b->set, &b->modules, &b->settings, select, &b->err)) return -1;
    if (nj_instances_open(&b->set, select, &b->err)) return -1;
    b->graph = nj_graph_new(&b->set, &offers, NULL, 0, &b->err);
    return b->graph ? 0 : -1;
}
static void tear_down(bench *b)
{
    nj_graph_free(b->graph);
    nj_instances_close(&b->set);
    nj_settings_free(&b->settings);
    nj_modules_free(&b->modules);
}

static void abi_is_checked(void **state)
{
    (void)state;
    nj_modules set = { 0 };
    nj_error err;
    nj_module m = alpha;
    m.abi = NJ_ABI + 1;
    assert_int_equal(nj_modules_add(&set, &m, "x.so", &err), -1);
    assert_non_null(strstr(err.text, "compile it again"));
    m.abi = 1;
    assert_int_equal(nj_modules_add(&set, &m, "x.so", &err), -1);
    assert_non_null(strstr(err.text, "NJ_NEED_OPTIONAL")); /* how to rebuild */
    m = alpha, m.size = sizeof m + 8;
    assert_int_equal(nj_modules_add(&set, &m, "x.so", &err), -1);
    assert_non_null(strstr(err.text, "newer"));
    m = alpha, m.build = "p64,fast";
    assert_int_equal(nj_modules_add(&set, &m, "x.so", &err), -1);
    m = alpha, m.name = "Bad.Name";
    assert_int_equal(nj_modules_add(&set, &m, "x.so", &err), -1);
    m = alpha, m.paper = NULL;
    assert_int_equal(nj_modules_add(&set, &m, "x.so", &err), -1);
    /* an older, smaller struct is fine: its missing tail is zero */
    m = alpha, m.size = offsetof(nj_module, process_ref), m.close = (void (*)(void *))1;
    assert_int_equal(nj_modules_add(&set, &m, "x.so", &err), 0);
    assert_null(nj_modules_find(&set, "alpha")->module->close);
    nj_modules_free(&set);
}

/* Tables that somebody forgot to close; what lies behind them is the linker's choice. */
static const nj_need open_needs[] = { { "mag", NJ_F64, NJ_SCALAR, "mag", 0 },
                                      { "mag2", NJ_F64, NJ_SCALAR, "mag", 0 } };
static const nj_give open_gives[] = { { "x", NJ_F64, 1, -1, "1", -INFINITY, INFINITY, NAN, 0, "toy" } };
static const nj_param open_params[] = { { "k", NJ_I32, "1", 0, 0, 9, "1", "toy" },
                                        { "l", NJ_I32, "1", 4, 0, 9, "1", "toy" } };
static const nj_need right_needs[] = { { "mag", NJ_F64, NJ_SCALAR, "mag", 0 }, { 0 } };
static const nj_give right_gives[] = { { "x", NJ_F64, 1, -1, "1", -INFINITY, INFINITY, NAN, 0, "toy" },
                                       { 0 } };

static int declare_open_needs(const nj_host *host, const void *conf, nj_tables *t)
{
    (void)host, (void)conf;
    *t = (nj_tables){ open_needs, right_gives };
    return NJ_OK;
}
static int declare_open_gives(const nj_host *host, const void *conf, nj_tables *t)
{
    (void)host, (void)conf;
    *t = (nj_tables){ right_needs, open_gives };
    return NJ_OK;
}

static void refused(const nj_module *m, const char *path, const char *word)
{
    nj_modules set = { 0 };
    nj_error err = { "" };
    assert_int_equal(nj_modules_add(&set, m, path, &err), -1);
    if (!strstr(err.text, word)) fail_msg("'%s' is not in: %s", word, err.text);
    assert_non_null(strstr(err.text, "module alpha"));
    nj_modules_free(&set);
}

static void tables_without_an_end_are_refused(void **state)
{
    (void)state;
    const char *const path[] = { NULL, "x.so" };
    for (int i = 0; i < 2; i++) {
        nj_module m = alpha;
        m.needs = open_needs;
        refused(&m, path[i], "its needs have no closing row: write { 0 } behind the last one (row 2)");
        m.needs = open_needs + 1; /* from within */
        refused(&m, path[i], "its needs have no closing row: write { 0 } behind the last one (row 1)");
        m = alpha, m.gives = open_gives;
        refused(&m, path[i], "its gives have no closing row: write { 0 } behind the last one (row 1)");
        m = alpha, m.params = open_params, m.conf_size = 8;
        refused(&m, path[i], "its params have no closing row: write { 0 } behind the last one (row 2)");
    }
    int (*const declare[])(const nj_host *, const void *, nj_tables *) = { declare_open_needs,
                                                                           declare_open_gives };
    for (int i = 0; i < 2; i++) {
        nj_module m = alpha;
        nj_modules modules = { 0 };
        nj_instances set = { 0 };
        nj_settings settings = { 0 };
        nj_error err = { "" };
        m.declare = declare[i];
        assert_int_equal(nj_modules_add(&modules, &m, NULL, &err), 0);
        assert_int_equal(nj_settings_define(&settings, "module.mine.kind=alpha", &err), 0);
        assert_int_equal(nj_instances_choose(&set, &modules, &settings, "mine", &err), -1);
        assert_non_null(strstr(err.text, i ? "module mine: its gives have no closing row"
                                           : "module mine: its needs have no"));
        nj_instances_close(&set);
        nj_settings_free(&settings);
        nj_modules_free(&modules);
    }
}

static void rows_that_are_none_are_refused(void **state)
{
    (void)state;
    const nj_need need = right_needs[0];
    const nj_give give = right_gives[0];
    const nj_param param = open_params[0];
    nj_need n[2] = { need };
    nj_give g[2] = { give };
    nj_param p[2] = { param };
    nj_module m = alpha;
    m.needs = n, m.gives = g, m.params = p, m.conf_size = 4;
    n[0].unit = NULL;
    refused(&m, NULL, "row 1 of its needs, 'mag', has no unit");
    n[0] = need, n[0].unit = (const char *)64;
    refused(&m, NULL, "has no unit");
    n[0] = need, n[0].shape = 7;
    refused(&m, NULL, "has a shape that is none");
    n[0] = need, n[0].type = 0;
    refused(&m, NULL, "has a type that is none");
    n[0] = need, n[0].path = (const char *)64;
    refused(&m, NULL, "row 1 of its needs begins with no name");
    n[0] = need, n[0].path = "";
    refused(&m, NULL, "begins with no name");
    n[0] = need, g[0].doc = NULL;
    refused(&m, NULL, "row 1 of its gives, 'x', has no sentence");
    g[0] = give, g[0].lo = 2, g[0].hi = 1;
    refused(&m, NULL, "has a range");
    g[0] = give, g[0].type = 99;
    refused(&m, NULL, "has a type that is none");
    g[0] = give, p[0].offset = 1;
    refused(&m, NULL, "row 1 of its params, 'k', lies beyond the settings' struct");
    p[0].offset = (size_t)-1;
    refused(&m, NULL, "lies beyond the settings' struct");
    p[0] = param, p[0].def = (const char *)64;
    refused(&m, NULL, "has a default that is no text");
    m.need_size = 0;
    nj_modules set = { 0 };
    nj_error err = { "" };
    assert_int_equal(nj_modules_add(&set, &m, NULL, &err), -1);
    assert_non_null(strstr(err.text, "NJ_HEADER"));
    assert_int_equal(nj_modules_add(&set, (const nj_module *)64, "x.so", &err), -1);
    assert_non_null(strstr(err.text, "x.so"));
    nj_modules_free(&set);
}

static void outputs_like_a_series_need_one(void **state)
{
    (void)state;
    bench b;
    for (int like = -1; like < 3; like++) {
        const nj_need needs[] = { right_needs[0], { "lc.mag", NJ_F64, NJ_SERIES, "mag", 0 }, { 0 } };
        const nj_give gives[] = { { "x", NJ_F64, 0, like, "1", -INFINITY, INFINITY, NAN, 0, "toy" }, { 0 } };
        nj_module m = alpha;
        m.needs = needs, m.gives = gives;
        assert_int_equal(set_up(&b, (const nj_module *const[]){ &m, NULL }, NULL), like == 1 ? 0 : -1);
        if (like != 1) assert_non_null(strstr(b.err.text, "module alpha: 'x' has as many values as"));
        tear_down(&b);
    }
}

static void columns_order_modules_and_name_a_cycle(void **state)
{
    (void)state;
    bench b;
    assert_int_equal(set_up(&b, (const nj_module *const[]){ &beta, &alpha, NULL }, NULL), 0);
    assert_string_equal(b.graph->step[0].in->name, "alpha");
    assert_string_equal(b.graph->step[1].in->name, "beta");
    tear_down(&b);
    assert_int_equal(set_up(&b, (const nj_module *const[]){ &ring_a, &ring_b, NULL }, NULL), -1);
    assert_non_null(strstr(b.err.text, "ring_a -> ring_b -> ring_a"));
    tear_down(&b);
}

static void selection_adds_providers_and_finds_near_misses(void **state)
{
    (void)state;
    bench b;
    assert_int_equal(set_up(&b, (const nj_module *const[]){ &beta, &alpha, &views, NULL }, "beta"), 0);
    assert_int_equal(b.set.n, 2);
    tear_down(&b);
    assert_int_equal(set_up(&b, (const nj_module *const[]){ &beta, &alpha, NULL }, "bta"), -1);
    assert_non_null(strstr(b.err.text, "did you mean 'beta'"));
    tear_down(&b);
    assert_int_equal(set_up(&b, (const nj_module *const[]){ &beta, &alpha, NULL }, "-alpha"), -1);
    assert_non_null(strstr(b.err.text, "needs alpha.twice"));
    tear_down(&b);
}

static void missing_needs_turn_a_module_off(void **state)
{
    (void)state;
    bench b;
    assert_int_equal(set_up(&b, (const nj_module *const[]){ &hungry, &content, &wrong_unit, NULL }, NULL), 0);
    assert_non_null(strstr(b.graph->step[0].off, "nosuch"));
    assert_null(b.graph->step[1].off);
    assert_non_null(strstr(b.graph->step[2].off, "asked for in"));
    tear_down(&b);
}

/* Three rows: mag 1, null, 2; light curves of 3, 0, 2 points. Row 2's packet lacks `newer`. */
static void fill(bench *b, nj_batch *batch, const uint64_t *lacks_newer)
{
    assert_int_equal(nj_batch_begin(batch, &b->graph->layout, 3), 0);
    static const double jd[] = { 3, 1, 2, 5, 4 }, mag[] = { 13, 11, 12, 25, 24 };
    static const int32_t band[] = { 1, 2, 1, 2, 2 };
    static const uint32_t off[] = { 0, 3, 3, 5 };
    batch->n = 3;
    for (uint32_t r = 0; r < 3; r++) {
        batch->id[r] = 10 + r;
        batch->row[r] = (nj_row){ .absent = r == 2 ? lacks_newer : NULL };
    }
    for (uint32_t c = 0; c < batch->layout->n_packet; c++) {
        const nj_column_def *def = &batch->layout->col[c];
        if (!strcmp(def->path, "mag")) memcpy((void *)batch->col[c].data, (double[]){ 1, NAN, 2 }, 24);
        if (!strcmp(def->path, "lc.jd")) batch->col[c] = (nj_col){ jd, off };
        if (!strcmp(def->path, "lc.mag")) batch->col[c] = (nj_col){ mag, off };
        if (!strcmp(def->path, "lc.band")) batch->col[c] = (nj_col){ band, off };
    }
}

static void dispatch_counts_and_keeps_reasons(void **state)
{
    (void)state;
    bench b;
    assert_int_equal(set_up(&b, (const nj_module *const[]){ &beta, &alpha, &views, &lacking, NULL }, NULL),
                     0);
    nj_worker *w = nj_worker_new(&b.set, NULL, NULL, 2, false, &b.err);
    nj_batch *batch = nj_batch_new();
    uint64_t absent[8] = { 0 };
    for (uint32_t c = 0; c < b.graph->layout.n_packet; c++)
        if (!strcmp(b.graph->layout.col[c].path, "newer")) absent[c / 64] |= UINT64_C(1) << c % 64;
    fill(&b, batch, absent);
    assert_int_equal(nj_dispatch(b.graph, w, batch), 0);
    const nj_outputs *out = batch->state;
    for (uint32_t s = 0; s < b.graph->n_steps; s++) {
        const nj_step *step = &b.graph->step[s];
        const nj_counter *c = &w->module[step->instance];
        const char *name = step->in->name;
        const void *data = batch->col[step->first_out].data;
        assert_int_equal(c->offered, 3);
        if (!strcmp(name, "alpha")) {
            assert_true(((const double *)data)[0] == 2 && isnan(((const double *)data)[1]) &&
                        ((const double *)data)[2] == 4);
            assert_int_equal(out->reason[s][1], NJ_CUT);
            assert_true(c->passed == 2 && c->hits == 2 && c->flagged == 1 && c->calls == 3 &&
                        c->one.n == 3); /* one row in two is alone */
        } else if (!strcmp(name, "beta")) {
            assert_true(((const double *)data)[2] == 8);
        } else if (!strcmp(name, "views")) {
            assert_true(((const int32_t *)data)[0] == 2 && ((const int32_t *)data)[1] == 0 &&
                        ((const int32_t *)data)[2] == 0);
            const double *first = batch->col[step->first_out + 1].data;
            assert_true(first[0] == 11 && isnan(first[1]) && first[2] == 24);
        } else {
            assert_int_equal(out->reason[s][2], NJ_NO_INPUT);
            assert_true(c->reason[NJ_NO_INPUT] == 1 && c->hits + c->reason[NJ_CUT] == 2);
        }
    }
    nj_batch_free(batch);
    nj_worker_free(w);
    tear_down(&b);
}

static void silence_and_failure_are_reasons_too(void **state)
{
    (void)state;
    bench b;
    assert_int_equal(set_up(&b, (const nj_module *const[]){ &views, NULL }, NULL), 0);
    nj_worker *w = nj_worker_new(&b.set, NULL, NULL, 1, false, &b.err);
    nj_batch *batch = nj_batch_new();
    fill(&b, batch, NULL);
    batch->id[0] = 13;
    batch->id[1] = 99;
    assert_int_equal(nj_dispatch(b.graph, w, batch), 0);
    const uint8_t *reason = ((nj_outputs *)batch->state)->reason[0];
    assert_int_equal(reason[0], NJ_FAILED);
    assert_int_equal(reason[1], NJ_FAILED);
    assert_int_equal(reason[2], NJ_DONE);
    assert_int_equal(w->module[0].reason[NJ_FAILED], 2);
    /* and their values are null */
    const nj_col *out = &batch->col[b.graph->step[0].first_out];
    assert_int_equal(((const int32_t *)out[0].data)[0], NJ_NO_I32);
    assert_int_equal(((const int32_t *)out[0].data)[1], NJ_NO_I32);
    assert_int_equal(((const int32_t *)out[0].data)[2], 0);
    assert_int_equal(w->answers[0].silent, 1);
    assert_int_equal(w->answers[0].silent_id, 13);
    assert_int_equal(w->answers[0].failed, 1);
    assert_int_equal(w->answers[0].failed_id, 99);
    nj_batch_free(batch);
    nj_worker_free(w);
    tear_down(&b);
}

static void units_convert_or_refuse(void **state)
{
    (void)state;
    assert_true(nj_unit_factor("Jy", "nJy") == 1e9);
    assert_true(fabs(nj_unit_factor("arcsec", "deg") * 3600 - 1) < 1e-15); /* rounding of 1/3600 */
    assert_true(isnan(nj_unit_factor("mag", "nJy")));
    assert_true(nj_unit_factor("mag", "mag") == 1 && nj_unit_factor(NULL, "mag") == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(abi_is_checked),
        cmocka_unit_test(tables_without_an_end_are_refused),
        cmocka_unit_test(rows_that_are_none_are_refused),
        cmocka_unit_test(outputs_like_a_series_need_one),
        cmocka_unit_test(columns_order_modules_and_name_a_cycle),
        cmocka_unit_test(selection_adds_providers_and_finds_near_misses),
        cmocka_unit_test(missing_needs_turn_a_module_off),
        cmocka_unit_test(dispatch_counts_and_keeps_reasons),
        cmocka_unit_test(silence_and_failure_are_reasons_too),
        cmocka_unit_test(units_convert_or_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
