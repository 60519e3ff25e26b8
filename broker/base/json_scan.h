/* json_scan.h - where the objects of a text of JSON begin and end, without reading them: one object, several
 * behind each other (a line each), or a list of them. */
#ifndef NJ_BASE_JSON_SCAN_H
#define NJ_BASE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Does it look like JSON: behind blanks and a byte order mark, an object or a list? */
bool nj_json_begins(const uint8_t *bytes, size_t size);
/* The next object at or behind *at, which is moved behind it. What is none (up to the end of its line), and
 * an object without an end, are pieces, too. NULL: there is no more. */
const uint8_t *nj_json_piece(const uint8_t **at, const uint8_t *end, size_t *size);

#endif
