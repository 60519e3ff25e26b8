/* tls.c - a client made with a broken certificate takes the stream down, so the files are read before it. */
#include "tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *const files[] = { "ssl.ca.location", "ssl.certificate.location", "ssl.key.location" };
enum { CA, CERTIFICATE, KEY, FILES };

static uint64_t mix(uint64_t h, uint64_t x)
{
    return (h ^ x) * UINT64_C(1099511628211) ^ h >> 29;
}

uint64_t nj_tls_state(nj_settings *settings)
{
    uint64_t h = 0;
    for (int i = 0; i < FILES; i++) {
        const char *path = nj_settings_get(settings, "kafka", files[i]);
        struct stat st;
        if (!path) continue;
        h = mix(h + 1, (uint64_t)i);
        if (stat(path, &st)) continue;
        h = mix(mix(mix(h, (uint64_t)st.st_ino), (uint64_t)st.st_size), (uint64_t)st.st_mtim.tv_sec);
        h = mix(h, (uint64_t)st.st_mtim.tv_nsec);
    }
    return h;
}

static int fails(const char *name, const char *path, const char *what, nj_error *err)
{
    char why[200] = "";
    unsigned long code = ERR_peek_last_error();
    if (code) ERR_error_string_n(code, why, sizeof why);
    ERR_clear_error();
    return nj_fail(err, "%s = %s: %s%s%s%s", name, path, what, why[0] ? " (" : "", why, why[0] ? ")" : "");
}

static int password(char *to, int size, int writes, void *text)
{
    (void)writes;
    if (!text) return 0; /* never from the terminal */
    snprintf(to, (size_t)size, "%s", (const char *)text);
    return (int)strlen(to);
}

/* A file may be a folder of certificates: librdkafka looks into it by itself. */
static int check(nj_settings *settings, int which, X509 **certificate, EVP_PKEY **key, nj_error *err)
{
    const char *name = files[which], *path = nj_settings_get(settings, "kafka", name);
    struct stat st;
    if (!path || (which == CA && !strcmp(path, "probe"))) return 0;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return 0;
    FILE *f = fopen(path, "re");
    if (!f) return nj_fail(err, "%s = %s: cannot be read", name, path);
    int rc = 0;
    if (which == KEY) {
        const char *secret = nj_settings_get(settings, "kafka", "ssl.key.password");
        *key = PEM_read_PrivateKey(f, NULL, password, (void *)secret);
        if (!*key) rc = fails(name, path, "no private key, or not with this ssl.key.password", err);
    } else {
        *certificate = PEM_read_X509(f, NULL, password, NULL);
        if (!*certificate) rc = fails(name, path, "no certificate", err);
    }
    fclose(f);
    return rc;
}

int nj_tls_check(nj_settings *settings, nj_error *err)
{
    X509 *ca = NULL, *certificate = NULL;
    EVP_PKEY *key = NULL;
    int rc = check(settings, CA, &ca, &key, err);
    if (rc == 0) rc = check(settings, CERTIFICATE, &certificate, &key, err);
    if (rc == 0) rc = check(settings, KEY, &certificate, &key, err);
    if (rc == 0 && certificate && key && X509_check_private_key(certificate, key) != 1)
        rc = fails(files[KEY], nj_settings_get(settings, "kafka", files[KEY]),
                   "is not the key of ssl.certificate.location", err);
    X509_free(ca);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return rc;
}
