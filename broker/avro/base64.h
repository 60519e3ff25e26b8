/* base64.h - stamps in JSON are texts of base64 (RFC 4648, both alphabets). */
#ifndef NJ_AVRO_BASE64_H
#define NJ_AVRO_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that the text stands for, if it is one. */
size_t nj_base64_size(const char *text, size_t n);
/* Writes them. Line ends within the text are skipped, '=' at its end may be left out. False: it is none. */
bool nj_base64_read(const char *text, size_t n, uint8_t *to);

#endif
