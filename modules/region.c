/* region.c - in which regions of the sky this detection lies: coverage maps (MOC), skymaps, cones and
 * polygons, bands of a latitude.
 *
 *     [module.fields]
 *     kind = region
 *     files = deep.moc.fits, ours.reg:ours, galactic -10 10:plane     ; a name that ends in / is a folder
 *
 *     [module.gw]
 *     kind = region
 *     files = S240422ed.multiorder.fits       ; one skymap alone: also its values at the position
 *     level = 0.9
 *
 *     [module.alerts]
 *     kind = region
 *     files = gw/                             ; kept by the run while it reads
 *     from = kafka://kafka.gcn.nasa.gov:9092/igwn.gwalert
 *     days = 10
 *
 * All regions of an instance are one index, so that an alert costs one search however many there are. The
 * files are followed as catalogues are: one that is renamed over an old one answers the next batch.
 *
 * Reference: IVOA MOC 2.0 for the maps; HEALPix: Gorski et al. 2005, ApJ 622, 759, doi:10.1086/427976. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "nightjar/column.h"
#include "nightjar/region.h"

enum { RA, DEC };
enum { INSIDE, N, NAMES, LEVEL, PROB, DISTMU, DISTSIGMA };

typedef struct conf {
    const char *files;
    double level, days;
    const char *from, *account; /* for the host, which fills the folder of `files` */
    uint8_t mock;
} conf;

typedef struct regions {
    const nj_host *host;
    const nj_region *sky;
    nj_region_set *set;
    int is_skymap;
    _Atomic uint64_t *reported; /* newest generation that was logged: the one thing here that changes */
} regions;

/* The files of the settings, opened. */
static int open_set(const nj_host *host, const conf *c, regions *r)
{
    char why[600];
    *r = (regions){ .host = host, .sky = host->service(host->opaque, "region", NJ_REGION_VERSION) };
    if (!r->sky) {
        host->log(host->opaque, 0, "region: this program has no region service");
        return NJ_ENO_SERVICE;
    }
    int rc = r->sky->open(c->files, c->level, c->days, &r->set, why, sizeof why);
    if (rc != NJ_OK) {
        host->log(host->opaque, 0, "region: %s", why);
        return rc;
    }
    const nj_region_view *view = r->sky->begin(r->set);
    r->is_skymap = r->sky->is_skymap(view);
    r->sky->end(r->set, view);
    return NJ_OK;
}

static const nj_give gives[] = {
    { "inside", NJ_U8, 1, -1, "1", 0, 1, 0, 0, "1 in a region at least, else 0; none without a position" },
    { "n", NJ_I32, 1, -1, "1", 0, INFINITY, NAN, 0,
      "how many regions hold the position; none without a position" },
    { "names", NJ_STR, 1, -1, "1", -INFINITY, INFINITY, NAN, 0,
      "their names, separated by commas; none outside of all" },
    /* of a skymap */
    { "level", NJ_F64, 1, -1, "1", 0, 1, NAN, 0,
      "credible level: probability of all cells at least as likely; none outside the map" },
    { "prob", NJ_F64, 1, -1, "1/deg2", 0, INFINITY, NAN, 0,
      "probability per square degree; none outside the map" },
    { "distmu", NJ_F64, 1, -1, "Mpc", -INFINITY, INFINITY, NAN, 0,
      "location of the distance in this direction (DISTMU); none when the map has none" },
    { "distsigma", NJ_F64, 1, -1, "Mpc", -INFINITY, INFINITY, NAN, 0,
      "scale of the distance in this direction (DISTSIGMA); none when the map has none" },
    { 0 }
};

static int declare(const nj_host *host, const void *conf_, nj_tables *tables)
{
    static const nj_need need[] = { { "ra", NJ_F64, NJ_SCALAR, "deg", 0 },
                                    { "dec", NJ_F64, NJ_SCALAR, "deg", 0 },
                                    { 0 } };
    regions r;
    int rc = open_set(host, conf_, &r);
    if (rc != NJ_OK) return rc;
    r.sky->close(r.set);
    nj_give *give = host->alloc(host->opaque, sizeof gives);
    if (!give) return NJ_ENOMEM;
    memcpy(give, gives, sizeof gives);
    if (!r.is_skymap) give[LEVEL] = (nj_give){ 0 };
    *tables = (nj_tables){ need, give };
    return NJ_OK;
}

static int open_regions(const nj_host *host, const void *conf_, void **self)
{
    regions *r = host->alloc(host->opaque, sizeof *r);
    _Atomic uint64_t *reported = host->alloc(host->opaque, sizeof *reported);
    if (!r || !reported) return NJ_ENOMEM;
    int rc = open_set(host, conf_, r);
    if (rc != NJ_OK) return rc;
    atomic_init(reported, 1);
    r->reported = reported;
    *self = r;
    return NJ_OK;
}

