/* board.h - the figures of a run in progress, for others to look at: `nightjar top` reads them in the
 * memory of shared.h. */
#ifndef NJ_FLOW_BOARD_H
#define NJ_FLOW_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { NJ_BOARD_MODULES = 256, NJ_BOARD_MOMENTS = 16 };

typedef struct nj_board_module {
    char name[64];
    uint64_t offered, done, calls;
    int64_t cpu_ns;
    bool left_out; /* now: alerts wait too long ([guard] max_lag_s) */
} nj_board_module;

/* Plain data, for another process. Times are those of nj_now_ns(), which a host's processes share; 0 = never.
 */
typedef struct nj_board {
    _Atomic uint32_t turn; /* odd: it is being written; 0: nothing was written yet */
    int32_t pid;           /* of the worker */
    int32_t threads;       /* that compute */
    uint32_t alive, ready; /* health.h */
    uint32_t busy;         /* the output thread has rows or waits for an output */
    char text[256];
    char sources[512], outputs[512]; /* blanks between them, cut */
    int64_t now_ns, last_row_ns, last_commit_ns;
    uint64_t emitted, filtered, dead, duplicates; /* of all workers */
    uint64_t under_way;
    double per_s; /* alerts that came through in the last moments */
    double lag;   /* messages of the assigned partitions; NaN: no source has a lag */
    uint64_t work, work_most, done, done_most, bytes, bytes_most; /* entries of the queues; bytes under way */
    uint32_t n_modules, n_off; /* n_off: whose model, catalogue or service is not here */
    nj_board_module module[NJ_BOARD_MODULES];
    struct {
        int64_t ns;
        uint64_t through;
    } moment[NJ_BOARD_MOMENTS]; /* for per_s */
    uint32_t n_moments;
    uint64_t before[4]; /* emitted, filtered, dead, duplicates of the workers before this one */
} nj_board;

struct run;
struct nj_health_state;

/* Does nothing without a supervisor. Before the threads. */
void nj_board_begin(struct run *r);
/* All figures as they are now; one thread. */
void nj_board_write(struct run *r, const struct nj_health_state *state);

/* A whole copy of what another process writes. False: nothing was written yet, or it is half written and
 * stays so, since its writer is dead. */
bool nj_board_copy(nj_board *to, const nj_board *from);

#endif
