/* tess.c - what the table of a TESS cube says of times and positions, and the cards that are the same in
 * every target pixel file that is cut from it. Keys are those that TESScut publishes. */
#include "tess.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/version.h"
#include "cards.h"

/* Of one image, or without meaning for a stack of them. A star ends what a key begins with. */
static const char *const DROPPED[] = {
    "SIMPLE",   "BITPIX",  "NAXIS*",   "EXTEND",   "NEXTEND",  "CHECKSUM", "DATASUM",  "END",      "SC_*",
    "RMS*",     "A_*",     "AP_*",     "B_*",      "BP*",      "GAIN*",    "TESS_*",   "CD*",      "CT*",
    "CRPIX*",   "CRVAL*",  "MJD*",     "COMMENT",  "FILTER",   "TIME",     "EXPTIME",  "ACS_MODE", "DEC_TARG",
    "FLXWIN",   "RA_TARG", "CCDNUM",   "CAMNUM",   "WCSGDF",   "UNITS",    "CADENCE",  "SCIPIXS",  "INT_TIME",
    "PIX_CAT",  "REQUANT", "DIFF_HUF", "PRIM_HUF", "QUAL_BIT", "SPM",      "STARTTJD", "ENDTJD",   "CRM",
    "TJD_ZERO", "CRM_N",   "ORBIT_ID", "MIDTJD",
};

/* Written here instead of inherited. */
static const char *const REPLACED[] = {
    "EXTNAME", "CREATOR",  "PROCVER",  "FFI_TYPE", "RA_OBJ",   "DEC_OBJ", "OBJECT", "TIMEREF",
    "TASSIGN", "TIMESYS",  "BJDREFI",  "BJDREFF",  "TIMEUNIT", "TELAPSE", "TSTART", "TSTOP",
    "DATE",    "DATE-OBS", "DATE-END", "FFIINDEX", "TCID",     "PXTABLE", "PMRA",   "PMDEC",
    "PMTOTAL", "TESSMAG",  "TEFF",     "LOGG",     "MH",       "RADIUS",  "TICVER", "TICID",
};

/* Cards of one image that the header of the pixels has, of the image whose positions are taken. */
static const char *const IMAGE[][2] = {
    { "BACKAPP", "background is subtracted" },
    { "CDPP0_5", "RMS CDPP on 0.5-hr time scales" },
    { "CDPP1_0", "RMS CDPP on 1.0-hr time scales" },
    { "CDPP2_0", "RMS CDPP on 2.0-hr time scales" },
    { "CROWDSAP", "Ratio of target flux to total flux in op. ap." },
    { "DEADAPP", "deadtime applied" },
    { "DEADC", "deadtime correction" },
    { "EXPOSURE", "[d] time on source" },
    { "FLFRCSAP", "Frac. of target flux w/in the op. aperture" },
    { "FRAMETIM", "[s] frame time [INT_TIME + READTIME]" },
    { "FXDOFF", "compression fixed offset" },
    { "GAINA", "[electrons/count] CCD output A gain" },
    { "GAINB", "[electrons/count] CCD output B gain" },
    { "GAINC", "[electrons/count] CCD output C gain" },
    { "GAIND", "[electrons/count] CCD output D gain" },
    { "INT_TIME", "[s] photon accumulation time per frame" },
    { "LIVETIME", "[d] TELAPSE multiplied by DEADC" },
    { "MEANBLCA", "[count] FSW mean black level CCD output A" },
    { "MEANBLCB", "[count] FSW mean black level CCD output B" },
    { "MEANBLCC", "[count] FSW mean black level CCD output C" },
    { "MEANBLCD", "[count] FSW mean black level CCD output D" },
    { "NREADOUT", "number of read per cadence" },
    { "NUM_FRM", "number of frames per time stamp" },
    { "READNOIA", "[electrons] read noise CCD output A" },
    { "READNOIB", "[electrons] read noise CCD output B" },
    { "READNOIC", "[electrons] read noise CCD output C" },
    { "READNOID", "[electrons] read noise CCD output D" },
    { "READTIME", "[s] readout time per frame" },
    { "TIERRELA", "[d] relative time error" },
    { "TIMEDEL", "[d] time resolution of data" },
    { "TIMEPIXR", "bin time beginning=0 middle=0.5 end=1" },
    { "TMOFST11", "(s) readout delay for camera 1 and ccd 1" },
    { "VIGNAPP", "vignetting or collimator correction applied" },
};

#define COUNT(x) (sizeof(x) / sizeof *(x))

static bool is_among(const char *key, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const size_t m = strcspn(list[i], "*");
        if (list[i][m] ? !strncmp(key, list[i], m) : !strcmp(key, list[i])) return true;
    }
    return false;
}

