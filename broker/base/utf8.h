/* utf8.h - text as its readers take it: what is no UTF-8 is written as \xNN, so that nothing is lost and
 * nothing stops a reader. */
#ifndef NJ_BASE_UTF8_H
#define NJ_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"

/* A NUL of a packet's text while the text is in memory, where NUL is the end:
 * the long form that UTF-8 forbids. */
#define NJ_UTF8_NUL "\xc0\x80"

/* Length of the valid UTF-8 sequence at p (1-4), or 0. Never looks behind a NUL. */
size_t nj_utf8_length(const char *p);
/* Is all of it UTF-8? */
bool nj_utf8_is(const char *text);
/* Adds \xNN for what stands at p and is no UTF-8; returns how many bytes that are:
 * 2 for a NUL of a packet, else 1. */
size_t nj_utf8_escape_one(nj_buffer *out, const char *p);
/* The same for a terminal: what would steer it, too. */
void nj_utf8_show(nj_buffer *out, const char *text);
/* Adds the text, each byte that is no UTF-8 as \xNN, a NUL of the packet as \x00. */
void nj_utf8_escape(nj_buffer *out, const char *text);

#endif
