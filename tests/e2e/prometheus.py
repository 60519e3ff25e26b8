#!/usr/bin/env python3
"""A real Prometheus with data/grafana/rules.yml scrapes real runs on a real Kafka: each alarm fires on its
cause, names the run, and clears when the cause is gone.

The rules are those of the file but for their times: minutes are seconds here, and the two thresholds that
would take long to reach (messages behind, seconds of latency) are smaller. tests/e2e/grafana.py has the
file's own times."""

import http.client, json, os, re, shutil, signal, socket, subprocess, tarfile, threading, time, urllib.parse
from tap import NIGHTJAR, ROOT, SANITIZED, Folder, compile_module, done, free_port, needs, nightjar, ok, skip

UP = os.path.join(ROOT, "tests", "e2e", "kafka-up")
PROMETHEUS = shutil.which("prometheus")
PATIENCE = 150  # s: an alarm that comes later does not come
MODULE = """
#include <math.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "nightjar/module.h"
static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self, (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        @HABIT@;
        ((double *)w->out[0])[w->row[k]] = 1;
        w->reason[w->row[k]] = NJ_DONE;
    }
    return NJ_OK;
}
NJ_MODULE(@NAME@) = { NJ_HEADER, .name = "@NAME@", .version = "1.0", .summary = "a test",
    .paper = "none: test",
    .needs = (const nj_need[]){ { "mag", NJ_F64, NJ_SCALAR, "mag", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "x", NJ_F64, 1, 0, "1", -INFINITY, INFINITY, NAN, 0, "A number." }, { 0 } },
    .process = process };
"""
broker, processes, one_at_a_time = None, {}, threading.Lock()


def check(condition, name, detail=""):
    with one_at_a_time:
        ok(condition, name, detail)


def module(name, habit):
    with open(f"{name}.c", "w", encoding="utf-8") as f:
        f.write(MODULE.replace("@NAME@", name).replace("@HABIT@", habit))
    return compile_module(f"{name}.c", f"{name}.so", "-O1", "-w")


PORT = {
    name: free_port()
    for name in ("prometheus", "behind", "crashes", "letters", "slow", "hangs", "restarts", "down", "busy")
}


def start(name, topic, *more, out=None, env=None):
    """A live run in a group of its own, with its metrics where Prometheus looks for them."""
    url = f"kafka://{broker}/{topic}?group={name}&from=earliest"
    args = ["run", url, "-o", out or f"ndjson:{name}.ndjson", "--metrics", f"127.0.0.1:{PORT[name]}"]
    args += ["--dead-letters", f"{name}.avro", "--append", "-j", "1", *more]
    with open(f"{name}.log", "ab") as log:
        processes[name] = subprocess.Popen(
            [NIGHTJAR, *args], stdout=subprocess.DEVNULL, stderr=log, start_new_session=True, env=env
        )


def stop(name):
    p = processes.pop(name)
    p.send_signal(signal.SIGTERM)
    try:
        p.wait(120)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()


def ask(path, **query):
    c = http.client.HTTPConnection("127.0.0.1", PORT["prometheus"], timeout=120)
    c.request("GET", path + ("?" + urllib.parse.urlencode(query) if query else ""))
    return json.loads(c.getresponse().read())["data"]


def firing():
    """{(alarm, instance)} of the alarms that fire now."""
    try:
        alerts = ask("/api/v1/alerts")["alerts"]
    except (OSError, ValueError):
        return set()
    return {
        (a["labels"]["alertname"], NAME.get(a["labels"].get("instance")))
        for a in alerts
        if a["state"] == "firing"
    }


NAME = {f"127.0.0.1:{port}": name for name, port in PORT.items()}


def answers(name):
    """Prometheus sees the run."""
    end = time.time() + PATIENCE
    while time.time() < end:
        try:
            r = ask("/api/v1/query", query=f'up{{instance="127.0.0.1:{PORT[name]}"}} == 1')["result"]
        except (OSError, ValueError):
            r = []
        if r:
            return True
        time.sleep(0.3)
    return False


def wait(alarm, name, fires=True):
    end = time.time() + PATIENCE
    while time.time() < end:
        if ((alarm, name) in firing()) == fires:
            return True
        time.sleep(0.3)
    return False


def quicker(text):
    """The rules in seconds."""
    text = re.sub(r"for: (\d+)m", "for: 2s", text)
    text = re.sub(r"\[(\d+)m\]", lambda m: f"[{4 * int(m[1])}s]", text)
    lag = text.replace("(nightjar_consumer_lag_messages) > 100000", "(nightjar_consumer_lag_messages) > 100")
    slow = lag.replace("[40s]))) > 15", "[40s]))) > 0.2")
    assert text != lag != slow, "the thresholds are no longer where they were"
    return slow.replace("groups:\n- name: nightjar\n", "groups:\n- name: nightjar\n  interval: 1s\n")


