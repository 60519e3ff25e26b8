/* replayer.h - stored alerts into Kafka, byte for byte: at a rate, at K times their original cadence, or as
 * fast as the brokers take them. One thread. */
#ifndef NJ_REPLAY_REPLAYER_H
#define NJ_REPLAY_REPLAYER_H

#include "../base/error.h"
#include "../base/settings.h"
#include "../batch/chunk.h"

typedef enum { NJ_PACE_ASAP, NJ_PACE_RATE, NJ_PACE_CADENCE } nj_pace;

typedef struct nj_replayer nj_replayer;

typedef struct nj_replayer_args {
    const char *to;        /* kafka://HOST:PORT/TOPIC */
    nj_settings *settings; /* [kafka] */
    nj_pace pace;
    double speed;        /* RATE: messages per second; CADENCE: so many times the original; > 0 */
    uint32_t window;     /* CADENCE: chunks held to bring them into order of time; 0 = 4096 */
    size_t window_bytes; /* and their bytes; 0 = 256 MiB */
    /* CADENCE: time of the chunk's (first) alert, JD in days. -1 with err when it has none.
     * NULL otherwise. */
    int (*jd)(void *opaque, nj_chunk *chunk, double *jd, nj_error *err);
    void *opaque;
    const _Atomic int *stop; /* non-zero: waits end at once; NULL allowed */
} nj_replayer_args;

typedef struct nj_replayed {
    uint64_t messages, bytes; /* delivered */
    uint64_t failed;          /* not delivered, for the reason of the error */
    double seconds;           /* first message to last delivery report */
    double late_s;            /* largest delay behind the pace */
} nj_replayed;

/* "100/s", "100" (messages per second), "x10" (times the original cadence), "asap". -1 with err. */
int nj_pace_parse(const char *text, nj_pace *pace, double *speed, nj_error *err);

/* Connects, and fails when no broker answers within 10 s. NULL with err. */
nj_replayer *nj_replayer_open(const nj_replayer_args *args, nj_error *err);
/* Sends the chunk when its time has come (CADENCE: keeps it in the window until then). Drops the caller's
 * reference in every case. -1 when it cannot be sent,
 * or is older than what was sent already by more than the window can reorder. */
int nj_replayer_send(nj_replayer *replayer, nj_chunk *chunk, nj_error *err);
/* Sends what is held (not after an error or a stop), waits for the delivery reports and frees. -1 when a
 * message was not delivered. `done` is filled in every case. */
int nj_replayer_close(nj_replayer *replayer, nj_replayed *done, nj_error *err);

#endif
