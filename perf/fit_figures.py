#!/usr/bin/env python3
"""The figures of modules/FITS.md, drawn by `nightjar objects` and `nightjar curve` from real objects:
perf/fit_figures.py, with ../shared (or $NIGHTJAR_SHARED)."""

import json, math, os, subprocess, sys, tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
OUT = os.path.join(ROOT, "modules", "figures")
SHARED = os.environ.get("NIGHTJAR_SHARED", os.path.join(ROOT, "..", "shared"))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from avro import make_container

ASTEROID = "8467"  # ZTF's photometry with ephemerides, as fink-science has it


def nightjar(*args):
    r = subprocess.run([os.path.join(ROOT, "nightjar"), *args], capture_output=True, text=True)
    if r.returncode:
        sys.exit(f"nightjar {' '.join(args)}: {r.stderr}")


def record(name, fields):
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields]}


def asteroid_packets(path):
    """One packet for each detection, as LSST sends them: photometry, distances, phase angle."""
    source = record(
        "diaSource",
        [
            ("diaSourceId", "long"),
            ("ssObjectId", "long"),
            ("midpointMjdTai", "double"),
            ("psfFlux", "double"),
            ("psfFluxErr", "double"),
            ("band", "string"),
            ("ra", "double"),
            ("dec", "double"),
        ],
    )
    seen = record("ssSource", [("phaseAngle", "double"), ("helioRange", "double"), ("topoRange", "double")])
    schema = {**record("alert", [("diaSource", source), ("ssSource", seen)]), "namespace": "lsst.v99_0"}
    alerts = []
    with open(f"{SHARED}/oracles/next/ssoft/lightcurves.ndjson") as f:
        c = next(c for c in map(json.loads, f) if c["id"] == ASTEROID)
    for i, jd in enumerate(c["jd"]):
        flux = 3631e9 * 10 ** (-0.4 * c["mag"][i])
        alerts.append(
            {
                "diaSource": {
                    "diaSourceId": i + 1,
                    "ssObjectId": int(ASTEROID),
                    "midpointMjdTai": jd - 2400000.5,
                    "psfFlux": flux,
                    "psfFluxErr": flux * c["sig"][i] * math.log(10) / 2.5,
                    "band": "gr"[c["fid"][i] - 1],
                    "ra": c["ra"][i],
                    "dec": c["dec"][i],
                },
                "ssSource": {
                    "phaseAngle": c["phase"][i],
                    "helioRange": c["dhelio"][i],
                    "topoRange": c["dobs"][i],
                },
            }
        )
    with open(path, "wb") as f:
        f.write(make_container(schema, alerts))


def main():
    os.makedirs(OUT, exist_ok=True)
    with tempfile.TemporaryDirectory() as d:
        nightjar("objects", f"{SHARED}/oracles/next/early_tde/tde.avro", "-q", "--merged", f"{d}/tde")
        nightjar(
            "curve",
            f"{d}/tde/ztf.avro",
            "--object",
            "ZTF20abfcszi",
            "--fit",
            "rainbow",
            "--overwrite",
            "-o",
            f"{OUT}/rainbow.svg",
        )
        nightjar("objects", f"{SHARED}/real/ztf", "-q", "--merged", f"{d}/ztf")
        nightjar(
            "curve",
            f"{d}/ztf/ztf.avro",
            "--object",
            "ZTF18aaxnask",
            "--fit",
            "period",
            "--min-points",
            "8",
            "--max-frequency",
            "6",
            "--overwrite",
            "-o",
            f"{OUT}/period.svg",
        )
        asteroid_packets(f"{d}/sso.avro")
        nightjar(
            "objects", "--by", "sso", f"{d}/sso.avro", "-m", "phase_curve_hg1g2", "-q", "--merged", f"{d}/sso"
        )
        nightjar("curve", f"{d}/sso/lsst.avro", "--fit", "phase", "--overwrite", "-o", f"{OUT}/phase.svg")


main()
