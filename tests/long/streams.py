#!/usr/bin/env python3
"""What a live run meets in months, on three brokers: frozen processes, members that come, go and are killed,
members of another protocol, brokers restarted in turn, cut links, topics that appear, are deleted and made
anew, partitions added.

  tests/long/streams.py [--only freeze,members,eager,rolling,links,later,anew,partitions,nights] [--freeze 90]
  [--out FILE]

Speaks TAP; --out writes the figures as JSON. Cut links need root and `ip netns`."""

import argparse, collections, json, os, shutil, signal, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import own_copy  # before tap
from tap import Folder, done, needs, nightjar, ok, skip

needs("confluent_kafka", "fastavro", "astropy", "pyarrow")
import live
from cluster import Cluster, NoKafka, write_figures

PARTS = ["freeze", "members", "eager", "rolling", "links", "later", "anew", "partitions", "nights"]
ONE = ["ndjson:out.ndjson"]
SHORT = ["-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=1000"]
opts, figures = None, {}


def note(text):
    print("# " + text, flush=True)


def figure(name, **values):
    figures[name] = values
    note(f"{name}: {json.dumps(values)}")


def rows_of(*folders):
    """How often each candid and place is in these outputs."""
    found = collections.Counter()
    for folder in folders:
        path = os.path.join(folder, "out.ndjson")
        if os.path.exists(path):
            with open(path) as f:
                found.update(json.loads(line)["candid"] for line in f)
    return found


def wait_all(folders, n, seconds=180):
    """Until these outputs have n candids between them."""
    until = time.time() + seconds
    while time.time() < until:
        try:
            if len(rows_of(*folders)) >= n:
                return True
        except ValueError:
            pass  # a line that is being written
        time.sleep(0.5)
    return False


def wait_for(true, seconds=90):
    until = time.time() + seconds
    while not true() and time.time() < until:
        time.sleep(0.2)


def end_all(name, runs):
    codes = [r.end() for r in runs]
    ok(
        all(c == 130 for c in codes),
        f"{name}: each run ends on Ctrl-C",
        (codes, [r.said()[-1500:] for r in runs]),
    )


def each_once(name, found, n, folder=None):
    ok(len(found) == n, f"{name}: no alert is lost", f"{len(found)} of {n}")
    twice = sum(x - 1 for x in found.values())
    ok(twice == 0, f"{name}: none is there twice", twice)
    return twice


def freeze(c):
    """SIGSTOP of the worker, of the supervisor, of both, longer than the session; each in a group of its
    own."""
    topic, n = "s-freeze", int(20 * (opts.freeze + 20))
    c.make(topic)
    runs = {
        who: live.Run(
            live.command(c.bootstrap, topic, query=f"group=freeze-{who}&from=committed"), f"f-{who}"
        )
        for who in ("worker", "supervisor", "both")
    }
    feed = live.Feed("night.tar", c.bootstrap, topic, 20, n)
    for who in runs:
        live.wait_rows(f"f-{who}/out.ndjson", 20, 60)
    frozen = {
        who: [r.worker()] * (who != "supervisor") + [r.process.pid] * (who != "worker")
        for who, r in runs.items()
    }
    for pids in frozen.values():
        for p in pids:
            os.kill(p, signal.SIGSTOP)
    time.sleep(opts.freeze)
    before = {who: live.size_of(f"f-{who}/out.ndjson") for who in runs}
    rows = {who: live.lines_of(f"f-{who}/out.ndjson") for who in runs}
    for pids in frozen.values():
        for p in pids:
            try:
                os.kill(p, signal.SIGCONT)
            except ProcessLookupError:
                pass  # its supervisor has replaced it
    since = time.time()
    after = {who: live.first_new_row(f"f-{who}/out.ndjson", before[who], since, 90) for who in runs}
    ok(feed.code() == 0, "freeze: all alerts were sent", feed.err)
    wait_all(["f-worker"], n), wait_all(["f-supervisor"], n), wait_all(["f-both"], n)
    time.sleep(2)
    end_all("freeze", runs.values())
    whole = live.Run(live.command(c.bootstrap, topic, query="group=freeze-whole&until=end"), "f-whole")
    ok(whole.wait(300) == 0, "freeze: an uninterrupted run", whole.said())
    expected = live.content("f-whole")
    for who in runs:
        wrong = live.differences(live.content(f"f-{who}"), expected)
        ok(not wrong, f"freeze of {who}: every output equals that of an uninterrupted run", "\n".join(wrong))
        figure(
            f"freeze_{who}",
            seconds=opts.freeze,
            alerts=n,
            rows_when_it_woke=rows[who],
            first_new_row_s=after[who] and round(after[who], 2),
            equal=not wrong,
        )
    c.delete(topic)


