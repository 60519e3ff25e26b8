/* sqlite_waits.h - SQLite's writes wait for room on the disk, as those of the other sinks do. */
#ifndef NJ_SINK_SQLITE_WAITS_H
#define NJ_SINK_SQLITE_WAITS_H

/* For all databases of this process, from now on; once is enough. */
void nj_sqlite_waits(void);

#endif
