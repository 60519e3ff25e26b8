#!/usr/bin/env python3
"""N runs with --shard take a night apart: by what the source is made of, by exposure, by alert. Together they
have each alert once, whatever is killed in between, and each says what it left to the others."""

import json, os, signal, subprocess, tarfile, time
from mock_broker import MockBroker
from tap import NIGHTJAR, Folder, done, needs, nightjar, ok, report, rows

needs("fastavro", "pyarrow")
import fastavro, pyarrow, pyarrow.parquet

MODULES = ["-m", "roid,nalerthist"]
OFTEN = ["-D", "run.commit_ms=10", "-D", "run.flush_ms=5", "-D", "run.batch_rows=4"]


def shard(source, k, n, *more):
    name = f"s{k}"
    if os.path.exists(f"{name}.json"):
        os.remove(f"{name}.json")
    args = [*MODULES, "--shard", f"{k}/{n}", "-o", f"ndjson:{name}.ndjson", "--overwrite"]
    r = nightjar("run", source, *args, "--report", f"{name}.json", "--dead-letters", f"{name}.avro", *more)
    if not os.path.exists(f"{name}.json"):
        return r, [], {"sources": [], "ledger": {}}
    return r, rows(f"{name}.ndjson"), report(f"{name}.json")


def in_order(found):
    found = sorted(found, key=lambda r: (r["shard.part"], r["shard.record"]))
    return [{k: v for k, v in r.items() if not k.startswith("shard.")} for r in found]


def check(what, source, n, part, *more, whole=(), code=0):
    """All shards of a source against one run; the parts that each counted."""
    r = nightjar("run", source, *MODULES, "-o", "ndjson:whole.ndjson", "--overwrite", *whole)
    all_rows, found, parts, others, alerts = rows("whole.ndjson"), [], [], [], []
    for k in range(1, n + 1):
        r, got, said = shard(source, k, n, *more)
        ok(r.returncode == code, f"{what}: shard {k} of {n} ends with {code}", r.stderr)
        found += got
        parts.append(
            (sum(s.get("own", 0) for s in said["sources"]), sum(s.get("left", 0) for s in said["sources"]))
        )
        others.append(said["ledger"].get("others", 0))
        alerts.append(said["ledger"]["consumed"])
        if part:
            ok(
                {s["part"] for s in said["sources"] if "part" in s} == {part},
                f"{what}: it deals out {part}s",
                said,
            )
    ok(len(all_rows) > 0, f"{what}: one run has rows")
    ok(in_order(found) == all_rows, f"{what}: the rows of {n} shards in their order are those of one run")
    if part:
        total = sum(own for own, _ in parts)
        ok({own + left for own, left in parts} == {total}, f"{what}: every shard saw all {part}s", parts)
    else:
        total = sum(alerts)
        ok(
            {a + o for a, o in zip(alerts, others)} == {total},
            f"{what}: every shard saw all alerts",
            (alerts, others),
        )
    return found


def refused(what, words, *args):
    r = nightjar("run", *args, "-o", "ndjson:x.ndjson")
    ok(r.returncode in (1, 2), f"{what} is refused", r)
    ok(words in r.stderr, f"{what}: it says why", r.stderr)


