#!/usr/bin/env python3
"""How many cores a stream needs: a queueing model, checked here against three measured loads.
perf/sizing.py [BOOTSTRAP] [-- OPTION…] > perf/results/sizing.json; without an address it starts a Kafka of
its own, and the options go to `nightjar run`. Take modules that leave most of the machine free (networks by
-D models.path=…): the broker and the sender run on the same cores, and the model has one server.

The model. Alerts come in visits: N of them in a burst, each T seconds. One server takes what waits, at most
64 alerts at once (run.batch_rows), and is through with all of them after n/R seconds; R (alerts/s) is
measured first, with the topic full. Rows are seen when they are flushed: each 0.2 s (run.flush_ms), or when
nothing waits. An alert that finds nothing before it takes L seconds in all, measured with few alerts.
Latency is from the moment of sending to the row in the file. (A D/D/1 queue with bulk arrivals and bulk
service.)

The what-if table leaves batches and flushes out. Of a burst that comes at once the last alert waits N/R. When
N/R > T the queue grows from visit to visit. Then the night's last alert waits for what has piled up."""

import json, math, os, platform, subprocess, sys, tarfile, tempfile, threading, time

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, NewTopic

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NIGHTJAR = os.environ.get("NIGHTJAR", os.path.join(ROOT, "nightjar"))
UP = os.path.join(ROOT, "tests", "e2e", "kafka-up")
OPTIONS = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
VISIT_S, VISITS = 5.0, 6
BATCH, FLUSH_S = 64, 0.2  # presets of run.batch_rows and run.flush_ms


