/* conformance.c - every module of the table, unasked: tables complete, any input survived, results
 * independent of slicing, order and history, outputs in range, process() = process_ref(), no allocation and
 * no file access while it works, and the reference values of data/ref/<instance>.csv. A new module needs no
 * line here. */
#include "host.h"
#include "process_calls.h"

#include <ctype.h>

#include "broker/base/embed.h"
#include "nightjar/csv.h"

enum { MAX_TESTS = 4096 };

/* --- the instances --- */

static host all;
static bool uses_service[512]; /* services of the host are exempt from the count */
static uint32_t opening;
static const void *(*real_service)(void *, const char *, uint32_t);

static const void *noted_service(void *opaque, const char *name, uint32_t version)
{
    if (opening < 512) uses_service[opening] = true;
    return real_service(opaque, name, version);
}

static char *read_text(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    char *text = NULL;
    size_t n = 0, got;
    do {
        text = realloc(text, n + 65537);
        got = fread(text + n, 1, 65536, f);
        n += got;
    } while (got);
    text[n] = 0;
    fclose(f);
    return text;
}

/* The default instances of the binary, and those of tests/module/instances.ini for
 * modules that need settings. */
static void open_all(void)
{
    nj_error err = { "" };
    const nj_embedded *ini = nj_embedded_find("data/instances.ini");
    char *more = read_text("tests/module/instances.ini");
    const char *shared = getenv("NIGHTJAR_SHARED");                    /* the real models,
                                                                        * when they are here */
    static const char without_models[] = "-real_kilonova_by_settings"; /* its settings name one */
    if (shared && !*shared) shared = NULL;
    if (!shared) printf("# real_kilonova_by_settings is left out: its model is not here\n");
    all.set.data_path = nj_arena_printf(&all.set.arena, "data/models:tests/module%s%s%s", shared ? ":" : "",
                                        shared ? shared : "", shared ? "/real/models/onnx" : "");
    if (nj_modules_builtin(&all.modules, &err) ||
        (ini && nj_settings_ini(&all.settings, ini->name, ini->data, &err)) ||
        (more && nj_settings_ini(&all.settings, "tests/module/instances.ini", more, &err)) ||
        nj_instances_choose(&all.set, &all.modules, &all.settings, shared ? NULL : without_models, &err)) {
        printf("Bail out! %s\n", err.text);
        exit(1);
    }
    free(more);
    real_service = all.set.host.service;
    all.set.host.service = noted_service;
}

/* Opens all instances; those that cannot (their data are not here) stay listed, not opened. */
static void open_instances(void)
{
    for (opening = 0; opening < all.set.n; opening++) {
        nj_instance *in = &all.set.item[opening];
        in->opened = !in->module->open || in->module->open(&all.set.host, in->conf, &in->self) == NJ_OK;
    }
}

static const nj_instance *instance_of(void **state)
{
    const nj_instance *in = *state;
    if (!in->opened) {
        print_message("%s is off: its data are not here\n", in->name);
        skip();
    }
    return in;
}

/* --- tables --- */

static bool is_name(const char *s)
{
    if (!islower((unsigned char)*s)) return false;
    while (islower((unsigned char)*s) || isdigit((unsigned char)*s) || *s == '_') s++;
    return !*s;
}

