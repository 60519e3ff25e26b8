#!/usr/bin/env python3
"""How long from a notice of gravitational waves in a topic to the first row of a stream that lies in its
region: a real Kafka, maps of 30,720 cells, an alert every 50 ms. perf/notices.py [NOTICES]. Writes
perf/results/notices.json."""

import json, os, statistics, sys, threading, time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import notices, streams_kafka
from tap import Folder, nightjar

N = int(sys.argv[1]) if len(sys.argv) > 1 else 20


def skymap():
    """The whole sky, evenly: cells of order 5, half of them cut into four."""
    half = 6 * 4**5
    coarse = [(4 * 4**5 + k, 1 / notices.SKY) for k in range(half)]
    return notices.fits(coarse + [(4 * 4**6 + k, 1 / notices.SKY) for k in range(4 * half, 8 * half)])


def alerts(kafka, packet, stop):
    while not stop.is_set():
        kafka.send("alerts", [(packet, None, [])])
        time.sleep(0.05)


def in_region(name):
    with open("run.ndjson", encoding="utf-8") as f:
        return any(name in line for line in f)


with Folder(), streams_kafka.Kafka() as kafka:
    packet, full = notices.sample(1)[0], skymap()
    notices.settings("gw.ini", f"kafka://{kafka.server}/igwn.gwalert", "days = 10")
    old = notices.notice("S0", "INITIAL", notices.at(-20 * 1440))
    kafka.send("igwn.gwalert", [(old, None, [])])
    run = notices.Run(kafka, "run")
    stop = threading.Event()
    sender = threading.Thread(target=alerts, args=(kafka, packet, stop))
    sender.start()
    run.wait(lambda: os.path.exists("run.ndjson") and os.path.getsize("run.ndjson"))
    took = []
    for k in range(N):
        time.sleep(0.1 * (k % 7))
        name = f"S2611{k:02d}x"
        message = notices.notice(name, "PRELIMINARY", notices.at(-1), full)
        began = time.monotonic()
        kafka.send("igwn.gwalert", [(message, None, [])])
        run.wait(lambda: in_region(name))
        took.append(round(time.monotonic() - began, 3))
    stop.set()
    sender.join()
    report = run.end()
    result = {
        "context": {
            "date": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
            "version": nightjar("--version").stdout.split("\n")[0],
            "num_cpus": os.cpu_count(),
            "load_1_min": os.getloadavg()[0],
        },
        "data": {"notices": N, "cells": 30720, "bytes": len(message), "alerts": report["ledger"]["emitted"]},
        "seconds": {
            "median": statistics.median(took),
            "max": max(took),
            "samples": took,
        },
        "latency_ms": report["latency_ms"] if "latency_ms" in report else report.get("latency"),
        "notices": report["notices"],
    }
    with open(f"{ROOT}/perf/results/notices.json", "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    print(json.dumps(result["seconds"]))
