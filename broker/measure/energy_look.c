/* energy_look.c - a machine may have a meter that nothing reads; this looks at each source and says how to
 * open it. */
#include "energy_look.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cpu.h"
#include "energy.h"
#include "energy_counter.h"
#include "energy_gpu.h"
#include "energy_share.h"

__attribute__((format(printf, 4, 5))) static void say(nj_energy_look *l, const char *source, bool works,
                                                      const char *what, ...)
{
    va_list ap;
    va_start(ap, what);
    l->source = source;
    l->works = works;
    vsnprintf(l->what, sizeof l->what, what, ap);
    va_end(ap);
}

static void look_at_meter(nj_energy_look *l, nj_settings *s)
{
    const char *command = nj_settings_get(s, "energy", "meter_command"),
               *file = nj_settings_get(s, "energy", "meter_file");
    if ((!command || !*command) && (!file || !*file)) {
        say(l, "meter", false, "none is set");
        snprintf(l->cure, sizeof l->cure,
                 "[energy] meter_command or meter_file: a PDU, or a BMC by ipmitool or by curl (ENERGY.md)");
        return;
    }
    double now = nj_energy_meter_read(command, file);
    say(l, "meter", !isnan(now), isnan(now) ? "%s gives no number" : "%s reads %g",
        command && *command ? command : file, now);
}

static void look_at_rapl(nj_energy_look *perf, nj_energy_look *powercap)
{
    nj_energy_counter c;
    bool by_perf = nj_energy_counter_open_perf(&c) == 0;
    say(perf, "RAPL by perf", by_perf, "%s", by_perf ? c.what : "this machine shows no `power` counters");
    if (c.hint[0]) {
        say(perf, "RAPL by perf", by_perf, "there, and not readable");
        snprintf(perf->cure, sizeof perf->cure, "%s", c.hint);
    }
    nj_energy_counter_close(&c);
    bool by_zone = nj_energy_counter_open_powercap(&c) == 0;
    say(powercap, "RAPL by powercap", by_zone, "%s%s%s",
        by_zone     ? c.what
        : c.hint[0] ? "there, and not readable"
                    : "no zones (an ordinary guest of a cloud has none)",
        c.n_missing ? "; not read: " : "", c.n_missing ? c.missing : "");
    snprintf(powercap->cure, sizeof powercap->cure, "%s", c.hint);
    nj_energy_counter_close(&c);
}

static void look_at_gpu(nj_energy_look *l)
{
    nj_energy_gpu g;
    bool here = nj_energy_gpu_open(&g) == 0;
    if (here)
        say(l, "GPU by NVML", true, "%u, the first is %s: counted beside the CPU", g.n, g.name);
    else
        say(l, "GPU by NVML", false, "%s", g.why);
    nj_energy_gpu_close(&g);
}

static void look_at_bmc(nj_energy_look *l)
{
    static const char *const device[] = { "/dev/ipmi0", "/dev/ipmi/0", "/dev/ipmidev/0" };
    for (int i = 0; i < 3; i++) {
        if (access(device[i], F_OK)) continue;
        bool open = access(device[i], R_OK | W_OK) == 0;
        say(l, "BMC by IPMI", open, open ? "%s" : "%s is there, and not for this user", device[i]);
        snprintf(l->cure, sizeof l->cure,
                 open ? "[energy] meter_command = ipmitool dcmi power reading"
                      : "run as root, or give the group of the device this user");
        return;
    }
    say(l, "BMC by IPMI", false, "no /dev/ipmi0 (`modprobe ipmi_devintf ipmi_si` on a server)");
}

static void look_at_models(nj_energy_look *spec, nj_energy_look *tdp, nj_settings *s)
{
    char cpu[256];
    int sockets;
    nj_cpu_model(cpu, sizeof cpu, &sockets);
    const char *set = nj_settings_get(s, "energy", "cpu_model"),
               *file = nj_settings_get(s, "energy", "tdp_file"), *name = set && *set ? set : cpu,
               *table = nj_settings_get(s, "energy", "spec_file");
    double idle, full, watt = nj_energy_tdp(file && *file ? file : NULL, name);
    bool known = nj_energy_spec(table && *table ? table : NULL, name, &idle, &full) != NULL;
    if (known)
        say(spec, "SPECpower", true, "%s: %.3g to %.3g W a vCPU, by load", name, idle, full);
    else
        say(spec, "SPECpower", false, "%s is not in the table", name);
    if (isnan(watt))
        say(tdp, "TDP", false, "%s is not in the table", name);
    else
        say(tdp, "TDP", true, "%s: %g W, by load", name, watt);
    if (!known)
        snprintf(spec->cure, sizeof spec->cure,
                 "[energy] cpu_model names the CPU; spec_file has a table of its own");
    if (isnan(watt))
        snprintf(tdp->cure, sizeof tdp->cure,
                 "[energy] cpu_model names the CPU; tdp_file has a table of its own");
}

/* Whatever reads the machine: how the run's part of it is told from the rest. */
static void look_at_share(nj_energy_look *l, nj_settings *s)
{
    const char *set = nj_settings_get(s, "energy", "share");
    nj_energy_share share;
    nj_error err = { "" };
    if (nj_energy_share_open(&share, set && *set ? set : "auto", &err)) {
        say(l, "share of the machine", false, "%s", err.text);
        return;
    }
    if (share.by_cgroup) {
        say(l, "share of the machine", true, "by the CPU time of cgroup %s", share.cgroup);
        return;
    }
    bool works = !isnan(nj_energy_share_cpu_s(&share));
    say(l, "share of the machine", works, "%s; %s",
        works ? "by the CPU time of this process and those that it starts" : "no CPU time can be read",
        share.why);
    if (!set || !*set)
        snprintf(l->cure, sizeof l->cure,
                 "a service of systemd, `systemd-run --scope` or a container gives it a cgroup of its own");
}

void nj_energy_look_at(nj_energy_look look[NJ_ENERGY_LOOKS], nj_settings *s)
{
    nj_settings none = { 0 };
    memset(look, 0, NJ_ENERGY_LOOKS * sizeof *look);
    if (!s) s = &none;
    look_at_meter(&look[0], s);
    look_at_rapl(&look[1], &look[2]);
    look_at_gpu(&look[3]);
    look_at_bmc(&look[4]);
    look_at_models(&look[5], &look[6], s);
    look_at_share(&look[7], s);
}
