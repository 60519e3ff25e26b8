/* target_pixels.c - a target pixel file as TESScut publishes it: what light-curve packages read. A row is an
 * image: times, flux and error of the stamp's pixels; the last HDU says which pixels the cube has. */
#include <erfa.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cards.h"
#include "tess.h"
#include "turn.h"

enum {
    FIRST = 4, /* the first column of pixels, and how many there are */
    PIXEL_COLUMNS = 5,
    MOST_POINTS = 144, /* of the fit of positions: 100, and what the last row and column add */
    FRAMES = 64        /* that are turned at a time: 512 bytes of a pixel */
};

/* --- positions: a plain tangent plane through the distorted ones --- */

typedef struct plane {
    double ra, dec;         /* deg, where it touches */
    double pixel[2];        /* that point, the first pixel is 1 */
    double per_pixel[2][2]; /* deg */
    double worst, sigma;    /* deg: the farthest that it is off, the root of the summed squares */
} plane;

/* x of a x = b, three by three, by Cramer's rule: the points are a grid about its middle. */
static void solve(const double a[3][3], const double b[3], double x[3])
{
    double whole = 0;
    for (int k = 0; k < 3; k++) {
        const int l = (k + 1) % 3, m = (k + 2) % 3;
        whole += a[0][k] * (a[1][l] * a[2][m] - a[1][m] * a[2][l]);
    }
    for (int i = 0; i < 3; i++) {
        double c[3][3], part = 0;
        memcpy(c, a, sizeof c);
        for (int r = 0; r < 3; r++) c[r][i] = b[r];
        for (int k = 0; k < 3; k++) {
            const int l = (k + 1) % 3, m = (k + 2) % 3;
            part += c[0][k] * (c[1][l] * c[2][m] - c[1][m] * c[2][l]);
        }
        x[i] = part / whole;
    }
}

/* Every step-th pixel, so that there are at most about a hundred, and the last one. A stamp of one pixel has
 * its borders instead. */
static int places(int64_t size, double at[MOST_POINTS])
{
    int n = 0;
    int64_t step = 1;
    if (size <= 1) return at[0] = -0.5, at[1] = 0.5, 2;
    while ((double)size / (double)step * ((double)size / (double)step) > 100) step++;
    for (int64_t i = 0; i < size; i += step) at[n++] = (double)i;
    if (at[n - 1] != (double)(size - 1)) at[n++] = (double)(size - 1);
    return n;
}

static bool fit(const nj_tess_cut *cut, plane *p)
{
    const double rad = M_PI / 180, middle = ((double)cut->size - 1) / 2;
    double at[MOST_POINTS], x[MOST_POINTS], y[MOST_POINTS], xi[MOST_POINTS], eta[MOST_POINTS];
    double a[3][3] = { { 0 } }, b[2][3] = { { 0 } }, c[2][3], square = 0;
    const int side = places(cut->size, at);
    int n = 0;
    if (!nj_wcs_sky(cut->wcs, (double)cut->left + middle, (double)cut->bottom + middle, &p->ra, &p->dec))
        return false;
    for (int i = 0; i < side; i++)
        for (int k = 0; k < side; k++) {
            double ra, dec;
            x[n] = at[k] - middle, y[n] = at[i] - middle;
            if (!nj_wcs_sky(cut->wcs, (double)cut->left + at[k], (double)cut->bottom + at[i], &ra, &dec) ||
                eraTpxes(ra * rad, dec * rad, p->ra * rad, p->dec * rad, &xi[n], &eta[n]))
                return false;
            xi[n] /= rad, eta[n] /= rad;
            const double term[3] = { 1, x[n], y[n] };
            for (int r = 0; r < 3; r++) {
                for (int s = 0; s < 3; s++) a[r][s] += term[r] * term[s];
                b[0][r] += term[r] * xi[n], b[1][r] += term[r] * eta[n];
            }
            n++;
        }
    for (int k = 0; k < 2; k++) {
        solve((const double(*)[3])a, b[k], c[k]);
        p->per_pixel[k][0] = c[k][1], p->per_pixel[k][1] = c[k][2];
    }
    p->worst = 0;
    for (int i = 0; i < n; i++) {
        const double off = hypot(c[0][0] + c[0][1] * x[i] + c[0][2] * y[i] - xi[i],
                                 c[1][0] + c[1][1] * x[i] + c[1][2] * y[i] - eta[i]);
        p->worst = fmax(p->worst, off);
        square += off * off;
    }
    p->sigma = sqrt(square / n) * (double)cut->size; /* as of all pixels */
    const double d = c[0][1] * c[1][2] - c[0][2] * c[1][1];
    p->pixel[0] = middle + 1 - (c[0][0] * c[1][2] - c[0][2] * c[1][0]) / d;
    p->pixel[1] = middle + 1 - (c[0][1] * c[1][0] - c[0][0] * c[1][1]) / d;
    return isfinite(p->pixel[0]) && isfinite(p->pixel[1]);
}