def members(c):
    """One, then two, then three; one is killed, one ends, one comes; the killed one comes back."""
    topic, n = "s-members", 4000
    c.make(topic)
    args = live.command(c.bootstrap, topic, *SHORT, outputs=ONE)
    runs = [live.Run(args, "m-a")]
    feed = live.Feed("night.tar", c.bootstrap, topic, 60, n)
    live.wait_rows("m-a/out.ndjson", 100, 60)
    runs.append(live.Run(args, "m-b"))
    ok(live.wait_rows("m-b/out.ndjson", 20, 60), "members: the second has a share")
    runs.append(live.Run(args, "m-c"))
    ok(live.wait_rows("m-c/out.ndjson", 20, 60), "members: the third has a share")
    runs[1].send(signal.SIGKILL)
    runs[1].process.wait()
    time.sleep(8)  # longer than its session
    runs[1] = live.Run(args, "m-b")
    time.sleep(5)
    code = runs[2].end(signal.SIGTERM)
    ok(code == 130, "members: one ends on SIGTERM", (code, runs[2].said()[-1500:]))
    runs[2] = live.Run(args, "m-d")
    ok(feed.code() == 0, "members: all alerts were sent", feed.err)
    folders = ["m-a", "m-b", "m-c", "m-d"]
    wait_all(folders, n)
    time.sleep(2)
    end_all("members", runs)
    found = rows_of(*folders)
    ok(len(found) == n, "members: no alert is lost", f"{len(found)} of {n}")
    twice = sum(x - 1 for x in found.values())
    within = sum(sum(x - 1 for x in rows_of(f).values()) for f in folders)
    ok(within == 0, "members: none is twice in one file", within)
    figure(
        "members",
        alerts=n,
        lost=n - len(found),
        in_two_files=twice,
        rows={f: live.lines_of(f"{f}/out.ndjson") for f in folders},
    )
    c.delete(topic)


def consumer(c, topic, group, strategy):
    import confluent_kafka as ck

    errors = []
    k = ck.Consumer(
        {
            "bootstrap.servers": c.bootstrap,
            "group.id": group,
            "partition.assignment.strategy": strategy,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
            "enable.auto.commit": False,
            "error_cb": lambda e: errors.append(str(e)),
            "log_level": 0,
        }
    )
    k.subscribe([topic])
    return k, errors


