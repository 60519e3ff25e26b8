/* wcs.c - what an image's header says of positions: parsed and projected by wcslib, turned to its frame by
 * ERFA. */
#include "wcs.h"

#include <erfa.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <wcslib/dis.h>
#include <wcslib/wcs.h>
#include <wcslib/wcsfix.h>
#include <wcslib/wcshdr.h>

enum { NJ_MOST_AXES = 32 }; /* wcssub wants a list as long as the header has axes */

static const double RAD = M_PI / 180;

/* --- what is refused --- */

/* The first card whose key begins so, and whose text has `with` (NULL: any). */
static const char *card_of(const char *cards, int n, const char *key, const char *with)
{
    char text[81];
    for (int i = 0; i < n; i++) {
        memcpy(text, cards + 80 * i, 80);
        text[80] = 0;
        if (!strncmp(text, key, strlen(key)) && (!with || strstr(text + 8, with))) return cards + 80 * i;
    }
    return NULL;
}

static int key_length(const char *card)
{
    int n = 0;
    while (n < 8 && card[n] != ' ' && card[n] != '=') n++;
    return n;
}

/* Distortions by lookup tables (Calabretta et al. 2004, draft) need other HDUs,
 * which wcslib does not read. */
static int refuse_tables(const char *cards, int n, nj_error *err)
{
    static const char *const table[] = { "CPDIS", "CQDIS", "D2IMDIS" };
    const char *c = NULL;
    for (size_t k = 0; k < sizeof table / sizeof *table && !c; k++)
        for (const char *const *word = (const char *const[]){ "LOOKUP", "Lookup", "lookup", NULL };
             *word && !c; word++)
            c = card_of(cards, n, table[k], *word);
    if (!c) c = card_of(cards, n, "D2IMEXT", NULL);
    if (!c) c = card_of(cards, n, "AXISCORR", NULL);
    if (c)
        return nj_fail(err, "%.*s is a distortion by a lookup table, which cannot be honoured", key_length(c),
                       c);
    return 0;
}

static int refuse_axes(const struct wcsprm *w, nj_error *err)
{
    for (int i = 0; i < w->naxis; i++) {
        if (i < 2 && i != w->lng && i != w->lat) {
            if (w->ctype[i][0])
                return nj_fail(err, "axes 1 and 2 are %s and %s; both must be axes of the sky, of one frame",
                               w->ctype[0], w->ctype[1]);
            return nj_fail(err, "has no CTYPE%d, so no positions", i + 1);
        }
        if (strstr(w->ctype[i], "-TAB"))
            return nj_fail(err, "CTYPE%d is %s, a lookup table, which cannot be honoured", i + 1,
                           w->ctype[i]);
    }
    return 0;
}

/* --- frames --- */

static void transpose(double m[3][3])
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < i; j++) {
            double t = m[i][j];
            m[i][j] = m[j][i];
            m[j][i] = t;
        }
}

/* ICRS to FK5 of J2000 (Mignard & Froeschle 2000, by ERFA), then by precession to the equinox. Precession is
 * that of the IAU of 2006, as astropy has it; Lieske's of 1977 differs by 0.08 arcsec over 25 years. */
static void to_fk5(nj_wcs *w, double equinox)
{
    double to_hipparcos[3][3], spin[3], bias[3][3], precession[3][3], both[3][3], d1, d2;
    eraFk5hip(to_hipparcos, spin);
    transpose(to_hipparcos);
    eraEpj2jd(equinox, &d1, &d2);
    eraBp06(d1, d2, bias, precession, both);
    eraRxr(precession, to_hipparcos, w->turn);
}

static void to_galactic(nj_wcs *w)
{
    for (int k = 0; k < 3; k++) { /* the matrix's columns are where the axes go */
        double lon, lat, column[3];
        double ra = k == 1 ? M_PI / 2 : 0, dec = k == 2 ? M_PI / 2 : 0;
        eraIcrs2g(ra, dec, &lon, &lat);
        eraS2c(lon, lat, column);
        for (int i = 0; i < 3; i++) w->turn[i][k] = column[i];
    }
}

