/* objects.h - alerts of a night, or of many, joined by object: one packet per object, with the points of all
 * of its alerts, each once. The packets are a source of any run. */
#ifndef NJ_OBJECTS_OBJECTS_H
#define NJ_OBJECTS_OBJECTS_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/buffer.h"
#include "../base/error.h"
#include "../base/settings.h"
#include "../sink/sink.h"

typedef struct nj_objects_options {
    nj_settings *settings;
    const char *const *source; /* specs */
    uint32_t n_sources;
    bool by_sso;              /* by solar system object instead of the survey's object */
    double sso_radius;        /* arcsec: further from the predicted place an alert is not of it */
    size_t memory;            /* bytes of alerts that are kept before they go to the disk */
    const char *work;         /* folder of what is sorted */
    const char *folder;       /* of the packets, SURVEY.avro */
    const char *dead_letters; /* path: made at the first one */
    nj_sink_mode mode;        /* of that file */
    const _Atomic int *stop;  /* set by a signal; NULL = never */
} nj_objects_options;

/* What became of the points of one series ("lc", "fp") of all objects. */
typedef struct nj_objects_series {
    const char *survey, *name;
    uint64_t points;              /* that were kept */
    uint64_t repeated, differing; /* told again; of those, with another value in some column */
    uint64_t untimed, beyond;     /* left out: without a time; older than the newest that fit */
    char first_differing[200], first_beyond[200]; /* "lc.rb of ZTF18abc" */
} nj_objects_series;

enum { NJ_OBJECTS_SERIES = 64, NJ_OBJECTS_SURVEYS = 8 };

typedef struct nj_objects_account {
    uint64_t read, merged, keyless, far, repeated, dead; /* alerts: read = merged + all behind it */
    uint64_t objects, untimed;                           /* untimed: merged all the same, as the oldest */
    uint32_t runs;                                       /* that were sorted on the disk */
    nj_objects_series series[NJ_OBJECTS_SERIES];
    uint32_t n_series;
    const char *survey[NJ_OBJECTS_SURVEYS]; /* whose packets there are: FOLDER/SURVEY.avro */
    uint32_t n_surveys;
    char unmerged[200]; /* series without times, which are the newest alert's: "a, b" */
} nj_objects_account;

typedef struct nj_objects nj_objects;
/* Reads all sources and writes the packets. An exit code of base/exit.h; err is set unless it is 0 or
 * interrupted. The account's texts live until nj_objects_free(). */
int nj_objects_merge(const nj_objects_options *options, nj_objects **objects, nj_objects_account *account,
                     nj_error *err);
void nj_objects_free(nj_objects *objects);
/* The account in sentences. */
void nj_objects_say(const nj_objects_account *account, bool by_sso, nj_buffer *out);
void nj_objects_json(const nj_objects_account *account, bool by_sso, nj_buffer *out);

#endif
