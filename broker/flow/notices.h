/* notices.h - notices of gravitational waves that become regions while a run lasts. */
#ifndef NJ_FLOW_NOTICES_H
#define NJ_FLOW_NOTICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/buffer.h"
#include "../base/error.h"

struct run;
struct nj_report;

/* ---- notice_keep.c: one notice, and the folder that has the region of each event ---- */

typedef enum {
    NJ_NOTICE_NEW,         /* its event has a region from now on */
    NJ_NOTICE_REPLACED,    /* the event had one: it is now that of this notice */
    NJ_NOTICE_RETRACTED,   /* the event has none any more */
    NJ_NOTICE_MOCK,        /* of a test event, which the settings do not ask for */
    NJ_NOTICE_EXPIRED,     /* its region would have expired */
    NJ_NOTICE_OLDER,       /* the folder has a newer one of the event */
    NJ_NOTICE_WITHOUT_MAP, /* changes nothing */
    NJ_NOTICE_WRONG,       /* no notice, or its skymap cannot be read */
    NJ_NOTICE_ENDS
} nj_notice_end;

extern const char *const nj_notice_words[NJ_NOTICE_ENDS];

typedef struct nj_notice_rules {
    const char *folder; /* with a '/' at its end */
    double days;        /* 0 = a region does not expire */
    bool mock;
    int64_t now_ms; /* since 1970 */
} nj_notice_rules;

typedef struct nj_notice {
    nj_notice_end end;
    char event[72], kind[24];
    int64_t created_ms; /* since 1970: from then on its days count */
    char why[400];      /* of a wrong one, or what had to be assumed; "" = nothing */
} nj_notice;

/* Puts the notice into the folder as FOLDER/EVENT.json, so that the file's time is that of the notice; a
 * retraction removes the file and leaves FOLDER/.EVENT.retracted. When this returns 0 it is on the disk.
 * -1: the folder cannot be written, and the notice must come again. publish_ms: of its message, -1 = none. */
int nj_notice_keep(const nj_notice_rules *rules, const uint8_t *text, size_t size, int64_t publish_ms,
                   nj_notice *notice, nj_error *err);
/* The name of the folder's consumer group: made once and kept in it, so that a new folder is filled from the
 * beginning of the topic. -1: it cannot be read or written. */
int nj_notice_group(const char *folder, char group[64], nj_error *err);

/* ---- notices.c: the threads ---- */

typedef struct nj_notices nj_notices; /* of a run */

/* Before modules are looked at: the folders that `from` fills are made. */
int nj_notices_folders(struct run *r, nj_error *err);
/* Calls back for each such folder: the run writes there. */
void nj_notices_each_folder(const struct run *r, void (*each)(void *opaque, const char *folder),
                            void *opaque);
/* Once modules are open. A source that has an end is read to it before this returns. NULL without err: no
 * instance asks for notices. */
int nj_notices_start(struct run *r, nj_notices **notices, nj_error *err);
void nj_notices_stop(nj_notices *notices);
void nj_notices_free(nj_notices *notices);
void nj_notices_metrics(const nj_notices *notices, nj_buffer *out);         /* any thread */
int nj_notices_report(const nj_notices *notices, struct nj_report *report); /* -1: memory is short */

#endif
