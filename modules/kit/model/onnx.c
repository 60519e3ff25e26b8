/* onnx.c - an ONNX file is read without the protobuf library, and no content of it can exceed the memory
 * limits. */
#include "onnx.h"

#include <string.h>

#include "wire.h"

enum { MAX_NODES = 8192 }; /* names are looked up one by one; the largest model at hand has 52 */

/* How often does each field number < 32 occur? -1 when the message is broken. */
static int count_fields(wire w, uint32_t count[32])
{
    memset(count, 0, 32 * sizeof *count);
    field f;
    int rc;
    while ((rc = next_field(&w, &f)) > 0)
        if (f.number < 32) count[f.number]++;
    return rc;
}

/* --- repeated numbers, packed or not --- */

static size_t count_numbers(wire w, uint32_t number, uint32_t width)
{
    size_t n = 0;
    field f;
    while (next_field(&w, &f) > 0) {
        if (f.number != number) continue;
        if (f.type != 2) {
            n++;
            continue;
        }
        if (width)
            n += (size_t)(f.bytes.end - f.bytes.at) / width;
        else
            for (const uint8_t *p = f.bytes.at; p < f.bytes.end; p++) n += !(*p & 128);
    }
    return n;
}

/* The numbers of one field behind the k that are there; n: how many there is room for. */
static int put_ints(field *f, int64_t *v, size_t *k, size_t n)
{
    if (f->type == 0 && *k < n)
        v[(*k)++] = (int64_t)f->value;
    else if (f->type == 2)
        while (f->bytes.at < f->bytes.end && *k < n) {
            uint64_t one;
            if (read_varint(&f->bytes, &one)) return -1;
            v[(*k)++] = (int64_t)one;
        }
    else
        return -1;
    return 0;
}

static int put_floats(const field *f, float *v, size_t *k, size_t n)
{
    if (f->type == 5 && *k < n) {
        uint32_t bits = (uint32_t)f->value;
        memcpy(&v[(*k)++], &bits, 4);
    } else if (f->type == 2) {
        size_t bytes = (size_t)(f->bytes.end - f->bytes.at), m = bytes / 4;
        if (bytes % 4 || m > n - *k) return -1;
        if (m) memcpy(v + *k, f->bytes.at, 4 * m);
        *k += m;
    } else
        return -1;
    return 0;
}

static int read_ints(wire w, uint32_t number, nj_pool *pool, const int64_t **out, size_t *n)
{
    *n = count_numbers(w, number, 0);
    if (!*n) return 0;
    int64_t *v = nj_pool_alloc(pool, *n, sizeof *v);
    if (!v) return -1;
    size_t k = 0;
    field f;
    while (next_field(&w, &f) > 0)
        if (f.number == number && put_ints(&f, v, &k, *n)) return -1;
    *n = k;
    *out = v;
    return 0;
}

static int read_floats(wire w, uint32_t number, nj_pool *pool, const float **out, size_t *n)
{
    *n = count_numbers(w, number, 4);
    if (!*n) return 0;
    float *v = nj_pool_alloc(pool, *n, sizeof *v);
    if (!v) return -1;
    size_t k = 0;
    field f;
    while (next_field(&w, &f) > 0)
        if (f.number == number && put_floats(&f, v, &k, *n)) return -1;
    *n = k;
    *out = v;
    return 0;
}

static int read_text(const field *f, nj_pool *pool, const char **text)
{
    if (f->type != 2) return -1;
    *text = nj_pool_text(pool, (const char *)f->bytes.at, (size_t)(f->bytes.end - f->bytes.at));
    return *text ? 0 : -1;
}

/* --- messages --- */

static int raw_values(nj_onnx_tensor *t, wire raw, nj_pool *pool)
{
    size_t bytes = (size_t)(raw.end - raw.at);
    if (t->type == NJ_ONNX_FLOAT) {
        if (bytes != 4 * t->n) return -1;
        float *v = nj_pool_alloc(pool, t->n, 4);
        if (!v) return -1;
        if (bytes) memcpy(v, raw.at, bytes);
        t->f32 = v;
    } else if (t->type == NJ_ONNX_INT64 || t->type == NJ_ONNX_INT32) {
        size_t width = t->type == NJ_ONNX_INT64 ? 8 : 4;
        if (bytes != width * t->n) return -1;
        int64_t *v = nj_pool_alloc(pool, t->n, 8);
        if (!v) return -1;
        for (size_t i = 0; i < t->n; i++) {
            int32_t four;
            if (width == 8)
                memcpy(&v[i], raw.at + 8 * i, 8);
            else {
                memcpy(&four, raw.at + 4 * i, 4);
                v[i] = four;
            }
        }
        t->i64 = v;
    }
    return 0;
}

