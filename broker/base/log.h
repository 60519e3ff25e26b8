/* log.h - messages for people, on stderr, one line each. Thread-safe. */
#ifndef NJ_BASE_LOG_H
#define NJ_BASE_LOG_H

enum { NJ_LOG_ERROR = 0, NJ_LOG_WARN = 1, NJ_LOG_INFO = 2, NJ_LOG_DEBUG = 3 };

/* Messages above this level are dropped; default NJ_LOG_INFO. Set once, before threads start. */
void nj_log_level(int level);
__attribute__((format(printf, 2, 3))) void nj_log(int level, const char *format, ...);

/* As nj_log, at most `limit` times for one call site; the last one says that more are silent.
 * `counter` is a static int of the call site, starting at 0. */
__attribute__((format(printf, 4, 5))) void nj_log_limited(int *counter, int limit, int level,
                                                          const char *format, ...);

/* Says the error and ends the program with exit code 1:
 * for commands that have nothing to hand back or to account for. */
_Noreturn __attribute__((format(printf, 1, 2))) void nj_give_up(const char *format, ...);

#endif
