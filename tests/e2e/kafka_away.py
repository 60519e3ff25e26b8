#!/usr/bin/env python3
"""A Kafka sink whose brokers are unreachable: it reports this, waits and continues; without them the
run ends with accounts that are true."""

import ctypes, json, os, subprocess, threading
from mock_broker import MockBroker
from tap import NIGHTJAR, Folder, done, nightjar, ok, report

N = 120


def away(broker, down):
    name = "rd_kafka_mock_broker_set_down" if down else "rd_kafka_mock_broker_set_up"
    getattr(broker.lib, name)(ctypes.c_void_p(broker.cluster), ctypes.c_int32(1))


def feed(child, text):
    try:
        child.stdin.write(text)
        child.stdin.close()
    except BrokenPipeError:
        pass


def run(broker, *more):
    """Half of the night, then the broker goes; the rest. Up to the line that says what it waits for."""
    args = [
        "run",
        "-",
        "-m",
        "roid",
        "-j",
        "1",
        "-o",
        f"kafka://{broker.server}/rows",
        "-o",
        "ndjson:o.ndjson",
    ]
    args += ["--overwrite", "--report", "r.json", "-D", "run.commit_ms=5", "-D", "run.batch_rows=4", *more]
    child = subprocess.Popen(
        [NIGHTJAR, *args], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    with open("night.tar", "rb") as f:
        night = f.read()
    half = len(night) // 1024 * 512
    child.stdin.write(night[:half])
    child.stdin.flush()
    while not (os.path.exists("o.ndjson") and os.path.getsize("o.ndjson") > 5000):
        pass
    away(broker, True)
    rest = threading.Thread(target=feed, args=(child, night[half:]))
    rest.start()
    said = ""
    for line in child.stderr:
        said += line.decode()
        if "; waiting" in said:
            break
    return child, rest, said


def end(child, rest, said):
    said += child.stderr.read().decode()
    rest.join()
    return child.wait(), said, report("r.json")["ledger"]


def messages(broker):
    r = nightjar("lag", f"kafka://{broker.server}/rows?group=g", "--json")
    return sum(json.loads(line).get("high", 0) for line in r.stdout.splitlines() if line.startswith("{"))


def main():
    with Folder():
        nightjar("simulate", "-q", "-n", N, "--seed", 5, "-o", "night.tar")
        with MockBroker(partitions=1) as broker:
            broker.topic("rows")
            child, rest, said = run(broker)
            ok("; waiting" in said, "unreachable brokers: the run reports that it waits", said)
            away(broker, False)
            rc, said, ledger = end(child, rest, said)
            ok(rc == 0, "it ends well when they are back", said)
            ok("continues after" in said, "which is reported", said)
            ok(ledger["emitted"] == N and ledger["closed"], "every alert is emitted", ledger)
            ok(messages(broker) == N, "each row is in the topic once", messages(broker))
        with MockBroker(partitions=1) as broker:
            broker.topic("rows")
            rc, said, ledger = end(*run(broker, "-X", "message.timeout.ms=2500"))
            ok(rc == 3, "brokers that stay away: exit code 3", (rc, said))
            ok("messages were not delivered" in said, "and why", said)
            ok(ledger["closed"], "with a ledger that closes", ledger)
            ok(ledger["returned"] > 0, "in which what comes again is returned", ledger)
    done()


main()
