/* is_transient.c - the conjunction of the seven tests of transient_features with "not a solar system
 * object".
 *
 * Notes: SQL's three-valued AND: one test that fails answers 0 whatever the unknown ones are; else one that
 * is unknown makes the answer unknown.
 * Reference: as for transient_features. */
#include "nightjar/column.h"

enum { FAINT, POSSUB, REAL, POINTUNDER, BRIGHTSTAR, VARSOURCE, STATIONARY, ROID };
enum { IS_TRANSIENT };

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    (void)thread;
    static const uint8_t wanted[] = { 0, 1, 1, 0, 0, 0, 1 };
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k];
        int32_t roid = nj_i32_of(w, ROID, row);
        uint8_t answer = roid == NJ_NO_I32 ? NJ_NO_U8 : roid == 0;
        for (uint32_t t = 0; t < sizeof wanted && answer; t++) {
            uint8_t flag = nj_u8_of(w, t, row);
            if (flag == NJ_NO_U8)
                answer = NJ_NO_U8;
            else if (flag != wanted[t])
                answer = 0;
        }
        nj_put_u8(w, IS_TRANSIENT, row, answer);
        w->reason[row] = answer == NJ_NO_U8 ? NJ_NO_INPUT : NJ_DONE;
    }
    return NJ_OK;
}

#define FLAG(name)                                                                                           \
    {                                                                                                        \
        "transient_features." name, NJ_U8, NJ_SCALAR, "1", 0                                                 \
    }
NJ_MODULE(is_transient) = {
    NJ_HEADER,
    .name = "is_transient",
    .version = "1.0",
    .summary = "a real, new, unblended source that does not move",
    .paper = "doi:10.3847/1538-4357/abbd98",
    .needs = (const nj_need[]){ FLAG("faint"),
                                FLAG("positivesubtraction"),
                                FLAG("real"),
                                FLAG("pointunderneath"),
                                FLAG("brightstar"),
                                FLAG("variablesource"),
                                FLAG("stationary"),
                                { "roid.roid", NJ_I32, NJ_SCALAR, "1", 0 },
                                { 0 } },
    .gives = (const nj_give[]){ { "is_transient", NJ_U8, 1, -1, "1", 0, 1, 0, 0,
                                  "1 when all tests pass; none when a missing value decides" },
                                { 0 } },
    .process = process
};
