/* engine.h - modules, their settings and the schemas; and one thread's way from chunks to batches that have
 * been through all modules. No threads, no outputs: who wants those drives it (flow). */
#ifndef NJ_ENGINE_ENGINE_H
#define NJ_ENGINE_ENGINE_H

#include "../graph/dispatch.h"
#include "reader.h"
#include "../image/opener.h"

/* What all threads share; it does not change once it is open. */
typedef struct nj_engine {
    nj_arena arena;
    nj_settings *settings; /* the caller's; they outlive it */
    nj_modules modules;
    nj_instances instances;
    nj_decoder *decoder;
} nj_engine; /* zero-initialised */

/* The steps of opening one, in this order; each: 0, or -1 with err. nj_engine_close() also after an error.
 * load: the modules of the binary and of `module_path` (shared objects, folders of them, files of Python).
 * choose: the instances, by an -m list (NULL = the default set), without opening any; and the decoder.
 * open: the instances' open(); those whose model, catalogue or service is not here are
 * then in instances.off. */
/* Settings that make mine.py the instance `mine`; its name is in the settings' memory. NULL with err. */
const char *nj_engine_python(nj_settings *settings, const char *path, nj_error *err);
int nj_engine_load(nj_engine *engine, nj_settings *settings, const char *const *module_path, uint32_t n_paths,
                   nj_error *err);
int nj_engine_choose(nj_engine *engine, const char *select, nj_error *err);
int nj_engine_open(nj_engine *engine, const char *select, nj_error *err);
/* Golden rows of models that were right once are not computed at each start ([models] checked). For runs:
 * whoever looks at a model for its own sake computes them. */
int nj_engine_remember(const nj_engine *e, nj_error *err);
void nj_engine_close(nj_engine *engine);
/* Before any of them, with a guard: a child loads, opens and calls what comes from shared objects. -1 with
 * err: one of them crashed, or did not return. */
int nj_engine_probe(nj_settings *settings, const char *const *module_path, uint32_t n_paths,
                    const char *select, nj_error *err);

/* An instance that asked for one thread, in the order of the source (host->serial()); its name, or NULL.
 * Once it is open. */
const char *nj_engine_serial(const nj_engine *engine);

/* One thread's worker and its work area for stamps. */
typedef struct nj_compute_thread {
    nj_worker *worker;
    nj_opener *opener;
} nj_compute_thread;

/* single, reference: of nj_worker_new(). To be called by the thread that will use them. -1 with err. */
int nj_compute_thread_open(nj_compute_thread *thread, nj_engine *engine, uint64_t single, bool reference,
                           nj_error *err);
void nj_compute_thread_close(nj_compute_thread *thread);

/* The graph of each survey that was seen: for one thread. layout.owner of each is its nj_graph. */
typedef struct nj_graphs {
    const nj_engine *engine;
    const nj_want *want;
    uint32_t n_wants;
    uint8_t stamps; /* bit per stamp that is wanted, whether a module needs it or not */
    nj_graph **item;
    uint32_t n;
} nj_graphs;

/* Made at the survey's first schema. NULL with err. */
nj_graph *nj_graphs_of(nj_graphs *graphs, const nj_schema *schema, nj_error *err);
void nj_graphs_free(nj_graphs *graphs);

/* Everything for one thread that computes: chunks in, computed batches out. */
typedef struct nj_compute_options {
    const nj_want *want; /* columns that the batches must have besides what modules need */
    uint32_t n_wants;
    uint8_t stamps;      /* see nj_graphs */
    uint32_t batch_rows; /* 0 = 64 */
    uint64_t limit;      /* rows in all; 0 = no limit */
    /* A batch with all answers: columns of the graph, reasons in batch->state (nj_outputs). graph NULL: it
     * has dead letters only. Setting *batch to NULL keeps it. Returns as nj_reader_options.full. */
    int (*computed)(void *opaque, const nj_graph *graph, nj_batch **batch);
    void *opaque;
} nj_compute_options;

typedef struct nj_computer {
    nj_compute_options o;
    nj_compute_thread thread;
    nj_graphs graphs;
    nj_reader reader;
} nj_computer;

/* Over an engine that is open. The computer must not move afterwards. -1 with err. */
int nj_computer_open(nj_computer *computer, nj_engine *engine, const nj_compute_options *options,
                     nj_error *err);
/* As nj_reader_take(), and the rows go through the modules;
 * a schema that has no graph is NJ_READ_NO_LAYOUT with err. */
int nj_computer_take(nj_computer *computer, nj_chunk *chunk, nj_error *err);
int nj_computer_flush(nj_computer *computer, nj_error *err);
void nj_computer_close(nj_computer *computer);

#endif
