/* new.c - an ONNX file of any origin lacks what a model folder has: which inputs are fed with what, and rows
 * whose answers are known. */
#include "new.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../modules/kit/model/onnx.h"
#include "../base/buffer.h"
#include "../base/file.h"
#include "../base/json.h"
#include "../base/sha256.h"
#include "nightjar/csv.h"

enum { MOST_BYTES = 1 << 30, MADE_ROWS = 64, MADE_STEPS = 8, MOST_FEATURES = 512, MOST_PORTS = 16 };

/* An input or output as the manifest has it. */
typedef struct port {
    const char *name, *dtype;
    int64_t dim[NJ_ONNX_RANK]; /* [0]: rows; -1 at [1]: steps */
    uint32_t rank;
    size_t elements; /* of a row; a sequence has MADE_STEPS steps */
    const nj_onnx_attribute *labels, *numbers;
} port;

typedef struct made {
    const nj_new_model *o;
    nj_pool pool;
    nj_onnx onnx;
    const char *bytes, *name;
    size_t n_bytes;
    port input[MOST_PORTS], output[MOST_PORTS];
    uint32_t n_inputs, n_outputs, n_features;
    const char *feature[MOST_FEATURES];
    nj_buffer golden; /* of a table, or of tensors */
    bool is_table;
    uint32_t n_rows;
} made;

/* A list of maps, as ZipMap gives it, is read as the tensor that went into it. */
static bool of_zipmap(const made *m, const char *name, port *p)
{
    for (uint32_t i = 0; i < m->onnx.n_nodes; i++) {
        const nj_onnx_node *n = &m->onnx.node[i];
        if (strcmp(n->op, "ZipMap") || n->n_outputs < 1 || strcmp(n->output[0], name)) continue;
        p->labels = nj_onnx_find(n, "classlabels_strings");
        p->numbers = nj_onnx_find(n, "classlabels_int64s");
        p->elements = p->labels ? p->labels->n_strings : p->numbers ? p->numbers->n_ints : 0;
        p->rank = 2;
        p->dim[1] = (int64_t)p->elements;
        return p->elements > 0;
    }
    return false;
}

static int read_input(made *m, const nj_onnx_value *v, nj_error *err)
{
    port *p = &m->input[m->n_inputs];
    *p = (port){ .name = v->name, .dtype = v->type == NJ_ONNX_INT32 ? "int32" : "float32", .elements = 1 };
    if (m->n_inputs == MOST_PORTS) return nj_fail(err, "more than %d inputs", MOST_PORTS);
    if ((v->type != NJ_ONNX_FLOAT && v->type != NJ_ONNX_INT32) || v->rank < 1)
        return nj_fail(err, "input %s is %s, and float32 and int32 tensors are fed: export it with %s",
                       v->name, nj_onnx_type_name(v->type),
                       v->type == NJ_ONNX_INT64 ? "int32 inputs" : "float32 inputs");
    p->rank = (uint32_t)v->rank;
    for (uint32_t k = 1; k < p->rank; k++) {
        int64_t dim = v->dim[k];
        if (dim < 0 && k == 1 && p->rank == 2 && m->n_features)
            dim = m->n_features; /* the file leaves it open */
        if (dim == 0 || (dim < 0 && k != 1))
            return nj_fail(err, "input %s: axis %u has no length in the file", v->name, k);
        p->dim[k] = dim;
        p->elements *= dim < 0 ? MADE_STEPS : (size_t)dim;
    }
    if (p->rank == 2 && !strcmp(p->dtype, "float32") && (int64_t)m->n_features != p->dim[1])
        return nj_fail(err, "input %s has %lld features, --features names %u", v->name, (long long)p->dim[1],
                       m->n_features);
    m->n_inputs++;
    return 0;
}

