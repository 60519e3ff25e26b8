#!/usr/bin/env python3
"""The binary's rows against Fink's reference outputs, on every row of all nine sets (shared/oracles/README.md
has the tolerances, which compare-oracles applies)."""

import csv, json, os, subprocess, sys
from tap import SHARED, Folder, done, nightjar, ok, skip

SETS = {
    "host": "oracles/alerts/host.avro",
    "few": "oracles/alerts/few.avro",
    "reg0": "oracles/alerts/reg0.avro",
    "slsn": "oracles/alerts/slsn.avro",
    "yso": "oracles/alerts/yso.avro",
    "sym": "oracles/alerts/sym.avro",
    "dt": "oracles/alerts/dt.avro",
    "G": "real/other/fink_ztf/public_20260322_31alerts.avro",
    "dev": "real/ztf",
}


def compare(name, path, table):
    r = subprocess.run(
        [sys.executable, os.path.join(SHARED, "tools", "compare-oracles"), path, table],
        capture_output=True,
        text=True,
    )
    last = r.stdout.strip().splitlines()[-1] if r.stdout.strip() else r.stderr
    ok(
        r.returncode == 0,
        f"{name}: {last}",
        "\n".join(l for l in r.stdout.splitlines() if not l.startswith("ok")),
    )


def dc_flux(name, path):
    """standardized_flux of the alert: the last point of each candid in points.ndjson, 1e-6 relative."""
    want = {}
    with open(os.path.join(SHARED, "oracles", "computed", f"{name}.points.ndjson")) as f:
        for line in f:
            p = json.loads(line)
            want[p["candid"]] = p
    bad = []
    with open(path) as f:
        for line in f:
            row = json.loads(line)
            p = want[row["candid"]]
            for ours, theirs in (
                ("standardized_flux.dc_flux_jy", "flux_jy"),
                ("standardized_flux.dc_sigma_jy", "sigma_jy"),
            ):
                a, b = row[ours], p.get(theirs)
                if (a is None) != (b is None) or (b is not None and abs(a - b) > 1e-6 * abs(b)):
                    bad.append((row["candid"], ours, a, b))
    ok(not bad, f"{name}: DC fluxes of {len(want)} alerts", bad[:5])


def main():
    if not SHARED or not os.path.isdir(os.path.join(SHARED, "oracles")):
        for s in SETS:
            skip(f"{s}: equal to the reference outputs", "no ../shared/oracles")
        return done()
    with Folder():
        for s, alerts in SETS.items():
            r = nightjar(
                "run",
                os.path.join(SHARED, alerts),
                "-q",
                "-m",
                "+standardized_flux",
                "-o",
                f"ndjson:{s}.ndjson",
                "--report",
                f"{s}.json",
                "-D",
                "models.path=" + os.path.join(SHARED, "real", "models", "onnx"),
            )
            rep = json.load(open(f"{s}.json")) if os.path.exists(f"{s}.json") else {"ledger": {}}
            n = sum(1 for _ in csv.reader(open(os.path.join(SHARED, "oracles", "computed", f"{s}.csv")))) - 1
            ok(
                r.returncode == 0 and rep["ledger"].get("emitted") == n and rep["ledger"]["closed"],
                f"{s}: {n} alerts, all emitted, ledger closed",
                r.stderr,
            )
            compare(f"{s} computed", f"{s}.ndjson", os.path.join(SHARED, "oracles", "computed", f"{s}.csv"))
            dc_flux(s, f"{s}.ndjson")
    done()


main()
