/* format.h - numbers as people read them, alike in tables, messages and pages. Each writes into text and
 * returns it; what is not finite is "-". */
#ifndef NJ_BASE_FORMAT_H
#define NJ_BASE_FORMAT_H

#include <stdint.h>

/* Three digits and a unit: "12.3 us". */
const char *nj_format_duration(char text[24], double ns);
/* "12.3 µs": for pages; a terminal may lack the letter. */
const char *nj_format_duration_micro(char text[24], double ns);
/* Three digits and a power of a thousand: "54.9k"; "7" stays as it is. */
const char *nj_format_si(char text[24], double value);
/* The same with its zeros, so that a column of rates lines up: "54.9k", "7.00". */
const char *nj_format_rate(char text[24], double per_s);
/* A cost in us: "12.30"; "<0.01". */
const char *nj_format_us(char text[24], double us);
/* A part of a whole, 0 .. 1: "47.7 %". */
const char *nj_format_share(char text[24], double share);
/* Two digits, for what is estimated: "0.012"; "<.001". */
const char *nj_format_small(char text[24], double value);
/* Two digits without a suffix, for what is modelled: "12", "1.2", "0.12"; "0" for what is not above 0. */
const char *nj_format_two(char text[24], double value);
/* A count: "12,345,678". */
const char *nj_format_grouped(char text[32], uint64_t value);
/* The value itself to two digits: an estimate pretends no more. */
double nj_two_digits(double value);

#endif
