#!/usr/bin/env python3
"""nightjar profile --energy: pairs of runs with and without a module, read from a made-up RAPL tree that
follows the load, from a meter, or refused. Its numbers: tests/unit/energy_ab.c, with a clock of its own."""

import os, subprocess, threading, time
from tap import NIGHTJAR, ROOT, Folder, done, nightjar, ok, report

SAMPLE = os.path.join(ROOT, "data", "sample.tar.gz")
MODULE = r'''
#include <time.h>
#include "nightjar/module.h"
static double room[1 << 21]; /* 16 MB: more than a core's caches */
static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self, (void)thread;
    double sum = 0;
    WORK
    for (uint32_t k = 0; k < w->n; k++) {
        ((double *)w->out[0])[w->row[k]] = sum;
        w->reason[w->row[k]] = NJ_DONE;
    }
    return NJ_OK;
}
NJ_MODULE(NAME) = { NJ_HEADER, .name = "NAME", .version = "1.0", .summary = "a load", .paper = "none: test",
    .needs = (const nj_need[]){ { "jd", NJ_F64, NJ_SCALAR, "d", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "v", NJ_F64, 1, -1, "1", -INFINITY, INFINITY, NAN, 0, "a number" }, { 0 } },
    .process = process };
'''
WORKS = {  # bound by the CPU, by memory, by waiting
    "spin": "for (volatile int i = 0; i < 200000; i++) sum += i;",
    "stream": "for (int i = 0; i < 1 << 21; i += 8) sum += room[i]++;",
    "wait": "nanosleep(&(struct timespec){ 0, 20000000 }, NULL);",
}
FAST = ("--no-hits", "--repeat", 1, "--run-seconds", 0.1, "--foreign", 100)


def module(name):
    with open(f"{name}.c", "w", encoding="utf-8") as f:
        f.write(MODULE.replace("NAME", name).replace("WORK", WORKS[name]))
    return f"{name}.c"


def put(name, text):
    """A reader sees the file before or after, never half of it."""
    folder = "sys/class/powercap/intel-rapl:0"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/.{name}", "w", encoding="utf-8") as f:
        f.write(text)
    os.replace(f"{folder}/.{name}", f"{folder}/{name}")


class Tree:
    """/sys with a package whose counter follows the CPU time of a process: REST watts, and CORE more."""

    REST, CORE = 0.5, 8.0

    def __init__(self):
        put("name", "package-0\n")
        put("max_energy_range_uj", "262143328850\n")
        put("energy_uj", "1000000\n")

    def follow(self, pid, stop):
        begin = time.monotonic()
        while not stop.is_set():
            try:
                with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
                    busy = int(f.read().split()[0]) / 1e9
            except (OSError, IndexError):
                break
            joule = self.REST * (time.monotonic() - begin) + self.CORE * busy
            put("energy_uj", f"{1000000 + int(joule * 1e6)}\n")
            time.sleep(0.001)


