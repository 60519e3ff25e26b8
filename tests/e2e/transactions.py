#!/usr/bin/env python3
"""Topics written by transactions, of a real Kafka: aborted alerts are none, and the lag comes to 0 although
the ends of transactions have offsets of their own."""

import json, os, subprocess, tarfile
from tap import ROOT, Folder, done, needs, nightjar, ok, skip

needs("confluent_kafka")
import confluent_kafka

# topic, partitions, transactions as (partition, messages, how it ends); rows of a run to the end
CASES = [
    ("commit-last", 1, [(0, 1, "abort"), (0, 2, "commit")], 2),
    ("abort-last", 1, [(0, 2, "commit"), (0, 1, "abort")], 2),
    ("only-aborted", 1, [(0, 3, "abort"), (0, 1, "abort")], 0),
    ("many", 1, [(0, 1, "commit")] * 8 + [(0, 1, "abort")] * 3, 8),
    ("partitions", 3, [(0, 2, "commit"), (1, 1, "abort")], 2),
    ("plain", 2, [(0, 2, None), (1, 1, None)], 3),
]


def produce(broker, topic, partitions, transactions, message):
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": broker})  # must outlive its answers
    for f in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        f.result(30)
    for plain in (False, True):
        some = [t for t in transactions if (t[2] is None) == plain]
        p = (
            confluent_kafka.Producer(
                {"bootstrap.servers": broker, **({} if plain else {"transactional.id": topic})}
            )
            if some
            else None
        )
        if some and not plain:
            p.init_transactions(60)
        for partition, n, end in some:
            if end:
                p.begin_transaction()
            for _ in range(n):
                p.produce(topic, message, partition=partition)
            p.flush()
            if end:
                {"commit": p.commit_transaction, "abort": p.abort_transaction}[end]()


def lag(url):
    r = nightjar("lag", url, "--json")
    return (
        sum(json.loads(line)["lag"] for line in r.stdout.splitlines())
        if r.returncode == 0 and r.stdout
        else r.stderr
    )


def main():
    with tarfile.open(os.path.join(ROOT, "data", "sample.tar.gz")) as t:
        message = t.extractfile(next(m for m in t.getmembers() if m.isfile())).read()
    r = subprocess.run(
        [os.path.join(ROOT, "tests", "e2e", "kafka-up"), "start", os.path.abspath("kafka")],
        capture_output=True,
        text=True,
    )
    if r.returncode == 3:
        return skip("lag of transactional topics", r.stderr.strip().splitlines()[-1])
    if not ok(r.returncode == 0, "a real Kafka starts", r.stderr):
        return
    broker = subprocess.run(
        ["bash", "-c", '. kafka/env; echo "$KAFKA"'], capture_output=True, text=True
    ).stdout.strip()
    try:
        for topic, partitions, transactions, n in CASES:
            produce(broker, topic, partitions, transactions, message)
            url = f"kafka://{broker}/{topic}?group=g"
            for until in ("end", "idle:1"):
                here = url if until == "end" else url + "i"
                r = nightjar(
                    "run", "-q", "-m", "roid", "-o", "ndjson:-", f"{here}&from=earliest&until={until}"
                )
                ok(
                    len(r.stdout.splitlines()) == n,
                    f"{topic}, until={until}: {n} rows, of what was committed",
                    r.stdout.count("\n"),
                )
                ok(lag(here) == 0, f"{topic}, until={until}: the lag is 0 afterwards", lag(here))
            r = nightjar("run", "-q", "-m", "roid", "-o", "ndjson:-", f"{url}&until=end")
            ok(r.returncode == 0 and not r.stdout, f"{topic}: nothing comes again", r.stdout.count("\n"))
    finally:
        subprocess.run(
            [os.path.join(ROOT, "tests", "e2e", "kafka-up"), "stop", os.path.abspath("kafka")],
            capture_output=True,
        )


with Folder():
    main()
done()
