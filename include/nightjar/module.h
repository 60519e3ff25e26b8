/* nightjar/module.h - the one header a science module needs (plus nightjar/num.h for shared kernels).
 * ABI: append only. Never reorder, retype or reuse a field; bump NJ_ABI when a meaning changes. */
#ifndef NIGHTJAR_MODULE_H
#define NIGHTJAR_MODULE_H
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define NJ_EXTERN_C extern "C"
extern "C" {
#else
#define NJ_EXTERN_C extern
#endif

#define NJ_ABI 2u /* 2: flags have names of their own (NJ_NEED_, NJ_GIVE_, NJ_MODULE_); surveys; serial() */
typedef enum { NJ_U8 = 1, NJ_I32, NJ_I64, NJ_F32, NJ_F64, NJ_STR } nj_type;
typedef enum {
    NJ_SCALAR = 1, /* [n] */
    NJ_SERIES,     /* ragged, [n][len_i], in the packet's order */
    NJ_IMAGE       /* by call, see image() */
} nj_shape;
typedef enum {
    NJ_OK,
    NJ_ENOMEM = -1,
    NJ_ECONF = -2, /* a wrong setting, or a file that is there and wrong: stops the run */
    NJ_EDATA = -3,
    NJ_EINTERNAL = -4,
    /* What declare() or open() needs is not here. Only these three leave a module of
     * the default set out of the run. */
    NJ_ENO_MODEL = -5,
    NJ_ENO_CATALOG = -6, /* a catalogue, or a table or another file of the data path */
    NJ_ENO_SERVICE = -7
} nj_status; /* the whole call */
typedef enum {
    NJ_DONE,
    NJ_CUT,
    NJ_FEW_POINTS,
    NJ_NO_INPUT,
    NJ_NO_FIT,
    NJ_RANGE,
    NJ_UNAVAILABLE,
    NJ_FAILED,
    NJ_SHED
} nj_reason; /* one per row; the last two are set by the host only */

/* "No answer", the same everywhere: scalar or element of a series, input or output.
 * +-Inf is written out as null. */
#define NJ_NO_F64 ((double)NAN)
#define NJ_NO_F32 ((float)NAN)
#define NJ_NO_I64 INT64_MIN
#define NJ_NO_I32 INT32_MIN
#define NJ_NO_U8 UINT8_C(255)
#define NJ_NO_STR ((const char *)0)

/* Flags of a need, of a give, of a module: three sets. */
enum {
    NJ_NEED_OPTIONAL = 1 /* the column may be absent (survey lacks it, no provider): data == NULL */
};
enum {
    NJ_GIVE_CANONICAL = 2 /* taken under its own name ("lc.flux"), not prefixed by the instance (adapters) */
};
enum {
    NJ_MODULE_WHOLE_BATCH = 1, /* wants the whole batch in one call (GPU, remote service) */
    NJ_MODULE_ADAPTER = 2      /* computes canonical columns of its surveys;
                                * runs when one of them is needed */
};

typedef struct {      /* an input column; the host decodes the union of all needs and nothing else */
    const char *path; /* "lc.mag", "lc.mag@r" (one band), "lc.mag@sorted", "stamp.science" (image),
                       * "gcvs.type" (another instance's give = a dependency; settings may redirect
                       * it), "packet.candidate.sgscore1" (raw field) */
    nj_type type;
    nj_shape shape;
    const char *unit; /* "nJy" "mag" "d" "deg" "1"; the host rescales linear units and
                       * refuses a mismatch at start */
    uint32_t flags;
} nj_need;

typedef struct {      /* an output column, allocated by the host and preset to "no answer" */
    const char *name; /* [a-z][a-z0-9_]*; the key is "<instance>.<name>" */
    nj_type type;
    uint32_t width; /* values per alert; 0 = one per point of the series needs[like] */
    int32_t like;
    const char *unit;
    double lo, hi;     /* closed valid range, checked by tests; +-INFINITY if open */
    double flag_above; /* a row counts as flagged when its value is above this; NAN = never */
    uint32_t flags;
    const char *doc; /* one sentence: what it is, and what "no answer" means */
} nj_give;

typedef struct { /* a setting: [module.<instance>] key = value; unknown keys are fatal */
    const char *name;
    nj_type type;
    const char *def;
    size_t offset; /* into the instance's conf struct */
    double lo, hi;
    const char *unit, *doc;
} nj_param;

typedef struct {         /* a column as seen in process(); index = position in needs */
    const void *data;    /* element type as asked, 64-byte aligned;
                          * NJ_STR: const char **, NUL-terminated; NULL = absent */
    const uint32_t *off; /* [n_rows + 1] start of each row of a series; NULL for scalars */
} nj_col;

typedef struct {
    const float *pixel;
    uint32_t rows, cols;
    uint32_t n_nan;
} nj_image; /* row-major, as in the FITS array */

typedef struct nj_work { /* one call; every pointer dies when process() returns */
    uint32_t size, reserved;
    uint32_t n;
    const uint32_t *row;     /* the n rows to do, as indices into the columns */
    const nj_col *const *in; /* indexed like needs; pointers, so that nj_col can grow */
    void *const *out;        /* indexed like gives; write element [row] */
    uint8_t *reason;         /* set reason[row] for every row done (NJ_CUT for rows a cheap cut rejects) */
    const int64_t *id;       /* [row] the alert's id: the key of any random number */
    void *opaque;
    /* arena; freed after the call */
    void *(*scratch)(const struct nj_work *w, size_t bytes);
    /* copy that lives as long as the batch */
    const char *(*text)(const struct nj_work *w, const char *s, size_t len);
    /* opened at the first call and kept for the row's other modules; NULL = absent or unreadable
     * (counted by the host, timed as stage "stamps") */
    const nj_image *(*image)(const struct nj_work *w, uint32_t need, uint32_t row);
    /* for process(): another process or a service spent cpu_ns for this call, while this thread slept for
     * wait_ns; the table counts that as the module's CPU time. NULL, and beyond `size` of older hosts: not
     * counted. */
    void (*elsewhere)(const struct nj_work *w, int64_t cpu_ns, int64_t wait_ns);
} nj_work;

typedef struct { /* services for open() and declare(); a table, so that a .so has no undefined symbols */
    uint32_t abi, size;
    void *opaque;
    void (*log)(void *opaque, int level, const char *fmt, ...);
    /* mmap of a file on the data path, else NJ_ENO_CATALOG; its hash goes into the report */
    int (*data)(void *opaque, const char *name, const void **bytes, size_t *n);
    /* "model", "sky", ...: tables in model.h, sky.h; NULL = not here */
    const void *(*service)(void *opaque, const char *name, uint32_t version);
    void *(*alloc)(void *opaque, size_t bytes); /* lives until the instance closes */
    /* for open(): this instance's answers depend on the order of all alerts, so the run has one thread and
     * takes them in the order of the source */
    void (*serial)(void *opaque);
    /* for open(): this instance asks for its images of every row that it is given, in the order of its needs,
     * and for no more of a row when one is not there. The host then opens those of several rows together, in
     * three quarters of the time (measured). Not for an instance that cuts rows before it looks at them.
     * Hosts before it have a smaller size: call nj_every_row(). */
    void (*every_row)(void *opaque);
} nj_host;
static inline void nj_every_row(const nj_host *host)
{
    if (host->size >= offsetof(nj_host, every_row) + sizeof host->every_row && host->every_row)
        host->every_row(host->opaque);
}

typedef struct {
    const nj_need *needs;
    const nj_give *gives;
} nj_tables; /* each ends with {0} */

typedef struct {
    uint32_t abi, size; /* NJ_ABI and sizeof(nj_module) when the module was compiled */
    uint16_t need_size, give_size, param_size, flags; /* row strides: tables survive a grown row type */
    const char *build;           /* pointer size, ieee/fast-math: must equal the host's */
    const char *name, *version;  /* name == file name; the major version bumps when numbers change */
    const char *summary, *paper; /* one line; DOI or arXiv of the method, or "none: why" */
    const nj_need *needs;
    const nj_give *gives;
    const nj_param *params;        /* each ends with {0} */
    size_t conf_size, thread_size; /* the host allocates both; thread block zeroed, cache-line aligned */
    uint32_t rows_hint;            /* rows per call that repay a fixed cost (a model: 4-16); 0 = any */
    /* optional: this instance's needs and gives when they depend on settings (a model's inputs, a
     * catalogue's columns); after settings, before planning */
    int (*declare)(const nj_host *host, const void *conf, nj_tables *tables);
    /* once per instance; then self is read-only */
    int (*open)(const nj_host *host, const void *conf, void **self);
    /* once per worker: plans, work areas */
    int (*thread_open)(const void *self, void *thread);
    /* pure in its inputs; no malloc, no I/O, services exempt */
    int (*process)(const void *self, void *thread, const nj_work *w);
    /* slow plain version, for tests and bench */
    int (*process_ref)(const void *self, void *thread, const nj_work *w);
    void (*thread_close)(const void *self, void *thread);
    void (*close)(void *self);
    const char *surveys; /* the only ones whose alerts it can take ("ztf, babamul"); NULL = of any.
                          * [module.NAME] surveys = LIST says otherwise */
} nj_module;

#define NJ_HEADER                                                                                            \
    .abi = NJ_ABI, .size = sizeof(nj_module), .need_size = sizeof(nj_need), .give_size = sizeof(nj_give),    \
    .param_size = sizeof(nj_param), .build = NJ_BUILD
/* NJ_MODULE(foo) = { NJ_HEADER, .name = "foo", ... };  static build: const nj_module nj_module_foo, listed in
 * the generated table.  -DNJ_SHARED adds the one exported symbol: const nj_module *nj_module_entry(void). */
#if defined __FAST_MATH__
#define NJ_BUILD "p64,fast"
#else
#define NJ_BUILD "p64,ieee"
#endif
#define NJ_MODULE_SYMBOL_(x) nj_module_##x
#ifdef NJ_SHARED
#define NJ_MODULE(x)                                                                                         \
    NJ_EXTERN_C const nj_module NJ_MODULE_SYMBOL_(x);                                                        \
    NJ_EXTERN_C __attribute__((visibility("default"))) const nj_module *nj_module_entry(void);               \
    const nj_module *nj_module_entry(void)                                                                   \
    {                                                                                                        \
        return &NJ_MODULE_SYMBOL_(x);                                                                        \
    }                                                                                                        \
    const nj_module NJ_MODULE_SYMBOL_(x)
#else
#define NJ_MODULE(x)                                                                                         \
    NJ_EXTERN_C const nj_module NJ_MODULE_SYMBOL_(x);                                                        \
    const nj_module NJ_MODULE_SYMBOL_(x)
#endif

#ifdef __cplusplus
}
#endif
#endif
