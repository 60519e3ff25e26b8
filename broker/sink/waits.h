/* waits.h - what gets better by itself is waited for, so that neither a reader's lock nor a full disk ends
 * a run: with back-off, a line at once and one a minute, and until the run is to end. */
#ifndef NJ_SINK_WAITS_H
#define NJ_SINK_WAITS_H

#include <stdbool.h>
#include <stdint.h>

/* One wait; zero-initialised. */
typedef struct nj_wait {
    int64_t since_ns, reported_ns, stop_ns;
    int64_t pause_ms;
} nj_wait;

typedef enum nj_wait_kind {
    NJ_WAIT_FOR_ROOM, /* [run] sink_retry_s at most */
    NJ_WAIT_FOR_LOCK  /* as long as it takes */
} nj_wait_kind;

/* Of the resumed run; before there are threads. retry_s 0 and NULL: nothing is waited for. */
void nj_waits_set(double retry_s, bool (*stopped)(void *opaque), void *opaque);
/* Sleeps, and says so: "PATH: WHY; waiting". False: long enough, or the run is to end. */
bool nj_wait_more(nj_wait *wait, nj_wait_kind kind, const char *path, const char *why);
/* It began, elsewhere than in a sleep of ours: counted, and reported from the second second on. */
void nj_wait_notes(nj_wait *wait, const char *path, const char *why);
/* Does what went wrong with a write get better by itself? Not an error of the device: after it the state
 * of the file is not known. And what for is waited then. */
bool nj_wait_helps(int fd, int error, nj_wait_kind *kind);
/* The folder of this file is not there: unmounted, or moved away. */
bool nj_folder_is_away(const char *path);
/* It continued: says so when a wait was reported. */
void nj_wait_over(nj_wait *wait, const char *path);
/* It is given up: who waited says so. */
void nj_wait_given_up(nj_wait *wait);
/* For metrics: waits that began, and whether one is in progress. Any thread. */
uint64_t nj_waits_count(bool *waiting);

#endif
