#!/usr/bin/env python3
"""Kafka messages in the forms that producers give them: keys of every kind, tombstones, schema ids in
headers, schemas that refer to others."""

import json, os, signal, subprocess, time
from avro import Schema, confluent, make_container
from mock_broker import MockBroker
from registry_stub import Stub
from tap import NIGHTJAR, Folder, done, nightjar, ok, report


def record(name, *fields):
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields]}


SCHEMA = record(
    "ztf.alert",
    ("publisher", ["null", "string"]),
    ("objectId", "string"),
    ("candid", "long"),
    (
        "candidate",
        record(
            "ztf.alert.candidate",
            ("jd", "double"),
            ("magpsf", "float"),
            ("position", record("ztf.alert.position", ("ra", "double"), ("dec", "double"))),
        ),
    ),
)
GUID = bytes(range(0xA0, 0xB0))
GUID_TEXT = "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf"


def alert(i):
    return {
        "publisher": None,
        "objectId": f"ZTF26a{i}",
        "candid": 7000 + i,
        "candidate": {"jd": 2461000.5, "magpsf": 18.5, "position": {"ra": 10.0, "dec": 20.0}},
    }


def datum(i):
    return Schema(SCHEMA).write(alert(i))


def ocf(i):
    return make_container(SCHEMA, [alert(i)])


counter = 0


def read(messages, *args):
    """The candids of the rows, the ledger, the process, the lag of the group afterwards."""
    global counter
    counter += 1
    for f in ("o.ndjson", "o.ndjson.meta.json", "d.avro", "r.json"):
        if os.path.exists(f):
            os.remove(f)
    topic = f"made.up.{counter}"
    broker.topic(topic)
    broker.send(topic, messages)
    url = f"kafka://{broker.server}/{topic}?group=g{counter}"
    r = nightjar(
        "run",
        "-m",
        "roid",
        "-o",
        "ndjson:o.ndjson",
        "--report",
        "r.json",
        "--dead-letters",
        "d.avro",
        *args,
        url + "&from=earliest&until=end",
    )
    with open("o.ndjson", encoding="utf-8") as f:
        got = [json.loads(x)["candid"] for x in f]
    lag = nightjar("lag", url, "--json")
    return (
        got,
        report("r.json")["ledger"],
        r,
        json.loads(lag.stdout)["lag"] if lag.returncode == 0 and lag.stdout else lag.stderr,
    )


def keys():
    connect = json.dumps(
        {"schema": {"type": "struct", "fields": [{"type": "string", "field": "id"}]}, "payload": {"id": "x"}}
    ).encode()
    kinds = [
        ("no key", None),
        ("text", b"ZTF26a"),
        ("JSON", b'{"objectId": "ZTF26a0"}'),
        ("JSON, cut", b'{"objectId": "'),
        ("Kafka Connect's", connect),
        ("JSON with a \"type\"", b'{"type": "record of a star", "fields": 3}'),
        ("a number", b"{7"),
        ("a schema", json.dumps(SCHEMA).encode()),
        ("escapes", b'{"a\\"type\\":": "}", "type": {"type": "record"}}'),
        ("NUL bytes", b"{\0\0"),
    ]
    got, ledger, r, _ = read([(ocf(i), key, None) for i, (_, key) in enumerate(kinds)])
    for i, (name, _) in enumerate(kinds):
        ok(7000 + i in got, f"a container file whose key is: {name}", r.stderr)
    plain = [k for k in kinds if k[0] != "a schema"]
    got, ledger, r, _ = read(
        [(confluent(902, datum(i)), key, None) for i, (_, key) in enumerate(plain)], "--schemas", "."
    )
    for i, (name, _) in enumerate(plain):
        ok(7000 + i in got, f"a payload with a schema id whose key is: {name}", r.stderr)
    texts = [json.dumps(SCHEMA, indent=indent).encode() for indent in (None, 1)]
    named = Schema(SCHEMA).write({**alert(5), "publisher": "made up"})
    got, ledger, r, _ = read(
        [
            (datum(3), texts[0], None),
            (datum(4), texts[1], None),
            (named, b'{"objectId": "A"}', None),
            (ocf(6), b'{"objectId": "B"}', None),
        ]
    )
    ok(got == [7003, 7004, 7006], "a bare payload needs its key, the schema", r.stderr)
    ok(
        ledger["dead"] == 1 and "key is JSON but not the schema" in r.stderr,
        "without a schema it is dead, and the reason says that the key is none",
        r.stderr,
    )
    many = [(ocf(i), json.dumps({"id": i, "type": "x"}).encode(), None) for i in range(30)]
    got, ledger, r, _ = read(many, "-D", "decode.max_schemas=5")
    ok(got == [7000 + i for i in range(30)], "thirty different JSON keys are no thirty schemas", r.stderr)


