/* energy_counter.c - the hardware's energy counters wrap around and differ by machine; they are read and
 * summed here. */
#include "energy_counter.h"

#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *sysfs(void)
{
    const char *root = getenv("NIGHTJAR_SYSFS");
    return root && *root ? root : "/sys";
}

/* First line of a small file, without its newline. 0, or errno. */
static int read_line(const char *path, char *text, size_t size)
{
    FILE *f = fopen(path, "r");
    if (!f) return errno;
    errno = 0;
    int rc = fgets(text, (int)size, f) ? 0 : errno ? errno : ENODATA;
    fclose(f);
    if (rc == 0) text[strcspn(text, "\n")] = 0;
    return rc;
}

static int read_count(const char *path, uint64_t *value)
{
    char text[64], *end;
    int rc = read_line(path, text, sizeof text);
    if (rc) return rc;
    *value = strtoull(text, &end, 10);
    return end != text ? 0 : EINVAL;
}

uint64_t nj_energy_wrapped(uint64_t before, uint64_t after, uint64_t range)
{
    return after >= before ? after - before : after + (range - before);
}

static void add_missing(nj_energy_counter *c, const char *name, const char *why)
{
    char one[160];
    const size_t n = strlen(c->missing);
    c->n_missing++;
    size_t m = (size_t)snprintf(one, sizeof one, "%s%.60s (%.80s)", n ? ", " : "", name, why);
    if (n + m < sizeof c->missing) memcpy(c->missing + n, one, m + 1);
}

/* ---- perf: one CPU of each package, the kernel handles the wrap ------------------------------ */

static int open_event(nj_energy_counter *c, const char *folder, const char *event, uint32_t type, int cpu)
{
    char path[600], text[64], name[48];
    unsigned long long config;
    nj_energy_domain *d = &c->domain[c->n];
    snprintf(path, sizeof path, "%s/events/%s", folder, event);
    if (read_line(path, text, sizeof text) || sscanf(text, "event=%llx", &config) != 1) return -1;
    snprintf(path, sizeof path, "%s/events/%s.scale", folder, event);
    snprintf(name, sizeof name, "%s@cpu%d", event, cpu);
    if (c->n == NJ_ENERGY_DOMAINS) return add_missing(c, name, "more counters than are read"), -1;
    *d = (nj_energy_domain){ .fd = -1,
                             .joule_per_count =
                                 read_line(path, text, sizeof text) ? 0x1p-32 : strtod(text, NULL) };
    struct perf_event_attr attr = { .type = type, .size = sizeof attr, .config = config };
    d->fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, 0);
    if (d->fd < 0) {
        add_missing(c, name, strerror(errno));
        snprintf(c->hint, sizeof c->hint,
                 "RAPL counters are there, but perf events are refused (%s): sysctl "
                 "kernel.perf_event_paranoid=0, or CAP_PERFMON, opens them",
                 strerror(errno));
        return -1;
    }
    snprintf(d->name, sizeof d->name, "%.31s", name);
    c->n++;
    return 0;
}

/* pkg, and ram, which Intel's package plane does not contain;
 * cores and gpu are inside pkg, psys contains it. */
static int open_perf(nj_energy_counter *c)
{
    char folder[512], path[600], text[256] = "";
    snprintf(folder, sizeof folder, "%s/bus/event_source/devices/power", sysfs());
    snprintf(path, sizeof path, "%s/type", folder);
    if (read_line(path, text, sizeof text)) return -1;
    uint32_t type = (uint32_t)strtoul(text, NULL, 10);
    snprintf(path, sizeof path, "%s/cpumask", folder);
    if (read_line(path, text, sizeof text)) return -1;
    int ram = 0;
    for (char *at = text, *end = text; *at; at = *end ? end + 1 : end) {
        long cpu = strtol(at, &end, 10);
        if (end == at) break;
        open_event(c, folder, "energy-pkg", type, (int)cpu);
        ram |= !open_event(c, folder, "energy-ram", type, (int)cpu);
    }
    if (c->n)
        snprintf(c->what, sizeof c->what, "RAPL by perf events: CPU packages%s", ram ? " and DRAM" : "");
    return c->n ? 0 : -1;
}

/* ---- powercap -------------------------------------------------------------------------------- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* "intel-rapl:0" and its children "intel-rapl:0:1", not the twins "intel-rapl-mmio:0". */
static int is_zone(const struct dirent *e)
{
    return !strncmp(e->d_name, "intel-rapl:", 11);
}

/* Packages, and memory, which no package contains although its zone may stand below one; cores and gpu are
 * inside a package, psys contains it. */
static bool is_counted(const char *zone, const char *name)
{
    return !strcmp(name, "dram") || (!strchr(zone + 11, ':') && !strncmp(name, "package", 7));
}

