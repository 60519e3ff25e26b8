/* writer.h - where simulated packets go: a tar, a tar.gz, a folder, standard output, a Kafka topic. */
#ifndef NJ_SIMULATE_WRITER_H
#define NJ_SIMULATE_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "../base/error.h"
#include "../base/settings.h"

typedef struct nj_sim_writer nj_sim_writer; /* one thread */

typedef struct nj_sim_writer_args {
    const char *spec;      /* OUT.tar.gz, OUT.tgz, OUT.tar, "-" (tar), kafka://HOST:PORT/TOPIC, or a folder */
    int overwrite;         /* an existing file may be replaced, an existing folder added to */
    nj_settings *settings; /* [kafka]; NULL = none */
} nj_sim_writer_args;

/* NULL with err. */
nj_sim_writer *nj_sim_writer_open(const nj_sim_writer_args *args, nj_error *err);
/* member: a file name; mtime: seconds since 1970. 0, or -1 with err. */
int nj_sim_writer_add(nj_sim_writer *w, const char *member, const void *bytes, size_t n, int64_t mtime,
                      nj_error *err);
/* Finishes and frees. -1 with err when something did not arrive. */
int nj_sim_writer_close(nj_sim_writer *w, nj_error *err);

#endif
