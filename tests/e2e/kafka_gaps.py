#!/usr/bin/env python3
"""What a real Kafka never gives is counted, and holds nothing up: records deleted before they were read, a
batch that cannot be unpacked, a topic that is deleted under the run. Holes that transactions leave are no
loss."""

import json, os, signal, subprocess, tarfile, time
from tap import ROOT, Folder, done, needs, nightjar, ok, skip

needs("confluent_kafka")
import confluent_kafka as ck

NIGHTJAR = os.environ["NIGHTJAR"]
UP = os.path.join(ROOT, "tests", "e2e", "kafka-up")
broker = None
PATIENCE = 150  # seconds: a wait that lasts so long has failed


def topic(name, partitions=1):
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": broker})
    for f in admin.create_topics([NewTopic(name, partitions, 1)]).values():
        f.result(30)
    return admin


def send(name, values, partition=0, **settings):
    p = ck.Producer({"bootstrap.servers": broker, "message.max.bytes": 1000000000} | settings)
    for v in values:
        p.produce(name, v, partition=partition)
    p.flush(60)


def until(f):
    end = time.time() + PATIENCE
    while time.time() < end and not f():
        time.sleep(0.2)
    return bool(f())


def rows(path):
    return open(path, "rb").read().count(b"\n") if os.path.exists(path) else 0


