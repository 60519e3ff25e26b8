/* ds9.c - circles, ellipses, boxes and polygons of DS9's region files, in coordinates of the sky. */
#include "rgn.h"

#include <ctype.h>
#include <erfa.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_NUMBERS = 2 * RGN_POINTS };

typedef enum { NO_FRAME, ICRS, FK5, GALACTIC, ECLIPTIC } frame;

typedef struct reader {
    const rgn_text *t;
    rgn_region *region;
    size_t cap;
    unsigned line;
    frame frame;
    double *number;
    char(*unit); /* of each number: 0, or one of " ' d r */
    uint32_t n;
} reader;

static int wrong(const reader *r, const char *what, const char *which)
{
    return rgn_refuse(r->t, "line %u: %s'%.40s'", r->line, what, which);
}

/* 10:20:30.5 or 10h20m30.5s, 10d20m30s; hours when they say so, or are a right ascension with colons. */
static int sexagesimal(const char *text, int is_ra, double *v)
{
    double a, b, c;
    char x, y, z = 0;
    int used = 0;
    if (sscanf(text, "%lf%c%lf%c%lf%c%n", &a, &x, &b, &y, &c, &z, &used) < 5) return -1;
    int colons = x == ':' && y == ':' && !z,
        letters = (x == 'h' || x == 'd') && y == 'm' && z == 's' && !text[used];
    if (!colons && !letters) return -1;
    if (b < 0 || b >= 60 || c < 0 || c >= 60) return -1;
    double size = fabs(a) + b / 60 + c / 3600;
    *v = (strchr(text, '-') ? -size : size) * (x == 'h' || (colons && is_ra) ? 15 : 1);
    return 0;
}

static int take_number(reader *r, const char *text, int is_ra)
{
    char *end;
    if (r->n == MOST_NUMBERS) return wrong(r, "too many numbers before ", text);
    double v = strtod(text, &end);
    char unit = *end;
    if (end == text || (unit && (end[1] || !strchr("\"'dr", unit)))) {
        if (sexagesimal(text, is_ra, &v)) return wrong(r, "no number: ", text);
        unit = 0;
    }
    if (unit == 'i' || unit == 'p') return wrong(r, "pixels are no place on the sky: ", text);
    if (!isfinite(v)) return wrong(r, "no number: ", text);
    r->number[r->n] = v;
    r->unit[r->n++] = unit;
    return 0;
}

static double degrees(double v, char unit)
{
    return unit == '"' ? v / 3600 : unit == '\'' ? v / 60 : unit == 'r' ? v * 180 / M_PI : v;
}

/* A place in the frame of the line, as a vector in ICRS. */
static void place_at(const reader *r, double lon, double lat, double v[3])
{
    double matrix[3][3], spin[3], ra, dec;
    rgn_vector(lon, lat, v);
    if (r->frame == GALACTIC) {
        eraG2icrs(lon * M_PI / 180, lat * M_PI / 180, &ra, &dec);
        rgn_vector(ra * 180 / M_PI, dec * 180 / M_PI, v);
    } else if (r->frame == ECLIPTIC) {
        eraEcm06(2451545.0, 0, matrix);
        eraTrxp(matrix, v, v);
    } else if (r->frame == FK5) {
        eraFk5hip(matrix, spin); /* 23 mas */
        eraRxp(matrix, v, v);
    }
}

/* That of the numbers k and k + 1. */
static int place(const reader *r, uint32_t k, double v[3])
{
    double lat = degrees(r->number[k + 1], r->unit[k + 1]);
    if (!(lat >= -90 && lat <= 90))
        return rgn_refuse(r->t, "line %u: latitude %g is beyond 90", r->line, lat);
    place_at(r, degrees(r->number[k], r->unit[k]), lat, v);
    return 0;
}

static int add_shape(reader *r, const rgn_shape *shape)
{
    if (r->region->n_shapes == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 16;
        rgn_shape *more = realloc(r->region->shape, cap * sizeof *more);
        if (!more) return rgn_refuse(r->t, "no memory");
        r->region->shape = more;
        r->cap = cap;
    }
    r->region->shape[r->region->n_shapes++] = *shape;
    return 0;
}

static int circle(reader *r)
{
    rgn_shape shape;
    double centre[3];
    if (r->n != 3) return wrong(r, "a circle has two coordinates and a radius: ", "circle");
    if (place(r, 0, centre)) return -1;
    if (rgn_make_cone(&shape, centre, degrees(r->number[2], r->unit[2])))
        return wrong(r, "a radius must be above 0 and at most 180 degrees: ", "circle");
    return add_shape(r, &shape);
}

static int add_polygon(reader *r, const double (*vertex)[3], uint32_t n)
{
    rgn_shape shape = { 0 };
    const char *why = rgn_make_polygon(&shape, vertex, n);
    int rc = why ? wrong(r, why, "") : add_shape(r, &shape);
    if (rc) {
        free(shape.x);
        free(shape.y);
    }
    return rc;
}

/* An ellipse by its radii, a box by its sides. The angle goes from the longitude's axis against the clock, as
 * one sees it on an image with north up and east to the left. */
