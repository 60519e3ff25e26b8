#!/usr/bin/env python3
"""--eos on a real Kafka: runs are killed again and again, and who reads committed messages finds each row
once; a file beside the topic has each row once, too. Between clusters it is said that this cannot be."""

import collections, json, os, random, signal, subprocess, tarfile, time
import own_copy  # before tap
from tap import ROOT, Folder, done, needs, nightjar, ok, skip

needs("confluent_kafka")
import confluent_kafka as ck

NIGHTJAR = os.environ["NIGHTJAR"]
UP = os.path.join(ROOT, "tests", "e2e", "kafka-up")
ALERTS, KILLS, PATIENCE = 600, 6, 200


def committed(broker, topic):
    """Candids of the topic, as a reader of committed messages sees them."""
    c = ck.Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": f"reader{random.random()}",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    n = len(c.list_topics(topic, timeout=120).topics[topic].partitions)
    c.assign([ck.TopicPartition(topic, i, ck.OFFSET_BEGINNING) for i in range(n)])
    seen, ends, until = collections.Counter(), set(), time.time() + PATIENCE
    # brokers make a transaction visible after its commit has returned; until then the end is before its rows
    while (len(ends) < n or len(seen) < ALERTS) and time.time() < until:
        m = c.poll(1)
        if m is not None and not m.error():
            seen[json.loads(m.value())["candid"]] += 1
            ends.discard(m.partition())
        elif m is not None and m.error().code() == ck.KafkaError._PARTITION_EOF:
            ends.add(m.partition())
    c.close()
    return seen


def main():
    r = subprocess.run([UP, "start", os.path.abspath("kafka")], capture_output=True, text=True)
    if r.returncode == 3:
        return skip("exactly once on a real Kafka", r.stderr.strip().splitlines()[-1])
    if not ok(r.returncode == 0, "a real Kafka starts", r.stderr):
        return
    env = subprocess.run(["bash", "-c", '. kafka/env; echo "$KAFKA"'], capture_output=True, text=True)
    broker = env.stdout.strip()
    try:
        from confluent_kafka.admin import AdminClient, NewTopic

        nightjar("simulate", "-n", ALERTS, "--seed", 5, "-q", "-o", "night.tar")
        admin = AdminClient({"bootstrap.servers": broker})
        for f in admin.create_topics([NewTopic("alerts", 2, 1), NewTopic("rows", 2, 1)]).values():
            f.result(30)
        feeder = subprocess.Popen(
            [NIGHTJAR, "replay", "night.tar", "--to", f"kafka://{broker}/alerts", "--rate", "40/s", "-q"]
        )
        fast = ["-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=500"]
        url = f"kafka://{broker}/alerts?group=g&from=committed"
        args = [
            "-m",
            "roid",
            "--eos",
            "--append",
            "-o",
            f"kafka://{broker}/rows",
            "-o",
            "ndjson:rows.ndjson",
            *fast,
        ]
        log = open("run.log", "a")
        for _ in range(KILLS):
            p = subprocess.Popen([NIGHTJAR, "run", url, *args], stdout=subprocess.DEVNULL, stderr=log)
            time.sleep(random.uniform(1, 4))
            p.send_signal(signal.SIGKILL)
            p.wait()
        feeder.wait()
        r = subprocess.run(
            [NIGHTJAR, "run", url + "&until=end", *args], capture_output=True, text=True, timeout=PATIENCE
        )
        ok(
            r.returncode == 0,
            f"after {KILLS} kills, a last run ends",
            (open("run.log").read() + r.stderr)[-2500:],
        )
        seen = committed(broker, "rows")
        ok(len(seen) == ALERTS, "every row is in the topic", len(seen))
        twice = sum(n > 1 for n in seen.values())
        ok(twice == 0, "and none is there twice, for who reads committed messages", twice)
        lines = [json.loads(line)["candid"] for line in open("rows.ndjson")]
        ok(sorted(lines) == sorted(seen), "the file beside it has each once", (len(lines), len(set(lines))))
        r = nightjar("run", "night.tar", "-m", "roid", "--eos", "-o", f"kafka://{broker}/rows", "--limit", 5)
        ok(
            "the source is no Kafka, so rows come in transactions" in r.stderr,
            "what it cannot be is said",
            r.stderr,
        )
        r = nightjar("run", "night.tar", "-m", "roid", "--eos", "-o", "null:", "--limit", 5)
        ok("there is no Kafka sink" in r.stderr, "without a Kafka sink it is refused", r.stderr)
    finally:
        subprocess.run([UP, "stop", os.path.abspath("kafka")], capture_output=True)


with Folder():
    main()
done()
