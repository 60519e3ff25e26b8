#!/usr/bin/env python3
"""The same rows by every instruction set (NIGHTJAR_ISA): real and simulated alerts of both surveys through
all modules. AVX-512 and AVX2 give equal bytes. The portable kernels may differ in the scores of networks, by
1e-5 and by nothing else. NIGHTJAR_ISA_ALERTS: how many simulated ZTF alerts (default 200)."""

import json, os
from tap import SHARED, Folder, done, nightjar, ok, skip

REAL = os.path.join(SHARED, "real")
MODELS = os.path.join(REAL, "models", "onnx")
NETWORKS = ("braai.", "acai_", "snn_", "cats.")
LARGEST = 1e-5  # cats, the least exact one: 7e-6


def sets():
    """Those of this processor, the best first."""
    with open("/proc/cpuinfo") as f:
        flags = next((line.split() for line in f if line.startswith("flags")), [])
    has = lambda *names: all(n in flags for n in names)
    return (
        (["avx512"] if has("avx512f", "avx512bw", "avx512vl", "avx512dq") else [])
        + (["avx2"] if has("avx2", "fma") else [])
        + ["portable"]
    )


def rows(path):
    """Numbers with a fraction stay texts: every digit counts."""
    with open(path, encoding="utf-8") as f:
        return [json.loads(line, parse_float=lambda text: text) for line in f]


def differ(a, b):
    """Columns that differ, with the largest difference where both are numbers; else with infinity."""
    found = {}
    for x, y in zip(a, b):
        for k in x.keys() | y.keys():
            if k in x and k in y and x[k] == y[k]:
                continue
            try:
                by = abs(float(x[k]) - float(y[k]))
            except (KeyError, TypeError, ValueError):
                by = float("inf")
            found[k] = max(found.get(k, 0), by)
    return found


def compare(what, *source):
    known = sets()
    models = ("-D", "models.path=" + MODELS) if os.path.isdir(MODELS) else ()
    got = {}
    for name in known:
        r = nightjar(
            *("run", "-q", "-j", 1, "--overwrite", "-o", f"ndjson:{name}.ndjson", *models, *source),
            env={"NIGHTJAR_ISA": name},
            timeout=3600,
        )
        got[name] = rows(f"{name}.ndjson") if r.returncode == 0 else []
        if not ok(got[name], f"{what}: {len(got[name])} rows by {name}", r.stderr):
            return
    best = got[known[0]]
    for name in known[1:]:
        found = differ(best, got[name])
        allowed = {k: v for k, v in found.items() if name == "portable" and k.startswith(NETWORKS)}
        ok(
            len(got[name]) == len(best) and found.keys() == allowed.keys(),
            f"{what}: {name} as {known[0]}" + (", but for scores of networks" if allowed else ""),
            {k: v for k, v in found.items() if k not in allowed},
        )
        if allowed:
            most = max(allowed.values())
            ok(most <= LARGEST, f"{what}: {len(allowed)} scores within {most:.2g}", allowed)
    if models and what == "real ZTF alerts" and len(known) > 1:
        ok(differ(best, got["portable"]), "some score has other bits: NIGHTJAR_ISA was heeded")


def main():
    if not os.path.isdir(os.path.join(REAL, "ztf")):
        skip("real ZTF alerts", "NIGHTJAR_SHARED is not set")
    else:
        compare("real ZTF alerts", os.path.join(REAL, "ztf"))
    if os.path.isdir(os.path.join(REAL, "lsst", "fink")):
        compare("real LSST alerts", os.path.join(REAL, "lsst", "fink", "public_20260306_7alerts.avro"))
    else:
        skip("real LSST alerts", "NIGHTJAR_SHARED is not set")
    for survey, n in ("ztf", os.environ.get("NIGHTJAR_ISA_ALERTS", "200")), ("lsst", "60"):
        made = nightjar(
            "simulate", "--survey", survey, "-n", n, "-o", f"{survey}.tar", "--truth", f"{survey}.csv"
        )
        if ok(made.returncode == 0, f"{n} simulated alerts of {survey}", made.stderr):
            compare(f"simulated {survey} alerts", f"{survey}.tar")


with Folder():
    main()
done()
