/* folder.c - a model is opened only if its manifest, hash and golden rows agree; this reads and checks
 * them. */
#include "folder.h"

#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* --- the manifest --- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static int get_file(nj_model *model, const nj_host *host, const char *name, const void **bytes, size_t *n,
                    char path[1024], bool *absent, nj_model_error *err)
{
    if (strchr(name, '/') || !name[0])
        return nj_model_fail(err, "%s: the manifest names a file outside the folder: '%.80s'",
                             model->info.folder, name);
    if (snprintf(path, 1024, "%s/%s", model->info.folder, name) >= 1024)
        return nj_model_fail(err, "%s: path too long", model->info.folder);
    int rc = host->data(host->opaque, path, bytes, n);
    if (rc == NJ_OK) return 0;
    if (absent) *absent = rc == NJ_ENO_CATALOG;
    return nj_model_fail(err, "%s %s", path, rc == NJ_ENO_CATALOG ? "is not there" : "cannot be read");
}

static int read_manifest(nj_model *model, const nj_host *host, nj_model_error *err)
{
    const void *bytes = NULL;
    size_t n = 0;
    char path[1024];
    json_error_t why;
    bool absent = false; /* no folder of that name; what a folder lacks besides is a fault of the model */
    if (get_file(model, host, "manifest.json", &bytes, &n, path, &absent, err)) {
        if (absent) err->status = NJ_ENO_MODEL;
        return -1;
    }
    model->manifest_bytes = bytes;
    model->n_manifest = n;
    model->manifest = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, &why);
    if (!model->manifest) return nj_model_fail(err, "%s:%d: %s", path, why.line, why.text);
    if (!json_is_object(model->manifest)) return nj_model_fail(err, "%s: not an object", path);
    model->info.name = text_of(model->manifest, "name");
    model->info.version = text_of(model->manifest, "version");
    model->info.licence = text_of(model->manifest, "licence");
    return 0;
}

static int read_features(nj_model *model, nj_model_error *err)
{
    const json_t *list = json_object_get(model->manifest, "features");
    if (!list || json_is_null(list)) return 0;
    size_t n = json_array_size(list);
    const char **name = nj_pool_alloc(&model->pool, n + 1, sizeof *name);
    if (!name) return nj_model_fail(err, "out of memory");
    for (size_t i = 0; i < n; i++) {
        name[i] = json_string_value(json_array_get(list, i));
        if (!name[i])
            return nj_model_fail(err, "%s/manifest.json: features[%zu] is no text", model->info.folder, i);
    }
    model->info.feature = name;
    model->info.n_features = (uint32_t)n;
    return 0;
}

static int read_dim(const json_t *value, uint32_t axis, int32_t *dim)
{
    if (axis == 0)
        *dim = NJ_MODEL_ROWS; /* whatever its name: the first axis is the batch */
    else if (json_is_string(value))
        *dim = NJ_MODEL_STEPS;
    else if (json_is_integer(value) && json_integer_value(value) > 0 && json_integer_value(value) <= 1 << 20)
        *dim = (int32_t)json_integer_value(value);
    else
        return -1;
    return 0;
}

static int read_port(nj_model *model, const json_t *item, nj_model_port *port, nj_model_error *err)
{
    const char *dtype = text_of(item, "dtype");
    const json_t *shape = json_object_get(item, "shape");
    *port = (nj_model_port){ .name = text_of(item, "name"),
                             .rank = (uint32_t)json_array_size(shape),
                             .row_elements = 1 };
    port->type = !strcmp(dtype, "int32") ? NJ_I32 : NJ_F32;
    if (!port->name[0] || (strcmp(dtype, "float32") && strcmp(dtype, "int32")) || port->rank < 1 ||
        port->rank > NJ_MODEL_RANK)
        return nj_model_fail(err,
                             "%s/manifest.json: input or output '%s' (dtype %.20s) needs a name, dtype "
                             "float32 or int32 and a shape of 1 to %d axes; no others are fed, as a 64-bit "
                             "integer would be rounded",
                             model->info.folder, port->name, dtype[0] ? dtype : "not given", NJ_MODEL_RANK);
    uint64_t elements = 1;
    for (uint32_t k = 0; k < port->rank; k++) {
        if (read_dim(json_array_get(shape, k), k, &port->dim[k]))
            return nj_model_fail(err, "%s/manifest.json: %s: shape[%u]", model->info.folder, port->name, k);
        if (port->dim[k] == NJ_MODEL_STEPS && (port->has_steps || k != 1))
            return nj_model_fail(err, "%s/manifest.json: %s: only axis 1 can be free", model->info.folder,
                                 port->name);
        if (port->dim[k] == NJ_MODEL_STEPS)
            port->has_steps = 1;
        else if (k > 0)
            elements *= (uint64_t)port->dim[k];
        if (elements > 1u << 28)
            return nj_model_fail(err, "%s/manifest.json: %s is too large", model->info.folder, port->name);
    }
    port->row_elements = (uint32_t)elements;
    return 0;
}