static void tables_are_complete(void **state)
{
    const nj_instance *in = *state;
    const nj_module *m = in->module;
    assert_true(strlen(m->summary) > 3 && strlen(m->paper) > 3 && strchr(m->version, '.'));
    for (uint32_t k = 0; k < in->n_needs; k++) {
        const nj_need *need = &in->need[k];
        if (need->type < NJ_U8 || need->type > NJ_STR) fail_msg("need %s: no type", need->path);
        if (need->shape < NJ_SCALAR || need->shape > NJ_IMAGE) fail_msg("need %s: no shape", need->path);
        if (!need->unit) fail_msg("need %s: no unit", need->path);
    }
    if (in->n_gives == 0) fail_msg("gives nothing");
    for (uint32_t k = 0; k < in->n_gives; k++) {
        const nj_give *g = &in->give[k];
        if (!(g->flags & NJ_GIVE_CANONICAL) && !is_name(g->name))
            fail_msg("give %s: not [a-z][a-z0-9_]*", g->name);
        if (!g->unit || !g->doc || strlen(g->doc) < 4) fail_msg("give %s: no unit or no sentence", g->name);
        if (g->type < NJ_U8 || g->type > NJ_STR) fail_msg("give %s: no type", g->name);
        if (g->type != NJ_STR && !(g->lo <= g->hi)) fail_msg("give %s: no valid range", g->name);
        if (!g->width &&
            (g->like < 0 || (uint32_t)g->like >= in->n_needs || in->need[g->like].shape != NJ_SERIES))
            fail_msg("give %s: one per point of which series?", g->name);
        for (uint32_t i = 0; i < k; i++)
            if (!strcmp(g->name, in->give[i].name)) fail_msg("give %s: twice", g->name);
    }
    for (const nj_param *p = m->params; p && p->name; p++) {
        if (!is_name(p->name) || !p->doc || strlen(p->doc) < 4 || !p->unit)
            fail_msg("setting %s: name, sentence or unit", p->name);
        if (p->offset >= m->conf_size) fail_msg("setting %s: outside the conf struct", p->name);
    }
}

/* --- outputs --- */

static bool same_value(nj_type type, const void *a, size_t i, const void *b, size_t j)
{
    if (type == NJ_STR) {
        const char *x = ((const char *const *)a)[i], *y = ((const char *const *)b)[j];
        return x == y || (x && y && !strcmp(x, y));
    }
    size_t size = nj_type_size(type);
    if (memcmp((const char *)a + i * size, (const char *)b + j * size, size) == 0) return true;
    return (type == NJ_F32 || type == NJ_F64) && isnan(nj_number(type, a, i)) && isnan(nj_number(type, b, j));
}

/* In words for a message; whole numbers with all their digits. */
static const char *in_words(nj_type type, const void *data, size_t i, char text[40])
{
    if (type == NJ_I64)
        snprintf(text, 40, "%lld", (long long)((const int64_t *)data)[i]);
    else if (type == NJ_STR)
        snprintf(text, 40, "%.38s",
                 ((const char *const *)data)[i] ? ((const char *const *)data)[i] : "(none)");
    else
        snprintf(text, 40, "%.17g", nj_number(type, data, i));
    return text;
}

/* What the comparisons of this file rest on. */
static void values_are_compared_by_bits(void **state)
{
    (void)state;
    const int64_t whole[] = { (INT64_C(1) << 53) + 1, INT64_C(1) << 53 };
    const double real[] = { 0.0, -0.0, NAN, -NAN };
    const float single[] = { 0.0f, -0.0f, NAN, -NAN };
    assert_false(same_value(NJ_I64, whole, 0, whole, 1));
    assert_true(same_value(NJ_I64, whole, 0, whole, 0));
    assert_false(same_value(NJ_F64, real, 0, real, 1));
    assert_false(same_value(NJ_F32, single, 0, single, 1));
    assert_true(same_value(NJ_F64, real, 2, real, 3));
    assert_true(same_value(NJ_F32, single, 2, single, 3));
}

static size_t width_of(const host_batch *b, uint32_t k, uint32_t row, size_t *first)
{
    const nj_give *g = &b->in->give[k];
    if (g->width) return *first = (size_t)row * g->width, g->width;
    const uint32_t *off = b->col[g->like].off;
    if (!off) return *first = 0, 0;
    return *first = off[row], off[row + 1] - off[row];
}

