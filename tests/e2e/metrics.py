#!/usr/bin/env python3
"""run --metrics: the endpoint during a run, its format, and its counters against the report."""

import http.client, os, re, shutil, signal, socket, subprocess, tarfile, time
from tap import NIGHTJAR, ROOT, Folder, done, free_port, nightjar, ok, report, rows, skip

LINE = re.compile(
    r'^([a-z_]+)(?:\{([a-z]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z]+="(?:[^"\\\n]|\\["\\n])*")*)\})?'
    r' (-?[0-9.e+-]+|\+Inf)$'
)


def get(port, path="/metrics", method="GET"):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    c.request(method, path)
    r = c.getresponse()
    return r.status, r.getheader("Content-Type"), r.read().decode()


def parse(text):
    """{(name, labels): value}; None when a line is not of the format, a family stands twice or a sample
    before its family."""
    found, families, current = {}, set(), None
    for line in text.splitlines():
        if line.startswith("# "):
            kind, name = line.split()[1:3]
            if kind == "TYPE":
                current = name
                if name in families:
                    return None
                families.add(name)
            continue
        m = LINE.match(line)
        if (
            not m
            or not current
            or not re.fullmatch(current + "(_bucket|_sum|_count)?", m[1])
            or (m[1], m[2]) in found
        ):
            return None
        found[m[1], m[2]] = float(m[3])
    return found


def histograms_hold(found):
    """Buckets do not fall, and the last is the count."""
    series = {}
    for (name, labels), v in found.items():
        if name.endswith("_bucket"):
            series.setdefault((name[:-7], re.sub(r'(^|,)le="[^"]*"$', "", labels) or None), []).append(v)
    return bool(series) and all(
        v == sorted(v) and v[-1] == found[name + "_count", labels] for (name, labels), v in series.items()
    )


def slow_callers(port, n):
    """Connections that send a byte now and then: scrapes continue."""
    slow, good = [], 0
    for _ in range(n):
        s = socket.socket()
        s.connect(("127.0.0.1", port))
        slow.append(s)
    for i in range(12):
        for s in slow:
            try:
                s.send(b"GET /metrics HTTP"[i : i + 1])
            except OSError:
                pass
        try:
            good += get(port)[0] == 200
        except OSError:
            pass
    for s in slow:
        s.close()
    ok(good == 12, f"{n} connections that never finish their request: 12 of 12 scrapes", good)


