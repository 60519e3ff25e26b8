#!/usr/bin/env python3
"""What a supervisor costs, and what a crash costs: perf/contain.py [ROUNDS] > perf/results/contain.json

Instructions by callgrind: the worker of a supervised run against the same binary with --no-supervise. Rates
in pairs, in turn: a module that crashes on one alert in 100 against the same module without that, quarantine
off. Recovery: from kill -9 of the worker to the next row in the file, and what a worker needs until it
polls."""

import json, os, platform, random, re, signal, statistics, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NIGHTJAR = os.environ.get("NIGHTJAR", os.path.join(ROOT, "nightjar"))
SOURCE = """#include "nightjar/module.h"
static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self, (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k];
        ((double *)w->out[0])[row] = 1, w->reason[row] = NJ_DONE;
        if ((int)(((uint64_t)w->id[row] * 0x9e3779b97f4a7c15u >> 40) % 100) == WHICH) *(volatile int *)8 = 1;
    }
    return NJ_OK;
}
NJ_MODULE(crashes) = { NJ_HEADER, .name = "crashes", .version = "1.0", .summary = "one in 100",
    .paper = "none",
    .needs = (const nj_need[]){ { "mag", NJ_F64, NJ_SCALAR, "mag", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "x", NJ_F64, 1, 0, "1", -INFINITY, INFINITY, NAN, 0, "One." }, { 0 } },
    .process = process };
"""


def module(folder, which):
    os.makedirs(folder)
    with open(f"{folder}/crashes.c", "w", encoding="utf-8") as f:
        f.write(SOURCE.replace("WHICH", str(which)))
    flags = f"-std=c11 -O2 -fPIC -DNJ_SHARED -shared -I{ROOT}/include".split()
    subprocess.run(["cc", *flags, f"{folder}/crashes.c", "-o", f"{folder}/crashes.so"], check=True)


def run(*args):
    start = time.monotonic()
    subprocess.run([NIGHTJAR, "run", *args], check=True, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


def instructions(*args):
    """Of each process of the run, the largest first."""
    with tempfile.TemporaryDirectory() as d:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={d}/%p", NIGHTJAR, "run", *args]
        env = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = []
        for name in os.listdir(d):
            text = open(f"{d}/{name}", encoding="utf-8").read()
            found.append(sum(int(x) for x in re.findall(r"^totals: (\d+)", text, re.M)))
        return sorted(found, reverse=True)


def rates(rounds, modules):
    """Alerts a second, crashing and clean in turn."""
    out = {"crashing": [], "clean": []}
    args = f"rates.tar -m {modules},crashes -q -j 2 --overwrite --dead-letters dead.avro".split()
    args += ["-D", "guard.quarantine=0"]
    for _ in range(rounds):
        for kind in out:
            s = run(*args, "--module-path", f"{kind}/crashes.so", "-o", "ndjson:rates.ndjson")
            out[kind].append(N / s)
            failed = sum(b'"crashes.reason":"failed"' in line for line in open("rates.ndjson", "rb"))
            assert (failed > 0) == (kind == "crashing"), failed
            if failed:
                share = failed / N
    ratio = [a / b for a, b in zip(out["crashing"], out["clean"])]
    return {
        "modules": modules,
        "alerts": N,
        "crashing_share": share,
        "crashing_per_s": statistics.median(out["crashing"]),
        "clean_per_s": statistics.median(out["clean"]),
        "ratio": statistics.median(ratio),
        "ratio_lowest": min(ratio),
        "ratio_highest": max(ratio),
    }


def walls(rounds):
    """Wall time with a supervisor over that without, in turn; every second pair begins with the latter."""
    ratio = []
    for k in range(rounds):
        took = {}
        for more in ("", "--no-supervise") if k % 2 else ("--no-supervise", ""):
            took[more] = run(*f"walls.tar -q -j 1 -o null: -D run.batch_ms=10000 {more}".split())
        ratio.append(took[""] / took["--no-supervise"])
    found = [statistics.median(random.choices(ratio, k=rounds)) for _ in range(2000)]
    return {
        "ratio": statistics.median(ratio),
        "interval_95": statistics.quantiles(found, n=40)[::38],
        "lowest": min(ratio),
        "highest": max(ratio),
        "pairs": rounds,
        "alerts": WALLS,
    }


def recovery(rounds):
    """Seconds from kill -9 of the worker to the next row."""
    took = []
    with open("crashing/slow.c", "w", encoding="utf-8") as f:
        f.write(
            "#include <time.h>\n"
            + SOURCE.replace("WHICH", "-1")
            .replace("crashes", "slow")
            .replace("return NJ_OK", "nanosleep(&(struct timespec){ 0, 2000000 }, 0); return NJ_OK")
        )
    flags = f"-std=c11 -D_GNU_SOURCE -O2 -fPIC -DNJ_SHARED -shared -I{ROOT}/include".split()
    subprocess.run(["cc", *flags, "crashing/slow.c", "-o", "crashing/slow.so"], check=True)
    command = (
        "run rates.tar -m +slow --module-path crashing/slow.so -q -j 1 --overwrite -o ndjson:recovery.ndjson"
    )
    more = "-D run.batch_rows=1 -D run.batch_ms=1 -D run.flush_ms=1"
    p = subprocess.Popen([NIGHTJAR, *command.split(), *more.split()], stderr=subprocess.DEVNULL)
    for _ in range(rounds):
        time.sleep(0.7)
        with open(f"/proc/{p.pid}/task/{p.pid}/children", encoding="utf-8") as f:
            worker = int(f.read().split()[0])
        os.kill(worker, signal.SIGKILL)
        size, start = os.path.getsize("recovery.ndjson"), time.monotonic()
        while os.path.getsize("recovery.ndjson") <= size and time.monotonic() - start < 30:
            time.sleep(0.001)
        took.append(time.monotonic() - start)
    p.kill()
    p.wait()
    return {"median_s": statistics.median(took), "longest_s": max(took), "kills": rounds}


N, WALLS = 3000, 12000
rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
result = {
    "context": {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "version": (
            subprocess.run([NIGHTJAR, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        ),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
    }
}
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for n, name in ((N, "rates"), (WALLS, "walls")):
        simulate = f"simulate -n {n} --seed 7 -q -o {name}.tar --truth {name}.csv".split()
        subprocess.run([NIGHTJAR, *simulate], check=True)
    module("crashing", 3)
    module("clean", -1)
    alone, both = [], []
    for n in (300, 900):
        simulate = f"simulate -n {n} --seed 7 -q -o few{n}.tar --truth few{n}.csv".split()
        subprocess.run([NIGHTJAR, *simulate], check=True)
        alone.append(
            instructions(*f"few{n}.tar -q -j 1 -o null: -D run.batch_ms=10000 --no-supervise".split())[0]
        )
        both.append(sum(instructions(*f"few{n}.tar -q -j 1 -o null: -D run.batch_ms=10000".split())))
    result["instructions"] = {
        "alone_per_alert": (alone[1] - alone[0]) / 600,
        "supervised_per_alert": (both[1] - both[0]) / 600,
        "ratio": (both[1] - both[0]) / (alone[1] - alone[0]),
        "once": both[0] - alone[0] - 300 * (both[1] - both[0] - alone[1] + alone[0]) / 600,
    }
    result["wall"] = walls(4 * rounds)
    result["one_percent"] = [
        rates(rounds, m) for m in ("nalerthist", "nalerthist,features,fast_transient,roid")
    ]
    result["recovery"] = recovery(10)
print(json.dumps(result, indent=2))
