#!/usr/bin/env python3
"""kill -9 at random moments of a live run on three brokers: of its worker, of the whole run, of a broker.
Behind each campaign every output equals that of an uninterrupted run, row for row.

  tests/long/kills.py [--alerts 20000] [--kills 50] [--seconds 5] [--only worker,supervisor,broker,quick,eos]
                      [--out FILE]

Speaks TAP; --out writes the figures as JSON. Seconds until the first new row are figures, not conditions."""

import argparse, collections, itertools, json, os, random, shutil, signal, sys, time, traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import own_copy  # before tap
from tap import Folder, done, needs, nightjar, ok

needs("confluent_kafka", "fastavro", "astropy", "pyarrow")
import live
from cluster import on_cluster, write_figures

opts, figures = None, {}
WAIT_S = 240


def note(text):
    print("# " + text, flush=True)


def expected_of(c, topic, n):
    """An uninterrupted run over what the topic has."""
    run = live.Run(live.command(c.bootstrap, topic, query=f"group=whole-{topic}&until=end"), f"{topic}-whole")
    rc = run.wait(600)
    ok(rc == 0, f"{topic}: an uninterrupted run", run.said())
    ok(live.lines_of(f"{topic}-whole/out.ndjson") == n, f"{topic}: it has every alert", n)
    return live.content(f"{topic}-whole")


def summary(seconds):
    s = sorted(x for x in seconds if x is not None)
    if not s:
        return {"n": 0}
    at = lambda q: round(s[min(len(s) - 1, int(q * len(s)))], 3)
    return {
        "n": len(s),
        "never": sum(x is None for x in seconds),
        "median_s": at(0.5),
        "p90_s": at(0.9),
        "most_s": at(1),
    }


def finish(c, name, topic, run, feed, n, times, t0, kills=None):
    """The rest comes, the run ends, and its outputs are compared."""
    ok(feed.code() == 0, f"{name}: all alerts were sent", feed.err)
    out = f"{topic}/out.ndjson"
    live.wait_rows(out, n, WAIT_S)
    time.sleep(2)  # what came twice would be seen, too
    rc = run.end()
    ok(rc == 130, f"{name}: the last run ends on Ctrl-C", (rc, run.said()[-2500:]))
    wrong = live.differences(live.content(topic), expected_of(c, topic, n))
    ok(not wrong, f"{name}: every output equals that of an uninterrupted run", "\n".join(wrong))
    figures[name] = {
        "kills": kills or len(times),
        "alerts": n,
        "seconds": round(time.time() - t0),
        "first_new_row": summary(times),
        "equal": not wrong,
        "differences": wrong,
    }
    note(f"{name}: {json.dumps(figures[name])}")
    return wrong


def moments(kills, seconds):
    """Random moments, some of them soon after the one before."""
    for _ in range(kills):
        yield random.uniform(0.1, 2 * seconds / kills - 0.1)


def campaign(c, name, kill, seconds):
    """kill(run, args, topic, watch) gives the run that takes over; `seconds` on average between two kills."""
    topic, n = f"k-{name}", opts.alerts
    c.make(topic)
    args = live.command(c.bootstrap, topic)
    t0 = time.time()
    run = live.Run(args, topic)
    feed = live.Feed("night.tar", c.bootstrap, topic, n / (1.1 * opts.kills * seconds + 1), n)
    out = f"{topic}/out.ndjson"
    live.wait_rows(out, 1, 60)
    watch = live.Watch(out)
    moment = time.time()
    for pause in moments(opts.kills, opts.kills * seconds):
        moment += pause  # what a kill itself takes counts, too: the feed continues meanwhile
        time.sleep(max(0, moment - time.time()))
        if not run.alive():
            break
        run = kill(run, args, topic, watch)
    times = watch.end(30)
    ok(run.alive(), f"{name}: it runs after {len(times)} kills", run.said()[-2500:])
    note(f"{name}: first new row after {[x and round(x, 2) for x in times]} s")
    wrong = finish(c, name, topic, run, feed, n, times, t0)
    keep(topic, wrong)
    c.delete(topic)


def keep(topic, wrong):
    """Where something is wrong the folders stay for a look."""
    if wrong and opts.keep:
        shutil.copytree(topic, os.path.join(opts.keep, topic), dirs_exist_ok=True)
        shutil.copytree(f"{topic}-whole", os.path.join(opts.keep, f"{topic}-whole"), dirs_exist_ok=True)
    shutil.rmtree(topic)
    shutil.rmtree(f"{topic}-whole")


def kill_worker(run, args, topic, watch):
    pid, before = run.worker(), live.size_of(f"{topic}/out.ndjson")
    if pid:
        os.kill(pid, signal.SIGKILL)
        watch.mark(time.time(), before)
    return run


def in_turn(*killers):
    turn = itertools.cycle(killers)
    return lambda *args: next(turn)(*args)


def kill_run(run, args, topic, watch):
    run.send(signal.SIGKILL)
    since = time.time()
    run.process.wait()
    watch.mark(since, live.size_of(f"{topic}/out.ndjson"))
    return live.Run(args, topic)


def broker_killer(c):
    def kill(run, args, topic, watch):
        node = random.choice(list(c.nodes()))
        before = live.size_of(f"{topic}/out.ndjson")
        c.kill(node)
        watch.mark(time.time(), before)
        time.sleep(random.uniform(0, 2))
        c.again(node)
        c.wait_in_sync(topic)
        return run

    return kill