/* --- headers: of one cube and one size they differ in some cards only, which are written over --- */

/* In the first file of a worker every card is added, and where those of the target stand is kept. */
static void whole(nj_tess_work *w, const char *form, int column, long long value, const char *comment)
{
    char key[16];
    if (w->laid) return;
    snprintf(key, sizeof key, form, column);
    nj_card_whole(&w->file, key, value, comment);
}

static void text(nj_tess_work *w, const char *form, int column, const char *value, const char *comment)
{
    char key[16];
    if (w->laid) return;
    snprintf(key, sizeof key, form, column);
    nj_card_text(&w->file, key, value, comment);
}

static void fixed(nj_tess_work *w, const char *form, int column, double value, const char *comment)
{
    char key[16];
    if (w->laid) return;
    snprintf(key, sizeof key, form, column);
    nj_card_real(&w->file, key, value, comment);
}

static void flag(nj_tess_work *w, const char *key)
{
    if (!w->laid) nj_card(&w->file, "%-8s= %20c", key, 'T');
}

static void none(nj_tess_work *w, const char *key, const char *comment)
{
    if (!w->laid) nj_card(&w->file, "%-8s= %20s / %s", key, "", comment);
}

static void place(nj_tess_work *w)
{
    if (w->card.failed || w->n_at == NJ_TESS_OTHERS) {
        w->file.failed = 1;
        return;
    }
    if (!w->laid) {
        w->at[w->n_at] = w->file.n;
        nj_buffer_add(&w->file, w->card.data, NJ_CARD);
    } else
        memcpy(w->file.data + w->at[w->n_at], w->card.data, NJ_CARD);
    w->n_at++;
}

/* These differ from target to target. */
static void real(nj_tess_work *w, const char *form, int column, double value, const char *comment)
{
    char key[16];
    snprintf(key, sizeof key, form, column);
    w->card.n = 0;
    nj_card_real(&w->card, key, value, comment);
    place(w);
}

static void other(nj_tess_work *w, const char *form, int column, long long value, const char *comment)
{
    char key[16];
    snprintf(key, sizeof key, form, column);
    w->card.n = 0;
    nj_card_whole(&w->card, key, value, comment);
    place(w);
}

static void add_cards(nj_tess_work *w, const nj_buffer *cards)
{
    if (!w->laid) nj_buffer_add(&w->file, cards->data ? cards->data : "", cards->n);
}

static void end(nj_tess_work *w)
{
    if (w->laid) return;
    nj_cards_sums(&w->file);
    nj_cards_end(&w->file, 0); /* every HDU begins at a block */
}

static void target_cards(nj_tess_work *w, const nj_tess_cut *cut)
{
    real(w, "RA_OBJ", 0, cut->ra, "[deg] right ascension");
    real(w, "DEC_OBJ", 0, cut->dec, "[deg] declination");
    w->card.n = 0;
    nj_card_text(&w->card, "OBJECT", cut->name, "string version of target ID");
    place(w);
}