def eager(c):
    """Members that assign eagerly beside cooperative ones: Kafka refuses whoever comes second, and it is
    said."""
    topic, n = "s-eager", 1200
    c.make(topic)
    args = live.command(c.bootstrap, topic, *SHORT, outputs=ONE)
    run = live.Run(args, "e-first")
    feed = live.Feed("night.tar", c.bootstrap, topic, 40, n)
    live.wait_rows("e-first/out.ndjson", 50, 60)
    k, errors = consumer(c, topic, f"g-{topic}", "range")
    got = sum(1 for m in (k.poll(0.1) for _ in range(80)) if m is not None and not m.error())
    k.close()
    ok(got == 0, "eager: a member with another protocol gets nothing", got)
    feed.code()
    ok(wait_all(["e-first"], n), "eager: the run beside it goes on", live.lines_of("e-first/out.ndjson"))
    end_all("eager", [run])
    each_once("eager", rows_of("e-first"), n)

    c.make("s-eager2")
    k, errors = consumer(c, "s-eager2", "eager2", "range")
    until = time.time() + 30
    while not k.assignment() and time.time() < until:
        k.poll(0.1)
    run = live.Run(
        live.command(c.bootstrap, "s-eager2", query="group=eager2&from=committed", outputs=ONE), "e-second"
    )
    until = time.time() + 40
    while run.alive() and time.time() < until:
        k.poll(0.1)
    code = run.process.poll()
    k.close()
    ok(code == 2, "eager: a run that comes into a group of another protocol ends with exit code 2", code)
    ok("partition.assignment.strategy" in run.said(), "eager: it says which setting", run.said()[-1500:])
    if run.alive():
        run.end()
    figure("eager", newcomer_got=got, second_exit=code, said=run.said().strip().splitlines()[-1:])

    c.make("s-eager3")
    args = live.command(
        c.bootstrap, "s-eager3", *SHORT, "-X", "partition.assignment.strategy=range", outputs=ONE
    )
    runs = [live.Run(args, "e-a")]
    feed = live.Feed("night.tar", c.bootstrap, "s-eager3", 60, n)
    live.wait_rows("e-a/out.ndjson", 100, 60)
    runs.append(live.Run(args, "e-b"))
    ok(feed.code() == 0, "eager: all alerts were sent", feed.err)
    wait_all(["e-a", "e-b"], n)
    end_all("eager members", runs)
    twice = each_once("eager members", rows_of("e-a", "e-b"), n)
    figure(
        "eager_members",
        alerts=n,
        twice=twice,
        rows=[live.lines_of(f"{f}/out.ndjson") for f in ("e-a", "e-b")],
    )
    for t in (topic, "s-eager2", "s-eager3"):
        c.delete(t)


def rolling(c):
    """Each broker in turn, orderly and by kill -9."""
    topic, n = "s-rolling", 8000
    c.make(topic)
    run = live.Run(live.command(c.bootstrap, topic), "r-one")
    feed = live.Feed("night.tar", c.bootstrap, topic, 60, n)
    live.wait_rows("r-one/out.ndjson", 50, 60)
    stalls = {}
    for how in (signal.SIGTERM, signal.SIGKILL):
        for node in c.nodes():
            gaps = live.Gaps("r-one/out.ndjson")
            c.kill(node, how)
            c.again(node)
            c.wait_in_sync(topic)
            time.sleep(3)
            stalls[f"{how.name}-{node}"] = round(gaps.end(), 2)
    ok(feed.code() == 0, "rolling: all alerts were sent", feed.err)
    wait_all(["r-one"], n)
    time.sleep(2)
    end_all("rolling", [run])
    whole = live.Run(live.command(c.bootstrap, topic, query="group=rolling-whole&until=end"), "r-whole")
    ok(whole.wait(300) == 0, "rolling: an uninterrupted run", whole.said())
    wrong = live.differences(live.content("r-one"), live.content("r-whole"))
    ok(not wrong, "rolling: every output equals that of an uninterrupted run", "\n".join(wrong))
    lines = len(run.said().splitlines())
    figure("rolling", alerts=n, equal=not wrong, longest_stall_s=stalls, lines_said=lines)
    c.delete(topic)


class Links:
    """A network namespace for each member, on a link of its own to the brokers' address."""

    def __init__(self, address, names):
        self.made, self.address = [], address
        for k, name in enumerate(names, 1):
            ns, net = f"nj{os.getpid()}{name}", address.rsplit(".", 2)[0] + f".{k + 1}"
            near, far = f"njh{os.getpid() % 100000}{name}", f"njf{os.getpid() % 100000}{name}"
            self.made.append((name, ns, far))
            ip("netns", "add", ns)
            ip("link", "add", near, "type", "veth", "peer", "name", far)
            ip("link", "set", far, "netns", ns)
            ip("addr", "add", f"{net}.1/30", "dev", near)
            ip("link", "set", near, "up")
            ip("-n", ns, "addr", "add", f"{net}.2/30", "dev", far)
            ip("-n", ns, "link", "set", "lo", "up")
            ip("-n", ns, "link", "set", far, "up")
            ip("-n", ns, "route", "add", address, "via", f"{net}.1")

    def inside(self, name):
        return ["ip", "netns", "exec", next(ns for who, ns, _ in self.made if who == name)]

    def set(self, name, state):
        ns, far = next((ns, far) for who, ns, far in self.made if who == name)
        ip("-n", ns, "link", "set", far, state)
        if state == "up":  # the route went with the link
            net = self.address.rsplit(".", 2)[0] + f".{[m[0] for m in self.made].index(name) + 2}"
            ip("-n", ns, "route", "replace", self.address, "via", f"{net}.1")

    def end(self):
        for _, ns, _ in self.made:
            subprocess.run(["ip", "netns", "del", ns], capture_output=True)
        subprocess.run(["ip", "addr", "del", f"{self.address}/32", "dev", "lo"], capture_output=True)


