/* nightjar/phase.h - phase curves of asteroids: reduced magnitude against phase angle and aspect
 * (libnightjar-kit.a, modules/kit/num/phase*.c).
 *
 * Reference: Bowell et al. 1989, in Asteroids II; Muinonen et al. 2010, Icarus 209, 542; Penttilae et al.
 *   2016, Planet. Space Sci. 123, 117; Carry et al. 2024, A&A 687, A38 (sHG1G2),
 *   doi:10.1051/0004-6361/202449789. */
#ifndef NIGHTJAR_PHASE_H
#define NIGHTJAR_PHASE_H
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum nj_phase_model { NJ_HG, NJ_HG12, NJ_HG1G2, NJ_SHG1G2, NJ_PHASE_MODELS } nj_phase_model;
enum { NJ_PHASE_BANDS = 6, NJ_PHASE_SHAPE = 2, NJ_PHASE_PARAMETERS = NJ_PHASE_BANDS * 3 + 3 };

/* Basis functions at a phase angle [rad], 0 to pi. */
void nj_phase_hg(double phase, double basis[2]);
void nj_phase_hg1g2(double phase, double basis[3]);

typedef struct nj_phase_points {
    uint32_t n;
    const double *mag, *err; /* [n] reduced to 1 au from the Sun and the observer; 1 sigma */
    const double *phase;     /* [n] rad */
    const double *ra, *dec;  /* [n] rad; for the spin alone */
    const uint8_t *band;     /* [n] below n_bands */
    uint32_t n_bands;
} nj_phase_points;

/* Parameters per band: H, then G; G12; G1, G2; G1, G2. Behind all bands those of the spin: R (polar to
 * equatorial flux), alpha0, delta0 of the pole [rad]. */
uint32_t nj_phase_shape(nj_phase_model model); /* parameters per band besides H */
uint32_t nj_phase_parameters(nj_phase_model model, uint32_t n_bands);

typedef struct nj_phase_fit {
    bool fitted;            /* false: fewer points than parameters, or a singular problem: then all is NaN */
    bool converged, errors; /* ended by itself; the covariance could be inverted */
    uint32_t n_parameters;
    double parameter[NJ_PHASE_PARAMETERS], error[NJ_PHASE_PARAMETERS];
    double rms, rms_band[NJ_PHASE_BANDS];
    double chi2red; /* sum (residual / error)^2 / (n - n_parameters - 1) */
} nj_phase_fit;

/* Magnitude of the model. */
double nj_phase_mag(nj_phase_model model, const double *parameter, uint32_t band, uint32_t n_bands,
                    double phase, double ra, double dec);

/* Doubles of the work area. */
#define NJ_PHASE_WORK(n) (((size_t)(n) + 1) * 7)
/* weighted: residuals over their errors; else as the reference, unweighted. */
void nj_phase_fit_points(nj_phase_model model, const nj_phase_points *points, bool weighted, double *work,
                         nj_phase_fit *fit);

#ifdef __cplusplus
}
#endif
#endif
