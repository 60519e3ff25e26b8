#!/usr/bin/env python3
"""`run --trace ID`: what happens to one alert, from its source to its outputs, and nothing of the others."""

import os, re
from avro import make_container
from tap import Folder, done, nightjar, ok, rows

FIRST = 2630120002815015001  # 19 digits, as those of surveys


def record(name, *fields):
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields]}


POINT = record("ztf.alert.prv_candidate", ("jd", "double"), ("fid", "int"), ("magpsf", ["null", "float"]))
SCHEMA = record(
    "ztf.alert",
    ("candid", "long"),
    ("objectId", "string"),
    (
        "candidate",
        record(
            "ztf.alert.candidate",
            ("jd", "double"),
            ("fid", "int"),
            ("magpsf", "float"),
            ("rb", "float"),
            ("ra", "double"),
            ("dec", "double"),
            ("programid", "int"),
            ("ndethist", "int"),
            ("sgscore1", "float"),
            ("distpsnr1", "float"),
            ("ssdistnr", "float"),
        ),
    ),
    ("prv_candidates", ["null", {"type": "array", "items": POINT}]),
)


def alert(i, rb=0.75, name="ZTF26abcdefg", history=20, programid=1):
    return {
        "candid": FIRST + i,
        "objectId": name,
        "candidate": {
            "jd": 2461000.5,
            "fid": 1,
            "magpsf": 18.5,
            "rb": rb,
            "ra": 10.0,
            "dec": 20.0,
            "programid": programid,
            "ndethist": 20,
            "sgscore1": 0.5,
            "distpsnr1": 5.0,
            "ssdistnr": -999.0,
        },
        "prv_candidates": [{"jd": 2460900.5 + k, "fid": 1, "magpsf": 19.0} for k in range(history)],
    }


def write(path, *alerts):
    with open(path, "wb") as f:
        f.write(make_container(SCHEMA, list(alerts)))


def run(*args, source="night.avro"):
    return nightjar("run", source, "-q", "-m", "roid", "--dead-letters", "d.avro", "--overwrite", *args)


def lines(text, i):
    """What is said of an alert, in order."""
    return re.findall(rf"^(?:\S+Z )?(?:nightjar: )?trace {FIRST + i}: (.*)$", text, re.M)


def has(said, pattern, name):
    return ok(any(re.search(pattern, line) for line in said), name, "\n".join(said))


def the_whole_path():
    r = run(
        "-o",
        "ndjson:a.ndjson",
        "-w",
        "rb > 0.5",
        "-t",
        "bright=mag < 19",
        "-t",
        "faint=mag > 19",
        "--trace",
        FIRST + 1,
    )
    said = lines(r.stderr, 1)
    has(said, r"^it came from night\.avro, record 1, \d+ bytes", "where it came from")
    has(said, r"^survey ztf, schema ztf\.alert", "survey and schema")
    has(said, r"^rb = 0.75$", "a column and its value")
    has(said, r"^lc\.mag = \[.*, \.\.\., .*\], 21 values", "a long series is shortened, with its length")
    has(said, r"^module roid: \w+, [\d.]+ us: roid = ", "a module's reason, time and answer")
    has(said, r"^-w: the clause is true$", "the filter")
    has(said, r"^topic bright: the clause is true$", "a topic that it matches")
    has(said, r"^topic faint: the clause is not true$", "a topic that it does not match")
    has(said, r"^written to ndjson:a\.ndjson$", "the output")
    has(said, r"^acknowledged .*: night.avro is done up to number 0$", "the acknowledgement")
    roid = [x["roid.roid"] for x in rows("a.ndjson") if x["candid"] == FIRST + 1]
    has(
        said,
        rf"^module roid: .*: roid = {roid[0] if roid[0] is not None else 'null'}$",
        "the answer is that of the row",
    )
    ok(not lines(r.stderr, 0) and not lines(r.stderr, 2), "nothing is said of the others", r.stderr)
    ok(len(re.findall("written to", r.stderr)) == 1, "written once", r.stderr)


def same_rows():
    run("-o", "ndjson:without.ndjson")
    run("-o", "ndjson:with.ndjson", "--trace", FIRST, "--trace", FIRST + 2)
    ok(open("without.ndjson").read() == open("with.ndjson").read(), "the rows are those without a trace")


def filtered():
    r = run("-o", "ndjson:f.ndjson", "-w", "rb > 0.95", "--trace", FIRST)
    said = lines(r.stderr, 0)
    has(said, "^-w: the clause is not true$", "a filtered alert: the clause")
    has(said, "^filtered", "a filtered alert: its end")
    ok(not any("written" in x for x in said), "a filtered alert is not written", r.stderr)


