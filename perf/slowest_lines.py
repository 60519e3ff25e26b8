#!/usr/bin/env python3
"""The slowest lines of the whole night, over all modules, by nightjar's own profile.

  perf/slowest_lines.py [N]     the N slowest (10)

It needs $NIGHTJAR_SHARED (real alerts, models), else ../shared.

`run -c night` over the real alerts says what each module and stage costs per alert; `profile --lines` of
every module above 1 % of that says which lines. A line that calls another profiled function is left out: its
time stands where the work is. Stages (decode, stamps, output) have no lines here: the inflater inside
(stamps) is a library's. Writes perf/results/slowest_lines.json."""

import json, os, re, subprocess, sys, tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
SHARED = os.environ.get("NIGHTJAR_SHARED") or os.path.join(ROOT, "..", "shared")
BIN = os.path.join(ROOT, "nightjar")
ZTF = os.path.join(SHARED, "real", "ztf")
MODELS = ["-D", "models.path=" + os.path.join(SHARED, "real", "models", "onnx")]


def source_line(path, number):
    with open(path, encoding="utf-8", errors="replace") as f:
        for i, text in enumerate(f, 1):
            if i == number:
                return " ".join(text.split())
    return ""


HARMLESS = {
    "if",
    "for",
    "while",
    "switch",
    "return",
    "sizeof",
    "int",
    "memcpy",
    "memset",
    "fabsf",
    "fabs",
    "sqrt",
    "isnan",
    "isfinite",
    "fmin",
    "fmax",
}


def leaf_lines(profile, us):
    """(us per alert, file:line, text) of the lines that call nothing: no function in small letters, none
    through a pointer or a table."""
    for f in profile["functions"]:
        if not f["file"].startswith(ROOT):
            continue
        for line in f["lines"]:
            text = source_line(f["file"], line["line"])
            calls = {n for n in re.findall(r"\b([a-z]\w*)\)?\(", text)} - HARMLESS
            if line["samples"] and not calls and not re.search(r"\]\)?\(|^TILES|^ISA\(\w+\)|EACH_", text):
                yield line["share_of_module"] * us, f"{os.path.relpath(f['file'], ROOT)}:{line['line']}", text


def main():
    top = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory(prefix="nightjar-perf-") as folder:
        os.chdir(folder)
        subprocess.run(
            [BIN, "run", "-q", "-c", "night", "-j", "1", *MODELS, "--report", "run.json", ZTF], check=True
        )
        with open("run.json") as f:
            run = json.load(f)
        n = run["ledger"]["consumed"]
        costs = {m["name"]: m["cpu_ns"] / n / 1e3 for m in run["modules"]}
        whole = sum(costs.values())
        lines = {}
        for name, us in costs.items():
            if name.startswith("(") or us < whole / 100:
                continue
            subprocess.run(
                [
                    BIN,
                    "profile",
                    name,
                    ZTF,
                    "--lines",
                    "--min-samples",
                    "3000",
                    "--no-hits",
                    *MODELS,
                    "--json",
                    "p.json",
                ],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            with open("p.json") as f:
                profile = json.load(f)
            for cost, where, text in leaf_lines(profile, us):
                old = lines.get(where, (0, text, []))
                lines[where] = (old[0] + cost, text, old[2] + [name] * (name not in old[2]))
    slowest = sorted(((c, w, t, m) for w, (c, t, m) in lines.items()), reverse=True)[:top]
    result = {
        "what": __doc__.split("\n")[0],
        "alerts": n,
        "us_per_alert": whole,
        "modules_and_stages_us": costs,
        "lines": [
            {"us_per_alert": c, "share": c / whole, "where": w, "text": t, "modules": m}
            for c, w, t, m in slowest
        ],
        "context": run["context"],
    }
    with open(os.path.join(ROOT, "perf", "results", "slowest_lines.json"), "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    for c, w, t, m in slowest:
        print(f"{c:8.1f} us {100 * c / whole:5.1f} %  {w}  {t}   [{', '.join(m)}]")


main()