def on_tree(name, *more):
    stop = threading.Event()
    tree = Tree()
    args = [
        NIGHTJAR,
        "profile",
        module(name),
        SAMPLE,
        "--energy",
        "--json",
        f"{name}.json",
        *map(str, FAST),
        *more,
    ]
    p = subprocess.Popen(
        args,
        env=dict(os.environ, NIGHTJAR_SYSFS=os.path.abspath("sys")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    writer = threading.Thread(target=tree.follow, args=(p.pid, stop))
    writer.start()
    global ERR
    out, err = p.communicate()
    ERR = err
    stop.set()
    writer.join()
    ok(p.returncode == 0, f"{name}: measured by a tree that follows the load", out + err)
    return out, report(f"{name}.json")["energy_ab"]


def cpu_state():
    """What the tree says of its processor."""
    for path, text in (
        ("cpu0/cpufreq/scaling_governor", "powersave"),
        ("smt/active", "1"),
        ("cpufreq/boost", "0"),
    ):
        os.makedirs(os.path.dirname(f"sys/devices/system/cpu/{path}"), exist_ok=True)
        with open(f"sys/devices/system/cpu/{path}", "w", encoding="utf-8") as f:
            f.write(text + "\n")


def loads():
    cpu_state()
    for name in WORKS:
        out, e = on_tree(name, "--html", f"{name}.html")
        ok(e["tier"] == "rapl", f"{name}: by RAPL", e["tier"])
        ok(len(e["pairs"]) >= 9, f"{name}: nine pairs and more", len(e["pairs"]))
        ok(len(e["parts"]) == 7, f"{name}: seven parts", e["parts"])
        ok("Where it goes" in out, f"{name}: the parts are in the table", out)
        state = [e[k] for k in ("governor", "smt", "turbo")]
        ok(state == ["powersave", "on", "off"], f"{name}: with the state of the processor", state)
        first = sum(p["on_first"] for p in e["pairs"])
        ok(0 < first < len(e["pairs"]), f"{name}: each comes first now and then", first)
    with open("spin.html", encoding="utf-8") as page:
        ok("g CO2 equivalent per million alerts" in page.read(), "the page has the parts with their whiskers")


def metered():
    """A meter that is read when it is asked, so that nothing lags: 8 J for each second of CPU time."""
    meter = "awk '{ print $1 / 1e9 * 8 }' /proc/$PPID/schedstat"
    r = nightjar(
        "profile",
        module("spin"),
        SAMPLE,
        "--energy",
        *FAST,
        "-D",
        f"energy.meter_command={meter}",
        "-D",
        "energy.meter_unit=joule",
        "-D",
        "energy.meter_s=60",
        "--json",
        "meter.json",
    )
    e = report("meter.json")["energy_ab"]
    ok(e["tier"] == "meter", "by the user's meter", r.stdout + r.stderr)
    ok(e["verdict"] == "above", "a spinning module is seen above the machine at rest", e)
    parts = {p["name"]: p for p in e["parts"]}
    ok(
        parts["RAM"]["in"] == "in the machine at rest",
        "a meter of the whole machine has the memory",
        parts["RAM"],
    )


def refused():
    for source in ("constant", "unknown"):
        r = nightjar(
            "profile", "roid", SAMPLE, "--energy", *FAST, "-D", f"energy.source={source}", "--json", "no.json"
        )
        ok(r.returncode == 0, f"{source}: not a failure", r.stderr)
        ok(
            "A-B: not observable with this source" in r.stdout,
            f"{source}: refused for a difference",
            r.stdout,
        )
        ok("31.27 - 31.27 = -0.00" in r.stdout, f"{source}: says what Fink's figure was", r.stdout)
        ok(report("no.json")["energy_ab"]["verdict"] == "refused", f"{source}: refused in the JSON, too")


def modelled():
    r = nightjar(
        "profile",
        module("spin"),
        SAMPLE,
        "--energy",
        *FAST,
        "-D",
        "energy.source=tdp",
        "-D",
        "energy.cpu_model=AMD EPYC 7702",
        "--json",
        "tdp.json",
        "--survey",
        "lsst",
    )
    ok("A model of the CPU's load" in r.stdout, "a model says that it is one", r.stdout + r.stderr)
    parts = {p["name"]: p for p in report("tdp.json")["energy_ab"]["parts"]}
    ok(parts["RAM"]["joule_per_alert"]["kind"] == "modelled", "memory is modelled", parts["RAM"])
    ok(
        parts["disk and network"]["in"] == "not metered",
        "what is not metered is said",
        parts["disk and network"],
    )


NVML = r"""
static unsigned long long counter;
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { return *n = 2, 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { return *d = (void *)(long)(i + 1), 0; }
int nvmlDeviceGetName(void *d, char *t, unsigned n) { (void)d, (void)n; t[0] = 'T', t[1] = 0; return 0; }
int nvmlDeviceGetTotalEnergyConsumption(void *d, unsigned long long *mj)
{
    return d == (void *)2 ? 3 : (*mj = counter += 5000, 0); /* the second one is too old */
}
"""


def partial():
    """A zone that cannot be read is named once for each measurement, of samples and of pairs."""
    os.makedirs("sys/class/powercap/intel-rapl:1/energy_uj", exist_ok=True)  # refuses even root
    with open("sys/class/powercap/intel-rapl:1/name", "w", encoding="utf-8") as f:
        f.write("package-1\n")
    out, e = on_tree("spin")
    ok(e["kind"] == "partial", "a package that cannot be read makes it partial", e["kind"])
    ok(ERR.count("a part only") == 2, "that is said once for each measurement", ERR)


def gpus():
    """A library in the place of the vendor's, whose counter takes 5 J from one reading to the next."""
    with open("nvml.c", "w", encoding="utf-8") as f:
        f.write(NVML)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "nvml.so", "nvml.c"], check=True)
    env = {"NIGHTJAR_NVML": os.path.abspath("nvml.so")}
    r = nightjar("run", SAMPLE, "-q", "-j", 1, "--report", "gpu.json", env=env)
    joule = report("gpu.json")["energy"]["machine"]["gpu_joule"]
    ok(joule == 5, "joules of GPUs are in the report", r.stderr)
    ok("GPU by NVML: 1, the first is T" in nightjar("doctor", env=env).stdout, "doctor names them")
    nightjar("run", SAMPLE, "-q", "-j", 1, "--report", "off.json", "-D", "energy.gpus=0", env=env)
    ok(report("off.json")["energy"]["machine"]["gpu_joule"] is None, "energy.gpus = 0: not counted")
    env = {"NIGHTJAR_NVML": "/nowhere.so"}
    nightjar("run", SAMPLE, "-q", "-j", 1, "--report", "none.json", env=env)
    joule = report("none.json")["energy"]["machine"]["gpu_joule"]
    ok(joule is None, "without a library: null, and no failure")


def shared_machine():
    """A meter reads the whole machine; the run has its part, as what it started has, too."""
    meter = ["-D", "energy.meter_command=echo 100", "-D", "energy.meter_s=0.1"]
    share = ["-D", "energy.share=process"]
    r = nightjar("run", SAMPLE, "-j", 1, "--report", "meter.json", *meter, *share, env={"COLUMNS": "300"})
    e = report("meter.json")["energy"]
    own, machine = e["attributed"], e["machine"]
    ok(own["by"] == "process" and own["cpu_s"] > 0, "the run's CPU time is there", own)
    ok(0 < own["share"] <= 1, "its share of the machine's is one", own)
    want = machine["active_joule"] * own["share"]
    ok(abs(own["joule"]["value"] - want) <= 1e-6 * want, "its joules are by that share", (own, machine))
    ok(own["joule"]["low"] < own["joule"]["value"] < own["joule"]["high"], "with their band", own)
    ok("% of the machine's CPU time, by process" in r.stderr + r.stdout, "the table has it", r.stderr)
    r = nightjar("run", SAMPLE, "-D", "energy.share=half")
    ok(
        r.returncode == 1 and "expected auto, cgroup or process" in r.stderr,
        "another word is refused",
        r.stderr,
    )


def wrong():
    r = nightjar("profile", "roid", SAMPLE, "--energy", *FAST, "--survey", "rubin")
    ok(r.returncode == 1 and "expected ztf, lsst or" in r.stderr, "a wrong survey is refused", r.stderr)


with Folder():
    loads()
    metered()
    refused()
    modelled()
    partial()
    gpus()
    shared_machine()
    wrong()
done()