def tombstones():
    null, empty = (None, b"k", None), (b"", b"k", None)
    for name, messages, want, passed in (
        ("in the middle", [(ocf(0), b"k", None), null, (ocf(1), None, None), empty], [7000, 7001], 2),
        ("only", [null, null, empty], [], 3),
        ("first and last", [null, (ocf(2), None, None), null], [7002], 2),
    ):
        got, ledger, r, lag = read(messages, "--strict")
        ok(got == want, f"tombstones {name}: the alerts", r.stderr)
        ok(
            r.returncode == 0 and ledger["closed"] and ledger["dead"] == 0,
            f"tombstones {name}: no dead letters, also with --strict",
            r.stderr,
        )
        ok(
            r.stderr.count("skipped") == 1 and f"skipped {passed} empty message" in r.stderr,
            f"tombstones {name}: counted in one line",
            r.stderr,
        )
        ok(lag == 0, f"tombstones {name}: nothing is left to read", lag)


def header_ids():
    with open(f"{GUID_TEXT}.avsc", "w", encoding="utf-8") as f:
        json.dump(SCHEMA, f)
    here = ("--schemas", ".")
    number = [("__value_schema_id", b"\0" + (902).to_bytes(4, "big"))]
    guid = [("other", b"x"), ("__value_schema_id", b"\1" + GUID)]
    got, _, r, _ = read(
        [
            (datum(1), b'{"id": 1}', number),
            (datum(2), None, guid),
            (confluent(902, datum(3)), None, None),
            (ocf(4), None, number),
        ],
        *here,
    )
    ok(
        got == [7001, 7002, 7003, 7004],
        "id in a header, GUID in a header, id in front, container file: in one topic",
        r.stderr,
    )
    with Stub({902: json.dumps(SCHEMA), f"/schemas/guids/{GUID_TEXT}": {"schema": json.dumps(SCHEMA)}}) as s:
        got, _, r, _ = read(
            [(datum(1), None, number), (datum(2), None, guid), (datum(3), None, guid)],
            "--registry",
            s.url,
            "-D",
            "registry.cache=off",
        )
        ok(got == [7001, 7002, 7003], "the registry knows both", r.stderr)
        ok(
            s.requests == ["/schemas/ids/902", f"/schemas/guids/{GUID_TEXT}"],
            "and is asked once for each",
            s.requests,
        )
    got, ledger, r, _ = read(
        [(datum(1), None, [("__value_schema_id", b"\0\1")]), (datum(2), None, number)], *here
    )
    ok(
        got == [7002] and ledger["dead"] == 1 and "__value_schema_id" in r.stderr,
        "a header that is neither: dead, and named",
        r.stderr,
    )
    got, ledger, r, _ = read([(datum(1), None, number), (datum(2), None, guid)])
    ok(got == [] and ledger["dead"] == 2, "without a schema both are dead", r.stderr)
    again = nightjar("run", "-q", "-m", "roid", *here, "-o", "ndjson:-", "d.avro")
    ok(
        [json.loads(x)["candid"] for x in again.stdout.splitlines()] == [7001, 7002],
        "and come again from the dead letters",
        again.stderr,
    )


