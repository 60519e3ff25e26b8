/* sqlite_sink.h - what an output has that is an SQLite database, whatever stands in its tables: the file, its
 * lock, one transaction from commit to commit, and the journal in a table. */
#ifndef NJ_SINK_SQLITE_SINK_H
#define NJ_SINK_SQLITE_SINK_H

#include <sqlite3.h>

#include "../base/buffer.h"
#include "classes.h"
#include "file.h"
#include "waits.h"

typedef struct sqlite_sink {
    nj_sink base;
    char *path;
    nj_outfile file;   /* open for its lock, until SQLite has closed its own */
    nj_sink_args args; /* run, configuration and mark live as long as the sink */
    int64_t n_rows;
    bool begun, open_transaction;
    sqlite3 *db;
    nj_wait wait;
    sqlite3_stmt *insert;
    nj_buffer text; /* arrays as JSON */
    char **name;    /* [n_fields] of the table's columns: the keys, but where SQLite would take two for one */
    uint32_t n_fields;
    const struct nj_sqlite_form *form;
    void *own;       /* of the form */
    char module[32]; /* "sink.sqlite": who refuses a row */
} sqlite_sink;

/* What stands in the tables. */
typedef struct nj_sqlite_form {
    /* Within a transaction: makes them, or sees that those there are right; later the statement `insert`. */
    int (*make)(sqlite_sink *sink, const nj_field *field, uint32_t n_fields, nj_error *err);
    int (*prepare)(sqlite_sink *sink, nj_error *err);
    int (*put)(sqlite_sink *sink, const nj_rows *rows, uint32_t k); /* one row: a code of SQLite */
    void (*free)(sqlite_sink *sink);                                /* NULL allowed */
} nj_sqlite_form;

/* args->target is the path. NULL with err. */
nj_sink *nj_sqlite_open(const nj_sink_args *args, const nj_sink_class *class, const nj_sqlite_form *form,
                        nj_error *err);
int nj_sqlite_begin(nj_sink *sink, const nj_field *field, uint32_t n_fields, const nj_metadata *metadata,
                    nj_error *err);
int nj_sqlite_write(nj_sink *sink, const nj_rows *rows, nj_error *err);
int nj_sqlite_flush(nj_sink *sink, nj_error *err);
int nj_sqlite_commit(nj_sink *sink, const nj_keep *keep, nj_error *err);
int nj_sqlite_look(const char *target, nj_mark *mark, nj_error *err);
int nj_sqlite_close(nj_sink *sink, nj_error *err);
void nj_sqlite_extent(const nj_sink *sink, int64_t *bytes, int64_t *rows);
int64_t nj_sqlite_will_be(const nj_sink *sink);

/* sqlite_journal.c */
/* A mark into the table nightjar_journal, which is there. -1: failed, with SQLite's message in db. */
int nj_sqlite_put_journal(sqlite3 *db, const nj_mark *mark);
/* The mark that the table has; a database without such a table leaves *mark as it is. */
void nj_sqlite_read_journal(sqlite3 *db, nj_mark *mark);

/* For forms. */
int nj_sqlite_failed(const sqlite_sink *sink, const char *doing, nj_error *err);
int nj_sqlite_run(sqlite_sink *sink, const char *sql, const char *doing, nj_error *err);

#endif