static int ellipse_or_box(reader *r, int is_box)
{
    const char *name = is_box ? "box" : "ellipse";
    double centre[3], east[3], north[3], along[3], corner[4][3];
    if (r->n != 4 && r->n != 5)
        return wrong(r, "two coordinates, two sizes and an angle are read, not an annulus: ", name);
    if (place(r, 0, centre)) return -1;
    double a = degrees(r->number[2], r->unit[2]), b = degrees(r->number[3], r->unit[3]),
           turn = r->n == 5 ? degrees(r->number[4], r->unit[4]) * M_PI / 180 : 0;
    place_at(r, degrees(r->number[0], r->unit[0]) + 90, 0, east); /* also where the pole has no east */
    eraPxp(centre, east, north);
    for (int i = 0; i < 3; i++) along[i] = sin(turn) * north[i] - cos(turn) * east[i];
    rgn_shape shape;
    if (!(a > 0 && b > 0 && a <= (is_box ? 160 : 80) && b <= (is_box ? 160 : 80)))
        return wrong(r, "sizes must be above 0, and radii at most 80 degrees: ", name);
    if (is_box) {
        rgn_box_corners(centre, along, a, b, corner);
        return add_polygon(r, (const double(*)[3])corner, 4);
    }
    return rgn_make_ellipse(&shape, centre, along, a, b) ? -1 : add_shape(r, &shape);
}

static int polygon(reader *r)
{
    double(*vertex)[3] = malloc((r->n / 2 + 1) * sizeof *vertex);
    int rc = vertex && r->n % 2 == 0 ? 0 : -1;
    if (rc) wrong(r, "an odd number of coordinates: ", "polygon");
    for (uint32_t k = 0; k + 1 < r->n && !rc; k += 2) rc = place(r, k, vertex[k / 2]);
    if (!rc) rc = add_polygon(r, (const double(*)[3])vertex, r->n / 2);
    free(vertex);
    return rc;
}

static int set_frame(reader *r, const char *word)
{
    static const struct {
        const char *name;
        frame frame;
    } known[] = {
        { "icrs", ICRS }, { "fk5", FK5 }, { "j2000", FK5 }, { "galactic", GALACTIC }, { "ecliptic", ECLIPTIC }
    };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (!strcasecmp(word, known[k].name)) {
            r->frame = known[k].frame;
            return 1;
        }
    return 0;
}

/* Coordinates of DS9 that are not of this sky, or not without an image. */
static int is_other_frame(const char *word)
{
    static const char *const other[] = { "fk4",      "b1950",     "linear",  "image",
                                         "physical", "amplifier", "detector" };
    for (size_t k = 0; k < sizeof other / sizeof *other; k++)
        if (!strcasecmp(word, other[k])) return 1;
    return !strncasecmp(word, "wcs", 3) && (!word[3] || !word[4]); /* wcs, wcsa ... wcsz */
}

/* "circle(1, 2, 3")" or "circle 1 2 3\"". */
static int shape_of(reader *r, char *word)
{
    size_t n = strcspn(word, "( \t");
    char *rest = word + n, saved = *rest, *state = NULL;
    *rest = 0;
    if (set_frame(r, word)) return 0;
    if (is_other_frame(word))
        return wrong(r, "coordinates are read in icrs, fk5, galactic and ecliptic, not in ", word);
    if (saved == 0 && !strcasecmp(word, "global")) return 0;
    int is_circle = !strcasecmp(word, "circle"), is_polygon = !strcasecmp(word, "polygon"),
        is_ellipse = !strcasecmp(word, "ellipse"), is_box = !strcasecmp(word, "box");
    if (*word == '-') return wrong(r, "regions that are taken away are not read: ", word);
    if (!is_circle && !is_polygon && !is_ellipse && !is_box)
        return wrong(r, "circle, ellipse, box and polygon are read, not ", word);
    if (r->frame == NO_FRAME)
        return wrong(r, "no coordinates of the sky (icrs, fk5, galactic, ecliptic) stand before ", word);
    r->n = 0;
    char *close = saved ? strchr(rest + 1, ')') : NULL;
    if (saved == '(' && !close) return wrong(r, "no ')' behind ", word);
    if (close && close[1 + strspn(close + 1, " \t")]) return wrong(r, "not understood: ", close + 1);
    if (close) *close = 0;
    for (char *item = saved ? strtok_r(rest + 1, ", \t", &state) : NULL; item;
         item = strtok_r(NULL, ", \t", &state))
        if (take_number(r, item,
                        (is_polygon ? r->n % 2 == 0 : r->n == 0) && (r->frame == ICRS || r->frame == FK5)))
            return -1;
    return is_circle ? circle(r) : is_polygon ? polygon(r) : ellipse_or_box(r, is_box);
}

static int read_line(reader *r, char *line)
{
    if (strstr(line, "include=0")) return wrong(r, "regions that are taken away are not read: ", "include=0");
    line[strcspn(line, "#")] = 0; /* what follows is colour and text */
    char *state = NULL;
    for (char *part = strtok_r(line, ";", &state); part; part = strtok_r(NULL, ";", &state)) {
        part += strspn(part, " \t\r+");
        size_t n = strlen(part);
        while (n && isspace((unsigned char)part[n - 1])) part[--n] = 0;
        if (!*part || !strncasecmp(part, "global ", 7)) continue;
        if (shape_of(r, part)) return -1;
    }
    return 0;
}

int rgn_read_ds9(const rgn_text *t, rgn_region *region)
{
    reader r = { .t = t, .region = region };
    r.number = malloc(MOST_NUMBERS * sizeof *r.number);
    r.unit = malloc(MOST_NUMBERS);
    int rc = r.number && r.unit ? 0 : rgn_refuse(t, "no memory");
    for (char *line = t->data, *next; line && !rc; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = 0;
        r.line++;
        rc = read_line(&r, line);
    }
    free(r.number);
    free(r.unit);
    if (!rc && !region->n_shapes) rc = rgn_refuse(t, "has no region");
    return rc;
}
