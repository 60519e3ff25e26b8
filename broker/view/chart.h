/* chart.h - what the terminal's and the PNG's light curve have in common. */
#ifndef NJ_VIEW_CHART_H
#define NJ_VIEW_CHART_H

#include "draw.h"

typedef struct nj_chart {
    double first_day, last_day; /* before the last point; first < last */
    double bright, faint;       /* magnitudes of the upper and lower border; bright < faint */
    double mag_step;            /* between labels */
    uint32_t n_bands;
    uint8_t band[8]; /* those that occur, in order of wavelength; 255 last */
    double jd;       /* of the last point */
} nj_chart;

typedef struct nj_band_style {
    const char *name;
    int ansi;
    uint8_t rgb[3];
} nj_band_style;

/* -1 when no point can be drawn. */
int nj_chart_fit(nj_chart *chart, const nj_curve_point *point, uint32_t n);
const nj_band_style *nj_band_style_of(uint8_t band);

#endif
