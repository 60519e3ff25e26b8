#!/usr/bin/env python3
"""SIGHUP: new settings are tried and taken between two alerts, wrong ones are not, and no alert is lost."""

import json, os, shutil, signal, subprocess, threading, time
from tap import NIGHTJAR, ROOT, Folder, done, nightjar, ok, report, rows, skip

PATIENCE = 120  # s: only an end that never comes takes so long
N = 400
SOURCE = """
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>
#include "nightjar/module.h"
typedef struct { double threshold; int64_t crash; } conf;
static const nj_param params[] = {
    { "threshold", NJ_F64, "1", offsetof(conf, threshold), -10, 10, "1", "what x is" },
    { "crash", NJ_I64, "0", offsetof(conf, crash), 0, 1, "1", "1 = open() crashes" }, { 0 } };
static int open_(const nj_host *host, const void *c, void **self)
{
    if (((const conf *)c)->crash) abort();
    *self = malloc(sizeof(double));
    *(double *)*self = ((const conf *)c)->threshold;
    return NJ_OK;
}
static int process(const void *self, void *thread, const nj_work *w)
{
    double *x = w->out[0];
    for (uint32_t k = 0; k < w->n; k++) {
        x[w->row[k]] = *(const double *)self, w->reason[w->row[k]] = NJ_DONE;
        while (w->id[w->row[k]] > 1000 && access("hang", F_OK) == 0 && access("passed", F_OK) == 0)
            usleep(10000);
        if (w->id[w->row[k]] == @ID@) close(creat_("passed"));
    }
    return NJ_OK;
}
NJ_MODULE(gate) = { NJ_HEADER, .name = "gate", .version = "1.0", .summary = "waits", .paper = "none: test",
    .needs = (const nj_need[]){ { "mag", NJ_F64, NJ_SCALAR, "mag", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "x", NJ_F64, 1, 0, "1", -INFINITY, INFINITY, NAN, 0, "A number." }, { 0 } },
    .params = params, .conf_size = sizeof(conf), .open = open_, .process = process };
"""


def module(identity):
    text = SOURCE.replace("@ID@", str(identity))
    text = text.replace(
        "#include <unistd.h>", "#include <unistd.h>\n#include <fcntl.h>\n#define creat_(f) creat(f, 0600)"
    )
    with open("gate.c", "w", encoding="utf-8") as f:
        f.write(text)
    flags = "-std=gnu11 -O1 -w -fPIC -DNJ_SHARED -shared".split()
    cc = os.environ.get("CC_MODULE", "cc")
    subprocess.run([cc, *flags, f"-I{ROOT}/include", "gate.c", "-o", "gate.so"], check=True)


def conf(clause="mag < 19.5", threshold=1, more=""):
    with open("conf.new", "w", encoding="utf-8") as f:
        f.write(f"[topic.bright]\nwhere = {clause}\n[module.gate]\nthreshold = {threshold}\n{more}")
    os.replace("conf.new", "conf.ini")