/* Integers (labels) are left out. A width that the file leaves open is that of the golden rows. */
static int read_output(made *m, const nj_onnx_value *v, uint32_t width, nj_error *err)
{
    port *p = &m->output[m->n_outputs];
    *p = (port){ .name = v->name, .dtype = "float32", .elements = 1 };
    if (m->n_outputs == MOST_PORTS) return nj_fail(err, "more than %d outputs", MOST_PORTS);
    if (of_zipmap(m, v->name, p)) return m->n_outputs++, 0;
    if (v->type != NJ_ONNX_FLOAT || v->rank < 1) return 0;
    p->rank = (uint32_t)v->rank;
    for (uint32_t k = 1; k < p->rank; k++) {
        p->dim[k] = v->dim[k] < 1 && k == 1 ? width : v->dim[k];
        if (p->dim[k] < 1)
            return nj_fail(err, "output %s: axis %u has no length in the file; --golden tells it", v->name,
                           k);
        p->elements *= (size_t)p->dim[k];
    }
    m->n_outputs++;
    return 0;
}

static int read_features(made *m, nj_error *err)
{
    for (const char *p = m->o->features, *end; p && *p; p = *end ? end + 1 : end) {
        int depth = 0;
        for (end = p; *end && (depth || *end != ','); end++) depth += *end == '(' ? 1 : *end == ')' ? -1 : 0;
        size_t n = (size_t)(end - p);
        while (n && *p == ' ') p++, n--;
        while (n && p[n - 1] == ' ') n--;
        if (!n) return nj_fail(err, "--features: a name is empty");
        if (m->n_features == MOST_FEATURES) return nj_fail(err, "--features: more than %d", MOST_FEATURES);
        m->feature[m->n_features] = nj_pool_text(&m->pool, p, n);
        if (!m->feature[m->n_features++]) return nj_fail(err, "out of memory");
    }
    return 0;
}

/* Is this the header, and are the features in the order of --features? */
static int look_at_header(const made *m, const nj_csv *csv, const char *path, nj_error *err)
{
    for (uint32_t k = 0; k < csv->n; k++) {
        char *end;
        strtod(csv->cell[k], &end);
        if (end != csv->cell[k] && !*end && strpbrk(csv->cell[k], ".eE"))
            return nj_fail(err, "%s: line 1 has the number %s: it is to name the columns", path,
                           csv->cell[k]);
    }
    for (uint32_t k = 0; k < m->n_features; k++)
        for (uint32_t j = 0; j < m->n_features; j++)
            if (strcmp(csv->cell[k], m->feature[k]) && !strcmp(csv->cell[k], m->feature[j]))
                return nj_fail(err,
                               "%s: column %u is %s, which is feature %u of --features: the order is another",
                               path, k + 1, m->feature[j], j + 1);
    return 0;
}

/* The table's rows, as golden.csv has them; width: how many outputs they have. */
static int read_rows(made *m, uint32_t *width, nj_error *err)
{
    const char *path = m->o->golden;
    size_t size;
    char *text = path ? nj_file_read(path, MOST_BYTES, &size) : NULL;
    if (!path) return 0;
    if (!text) return nj_fail(err, "%s: cannot be read", path);
    nj_csv csv = { .at = text, .end = text + size };
    uint32_t n = 0;
    int more, rc = 0;
    for (; rc == 0 && (more = nj_csv_row(&csv)) == 1;) {
        if (!n && csv.n <= m->n_features)
            rc = nj_fail(err, "%s: %u columns; %u features come first, then the outputs", path, csv.n,
                         m->n_features);
        else if (!n)
            rc = look_at_header(m, &csv, path, err);
        if (n && csv.n != n)
            rc = nj_fail(err, "%s: line %u has %u cells, the header %u", path, csv.line, csv.n, n);
        nj_buffer_printf(&m->golden, n ? "%u,given" : "row,origin", m->n_rows);
        for (uint32_t k = 0; rc == 0 && k < csv.n; k++) {
            char *end;
            const char *cell = csv.cell[k];
            double v = *cell ? strtod(cell, &end) : NAN;
            if (n && *cell && *end)
                rc = nj_fail(err, "%s: line %u: '%.30s' is no number", path, csv.line, cell);
            if (n)
                nj_buffer_printf(&m->golden, k < m->n_features ? ",%.9g" : ",%.17g", v);
            else
                nj_buffer_printf(&m->golden, ",%s.%s", k < m->n_features ? "x" : "y", cell);
        }
        nj_buffer_printf(&m->golden, "\n");
        if (n) m->n_rows++;
        n = csv.n;
    }
    if (rc == 0 && more < 0) rc = nj_fail(err, "%s: line %u: not a CSV table", path, csv.line);
    if (rc == 0 && !m->n_rows) rc = nj_fail(err, "%s: no rows", path);
    *width = n - m->n_features;
    m->is_table = true;
    nj_csv_free(&csv);
    free(text);
    return rc;
}

