/* prices.h - dated prices of machines and traffic, from INI text: the binary's few, and the user's over
 * them. */
#ifndef NJ_MEASURE_PRICES_H
#define NJ_MEASURE_PRICES_H

#include <stdint.h>

#include "../base/settings.h"

enum { NJ_PRICE_INSTANCES = 32, NJ_PRICE_OWNED = 8, NJ_PRICE_BILLS = 32 };

typedef struct nj_instance_price { /* per hour; 0 = is not offered */
    const char *name, *kind, *source;
    double vcpu, on_demand, reserved, spot, spot_hours; /* spot_hours: mean time to an interruption */
    int64_t year;
} nj_instance_price;

typedef struct nj_owned_price { /* core_hour, or what it is made of */
    const char *name, *kind, *source;
    double vcpu, core_hour, price, years, idle_watt, full_watt, kwh, pue, admin;
    int64_t year;
} nj_owned_price;

typedef struct nj_traffic_price {
    double storage_gb_month, egress_gb, egress_share, months, kafka_brokers, kafka_hour, control_hour,
        database_hour;
    const char *source;
    int64_t year;
} nj_traffic_price;

typedef struct nj_bill { /* of a workflow that was run somewhere */
    const char *name;
    double wall_h, job_h, workflows, on_demand, spot, database, storage, other;
} nj_bill;

typedef struct nj_prices {
    nj_settings settings; /* has the texts */
    const char *currency;
    double load, boot_s, hours_of_night;
    nj_traffic_price traffic;
    nj_instance_price instance[NJ_PRICE_INSTANCES];
    nj_owned_price owned[NJ_PRICE_OWNED];
    nj_bill bill[NJ_PRICE_BILLS];
    uint32_t n_instances, n_owned, n_bills;
} nj_prices; /* zero-initialised */

/* Sections [prices] [instance.NAME] [owned.NAME] [traffic] [workflow.NAME]. text: INI, NULL = none; path: a
 * file, whose keys count before those of text, NULL = none. -1 with err; an unknown section or key is an
 * error. */
int nj_prices_read(nj_prices *prices, const char *name, const char *text, const char *path, nj_error *err);
void nj_prices_free(nj_prices *prices);

/* A core-hour of owned hardware when it is busy for that share: (price / years + admin) / hours of a year,
 * and the power, over its vCPUs. */
double nj_owned_core_hour(const nj_owned_price *owned, double busy);
double nj_bill_total(const nj_bill *bill);
/* Machines, on demand and spot, of n bills together, for an hour of a job: what idles is in it. */
double nj_bill_job_hour(const nj_bill *bill, uint32_t n);

#endif
