/* sandbox.h - what a worker may do to the rest of the machine once it is set up, by Linux's own means
 * (landlock, seccomp). It stops what a module does by mistake or in plain view; not one that corrupts other
 * threads' memory. */
#ifndef NJ_GRAPH_SANDBOX_H
#define NJ_GRAPH_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

/* From now on this process, and all that it starts, writes, makes, moves and removes files only below these
 * folders (or writes these very files), and starts no program but these. Before there are threads. False with
 * `why`: the kernel has nothing for it. */
bool nj_sandbox_files(const char *const *path, uint32_t n, const char *const *program, uint32_t n_programs,
                      char *why, uint32_t size);

typedef struct nj_sandbox nj_sandbox;
struct nj_instances;

typedef struct nj_refused {
    char module[64], act[32]; /* "opens a file for writing" */
    uint64_t n;
} nj_refused;

/* The calling thread, and each one that it makes, opens no file for writing, makes no socket (unless
 * `sockets`), starts no program, and moves, removes or changes no file: such a call fails with EPERM, and is
 * reported with the module that made it. What a thread or process does that a module made is laid to the
 * modules of `set` that are in a call and came from shared objects: those of the binary make none. NULL with
 * `why`. */
nj_sandbox *nj_sandbox_enter(bool sockets, const struct nj_instances *set, char *why, uint32_t size);
/* What was refused so far: how many kinds; *list is valid until nj_sandbox_free. Those threads have ended. */
uint32_t nj_sandbox_refused(nj_sandbox *sandbox, const nj_refused **list);
void nj_sandbox_free(nj_sandbox *sandbox); /* NULL allowed */

#endif
