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

/* Another number whenever words or messages change: the package is installed apart from the binary. */
enum { NJ_PYTHON_PROTOCOL = 2 };
/* The words of the shared memory: a head, the number of elements of each column (needs, then gives), and
 * NJ_PYTHON_COLUMN words for each column. Places are bytes from the beginning of the memory; 0 = none. */
enum {
    NJ_PYTHON_ID,       /* int64 [rows] */
    NJ_PYTHON_REASON,   /* uint8 [rows], to be filled */
    NJ_PYTHON_REASONED, /* 1: the worker filled the reasons; 0: a row with an answer is done */
    NJ_PYTHON_USED,     /* bytes; who needs more room takes it behind them, and makes the file longer */
    NJ_PYTHON_TEXT,     /* what was raised */
    NJ_PYTHON_TEXT_BYTES,
    NJ_PYTHON_PID,    /* of the worker */
    NJ_PYTHON_STATUS, /* 1 + how it ended, as wait() says: written by the interpreter that forked it */
    NJ_PYTHON_READY,  /* 1: the worker takes calls; what it sets up before counts against start_s */
    NJ_PYTHON_ALONE,  /* 1: the worker has one thread, so that the host may choose its processor */
    NJ_PYTHON_ANSWER, /* nj_python_answer; DONE before the call */
    NJ_PYTHON_NEED,   /* for IMAGES: a need, its first row, how many */
    NJ_PYTHON_FIRST,
    NJ_PYTHON_COUNT,
    NJ_PYTHON_ASK,    /* nj_python_ask */
    NJ_PYTHON_SIZE,   /* of the memory: whoever makes it longer writes this */
    NJ_PYTHON_LAYOUT, /* another number when a place is another one */
    NJ_PYTHON_N_ROWS,
    NJ_PYTHON_HEAD, /* here the numbers of elements begin */
    NJ_PYTHON_COLUMN = 3
};
/* The words of a column. */
enum {
    NJ_PYTHON_DATA,    /* its elements; of texts their lengths, int32, -1 = none */
    NJ_PYTHON_OFFSETS, /* int64 [rows + 1], of a series */
    NJ_PYTHON_BYTES    /* of texts: the bytes, one behind the other */
};
/* What the host asks for, and what a worker answers, each announced by the eventfd of its direction. */
typedef enum nj_python_ask {
    NJ_PYTHON_CALL = 1, /* the columns are in the memory */
    NJ_PYTHON_OPENED, /* the images are: FIRST is the place of [count][3] words: place, rows, columns; or 0 */
    NJ_PYTHON_END
} nj_python_ask;
typedef enum nj_python_answer { NJ_PYTHON_DONE = 1, NJ_PYTHON_RAISED, NJ_PYTHON_IMAGES } nj_python_answer;

/* The columns of a module, and the memory of one thread. */
typedef struct nj_python_tables {
    const nj_need *need;
    const nj_give *give;
    uint32_t n_needs, n_gives;
} nj_python_tables;
/* Where a column lies. The host follows only these: the other side can write to the words of the memory. */
typedef struct nj_python_place {
    size_t data, offsets, bytes; /* places */
    size_t n, n_bytes, room,
        bytes_room; /* elements and bytes of this call, and those that there is room for */
    uint32_t like;  /* the first column that has the same offsets */
    bool there, ragged;
} nj_python_place;
typedef struct nj_python_memory {
    int fd;
    char *base;
    size_t size;
    nj_python_place *place;  /* needs, then gives */
    size_t rows, id, reason; /* rows that there is room for; places */
    size_t end;              /* of all columns: what is asked for in a call comes behind */
} nj_python_memory;          /* zero-initialised */

/* -1: none is to be had. */
int nj_python_memory_open(nj_python_memory *memory, const nj_python_tables *tables);
void nj_python_memory_close(nj_python_memory *memory);
/* Its first words; they move when it grows. */
int64_t *nj_python_head(const nj_python_memory *memory);
/* The other side made it so long. */
bool nj_python_map(nj_python_memory *memory, size_t size);
/* All columns of a call into it, at the places of the call before as long as they are large enough; false: no
 * room. */
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
/* A worker as its thread knows it. Its socket ends when the worker does, and nothing is sent through it. */
typedef struct nj_python_peer {
    int socket, call, answer; /* the others are eventfds */
    int cpu;                  /* the processor that the process `near` was bound to; 0: none was */
    int64_t near;
} nj_python_peer;
/* A worker over this memory (a memfd); -1: there is none to be had. For any thread, also one that may start
 * no programs. */
int nj_python_worker(nj_python *p, int memory, nj_python_peer *peer);
/* Before a call: binds the worker to the processor of this thread, which sleeps until it answers. If that
 * cannot be, it costs nothing but time. */
void nj_python_near(nj_python_peer *peer, const nj_python_memory *memory);
void nj_python_close(nj_python_peer *peer);
/* After the sockets of all workers were closed. NULL: no-op. */
void nj_python_end(nj_python *p);

#ifdef __cplusplus
}
#endif
#endif
