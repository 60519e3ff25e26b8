/* classes.h - the table of sources, for source.c and for sources that are made of others (embedded). */
#ifndef NJ_SOURCE_CLASSES_H
#define NJ_SOURCE_CLASSES_H

#include "source.h"

extern const nj_source_class nj_source_embedded, nj_source_kafka, nj_source_dead, nj_source_archive, nj_source_parquet,
    nj_source_folder, nj_source_file;

/* Is the name's ending one of a packet's: .avro, .msg, .datum? */
int nj_source_is_packet_name(const char *name);

/* What a source passed over, kept as counts with the first name of each kind, and told once at its end. */
typedef struct nj_skipped {
    uint64_t other, empty; /* not an alert by name or content; nothing in it */
    char first_other[256], first_empty[256];
} nj_skipped;
void nj_skipped_add(nj_skipped *skipped, const char *name, int empty);
/* One note to the host when anything was passed over: "night.tar: passed over 2 members that are no alerts (README)". */
void nj_skipped_tell(const nj_skipped *skipped, const nj_source_host *host, const char *source, const char *unit);

#endif
