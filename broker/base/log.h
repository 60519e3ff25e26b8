/* log.h - messages for people, on stderr, one line each. Thread-safe. */
#ifndef NJ_BASE_LOG_H
#define NJ_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NJ_LOG_ERROR = 0, NJ_LOG_WARN = 1, NJ_LOG_INFO = 2, NJ_LOG_DEBUG = 3 };

/* Each message belongs to a room, by the folder of the file that says it: what it is about. */
typedef enum {
    NJ_ROOM_SOURCE,
    NJ_ROOM_KAFKA,
    NJ_ROOM_DECODE,
    NJ_ROOM_MODULE,
    NJ_ROOM_GRAPH,
    NJ_ROOM_FLOW,
    NJ_ROOM_QUERY,
    NJ_ROOM_SINK,
    NJ_ROOM_OTHER,
    NJ_ROOMS
} nj_room;
extern const char *const nj_room_name[NJ_ROOMS], *const nj_level_name[4];
nj_room nj_room_of(const char *file); /* "broker/avro/plan.c:12" */

/* Messages above this level are dropped; default NJ_LOG_INFO. Set before threads start. */
void nj_log_level(int level);
void nj_log_room_level(nj_room room, int level);
/* Is a message of this file said at this level? */
bool nj_log_wanted(const char *file, int level);

/* Where a message comes from, for nj_room_of() and for who counts kinds. */
#define NJ_LOG_LINE_2(line) #line
#define NJ_LOG_LINE_1(line) NJ_LOG_LINE_2(line)
#define NJ_LOG_SITE __FILE__ ":" NJ_LOG_LINE_1(__LINE__)
#define nj_log(level, ...) nj_log_at(NJ_LOG_SITE, level, __VA_ARGS__)
__attribute__((format(printf, 3, 4))) void nj_log_at(const char *site, int level, const char *format, ...);

/* The text as messages show it, NUL-terminated: what is no UTF-8, or would steer a terminal, is \xNN. Its
 * bytes. */
size_t nj_log_plain(char *to, size_t room, const char *text);
/* Each line begins with the time (UTC): for logs that are kept. Set once, before threads start. */
void nj_log_stamps(bool stamps);
/* The process is to end, and a full pipe on stderr must not keep it: what would have to wait is dropped from
 * here on. */
void nj_log_ending(void);
bool nj_log_can(void); /* write to stderr now */
/* "2026-01-31T23:59:59.123Z ", or nothing when there are none. Its bytes. */
size_t nj_log_stamp(char *to, size_t room);

/* What one call site has said in the present minute; zero-initialised (a static of the call site). */
typedef struct nj_log_limit {
    int64_t since_ns;
    uint32_t said, kept_back; /* kept_back: also of minutes before, until it was reported */
    bool busy;
} nj_log_limit;

/* One JSON object per message, in a line: time, level, room, text, fields (pid, site, and others). Set before
 * threads start. */
void nj_log_as_json(bool json);
bool nj_log_is_json(void);
/* Such a line, with its line break; its bytes. room: of nj_room_name. more: members of `fields` besides, as
 * JSON, or NULL. Safe in a signal handler. */
size_t nj_log_json(char *to, size_t size, int level, const char *room, const char *site, const char *text,
                   const char *more);

/* A line that was asked for, whatever the levels are. */
__attribute__((format(printf, 2, 3))) void nj_log_debug(nj_room room, const char *format, ...);

/* As nj_log, at most `most` times a minute for one call site, so that what lasts for months is still
 * reported. The last line of a minute says that more are kept back, the next one of a later minute how many
 * were. */
#define nj_log_limited(limit, most, level, ...)                                                              \
    nj_log_limited_at(NJ_LOG_SITE, limit, most, level, __VA_ARGS__)
__attribute__((format(printf, 5, 6))) void nj_log_limited_at(const char *site, nj_log_limit *limit,
                                                             uint32_t most, int level, const char *format,
                                                             ...);

/* Says the error and ends the program with exit code 1:
 * for commands that have nothing to hand back or to account for. */
_Noreturn __attribute__((format(printf, 1, 2))) void nj_give_up(const char *format, ...);

#endif
