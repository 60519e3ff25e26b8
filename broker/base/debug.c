/* debug.c - a search for a fault in one part needs the debug lines of that part only: each line belongs to a
 * context, and -d names those that are wanted. */
#include "debug.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

unsigned nj_debug_contexts;

/* In the order of the bits. */
static const struct {
    const char *name, *doc;
} contexts[] = {
    { "source", "files, archives and streams as they are opened, and what is skipped" },
    { "kafka", "connections, assignments, positions and commits; librdkafka's own debug lines" },
    { "decode", "each schema, its survey map, and the plan that reads it" },
    { "module", "settings up, opening and closing of modules, and what they say at debug level" },
    { "graph", "the order of the modules, where their columns come from, and which are off" },
    { "flow", "units of work, batches, flushes and acknowledgements" },
    { "query", "filters and topics as they are compiled" },
    { "sink", "outputs as they are opened, flushed and closed" },
};
enum { CONTEXTS = sizeof contexts / sizeof *contexts };

void nj_debug_line(unsigned context, const char *format, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    const int room = __builtin_ctz(context); /* the first rooms of messages are these contexts */
    if (nj_log_is_json())
        nj_log_debug((nj_room)room, "%s", text);
    else
        nj_log_debug((nj_room)room, "%s: %s", contexts[room].name, text);
}

static _Noreturn void list_contexts(void)
{
    for (size_t k = 0; k < CONTEXTS; k++) printf("%-8s  %s\n", contexts[k].name, contexts[k].doc);
    printf("%-8s  all of these, as -v does\n", "all");
    exit(fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int take_word(char *word, nj_error *err)
{
    const char *known[CONTEXTS + 3];
    for (size_t k = 0; k < CONTEXTS; k++) known[k] = contexts[k].name;
    known[CONTEXTS] = "all";
    known[CONTEXTS + 1] = "help";
    known[CONTEXTS + 2] = NULL;
    if (!strcmp(word, "help")) list_contexts();
    if (!strcmp(word, "all")) return nj_debug_contexts = ~0u, 0;
    for (size_t k = 0; k < CONTEXTS; k++)
        if (!strcmp(word, known[k])) return nj_debug_contexts |= 1u << k, 0;
    return nj_word_wrong("debug context", word, known, err);
}

/* Each word of "a,b,c"; -1 with err as soon as one is refused. */
static int take_each(const char *list, int (*take)(char *word, nj_error *err), nj_error *err)
{
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",");
        char word[48];
        snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), p);
        if (take(word, err)) return -1;
        p += n;
        p += *p == ',';
    }
    return 0;
}

int nj_debug_take(const char *list, nj_error *err)
{
    if (take_each(list, take_word, err)) return -1;
    return *list ? 0 : nj_fail(err, "-d: no context is named; `-d help` lists them");
}

/* ---- levels ------------------------------------------------------------------------------------ */

static int level_of(const char *word, nj_error *err)
{
    const char *known[5] = { nj_level_name[0], nj_level_name[1], nj_level_name[2], nj_level_name[3], NULL };
    for (int i = 0; i < 4; i++)
        if (!strcmp(word, known[i])) return i;
    return nj_word_wrong("level of messages", word, known, err);
}

static int room_named(const char *word, nj_error *err)
{
    const char *known[NJ_ROOMS + 1] = { NULL };
    for (int i = 0; i < NJ_ROOMS; i++) known[i] = nj_room_name[i];
    for (int i = 0; i < NJ_ROOMS; i++)
        if (!strcmp(word, known[i])) return i;
    return nj_word_wrong("room of messages", word, known, err);
}

static void set_level(int room, int level)
{
    unsigned context = room < CONTEXTS ? 1u << room : 0;
    nj_log_room_level((nj_room)room, level);
    nj_debug_contexts = level == NJ_LOG_DEBUG ? nj_debug_contexts | context : nj_debug_contexts & ~context;
}

static int take_level(char *word, nj_error *err)
{
    char *equals = strchr(word, '=');
    if (equals) *equals = '\0';
    int room = equals ? room_named(word, err) : 0,
        level = room < 0 ? -1 : level_of(equals ? equals + 1 : word, err);
    if (level < 0) return -1;
    if (equals) return set_level(room, level), 0;
    for (room = 0; room < NJ_ROOMS; room++) set_level(room, level);
    return 0;
}

int nj_log_levels_take(const char *list, nj_error *err)
{
    if (take_each(list, take_level, err)) return -1;
    return *list ? 0 : nj_fail(err, "--log-level: a level, or ROOM=LEVEL");
}

static int take_debug(void *conf, const char *value, nj_error *err)
{
    (void)conf;
    return nj_debug_take(value, err);
}

const nj_option nj_options_of_debug[] = { { "debug", 'd', NJ_OPTION_CALL, .value = "LIST", .take = take_debug,
                                            .doc = "debug lines of these parts: source, kafka, decode, "
                                                   "module, graph, flow, query, sink, all; `-d help` "
                                                   "says what each has" },
                                          { 0 } };
