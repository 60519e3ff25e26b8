/* finkclass.c - one class name per alert, derived from all scores by Fink's decision table.
 *
 * Given: the SIMBAD label, the asteroid flag, the scores, the alert's quality;
 * each may be missing, then it proves nothing
 *   (a comparison with a null is false). Settings can take any of them from elsewhere
 *   (need.simbad.otype = mylookup.label).
 * Returned: the class; never null, "Unknown" is one.
 * Later rules overwrite earlier ones; two of microlensing, supernova
 *   and solar system make "Ambiguous"; a SIMBAD label that says something wins over all.
 * Reference: Moeller et al. 2021, MNRAS 501, 3272, doi:10.1093/mnras/staa3602;
 * the rules as fink-filters 7.40 has them. */
#include <stdbool.h>

#include "nightjar/column.h"
#include "nightjar/lc.h"

enum { JD, START, NDETHIST, DRB, CLASSTAR, ROID, OTYPE, TRACKLET, MULENS, SNN_IA, SNN_SN, EARLY, KILONOVA };
enum { LABEL };

typedef struct alert {
    double age_day, drb, classtar, ndethist;
    int32_t roid;
    const char *otype, *tracklet;
    double mulens, snn_ia, snn_sn, early, kilonova;
} alert;

/* The rules in the order in which they overwrite each other. */
typedef struct rule {
    const char *label;
    bool (*holds)(const alert *a);
} rule;

static bool is_microlensing(const alert *a)
{
    return a->mulens > 0;
}
static bool may_be_supernova(const alert *a)
{
    return (a->snn_ia > 0.5 || a->snn_sn > 0.5) && nj_may_be_extragalactic(a->otype) && a->drb > 0.5 &&
           a->classtar > 0.4;
}
static bool is_supernova(const alert *a)
{
    return may_be_supernova(a) && a->age_day <= 90 && a->ndethist > 1 && a->roid != 3;
}
static bool is_early(const alert *a)
{
    return may_be_supernova(a) && a->ndethist <= 20 && a->early > 0.5;
}
static bool is_kilonova(const alert *a)
{
    return a->kilonova > 0.5 && a->drb > 0.5 && a->classtar > 0.4 && a->age_day < 5 && a->roid != 3 &&
           a->ndethist < 20 && nj_may_be_extragalactic(a->otype);
}
static bool is_sso_candidate(const alert *a)
{
    return a->roid == 2;
}
static bool is_tracklet(const alert *a)
{
    return a->tracklet && !strncmp(a->tracklet, "TRCK_", 5);
}
static bool is_sso(const alert *a)
{
    return a->roid == 3;
}

static const rule rules[] = {
    { "Microlensing candidate", is_microlensing },
    { "SN candidate", is_supernova },
    { "Early SN Ia candidate", is_early },
    { "Kilonova candidate", is_kilonova },
    { "Solar System candidate", is_sso_candidate },
    { "Tracklet", is_tracklet },
    { "Solar System MPC", is_sso },
};

/* Does the SIMBAD label name a known object? */
static bool says_something(const char *otype)
{
    return otype && strcmp(otype, "Unknown") && strcmp(otype, "Transient") && strncmp(otype, "Fail", 4) &&
           strncmp(otype, "Galaxy", 6);
}

static const char *classify(const nj_work *w, const alert *a)
{
    if (says_something(a->otype)) return w->text(w, a->otype, strlen(a->otype));
    if (is_microlensing(a) + is_supernova(a) + is_sso_candidate(a) + is_sso(a) > 1) return "Ambiguous";
    const char *label = "Unknown";
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++)
        if (rules[k].holds(a)) label = rules[k].label;
    return label;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k];
        alert a = { .age_day = nj_f64_of(w, JD, row) - nj_f64_of(w, START, row),
                    .drb = nj_f64_of(w, DRB, row),
                    .classtar = nj_f64_of(w, CLASSTAR, row),
                    .ndethist = nj_f64_of(w, NDETHIST, row),
                    .roid = nj_i32_of(w, ROID, row),
                    .otype = nj_text_of(w, OTYPE, row),
                    .tracklet = nj_text_of(w, TRACKLET, row),
                    .mulens = nj_f64_of(w, MULENS, row),
                    .snn_ia = nj_f64_of(w, SNN_IA, row),
                    .snn_sn = nj_f64_of(w, SNN_SN, row),
                    .early = nj_f64_of(w, EARLY, row),
                    .kilonova = nj_f64_of(w, KILONOVA, row) };
        const char *label = classify(w, &a);
        if (!label) return NJ_ENOMEM;
        nj_put_text(w, LABEL, row, label);
        w->reason[row] = NJ_DONE;
    }
    return NJ_OK;
}

#define NUMBER(path, unit)                                                                                   \
    {                                                                                                        \
        path, NJ_F64, NJ_SCALAR, unit, NJ_NEED_OPTIONAL                                                      \
    }
NJ_MODULE(finkclass) = {
    NJ_HEADER,
    .name = "finkclass",
    .version = "1.0",
    .summary = "one class from all scores: Fink's decision table",
    .paper = "doi:10.1093/mnras/staa3602",
    .needs = (const nj_need[]){ NUMBER("jd", "d"),
                                NUMBER("first_jd", "d"),
                                NUMBER("ndethist", "1"),
                                NUMBER("drb", "1"),
                                NUMBER("classtar", "1"),
                                { "roid.roid", NJ_I32, NJ_SCALAR, "1", NJ_NEED_OPTIONAL },
                                { "simbad.otype", NJ_STR, NJ_SCALAR, "", NJ_NEED_OPTIONAL },
                                { "tracklet.tracklet", NJ_STR, NJ_SCALAR, "", NJ_NEED_OPTIONAL },
                                NUMBER("microlensing.score", "1"),
                                NUMBER("snn_snia_vs_nonia.score", "1"),
                                NUMBER("snn_sn_vs_all.score", "1"),
                                NUMBER("early_snia.score", "1"),
                                NUMBER("kilonova.score", "1"),
                                { 0 } },
    .gives =
        (const nj_give[]){ { "label", NJ_STR, 1, -1, "", 0, 0, NAN, 0,
                             "the class, a SIMBAD label or one of Fink's; Unknown is a class, never null" },
                           { 0 } },
    .process = process
};
