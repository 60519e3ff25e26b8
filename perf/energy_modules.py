#!/usr/bin/env python3
"""CPU-bound, memory-bound and waiting modules through `profile --energy`: by the model of a CPU's load, and
by a made-up RAPL tree whose counter follows the CPU time of the run (5 W at rest, 8 W for a core), so that
what is found can be compared with what is known. perf/energy_modules.py [PAIRS] [SECONDS]; writes
perf/results/energy_modules.json."""

import json, os, subprocess, sys, tempfile, threading, time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
NIGHTJAR = os.environ.get("NIGHTJAR", os.path.join(ROOT, "nightjar"))
PAIRS = sys.argv[1] if len(sys.argv) > 1 else "9"
SECONDS = sys.argv[2] if len(sys.argv) > 2 else "1"
REST, CORE = 5.0, 8.0
MODULE = r"""
#include <time.h>
#include "nightjar/module.h"
static double room[1 << 22]; /* 32 MB */
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
"""
WORKS = {
    "cpu": "for (volatile int i = 0; i < 500000; i++) sum += i;",
    "memory": "for (int i = 0; i < 1 << 22; i += 8) sum += room[i]++;",
    "wait": "nanosleep(&(struct timespec){ 0, 20000000 }, NULL);",
}


def put(name, text):
    folder = "sys/class/powercap/intel-rapl:0"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/.{name}", "w") as f:
        f.write(text)
    os.replace(f"{folder}/.{name}", f"{folder}/{name}")


def follow(pid, stop):
    begin = time.monotonic()
    while not stop.is_set():
        try:
            busy = int(open(f"/proc/{pid}/schedstat").read().split()[0]) / 1e9
        except (OSError, IndexError):
            return
        put("energy_uj", f"{1000000 + int((REST * (time.monotonic() - begin) + CORE * busy) * 1e6)}\n")
        time.sleep(0.001)


def measure(name, *settings, tree):
    env = dict(os.environ, NIGHTJAR_SYSFS=os.path.abspath("sys" if tree else "none"))
    args = [
        NIGHTJAR,
        "profile",
        f"{name}.c",
        os.path.join(ROOT, "data", "sample.tar.gz"),
        "--energy",
        "--no-hits",
    ]
    args += ["--repeat", "1", "--pairs", PAIRS, "--run-seconds", SECONDS, "--foreign", "100", *settings]
    p = subprocess.Popen([*args, "--json", "out.json"], env=env, stdout=subprocess.DEVNULL)
    stop = threading.Event()
    writer = threading.Thread(target=follow, args=(p.pid, stop))
    if tree:
        writer.start()
    rc = p.wait()
    stop.set()
    if tree:
        writer.join()
    assert rc == 0
    e = json.load(open("out.json"))["energy_ab"]
    share = [p["on"]["cpu_s"] / p["on"]["seconds"] for p in e["pairs"]]
    known = CORE * sorted(share)[len(share) // 2]
    return {
        "words": e["words"],
        "watt": [round(e[k], 4) for k in ("watt", "low", "high")],
        "known_watt": round(known, 4) if tree else None,
        "joule_per_alert": {p["name"]: p["joule_per_alert"]["value"] for p in e["parts"] if not p["in"]},
    }


with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
    os.chdir(folder)
    put("name", "package-0\n")
    put("max_energy_range_uj", "262143328850\n")
    put("energy_uj", "1000000\n")
    result = {"pairs": int(PAIRS), "seconds": float(SECONDS), "cpus": os.cpu_count()}
    result["load"] = os.getloadavg()[0]
    for name, work in WORKS.items():
        with open(f"{name}.c", "w") as f:
            f.write(MODULE.replace("NAME", name).replace("WORK", work))
        result[name] = {
            "tree": measure(name, tree=True),
            "model": measure(
                name, "-D", "energy.source=tdp", "-D", "energy.cpu_model=AMD EPYC 7702", tree=False
            ),
        }
        print(name, json.dumps(result[name], indent=1), flush=True)
with open(os.path.join(ROOT, "perf", "results", "energy_modules.json"), "w") as f:
    json.dump(result, f, indent=1)
    f.write("\n")
