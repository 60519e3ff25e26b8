/* braai.c - separates real detections from bogus ones by the braai network over the three stamps.
 *
 * Returned: score, 0 (bogus) to 1 (real).
 * Notes: stamps as the model's manifest says: NaN is 0, each stamp is divided by its norm;
 * small ones by BOOM's or
 *   Kowalski's rule. A stamp of zeros gives no answer (range), where those brokers score NaN.
 * Reference: Duev et al. 2019, MNRAS 489, 3582, doi:10.1093/mnras/stz2357. */
#include "nightjar/network.h"

enum { SCIENCE, TEMPLATE, DIFFERENCE };
enum { SCORE };

static int open_model(const nj_host *host, const void *c, void **self)
{
    const nj_network_conf *cf = c;
    nj_network *net = host->alloc(host->opaque, sizeof *net);
    if (!net) return NJ_ENOMEM;
    *self = net;
    nj_every_row(host);
    return nj_network_open(net, host, cf->model, cf->engine, cf->small_stamps, 0);
}

static int process(const void *self, void *block, const nj_work *w)
{
    return nj_network_rows_of(self, block, w, SCIENCE, SCORE, NULL, 0);
}

static int process_ref(const void *self, void *block, const nj_work *w)
{
    return nj_network_rows_of(self, block, w, SCIENCE, SCORE, NULL, 1);
}

NJ_MODULE(braai) = { NJ_HEADER,
                     .name = "braai",
                     .version = "1.0",
                     .summary = "real or bogus, from the three stamps",
                     .paper = "doi:10.1093/mnras/stz2357",
                     .needs = (const nj_need[]){ { "stamp.science", NJ_F32, NJ_IMAGE, "DN", 0 },
                                                 { "stamp.template", NJ_F32, NJ_IMAGE, "DN", 0 },
                                                 { "stamp.difference", NJ_F32, NJ_IMAGE, "DN", 0 },
                                                 { 0 } },
                     .gives = (const nj_give[]){ { "score", NJ_F32, 1, -1, "1", 0, 1, 0.5, 0,
                                                   "1 = real, 0 = bogus; none without all three stamps" },
                                                 { 0 } },
                     .params = (const nj_param[]){ NJ_NETWORK_PARAMS("braai"), { 0 } },
                     .conf_size = sizeof(nj_network_conf),
                     .thread_size = sizeof(nj_network_rows),
                     .rows_hint = 2 * NJ_NETWORK_ROWS,
                     .open = open_model,
                     .thread_open = nj_network_self_thread_open,
                     .process = process,
                     .process_ref = process_ref,
                     .thread_close = nj_network_self_thread_close,
                     .close = nj_network_self_close };
