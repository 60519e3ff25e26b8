#!/usr/bin/env python3
"""Notices of gravitational waves become regions of a run that reads alerts: made, replaced, retracted, known
to the next run; test events, wrong ones and a topic in trouble leave the stream alone."""

import base64, json, os, signal, struct, subprocess, tarfile, time
from mock_broker import MockBroker
from tap import NIGHTJAR, ROOT, Folder, done, free_port, nightjar, ok, report, rows

PATIENCE = 120  # s: only what never comes takes so long
# librdkafka's own broker keeps the members of an ended run until their session ends
QUICK = ("-X", "session.timeout.ms=3000", "-X", "heartbeat.interval.ms=500")


def fits(cells):
    """A multi-order map of probability: (UNIQ, per steradian), a row each."""
    card = lambda key, value: f"{key:<8}= {value:>20}".ljust(80)
    text = lambda key, value: f"{key:<8}= '{value:<8}'".ljust(80)
    block = lambda cards: "".join([*cards, "END".ljust(80)]).encode().ljust(2880 * (1 + len(cards) // 36))
    first = block([card("SIMPLE", "T"), card("BITPIX", 8), card("NAXIS", 0), card("EXTEND", "T")])
    table = block(
        [text("XTENSION", "BINTABLE"), card("BITPIX", 8), card("NAXIS", 2), card("NAXIS1", 16)]
        + [card("NAXIS2", len(cells)), card("PCOUNT", 0), card("GCOUNT", 1), card("TFIELDS", 2)]
        + [text("TTYPE1", "UNIQ"), text("TFORM1", "K"), text("TTYPE2", "PROBDENSITY"), text("TFORM2", "D")]
        + [text("PIXTYPE", "HEALPIX"), text("ORDERING", "NUNIQ"), text("COORDSYS", "C")]
    )
    data = b"".join(struct.pack(">qd", uniq, density) for uniq, density in cells)
    return first + table + data.ljust(-(-len(data) // 2880) * 2880, b"\0")


SKY = 4 * 3.141592653589793
EVERYWHERE = fits([(4 + k, 1 / SKY) for k in range(12)])
NOWHERE = fits([(4 * 4**8, 12 * 4**8 / SKY)])  # one small cell, where no alert of the sample is


def notice(event, kind, created, skymap=EVERYWHERE, **more):
    text = skymap if skymap is None or isinstance(skymap, str) else base64.b64encode(skymap).decode()
    event_of = None if kind == "RETRACTION" else {"group": "CBC", "skymap": text}
    n = {
        "alert_type": kind,
        "time_created": created,
        "superevent_id": event,
        "urls": {"gracedb": f"https://example.org/superevents/{event}/view/"},
        "event": event_of,
        "external_coinc": None,
        **more,
    }
    return json.dumps(n).encode()


def at(minutes):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60 * minutes))


def settings(name, source, *lines, files="gw/"):
    with open(name, "w") as f:
        f.write(f"[module.gw]\nkind = region\nfiles = {files}\nlevel = 1\nfrom = {source}\n")
        f.write("\n".join(lines) + "\n[topic.inside]\nwhere = in_region('gw')\n[topic.all]\nwhere = 1\n")


class Run:
    def __init__(self, broker, name, *more, conf="gw.ini"):
        self.name = name
        self.out = open(f"{name}.said", "w+")
        source = f"kafka://{broker.server}/alerts?group=alerts&from=committed"
        self.child = subprocess.Popen(
            [
                NIGHTJAR,
                "run",
                source,
                "-c",
                conf,
                "-m",
                "gw",
                "-t",
                "inside",
                "-t",
                "all",
                "-o",
                f"ndjson:{name}.ndjson",
            ]
            + ["--report", f"{name}.json", "-j", "1", *QUICK, *more],
            stderr=self.out,
            stdout=self.out,
        )
        self.n = 0

    def said(self):
        return open(f"{self.name}.said").read()

    def wait(self, what):
        """Until what() is true; its value, or None when it never is."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.child.poll() is None:
            value = what()
            if value:
                return value
            time.sleep(0.02)
        return what()

    def alert(self, broker, packet):
        """The row of one more alert."""
        broker.send("alerts", [(packet, None, [])])
        self.n += 1
        have = lambda: os.path.exists(f"{self.name}.ndjson") and open(f"{self.name}.ndjson").read()
        self.wait(lambda: have() and have().count("\n") >= self.n)
        return rows(f"{self.name}.ndjson")[self.n - 1]

    def wait_said(self, words):
        return self.wait(lambda: words in self.said())

    def end(self):
        self.child.send_signal(signal.SIGTERM)
        self.child.wait(PATIENCE)
        return report(f"{self.name}.json")


def inside(row):
    return (row["gw.inside"], row["gw.names"], row["topics"])


def a_stream(broker, packets):
    settings("gw.ini", f"kafka://{broker.server}/igwn.gwalert", "days = 10")
    run = Run(broker, "first")
    row = run.alert(broker, packets[0])
    ok(inside(row) == (0, None, "all"), "before any notice, and before its topic is there: no region", row)
    began = time.monotonic()
    broker.topic("igwn.gwalert")
    broker.send("igwn.gwalert", [(notice("S260507a", "PRELIMINARY", at(-30)), None, [])])
    ok(run.wait_said("S260507a PRELIMINARY: is a region now"), "a notice is said", run.said())
    row = run.alert(broker, packets[1])
    print(f"# from the first notice to the row of an alert behind it: {time.monotonic() - began:.2f} s")
    ok(inside(row) == (1, "S260507a", "inside,all"), "it is a region, and the topic has the next alert", row)
    began = time.monotonic()
    broker.send("igwn.gwalert", [(notice("S260507a", "UPDATE", at(-20), NOWHERE), None, [])])
    ok(run.wait_said("S260507a UPDATE: replaces its region"), "an update is said", run.said())
    row = run.alert(broker, packets[2])
    print(f"# from an update to the row of an alert behind it: {time.monotonic() - began:.2f} s")
    ok(inside(row) == (0, None, "all"), "an update replaces the region", row)
    began = time.monotonic()
    broker.send(
        "igwn.gwalert",
        [
            (notice("S260507a", "PRELIMINARY", at(-30)), None, []),  # once more, and late
            (notice("MS260507b", "PRELIMINARY", at(-1)), None, []),
            (notice("S250101c", "PRELIMINARY", at(-11 * 1440)), None, []),
            (notice("S260507d", "EARLYWARNING", at(-1), None), None, []),
            (notice("S260507e", "PRELIMINARY", at(-1), "a*b"), None, []),
            (notice("../S260507e", "PRELIMINARY", at(-1)), None, []),
            (b'{"alert_type": "UPDATE"', None, []),
            (b'{"superevent_id": "S1", "hello": 1}', None, []),
            (notice("S260507f", "INITIAL", "yesterday"), None, []),
            (notice("S260507g", "INITIAL", at(-2)), None, []),
        ],
    )
    ok(run.wait_said("S260507g INITIAL: is a region now"), "what is wrong stops nothing", run.said())
    row = run.alert(broker, packets[3])
    print(f"# ten notices and an alert behind them: {time.monotonic() - began:.2f} s")
    ok(inside(row) == (1, "S260507f,S260507g", "inside,all"), "two events, two regions", row)
    said = run.said()
    for words in (
        "S260507e: event.skymap is no base64; the notice is left out",
        "no superevent_id that a file could be called by",
        "line 1:",
        "has no alert_type",
        "S260507f: its time_created (yesterday) is no time: taken as of its message",
    ):
        ok(words in said, f"said: {words}", said)
    broker.send("igwn.gwalert", [(notice("S260507g", "RETRACTION", at(0)), None, [])])
    broker.send("igwn.gwalert", [(notice("S260507g", "INITIAL", at(-2)), None, [])])
    broker.send("igwn.gwalert", [(notice("S260507h", "INITIAL", at(-2)), None, [])])
    ok(run.wait_said("S260507g RETRACTION: its region is removed"), "a retraction is said", run.said())
    ok(run.wait_said("S260507h INITIAL: is a region now"), "and what follows it", run.said())
    row = run.alert(broker, packets[4])
    ok(
        inside(row)[1] == "S260507f,S260507h",
        "the retracted one is gone, also when its notice comes again",
        row,
    )
    have = sorted(f for f in os.listdir("gw") if not f.startswith("."))
    want = ["S260507a.json", "S260507f.json", "S260507h.json"]
    ok(have == want, "the folder has one file for each event that stands", have)
    r = run.end()
    want = {"new": 4, "replaced": 1, "retracted": 1, "mock": 1, "expired": 1, "older": 2, "without_map": 1}
    want |= {"wrong": 4, "module": "gw", "troubles": 0}
    ok(r["notices"] == [want], "the report counts them", r["notices"])
    ok("gw: notices: 4 new, 1 replaced, 1 retracted, 1 mock" in run.said(), "so does the table", run.said())
    ok(r["ledger"]["emitted"] == 5, "every alert has its row", r["ledger"])


def the_next_run(broker, packets):
    broker.send("igwn.gwalert", [(notice("MS260508a", "PRELIMINARY", at(-1)), None, [])])
    settings("gw.ini", f"kafka://{broker.server}/igwn.gwalert", "days = 10", "mock = yes")
    run = Run(broker, "second")
    ok(
        run.wait_said("MS260508a PRELIMINARY: is a region now"),
        "the next run goes on in the topic",
        run.said(),
    )
    row = run.alert(broker, packets[5])
    ok(inside(row)[1] == "MS260508a,S260507f,S260507h", "and knows what the first had", row)
    r = run.end()
    ok(r["notices"][0]["new"] == 1, "mock = yes: a test event is a region", r["notices"])
    ok(sum(r["notices"][0][k] for k in ("replaced", "older", "wrong")) == 0, "nothing was read again", r)


def trouble(broker, packets):
    port = free_port()
    settings("gw.ini", f"kafka://127.0.0.1:{port}/igwn.gwalert", "[source]\ncontact_s = 1", files="none/")
    run = Run(broker, "third")
    ok(run.wait_said("and the alerts go on"), "a server that is not there is said", run.said())
    row = run.alert(broker, packets[6])
    ok(inside(row) == (0, None, "all"), "the alerts go on", row)
    r = run.end()
    ok(r["notices"][0]["troubles"] >= 1, "troubles are counted", r["notices"])
    ok("in trouble" in run.said(), "and are in the table", run.said())


def files(packets):
    with open("notices.json", "wb") as f:
        f.write(
            notice("S260507a", "PRELIMINARY", at(-9)) + b"\n" + notice("S260507b", "INITIAL", at(-8)) + b"\n"
        )
    with open("one.avro", "wb") as f:
        f.write(packets[0])
    threads = os.environ.get("NIGHTJAR_SANITIZED") == "thread"  # Archer opens shared memory: not in a sandbox
    for source in ("notices.json", "embedded://notices.json"):
        folder = source[:4] + "/"
        settings("files.ini", source, files=folder)
        args = "run one.avro -c files.ini -m gw -o ndjson:files.ndjson".split()
        r = nightjar(*args, "-D", f"guard.sandbox={int(not threads)}")
        row = rows("files.ndjson")[0] if r.returncode == 0 else None
        ok(
            r.returncode == 0 and row["gw.names"] == "S260507a,S260507b",
            f"{source} is read before alerts, " + ("without a sandbox" if threads else "in a sandbox"),
            r.stderr,
        )
        os.remove("files.ndjson")
        os.remove("files.ndjson.journal") if os.path.exists("files.ndjson.journal") else None


def refused():
    def of(words, *lines, source="notices.json", files="bad/"):
        settings("bad.ini", source, *lines, files=files)
        r = nightjar(*"run one.avro -c bad.ini -m gw -o null:".split())
        ok(r.returncode == 1, f"{words}: exit 1", r.stderr)
        ok(words in r.stderr, f"says '{words}'", r.stderr)

    of("name one, as in files = gw/", files="galactic -10 10")
    of("name one, as in files = gw/", files="one/, two/")
    of("cannot be made", files="no/such/folder/")
    of("absent.ini", "account = absent.ini")
    with open("account.ini", "w") as f:
        f.write("[run]\nbatch_rows = 1\n")
    of("[run] is not read here", "account = account.ini")


def sample(n):
    """Packets of alerts."""
    with tarfile.open(f"{ROOT}/data/sample.tar.gz") as tar:
        return [tar.extractfile(m).read() for m in tar.getmembers()[:n]]


if __name__ == "__main__":
    alerts = sample(7)
    with Folder(), MockBroker(1) as kafka:
        kafka.topic("alerts")
        a_stream(kafka, alerts)
        the_next_run(kafka, alerts)
        trouble(kafka, alerts)
        files(alerts)
        refused()
    done()
