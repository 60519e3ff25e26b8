#!/usr/bin/env python3
"""What a run says about itself beside its rows: sources that ended early, in report, table and ledger; lag by
partition; how long each output takes to flush and to commit."""

import gzip, os, shutil, tarfile
from mock_broker import MockBroker
from tap import Folder, done, nightjar, ok, report, rows

N = 60


def run(source, *more, sink="ndjson:o.ndjson"):
    r = nightjar("run", source, "-m", "roid", "-o", sink, "--overwrite", "--report", "r.json", *more)
    return r, report("r.json")


def sources():
    """Each of these ends before its end: (source, what must be said, exit code)."""
    with open("night.tar", "rb") as f:
        night = f.read()
    with open("cut.tar", "wb") as f:
        f.write(night[: len(night) // 2])
    with open("cut.tar.gz", "wb") as f:
        packed = gzip.compress(night)
        f.write(packed[: len(packed) // 2])
    with tarfile.open("night.tar") as t:
        t.extractall("folder")
        names = sorted(m.name for m in t.getmembers() if m.name.endswith(".avro"))
        with open("noend.tar", "wb") as f:
            last = t.getmembers()[-1]
            f.write(night[: last.offset_data + (last.size + 511) // 512 * 512])
    for k in (7, 8):
        with open(f"folder/{names[k]}", "rb") as f:
            packed = gzip.compress(f.read())
        with open(f"folder/{names[k]}.gz", "wb") as f:
            f.write(packed[: len(packed) // 2])
        os.remove(f"folder/{names[k]}")
    os.makedirs("many")
    for k in range(70):
        shutil.copy(f"folder/{names[7]}.gz", f"many/{k:02}.avro.gz")
    shutil.copy(f"folder/{names[0]}", "many/good.avro")
    return [
        ("cut.tar", "cut.tar", 2),
        ("cut.tar.gz", "cut.tar.gz", 2),
        ("noend.tar", "no end mark", 0),
        ("folder", f"{names[7]}.gz", 2),
    ]


def early():
    for source, words, code in sources():
        r, got = run(source)
        ok(r.returncode == code, f"{source}: exit code {code}", (r.returncode, r.stderr))
        ok(any(words in x for x in got["ended_early"]), f"{source}: in the report", got["ended_early"])
        ok("Ended early: " in r.stdout, f"{source}: in the table", r.stdout[:600])
        ok(got["ledger"]["closed"], f"{source}: the ledger closes")
        r = nightjar("ledger", "o.ndjson")
        ok("ended early: " in r.stdout and words in r.stdout, f"{source}: in the ledger on disk", r.stdout)
    r, got = run("folder")
    ok(len(got["ended_early"]) == 3, "two files of a folder, and the folder", got["ended_early"])
    r, got = run("many")
    ok(len(got["ended_early"]) == 64, "seventy of them: sixty-four are listed", len(got["ended_early"]))
    ok(got["ended_early_unlisted"] == 7, "and the others are counted", got["ended_early_unlisted"])
    ok(r.stdout.count("Ended early: ") == 6, "the table has five, and a line for the rest", r.stdout[:900])
    r, got = run("night.tar")
    ok(got["ended_early"] == [], "a whole archive: nothing")
    ok("nded early" not in r.stdout + nightjar("ledger", "o.ndjson").stdout, "nor is it said")


def lag():
    with MockBroker(partitions=6) as broker:
        broker.topic("night")
        r = nightjar("replay", "night.tar", "--to", f"kafka://{broker.server}/night", "--rate", "1000")
        ok(r.returncode == 0, "a night in Kafka", r.stderr)
        source = f"kafka://{broker.server}/night?group=g&from=earliest&until=count:20"
        r, got = run(source, "-D", "source.lag_s=0.2", sink="null:")
        ok(r.returncode == 0, "a part of it is read", r.stderr)
        ok("lag" in got, "the report has the lag", list(got))
        parts = got.get("lag", {}).get("partitions", [])
        behind = [p["messages"] for p in parts]
        ok(got["lag"]["messages"] == N - 20, "all that was not read", got["lag"])
        ok(sum(behind) == N - 20, "by partition", got["lag"])
        ok(len(parts) == 6, "all six of them", parts)
        ok(behind == sorted(behind, reverse=True), "the worst first", behind)
        ok(all(p["end"] - p["done"] == p["messages"] for p in parts), "with the offsets", parts)
        ok("Lag " in r.stdout, "the table has it", r.stdout[:900])
        text = r.stdout.replace("\n", " ")
        ok(f"Lag {N - 20} messages on 6 partitions: night[" in text, "in sum", r.stdout[:900])
        ok(
            text.split("Lag ")[1].split("nightjar lag")[0].count("night[") == 3,
            "and the worst three",
            text[:900],
        )


def outputs():
    r, got = run("night.tar", "-o", "sqlite:o.db", "-o", "null:", "-D", "run.commit_ms=10")
    names = [x["name"] for x in got["outputs"]]
    ok(names == ["ndjson:o.ndjson", "sqlite:o.db", "null:"], "each output has its times", got["outputs"])
    ok(all(x["flush"]["n"] > 0 for x in got["outputs"]), "flushes", got["outputs"])
    ok(all(x["commit"]["n"] > 0 for x in got["outputs"][:2]), "commits", got["outputs"])
    ok(all(x["commit"]["max_ms"] > 0 for x in got["outputs"][:2]), "with their time", got["outputs"])
    ok(got["outputs"][2]["commit"]["n"] == 0, "null: has none", got["outputs"])


def exit_codes():
    """1: nothing was read. 3: something was, and is not where it should be."""
    r = nightjar(
        "run", "night.tar", "-q", "-m", "roid", "-o", "ndjson:nowhere/o.ndjson", "--report", "no.json"
    )
    ok(r.returncode == 1, "an output that cannot be opened: exit code 1", r.stderr)
    ok(os.path.getsize("no.json") == 0 if os.path.exists("no.json") else True, "nothing was read", r.stderr)
    r = nightjar("run", "night.tar", "-q", "-m", "roid", "-o", "null:", "--report", "/dev/full")
    ok(r.returncode == 3, "a report that cannot be written behind the run: exit code 3", r.stderr)
    ok("the report cannot be written" in r.stderr, "and why", r.stderr)
    text = nightjar("run", "--help").stdout
    ok("an output that cannot be opened" in text, "the help says which is which", text[-900:])


with Folder():
    nightjar("simulate", "-q", "-n", N, "--seed", 5, "-o", "night.tar")
    outputs()
    exit_codes()
    lag()
    early()
done()
