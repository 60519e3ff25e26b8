/* rainbow.c - the Rainbow fit of any light curve: one temperature and one bolometric flux for all bands.
 *
 * Given: fluxes with errors; which bands take part, and their wavelengths (setting bands).
 * Returned: the parameters of the chosen terms with errors, chi^2, how the fit ended. Columns of
 *   parameters that the terms do not have stay empty.
 * Notes: setting bolometric: sigmoid (rises to a plateau), bazin (rises and falls; the peak is the
 *   amplitude), linexp (a linear rise times an exponential fall; with a rise_time below 0 the other way
 *   round), doublexp. Setting temperature: constant, sigmoid (from t_max before to t_min after; either may
 *   be the larger), delayed_sigmoid. Fluxes are differences, so a source that was in the template needs
 *   baseline = 1. The fit is that of light-curve 0.10 (nightjar/rainbow.h), which minimises half the chi^2
 *   and a small barrier at the bounds. The features of Fink's early type Ia supernovae for Rubin are those
 *   of sigmoid and sigmoid with min_points = 7 where n_rising exceeds 2 with two bands and 3 with more,
 *   amplitude in units of max_flux; its model is not public.
 * Reference: Russeil et al. 2024, A&A 683, A251, doi:10.1051/0004-6361/202348158. */
#include "nightjar/rainbow.h"

#include <ctype.h>
#include <stdlib.h>

#include "nightjar/column.h"
#include "nightjar/lc.h"
#include "nightjar/list.h"

enum { JD, FLUX, FLUX_ERR, BAND };
/* Places of the parameters and then of their errors. */
enum {
    P_TIME,
    P_AMPLITUDE,
    P_RISE,
    P_FALL,
    P_TIME1,
    P_TIME2,
    P_P,
    P_T,
    P_TMIN,
    P_TMAX,
    P_COLOR,
    P_DELAY,
    P_BASE,
    PARAMETERS = P_BASE + NJ_RAINBOW_BANDS
};
enum {
    CHI2 = 2 * PARAMETERS,
    CHI2_DOF,
    OBJECTIVE,
    HALF_CHI2_DOF,
    MAX_FLUX,
    N_POINTS,
    N_BANDS,
    N_RISING,
    CONVERGED,
    N_STARTS
};

typedef struct conf {
    const char *bolometric, *temperature, *bands;
    int64_t baseline, min_points, most_points, starts;
    double least_flux;
} conf;

typedef struct state {
    const conf *c;
    nj_rainbow model;
    uint8_t place[NJ_RAINBOW_BANDS];        /* of a number of lc.band in the model; 255 = takes no part */
    uint32_t column[NJ_RAINBOW_PARAMETERS]; /* of a parameter */
} state;

/* --- opening --- */

static const char letters[] = "ugrizy";

/* "g:4770, r:6231" into the model; the offending text, NULL = good. */
static const char *read_bands(const char *text, state *s)
{
    for (uint32_t b = 0; b < NJ_RAINBOW_BANDS; b++) s->place[b] = UINT8_MAX;
    for (const char *at = text; *at;) {
        while (*at == ' ' || *at == ',') at++;
        if (!*at) break;
        const char *letter = strchr(letters, *at);
        char *end = (char *)at;
        const double wavelength = letter && at[1] == ':' ? strtod(at + 2, &end) : 0;
        const uint32_t b = letter ? (uint32_t)(letter - letters) : 0;
        if (end == at || !(wavelength > 100 && wavelength < 1e6) || s->place[b] != UINT8_MAX ||
            (*end && *end != ',' && *end != ' '))
            return at;
        s->place[b] = (uint8_t)s->model.n_bands;
        s->model.wavelength[s->model.n_bands++] = wavelength;
        at = end;
    }
    return s->model.n_bands ? NULL : text;
}

