/* nightjar/python.h - Python functions as modules: an interpreter that has imported one file, and worker
 * processes that it forks, one per compute thread. Nothing of Python is linked: they are processes, and the
 * protocol is in modules/python/PROTOCOL.md. */
#ifndef NIGHTJAR_PYTHON_H
#define NIGHTJAR_PYTHON_H
#include <stdbool.h>

#include "nightjar/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The words of the shared memory's head, and what follows it: NJ_PYTHON_COLUMN words per need, then per
 * give. Places are bytes from the beginning of the memory; 0 = not there. */
enum {
    NJ_PYTHON_N_ROWS,
    NJ_PYTHON_N_NEEDS,
    NJ_PYTHON_N_GIVES,
    NJ_PYTHON_ID,     /* int64 [rows] */
    NJ_PYTHON_REASON, /* uint8 [rows], to be filled */
    NJ_PYTHON_USED,   /* bytes; who needs more room takes it behind them, and makes the file longer */
    NJ_PYTHON_TEXT,   /* what was raised */
    NJ_PYTHON_TEXT_BYTES,
    NJ_PYTHON_PID,      /* of the worker */
    NJ_PYTHON_STATUS,   /* 1 + how it ended, as wait() says: written by the interpreter that forked it */
    NJ_PYTHON_REASONED, /* 1: the worker filled the reasons; 0: a row with an answer is done */
    NJ_PYTHON_HEAD = 16,
    NJ_PYTHON_COLUMN = 4
};
/* The words of a column. */
enum {
    NJ_PYTHON_DATA,    /* its elements; of texts their lengths, int32, -1 = none */
    NJ_PYTHON_OFFSETS, /* int64 [rows + 1], of a series */
    NJ_PYTHON_N,       /* elements */
    NJ_PYTHON_BYTES    /* of texts: the bytes, one behind the other */
};
/* The first word of a message of NJ_PYTHON_WORDS int64. */
enum {
    NJ_PYTHON_CALL = 1, /* to the worker: size of the memory */
    NJ_PYTHON_OPENED, /* to the worker: size, place of [count][3] words: place, rows, columns of each image */
    NJ_PYTHON_DONE,   /* from it: size, nanoseconds of CPU time */
    NJ_PYTHON_RAISED, /* from it: the same */
    NJ_PYTHON_IMAGES, /* from it: need, first row, count */
    NJ_PYTHON_WORDS = 4
};

/* The columns of a module, and the memory of one thread. */
typedef struct nj_python_tables {
    const nj_need *need;
    const nj_give *give;
    uint32_t n_needs, n_gives;
} nj_python_tables;
typedef struct nj_python_memory {
    int fd;
    char *base;
    size_t size;
} nj_python_memory; /* zero-initialised */

int nj_python_memory_open(nj_python_memory *memory); /* -1: none is to be had */
void nj_python_memory_close(nj_python_memory *memory);
/* Its first words, and those of a column; gives come behind the needs. Both move when it grows. */
int64_t *nj_python_head(const nj_python_memory *memory);
int64_t *nj_python_column(const nj_python_memory *memory, uint32_t k);
/* The other side made it so long. */
bool nj_python_map(nj_python_memory *memory, size_t size);
/* All columns of a call into it; false: no room. */
bool nj_python_put(const nj_python_tables *tables, nj_python_memory *memory, const nj_work *w);
/* The answers out of it: NJ_OK, NJ_ENOMEM, NJ_EDATA. */
int nj_python_take(const nj_python_tables *tables, const nj_python_memory *memory, const nj_work *w);
/* Opens images of rows first .. first + n - 1 of the call; the place of their table, or 0. */
size_t nj_python_put_images(const nj_python_tables *tables, nj_python_memory *memory, const nj_work *w,
                            int64_t need, int64_t first, int64_t n);

typedef struct nj_python nj_python;

/* Texts must stay. */
typedef struct nj_python_options {
    const char *python, *file, *settings, *profile;
    int sandbox;
    double start_s;
} nj_python_options;

/* Starts an interpreter that imports the file, or takes one that nj_python_park() left. *says: what the file
 * declares, a line each, words separated by tabs; it lives as long as the interpreter. NULL with why. */
nj_python *nj_python_start(const nj_python_options *options, const char **says, char *why, size_t size);
/* For the open() that follows a declare(): whoever starts the same next gets this one. */
void nj_python_park(nj_python *p);
/* From now on another interpreter is started when this one ends. */
void nj_python_keep(nj_python *p, const nj_host *host);
/* A worker over this memory (a memfd): its socket, or -1. For any thread, also one that may start no
 * programs. */
int nj_python_worker(nj_python *p, int memory);
/* After the sockets of all workers were closed. NULL: no-op. */
void nj_python_end(nj_python *p);

#ifdef __cplusplus
}
#endif
#endif
