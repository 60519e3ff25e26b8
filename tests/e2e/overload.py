#!/usr/bin/env python3
"""[guard] max_lag_s: alerts that wait too long go without the costliest modules; --missing fills them in."""

import os, re
from overload_kit import module
from tap import Folder, done, nightjar, ok, report, rows

N = 600
# a bound that every alert is beyond: what is left out depends on no clock
ALWAYS = ("-D", "guard.max_lag_s=1e-9")
ALL = "dear,middle,cheap,reader,nalerthist"


def run(name, *more, modules=ALL):
    return nightjar(
        *("run", "night.tar", "--module-path", os.path.abspath("modules"), "-m", modules, "-q", "-j", "1"),
        *("-D", "run.batch_rows=16", "-o", f"ndjson:{name}.ndjson", "--report", f"{name}.json", *more),
    )


def without(name, module_name):
    return [r["candid"] for r in rows(f"{name}.ndjson") if r[f"{module_name}.reason"] == "shed"]


def shed(name):
    return {m["name"]: m for m in report(f"{name}.json")["guard"]["shed"]}


def what_goes_first():
    ok(run("whole").returncode == 0, "an unhurried run")
    r = run("hurried", *ALWAYS)
    ok(r.returncode == 0, "a hurried one", r.stderr)
    order = re.findall(r"warning: (\w+) is left out", r.stderr)
    ok(order[:2] == ["dear", "middle"], "the most expensive is left out first, then the next", r.stderr)
    dear, middle = set(without("hurried", "dear")), set(without("hurried", "middle"))
    ok(dear, "there are alerts without the most expensive one")
    ok(middle < dear, "those without the next one lack the most expensive as well, and are fewer")
    ok(set(without("hurried", "reader")) >= dear, "who reads its answers goes as well")
    ok(len(rows("hurried.ndjson")) == N, "every alert is a row")
    values = [x["dear.x"] for x in rows("hurried.ndjson") if x["candid"] in dear]
    ok(set(values) == {None}, "without a module there is no value")
    ledger = report("hurried.json")["ledger"]
    ok(ledger["emitted"] == N and ledger["dead"] == 0, "and the ledger closes", ledger)


def what_is_reported():
    found = shed("hurried")
    count = {m: len(without("hurried", m)) for m in ("dear", "middle", "cheap", "reader")}
    ok({m: found.get(m, {}).get("alerts", 0) for m in count} == count, "the report counts them", found)
    span = found["dear"]["ranges"]
    ok(sum(g["alerts"] for g in span) == count["dear"], "ranges have all of them", span)
    at = {a["candid"]: k for k, a in enumerate(rows("whole.ndjson"))}
    places = sorted(at[i] for i in without("hurried", "dear"))
    inside = [p for p in places if any(g["first"] <= p <= g["last"] for g in span)]
    ok(inside == places, "and say where they are", span)
    r = nightjar("ledger", "hurried.ndjson")
    ok(f"without dear, which was left out: {count['dear']}" in r.stdout, "the ledger says so, too", r.stdout)
    ok(shed("whole") == {}, "an unhurried run leaves nothing out", shed("whole"))


def filled_in():
    for spec in ("hurried.ndjson", "ndjson:hurried.ndjson"):
        r = run("filled", "--missing", spec, "--overwrite")
        ok(r.returncode == 0, f"--missing {spec}", r.stderr)
    new = {r["candid"]: r for r in rows("filled.ndjson")}
    old = {r["candid"]: r for r in rows("hurried.ndjson")}
    lacking = {i for i, r in old.items() if "shed" in [v for k, v in r.items() if k.endswith(".reason")]}
    ok(set(new) == lacking, "exactly the alerts that lack something are done again", len(new))
    whole = {r["candid"]: r for r in rows("whole.ndjson")}
    ok({**old, **new} == whole, "then all rows are those of the unhurried run")
    ledger = report("filled.json")["ledger"]
    ok(ledger["emitted"] + ledger["filtered"] == N, "the others are filtered", ledger)
    run("none", "--missing", "whole.ndjson")
    ok(rows("none.ndjson") == [], "of a whole output nothing is missing")