static void primary(nj_tess_work *w, const nj_tess_cut *cut)
{
    flag(w, "SIMPLE");
    whole(w, "BITPIX", 0, 8, "array data type");
    whole(w, "NAXIS", 0, 0, "number of array dimensions");
    flag(w, "EXTEND");
    whole(w, "NEXTEND", 0, 2, "number of standard extensions");
    text(w, "EXTNAME", 0, "PRIMARY", "name of extension");
    add_cards(w, &cut->tess->primary);
    target_cards(w, cut);
    end(w);
}

/* The positions of the pixels in a column. */
static void column_positions(nj_tess_work *w, int column, const plane *p, const nj_tess_cut *cut)
{
    whole(w, "WCAX%d", column, 2, "Number of WCS axes");
    text(w, "1CTYP%d", column, "RA---TAN", "right ascension coordinate type");
    text(w, "2CTYP%d", column, "DEC--TAN", "declination coordinate type");
    real(w, "1CRPX%d", column, p->pixel[0], "[pixel] reference pixel along image axis 1");
    real(w, "2CRPX%d", column, p->pixel[1], "[pixel] reference pixel along image axis 2");
    real(w, "1CRVL%d", column, p->ra, "[deg] right ascension at reference pixel");
    real(w, "2CRVL%d", column, p->dec, "[deg] declination at reference pixel");
    text(w, "1CUNI%d", column, "deg", "physical unit in column dimension");
    text(w, "2CUNI%d", column, "deg", "physical unit in row dimension");
    fixed(w, "1CDLT%d", column, 1, "[deg] pixel scale in RA dimension");
    fixed(w, "2CDLT%d", column, 1, "[deg] pixel scale in DEC dimension");
    real(w, "11PC%d", column, p->per_pixel[0][0], "Coordinate transformation matrix element");
    real(w, "12PC%d", column, p->per_pixel[0][1], "Coordinate transformation matrix element");
    real(w, "21PC%d", column, p->per_pixel[1][0], "Coordinate transformation matrix element");
    real(w, "22PC%d", column, p->per_pixel[1][1], "Coordinate transformation matrix element");
    text(w, "WCSN%dP", column, "PHYSICAL", "table column WCS name");
    whole(w, "WCAX%dP", column, 2, "table column physical WCS dimensions");
    text(w, "1CTY%dP", column, "RAWX", "table column physical WCS axis 1 type, CCD col");
    text(w, "2CTY%dP", column, "RAWY", "table column physical WCS axis 2 type, CCD row");
    text(w, "1CUN%dP", column, "PIXEL", "table column physical WCS axis 1 unit");
    text(w, "2CUN%dP", column, "PIXEL", "table column physical WCS axis 2 unit");
    other(w, "1CRV%dP", column, cut->left + 1, "table column physical WCS ax 1 ref value");
    other(w, "2CRV%dP", column, cut->bottom + 1, "table column physical WCS ax 2 ref value");
    fixed(w, "1CDL%dP", column, 1, "table column physical WCS a1 step");
    fixed(w, "2CDL%dP", column, 1, "table column physical WCS a2 step");
    whole(w, "1CRP%dP", column, 1, "table column physical WCS a1 reference");
    whole(w, "2CRP%dP", column, 1, "table column physical WCS a2 reference");
}

typedef struct column {
    const char *name, *form, *unit, *display;
} column;

static const column COLUMNS[] = {
    { "TIME", "D", "BJD - 2457000, days", "D14.7" },
    { "TIMECORR", "E", "d", "E14.7" },
    { "CADENCENO", "J", NULL, "I10" },
    { "RAW_CNTS", "J", "count", "I8" },
    { "FLUX", "E", "e-/s", "E14.7" },
    { "FLUX_ERR", "E", "e-/s", "E14.7" },
    { "FLUX_BKG", "E", "e-/s", "E14.7" },
    { "FLUX_BKG_ERR", "E", "e-/s", "E14.7" },
    { "QUALITY", "J", NULL, "B16.16" },
    { "POS_CORR1", "E", "pixel", "E14.7" },
    { "POS_CORR2", "E", "pixel", "E14.7" },
    { "FFI_FILE", "A", NULL, NULL },
};
enum { N_COLUMNS = sizeof COLUMNS / sizeof *COLUMNS };

