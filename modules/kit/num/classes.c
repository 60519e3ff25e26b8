/* classes.c - object types of SIMBAD, Fink and TNS in the groups that modules ask for. */
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

/* What a young transient may be called: SIMBAD's and Fink's labels; the types of TNS. */
/* clang-format off */
static const char *const young[] = {
    "AGN", "AGN_Candidate", "SN", "BH_Candidate", "Blazar", "Blazar_Candidate", "BLLac", "BLLac_Candidate",
    "Candidate_Nova", "Candidate_NS", "Candidate_SN*", "LINER", "QSO", "QSO_CandidateSeyfert", "Seyfert1",
    "Seyfert2", "Seyfert_1", "Seyfert_2", "SN*_Candidate", "Supernova", "ULX", "ULX?", "ULX_Candidate",
    "SN candidate", "Early SN Ia candidate", "Kilonova candidate" };
static const char *const tns[] = {
    "AGN", "FRB", "Galaxy", "ILRT", "Impostor-SN", "Kilonova", "LBV", "Light-Echo", "LRN", "Nova", "Other",
    "QSO", "SLSN-I", "SLSN-II", "SN", "SN I", "SN Ia", "SN Ia-91bg-like", "SN Ia-91T-like", "SN Ia-CSM",
    "SN Ia-pec", "SN Iax[02cx-like]", "SN Ib", "SN Ib-Ca-rich", "SN Ib-pec", "SN Ib/c", "SN Ibn", "SN Ic",
    "SN Ic-BL", "SN Ic-pec", "SN Icn", "SN II", "SN II-pec", "SN IIb", "SN IIL", "SN IIn", "SN IIn-pec",
    "SN IIP", "TDE" };
/* clang-format on */

static bool is_one_of(const char *text, const char *const *name, size_t n)
{
    for (size_t k = 0; text && k < n; k++)
        if (!strcmp(text, name[k])) return true;
    return false;
}

bool nj_may_be_extragalactic(const char *otype)
{
    return !otype || is_one_of(otype, extragalactic, sizeof extragalactic / sizeof *extragalactic);
}

bool nj_may_be_young_transient(const char *label)
{
    return is_one_of(label, young, sizeof young / sizeof *young);
}

bool nj_is_tns_transient(const char *type)
{
    return is_one_of(type, tns, sizeof tns / sizeof *tns);
}
