/* sha256.c - reports record the hash of each file that a run read; this wraps OpenSSL's SHA-256. */
#include "sha256.h"

#include <openssl/evp.h>

void nj_sha256(const void *bytes, size_t n, char hex[65])
{
    static const char digit[] = "0123456789abcdef";
    unsigned char hash[EVP_MAX_MD_SIZE] = { 0 };
    EVP_Digest(bytes, n, hash, NULL, EVP_sha256(), NULL);
    for (int i = 0; i < 32; i++) {
        hex[2 * i] = digit[hash[i] >> 4];
        hex[2 * i + 1] = digit[hash[i] & 15];
    }
    hex[64] = 0;
}
