/* prices.c - prices change and differ by place; they are read from text that says where and when they were
 * so. */
#include "prices.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static const nj_param of_prices[] = {
    { "currency", NJ_STR, "USD", offsetof(nj_prices, currency), 0, 0, "1", "of all prices" },
    { "load", NJ_F64, "0.7", offsetof(nj_prices, load), 0.01, 1, "1", "busy share that is planned for" },
    { "boot_s", NJ_F64, "120", offsetof(nj_prices, boot_s), 0, 1e5, "s", "from order to work" },
    { "hours_of_night", NJ_F64, "10", offsetof(nj_prices, hours_of_night), 0.1, 24, "h", "of a live stream" },
    { 0 },
};

#define I(x) offsetof(nj_instance_price, x)
static const nj_param of_instance[] = {
    { "vcpu", NJ_F64, "0", I(vcpu), 0, 1e4, "1", "that it has" },
    { "on_demand", NJ_F64, "0", I(on_demand), 0, 1e6, "1", "per hour; 0 = is not offered" },
    { "reserved", NJ_F64, "0", I(reserved), 0, 1e6, "1", "per hour of the whole year" },
    { "spot", NJ_F64, "0", I(spot), 0, 1e6, "1", "per hour" },
    { "spot_hours", NJ_F64, "20", I(spot_hours), 0.01, 1e5, "h", "between interruptions" },
    { "kind", NJ_STR, "as given", I(kind), 0, 0, "1", "published or assumed" },
    { "source", NJ_STR, "as given", I(source), 0, 0, "1", "where it is from" },
    { "year", NJ_I64, "0", I(year), 0, 2200, "1", "when it was so" },
    { 0 },
};
#define O(x) offsetof(nj_owned_price, x)
static const nj_param of_owned[] = {
    { "vcpu", NJ_F64, "0", O(vcpu), 0, 1e5, "1", "that it has" },
    { "core_hour", NJ_F64, "0", O(core_hour), 0, 1e6, "1", "all in one; 0 = from what follows" },
    { "price", NJ_F64, "0", O(price), 0, 1e9, "1", "of the machine" },
    { "years", NJ_F64, "4", O(years), 0.1, 100, "1", "that it is used" },
    { "idle_watt", NJ_F64, "0", O(idle_watt), 0, 1e6, "W", "at rest" },
    { "full_watt", NJ_F64, "0", O(full_watt), 0, 1e6, "W", "when all cores work" },
    { "kwh", NJ_F64, "0", O(kwh), 0, 1e3, "1", "price of a kWh" },
    { "pue", NJ_F64, "1.25", O(pue), 1, 5, "1", "energy of the site for one unit of the machine's" },
    { "admin", NJ_F64, "0", O(admin), 0, 1e9, "1", "people and room, a year" },
    { "kind", NJ_STR, "as given", O(kind), 0, 0, "1", "published or assumed" },
    { "source", NJ_STR, "as given", O(source), 0, 0, "1", "where it is from" },
    { "year", NJ_I64, "0", O(year), 0, 2200, "1", "when it was so" },
    { 0 },
};
#define T(x) offsetof(nj_traffic_price, x)
static const nj_param of_traffic[] = {
    { "storage_gb_month", NJ_F64, "0", T(storage_gb_month), 0, 1e6, "1", "price" },
    { "egress_gb", NJ_F64, "0", T(egress_gb), 0, 1e6, "1", "price of a GB sent to other networks" },
    { "egress_share", NJ_F64, "1", T(egress_share), 0, 100, "1", "of the packets' bytes that are sent on" },
    { "months", NJ_F64, "1", T(months), 0, 1200, "1", "that packets are kept" },
    { "kafka_brokers", NJ_F64, "3", T(kafka_brokers), 0, 1000, "1", "of a live stream" },
    { "kafka_hour", NJ_F64, "0", T(kafka_hour), 0, 1e6, "1", "price of a broker" },
    { "control_hour", NJ_F64, "0", T(control_hour), 0, 1e6, "1", "price of the machine that stays" },
    { "database_hour", NJ_F64, "0", T(database_hour), 0, 1e6, "1", "price" },
    { "source", NJ_STR, "as given", T(source), 0, 0, "1", "where it is from" },
    { "year", NJ_I64, "0", T(year), 0, 2200, "1", "when it was so" },
    { 0 },
};
#define B(x) offsetof(nj_bill, x)
static const nj_param of_bill[] = {
    { "wall_h", NJ_F64, "0", B(wall_h), 0, 1e6, "h", "of the workflow" },
    { "job_h", NJ_F64, "0", B(job_h), 0, 1e9, "h", "of all its jobs" },
    { "workflows", NJ_F64, "1", B(workflows), 1, 1e6, "1", "that ran at once" },
    { "on_demand", NJ_F64, "0", B(on_demand), 0, 1e9, "1", "machines on demand" },
    { "spot", NJ_F64, "0", B(spot), 0, 1e9, "1", "spot machines" },
    { "database", NJ_F64, "0", B(database), 0, 1e9, "1", "database" },
    { "storage", NJ_F64, "0", B(storage), 0, 1e9, "1", "storage and requests" },
    { "other", NJ_F64, "0", B(other), 0, 1e9, "1", "all else" },
    { 0 },
};

