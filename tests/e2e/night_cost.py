#!/usr/bin/env python3
"""nightjar cost: a run's report becomes the cost of a night; bills that were paid; what it refuses. The
numbers: tests/unit/night_cost.c."""

import json, os
from tap import ROOT, Folder, done, nightjar, ok, report

SAMPLE = os.path.join(ROOT, "data", "sample.tar.gz")


def known_run():
    """A report whose costs can be worked out by hand: 10 ms and 80 kB an alert."""
    run = {
        "schema_version": 2,
        "ledger": {"consumed": 1000},
        "modules": [],
        "throughput": {"cpu_us_per_alert": 10000, "bytes_per_s": 8e6, "wall_s": 10, "start_s": 0},
    }
    with open("known.json", "w", encoding="utf-8") as f:
        json.dump(run, f)
    with open("plain.ini", "w", encoding="utf-8") as f:
        f.write(
            "[prices]\nload = 0.5\nboot_s = 0\n[instance.mine]\nvcpu = 2\non_demand = 1\nkind = published\n"
        )
        f.write("[traffic]\ncontrol_hour = 0\nkafka_hour = 0\nstorage_gb_month = 0.1\negress_gb = 0.01\n")


def rows_of(name, **want):
    return [r for r in report(name)["rows"] if all(r[k] == v for k, v in want.items())]


def near(value, want, name):
    ok(abs(value - want) <= 1e-9 * abs(want), name, (value, want))


def by_hand():
    r = nightjar(
        "cost", "known.json", "--prices", "plain.ini", "--survey", "3.6M,400,2,100", "--json", "cost.json"
    )
    ok(r.returncode == 0, "the cost of a night", r.stdout + r.stderr)
    live = rows_of("cost.json", machine="mine", live=True)[0]
    ok(live["n"] == 2, "200 alerts/s of 10 ms: 2 busy cores, 4 at half load, 2 machines", live)
    near(live["compute"], 20, "two machines of 1 for 10 hours")
    one = rows_of("cost.json", machine="mine", live=False, n=1)[0]
    near(one["wall_h"], 10, "36,000 core-seconds on one core kept busy")
    near(one["compute"], 10, "ten hours of one machine")
    near(rows_of("cost.json", machine="mine", live=False, n=16)[0]["compute"], 10, "the same on sixteen")
    near(one["storage"], 288 * 0.1, "288 GB kept for a month")
    near(one["egress"], 2.88, "and sent on")
    ok("It is, within 10 %" in r.stdout, "a cost that stays is said to stay", r.stdout)
    ok("Nothing beats these in both cost and time" in r.stdout, "the Pareto line", r.stdout)


def of_a_run():
    nightjar("run", SAMPLE, "-q", "--report", "run.json", "-j", 1)
    r = nightjar("cost", "run.json", "--survey", "lsst", "--json", "lsst.json")
    ok(r.returncode == 0, "of a real report", r.stderr)
    ok(
        {x["scheme"] for x in report("lsst.json")["rows"]} == {"on demand", "reserved", "spot", "owned"},
        "four schemes",
    )
    ok("Rubin DMTN-137" in r.stdout and "2019" in r.stdout, "prices with source and date", r.stdout)
    only = nightjar("cost", "run.json", "--survey", "lsst", "--json", "-").stdout
    ok(
        json.loads(only) == report("lsst.json"),
        "--json - writes it to standard output, and nothing else",
        only[:200],
    )
    ok("(assumed)" in r.stdout, "what is assumed is marked", r.stdout)


def bills():
    r = nightjar("cost", "--bill", "workflows_2019")
    ok("159.62" in r.stdout, "the first bill adds up", r.stdout)
    ok("Machines cost 0.0351 USD" in r.stdout, "an hour of a job", r.stdout)
    ok("not the same" in r.stdout, "a cost per workflow that is not constant", r.stdout)
    with open("mine.ini", "w", encoding="utf-8") as f:
        f.write("[workflow.a]\nwall_h = 1\njob_h = 10\nspot = 5\n[workflow.b]\njob_h = 10\nspot = 5.1\n")
    r = nightjar("cost", "--bill", "mine.ini")
    ok("the same within 10 %" in r.stdout, "bills of one's own, that are constant", r.stdout + r.stderr)


def refused():
    for args, word in (
        (("cost",), "expected RUN.json"),
        (("cost", "known.json", "--survey", "rubin"), "expected ztf, lsst or"),
        (("cost", "nothing.json"), "nothing.json"),
        (("cost", "known.json", "--prices", "nothing.ini"), "nothing.ini"),
        (("cost", "cost.json"), "no run report"),
    ):
        r = nightjar(*args)
        ok(r.returncode == 1, f"{' '.join(args)}: refused", r.stdout + r.stderr)
        ok(word in r.stderr, f"{' '.join(args)}: says why", r.stderr)
    for text, word in (
        ("[instance.mine]\nvcpu = 2\n", "no price"),
        ("[owned.mine]\nvcpu = 2\nyears = 3\n", "no price"),
        ("[instance.]\nvcpu = 2\non_demand = 1\n", "no name"),
        ("[instance.mine]\nvcpu = 2\nspot = 1\nkind = guessed\n", "published or assumed"),
        ("[instance.mine]\nvcpu = 2\non_demand = 1\n[instance.mine]\nvcpu = 4\n", "line 2"),
    ):
        with open("odd.ini", "w", encoding="utf-8") as f:
            f.write(text)
        r = nightjar("cost", "known.json", "--prices", "odd.ini")
        ok(r.returncode == 1 and word in r.stderr, f"prices: {word}", r.stderr)
    with open("typo.ini", "w", encoding="utf-8") as f:
        f.write("[instance.mine]\nvcpus = 2\n")
    r = nightjar("cost", "known.json", "--prices", "typo.ini")
    ok(r.returncode == 1, "an unknown key of prices: refused", r.stderr)
    ok("vcpu" in r.stderr, "with the one that is near", r.stderr)


with Folder():
    known_run()
    by_hand()
    of_a_run()
    bills()
    refused()
done()
