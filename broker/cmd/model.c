/* model.c - `nightjar model check DIR`, `info DIR`, `new FILE.onnx`: what a model folder contains, whether
 * its golden rows pass, and a folder for an ONNX file of any origin. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../graph/services.h"
#include "../model/new.h"
#include "command.h"
#include "nightjar/model.h"

enum { MAX_FILES = 64 };

/* Files of one model, read whole. */
typedef struct files {
    char *bytes[MAX_FILES];
    int n;
} files;

__attribute__((format(printf, 3, 4))) static void log_line(void *opaque, int level, const char *format, ...)
{
    (void)opaque;
    (void)level;
    va_list ap;
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
}

static int read_data(void *opaque, const char *name, const void **bytes, size_t *n)
{
    files *f = opaque;
    FILE *file = f->n < MAX_FILES ? fopen(name, "rb") : NULL;
    if (!file) return NJ_ENO_CATALOG;
    size_t cap = 1 << 16, got;
    char *p = malloc(cap);
    *n = 0;
    while (p && (got = fread(p + *n, 1, cap - *n, file)) > 0) {
        *n += got;
        if (*n < cap) continue;
        char *more = realloc(p, cap *= 2);
        if (!more) free(p);
        p = more;
    }
    int bad = !p || ferror(file);
    fclose(file);
    if (bad) {
        free(p);
        return NJ_ECONF;
    }
    f->bytes[f->n++] = p;
    *bytes = p;
    return NJ_OK;
}

static void print_ports(const char *what, const nj_model_port *port, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        printf("  %-8s %s %s [", what, port[i].name, port[i].type == NJ_I32 ? "int32" : "float32");
        for (uint32_t k = 0; k < port[i].rank; k++) {
            if (port[i].dim[k] == NJ_MODEL_ROWS)
                printf("N");
            else if (port[i].dim[k] == NJ_MODEL_STEPS)
                printf(", T");
            else
                printf(", %d", port[i].dim[k]);
        }
        printf("]\n");
    }
}

static void print_info(const nj_model_service *service, const nj_model *model)
{
    const nj_model_info *info = service->info(model);
    const char *key[] = { "task", "missing", "thresholds" };
    print_ports("input", info->input, info->n_inputs);
    print_ports("output", info->output, info->n_outputs);
    for (uint32_t k = 0; k < info->n_features; k++)
        printf("%s%s", k == 0 ? "  features " : k % 8 ? ", " : ",\n           ", info->feature[k]);
    if (info->n_features) printf("\n");
    for (size_t k = 0; k < sizeof key / sizeof *key; k++) {
        const char *text = service->text(model, key[k]);
        if (text) printf("  %-8s %s\n", key[k], text);
    }
    printf("  licence  %s\n", info->licence[0] ? info->licence : "not given");
}

static int one_model(const nj_model_service *service, const char *folder, const nj_model_options *options,
                     int with_info)
{
    files f = { 0 };
    nj_host host = { .abi = NJ_ABI, .size = sizeof host, .opaque = &f, .log = log_line, .data = read_data };
    nj_model *model = service->open(&host, folder, options);
    if (model) {
        const nj_model_info *info = service->info(model);
        printf("%s: %s %s, sha256 %s, engine %s on %s, %u golden rows within %.3g (%.3g accepted)\n", folder,
               info->name, info->version, info->sha256, info->engine, info->device, info->golden_rows,
               info->golden_difference, info->golden_tolerance);
        if (with_info) print_info(service, model);
    }
    service->close(model);
    for (int i = 0; i < f.n; i++) free(f.bytes[i]);
    return model ? 0 : 1;
}

typedef struct options {
    const char *engine, *device, *sum;
} options;

#define AT(x) offsetof(options, x)

static const nj_option table[] = {
    { "engine", 0, NJ_OPTION_WORD, AT(engine), "E", "auto", .words = "auto|builtin|ort",
      .doc = "auto, builtin, or ort (ONNX Runtime: make onnxruntime, or ORT_DYLIB_PATH)" },
    { "device", 0, NJ_OPTION_WORD, AT(device), "D", "cpu", .words = "cpu|cuda", .doc = "cpu or cuda" },
    { "sum", 0, NJ_OPTION_WORD, AT(sum), "S", "double", .words = "double|float",
      .doc = "of forests: double, or float as ONNX Runtime" },
    { 0 }
};

static int check(int argc, char **argv);
static int info(int argc, char **argv);
static int model(int argc, char **argv);

static const nj_meaning folders[] = { { "DIR", "a folder with a model, as data/models/README.md says" },
                                      { 0 } };
static const nj_meaning exits[] = { { "1", "a model is refused, or wrong usage" }, { 0 } };
static const nj_command check_command = {
    .name = "check",
    .usage = "check DIR...",
    .summary = "hash and golden rows; ends with 1 if any model is refused",
    .main = check,
    .options = { table },
    .arguments = folders,
    .exits = exits,
};
static const nj_command info_command = {
    .name = "info",
    .usage = "info DIR...",
    .summary = "inputs, features, outputs, origin",
    .main = info,
    .options = { table },
    .arguments = folders,
    .exits = exits,
};

