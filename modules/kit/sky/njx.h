/* njx.h - the catalogue file: its layout, the writer, the reader,
 * and the search that `nightjar/sky.h` offers.
 *
 * Layout (little endian): njx_header, njx_section[n_sections], then the sections, each aligned to 64 bytes.
 * The sky is cut into n_bands bands of equal height in declination, each band into n_cells cells of right
 * ascension. Positions are two uint32 (2^32 = 360 deg of ra; 2^32 = 180 deg of dec from the south pole),
 * rounded down, so that band = dec * n_bands >> 32, cell = ra * n_cells >> 32, and ra wraps by itself. Rows
 * stand in order of (band, cell), within a cell in the order of the source; every column stands in that
 * order. Rows that move fast have a grid of their own, behind the others,
 * so that only few cones are searched wide. */
#ifndef NJ_KIT_SKY_NJX_H
#define NJ_KIT_SKY_NJX_H

#include "nightjar/sky.h"

#define NJX_MAGIC "NJXSKY1\n"
enum { NJX_VERSION = 1, NJX_GRIDS = 2, NJX_COLUMNS = 64, NJX_BUCKETS = 256, NJX_PAD = 64 };
#define NJX_NO_CODE UINT32_MAX /* dictionary code of a null text */

enum njx_kind {
    NJX_GRID = 1,
    NJX_COLUMN,
    NJX_BANDS,
    NJX_OFFSETS,
    NJX_POSITION,
    NJX_EXACT,
    NJX_MOTION,
    NJX_VALUES,
    NJX_TEXT_START,
    NJX_TEXT
};

typedef struct njx_header {
    char magic[8];
    uint32_t version, byte_order; /* NJX_VERSION, 0x01020304 */
    uint64_t file_size, n_rows, n_rejected;
    uint32_t n_sections, n_columns, n_grids, reserved;
    double epoch_year, radius_arcsec;
    char frame[16], source[256];
    uint8_t source_sha256[32];
    uint8_t content_sha256[32];     /* of the header up to here (file_size 0) and the section table */
    uint64_t reserved2, header_sum; /* njx_sum of the header before this field */
} njx_header;

typedef struct njx_section {
    uint32_t kind, index;       /* enum njx_kind; number of the grid or column */
    uint64_t offset, size, sum; /* bytes from the start of the file; njx_sum of the section */
} njx_section;

typedef struct njx_grid_head {
    uint64_t row0, n_rows; /* rows [row0, row0 + n_rows) of the file */
    uint32_t n_bands, reserved;
    double max_motion; /* arcsec per year, of any row of this grid */
} njx_grid_head;

typedef struct njx_band {
    uint64_t row0, cell0; /* first row, in its grid; first entry of this band in the offsets
                           * (n_cells + 1 entries) */
    uint32_t n_cells;
    float worst; /* 1 / cos(dec) at the edge nearer to a pole, rounded up; +inf at a pole */
} njx_band;

typedef struct njx_column_head {
    char name[48], unit[24];
    uint32_t type, n_text; /* nj_type; entries of the dictionary */
} njx_column_head;

/* One grid in memory: pointers into a mapped file, or into arrays that are not written yet. */
typedef struct njx_grid {
    uint64_t n_rows, row0;
    uint32_t n_bands;
    double max_motion;
    const njx_band *band;
    const uint32_t *offset;   /* row of a cell's start, from its band's row0 */
    const uint32_t *position; /* [n_rows][2] ra, dec; readable for NJX_PAD bytes behind the end */
    const double *exact;      /* [n_rows][2] deg as in the source; NULL: position is all there is */
    const float *motion;      /* [n_rows][2] mas/yr, ra * cos(dec) and dec, NaN = none; NULL */
} njx_grid;

static inline uint32_t njx_ra_u32(double ra)
{
    return (uint32_t)(uint64_t)(int64_t)(ra * (4294967296.0 / 360));
}
static inline uint32_t njx_dec_u32(double dec)
{
    double u = (dec + 90) * (4294967296.0 / 180);
    return u >= 4294967295.0 ? UINT32_MAX : u <= 0 ? 0 : (uint32_t)u;
}

/* grid.c: how the sky is cut */
/* Bands for n_rows rows and a search radius: about 4 rows per cell, cells at least two radii high. When
 * `buckets`, a multiple of NJX_BUCKETS, so that a bucket of dec >> 24 holds whole bands. */
uint32_t njx_n_bands(uint64_t n_rows, double radius_arcsec, int buckets);
/* Fills n_cells, cell0 and worst of all bands; returns the number of offsets. */
uint64_t njx_lay_bands(njx_band *band, uint32_t n_bands);
/* A grid from arrays in memory (deg; ra in [0, 360), dec in [-90, 90], n < 2^32), `exact` set, no motion.
 * source_row (may be NULL) [n] gets, per row of the grid, its index in the arrays.
 * Free with njx_free_grid. -1: no memory. */