def ip(*args):
    r = subprocess.run(["ip", *args], capture_output=True, text=True)
    if r.returncode:
        raise OSError(f"ip {' '.join(args)}: {r.stderr.strip()}")


def links(_):
    """Two members, each behind a link that is cut for 20 s; with sessions that outlast it, and with shorter
    ones."""
    address = f"10.{100 + os.getpid() % 100}.0.1"
    try:
        ip("addr", "add", f"{address}/32", "dev", "lo")
    except OSError as why:
        return skip("links that are cut", str(why))
    net = None
    try:
        net = Links(address, ["a", "b"])
        c = Cluster("kafka-links", 1, address)
    except OSError as why:
        if net:
            net.end()
        subprocess.run(["ip", "addr", "del", f"{address}/32", "dev", "lo"], capture_output=True)
        return skip("links that are cut", str(why))
    try:
        for name, more in (("long", []), ("short", SHORT)):
            topic, n = f"s-links-{name}", 5500
            c.make(topic)
            args = live.command(c.bootstrap, topic, *more, outputs=ONE)
            folders = [f"l-{name}-a", f"l-{name}-b"]
            runs = [live.Run(args, folders[0], before=net.inside("a"))]
            feed = live.Feed("night.tar", c.bootstrap, topic, 60, n)
            live.wait_rows(f"{folders[0]}/out.ndjson", 50, 60)
            runs.append(live.Run(args, folders[1], before=net.inside("b")))
            live.wait_rows(f"{folders[1]}/out.ndjson", 50, 60)
            back = []
            for k, member in enumerate("ab"):
                net.set(member, "down")
                time.sleep(20)
                path = f"{folders[k]}/out.ndjson"
                size = live.size_of(path)
                net.set(member, "up")
                back.append(live.first_new_row(path, size, time.time(), 60))
                time.sleep(5)
            ok(feed.code() == 0, f"links ({name} sessions): all alerts were sent", feed.err)
            wait_all(folders, n)
            time.sleep(2)
            end_all(f"links ({name} sessions)", runs)
            found = rows_of(*folders)
            ok(len(found) == n, f"links ({name} sessions): no alert is lost", f"{len(found)} of {n}")
            within = sum(sum(x - 1 for x in rows_of(f).values()) for f in folders)
            ok(within == 0, f"links ({name} sessions): none is twice in one file", within)
            twice = sum(x - 1 for x in found.values())
            if not more:
                ok(twice == 0, "links (long sessions): none is in two files", twice)
            figure(
                f"links_{name}_sessions",
                alerts=n,
                lost=n - len(found),
                in_two_files=twice,
                first_new_row_s=[x and round(x, 2) for x in back],
                rows=[live.lines_of(f"{f}/out.ndjson") for f in folders],
            )
    finally:
        c.end()
        net.end()


def later(c):
    """Topics that appear when the run is already there: by name and by pattern."""
    n, runs, waited = 300, {}, {}
    runs["name"] = live.Run(live.command(c.bootstrap, "s-later-name", outputs=ONE), "t-name")
    runs["pattern"] = live.Run(
        live.command(c.bootstrap, "^s-later-x[0-9]+$", query="group=later-x", outputs=ONE), "t-pattern"
    )
    time.sleep(8)
    for who, run in runs.items():
        ok("s-later" in run.said(), f"later, by {who}: a topic that is not there is said", run.said()[-800:])
    for who, topic in (("name", "s-later-name"), ("pattern", "s-later-x1"), ("pattern", "s-later-x2")):
        before = live.lines_of(f"t-{who}/out.ndjson")
        c.make(topic)
        watch = live.Watch(f"t-{who}/out.ndjson")
        watch.mark(time.time(), live.size_of(f"t-{who}/out.ndjson"))
        feed = live.Feed("night.tar", c.bootstrap, topic, None, n)
        feed.code()
        first = watch.end(60)[0]
        waited[topic] = first and round(first, 1)
        live.wait_rows(f"t-{who}/out.ndjson", before + n, 60)
        ok(
            live.lines_of(f"t-{who}/out.ndjson") == before + n,
            f"later: {topic} is read from its first message",
            before,
        )
    end_all("later", runs.values())
    figure("later", first_row_s=waited)
    for topic in waited:
        c.delete(topic)


