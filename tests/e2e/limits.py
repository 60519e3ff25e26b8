#!/usr/bin/env python3
"""More columns, modules, names than anybody thought of: all of them come out, or an error names the limit."""

import os
from tap import Folder, done, nightjar, ok, report, rows

WIDE, COLUMNS = 5, 500  # five tables of 500 columns: 2,500 columns beside the run's own


def tables(n, columns, name):
    with open("wide.csv", "w", encoding="ascii") as f:
        f.write("candid," + ",".join(f"c{k}" for k in range(columns)) + "\n")
        f.write("1," + ",".join(str(k) for k in range(columns)) + "\n")
    with open(name, "w", encoding="ascii") as f:
        for i in range(n):
            f.write(f"[module.wide{i}]\nkind = lookup\nfile = wide.csv\nkey = candid\n")
    return ",".join(f"wide{i}" for i in range(n))


def columns():
    wide = tables(WIDE, COLUMNS, "wide.ini")
    run = ("run", "night.tar", "-c", "wide.ini", "-m", wide, "--overwrite", "-j", 1)
    r = nightjar(*run, "-o", "ndjson:out.ndjson")
    got = rows("out.ndjson") if r.returncode == 0 else []
    ok(len(got) == 10, "2,500 columns of modules: the run ends well", r.stderr[-500:])
    ok(
        got and sum(1 for k in got[0] if k.startswith("wide")) == WIDE * (COLUMNS + 1),
        "each column and reason is in the rows",
        got and len(got[0]),
    )
    r = nightjar(*run, "-o", "ndjson:w.ndjson", "-w", "wide4.c499 IS NULL AND wide0.c0 IS NULL")
    ok(
        r.returncode == 0 and len(rows("w.ndjson")) == 10,
        "and a clause over the first and the last",
        r.stderr[-500:],
    )
    for sink in ("avro:out.avro", "sqlite:out.db", "fits:out.fits"):
        r = nightjar(*run, "-o", sink)
        said = any(word in r.stderr for word in ("columns", "fields"))
        ok(
            r.returncode == 0 or (r.returncode in (1, 3) and said),
            f"{sink}: written, or refused with the number of columns",
            f"{r.returncode} {r.stderr[-500:]}",
        )


def modules():
    many = tables(300, 1, "many.ini")
    r = nightjar(
        "run", "night.tar", "-c", "many.ini", "-m", many, "-o", "ndjson:m.ndjson", "--report", "m.json"
    )
    ok(r.returncode == 0, "300 modules run", r.stderr[-500:])
    cpu = {m["name"]: m for m in report("m.json")["modules"]} if r.returncode == 0 else {}
    ok("wide299" in cpu, "the last one is in the report", list(cpu)[-3:])
    r = nightjar("run", "night.tar", "-c", "many.ini", "-m", "wide29")
    ok(r.returncode == 0, "one of many by its name", r.stderr[-500:])
    r = nightjar("run", "night.tar", "-c", "many.ini", "-m", "wide299x")
    ok(r.returncode == 1 and "'wide299'" in r.stderr, "the near miss of the last one is found", r.stderr)
    r = nightjar("run", "night.tar", "-c", "many.ini", "-m", "-wide299", "-o", "ndjson:n.ndjson")
    ok("wide299.reason" not in rows("n.ndjson")[0], "the last one can be left out", r.stderr[-300:])


def names():
    long = "l" + "o" * 70 + "ng"
    with open("long.ini", "w", encoding="ascii") as f:
        f.write(f"[module.{long}]\nkind = lookup\nfile = wide.csv\nkey = candid\n")
    r = nightjar("run", "night.tar", "-c", "long.ini", "-m", long)
    ok(
        r.returncode == 1 and "long.ini:1" in r.stderr and "49" in r.stderr,
        "a section of 80 letters is refused, not cut",
        r.stderr,
    )
    r = nightjar("run", "night.tar", "-D", f"module.{long}.kind=lookup", "-m", long)
    ok(
        r.returncode == 1 and long in r.stderr and "63" in r.stderr,
        "a module's name of 73 letters is refused, with the limit",
        r.stderr,
    )
    path = "packet.candidate." + "x" * 300
    r = nightjar("run", "night.tar", "-m", "nalerthist", "--columns", path, "-o", "ndjson:p.ndjson")
    ok(r.returncode != 0 or path in rows("p.ndjson")[0], "a path of 317 letters is not cut", r.stderr)


with Folder():
    nightjar("simulate", "-q", "-n", 10, "-o", "night.tar", "--truth", "t.csv")
    columns()
    modules()
    names()
done()
