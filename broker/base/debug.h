/* debug.h - debug lines by what they are about: `-d decode,kafka` asks for some, -v for all. */
#ifndef NJ_BASE_DEBUG_H
#define NJ_BASE_DEBUG_H

#include "log.h"
#include "option.h"

enum {
    NJ_DEBUG_SOURCE = 1u << 0,
    NJ_DEBUG_KAFKA = 1u << 1,
    NJ_DEBUG_DECODE = 1u << 2,
    NJ_DEBUG_MODULE = 1u << 3,
    NJ_DEBUG_GRAPH = 1u << 4,
    NJ_DEBUG_FLOW = 1u << 5,
    NJ_DEBUG_QUERY = 1u << 6,
    NJ_DEBUG_SINK = 1u << 7
};
_Static_assert(NJ_DEBUG_SINK == 1u << NJ_ROOM_SINK, "the contexts are the first rooms, in their order");
extern unsigned nj_debug_contexts; /* which are on; changed only before threads start */

/* A line of one context. When it is off, this costs the test of a bit, and no argument is evaluated. */
#define nj_debug(context, ...)                                                                               \
    do {                                                                                                     \
        if (__builtin_expect(nj_debug_contexts & (context), 0)) nj_debug_line(context, __VA_ARGS__);         \
    } while (0)
__attribute__((format(printf, 2, 3))) void nj_debug_line(unsigned context, const char *format, ...);

/* Turns the contexts of a list on ("decode,kafka", "all"). -1 with err, and the nearest name, when one is not
 * known. "help" prints them all on stdout and ends the program with exit code 0. */
int nj_debug_take(const char *list, nj_error *err);

/* Levels of messages: "warning,kafka=error,sink=debug"; a level alone is that of all rooms, debug also turns
 * the room's context on, and another one off. -1 with err. */
int nj_log_levels_take(const char *list, nj_error *err);

/* -d LIST, for the commands that can have debug lines. */
extern const nj_option nj_options_of_debug[];

#endif
