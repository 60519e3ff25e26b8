/* write.h - what write.c (collects rows) and seal.c (makes the file) share. */
#ifndef NJ_SKY_WRITE_H
#define NJ_SKY_WRITE_H
#include "dictionary.h"
#include "njx.h"

/* Rows are kept as fixed-size records { ra, dec, [pm_ra, pm_dec as float,] 8 bytes per column } in one buffer
 * per bucket of declination and grid. Beyond the memory limit all buffers go to the
 * buckets' temporary files. */
typedef struct njx_bucket {
    char *data;
    size_t n, cap;
    int fd;         /* -1 = nothing was put out */
    uint64_t n_out; /* bytes put out */
} njx_bucket;

struct njx_writer {
    njx_options o;
    char *path, *temp;
    nj_sky_column column[NJX_COLUMNS];
    char name[NJX_COLUMNS][48], unit[NJX_COLUMNS][24], source[256], frame[16];
    size_t stride, motion_at, values_at, in_memory;
    njx_bucket bucket[NJX_GRIDS][NJX_BUCKETS];
    njx_dictionary dictionary[NJX_COLUMNS];
    uint64_t n_rows[NJX_GRIDS], n_rejected;
    double max_motion[NJX_GRIDS]; /* mas/yr */
    int spilled, fd;
};

/* -1 with the text in why. */
int njx_refuse(char *why, size_t why_size, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* All n bytes to that place of the file; -1 with errno. */
int njx_write_all(int fd, const char *data, size_t n, uint64_t at);

#endif