/* Are row r of a and row s of b the same, bit for bit but for the sign of a NaN? */
static void expect_same_row(const host_batch *a, uint32_t r, const host_batch *b, uint32_t s,
                            const char *what)
{
    if (a->reason[r] != b->reason[s])
        fail_msg("%s: %s row: reason %u, was %u", what, row_kind_name[a->spec[r].kind], b->reason[s],
                 a->reason[r]);
    for (uint32_t k = 0; k < a->in->n_gives; k++) {
        const nj_give *g = &a->in->give[k];
        size_t i, j, n = width_of(a, k, r, &i);
        assert_int_equal(n, width_of(b, k, s, &j));
        for (size_t e = 0; e < n; e++)
            if (!same_value(g->type, a->out[k], i + e, b->out[k], j + e)) {
                char now[40], before[40];
                fail_msg("%s: %s row: %s is %s, was %s", what, row_kind_name[a->spec[r].kind], g->name,
                         in_words(g->type, b->out[k], j + e, now),
                         in_words(g->type, a->out[k], i + e, before));
            }
    }
}

static void expect_valid(const host_batch *b, uint32_t r)
{
    if (b->reason[r] >= NJ_FAILED)
        fail_msg("%s row: reason %u", row_kind_name[b->spec[r].kind], b->reason[r]);
    for (uint32_t k = 0; k < b->in->n_gives; k++) {
        const nj_give *g = &b->in->give[k];
        size_t at, n = width_of(b, k, r, &at);
        for (size_t e = 0; e < n; e++) {
            if (g->type == NJ_STR) {
                const char *s = ((const char *const *)b->out[k])[at + e];
                if (s && strlen(s) > 4096) fail_msg("%s: endless text", g->name);
                continue;
            }
            double v = nj_number(g->type, b->out[k], at + e);
            if (!isnan(v) && !(v >= g->lo && v <= g->hi))
                fail_msg("%s row: %s is %.17g, outside [%g, %g]", row_kind_name[b->spec[r].kind], g->name, v,
                         g->lo, g->hi);
        }
    }
}

/* --- inputs of every kind --- */

enum { N_ROWS = 64 };

/* Mostly typical rows, the odd ones among them, one giant. */
static void mixed_rows(row_spec spec[N_ROWS], uint64_t seed)
{
    for (uint32_t r = 0; r < N_ROWS; r++)
        spec[r] = (row_spec){ r % 3 ? ROW_TYPICAL : (row_kind)(1 + r / 3 % (ROW_KINDS - 2)), mix(seed + r) };
    spec[N_ROWS / 2].kind = ROW_GIANT;
}

static void any_input_gets_a_valid_answer(void **state)
{
    const nj_instance *in = instance_of(state);
    host_thread t = open_thread(in);
    for (int kind = 0; kind < ROW_KINDS; kind++) {
        row_spec spec[8];
        uint32_t n = kind == ROW_GIANT ? 1 : 8;
        for (uint32_t r = 0; r < n; r++)
            spec[r] = (row_spec){ (row_kind)kind, mix(r + 100 * (uint64_t)kind) };
        host_batch b;
        build_batch(&b, in, spec, n);
        assert_int_equal(call_all(&b, &t, in->module->process, n), NJ_OK);
        for (uint32_t r = 0; r < n; r++) expect_valid(&b, r);
        free_batch(&b);
    }
    host_batch none;
    build_batch(&none, in, NULL, 0);
    nj_work w = { .size = sizeof w,
                  .in = none.in_col,
                  .out = none.out,
                  .reason = none.reason,
                  .id = none.id,
                  .opaque = &none,
                  .scratch = host_scratch,
                  .text = host_text,
                  .image = host_image };
    assert_int_equal(in->module->process(in->self, t.block, &w), NJ_OK);
    free_batch(&none);
    close_thread(&t);
}

/* Whole, row by row, backwards, elsewhere in another batch, with a worn thread block:
 * the same row, the same answer. */