static void column_cards(nj_tess_work *w, int i, const plane *p, const nj_tess_cut *cut)
{
    const column *c = &COLUMNS[i - 1];
    const bool pixels = i >= FIRST && i < FIRST + PIXEL_COLUMNS;
    char form[24], dim[48];
    if (pixels)
        snprintf(form, sizeof form, "%lld%s", (long long)(cut->size * cut->size), c->form);
    else
        snprintf(form, sizeof form, "%s", c->form);
    if (!strcmp(c->name, "FFI_FILE")) snprintf(form, sizeof form, "%uA", cut->tess->file_width);
    text(w, "TTYPE%d", i, c->name, "column name");
    text(w, "TFORM%d", i, form, "column format");
    if (c->unit) text(w, "TUNIT%d", i, c->unit, "unit");
    if (i == FIRST) whole(w, "TNULL%d", i, -1, "null value");
    if (c->display) text(w, "TDISP%d", i, c->display, "display format");
    if (!pixels) return;
    snprintf(dim, sizeof dim, "(%lld,%lld)", (long long)cut->size, (long long)cut->size);
    text(w, "TDIM%d", i, dim, "multi-dimensional array spec");
    column_positions(w, i, p, cut);
}

static size_t row_bytes(const nj_tess_cut *cut)
{
    return 8 + 4 + 4 + (size_t)PIXEL_COLUMNS * 4 * (size_t)(cut->size * cut->size) + 3 * 4 +
           cut->tess->file_width;
}

static void table_header(nj_tess_work *w, const plane *p, const nj_tess_cut *cut)
{
    text(w, "XTENSION", 0, "BINTABLE", "binary table extension");
    whole(w, "BITPIX", 0, 8, "array data type");
    whole(w, "NAXIS", 0, 2, "number of array dimensions");
    whole(w, "NAXIS1", 0, (long long)row_bytes(cut), "length of dimension 1");
    whole(w, "NAXIS2", 0, cut->tess->frames, "length of dimension 2");
    whole(w, "PCOUNT", 0, 0, "number of group parameters");
    whole(w, "GCOUNT", 0, 1, "number of groups");
    whole(w, "TFIELDS", 0, N_COLUMNS, "number of table fields");
    for (int i = 1; i <= N_COLUMNS; i++) column_cards(w, i, p, cut);
    text(w, "EXTNAME", 0, "PIXELS", "name of extension");
    flag(w, "INHERIT");
    add_cards(w, &cut->tess->pixels);
    target_cards(w, cut);
    end(w);
}

