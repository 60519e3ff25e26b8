#!/usr/bin/env python3
"""What hostless detection finds and what it mistakes, on simulated nights whose truth is known.

  perf/hostless_injection.py [N] [SEED]      (default 30,000 alerts, seed 2024; about a minute on two cores)

For each class of the simulator and each bin of magnitude: the share of alerts that pass
  candidate   a source in one stamp alone
  reference   the reference's cuts on one draw: ks_science <= 0.5 and ks_template <= 0.85
  mean of 16  the same on the mean of 16 draws
  clean       mean of 16, and rb >= 0.55, nbad = 0, lone = science, positive, n_bad = 0
  new, clean  clean, and what the live filters ask besides: distnr > 1.5, not roid 3
For class hostless that is recovery, for all others a false alarm. Errors are Wilson's 68 % intervals.
Writes perf/results/hostless_injection.csv, .svg and .json (what was run, on what)."""

import csv, json, math, os, subprocess, sys, tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
BIN = os.path.join(ROOT, "nightjar")
OUT = os.path.join(ROOT, "perf", "results", "hostless_injection")
COLUMNS = "packet.candidate.distnr,packet.candidate.nbad"
EDGES = [15, 16, 17, 18, 18.5, 19, 19.5, 20, 20.5, 21]
CUTS = ["candidate", "reference", "mean of 16", "clean", "new, clean"]
COLOURS = {
    "hostless": "#1d7a46",
    "supernova with host": "#6a51a3",
    "galaxy": "#1b6ca8",
    "artefact": "#b3361e",
    "variable": "#c98a1b",
    "star": "#8a6d3b",
    "asteroid": "#5c6675",
}


def rows(night, folder, repeats):
    out = os.path.join(folder, f"r{repeats}.ndjson")
    subprocess.run(
        [
            BIN,
            "run",
            night,
            "-q",
            "-m",
            "hostless,roid",
            "-D",
            f"module.hostless.repeats={repeats}",
            "--columns",
            COLUMNS,
            "-o",
            f"ndjson:{out}",
            "--report",
            os.path.join(folder, f"r{repeats}.json"),
            "--dead-letters",
            os.path.join(folder, "dead.avro"),
        ],
        check=True,
    )
    with open(out) as f:
        return {r["candid"]: r for r in map(json.loads, f)}


def passes(one, mean):
    clean = (
        mean["hostless.verdict"] == 1
        and mean["rb"] is not None
        and mean["rb"] >= 0.55
        and mean["packet.candidate.nbad"] == 0
        and mean["hostless.lone"] == "science"
        and mean["positive"] == 1
        and mean["hostless.n_bad"] == 0
    )
    return {
        "candidate": one["hostless.candidate"] == 1,
        "reference": one["hostless.verdict"] == 1,
        "mean of 16": mean["hostless.verdict"] == 1,
        "clean": clean,
        "new, clean": clean and (mean["packet.candidate.distnr"] or 0) > 1.5 and mean["roid.roid"] != 3,
    }


def group(t):
    return "supernova with host" if t["class"] == "supernova" else t["class"]


def wilson(k, n, z=1.0):
    p, d = k / n, 1 + z * z / n
    middle, half = (p + z * z / (2 * n)) / d, z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / d
    return max(0.0, middle - half), min(1.0, middle + half)


def count(truth, one, mean):
    table = {}
    for t in truth:
        candid = int(t["candid"])
        if candid not in one or one[candid]["hostless.reason"] == "range":  # a cut stamp is no trial
            continue
        mag = float(t["mag"])
        bins = [i for i in range(len(EDGES) - 1) if EDGES[i] <= mag < EDGES[i + 1]]
        cuts = passes(one[candid], mean[candid])
        for b in bins + ["all"]:
            cell = table.setdefault((group(t), b), dict.fromkeys(CUTS + ["n"], 0))
            cell["n"] += 1
            for c in CUTS:
                cell[c] += cuts[c]
    return table


def write_csv(table):
    with open(OUT + ".csv", "w", newline="") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(
            ["class", "mag_from", "mag_to", "alerts"]
            + [x for c in CUTS for x in (c, c + " share", c + " low", c + " high")]
        )
        for g in COLOURS:
            for b in ["all"] + list(range(len(EDGES) - 1)):
                cell = table.get((g, b))
                if not cell:
                    continue
                line = [g, "" if b == "all" else EDGES[b], "" if b == "all" else EDGES[b + 1], cell["n"]]
                for c in CUTS:
                    lo, hi = wilson(cell[c], cell["n"])
                    line += [cell[c], f"{cell[c] / cell['n']:.4f}", f"{lo:.4f}", f"{hi:.4f}"]
                w.writerow(line)