static void close_regions(void *self)
{
    regions *r = self;
    if (r) r->sky->close(r->set);
}

/* Says once that a file changed, or that the new state was refused. */
static void report(const regions *r, const nj_region_view *view)
{
    char why[600];
    uint64_t now = r->sky->generation(view), was = atomic_load_explicit(r->reported, memory_order_relaxed);
    if (now > was && atomic_compare_exchange_strong(r->reported, &was, now))
        r->host->log(r->host->opaque, 2, "region: files changed: now %u regions", r->sky->count(view));
    if (r->sky->problem(r->set, why, sizeof why)) r->host->log(r->host->opaque, 1, "region: %s", why);
}

/* "gw,plane": the regions of the set, in the order of the list. */
static const char *names_of(const regions *r, const nj_work *w, const nj_region_view *view,
                            const uint64_t *bits)
{
    size_t size = 0, n = 0;
    for (uint32_t k = 0; k < r->sky->count(view); k++)
        if (bits[k / 64] >> k % 64 & 1) size += strlen(r->sky->name(view, k)) + 1;
    char *text = w->scratch(w, size + 1);
    if (!text) return NJ_NO_STR;
    for (uint32_t k = 0; k < r->sky->count(view); k++)
        if (bits[k / 64] >> k % 64 & 1)
            n += (size_t)snprintf(text + n, size + 1 - n, "%s%s", n ? "," : "", r->sky->name(view, k));
    return w->text(w, text, n);
}

static void put_skymap(const regions *r, const nj_work *w, const nj_region_view *view, uint32_t row)
{
    nj_region_at at;
    r->sky->at(view, nj_f64_of(w, RA, row), nj_f64_of(w, DEC, row), &at);
    nj_put_f64(w, LEVEL, row, at.level);
    nj_put_f64(w, PROB, row, at.prob);
    nj_put_f64(w, DISTMU, row, at.distmu);
    nj_put_f64(w, DISTSIGMA, row, at.distsigma);
}

typedef int32_t find_fn(const nj_region_view *view, double ra, double dec, uint64_t *bits);

static int find_rows(const regions *r, const nj_work *w, int plainly)
{
    const nj_region_view *view = r->sky->begin(r->set); /* one state of the files for the whole batch */
    find_fn *find = plainly ? r->sky->find_plain : r->sky->find;
    uint64_t *bits = w->scratch(w, (r->sky->count(view) / 64 + 1) * sizeof *bits);
    report(r, view);
    for (uint32_t k = 0; k < w->n && bits; k++) {
        uint32_t row = w->row[k];
        int32_t n = find(view, nj_f64_of(w, RA, row), nj_f64_of(w, DEC, row), bits);
        w->reason[row] = n < 0 ? NJ_NO_INPUT : NJ_DONE;
        if (n < 0) continue;
        nj_put_u8(w, INSIDE, row, n > 0);
        nj_put_i32(w, N, row, n);
        if (n) nj_put_text(w, NAMES, row, names_of(r, w, view, bits));
        if (r->is_skymap) put_skymap(r, w, view, row);
    }
    r->sky->end(r->set, view);
    return bits ? NJ_OK : NJ_ENOMEM;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)thread;
    return find_rows(self, w, 0);
}

static int process_ref(const void *self, void *thread, const nj_work *w)
{
    (void)thread;
    return find_rows(self, w, 1);
}

NJ_MODULE(region) = {
    NJ_HEADER,
    .name = "region",
    .version = "1.0",
    .summary = "in which regions of the sky this detection lies: MOCs, skymaps, cones, polygons, bands",
    .paper = "doi:10.1086/427976 (HEALPix)",
    .flags = NJ_MODULE_WHOLE_BATCH, /* one state of the files per batch */
    .params =
        (const nj_param[]){
            { "files", NJ_STR, "", offsetof(conf, files), 0, 0, "1",
              "MOCs, skymaps, DS9 files, folders/, bands (galactic LOW HIGH), by commas; :NAME renames" },
            { "level", NJ_F64, "0.9", offsetof(conf, level), 0, 1, "1",
              "credible level within which a position counts as in a skymap" },
            { "days", NJ_F64, "0", offsetof(conf, days), 0, 100000, "d",
              "files of a folder count until they are so old; 0 = always" },
            { "from", NJ_STR, "", offsetof(conf, from), 0, 0, "1",
              "source of igwn.gwalert notices, which a run keeps as regions in the folder of `files`" },
            { "account", NJ_STR, "", offsetof(conf, account), 0, 0, "1",
              "INI file whose [kafka] is for the server of `from`; empty: the run's" },
            { "mock", NJ_U8, "0", offsetof(conf, mock), 0, 1, "1",
              "1 = notices of test events (MS..., TS...) become regions, too" },
            { 0 } },
    .conf_size = sizeof(conf),
    .declare = declare,
    .open = open_regions,
    .process = process,
    .process_ref = process_ref,
    .close = close_regions
};
