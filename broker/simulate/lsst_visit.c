/* lsst_visit.c - where and when Rubin sees an object: sensor and pixel, visit, band, time and flux. */
#include "lsst_visit.h"

#include <math.h>

#include "lsst.h"

enum { SENSOR_PIXELS = 4000, GRID = 15 };
const char *const nj_sim_lsst_band[NJ_SIM_LSST_BANDS] = { "u", "g", "r", "i", "z", "y" };
/* The sky of world.h, this much fainter: a single visit reaches 24. */
static const double deeper_mag = 3.4;
/* AB magnitudes of the six bands against the world's g (u, g) and r (r, i, z, y). */
static const double band_mag[NJ_SIM_LSST_BANDS] = { 0.8, 0, 0, -0.15, -0.25, -0.3 };
static const double half_exposure_s = 15, tai_minus_utc_s = 37;

double nj_sim_lsst_offset(int band)
{
    return deeper_mag + band_mag[band];
}

/* The 189 sensors fill a 15 x 15 grid without its corners (three on three each). */
static void sensor_cell(int sensor, int *col, int *row)
{
    int n = 0;
    for (*row = 0; *row < GRID; ++*row)
        for (*col = 0; *col < GRID; ++*col) {
            int corner = (*row < 3 || *row >= GRID - 3) && (*col < 3 || *col >= GRID - 3);
            if (!corner && n++ == sensor) return;
        }
}

void nj_sim_lsst_place(nj_sim_object *o, const nj_sim_epoch *now)
{
    nj_sim_rng r = { nj_sim_key(o->key, 40), 0 };
    double ra, dec, step = 0.235, pixel = 0.2 / 3600;
    int col, row;
    nj_sim_field_centre(now->field, &ra, &dec);
    dec = 5 - 0.6 * (dec + 24.25); /* the grid of fields, seen from the south */
    sensor_cell(now->rcid, &col, &row);
    o->x = nj_sim_between(&r, 26, SENSOR_PIXELS - 26);
    o->y = nj_sim_between(&r, 26, SENSOR_PIXELS - 26);
    o->dec = fmax(-89.9, fmin(89.9, dec + (row - GRID / 2) * step + (o->y - SENSOR_PIXELS / 2) * pixel));
    o->ra = fmod(
        ra + ((col - GRID / 2) * step + (o->x - SENSOR_PIXELS / 2) * pixel) / cos(o->dec * M_PI / 180) + 720,
        360);
}

int nj_sim_lsst_band_of(const nj_sim_epoch *e)
{
    static const uint8_t blue[3] = { 0, 1, 1 }, red[6] = { 2, 2, 3, 3, 4, 5 };
    uint64_t h = nj_sim_key(0x55, (uint64_t)llround(e->jd * 1e7));
    return e->band ? red[h % 6] : blue[h % 3];
}

double nj_sim_lsst_mjd_tai(double jd_utc_start)
{
    return jd_utc_start - 2400000.5 + (half_exposure_s + tai_minus_utc_s) / 86400;
}

int64_t nj_sim_lsst_visit(int night, uint32_t sequence)
{
    int year, month, day;
    nj_sim_civil(night, &year, &month, &day);
    return ((int64_t)year * 10000 + month * 100 + day) * 100000 + sequence;
}

/* Unique per detection: night, exposure, number in it.
 * Exposures of other nights take numbers from their key. */
int64_t nj_sim_lsst_source_id(int night, uint32_t visit, uint32_t j)
{
    return (((int64_t)night << 13) + visit) * ((int64_t)1 << 32) + j;
}

double nj_sim_lsst_njy(int band)
{
    return pow(10, 0.4 * (31.4 - deeper_mag - band_mag[band]));
}

/* Flux of what stands in the template at the place itself, nJy. */
double nj_sim_lsst_template(const nj_sim_object *o, const nj_sim_epoch *e, int band)
{
    double sum = 0;
    for (uint32_t i = 0; i < o->n_sources; i++)
        if (hypot(o->source[i].dx, o->source[i].dy) < 1)
            sum += pow(10, -0.4 * o->source[i].mag[e->band]) * nj_sim_lsst_njy(band);
    return sum;
}