static int read_onnx(made *m, uint32_t width, nj_error *err)
{
    nj_model_error why = { 0 };
    size_t outputs = 0;
    if (nj_onnx_read(&m->onnx, &m->pool, m->bytes, m->n_bytes, &why)) return nj_fail(err, "%s", why.text);
    for (uint32_t i = 0; i < m->onnx.n_inputs; i++)
        if (read_input(m, &m->onnx.input[i], err)) return -1;
    for (uint32_t i = 0; i < m->onnx.n_outputs; i++)
        if (read_output(m, &m->onnx.output[i], width, err)) return -1;
    if (!m->n_inputs || !m->n_outputs) return nj_fail(err, "it has no input, or no output of numbers");
    for (uint32_t i = 0; i < m->n_outputs; i++) outputs += m->output[i].elements;
    if (m->is_table && (m->n_inputs != 1 || m->input[0].rank != 2))
        return nj_fail(err, "--golden is for one input [N, features]; rows of stamps: write_tensors() of the "
                            "Python package nightjar_export");
    if (m->is_table && outputs != width)
        return nj_fail(err, "%s has %u outputs behind its features, the model %zu", m->o->golden, width,
                       outputs);
    return 0;
}

/* ---- its files ------------------------------------------------------------------------------- */

static void put_number_as_text(nj_json *j, int64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)v);
    nj_json_item(j, "%s", text);
}

static void put_ports(nj_json *j, const char *what, const port *p, uint32_t n)
{
    nj_json_open(j, what, '[');
    for (uint32_t i = 0; i < n; i++) {
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s dtype=%s", p[i].name, p[i].dtype);
        nj_json_open(j, "shape", '[');
        nj_json_item(j, "%s", "N");
        for (uint32_t k = 1; k < p[i].rank; k++)
            if (p[i].dim[k] < 0)
                nj_json_item(j, "%s", "T");
            else
                nj_json_item(j, "%lld", (long long)p[i].dim[k]);
        nj_json_close(j);
        if (p[i].labels || p[i].numbers) nj_json_open(j, "classes", '[');
        for (size_t k = 0; p[i].labels && k < p[i].labels->n_strings; k++)
            nj_json_item(j, "%s", p[i].labels->strings[k].s);
        for (size_t k = 0; !p[i].labels && p[i].numbers && k < p[i].numbers->n_ints; k++)
            put_number_as_text(j, p[i].numbers->ints[k]);
        if (p[i].labels || p[i].numbers) nj_json_close(j);
        nj_json_close(j);
    }
    nj_json_close(j);
}

/* Where each tensor of golden.bin lies: inputs, then outputs. */
static void put_tensors(nj_json *j, const made *m)
{
    size_t offset = 0;
    nj_json_open(j, "tensors", '[');
    for (uint32_t i = 0; i < m->n_inputs + m->n_outputs; i++) {
        const port *p = i < m->n_inputs ? &m->input[i] : &m->output[i - m->n_inputs];
        size_t bytes = 4 * p->elements * m->n_rows;
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s dtype=%s", p->name, p->dtype);
        nj_json_open(j, "shape", '[');
        nj_json_item(j, "%u", m->n_rows);
        for (uint32_t k = 1; k < p->rank; k++)
            nj_json_item(j, "%lld", (long long)(p->dim[k] < 0 ? MADE_STEPS : p->dim[k]));
        nj_json_close(j);
        nj_json_put(j, "offset=%zu bytes=%zu", offset, bytes);
        nj_json_close(j);
        offset += bytes;
    }
    nj_json_close(j);
}

