/* when.h - times as they are written in `from=`. */
#ifndef NJ_KAFKA_WHEN_H
#define NJ_KAFKA_WHEN_H

#include <stdint.h>

/* A date, a blank or T, a clock with a fraction, a zone: 2026-01-31, 2026-01-31T20:00:00.5+01:00,
 * 20260131T200000Z, 2026-01-31 20:00. Without a zone it is UTC.
 * ms since 1970; -1: it is none, or there is no such day. */
int nj_when_date(const char *text, int64_t *ms);
/* A number since 1970, whose size says the unit: returns the unit's name and ms.
 * NULL: no time from 2001-09-09 to 2100. */
const char *nj_when_number(const char *text, int64_t *ms);
/* "2026-01-31T20:00:00.500Z" */
const char *nj_when_text(int64_t ms, char text[32]);

#endif
