#include "position.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/kafka.h"
#include "../base/settings.h"

/* Offsets are counts of messages and do not get there; as a time it is March 1973. */
static const int64_t FIRST_TIME_MS = 100000000000;

static int parse_date(const char *text, int64_t *ms)
{
    static const char *const form[] = { "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d" };
    for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
        struct tm tm = { 0 };
        const char *end = strptime(text, form[i], &tm);
        if (!end || *end) continue;
        *ms = (int64_t)timegm(&tm) * 1000;
        return 0;
    }
    return -1;
}

static int parse_whole(const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno || v < 0) return -1;
    *value = v;
    return 0;
}

static int parse_from(nj_positions *p, const char *text, nj_error *err)
{
    static const char *const word[] = {
        [NJ_FROM_COMMITTED] = "committed", [NJ_FROM_EARLIEST] = "earliest", [NJ_FROM_LATEST] = "latest"
    };
    for (int i = 0; i < 3; i++)
        if (!strcmp(text, word[i])) {
            p->from = (nj_from)i;
            return 0;
        }
    if (parse_whole(text, &p->from_value) == 0)
        p->from = p->from_value < FIRST_TIME_MS ? NJ_FROM_OFFSET : NJ_FROM_TIME;
    else if (parse_date(text, &p->from_value) == 0)
        p->from = NJ_FROM_TIME;
    else
        return nj_fail(err,
                       "from=%s: expected committed, earliest, latest, an offset, ms since 1970 or a date as 2026-01-31T20:00:00",
                       text);
    return 0;
}

static int parse_until(nj_positions *p, const char *text, nj_error *err)
{
    char *end;
    if (!strcmp(text, "end")) {
        p->until = NJ_UNTIL_END;
        return 0;
    }
    if (!strncmp(text, "idle:", 5)) {
        double seconds = strtod(text + 5, &end);
        p->until = NJ_UNTIL_IDLE;
        p->until_value = (int64_t)(seconds * 1000);
        if (end != text + 5 && !*end && seconds > 0 && seconds <= 1e6) return 0;
    }
    if (!strncmp(text, "count:", 6)) {
        p->until = NJ_UNTIL_COUNT;
        if (parse_whole(text + 6, &p->until_value) == 0 && p->until_value > 0) return 0;
    }
    return nj_fail(err, "until=%s: expected idle:SECONDS, end or count:N", text);
}

int nj_positions_parse(nj_positions *p, char *query, nj_error *err)
{
    static const char *const known[] = { "group", "from", "until" };
    char *value;
    *p = (nj_positions){ 0 };
    for (char *key; (key = nj_kafka_query(&query, &value));) {
        if (!*value) return nj_fail(err, "%s= has no value", key);
        if (!strcmp(key, "group")) {
            p->group = value;
        } else if (!strcmp(key, "from")) {
            if (parse_from(p, value, err)) return -1;
        } else if (!strcmp(key, "until")) {
            if (parse_until(p, value, err)) return -1;
        } else {
            const char *near = nj_nearest(key, known, 3);
            return nj_fail(err, "the query has no key '%s'%s%s%s; it has group, from and until", key,
                           near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        }
    }
    return 0;
}
