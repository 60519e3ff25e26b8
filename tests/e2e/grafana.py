#!/usr/bin/env python3
"""The Prometheus rules and the Grafana dashboard in data/grafana: every metric they name is served, each
alarm fires on its planted cause and clears, and Prometheus reads every expression."""

import glob, http.client, json, os, re, shutil, signal, subprocess, time
from tap import NIGHTJAR, ROOT, Folder, done, free_port, nightjar, ok, skip

PATIENCE = 120  # s: only an end that never comes takes so long
GRAFANA = os.path.join(ROOT, "data", "grafana")
PROMTOOL = shutil.which("promtool")
UP = 'up{job="nightjar", instance="a"}'
LAG = 'nightjar_consumer_lag_messages{instance="a", source="kafka"}'
DEAD = 'nightjar_alerts_total{instance="a", outcome="dead"}'
CONSUMED = 'nightjar_consumed_alerts_total{instance="a"}'
BUCKET = 'nightjar_latency_seconds_bucket{instance="a", stage="broker", le="%s"}'
# alarm: (series, values every minute), the minute at which it fires, one at which it does not any more
PLANTED = {
    "NightjarDown": ([(UP, "1x5 0x10 1x60")], 12, 40),
    "NightjarLag": ([(LAG, "0x5 200000x20 10x60")], 20, 60),
    "NightjarStandsStill": (
        [
            ('nightjar_alerts_total{instance="a", outcome="emitted"}', "0+60x5 300x10 300+60x60"),
            (LAG, "5x90"),
        ],
        14,
        60,
    ),
    "NightjarHangs": ([('nightjar_alive{instance="a"}', "1x5 0x10 1x60")], 10, 60),
    "NightjarNotReady": (
        [('nightjar_ready{instance="a"}', "1x5 0x10 1x60"), ('nightjar_alive{instance="a"}', "1x90")],
        12,
        60,
    ),
    "NightjarModuleQuarantined": (
        [('nightjar_module_quarantined{instance="a", module="m"}', "0x5 1x10 0x60")],
        8,
        60,
    ),
    "NightjarModuleLeftOut": (
        [('nightjar_module_left_out{instance="a", module="m"}', "0x5 1x30 0x60")],
        30,
        80,
    ),
    "NightjarDeadLetters": ([(DEAD, "0+0x5 0+60x20 1200+0x60"), (CONSUMED, "0+600x90")], 20, 80),
    "NightjarRestartLoop": ([('nightjar_worker_restarts_total{instance="a"}', "0x5 0+1x10 10x90")], 14, 80),
    "NightjarSlow": (
        [(BUCKET % "1", "0+0x30 0+60x90"), (BUCKET % "60", "0+60x120"), (BUCKET % "+Inf", "0+60x120")],
        25,
        90,
    ),
}


def read(name):
    with open(os.path.join(GRAFANA, name), encoding="utf-8") as f:
        return f.read()


def names(text):
    """Metrics that an expression reads; of a histogram its own name."""
    found = re.findall(r"\b(?:nightjar|process)_[a-z_]+", text)
    return {re.sub(r"_(bucket|sum|count)$", "", n) for n in found}


def families():
    """Metrics that the binary may serve: as the code makes them."""
    text = ""
    for path in glob.glob(os.path.join(ROOT, "broker", "flow", "*.c")):
        with open(path, encoding="utf-8") as f:
            text += f.read()
    return set(re.findall(r'"((?:nightjar|process)_[a-z_]+)"', text))