static int tensor_shape(nj_onnx_tensor *t, wire w, nj_pool *pool)
{
    const int64_t *dim = NULL;
    size_t rank = 0;
    if (read_ints(w, 1, pool, &dim, &rank) || rank > NJ_ONNX_RANK) return -1;
    t->rank = (uint32_t)rank;
    t->n = 1;
    for (size_t i = 0; i < rank; i++) {
        if (dim[i] < 0 || dim[i] > INT32_MAX || (dim[i] && t->n > ((size_t)1 << 40) / (size_t)dim[i]))
            return -1;
        t->dim[i] = dim[i];
        t->n *= (size_t)dim[i];
    }
    return 0;
}

static int read_tensor(nj_onnx_tensor *t, wire w, nj_pool *pool)
{
    *t = (nj_onnx_tensor){ .name = "" };
    if (tensor_shape(t, w, pool)) return -1;
    field f;
    int rc;
    wire raw = { NULL, NULL }, all = w;
    while ((rc = next_field(&w, &f)) > 0) {
        if (f.number == 2 && f.type == 0)
            t->type = (int32_t)f.value;
        else if (f.number == 8 && read_text(&f, pool, &t->name))
            return -1;
        else if (f.number == 9 && f.type == 2)
            raw = f.bytes;
        else if (f.number == 13 || (f.number == 14 && f.value))
            return -1; /* data in another file */
    }
    if (rc < 0) return -1;
    if (raw.at) return raw_values(t, raw, pool);
    size_t n = 0;
    if (t->type == NJ_ONNX_FLOAT && (read_floats(all, 4, pool, &t->f32, &n) || n != t->n)) return -1;
    if (t->type == NJ_ONNX_INT64 && (read_ints(all, 7, pool, &t->i64, &n) || n != t->n)) return -1;
    if (t->type == NJ_ONNX_INT32 && (read_ints(all, 5, pool, &t->i64, &n) || n != t->n)) return -1;
    return 0;
}

enum { FLOATS = 7, INTS = 8, STRINGS = 9, KNOWN_TEXTS = 4 };

/* The lists of an attribute while it is read. */
typedef struct lists {
    float *floats;
    int64_t *ints;
    nj_onnx_text *strings;
    size_t n_floats, n_ints, n_strings; /* there is room for */
    nj_onnx_text known[KNOWN_TEXTS];    /* the last different texts: */
    uint32_t n_known;                   /* the kinds of a forest's nodes are thousands of few words */
} lists;

/* One pass for all lists: a forest's are its whole file, and each number is a field of its own. */
static int count_lists(wire w, lists *l)
{
    field f;
    int rc;
    while ((rc = next_field(&w, &f)) > 0)
        if (f.number == INTS) {
            if (f.type != 2) l->n_ints++;
            for (const uint8_t *p = f.bytes.at; f.type == 2 && p < f.bytes.end; p++) l->n_ints += !(*p & 128);
        } else if (f.number == FLOATS)
            l->n_floats += f.type == 2 ? (size_t)(f.bytes.end - f.bytes.at) / 4 : 1;
        else
            l->n_strings += f.number == STRINGS;
    return rc;
}

static int make_lists(lists *l, nj_pool *pool)
{
    if (l->n_floats && !(l->floats = nj_pool_alloc(pool, l->n_floats, sizeof *l->floats))) return -1;
    if (l->n_ints && !(l->ints = nj_pool_alloc(pool, l->n_ints, sizeof *l->ints))) return -1;
    return l->n_strings && !(l->strings = nj_pool_alloc(pool, l->n_strings, sizeof *l->strings)) ? -1 : 0;
}

static int put_string(const field *f, nj_pool *pool, lists *l, size_t *k)
{
    if (f->type != 2) return -1;
    nj_onnx_text *t = &l->strings[(*k)++];
    t->n = (uint32_t)(f->bytes.end - f->bytes.at);
    for (uint32_t i = 0; i < KNOWN_TEXTS && i < l->n_known; i++)
        if (l->known[i].n == t->n && !memcmp(l->known[i].s, f->bytes.at, t->n)) {
            t->s = l->known[i].s;
            return 0;
        }
    if (read_text(f, pool, &t->s)) return -1;
    l->known[l->n_known++ % KNOWN_TEXTS] = *t;
    return 0;
}

static int put_single(nj_onnx_attribute *a, const field *f, nj_pool *pool)
{
    if (f->number == 1) return read_text(f, pool, &a->name);
    if (f->number == 2 && f->type == 5) {
        uint32_t bits = (uint32_t)f->value;
        memcpy(&a->f, &bits, 4);
    }
    if (f->number == 3 && f->type == 0) a->i = (int64_t)f->value;
    if (f->number == 4) {
        if (read_text(f, pool, &a->s.s)) return -1;
        a->s.n = (uint32_t)(f->bytes.end - f->bytes.at);
    }
    if (f->number == 5) {
        nj_onnx_tensor *t = nj_pool_alloc(pool, 1, sizeof *t);
        if (!t || f->type != 2 || read_tensor(t, f->bytes, pool)) return -1;
        a->t = t;
    }
    return 0;
}

