/* log_rooms.c - a log of months needs more of one part and less of another: a message has a room,
 * each room a level. */
#include "log.h"

#include <string.h>

const char *const nj_room_name[NJ_ROOMS] = { "source", "kafka", "decode", "module", "graph",
                                             "flow",   "query", "sink",   "other" };
const char *const nj_level_name[4] = { "error", "warning", "note", "debug" };

static int most[NJ_ROOMS] = { [0 ... NJ_ROOMS - 1] = NJ_LOG_INFO };

void nj_log_level(int level)
{
    for (int i = 0; i < NJ_ROOMS; i++) most[i] = level;
}

void nj_log_room_level(nj_room room, int level)
{
    most[room] = level;
}

/* Folders of broker/; what graph and engine say is about modules. */
static const struct {
    const char *folder;
    nj_room room;
} rooms[] = {
    { "source/", NJ_ROOM_SOURCE }, { "kafka/", NJ_ROOM_KAFKA },   { "avro/", NJ_ROOM_DECODE },
    { "schema/", NJ_ROOM_DECODE }, { "image/", NJ_ROOM_DECODE },  { "parquet/", NJ_ROOM_DECODE },
    { "graph/", NJ_ROOM_MODULE },  { "engine/", NJ_ROOM_MODULE }, { "flow/", NJ_ROOM_FLOW },
    { "query/", NJ_ROOM_QUERY },   { "sink/", NJ_ROOM_SINK },
};

nj_room nj_room_of(const char *file)
{
    const char *at = strstr(file, "broker/");
    if (!at) return strstr(file, "modules/") ? NJ_ROOM_MODULE : NJ_ROOM_OTHER;
    at += strlen("broker/");
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        if (!strncmp(at, rooms[i].folder, strlen(rooms[i].folder))) return rooms[i].room;
    return NJ_ROOM_OTHER;
}

bool nj_log_wanted(const char *file, int level)
{
    return level <= most[nj_room_of(file)];
}