static int read_ports(nj_model *model, const char *key, const nj_model_port **out, uint32_t *n_out,
                      nj_model_error *err)
{
    const json_t *list = json_object_get(model->manifest, key);
    size_t n = json_array_size(list);
    if (n < 1 || n > 16)
        return nj_model_fail(err, "%s/manifest.json: `%s` must list 1 to 16 tensors", model->info.folder,
                             key);
    nj_model_port *port = nj_pool_alloc(&model->pool, n, sizeof *port);
    if (!port) return nj_model_fail(err, "out of memory");
    for (size_t i = 0; i < n; i++)
        if (read_port(model, json_array_get(list, i), &port[i], err)) return -1;
    *out = port;
    *n_out = (uint32_t)n;
    return 0;
}

/* --- manifest against model --- */

static const nj_onnx_value *find_value(const nj_onnx_value *v, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(v[i].name, name)) return &v[i];
    return NULL;
}

static int check_input(const nj_model *model, const nj_model_port *p, nj_model_error *err)
{
    const nj_onnx_value *v = find_value(model->onnx.input, model->onnx.n_inputs, p->name);
    const char *folder = model->info.folder;
    if (!v) return nj_model_fail(err, "%s: model.onnx has no input '%s', the manifest has", folder, p->name);
    if (v->type != (p->type == NJ_I32 ? NJ_ONNX_INT32 : NJ_ONNX_FLOAT))
        return nj_model_fail(err, "%s: input '%s' is %s in model.onnx, %s in the manifest%s", folder, p->name,
                             nj_onnx_type_name(v->type), p->type == NJ_I32 ? "int32" : "float32",
                             v->type == NJ_ONNX_FLOAT || v->type == NJ_ONNX_INT32
                                 ? ""
                                 : " (only float32 and int32 are fed: convert the model with such an input)");
    if (v->rank < 0) return 0;
    int same = v->rank == (int32_t)p->rank;
    for (uint32_t k = 1; same && k < p->rank; k++)
        if (p->dim[k] > 0 && v->dim[k] > 0 && p->dim[k] != v->dim[k]) same = 0;
    return same ? 0
                : nj_model_fail(err, "%s: input '%s': the manifest's shape is not that of model.onnx", folder,
                                p->name);
}

static int check_ports(const nj_model *model, nj_model_error *err)
{
    const nj_model_info *info = &model->info;
    for (uint32_t i = 0; i < info->n_inputs; i++)
        if (check_input(model, &info->input[i], err)) return -1;
    if (info->n_inputs != model->onnx.n_inputs)
        return nj_model_fail(err, "%s: the manifest has %u inputs, model.onnx %u", info->folder,
                             info->n_inputs, model->onnx.n_inputs);
    for (uint32_t i = 0; i < info->n_outputs; i++) {
        if (!find_value(model->onnx.output, model->onnx.n_outputs, info->output[i].name))
            return nj_model_fail(err, "%s: model.onnx has no output '%s', the manifest has", info->folder,
                                 info->output[i].name);
        if (info->output[i].has_steps || info->output[i].type != NJ_F32)
            return nj_model_fail(err, "%s: output '%s' must be float32 with fixed axes", info->folder,
                                 info->output[i].name);
    }
    for (uint32_t i = 0; i < info->n_inputs; i++)
        if (info->n_features && info->input[i].type == NJ_F32 && info->input[i].rank <= 3 &&
            info->n_features != (uint32_t)info->input[i].dim[info->input[i].rank - 1])
            return nj_model_fail(err, "%s/manifest.json: %u features, but input '%s' has %u", info->folder,
                                 info->n_features, info->input[i].name,
                                 (uint32_t)info->input[i].dim[info->input[i].rank - 1]);
    return 0;
}

/* --- the hash --- */

static int sha256_hex(const void *bytes, size_t n, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!EVP_Digest(bytes, n, digest, &len, EVP_sha256(), NULL) || len != 32) return -1;
    for (unsigned i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return 0;
}

