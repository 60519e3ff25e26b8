#!/usr/bin/env python3
"""What a night costs, in README.md, from perf/results/night.json (a whole night) and whole_night.json (module
by module): rewrites the lines between its two markers. The cost is CPU time per alert, as
`nightjar help terms` says. With --check nothing is written: exit code 1 when README.md has other lines."""

import json, os, sys, textwrap

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))


def result(name):
    with open(os.path.join(ROOT, "perf", "results", name)) as f:
        return json.load(f)


def main():
    night, real = result("night.json"), result("whole_night.json")["real"]
    n, rate, alerts = night["ledger"][0]["consumed"], night["alerts_per_s_core"], real["alerts"]
    case = real["fink_modules_and_hostless_to_ndjson"]
    whole = 1e6 / case["alerts_per_s_core"]["rounds"][0]  # the modules are of that round
    head = (
        f"{n:,} simulated alerts, the default modules, one compute thread: {rate['mean']:,.0f} ±"
        f" {rate['sd']:.0f} alerts/s per core, {1e6 / rate['mean']:.0f} CPU us/alert,"
        f" {max(night['rss_max_bytes']) / 1e6:.0f} MB resident, ledger closed (`make soak`,"
        f" perf/results/night.json). Module by module, {alerts:,} real alerts with Fink's models and four"
        " catalogues, to rows (perf/results/whole_night.json):"
    )
    lines = textwrap.wrap(head, 110, break_on_hyphens=False)
    lines += [
        "",
        "| stage or module | offered | hits | CPU us/alert | share |",
        "|---|---|---|---|---|",
    ]
    row = lambda name, offered, hits, us, cpu: lines.append(
        f"| {name} | {offered:,} | {hits} | {us:.2f} | {100 * cpu / (whole * alerts):.1f} % |"
    )
    for m in case["modules"]:
        row(m["name"], m["offered"], f"{m['hits']:,}", m["us"], m["us"] * m["offered"])
    rest = whole * alerts - sum(m["us"] * m["offered"] for m in case["modules"])
    row("rest of the run", alerts, "", rest / alerts, rest)
    row("whole run", alerts, "", whole, whole * alerts)
    path = os.path.join(ROOT, "README.md")
    with open(path) as f:
        text = f.read()
    head, tail = text.split("<!-- table -->\n", 1)
    tail = tail.split("<!-- end of table -->\n", 1)[1]
    new = head + "<!-- table -->\n" + "\n".join(lines) + "\n<!-- end of table -->\n" + tail
    if "--check" in sys.argv[1:]:
        sys.exit(0 if new == text else "README.md has another table than perf/results: perf/module_table.py")
    with open(path, "w") as f:
        f.write(new)


main()