static void set_columns(state *s)
{
    static const uint32_t shape[NJ_BOLOMETRICS][3] = {
        { P_RISE }, { P_RISE, P_FALL }, { P_RISE }, { P_TIME1, P_TIME2, P_P }
    };
    static const uint32_t n_shape[NJ_BOLOMETRICS] = { 1, 2, 1, 3 };
    uint32_t n = 0;
    s->column[n++] = P_TIME;
    s->column[n++] = P_AMPLITUDE;
    for (uint32_t k = 0; k < n_shape[s->model.bolometric]; k++)
        s->column[n++] = shape[s->model.bolometric][k];
    if (s->model.temperature == NJ_T_CONSTANT) s->column[n++] = P_T;
    for (uint32_t k = P_TMIN; k <= P_DELAY && s->model.temperature != NJ_T_CONSTANT; k++)
        if (k != P_DELAY || s->model.temperature == NJ_T_DELAYED_SIGMOID) s->column[n++] = k;
    for (uint32_t b = 0; b < NJ_RAINBOW_BANDS && s->model.baseline; b++)
        if (s->place[b] != UINT8_MAX) s->column[n + s->place[b]] = P_BASE + b;
}

static int open_model(const nj_host *host, const void *settings, void **self)
{
    const conf *c = settings;
    uint32_t bolometric, temperature;
    state *s = host->alloc(host->opaque, sizeof *s);
    if (!s) return NJ_ENOMEM;
    memset(s, 0, sizeof *s);
    if (nj_list_choose(host, "rainbow", "bolometric", c->bolometric,
                       (const char *const[]){ "sigmoid", "bazin", "linexp", "doublexp" }, 4, &bolometric) ||
        nj_list_choose(host, "rainbow", "temperature", c->temperature,
                       (const char *const[]){ "constant", "sigmoid", "delayed_sigmoid" }, 3, &temperature))
        return NJ_ECONF;
    s->c = c;
    s->model = (nj_rainbow){ .bolometric = (nj_bolometric)bolometric,
                             .temperature = (nj_temperature)temperature,
                             .baseline = c->baseline };
    const char *wrong = read_bands(c->bands, s);
    if (wrong) {
        host->log(host->opaque, 0,
                  "rainbow: bands = %s: expected a list such as g:4770, r:6231 (bands %s, Angstrom), at '%s'",
                  c->bands, letters, wrong);
        return NJ_ECONF;
    }
    set_columns(s);
    *self = s;
    return NJ_OK;
}

/* --- one alert --- */

/* The points in order of time; false: no memory. */
static bool take_points(const state *s, const nj_work *w, uint32_t row, nj_rainbow_points *p, double **work)
{
    const uint32_t n = nj_points(w, FLUX, row);
    const double *jd = nj_f64_series(w, JD, row), *flux = nj_f64_series(w, FLUX, row),
                 *err = nj_f64_series(w, FLUX_ERR, row);
    const int32_t *of = nj_i32_series(w, BAND, row);
    double *t = w->scratch(w, (3 * (size_t)n + NJ_RAINBOW_WORK(n)) * sizeof *t), *f = t + n, *e = f + n;
    uint32_t *order = w->scratch(w, (n + 1) * sizeof *order);
    uint8_t *band = w->scratch(w, n + 1);
    if (!t || !order || !band) return false;
    *p = (nj_rainbow_points){ .t = t, .flux = f, .err = e, .band = band };
    *work = e + n;
    nj_order_f64(jd, n, order);
    for (uint32_t k = 0; k < n; k++) {
        const uint32_t i = order[k];
        if (of[i] < 0 || of[i] >= NJ_RAINBOW_BANDS || s->place[of[i]] == UINT8_MAX || !isfinite(jd[i]) ||
            !(fabs(flux[i]) < 1e15) || !(err[i] > 1e-9 && err[i] < 1e15))
            continue;
        t[p->n] = jd[i];
        f[p->n] = flux[i];
        e[p->n] = err[i];
        band[p->n++] = s->place[of[i]];
    }
    return true;
}

