/* draw.c - stamps and light curves are drawn for terminals and PNG files by the same code, so that both show
 * the same. */
#include "draw.h"

#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "chart.h"

nj_terminal nj_terminal_of(int fd)
{
    nj_terminal t = { .columns = 100 };
    struct winsize size;
    const char *columns = getenv("COLUMNS"), *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    if (!ioctl(fd, TIOCGWINSZ, &size) && size.ws_col)
        t.columns = size.ws_col;
    else if (columns && atoi(columns) > 0)
        t.columns = (uint32_t)atoi(columns);
    if (t.columns < 40) t.columns = 40;
    setlocale(LC_CTYPE, "");
    t.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
    t.colour = isatty(fd) && term && strcmp(term, "dumb") && !(no_colour && *no_colour);
    return t;
}

/* ---- zscale ---------------------------------------------------------------------------------- */
enum { SAMPLE = 4096, LEAST = 5, ROUNDS = 5 };

static int is_hole(float v)
{
    return !(v > -1e30f && v < 1e30f);
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The slope of the sorted sample, with values far from the line left out. 0 when too few are left. */
static double sorted_slope(const float *value, uint32_t n, uint8_t *out)
{
    double slope = 0, zero = 0;
    memset(out, 0, n);
    for (int round = 0; round < ROUNDS; round++) {
        double sx = 0, sy = 0, sxx = 0, sxy = 0, squares = 0;
        uint32_t m = 0, dropped = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (out[i]) continue;
            sx += i, sy += value[i], sxx += (double)i * i, sxy += i * (double)value[i], m++;
        }
        if (m < LEAST || m < n / 2) return 0;
        double det = m * sxx - sx * sx;
        slope = (m * sxy - sx * sy) / det;
        zero = (sy - slope * sx) / m;
        for (uint32_t i = 0; i < n; i++)
            if (!out[i]) squares += pow(value[i] - zero - slope * i, 2);
        double limit = 2.5 * sqrt(squares / m);
        for (uint32_t i = 0; i < n; i++)
            if (!out[i] && fabs(value[i] - zero - slope * i) > limit) out[i] = 1, dropped++;
        if (!dropped) break;
    }
    return slope;
}

void nj_zscale(const nj_picture *picture, float *lo, float *hi)
{
    float value[SAMPLE];
    uint8_t out[SAMPLE];
    size_t all = (size_t)picture->rows * picture->cols, stride = all / SAMPLE + 1;
    uint32_t n = 0;
    for (size_t i = 0; i < all; i += stride)
        if (!is_hole(picture->pixel[i])) value[n++] = picture->pixel[i];
    *lo = *hi = 0;
    if (!n) return;
    qsort(value, n, sizeof *value, by_value);
    *lo = value[0];
    *hi = value[n - 1];
    double slope = n > LEAST ? sorted_slope(value, n, out) / 0.25 : 0, middle = value[n / 2];
    if (!(slope > 0)) return;
    double below = middle - slope * (n / 2), above = middle + slope * (n - n / 2);
    if (below > *lo) *lo = (float)below;
    if (above < *hi) *hi = (float)above;
}

/* ---- stamps in a terminal -------------------------------------------------------------------- */
/* Mean of a square of pixels; row counts from the top. NaN for a hole or beyond the picture. */
static float square_mean(const nj_picture *p, uint32_t row, uint32_t col, uint32_t side)
{
    double sum = 0;
    int n = 0;
    for (uint32_t y = row * side; y < (row + 1) * side && y < p->rows; y++)
        for (uint32_t x = col * side; x < (col + 1) * side && x < p->cols; x++) {
            float v = p->pixel[(size_t)(p->rows - 1 - y) * p->cols + x];
            if (!is_hole(v)) sum += v, n++;
        }
    return n ? (float)(sum / n) : NAN;
}

static int shade(float v, float lo, float hi, int levels)
{
    double t = hi > lo ? ((double)v - lo) / ((double)hi - lo) : 0;
    return t <= 0 ? 0 : t >= 1 ? levels - 1 : (int)(t * levels);
}

enum { GREYS = 24, FIRST_GREY = 232, HOLE_COLOUR = 18 };