def private():
    write("private.avro", alert(0, programid=2))
    r = run("-o", "null:", "-t", "bright=mag < 19", "--trace", FIRST, source="private.avro")
    has(
        lines(r.stderr, 0),
        "bright: the clause is true, but its programme is not public",
        "a programme that is not public",
    )


def duplicate():
    write("twice.avro", alert(0), alert(0))
    r = run("-o", "null:", "-D", "run.dedup=100", "--trace", FIRST, source="twice.avro")
    said = lines(r.stderr, 0)
    has(said, "^it came again, from twice.avro, record 1", "the second one: where it came from")
    has(said, "^a duplicate", "the second one: its end")
    ok(sum("written to null:" in x for x in said) == 1, "the first one is written", "\n".join(said))


def limit():
    r = run("-o", "null:", "--limit", "1", "--trace", FIRST + 1)
    has(lines(r.stderr, 1), "^given back to the source", "behind --limit")


def dead_letters():
    good = make_container(SCHEMA, [alert(3)])
    cut = good[: len(good) - 40]
    open("cut.avro", "wb").write(cut)
    r = run("-o", "null:", "--trace", FIRST + 3, source="cut.avro")
    has(
        lines(r.stderr, 3),
        r"^a dead letter: cut\.avro, record 0: .* \(by decode\)$",
        "a packet that is cut: its bytes hold the id",
    )
    os.mkdir("folder")
    open(f"folder/{FIRST + 4}.avro", "wb").write(b"Obj\1 and nothing more")
    r = run("-o", "null:", "--trace", FIRST + 4, source="folder")
    has(lines(r.stderr, 4), r"^a dead letter: ", "a packet that nothing can be read of: its name is the id")
    r = run("-o", "null:", "--trace", (FIRST + 4) // 10, source="folder")
    ok(
        "a dead letter: " not in "".join(re.findall(r"^(?:\S+Z )?nightjar: trace .*", r.stderr, re.M)),
        "a part of the id is not the id",
        r.stderr,
    )
    r = run("-o", "null:", "-w", "abs(candid - candid - 9223372036854775807 - 1) > 0", "--trace", FIRST)
    said = lines(r.stderr, 0)
    has(said, r"^a dead letter: .*\(by filter\)$", "a clause that cannot be answered")
    has(said, "^no output has it: it is a dead letter$", "and its end")


def never():
    r = run("-o", "null:", "--trace", FIRST + 77)
    ok(lines(r.stderr, 77) == ["it did not come; 3 alerts did"], "an id that never came", r.stderr)
    ok(r.returncode == 0, "which is no error", r.stderr)


def into_a_file():
    r = run("-o", "null:", "--trace", FIRST, "--trace-file", "t.txt")
    ok("trace" not in r.stderr, "--trace-file: nothing on standard error", r.stderr)
    has(lines(open("t.txt").read(), 0), "^it came from night.avro", "--trace-file: the lines are in it")
    r = run("-o", "null:", "--trace", FIRST, "--trace-file", "no/such/t.txt")
    ok(r.returncode == 1 and "no/such/t.txt" in r.stderr, "a file that cannot be made", r.stderr)
    r = run("-o", "null:", "--trace-file", "u.txt")
    ok(r.returncode == 1 and "--trace" in r.stderr, "a file and no alert", r.stderr)


def ids():
    for bad in ("", "ZTF26abcdefg", "12x", "9" * 30, " 5"):
        r = run("-o", "null:", "--trace", bad)
        ok(r.returncode == 1 and "whole number" in r.stderr, f"--trace '{bad}' is refused", r.stderr)


def hostile():
    write("bad.avro", alert(5, name="ZTF\x1b[2Jx\ny"))
    r = run("-o", "null:", "--trace", FIRST + 5, source="bad.avro")
    ok("\x1b" not in r.stderr, "a text that would steer the terminal is escaped", r.stderr)
    has(lines(r.stderr, 5), "^object = 'ZTF", "and shown")


def threads_and_surveys():
    write("many.avro", *[alert(i) for i in range(300)])
    r = run("-o", "null:", "-j", "2", "--trace", FIRST + 299, "--trace", FIRST + 150, source="many.avro")
    for i in (150, 299):
        ok(sum("written to" in x for x in lines(r.stderr, i)) == 1, f"two threads: alert {i}", r.stderr)
    r = run("-o", "null:", "-D", "run.counters=0", "--trace", FIRST)
    has(lines(r.stderr, 0), r"^module roid: \w+: roid = ", "without counters there is no time")


with Folder():
    write("night.avro", alert(0), alert(1), alert(2))
    the_whole_path()
    same_rows()
    filtered()
    private()
    duplicate()
    limit()
    dead_letters()
    never()
    into_a_file()
    ids()
    hostile()
    threads_and_surveys()
done()
