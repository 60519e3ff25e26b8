#!/usr/bin/env python3
"""`nightjar run` of a tar night to null:, one compute thread, in turn with Python and with libarchive alone.

  perf/run_vs_python.py [--copies N] [--rounds N]

It needs real alerts ($NIGHTJAR_SHARED/real/ztf, else ../shared).

1. night.tar: the real alerts N times. nightjar run -j 1 -o null: with the modules of the issue "The host"
   (nalerthist, roid, fast_transient, transient_features, is_transient, standardized_flux) against fastavro
   alone on the same bytes (tarfile + fastavro, cached schema as fastavro does it): CPU seconds of the
   process. Bar: 10 times.
2. night.tar.gz: wall seconds of the same run against libarchive alone (a C program that reads every member).
   Bar: 1.15.
Ratios only: these machines change speed. Writes perf/results/run_vs_python.json."""

import argparse, json, os, platform, resource, statistics, subprocess, sys, tarfile, tempfile, time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
SHARED = os.environ.get("NIGHTJAR_SHARED") or os.path.join(ROOT, "..", "shared")
MODULES = "nalerthist,roid,fast_transient,transient_features,is_transient,standardized_flux"
PYTHON = r"""
import sys, tarfile, fastavro
n = 0
with tarfile.open(sys.argv[1]) as t:
    for m in t:
        for r in fastavro.reader(t.extractfile(m)):
            n += 1
print(n)
"""
LIBARCHIVE = r"""
#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    archive_read_support_filter_all(a);
    archive_read_support_format_tar(a);
    if (argc < 2 || archive_read_open_filename(a, argv[1], 1 << 18)) return 1;
    while (archive_read_next_header(a, &e) == ARCHIVE_OK) {
        size_t n = (size_t)archive_entry_size(e);
        char *p = malloc(n + 1);
        if (archive_read_data(a, p, n) != (la_ssize_t)n) return 1;
        free(p);
    }
    return archive_read_free(a);
}
"""


def timed(args):
    before, t0 = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.monotonic() - t0, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def python_with(venv, package):
    python = os.path.join(venv, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", package], check=True)
    return python


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--copies", type=int, default=20)
    ap.add_argument("--rounds", type=int, default=5)
    a = ap.parse_args()
    src = os.path.join(SHARED, "real", "ztf")
    python = python_with(os.path.join(ROOT, "build", "venv-fastavro"), "fastavro==1.13.1")
    with tempfile.TemporaryDirectory(prefix="nightjar-perf-") as d:
        tar, tgz = os.path.join(d, "night.tar"), os.path.join(d, "night.tar.gz")
        for path, mode in ((tar, "w"), (tgz, "w:gz")):
            with tarfile.open(path, mode, **({"compresslevel": 6} if mode == "w:gz" else {})) as t:
                for k in range(a.copies if path == tar else 4):
                    for f in sorted(os.listdir(src)):
                        t.add(os.path.join(src, f), arcname=f"{k}_{f}")
        open(os.path.join(d, "py.py"), "w").write(PYTHON)
        open(os.path.join(d, "la.c"), "w").write(LIBARCHIVE)
        subprocess.run(
            ["cc", "-O2", "-o", os.path.join(d, "la"), os.path.join(d, "la.c"), "-larchive"], check=True
        )
        ours = [os.path.join(ROOT, "nightjar"), "run", "-q", "-j", "1", "-m", MODULES, "-o", "null:"]
        rounds = []
        for _ in range(a.rounds):
            nj, py = timed(ours + [tar]), timed([python, os.path.join(d, "py.py"), tar])
            njz, la = timed(ours + [tgz]), timed([os.path.join(d, "la"), tgz])
            rounds.append(
                {"nightjar_tar": nj, "fastavro_tar": py, "nightjar_targz": njz, "libarchive_targz": la}
            )
    n = len(os.listdir(src)) * a.copies
    ratio = lambda x, y, k: statistics.median(r[x][k] / r[y][k] for r in rounds)
    result = {
        "what": __doc__.split("\n")[0],
        "alerts": n,
        "rounds_wall_cpu_s": rounds,
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "fastavro_over_nightjar_cpu": ratio("fastavro_tar", "nightjar_tar", 1),
        "fastavro_over_nightjar_wall": ratio("fastavro_tar", "nightjar_tar", 0),
        "nightjar_over_libarchive_wall": ratio("nightjar_targz", "libarchive_targz", 0),
        "nightjar_over_libarchive_cpu": ratio("nightjar_targz", "libarchive_targz", 1),
    }
    os.makedirs(os.path.join(ROOT, "perf", "results"), exist_ok=True)
    with open(os.path.join(ROOT, "perf", "results", "run_vs_python.json"), "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    print(
        f"tar: fastavro alone / nightjar run, CPU {result['fastavro_over_nightjar_cpu']:.1f}, wall"
        f" {result['fastavro_over_nightjar_wall']:.1f} (bar 10)\ntar.gz: nightjar run / libarchive alone,"
        f" wall {result['nightjar_over_libarchive_wall']:.2f}, CPU"
        f" {result['nightjar_over_libarchive_cpu']:.2f} (bar 1.15)"
    )


main()
