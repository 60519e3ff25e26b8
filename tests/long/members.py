#!/usr/bin/env python3
"""Two and three processes of one Kafka group on this machine, killed and joined in turn. The outputs of all
of them together equal those of one run.

  tests/long/members.py [--alerts 6000] [--turns 12] [--seconds 4] [--members 2,3] [--brokers 1] [--away 3]
  [--out FILE]

A member that comes back within its session has its partitions again, and no row is in two files. One that
stays away for longer (--away: so often) may have rows that the others write, too: as many as the group had
not heard of when it died. Speaks TAP; --out writes the figures as JSON."""

import argparse, collections, json, os, random, re, shutil, signal, sys, time, traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import own_copy  # before tap
from tap import Folder, done, needs, nightjar, ok, skip

needs("confluent_kafka", "fastavro", "astropy", "pyarrow")
import live
from cluster import on_cluster, write_figures

SESSION_S = 6
opts, figures = None, {}


def note(text):
    print("# " + text, flush=True)


class Group:
    """Members with names of their own, each in a folder of its own."""

    def __init__(self, c, topic, session_s, outputs):
        self.c, self.topic, self.group, self.outputs = c, topic, f"g-{topic}", outputs
        self.runs, self.folders = {}, []
        self.more = [
            *os.environ.get("MEMBERS_MORE", "").split(),
            "-X",
            f"session.timeout.ms={session_s * 1000}",
            "-X",
            "heartbeat.interval.ms=500",
        ]

    def begin(self, name):
        folder = f"{self.topic}-{name}"
        if folder not in self.folders:
            self.folders.append(folder)
        own = ["-D", f"kafka.group_instance={folder}", *self.more]
        args = live.command(self.c.bootstrap, self.topic, *own, outputs=self.outputs)
        self.runs[name] = live.Run(args, folder)
        return self.runs[name]

    def rows(self):
        return sum(live.lines_of(f"{f}/out.ndjson") for f in self.folders)

    def has_rows(self, name, seconds=90):
        """A member that is new, or came back, gets alerts."""
        path = f"{self.topic}-{name}/out.ndjson"
        before = live.size_of(path)
        return live.first_new_row(path, before, time.time(), seconds) is not None

    def candids(self):
        found = collections.Counter()
        for f in self.folders:
            with open(f"{f}/out.ndjson") as lines:
                found.update(json.loads(line)["candid"] for line in lines)
        return found

    def content(self):
        """What all members' outputs have together."""
        all_of = collections.defaultdict(list)
        for f in self.folders:
            for kind, found in live.content(f).items():
                all_of[kind] += found
        return {kind: sorted(found) for kind, found in all_of.items()}

    def committed(self):
        """What the group has heard, by partition."""
        import confluent_kafka as ck

        one = ck.Consumer({"bootstrap.servers": self.c.bootstrap, "group.id": self.group, "log_level": 0})
        n = len(self.c.admin().list_topics(self.topic, timeout=30).topics[self.topic].partitions)
        got = one.committed([ck.TopicPartition(self.topic, i) for i in range(n)], timeout=30)
        one.close()
        return {p.partition: max(p.offset, 0) for p in got}

    def journal(self, name):
        """Up to where a member's file is complete, by partition."""
        with open(f"{self.topic}-{name}/out.ndjson.journal") as f:
            lines = [json.loads(line) for line in f if line.endswith("\n")]
        streams = lines[-1].get("state", {}).get("streams", []) if len(lines) > 1 else []
        at = lambda s: int(re.search(r"\[(\d+)\]$", s["name"]).group(1))
        return {at(s): s["offset"] for s in streams}

    def end(self, name):
        codes = {n: r.end() for n, r in self.runs.items() if r.alive()}
        ok(
            set(codes.values()) == {130},
            f"{name}: each member ends on Ctrl-C",
            (codes, [r.said()[-1200:] for r in self.runs.values()]),
        )


def until_all(group, n, seconds=240):
    until = time.time() + seconds
    while group.rows() < n and time.time() < until:
        time.sleep(0.2)
    time.sleep(2)  # what came twice would be seen, too


def expected_of(c, topic, n):
    run = live.Run(live.command(c.bootstrap, topic, query=f"group=whole-{topic}&until=end"), f"{topic}-whole")
    rc = run.wait(600)
    ok(rc == 0, f"{topic}: one run over all of it", run.said())
    ok(live.lines_of(f"{topic}-whole/out.ndjson") == n, f"{topic}: it has every alert", n)
    return live.content(f"{topic}-whole")


def clear(c, group, wrong=False):
    """Where something is wrong the folders stay for a look."""
    for f in [*group.folders, f"{group.topic}-whole"] if wrong and opts.keep else []:
        shutil.copytree(f, os.path.join(opts.keep, f), dirs_exist_ok=True)
    for f in [*group.folders, f"{group.topic}-whole"]:
        shutil.rmtree(f, ignore_errors=True)
    c.delete(group.topic)


