/* lsst.h - the same sky as the Rubin Observatory would see it: deeper, in six bands, in packets of release
 * 11.0. Internal to simulator.c, which owns the night and chooses objects and epochs. */
#ifndef NJ_SIMULATE_LSST_H
#define NJ_SIMULATE_LSST_H

#include "../base/buffer.h"
#include "../base/error.h"
#include "fill.h"
#include "simulate.h"
#include "world.h"

enum { NJ_SIM_LSST_SCHEMA_ID = 1100 }; /* of the registry: 100 * major + minor */

typedef struct nj_sim_lsst nj_sim_lsst; /* plans and work areas; one per simulator */

typedef struct nj_sim_lsst_alert {
    const nj_sim_object *object;
    const nj_sim_epoch *now, *history;  /* history: oldest first */
    uint32_t n_history, visit_index, j; /* number of the exposure in its night,
                                         * of the alert in its exposure */
    uint32_t same_night;                /* the history's entries from here on are this night's
                                         * first visit ... */
    uint32_t first_visit_index;         /* ... which has this number */
    nj_sim_detection detection;
    int confluent; /* 0x00, schema id, datum; else a container file */
    uint64_t seed;
} nj_sim_lsst_alert;

nj_sim_lsst *nj_sim_lsst_new(nj_error *err);
void nj_sim_lsst_free(nj_sim_lsst *l);
/* Appends the packet to out and fills truth, whose class and kind are set already. */
void nj_sim_lsst_make(nj_sim_lsst *l, const nj_sim_lsst_alert *alert, nj_buffer *out, nj_truth *truth);

/* Gives the object a place on its sensor (now->rcid, of 189) and on the sky;
 * call it after nj_sim_object_find. */
void nj_sim_lsst_place(nj_sim_object *object, const nj_sim_epoch *now);

/* ---- lsst_packet.c --------------------------------------------------------------------------- */
enum { NJ_SIM_LSST_FIELDS_MAX = 104 };
/* One record of any kind; a field that is not set is null, false for a flag,
 * or 0 where the schema allows no null. */
typedef struct nj_sim_lsst_record {
    nj_sim_value v[NJ_SIM_LSST_FIELDS_MAX];
    uint8_t set[NJ_SIM_LSST_FIELDS_MAX];
} nj_sim_lsst_record;

typedef enum {
    NJ_SIM_DIA_SOURCE,
    NJ_SIM_DIA_FORCED,
    NJ_SIM_DIA_OBJECT,
    NJ_SIM_SS_SOURCE,
    NJ_SIM_MPC_ORBIT,
    NJ_SIM_LSST_RECORDS
} nj_sim_lsst_kind;

typedef struct nj_sim_lsst_packet {
    int64_t id;
    const char *reason, *target;
    /* NULL or no entries = null */
    const nj_sim_lsst_record *source, *prv, *forced, *object, *ss_source, *orbit;
    uint32_t n_prv, n_forced;
    const uint8_t *fits[3]; /* difference, science, template */
    size_t n_fits[3];
    uint64_t key; /* of the sync marker */
    int confluent;
} nj_sim_lsst_packet;

typedef struct nj_sim_lsst_schema nj_sim_lsst_schema; /* read-only once made */
nj_sim_lsst_schema *nj_sim_lsst_schema_new(nj_error *err);
void nj_sim_lsst_schema_free(nj_sim_lsst_schema *s);
/* Number of a field of a record, -1 = it has none of that name. */
int nj_sim_lsst_field(const nj_sim_lsst_schema *s, nj_sim_lsst_kind kind, const char *name);
void nj_sim_lsst_encode(const nj_sim_lsst_schema *s, const nj_sim_lsst_packet *packet, nj_buffer *out);

/* ---- lsst_stamp.c ---------------------------------------------------------------------------- */
typedef struct nj_sim_lsst_scene {
    const nj_sim_object *object;
    double flux_njy, error_njy; /* of the transient; of a point-source fit */
    double fwhm, fwhm_template; /* pixels of 0.2 arcsec */
    double ra, dec, x, y;       /* of the detection; on the sensor */
    double mag_offset;          /* AB magnitude of a source here, minus its magnitude in source.mag[band] */
    int band;                   /* index into source.mag */
    uint32_t side;              /* of the stamps, pixels, even */
    int edge;                   /* the sensor ends inside the stamp: NaN beyond */
    uint64_t key;
} nj_sim_lsst_scene;

typedef struct nj_sim_lsst_painter nj_sim_lsst_painter;
nj_sim_lsst_painter *nj_sim_lsst_painter_new(void);
void nj_sim_lsst_painter_free(nj_sim_lsst_painter *p);
/* Draws difference, science and template as FITS files of three HDUs each (image, variance, point spread).
 * The bytes live in the painter until the next call. Returns the number of NaN pixels. */
int nj_sim_lsst_paint(nj_sim_lsst_painter *p, const nj_sim_lsst_scene *scene, const uint8_t *fits[3],
                      size_t n_fits[3]);

#endif