static void slicing_and_order_change_nothing(void **state)
{
    const nj_instance *in = instance_of(state);
    host_thread fresh = open_thread(in), worn = open_thread(in);
    row_spec spec[N_ROWS], turned[N_ROWS];
    host_batch a, b;
    mixed_rows(spec, 7);
    build_batch(&a, in, spec, N_ROWS);
    assert_int_equal(call_all(&a, &fresh, in->module->process, N_ROWS), NJ_OK);
    static const uint32_t slices[] = { 1, 5, 16 };
    for (size_t s = 0; s < 3; s++) {
        build_batch(&b, in, spec, N_ROWS);
        assert_int_equal(call_all(&b, &worn, in->module->process, slices[s]), NJ_OK);
        for (uint32_t r = 0; r < N_ROWS; r++) expect_same_row(&a, r, &b, r, "sliced");
        free_batch(&b);
    }
    for (uint32_t r = 0; r < N_ROWS; r++) turned[r] = spec[(r * 29 + 11) % N_ROWS];
    build_batch(&b, in, turned, N_ROWS);
    assert_int_equal(call_all(&b, &worn, in->module->process, N_ROWS), NJ_OK);
    for (uint32_t r = 0; r < N_ROWS; r++)
        expect_same_row(&a, (r * 29 + 11) % N_ROWS, &b, r, "elsewhere in a batch");
    free_batch(&b);
    free_batch(&a);
    close_thread(&fresh);
    close_thread(&worn);
}

/* Only the rows that were given may be written. */
static void other_rows_stay_untouched(void **state)
{
    const nj_instance *in = instance_of(state);
    host_thread t = open_thread(in);
    row_spec spec[N_ROWS];
    host_batch b, untouched;
    mixed_rows(spec, 8);
    build_batch(&b, in, spec, N_ROWS);
    build_batch(&untouched, in, spec, N_ROWS);
    uint32_t rows[N_ROWS], n = 0;
    for (uint32_t r = N_ROWS; r-- > 0;)
        if (r % 4 == 1) rows[n++] = r;
    assert_int_equal(call_rows(&b, &t, in->module->process, rows, n, n), NJ_OK);
    for (uint32_t r = 0; r < N_ROWS; r++) {
        if (r % 4 == 1)
            expect_valid(&b, r);
        else
            expect_same_row(&untouched, r, &b, r, "not given");
    }
    free_batch(&b);
    free_batch(&untouched);
    close_thread(&t);
}

static void process_neither_allocates_nor_opens_files(void **state)
{
    const nj_instance *in = instance_of(state);
    if (!COUNTED || uses_service[in - all.set.item]) skip();
    host_thread t = open_thread(in);
    row_spec spec[N_ROWS];
    host_batch b;
    mixed_rows(spec, 9);
    build_batch(&b, in, spec, N_ROWS);
    assert_int_equal(call_all(&b, &t, in->module->process, N_ROWS), NJ_OK); /* once before: the C
                                                                             * library's own first uses */
    reset_outputs(&b);
    n_allocations = n_files = 0;
    assert_int_equal(call_all(&b, &t, in->module->process, 16), NJ_OK);
    assert_int_equal(n_allocations, 0);
    assert_int_equal(n_files, 0);
    free_batch(&b);
    close_thread(&t);
}

/* --- process_ref --- */

/* Reads "# process_ref 1e-7" of data/ref/<name>.csv: the relative tolerance that the module states;
 * default 1e-9. */
static double stated_tolerance(const char *text, const char *key, double otherwise)
{
    const char *at = text ? strstr(text, key) : NULL;
    return at ? strtod(at + strlen(key), NULL) : otherwise;
}

static char *reference_text(const nj_instance *in)
{
    char path[512];
    snprintf(path, sizeof path, "data/ref/%s.csv", in->name);
    char *text = read_text(path);
    if (text) return text;
    snprintf(path, sizeof path, "data/ref/%s.csv", in->module->name);
    return read_text(path);
}