static int choose_frame(nj_wcs *w, nj_error *err)
{
    const struct wcsprm *p = w->prm;
    double equinox = p->equinox;
    const char *frame = p->radesys;
    eraIr(w->turn);
    if (!strcmp(p->lngtyp, "GLON")) return to_galactic(w), 0;
    if (strcmp(p->lngtyp, "RA") != 0)
        return nj_fail(err,
                       "the axes are %s and %s; right ascension and declination, or galactic ones, are known",
                       p->ctype[p->lng], p->ctype[p->lat]);
    /* Calabretta & Greisen 2002, table 2 */
    if (!*frame) frame = !(equinox > 0) ? "ICRS" : equinox < 1984 ? "FK4" : "FK5";
    if (!strcmp(frame, "ICRS")) return 0;
    if (!strcmp(frame, "FK5")) return to_fk5(w, equinox > 0 ? equinox : 2000), 0;
    if (strcmp(frame, "FK4") != 0) return nj_fail(err, "RADESYS is %s; ICRS, FK5 and FK4 are known", frame);
    w->fk4 = equinox > 0 ? equinox : 1950;
    if (w->fk4 != 1950) return nj_fail(err, "is FK4 of EQUINOX %g; FK4 is known of 1950 alone", equinox);
    return 0;
}

/* --- reading --- */

/* SIP is applied whether or not CTYPE ends in -SIP, as most readers do; wcslib wants the ending. */
static void name_sip(char *cards, int n)
{
    if (!card_of(cards, n, "A_ORDER ", NULL) && !card_of(cards, n, "B_ORDER ", NULL)) return;
    for (int i = 0; i < n; i++) {
        char *c = cards + 80 * i, *quote = c + 10;
        if (memcmp(c, "CTYPE1  = '", 11) && memcmp(c, "CTYPE2  = '", 11)) continue;
        char *end = memchr(quote + 1, '\'', (size_t)(80 - (quote + 1 - c)));
        size_t length = end ? (size_t)(end - quote - 1) : 0;
        while (length && quote[length] == ' ') length--;
        if (length != 8) continue; /* "RA---TAN" and no more */
        memset(quote + 1 + length, ' ', (size_t)(80 - (quote + 1 + length - c)));
        memcpy(quote + 1 + length, "-SIP'", 5);
    }
}

static int celestial(nj_wcs *w, struct wcsprm *all, nj_error *err)
{
    int axis[NJ_MOST_AXES] = { WCSSUB_CELESTIAL }, n = 1, rc;
    if (all->naxis > NJ_MOST_AXES)
        return nj_fail(err, "has %d axes of positions, more than %d", all->naxis, NJ_MOST_AXES);
    w->prm = calloc(1, sizeof *w->prm);
    if (!w->prm) return nj_fail(err, "out of memory");
    w->prm->flag = -1;
    if ((rc = wcssub(1, all, &n, axis, w->prm)) || n != 2)
        return nj_fail(err, "axes 1 and 2 cannot be separated from the others: %s",
                       rc ? wcs_errmsg[rc] : "no axes of the sky");
    if ((rc = wcsset(w->prm))) return nj_fail(err, "its positions cannot be read: %s", wcs_errmsg[rc]);
    return choose_frame(w, err);
}

int nj_wcs_parse(nj_wcs *w, const char *given, int n_cards, nj_error *err)
{
    int rejected = 0, n = 0, rc = -1, status[NWCSFIX];
    struct wcsprm *list = NULL;
    memset(w, 0, sizeof *w);
    if (refuse_tables(given, n_cards, err)) return -1;
    char *cards = malloc((size_t)n_cards * 80 + 1);
    if (!cards) return nj_fail(err, "out of memory");
    memcpy(cards, given, (size_t)n_cards * 80);
    cards[(size_t)n_cards * 80] = 0;
    name_sip(cards, n_cards);
    if (wcspih(cards, n_cards, WCSHDR_all, 0, &rejected, &n, &list) || n < 1) {
        const char *c = card_of(cards, n_cards, "CTYPE1", NULL);
        nj_fail(err, "has no positions that can be read: %.*s", c ? 40 : 9, c ? c : "no CTYPE1");
    } else if (list[0].alt[0] != ' ' && list[0].alt[0]) {
        nj_fail(err, "has positions of the alternative description '%c' alone", list[0].alt[0]);
    } else {
        wcsfix(7, NULL, &list[0], status); /* units and dates as they are often written */
        int set = wcsset(&list[0]);
        if (!list[0].naxis || list[0].naxis < 2)
            nj_fail(err, "has no CTYPE2, so no positions");
        else if (!refuse_axes(&list[0], err)) {
            if (set)
                nj_fail(err, "CTYPE1 %s and CTYPE2 %s: %s", list[0].ctype[0], list[0].ctype[1],
                        wcs_errmsg[set]);
            else
                rc = celestial(w, &list[0], err);
        }
    }
    if (list) wcsvfree(&n, &list);
    free(cards);
    if (rc) nj_wcs_free(w);
    return rc;
}

