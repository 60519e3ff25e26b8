/* classes.c - SIMBAD's object types in the groups that classifiers ask for. */
#include "nightjar/lc.h"

#include <string.h>

/* SIMBAD's words for galaxies, supernovae and the lack of an answer, as Fink's classifiers list them. */
static const char *const extragalactic[] = {
    "Unknown",
    "Candidate_SN*",
    "SN*_Candidate",
    "SN",
    "Transient",
    "Fail",
    "Fail 504",
    "galaxy",
    "Galaxy",
    "EmG",
    "Seyfert",
    "Seyfert_1",
    "Seyfert_2",
    "BlueCompG",
    "StarburstG",
    "LSB_G",
    "HII_G",
    "High_z_G",
    "GinPair",
    "GinGroup",
    "BClG",
    "GinCl",
    "PartofG",
    "Compact_Gr_G",
    "IG",
    "PairG",
    "GroupG",
    "ClG",
    "SuperClG",
    "Void",
    "LINER",
    "Possible_ClG",
    "Possible_SClG",
    "GravLens_Candidate",
};

bool nj_may_be_extragalactic(const char *otype)
{
    if (!otype) return true;
    for (size_t k = 0; k < sizeof extragalactic / sizeof *extragalactic; k++)
        if (!strcmp(otype, extragalactic[k])) return true;
    return false;
}
