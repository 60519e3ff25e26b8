#!/usr/bin/env python3
"""The module table of README.md, from perf/results/night.json: rewrites the lines between its two markers.
With --check nothing is written: exit code 1 when README.md has other lines."""
import json, os, sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))


def main():
    with open(os.path.join(ROOT, "perf", "results", "night.json")) as f:
        night = json.load(f)
    n = night["ledger"][0]["consumed"]
    cost = "cpu_us_per_alert" in night  # a night measured before there was one cost has wall times
    lines = [f"{n:,} simulated alerts, one compute thread: {night['alerts_per_s_core']['mean']:,.0f} ± {night['alerts_per_s_core']['sd']:.0f} alerts/s per core,"
             f" {max(night['rss_max_bytes']) / 1e6:.0f} MB resident, ledger closed (`make soak`, perf/results/night.json).", "",
             f"| stage or module | offered | hits | flagged | {'CPU' if cost else 'wall'} us/alert | share |", "|---|---|---|---|---|---|"]
    for m in night["modules"]:
        us = m["cpu_us_per_alert"] if cost else m["ns_per_alert"] / 1e3
        lines.append(f"| {m['name']} | {m['offered']:,} | {m['hits']:,} | {m['flagged']:,} | {us:.2f} | {100 * m['share']:.1f} % |")
    if cost:
        rest, whole = night["rest_of_the_run_cpu_us_per_alert"], night["cpu_us_per_alert"]
        lines.append(f"| rest of the run | {n:,} | | | {rest:.2f} | {100 * rest / whole:.1f} % |")
        lines.append(f"| whole run | {n:,} | | | {whole:.2f} | 100.0 % |")
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
