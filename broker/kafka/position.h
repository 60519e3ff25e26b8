/* position.h - where a Kafka source begins and where it ends: `from=` and `until=` of its query. */
#ifndef NJ_KAFKA_POSITION_H
#define NJ_KAFKA_POSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/error.h"

/* The first and the last: what the group has committed, else the earliest, or what comes from now on. */
typedef enum {
    NJ_FROM_COMMITTED,
    NJ_FROM_EARLIEST,
    NJ_FROM_LATEST,
    NJ_FROM_OFFSET,
    NJ_FROM_TIME,
    NJ_FROM_COMMITTED_LATEST
} nj_from;
typedef enum { NJ_UNTIL_STOPPED, NJ_UNTIL_IDLE, NJ_UNTIL_END, NJ_UNTIL_COUNT } nj_until;

typedef struct nj_positions {
    char *group; /* owned by the query's text; NULL = not given */
    nj_from from;
    int64_t from_value; /* an offset, or ms since 1970 */
    char words[160];    /* what a number or a date was taken for; "" = nothing to say */
    bool guessed;       /* by its size */
    nj_until until;
    int64_t until_value; /* ms, or a number of messages */
} nj_positions;

/* Reads
 * "group=G&from=committed,latest|committed|earliest|latest|OFFSET|offset:N|TIME&until=idle:SECONDS|end|
 * count:N"; the text is cut up and must outlive the result. NULL text: all defaults: without `from`, a
 * live stream begins by committed,latest, and one with an end by committed. A number is an offset
 * or a time by its size (when.h), and one that may be either is refused. -1 names what is wrong. */
int nj_positions_parse(nj_positions *positions, char *query, nj_error *err);

#endif
