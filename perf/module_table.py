#!/usr/bin/env python3
"""The module table of README.md, from perf/results/night.json: rewrites the lines between its two markers.
With --check nothing is written: exit code 1 when README.md has other lines."""
import json, os, sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))


def main():
    with open(os.path.join(ROOT, "perf", "results", "night.json")) as f:
        night = json.load(f)
    n = night["ledger"][0]["consumed"]
    lines = [f"{n:,} simulated alerts, one compute thread: {night['alerts_per_s_core']['mean']:,.0f} ± {night['alerts_per_s_core']['sd']:.0f} alerts/s/core,"
             f" {max(night['rss_max_bytes']) / 1e6:.0f} MB resident, ledger closed (`make soak`, perf/results/night.json).", "",
             "| stage or module | offered | hits | flagged | us/alert | share |", "|---|---|---|---|---|---|"]
    for m in night["modules"]:
        lines.append(f"| {m['name']} | {m['offered']:,} | {m['hits']:,} | {m['flagged']:,} | {m['ns_per_alert'] / 1e3:.2f} | {100 * m['share']:.1f} % |")
    path = os.path.join(ROOT, "README.md")
    with open(path) as f:
        text = f.read()
    head, rest = text.split("<!-- table -->\n", 1)
    tail = rest.split("<!-- end of table -->\n", 1)[1]
    new = head + "<!-- table -->\n" + "\n".join(lines) + "\n<!-- end of table -->\n" + tail
    if "--check" in sys.argv[1:]:
        sys.exit(0 if new == text else "README.md has another table than perf/results/night.json: perf/module_table.py")
    with open(path, "w") as f:
        f.write(new)


main()
