/* phase_curve.c - phase curves of asteroids: absolute magnitude and slopes per band, and the spin.
 *
 * Given: the detections of one solar system object with its distances and phase angle at each; one packet has
 *   one detection, so the alerts of an object are joined first (`nightjar objects --by sso`).
 * Returned: H and the shape per band that takes part (at least min_points); of shg1g2 the ratio of polar to
 *   equatorial flux and the pole. Fluxes are made magnitudes; those not above 0 take no part, nor what
 *   was seen at phase angles above 150 deg, where the functions of the models end.
 * Notes: the reference's fits are unweighted, errors enter chi2red alone: weighted = 0 is that. A pole and
 *   the one opposite to it describe the data equally well. The loss is nearly quadratic, and flattens beyond
 *   1 mag.
 * Reference: Bowell et al. 1989, in Asteroids II (hg); Penttilae et al. 2016, Planet. Space Sci. 123, 117
 *   (hg12); Muinonen et al. 2010, Icarus 209, 542 (hg1g2); Carry et al. 2024, A&A 687, A38 (shg1g2). */
#include "nightjar/phase.h"

#include "nightjar/astro.h"
#include "nightjar/column.h"

enum { JD, FLUX, FLUX_ERR, BAND, RA, DEC, PHASE, HELIO, TOPO };
enum { H, E_H, G1, E_G1, G2, E_G2, RMS_BAND, N_BAND, PER_BAND };
enum {
    RATIO = PER_BAND * NJ_PHASE_BANDS,
    E_RATIO,
    ALPHA0,
    E_ALPHA0,
    DELTA0,
    E_DELTA0,
    RMS,
    CHI2RED,
    N_POINTS,
    N_BANDS,
    PHASE_MIN,
    PHASE_MAX,
    SPAN,
    CONVERGED
};

typedef struct conf {
    const char *model;
    int64_t weighted, min_points, most_points;
} conf;

typedef struct state {
    const conf *c;
    nj_phase_model model;
} state;

static int open_model(const nj_host *host, const void *c_, void **self)
{
    static const char *const name[NJ_PHASE_MODELS] = { "hg", "hg12", "hg1g2", "shg1g2" };
    const conf *c = c_;
    state *s = host->alloc(host->opaque, sizeof *s);
    if (!s) return NJ_ENOMEM;
    *s = (state){ .c = c, .model = NJ_PHASE_MODELS };
    for (int m = 0; m < NJ_PHASE_MODELS; m++)
        if (!strcmp(c->model, name[m])) s->model = (nj_phase_model)m;
    if (s->model == NJ_PHASE_MODELS) {
        host->log(host->opaque, 0, "model '%s' is not known: hg, hg12, hg1g2 or shg1g2", c->model);
        return NJ_ECONF;
    }
    *self = s;
    return NJ_OK;
}

typedef struct points {
    nj_phase_points p;
    double *mag, *err, *phase, *ra, *dec;
    uint8_t *band;
    uint8_t of[NJ_PHASE_BANDS]; /* the k-th that takes part is this one */
    uint32_t n_of[NJ_PHASE_BANDS];
    double span, phase_min, phase_max;
} points;

static const double most_phase = 150; /* deg; the functions of the models end there */

/* May point i take part, whatever the others are? */
static bool usable(const nj_work *w, uint32_t row, uint32_t i)
{
    const int32_t band = nj_i32_series(w, BAND, row)[i];
    const double flux = nj_f64_series(w, FLUX, row)[i], err = nj_f64_series(w, FLUX_ERR, row)[i],
                 phase = nj_f64_series(w, PHASE, row)[i], helio = nj_f64_series(w, HELIO, row)[i],
                 topo = nj_f64_series(w, TOPO, row)[i];
    return band >= 0 && band < NJ_PHASE_BANDS && flux > 1e-9 && flux < 1e18 && err / flux > 1e-9 &&
           err / flux < 1e9 && phase >= 0 && phase <= most_phase && helio > 1e-3 && helio < 1e5 &&
           topo > 1e-5 && topo < 1e5 && isfinite(nj_f64_series(w, RA, row)[i]) &&
           isfinite(nj_f64_series(w, DEC, row)[i]);
}

