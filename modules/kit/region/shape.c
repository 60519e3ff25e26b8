/* shape.c - cones, polygons, ellipses and bands of latitude, by vectors: no pole or meridian is special. */
#include "rgn.h"

#include <erfa.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double deg = M_PI / 180;

void rgn_vector(double ra, double dec, double v[3])
{
    double c = cos(dec * deg);
    v[0] = c * cos(ra * deg);
    v[1] = c * sin(ra * deg);
    v[2] = sin(dec * deg);
}

static double dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static double chord2(const double a[3], const double b[3])
{
    double x = a[0] - b[0], y = a[1] - b[1], z = a[2] - b[2];
    return x * x + y * y + z * z;
}

static double chord2_of(double radius_deg)
{
    double half = sin(radius_deg * deg / 2);
    return 4 * half * half;
}

static void set_axes(rgn_shape *s, const double centre[3])
{
    double any[3] = { 0, 0, 1 }, length;
    if (fabs(centre[2]) > 0.9) any[0] = 1, any[2] = 0;
    memcpy(s->centre, centre, sizeof s->centre);
    eraPxp(any, (double *)centre, s->east);
    eraPn(s->east, &length, s->east);
    eraPxp((double *)centre, s->east, s->north);
}

int rgn_make_cone(rgn_shape *s, const double centre[3], double radius_deg)
{
    if (!(radius_deg > 0 && radius_deg <= 180)) return -1;
    *s = (rgn_shape){ .chord2 = chord2_of(radius_deg) };
    set_axes(s, centre);
    return 0;
}

int rgn_make_ellipse(rgn_shape *s, const double centre[3], const double along[3], double a, double b)
{
    if (!(a > 0 && b > 0 && a <= 80 && b <= 80)) return -1;
    *s = (rgn_shape){ .a = a * deg, .b = b * deg };
    s->chord2 = chord2_of(atan(fmax(s->a, s->b)) / deg) * (1 + 1e-12);
    memcpy(s->centre, centre, sizeof s->centre);
    memcpy(s->east, along, sizeof s->east);
    eraPxp((double *)centre, (double *)along, s->north);
    return 0;
}

void rgn_box_corners(const double centre[3], const double along[3], double w, double h, double corner[4][3])
{
    static const int side[4][2] = { { -1, -1 }, { 1, -1 }, { 1, 1 }, { -1, 1 } };
    double across[3], length;
    eraPxp((double *)centre, (double *)along, across);
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < 3; i++)
            corner[k][i] =
                centre[i] + side[k][0] * w / 2 * deg * along[i] + side[k][1] * h / 2 * deg * across[i];
        eraPn(corner[k], &length, corner[k]);
    }
}

/* On the plane that touches the sphere at the centre, where great circles are straight lines. */
static void project(const rgn_shape *s, const double v[3], double *x, double *y)
{
    double depth = dot(v, s->centre);
    *x = dot(v, s->east) / depth;
    *y = dot(v, s->north) / depth;
}

const char *rgn_make_polygon(rgn_shape *s, const double (*vertex)[3], uint32_t n)
{
    double sum[3] = { 0, 0, 0 }, length, widest = 0;
    if (n > 1 && chord2(vertex[0], vertex[n - 1]) < 1e-24) n--; /* some repeat the first vertex */
    if (n < 3) return "a polygon of fewer than three corners";
    for (uint32_t k = 0; k < n; k++)
        for (int a = 0; a < 3; a++) sum[a] += vertex[k][a];
    eraPn(sum, &length, sum);
    *s = (rgn_shape){ .n_points = n };
    set_axes(s, sum);
    for (uint32_t k = 0; k < n; k++) widest = fmax(widest, chord2(vertex[k], sum));
    if (!(length > 0 && widest < chord2_of(85)))
        return "a polygon with a corner beyond 85 degrees of its middle";
    s->x = malloc(n * sizeof *s->x);
    s->y = malloc(n * sizeof *s->y);
    if (!s->x || !s->y) return "no memory";
    for (uint32_t k = 0; k < n; k++) project(s, vertex[k], &s->x[k], &s->y[k]);
    /* an edge is nowhere farther than its ends, for the cone is narrower than a hemisphere */
    s->chord2 = widest * (1 + 1e-12) + 1e-30;
    return NULL;
}

/* Even-odd, as DS9 fills a polygon that crosses itself. */
int rgn_in_shape(const rgn_shape *s, const double v[3])
{
    if (!(chord2(v, s->centre) <= s->chord2)) return 0;
    double x, y;
    int inside = 0;
    if (s->n_points || s->a > 0) project(s, v, &x, &y);
    if (s->a > 0) return x * x / (s->a * s->a) + y * y / (s->b * s->b) <= 1;
    if (!s->n_points) return 1;
    for (uint32_t k = 0, last = s->n_points - 1; k < s->n_points; last = k++) {
        if ((s->y[k] > y) == (s->y[last] > y)) continue;
        double at = s->x[k] + (y - s->y[k]) / (s->y[last] - s->y[k]) * (s->x[last] - s->x[k]);
        inside ^= x < at;
    }
    return inside;
}

int rgn_in_band(const rgn_band *b, const double v[3])
{
    double up = dot(v, b->pole), across[3];
    eraPxp((double *)b->pole, (double *)v, across);
    double latitude = atan2(up, eraPm(across)) / deg;
    return latitude >= b->low && latitude <= b->high;
}

int rgn_make_band(const char *text, rgn_band *b)
{
    int galactic = !strncmp(text, "galactic ", 9), used = 0;
    if (!galactic && strncmp(text, "ecliptic ", 9)) return 0;
    if (sscanf(text + 9, "%lf %lf %n", &b->low, &b->high, &used) != 2 || text[9 + used]) return -1;
    if (!(b->low >= -90 && b->high <= 90 && b->low < b->high)) return -1;
    if (galactic) {
        double ra, dec;
        eraG2icrs(0, M_PI / 2, &ra, &dec);
        rgn_vector(ra / deg, dec / deg, b->pole);
    } else {
        double matrix[3][3];
        eraEcm06(2451545.0, 0, matrix); /* of the mean ecliptic and equinox of J2000 */
        memcpy(b->pole, matrix[2], sizeof b->pole);
    }
    return 1;
}
