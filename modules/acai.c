/* acai.c - alert classification by the ACAI networks (hosted, nuclear, variable star, orphan, bogus): one
 * instance per network.
 *
 * Given: the three stamps and 25 numbers of the detection, raw, in the order of the model's features.
 * Returned: score, the probability of the instance's class (the five are independent).
 * Notes: any of the 25 numbers null: no answer, never a stand-in value (packets before
 * schema 3.3 have no drb). Stamps as
 *   in braai.
 * Reference: Duev & van der Walt 2021, arXiv:2111.12142. */
#include "nightjar/column.h"
#include "nightjar/network.h"

enum { FEATURES = 25, SCIENCE = FEATURES };
enum { SCORE };

/* The features of the models by name; what only ZTF's pipeline calculates is no column of any survey. */
static const char *const feature_name[FEATURES] = {
    "drb",       "diffmaglim", "ra",        "dec",           "magpsf",   "sigmapsf",  "chipsf",
    "fwhm",      "sky",        "chinr",     "sharpnr",       "sgscore1", "distpsnr1", "sgscore2",
    "distpsnr2", "sgscore3",   "distpsnr3", "ndethist",      "ncovhist", "scorr",     "nmtchps",
    "clrcoeff",  "clrcounc",   "neargaia",  "neargaiabright"
};
#define NUMBER(path, unit) { path, NJ_F64, NJ_SCALAR, unit, NJ_NEED_OPTIONAL },
#define ZTF(field) NUMBER("packet.candidate." field, "1")
/* clang-format off */
static const nj_need needs[] = {
    NUMBER("drb", "1") NUMBER("limit_mag", "mag") NUMBER("ra", "deg") NUMBER("dec", "deg")
    NUMBER("mag", "mag") NUMBER("mag_err", "mag") ZTF("chipsf") NUMBER("fwhm", "pixel") ZTF("sky")
    ZTF("chinr") ZTF("sharpnr") NUMBER("near1_star", "1") NUMBER("near1_dist", "arcsec")
    NUMBER("near2_star", "1")
    NUMBER("near2_dist", "arcsec") NUMBER("near3_star", "1") NUMBER("near3_dist", "arcsec")
    NUMBER("ndethist", "1") ZTF("ncovhist") ZTF("scorr") ZTF("nmtchps") ZTF("clrcoeff") ZTF("clrcounc")
    NUMBER("gaia_dist", "arcsec") NUMBER("gaia_bright_dist", "arcsec")
    { "stamp.science", NJ_F32, NJ_IMAGE, "DN", 0 },
    { "stamp.template", NJ_F32, NJ_IMAGE, "DN", 0 },
    { "stamp.difference", NJ_F32, NJ_IMAGE, "DN", 0 },
    { 0 }
};
/* clang-format on */
static const nj_give gives[] = { { "score", NJ_F32, 1, -1, "1", 0, 1, 0.5, 0,
                                   "probability of the class; none without all 25 numbers and three stamps" },
                                 { 0 } };

static int declare(const nj_host *host, const void *c, nj_tables *tables)
{
    (void)host;
    (void)c;
    *tables = (nj_tables){ needs, gives };
    return NJ_OK;
}

static int check_features(const nj_network *net, const nj_host *host)
{
    const nj_model_info *info = net->service->info(net->model);
    for (uint32_t k = 0; info->feature && k < FEATURES; k++)
        if (strcmp(info->feature[k], feature_name[k])) {
            host->log(host->opaque, 0, "model %s: feature %u is %s, expected %s", info->folder, k,
                      info->feature[k], feature_name[k]);
            return NJ_ECONF;
        }
    return NJ_OK;
}

static int open_model(const nj_host *host, const void *c, void **self)
{
    const nj_network_conf *cf = c;
    nj_network *net = host->alloc(host->opaque, sizeof *net);
    if (!net) return NJ_ENOMEM;
    int rc = nj_network_open(net, host, cf->model, cf->engine, cf->small_stamps, FEATURES);
    if (rc == NJ_OK && (rc = check_features(net, host)) != NJ_OK) nj_network_close(net);
    if (rc == NJ_OK) *self = net;
    return rc;
}

/* The row's numbers; 0 when one is missing. */
static int numbers(const nj_work *w, uint32_t row, float *x)
{
    for (uint32_t k = 0; k < FEATURES; k++) {
        x[k] = (float)nj_f64_of(w, k, row);
        if (!isfinite(x[k])) return 0;
    }
    return 1;
}

static int process(const void *self, void *block, const nj_work *w)
{
    return nj_network_rows_of(self, block, w, SCIENCE, SCORE, numbers, 0);
}

static int process_ref(const void *self, void *block, const nj_work *w)
{
    return nj_network_rows_of(self, block, w, SCIENCE, SCORE, numbers, 1);
}

NJ_MODULE(acai) = {
    NJ_HEADER,
    .name = "acai",
    .version = "1.0",
    .summary = "one ACAI class (hosted, nuclear, variable, orphan, bogus) from stamps and 25 numbers",
    .paper = "arXiv:2111.12142",
    .needs = needs,
    .gives = gives,
    .params = (const nj_param[]){ NJ_NETWORK_PARAMS(""), { 0 } },
    .conf_size = sizeof(nj_network_conf),
    .thread_size = sizeof(nj_network_rows),
    .rows_hint = 2 * NJ_NETWORK_ROWS,
    .declare = declare,
    .open = open_model,
    .thread_open = nj_network_self_thread_open,
    .process = process,
    .process_ref = process_ref,
    .thread_close = nj_network_self_thread_close,
    .close = nj_network_self_close
};
