/* notice_keep.c - a notice of igwn.gwalert is one state of an event: the folder that the module region
 * follows has the last state of each. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../base/file.h"
#include "../graph/services.h"
#include "nightjar/region.h"
#include "notices.h"

enum { NAME = 4096 };

const char *const nj_notice_words[NJ_NOTICE_ENDS] = { "new",     "replaced", "retracted",   "mock",
                                                      "expired", "older",    "without_map", "wrong" };

static int wrong(nj_notice *n, const char *why)
{
    n->end = NJ_NOTICE_WRONG;
    snprintf(n->why, sizeof n->why, "%s", why);
    return 0;
}

/* An event's name becomes a file's. */
static bool is_name(const char *text)
{
    size_t n = text ? strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") : 0;
    return n && !text[n] && n < sizeof((nj_notice *)0)->event;
}

/* 2026-05-07T12:34:56Z, also with a blank for T and a fraction. ms since 1970; -1 = it is none. */
static int64_t time_of(const char *text)
{
    struct tm tm = { 0 };
    const char *end = text ? strptime(text, "%Y-%m-%d", &tm) : NULL;
    if (!end || (*end != 'T' && *end != ' ') || !(end = strptime(end + 1, "%H:%M:%S", &tm))) return -1;
    char *rest = (char *)end;
    double fraction = *end == '.' ? strtod(end, &rest) : 0;
    if (strcmp(rest, "Z") && strcmp(rest, " UTC") && *rest) return -1;
    return (int64_t)timegm(&tm) * 1000 + (int64_t)(fraction * 1000);
}

/* ms since 1970 of the file's last change; -1 = there is no such file. */
static int64_t changed(const char *path)
{
    struct stat st;
    return stat(path, &st) ? -1 : (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
}

static int synced(int fd)
{
    int failed = fsync(fd), error = errno;
    close(fd);
    errno = error;
    return failed;
}

/* The whole file under a name that nobody looks at, as old as the notice. */
static int put(const char *path, const uint8_t *text, size_t size, int64_t ms, nj_error *err)
{
    const struct timespec at[2] = { { ms / 1000, ms % 1000 * 1000000 }, { ms / 1000, ms % 1000 * 1000000 } };
    int fd = nj_file_write(path, text, size) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && futimens(fd, at) == 0 && synced(fd) == 0) return 0;
    return nj_fail(err, "%s: %s", path, strerror(errno));
}

/* The names in the folder are on the disk. */
static int sync_folder(const char *folder, nj_error *err)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && synced(fd) == 0 ? 0 : nj_fail(err, "%s: %s", folder, strerror(errno));
}

/* Asks who will read it: a file that is wrong would keep all later ones of the folder out. */
static bool can_be_read(const char *path, nj_notice *n)
{
    const nj_region *sky = nj_service("region", NJ_REGION_VERSION);
    nj_region_set *set;
    char why[sizeof n->why];
    if (!sky || sky->open(path, 0.9, 0, &set, why, sizeof why) == NJ_OK) {
        if (sky) sky->close(set);
        return true;
    }
    const char *reason = strstr(why, ".new: "); /* behind the name that the file has for now */
    wrong(n, reason ? reason + strlen(".new: ") : why);
    return false;
}

static int replace(const nj_notice_rules *rules, const uint8_t *text, size_t size, const char *path,
                   const char *gone, nj_notice *n, nj_error *err)
{
    char temporary[NAME];
    snprintf(temporary, sizeof temporary, "%s.%s.new", rules->folder, n->event);
    if (put(temporary, text, size, n->created_ms, err)) return -1;
    if (!can_be_read(temporary, n)) return unlink(temporary), 0;
    n->end = access(path, F_OK) == 0 ? NJ_NOTICE_REPLACED : NJ_NOTICE_NEW;
    if (rename(temporary, path)) return nj_fail(err, "%s: %s", path, strerror(errno));
    unlink(gone);
    return sync_folder(rules->folder, err);
}

