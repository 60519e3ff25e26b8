/* survey.c - where ZTF points, when, and how deep: fields, filters and the epochs of a night. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

/* ---- the grid of pointings: rows of declination, as many per row as fit ---------------------- */
enum { FIRST_FIELD = 245, N_ROWS = 15 };
static const double first_dec = -24.25, row_step = 7.2;

static int fields_in_row(int row)
{
    return (int)(360 * cos((first_dec + row * row_step) * M_PI / 180) / 7.4);
}

static int n_fields(void)
{
    int n = 0;
    for (int row = 0; row < N_ROWS; row++) n += fields_in_row(row);
    return n;
}

void nj_sim_field_centre(int field, double *ra, double *dec)
{
    int at = field - FIRST_FIELD, row = 0;
    while (row < N_ROWS - 1 && at >= fields_in_row(row)) at -= fields_in_row(row++);
    *dec = first_dec + row * row_step;
    *ra = 360.0 * at / fields_in_row(row);
}

double nj_sim_star_density(uint64_t seed, int field)
{
    nj_sim_rng r = { nj_sim_key(seed, 0x100000u + (uint64_t)field), 0 };
    return nj_sim_lognormal(&r, 2.0, 0.6);
}

/* ---- the night ------------------------------------------------------------------------------- */
typedef struct pick {
    int field;
    uint64_t rank; /* order of choice: the same on every night of a seed,
                    * so that nights see the same fields */
    double hours;  /* order of observation: how far west of the evening's horizon */
} pick;

static int by_rank(const void *a, const void *b)
{
    uint64_t x = ((const pick *)a)->rank, y = ((const pick *)b)->rank;
    return (x > y) - (x < y);
}
static int by_hours(const void *a, const void *b)
{
    double x = ((const pick *)a)->hours, y = ((const pick *)b)->hours;
    return (x > y) - (x < y);
}

/* Fields within 100 degrees of the anti-solar point. */
static int visible(pick *list, uint64_t seed, int night)
{
    double sun = fmod(280.5 + 0.98565 * night, 360), dusk = fmod(sun + 180 - 100 + 720, 360);
    int n = 0, all = n_fields();
    for (int f = FIRST_FIELD; f < FIRST_FIELD + all; f++) {
        double ra, dec;
        nj_sim_field_centre(f, &ra, &dec);
        double west = fmod(ra - dusk + 720, 360);
        if (west < 200) list[n++] = (pick){ f, nj_sim_key(seed, 0x200000u + (uint64_t)f), west };
    }
    return n;
}

const nj_sim_cadence nj_sim_ztf_cadence = { .n_sensors = 64, .block = 16, .step_s = 900 };
const nj_sim_cadence nj_sim_lsst_cadence = { .n_sensors = 189, .block = 50, .step_s = 39, .bursts = 1 };

/* The two visits of a pointing lie half a block apart:
 * first all fields of a block in one band, then in the other. */
static void lay_out(nj_sim_night *plan, const nj_sim_cadence *cadence, const pick *list, int n_visible,
                    const double *weight, uint64_t n_alerts)
{
    uint32_t n = plan->n_exposures, pointings = (n + 1) / 2,
             block = pointings < cadence->block ? pointings : cadence->block;
    double step = 0.40 / n, sum = 0, total = 0;
    if (step > cadence->step_s / 86400) step = cadence->step_s / 86400;
    for (uint32_t e = 0; e < n; e++) {
        uint32_t from = e / (2 * block) * block, size = pointings - from < block ? pointings - from : block;
        uint32_t within = e - 2 * from, visit = within >= size, pointing = from + within - visit * size;
        nj_sim_exposure *x = &plan->exposure[e];
        uint32_t twin = 2 * from + (visit ? within - size : within + size);
        *x = (nj_sim_exposure){ .night = plan->night,
                                .field = list[pointing % (uint32_t)n_visible].field,
                                .index = e,
                                .visit = visit,
                                .twin = twin < n ? twin : e };
        x->band = (int)((nj_sim_key(plan->seed, (uint64_t)x->field) + (uint64_t)plan->night + visit) & 1);
        x->jd = round((NJ_SIM_JD_NIGHT_0 + plan->night + 0.12 + step * e) * 1e7) / 1e7;
        total += weight[pointing];
    }
    for (uint32_t e = 0; e < n; e++) {
        uint32_t from = e / (2 * block) * block, size = pointings - from < block ? pointings - from : block;
        uint32_t within = e - 2 * from, pointing = from + within - (within >= size) * size;
        uint64_t first = (uint64_t)llround(sum / total * (double)n_alerts);
        sum += weight[pointing];
        uint64_t next = e == n - 1 ? n_alerts : (uint64_t)llround(sum / total * (double)n_alerts);
        plan->exposure[e].first = first;
        plan->exposure[e].n = (uint32_t)(next - first);
        plan->exposure[e].n_nominal = 1 + (uint32_t)(weight[pointing] / total * (double)n_alerts);
    }
}

