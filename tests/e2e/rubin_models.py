#!/usr/bin/env python3
"""Models for Rubin: scores on real LSST alerts against those that Fink stored in them, and on ELAsTiCC alerts
against the golden rows that were made from the same packets; models trained on ZTF give no answer there, and
these none on ZTF."""

import json, os, struct
from tap import SHARED, Folder, done, nightjar, ok, rows, skip

REAL = os.path.join(SHARED, "real")
MODELS = os.path.join(REAL, "models", "onnx")
CODES = [11, 12, 13, 21, 22]
ZTF_ONLY = [
    "snn_snia_vs_nonia",
    "snn_sn_vs_all",
    "kilonova",
    "early_snia",
    "microlensing",
    "anomaly",
    "braai",
] + [f"acai_{c}" for c in "hnvob"]


def run(source, modules, out, *more):
    r = nightjar(
        "run",
        os.path.join(REAL, source),
        "-q",
        "-D",
        "models.path=" + MODELS,
        "-m",
        modules,
        "-o",
        f"ndjson:{out}",
        *more,
    )
    return r, rows(out) if os.path.exists(out) else []


def stored():
    """Seven public alerts with Fink's own scores (its releases of that day; both run in single precision:
    1e-5 and 3e-5)."""
    r, got = run(
        "lsst/fink/public_20260306_7alerts.avro",
        "snn_elasticc_sn_vs_other,cats",
        "seven.ndjson",
        "--columns",
        "packet.clf.snnSnVsOthers_score,packet.clf.cats_class,packet.clf.cats_score",
    )
    far = [abs(row["snn_elasticc_sn_vs_other.score"] - row["packet.clf.snnSnVsOthers_score"]) for row in got]
    ok(
        r.returncode == 0 and len(got) == 7 and max(far) <= 1e-5,
        f"7 LSST alerts: SuperNNova's scores are those that Fink stored, within {max(far, default=9):.2g}",
        r.stderr,
    )
    bad = []
    for row in got:
        none = (
            row["packet.clf.cats_class"] == -1
            and row["cats.class"] is None
            and row["cats.reason"] == "few_points"
        )
        same = (
            row["cats.class"] == row["packet.clf.cats_class"]
            and abs(row["cats.score"] - row["packet.clf.cats_score"]) <= 3e-5
        )
        if not none and not same:
            bad.append({k: v for k, v in row.items() if "cats" in k})
    ok(
        not bad and sum(row["cats.class"] is not None for row in got) == 5,
        "7 LSST alerts: CATS' classes and scores are those that Fink stored",
        bad,
    )


def golden(model):
    """{candid: outputs} of the golden rows that were made from whole packets."""
    folder = os.path.join(MODELS, model)
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as f:
        g = json.load(f)["golden"]
    with open(os.path.join(folder, g["file"]), "rb") as f:
        data = f.read()
    t = g["tensors"][-1]
    n, width = t["shape"]
    values = struct.unpack_from(f"<{n * width}f", data, t["offset"])
    return {
        int(o.split("_src")[1].split(".")[0]): values[width * i : width * (i + 1)]
        for i, o in enumerate(g["origin_files"])
        if o.endswith(".avro")
    }, g["tolerance_abs"]


def elasticc():
    r, got = run("other/elasticc", "snn_elasticc_with_y,snn_elasticc_broad,cats", "elasticc.ndjson")
    by_id = {row["candid"]: row for row in got}
    ok(r.returncode == 0 and len(by_id) == 21, "21 ELAsTiCC alerts", r.stderr)
    for name, model, n in (
        ("snn_elasticc_with_y", "snn_elasticc_sn_vs_other", 15),
        ("snn_elasticc_broad", "snn_elasticc_broad", 10),
    ):
        want, _ = golden(model)
        bad = [
            (c, by_id[c][name + ".score"], p[0])
            for c, p in want.items()
            if not abs((by_id[c][name + ".score"] or 9) - p[0]) <= 1e-5
        ]
        ok(
            len(want) == n and not bad,
            f"ELAsTiCC: {name} from the packet equals its {n} golden rows to 1e-5",
            bad,
        )
    want, tolerance = golden("cats")
    bad = [
        (c, by_id[c]["cats.class"], by_id[c]["cats.score"], p)
        for c, p in want.items()
        if by_id[c]["cats.class"] != CODES[p.index(max(p))]
        or not abs(by_id[c]["cats.score"] - max(p)) <= tolerance
    ]
    ok(
        len(want) == 12 and not bad,
        f"ELAsTiCC: CATS from the packet equals its 12 golden rows to {tolerance:g}",
        bad,
    )


def surveys():
    r, got = run("lsst/fink", "+snn_elasticc_sn_vs_other,+cats", "lsst.ndjson", "-v")
    wrong = [
        (m, row["candid"])
        for row in got
        for m in ZTF_ONLY
        if row[f"{m}.score"] is not None or row[f"{m}.reason"] != "no_input"
    ]
    ok(
        r.returncode == 0
        and got
        and not wrong
        and "braai gives no answers on survey lsst: it is for ztf alerts only (surveys)" in r.stderr,
        f"{len(got)} LSST alerts: models trained on ZTF give no answer, and it is said why",
        wrong or r.stderr,
    )
    scores = [row["snn_elasticc_sn_vs_other.score"] for row in got]
    ok(
        all(s is None or 0 <= s <= 1 for s in scores) and sum(s is not None for s in scores) >= len(got) // 2,
        "LSST: scores are probabilities",
        scores,
    )
    r, got = run("ztf", "snn_elasticc_sn_vs_other,cats,braai", "ztf.ndjson", "--limit", "5")
    ok(
        len(got) == 5
        and all(
            row["cats.class"] is None
            and row["snn_elasticc_sn_vs_other.score"] is None
            and row["braai.score"] is not None
            for row in got
        ),
        "ZTF: models trained on Rubin's bands give no answer",
        r.stderr,
    )
    r, got = run("ztf", "braai", "all.ndjson", "--limit", "5", "-D", "module.braai.surveys=")
    ok(
        len(got) == 5 and all(row["braai.score"] is not None for row in got),
        "surveys = (empty) is any survey",
        r.stderr,
    )


def main():
    if not SHARED or not os.path.isdir(MODELS):
        for name in ("Fink's stored LSST scores", "ELAsTiCC golden rows", "models and surveys"):
            skip(name, "no ../shared/real/models/onnx")
        return done()
    with Folder():
        stored()
        elasticc()
        surveys()
    done()


main()
