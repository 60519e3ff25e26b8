#!/usr/bin/env python3
"""A row that Kafka will never take is a dead letter, counted, and the stream continues: too large for the
producer, or for the topic."""

import ctypes, io, os, tarfile
from mock_broker import MockBroker
from tap import Folder, done, needs, nightjar, ok, report, rows

needs("fastavro")
import fastavro

TOO_LARGE, PRODUCE = 10, 0  # an error and a request of Kafka's protocol
N = 40


def refuse(broker, n):
    """The next n requests of producers are refused, whatever is in them."""
    errors = (ctypes.c_int * n)(*[TOO_LARGE] * n)
    broker.lib.rd_kafka_mock_push_request_errors_array(
        ctypes.c_void_p(broker.cluster), ctypes.c_int16(PRODUCE), ctypes.c_size_t(n), errors
    )


def alerts():
    """[(schema, alert)]; the eighth has an object name of 1.2 MB."""
    nightjar("simulate", "-q", "-n", N, "--seed", 5, "-o", "night.tar")
    out = []
    with tarfile.open("night.tar") as t:
        for m in t.getmembers():
            if m.name.endswith(".avro"):
                reader = fastavro.reader(io.BytesIO(t.extractfile(m).read()))
                out.append((reader.writer_schema, next(reader)))
    out[7][1]["objectId"] = "ZTF" + "x" * 1200000
    return out


def sources(all_of_them):
    """The same alerts as single files, and as one file of compressed blocks of several."""
    os.makedirs("single")
    for i, (schema, alert) in enumerate(all_of_them):
        with open(f"single/{i:03}.avro", "wb") as f:
            fastavro.writer(f, schema, [alert])
    with open("blocks.avro", "wb") as f:
        fastavro.writer(
            f, all_of_them[0][0], [a for _, a in all_of_them], codec="deflate", sync_interval=4000000
        )
    return ["single", "blocks.avro"]


def run(source, *outputs, name, **settings):
    for f in (f"{name}.dead.avro", f"{name}.json", f"{name}.ndjson"):
        if os.path.exists(f):
            os.remove(f)
    r = nightjar(
        "run",
        source,
        "-q",
        "-m",
        "nalerthist",
        *outputs,
        "-o",
        f"ndjson:{name}.ndjson",
        "--dead-letters",
        f"{name}.dead.avro",
        "--report",
        f"{name}.json",
        *[x for k, v in settings.items() for x in ("-D", f"{k}={v}")],
    )
    return r, report(f"{name}.json")["ledger"]


def letters(path):
    with open(path, "rb") as f:
        return list(fastavro.reader(f))


def too_large_to_send(broker, all_of_them):
    large = all_of_them[7][1]["candid"]
    for i, source in enumerate(sources(all_of_them)):
        for j, outputs in enumerate(
            [
                ["-o", f"kafka://{broker.server}/a{i}"],
                ["-o", f"kafka://{broker.server}/b{i}", "-o", f"kafka://{broker.server}/c{i}"],
                ["-o", f"kafka://{broker.server}/", "-t", f"d{i}=rb > -1", "-t", f"e{i}=rb > -2"],
            ]
        ):
            what = f"{source}, {['one topic', 'two sinks', 'two topics'][j]}"
            r, ledger = run(source, *outputs, name=f"large{i}{j}")
            ok(r.returncode == 0, f"{what}: the run ends well", r.stderr)
            ok(ledger["dead"] == 1, f"{what}: one dead letter", ledger)
            ok(ledger["emitted"] == N - 1, f"{what}: the others are rows", ledger)
            ok(ledger["closed"], f"{what}: the ledger closes", ledger)
            ok(
                large not in [x["candid"] for x in rows(f"large{i}{j}.ndjson")],
                f"{what}: its row is in no other output",
            )
            letter = letters(f"large{i}{j}.dead.avro")
            ok(len(letter) == 1, f"{what}: the letter is in the file", len(letter))
            ok(letter[0]["module"] == "sink.kafka", f"{what}: it says who refused", letter[0]["module"])
            ok("message.max.bytes of [kafka]" in letter[0]["reason"], f"{what}: and why", letter[0]["reason"])
            ok("is dead: its row of 1" in r.stderr, f"{what}: so does the log", r.stderr)
            again, _ = run(f"large{i}{j}.dead.avro", name="again")
            ok(
                [x["candid"] for x in rows("again.ndjson")] == [large],
                f"{what}: the letter is a source of that alert",
                again.stderr,
            )
    r, ledger = run(
        "single",
        "-o",
        f"kafka://{broker.server}/larger",
        name="larger",
        **{"kafka.message.max.bytes": 4000000},
    )
    ok(ledger["emitted"] == N, "with a larger limit it is a row", (ledger, r.stderr))


def refused_by_the_broker(broker):
    broker.topic("all")
    refuse(broker, 1)
    r, ledger = run(
        "single", "-o", f"kafka://{broker.server}/all", name="batch", **{"kafka.message.max.bytes": 4000000}
    )
    ok(r.returncode == 0, "a batch of messages is refused: the run ends well", r.stderr)
    ok(ledger["emitted"] == N, "all were sent one by one", ledger)
    ok(
        "one by one" in r.stderr and "batch.size" in r.stderr,
        "the log says that, and what avoids it",
        r.stderr,
    )
    broker.topic("none")
    refuse(broker, 1000)
    r, ledger = run(
        "single", "-o", f"kafka://{broker.server}/none", name="none", **{"kafka.message.max.bytes": 4000000}
    )
    ok(r.returncode == 0, "every message is refused: the run ends well", r.stderr)
    ok(ledger["dead"] == N and ledger["closed"], "each is a dead letter", ledger)
    ok(len(letters("none.dead.avro")) == N, "in the file")
    ok(
        "topic none" in letters("none.dead.avro")[0]["reason"],
        "the topic is named",
        letters("none.dead.avro")[0]["reason"],
    )
    broker.lib.rd_kafka_mock_clear_request_errors(ctypes.c_void_p(broker.cluster), ctypes.c_int16(PRODUCE))


with Folder(), MockBroker(partitions=1) as mock:
    too_large_to_send(mock, alerts())
    refused_by_the_broker(mock)
done()
