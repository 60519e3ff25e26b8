/* log.h - messages for people, on stderr, one line each. Thread-safe. */
#ifndef NJ_BASE_LOG_H
#define NJ_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NJ_LOG_ERROR = 0, NJ_LOG_WARN = 1, NJ_LOG_INFO = 2, NJ_LOG_DEBUG = 3 };

/* Messages above this level are dropped; default NJ_LOG_INFO. Set once, before threads start. */
void nj_log_level(int level);
__attribute__((format(printf, 2, 3))) void nj_log(int level, const char *format, ...);

/* The text as messages show it, NUL-terminated: what is no UTF-8, or would steer a terminal, is \xNN. Its
 * bytes. */
size_t nj_log_plain(char *to, size_t room, const char *text);
/* Each line begins with the time (UTC): for logs that are kept. Set once, before threads start. */
void nj_log_stamps(bool stamps);
/* "2026-01-31T23:59:59.123Z ", or nothing when there are none. Its bytes. */
size_t nj_log_stamp(char *to, size_t room);

/* What one call site has said in the present minute; zero-initialised (a static of the call site). */
typedef struct nj_log_limit {
    int64_t since_ns;
    uint32_t said, kept_back; /* kept_back: also of minutes before, until it was reported */
    bool busy;
} nj_log_limit;

/* As nj_log, whatever the level is: for a line that was asked for. */
__attribute__((format(printf, 2, 3))) void nj_log_line(int level, const char *format, ...);

/* As nj_log, at most `most` times a minute for one call site, so that what goes on for months is still
 * reported. The last line of a minute says that more are kept back, the next one of a later minute how many
 * were. */
__attribute__((format(printf, 4, 5))) void nj_log_limited(nj_log_limit *limit, uint32_t most, int level,
                                                          const char *format, ...);

/* Says the error and ends the program with exit code 1:
 * for commands that have nothing to hand back or to account for. */
_Noreturn __attribute__((format(printf, 1, 2))) void nj_give_up(const char *format, ...);

#endif