static int read_model(nj_model *model, const nj_host *host, nj_model_error *err)
{
    const json_t *entry = json_object_get(model->manifest, "model");
    const char *file = text_of(entry, "file"), *expected = text_of(entry, "sha256");
    char path[1024], hex[65];
    if (get_file(model, host, file[0] ? file : "model.onnx", &model->bytes, &model->n_bytes, path, NULL, err))
        return -1;
    if (strlen(expected) != 64)
        return nj_model_fail(err, "%s/manifest.json: model.sha256 is not there", model->info.folder);
    if (sha256_hex(model->bytes, model->n_bytes, hex))
        return nj_model_fail(err, "%s: cannot compute its sha256", path);
    if (strcasecmp(hex, expected))
        return nj_model_fail(
            err, "%s: its sha256 is %.16s..., the manifest says %.16s...: cut off, changed or swapped", path,
            hex, expected);
    model->info.sha256 = nj_pool_text(&model->pool, hex, 64);
    nj_model_error why;
    if (nj_onnx_read(&model->onnx, &model->file, model->bytes, model->n_bytes, &why))
        return nj_model_fail(err, "%s: %.400s", path, why.text);
    return 0;
}

int nj_folder_read(nj_model *model, const nj_host *host, const char *folder, nj_model_error *err)
{
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/') n--;
    model->info.size = sizeof model->info;
    model->info.folder = nj_pool_text(&model->pool, folder, n);
    if (!model->info.folder) return nj_model_fail(err, "out of memory");
    if (read_manifest(model, host, err) || read_features(model, err) ||
        read_ports(model, "inputs", &model->info.input, &model->info.n_inputs, err) ||
        read_ports(model, "outputs", &model->info.output, &model->info.n_outputs, err) ||
        read_model(model, host, err) || check_ports(model, err))
        return -1;
    for (uint32_t i = 0; i < model->info.n_outputs; i++)
        model->info.width += model->info.output[i].row_elements;
    return 0;
}

/* --- golden rows --- */

/* Elements of all golden rows of one tensor; 0 = more than 2^28. */
static uint64_t golden_elements(const nj_golden *g, const nj_model_port *port)
{
    uint64_t n = (uint64_t)port->row_elements * g->n_rows, most = 1u << 28,
             steps = port->has_steps ? g->n_steps : 1;
    return n > most || n * steps > most ? 0 : n * steps;
}

static void *room(nj_golden *g, const nj_model_port *port)
{
    uint64_t n = golden_elements(g, port);
    return n ? nj_pool_alloc(&g->pool, n, 4) : NULL;
}

/* All inputs share one number of steps. */
static int take_steps(nj_golden *g, json_int_t steps)
{
    if (steps < 1 || steps > 1 << 20 || (g->n_steps && steps != g->n_steps)) return -1;
    g->n_steps = (uint32_t)steps;
    return 0;
}

static int golden_tensor(nj_model *model, nj_golden *g, const json_t *item, const char *bytes, size_t n,
                         const char *path, nj_model_error *err)
{
    const char *name = text_of(item, "name");
    const json_t *shape = json_object_get(item, "shape");
    const nj_model_port *port = NULL;
    uint32_t at = 0, output = 0;
    for (uint32_t i = 0; i < model->info.n_inputs; i++)
        if (!strcmp(model->info.input[i].name, name)) port = &model->info.input[at = i];
    for (uint32_t i = 0, column = 0; !port && i < model->info.n_outputs;
         column += model->info.output[i++].row_elements)
        if (!strcmp(model->info.output[i].name, name)) {
            port = &model->info.output[i];
            at = column;
            output = 1;
        }
    if (!port) return nj_model_fail(err, "%s: '%s' is no input or output", path, name);
    if (port->has_steps && take_steps(g, json_integer_value(json_array_get(shape, 1))))
        return nj_model_fail(err, "%s: '%s': the second axis must be 1 to 2^20 and the same for every input",
                             path, name);
    int64_t offset = json_integer_value(json_object_get(item, "offset"));
    uint64_t bytes_wanted = 4 * golden_elements(g, port);
    if (offset < 0 || (uint64_t)offset > n || bytes_wanted < 4 || bytes_wanted > n - (uint64_t)offset)
        return nj_model_fail(err, "%s: '%s' does not lie in the file", path, name);
    void *data = room(g, port);
    if (!data) return nj_model_fail(err, "out of memory");
    memcpy(data, bytes + offset, bytes_wanted);
    if (!output) g->input[at] = data;
    for (uint32_t r = 0; output && r < g->n_rows; r++)
        for (uint32_t k = 0; k < port->row_elements; k++)
            g->output[(size_t)r * model->info.width + at + k] =
                ((float *)data)[(size_t)r * port->row_elements + k];
    return 0;
}

