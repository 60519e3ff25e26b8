/* conformance.c - every module of the table, unasked, by all rules of broker/check (those of `nightjar
 * check`), with the reference values of data/ref/<instance>.csv. A new module needs no line here. */
#include "host.h"

#include "broker/avro/decode.h"
#include "broker/base/embed.h"
#include "broker/check/calls.h"
#include "broker/check/check.h"

enum { MAX_TESTS = 8192 };

/* --- the instances --- */

static host all;
static nj_decoder *decoder;
static bool counts;
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

static char *reference_text(const nj_instance *in)
{
    char path[512];
    snprintf(path, sizeof path, "data/ref/%s.csv", in->name);
    char *text = read_text(path);
    if (text) return text;
    snprintf(path, sizeof path, "data/ref/%s.csv", in->module->name);
    return read_text(path);
}

typedef struct trial {
    const nj_instance *in;
    const nj_rule *rule;
    char *values;
} trial;

static void rule_holds(void **state)
{
    const trial *t = *state;
    if (t->rule->opened && !t->in->opened) {
        print_message("%s is off: its data are not here\n", t->in->name);
        skip();
    }
    nj_check c = { .in = t->in,
                   .set = &all.set,
                   .decoder = decoder,
                   .values = t->values,
                   .values_folder = "data/ref",
                   .services = uses_service[t->in - all.set.item],
                   .counts = counts,
                   .leak_s = 0.05 };
    t->rule->look(&c);
    if (c.verdict == NJ_CHECKED_WRONG) fail_msg("%s%s%s", c.what, c.cure[0] ? "; " : "", c.cure);
}

/* What an instance does not have is not a test that was skipped, and an instance that is off says so once. */
static bool has_it(const trial *t)
{
    static const char once[] = "any input gets a valid answer";
    if (!strcmp(t->rule->name, "reference values")) return t->values && t->in->opened;
    if (!strcmp(t->rule->name, "process equals its plain version"))
        return t->in->module->process_ref && t->in->opened;
    if (!strcmp(t->rule->name, "a failed open can be closed")) return t->in->module->open;
    if (!strcmp(t->rule->name, "neither allocates nor opens files"))
        return counts && t->in->opened && !uses_service[t->in - all.set.item];
    return t->in->opened || !t->rule->opened || !strcmp(t->rule->name, once);
}

/* What the comparisons of all rules rest on. */
static void values_are_compared_by_bits(void **state)
{
    (void)state;
    const int64_t whole[] = { (INT64_C(1) << 53) + 1, INT64_C(1) << 53 };
    const double real[] = { 0.0, -0.0, NAN, -NAN };
    const float single[] = { 0.0f, -0.0f, NAN, -NAN };
    assert_false(nj_check_same(NJ_I64, whole, 0, whole, 1));
    assert_true(nj_check_same(NJ_I64, whole, 0, whole, 0));
    assert_false(nj_check_same(NJ_F64, real, 0, real, 1));
    assert_false(nj_check_same(NJ_F32, single, 0, single, 1));
    assert_true(nj_check_same(NJ_F64, real, 2, real, 3));
    assert_true(nj_check_same(NJ_F32, single, 2, single, 3));
}

int main(void)
{
    static struct CMUnitTest test[MAX_TESTS];
    static trial trials[MAX_TESTS];
    nj_settings settings = { 0 };
    nj_error err = { "" };
    size_t n = 0;
    open_all();
    open_instances();
    counts = nj_calls_watch();
    if (!(decoder = nj_decoder_new(&settings, &err))) printf("Bail out! %s\n", err.text), exit(1);
    for (uint32_t i = 0; i < all.set.n; i++)
        for (const nj_rule *rule = nj_rules; rule->name; rule++) {
            const nj_instance *in = &all.set.item[i];
            trial *t = &trials[n];
            if (n + 2 >= MAX_TESTS) printf("Bail out! more than %d tests of modules\n", MAX_TESTS), exit(1);
            *t = (trial){ in, rule, reference_text(in) };
            if (!has_it(t)) {
                free(t->values);
                continue;
            }
            test[n++] =
                (struct CMUnitTest){ .name = nj_arena_printf(&all.set.arena, "%s: %s", in->name, rule->name),
                                     .test_func = rule_holds,
                                     .initial_state = t };
        }
    size_t n_trials = n;
    if (!n) {
        printf("1..1\nok 1 - no modules # SKIP the table of modules is empty\n");
        return 0;
    }
    test[n++] = (struct CMUnitTest){ .name = "values are compared by bits",
                                     .test_func = values_are_compared_by_bits };
    int rc = _cmocka_run_group_tests("modules", test, n, NULL, NULL);
    for (size_t k = 0; k < n_trials; k++) free(trials[k].values);
    for (uint32_t i = 0; i < all.set.n; i++)
        if (all.set.item[i].module->close && !all.set.item[i].opened)
            all.set.item[i].module = &(const nj_module){ 0 };
    nj_decoder_free(decoder);
    nj_settings_free(&settings);
    close_host(&all);
    return rc;
}