static bool is_of_image(const char *key)
{
    for (size_t i = 0; i < COUNT(IMAGE); i++)
        if (!strcmp(key, IMAGE[i][0])) return true;
    return false;
}

bool nj_tess_is(fitsfile *f)
{
    int n = 0, status = 0;
    char value[FLEN_VALUE];
    if (fits_get_img_dim(f, &n, &status) || n != NJ_TESS_AXES) return false;
    fits_write_errmark();
    fits_read_keyword(f, "CTYPE1", value, NULL, &status);
    fits_clear_errmark();
    return status == KEY_NO_EXIST;
}

/* --- the table --- */

static int column(fitsfile *f, const char *name, nj_error *err)
{
    int status = 0, n = 0;
    fits_write_errmark();
    fits_get_colnum(f, CASEINSEN, (char *)name, &n, &status);
    fits_clear_errmark();
    if (!status) return n;
    if (err) nj_fail(err, "the table of its images has no column %s", name);
    return 0;
}

static int read_times(nj_tess *t, fitsfile *f, nj_error *err)
{
    const int start = column(f, "TSTART", err), stop = start ? column(f, "TSTOP", err) : 0,
              shift = stop ? column(f, "BARYCORR", err) : 0, quality = shift ? column(f, "DQUALITY", err) : 0;
    const LONGLONG n = t->frames;
    int status = 0, any = 0;
    double none = NAN, *end = calloc(t->frames, sizeof *end);
    float none_f = NAN;
    if (!quality) return free(end), -1;
    t->time = calloc(t->frames, sizeof *t->time);
    t->correction = calloc(t->frames, sizeof *t->correction);
    t->quality = calloc(t->frames, sizeof *t->quality);
    if (!end || !t->time || !t->correction || !t->quality) return free(end), nj_fail(err, "out of memory");
    fits_read_col(f, TDOUBLE, start, 1, 1, n, &none, t->time, &any, &status);
    fits_read_col(f, TDOUBLE, stop, 1, 1, n, &none, end, &any, &status);
    fits_read_col(f, TFLOAT, shift, 1, 1, n, &none_f, t->correction, &any, &status);
    fits_read_col(f, TINT, quality, 1, 1, n, NULL, t->quality, &any, &status);
    for (uint32_t i = 0; i < t->frames; i++) t->time[i] = (t->time[i] + end[i]) / 2;
    free(end);
    return status ? nj_fail(err, "the times of its images cannot be read") : 0;
}

/* Names of files may be missing: TESScut's cubes have them, and they are of use to people only. */
static int read_files(nj_tess *t, fitsfile *f, nj_error *err)
{
    const int c = column(f, "FFI_FILE", NULL);
    int status = 0, kind = 0;
    long repeat = 0, unit = 0;
    if (c) fits_get_coltype(f, c, &kind, &repeat, &unit, &status);
    t->file_width = c && kind == TSTRING && repeat > 0 && repeat < 4096 ? (uint32_t)repeat : 1;
    const uint32_t width = t->file_width;
    t->file_width = (width + 3) / 4 * 4; /* rows of whole words */
    if (!(t->file = calloc(t->frames, t->file_width))) return nj_fail(err, "out of memory");
    char text[4096 + 1], *cell = text;
    for (uint32_t i = 0; i < t->frames && width > 1 && !status; i++) {
        fits_read_col_str(f, c, i + 1, 1, 1, (char[]){ "" }, &cell, NULL, &status);
        if (!status) memcpy(t->file + (size_t)i * t->file_width, text, strnlen(text, width));
    }
    return status ? nj_fail(err, "the names of its images cannot be read") : 0;
}

/* One cell as a card; without a value when it has none. False: no such column. */
static bool cell_card(nj_buffer *b, fitsfile *f, const char *key, LONGLONG row, const char *comment)
{
    const int c = column(f, key, NULL);
    int status = 0, kind = 0, any = 0;
    long repeat = 0, unit = 0;
    char text[4096 + 1] = "", *cell = text;
    double real = NAN, none = NAN;
    LONGLONG whole = 0;
    if (!c || fits_get_coltype(f, c, &kind, &repeat, &unit, &status)) return false;
    if (kind == TSTRING) {
        if (repeat > 4096 || fits_read_col_str(f, c, row, 1, 1, (char[]){ "" }, &cell, NULL, &status))
            return false;
        nj_card_text(b, key, text, comment);
    } else if (kind == TDOUBLE || kind == TFLOAT) {
        if (fits_read_col(f, TDOUBLE, c, row, 1, 1, &none, &real, &any, &status)) return false;
        nj_card_real(b, key, real, comment);
    } else if (kind == TLOGICAL) {
        char flag = 0;
        if (fits_read_col(f, TLOGICAL, c, row, 1, 1, NULL, &flag, &any, &status)) return false;
        nj_card(b, "%-8s= %20c / %s", key, flag ? 'T' : 'F', comment);
    } else {
        if (fits_read_col(f, TLONGLONG, c, row, 1, 1, NULL, &whole, &any, &status)) return false;
        nj_card_whole(b, key, whole, comment);
    }
    return true;
}

