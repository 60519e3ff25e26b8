/* night_cost.c - Rubin's proof of concept asks what a workflow costs by the size of the cluster; this
 * counts it. */
#include "night_cost.h"

#include <math.h>

const char *const nj_scheme_name[NJ_SCHEMES] = { "on demand", "reserved", "spot", "owned" };

static const uint32_t sizes[] = { 1, 2, 4, 8, 16 };
enum { SIZES = sizeof sizes / sizeof *sizes, HOURS_OF_YEAR = 8760, DAYS_OF_MONTH = 30 };

uint32_t nj_cost_instances(const nj_volume *v, const nj_alert_work *w, double vcpu, double load)
{
    double n = ceil(v->per_exposure / v->exposure_s * w->core_s / (vcpu * load) - 1e-9);
    return n < 1 ? 1 : n > 1e6 ? 1000000 : (uint32_t)n;
}

double nj_cost_wall_h(const nj_volume *v, const nj_alert_work *w, double vcpu, uint32_t n, double load,
                      double again_s, double spot_hours)
{
    double hours = v->per_night * w->core_s / (n * vcpu * load) / 3600;
    if (spot_hours > 0) hours *= 1 + again_s / 3600 / spot_hours;
    return hours + again_s / 3600;
}

double nj_cost_storage(const nj_traffic_price *t, double gb, double days)
{
    return gb * t->storage_gb_month * days / DAYS_OF_MONTH;
}

double nj_cost_egress(const nj_traffic_price *t, double gb)
{
    return gb * t->egress_gb;
}

typedef struct machine {
    const char *name, *kind;
    double vcpu, hour[NJ_SCHEMES], spot_hours; /* 0 = is not offered so */
} machine;

/* What is paid whether it works or not is paid for the whole year, over its nights. */
static double hours_paid(const nj_volume *v, nj_scheme scheme, double hours)
{
    return scheme == NJ_RESERVED || scheme == NJ_OWNED ? HOURS_OF_YEAR / v->nights : hours;
}

static void add_traffic(nj_night_cost *r, const nj_prices *p, const nj_volume *v, const nj_alert_work *w,
                        double hours)
{
    const nj_traffic_price *t = &p->traffic;
    double gb = v->per_night * w->bytes / 1e9;
    r->kafka = r->live ? t->kafka_brokers * t->kafka_hour * hours : 0;
    r->compute += (t->control_hour + t->database_hour) * hours;
    r->storage = nj_cost_storage(t, gb, t->months * DAYS_OF_MONTH);
    r->egress = nj_cost_egress(t, gb * t->egress_share);
    r->total = r->compute + r->kafka + r->storage + r->egress;
}

static nj_night_cost row_of(const machine *m, nj_scheme scheme, uint32_t n, bool live, const nj_prices *p,
                            const nj_volume *v, const nj_alert_work *w)
{
    double spot = scheme == NJ_SPOT ? m->spot_hours : 0, again = p->boot_s + w->start_s;
    nj_night_cost r = { .machine = m->name, .kind = m->kind, .scheme = scheme, .n = n, .live = live };
    double night = live ? p->hours_of_night : nj_cost_wall_h(v, w, m->vcpu, n, p->load, again, spot);
    r.wall_h = live ? v->per_exposure * w->core_s / (n * m->vcpu) / 3600 : night;
    r.compute = n * m->hour[scheme] * hours_paid(v, scheme, night);
    add_traffic(&r, p, v, w, night);
    return r;
}

/* Live on spot: so many more that those which are away are made up for. */
static uint32_t live_number(const machine *m, nj_scheme scheme, const nj_prices *p, const nj_volume *v,
                            const nj_alert_work *w)
{
    uint32_t n = nj_cost_instances(v, w, m->vcpu, p->load);
    double away = scheme == NJ_SPOT ? (p->boot_s + w->start_s) / 3600 / m->spot_hours : 0;
    return (uint32_t)ceil(n * (1 + away) - 1e-9);
}

static uint32_t add_machine(nj_night_cost *row, const machine *m, const nj_prices *p, const nj_volume *v,
                            const nj_alert_work *w)
{
    uint32_t n = 0;
    for (nj_scheme s = NJ_ON_DEMAND; s < NJ_SCHEMES; s++) {
        if (!(m->hour[s] > 0)) continue;
        row[n++] = row_of(m, s, live_number(m, s, p, v, w), true, p, v, w);
        for (uint32_t k = 0; k < SIZES; k++) row[n++] = row_of(m, s, sizes[k], false, p, v, w);
    }
    return n;
}

static void mark_pareto(nj_night_cost *row, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        row[i].pareto = true;
        for (uint32_t k = 0; k < n && row[i].pareto; k++)
            if (row[k].live == row[i].live && row[k].total <= row[i].total &&
                row[k].wall_h <= row[i].wall_h &&
                (row[k].total < row[i].total || row[k].wall_h < row[i].wall_h))
                row[i].pareto = false;
    }
}

uint32_t nj_cost_rows(nj_night_cost *row, const nj_prices *p, const nj_volume *v, const nj_alert_work *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n_instances; i++) {
        const nj_instance_price *x = &p->instance[i];
        const machine m = {
            x->name, x->kind, x->vcpu, { x->on_demand, x->reserved, x->spot, 0 }, x->spot_hours
        };
        n += add_machine(row + n, &m, p, v, w);
    }
    for (uint32_t i = 0; i < p->n_owned; i++) {
        const nj_owned_price *x = &p->owned[i];
        const machine m = {
            x->name, x->kind, x->vcpu, { 0, 0, 0, nj_owned_core_hour(x, p->load) * x->vcpu }, 0
        };
        n += add_machine(row + n, &m, p, v, w);
    }
    mark_pareto(row, n);
    return n;
}