static int read_attribute(nj_onnx_attribute *a, wire w, nj_pool *pool)
{
    lists l = { 0 };
    *a = (nj_onnx_attribute){ .name = "" };
    if (count_lists(w, &l) < 0 || make_lists(&l, pool)) return -1;
    field f;
    while (next_field(&w, &f) > 0) {
        int rc = f.number == INTS      ? put_ints(&f, l.ints, &a->n_ints, l.n_ints)
                 : f.number == FLOATS  ? put_floats(&f, l.floats, &a->n_floats, l.n_floats)
                 : f.number == STRINGS ? put_string(&f, pool, &l, &a->n_strings)
                                       : put_single(a, &f, pool);
        if (rc) return -1;
    }
    a->ints = l.ints;
    a->floats = l.floats;
    a->strings = l.strings;
    return 0;
}

static int read_node(nj_onnx_node *node, wire w, nj_pool *pool)
{
    uint32_t count[32];
    *node = (nj_onnx_node){ .op = "", .domain = "", .name = "" };
    if (count_fields(w, count) < 0) return -1;
    nj_onnx_attribute *a = nj_pool_alloc(pool, count[5], sizeof *a);
    node->input = nj_pool_alloc(pool, count[1], sizeof *node->input);
    node->output = nj_pool_alloc(pool, count[2], sizeof *node->output);
    if (!a || !node->input || !node->output) return -1;
    node->attribute = a;
    field f;
    while (next_field(&w, &f) > 0) {
        int rc = 0;
        switch (f.number) {
        case 1: rc = read_text(&f, pool, &node->input[node->n_inputs++]); break;
        case 2: rc = read_text(&f, pool, &node->output[node->n_outputs++]); break;
        case 3: rc = read_text(&f, pool, &node->name); break;
        case 4: rc = read_text(&f, pool, &node->op); break;
        case 5: rc = f.type != 2 || read_attribute(&a[node->n_attributes++], f.bytes, pool); break;
        case 7: rc = read_text(&f, pool, &node->domain); break;
        }
        if (rc) return -1;
    }
    return 0;
}

static int read_shape(nj_onnx_value *v, wire w)
{
    field f, d;
    int rc;
    v->rank = 0;
    while ((rc = next_field(&w, &f)) > 0) {
        if (f.number != 1 || f.type != 2) continue;
        if (v->rank == NJ_ONNX_RANK) return -1;
        int64_t dim = -1;
        while (next_field(&f.bytes, &d) > 0)
            if (d.number == 1 && d.type == 0) dim = (int64_t)d.value;
        v->dim[v->rank++] = dim >= 0 && dim <= INT32_MAX ? dim : -1;
    }
    return rc;
}

static int read_value(nj_onnx_value *v, wire w, nj_pool *pool)
{
    field f, type, tensor;
    int rc;
    *v = (nj_onnx_value){ .name = "", .rank = -1 };
    while ((rc = next_field(&w, &f)) > 0) {
        if (f.number == 1 && read_text(&f, pool, &v->name)) return -1;
        if (f.number != 2 || f.type != 2) continue;
        while ((rc = next_field(&f.bytes, &type)) > 0) {
            if (type.number != 1 || type.type != 2) continue;
            while ((rc = next_field(&type.bytes, &tensor)) > 0) {
                if (tensor.number == 1 && tensor.type == 0) v->type = (int32_t)tensor.value;
                if (tensor.number == 2 && tensor.type == 2 && read_shape(v, tensor.bytes)) return -1;
            }
            if (rc < 0) return -1;
        }
        if (rc < 0) return -1;
    }
    return rc;
}

static int is_initializer(const nj_onnx *onnx, const char *name)
{
    for (uint32_t i = 0; i < onnx->n_initializers; i++)
        if (!strcmp(onnx->initializer[i].name, name)) return 1;
    return 0;
}