class Run:
    """A run that stops within a batch, after some alerts, until the file `hang` goes."""

    def __init__(self, name, *more):
        self.name = name
        if os.path.exists("passed"):
            os.remove("passed")
        open("hang", "w").close()
        self.child = subprocess.Popen(
            [
                *(NIGHTJAR, "run", "night.tar", "-c", "conf.ini", "-t", "bright", "-m", "gate", "-j", "1"),
                *("--module-path", os.path.abspath("gate.so"), "-o", f"ndjson:{name}.ndjson", "--log-json"),
                *(
                    "-D",
                    "run.batch_rows=4",
                    "-D",
                    "run.budget_bytes=2M",
                    "-D",
                    "guard.sandbox=0",
                    "--report",
                    f"{name}.json",
                    *more,
                ),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.wait(lambda: os.path.exists("passed"))

    def read(self):
        for line in self.child.stderr:
            self.lines.append(json.loads(line)["text"])

    def wait(self, condition):
        end = time.time() + PATIENCE
        while time.time() < end and self.child.poll() is None and not condition():
            time.sleep(0.02)

    def said(self, text):
        return any(text in line for line in self.lines)

    def hangup(self, text):
        """Until this is said."""
        self.child.send_signal(signal.SIGHUP)
        self.wait(lambda: self.said(text))
        return self.said(text)

    def end(self):
        if os.path.exists("hang"):
            os.remove("hang")
        self.child.wait(PATIENCE)
        self.reader.join(PATIENCE)
        self.rows = rows(f"{self.name}.ndjson")
        self.report = report(f"{self.name}.json")
        return self.child.returncode


def changes():
    conf()
    r = Run("changes")
    conf("mag < 18.5", 2)
    ok(r.hangup("new settings"), "SIGHUP: new settings are taken", r.lines)
    ok(r.said("topic.bright.where"), "the clause is named", r.lines)
    ok(r.said("module.gate.threshold"), "the threshold is named", r.lines)
    ok(r.end() == 0, "the run ends as ever", r.lines)
    x = [row["gate.x"] for row in r.rows]
    ok(set(x) == {1, 2}, "some rows have the old threshold, some the new one", set(x))
    ok(x == sorted(x), "the change is between two alerts", x)
    # where it was: the first row of the new settings
    n = x.count(1)
    first = next(
        (k for k, a in enumerate(ALERTS) if n < len(r.rows) and a["candid"] == r.rows[n]["candid"]), N
    )
    last = next((k for k, a in enumerate(ALERTS) if n and a["candid"] == r.rows[n - 1]["candid"]), 0)
    before = [a["candid"] for a in ALERTS[: last + 1] if a["mag"] < 19.5]
    after = [a["candid"] for a in ALERTS[first:] if a["mag"] < 18.5]
    ok([a["candid"] for a in r.rows] == before + after, "before it the old clause, behind it the new one")
    between = [a["mag"] for a in ALERTS[last + 1 : first] if a["mag"] < 18.5]
    ok(not between, "and no alert is lost between them", between)
    ledger = r.report["ledger"]
    ok(ledger["consumed"] == N, "all alerts are in the ledger", ledger)
    ok(ledger["emitted"] + ledger["filtered"] == N, "each of them once", ledger)
    ok(r.report["guard"]["reloads"] == 1, "the report counts the change", r.report["guard"])
    ok(r.report["guard"]["restarts"] == 0, "which is no restart", r.report["guard"])
    ok(not r.said("max_rss"), "and no module is suspected of having grown", r.lines)


def what_is_refused():
    conf()
    r = Run("refused")
    conf("magg < 18.5")
    ok(r.hangup("stay as they were"), "a wrong clause: the old settings stay", r.lines)
    ok(r.said("magg"), "and why", r.lines)
    conf("mag < 19.5", 99)
    ok(r.hangup("outside"), "a threshold out of range: refused", r.lines)
    conf("mag < 19.5", 1, "crash = 1\n")
    ok(r.hangup("a process that tried the new ones died"), "a module that crashes on them: refused", r.lines)
    with open("conf.ini", "w", encoding="utf-8") as f:
        f.write("[topic.bright\n")
    ok(r.hangup("conf.ini:1"), "a file that is no INI: refused, with its line", r.lines)
    conf("mag < 19.5", 1, "[run]\ndedup = 5\n[topic.faint]\nwhere = mag > 1\n[module.gate]\nneed.mag = rb\n")
    ok(r.hangup("need a new start"), "what may not change is said", r.lines)
    ok(r.said("run.dedup"), "by its name", r.lines)
    ok(r.said("module.gate.need.mag"), "and all of them", r.lines)
    ok(r.hangup("new settings: topic.faint.where"), "while others change", r.lines)
    conf("mag < 19.5", 1, "[topic.faint]\nwhere = mag > 1\n")
    ok(r.hangup("no setting has changed"), "nothing new: said", r.lines)
    ok(r.end() == 0, "the run ends as ever", r.lines)
    ok({row["gate.x"] for row in r.rows} == {1}, "with its old threshold", r.rows[:1])
    want = [a["candid"] for a in ALERTS if a["mag"] < 19.5]
    ok([row["candid"] for row in r.rows] == want, "and its old clause: no row is lost or twice")


def file_of_topics(signal):
    """Topics that change, come and go, and one with an output of its own; by SIGHUP, or because the file
    changed."""
    name = "topics" if signal else "changed file"

    def write(text):
        with open("t.new", "w", encoding="utf-8") as f:
            f.write(text)
        os.replace("t.new", "t.ini")

    own = "sinks = ndjson:deep_own.ndjson\ncolumns = mag\n"

    def tell(run, text):
        if signal:
            return run.hangup(text)
        run.wait(lambda: run.said(text))
        return run.said(text)

    if os.path.exists("deep_own.ndjson"):
        os.remove("deep_own.ndjson")
        os.remove("deep_own.ndjson.journal")
    conf()
    write(f"[topic.deep]\nwhere = mag > 20\n{own}[topic.gone]\nwhere = mag < 17\n")
    r = Run(name.split()[0], "--topics", "t.ini")
    write("[topic.deep]\nwhere = mag >\n")
    ok(tell(r, "the settings stay as they were"), f"{name}: a wrong file is refused", r.lines)
    ok(r.said("t.ini has changed: " if not signal else "SIGHUP: "), f"{name}: and why it was read", r.lines)
    ok(r.said("is not finished: something is missing"), f"{name}: and what is wrong in it", r.lines)
    if not signal:
        os.remove("t.ini")
        ok(tell(r, "t.ini: is not there any more"), f"{name}: a file that is gone is named", r.lines)
    write(f"[topic.deep]\nwhere = mag > 20.5\n{own}[topic.mid]\nwhere = mag BETWEEN 18 AND 19\n")
    ok(tell(r, "new settings"), f"{name}: a good one is taken", r.lines)
    ok(r.said("topic.deep.where"), f"{name}: the clause that changed is named", r.lines)
    ok(r.said("+mid"), f"{name}: the new one, too", r.lines)
    ok(r.said("-gone"), f"{name}: and the one that goes", r.lines)
    ok(r.end() == 0, f"{name}: the run ends as ever", r.lines)
    ok(r.report["ledger"]["consumed"] == N, f"{name}: no alert is lost", r.report["ledger"])
    mag, place = {a["candid"]: a["mag"] for a in ALERTS}, {a["candid"]: k for k, a in enumerate(ALERTS)}
    names = [(x["candid"], x["topics"].split(",")) for x in r.rows]
    first = min((place[c] for c, t in names if "mid" in t), default=N)
    last = max((place[c] for c, t in names if "gone" in t), default=-1)
    ok(0 <= last < first < N, f"{name}: one ends before the other begins", (last, first))
    for topic, clause in [
        ("bright", lambda m, k: m < 19.5),
        ("mid", lambda m, k: k >= first and 18 <= m <= 19),
        ("gone", lambda m, k: k <= last and m < 17),
    ]:
        want = [a["candid"] for k, a in enumerate(ALERTS) if clause(a["mag"], k)]
        ok([c for c, t in names if topic in t] == want, f"{name}: the rows of {topic}", len(want))
    deep = [c for c, t in names if "deep" in t]
    late = [c for c in deep if place[c] >= first]
    ok(all(mag[c] > 20.5 for c in late), f"{name}: behind the change the new clause", late[:3])
    ok(any(20 < mag[c] <= 20.5 for c in deep), f"{name}: before it the old one")
    own_rows = rows("deep_own.ndjson")
    ok([x["candid"] for x in own_rows] == deep, f"{name}: its own output has its rows, each once")
    ok(set(own_rows[0]) == {"candid", "jd", "mag"}, f"{name}: and its columns", own_rows[0])
    counts = {t["name"]: t["matches"] for t in r.report["topics"]}
    want = {n: sum(n in t for _, t in names) for n in ("bright", "deep", "mid")}
    ok(counts == want, f"{name}: the report counts them over all workers", (counts, want))


def topics_from_a_pipe():
    """Nobody writes into it a second time, so it is not opened a second time."""
    os.mkfifo("t.pipe")

    def fill():
        with open("t.pipe", "w", encoding="utf-8") as f:
            f.write("[topic.deep]\nwhere = mag > 20\n")

    writer = threading.Thread(target=fill, daemon=True)
    writer.start()
    conf()
    r = Run("pipe", "--topics", "t.pipe")
    writer.join(PATIENCE)
    time.sleep(4)  # longer than a file of topics must be left alone
    ok(not r.said("has changed"), "a pipe of topics is not followed", r.lines)
    ok(r.end() == 0, "and the run ends", r.lines)


def certificates():
    if not shutil.which("openssl"):
        skip("certificates", "no openssl here")
        return
    new = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem".split()
    new += "-out new.pem -days 2 -subj /CN=test".split()
    subprocess.run(new, check=True, capture_output=True)
    shutil.copy("new.pem", "ca.pem")
    conf()
    r = Run("tls", "-X", "ssl.ca.location=ca.pem", "-X", "ssl.key.location=key.pem")
    with open("broken.pem", "w", encoding="utf-8") as f:
        f.write("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
    os.replace("broken.pem", "ca.pem")
    ok(r.hangup("no certificate"), "a broken certificate: the old one stays", r.lines)
    shutil.copy("new.pem", "ca2.pem")
    os.replace("ca2.pem", "ca.pem")
    ok(r.hangup("new settings: the files of TLS"), "a good one is taken", r.lines)
    ok(r.end() == 0, "the run ends as ever", r.lines)
    ok(r.report["ledger"]["consumed"] == N, "no alert is lost", r.report["ledger"])


def alone():
    conf()
    r = Run("alone", "--no-supervise")
    words = "SIGHUP: without a supervisor no new settings are taken"
    ok(r.hangup(words), "without a supervisor: it says that nothing is reloaded", r.lines)
    ok(r.end() == 0, "the run ends as ever", r.lines)


with Folder():
    nightjar("simulate", "-n", N, "-o", "night.tar", "-q")
    nightjar("run", "night.tar", "-m", "nalerthist", "-q", "-o", "ndjson:all.ndjson")
    ALERTS = rows("all.ndjson")
    module(ALERTS[N // 4]["candid"])
    changes()
    what_is_refused()
    file_of_topics(signal=True)
    file_of_topics(signal=False)
    topics_from_a_pipe()
    certificates()
    alone()
done()
