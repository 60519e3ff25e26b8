/* model_malformed.c - model folders that are wrong: cut off, changed, swapped, of another shape. Each is
 * refused with a text that says why, or computes its golden rows all the same; none hangs, crashes or
 * scores. Run it under ASan too. */
#include "../kernel/model_host.h"

#include <openssl/sha.h>

static const char *const toys[] = { "toy_forest", "toy_braai", "toy_acai", "toy_snn" };
enum { TOYS = 4 };

static uint64_t seed = 20261121;

static uint32_t draw(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % n);
}

static void hex_of(const void *bytes, size_t n, char hex[65])
{
    unsigned char digest[32];
    SHA256(bytes, n, digest);
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

typedef struct folder {
    char *onnx, *manifest;
    size_t n_onnx, n_manifest;
} folder;

static folder read_folder(const char *name)
{
    folder f;
    char path[256];
    snprintf(path, sizeof path, "data/models/%s/model.onnx", name);
    f.onnx = nj_file_read(path, SIZE_MAX, &f.n_onnx);
    snprintf(path, sizeof path, "data/models/%s/manifest.json", name);
    f.manifest = nj_file_read(path, SIZE_MAX, &f.n_manifest);
    assert_true(f.onnx && f.manifest);
    return f;
}

static void free_folder(folder *f)
{
    free(f->onnx);
    free(f->manifest);
}

/* Opens the toy with these bytes as its model; rehash: the manifest's hash is made to fit. */
static nj_model *open_with(model_host *h, const char *name, const folder *f, const void *onnx, size_t n,
                           int rehash, const char *engine)
{
    static char manifest[1 << 16];
    model_host_open(h, "data/models");
    memcpy(manifest, f->manifest, f->n_manifest + 1);
    char *sha = strstr(manifest, "\"sha256\": \"");
    assert_non_null(sha);
    char hex[65];
    hex_of(onnx, n, hex);
    if (rehash) memcpy(sha + 11, hex, 64);
    h->put[0].name = "model.onnx";
    h->put[0].bytes = onnx;
    h->put[0].n = n;
    h->put[1].name = "manifest.json";
    h->put[1].bytes = manifest;
    h->put[1].n = f->n_manifest;
    h->n_put = 2;
    return model_service()->open(&h->host, name, &(nj_model_options){ .engine = engine });
}

static void expect_refused(nj_model *m, const model_host *h, const char *why)
{
    assert_null(m);
    if (!strstr(h->log, why)) fail_msg("refused as '%s', expected '%s'", h->log, why);
}

static void hash_is_checked(void **state)
{
    (void)state;
    model_host h;
    for (int t = 0; t < TOYS; t++) {
        folder f = read_folder(toys[t]);
        nj_model *m = open_with(&h, toys[t], &f, f.onnx, f.n_onnx, 0, NULL);
        assert_non_null(m);
        model_service()->close(m);
        model_host_close(&h);
        f.onnx[f.n_onnx / 2] ^= 1;
        expect_refused(open_with(&h, toys[t], &f, f.onnx, f.n_onnx, 0, NULL), &h, "sha256");
        model_host_close(&h);
        expect_refused(open_with(&h, toys[t], &f, f.onnx, f.n_onnx - 1, 0, NULL), &h, "sha256");
        model_host_close(&h);
        free_folder(&f);
    }
    folder a = read_folder("toy_braai"), b = read_folder("toy_acai");
    expect_refused(open_with(&h, "toy_braai", &a, b.onnx, b.n_onnx, 0, NULL), &h, "sha256"); /* swapped */
    model_host_close(&h);
    /* swapped, with its hash */
    expect_refused(open_with(&h, "toy_braai", &a, b.onnx, b.n_onnx, 1, NULL), &h, "inputs");
    model_host_close(&h);
    free_folder(&a);
    free_folder(&b);
}

/* MAX_NODES, reached and passed: a graph of so many empty nodes, initializers, inputs or outputs. */
static void as_many_nodes_as_may_be(void **state)
{
    (void)state;
    static const uint8_t field[] = { 1, 5, 11, 12 };
    static uint8_t onnx[2 * 8193 + 4];
    folder f = read_folder("toy_forest");
    for (size_t i = 0; i < sizeof field; i++)
        for (uint32_t n = 8192; n <= 8193; n++) {
            model_host h;
            const uint32_t size = 2 * n;
            onnx[0] = 7 << 3 | 2; /* the graph, and its length */
            for (int k = 0; k < 3; k++) onnx[1 + k] = (uint8_t)(size >> 7 * k | (k < 2 ? 0x80 : 0));
            for (uint32_t k = 0; k < n; k++) {
                onnx[4 + 2 * k] = (uint8_t)(field[i] << 3 | 2);
                onnx[5 + 2 * k] = 0;
            }
            nj_model *m = open_with(&h, "toy_forest", &f, onnx, 4 + size, 1, NULL);
            assert_null(m);
            const bool said = strstr(h.log, "more than 8192 nodes, initializers, inputs or outputs") != NULL;
            if (said != (n > 8192)) fail_msg("%u of field %u: %s", n, field[i], h.log);
            model_host_close(&h);
        }
    free_folder(&f);
}

/* One text of the manifest for another of the same length. */
static void expect_manifest(const char *name, const char *was, const char *is, const char *why)
{
    model_host h;
    folder f = read_folder(name);
    char *at = strstr(f.manifest, was);
    assert_non_null(at);
    assert_int_equal(strlen(was), strlen(is));
    memcpy(at, is, strlen(is));
    expect_refused(open_with(&h, name, &f, f.onnx, f.n_onnx, 1, NULL), &h, why);
    model_host_close(&h);
    free_folder(&f);
}

static void manifest_is_checked(void **state)
{
    (void)state;
    expect_manifest("toy_forest", "\"rows\": 32", "\"rows\": 31", "row 31 is not as the manifest says");
    expect_manifest("toy_forest", "golden.csv", "golden.xsv", "golden.xsv is not there");
    expect_manifest("toy_forest", "\"probabilities\"", "\"propabilities\"", "no output");
    expect_manifest("toy_forest", "\"golden.csv\"", "\"../x/y.csv\"", "outside the folder");
    expect_manifest("toy_forest", "\"tolerance_abs\": 1e-07", "\"tolerance_abs\": -1e-7", "tolerance_abs");
    expect_manifest("toy_snn", "\"int32\"", "\"int33\"", "dtype");
    expect_manifest("toy_snn", "\"lengths\"", "\"lenghts\"", "no input 'lenghts'");
    expect_manifest("toy_braai", "{", "[", "manifest.json:");
    model_host h;
    model_host_open(&h, "data/models");
    expect_refused(model_service()->open(&h.host, "no_such_model", NULL), &h,
                   "no_such_model/manifest.json is not there");
    expect_refused(model_service()->open(&h.host, "toy_snn", &(nj_model_options){ .engine = "magic" }), &h,
                   "engine = magic");
    expect_refused(model_service()->open(&h.host, "toy_forest", &(nj_model_options){ .sum = "half" }), &h,
                   "sum = half");
    model_host_close(&h);
}

/* An input whose golden rows have other steps than another's would be read beyond its end. */
static void golden_steps_agree(void **state)
{
    (void)state;
    model_host h;
    folder f = read_folder("toy_snn");
    static const char was[] =
        "\"name\": \"lengths\",\n    \"dtype\": \"int32\",\n    \"shape\": [\n     8\n    ],\n    \"offset\"",
                      is[] = "\"name\": \"x\", \"shape\": [8, 7, 8], \"offset\"";
    char *at = strstr(f.manifest, was);
    assert_non_null(at);
    memset(at, ' ', strlen(was));
    memcpy(at, is, strlen(is));
    expect_refused(open_with(&h, "toy_snn", &f, f.onnx, f.n_onnx, 1, NULL), &h, "the same for every input");
    model_host_close(&h);
    free_folder(&f);
}

/* --- a model file written here --- */

typedef struct onnx_text {
    char bytes[1024];
    size_t n;
} onnx_text;

static void add_number(onnx_text *t, int field, char value)
{
    if (field > 15) t->bytes[t->n++] = (char)((field << 3 & 127) | 128);
    t->bytes[t->n++] = (char)(field > 15 ? field >> 4 : field << 3);
    t->bytes[t->n++] = value;
}

static void add_bytes(onnx_text *t, int field, const void *bytes, size_t n)
{
    assert_true(n < 16384 && t->n + n + 3 < sizeof t->bytes);
    t->bytes[t->n++] = (char)(field << 3 | 2);
    t->bytes[t->n++] = (char)((n & 127) | 128); /* a varint of two bytes, whatever n is */
    t->bytes[t->n++] = (char)(n >> 7);
    memcpy(t->bytes + t->n, bytes, n);
    t->n += n;
}

static void add_node(onnx_text *graph, const char *op, const char *first, const char *second, const char *out,
                     const onnx_text *attribute)
{
    onnx_text node = { .n = 0 };
    add_bytes(&node, 1, first, strlen(first));
    if (second) add_bytes(&node, 1, second, strlen(second));
    add_bytes(&node, 2, out, strlen(out));
    add_bytes(&node, 4, op, strlen(op));
    if (attribute) add_bytes(&node, 5, attribute->bytes, attribute->n);
    add_bytes(graph, 1, node.bytes, node.n);
}

/* y = x + OP(a constant of rank 0), for toy_braai's input and output. */
static onnx_text model_of_scalar(const char *op, const onnx_text *attribute)
{
    onnx_text model = { .n = 0 }, graph = { .n = 0 }, tensor = { .n = 0 }, port = { .n = 0 },
              type = { .n = 0 }, float_tensor = { .n = 0 };
    const float one = 1;
    add_number(&float_tensor, 1, 1); /* elem_type = FLOAT */
    add_bytes(&type, 1, float_tensor.bytes, float_tensor.n);
    add_node(&graph, op, "one", NULL, "turned", attribute);
    add_node(&graph, "Add", "triplets", "turned", "score", NULL);
    add_number(&tensor, 2, 1); /* FLOAT */
    add_bytes(&tensor, 8, "one", 3);
    add_bytes(&tensor, 9, &one, 4);
    add_bytes(&graph, 5, tensor.bytes, tensor.n);
    add_bytes(&port, 1, "triplets", 8);
    add_bytes(&port, 2, type.bytes, type.n);
    add_bytes(&graph, 11, port.bytes, port.n);
    port.n = 0;
    add_bytes(&port, 1, "score", 5);
    add_bytes(&port, 2, type.bytes, type.n);
    add_bytes(&graph, 12, port.bytes, port.n);
    add_number(&model, 1, 8); /* ir_version */
    add_bytes(&model, 7, graph.bytes, graph.n);
    return model;
}

/* Operators along "the last axis" of what has no axis:
 * the file that once made the built-in engine read beyond a shape. */
static void no_axis(void **state)
{
    (void)state;
    onnx_text perm = { .n = 0 };
    add_bytes(&perm, 1, "perm", 4);
    add_number(&perm, 20, 7); /* INTS, none of them */
    const struct {
        const char *op;
        const onnx_text *attribute;
    } one[] = { { "Transpose", &perm }, { "Softmax", NULL } };
    for (size_t i = 0; i < 2; i++) {
        model_host h;
        folder f = read_folder("toy_braai");
        onnx_text model = model_of_scalar(one[i].op, one[i].attribute);
        expect_refused(open_with(&h, "toy_braai", &f, model.bytes, model.n, 1, "builtin"), &h, "shape");
        model_host_close(&h);
        free_folder(&f);
    }
}

/* A weight changed and the hash with it: the golden rows find it. */
static void golden_rows_are_checked(void **state)
{
    (void)state;
    for (int t = 0; t < TOYS; t++) {
        model_host h;
        folder f = read_folder(toys[t]);
        const char *name = t == 0   ? "class_weights"
                           : t == 3 ? "out_w"
                                    : "dense"; /* the numbers stand before or behind the name */
        char *at = memmem(f.onnx, f.n_onnx, name, strlen(name));
        while (t && at && memcmp(at - 2, "\x42", 1)) /* the initializer's own name */
            at = memmem(at + 1, f.n_onnx - (size_t)(at + 1 - f.onnx), name, strlen(name));
        assert_non_null(at);
        float one = 0.75f;
        memcpy(at + strlen(name) + (t == 0 ? 8 : 3), &one, 4);
        nj_model *m = open_with(&h, toys[t], &f, f.onnx, f.n_onnx, 1, NULL);
        expect_refused(m, &h, "golden row");
        model_host_close(&h);
        free_folder(&f);
    }
}

/* Truncated at every length (in steps), bytes changed at random, pieces doubled or taken out. */
static void any_bytes(void **state)
{
    (void)state;
    int opened = 0, tried = 0;
    for (int t = 0; t < TOYS; t++) {
        folder f = read_folder(toys[t]);
        char *bytes = malloc(2 * f.n_onnx + 64);
        for (int i = 0; i < 1500; i++, tried++) {
            model_host h;
            size_t n = f.n_onnx;
            memcpy(bytes, f.onnx, n);
            if (i % 3 == 0)
                n = draw((uint32_t)n);
            else if (i % 7 == 0) {
                uint32_t from = draw((uint32_t)n), len = draw((uint32_t)n - from);
                memmove(bytes + from + len, bytes + from, n - from);
                n += len;
            }
            for (uint32_t k = i % 3 == 0 ? 0 : 1 + draw(6); k > 0; k--)
                bytes[draw((uint32_t)n)] = (char)(draw(4) ? draw(256) : 0xff);
            nj_model *m = open_with(&h, toys[t], &f, bytes, n, 1, "builtin");
            opened += m != NULL;
            if (!m) assert_true(h.log[0]);
            model_service()->close(m);
            model_host_close(&h);
        }
        free(bytes);
        free_folder(&f);
    }
    print_message("# %d of %d still gave their golden rows\n", opened, tried);
    assert_true(opened < tried / 4);
}

/* Every child of every tree node in turn points somewhere else: no walk may continue forever. */
static void any_child(void **state)
{
    (void)state;
    folder f = read_folder("toy_forest");
    static const char *const list[] = { "nodes_truenodeids", "nodes_falsenodeids", "nodes_treeids",
                                        "nodes_nodeids", "nodes_featureids" };
    for (int l = 0; l < 5; l++) {
        char *at = memmem(f.onnx, f.n_onnx, list[l], strlen(list[l]));
        assert_non_null(at);
        at += strlen(list[l]) + 1; /* the length, one or two bytes */
        at += *at & 128 ? 2 : 1;
        for (int i = 0; i < 120; i++)
            for (int v = 0; v < 3; v++) {
                model_host h;
                char was = at[i];
                at[i] = (char)(v == 0 ? 0 : v == 1 ? 127 : was + 1);
                nj_model *m = open_with(&h, "toy_forest", &f, f.onnx, f.n_onnx, 1, NULL);
                at[i] = was;
                model_service()->close(m);
                model_host_close(&h);
            }
    }
    free_folder(&f);
}

/* NaN and infinities as inputs of networks, and calls that do not fit. */
static void odd_calls(void **state)
{
    (void)state;
    model_host h;
    model_host_open(&h, "data/models");
    const nj_model_service *s = model_service();
    nj_model *m = s->open(&h.host, "toy_snn", NULL);
    assert_non_null(m);
    nj_model_thread *t = s->thread_open(m, 4, 5);
    float x[4 * 5 * 8] = { 0 };
    int32_t length[4] = { 1, 5, 2, 3 };
    double out[8];
    nj_model_call call = { .n_rows = 4, .n_steps = 5, .input = (const void *[]){ x, length }, .out = out };
    assert_int_equal(s->predict(m, t, &call), NJ_OK);
    x[8 * 5] = NAN; /* row 1 */
    double before = out[0];
    assert_int_equal(s->predict(m, t, &call), NJ_OK);
    assert_true(isnan(out[2]) && out[0] == before);
    for (int bad = 0; bad < 4; bad++) {
        int32_t lengths[4] = { 1, 5, 2, bad == 0 ? 0 : bad == 1 ? 6 : bad == 2 ? -1 : 3 };
        nj_model_call wrong = {
            .n_rows = bad == 3 ? 5 : 4, .n_steps = 5, .input = (const void *[]){ x, lengths }, .out = out
        };
        assert_int_equal(s->predict(m, t, &wrong), NJ_EDATA);
    }
    nj_model_call longer = { .n_rows = 1, .n_steps = 6, .input = (const void *[]){ x, length }, .out = out };
    assert_int_equal(s->predict(m, t, &longer), NJ_EDATA);
    assert_null(s->thread_open(m, 0, 5));
    s->thread_close(t);
    s->close(m);
    s->close(NULL);
    model_host_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(hash_is_checked),
                                        cmocka_unit_test(manifest_is_checked),
                                        cmocka_unit_test(as_many_nodes_as_may_be),
                                        cmocka_unit_test(golden_rows_are_checked),
                                        cmocka_unit_test(golden_steps_agree),
                                        cmocka_unit_test(no_axis),
                                        cmocka_unit_test(any_bytes),
                                        cmocka_unit_test(any_child),
                                        cmocka_unit_test(odd_calls) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
