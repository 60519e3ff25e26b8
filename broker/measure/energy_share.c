/* energy_share.c - on a machine that others use, too, a metered total is shared out by CPU time; this counts
 * the run's. */
#include "energy_share.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *root_of(const char *name, const char *usual)
{
    const char *root = getenv(name);
    return root && *root ? root : usual;
}

static FILE *open_proc(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root_of("NIGHTJAR_PROC", "/proc"), name);
    return fopen(path, "re");
}

nj_machine_ticks nj_machine_ticks_now(void)
{
    unsigned long long v[8] = { 0 };
    FILE *f = open_proc("stat");
    int n = f ? fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", v, v + 1, v + 2, v + 3, v + 4, v + 5,
                       v + 6, v + 7)
              : 0;
    if (f) fclose(f);
    nj_machine_ticks t = { 0, 0 };
    for (int i = 0; i < n; i++) t.all += (double)v[i];
    t.busy = t.all - (double)v[3] - (double)v[4]; /* idle, waiting for a disk */
    return t;
}

/* ---- processes ------------------------------------------------------------------------------- */

typedef struct process {
    long pid, parent;
    double ticks; /* its own, and of its children that were waited for */
    bool ours;
    char name[32];
} process;

typedef struct processes {
    process *item; /* [n] */
    size_t n, cap;
} processes; /* zero-initialised */

/* Of NAME/stat. A name may hold blanks and brackets: what follows begins behind the last one. */
static bool read_process(const char *name, process *p)
{
    char path[280], text[1024];
    snprintf(path, sizeof path, "%.255s/stat", name);
    FILE *f = open_proc(path);
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f) fclose(f);
    text[n] = 0;
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    unsigned long long user, system;
    long long child_user, child_system;
    if (!open || !close || close < open ||
        sscanf(close + 1,
               " %*c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld", /* fields 4, 14 to 17 */
               &p->parent, &user, &system, &child_user, &child_system) != 5)
        return false;
    p->pid = strtol(text, NULL, 10);
    p->ticks = (double)user + (double)system + (double)child_user + (double)child_system;
    p->ours = false;
    snprintf(p->name, sizeof p->name, "%.*s", (int)(close - open - 1), open + 1);
    return true;
}

static bool add_process(processes *all, const process *p)
{
    if (all->n == all->cap) {
        size_t cap = all->cap ? 2 * all->cap : 256;
        process *grown = realloc(all->item, cap * sizeof *grown);
        if (!grown) return false;
        all->item = grown;
        all->cap = cap;
    }
    all->item[all->n++] = *p;
    return true;
}

static bool is_ours(const processes *all, long pid)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->item[i].pid == pid) return all->item[i].ours;
    return false;
}

/* All processes; ours are this one and those that it started. false: /proc says nothing. */
static bool read_processes(processes *all)
{
    process self, p;
    DIR *dir = opendir(root_of("NIGHTJAR_PROC", "/proc"));
    bool good = dir && read_process("self", &self);
    for (struct dirent *e; good && (e = readdir(dir)) != NULL;)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && read_process(e->d_name, &p)) {
            p.ours = p.pid == self.pid;
            good = add_process(all, &p);
        }
    if (dir) closedir(dir);
    for (bool more = good; more;) {
        more = false;
        for (size_t i = 0; i < all->n; i++) {
            process *q = &all->item[i];
            if (q->ours || !is_ours(all, q->parent)) continue;
            q->ours = more = true;
        }
    }
    return good;
}

static double by_processes(void)
{
    processes all = { 0 };
    double ticks = 0;
    bool good = read_processes(&all);
    for (size_t i = 0; i < all.n; i++)
        if (all.item[i].ours) ticks += all.item[i].ticks;
    free(all.item);
    return good && ticks >= 0 ? ticks / (double)sysconf(_SC_CLK_TCK) : NAN;
}

/* ---- the cgroup ------------------------------------------------------------------------------ */

/* The value of "KEY VALUE" in a file of such lines; NAN: it has none. */
static double value_of(const char *path, const char *key)
{
    char word[64];
    double found = NAN;
    unsigned long long value;
    FILE *f = fopen(path, "re");
    while (f && isnan(found) && fscanf(f, "%63s %llu", word, &value) == 2)
        if (!strcmp(word, key)) found = (double)value;
    if (f) fclose(f);
    return found;
}