int nj_wcs_read(nj_wcs *w, fitsfile *f, nj_error *err)
{
    char *cards = NULL;
    int n = 0, status = 0;
    memset(w, 0, sizeof *w);
    /* also of a compressed image: the cards of the image, not of the table that holds it */
    if (fits_convert_hdr2str(f, 0, NULL, 0, &cards, &n, &status))
        return nj_fail(err, "its header cannot be read");
    int rc = nj_wcs_parse(w, cards, n, err);
    fits_free_memory(cards, &status);
    return rc;
}

int nj_wcs_copy(nj_wcs *to, const nj_wcs *from)
{
    *to = *from;
    to->prm = calloc(1, sizeof *to->prm);
    if (!to->prm) return -1;
    to->prm->flag = -1;
    if (wcssub(1, from->prm, NULL, NULL, to->prm) || wcsset(to->prm)) {
        nj_wcs_free(to);
        return -1;
    }
    return 0;
}

void nj_wcs_free(nj_wcs *w)
{
    if (w->prm) wcsfree(w->prm);
    free(w->prm);
    w->prm = NULL;
}

/* --- positions --- */

double nj_wcs_crpix(const nj_wcs *w, int axis)
{
    return w->prm->crpix[axis];
}

static void to_frame(const nj_wcs *w, double *lon, double *lat)
{
    if (w->fk4 > 0) {
        double r, d, pm_ra, pm_dec, fk5[3], at[3];
        double to_hipparcos[3][3], spin[3];
        eraFk5hip(to_hipparcos, spin);
        eraS2c(*lon, *lat, at);
        eraTrxp(to_hipparcos, at, fk5);
        eraC2s(fk5, &r, &d);
        eraFk54z(r, d, w->fk4, lon, lat, &pm_ra, &pm_dec);
        return;
    }
    double at[3], turned[3];
    eraS2c(*lon, *lat, at);
    eraRxp((double(*)[3])w->turn, at, turned);
    eraC2s(turned, lon, lat);
}

bool nj_wcs_pixel(nj_wcs *w, double ra_deg, double dec_deg, double *x, double *y)
{
    double lon = ra_deg * RAD, lat = dec_deg * RAD, world[2], phi, theta, plane[2], pixel[2];
    int status = 0;
    if (!isfinite(lon) || !isfinite(lat)) return false;
    to_frame(w, &lon, &lat);
    world[w->prm->lng] = lon / RAD;
    world[w->prm->lat] = lat / RAD;
    if (wcss2p(w->prm, 1, 2, world, &phi, &theta, plane, pixel, &status) || status) return false;
    *x = pixel[0] - 1;
    *y = pixel[1] - 1;
    return isfinite(*x) && isfinite(*y);
}

bool nj_wcs_sky(nj_wcs *w, double x, double y, double *ra_deg, double *dec_deg)
{
    double pixel[2] = { x + 1, y + 1 }, plane[2], phi, theta, world[2], at[3], turned[3];
    int status = 0;
    if (w->fk4 > 0 || wcsp2s(w->prm, 1, 2, pixel, plane, &phi, &theta, world, &status) || status)
        return false;
    eraS2c(world[w->prm->lng] * RAD, world[w->prm->lat] * RAD, at);
    eraTrxp(w->turn, at, turned);
    eraC2s(turned, ra_deg, dec_deg);
    *ra_deg = eraAnp(*ra_deg) / RAD;
    *dec_deg /= RAD;
    return isfinite(*ra_deg) && isfinite(*dec_deg);
}
