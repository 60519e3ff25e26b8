#include "energy.h"

nj_energy_source nj_energy_best(void)
{
    /* 4 W per busy thread is codecarbon's default for an unknown CPU; its error is an order of magnitude, so the band
     * is a factor sqrt(10) to each side. */
    return (nj_energy_source){ "unknown", "assumed", "4 W per busy thread (codecarbon's default for an unknown CPU)", 2024, 4.0, 1.3, 13.0 };
}