def quick(c):
    """Twenty kills in twenty seconds, then left alone."""
    topic, n = "k-quick", 3000
    c.make(topic)
    t0, kills = time.time(), 0
    run = live.Run(live.command(c.bootstrap, topic), topic)
    feed = live.Feed("night.tar", c.bootstrap, topic, 100, n)
    live.wait_rows(f"{topic}/out.ndjson", 1, 60)
    begun = time.time()
    for k in range(20):
        time.sleep(max(0, begun + k - time.time()))
        pid = run.worker(1)
        if pid:
            os.kill(pid, signal.SIGKILL)
            kills += 1
    times = [live.first_new_row(f"{topic}/out.ndjson", live.size_of(f"{topic}/out.ndjson"), time.time())]
    ok(run.alive(), f"quick: it runs after {kills} kills in 20 s", run.said()[-2500:])
    wrong = finish(c, "quick", topic, run, feed, n, times, t0, kills)
    keep(topic, wrong)
    c.delete(topic)


def eos(c):
    """--eos: who reads committed messages finds each candid once, whatever was killed."""
    topic, n, kills = "k-eos", min(opts.alerts, 6000), opts.kills
    c.make(topic)
    c.make("k-eos-rows")
    t0 = time.time()
    args = live.command(
        c.bootstrap, topic, "--eos", outputs=[f"kafka://{c.bootstrap}/k-eos-rows", "ndjson:out.ndjson"]
    )
    run = live.Run(args, topic)
    feed = live.Feed("night.tar", c.bootstrap, topic, n / (kills * 2 * opts.seconds), n)
    live.wait_rows(f"{topic}/out.ndjson", 1, 60)
    watch = live.Watch(f"{topic}/out.ndjson")
    killers = [kill_worker, kill_run, broker_killer(c)]
    for k, pause in enumerate(moments(kills, 1.8 * kills * opts.seconds)):
        time.sleep(pause)
        if not run.alive():
            break
        run = killers[k % 3](run, args, topic, watch)
    times = watch.end(60)
    ok(run.alive(), f"eos: it runs after {kills} kills", run.said()[-2500:])
    ok(feed.code() == 0, "eos: all alerts were sent", feed.err)
    live.wait_rows(f"{topic}/out.ndjson", n, WAIT_S)
    time.sleep(3)
    rc = run.end()
    ok(rc == 130, "eos: the last run ends on Ctrl-C", (rc, run.said()[-2500:]))
    seen = collections.Counter(json.loads(v)["candid"] for _, v in c.messages("k-eos-rows", committed=True))
    sent = sum(1 for _ in c.messages(topic))
    twice = sum(x > 1 for x in seen.values())
    ok(sent == n, "eos: the topic has each alert once", sent)
    ok(len(seen) == n, "eos: every candid is there for who reads committed messages", len(seen))
    ok(twice == 0, "eos: and none is there twice", twice)
    lines = collections.Counter(json.loads(line)["candid"] for line in open(f"{topic}/out.ndjson"))
    ok(
        lines == seen,
        "eos: the file beside it has each once",
        (len(lines), sum(x > 1 for x in lines.values())),
    )
    figures["eos"] = {
        "kills": kills,
        "alerts": n,
        "seconds": round(time.time() - t0),
        "first_new_row": summary(times),
        "candids": len(seen),
        "twice": twice,
        "in_file": len(lines),
        "equal": lines == seen,
    }
    note(f"eos: {json.dumps(figures['eos'])}")
    if (twice or len(seen) != n or lines != seen) and opts.keep:
        shutil.copytree(topic, os.path.join(opts.keep, topic), dirs_exist_ok=True)
    shutil.rmtree(topic)
    c.delete(topic)
    c.delete("k-eos-rows")


def trial(c, name):
    if name == "worker":
        campaign(c, name, kill_worker, opts.seconds)
    elif name == "supervisor":
        campaign(c, name, kill_run, opts.seconds)
    elif name == "broker":
        campaign(c, name, broker_killer(c), 3 * opts.seconds)
    elif name == "mixed":
        campaign(c, name, in_turn(kill_worker, kill_run), opts.seconds)
    elif name == "quick":
        quick(c)
    elif name == "eos":
        eos(c)


def trials(c):
    for name in opts.only.split(","):
        try:
            trial(c, name)
        except Exception:
            ok(False, f"{name}: runs to its end", traceback.format_exc())


def main():
    global opts
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--alerts", type=int, default=20000)
    p.add_argument("--kills", type=int, default=50)
    p.add_argument(
        "--seconds", type=float, default=5, help="between two kills, on average; of a broker three times that"
    )
    p.add_argument("--only", default="worker,supervisor,broker,quick,eos")
    p.add_argument("--brokers", type=int, default=3)
    p.add_argument("--seed", type=int)
    p.add_argument("--out")
    p.add_argument("--keep", help="a folder for what is wrong")
    opts = p.parse_args()
    random.seed(opts.seed)
    opts.out, opts.keep = (os.path.abspath(x) if x else None for x in (opts.out, opts.keep))
    begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with Folder():
        r = nightjar(
            "simulate",
            "-n",
            max(opts.alerts, 3000 if "quick" in opts.only else 0),
            "--seed",
            7,
            "-q",
            "-o",
            "night.tar",
        )
        ok(r.returncode == 0, "a night", r.stderr)
        on_cluster("live runs on three brokers", opts.brokers, trials)
    write_figures(opts.out, figures, begun=begun)


main()
done()