static bool exists(const char *folder, const char *name)
{
    char path[720];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

/* Where version 2 is mounted: alone, or beside version 1. */
static bool find_mount(char mount[256])
{
    const char *sys = root_of("NIGHTJAR_SYSFS", "/sys");
    snprintf(mount, 256, "%.200s/fs/cgroup", sys);
    if (exists(mount, "cgroup.controllers")) return true;
    snprintf(mount, 256, "%.200s/fs/cgroup/unified", sys);
    return exists(mount, "cgroup.controllers");
}

/* The line "0::/PATH" of self/cgroup. */
static bool find_path(char path[256])
{
    char line[512];
    bool found = false;
    FILE *f = open_proc("self/cgroup");
    while (f && !found && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        found = !strncmp(line, "0::/", 4) && strlen(line + 3) < 256;
        if (found) memcpy(path, line + 3, strlen(line + 3) + 1);
    }
    if (f) fclose(f);
    return found;
}

/* Finds the cgroup of this process and what it would say. false with why. */
static bool find_cgroup(nj_energy_share *s, char folder[560])
{
    char mount[256];
    if (!find_mount(mount))
        return snprintf(s->why, sizeof s->why, "no cgroups of version 2 on this machine"), false;
    if (!find_path(s->cgroup) || !strncmp(s->cgroup, "/..", 3))
        return snprintf(s->why, sizeof s->why, "the cgroup of this process is not in sight"), false;
    snprintf(folder, 560, "%s%s", mount, strcmp(s->cgroup, "/") ? s->cgroup : "");
    if (!exists(folder, "cgroup.events")) /* only the root of the machine has none */
        return snprintf(s->why, sizeof s->why,
                        "this process is in the root, the cgroup of the whole machine"),
               false;
    snprintf(s->stat, sizeof s->stat, "%s/cpu.stat", folder);
    if (isnan(value_of(s->stat, "usage_usec")))
        return snprintf(s->why, sizeof s->why, "cpu.stat of cgroup %.160s has no usage_usec", s->cgroup),
               false;
    return true;
}

/* Is no one else in it? false with why. */
static bool is_own(nj_energy_share *s, const char *folder)
{
    char path[640];
    processes all = { 0 };
    bool own = read_processes(&all);
    long pid;
    if (!own) snprintf(s->why, sizeof s->why, "the processes of this machine are not in sight");
    snprintf(path, sizeof path, "%s/cgroup.stat", folder);
    if (own && value_of(path, "nr_descendants") > 0) {
        snprintf(s->why, sizeof s->why, "cgroup %.160s has others below it", s->cgroup);
        own = false;
    }
    snprintf(path, sizeof path, "%s/cgroup.procs", folder);
    FILE *f = own ? fopen(path, "re") : NULL;
    while (f && own && fscanf(f, "%ld", &pid) == 1) {
        if (is_ours(&all, pid)) continue;
        const char *name = "of another namespace"; /* they stand there as 0 */
        for (size_t i = 0; i < all.n; i++)
            if (all.item[i].pid == pid) name = all.item[i].name;
        snprintf(s->why, sizeof s->why, "cgroup %.160s has another process, %ld (%s)", s->cgroup, pid, name);
        own = false;
    }
    if (f) fclose(f);
    free(all.item);
    return own;
}

int nj_energy_share_open(nj_energy_share *s, const char *want, nj_error *err)
{
    char folder[560];
    bool any = !strcmp(want, "auto"), cgroup = !strcmp(want, "cgroup");
    *s = (nj_energy_share){ .by_cgroup = false };
    if (!any && !cgroup && strcmp(want, "process"))
        return nj_fail(err, "[energy] share = %s: expected auto, cgroup or process", want);
    if (any || cgroup)
        s->by_cgroup = find_cgroup(s, folder) && (cgroup || is_own(s, folder));
    else
        snprintf(s->why, sizeof s->why, "[energy] share = process");
    if (cgroup && !s->by_cgroup) return nj_fail(err, "[energy] share = cgroup: %s", s->why);
    return 0;
}

double nj_energy_share_cpu_s(const nj_energy_share *s)
{
    return s->by_cgroup ? value_of(s->stat, "usage_usec") / 1e6 : by_processes();
}
