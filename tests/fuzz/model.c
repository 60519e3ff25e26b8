/* model.c - libFuzzer entry for models: the first byte chooses a toy model's folder, the rest is its
 * model.onnx; the manifest's hash is made to fit, so that reader, checks and engines see the bytes. Run from
 * the top of the source tree. */
#include <openssl/sha.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modules/kit/model/service.h"
#include "nightjar/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const toys[] = { "toy_forest", "toy_braai", "toy_acai", "toy_snn" };
enum { TOYS = 4, FILES = 3 };
static const char *const files[FILES] = { "manifest.json", "golden.csv", "golden.bin" };

typedef struct input {
    const uint8_t *onnx;
    size_t n;
    int toy;
} input;

static char *kept[TOYS][FILES];
static size_t kept_n[TOYS][FILES];

static void log_nothing(void *opaque, int level, const char *format, ...)
{
    (void)opaque, (void)level, (void)format;
}

static void keep(int toy, int file)
{
    char path[256];
    snprintf(path, sizeof path, "data/models/%s/%s", toys[toy], files[file]);
    FILE *f = fopen(path, "rb");
    if (!f) return;
    fseek(f, 0, SEEK_END);
    kept_n[toy][file] = (size_t)ftell(f);
    rewind(f);
    kept[toy][file] = malloc(kept_n[toy][file] + 1);
    if (fread(kept[toy][file], 1, kept_n[toy][file], f) != kept_n[toy][file]) abort();
    kept[toy][file][kept_n[toy][file]] = 0;
    fclose(f);
}

static int give(void *opaque, const char *name, const void **bytes, size_t *n)
{
    const input *in = opaque;
    const char *leaf = strrchr(name, '/') + 1;
    *bytes = in->onnx;
    *n = in->n;
    if (!strcmp(leaf, "model.onnx")) return NJ_OK;
    for (int k = 0; k < FILES; k++)
        if (!strcmp(leaf, files[k]) && kept[in->toy][k]) {
            *bytes = kept[in->toy][k];
            *n = kept_n[in->toy][k];
            return NJ_OK;
        }
    return NJ_ECONF;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!kept[0][0])
        for (int t = 0; t < TOYS; t++)
            for (int k = 0; k < FILES; k++) keep(t, k);
    if (!kept[0][0]) abort(); /* not at the top of the source tree */
    if (size < 2) return 0;
    input in = { data + 1, size - 1, data[0] % TOYS };
    unsigned char digest[32];
    char *sha = strstr(kept[in.toy][0], "\"sha256\": \"") + 11, hex[65];
    SHA256(in.onnx, in.n, digest);
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    memcpy(sha, hex, 64);
    nj_host host = { .abi = NJ_ABI, .size = sizeof host, .opaque = &in, .log = log_nothing, .data = give };
    const nj_model_service *service = nj_model_service_find(1);
    service->close(service->open(
        &host, toys[in.toy], &(nj_model_options){ .size = sizeof(nj_model_options), .engine = "builtin" }));
    return 0;
}