static bool close_enough(double x, double y, double tolerance)
{
    return x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= tolerance * fmax(1, fabs(y));
}

static void process_equals_its_plain_version(void **state)
{
    const nj_instance *in = instance_of(state);
    if (!in->module->process_ref) skip();
    char *text = reference_text(in);
    double tolerance = stated_tolerance(text, "# process_ref ", 1e-9);
    free(text);
    host_thread t = open_thread(in);
    row_spec spec[N_ROWS];
    host_batch a, b;
    mixed_rows(spec, 10);
    build_batch(&a, in, spec, N_ROWS);
    build_batch(&b, in, spec, N_ROWS);
    assert_int_equal(call_all(&a, &t, in->module->process, N_ROWS), NJ_OK);
    assert_int_equal(call_all(&b, &t, in->module->process_ref, N_ROWS), NJ_OK);
    for (uint32_t r = 0; r < N_ROWS; r++) {
        assert_int_equal(a.reason[r], b.reason[r]);
        for (uint32_t k = 0; k < in->n_gives; k++) {
            const nj_give *g = &in->give[k];
            size_t at, n = width_of(&a, k, r, &at);
            bool real = g->type == NJ_F64 || g->type == NJ_F32;
            for (size_t e = 0; e < n; e++)
                if (real ? !close_enough(nj_number(g->type, a.out[k], at + e),
                                         nj_number(g->type, b.out[k], at + e), tolerance)
                         : !same_value(g->type, a.out[k], at + e, b.out[k], at + e))
                    fail_msg("%s row: %s is %.17g, by the plain version %.17g", row_kind_name[spec[r].kind],
                             g->name, nj_number(g->type, a.out[k], at + e),
                             nj_number(g->type, b.out[k], at + e));
        }
    }
    free_batch(&a);
    free_batch(&b);
    close_thread(&t);
}

/* --- open() that fails --- */

static int no_data(void *opaque, const char *name, const void **bytes, size_t *n)
{
    (void)opaque;
    (void)name;
    *bytes = NULL;
    *n = 0;
    return NJ_ECONF;
}
static const void *no_service(void *opaque, const char *name, uint32_t version)
{
    (void)opaque;
    (void)name;
    (void)version;
    return NULL;
}
static void *no_memory(void *opaque, size_t bytes)
{
    (void)opaque;
    (void)bytes;
    return NULL;
}
static void no_log(void *opaque, int level, const char *format, ...)
{
    (void)opaque;
    (void)level;
    (void)format;
}

static void a_failed_open_can_be_closed(void **state)
{
    const nj_instance *in = *state;
    if (!in->module->open) skip();
    for (int k = 0; k < 2; k++) {
        nj_host poor = all.set.host;
        poor.log = no_log;
        poor.data = no_data;
        poor.service = no_service;
        if (k) poor.alloc = no_memory;
        void *self = NULL;
        int rc = in->module->open(&poor, in->conf, &self);
        if (rc > 0) fail_msg("open() gave %d", rc);
        if (in->module->close) in->module->close(self);
    }
}

/* --- data/ref/<instance>.csv --- *
 * Lines "# ..." are the values' origin; "# tolerance 1e-9" is relative (absolute below 1). Then a header of
 * paths (needs) and "=give" or "=reason" columns, and rows; a cell is empty for null; the points of a series
 * are separated by blanks, a null point is "-". Needs without a column are absent. */

static void fill_scalar(host_batch *b, uint32_t k, const char *cell)
{
    const nj_need *need = &b->in->need[k];
    void *data = nj_arena_alloc(&b->arena, nj_type_size(need->type));
    nj_fill_null(need->type, data, 1);
    if (*cell && need->type == NJ_STR)
        *(const char **)data = cell;
    else if (*cell && need->type == NJ_I64)
        *(int64_t *)data = strtoll(cell, NULL, 10);
    else if (*cell)
        store(need->type, data, 0, strtod(cell, NULL));
    b->col[k] = (nj_col){ data, NULL };
}

