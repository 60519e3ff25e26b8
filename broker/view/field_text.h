/* field_text.h - the fields of one packet as lines of text. */
#ifndef NJ_VIEW_FIELD_TEXT_H
#define NJ_VIEW_FIELD_TEXT_H

#include <jansson.h>

#include "draw.h"
#include "fields.h"

typedef struct nj_packet_text {
    const nj_packet_view *view;
    nj_batch *batch;    /* with the packet as its only row */
    const json_t *json; /* the packet: what has no column of its own is shown from it */
} nj_packet_text;

/* A line for each field, as wide as the terminal; records are indented, and those without an answer are one
 * line. */
void nj_packet_lines(const nj_packet_text *packet, nj_buffer *out, const nj_terminal *terminal);
/* A name in bold, what is said of it in grey. */
void nj_text_heading(nj_buffer *out, const nj_terminal *terminal, uint32_t depth, const char *name,
                     const char *rest);
/* In grey. What would move the cursor is made readable: a schema's words and a file's name are others'. */
void nj_text_dim(nj_buffer *out, const nj_terminal *terminal, const char *text);

#endif
