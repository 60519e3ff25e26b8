#include "wcs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double RAD = M_PI / 180;

/* A number of the header, or `other` where it is not there. */
static double number(fitsfile *f, const char *key, double other)
{
    int status = 0;
    double value;
    return fits_read_key(f, TDOUBLE, key, &value, NULL, &status) ? other : value;
}

static double indexed(fitsfile *f, const char *format, int i, int j, double other)
{
    char key[FLEN_KEYWORD];
    snprintf(key, sizeof key, format, i, j);
    return number(f, key, other);
}

static bool any(fitsfile *f, const char *prefix)
{
    int status = 0;
    char pattern[FLEN_KEYWORD], card[FLEN_CARD];
    const char *list[] = { pattern };
    snprintf(pattern, sizeof pattern, "%s*", prefix);
    fits_read_record(f, 0, card, &status);
    return fits_find_nextkey(f, (char **)list, 1, NULL, 0, card, &status) == 0;
}

/* Pixels to projected degrees: CD, or CDELT times PC, or CDELT turned by CROTA2 (Calabretta & Greisen 2002, A&A 395, 1077). */
static void matrix(fitsfile *f, double m[2][2])
{
    bool cd = any(f, "CD1_") || any(f, "CD2_"), pc = any(f, "PC1_") || any(f, "PC2_");
    double delta[2] = { number(f, "CDELT1", 1), number(f, "CDELT2", 1) }, turn = number(f, "CROTA2", 0) * RAD;
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            m[i][j] = cd ? indexed(f, "CD%d_%d", i + 1, j + 1, 0) : delta[i] * indexed(f, "PC%d_%d", i + 1, j + 1, i == j);
    if (cd || pc || turn == 0) return;
    m[0][0] = delta[0] * cos(turn), m[0][1] = -delta[1] * sin(turn);
    m[1][0] = delta[0] * sin(turn), m[1][1] = delta[1] * cos(turn);
}

static int read_axes(nj_wcs *w, fitsfile *f, bool *sip, nj_error *err)
{
    char type[2][FLEN_VALUE] = { "", "" }, unit[FLEN_VALUE];
    for (int i = 0; i < 2; i++) {
        char key[16];
        int status = 0;
        snprintf(key, sizeof key, "CTYPE%d", i + 1);
        if (fits_read_key(f, TSTRING, key, type[i], NULL, &status)) return nj_fail(err, "has no %s, so no positions", key);
        snprintf(key, sizeof key, "CUNIT%d", i + 1);
        if (status = 0, fits_read_key(f, TSTRING, key, unit, NULL, &status) == 0 && *unit && strncmp(unit, "deg", 3))
            return nj_fail(err, "%s is %s; only deg is known", key, unit);
    }
    w->ra_axis = !strncmp(type[0], "RA--", 4) ? 0 : 1;
    if (strncmp(type[w->ra_axis], "RA--", 4) || strncmp(type[!w->ra_axis], "DEC-", 4))
        return nj_fail(err, "axes 1 and 2 are %s and %s; right ascension and declination are needed", type[0], type[1]);
    for (int i = 0; i < 2; i++)
        if (strncmp(type[i] + 4, "-TAN", 4) || (type[i][8] && strcmp(type[i] + 8, "-SIP")))
            return nj_fail(err, "CTYPE%d is %s; only TAN and TAN-SIP are known", i + 1, type[i]);
    *sip = type[0][8] && type[1][8];
    if (any(f, "PV1_") || any(f, "PV2_")) return nj_fail(err, "has PVi_m, a distortion that is not known");
    return 0;
}

static int read_sip(nj_wcs *w, fitsfile *f, nj_error *err)
{
    static const char letter[] = "AB";
    for (int k = 0; k < 2; k++) {
        char key[24];
        snprintf(key, sizeof key, "%c_ORDER", letter[k]);
        w->order[k] = (int)number(f, key, 0);
        if (w->order[k] < 0 || w->order[k] > NJ_SIP_ORDER) return nj_fail(err, "%s is not 0 to %d", key, NJ_SIP_ORDER);
        for (int i = 0; i <= w->order[k]; i++)
            for (int j = 0; i + j <= w->order[k]; j++)
                if (i + j) w->sip[k][i][j] = indexed(f, k ? "B_%d_%d" : "A_%d_%d", i, j, 0);
    }
    return 0;
}