int nj_sim_night_plan(nj_sim_night *plan, const nj_sim_cadence *cadence, uint64_t seed, int night,
                      uint64_t n_alerts, uint32_t n_exposures)
{
    uint32_t pointings = (n_exposures + 1) / 2;
    *plan = (nj_sim_night){
        .seed = seed, .night = night, .n_exposures = n_exposures, .n_sensors = cadence->n_sensors
    };
    plan->exposure = calloc(n_exposures, sizeof *plan->exposure);
    pick *list = calloc((size_t)n_fields(), sizeof *list);
    double *weight = calloc(pointings, sizeof *weight);
    int rc = -1;
    if (!plan->exposure || !list || !weight) goto done;
    int n = visible(list, seed, night);
    if (n < 1) goto done; /* never: 200 degrees of right ascension hold half of the fields */
    qsort(list, (size_t)n, sizeof *list, by_rank);
    if (pointings < (uint32_t)n) n = (int)pointings;
    qsort(list, (size_t)n, sizeof *list, by_hours);
    for (uint32_t p = 0; p < pointings; p++) {
        nj_sim_rng r = { nj_sim_key(seed, 0x300000u + (uint64_t)list[p % (uint32_t)n].field), 0 };
        weight[p] = cadence->bursts ? (nj_sim_uniform(&r) < 1.0 / 16 ? 4 : 1) : nj_sim_lognormal(&r, 1, 0.5);
    }
    lay_out(plan, cadence, list, n, weight, n_alerts);
    rc = 0;
done:
    free(list);
    free(weight);
    if (rc) nj_sim_night_free(plan);
    return rc;
}

void nj_sim_night_free(nj_sim_night *plan)
{
    free(plan->exposure);
    plan->exposure = NULL;
}

const nj_sim_exposure *nj_sim_night_find(const nj_sim_night *plan, uint64_t alert)
{
    uint32_t lo = 0, hi = plan->n_exposures; /* the last exposure whose first <= alert, skipping empty ones */
    while (hi - lo > 1) {
        uint32_t middle = lo + (hi - lo) / 2;
        if (plan->exposure[middle].first <= alert)
            lo = middle;
        else
            hi = middle;
    }
    return &plan->exposure[lo];
}

int nj_sim_quadrant(const nj_sim_night *plan, const nj_sim_exposure *e, uint32_t j, uint32_t *rank)
{
    double until[NJ_SIM_SENSORS_MAX], sum = 0;
    int last = (int)plan->n_sensors - 1;
    nj_sim_rng r = { nj_sim_key(plan->seed, 0x400000u + (uint64_t)e->field), 0 };
    for (int q = 0; q <= last; q++) until[q] = sum += -log(nj_sim_uniform(&r)) + 0.1;
    uint32_t n = e->n_nominal, start = 0;
    double at = fmod((j + 0.5) / n, 1) * sum;
    for (int q = 0; q <= last; q++) {
        if (at < until[q] || q == last) {
            *rank = (j % n) - start + j / n * n; /* alerts beyond the nominal number wrap round */
            return q;
        }
        start = (uint32_t)ceil(until[q] / sum * n - 0.5);
    }
    return 0;
}

/* ---- epochs ---------------------------------------------------------------------------------- */
static float tenth_milli(double x)
{
    return (float)(round(x * 1e4) / 1e4);
}

