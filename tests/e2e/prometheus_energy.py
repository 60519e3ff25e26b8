#!/usr/bin/env python3
"""A real Prometheus scrapes a run: joules, grams and money of its modules, and the dashboard's expressions of
them have an answer."""

import http.client, json, os, re, shutil, subprocess, time, urllib.parse
from tap import NIGHTJAR, ROOT, Folder, done, free_port, nightjar, ok, skip

PATIENCE = 120


def ask(port, query):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    c.request("GET", "/api/v1/query?" + urllib.parse.urlencode({"query": query}))
    return json.loads(c.getresponse().read())["data"]["result"]


def answer(port, query):
    """Waits for the first scrapes."""
    end, found = time.time() + PATIENCE, []
    while not found and time.time() < end:
        try:
            found = ask(port, query)
        except (OSError, ValueError, KeyError):
            pass
        time.sleep(0.3)
    return found


def expressions():
    with open(os.path.join(ROOT, "data", "grafana", "dashboard.json"), encoding="utf-8") as f:
        panels = json.load(f)["panels"]
    all = [t["expr"] for p in panels for t in p["targets"]]
    return [e for e in all if re.search("energy_joules|carbon_grams|module_cost", e)]


def scraped():
    nightjar("simulate", "--alerts", 300, "--seed", 3, "-q", "-o", "night.tar.gz")
    run, prometheus = free_port(), free_port()
    with open("prometheus.yml", "w", encoding="utf-8") as f:
        f.write("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: nightjar, ")
        f.write(f'static_configs: [{{targets: ["127.0.0.1:{run}"]}}]}}]\n')
    # the reader of its output holds the run where it is
    args = [
        NIGHTJAR,
        "run",
        "night.tar.gz",
        "-m",
        "roid,hostless",
        "-o",
        "ndjson:-",
        "-D",
        "run.batch_rows=16",
    ]
    child = subprocess.Popen(
        [*args, "--metrics", f"127.0.0.1:{run}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    os.read(child.stdout.fileno(), 100)
    args = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    server = subprocess.Popen(
        [*args, f"--web.listen-address=127.0.0.1:{prometheus}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for name in ("energy_joules", "carbon_grams", "cost"):
            found = answer(prometheus, f'nightjar_module_{name}_total{{module="hostless"}} > 0')
            ok(len(found) == 1, f"nightjar_module_{name}_total is scraped", found)
        found = answer(prometheus, "nightjar_energy_source_info == 1")
        ok(len(found) == 1, "the source of the watts is scraped", found)
        list_of = expressions()
        ok(len(list_of) == 3, "three panels of the dashboard have them", list_of)
        for e in list_of:
            found = answer(prometheus, e.replace("$instance", ".*").replace("$__rate_interval", "1m"))
            ok(len(found) >= 2, f"{e[:60]}...: answered for each module", found)
    finally:
        server.terminate()
        server.wait(120)
        child.stdout.read()
        child.wait(60)


with Folder():
    if shutil.which("prometheus"):
        scraped()
    else:
        skip("a real Prometheus scrapes energy and cost", "prometheus is not here")
done()