def other_outputs():
    r = run(
        "sq",
        *ALWAYS,
        *("-o", "sqlite:hurried.db", "-o", "ndjson:packed.ndjson.gz"),
        *("-o", "avro:hurried.avro", "-o", "fits:hurried.fits", "-o", "parquet:hurried.parquet"),
    )
    ok(r.returncode == 0, "SQLite, packed, Avro, FITS and Parquet beside it", r.stderr)
    run("from_sqlite", "--missing", "hurried.db")
    run("from_packed", "--missing", "packed.ndjson.gz")
    run("from_plain", "--missing", "sq.ndjson")
    plain = rows("from_plain.ndjson")
    ok(len(plain) > 0, "the plain output has some that lack a module")
    ok(rows("from_sqlite.ndjson") == plain, "SQLite says the same alerts")
    ok(rows("from_packed.ndjson") == plain, "a packed file, too")
    r = run("from_avro", "--missing", "avro:hurried.avro")
    ok(rows("from_avro.ndjson") == plain, "Avro as well", r.stderr)
    r = run("from_fits", "--missing", "hurried.fits")
    ok(rows("from_fits.ndjson") == plain, "and FITS", r.stderr)
    r = run("from_parquet", "--missing", "hurried.parquet")
    ok(rows("from_parquet.ndjson") == plain, "and Parquet", r.stderr)
    with open("no.parquet", "wb") as f:
        f.write(b"PAR1 and nothing more")
    r = run("from_no_parquet", "--missing", "no.parquet")
    ok(r.returncode == 1 and "no.parquet" in r.stderr, "a damaged one is refused by name", r.stderr)
    with open("hurried.avro", "rb") as f:
        whole = f.read()
    with open("cut.avro", "wb") as f:
        f.write(whole[:-7])
    r = run("from_cut", "--missing", "cut.avro")
    ok(r.returncode == 0 and "ends within a block" in r.stderr, "an Avro file that is cut: said", r.stderr)
    with open("no.avro", "wb") as f:
        f.write(whole[:30])
    r = run("from_no", "--missing", "no.avro")
    ok(r.returncode == 1 and "no.avro" in r.stderr, "one without its header is refused by name", r.stderr)
    with open("no.fits", "wb") as f:
        f.write(b"SIMPLE  =")
    r = run("from_no_fits", "--missing", "no.fits")
    ok(r.returncode == 1 and "no.fits" in r.stderr, "so is a table that is none", r.stderr)
    r = run("from_nowhere", "--missing", "nowhere.ndjson")
    ok(r.returncode == 1 and "nowhere.ndjson" in r.stderr, "a file that is not there is named", r.stderr)
    with open("broken.ndjson", "w", encoding="utf-8") as f:
        f.write('{"candid": 1, "dear.reason": "shed"}\n{"candid": \n')
    r = run("from_broken", "--missing", "broken.ndjson")
    ok(r.returncode == 1 and "line 2" in r.stderr, "a line that is no JSON is named", r.stderr)


def what_must_stay():
    r = run("clause", *ALWAYS, "-w", '"dear.x" > 0')
    ok(r.returncode == 0, "a clause that reads the most expensive one", r.stderr)
    ok(without("clause", "dear") == [], "then it stays: without it there would be no row")
    ok(without("clause", "middle"), "and the next one goes")
    r = run("topic", *ALWAYS, "-t", 't="reader.x" > 0')
    ok(without("topic", "dear") == [], "a topic reads what reads it: it stays as well", r.stderr)
    r = run("nothing", *ALWAYS, "-w", '"dear.x" > 0', modules="dear")
    ok("no module of this run is optional" in r.stderr, "nothing may go: said", r.stderr)
    r = run("uncounted", *ALWAYS, "-D", "run.counters=0")
    ok(
        r.returncode == 1 and "counters" in r.stderr,
        "without counters there is no cost to go by: refused",
        r.stderr,
    )


def bound():
    r = run("patient", "-D", "guard.max_lag_s=1e8")
    ok(shed("patient") == {}, "alerts that do not wait have all modules", r.stderr)


with Folder():
    nightjar("simulate", "-n", N, "-o", "night.tar", "-q")
    module("dear", 200000)
    module("middle", 20000)
    module("cheap", 10)
    module("reader", 11, "dear.x", '"1"')
    what_goes_first()
    what_is_reported()
    filled_in()
    other_outputs()
    what_must_stay()
    bound()
done()
