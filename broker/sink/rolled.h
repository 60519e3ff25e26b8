/* rolled.h - one output in several files: by night, date, hour, survey or topic of the alert, by size or by
 * age. It writes through the sink of its kind; the files themselves have no journal until they are
 * finished. */
#ifndef NJ_SINK_ROLLED_H
#define NJ_SINK_ROLLED_H

#include "file.h"
#include "rolled_name.h"
#include "schema_form.h"
#include "sink.h"

/* For a target that nj_rolled_is(). NULL with err. */
nj_sink *nj_rolled_open(const nj_sink_class *of, const nj_sink_args *args, nj_error *err);
/* What it has of a run before, as nj_sink_class.look. */
int nj_rolled_look(const nj_sink_class *of, const char *target, nj_mark *mark, nj_error *err);

/* ---- for rolled.c and rolled_part.c ---------------------------------------------------------- */

/* A file that may get more rows. Its name is its final one with `.part` behind it, and in a tree of folders
 * a dot before it. */
typedef struct nj_part {
    nj_rolled_key key;
    uint32_t number;
    char *survey, *topic, *schema; /* key's point here */
    char *file, *path;             /* when it is finished; until then */
    char *beside;                  /* its journal's, without the ending */
    nj_sink *sink;                 /* NULL: closed, to be continued */
    nj_mark mark;                  /* what it is continued from; its texts are the output's */
    int64_t bytes, rows;           /* by now */
    int64_t kept_bytes, kept_rows; /* as of the last commit */
    double since_s, end_s;         /* calendar time: when it began; when its period ends */
    int64_t used_ns;               /* when it last had a row */
    bool known;                    /* it has this run's provenance */
    bool full;                     /* rows go to the next one */
    bool ending;                   /* the commit under way finishes it */
    bool dirty;                    /* rows since the last commit */
} nj_part;

typedef struct nj_rolled {
    nj_sink base;
    nj_sink_class class; /* of this one: what the host sees of the class below */
    const nj_sink_class *of;
    nj_rolled_name name;
    nj_sink_args args;
    nj_settings none; /* settings of a host that has none */
    nj_outfile lock;  /* one writer for the whole output */
    bool fresh, begun, made_root;
    nj_journal *journal; /* NULL = none is kept */
    char *state;         /* of the last commit */
    uint64_t commit;
    int64_t done_rows;                              /* in files that are finished */
    _Atomic uint64_t n_done, n_done_rows, n_undone; /* by this process, for who watches */
    const nj_field *field;
    uint32_t n_fields, jd;
    nj_field *some;   /* [n_fields], the field of them, when a column is left out: folders say it */
    nj_col *value;    /* [n_fields] of the batch under way, then */
    uint32_t omitted; /* that column; UINT32_MAX = none */
    const nj_metadata *metadata;
    nj_part **part; /* [n] */
    uint32_t n, cap, n_open, n_new;
    struct place {
        nj_part *to;
        uint32_t row;
    } * place; /* [n_places] of the batch under way */
    uint32_t n_places, cap_places;
    double latest_s;   /* the alert that is furthest */
    int64_t looked_ns; /* for what is due */
    uint64_t n_unknown;
    nj_schema_forms forms;
} nj_rolled;

/* The file for such rows, a new one if need be. NULL with err. */
nj_part *nj_part_find(nj_rolled *r, const nj_rolled_key *key, double end_s, nj_error *err);
/* Its sink, begun. Others are closed when too many are open. */
int nj_part_open(nj_rolled *r, nj_part *p, nj_error *err);
/* What it has is with the disk, as a commit wants it; then p->bytes and p->rows are right. */
int nj_part_commit(nj_rolled *r, nj_part *p, uint64_t commit, nj_error *err);
/* It has all that its format wants: nothing will follow. */
int nj_part_make_whole(nj_rolled *r, nj_part *p, uint64_t commit, nj_error *err);
int nj_part_close(nj_rolled *r, nj_part *p, nj_error *err);
/* Gives it its name and its journal; twice does no harm. It is closed, and the output's journal says so. */
int nj_part_finish(nj_rolled *r, nj_part *p, nj_error *err);
void nj_part_drop(nj_rolled *r, uint32_t i); /* the record only */
/* Should it be finished now? */
bool nj_part_is_over(const nj_rolled *r, nj_part *p, int64_t now_ns, double now_s);
/* Those of the journal of a run before, to continue with them; else they are removed. */
int nj_parts_read(nj_rolled *r, const nj_mark *mark, bool go_on, nj_error *err);
/* A line of the output's journal: what is kept by now. */
int nj_parts_note(nj_rolled *r, bool complete, nj_error *err);

/* ---- rolled_folders.c: folders with places, out/night={night}/ ------------------------------- */

/* The folder that they stand in, unless it is there. */
int nj_rolled_make_root(nj_rolled *r, nj_error *err);
void nj_rolled_remove_root(const nj_rolled *r); /* when it is empty */
/* Those of a file. Not the one that they stand in: when it is missing, its disk may be. */
int nj_rolled_make_folders(const nj_rolled *r, const char *file, nj_error *err);
/* Those of a file that was not kept, as far as they are empty. */
void nj_rolled_remove_folders(const nj_rolled *r, const char *file);

#endif