void nj_sim_epoch_fill(nj_sim_epoch *epoch, uint64_t seed, double jd, int field, int rcid, int band)
{
    double days = jd - NJ_SIM_JD_NIGHT_0, night = floor(days);
    uint64_t exposure = nj_sim_key(nj_sim_key(seed, 0x500000u), (uint64_t)llround(jd * 1e7));
    nj_sim_rng all = { exposure, 0 };
    double seeing = nj_sim_lognormal(&all, 2.05, 0.22), sky = nj_sim_lognormal(&all, band ? 170 : 125, 0.42),
           clouds = -0.25 * log(nj_sim_uniform(&all));
    double dither_x = 8 * nj_sim_normal(&all), dither_y = 8 * nj_sim_normal(&all);
    nj_sim_rng r = { nj_sim_key(exposure, (uint64_t)rcid), 0 };
    *epoch = (nj_sim_epoch){
        .jd = jd, .night = (int)night, .field = field, .rcid = rcid, .band = band, .key = r.key
    };
    epoch->dither_x = dither_x;
    epoch->dither_y = dither_y;
    epoch->fwhm = (float)(seeing * (1 + 0.06 * fabs(nj_sim_normal(&r))));
    if (epoch->fwhm < 1.3f) epoch->fwhm = 1.3f;
    epoch->sky = (float)(sky * (1 + 0.03 * nj_sim_normal(&r)));
    double zero = (band ? 26.22 : 26.30) + 0.05 * nj_sim_normal(&r) - 0.4 * (clouds > 0.4 ? clouds - 0.4 : 0);
    epoch->zero_mag = (float)(round(zero * 1e6) / 1e6);
    /* Five sigma through a matched filter, and the 0.55 mag that the real pipeline loses beside. */
    double sigma_psf = epoch->fwhm / 2.3548,
           noise = 5 * nj_sim_sky_sigma(epoch->sky) * 1.05 * sqrt(4 * M_PI) * sigma_psf;
    epoch->limit_mag = tenth_milli(zero - 2.5 * log10(noise) - 0.55 + 0.03 * nj_sim_normal(&r));
    epoch->zero_mag_unc = (float)nj_sim_lognormal(&r, 1.0e-5, 0.9);
    epoch->zero_mag_rms = (float)(0.034 + 0.008 * fabs(nj_sim_normal(&r)));
    epoch->colour_coeff = (float)((band ? 0.095 : -0.06) + 0.015 * nj_sim_normal(&r));
    epoch->colour_unc = epoch->zero_mag_unc * 1.6f;
    epoch->pid = ((int64_t)night * 100000 + (int64_t)((days - night) * 1e5)) * 10000 + rcid * 100 + 15;
}

static int by_time(const void *a, const void *b)
{
    double x = ((const nj_sim_epoch *)a)->jd, y = ((const nj_sim_epoch *)b)->jd;
    return (x > y) - (x < y);
}

uint32_t nj_sim_epochs_before(nj_sim_epoch *epoch, uint64_t seed, const nj_sim_epoch *now)
{
    uint64_t place = nj_sim_key(nj_sim_key(seed, 0x600000u + (uint64_t)now->field), (uint64_t)now->rcid);
    nj_sim_rng cadence = { place, 0 };
    double per_month = nj_sim_lognormal(&cadence, 17, 0.88);
    if (per_month > 110) per_month = 110;
    uint32_t n = 0;
    for (int night = now->night - NJ_SIM_HISTORY_DAYS; night < now->night; night++) {
        nj_sim_rng r = { nj_sim_key(place, (uint64_t)night), 0 };
        unsigned visits = nj_sim_poisson(&r, per_month / NJ_SIM_HISTORY_DAYS / 2);
        for (unsigned v = 0; v < visits; v++) {
            double first = nj_sim_between(&r, 0.12, 0.48), second = first + nj_sim_between(&r, 0.02, 0.06);
            int band = nj_sim_uniform(&r) < 0.5,
                field = nj_sim_uniform(&r) < 0.12 ? now->field + 1 : now->field;
            for (int half = 0; half < 2 && n < NJ_SIM_EPOCHS_MAX - 1; half++) {
                double jd = round((NJ_SIM_JD_NIGHT_0 + night + (half ? second : first)) * 1e7) / 1e7;
                if (jd <= now->jd - NJ_SIM_HISTORY_DAYS) continue;
                if (nj_sim_uniform(&r) < 0.06) continue; /* lost to clouds */
                nj_sim_epoch_fill(&epoch[n++], seed, jd, field, now->rcid, band ^ half);
            }
        }
    }
    qsort(epoch, n, sizeof *epoch, by_time);
    return n;
}
