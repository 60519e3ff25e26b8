#!/usr/bin/env python3
"""A clause that cannot be answered for one alert makes a dead letter of it; one that cannot be answered at
all ends the run."""

import os
from tap import Folder, done, nightjar, ok, report, rows

N = 90
OVERFLOW = "-9223372036854775807 - 1"  # abs() of it does not exist


def run(*args, rows_=64, threads=2):
    for f in ("out.ndjson", "dead.avro", "run.json"):
        if os.path.exists(f):
            os.remove(f)
    r = nightjar(
        "run",
        "night.tar",
        "-q",
        "-m",
        "roid",
        "-j",
        threads,
        "-D",
        f"run.batch_rows={rows_}",
        "-o",
        "ndjson:out.ndjson",
        "--dead-letters",
        "dead.avro",
        "--report",
        "run.json",
        *args,
    )
    return r, report("run.json")["ledger"] if os.path.exists("run.json") else {}


def one_alert(ids):
    failing = ids[17]
    for name, bad in [
        ("an overflow", f"abs(CASE WHEN candid = {failing} THEN {OVERFLOW} ELSE 1 END) > 0"),
        ("no JSON", f"json_extract(CASE WHEN candid = {failing} THEN '{{' ELSE '[1]' END, '$[0]') = 1"),
    ]:
        for args in [
            ["-w", bad],
            ["-t", f"mine={bad}"],
            ["-w", "rb > -1", "-t", f"mine={bad}", "-t", f"yours={bad}"],
        ]:
            for rows_ in (1, 7, 64):
                what = f"{name}, {' '.join(a for a in args if a.startswith('-'))}, batches of {rows_}"
                r, ledger = run(*args, rows_=rows_)
                ok(r.returncode == 0, f"{what}: the run ends well", r.stderr)
                ok(ledger.get("dead") == 1, f"{what}: one dead letter", ledger)
                ok(ledger.get("emitted") == N - 1, f"{what}: all others are rows", ledger)
                ok(ledger.get("closed") is True, f"{what}: the ledger closes", ledger)
                ok(
                    [x["candid"] for x in rows("out.ndjson")] == [i for i in ids if i != failing],
                    f"{what}: in their order",
                )
                ok(
                    "is dead: " + args[-2] in r.stderr
                    or "is dead: mine" in r.stderr
                    or "is dead: -w" in r.stderr,
                    f"{what}: the clause is named",
                    r.stderr,
                )
        r = nightjar("run", "dead.avro", "-q", "-m", "roid", "-o", "ndjson:again.ndjson", "--overwrite")
        ok(
            [x["candid"] for x in rows("again.ndjson")] == [failing],
            f"{name}: the letter is a source of that alert",
            r.stderr,
        )


def every_alert():
    for args in [["-w", f"abs({OVERFLOW} + 0 * candid) > 0"], ["-t", f"mine=json(object) IS NULL"]]:
        r, ledger = run(*args)
        ok(
            r.returncode == 3,
            f"{args[0]}: a clause that never has an answer ends the run",
            (r.returncode, r.stderr),
        )
        ok(r.stderr.count("error:") == 1, f"{args[0]}: with one error", r.stderr)
        ok(ledger.get("closed") is True, f"{args[0]}: the ledger closes", ledger)


def some_alerts(ids):
    r, ledger = run("-w", f"abs(CASE WHEN candid % 2 = 0 THEN {OVERFLOW} ELSE 1 END) > 0")
    even = sum(i % 2 == 0 for i in ids)
    ok(ledger.get("dead") == even and ledger.get("emitted") == N - even, "each second alert", (ledger, even))
    ok(r.returncode == 0, "and the run ends well", r.stderr)


def a_bad_stretch(ids):
    """Seventy alerts in a row, behind some that were answered: it is not the clause."""
    r, ledger = run(
        "-w", f"abs(CASE WHEN candid IN ({','.join(map(str, ids[10:80]))}) THEN {OVERFLOW} ELSE 1 END) > 0"
    )
    ok(r.returncode == 0, "seventy bad alerts in a row behind good ones: the run ends well", r.stderr)
    ok(ledger.get("dead") == 70, "each of them is a dead letter", ledger)
    ok(ledger.get("emitted") == N - 70, "and all others are rows", ledger)


def a_stream():
    """What ends a run at its first alerts would end it at each start: a stream continues."""
    for f in ("out.ndjson", "dead.avro"):
        os.remove(f)
    r = nightjar(
        "run",
        "embedded://night.tar",
        "-q",
        "-m",
        "roid",
        "-w",
        f"abs({OVERFLOW} + 0 * candid) > 0",
        "-o",
        "ndjson:out.ndjson",
        "--dead-letters",
        "dead.avro",
        "--report",
        "run.json",
    )
    ok(r.returncode == 0, "a stream whose clause never has an answer: the run ends well", r.stderr)
    ok(report("run.json")["ledger"]["dead"] == N, "all alerts are dead letters", r.stderr)


with Folder():
    nightjar("simulate", "-q", "-n", N, "--seed", 5, "-o", "night.tar")
    nightjar("run", "night.tar", "-q", "-m", "roid", "-o", "ndjson:all.ndjson")
    ids = [x["candid"] for x in rows("all.ndjson")]
    one_alert(ids)
    every_alert()
    some_alerts(ids)
    a_bad_stretch(ids)
    a_stream()
done()