def start_prometheus():
    with open(os.path.join(ROOT, "data", "grafana", "rules.yml"), encoding="utf-8") as f:
        rules = f.read()
    with open("rules.yml", "w", encoding="utf-8") as f:
        f.write(quicker(rules))
    targets = [f"127.0.0.1:{port}" for name, port in PORT.items() if name != "prometheus"]
    with open("prometheus.yml", "w", encoding="utf-8") as f:
        f.write("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\n")
        f.write(
            f"scrape_configs: [{{job_name: nightjar, "
            f"static_configs: [{{targets: {json.dumps(targets)}}}]}}]\n"
        )
    log = open("prometheus.log", "wb")
    args = ["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"]
    processes["prometheus"] = subprocess.Popen(
        [PROMETHEUS, *args, f"--web.listen-address=127.0.0.1:{PORT['prometheus']}"],
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    return re.findall(r"- alert: (\w+)", rules)


class Feed(threading.Thread):
    """Sends to some topics until it is asked to end: a few messages ten times a second."""

    def __init__(self, producer, alerts):
        super().__init__(daemon=True)
        self.producer, self.alerts, self.topics, self.bad, self.over = (
            producer,
            alerts,
            {"live"},
            False,
            False,
        )

    def run(self):
        k = 0
        while not self.over:
            for topic in tuple(self.topics):
                for _ in range(2):
                    self.producer.produce(topic, self.alerts[k % len(self.alerts)])
                    k += 1
            if self.bad:
                self.producer.produce("live", b"no alert")
            self.producer.poll(0.1)
            time.sleep(0.1)


def worker_of(name):
    """The worker's process number, as `nightjar top` shows it; None while there is none."""
    r = nightjar("top", str(processes[name].pid), "--json")
    try:
        return json.loads(r.stdout)["runs"][0]["worker"]
    except (ValueError, KeyError, IndexError):
        return None


def behind(feed):
    """An output that takes no rows: the run falls behind, stands still, and is not ready."""
    os.mkfifo("pipe")
    held = os.open("pipe", os.O_RDWR)
    start("behind", "heap", "-m", "roid", out="ndjson:pipe")
    for alarm in ("NightjarLag", "NightjarStandsStill"):
        check(wait(alarm, "behind"), f"{alarm}: an output takes no rows", firing())
    reading = threading.Thread(
        target=lambda: [None for _ in iter(lambda: os.read(held, 1 << 16), b"")], daemon=True
    )
    reading.start()
    for alarm in ("NightjarLag", "NightjarStandsStill"):
        check(wait(alarm, "behind", False), f"{alarm} clears when it does", firing())
    stop("behind")


def letters(feed):
    start("letters", "live", "-m", "roid")
    feed.bad = True
    check(
        wait("NightjarDeadLetters", "letters"),
        "NightjarDeadLetters: a third of the messages is no alert",
        firing(),
    )
    feed.bad = False
    check(wait("NightjarDeadLetters", "letters", False), "NightjarDeadLetters clears when they are", firing())
    stop("letters")


def crashes(feed):
    so = module(
        "crashes", "if (w->id[w->row[k]] > 1000000) abort()"
    )  # not of the row on which modules are tried
    start("crashes", "live", "--module-path", so, "-m", "crashes,roid")
    check(
        wait("NightjarModuleQuarantined", "crashes"),
        "NightjarModuleQuarantined: a module that crashes",
        firing(),
    )
    stop("crashes")
    start("crashes", "live", "-m", "roid")
    check(
        wait("NightjarModuleQuarantined", "crashes", False),
        "NightjarModuleQuarantined clears without it",
        firing(),
    )
    stop("crashes")


def left_out(feed):
    start("busy", "live", "-m", "roid,nalerthist", "-D", "guard.max_lag_s=1e-9")
    check(
        wait("NightjarModuleLeftOut", "busy"),
        "NightjarModuleLeftOut: a bound that every alert is beyond",
        firing(),
    )
    stop("busy")
    start("busy", "live", "-m", "roid,nalerthist")
    check(
        wait("NightjarModuleLeftOut", "busy", False),
        "NightjarModuleLeftOut clears without it",
        firing(),
    )
    stop("busy")


def restarts(feed):
    start("restarts", "live", "-m", "roid")
    check(answers("restarts"), "a run whose restarts Prometheus counts")
    seen = set()
    end = time.time() + PATIENCE
    while len(seen) < 6 and time.time() < end:
        pid = worker_of("restarts")
        if pid and pid not in seen:
            seen.add(pid)
            time.sleep(2.5)  # it is scraped
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    check(len(seen) == 6, "six workers were killed", (seen, open("restarts.log", "rb").read()[-800:]))
    check(
        wait("NightjarRestartLoop", "restarts"),
        "NightjarRestartLoop: workers that die again and again",
        firing(),
    )
    check(
        wait("NightjarRestartLoop", "restarts", False), "NightjarRestartLoop clears when they live", firing()
    )
    stop("restarts")


def slow(feed):
    start(
        "slow",
        "live",
        "--module-path",
        module("slow", 'if (access("calm", F_OK)) usleep(300000)'),
        "-m",
        "slow",
    )
    check(wait("NightjarSlow", "slow"), "NightjarSlow: a module that takes its time", firing())
    open("calm", "w").close()
    check(wait("NightjarSlow", "slow", False), "NightjarSlow clears when it is quick again", firing())
    stop("slow")


def hangs(feed):
    so = module("hangs", 'while (access("go_on", F_OK)) usleep(10000)')
    start(
        "hangs", "live", "--module-path", so, "-m", "hangs", "-D", "run.call_s=1", "-D", "guard.deadline_s=0"
    )
    check(wait("NightjarHangs", "hangs"), "NightjarHangs: a call that does not end", firing())
    open("go_on", "w").close()
    check(wait("NightjarHangs", "hangs", False), "NightjarHangs clears when it ends", firing())
    stop("hangs")


def down(feed):
    start("down", "live", "-m", "roid")
    check(answers("down"), "a run that Prometheus sees")
    check(wait("NightjarDown", "down", False), "NightjarDown is silent while it answers", firing())
    os.killpg(processes["down"].pid, signal.SIGKILL)
    check(wait("NightjarDown", "down"), "NightjarDown: a run that was killed", firing())
    processes.pop("down").wait()
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind("systemd")
    systemd.settimeout(PATIENCE)
    env = {**os.environ, "NOTIFY_SOCKET": os.path.abspath("systemd")}
    start("down", "nobody_writes_here", "-m", "roid", env=env)
    check(wait("NightjarDown", "down", False), "NightjarDown clears when it is there again", firing())
    check(wait("NightjarNotReady", "down"), "NightjarNotReady: no partition is assigned", firing())
    got = b""
    while b"READY=1" not in got:
        try:
            got = systemd.recv(4096)
        except TimeoutError:
            break
    check(b"READY=1" in got, "but systemd knows that it has started: it waits for its topic", got)
    stop("down")


needs("confluent_kafka")
import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, NewTopic

with Folder() as folder:
    up = None
    if not PROMETHEUS or SANITIZED:
        skip("a real Prometheus", "prometheus is not installed" if not SANITIZED else "under a sanitizer")
    else:
        up = subprocess.run([UP, "start", f"{folder}/kafka"], capture_output=True, text=True)
    if up and up.returncode == 3:
        skip("a real Kafka", up.stderr.strip().splitlines()[-1])
    elif up and ok(up.returncode == 0, "a real Kafka starts", up.stderr):
        with open(f"{folder}/kafka/env", encoding="utf-8") as f:
            broker = re.search(r"^KAFKA=['\"]?([^'\"\s]+)", f.read(), re.M)[1]
        nightjar("simulate", "-q", "-n", 300, "-o", "night.tar", "--truth", "t.csv")
        with tarfile.open("night.tar") as t:
            ALERTS = [t.extractfile(m).read() for m in t if m.name.endswith(".avro")]
        admin = AdminClient({"bootstrap.servers": broker})
        for f in admin.create_topics([NewTopic(name, 1, 1) for name in ("live", "heap")]).values():
            f.result(30)
        sender = ck.Producer({"bootstrap.servers": broker})
        for alert in 4 * ALERTS:
            sender.produce("heap", alert)
        sender.flush(60)
        try:
            rules = start_prometheus()
            feed = Feed(sender, ALERTS)
            feed.start()
            parts = (behind, letters, crashes, left_out, restarts, slow, hangs, down)
            threads = [threading.Thread(target=part, args=(feed,)) for part in parts]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            feed.over = True
            with open(__file__, encoding="utf-8") as f:
                text = f.read()
            missed = [r for r in rules if f'"{r}"' not in text]
            ok(not missed, "each alarm of the file has its cause here", missed)
        finally:
            for name in list(processes):
                stop(name)
            subprocess.run([UP, "stop", f"{folder}/kafka"], capture_output=True)
done()
