/* model.c - `nightjar model check DIR` and `info DIR`: what a model folder contains, and whether its golden
 * rows pass. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/option.h"
#include "../graph/services.h"
#include "command.h"
#include "nightjar/model.h"

static const char help[] =
    "  check DIR...     hash and golden rows; ends with 1 if any model is refused\n"
    "  info DIR...      inputs, features, outputs, origin\n"
    "  --engine E       auto (default), builtin, or ort (ONNX Runtime: make onnxruntime, or ORT_DYLIB_PATH)\n"
    "  --device D       cpu (default) or cuda\n"
    "  --sum S          of forests: double (default) or float, as ONNX Runtime";

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
    printf("  licence  %s\n", info->licence[0] ? info->licence : "not said");
}

static int one_model(const nj_model_service *service, const char *folder, const nj_model_options *options, int with_info)
{
    files f = { 0 };
    nj_host host = { .abi = NJ_ABI, .size = sizeof host, .opaque = &f, .log = log_line, .data = read_data };
    nj_model *model = service->open(&host, folder, options);
    if (model) {
        const nj_model_info *info = service->info(model);
        printf("%s: %s %s, sha256 %s, engine %s on %s, %u golden rows within %.3g (%.3g accepted)\n", folder, info->name,
               info->version, info->sha256, info->engine, info->device, info->golden_rows, info->golden_difference,
               info->golden_tolerance);
        if (with_info) print_info(service, model);
    }
    service->close(model);
    for (int i = 0; i < f.n; i++) free(f.bytes[i]);
    return model ? 0 : 1;
}

static int usage(const char *why)
{
    fprintf(stderr, "nightjar model: %s; usage: nightjar model check|info DIR...\n", why);
    return NJ_EXIT_USAGE;
}

static int run(int argc, char **argv)
{
    const nj_model_service *service = nj_service(NJ_MODEL_SERVICE, 1);
    nj_model_options o = { .size = sizeof o };
    if (argc < 3) return usage("check or info, and a folder");
    int with_info = !strcmp(argv[1], "info"), bad = 0, n = 0;
    static const char *const verbs[] = { "check", "info", NULL }, *const known[] = { "--engine=", "--device=", "--sum=", NULL };
    nj_error err;
    if (!with_info && strcmp(argv[1], "check")) {
        nj_word_wrong("command", argv[1], verbs, &err);
        return usage(err.text);
    }
    for (int i = 2; i < argc; i++) {
        const char **value = !strcmp(argv[i], "--engine")   ? &o.engine
                             : !strcmp(argv[i], "--device") ? &o.device
                             : !strcmp(argv[i], "--sum")    ? &o.sum
                                                            : NULL;
        if (argv[i][0] == '-' && (!value || i + 1 == argc)) {
            nj_option_wrong(argv[i], known, &err);
            return usage(err.text);
        }
        if (value) *value = argv[++i];
    }
    for (int i = 2; i < argc; i++) {
        if (argv[i][0] == '-')
            i++;
        else
            bad |= one_model(service, argv[i], &o, with_info), n++;
    }
    return n == 0 ? usage("no folder") : bad ? NJ_EXIT_USAGE : NJ_EXIT_OK;
}

NJ_COMMAND(model) = { .name = "model",
                      .usage = "model check|info DIR...",
                      .summary = "golden rows, hash and contents of model folders",
                      .help = help,
                      .main = run };
