/* sqlite_journal.c - the journal of an SQLite output is a table of it, so that it is committed with the rows
 * of which it speaks. */
#include <string.h>

#include "sqlite_sink.h"

int nj_sqlite_put_journal(sqlite3 *db, const nj_mark *mark)
{
    const struct {
        const char *key, *text;
        int64_t number;
    } item[] = { { "run", mark->run, 0 },      { "configuration", mark->configuration, 0 },
                 { "state", mark->state, 0 },  { "commit", NULL, (int64_t)mark->commit },
                 { "rows", NULL, mark->rows }, { "complete", NULL, mark->complete } };
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO nightjar_journal VALUES(?, ?)", -1, &q, NULL);
    for (size_t i = 0; i < sizeof item / sizeof *item && !rc; i++) {
        sqlite3_bind_text(q, 1, item[i].key, -1, SQLITE_STATIC);
        if (item[i].text)
            sqlite3_bind_text(q, 2, item[i].text, -1, SQLITE_STATIC);
        else
            sqlite3_bind_int64(q, 2, item[i].number);
        rc = sqlite3_step(q) == SQLITE_DONE ? sqlite3_reset(q) : -1;
    }
    sqlite3_finalize(q); /* the message of a step that failed stays */
    return rc ? -1 : 0;
}

static void take_text(char **to, const char *text)
{
    if (text && !*to) *to = strdup(text);
}

void nj_sqlite_read_journal(sqlite3 *db, nj_mark *mark)
{
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, "SELECT key, value FROM nightjar_journal", -1, &q, NULL)) return;
    while (sqlite3_step(q) == SQLITE_ROW) {
        const char *key = (const char *)sqlite3_column_text(q, 0),
                   *text = (const char *)sqlite3_column_text(q, 1);
        if (!key) continue;
        if (!strcmp(key, "run")) take_text(&mark->run, text);
        if (!strcmp(key, "configuration")) take_text(&mark->configuration, text);
        if (!strcmp(key, "state")) take_text(&mark->state, text);
        if (!strcmp(key, "commit")) mark->commit = (uint64_t)sqlite3_column_int64(q, 1);
        if (!strcmp(key, "rows")) mark->rows = sqlite3_column_int64(q, 1);
        if (!strcmp(key, "complete")) mark->complete = sqlite3_column_int64(q, 1) != 0;
    }
    sqlite3_finalize(q);
    if (mark->run && mark->configuration && mark->state) {
        mark->kind = NJ_MARK_THERE;
        mark->bytes = 1; /* the table is there: the file is not to be emptied */
    }
}