def in_turn(c, n_members):
    """kill -9 of the worker, of the whole run, SIGTERM: each member in turn, and each is back within its
    session. In between one more joins, and leaves for good."""
    name, n = f"{n_members} members in turn", opts.alerts
    topic = f"m-turns-{n_members}"
    c.make(topic)
    group = Group(c, topic, 60, live.OUTPUTS)
    t0, kills = time.time(), 0
    names = [f"m{i}" for i in range(n_members)]
    group.begin(names[0])
    feed = live.Feed("night.tar", c.bootstrap, topic, n / (opts.turns * opts.seconds * 1.3 + 10), n)
    ok(group.has_rows(names[0]), f"{name}: the first has rows")
    for other in names[1:]:
        group.begin(other)
        ok(group.has_rows(other), f"{name}: {other} joins and has a share")
    for turn in range(opts.turns):
        who = names[turn % n_members]
        how = ["worker", "run", "stop"][turn % 3]
        run = group.runs[who]
        if how == "worker":
            pid = run.worker()
            if pid:
                os.kill(pid, signal.SIGKILL)
        elif how == "run":
            run.send(signal.SIGKILL)
            run.process.wait()
        else:
            code = run.end(signal.SIGTERM)
            ok(code == 130, f"{name}: {who} ends on SIGTERM", (code, run.said()[-1500:]))
        kills += 1
        time.sleep(random.uniform(0, 0.5) * opts.seconds)
        if how != "worker":
            group.begin(who)
        if turn == opts.turns // 2:
            group.begin("guest")
            ok(group.has_rows("guest"), f"{name}: one more joins and has a share")
        time.sleep(random.uniform(0.5, 1) * opts.seconds)
    ok(feed.code() == 0, f"{name}: all alerts were sent", feed.err)
    until_all(group, n)
    group.end(name)
    found = group.candids()
    twice = sum(x - 1 for x in found.values())
    ok(len(found) == n, f"{name}: no alert is lost", f"{len(found)} of {n}")
    ok(twice == 0, f"{name}: none is in two files, or twice in one", twice)
    wrong = live.differences(group.content(), expected_of(c, topic, n))
    ok(not wrong, f"{name}: the outputs together equal those of one run", "\n".join(wrong))
    shares = {f[len(topic) + 1 :]: live.lines_of(f"{f}/out.ndjson") for f in group.folders}
    figures[f"turns_{n_members}"] = {
        "alerts": n, "kills": kills, "seconds": round(time.time() - t0), "equal": not wrong, "rows": shares
    }  # fmt: skip
    note(f"{name}: {json.dumps(figures[f'turns_{n_members}'])}")
    clear(c, group, wrong)


def away(c):
    """A member is killed and stays away until others have its partitions; then it comes back."""
    name, n = "away", min(opts.alerts, 400 * (opts.away + 1))
    topic = "m-away"
    c.make(topic)
    group = Group(c, topic, SESSION_S, ["ndjson:out.ndjson"])
    group.begin("m0")
    feed = live.Feed("night.tar", c.bootstrap, topic, n / (opts.away * (SESSION_S + 14) + 15), n)
    ok(group.has_rows("m0"), "away: the first has rows")
    group.begin("m1")
    ok(group.has_rows("m1"), "away: the second has a share")
    unheard, taken = [], []
    for turn in range(opts.away):
        who, other = (f"m{turn % 2}", f"m{1 - turn % 2}")
        run = group.runs[who]
        run.send(signal.SIGKILL)
        run.process.wait()
        time.sleep(1)  # what was under way to the broker arrives
        has, heard = group.journal(who), group.committed()
        unheard.append(sum(max(0, has[p] - heard.get(p, 0)) for p in has))
        others = {f for f in group.folders if f != f"{topic}-{who}"}
        before = sum(live.lines_of(f"{f}/out.ndjson") for f in others)
        until = time.time() + 60
        while time.time() < until and group.committed() == heard and group.runs[other].alive():
            time.sleep(0.5)
        time.sleep(SESSION_S + 4)
        taken.append(sum(live.lines_of(f"{f}/out.ndjson") for f in others) - before)
        group.begin(who)
        ok(group.has_rows(who), f"away: {who} comes back and has a share again")
    ok(feed.code() == 0, "away: all alerts were sent", feed.err)
    until_all(group, n)
    group.end(name)
    found = group.candids()
    twice = sum(x - 1 for x in found.values())
    ok(len(found) == n, "away: no alert is lost", f"{len(found)} of {n}")
    ok(
        twice <= sum(unheard),
        "away: rows in two files are at most those that the group had not heard of",
        (twice, unheard),
    )
    within = 0
    for f in group.folders:
        with open(f"{f}/out.ndjson") as lines:
            ids = collections.Counter(json.loads(line)["candid"] for line in lines)
        within += sum(x - 1 for x in ids.values())
    ok(within == 0, "away: none is twice in one file", within)
    figures["away"] = {
        "alerts": n, "kills": opts.away, "in_two_files": twice, "not_heard_of": unheard,
        "rows_meanwhile": taken,
    }  # fmt: skip
    note(f"away: {json.dumps(figures['away'])}")
    clear(c, group)


def trials(c):
    parts = [(in_turn, (int(m),)) for m in opts.members.split(",")]
    for part, args in parts + [(away, ())] * (opts.away > 0):
        try:
            part(c, *args)
        except Exception:
            ok(False, f"{part.__name__}: runs to its end", traceback.format_exc())


def main():
    global opts
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--alerts", type=int, default=6000)
    p.add_argument("--turns", type=int, default=12)
    p.add_argument("--seconds", type=float, default=4, help="of a turn, at most 1.5 times")
    p.add_argument("--members", default="2,3")
    p.add_argument("--brokers", type=int, default=1)
    p.add_argument("--away", type=int, default=3, help="0 = not tried")
    p.add_argument("--seed", type=int)
    p.add_argument("--out")
    p.add_argument("--keep", help="a folder for what is wrong")
    opts = p.parse_args()
    random.seed(opts.seed)
    opts.out, opts.keep = (os.path.abspath(x) if x else None for x in (opts.out, opts.keep))
    begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with Folder():
        r = nightjar("simulate", "-n", max(opts.alerts, 300), "--seed", 7, "-q", "-o", "night.tar")
        ok(r.returncode == 0, "a night", r.stderr)
        on_cluster("members of one group", opts.brokers, trials)
    write_figures(opts.out, figures, begun=begun, load=os.getloadavg()[0])


main()
done()