static void fill_series(host_batch *b, uint32_t k, const char *text)
{
    char *cell = nj_arena_text(&b->arena, text, strlen(text));
    const nj_need *need = &b->in->need[k];
    uint32_t n = 0, *off = nj_arena_zalloc(&b->arena, 2 * sizeof *off);
    char *data = nj_arena_alloc(&b->arena, (strlen(cell) + 1) * nj_type_size(need->type));
    char *rest = NULL;
    for (char *word = strtok_r(cell, " ", &rest); word; word = strtok_r(NULL, " ", &rest), n++) {
        if (need->type == NJ_STR)
            ((const char **)(void *)data)[n] = strcmp(word, "-") ? word : NULL;
        else
            store(need->type, data, n, strcmp(word, "-") ? strtod(word, NULL) : NAN);
    }
    off[1] = n;
    b->col[k] = (nj_col){ data, off };
}

static uint32_t need_index(const nj_instance *in, const char *path)
{
    uint32_t k = 0;
    while (k < in->n_needs && strcmp(in->need[k].path, path)) k++;
    return k;
}

static void expect_cell(const host_batch *b, const char *name, const char *cell, double tolerance,
                        uint32_t line)
{
    if (!strcmp(name, "reason")) {
        const char *got = b->reason[0] < NJ_REASONS ? nj_reason_name[b->reason[0]] : "none";
        if (strcmp(got, cell)) fail_msg("line %u: reason %s, expected %s", line, got, cell);
        return;
    }
    uint32_t k = 0;
    while (k < b->in->n_gives && strcmp(b->in->give[k].name, name)) k++;
    if (k == b->in->n_gives) fail_msg("no such give: %s", name);
    nj_type type = b->in->give[k].type;
    if (type == NJ_STR) {
        const char *got = *(const char *const *)b->out[k];
        if (strcmp(got ? got : "", cell))
            fail_msg("line %u: %s is '%s', expected '%s'", line, name, got ? got : "", cell);
        return;
    }
    size_t at, n = width_of(b, k, 0, &at);
    for (size_t e = 0; e < n; e++) {
        char *end = (char *)cell;
        double want = *cell && *cell != '-' ? strtod(cell, &end) : NAN,
               got = nj_number(type, b->out[k], at + e);
        if (*cell == '-' && (cell[1] == ' ' || !cell[1]))
            end = (char *)cell + 1;
        else if (*cell == '-')
            want = strtod(cell, &end);
        if (!close_enough(got, want, tolerance))
            fail_msg("line %u: %s[%zu] is %.17g, expected %.17g", line, name, e, got, want);
        cell = *end == ' ' ? end + 1 : end;
    }
}

static void reference_row(const nj_instance *in, host_thread *t, const nj_csv *csv, char *const *head,
                          double tolerance)
{
    row_spec spec = { ROW_ALL_NULL, csv->line };
    host_batch b;
    begin_batch(&b, in, &spec, 1);
    b.id[0] = csv->line;
    for (uint32_t c = 0; c < csv->n; c++) {
        uint32_t k = need_index(in, head[c]);
        if (k == in->n_needs) continue;
        if (in->need[k].shape == NJ_SERIES)
            fill_series(&b, k, csv->cell[c]);
        else
            fill_scalar(&b, k, csv->cell[c]);
    }
    for (uint32_t k = 0; k < in->n_needs; k++)
        if (!b.col[k].data && !(in->need[k].flags & NJ_NEED_OPTIONAL) && in->need[k].shape != NJ_IMAGE)
            build_need(&b, k);
    reset_outputs(&b);
    assert_int_equal(call_all(&b, t, in->module->process, 1), NJ_OK);
    for (uint32_t c = 0; c < csv->n; c++)
        if (head[c][0] == '=') expect_cell(&b, head[c] + 1, csv->cell[c], tolerance, csv->line);
    free_batch(&b);
}