static void put_manifest(const made *m, double tolerance, nj_buffer *out)
{
    char hash[65];
    nj_sha256(m->bytes, m->n_bytes, hash);
    nj_json j = nj_json_begin(out, '{');
    nj_json_put(&j, "name=%s version=%s licence=%s", m->name, "1", m->o->licence ? m->o->licence : "");
    put_ports(&j, "inputs", m->input, m->n_inputs);
    nj_json_open(&j, "features", '[');
    for (uint32_t k = 0; k < m->n_features; k++) nj_json_item(&j, "%s", m->feature[k]);
    nj_json_close(&j);
    put_ports(&j, "outputs", m->output, m->n_outputs);
    nj_json_open(&j, "model", '{');
    nj_json_put(&j, "file=%s sha256=%s bytes=%zu", "model.onnx", hash, m->n_bytes);
    nj_json_close(&j);
    nj_json_open(&j, "golden", '{');
    nj_json_put(&j, "file=%s origin=%s rows=%u tolerance_abs=%g", m->is_table ? "golden.csv" : "golden.bin",
                m->is_table ? "given" : "this program's own answers", m->n_rows, tolerance);
    if (!m->is_table) put_tensors(&j, m);
    nj_json_close(&j);
    nj_json_end(&j);
}

static int put_file(const char *folder, const char *name, const void *bytes, size_t n, nj_error *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    bool bad = !f || fwrite(bytes, 1, n, f) != n;
    if (f && fclose(f)) bad = true;
    return bad ? nj_fail(err, "%s: %s", path, strerror(errno)) : 0;
}

static int put_folder(const made *m, double tolerance, nj_error *err)
{
    nj_buffer manifest = { 0 };
    put_manifest(m, tolerance, &manifest);
    int rc = manifest.failed || m->golden.failed ? nj_fail(err, "out of memory") : 0;
    if (rc == 0) rc = put_file(m->o->folder, "model.onnx", m->bytes, m->n_bytes, err);
    if (rc == 0) rc = put_file(m->o->folder, "manifest.json", manifest.data, manifest.n, err);
    if (rc == 0)
        rc = put_file(m->o->folder, m->is_table ? "golden.csv" : "golden.bin", m->golden.data, m->golden.n,
                      err);
    nj_buffer_free(&manifest);
    return rc;
}