int nj_wcs_read(nj_wcs *w, fitsfile *f, nj_error *err)
{
    bool sip = false;
    double m[2][2];
    memset(w, 0, sizeof *w);
    if (read_axes(w, f, &sip, err) || (sip && read_sip(w, f, err))) return -1;
    matrix(f, m);
    double det = m[0][0] * m[1][1] - m[0][1] * m[1][0];
    if (!(fabs(det) > 0) || !isfinite(det)) return nj_fail(err, "the matrix of its axes cannot be inverted");
    w->inverse[0][0] = m[1][1] / det, w->inverse[0][1] = -m[0][1] / det;
    w->inverse[1][0] = -m[1][0] / det, w->inverse[1][1] = m[0][0] / det;
    for (int i = 0; i < 2; i++) w->crpix[i] = indexed(f, "CRPIX%d", i + 1, 0, 0);
    w->ra0 = indexed(f, "CRVAL%d", w->ra_axis + 1, 0, 0) * RAD;
    w->dec0 = indexed(f, "CRVAL%d", !w->ra_axis + 1, 0, 0) * RAD;
    w->lonpole = number(f, "LONPOLE", 180) * RAD;
    return 0;
}

/* The value of a distortion polynomial and its slopes along u and v. */
static double polynomial(const double c[NJ_SIP_ORDER + 1][NJ_SIP_ORDER + 1], int order, double u, double v, double slope[2])
{
    double sum = 0, pu = 1;
    slope[0] = slope[1] = 0;
    for (int i = 0; i <= order; i++, pu *= u) {
        double row = 0, along = 0; /* of this power of u: value and slope in v, by Horner */
        for (int j = order - i; j >= 0; j--) along = along * v + row, row = row * v + c[i][j];
        sum += pu * row;
        slope[1] += pu * along;
        if (i) slope[0] += i * (u != 0 ? pu / u : i == 1) * row;
    }
    return sum;
}

/* Undoes u + A(u, v) = U, v + B(u, v) = V (SIP: Shupe et al. 2005, ASPC 347, 491) by Newton's method, to 1e-9 of a pixel. */
static bool undistort(const nj_wcs *w, double p[2])
{
    const double wanted[2] = { p[0], p[1] };
    for (int step = 0; step < 50; step++) {
        double s[2][2], rest[2];
        for (int k = 0; k < 2; k++) rest[k] = p[k] + polynomial(w->sip[k], w->order[k], p[0], p[1], s[k]) - wanted[k];
        s[0][0]++, s[1][1]++;
        double det = s[0][0] * s[1][1] - s[0][1] * s[1][0];
        if (!(fabs(det) > 1e-6)) return false;
        double du = (s[1][1] * rest[0] - s[0][1] * rest[1]) / det, dv = (s[0][0] * rest[1] - s[1][0] * rest[0]) / det;
        p[0] -= du, p[1] -= dv;
        if (fabs(du) < 1e-9 && fabs(dv) < 1e-9) return true;
    }
    return false;
}

bool nj_wcs_pixel(const nj_wcs *w, double ra_deg, double dec_deg, double *x, double *y)
{
    /* Native coordinates about the tangent point, then x = R sin(phi), y = -R cos(phi), R = cot(theta):
     * Calabretta & Greisen 2002, A&A 395, 1077, eq. 5, 12 to 14, 54 */
    double ra = ra_deg * RAD - w->ra0, dec = dec_deg * RAD;
    double sin_theta = sin(dec) * sin(w->dec0) + cos(dec) * cos(w->dec0) * cos(ra);
    if (!(sin_theta > 1e-6)) return false;
    double a = -cos(dec) * sin(ra), b = sin(dec) * cos(w->dec0) - cos(dec) * sin(w->dec0) * cos(ra);
    double s = sin(w->lonpole), c = cos(w->lonpole); /* sin(phi) ~ s b + c a, cos(phi) ~ c b - s a */
    double world[2];
    world[w->ra_axis] = (s * b + c * a) / sin_theta / RAD;
    world[!w->ra_axis] = -(c * b - s * a) / sin_theta / RAD;
    double p[2];
    for (int i = 0; i < 2; i++) p[i] = w->inverse[i][0] * world[0] + w->inverse[i][1] * world[1];
    if ((w->order[0] > 0 || w->order[1] > 0) && !undistort(w, p)) return false;
    *x = p[0] + w->crpix[0] - 1;
    *y = p[1] + w->crpix[1] - 1;
    return true;
}