def scrape():
    """What a run serves while nobody reads its output."""
    port = free_port()
    args = ["embedded://night.tar", "-m", "features", "-o", "ndjson:-", "--metrics", f"127.0.0.1:{port}"]
    p = subprocess.Popen(
        [NIGHTJAR, "run", *args], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    text, end = "", time.time() + PATIENCE
    while "nightjar_consumer_lag_messages{" not in text and p.poll() is None and time.time() < end:
        try:
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            c.request("GET", "/metrics")
            text = c.getresponse().read().decode()
        except OSError:
            time.sleep(0.05)
    p.send_signal(signal.SIGTERM)
    p.communicate()
    return set(re.findall(r"(?m)^# TYPE (\w+)", text))


def metrics(rules, dashboard):
    """Those that stand for trouble may come with their first sample only: the code has their names."""
    known = families()
    ok(len(known) > 15, "metrics in the code", known)
    served = scrape()
    ok(served, "a scrape")
    ok(served <= known, "what a run serves is in the code", served - known)
    for name, text in (("rules.yml", rules), ("dashboard.json", dashboard)):
        ok(names(text) <= known, f"{name}: every metric is there", names(text) - known)
    always = {"nightjar_alerts_total", "nightjar_consumer_lag_messages", "nightjar_latency_seconds"}
    ok(always <= served, "the first ones are in every scrape of a stream", always - served)
    ok(known - names(dashboard) != known, "the dashboard shows some of them")


def panels(dashboard):
    d = json.loads(dashboard)
    ids = [p["id"] for p in d["panels"]]
    ok(len(ids) == len(set(ids)), "panels have numbers of their own", ids)
    places = [tuple(p["gridPos"].values()) for p in d["panels"]]
    ok(len(places) == len(set(places)), "and places", places)
    variables = {v["name"] for v in d["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", dashboard)) - {"__all", "__rate_interval"}
    ok(used <= variables, "its variables are defined", used - variables)
    return [t["expr"] for p in d["panels"] for t in p["targets"]]


def promtool(*args):
    return subprocess.run(["promtool", *args], capture_output=True, text=True)


def read_by_prometheus(expressions):
    r = promtool("check", "rules", os.path.join(GRAFANA, "rules.yml"))
    ok(r.returncode == 0, "promtool check rules", r.stdout + r.stderr)
    with open("panels.yml", "w", encoding="utf-8") as f:
        f.write("groups:\n- name: panels\n  rules:\n")
        for i, e in enumerate(expressions):
            e = e.replace("$__rate_interval", "5m").replace("$instance", ".*")
            f.write(f"  - record: panel:{i}\n    expr: {json.dumps(e)}\n")
    r = promtool("check", "rules", "panels.yml")
    ok(
        r.returncode == 0,
        f"Prometheus reads the {len(expressions)} expressions of the dashboard",
        r.stdout + r.stderr,
    )


def alarms(rules):
    there = re.findall(r"- alert: (\w+)", rules)
    ok(set(there) == set(PLANTED), "the test has a cause for each alarm", set(there) ^ set(PLANTED))
    for alarm in there:
        series, fires, clear = PLANTED[alarm]
        for what, at, count in (("fires", fires, 1), ("is silent before", 1, 0), ("clears", clear, 0)):
            text = (
                f"rule_files: [{json.dumps(os.path.join(GRAFANA, 'rules.yml'))}]\nevaluation_interval:"
                " 1m\ntests:\n"
            )
            text += "- interval: 1m\n  input_series:\n"
            for name, values in series:
                text += f"  - series: {json.dumps(name)}\n    values: {json.dumps(values)}\n"
            text += "  promql_expr_test:\n"
            text += (
                f"  - expr: count(ALERTS{{alertname=\"{alarm}\", alertstate=\"firing\"}})\n    eval_time:"
                f" {at}m\n"
            )
            text += "    exp_samples: " + ('[{labels: "{}", value: 1}]' if count else "[]") + "\n"
            with open("test.yml", "w", encoding="utf-8") as f:
                f.write(text)
            r = promtool("test", "rules", "test.yml")
            ok(r.returncode == 0, f"{alarm} {what}", r.stdout[-700:] + r.stderr[-700:])


with Folder():
    nightjar("simulate", "-q", "-n", 200, "-o", "night.tar", "--truth", "t.csv")
    RULES, DASHBOARD = read("rules.yml"), read("dashboard.json")
    metrics(RULES, DASHBOARD)
    EXPRESSIONS = panels(DASHBOARD)
    if PROMTOOL:
        read_by_prometheus(EXPRESSIONS)
        alarms(RULES)
    else:
        skip("promtool: rules, expressions, alarms", "promtool is not installed")
done()
