/* model_files.c - benchmarks open models without a run, so they need a small host that reads files from a
 * folder. */
#include "model_files.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((format(printf, 3, 4))) static void keep_log(void *opaque, int level, const char *format, ...)
{
    nj_model_files *f = opaque;
    (void)level;
    va_list ap;
    va_start(ap, format);
    vsnprintf(f->log, sizeof f->log, format, ap);
    va_end(ap);
}

static int read_data(void *opaque, const char *name, const void **bytes, size_t *n)
{
    nj_model_files *f = opaque;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    FILE *file = f->n < 256 ? fopen(path, "rb") : NULL;
    if (!file) return NJ_ECONF;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *p = size >= 0 ? malloc((size_t)size + 1) : NULL;
    int good = p && fread(p, 1, (size_t)size, file) == (size_t)size;
    fclose(file);
    if (!good) {
        free(p);
        return NJ_ECONF;
    }
    p[size] = 0;
    f->bytes[f->n++] = p;
    *bytes = p;
    *n = (size_t)size;
    return NJ_OK;
}

void nj_model_files_open(nj_model_files *files, const char *folder)
{
    *files = (nj_model_files){ .folder = folder };
    files->host = (nj_host){
        .abi = NJ_ABI, .size = sizeof(nj_host), .opaque = files, .log = keep_log, .data = read_data
    };
}

void nj_model_files_close(nj_model_files *files)
{
    for (int i = 0; i < files->n; i++) free(files->bytes[i]);
    files->n = 0;
}

const char *nj_model_files_real(void)
{
    static char path[4096];
    const char *shared = getenv("NIGHTJAR_SHARED");
    snprintf(path, sizeof path, "%s/real/models/onnx", shared && *shared ? shared : "../shared");
    return access(path, R_OK) ? NULL : path;
}

static double uniform(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 11) * 0x1p-53;
}

/* Behind the second comma that is not quoted: row and origin come first. */
static const char *first_number(const char *line)
{
    int quoted = 0, commas = 0;
    while (*line && *line != '\n' && commas < 2) {
        quoted ^= *line == '"';
        commas += *line++ == ',' && !quoted;
    }
    return line;
}

float *nj_model_files_rows(nj_model_files *files, const char *model, uint32_t n_features, uint32_t n)
{
    enum { MOST = 64 };
    char name[512];
    const void *bytes;
    size_t size;
    uint64_t seed = 20261121;
    snprintf(name, sizeof name, "%s/golden.csv", model);
    if (files->host.data(files, name, &bytes, &size) != NJ_OK) return NULL;
    float *golden = calloc((size_t)MOST * n_features, sizeof *golden),
          *x = calloc((size_t)n * n_features, sizeof *x);
    uint32_t n_golden = 0;
    for (const char *line = strchr(bytes, '\n'); golden && line && line[1] && n_golden < MOST;
         line = strchr(line + 1, '\n'), n_golden++) {
        char *p = (char *)(uintptr_t)first_number(line + 1);
        for (uint32_t k = 0; k < n_features; k++, p += *p == ',')
            golden[n_golden * n_features + k] = strtof(p, &p);
    }
    for (size_t i = 0; x && golden && i < (size_t)n * n_features; i++) {
        float g = golden[(size_t)(uniform(&seed) * n_golden) * n_features + i % n_features];
        x[i] = uniform(&seed) < 0.5 ? g : g * (float)(0.5 + uniform(&seed));
    }
    free(golden);
    return x;
}