def anew(c):
    """A topic is deleted under the run, and made anew; and while the run is down."""
    topic, n = "s-anew", 400
    c.make(topic)
    args = live.command(c.bootstrap, topic, outputs=ONE)
    run = live.Run(args, "a-one")
    live.Feed("night.tar", c.bootstrap, topic, None, n).code()
    live.wait_rows("a-one/out.ndjson", n, 60)
    time.sleep(2)
    c.delete(topic)
    time.sleep(3)
    c.make(topic)
    watch = live.Watch("a-one/out.ndjson")
    watch.mark(time.time(), live.size_of("a-one/out.ndjson"))
    live.Feed("night.tar", c.bootstrap, topic, None, n + 100).code()
    first = watch.end(120)[0]
    live.wait_rows("a-one/out.ndjson", 2 * n + 100, 60)
    ok(
        live.lines_of("a-one/out.ndjson") == 2 * n + 100,
        "anew: both topics are read",
        live.lines_of("a-one/out.ndjson"),
    )
    end_all("anew", [run])
    total = 2 * n + 100
    for more in (
        n - 100,
        n + 600,
    ):  # a new one that is shorter than what was read of the old, and one that is longer
        c.delete(topic)
        time.sleep(1)
        c.make(topic)
        live.Feed("night.tar", c.bootstrap, topic, None, more).code()
        run = live.Run(args, "a-one")
        total += more
        live.wait_rows("a-one/out.ndjson", total, 60)
        time.sleep(1)
        rows = live.lines_of("a-one/out.ndjson")
        ok(rows == total, f"anew while it was down, {more} alerts: the new one is read", (rows, total))
        if more < n:
            end_all("anew while it was down", [run])
    c.delete(topic)
    time.sleep(2)
    code = run.end(signal.SIGTERM, 30)
    ok(code == 130, "anew: a run whose topic was deleted ends on SIGTERM", (code, run.said()[-1500:]))
    figure(
        "anew", first_row_s=first and round(first, 1), rows=live.lines_of("a-one/out.ndjson"), expected=total
    )


def members_of(c, group):
    """The names of the group's members, dead ones that it still waits for included."""
    of = c.admin().describe_consumer_groups([group], request_timeout=20)
    return sorted(m.group_instance_id for m in of[group].result().members)


def partitions(c):
    """Three, then six partitions while the run goes on, then nine while it is dead; a second member, and
    twelve while that one is dead. Who comes back has its place, and the new partitions have a reader."""
    topic, n = "s-parts", 1500
    c.make(topic, 3)
    args = live.command(c.bootstrap, topic, outputs=ONE)
    run = live.Run(args, "p-one")
    live.Feed("night.tar", c.bootstrap, topic, None, 500).code()
    live.wait_rows("p-one/out.ndjson", 500, 60)
    c.add_partitions(topic, 6)
    feed = live.Feed("night.tar", c.bootstrap, topic, 60, n - 500)
    time.sleep(15)
    before = members_of(c, f"g-{topic}")
    run.send(signal.SIGKILL)
    run.process.wait()
    c.add_partitions(topic, 9)
    size, since = live.size_of("p-one/out.ndjson"), time.time()
    run = live.Run(args, "p-one")
    back = live.first_new_row("p-one/out.ndjson", size, since, 90)
    members = members_of(c, f"g-{topic}")
    ok(members == before, "partitions: it came back under its name", (before, members))
    feed.code()
    live.wait_rows("p-one/out.ndjson", n, 90)
    live.Feed("night.tar", c.bootstrap, topic, None, 600).code()  # over all nine
    n += 600
    since = time.time()
    live.wait_rows("p-one/out.ndjson", n, 90)
    all_back = time.time() - since
    time.sleep(2)
    ok(
        live.lines_of("p-one/out.ndjson") == n,
        "partitions: all are read, each alert once",
        live.lines_of("p-one/out.ndjson"),
    )
    two = live.Run(args, "p-two")
    live.Feed("night.tar", c.bootstrap, topic, 100, 1000).code()
    n += 1000
    rows = lambda: live.lines_of("p-one/out.ndjson") + live.lines_of("p-two/out.ndjson")
    wait_for(lambda: rows() >= n)
    before = members_of(c, f"g-{topic}")
    two.send(signal.SIGKILL)
    two.process.wait()
    c.add_partitions(topic, 12)
    two = live.Run(args, "p-two")
    live.Feed("night.tar", c.bootstrap, topic, 100, 600).code()
    n += 600
    wait_for(lambda: rows() >= n)
    time.sleep(2)
    members = members_of(c, f"g-{topic}")
    ok(members == before, "partitions: the second came back under its name", (before, members))
    ok(rows() == n, "partitions: two members have read all, each alert once", (rows(), n))
    end_all("partitions", [run, two])
    figure(
        "partitions",
        alerts=n,
        first_new_row_after_kill_s=back and round(back, 2),
        last_row_after_feed_s=round(all_back, 2),
    )
    c.delete(topic)


