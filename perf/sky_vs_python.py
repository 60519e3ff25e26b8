#!/usr/bin/env python3
"""nightjar's cone search against scipy's cKDTree and astropy's match_to_catalog_sky: same rows, same queries,
same run.

    python3 -m venv build/venv-sky && build/venv-sky/bin/pip install numpy scipy astropy
    build/venv-sky/bin/python perf/sky_vs_python.py [--rows 1e6,1e7] [--rounds 3] [-o OUTPUT]

The figures of the repository are made with -o perf/results/sky_vs_python.json.

One thread each. nightjar is asked through `nightjar bench sky`, whose rows and queries are made here again
(splitmix64 of a counter); the number of matches and the sum of their separations must agree. Rounds
alternate, the best of each counts.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time

for key in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[key] = "1"
import numpy as np
import scipy
from scipy.spatial import cKDTree

QUERIES, RADIUS = 200000, 1.5


def uniform(stream, n):
    with np.errstate(over="ignore"):
        z = (np.arange(n, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(
            stream
        ) * np.uint64(0xD1342543DE82EF95)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return ((z ^ z >> np.uint64(31)) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def make(n):
    ra, dec = 360 * uniform(1, n), np.degrees(np.arcsin(2 * uniform(2, n) - 1))
    u, v = uniform(3, QUERIES), uniform(4, QUERIES)
    q_ra, q_dec = 360 * u, np.degrees(np.arcsin(2 * v - 1))
    at = (u[::2] * n).astype(np.int64)
    q_ra[::2], q_dec[::2] = ra[at], dec[at] + 0.2 / 3600 * (v[::2] - 0.5)
    return ra, dec, q_ra, q_dec


def unit(ra, dec):
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)


def nightjar(binary, rows):
    with tempfile.NamedTemporaryFile(suffix=".json") as f:
        env = dict(os.environ)
        if rows not in (1e6, 1e7):
            env["NIGHTJAR_BENCH_ROWS"] = "%g" % rows
        subprocess.run(
            [binary, "bench", "sky", "--json", f.name], check=True, stdout=subprocess.DEVNULL, env=env
        )
        report = json.load(open(f.name))
    tag = "%.0e rows" % rows
    times = {r["name"]: r["min"] for r in report["benchmarks"] if tag in r["name"]}
    figures = {r["name"]: r["value"] for r in report["figures"] if tag in r["name"]}
    return report, times, figures


def pick(table, what):
    for name, value in table.items():
        if what in name:
            return value
    raise SystemExit("nightjar bench sky says nothing of '%s': %s" % (what, list(table)))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rows", default="1e6,1e7")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--nightjar", default=os.path.join(os.path.dirname(__file__), "..", "nightjar"))
    p.add_argument("-o", "--output")
    o = p.parse_args()
    import astropy
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    results = {
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "astropy": astropy.__version__,
        "queries": QUERIES,
        "radius_arcsec": RADIUS,
        "rows": {},
    }
    for rows in [float(x) for x in o.rows.split(",")]:
        n = int(rows)
        ra, dec, q_ra, q_dec = make(n)
        best = {}

        def note(name, seconds, per):
            best[name] = min(best.get(name, 1e99), seconds / per * 1e9)

        for _ in range(o.rounds):
            context, times, figures = nightjar(o.nightjar, rows)
            note("nightjar batched", pick(times, "batches of 64") * 1e-9, 1)
            note("nightjar one by one", pick(times, "cone, %.0e" % rows) * 1e-9, 1)
            note("nightjar build", pick(times, "build") * 1e-9, 1)
            points, queries = unit(ra, dec), unit(q_ra, q_dec)
            t = time.process_time()
            tree = cKDTree(points)
            note("cKDTree build", time.process_time() - t, n)
            t = time.process_time()
            chord, row = tree.query(queries)
            note("cKDTree nearest", time.process_time() - t, QUERIES)
            t = time.process_time()
            tree.query(queries, distance_upper_bound=2 * np.sin(np.radians(RADIUS / 3600) / 2))
            note("cKDTree nearest within 1.5 arcsec", time.process_time() - t, QUERIES)
            del tree
            catalog, alerts = SkyCoord(ra * u.deg, dec * u.deg), SkyCoord(q_ra * u.deg, q_dec * u.deg)
            alerts[:1].match_to_catalog_sky(catalog)  # builds and keeps its tree
            t = time.process_time()
            _, sep, _ = alerts.match_to_catalog_sky(catalog)
            note("astropy match_to_catalog_sky", time.process_time() - t, QUERIES)
            sep = sep.arcsec
            inside = sep < RADIUS
            ours, our_sum = pick(figures, "matches"), pick(figures, "sum of")
            agree = (
                int(inside.sum()) == int(ours) and abs(sep[inside].sum() - our_sum) < 1e-6 * our_sum + 1e-3
            )
            if not agree:
                raise SystemExit(
                    "answers differ: astropy %d matches, %.9f; nightjar %d, %.9f"
                    % (inside.sum(), sep[inside].sum(), ours, our_sum)
                )
            del catalog, alerts
        ratio = {
            "cKDTree nearest / nightjar batched (at least 20)": (
                best["cKDTree nearest"] / best["nightjar batched"]
            ),
            "astropy / nightjar batched (at least 40)": (
                best["astropy match_to_catalog_sky"] / best["nightjar batched"]
            ),
            "cKDTree build / nightjar build (at least 20 at 1e7)": (
                best["cKDTree build"] / best["nightjar build"]
            ),
        }
        results["rows"]["%.0e" % rows] = {"ns": best, "ratio": ratio, "matches": int(ours)}
        results["context"] = context.get("context", {})
        print("%.0e rows, %d queries, %d matches: answers agree" % (rows, QUERIES, ours))
        for name, ns in best.items():
            print("  %-36s %10.1f ns" % (name, ns))
        for name, x in ratio.items():
            print("  %-52s %8.1f x" % (name, x))
    if o.output:
        os.makedirs(os.path.dirname(o.output) or ".", exist_ok=True)
        with open(o.output, "w") as f:
            json.dump(results, f, indent=1)
            f.write("\n")


main()