def dead_letters():
    """By kind of reason: the numbers of a packet are no label."""
    os.mkdir("bad")
    with tarfile.open("night.tar.gz") as tar:
        packets = [tar.extractfile(m).read() for m in tar if m.isfile() and m.name.endswith(".avro")][:100]
    for i, p in enumerate(packets):
        with open(f"bad/{i:03}.avro", "wb") as f:
            f.write(p if i % 2 else p[: 40 + i])
    port = free_port()
    child = subprocess.Popen(
        [
            NIGHTJAR,
            "run",
            "bad",
            "-m",
            "nalerthist",
            "-o",
            "ndjson:-",
            "--columns",
            "candid,lc.jd,lc.flux,lc.ra,lc.dec",
        ]
        + ["--metrics", f"127.0.0.1:{port}", "--dead-letters", "bad.dead", "-D", "run.batch_rows=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    found, end = {}, time.time() + 60
    kinds = lambda: {k: v for k, v in found.items() if k[0] == "nightjar_dead_letters_total"}
    while not kinds() and time.time() < end:
        try:
            found = parse(get(port)[2]) or {}
        except OSError:
            time.sleep(0.05)
    child.stdout.read()
    child.wait()
    ok(0 < len(kinds()) <= 3, "dead letters by kind of reason, few kinds", kinds())
    ok(
        all("byte N" in labels and 'module="decode"' in labels for _, labels in kinds()),
        "numbers are signs",
        kinds(),
    )


def of_module(found, name, module):
    """The one sample of a module, whatever its other labels are."""
    return [v for (n, labels), v in found.items() if n == name and f'module="{module}"' in (labels or "")]


def energy(found, text):
    """Joules, grams and money of the modules; what a second page says is not less."""
    again = parse(text) or {}
    for name in ("energy_joules", "carbon_grams", "cost"):
        name = f"nightjar_module_{name}_total"
        before, after = of_module(found, name, "hostless"), of_module(again, name, "hostless")
        ok(len(before) == 1 and before[0] > 0, f"{name}: of each module", before)
        ok(after[0] >= before[0], f"{name}: does not fall", (before, after))
    cpu = of_module(found, "nightjar_module_cpu_seconds_total", "hostless")[0]
    joule = of_module(found, "nightjar_module_energy_joules_total", "hostless")[0]
    ok(joule <= 100 * cpu, "joules are of the module's CPU time", (joule, cpu))
    info = [labels for name, labels in found if name == "nightjar_energy_source_info"]
    ok(len(info) == 1 and 'tier="' in info[0], "the source of the watts is named", info)


def main():
    nightjar("simulate", "--alerts", 300, "--seed", 3, "-o", "night.tar.gz")
    port = free_port()
    # the reader of its output holds the run where it is
    child = subprocess.Popen(
        [
            NIGHTJAR,
            "run",
            "night.tar.gz",
            "-m",
            "roid,features,hostless",
            "-o",
            "ndjson:-",
            "--metrics",
            f"127.0.0.1:{port}",
            "-D",
            "run.batch_rows=16",
            "-t",
            "all_of_them=1",
            "-t",
            "none_of_them=0",
            "--report",
            "run.json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    first = os.read(child.stdout.fileno(), 100)
    status, kind, text = get(port)
    found = parse(text) or {}
    ok(
        status == 200
        and kind == "text/plain; version=0.0.4; charset=utf-8"
        and len(found) > 40
        and found.get(("nightjar_threads", None), 0) >= 1
        and any(name == "nightjar_build_info" for name, _ in found),
        "answers during the run, in the text format",
        (status, kind, text[:2000]),
    )
    module = 'module="roid"'
    ok(
        found.get(("nightjar_consumed_alerts_total", None), 0) > 0
        and found.get(("nightjar_module_calls_total", module), 0) > 0
        and found.get(("nightjar_module_duration_seconds_count", module), 0) >= 0
        and histograms_hold(found),
        "counters move, buckets add up",
        text[:3000],
    )
    energy(found, get(port)[2])
    all, none = 'topic="all_of_them"', 'topic="none_of_them"'
    n_all = found.get(("nightjar_topic_alerts_total", all), 0)
    ok(n_all > 0, "a topic's alerts are counted", text[:3000])
    ok(n_all == found.get(("nightjar_topic_offered_alerts_total", all)), "of those that it was asked about")
    ok(found.get(("nightjar_topic_alerts_total", none)) == 0, "and a topic without any has none")
    ok(("nightjar_topic_seconds_total", all) in found, "the time of its clause is counted")
    ok(found.get(("nightjar_budget_bytes", None), 0) > 0, "the byte budget", text[:3000])
    ok(("nightjar_queue_entries", 'queue="output"') in found, "what waits for the output thread", text[:3000])
    ok(
        0 <= found.get(("nightjar_last_row_age_seconds", None), -1) < 600,
        "seconds since the last row",
        text[:3000],
    )
    ok(
        0 <= found.get(("nightjar_last_commit_age_seconds", None), -1) < 600,
        "and since the last commit",
        text[:3000],
    )
    ok(found.get(("nightjar_module_up", module)) == 1, "a module that runs", text[:3000])
    ok(("nightjar_flush_duration_seconds_count", None) in found, "flushes are clocked", text[:3000])
    slow_callers(port, 20)
    slow_callers(port, 150)  # beyond CROWDED
    ok(
        get(port, "/")[0] == 404
        and get(port, "/metrics", "POST")[0] == 405
        and get(port, "/metrics", "HEAD")[2] == "",
        "other paths and methods are refused",
    )
    if shutil.which("promtool"):
        r = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        ok(r.returncode == 0, "promtool check metrics", r.stdout + r.stderr)
    else:
        skip("promtool check metrics", "promtool is not installed")
    before = found
    out = first + child.stdout.read()
    errors = child.stderr.read().decode()
    rc = child.wait()
    n = out.count(b"\n") - 1 if out.startswith(b'{"nightjar') else out.count(b"\n")
    run = report("run.json")
    ok(
        rc == 0
        and f"http://127.0.0.1:{port}/metrics" in errors
        and run["ledger"]["emitted"] == 300 >= n >= 299
        and before["nightjar_consumed_alerts_total", None] <= 300,
        "the run ends as without it",
        (rc, n, errors[-500:]),
    )
    try:
        get(port)
        gone = False
    except OSError:
        gone = True
    ok(gone, "the endpoint goes with the run")
    live()
    dead_letters()
    r = nightjar("run", "night.tar.gz", "-m", "features", "--metrics", ":0")
    ok("http://127.0.0.1:" in r.stderr, ":PORT listens to this machine alone", r.stderr)
    for wrong in ("nonsense", "127.0.0.1", "127.0.0.1:99999999", "no.such.host.invalid:9000"):
        r = nightjar("run", "night.tar.gz", "--metrics", wrong)
        if r.returncode != 1 or wrong not in r.stderr:
            break
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        taken = nightjar("run", "night.tar.gz", "--metrics", "127.0.0.1:%d" % s.getsockname()[1])
    ok(
        r.returncode == 1 and taken.returncode == 1 and "cannot listen" in taken.stderr,
        "a wrong address, and one that is taken: usage",
        (wrong, r.stderr, taken.stderr),
    )


def live():
    """A stream: when all of it is through, the scrape and the report agree, and the lag is 0."""
    port = free_port()
    child = subprocess.Popen(
        [
            NIGHTJAR,
            "run",
            "embedded://night.tar.gz?partitions=2",
            "-m",
            "roid,features",
            "-o",
            "ndjson:live.ndjson",
            "-D",
            "run.commit_ms=20",
            "--metrics",
            f"127.0.0.1:{port}",
            "--report",
            "live.json",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    best, lag, end = {}, None, time.time() + 60
    while child.poll() is None and time.time() < end:
        try:
            found = parse(get(port)[2]) or {}
        except OSError:
            time.sleep(0.02)
            continue
        lag = max(
            lag or 0,
            *[v for (name, _), v in found.items() if name == "nightjar_consumer_lag_messages"] or [0],
        )
        seen = any(name == "nightjar_consumer_lag_messages" for name, _ in found)
        best = found if seen else best
        time.sleep(0.02)
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
    child.stderr.read()
    rc = child.wait()
    run = report("live.json")
    emitted = best.get(("nightjar_alerts_total", 'outcome="emitted"'), 0)
    consumed = best.get(("nightjar_consumed_alerts_total", None), 0)
    roid = sum(
        v
        for (name, labels), v in best.items()
        if name == "nightjar_module_alerts_total" and 'module="roid"' in labels
    )
    ok(
        rc == 0
        and run["ledger"]["emitted"] == 300
        and 0 < emitted <= consumed <= 300
        and emitted <= roid <= 300
        and lag is not None,
        "a stream: emitted, consumed and the module's rows are in step, and it has a lag",
        (rc, emitted, consumed, roid, lag),
    )


with Folder():
    main()
done()