#define NEW(x) offsetof(nj_new_model, x)

static const nj_option new_table[] = {
    { "output", 'o', NJ_OPTION_TEXT, NEW(folder), "DIR", .doc = "the folder, which must not be there yet" },
    { "features", 0, NJ_OPTION_TEXT, NEW(features), "LIST",
      .doc = "names or expressions of the features, in the model's order, with commas" },
    { "golden", 0, NJ_OPTION_TEXT, NEW(golden), "ROWS.csv",
      .doc = "a header, then rows: the features, then what the framework's own predict says; without it this "
             "program's own answers to made rows" },
    { "name", 0, NJ_OPTION_TEXT, NEW(name), "NAME", .doc = "the model's name; without it the folder's" },
    { "licence", 0, NJ_OPTION_TEXT, NEW(licence), "TEXT", .doc = "of the model" },
    { "tolerance", 0, NJ_OPTION_F64, NEW(tolerance), "X", "1e-6", 1e-300, 1e300,
      .doc = "largest accepted difference from a golden output" },
    { 0 }
};

static int new_model(int argc, char **argv);

static const nj_command new_command = {
    .name = "new",
    .usage = "new FILE.onnx -o DIR --features LIST [--golden ROWS.csv]",
    .summary = "a folder with manifest and golden rows for an ONNX file",
    .main = new_model,
    .options = { new_table },
    .arguments =
        (const nj_meaning[]){ { "FILE.onnx", "a model of one input [N, features], or of stamps" }, { 0 } },
    .exits =
        (const nj_meaning[]){ { "1", "wrong usage, or the file or its rows do not fit; no folder is left" },
                              { 0 } },
};

NJ_COMMAND(model) = {
    .name = "model",
    .usage = "model check|info DIR..., model new FILE.onnx",
    .summary = "golden rows, hash and contents of model folders; new ones for ONNX files",
    .main = model,
    .verbs = (const nj_command *const[]){ &check_command, &info_command, &new_command, NULL },
};

static int all(const nj_command *c, int argc, char **argv, int with_info)
{
    const nj_model_service *service = nj_service(NJ_MODEL_SERVICE, 1);
    nj_words words;
    nj_error err;
    options o = { 0 };
    int bad = nj_command_parse(c, &o, argc, argv, &words, &err);
    if (!bad && !words.n) bad = nj_fail(&err, "expected DIR...");
    if (bad) return fprintf(stderr, "nightjar model %s: %s\n", c->name, err.text), NJ_EXIT_USAGE;
    nj_model_options how = { .size = sizeof how, .engine = o.engine, .device = o.device, .sum = o.sum };
    for (int i = 0; i < words.n; i++) bad |= one_model(service, words.item[i], &how, with_info);
    return bad ? NJ_EXIT_USAGE : NJ_EXIT_OK;
}

static int check(int argc, char **argv)
{
    return all(&check_command, argc, argv, 0);
}

static int info(int argc, char **argv)
{
    return all(&info_command, argc, argv, 1);
}

static int model(int argc, char **argv)
{
    return nj_command_verb(&nj_command_model, argc, argv);
}

static int new_model(int argc, char **argv)
{
    const nj_model_service *service = nj_service(NJ_MODEL_SERVICE, 1);
    const nj_model_options how = { .size = sizeof how };
    files f = { 0 };
    const nj_host host = {
        .abi = NJ_ABI, .size = sizeof host, .opaque = &f, .log = log_line, .data = read_data
    };
    nj_new_model o = { 0 };
    nj_words words;
    nj_error err = { "" };
    bool own_rows = false;
    int bad = nj_command_parse(&new_command, &o, argc, argv, &words, &err);
    if (!bad && (words.n != 1 || !o.folder)) bad = nj_fail(&err, "expected FILE.onnx and -o DIR");
    if (!bad) bad = nj_model_new(&o, words.item[0], service, &host, &own_rows, &err);
    for (int i = 0; i < f.n; i++) free(f.bytes[i]);
    if (!bad && one_model(service, o.folder, &how, 1)) {
        nj_model_new_remove(o.folder);
        bad = nj_fail(&err, "%s: it is refused, so no folder is left", o.folder);
    }
    if (bad) return fprintf(stderr, "nightjar model new: %s\n", err.text), NJ_EXIT_USAGE;
    if (own_rows)
        fprintf(stderr, "note: the golden rows are this program's own answers: they show that it stays the "
                        "same, not that it is right; --golden has those of the framework\n");
    printf("[module.NAME]\nkind = model\nmodel = %s\n", o.folder);
    return NJ_EXIT_OK;
}
