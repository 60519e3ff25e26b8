/* internal.h - what the files of this room share: the columns of one survey, and an object while its alerts
 * are joined. */
#ifndef NJ_OBJECTS_INTERNAL_H
#define NJ_OBJECTS_INTERNAL_H

#include "../avro/decode.h"
#include "../base/buffer.h"
#include "objects.h"
#include "sort.h"

enum { NJ_NO_INDEX = UINT32_MAX, NJ_IDENTITIES = 6 };

/* Columns of one series; index in the layout. */
typedef struct nj_objects_group {
    const char *name;
    uint32_t *column, n;
    uint32_t jd, band, kind;          /* of `column`; NJ_NO_INDEX: it has none */
    uint32_t identity[NJ_IDENTITIES]; /* of `column`: what else tells points of one time apart */
    uint32_t n_identities;
    bool alerts;             /* the list of the alerts themselves */
    nj_objects_series *told; /* NULL: not reported */
} nj_objects_group;

typedef struct nj_objects_survey {
    const char *name;
    const nj_survey_facts *facts;
    nj_layout layout;
    nj_objects_group *group;
    uint32_t n_groups;
    uint32_t jd, object, sso_id, sso_name, sso_dist, programid; /* of the layout, or NJ_NO_INDEX */
    nj_arena arena;
} nj_objects_survey;

/* survey.c: NULL with err. */
nj_objects_survey *nj_objects_survey_new(const nj_decoder *decoder, const char *survey, nj_error *err);
void nj_objects_survey_free(nj_objects_survey *survey);
/* The schema of its packets, as JSON. */
void nj_objects_schema(const nj_objects_survey *survey, nj_buffer *out);

/* row.c: a row of a batch as bytes, and back, one alert at a time. */
int nj_objects_pack(const nj_objects_survey *survey, const nj_batch *batch, uint32_t row, nj_buffer *out);

/* An alert as it was packed: reads on in the order of the scalars, then of the groups' columns. */
typedef struct nj_objects_bytes {
    const uint8_t *at, *end;
} nj_objects_bytes;
uint32_t nj_objects_take_count(nj_objects_bytes *from);
/* n values of a type into `to`; texts are copied into the arena. -1: memory. */
int nj_objects_take_values(nj_objects_bytes *from, nj_type type, uint32_t n, void *to, nj_arena *arena);

/* joined.c: the points of one series of an object. */
typedef struct nj_joined {
    const nj_objects_group *group;
    const nj_layout *layout;
    void **value;            /* [group->n] */
    uint32_t n, cap, sorted; /* points; how many of them are each there once */
    uint32_t *order, cap_order;
} nj_joined;

/* Room for n more points; -1: memory. Their values go to value[k] from n on; the caller then adds to n. */
int nj_joined_room(nj_joined *joined, uint32_t n);
/* Each point once, in the order of time; the newest alert's values, and older ones where it has none.
 * key: of the object, for what is told. */
int nj_joined_settle(nj_joined *joined, const char *key);
void nj_joined_free(nj_joined *joined);

/* object.c: the alerts of one object, oldest first. */
typedef struct nj_objects_one {
    const nj_objects_survey *survey;
    nj_joined *joined; /* [n_groups] */
    void *scalar;      /* one value of 8 bytes for each column of the layout, of the newest alert */
    int64_t private_program;
    uint32_t n_alerts;
    nj_arena arena, texts[2]; /* of series; of the newest alert's scalars, and of the one being read */
    uint32_t most_points;
} nj_objects_one;

int nj_objects_one_open(nj_objects_one *one, const nj_objects_survey *survey, uint32_t most_points);
void nj_objects_one_begin(nj_objects_one *one);
int nj_objects_one_add(nj_objects_one *one, double jd, int64_t id, nj_objects_bytes bytes, const char *key,
                       uint64_t *repeated);
/* The packet of the object, as an Avro datum. */
int nj_objects_one_end(nj_objects_one *one, const char *key, nj_buffer *datum, uint64_t *repeated);
void nj_objects_one_close(nj_objects_one *one);

#endif