static void aperture_header(nj_tess_work *w, const plane *p, const nj_tess_cut *cut)
{
    text(w, "XTENSION", 0, "IMAGE", "Image extension");
    whole(w, "BITPIX", 0, 32, "array data type");
    whole(w, "NAXIS", 0, 2, "number of array dimensions");
    whole(w, "NAXIS1", 0, cut->size, "");
    whole(w, "NAXIS2", 0, cut->size, "");
    whole(w, "PCOUNT", 0, 0, "number of parameters");
    whole(w, "GCOUNT", 0, 1, "number of groups");
    text(w, "EXTNAME", 0, "APERTURE", "name of extension");
    whole(w, "WCSAXES", 0, 2, "Number of coordinate axes");
    real(w, "CRPIX1", 0, p->pixel[0], "Pixel coordinate of reference point");
    real(w, "CRPIX2", 0, p->pixel[1], "Pixel coordinate of reference point");
    real(w, "PC1_1", 0, p->per_pixel[0][0], "Coordinate transformation matrix element");
    real(w, "PC1_2", 0, p->per_pixel[0][1], "Coordinate transformation matrix element");
    real(w, "PC2_1", 0, p->per_pixel[1][0], "Coordinate transformation matrix element");
    real(w, "PC2_2", 0, p->per_pixel[1][1], "Coordinate transformation matrix element");
    fixed(w, "CDELT1", 0, 1, "[deg] Coordinate increment at reference point");
    fixed(w, "CDELT2", 0, 1, "[deg] Coordinate increment at reference point");
    text(w, "CUNIT1", 0, "deg", "Units of coordinate increment and value");
    text(w, "CUNIT2", 0, "deg", "Units of coordinate increment and value");
    text(w, "CTYPE1", 0, "RA---TAN", "Right ascension, gnomonic projection");
    text(w, "CTYPE2", 0, "DEC--TAN", "Declination, gnomonic projection");
    real(w, "CRVAL1", 0, p->ra, "[deg] Coordinate value at reference point");
    real(w, "CRVAL2", 0, p->dec, "[deg] Coordinate value at reference point");
    fixed(w, "LONPOLE", 0, 180, "[deg] Native longitude of celestial pole");
    real(w, "LATPOLE", 0, p->dec, "[deg] Native latitude of celestial pole");
    fixed(w, "MJDREF", 0, 0, "[d] MJD of fiducial time");
    text(w, "RADESYS", 0, "ICRS", "Equatorial coordinate system");
    none(w, "NPIXMISS", "Number of op. aperture pixels not collected");
    none(w, "NPIXSAP", "Number of pixels in optimal aperture");
    real(w, "WCS_MSEP", 0, p->worst, "[deg] Max offset between cutout WCS and FFI WCS");
    real(w, "WCS_SIG", 0, p->sigma, "[deg] Error measurement of cutout WCS fit");
    flag(w, "INHERIT");
    add_cards(w, &cut->tess->aperture);
    target_cards(w, cut);
    end(w);
}

/* --- data --- */

static void store32(unsigned char *to, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(to, &value, 4);
}

static void store64(unsigned char *to, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(to, &value, 8);
}

/* What a row has besides flux and error. */
static void frame_values(unsigned char *row, const nj_tess_cut *cut, uint32_t frame)
{
    const nj_tess *t = cut->tess;
    const size_t pixels = 4 * (size_t)(cut->size * cut->size);
    uint64_t time;
    uint32_t correction;
    memcpy(&time, &t->time[frame], 8);
    memcpy(&correction, &t->correction[frame], 4);
    memset(row, 0, row_bytes(cut));
    store64(row, time);
    store32(row + 8, correction);
    memset(row + 16, 0xff, pixels); /* -1, none; the cadence's number before it is 0 */
    row += 16 + PIXEL_COLUMNS * pixels;
    store32(row, (uint32_t)t->quality[frame]);
    memcpy(row + 12, t->file + (size_t)frame * t->file_width, t->file_width);
}

/* Flux and error of some frames, from their first row. What is beyond the cube is NaN. */
static void turn(unsigned char *row, const nj_tess_cut *cut, uint32_t first, uint32_t n)
{
    const size_t pixels = 4 * (size_t)(cut->size * cut->size), pixel = 8 * (size_t)cut->tess->frames;
    const int64_t left = cut->left, right = left + cut->size, from = left > 0 ? left : 0,
                  to = right < cut->cols ? right : cut->cols;
    nj_turned at = { row + 16 + pixels, pixels, row_bytes(cut) };
    for (int64_t y = cut->bottom; y < cut->bottom + cut->size; y++) {
        if (y < 0 || y >= cut->rows) {
            nj_turn_none(&at, (uint32_t)cut->size, n);
            at.flux += 4 * cut->size;
            continue;
        }
        nj_turn_none(&at, (uint32_t)(from - left), n);
        at.flux += 4 * (from - left);
        nj_turn(&at, cut->data + ((size_t)y * (size_t)cut->cols + (size_t)from) * pixel + 8 * (size_t)first,
                pixel, (uint32_t)(to - from), n);
        at.flux += 4 * (to - from);
        nj_turn_none(&at, (uint32_t)(right - to), n);
        at.flux += 4 * (right - to);
    }
}

