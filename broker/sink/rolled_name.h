/* rolled_name.h - names of outputs with places to be filled in, `out-{night}.ndjson.zst?rotate=1GB` or
 * `out/night={night}/part-{n}.parquet`: which file a row belongs to, and when that file gets no more. */
#ifndef NJ_SINK_ROLLED_NAME_H
#define NJ_SINK_ROLLED_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/error.h"
#include "../base/night.h"

/* What is reported after -o SINK: when it makes more than one file. */
typedef struct nj_rolled_name {
    char *text;   /* the path without its options; owned */
    char *stem;   /* what its journal and its lock are called after, a file of no folder with places; owned */
    size_t root;  /* so much of text is the folder that is there */
    bool folders; /* it has places in names of folders */
    bool night, date, hour, survey, topic, schema, number; /* these places are in it */
    int64_t max_bytes;                                     /* rotate=1GB; 0 = no limit */
    double max_s, late_s;                                  /* rotate=1h, 0 = no limit; late=10m */
    double longitude;                                      /* of the nights, degrees east */
} nj_rolled_name;

/* What the places of one file are filled with; equal keys, equal files. */
enum { NJ_ROLLED_UNKNOWN = NJ_NIGHT_UNKNOWN }; /* an alert without a usable time */
typedef struct nj_rolled_key {
    int32_t night, date,
        hour;           /* days since 1970-01-01; hour of the day; 0 where the name has no such place */
    const char *survey; /* "ztf"; "" = none, as below */
    const char *topic;
    const char *schema; /* "ztf.alert-4.02-1a2b3c4d" */
} nj_rolled_key;

/* Does the target make several files? It has braces, or options behind a '?'. */
bool nj_rolled_is(const char *target);
/* Is it a folder, with a slash behind it? Sinks whose files have an ending make a tree of files in it. */
bool nj_rolled_is_folder(const char *target);
/* -1 with err, which names what is wrong with it and what is near. scheme: "ndjson", for messages. ending:
 * ".ndjson", of the files in a folder that is the target; NULL = a folder is refused. */
int nj_rolled_parse(nj_rolled_name *name, const char *scheme, const char *ending, const char *target,
                    nj_error *err);
void nj_rolled_name_free(nj_rolled_name *name);

/* A night is that of ../base/night.h; date and hour are UTC. All by the alert's own time. */
nj_rolled_key nj_rolled_key_of(const nj_rolled_name *name, double jd);
/* When the period that the alert is in ends, seconds since 1970; INFINITY when the name has none. */
double nj_rolled_end(const nj_rolled_name *name, double jd);
/* How much of a target, or of any path, is the folder that must be there, its last slash included; 0 = the
 * present one. *tree: in it there are folders with places. */
size_t nj_rolled_root(const char *target, bool *tree);
/* What the journal of an output of that name is called after, malloc; a copy when it has no folders with
 * places. NULL when memory is short. */
char *nj_rolled_stem(const char *text);
/* Does an output with folders stand in this one? By its journal, or folders KEY=VALUE. */
bool nj_rolled_is_tree(const char *folder);
/* Does a folder KEY={survey} of the name say what column KEY, `survey`, has? Readers of such trees make a
 * column of it, and want none of its name in the files. */
bool nj_rolled_says(const nj_rolled_name *name, const char *column);

/* The file's name, malloc; number counts the files of a key from 1. NULL when memory is short. */
char *nj_rolled_file(const nj_rolled_name *name, const nj_rolled_key *key, uint32_t number);

#endif