/* false: no memory */
static bool take_points(const state *s, const nj_work *w, uint32_t row, points *q)
{
    const uint32_t n = nj_points(w, FLUX, row);
    double *room = w->scratch(w, 5 * ((size_t)n + 1) * sizeof *room), first = INFINITY, last = -INFINITY;
    *q = (points){ .band = w->scratch(w, n + 1), .mag = room, .phase_min = INFINITY, .phase_max = -INFINITY };
    if (!room || !q->band) return false;
    q->err = room + n, q->phase = q->err + n, q->ra = q->phase + n, q->dec = q->ra + n;
    uint32_t count[NJ_PHASE_BANDS] = { 0 }, n_bands = 0;
    uint8_t place[NJ_PHASE_BANDS];
    for (uint32_t i = 0; i < n; i++)
        if (usable(w, row, i)) count[nj_i32_series(w, BAND, row)[i]]++;
    for (uint8_t b = 0; b < NJ_PHASE_BANDS; b++) {
        if (!count[b] || count[b] < s->c->min_points) continue;
        q->n_of[n_bands] = count[b];
        q->of[n_bands] = b;
        place[b] = (uint8_t)n_bands++;
    }
    uint32_t m = 0;
    for (uint32_t i = 0; i < n; i++) {
        const int32_t b = nj_i32_series(w, BAND, row)[i];
        if (!usable(w, row, i) || count[b] < s->c->min_points) continue;
        const double flux = nj_f64_series(w, FLUX, row)[i], phase = nj_f64_series(w, PHASE, row)[i],
                     jd = nj_f64_series(w, JD, row)[i];
        q->mag[m] = nj_mag_of_flux(flux / NJ_NJY_OF_MAG0) -
                    5 * log10(nj_f64_series(w, HELIO, row)[i] * nj_f64_series(w, TOPO, row)[i]);
        q->err[m] = NJ_MAG_PER_RELATIVE_FLUX * nj_f64_series(w, FLUX_ERR, row)[i] / flux;
        q->phase[m] = phase * NJ_RAD_PER_DEG;
        q->ra[m] = nj_f64_series(w, RA, row)[i] * NJ_RAD_PER_DEG;
        q->dec[m] = nj_f64_series(w, DEC, row)[i] * NJ_RAD_PER_DEG;
        q->phase_min = fmin(q->phase_min, phase);
        q->phase_max = fmax(q->phase_max, phase);
        first = fmin(first, jd);
        last = fmax(last, jd);
        q->band[m++] = place[b];
    }
    q->span = last - first;
    q->p = (nj_phase_points){ m, q->mag, q->err, q->phase, q->ra, q->dec, q->band, n_bands };
    return true;
}

static void give(const state *s, const nj_work *w, uint32_t row, const points *q, const nj_phase_fit *fit)
{
    const uint32_t shape = nj_phase_shape(s->model);
    for (uint32_t b = 0; b < q->p.n_bands; b++) {
        const uint32_t first = b * (1 + shape), to = q->of[b] * PER_BAND;
        for (uint32_t k = 0; k <= shape; k++) { /* H, then the shape */
            nj_put_f64(w, to + 2 * k, row, fit->parameter[first + k]);
            nj_put_f64(w, to + 2 * k + 1, row, fit->error[first + k]);
        }
        nj_put_f64(w, to + RMS_BAND, row, fit->rms_band[b]);
    }
    if (s->model == NJ_SHG1G2)
        for (uint32_t k = 0; k < 3; k++) {
            const uint32_t from = fit->n_parameters - 3 + k;
            const double unit = k ? 1 / NJ_RAD_PER_DEG : 1;
            nj_put_f64(w, RATIO + 2 * k, row, unit * fit->parameter[from]);
            nj_put_f64(w, RATIO + 2 * k + 1, row, unit * fit->error[from]);
        }
    nj_put_f64(w, RMS, row, fit->rms);
    nj_put_f64(w, CHI2RED, row, fit->chi2red);
    nj_put_u8(w, CONVERGED, row, fit->converged);
}

static int one(const state *s, const nj_work *w, uint32_t row)
{
    points q;
    nj_phase_fit fit;
    if (!take_points(s, w, row, &q)) return NJ_ENOMEM;
    nj_put_i32(w, N_POINTS, row, (int32_t)q.p.n);
    nj_put_i32(w, N_BANDS, row, (int32_t)q.p.n_bands);
    for (uint32_t b = 0; b < q.p.n_bands; b++)
        nj_put_i32(w, q.of[b] * PER_BAND + N_BAND, row, (int32_t)q.n_of[b]);
    if (q.p.n) {
        nj_put_f64(w, PHASE_MIN, row, q.phase_min);
        nj_put_f64(w, PHASE_MAX, row, q.phase_max);
        nj_put_f64(w, SPAN, row, q.span);
    }
    w->reason[row] = !q.p.n || q.p.n < nj_phase_parameters(s->model, q.p.n_bands) ? NJ_FEW_POINTS
                     : q.p.n > s->c->most_points                                  ? NJ_RANGE
                                                                                  : NJ_NO_FIT;
    if (w->reason[row] != NJ_NO_FIT) return NJ_OK;
    double *work = w->scratch(w, NJ_PHASE_WORK(q.p.n) * sizeof *work);
    if (!work) return NJ_ENOMEM;
    nj_phase_fit_points(s->model, &q.p, s->c->weighted, work, &fit);
    if (!fit.fitted) return NJ_OK;
    give(s, w, row, &q, &fit);
    w->reason[row] = NJ_DONE;
    return NJ_OK;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        int rc = one(self, w, w->row[k]);
        if (rc != NJ_OK) return rc;
    }
    return NJ_OK;
}