static int golden_bin(nj_model *model, nj_golden *g, const json_t *entry, const char *bytes, size_t n,
                      const char *path, nj_model_error *err)
{
    const json_t *tensors = json_object_get(entry, "tensors");
    if (json_array_size(tensors) != model->info.n_inputs + model->info.n_outputs)
        return nj_model_fail(err, "%s: the manifest's golden.tensors must name each input and output once",
                             path);
    for (size_t i = 0; i < json_array_size(tensors); i++)
        if (golden_tensor(model, g, json_array_get(tensors, i), bytes, n, path, err)) return -1;
    for (uint32_t i = 0; i < model->info.n_inputs; i++)
        if (!g->input[i])
            return nj_model_fail(err, "%s: input '%s' is missing", path, model->info.input[i].name);
    for (size_t i = 0; i < json_array_size(tensors); i++)
        for (size_t k = 0; k < i; k++) /* as many as there are, none twice: so each is there */
            if (!strcmp(text_of(json_array_get(tensors, i), "name"),
                        text_of(json_array_get(tensors, k), "name")))
                return nj_model_fail(err, "%s: '%s' is named twice, so another is missing", path,
                                     text_of(json_array_get(tensors, i), "name"));
    return 0;
}

/* The next cell of a CSV line; quotes may hold commas.
 * Returns the start, *end behind it, *next after the comma. */
static const char *cell(const char *at, const char *line_end, const char **end, const char **next)
{
    int quoted = 0;
    const char *p = at;
    for (; p < line_end && (quoted || *p != ','); p++) quoted ^= *p == '"';
    *end = p;
    *next = p < line_end ? p + 1 : p;
    return at;
}

static int golden_row(nj_model *model, nj_golden *g, uint32_t row, const char *at, const char *line_end)
{
    uint32_t n_in = model->info.input[0].row_elements, width = model->info.width, column = 0;
    const char *end, *next;
    for (; at < line_end && column < 2 + n_in + width; column++, at = next) {
        char text[64], *stop;
        cell(at, line_end, &end, &next);
        if (column < 2) continue; /* row, origin */
        size_t len = (size_t)(end - at);
        if (len == 0 || len >= sizeof text) return -1;
        memcpy(text, at, len);
        text[len] = 0;
        if (column < 2 + n_in)
            ((float *)g->input[0])[(size_t)row * n_in + column - 2] = strtof(text, &stop);
        else
            g->output[(size_t)row * width + column - 2 - n_in] = strtod(text, &stop);
        if (*stop && *stop != '\r') return -1;
    }
    return column == 2 + n_in + width && at >= line_end ? 0 : -1;
}

static int golden_csv(nj_model *model, nj_golden *g, const char *bytes, size_t n, const char *path,
                      nj_model_error *err)
{
    if (model->info.n_inputs != 1 || model->info.input[0].type != NJ_F32 || model->info.input[0].has_steps)
        return nj_model_fail(err, "%s: a table of golden rows needs one float32 input without steps", path);
    if (!(g->input[0] = room(g, &model->info.input[0]))) return nj_model_fail(err, "out of memory");
    const char *at = bytes, *end = bytes + n;
    uint32_t row = 0;
    for (int header = 1; at < end; header = 0) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end) line_end = end;
        if (!header && (row == g->n_rows || golden_row(model, g, row++, at, line_end)))
            return nj_model_fail(err, "%s: row %u is not as the manifest says", path, row);
        at = line_end + 1;
    }
    return row == g->n_rows ? 0
                            : nj_model_fail(err, "%s: %u rows, the manifest says %u", path, row, g->n_rows);
}

int nj_folder_golden_find(nj_model *model, const nj_host *host, nj_golden *g, nj_model_error *err)
{
    const json_t *entry = json_object_get(model->manifest, "golden");
    int64_t rows = json_integer_value(json_object_get(entry, "rows"));
    *g = (nj_golden){ .n_rows = (uint32_t)rows,
                      .tolerance = json_number_value(json_object_get(entry, "tolerance_abs")) };
    if (rows < 1 || rows > 65536 || !(g->tolerance > 0))
        return nj_model_fail(
            err, "%s/manifest.json: golden.rows (1 to 65536) and golden.tolerance_abs (> 0) are needed",
            model->info.folder);
    return get_file(model, host, text_of(entry, "file"), &g->bytes, &g->n_bytes, g->path, NULL, err);
}

int nj_folder_golden_read(nj_model *model, nj_golden *g, nj_model_error *err)
{
    const json_t *entry = json_object_get(model->manifest, "golden");
    g->input = nj_pool_alloc(&g->pool, model->info.n_inputs, sizeof *g->input);
    g->output = nj_pool_alloc(&g->pool, (size_t)g->n_rows * model->info.width, sizeof *g->output);
    if (!g->input || !g->output) return nj_model_fail(err, "out of memory");
    size_t len = strlen(g->path);
    return len > 4 && !strcmp(g->path + len - 4, ".csv")
               ? golden_csv(model, g, g->bytes, g->n_bytes, g->path, err)
               : golden_bin(model, g, entry, g->bytes, g->n_bytes, g->path, err);
}