def read(url, name):
    """A run to the end: exit code, rows, ledger, log."""
    args = [
        "run",
        "-m",
        "roid",
        url,
        "-o",
        f"ndjson:{name}.ndjson",
        "--overwrite",
        "--report",
        f"{name}.json",
    ]
    try:
        r = subprocess.run([NIGHTJAR, *args], capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None, rows(f"{name}.ndjson"), {}, "it does not end"
    ledger = json.load(open(f"{name}.json"))["ledger"] if os.path.exists(f"{name}.json") else {}
    return r.returncode, rows(f"{name}.ndjson"), ledger, r.stderr


def deleted(alerts):
    admin = topic("records")
    url = f"kafka://{broker}/records?group=g&from=committed&until=end"
    send("records", alerts[:20])
    rc, n, ledger, log = read(url, "first")
    ok(n == 20, "a first run reads what is there", (rc, n, log[-800:]))
    ok(ledger.get("missing") == 0, "and misses nothing", ledger)
    send("records", alerts[20:70])
    for f in admin.delete_records([ck.TopicPartition("records", 0, 60)]).values():
        f.result(30)
    rc, n, ledger, log = read(url, "second")
    ok(n == 10, "records were deleted meanwhile: the rest is read", (rc, n, log[-800:]))
    ok(ledger.get("missing") == 40, "those that were deleted are missing in the ledger", ledger)
    ok(ledger.get("closed") is True, "which closes", ledger)
    ok(
        "40 alerts are missing: the broker deleted offsets 20 to 59" in log,
        "a warning names them",
        log[-800:],
    )


def transactions(alerts):
    topic("marked")
    p = ck.Producer({"bootstrap.servers": broker, "transactional.id": "marked"})
    p.init_transactions(60)
    for i in range(10):
        p.begin_transaction()
        p.produce("marked", alerts[i], partition=0)
        p.flush()
        (p.abort_transaction if i % 3 == 2 else p.commit_transaction)()
    rc, n, ledger, log = read(f"kafka://{broker}/marked?group=g&until=end", "marked")
    ok(n == 7, "of transactions, what was committed is read", (rc, n, log[-800:]))
    ok(ledger.get("missing") == 0, "their holes are no loss", ledger)


def spoilt(alerts):
    topic("spoilt", 2)
    for k in (0, 1):
        send("spoilt", alerts[10 * k : 10 * k + 10], k)
    send(
        "spoilt",
        [b"\0" * 300_000_000],
        0,
        **{"compression.codec": "zstd", "queue.buffering.max.kbytes": 1000000},
    )
    for k in (0, 1):
        send("spoilt", alerts[20 + 10 * k : 30 + 10 * k], k)
    rc, n, ledger, log = read(f"kafka://{broker}/spoilt?group=g&until=end", "spoilt")
    ok(n == 40, "a batch that cannot be unpacked is skipped", (rc, n, log[-800:]))
    ok(ledger.get("missing") == 1, "and missing", ledger)
    ok("offsets 10 to 10 cannot be unpacked" in log, "which is reported", log[-800:])


def new_topics(alerts):
    """What a producer calls delivered is there, also when it was the first to write to a topic."""
    c = ck.Consumer({"bootstrap.servers": broker, "group.id": "counts"})
    lost = []
    for k in range(40):
        name = f"new{k}"
        r = nightjar("replay", "night.tar", "--to", f"kafka://{broker}/{name}")
        sent = int(r.stderr.split(" messages")[0].split()[-1]) if " messages" in r.stderr else -1
        parts = c.list_topics(name, timeout=120).topics[name].partitions
        there = sum(c.get_watermark_offsets(ck.TopicPartition(name, p), timeout=120)[1] for p in parts)
        if not sent == there == len(alerts):
            lost.append((name, sent, there, r.stderr[-300:]))
    c.close()
    ok(not lost, "forty new topics have every message that was sent", lost)


def topic_deleted(alerts):
    admin = topic("n_20260101", 2)
    topic("n_20260102", 2)
    send("n_20260101", alerts[:10])
    send("n_20260102", alerts[10:20])
    url = f"kafka://{broker}/^n_[0-9]*$?group=g&from=committed"
    log = open("live.log", "w")
    args = ["run", "-m", "roid", url, "-o", "ndjson:live.ndjson", "--report", "live.json"]
    p = subprocess.Popen([NIGHTJAR, *args], stdout=subprocess.DEVNULL, stderr=log)
    ok(
        until(lambda: rows("live.ndjson") == 20),
        "a pattern of nights is read",
        open("live.log").read()[-800:],
    )
    for f in admin.delete_topics(["n_20260101"]).values():
        f.result(30)
    until(lambda: "not exist" in open("live.log").read() or "Unknown" in open("live.log").read())
    time.sleep(3)  # the library has dropped the partitions: it is then that its end hangs
    p.send_signal(signal.SIGTERM)
    try:
        rc = p.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        p.kill()
        rc = None
    ok(rc == 130, "one night is deleted, and SIGTERM ends the run", (rc, open("live.log").read()[-800:]))
    size = os.path.getsize("live.json") if os.path.exists("live.json") else 0
    ok(size > 0 and json.load(open("live.json"))["ledger"]["emitted"] == 20, "with its report", size)


def made_anew(alerts):
    """A topic of the same name that has more than was read of the old one; and a group that was forgotten."""
    url = f"kafka://{broker}/again?group=again&from=committed&until=end"
    args = ["run", url, "-q", "-m", "roid", "-o", "ndjson:again.ndjson", "--append"]
    admin = topic("again")
    send("again", alerts[:10])
    nightjar(*args)
    ok(rows("again.ndjson") == 10, "a topic is read", rows("again.ndjson"))
    for f in admin.delete_consumer_groups(["again"]).values():
        f.result(30)
    r = nightjar(*args)
    ok(rows("again.ndjson") == 10, "a group that was forgotten: nothing comes twice", r.stderr)
    for f in admin.delete_topics(["again"]).values():
        f.result(30)
    until(lambda: "again" not in admin.list_topics(timeout=120).topics)
    topic("again")
    send("again", alerts[10:40])
    r = nightjar(*args)
    ok(
        rows("again.ndjson") == 40,
        "a longer topic of that name is read whole",
        (rows("again.ndjson"), r.stderr),
    )
    ok("was created again" in r.stderr, "which is reported", r.stderr)


def main():
    global broker
    r = subprocess.run([UP, "start", os.path.abspath("kafka")], capture_output=True, text=True)
    if r.returncode == 3:
        return skip("gaps of a real Kafka", r.stderr.strip().splitlines()[-1])
    if not ok(r.returncode == 0, "a real Kafka starts", r.stderr):
        return
    env = subprocess.run(["bash", "-c", '. kafka/env; echo "$KAFKA"'], capture_output=True, text=True)
    broker = env.stdout.strip()
    try:
        nightjar("simulate", "-n", 100, "--seed", 5, "-q", "-o", "night.tar")
        with tarfile.open("night.tar") as t:
            alerts = [t.extractfile(m).read() for m in t if m.isfile() and m.name.endswith(".avro")]
        for case in (new_topics, deleted, transactions, spoilt, topic_deleted, made_anew):
            case(alerts)
    finally:
        subprocess.run([UP, "stop", os.path.abspath("kafka")], capture_output=True)


with Folder():
    main()
done()
