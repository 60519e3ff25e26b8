#!/usr/bin/env python3
"""A run with an end joins a group in which another member, killed or slow, still has partitions: it ends when
all of the topic is read, and not its own part of it only."""

import json, os, signal, subprocess, threading, time
from tap import NIGHTJAR, ROOT, Folder, done, needs, nightjar, ok, skip

needs("confluent_kafka")
from confluent_kafka.admin import AdminClient, NewTopic

UP = os.path.join(ROOT, "tests", "e2e", "kafka-up")
ALERTS = 200
SOON = ["-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=500"]


def candids(*files):
    return sorted(json.loads(x)["candid"] for f in files if os.path.exists(f) for x in open(f))


def live(url, out):
    """A run that waits for more, once it has rows; killed, its partitions stay with its name."""
    args = ["run", url, "-m", "roid", "-q", "-o", f"ndjson:{out}", *SOON]
    p = subprocess.Popen([NIGHTJAR, *args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    until = time.time() + 120
    while time.time() < until and p.poll() is None and len(candids(out)) < ALERTS:
        time.sleep(0.1)
    time.sleep(1)  # it commits
    p.send_signal(signal.SIGKILL)
    p.communicate()


def killed(broker, end):
    url = f"kafka://{broker}/night?group=killed-{end[:3]}&from=committed"
    live(url, f"live-{end[:3]}.ndjson")
    nightjar("replay", "more.tar", "--to", f"kafka://{broker}/night", "-q")
    r = nightjar("run", f"{url}&until={end}", "-m", "roid", "-o", f"ndjson:{end[:3]}.ndjson", *SOON)
    ok(r.returncode == 0, f"until={end} beside a killed member: it ends", r.stderr)
    got = candids(f"live-{end[:3]}.ndjson", f"{end[:3]}.ndjson")
    ok(got == whole(), f"until={end} beside a killed member: everything is read", f"{len(got)} {r.stderr}")


def whole():
    return sorted(IDS["night.tar"] + IDS["more.tar"] * MORE)


def together(broker):
    url = f"kafka://{broker}/night?group=together&from=committed&until=end"
    runs = [
        subprocess.Popen(
            [NIGHTJAR, "run", url, "-m", "roid", "-q", "-o", f"ndjson:part-{i}.ndjson", *SOON],
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    errors = [p.communicate(timeout=300)[1] for p in runs]
    ok([p.returncode for p in runs] == [0, 0], "two runs of a group that end: both do", errors)
    got = candids("part-0.ndjson", "part-1.ndjson")
    ok(set(got) == set(whole()), "together they have everything", (len(got), errors))


def slow(broker):
    """The other member is alive and has no room; the one that ends waits for it."""
    url = f"kafka://{broker}/night?group=slow&from=committed"
    args = ["-m", "roid", *SOON]
    with open("slow.log", "w") as log:
        a = subprocess.Popen(
            [NIGHTJAR, "run", url, "-q", "-o", "ndjson:-", "-o", "ndjson:slow.ndjson", *args],
            stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
    wait_until(lambda: candids("slow.ndjson") or a.poll() is not None)
    b = subprocess.Popen(
        [NIGHTJAR, "run", url + "&until=end", "-o", "ndjson:quick.ndjson", *args],
        stdout=subprocess.DEVNULL, stderr=open("quick.log", "w"),
    )  # fmt: skip
    wait_until(lambda: "have another member" in open("quick.log").read() or b.poll() is not None)
    ok(b.poll() is None, "beside a member without room: it waits", open("quick.log").read())
    read = threading.Thread(target=a.stdout.read)
    read.start()
    rc = b.wait(300)
    ok(rc == 0, "until that has read its partitions", open("quick.log").read())
    a.send_signal(signal.SIGINT)
    a.wait(120)
    read.join()
    got = candids("slow.ndjson", "quick.ndjson")
    ok(set(got) == set(whole()), "then everything is read", (len(got), open("slow.log").read()))


def wait_until(test, seconds=120):
    until = time.time() + seconds
    while time.time() < until and not test():
        time.sleep(0.1)


def main():
    global MORE
    r = subprocess.run([UP, "start", os.path.abspath("kafka")], capture_output=True, text=True)
    if r.returncode == 3:
        return skip("a group with a killed member", r.stderr.strip().splitlines()[-1])
    if not ok(r.returncode == 0, "a real Kafka starts", r.stderr):
        return
    env = subprocess.run(["bash", "-c", '. kafka/env; echo "$KAFKA"'], capture_output=True, text=True)
    broker = env.stdout.strip()
    try:
        admin = AdminClient({"bootstrap.servers": broker})
        admin.create_topics([NewTopic("night", 4, 1)])["night"].result(30)
        nightjar("replay", "night.tar", "--to", f"kafka://{broker}/night", "-q")
        for MORE, end in enumerate(("end", "idle:2"), 1):
            killed(broker, end)
        together(broker)
        slow(broker)
    finally:
        subprocess.run([UP, "stop", os.path.abspath("kafka")], capture_output=True)


with Folder():
    IDS = {}
    for seed, name in enumerate(("night.tar", "more.tar"), 5):
        nightjar("simulate", "-n", ALERTS, "--seed", seed, "-q", "-o", name)
        nightjar("run", name, "-m", "roid", "-q", "-o", f"ndjson:{name}.ndjson")
        IDS[name] = candids(f"{name}.ndjson")
    main()
done()