static int colour_of(float v, float lo, float hi)
{
    return isnan(v) ? HOLE_COLOUR : FIRST_GREY + shade(v, lo, hi, GREYS);
}

static void add_cell(nj_buffer *out, float upper, float lower, float lo, float hi, const nj_terminal *t)
{
    static const char ramp[] = " .:-=+*#%@", *const blocks[] = { " ", "\u2591", "\u2592", "\u2593",
                                                                 "\u2588" };
    if (t->colour && t->utf8) {
        nj_buffer_printf(out, "\x1b[38;5;%d;48;5;%dm\u2580", colour_of(upper, lo, hi),
                         colour_of(lower, lo, hi));
        return;
    }
    float v = isnan(upper) ? lower : isnan(lower) ? upper : (upper + lower) / 2;
    if (t->colour)
        nj_buffer_printf(out, "\x1b[48;5;%dm ", colour_of(v, lo, hi));
    else if (isnan(v))
        nj_buffer_text(out, "x");
    else if (t->utf8)
        nj_buffer_text(out, blocks[shade(v, lo, hi, 5)]);
    else
        nj_buffer_add(out, &ramp[shade(v, lo, hi, 10)], 1);
}

enum { PICTURES_MOST = 8, GAP = 2 };

/* One line of text under each other picture's column: titles, then ranges. */
static void add_captions(nj_buffer *out, const nj_picture *p, uint32_t n, const uint32_t *width,
                         const float *lo, const float *hi, int ranges)
{
    for (uint32_t i = 0; i < n; i++) {
        char text[64];
        if (ranges)
            snprintf(text, sizeof text, "%.4g .. %.4g", (double)lo[i], (double)hi[i]);
        else
            snprintf(text, sizeof text, "%s", p[i].title ? p[i].title : "");
        nj_buffer_printf(out, "%-*.*s", (int)(width[i] + (i + 1 < n ? GAP : 0)), (int)width[i], text);
    }
    while (out->n && out->data[out->n - 1] == ' ') out->data[--out->n] = 0;
    nj_buffer_text(out, "\n");
}

void nj_draw_pictures(nj_buffer *out, const nj_picture *picture, uint32_t n, const nj_terminal *terminal)
{
    float lo[PICTURES_MOST], hi[PICTURES_MOST];
    uint32_t width[PICTURES_MOST], side = 1, lines = 0, total;
    if (!n) return;
    if (n > PICTURES_MOST) n = PICTURES_MOST;
    for (;; side++) {
        total = GAP * (n - 1);
        for (uint32_t i = 0; i < n; i++) total += (picture[i].cols + side - 1) / side;
        if (total <= terminal->columns || side > 64) break;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t rows = (picture[i].rows + side - 1) / side;
        width[i] = (picture[i].cols + side - 1) / side;
        if ((rows + 1) / 2 > lines) lines = (rows + 1) / 2;
        nj_zscale(&picture[i], &lo[i], &hi[i]);
    }
    add_captions(out, picture, n, width, lo, hi, 0);
    for (uint32_t line = 0; line < lines; line++) {
        for (uint32_t i = 0; i < n; i++) {
            bool below = 2 * line * side >= picture[i].rows; /* a smaller picture beside larger ones */
            if (below) nj_buffer_printf(out, "%*s", (int)width[i], "");
            for (uint32_t col = 0; col < width[i] && !below; col++)
                add_cell(out, square_mean(&picture[i], 2 * line, col, side),
                         square_mean(&picture[i], 2 * line + 1, col, side), lo[i], hi[i], terminal);
            nj_buffer_printf(out, "%s%*s", terminal->colour ? "\x1b[0m" : "", i + 1 < n ? GAP : 0, "");
        }
        while (!terminal->colour && out->n && out->data[out->n - 1] == ' ') out->data[--out->n] = 0;
        nj_buffer_text(out, "\n");
    }
    add_captions(out, picture, n, width, lo, hi, 1);
}