static int one(const state *s, const nj_work *w, uint32_t row)
{
    nj_rainbow_points p;
    nj_rainbow_fit fit;
    double *work;
    uint32_t n_bands;
    if (!take_points(s, w, row, &p, &work)) return NJ_ENOMEM;
    double most = -INFINITY, *mjd = work;
    for (uint32_t i = 0; i < p.n; i++) mjd[i] = p.t[i] - 2400000.5, most = fmax(most, p.flux[i]);
    const uint32_t n_rising =
        nj_rainbow_rising_bands(p.n, mjd, p.flux, p.band, s->model.n_bands, s->c->least_flux, &n_bands);
    if (p.n) nj_put_f64(w, MAX_FLUX, row, most);
    nj_put_i32(w, N_POINTS, row, (int32_t)p.n);
    nj_put_i32(w, N_BANDS, row, (int32_t)n_bands);
    nj_put_i32(w, N_RISING, row, (int32_t)n_rising);
    w->reason[row] = p.n < s->c->min_points ? NJ_FEW_POINTS : p.n > s->c->most_points ? NJ_RANGE : NJ_NO_FIT;
    if (w->reason[row] != NJ_NO_FIT) return NJ_OK;
    nj_rainbow_fit_points(&s->model, &p, (uint32_t)s->c->starts, work, &fit);
    if (!fit.fitted) return NJ_OK;
    for (uint32_t k = 0; k < fit.n_parameters; k++) {
        nj_put_f64(w, s->column[k], row, fit.parameter[k]);
        nj_put_f64(w, PARAMETERS + s->column[k], row, fit.error[k]);
    }
    nj_put_f64(w, CHI2, row, fit.chi2);
    nj_put_f64(w, CHI2_DOF, row, fit.chi2_dof);
    nj_put_f64(w, OBJECTIVE, row, fit.objective);
    nj_put_f64(w, HALF_CHI2_DOF, row, fit.half_chi2_dof);
    nj_put_u8(w, CONVERGED, row, fit.converged);
    nj_put_i32(w, N_STARTS, row, (int32_t)fit.n_starts);
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

#define NUMBER(name, unit, doc)                                                                              \
    {                                                                                                        \
        name, NJ_F64, 1, -1, unit, -INFINITY, INFINITY, NAN, 0, doc                                          \
    }
#define COUNT(name, doc)                                                                                     \
    {                                                                                                        \
        name, NJ_I32, 1, -1, "1", 0, INT32_MAX, NAN, 0, doc                                                  \
    }
#define BASE(b)                                                                                              \
    NUMBER("baseline_" b, "nJy", "constant flux in band " b "; none without baseline = 1 or points")
#define PARAMETER_COLUMNS(e, of)                                                                             \
    NUMBER(e "reference_time", "d", of "the middle of the rise or near the peak; none without a fit"),       \
        NUMBER(e "amplitude", "nJy", of "the bolometric flux at the peak or plateau"),                       \
        NUMBER(e "rise_time", "d", of "the time scale of the rise; none with doublexp"),                     \
        NUMBER(e "fall_time", "d", of "the time scale of the fall; of bazin alone"),                         \
        NUMBER(e "time1", "d", of "the first time scale of doublexp"),                                       \
        NUMBER(e "time2", "d", of "the second time scale of doublexp"),                                      \
        NUMBER(e "p", "1", of "the shape of doublexp"),                                                      \
        NUMBER(e "temperature", "K", of "the temperature; of temperature = constant alone"),                 \
        NUMBER(e "t_min", "K", of "the temperature after; none with a constant one"),                        \
        NUMBER(e "t_max", "K", of "the temperature before; none with a constant one"),                       \
        NUMBER(e "t_color", "d", of "the time scale of the change; none with a constant temperature"),       \
        NUMBER(e "t_delay", "d", of "the delay of the change; of delayed_sigmoid alone")

NJ_MODULE(rainbow) = {
    NJ_HEADER,
    .name = "rainbow",
    .version = "1.0",
    .summary = "fit of all bands by a bolometric light curve and a black body",
    .paper = "doi:10.1051/0004-6361/202348158",
    .needs = (const nj_need[]){ { "lc.jd", NJ_F64, NJ_SERIES, "d", 0 },
                                { "lc.flux", NJ_F64, NJ_SERIES, "nJy", 0 },
                                { "lc.flux_err", NJ_F64, NJ_SERIES, "nJy", 0 },
                                { "lc.band", NJ_I32, NJ_SERIES, "1", 0 },
                                { 0 } },
    .gives =
        (const nj_give[]){
            PARAMETER_COLUMNS("", ""),
            BASE("u"),
            BASE("g"),
            BASE("r"),
            BASE("i"),
            BASE("z"),
            BASE("y"),
            PARAMETER_COLUMNS("e_", "1-sigma error, of the full Hessian, of "),
            NUMBER("e_baseline_u", "nJy", "1-sigma error of baseline_u"),
            NUMBER("e_baseline_g", "nJy", "1-sigma error of baseline_g"),
            NUMBER("e_baseline_r", "nJy", "1-sigma error of baseline_r"),
            NUMBER("e_baseline_i", "nJy", "1-sigma error of baseline_i"),
            NUMBER("e_baseline_z", "nJy", "1-sigma error of baseline_z"),
            NUMBER("e_baseline_y", "nJy", "1-sigma error of baseline_y"),
            NUMBER("chi2", "1", "the usual chi^2 of the fit; none without one"),
            NUMBER("chi2_dof", "1", "that per degree of freedom"),
            NUMBER("objective", "1", "what is minimised: half the chi^2, and the barrier of the bounds"),
            NUMBER("half_chi2_dof", "1", "that per degree of freedom: the reduced chi2 of light-curve 0.10"),
            NUMBER("max_flux", "nJy", "largest flux; none without points"),
            COUNT("n_points", "points of the bands that take part"),
            COUNT("n_bands", "bands with points above least_flux"),
            COUNT("n_rising", "bands of them whose nightly means never fall"),
            { "converged", NJ_U8, 1, -1, "1", 0, 1, NAN, 0, "1: the fit ended by itself; none without one" },
            COUNT("n_starts", "starts that were tried; none without a fit"),
            { 0 } },
    .params = (const nj_param[]){ { "bolometric", NJ_STR, "bazin", offsetof(conf, bolometric), 0, 0, "1",
                                    "sigmoid, bazin, linexp or doublexp" },
                                  { "temperature", NJ_STR, "sigmoid", offsetof(conf, temperature), 0, 0, "1",
                                    "constant, sigmoid or delayed_sigmoid" },
                                  { "bands", NJ_STR, "u:3671, g:4827, r:6223, i:7546, z:8691, y:9712",
                                    offsetof(conf, bands), 0, 0, "1",
                                    "bands that take part, with their wavelengths in Angstrom" },
                                  { "baseline", NJ_I64, "0", offsetof(conf, baseline), 0, 1, "1",
                                    "1: with a constant flux in each band" },
                                  { "min_points", NJ_I64, "8", offsetof(conf, min_points), 1, 100000, "1",
                                    "fewest points" },
                                  { "most_points", NJ_I64, "1000", offsetof(conf, most_points), 1, 100000,
                                    "1", "no answer (range) above: a fit of 1000 points takes 50 ms" },
                                  { "least_flux", NJ_F64, "-10", offsetof(conf, least_flux), -1e15, 1e15,
                                    "nJy", "n_rising looks at points above it" },
                                  { "starts", NJ_I64, "7", offsetof(conf, starts), 1, NJ_RAINBOW_STARTS, "1",
                                    "most starts; it ends when 2 (3 above the noise) agree" },
                                  { 0 } },
    .conf_size = sizeof(conf),
    .open = open_model,
    .process = process
};