void nj_model_new_remove(const char *folder)
{
    static const char *const name[] = { "model.onnx", "manifest.json", "golden.csv", "golden.bin" };
    char path[4096];
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, name[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* ---- golden rows of this program ------------------------------------------------------------- */

/* Numbers about 0, as features and as pixels of a stamp whose norm is 1 are. */
static void make_rows(made *m)
{
    uint64_t h = 88172645463325252u;
    m->n_rows = MADE_ROWS;
    for (uint32_t i = 0; i < m->n_inputs; i++)
        for (size_t k = 0; k < m->input[i].elements * MADE_ROWS; k++) {
            h ^= h << 13, h ^= h >> 7, h ^= h << 17;
            float x = (float)((double)(h >> 11) / 9007199254740992.0 * 4 - 2);
            int32_t n = MADE_STEPS;
            if (!strcmp(m->input[i].dtype, "int32"))
                nj_buffer_add(&m->golden, &n, sizeof n);
            else
                nj_buffer_add(&m->golden, &x, sizeof x);
        }
}

/* The engine's answers to them, in place of the zeros with which the folder was opened. */
static int answer_rows(made *m, const nj_model_service *service, const nj_host *host, nj_error *err)
{
    const nj_model_options how = { .size = sizeof how, .unchecked = 1 };
    nj_model *model = service->open(host, m->o->folder, &how);
    const nj_model_info *info = model ? service->info(model) : NULL;
    const void *input[MOST_PORTS];
    size_t at = 0;
    for (uint32_t i = 0; i < m->n_inputs; i++) {
        input[i] = m->golden.data + at;
        at += 4 * m->input[i].elements * m->n_rows;
    }
    double *out = model ? calloc((size_t)m->n_rows * info->width + 1, sizeof *out) : NULL;
    bool steps = false;
    for (uint32_t i = 0; i < m->n_inputs; i++) steps |= m->input[i].rank > 1 && m->input[i].dim[1] < 0;
    nj_model_thread *thread = out ? service->thread_open(model, m->n_rows, steps ? MADE_STEPS : 0) : NULL;
    const nj_model_call call = { m->n_rows, steps ? MADE_STEPS : 0, input, out, 0 };
    int rc = thread ? service->predict(model, thread, &call) : NJ_ENOMEM;
    for (uint32_t i = 0, column = 0; rc == NJ_OK && i < m->n_outputs;
         column += (uint32_t)m->output[i++].elements)
        for (uint32_t r = 0; r < m->n_rows; r++)
            for (size_t k = 0; k < m->output[i].elements; k++, at += sizeof(float)) {
                const float v = (float)out[(size_t)r * info->width + column + k];
                memcpy(m->golden.data + at, &v, sizeof v);
            }
    if (rc != NJ_OK) nj_fail(err, model ? "the engine gave no answers (%d)" : "the engine refuses it", rc);
    service->thread_close(thread);
    service->close(model);
    free(out);
    return rc == NJ_OK ? 0 : -1;
}

static int put_own_rows(made *m, const nj_model_service *service, const nj_host *host, nj_error *err)
{
    make_rows(m);
    for (uint32_t i = 0; i < m->n_outputs; i++)
        for (size_t k = 0; k < m->output[i].elements * m->n_rows; k++)
            nj_buffer_add(&m->golden, (const char[4]){ 0 }, 4);
    return put_folder(m, m->o->tolerance, err) || answer_rows(m, service, host, err)
               ? -1
               : put_folder(m, m->o->tolerance, err);
}

int nj_model_new(const nj_new_model *o, const char *path, const nj_model_service *service,
                 const nj_host *host, bool *own_rows, nj_error *err)
{
    uint32_t width = 0;
    struct stat st;
    nj_error why;
    made *m = calloc(1, sizeof *m);
    if (!m) return nj_fail(err, "out of memory");
    const char *slash = strrchr(o->folder, '/');
    m->o = o;
    m->name = o->name ? o->name : slash && slash[1] ? slash + 1 : o->folder;
    m->bytes = nj_file_read(path, MOST_BYTES, &m->n_bytes);
    int rc = m->bytes ? 0 : nj_fail(err, "%s: cannot be read", path);
    if (rc == 0) rc = read_features(m, err);
    if (rc == 0) rc = read_rows(m, &width, err);
    if (rc == 0 && read_onnx(m, width, &why)) rc = nj_fail(err, "%s: %s", path, why.text);
    if (rc == 0 && stat(o->folder, &st) == 0) rc = nj_fail(err, "%s: is there already", o->folder);
    if (rc == 0 && mkdir(o->folder, 0777)) rc = nj_fail(err, "%s: %s", o->folder, strerror(errno));
    if (rc == 0) {
        *own_rows = !m->is_table;
        rc = m->is_table ? put_folder(m, o->tolerance, err) : put_own_rows(m, service, host, err);
        if (rc) nj_model_new_remove(o->folder);
    }
    free((char *)(uintptr_t)m->bytes);
    nj_buffer_free(&m->golden);
    nj_pool_free(&m->pool);
    free(m);
    return rc;
}
