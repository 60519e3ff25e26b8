/* position.c - `from=` and `until=` of a Kafka source accept words, offsets and dates; they are parsed and
 * checked here. */
#include "position.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kafka.h"
#include "../base/settings.h"
#include "when.h"

/* Numbers up to here are offsets: no partition of alerts has had so many messages,
 * and as a time it is September 2001. */
static const int64_t OFFSET_MOST = 1000000000;

static int parse_whole(const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || v < 0) return -1;
    *value = v;
    return 0;
}

static bool is_digits(const char *text)
{
    return *text && strspn(text, "0123456789.") == strlen(text);
}

/* A number may be an offset or a time, and its size decides: p->words says what it was taken for. */
static int number_from(nj_positions *p, const char *text, nj_error *err)
{
    char when[32];
    int64_t ms;
    const char *unit = nj_when_number(text, &p->from_value);
    if (unit) {
        p->from = NJ_FROM_TIME;
        p->guessed = true;
        snprintf(p->words, sizeof p->words,
                 "from=%s is a time, %s since 1970: %s (an offset is written from=offset:%s)", text, unit,
                 nj_when_text(p->from_value, when), text);
        return 0;
    }
    if (strlen(text) == 8 && !nj_when_date(text, &ms))
        return nj_fail(err, "from=%s may be a date or an offset: write from=%.4s-%.2s-%.2s or from=offset:%s",
                       text, text, text + 4, text + 6, text);
    if (parse_whole(text, &p->from_value) || p->from_value >= OFFSET_MOST)
        return nj_fail(err,
                       "from=%s is no time from 2001 to 2100 in s, ms, us or ns since 1970, and %s: write a "
                       "date such as 2026-01-31T20:00:00Z, or from=offset:N",
                       text, strchr(text, '.') ? "offsets are whole" : "large for an offset");
    p->from = NJ_FROM_OFFSET;
    snprintf(p->words, sizeof p->words, "from=%s is an offset, the same in each partition", text);
    return 0;
}

static int text_from(nj_positions *p, const char *text, nj_error *err)
{
    char when[32];
    if (!strncmp(text, "offset:", 7)) {
        p->from = NJ_FROM_OFFSET;
        if (!parse_whole(text + 7, &p->from_value)) return 0;
        return nj_fail(err, "from=%s: expected from=offset: and a whole number", text);
    }
    if (nj_when_date(text, &p->from_value))
        return nj_fail(err,
                       "from=%s: expected committed, committed,latest, earliest, latest, offset:N, seconds "
                       "or ms since 1970, or a date as 2026-01-31T20:00:00Z (also with +01:00 or a fraction)",
                       text);
    p->from = NJ_FROM_TIME;
    snprintf(p->words, sizeof p->words, "from=%s is %s", text, nj_when_text(p->from_value, when));
    return 0;
}

static int parse_from(nj_positions *p, const char *text, nj_error *err)
{
    static const struct {
        const char *word;
        nj_from from;
    } known[] = { { "committed", NJ_FROM_COMMITTED },
                  { "committed,earliest", NJ_FROM_COMMITTED },
                  { "committed,latest", NJ_FROM_COMMITTED_LATEST },
                  { "earliest", NJ_FROM_EARLIEST },
                  { "latest", NJ_FROM_LATEST } };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(text, known[i].word)) {
            p->from = known[i].from;
            return 0;
        }
    return is_digits(text) ? number_from(p, text, err) : text_from(p, text, err);
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
    bool said = false;
    *p = (nj_positions){ 0 };
    for (char *key; (key = nj_kafka_query(&query, &value));) {
        if (!*value) return nj_fail(err, "%s= has no value", key);
        if (!strcmp(key, "group")) {
            p->group = value;
        } else if (!strcmp(key, "from")) {
            if (parse_from(p, value, err)) return -1;
            said = true;
        } else if (!strcmp(key, "until")) {
            if (parse_until(p, value, err)) return -1;
        } else {
            const char *near = nj_nearest(key, known, 3);
            return nj_fail(err, "the query has no key '%s'%s%s%s; it has group, from and until", key,
                           near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        }
    }
    if (!said && p->until == NJ_UNTIL_STOPPED) p->from = NJ_FROM_COMMITTED_LATEST;
    return 0;
}
