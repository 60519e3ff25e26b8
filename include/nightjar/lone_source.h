/* nightjar/lone_source.h - does one of two stamps of the same place have a source where the other has none?
 * (libnightjar-kit.a, modules/kit/num/lone_source.c) */
#ifndef NIGHTJAR_LONE_SOURCE_H
#define NIGHTJAR_LONE_SOURCE_H
#include "nightjar/module.h"
#include "nightjar/num.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { NJ_LONE_SCIENCE, NJ_LONE_TEMPLATE, NJ_LONE_STAMPS, NJ_LONE_CENTRE_PX = 14 };

typedef struct nj_lone_rules {
    uint32_t side; /* of the central square that is looked at: 14 to 64 pixels */
    bool rubin;    /* the rules of its variant: one clip, few masked pixels in the template, a raw centre */
    float bad_above;
    nj_isa isa;
    bool plain; /* clips by the definition */
} nj_lone_rules;

typedef struct nj_lone_stamp { /* what is found in one stamp */
    float pixel[NJ_CLIP_MAX];  /* its central square */
    nj_clip whole;             /* the first clip */
    uint32_t n_second, n_centre, n_nan, n_bad;
} nj_lone_stamp;

/* image has at least `side` rows and columns; sorted [side * side] is a work area. */
void nj_lone_look(const nj_lone_rules *rules, nj_clip_work *clip, double *sorted, const nj_image *image,
                  nj_lone_stamp *found);

typedef struct nj_lone_source {
    uint32_t stage; /* 1: in the whole stamp, 2: in its central 14 x 14, 0: no lone source */
    uint32_t lone;  /* the stamp that has it; NJ_LONE_STAMPS: none */
    uint32_t clipped[NJ_LONE_STAMPS]; /* masked pixels where it was decided */
} nj_lone_source;
nj_lone_source nj_lone_judge(const nj_lone_rules *rules, const nj_lone_stamp stamp[NJ_LONE_STAMPS]);

#ifdef __cplusplus
}
#endif
#endif