with Folder():
    nightjar("simulate", "-q", "-n", 400, "--exposures", 7, "--schema", "4.02", "-o", "night.tar")
    with tarfile.open("night.tar") as tar:
        tar.extractall("folder", filter="data")
    nightjar("run", "night.tar", "-q", "-m", "roid", "-o", "packets:one.avro", "-D", "run.flush_ms=1")

    check("archive", "night.tar", 4, "member")
    check("folder", "folder", 3, "file")
    check("one file", "one.avro", 3, None)
    check("a run alone", "night.tar", 1, "member")
    check("more shards than members", "folder", 5, "file", "-w", "mag < 19", whole=["-w", "mag < 19"])
    found = check("by id", "night.tar", 3, None, "--shard-by", "id")
    found = check("by exposure", "night.tar", 3, None, "--shard-by", "exposure")
    of = {}
    for k in (1, 2, 3):
        for row in rows(f"s{k}.ndjson"):
            of.setdefault(row["exposure"], set()).add(k)
    ok(len(of) == 7 and all(len(ks) == 1 for ks in of.values()), "no exposure is in two shards", of)

    # Parquet: row groups over two files, one of them of lists
    with open("one.avro", "rb") as f:
        packets = list(fastavro.reader(f))
    os.makedirs("parquet")
    for i, some in enumerate((packets[:230], packets[230:])):
        flat = [{k: v for k, v in p.items() if not k.startswith("cutout")} for p in some]
        pyarrow.parquet.write_table(
            pyarrow.Table.from_pylist(flat), f"parquet/{i}.parquet", row_group_size=37
        )
    check("Parquet", "parquet", 4, "row group")
    check("Parquet by id", "parquet", 3, None, "--shard-by", "id")

    # what cannot be read is in one shard, and one alone
    with open("one.avro", "rb") as f:
        bytes_ = bytearray(f.read())
    at, sync = 0, bytes(bytes_[-16:])  # a sync marker in the middle
    for _ in range(6):
        at = bytes_.index(sync, at + 1)
    bytes_[at] ^= 0xFF
    with open("bad.avro", "wb") as f:
        f.write(bytes_)
    with tarfile.open("bad.tar", "w") as tar:
        for i, name in enumerate(sorted(os.listdir("folder"))[:60]):
            tar.add(f"folder/{name}", name)
            if i % 9 == 0:
                with open("torn.avro", "wb") as f:
                    f.write(open(f"folder/{name}", "rb").read()[:2000])
                tar.add("torn.avro", f"torn{i}.avro")
    for source, by in (
        ("bad.avro", "part"),
        ("bad.avro", "id"),
        ("bad.tar", "part"),
        ("bad.tar", "exposure"),
    ):
        nightjar("run", source, *MODULES, "-o", "ndjson:w.ndjson", "--overwrite", "--report", "w.json")
        dead = [shard(source, k, 3, "--shard-by", by)[2]["ledger"]["dead"] for k in (1, 2, 3)]
        ok(report("w.json")["ledger"]["dead"] > 0, f"{source}: something in it is dead")
        ok(sum(dead) == report("w.json")["ledger"]["dead"], f"{source} by {by}: each dead letter once", dead)
    nightjar("run", "bad.tar", *MODULES, "-o", "null:", "--dead-letters", "dead.avro")
    sums = [shard("dead.avro", k, 2)[2] for k in (1, 2)]
    ok(
        [s["sources"][0]["part"] for s in sums] == ["letter"] * 2,
        "dead letters are dealt out as letters",
        sums,
    )
    ok(sum(s["ledger"]["dead"] for s in sums) == 7, "and each of them is in one shard", sums)

    # two sources: the second one's rows come behind the first one's
    every = []
    for k in (1, 2, 3):
        args = [
            "folder",
            "night.tar",
            *MODULES,
            "--shard",
            f"{k}/3",
            "-o",
            f"ndjson:s{k}.ndjson",
            "--overwrite",
        ]
        nightjar("run", *args)
        every += rows(f"s{k}.ndjson")
    nightjar("run", "folder", "night.tar", *MODULES, "-o", "ndjson:whole.ndjson", "--overwrite")
    ok(in_order(every) == rows("whole.ndjson"), "two sources keep their order")

    # a shard that is killed again and again continues as itself, and as no other
    nightjar("run", "night.tar", *MODULES, "-o", "ndjson:whole.ndjson", "--overwrite")
    every, stopped = [], 0
    for by in ("part", "exposure"):
        every = []
        for k in (1, 2):
            args = [NIGHTJAR, "run", "night.tar", *MODULES, "--shard", f"{k}/2", "--shard-by", by, *OFTEN]
            args += ["-o", f"ndjson:r{k}{by}.ndjson", "--report", "r.json", "--resume", "-q"]
            for kill in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
                p = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                end = time.time() + 60
                path = f"r{k}{by}.ndjson"
                before = os.path.getsize(path) if os.path.exists(path) else 0
                while p.poll() is None and time.time() < end:
                    if os.path.exists(path) and os.path.getsize(path) > before:
                        break
                    time.sleep(0.002)
                p.send_signal(kill)
                stopped += p.wait(60) != 0
            r = subprocess.run(args, capture_output=True, text=True, timeout=120)
            ok(r.returncode == 0, f"by {by}: shard {k} of 2 comes to its end", r.stderr)
            every += rows(f"r{k}{by}.ndjson")
            with open(f"r{k}{by}.ndjson.journal") as f:
                lines = [line for line in f if '"shard"' in line]
            ok(
                '"complete":true' in lines[-1].replace(" ", ""),
                f"by {by}: the journal of shard {k} is complete",
            )
            state = json.loads(lines[-1])["state"]
            state = json.loads(state) if isinstance(state, str) else state
            s = state["streams"][0]
            sum_ = s["emitted"] + s.get("others", 0)
            ok(sum_ == (400 if by == "exposure" else 200), f"by {by}: others are counted once", state)
        ok(in_order(every) == rows("whole.ndjson"), f"by {by}: killed shards have the rows of one run")
    ok(stopped > 0, "some of them were killed before their end")
    r = nightjar(
        "run", "night.tar", *MODULES, "--shard", "2/2", *OFTEN, "-o", "ndjson:r1part.ndjson", "--resume"
    )
    ok(r.returncode == 1, "a shard does not continue another's output", r)
    ok("shard 1/2 by part" in r.stderr, "and the message names it", r.stderr)

    # Kafka: partitions by their names
    with MockBroker(partitions=5) as mock:
        server = mock.server
        with tarfile.open("some.tar", "w") as tar:
            for name in sorted(os.listdir("folder"))[:120]:
                tar.add(f"folder/{name}", name)
        nightjar("run", "some.tar", *MODULES, "-o", "ndjson:whole.ndjson", "--overwrite")
        mock.topic("night")
        mock.topic("rows")
        r = nightjar("replay", "some.tar", "--to", f"kafka://{server}/night", "-q")
        ok(r.returncode == 0, "a topic of five partitions is there", r.stderr)
        url = f"kafka://{server}/night?group=g&from=earliest&until=end"
        got, parts = [], []
        for k in (1, 2, 3):
            r, found, said = shard(url, k, 3)
            ok(r.returncode == 0, f"Kafka: shard {k} of 3 ends with 0", r.stderr)
            got += found
            parts.append(
                (
                    sum(s.get("own", 0) for s in said["sources"]),
                    sum(s.get("left", 0) for s in said["sources"]),
                )
            )
        ok(parts == [(2, 3), (2, 3), (1, 4)], "Kafka: partitions are dealt out in turn", parts)
        ok(
            sorted(r["candid"] for r in got) == sorted(r["candid"] for r in rows("whole.ndjson")),
            "Kafka: each alert once",
        )
        ok(
            len({(r["shard.part"], r["shard.record"]) for r in got}) == 120,
            "Kafka: each has a place of its own",
        )
        r, found, said = shard(url, 6, 6)
        ok(r.returncode == 0 and not found, "Kafka: a shard without a partition ends, and says so", r.stderr)
        refused("a live stream", "without an end", f"kafka://{server}/night?group=g", "--shard", "1/2")
        refused(
            "from=latest", "as they start", f"kafka://{server}/night?from=latest&until=end", "--shard", "1/2"
        )
        refused("until=count", "of each shard", f"kafka://{server}/night?until=count:9", "--shard", "1/2")
        refused("exposures of a topic", "by partition", url, "--shard", "1/2", "--shard-by", "exposure")
        # an output that is no file has no columns of the shard
        r = nightjar("run", "some.tar", *MODULES, "--shard", "1/2", "-o", f"kafka://{server}/rows", "-q")
        r = nightjar(
            "run", f"kafka://{server}/rows?from=earliest&until=end", "--dead-letters", "k.avro", "-o", "null:"
        )
        with open("k.avro", "rb") as f:
            value = json.loads(next(fastavro.reader(f))["packet"])
        ok(
            "candid" in value and "shard.part" not in value,
            "rows in Kafka have the night's columns alone",
            value,
        )

    refused("--limit", "--limit", "night.tar", "--shard", "1/2", "--limit", "5")
    refused("dedup", "dedup", "night.tar", "--shard", "1/2", "-D", "run.dedup=10")
    refused("the embedded broker", "embedded", "embedded://night.tar", "--shard", "1/2")
    refused("shard 0", "expected K/N", "night.tar", "--shard", "0/2")
    refused("shard 3 of 2", "expected K/N", "night.tar", "--shard", "3/2")
    refused("no numbers", "expected K/N", "night.tar", "--shard", "a/b")
    refused("--shard-by alone", "--shard K/N", "night.tar", "--shard-by", "id")
    refused("--shard-by night", "exposure or id", "night.tar", "--shard", "1/2", "--shard-by", "night")
done()
