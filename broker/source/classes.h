/* classes.h - the table of sources, for source.c and for sources that are made of others (embedded). */
#ifndef NJ_SOURCE_CLASSES_H
#define NJ_SOURCE_CLASSES_H

#include "source.h"

extern const nj_source_class nj_source_embedded, nj_source_kafka, nj_source_dead, nj_source_archive,
    nj_source_parquet, nj_source_stored, nj_source_folder, nj_source_file;

/* [source]: one table for all kinds, so that a key of another kind is no mistake. */
typedef struct nj_source_conf {
    double contact_s, drain_s, lag_s;
    int64_t zstd_window_log, max_member;
} nj_source_conf;
/* settings may be NULL */
int nj_source_configure(nj_settings *settings, nj_source_conf *conf, nj_error *err);

/* Is the name's ending one of a packet's: .avro, .msg, .datum, with or without .gz, .zst ... behind it? */
bool nj_source_is_packet_name(const char *name);
/* ".tar" or ".tar.ANYTHING", the short forms of those, ".zip". */
bool nj_source_is_json_name(const char *name);
bool nj_source_is_archive_name(const char *name);
/* Is it a file that systems put beside others: hidden (".DS_Store", "._1.avro"), below __MACOSX,
 * PaxHeader ...? */
bool nj_source_is_metadata(const char *path);

/* What a source skipped, kept as counts with the first name of each kind, and reported once at its end. */
typedef struct nj_skipped {
    /* not an alert by name or content; nothing in it; a system's own file; a link, pipe, device or socket */
    uint64_t other, empty, metadata, special;
    char first_other[256], first_empty[256], first_metadata[256], first_special[256];
} nj_skipped;
void nj_skipped_add(nj_skipped *skipped, const char *name, int empty);
void nj_skipped_add_metadata(nj_skipped *skipped, const char *name);
void nj_skipped_add_special(nj_skipped *skipped, const char *name);
/* One note to the host when anything was skipped: "night.tar:
 * skipped 2 members that are no alerts (README)". */
void nj_skipped_report(const nj_skipped *skipped, const nj_source_host *host, const char *source,
                       const char *unit);

/* Files and members that could not be read: each is noted, the others are read,
 * and the source ends as an error. */
typedef struct nj_trouble {
    uint64_t n;
    char first[512];
} nj_trouble;
__attribute__((format(printf, 3, 4))) void nj_trouble_add(nj_trouble *trouble, const nj_source_host *host,
                                                          const char *format, ...);

#endif
