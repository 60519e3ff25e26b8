/* hostless_row.h - one row of the module's answers, as its tests keep it. Not a test. */
#ifndef NJ_TESTS_HOSTLESS_ROW_H
#define NJ_TESTS_HOSTLESS_ROW_H
#include "nightjar/module.h"

typedef struct row {
    uint8_t candidate, stage, verdict, reason;
    const char *lone, *why; /* why: verdict_reason */
    int32_t clipped[2], n_nan, n_bad;
    double ks[2], sd[2];
} row;

/* "No answer" everywhere. */
static const row no_row = { .candidate = NJ_NO_U8,
                            .stage = NJ_NO_U8,
                            .verdict = NJ_NO_U8,
                            .reason = UINT8_MAX,
                            .clipped = { NJ_NO_I32, NJ_NO_I32 },
                            .n_nan = NJ_NO_I32,
                            .n_bad = NJ_NO_I32,
                            .ks = { NAN, NAN },
                            .sd = { NAN, NAN } };

/* Where the module's gives go, in their order. */
#define ROW_OUTPUTS(r)                                                                                       \
    {                                                                                                        \
        &(r).candidate, &(r).stage, &(r).lone, &(r).clipped[0], &(r).clipped[1], &(r).ks[0], &(r).ks[1],     \
            &(r).sd[0], &(r).sd[1], &(r).n_nan, &(r).n_bad, &(r).verdict, &(r).why                           \
    }

#endif