/* ---- light curves: what both charts share ---------------------------------------------------- */
static const nj_band_style styles[] = { { "u", 35, { 140, 70, 200 } }, { "g", 32, { 30, 140, 60 } },
                                        { "r", 31, { 205, 45, 45 } },  { "i", 33, { 200, 140, 20 } },
                                        { "z", 36, { 30, 140, 160 } }, { "y", 34, { 60, 80, 200 } },
                                        { "?", 37, { 120, 120, 120 } } };
enum { UNKNOWN_BAND = 6 };

const nj_band_style *nj_band_style_of(uint8_t band)
{
    return &styles[band < UNKNOWN_BAND ? band : UNKNOWN_BAND];
}

static int is_limit(const nj_curve_point *p)
{
    return isnan(p->mag);
}
static double height_of(const nj_curve_point *p)
{
    return is_limit(p) ? p->limit_mag : p->mag;
}

int nj_chart_fit(nj_chart *c, const nj_curve_point *point, uint32_t n)
{
    double first = INFINITY, last = -INFINITY, bright = INFINITY, faint = -INFINITY;
    unsigned seen = 0;
    for (uint32_t i = 0; i < n; i++) {
        double mag = height_of(&point[i]),
               err = !is_limit(&point[i]) && point[i].mag_err > 0 ? fmin(point[i].mag_err, 0.5) : 0;
        if (!isfinite(mag) || !isfinite(point[i].jd)) continue;
        first = fmin(first, point[i].jd);
        last = fmax(last, point[i].jd);
        bright = fmin(bright, mag - err);
        faint = fmax(faint, mag + err);
        seen |= 1u << (point[i].band < UNKNOWN_BAND ? point[i].band : UNKNOWN_BAND);
    }
    if (first > last) return -1;
    *c = (nj_chart){ .jd = last, .first_day = first - last, .last_day = 0, .bright = bright, .faint = faint };
    double pad_days = fmax(0.02 * (last - first), 0.01), pad_mag = fmax(0.06 * (faint - bright), 0.1);
    c->first_day -= pad_days;
    c->last_day += pad_days;
    c->bright -= pad_mag;
    c->faint += pad_mag;
    static const double steps[] = { 0.1, 0.2, 0.5, 1, 2, 5 };
    for (size_t k = 0;
         k < sizeof steps / sizeof *steps && !(c->mag_step > 0 && (c->faint - c->bright) / c->mag_step <= 6);
         k++)
        c->mag_step = steps[k];
    for (uint8_t b = 0; b <= UNKNOWN_BAND; b++)
        if (seen >> b & 1) c->band[c->n_bands++] = b < UNKNOWN_BAND ? b : 255;
    return 0;
}

/* ---- light curves in a terminal -------------------------------------------------------------- */
enum { CHART_ROWS = 15, CHART_COLS_MOST = 120, MARGIN = 7 };
typedef enum { EMPTY, ERROR_BAR, LIMIT, FAINTER, BRIGHTER } mark;

typedef struct cell {
    uint8_t mark, band;
} cell;

static void add_mark(nj_buffer *out, cell c, const nj_terminal *t)
{
    /* Points lose their band without colour: then they are its letter,
     * a capital for brighter than the template. */
    static const char *const round[] = { " ", "\u2502", "\u25bd", "\u25cb", "\u25cf" };
    const nj_band_style *s = nj_band_style_of(c.band);
    char letter[2] = { s->name[0], 0 };
    if (c.mark == EMPTY) {
        nj_buffer_text(out, " ");
    } else if (t->colour) {
        nj_buffer_printf(out, "\x1b[%dm%s\x1b[0m", s->ansi,
                         t->utf8               ? round[c.mark]
                         : c.mark == ERROR_BAR ? "|"
                         : c.mark == LIMIT     ? "v"
                         : c.mark == FAINTER   ? "o"
                                               : "*");
    } else if (c.mark >= FAINTER) {
        if (c.mark == BRIGHTER && letter[0] >= 'a') letter[0] = (char)(letter[0] - 32);
        nj_buffer_text(out, letter);
    } else {
        nj_buffer_text(out, t->utf8 ? round[c.mark] : c.mark == LIMIT ? "v" : "|");
    }
}

