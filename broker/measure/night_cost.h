/* night_cost.h - what a night of alerts costs on rented and on owned machines: instance x number x scheme,
 * with traffic; and which of them are not beaten in both cost and time. */
#ifndef NJ_MEASURE_NIGHT_COST_H
#define NJ_MEASURE_NIGHT_COST_H

#include <stdbool.h>

#include "prices.h"
#include "volume.h"

typedef enum { NJ_ON_DEMAND, NJ_RESERVED, NJ_SPOT, NJ_OWNED, NJ_SCHEMES } nj_scheme;
extern const char *const nj_scheme_name[NJ_SCHEMES]; /* "on demand", "reserved", "spot", "owned" */

typedef struct nj_alert_work { /* as a run measured it */
    double core_s;             /* of an alert, with all vCPUs busy */
    double bytes;              /* of its packet */
    double start_s;            /* from the start of the process to the first alert */
} nj_alert_work;

typedef struct nj_night_cost {
    const char *machine, *kind;
    nj_scheme scheme;
    uint32_t n;
    bool live;     /* on for the whole night; else the night is worked off at once, afterwards */
    double wall_h; /* live: of an exposure; else of the night */
    double compute, kafka, storage, egress, total; /* of a night */
    bool pareto; /* no other of its kind (live or not) is both cheaper and faster */
} nj_night_cost;

/* Machines so that an exposure is done before the next one comes: ceil(alerts/s * core_s / (vcpu * load)). */
uint32_t nj_cost_instances(const nj_volume *v, const nj_alert_work *w, double vcpu, double load);
/* Time of a night on n machines, with the start; spot_hours > 0: each machine is interrupted so often and
 * begins again, which costs `again_s` each. */
double nj_cost_wall_h(const nj_volume *v, const nj_alert_work *w, double vcpu, uint32_t n, double load,
                      double again_s, double spot_hours);
/* Of so many GB for so many days (a month has 30), and sent out. */
double nj_cost_storage(const nj_traffic_price *t, double gb, double days);
double nj_cost_egress(const nj_traffic_price *t, double gb);

/* All rows: live, as many machines as the burst needs; and the night at once on 1, 2, 4, 8, 16. Returns how
 * many; row has room for NJ_COST_ROWS. */
enum { NJ_COST_ROWS = (NJ_PRICE_INSTANCES * 3 + NJ_PRICE_OWNED) * 6 };
uint32_t nj_cost_rows(nj_night_cost *row, const nj_prices *p, const nj_volume *v, const nj_alert_work *w);

#endif