int njx_build_grid(njx_grid *grid, uint64_t n, const double *ra, const double *dec, double radius_arcsec,
                   uint32_t *source_row);
void njx_free_grid(njx_grid *grid);

/* search.c */
int njx_search(const njx_grid *grid, uint32_t n_grids, double epoch_year, const nj_sky_cones *cones,
               const nj_sky_matches *matches);
/* Which filter is used: 0 = the best that this CPU has, 1 = portable, 2 = AVX2, 3 = AVX-512 (if it can); for
 * tests and bench. Returns the one now in use. */
int njx_use_filter(int which);
/* Great-circle separation in arcsec of two positions in deg. */
double njx_separation(double ra1, double dec1, double ra2, double dec2);
/* The position after `years` of proper motion (mas/yr, ra * cos(dec)), straight in space:
 * exact at the poles. */
void njx_propagate(double *ra, double *dec, double pm_ra, double pm_dec, double years);

/* file.c: a file as it is read */
typedef struct njx_file {
    char *path;
    void *base; /* the mapping, or a copy in huge pages */
    size_t size;
    const njx_header *header;
    njx_grid grid[NJX_GRIDS];
    const double *exact;
    const uint32_t *position;
    const void *values[NJX_COLUMNS];
    const uint64_t *text_start[NJX_COLUMNS];
    const char *text[NJX_COLUMNS];
    const njx_column_head *column_head;
    nj_sky_column column[NJX_COLUMNS];
    char hash[65], source_hash[65];
    nj_sky_info info;
} njx_file;

/* Files up to this size are copied into memory (safe when the file is truncated; huge pages);
 * larger ones are mapped. */
#define NJX_COPY_BYTES ((size_t)1 << 30)

/* Opens and checks; every section's sum too, when `sums` or the file is copied.
 * NULL and the reason in why. */
njx_file *njx_open(const char *path, int sums, char *why, size_t why_size);
void njx_close(njx_file *file);
int njx_find_column(const njx_file *file, const char *name);
double njx_number(const njx_file *file, int column, uint64_t row);
int64_t njx_integer(const njx_file *file, int column, uint64_t row);
const char *njx_text(const njx_file *file, int column, uint64_t row);
void njx_position(const njx_file *file, uint64_t row, double *ra, double *dec);

/* write.c: a file as it is made, with bounded memory */
typedef struct njx_options {
    const char *path; /* written as path.PID.tmp beside it, then renamed */
    const char *source, *frame;
    double epoch_year, radius_arcsec;
    size_t memory_bytes;     /* rows beyond this go to temporary files beside path; 0 = 1 GiB */
    double fast_mas;         /* rows that move faster (mas/yr) go to the second grid; 0 = 50 */
    int has_motion, compact; /* compact: no exact positions, 0.34 mas instead */
    uint32_t n_columns;
    const nj_sky_column *column; /* names unique; type NJ_U8 ... NJ_STR */
} njx_options;

typedef struct njx_value { /* of one column of one row, read by the column's type */
    double number;
    int64_t integer;  /* NJ_U8, NJ_I32, NJ_I64 */
    const char *text; /* NULL = null; need not be NUL-terminated */
    uint32_t n_text;
} njx_value;

typedef struct njx_writer njx_writer;
njx_writer *njx_create(const njx_options *options, char *why, size_t why_size);
/* 1 = added, 0 = rejected (no or impossible position; counted), -1 = error with the reason in why.
 * ra, dec in deg; pm in mas/yr, ra * cos(dec), NaN = none; value [n_columns]. */
int njx_add(njx_writer *writer, double ra, double dec, double pm_ra, double pm_dec, const njx_value *value,
            char *why, size_t why_size);
/* Sorts, writes, renames; the writer is gone afterwards. source_sha256 [32]. */
int njx_finish(njx_writer *writer, const uint8_t *source_sha256, char *why, size_t why_size);
void njx_abandon(njx_writer *writer); /* NULL allowed: removes what was begun */
uint64_t njx_rejected(const njx_writer *writer);

/* sum.c */
uint64_t njx_sum(const void *data, size_t n); /* fast 64-bit checksum; not against forgers */
typedef struct njx_sha256 {
    uint32_t h[8];
    uint64_t n;
    uint8_t block[64];
} njx_sha256;
void njx_sha256_start(njx_sha256 *s);
void njx_sha256_add(njx_sha256 *s, const void *data, size_t n);
void njx_sha256_end(njx_sha256 *s, uint8_t digest[32]);
void njx_hex(char text[65], const uint8_t digest[32]);

/* service.c */
const void *nj_sky_service(uint32_t version);
/* The path of a file or folder of the data path, else of the working directory; NULL = there is none. Caller
 * frees. */
char *njx_find(const char *name);
/* Changes when all files that are followed shall be looked at, at once (SIGHUP). */
int njx_rechecks(void);

#endif
