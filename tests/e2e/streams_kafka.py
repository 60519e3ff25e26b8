#!/usr/bin/env python3
"""What brokers publish, through a real Apache Kafka: the packets of streams.py, and notices of gravitational
waves that become regions of a stream."""

import os, subprocess, time
import notices, streams
from mock_broker import MockBroker
from tap import ROOT, Folder, done, ok, skip

UP = os.path.join(ROOT, "tests", "e2e", "kafka-up")


class Kafka(MockBroker):
    """A real one, with the same hands."""

    is_real = True

    def __enter__(self):
        super().__enter__()  # its library
        r = subprocess.run([UP, "start", "kafka"], capture_output=True, text=True)
        if r.returncode == 3:
            skip("Apache Kafka", r.stderr.strip())
            super().__exit__()
            done()
        ok(r.returncode == 0, "an Apache Kafka", r.stderr)
        with open("kafka/env", encoding="utf-8") as f:
            self.server = next(line[6:].strip() for line in f if line.startswith("KAFKA="))
        return self

    def topic(self, name):
        """Made by whoever writes first."""

    def __exit__(self, *_):
        subprocess.run([UP, "stop", "kafka"], capture_output=True)
        super().__exit__()


def regions(kafka):
    """A topic by in_region, filled by a stream whose region is made while it runs."""
    packets = notices.sample(7)
    notices.settings("gw.ini", f"kafka://{kafka.server}/igwn.gwalert_regions", "days = 10", "mock = 1")
    kafka.send("alerts", [(packets[0], None, [])])
    kafka.send("igwn.gwalert_regions", [(notices.notice("S1", "INITIAL", notices.at(-20 * 1440)), None, [])])
    run = notices.Run(kafka, "real")
    run.n = 1
    ok(run.wait(lambda: os.path.exists("real.ndjson") and open("real.ndjson").read()), "alerts", run.said())
    row = streams.rows("real.ndjson")[0]
    ok(notices.inside(row) == (0, None, "all"), "regions: none at first", row)
    took = []
    for k, kind in enumerate(("PRELIMINARY", "UPDATE", "UPDATE")):
        began = time.monotonic()
        text = notices.notice(
            "MS261130a", kind, notices.at(k - 10), notices.NOWHERE if k == 1 else notices.EVERYWHERE
        )
        kafka.send("igwn.gwalert_regions", [(text, None, [])])
        says = "is a region now" if k == 0 else "replaces its region"
        ok(run.wait(lambda: run.said().count(says) >= max(k, 1)), f"regions: a notice {says}", run.said())
        row = run.alert(kafka, packets[k + 1])
        took.append(time.monotonic() - began)
        want = (0, None, "all") if k == 1 else (1, "MS261130a", "inside,all")
        ok(notices.inside(row) == want, f"regions: {kind} number {k}: the next alert is judged by it", row)
    print("# from a notice to the row of an alert sent behind it:", ", ".join(f"{s:.2f} s" for s in took))
    r = run.end()
    ok(r["notices"][0]["expired"] == 1, "regions: an old notice in the topic is left out", r["notices"])
    ok(r["ledger"]["emitted"] == 4, "regions: every alert has its row", r["ledger"])
    run = notices.Run(kafka, "again")
    row = run.alert(kafka, packets[5])
    ok(notices.inside(row)[1] == "MS261130a", "regions: the next run has it from its first alert", row)
    r = run.end()
    sums = [r["notices"][0][k] for k in ("new", "replaced", "older", "expired")]
    ok(sums == [0, 0, 0, 0], "regions: and reads no notice twice", r["notices"])


if __name__ == "__main__":
    with Folder(), Kafka() as broker:
        streams.lasair(broker)
        streams.lasair_of_ztf(broker)
        streams.pitt_google(broker)
        streams.hopskotch(broker)
        streams.notices(broker)
        streams.babamul(broker)
        streams.transfer(broker)
        streams.new_version(broker)
        streams.roman(broker)
        regions(broker)
    done()