def stats(values):
    v = sorted(values)
    return {
        "mean_s": round(sum(v) / len(v), 4),
        "p50_s": round(v[len(v) // 2], 4),
        "p99_s": round(v[min(len(v) - 1, int(0.99 * len(v)))], 4),
    }


def model(sent, rate, base):
    """Latency of each alert, sent at these times: until its batch is through and its rows are flushed."""
    now, flushed, seen, k = 0.0, 0.0, [], 0
    while k < len(sent):
        now = max(now, sent[k])
        n = 1
        while n < BATCH and k + n < len(sent) and sent[k + n] <= now:
            n += 1
        now += n / rate
        k += n
        dry = k == len(sent) or sent[k] > now
        if dry or now - flushed >= FLUSH_S:
            seen += [now + base] * (k - len(seen))
            flushed = now
    return [t - s for t, s in zip(seen, sent)]


class Rows(threading.Thread):
    """When the k-th row of the file was there."""

    def __init__(self, path, n):
        super().__init__()
        self.path, self.n, self.at = path, n, []

    def run(self):
        while not os.path.exists(self.path):
            time.sleep(0.01)
        with open(self.path, "rb") as f:
            while len(self.at) < self.n:
                new = f.read(1 << 20).count(b"\n")
                self.at += [time.monotonic()] * new
                if not new:
                    time.sleep(0.002)


class Stream:
    """A live run over a topic of its own."""

    def __init__(self, broker, name, alerts, n):
        self.broker, self.topic, self.alerts, self.n = broker, name, alerts, n
        admin = AdminClient({"bootstrap.servers": broker})
        for f in admin.create_topics([NewTopic(name, 1, 1)]).values():
            f.result(30)
        self.producer = ck.Producer({"bootstrap.servers": broker, "linger.ms": 1})

    def send(self, at):
        """At these seconds from now; when each was sent."""
        begin, sent = time.monotonic(), []
        for k, s in enumerate(at):
            wait = begin + s - time.monotonic()
            if wait > 0:
                self.producer.poll(0)
                time.sleep(wait)
            while True:
                try:
                    self.producer.produce(self.topic, self.alerts[k % len(self.alerts)])
                    break
                except BufferError:
                    self.producer.poll(0.01)
            sent.append(time.monotonic())
        self.producer.flush(120)
        return sent

    def start(self):
        out = f"{self.topic}.ndjson"
        args = [f"kafka://{self.broker}/{self.topic}?group={self.topic}&from=earliest", "-o", f"ndjson:{out}"]
        args += ["-j", "1", "-q", *OPTIONS]
        self.run = subprocess.Popen([NIGHTJAR, "run", *args], stderr=subprocess.DEVNULL)
        self.rows = Rows(out, self.n)
        self.rows.start()

    def finish(self):
        self.rows.join()
        self.run.terminate()
        self.run.wait()
        return self.rows.at


def capacity(broker, alerts, n):
    """Alerts per second with the topic full, between the first and the last tenth."""
    s = Stream(broker, "capacity", alerts, n)
    s.send([0] * n)
    s.start()
    at = s.finish()
    return (int(0.9 * n) - int(0.1 * n)) / (at[int(0.9 * n)] - at[int(0.1 * n)])


def measured(broker, name, alerts, at, warm=20):
    """Latency of each alert that is sent at these seconds, and when it was sent."""
    s = Stream(broker, name, alerts, len(at) + warm)
    s.start()
    s.send([0] * warm)  # models and catalogues are read, the group has met
    while len(s.rows.at) < warm:
        time.sleep(0.05)
    sent = s.send(at)
    through = s.finish()[warm:]
    return sent, [t - x for t, x in zip(through, sent)]


def what_if():
    """Rubin's nights, and a hundred times as many alerts: the fewest cores that have each burst through
    within 10 s, and what one core would do. The rates of a core are those of
    perf/results/whole_night.json."""
    with open(os.path.join(ROOT, "perf", "results", "whole_night.json"), encoding="utf-8") as f:
        night = json.load(f)["real"]
    names = {
        "Fink's modules with hostless": "fink_modules_and_hostless_to_ndjson",
        "everything": "everything_to_ndjson",
    }
    out = []
    for what, name in names.items():
        rate = night[name]["alerts_per_s_core"]["median"]
        for factor in (1, 100):
            visit, visits = 10_000 * factor, 1000
            for burst in (visit, 4 * visit):
                cores = math.ceil(max(burst / 10, visit / 39) / rate)
                behind = visits * max(0.0, visit / rate - 39)
                out.append(
                    {
                        "modules": what,
                        "alerts_per_s_core": round(rate, 1),
                        "alerts_per_night": visit * visits,
                        "burst": burst,
                        "cores": cores,
                        "last_of_a_burst_s": round(burst / (rate * cores), 2),
                        "one_core_last_of_a_burst_s": round(burst / rate, 1),
                        "one_core_behind_at_the_end_h": round(behind / 3600, 1),
                    }
                )
    return out


def main(broker):
    subprocess.run([NIGHTJAR, "simulate", "-q", "-n", "2000", "--seed", "9", "-o", "night.tar"], check=True)
    with tarfile.open("night.tar") as t:
        alerts = [t.extractfile(m).read() for m in t if m.name.endswith(".avro")]
    rate = capacity(broker, alerts, 6000)
    few = measured(broker, "few", alerts, [0.05 * k for k in range(200)])[1]
    base = sorted(few)[len(few) // 2] - 1 / rate
    loads = []
    for share in (0.3, 0.6, 0.9):
        n = int(share * rate * VISIT_S)
        at = [VISIT_S * v for v in range(VISITS) for _ in range(n)]
        sent, latency = measured(broker, f"load{int(100 * share)}", alerts, at)
        want, got = stats(model(sent, rate, base)), stats(latency)
        ratio = {k: round(got[k] / want[k], 3) for k in got}
        loads.append({"load": share, "alerts_per_visit": n, "measured": got, "model": want, "ratio": ratio})
        print(f"load {share}: {loads[-1]}", file=sys.stderr)
    return {
        "schema_version": 1,
        "context": {
            "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "git": subprocess.run(
                ["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True
            ).stdout.strip(),
            "kernel": platform.release(),
            "num_cpus": os.cpu_count(),
            "load_1_min": os.getloadavg()[0],
            "options": " ".join(["-j 1", *(x.split("=/")[0] for x in OPTIONS)]),
            "visit_s": VISIT_S,
            "visits": VISITS,
        },
        "alerts_per_s_one_thread": round(rate, 1),
        "base_latency_s": round(base, 4),
        "loads": loads,
        "what_if": what_if(),
    }


if __name__ == "__main__":
    given = sys.argv[1 : len(sys.argv) - len(OPTIONS) - ("--" in sys.argv)]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        bootstrap = given[0] if given else None
        if not bootstrap:
            subprocess.run([UP, "start", f"{folder}/kafka"], check=True, stdout=subprocess.DEVNULL)
            with open(f"{folder}/kafka/env", encoding="utf-8") as f:
                bootstrap = [x for x in f.read().split() if x.startswith("KAFKA=")][0][6:]
        try:
            print(json.dumps(main(bootstrap), indent=2))
        finally:
            if not given:
                subprocess.run([UP, "stop", f"{folder}/kafka"], capture_output=True)