def plot(table, n):
    """One panel per cut; share against magnitude, a line per class, on a scale that shows both 1 and
    0.001."""
    panel_w, panel_h, floor = 420, 250, 1e-3
    y_of = lambda v: 30 + (panel_h - 70) * (math.log10(max(v, floor)) / math.log10(floor))
    x_of = lambda m: 48 + (panel_w - 64) * (m - EDGES[0]) / (EDGES[-1] - EDGES[0])
    shown = ["reference", "mean of 16", "clean", "new, clean"]
    s = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * panel_w} {2 * panel_h + 60}"'
            ' font-family="system-ui,sans-serif" font-size="11" fill="#3c4654">'
        ),
        f'<rect width="{2 * panel_w}" height="{2 * panel_h + 60}" fill="white"/>',
        (
            f'<text x="12" y="18" font-size="14" font-weight="600">Hostless detection on {n:,} simulated'
            ' alerts: share that passes, by class and magnitude</text>'
        ),
    ]
    for i, g in enumerate(COLOURS):
        x, y = 16 + i % 4 * 205, 36 + i // 4 * 16
        s.append(
            f'<path d="M{x} {y - 4}h18" stroke="{COLOURS[g]}" stroke-width="2.5"/><text x="{x + 24}"'
            f' y="{y}">{g}</text>'
        )
    for i, cut in enumerate(shown):
        s.append(
            f'<g transform="translate({i % 2 * panel_w} {56 + i // 2 * panel_h})"><text x="48" y="20"'
            f' font-weight="600">{cut}</text>'
        )
        for v in (1, 0.1, 0.01, 0.001):
            s.append(
                f'<path d="M48 {y_of(v):.1f}H{panel_w - 16}" stroke="#e6e9ee"/><text x="43"'
                f' y="{y_of(v) + 4:.1f}" text-anchor="end">{"0" if v == floor else v:}</text>'
            )
        for m in range(15, 22):
            s.append(f'<text x="{x_of(m):.1f}" y="{panel_h - 22}" text-anchor="middle">{m}</text>')
        s.append(f'<text x="{panel_w / 2}" y="{panel_h - 6}" text-anchor="middle">magnitude</text>')
        for g in COLOURS:
            points = [
                (x_of((EDGES[b] + EDGES[b + 1]) / 2), table[(g, b)])
                for b in range(len(EDGES) - 1)
                if table.get((g, b), {"n": 0})["n"] >= 10
            ]
            line = " ".join(f"{x:.1f},{y_of(c[cut] / c['n']):.1f}" for x, c in points)
            s.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[g]}" stroke-width="2"/>')
            for x, c in points:
                lo, hi = wilson(c[cut], c["n"])
                s.append(
                    f'<path d="M{x:.1f} {y_of(lo):.1f}V{y_of(hi):.1f}" stroke="{COLOURS[g]}" opacity=".45"/>'
                )
        s.append("</g>")
    s.append("</svg>\n")
    with open(OUT + ".svg", "w") as f:
        f.write("\n".join(s))


def main():
    n, seed = int(sys.argv[1]) if len(sys.argv) > 1 else 30000, (
        int(sys.argv[2]) if len(sys.argv) > 2 else 2024
    )
    with tempfile.TemporaryDirectory(prefix="nightjar-injection-") as folder:
        night = os.path.join(folder, "night.tar")
        subprocess.run([BIN, "simulate", "-q", "-n", str(n), "--seed", str(seed), "-o", night], check=True)
        one, mean = rows(night, folder, 1), rows(night, folder, 16)
        with open(os.path.join(folder, "truth.csv")) as f:
            truth = list(csv.DictReader(f))
        with open(os.path.join(folder, "r16.json")) as f:
            report = json.load(f)
    table = count(truth, one, mean)
    os.makedirs(os.path.dirname(OUT), exist_ok=True)
    write_csv(table)
    plot(table, n)
    with open(OUT + ".json", "w") as f:
        json.dump(
            {
                "what": __doc__.splitlines()[0],
                "command": f"perf/hostless_injection.py {n} {seed}",
                "alerts": n,
                "seed": seed,
                "bins_mag": EDGES,
                "whole": {
                    g: {
                        k: v if k == "n" else v / table[(g, "all")]["n"] for k, v in table[(g, "all")].items()
                    }
                    for g in COLOURS
                    if (g, "all") in table
                },
                "context": report["context"],
            },
            f,
            indent=1,
        )
        f.write("\n")
    for g in COLOURS:
        if (g, "all") in table:
            c = table[(g, "all")]
            print(f"{g:24s} {c['n']:6d}  " + "  ".join(f"{k} {c[k] / c['n']:.4f}" for k in CUTS))


if __name__ == "__main__":
    main()