#define NUMBER(name, unit, low, high, doc)                                                                   \
    {                                                                                                        \
        name, NJ_F64, 1, -1, unit, low, high, NAN, 0, doc                                                    \
    }
#define COUNT(name, doc)                                                                                     \
    {                                                                                                        \
        name, NJ_I32, 1, -1, "1", 0, INT32_MAX, NAN, 0, doc                                                  \
    }
#define BAND_COLUMNS(b)                                                                                      \
    NUMBER("h_" b, "mag", -INFINITY, INFINITY,                                                               \
           "absolute magnitude in " b "; none without a fit of the band"),                                   \
        NUMBER("e_h_" b, "mag", 0, INFINITY, "its 1-sigma error; none where it has none"),                   \
        NUMBER("g1_" b, "1", -INFINITY, INFINITY, "G of hg, G12 of hg12, else G1; none without a fit"),      \
        NUMBER("e_g1_" b, "1", 0, INFINITY, "its 1-sigma error; none where it has none"),                    \
        NUMBER("g2_" b, "1", -INFINITY, INFINITY, "G2; none without a fit, and of hg and hg12"),             \
        NUMBER("e_g2_" b, "1", 0, INFINITY, "its 1-sigma error; none where it has none"),                    \
        NUMBER("rms_" b, "mag", 0, INFINITY, "rms of the residuals in " b "; none without a fit"),           \
        COUNT("n_" b, "points in " b " that take part; none when they are too few")

NJ_MODULE(phase_curve) = {
    NJ_HEADER,
    .name = "phase_curve",
    .version = "1.0",
    .summary = "phase curves of solar system objects, over all of an object's alerts",
    .paper = "doi:10.1051/0004-6361/202449789",
    .needs = (const nj_need[]){ { "sso.jd", NJ_F64, NJ_SERIES, "d", 0 },
                                { "sso.flux", NJ_F64, NJ_SERIES, "nJy", 0 },
                                { "sso.flux_err", NJ_F64, NJ_SERIES, "nJy", 0 },
                                { "sso.band", NJ_I32, NJ_SERIES, "1", 0 },
                                { "sso.ra", NJ_F64, NJ_SERIES, "deg", 0 },
                                { "sso.dec", NJ_F64, NJ_SERIES, "deg", 0 },
                                { "sso.phase", NJ_F64, NJ_SERIES, "deg", 0 },
                                { "sso.helio", NJ_F64, NJ_SERIES, "au", 0 },
                                { "sso.topo", NJ_F64, NJ_SERIES, "au", 0 },
                                { 0 } },
    .gives =
        (const nj_give[]){
            BAND_COLUMNS("u"),
            BAND_COLUMNS("g"),
            BAND_COLUMNS("r"),
            BAND_COLUMNS("i"),
            BAND_COLUMNS("z"),
            BAND_COLUMNS("y"),
            NUMBER("ratio", "1", 0.3, 1, "polar over equatorial flux; of shg1g2, none without a fit"),
            NUMBER("e_ratio", "1", 0, INFINITY, "its 1-sigma error"),
            NUMBER("alpha0", "deg", 0, 360, "right ascension of the pole; of shg1g2"),
            NUMBER("e_alpha0", "deg", 0, INFINITY, "its 1-sigma error"),
            NUMBER("delta0", "deg", -90, 90, "declination of the pole; of shg1g2"),
            NUMBER("e_delta0", "deg", 0, INFINITY, "its 1-sigma error"),
            NUMBER("rms", "mag", 0, INFINITY, "rms of all residuals; none without a fit"),
            NUMBER("chi2red", "1", 0, INFINITY,
                   "sum of (residual / error)^2 over n - parameters - 1; none without a fit"),
            COUNT("n_points", "points of the bands that take part"),
            COUNT("n_bands", "those bands"),
            NUMBER("phase_min", "deg", 0, 150, "least phase angle; none without points"),
            NUMBER("phase_max", "deg", 0, 150, "largest phase angle; none without points"),
            NUMBER("span", "d", 0, INFINITY, "from the first to the last point; none without"),
            { "converged", NJ_U8, 1, -1, "1", 0, 1, NAN, 0, "1: the fit ended by itself; none without one" },
            { 0 } },
    .params = (const nj_param[]){ { "model", NJ_STR, "shg1g2", offsetof(conf, model), 0, 0, "1",
                                    "hg, hg12, hg1g2 or shg1g2" },
                                  { "weighted", NJ_I64, "0", offsetof(conf, weighted), 0, 1, "1",
                                    "1: residuals over their errors; 0: as Fink's, unweighted" },
                                  { "min_points", NJ_I64, "3", offsetof(conf, min_points), 1, 100000, "1",
                                    "fewest points of a band that takes part" },
                                  { "most_points", NJ_I64, "20000", offsetof(conf, most_points), 1, 1000000,
                                    "1", "no answer (range) above" },
                                  { 0 } },
    .conf_size = sizeof(conf),
    .open = open_model,
    .process = process
};
