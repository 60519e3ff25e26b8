/* buffer.h - a growing byte buffer, and JSON text written into it. */
#ifndef NJ_BASE_BUFFER_H
#define NJ_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

typedef struct nj_buffer {
    char *data; /* always NUL-terminated once anything was added; owned */
    size_t n, cap;
    int failed; /* memory ran short: content is cut; checked once at the end */
} nj_buffer;    /* zero-initialised = empty */

/* Room for `more` bytes behind n; NULL when memory is short. */
char *nj_buffer_room(nj_buffer *b, size_t more);
void nj_buffer_add(nj_buffer *b, const void *bytes, size_t n);
void nj_buffer_text(nj_buffer *b, const char *text);
__attribute__((format(printf, 2, 3))) void nj_buffer_printf(nj_buffer *b, const char *format, ...);
void nj_buffer_free(nj_buffer *b);

/* A JSON string with its quotes; what is no UTF-8 is written as \xNN (base/utf8.h); NULL text is null. */
void nj_json_text(nj_buffer *b, const char *text);
/* Text as HTML and XML show it, in elements and in quoted attributes: no byte of it is markup. Control
 * characters become U+FFFD, what is no UTF-8 is written as \xNN; NULL is nothing. */
void nj_markup_text(nj_buffer *b, const char *text);
/* JSON for a script element: nothing in it can end the element. Same value. */
void nj_markup_json(nj_buffer *b, const char *json);
/* The shortest decimal text that reads back as the same number; NaN and infinities are null. */
void nj_json_f64(nj_buffer *b, double value);
void nj_json_f32(nj_buffer *b, float value);
/* The same for values of packets and catalogues, whose infinities stay: 1e999, -1e999. */
void nj_json_value_f64(nj_buffer *b, double value);
void nj_json_value_f32(nj_buffer *b, float value);
void nj_json_i64(nj_buffer *b, int64_t value);

/* The same digits into text[32], NUL-terminated ("nan", "inf" when not finite); returns their number. */
int nj_shortest_f64(char text[32], double value);
int nj_shortest_f32(char text[32], float value);

#endif
