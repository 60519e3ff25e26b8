/* hats_tree.h - the folder of a HATS catalogue, made of one Parquet file. */
#ifndef NJ_SINK_HATS_TREE_H
#define NJ_SINK_HATS_TREE_H

#include "../parquet/writer.h"
#include "sink.h"

typedef struct nj_hats_tree {
    const char *folder, *rows; /* where the tree goes; the file, without nulls in ra and dec */
    const nj_field *field;     /* [n_fields] its columns */
    uint32_t n_fields;
    const nj_metadata *metadata;
    int codec, level;
    int64_t page_bytes, file_rows, most_order;
    const char *created_by;
    bool disk;
} nj_hats_tree;

/* Makes dataset, partition_info.csv and the properties; what is there of an earlier one is replaced. -1 with
 * err. */
int nj_hats_tree_make(const nj_hats_tree *tree, nj_error *err);
bool nj_hats_has_position(double ra, double dec);

#endif