def nights(c):
    """A pattern of nights: the next night's topic appears, then the run is killed; how soon do rows come?"""
    n, back = 600, []
    c.make("s-night-1")
    args = live.command(c.bootstrap, "^s-night-[0-9]+$", query="group=nights&from=committed", outputs=ONE)
    run = live.Run(args, "n-one")
    live.Feed("night.tar", c.bootstrap, "s-night-1", None, n).code()
    live.wait_rows("n-one/out.ndjson", n, 60)
    total = n
    for k in (2, 3):
        c.make(f"s-night-{k}")
        feed = live.Feed("night.tar", c.bootstrap, f"s-night-{k}", 30, n)
        ok(live.wait_rows("n-one/out.ndjson", total + 30, 60), f"nights: night {k} is joined")
        run.send(signal.SIGKILL)
        run.process.wait()
        size, since = live.size_of("n-one/out.ndjson"), time.time()
        run = live.Run(args, "n-one")
        back.append(live.first_new_row("n-one/out.ndjson", size, since, 90))
        feed.code()
        total += n
        live.wait_rows("n-one/out.ndjson", total, 90)
    time.sleep(1)
    ok(
        live.lines_of("n-one/out.ndjson") == total,
        "nights: all is there once",
        (live.lines_of("n-one/out.ndjson"), total),
    )
    end_all("nights", [run])
    figure("nights", first_new_row_after_kill_s=[x and round(x, 2) for x in back])
    for k in (1, 2, 3):
        c.delete(f"s-night-{k}")


def main():
    global opts
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--only", default=",".join(PARTS))
    p.add_argument("--freeze", type=float, default=90)
    p.add_argument("--brokers", type=int, default=3)
    p.add_argument("--out")
    p.add_argument("--keep", help="a folder for all that was written")
    opts = p.parse_args()
    opts.out, opts.keep = (os.path.abspath(x) if x else None for x in (opts.out, opts.keep))
    begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with Folder():
        r = nightjar("simulate", "-n", 6000, "--seed", 11, "-q", "-o", "night.tar")
        ok(r.returncode == 0, "a night", r.stderr)
        c = None
        try:
            wanted = opts.only.split(",")
            if wanted != ["links"]:
                c = Cluster("kafka", opts.brokers)
            for name in wanted:
                try:
                    globals()[name](c)
                except NoKafka:
                    raise
                except Exception as why:
                    import traceback

                    ok(False, f"{name}: runs to its end", traceback.format_exc())
        except NoKafka as why:
            skip("live runs on three brokers", str(why))
        finally:
            if c:
                c.end()
            if opts.keep:
                for name in os.listdir("."):
                    if "-" in name and os.path.isdir(name) and "kafka" not in name:
                        shutil.copytree(name, os.path.join(opts.keep, name), dirs_exist_ok=True)
    write_figures(opts.out, figures, begun=begun)


main()
done()