static void put_point(cell (*grid)[CHART_COLS_MOST], uint32_t cols, const nj_chart *c,
                      const nj_curve_point *p)
{
    double mag = height_of(p), scale = CHART_ROWS / (c->faint - c->bright);
    if (!isfinite(mag) || !isfinite(p->jd)) return;
    int x = (int)((p->jd - c->jd - c->first_day) / (c->last_day - c->first_day) * cols),
        y = (int)((mag - c->bright) * scale);
    if (x < 0 || x >= (int)cols || y < 0 || y >= CHART_ROWS) return;
    uint8_t kind = is_limit(p) ? LIMIT : p->positive == 0 ? FAINTER : BRIGHTER;
    if (kind != LIMIT && p->mag_err > 0)
        for (int k = (int)((mag - p->mag_err - c->bright) * scale);
             k <= (int)((mag + p->mag_err - c->bright) * scale); k++)
            if (k >= 0 && k < CHART_ROWS && grid[k][x].mark == EMPTY)
                grid[k][x] = (cell){ ERROR_BAR, p->band };
    if (grid[y][x].mark < kind) grid[y][x] = (cell){ kind, p->band };
}

static void add_legend(nj_buffer *out, const nj_chart *c, const nj_terminal *t)
{
    nj_buffer_printf(out, "%*s ", MARGIN, "");
    for (uint32_t b = 0; b < c->n_bands; b++) {
        add_mark(out, (cell){ BRIGHTER, c->band[b] }, t);
        nj_buffer_printf(out, " %s  ", nj_band_style_of(c->band[b])->name);
    }
    add_mark(out, (cell){ FAINTER, c->band[0] }, t);
    nj_buffer_text(out, " fainter than the template  ");
    add_mark(out, (cell){ LIMIT, c->band[0] }, t);
    nj_buffer_text(out, " upper limit\n");
}

void nj_draw_curve(nj_buffer *out, const nj_curve_point *point, uint32_t n, const nj_terminal *terminal)
{
    static const char *const axis_utf8[2] = { "\u2524", "\u2502" }, *const axis_ascii[2] = { "+", "|" };
    const char *const *axis = terminal->utf8 ? axis_utf8 : axis_ascii;
    cell grid[CHART_ROWS][CHART_COLS_MOST] = { 0 };
    uint32_t cols =
        terminal->columns - MARGIN - 2 < CHART_COLS_MOST ? terminal->columns - MARGIN - 2 : CHART_COLS_MOST;
    nj_chart c;
    if (nj_chart_fit(&c, point, n)) return;
    for (uint32_t i = 0; i < n; i++) put_point(grid, cols, &c, &point[i]);
    double label = ceil(c.bright / c.mag_step) * c.mag_step;
    for (int row = 0; row < CHART_ROWS; row++) {
        double bottom = c.bright + (row + 1) * (c.faint - c.bright) / CHART_ROWS;
        int tick = label < bottom;
        if (tick)
            nj_buffer_printf(out, "%*.*f %s", MARGIN - 1, c.mag_step < 1 ? 1 : 0, label, axis[0]);
        else
            nj_buffer_printf(out, "%*s %s", MARGIN - 1, row == CHART_ROWS - 1 ? "mag" : "", axis[1]);
        while (label < bottom) label += c.mag_step;
        uint32_t last = cols;
        while (last && grid[row][last - 1].mark == EMPTY) last--;
        for (uint32_t col = 0; col < last; col++) add_mark(out, grid[row][col], terminal);
        nj_buffer_text(out, "\n");
    }
    nj_buffer_printf(out, "%*s%s", MARGIN, "", terminal->utf8 ? "\u2514" : "+");
    for (uint32_t col = 0; col < cols; col++) nj_buffer_text(out, terminal->utf8 ? "\u2500" : "-");
    char left[32], right[48];
    snprintf(left, sizeof left, "%.2f d", c.first_day);
    snprintf(right, sizeof right, "0 = JD %.5f", c.jd);
    nj_buffer_printf(out, "\n%*s %s%*s\n", MARGIN, "", left, (int)cols - (int)strlen(left), right);
    add_legend(out, &c, terminal);
}