static int read_graph(nj_onnx *onnx, wire w, nj_pool *pool, nj_model_error *err)
{
    uint32_t count[32];
    if (count_fields(w, count) < 0) return nj_model_fail(err, "the ONNX graph is cut off or broken");
    if (count[1] > MAX_NODES || count[5] > MAX_NODES || count[11] > MAX_NODES || count[12] > MAX_NODES)
        return nj_model_fail(err, "the ONNX graph has more than %d nodes, initializers, inputs or outputs",
                             MAX_NODES);
    nj_onnx_node *node = nj_pool_alloc(pool, count[1], sizeof *node);
    nj_onnx_tensor *init = nj_pool_alloc(pool, count[5], sizeof *init);
    nj_onnx_value *in = nj_pool_alloc(pool, count[11], sizeof *in),
                  *out = nj_pool_alloc(pool, count[12], sizeof *out);
    if (!node || !init || !in || !out) return nj_model_fail(err, "out of memory");
    onnx->node = node;
    onnx->initializer = init;
    onnx->input = in;
    onnx->output = out;
    wire again = w;
    field f;
    while (next_field(&w, &f) > 0) { /* initializers first: inputs that repeat them do not count */
        if (f.number != 5) continue;
        if (f.type != 2 || read_tensor(&init[onnx->n_initializers++], f.bytes, pool))
            return nj_model_fail(err, "ONNX initializer %u is broken, or its data lie in another file",
                                 onnx->n_initializers - 1);
    }
    for (w = again; next_field(&w, &f) > 0;) {
        if (f.number == 15) return nj_model_fail(err, "sparse ONNX initializers are not supported");
        if ((f.number != 1 && f.number != 11 && f.number != 12)) continue;
        if (f.type != 2) return nj_model_fail(err, "the ONNX graph is broken");
        if (f.number == 1 && read_node(&node[onnx->n_nodes++], f.bytes, pool))
            return nj_model_fail(err, "ONNX node %u is broken", onnx->n_nodes - 1);
        if (f.number == 11) {
            if (read_value(&in[onnx->n_inputs], f.bytes, pool))
                return nj_model_fail(err, "an ONNX input is broken");
            onnx->n_inputs += !is_initializer(onnx, in[onnx->n_inputs].name);
        }
        if (f.number == 12 && read_value(&out[onnx->n_outputs++], f.bytes, pool))
            return nj_model_fail(err, "an ONNX output is broken");
    }
    return 0;
}

static void read_opset(nj_onnx *onnx, wire w)
{
    field f;
    int64_t version = 0;
    int main_domain = 1;
    while (next_field(&w, &f) > 0) {
        if (f.number == 1 && f.type == 2) main_domain = f.bytes.at == f.bytes.end;
        if (f.number == 2 && f.type == 0) version = (int64_t)f.value;
    }
    if (main_domain) onnx->opset = version;
}

int nj_onnx_read(nj_onnx *onnx, nj_pool *pool, const void *bytes, size_t n, nj_model_error *err)
{
    *onnx = (nj_onnx){ 0 };
    wire w = { bytes, (const uint8_t *)bytes + n };
    field f;
    int rc, graphs = 0;
    while ((rc = next_field(&w, &f)) > 0) {
        if (f.number == 8 && f.type == 2) read_opset(onnx, f.bytes);
        if (f.number != 7 || f.type != 2) continue;
        if (graphs++) return nj_model_fail(err, "not an ONNX model: two graphs");
        if (read_graph(onnx, f.bytes, pool, err)) return -1;
    }
    if (rc < 0) return nj_model_fail(err, "not an ONNX model, or cut off");
    if (!graphs || !onnx->n_nodes || !onnx->n_inputs || !onnx->n_outputs)
        return nj_model_fail(err, "not an ONNX model: no graph with nodes, inputs and outputs");
    return 0;
}

/* --- attributes --- */

const char *nj_onnx_type_name(int32_t type)
{
    static const char *const name[] = { "no tensor (a list of maps?)",
                                        "float32",
                                        "uint8",
                                        "int8",
                                        "uint16",
                                        "int16",
                                        "int32",
                                        "int64",
                                        "text",
                                        "boolean",
                                        "float16",
                                        "float64",
                                        "uint32",
                                        "uint64" };
    return type >= 0 && type < (int32_t)(sizeof name / sizeof *name) ? name[type] : "of another type";
}

const nj_onnx_attribute *nj_onnx_find(const nj_onnx_node *node, const char *name)
{
    for (uint32_t i = 0; i < node->n_attributes; i++)
        if (!strcmp(node->attribute[i].name, name)) return &node->attribute[i];
    return NULL;
}

int64_t nj_onnx_int(const nj_onnx_node *node, const char *name, int64_t otherwise)
{
    const nj_onnx_attribute *a = nj_onnx_find(node, name);
    return a ? a->i : otherwise;
}

float nj_onnx_float(const nj_onnx_node *node, const char *name, float otherwise)
{
    const nj_onnx_attribute *a = nj_onnx_find(node, name);
    return a ? a->f : otherwise;
}

int nj_onnx_is(const nj_onnx_node *node, const char *name, const char *text, const char *otherwise)
{
    const nj_onnx_attribute *a = nj_onnx_find(node, name);
    return !strcmp(a && a->s.s ? a->s.s : otherwise, text);
}