def references():
    candidate = SCHEMA["fields"][3]["type"]
    position = candidate["fields"][2]["type"]
    flat = json.loads(json.dumps(candidate))
    flat["fields"][2]["type"] = position["name"]
    outer = json.loads(json.dumps(SCHEMA))
    outer["fields"][3]["type"] = candidate["name"]
    ref = lambda name, subject: {"name": name, "subject": subject, "version": 3}
    of_candidate, of_position = ref(candidate["name"], "the candidate/x"), ref(position["name"], "position")
    answers = {
        "/schemas/ids/900": {"schema": json.dumps(outer), "references": [of_candidate, of_position]},
        "/subjects/the%20candidate%2Fx/versions/3": {"schema": json.dumps(flat), "references": [of_position]},
        "/subjects/position/versions/3": {"schema": json.dumps(position)},
    }
    with open("wire.msg", "wb") as f:
        f.write(confluent(900, datum(6)))
    run = lambda *a: nightjar(
        "run",
        "-q",
        "-m",
        "roid",
        "-o",
        "ndjson:-",
        "--dead-letters",
        "d.avro",
        "--append",
        *a,
        "wire.msg",
        env={"XDG_CACHE_HOME": os.getcwd()},
    )
    with Stub(answers) as s:
        r = run("--registry", s.url)
        ok(
            r.stdout and json.loads(r.stdout)["candid"] == 7006,
            "references, and references of references",
            r.stderr,
        )
        ok(sorted(s.requests) == sorted(answers), "each is fetched once", s.requests)
        n = len(s.requests)
        r = run("--registry", s.url)
        ok(r.stdout and len(s.requests) == n, "the next run has the whole from the disk", r.stderr)
    del answers["/subjects/position/versions/3"]
    with Stub(answers) as s:
        r = run("--registry", s.url, "-D", "registry.cache=off")
        ok(
            not r.stdout and position["name"] in r.stderr and "HTTP status 404" in r.stderr,
            "a reference that is not there is named",
            r.stderr,
        )


def again():
    """A stream with from=earliest in a group that has read: others have these rows."""
    broker.topic("again")
    broker.send("again", [(ocf(i), None, None) for i in range(3)])
    url = f"kafka://{broker.server}/again?group=again"

    def told(query, n):
        """What a run says until it has written n rows."""
        args = ["-m", "roid", "-o", "ndjson:again.ndjson", "--overwrite", "-D", "kafka.group_instance=off"]
        args += ["-X", "session.timeout.ms=3000", "-X", "heartbeat.interval.ms=300"]
        if os.path.exists("again.ndjson"):
            os.remove("again.ndjson")
        with open("again.log", "w", encoding="utf-8") as log:
            child = subprocess.Popen([NIGHTJAR, "run", f"{url}&{query}", *args], stdout=log, stderr=log)
            end = time.time() + 60
            while time.time() < end and child.poll() is None and lines("again.ndjson") < n:
                time.sleep(0.1)
            child.send_signal(signal.SIGINT)
            child.wait(60)
        return read_log()

    words = "alerts come again"
    ok(words not in told("from=earliest", 3), "a new group reads from the first message")
    said = told("from=earliest", 3)
    ok(words in said, "when it has read, from=earliest is said to repeat", said)
    broker.send("again", [(ocf(9), None, None)])
    said = told("from=committed", 1)
    ok(words not in said, "from=committed continues", said)


def read_log():
    with open("again.log", encoding="utf-8") as f:
        return f.read()


def lines(path):
    if not os.path.exists(path):
        return 0
    with open(path, "rb") as f:
        return f.read().count(b"\n")


with Folder():
    with open("902.avsc", "w", encoding="utf-8") as f:
        json.dump(SCHEMA, f)
    with MockBroker(1) as broker:
        keys()
        tombstones()
        header_ids()
        again()
    references()
done()