static void open_zone(nj_energy_counter *c, const char *folder, const char *zone)
{
    char path[900], name[32], parent[32] = "";
    nj_energy_domain *d = &c->domain[c->n];
    snprintf(path, sizeof path, "%s/%s/name", folder, zone);
    int rc = read_line(path, name, sizeof name);
    if (rc) return add_missing(c, zone, strerror(rc));
    if (!is_counted(zone, name)) return;
    const char *colon = strchr(zone + 11, ':');
    snprintf(path, sizeof path, "%s/%.*s/name", folder, colon ? (int)(colon - zone) : 0, zone);
    if (colon && read_line(path, parent, sizeof parent)) parent[0] = 0;
    char whole[72];
    snprintf(whole, sizeof whole, "%s%s%s", parent, *parent ? " " : "", name);
    if (c->n == NJ_ENERGY_DOMAINS) return add_missing(c, whole, "more counters than are read");
    *d = (nj_energy_domain){ .fd = -1, .joule_per_count = 1e-6 };
    snprintf(d->name, sizeof d->name, "%.31s", whole);
    snprintf(path, sizeof path, "%s/%s/max_energy_range_uj", folder, zone);
    if (read_count(path, &d->range)) d->range = 0; /* a wrap cannot be undone */
    if (snprintf(d->path, sizeof d->path, "%s/%s/energy_uj", folder, zone) >= (int)sizeof d->path) return;
    rc = read_count(d->path, &d->last);
    if (rc) add_missing(c, whole, strerror(rc));
    if (rc)
        snprintf(c->hint, sizeof c->hint,
                 "RAPL counters are there, but cannot be read (%s): `chmod a+r %.160s` as root, or a "
                 "sysfs.conf or udev rule that does so at boot",
                 strerror(rc), d->path);
    else
        c->n++;
}

static int open_powercap(nj_energy_counter *c)
{
    char folder[400];
    struct dirent **entry;
    snprintf(folder, sizeof folder, "%s/class/powercap", sysfs());
    int n = scandir(folder, &entry, is_zone, by_name);
    for (int i = 0; i < n; i++) {
        open_zone(c, folder, entry[i]->d_name);
        free(entry[i]);
    }
    if (n >= 0) free(entry);
    size_t at = (size_t)snprintf(c->what, sizeof c->what, "RAPL by powercap:");
    for (uint32_t i = 0; i < c->n && at < sizeof c->what; i++)
        at += (size_t)snprintf(c->what + at, sizeof c->what - at, "%s %s", i ? "," : "", c->domain[i].name);
    return c->n ? 0 : -1;
}

int nj_energy_counter_open_perf(nj_energy_counter *c)
{
    memset(c, 0, sizeof *c);
    return open_perf(c);
}

int nj_energy_counter_open_powercap(nj_energy_counter *c)
{
    memset(c, 0, sizeof *c);
    return open_powercap(c);
}

int nj_energy_counter_open(nj_energy_counter *c)
{
    memset(c, 0, sizeof *c);
    if (open_perf(c) == 0) return 0;
    nj_energy_counter perf = *c;
    c->n_missing = 0;
    c->missing[0] = c->hint[0] = 0;
    if (open_powercap(c) == 0) return 0;
    if (!c->hint[0]) memcpy(c->hint, perf.hint, sizeof c->hint);
    return -1;
}

void nj_energy_counter_close(nj_energy_counter *c)
{
    for (uint32_t i = 0; i < c->n; i++)
        if (c->domain[i].fd >= 0) close(c->domain[i].fd);
    c->n = 0;
}

static int read_domain(const nj_energy_domain *d, uint64_t *value)
{
    if (d->fd < 0) return read_count(d->path, value);
    return read(d->fd, value, sizeof *value) == (ssize_t)sizeof *value ? 0 : EIO;
}

/* What it has counted so far is no sum over the run. */
static void lose(nj_energy_counter *c, nj_energy_domain *d, const char *why)
{
    if (!isnan(d->joule)) add_missing(c, d->name, why);
    d->joule = NAN;
}

void nj_energy_counter_begin(nj_energy_counter *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        c->domain[i].joule = 0;
        int rc = read_domain(&c->domain[i], &c->domain[i].last);
        if (rc) lose(c, &c->domain[i], strerror(rc));
    }
}

int nj_energy_counter_poll(nj_energy_counter *c)
{
    int rc = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        nj_energy_domain *d = &c->domain[i];
        uint64_t now = d->last;
        int status = read_domain(d, &now);
        const char *why = status                                    ? strerror(status)
                          : d->fd < 0 && now < d->last && !d->range ? "went back to 0, and where is not known"
                                                                    : NULL;
        if (why) {
            lose(c, d, why);
            rc = -1;
            continue;
        }
        uint64_t used = d->fd >= 0 ? now - d->last : nj_energy_wrapped(d->last, now, d->range);
        d->joule += (double)used * d->joule_per_count;
        d->last = now;
    }
    return rc;
}

double nj_energy_counter_joule(const nj_energy_counter *c)
{
    double sum = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n; i++)
        if (!isnan(c->domain[i].joule)) sum += c->domain[i].joule, n++;
    return n ? sum : NAN;
}