/* Room for data behind the header, with zeros up to the end of the block: where they begin. */
static size_t lay(nj_tess_work *w, size_t bytes)
{
    const size_t at = w->file.n, padded = (bytes + NJ_CARDS_BLOCK - 1) / NJ_CARDS_BLOCK * NJ_CARDS_BLOCK;
    char *room = nj_buffer_room(&w->file, padded);
    if (!room) return at;
    memset(room, 0, padded);
    w->file.n += padded;
    return at;
}

/* Returns the sum of the words of all flux and errors. Rows have whole words. */
static uint32_t fluxes(nj_tess_work *w, const nj_tess_cut *cut)
{
    const size_t bytes = row_bytes(cut), pixels = 4 * (size_t)(cut->size * cut->size);
    const uint32_t frames = cut->tess->frames;
    unsigned char *row = (unsigned char *)w->file.data + w->data[1];
    uint32_t sum = 0;
    for (uint32_t first = 0; first < frames; first += FRAMES, row += FRAMES * bytes) {
        const uint32_t n = frames - first < FRAMES ? frames - first : FRAMES;
        turn(row, cut, first, n);
        for (uint32_t k = 0; k < n; k++) /* while they are near */
            sum = nj_words_plus(sum, nj_words_sum(row + k * bytes + 16 + pixels, 2 * pixels));
    }
    return sum;
}

static void aperture(nj_tess_work *w, const nj_tess_cut *cut)
{
    unsigned char *at = (unsigned char *)w->file.data + w->data[2];
    for (int64_t y = cut->bottom; y < cut->bottom + cut->size; y++)
        for (int64_t x = cut->left; x < cut->left + cut->size; x++, at += 4)
            store32(at, y >= 0 && y < cut->rows && x >= 0 && x < cut->cols);
}

/* All that is the same in every file of the worker, and room for the rest. */
static int lay_out(nj_tess_work *w, const nj_tess_cut *cut, const plane *p)
{
    const size_t bytes = row_bytes(cut);
    primary(w, cut);
    w->data[0] = w->hdu[1] = w->file.n;
    table_header(w, p, cut);
    w->data[1] = lay(w, bytes * cut->tess->frames);
    w->hdu[2] = w->file.n;
    for (uint32_t i = 0; i < cut->tess->frames && !w->file.failed; i++)
        frame_values((unsigned char *)w->file.data + w->data[1] + i * bytes, cut, i);
    if (!w->file.failed) w->rest = nj_words_sum(w->file.data + w->data[1], w->hdu[2] - w->data[1]);
    aperture_header(w, p, cut);
    w->data[2] = lay(w, 4 * (size_t)(cut->size * cut->size));
    return w->file.failed ? -1 : 0;
}

int nj_tess_file(nj_tess_work *w, const nj_tess_cut *cut, nj_error *err)
{
    plane p;
    if (!fit(cut, &p)) return nj_fail(err, "%s: no plane fits the positions of its pixels", cut->name);
    w->n_at = 0;
    if (w->laid) {
        primary(w, cut);
        table_header(w, &p, cut);
        aperture_header(w, &p, cut);
    } else
        w->laid = lay_out(w, cut, &p) == 0;
    if (!w->laid || w->file.failed) return nj_fail(err, "out of memory");
    const uint32_t sum = nj_words_plus(w->rest, fluxes(w, cut));
    aperture(w, cut);
    nj_cards_sum_up(&w->file, 0, w->data[0], 0);
    nj_cards_sum_up(&w->file, w->hdu[1], w->data[1], sum);
    nj_cards_sum_up(&w->file, w->hdu[2], w->data[2],
                    nj_words_sum(w->file.data + w->data[2], w->file.n - w->data[2]));
    return 0;
}

void nj_tess_work_free(nj_tess_work *w)
{
    nj_buffer_free(&w->file);
    nj_buffer_free(&w->card);
}
