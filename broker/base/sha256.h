/* sha256.h - provenance: the hash of what was read. (OpenSSL's; it uses the CPU's own instructions.) */
#ifndef NJ_BASE_SHA256_H
#define NJ_BASE_SHA256_H

#include <stddef.h>

/* 64 lower-case hex digits and a NUL. */
void nj_sha256(const void *bytes, size_t n, char hex[65]);

#endif