static void reference_values(void **state)
{
    const nj_instance *in = instance_of(state);
    char *text = reference_text(in), *head[NJ_CSV_COLUMNS];
    double tolerance = stated_tolerance(text, "# tolerance ", 1e-12);
    host_thread t = open_thread(in);
    nj_arena names = { 0 };
    nj_csv csv = { .at = text, .end = text + strlen(text) };
    uint32_t n_head = 0, n_rows = 0;
    int rc;
    while ((rc = nj_csv_row(&csv)) == 1) {
        if (csv.cell[0][0] == '#') continue;
        if (n_head) {
            if (csv.n != n_head) fail_msg("line %u: %u cells, the header has %u", csv.line, csv.n, n_head);
            reference_row(in, &t, &csv, head, tolerance);
            n_rows++;
            continue;
        }
        for (; n_head < csv.n; n_head++) {
            head[n_head] = nj_arena_text(&names, csv.cell[n_head], strlen(csv.cell[n_head]));
            if (head[n_head][0] != '=' && need_index(in, head[n_head]) == in->n_needs)
                fail_msg("column %s: the module has no such need", head[n_head]);
        }
    }
    assert_int_equal(rc, 0);
    assert_true(n_rows > 0);
    nj_csv_free(&csv);
    nj_arena_free(&names);
    close_thread(&t);
    free(text);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*test)(void **);
    } check[] = {
        { "tables are complete", tables_are_complete },
        { "any input gets a valid answer", any_input_gets_a_valid_answer },
        { "slicing and order change nothing", slicing_and_order_change_nothing },
        { "other rows stay untouched", other_rows_stay_untouched },
        { "neither allocates nor opens files", process_neither_allocates_nor_opens_files },
        { "process equals its plain version", process_equals_its_plain_version },
        { "a failed open can be closed", a_failed_open_can_be_closed },
        { "reference values", reference_values },
    };
    static struct CMUnitTest test[MAX_TESTS];
    size_t n = 0, each = sizeof check / sizeof *check;
    open_all();
    open_instances();
    if (all.set.n * each >= MAX_TESTS)
        printf("Bail out! more than %d tests of modules\n", MAX_TESTS), exit(1);
    for (uint32_t i = 0; i < all.set.n; i++)
        for (size_t k = 0; k < each; k++) {
            const nj_instance *in = &all.set.item[i];
            /* what an instance does not have is not a test that was skipped */
            char *text = check[k].test == reference_values ? reference_text(in) : NULL;
            bool none =
                (check[k].test == reference_values && !text) ||
                (check[k].test == process_equals_its_plain_version && !in->module->process_ref) ||
                (check[k].test == a_failed_open_can_be_closed && !in->module->open) ||
                (check[k].test == process_neither_allocates_nor_opens_files && (uses_service[i] || !COUNTED));
            free(text);
            /* an instance that is off says so once */
            none |= !in->opened && check[k].test != tables_are_complete &&
                    check[k].test != any_input_gets_a_valid_answer &&
                    check[k].test != a_failed_open_can_be_closed;
            if (none) continue;
            char *name = nj_arena_printf(&all.set.arena, "%s: %s", in->name, check[k].name);
            test[n++] =
                (struct CMUnitTest){ .name = name, .test_func = check[k].test, .initial_state = (void *)in };
        }
    if (!n) {
        printf("1..1\nok 1 - no modules # SKIP the table of modules is empty\n");
        return 0;
    }
    test[n++] = (struct CMUnitTest){ .name = "values are compared by bits",
                                     .test_func = values_are_compared_by_bits };
    int rc = _cmocka_run_group_tests("modules", test, n, NULL, NULL);
    for (uint32_t i = 0; i < all.set.n; i++)
        if (all.set.item[i].module->close && !all.set.item[i].opened)
            all.set.item[i].module = &(const nj_module){ 0 };
    close_host(&all);
    return rc;
}