static bool has_positions(fitsfile *f, int c, LONGLONG row)
{
    char text[4096 + 1] = "", *cell = text;
    int status = 0;
    return !fits_read_col_str(f, c, row, 1, 1, (char[]){ "" }, &cell, NULL, &status) &&
           !strncmp(text, "DEC-", 4);
}

/* The row in the middle, else the next one behind it, and from the first on. 0 = none. */
static LONGLONG row_of_positions(const nj_tess *t, fitsfile *f, nj_error *err)
{
    const int c = column(f, "CTYPE2", err);
    if (!c) return 0;
    for (uint32_t i = 0; i < t->frames; i++) {
        const LONGLONG row = (t->frames / 2 + i) % t->frames + 1;
        if (has_positions(f, c, row)) return row;
    }
    nj_fail(err, "none of its images has positions: no CTYPE2 is DEC-...");
    return 0;
}

/* A row of the table is the header of an image, with a column for each key. */
static int read_positions(nj_wcs *wcs, fitsfile *f, LONGLONG row, nj_error *err)
{
    nj_buffer cards = { 0 };
    int n = 0, status = 0;
    fits_get_num_cols(f, &n, &status);
    for (int c = 1; c <= n && !status; c++) {
        char key[FLEN_KEYWORD], name[FLEN_VALUE] = "";
        snprintf(key, sizeof key, "TTYPE%d", c);
        fits_read_key(f, TSTRING, key, name, NULL, &status);
        if (strlen(name) <= 8 && strcmp(name, "XTENSION") != 0 && strcmp(name, "FFI_FILE") != 0)
            cell_card(&cards, f, name, row, "");
    }
    int rc = status || cards.failed ? nj_fail(err, "the header of an image cannot be read from its table")
                                    : nj_wcs_parse(wcs, cards.data, (int)(cards.n / 80), err);
    nj_buffer_free(&cards);
    return rc;
}

/* --- cards of every target pixel file --- */

static void inherit(nj_tess *t, const char *card, const char *key)
{
    if (is_among(key, DROPPED, COUNT(DROPPED)) || is_among(key, REPLACED, COUNT(REPLACED))) return;
    nj_card(&t->primary, "%s", card);
    if (!is_of_image(key) && strcmp(key, "INHERIT") != 0 && strcmp(key, "EXTVER") != 0)
        nj_card(&t->pixels, "%s", card);
    if (!is_among(key,
                  (const char *const[]){ "INHERIT", "EXTVER", "WCSAXES", "RADESYS", "LONPOLE", "LATPOLE",
                                         "EQUINOX", "NPIXMISS", "NPIXSAP", "WCS_MSEP", "WCS_SIG" },
                  11))
        nj_card(&t->aperture, "%s", card);
}

/* The primary header's own card with another comment; of a key that it lacks, one without a value. */
static void keep_value(nj_buffer *b, fitsfile *f, const char *key, const char *comment)
{
    char value[FLEN_VALUE] = "";
    int status = 0;
    fits_write_errmark();
    fits_read_keyword(f, (char *)key, value, NULL, &status);
    fits_clear_errmark();
    if (status) *value = 0;
    nj_card(b, *value == '\'' ? "%-8s= %-20s / %s" : "%-8s= %20s / %s", key, value, comment);
}

static double number_of(fitsfile *f, const char *key)
{
    double x = NAN;
    int status = 0;
    fits_write_errmark();
    fits_read_key(f, TDOUBLE, key, &x, NULL, &status);
    fits_clear_errmark();
    return status ? NAN : x;
}