/* What stays says when: a notice from before, which comes again, must not bring the region back. */
static int retract(const nj_notice_rules *rules, const uint8_t *text, size_t size, const char *path,
                   const char *gone, nj_notice *n, nj_error *err)
{
    n->end = NJ_NOTICE_RETRACTED;
    if (put(gone, text, size, n->created_ms, err)) return -1;
    if (unlink(path) && errno != ENOENT) return nj_fail(err, "%s: %s", path, strerror(errno));
    return sync_folder(rules->folder, err);
}

static bool is_mock(const char *event)
{
    return event[0] == 'M' || event[0] == 'T'; /* MS240422ed, TS240422ed; real ones begin with S */
}

static int take(const nj_notice_rules *rules, const uint8_t *text, size_t size, const json_t *map,
                nj_notice *n, nj_error *err)
{
    char path[NAME], gone[NAME];
    snprintf(path, sizeof path, "%s%s.json", rules->folder, n->event);
    snprintf(gone, sizeof gone, "%s.%s.retracted", rules->folder, n->event);
    int64_t had = changed(path), left = changed(gone);
    bool retracts = !strcmp(n->kind, "RETRACTION");
    if (is_mock(n->event) && !rules->mock)
        n->end = NJ_NOTICE_MOCK;
    else if (n->created_ms < had || n->created_ms < left)
        n->end = NJ_NOTICE_OLDER;
    else if (retracts)
        return retract(rules, text, size, path, gone, n, err);
    else if (!map || json_is_null(map))
        n->end = NJ_NOTICE_WITHOUT_MAP;
    else if (rules->days > 0 && (double)(rules->now_ms - n->created_ms) > rules->days * 86400e3)
        n->end = NJ_NOTICE_EXPIRED;
    else
        return replace(rules, text, size, path, gone, n, err);
    return 0;
}

int nj_notice_keep(const nj_notice_rules *rules, const uint8_t *text, size_t size, int64_t publish_ms,
                   nj_notice *n, nj_error *err)
{
    json_error_t error;
    *n = (nj_notice){ .end = NJ_NOTICE_WRONG };
    json_t *notice = json_loadb((const char *)text, size, JSON_REJECT_DUPLICATES, &error);
    const char *event = json_string_value(json_object_get(notice, "superevent_id"));
    const char *kind = json_string_value(json_object_get(notice, "alert_type"));
    const char *created = json_string_value(json_object_get(notice, "time_created"));
    int rc = 0;
    if (!notice) {
        snprintf(n->why, sizeof n->why, "line %d: %s", error.line, error.text);
    } else if (!kind || !is_name(event)) {
        wrong(n, !kind ? "has no alert_type: it is no notice of igwn.gwalert"
                       : "has no superevent_id that a file could be called by");
    } else {
        snprintf(n->event, sizeof n->event, "%s", event);
        snprintf(n->kind, sizeof n->kind, "%s", kind);
        n->created_ms = time_of(created);
        if (n->created_ms < 0) {
            n->created_ms = publish_ms >= 0 ? publish_ms : rules->now_ms;
            snprintf(n->why, sizeof n->why, "its time_created (%.40s) is no time: taken as of its message",
                     created ? created : "none");
        }
        rc = take(rules, text, size, json_object_get(json_object_get(notice, "event"), "skymap"), n, err);
    }
    json_decref(notice);
    return rc;
}

int nj_notice_group(const char *folder, char group[64], nj_error *err)
{
    char path[NAME];
    uint64_t made = 0;
    snprintf(path, sizeof path, "%s.group", folder);
    char *text = nj_file_read(path, 63, NULL);
    if (text) {
        snprintf(group, 64, "%.*s", (int)strcspn(text, "\n"), text);
        free(text);
        if (group[0]) return 0;
        return nj_fail(err, "%s: is empty: remove it", path);
    }
    if (errno != ENOENT) return nj_fail(err, "%s: %s", path, strerror(errno));
    if (getrandom(&made, sizeof made, 0) != sizeof made) return nj_fail(err, "%s: no random number", path);
    snprintf(group, 64, "nightjar-notices-%016llx", (unsigned long long)made);
    if (nj_file_write(path, group, strlen(group))) return nj_fail(err, "%s: %s", path, strerror(errno));
    return sync_folder(folder, err);
}
