/* hats_folder.h - which Parquet files of a HATS catalogue are its rows, for the source that walks folders. */
#ifndef NJ_SOURCE_HATS_FOLDER_H
#define NJ_SOURCE_HATS_FOLDER_H

#include <stdbool.h>

typedef enum {
    NJ_HATS_NONE,  /* the folder is no catalogue */
    NJ_HATS_ROWS,  /* its files under Npix=N are rows of their own */
    NJ_HATS_BESIDE /* a margin, an index, an association or a map of another catalogue */
} nj_hats_kind;

/* By the properties that stand in the folder; one whose kind is not given has rows. */
nj_hats_kind nj_hats_kind_of(const char *folder);

/* The same for the folder `dataset` of a catalogue, which has its properties beside it. */
nj_hats_kind nj_hats_kind_around(const char *folder);

/* Is this path, from the catalogue's folder on, one of its rows' files? */
bool nj_hats_is_rows(const char *inside);

#endif