/* The name behind "instance." of a section, when it is one that was not met before. */
static const char *new_name(const nj_settings *s, size_t i, const char *prefix)
{
    size_t n = strlen(prefix);
    if (strncmp(s->item[i].section, prefix, n)) return NULL;
    for (size_t k = 0; k < i; k++)
        if (!strcmp(s->item[k].section, s->item[i].section)) return NULL;
    return s->item[i].section + n;
}

static int check_section(const char *section, const char *name, const char *kind, bool priced, nj_error *err)
{
    if (!*name) return nj_fail(err, "[%s]: it has no name", section);
    if (!priced) return nj_fail(err, "[%s]: it has no price, and would be in no table", section);
    if (strcmp(kind, "published") && strcmp(kind, "assumed") && strcmp(kind, "as given"))
        return nj_fail(err, "[%s] kind = %s: expected published or assumed", section, kind);
    return 0;
}

static int take_section(nj_prices *p, size_t i, nj_error *err)
{
    nj_settings *s = &p->settings;
    const char *section = s->item[i].section, *name;
    if ((name = new_name(s, i, "instance."))) {
        if (p->n_instances == NJ_PRICE_INSTANCES)
            return nj_fail(err, "more than %d instances", NJ_PRICE_INSTANCES);
        nj_instance_price *one = &p->instance[p->n_instances++];
        if (nj_settings_apply(s, section, of_instance, NULL, one, err)) return -1;
        one->name = name;
        if (!(one->vcpu > 0)) return nj_fail(err, "[%s]: vcpu is missing", section);
        return check_section(section, name, one->kind, one->on_demand + one->reserved + one->spot > 0, err);
    }
    if ((name = new_name(s, i, "owned."))) {
        if (p->n_owned == NJ_PRICE_OWNED) return nj_fail(err, "more than %d of [owned.NAME]", NJ_PRICE_OWNED);
        nj_owned_price *one = &p->owned[p->n_owned++];
        if (nj_settings_apply(s, section, of_owned, NULL, one, err)) return -1;
        one->name = name;
        if (!(one->vcpu > 0)) return nj_fail(err, "[%s]: vcpu is missing", section);
        const double power = (one->idle_watt + one->full_watt) * one->kwh;
        return check_section(section, name, one->kind, one->core_hour + one->price + power + one->admin > 0,
                             err);
    }
    if ((name = new_name(s, i, "workflow."))) {
        if (p->n_bills == NJ_PRICE_BILLS) return nj_fail(err, "more than %d workflows", NJ_PRICE_BILLS);
        nj_bill *one = &p->bill[p->n_bills++];
        if (nj_settings_apply(s, section, of_bill, NULL, one, err)) return -1;
        one->name = name;
        return one->job_h > 0 ? 0 : nj_fail(err, "[%s]: job_h is missing", section);
    }
    if (strcmp(section, "prices") && strcmp(section, "traffic") && strncmp(section, "instance.", 9) &&
        strncmp(section, "owned.", 6) && strncmp(section, "workflow.", 9))
        return nj_fail(err,
                       "%s: [%s] is no section of prices: prices, traffic, instance.NAME, owned.NAME, "
                       "workflow.NAME",
                       s->item[i].where, section);
    return 0;
}

int nj_prices_read(nj_prices *p, const char *name, const char *text, const char *path, nj_error *err)
{
    nj_prices head;
    if (text && nj_settings_ini(&p->settings, name, text, err)) return -1;
    if (path && nj_settings_file(&p->settings, path, err)) return -1;
    if (nj_settings_apply(&p->settings, "prices", of_prices, NULL, &head, err) ||
        nj_settings_apply(&p->settings, "traffic", of_traffic, NULL, &p->traffic, err))
        return -1;
    p->currency = head.currency;
    p->load = head.load;
    p->boot_s = head.boot_s;
    p->hours_of_night = head.hours_of_night;
    for (size_t i = 0; i < p->settings.n; i++)
        if (take_section(p, i, err)) return -1;
    return 0;
}

void nj_prices_free(nj_prices *p)
{
    nj_settings_free(&p->settings);
}

double nj_owned_core_hour(const nj_owned_price *o, double busy)
{
    if (o->core_hour > 0) return o->core_hour;
    double kw = (o->idle_watt + busy * (o->full_watt - o->idle_watt)) / 1000 * o->pue;
    return ((o->price / o->years + o->admin) / 8760 + kw * o->kwh) / o->vcpu;
}

double nj_bill_job_hour(const nj_bill *bill, uint32_t n)
{
    double paid = 0, hours = 0;
    for (uint32_t i = 0; i < n; i++) paid += bill[i].on_demand + bill[i].spot, hours += bill[i].job_h;
    return paid / hours;
}

double nj_bill_total(const nj_bill *b)
{
    return b->on_demand + b->spot + b->database + b->storage + b->other;
}