/* The same in all three headers. */
static void common_cards(nj_buffer *b, fitsfile *f)
{
    static const char *const none[][2] = {
        { "PMRA", "[mas/yr] RA proper motion" },       { "PMDEC", "[mas/yr] Dec proper motion" },
        { "PMTOTAL", "[mas/yr] Total proper motion" }, { "TESSMAG", "[mag] TESS magnitude" },
        { "TEFF", "[K] Effective temperature" },       { "LOGG", "[cm/s2] log10 surface gravity" },
        { "MH", "[log10([M/H])] Metallicity" },        { "RADIUS", "[solar radii] Stellar radius" }
    };
    nj_card_text(b, "CREATOR", "nightjar", "software used to produce this file");
    nj_card_text(b, "PROCVER", nj_version, "software version");
    nj_card_text(b, "FFI_TYPE", "SPOC", "the FFI type used to make the cutouts");
    nj_card_text(b, "TIMEREF", "SOLARSYSTEM", "barycentric correction applied to times");
    nj_card_text(b, "TASSIGN", "SPACECRAFT", "where time is assigned");
    nj_card_text(b, "TIMESYS", "TDB", "time system is Barycentric Dynamical Time (TDB)");
    nj_card_whole(b, "BJDREFI", 2457000, "integer part of BTJD reference date");
    nj_card_real(b, "BJDREFF", 0, "fraction of the day in BTJD reference date");
    nj_card_text(b, "TIMEUNIT", "d", "time unit for TIME, TSTART, and TSTOP");
    nj_card_real(b, "TELAPSE", number_of(f, "TSTOP") - number_of(f, "TSTART"), "[d] TSTOP - TSTART");
    keep_value(b, f, "DATE", "FFI cube creation date");
    keep_value(b, f, "TSTART", "observation start time in TJD of first FFI");
    keep_value(b, f, "TSTOP", "observation stop time in TJD of last FFI");
    keep_value(b, f, "DATE-OBS", "TSTART as UTC calendar date of first FFI");
    keep_value(b, f, "DATE-END", "TSTOP as UTC calendar date of last FFI");
    keep_value(b, f, "FFIINDEX", "number of FFI cadence interval of first FFI");
    nj_card_whole(b, "TCID", 0, "unique TESS target identifier");
    nj_card_whole(b, "PXTABLE", 0, "pixel table ID");
    for (size_t i = 0; i < COUNT(none); i++) nj_card_real(b, none[i][0], 0, none[i][1]);
    nj_card_whole(b, "TICVER", 0, "TIC version");
    nj_card(b, "TICID   = %20s / unique TESS target identifier", "");
}

static int keep_primary(nj_tess *t, fitsfile *f, nj_error *err)
{
    int n = 0, status = 0, length = 0;
    char card[FLEN_CARD], key[FLEN_KEYWORD];
    fits_movabs_hdu(f, 1, NULL, &status);
    fits_get_hdrspace(f, &n, NULL, &status);
    for (int i = 1; i <= n && !status; i++) {
        fits_read_record(f, i, card, &status);
        fits_get_keyname(card, key, &length, &status);
        if (!status) inherit(t, card, key);
    }
    if (status) return nj_fail(err, "its primary header cannot be read");
    common_cards(&t->primary, f);
    common_cards(&t->pixels, f);
    common_cards(&t->aperture, f);
    return 0;
}

int nj_tess_read(nj_tess *t, nj_wcs *wcs, fitsfile *f, const uint32_t axis[NJ_TESS_AXES], nj_error *err)
{
    int status = 0, kind = 0;
    long rows = 0;
    char name[4096 + 1] = "";
    *t = (nj_tess){ .frames = axis[1] };
    if (axis[0] != 2)
        return nj_fail(err,
                       "is a cube of %u planes a time; flux and its error are known, as SPOC's cubes have",
                       axis[0]);
    if (fits_get_hdu_type(f, &kind, &status) || kind != BINARY_TBL || fits_get_num_rows(f, &rows, &status))
        return nj_fail(err, "has no table of its images behind the cube");
    if (rows != (long)t->frames) return nj_fail(err, "has %u images and a table of %ld", t->frames, rows);
    if (read_times(t, f, err) || read_files(t, f, err)) return -1;
    const LONGLONG row = row_of_positions(t, f, err);
    if (!row || read_positions(wcs, f, row, err)) return -1;
    for (size_t i = 0; i < COUNT(IMAGE); i++)
        if (!cell_card(&t->pixels, f, IMAGE[i][0], row, IMAGE[i][1]))
            nj_card(&t->pixels, "%-8s= %20s / %s", IMAGE[i][0], "", IMAGE[i][1]);
    snprintf(name, sizeof name, "%.*s", (int)t->file_width, t->file + (size_t)(row - 1) * t->file_width);
    nj_card_text(&t->pixels, "WCS_FFI", name, "FFI used for cutout WCS");
    if (keep_primary(t, f, err)) return -1;
    return t->primary.failed || t->pixels.failed || t->aperture.failed ? nj_fail(err, "out of memory") : 0;
}

void nj_tess_free(nj_tess *t)
{
    free(t->time);
    free(t->correction);
    free(t->quality);
    free(t->file);
    nj_buffer_free(&t->primary);
    nj_buffer_free(&t->pixels);
    nj_buffer_free(&t->aperture);
    *t = (nj_tess){ 0 };
}
