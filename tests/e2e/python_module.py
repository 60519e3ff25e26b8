#!/usr/bin/env python3
"""Modules in Python (kind = python): columns of all types in and out, what fails alone, workers that die,
hang and are killed, what they may not do, settings, check, and the package as a wheel."""

import os, signal, subprocess, sys, time
from tap import NIGHTJAR, ROOT, SANITIZED, Folder, done, needs, nightjar, ok, report, rows, skip

needs("numpy", "pandas", "pyarrow")
import numpy as np

ENV = {"PYTHONPATH": f"{ROOT}/modules/python", "NIGHTJAR_PYTHON": sys.executable}

COLUMNS = """
import numpy as np
from nightjar import give, image, module, scalar, series

@module(
    needs={"mag": series("lc.mag", unit="mag"), "band": series("lc.band", type="i32"),
           "jd": scalar("jd", unit="d"), "candid": scalar("candid", type="i64"),
           "object": scalar("object", type="str"), "science": image("stamp.science"),
           "nothing": scalar("packet.candidate.nothing", optional=True)},
    gives={"n": give("1", "points; never none", type="i32", lo=0),
           "sum": give("mag", "of magnitudes; none without a detection"),
           "id": give("1", "the alert's; never none", type="i64"),
           "odd": give("1", "1 for an odd id; never none", type="u8", lo=0, hi=1),
           "name": give("1", "of the object; none for an odd id", type="str"),
           "bands": give("1", "of each point; never none", type="i32", like="band"),
           "two": give("d", "twice; never none", width=2),
           "centre": give("DN", "central pixel; none without a stamp", type="f32"),
           "days": give("d", "whole days; none for an odd id", type="i64")})
def columns(mag, band, jd, candid, object, science, nothing, batch):
    assert batch.n == len(jd)
    odd = candid % 2 == 1
    names = [None if o else t for o, t in zip(odd, object)]
    centre = np.array([np.nan if s is None else s[s.shape[0] // 2, s.shape[1] // 2] for s in science])
    assert all((a is None) == (b is None) for a, b in zip(science.all(), science))
    return {"n": mag.lengths, "sum": mag.sum(), "id": batch.id, "odd": odd, "name": names,
            "bands": band.values, "two": np.stack([jd, 2 * jd], 1), "centre": centre,
            "days": np.ma.array(jd.astype(np.int64), mask=odd),
            "reason": np.where(odd, "cut", "done")}
"""

# What it does to some alerts: to those whose number among the rows is told by its settings.
BAD = """
import os, time
import numpy as np
from nightjar import give, module, scalar

@module(needs={"jd": scalar("jd", unit="d")}, gives={"x": give("d", "jd; never none")},
        settings={"how": "raise", "ids": ""})
def bad(jd, batch, how, ids):
    if not set(map(str, batch.id.tolist())) & set(ids.split("+")):
        return jd
    if how == "raise":
        return jd / [][3]
    if how == "exit":
        os._exit(3)
    if how == "segv":
        import ctypes
        ctypes.string_at(0)
    if how == "hang":
        while True:
            pass
    if how == "write":
        open("written", "w")
    if how == "remove":
        os.unlink("bad.py")
    if how == "socket":
        import socket
        socket.socket()
    if how == "program":
        os.execv("/bin/true", ["true"])
    if how == "null":
        open("/dev/null", "w").write("x")
    return jd
"""


def write(name, text):
    with open(name, "w", encoding="utf-8") as f:
        f.write(text)
    return name


def run(name, *options, out="out.ndjson", threads=2, source="night.tar"):
    """A run of NAME.py: its rows, and the process. A busy machine takes its time to import pandas."""
    r = nightjar(
        "run", "--overwrite", "--module-path", f"{name}.py", "-m", name, "-j", threads, "--report",
        "report.json", "-o", f"ndjson:{out}", "-D", f"module.{name}.deadline_s=200", *options, source,
        env=ENV,
    )  # fmt: skip
    return (rows(out) if r.returncode == 0 else []), r


def columns():
    write("columns.py", COLUMNS)
    got, r = run("columns")
    if not ok(len(got) == 300, "a run with columns of all types", r.stderr):
        return
    c = [{k[8:]: v for k, v in row.items() if k.startswith("columns.")} for row in got]
    ok(all(x["id"] == row["candid"] for x, row in zip(c, got)), "64-bit integers to the digit")
    ok(all(x["reason"] == ("cut" if x["id"] % 2 else "done") for x in c), "reasons by word")
    ok(
        all(x["name"] == (None if x["id"] % 2 else row["object"]) for x, row in zip(c, got)),
        "texts and nulls",
    )
    ok(all(x["two"] == [row["jd"], 2 * row["jd"]] for x, row in zip(c, got)), "two values a row")
    ok(all(len(x["bands"]) == x["n"] for x in c), "one value for each point")
    ok(all(x["odd"] == x["id"] % 2 for x in c), "booleans")
    whole = [None if x["id"] % 2 else int(row["jd"]) for x, row in zip(c, got)]
    ok([x["days"] for x in c] == whole, "masked integers are nulls")
    ok(sum(x["centre"] is not None for x in c) > 250, "pixels of stamps", c[0])
    for options in (["-D", "run.batch_rows=1"], ["-D", "run.batch_rows=7"], ["-D", "run.batch_rows=1000"]):
        again, r = run("columns", *options, out="again.ndjson")
        ok(again == got, f"the same rows with {options[1]}", r.stderr)
    r = nightjar("check", "columns.py", "night.tar", env=ENV)
    ok(r.returncode == 0, "nightjar check finds nothing", r.stdout + r.stderr)
    r = nightjar("modules", "-D", "module.c2.kind=python", "-D", "module.c2.file=columns.py", "c2", env=ENV)
    ok("c2.bands" in r.stdout and "central pixel" in r.stdout, "nightjar modules lists its columns", r.stdout)
    stage = {m["name"]: m for m in report("report.json")["modules"]}.get("columns")
    ok(stage and stage["cpu_ns"] > 0 and stage["offered"] == 300, "it is in the report", stage)


def failing():
    """What one alert does costs only that one its answer."""
    write("bad.py", BAD)
    clean, r = run("bad")
    ids = [row["candid"] for row in clean]
    victims = [ids[5], ids[170]]
    of = lambda how, who=victims: ["-D", f"module.bad.settings=how={how}, ids={'+'.join(map(str, who))}"]
    for how, word in (
        ("raise", "list index out of range"),
        ("exit", "exit code 3"),
        ("segv", "signal 11"),
        ("write", "PermissionError"),
        ("remove", "PermissionError"),
        ("socket", "PermissionError"),
        ("program", "PermissionError"),
    ):
        got, r = run("bad", *of(how))
        wrong = [x["candid"] for x in got if x["bad.reason"] != "done"]
        ok(wrong == victims and len(got) == 300, f"{how}: the two alerts alone are failed", r.stderr)
        ok(
            all(x["bad.x"] is None for x in got if x["candid"] in victims),
            f"{how}: and they have no answer",
        )
        ok(word in r.stderr, f"{how}: {word}", r.stderr)
        if word == "list index out of range":
            ok(r.stderr.count(word) == 1, "what is raised is reported once", r.stderr)
            ok('"bad.py", line' in r.stderr.replace(os.getcwd() + "/", ""), "with its line", r.stderr)
    ok(os.path.exists("bad.py") and not os.path.exists("written"), "no file was written or removed")
    got, r = run("bad", *of("null"))
    ok(all(x["bad.reason"] == "done" for x in got), "/dev/null may be written to", r.stderr)
    got, r = run("bad", *of("write"), "-D", "module.bad.sandbox=0")
    ok(os.path.exists("written"), "sandbox = 0: files may be written", r.stderr)
    got, r = run("bad", *of("hang"), "-D", "module.bad.deadline_s=6")
    wrong = [x["candid"] for x in got if x["bad.reason"] != "done"]
    ok(wrong == victims, "hang: the two alerts alone are failed", r.stderr)
    ok("did not return in time" in r.stderr, "hang: and it is said", r.stderr)
    got, r = run("bad", *of("exit", ids[10:20]), threads=1)
    off = sum(x["bad.reason"] == "unavailable" for x in got)
    failed = sum(x["bad.reason"] == "failed" for x in got)
    ok(failed == 6 and off > 200, "quarantine: after the sixth it is off", (failed, off))
    ok("is off for the rest of the run" in r.stderr, "quarantine: and it is said", r.stderr)


# What its worker writes where it should not, in the calls that have one of these alerts.
SPOILT = """
import os, struct
import numpy as np
from nightjar import give, image, module, scalar, worker
from nightjar.worker import *

made = []
serve = worker.Worker.serve
def remember(self):
    made.append(self)
    serve(self)
worker.Worker.serve = remember
put_texts = worker.Worker.put_texts
def then(self, out, values):
    put_texts(self, out, values)
    for k in after:
        k(self, out)
worker.Worker.put_texts = then
after = []

def spoil(w, how, science):
    words, far = w.memory.words, 1 << 40
    text = HEAD + w.n_columns + COLUMN * (w.n_columns - 1) + BYTES
    if how == "used":
        words[USED] = 1 << 62
        science[0]
    if how == "negative":
        words[USED] = -64
        science[0]
    if how == "images":
        w.opened(99, 0, 1)
    if how == "rows":
        w.opened(1, 0, 5000)
    if how == "bytes":
        after.append(lambda w, out: words.__setitem__(text, far))
    if how == "before":
        after.append(lambda w, out: words.__setitem__(text, -4096))
    if how == "lengths":
        after.append(lambda w, out: out.whole[:1].fill(1 << 30))
    if how == "size":
        words[SIZE] = far
        after.append(lambda w, out: words.__setitem__(text, far - 4096))
    if how == "text":
        words[TEXT], words[TEXT_BYTES], words[ANSWER] = far, 100, RAISED
        return True
    if how == "long":
        words[TEXT], words[TEXT_BYTES], words[ANSWER] = 8, far, RAISED
        return True
    if how == "answer":
        words[ANSWER] = 77
    if how == "shrink":
        os.ftruncate(w.memory.fd, 0)

@module(needs={"jd": scalar("jd", unit="d"), "science": image("stamp.science")},
        gives={"x": give("d", "jd; never none"), "t": give("1", "text; never none", type="str")},
        settings={"how": "", "id": 0})
def spoilt(jd, science, batch, how, id):
    after.clear()
    if id in batch.id.tolist() and spoil(made[0], how, science):
        os.write(made[0].answers, ONE)
        os.read(made[0].asks, 8)
        os._exit(0)
    return jd, ["a"] * len(jd)
"""


def spoilt():
    """What a worker leaves in the shared memory is looked at before it is followed. None of these is seen
    without the check that it is for (the host crashes or hangs, or the text is made of anything)."""
    write("spoilt.py", SPOILT)
    got, r = run("spoilt", threads=1)
    victim = got[150]["candid"]
    plain = lambda x: (x["spoilt.x"] == x["jd"], x["spoilt.t"], x["spoilt.reason"])
    ok(all(plain(x) == (True, "a", "done") for x in got), "nothing is spoilt", r.stderr)
    for how in ("used", "negative", "images", "rows", "bytes", "before", "lengths", "size", "answer"):
        more = ["-D", f"module.spoilt.settings=how={how}, id={victim}"]
        got, r = run("spoilt", *more, threads=1)
        bad = [x["candid"] for x in got if plain(x) != (True, "a", "done")]
        ok(bad == [victim], f"{how}: the alert alone is failed", (bad[:3], r.stderr[-600:]))
        ok("a worker left what makes no sense in the memory" in r.stderr, f"{how}: and it is said", r.stderr)
    for how in ("text", "long"):
        more = ["-D", f"module.spoilt.settings=how={how}, id={victim}"]
        got, r = run("spoilt", *more, threads=1)
        bad = [x["candid"] for x in got if plain(x) != (True, "a", "done")]
        ok(
            bad == [victim],
            f"{how} of what was raised: the alert alone is failed",
            (bad[:3], r.stderr[-600:]),
        )
        ok("crashed" not in r.stderr, f"{how} of what was raised: and no crash", r.stderr[-600:])
    got, r = run("spoilt", "-D", f"module.spoilt.settings=how=shrink, id={victim}", threads=1)
    bad = [x["candid"] for x in got if plain(x) != (True, "a", "done")]
    ok(bad == [victim], "the memory cannot be made shorter", (bad[:3], r.stderr[-600:]))
    ok("PermissionError" in r.stderr, "and whoever tries is told", r.stderr[-600:])


SLOW = """
import time
from nightjar import give, module, scalar

@module(needs={"jd": scalar("jd", unit="d")}, gives={"x": give("d", "jd; never none")})
def slow(jd):
    time.sleep(0.04)
    return jd
"""


def children_of(pid):
    """Processes below it: (pid, parent, command line)."""
    found, below = [], {pid}
    for _ in range(6):
        for p in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{p}/stat") as f:
                    parent = int(f.read().rsplit(")", 1)[1].split()[1])
                with open(f"/proc/{p}/cmdline", "rb") as f:
                    words = f.read()
            except (OSError, ValueError):
                continue
            if parent in below and int(p) not in below:
                below.add(int(p))
                found.append((int(p), parent, words))
    return found


def killed(which):
    """kill -9 of workers, or of the interpreter that made them, while the run goes on: no alert is lost."""
    write("slow.py", SLOW)
    clean, _ = run("slow", "-D", "run.batch_rows=4")
    p = subprocess.Popen(
        [NIGHTJAR, "run", "--overwrite", "--module-path", "slow.py", "-m", "slow", "-D", "run.batch_rows=4",
         "-o", "ndjson:killed.ndjson", "night.tar"],
        env={**os.environ, **ENV}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    n, until = 0, time.monotonic() + 60
    while p.poll() is None and n < 3 and time.monotonic() < until:
        time.sleep(0.02)
        python = [x for x in children_of(p.pid) if b"nightjar.worker" in x[2]]
        forked = [x for x in python if x[1] in {y[0] for y in python}]
        victims = forked if which == "worker" else [x for x in python if x not in forked]
        if not forked or not victims:
            continue
        try:
            os.kill(victims[0][0], signal.SIGKILL)
            n += 1
        except ProcessLookupError:
            pass
        if which != "worker":
            break
    said = p.communicate(timeout=120)[1]
    ok(n > 0, f"kill -9 of the {which}: killed", said)
    ok(p.returncode == 0, f"kill -9 of the {which}: the run ends as it should", said)
    key = lambda x: x["candid"]
    got = rows("killed.ndjson")
    ok(sorted(got, key=key) == sorted(clean, key=key), f"kill -9 of the {which}: no answer is missing", said)
    ok("signal 9" in said, f"kill -9 of the {which}: and it is said", said)
    left = [x for x in children_of(1) if b"slow.py" in x[2] and b"nightjar.worker" in x[2]]
    ok(not left, f"kill -9 of the {which}: no process is left", left)


HEAD = """from nightjar import *
needs = {"jd": scalar("jd", unit="d")}
gives = {"x": give("d", "it; never none")}
"""


def f(body, needs="needs", gives="gives", given="jd"):
    """A file with a function of this body."""
    return HEAD + f"@module({needs}, {gives})\ndef wrong({given}): {body}\n"


def typed(body, name):
    return f(body, gives='{"x": give("d", "it; never none", type="%s")}' % name)


def refused():
    """What is wrong with a file or what it returns, by name."""
    for text, word in (
        ("x = 1\n", "no function has the decorator"),
        ("import nothing_of_this_name\n", "No module named"),
        ("def f(:\n", "line 1"),
        (f("return jd", given="jd, more"), "parameter more"),
        (f("return 1", given=""), "no parameter jd"),
        (f("return jd", needs='{"jd": scalar("jd", unit="mag")}'), "asks mag, jd is d"),
        (f("return jd", needs='{"jd": scalar("jdd")}'), "no column 'jdd'"),
        (f("return jd", gives='{"X": give("d", "it")}'), "[a-z][a-z0-9_]*"),
        (f("return jd", gives='{"x": give("d", "")}'), "what it is"),
        (f('return {"y": jd}'), "y, which is not declared"),
        (f("return jd[:0]"), "x has shape (0,);"),
        (f('return {"x": jd, "reason": "fine"}'), "'fine' is none of"),
        (typed("return jd", "i32"), "declared i32"),
        (typed("return (jd * 1e9).astype(int)", "i32"), "beyond int32"),
        (typed("return jd", "str"), "declared str"),
    ):
        write("wrong.py", text)
        _, r = run("wrong")
        ok(r.stderr.count(word) == 1, f"refused, and said once: {word}", r.stderr)
    r = nightjar("run", "-D", "module.m.kind=python", "-m", "m", "-o", "null:", "night.tar", env=ENV)
    ok("which file is not said" in r.stderr and r.returncode == 1, "no file", r.stderr)
    r = nightjar(
        "run", "-D", "module.m.kind=python", "-D", "module.m.file=no.py", "-m", "m", "-o", "null:",
        "night.tar", env=ENV,
    )  # fmt: skip
    ok("no.py" in r.stderr and r.returncode == 1, "a file that is not there", r.stderr)
    write("bad.py", BAD)
    for env, word in (
        ({**ENV, "NIGHTJAR_PYTHON": "no-such-python"}, "no-such-python cannot be started"),
        ({**ENV, "PYTHONPATH": ""}, "no package nightjar"),
    ):
        r = nightjar("run", "--module-path", "bad.py", "-m", "bad", "-o", "null:", "night.tar", env=env)
        ok(word in r.stderr and r.returncode == 1, word, r.stderr)
    _, r = run("bad", "-D", "module.bad.settings=hwo=raise")
    ok("'hwo=raise' is no setting of bad; it has how, ids" in r.stderr, "a misspelt setting", r.stderr)


FORMS = """
from nightjar import give, module, scalar, series

@module(needs={"mag": series("lc.mag", unit="mag"), "jd": scalar("jd", unit="d")},
        gives={"n": give("1", "points; never none", type="i64"), "day": give("d", "jd; never none")},
        form="%s")
def form(mag, jd):
    %s
"""


def forms():
    """Functions that were written for pandas or Arrow."""
    want = None
    for name, package, body in (
        ("numpy", "numpy", "return mag.lengths, jd"),
        ("pandas", "pandas", "return {'n': mag.apply(len), 'day': jd}"),
        ("pandas", "pandas", "import pandas; return pandas.DataFrame({'n': mag.apply(len), 'day': jd})"),
        (
            "arrow",
            "pyarrow",
            "import pyarrow.compute as c; return {'n': c.list_value_length(mag), 'day': jd}",
        ),
    ):
        try:
            __import__(package)
        except ImportError:
            skip(f"form = {name}", f"no {package}")
            continue
        write("form.py", FORMS % (name, body))
        got, r = run("form")
        want = want or got
        ok(len(got) == 300 and got == want, f"form = {name}: the same answers", r.stderr)


STATE = """
from nightjar import give, module, scalar

def begin():
    return {"n": 0}

@module(needs={"jd": scalar("jd", unit="d")}, gives={"n": give("1", "alerts so far; never none", type="i64")},
        serial=True, opened=begin)
def state(jd, state):
    first = state["n"]
    state["n"] += len(jd)
    return [first + i for i in range(len(jd))]
"""


def serial():
    write("state.py", STATE)
    got, r = run("state", threads=4)
    ok(
        [x["state.n"] for x in got] == list(range(300)),
        "serial: one worker, in the order of alerts",
        r.stderr,
    )


SLOW_START = """
import time
from nightjar import give, module, scalar, series

def begin():
    time.sleep(%s)

@module(needs={"mag": series("lc.mag", unit="mag"), "jd": scalar("jd", unit="d")},
        gives={"n": give("1", "points; never none", type="i64"), "day": give("d", "jd; never none")},
        form="pandas", opened=begin)
def begins(mag, jd):
    return {"n": [len(m) for m in mag], "day": jd}
"""


def begins():
    """What is imported and set up before the first call does not count as one. The package of the form is a
    stand-in that takes its time, and then one that is not there."""
    os.mkdir("stand_in")
    os.mkdir("stand_in/pandas")
    write("stand_in/pandas/__init__.py", "import numpy, time; time.sleep(4); Series = numpy.asarray")
    write("begins.py", SLOW_START % 4)
    env = {**ENV, "PYTHONPATH": f"stand_in:{ENV['PYTHONPATH']}"}
    words = "run night.tar --overwrite --module-path begins.py -m begins -q -j 2 -o ndjson:out.ndjson".split()
    r = nightjar(*words, "-D", "module.begins.deadline_s=3", env=env)
    got = rows("out.ndjson") if r.returncode == 0 else []
    ok(
        len(got) == 300 and all(x["begins.reason"] == "done" for x in got),
        "an import and an opened() that take longer than deadline_s: every alert has its answer",
        r.stderr,
    )
    ok("worker ended" not in r.stderr, "and no worker is ended", r.stderr)
    write("begins.py", SLOW_START % 60)
    write("stand_in/pandas/__init__.py", "import numpy; Series = numpy.asarray")
    r = nightjar(*words, "-D", "module.begins.start_s=2", "-D", "module.begins.quarantine=1", env=env)
    ok("not set up in time (start_s)" in r.stderr, "an opened() that takes longer than start_s", r.stderr)
    got = rows("out.ndjson")
    ok(
        len(got) == 300 and not any(x["begins.reason"] == "done" for x in got),
        "and the rows are written without its answers",
        r.stderr,
    )
    write("stand_in/pandas/__init__.py", "raise ImportError('no module named pandas')")
    r = nightjar(*words, env=env)
    ok(
        r.returncode == 1 and "no module named pandas" in r.stderr,
        "a form whose package is not there is refused at the start",
        r.stderr,
    )


# Each batch is answered in another wrong way, by its first alert, and its rows, one by one, as they should.
RETURNED = """
import os, sys
import numpy as np
import pandas as pd
from nightjar import give, module, scalar, series

def forks(good):
    if os.fork():
        os.wait()
    return {**good, "x": good["x"] * 2}

def moved(mag):
    parts = [np.append(mag[0], 1.0), *list(mag)[1:]]
    return parts[:-1] + [parts[-1][:-1]]

WAYS = [
    lambda g, m, n: None,
    lambda g, m, n: {k: v for k, v in g.items() if k != "k"},
    lambda g, m, n: {**g, "x": pd.Series(g["x"]).iloc[::-1]},
    lambda g, m, n: {**g, "reason": np.full(n, 1.5)},
    lambda g, m, n: {**g, "reason": 300},
    lambda g, m, n: {**g, "reason": -1},
    lambda g, m, n: {**g, "s": ["a\\0b"] * n},
    lambda g, m, n: {**g, "each": moved(m)},
    lambda g, m, n: {**g, "each": m.like(m.values).where(m.values > 0)},
    lambda g, m, n: {**g, "each": [m[0]]},
    lambda g, m, n: sys.exit(7),
    lambda g, m, n: forks(g),
]

@module(needs={"jd": scalar("jd", unit="d"), "mag": series("lc.mag", unit="mag")},
        gives={"x": give("d", "jd; never none"), "k": give("1", "3; never none", type="i32"),
               "s": give("1", "abc; never none", type="str"),
               "each": give("mag", "lc.mag; none where that has none", like="mag")})
def returned(jd, mag, batch):
    good = {"x": jd, "k": 3, "s": "abc", "each": mag}
    if batch.n == 1:
        return good
    return WAYS[batch.id[0] % len(WAYS)](good, mag, batch.n)
"""
SAYS = (
    "it returned None, and gives x, k, s, each",
    "it returned no k;",
    "the index of x is that of the batch in another order",
    "reason holds float64",
    "reason 300 is none of 0 to 6",
    "reason -1 is none of 0 to 6",
    "s holds a text with a NUL in it",
    "values for a row of",
    "each has values of 1 rows, not of 2",
    "SystemExit: 7",
)
# One column in the ways of pandas and Arrow, by the first alert of the batch.
ANSWERS = """
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from nightjar import give, module, scalar

def of_pandas(x, k, s, u):
    return pd.DataFrame({"x": pd.array(x, "Float64"), "k": pd.array(k, "Int64"), "s": pd.array(s, "string"),
                         "u": pd.array(u, "boolean")})

def of_arrow(x, k, s, u):
    return {"x": pa.array(x, pa.float64()), "k": pa.array(k, pa.int64()), "s": pa.array(s), "u": pa.array(u)}

WAYS = [
    of_pandas,
    lambda *c: dict(of_pandas(*c)),
    of_arrow,
    lambda *c: pa.table(of_arrow(*c)),
    lambda *c: pa.RecordBatch.from_pydict(of_arrow(*c)),
    lambda x, k, s, u: dict(x=[np.nan if v is None else v for v in x], k=k, s=s, u=u),
]

@module(needs={"jd": scalar("jd", unit="d"), "id": scalar("candid", type="i64"),
               "object": scalar("object", type="str")},
        gives={"x": give("d", "jd; none for an odd id"), "k": give("1", "3; none for an odd id", type="i32"),
               "s": give("1", "object; none for an odd id", type="str"),
               "u": give("1", "is jd positive; none for an odd id", type="u8")})
def answers(jd, id, object, batch):
    keep = lambda v: [None if i % 2 else x for i, x in zip(id.tolist(), v)]
    columns = jd.tolist(), [3] * batch.n, object, (jd > 0).tolist()
    return WAYS[id[0] % len(WAYS)](*map(keep, columns))
"""


def returned():
    """Nothing that a function returns is put to the wrong alert, or left out, without a word."""
    write("returned.py", RETURNED)
    got, r = run("returned", "-D", "run.batch_rows=2", "--columns", "lc.mag", threads=1)
    for word in SAYS:
        ok(r.stderr.count(word) == 1, f"refused, and said once: {word}", r.stderr)
    ok("a process that it forked returned from it, too" in r.stderr, "a fork that returns is ended", r.stderr)
    plain = lambda x: x["returned.x"] in (x["jd"], 2 * x["jd"]) and x["returned.each"] == x["lc.mag"]
    same = [x for x in got if plain(x) and (x["returned.k"], x["returned.s"]) == (3, "abc")]
    ok(len(same) == 300, "and each alert has its own answer", [x for x in got if x not in same][:1])
    write("answers.py", ANSWERS)
    got, r = run("answers", "-D", "run.batch_rows=3", threads=1)
    want = lambda x: (None,) * 4 if x["candid"] % 2 else (x["jd"], 3, x["object"], 1)
    wrong = [x for x in got if tuple(x[f"answers.{k}"] for k in "xksu") != want(x)]
    ok(len(got) == 300 and not wrong and not r.stderr, "nulls of pandas and Arrow", (wrong[:1], r.stderr))


NEAR = """
import ctypes, os, threading
import numpy as np
from nightjar import give, module, scalar

calls = 0

@module(needs={"jd": scalar("jd", unit="d")}, settings={"how": ""},
        gives={"own": give("1", "processors of the function; never none", type="i64"),
               "more": give("1", "processors of what it starts in its 20th call; none elsewhere")})
def near(jd, how):
    global calls
    calls += 1
    own, more = len(os.sched_getaffinity(0)), []
    if calls == 20 and how == "python":
        thread = threading.Thread(target=lambda: more.append(len(os.sched_getaffinity(0))))
        thread.start()
        thread.join()
    if calls == 20 and how == "fork":
        got, put = os.pipe()
        if not os.fork():
            os.write(put, bytes([len(os.sched_getaffinity(0))]))
            os._exit(0)
        more += os.read(got, 1)
        os.wait()
    if calls == 20 and how == "library":
        libc = ctypes.CDLL(None)
        assert not libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, libc.pause, None)
    return {"own": np.full(len(jd), own), "more": np.full(len(jd), more[0] if more else np.nan)}
"""


def near():
    """A worker shares the processor of its thread until its function has threads or processes of its own."""
    write("near.py", NEAR)
    every = len(os.sched_getaffinity(0))
    for how in ("nothing", "python", "fork", "library"):
        more = ["-D", "run.batch_rows=1", "-D", f"module.near.settings=how={how}"]
        got, r = run("near", *more, threads=1)
        if not ok(len(got) == 300 and not r.stderr, f"near: a function that starts {how}", r.stderr):
            continue
        own = [x["near.own"] for x in got]
        ok(own[1:20] == [1] * 19, f"near, {how}: one processor while it is alone", own[:21])
        ok(
            own[100:] == [1 if how == "nothing" else every] * 200,
            f"near, {how}: and all after that",
            own[90:110],
        )
        if how in ("python", "fork"):
            ok(
                got[19]["near.more"] == every,
                f"near, {how}: which what it starts has from the beginning",
                got[19],
            )


def fresh():
    """new-module --python: what it prints is run. And a file with the name of a module of Python's."""
    r = nightjar("new-module", "fresh", "--python")
    todo = [line.split("#")[0].strip() for line in r.stdout.splitlines() if line.startswith("  ")]
    ok(r.returncode == 0 and len(todo) == 4, "new-module --python, and what comes next", r.stdout + r.stderr)
    more = {"profile": ["--repeat", "2"]}
    for line in todo:
        words = line.replace("ALERTS", "night.tar").split()[1:]
        r = nightjar(*words, *more.get(words[0], []), env=ENV)
        ok(r.returncode == 0, line, r.stdout[-500:] + r.stderr)
        if words[0] == "run":
            got = [x for x in r.stdout.splitlines() if '"fresh.range":' in x]
            ok(len(got) == 300, "its column is in every row", r.stdout[:300])
    for words, says in (
        (["fresh", "--python"], "exists"),
        (["class", "--python"], "a word of Python's own"),
        (["other", "--python", "--cxx"], "not both"),
        (["x" * 60, "--python"], "59 at most"),
    ):
        r = nightjar("new-module", *words)
        ok(r.returncode == 1 and says in r.stderr, f"new-module {words[0][:9]}: {says}", r.stdout + r.stderr)
    r = nightjar("modules", "--module-path", "fresh.py", "fresh", env=ENV)
    ok("fresh.range" in r.stdout and "faintest minus" in r.stdout, "with its column and sentence", r.stdout)
    r = nightjar("bench", "fresh.py", "night.tar")
    ok(r.returncode == 1 and "profile fresh.py" in r.stderr, "bench is for C, and says so", r.stderr)
    plain = f("import random; return jd + random.random() * 0").replace("def wrong", "def types")
    os.mkdir("named")
    write("named/types.py", plain)
    words = "run night.tar --overwrite --module-path named/types.py -m types -q -o ndjson:out.ndjson".split()
    r = nightjar(*words, env=ENV)
    got = rows("out.ndjson") if r.returncode == 0 else []
    ok(len(got) == 300 and got[0]["types.x"] == got[0]["jd"], "types.py does not hide Python's", r.stderr)


def interpreters():
    """Scripts before interpreters, as pyenv has them, under the sandbox; a package of another version."""
    os.makedirs("a b/shims")
    write("a b/shims/python3", f'#!/usr/bin/env bash\nexec "{sys.executable}" "$@"\n')
    write("says_nothing", "#!/bin/sh\nexit 3\n")
    os.chmod("a b/shims/python3", 0o755)
    os.chmod("says_nothing", 0o755)
    path = f"{os.getcwd()}/a b/shims:{os.environ['PATH']}"
    words = "run night.tar --overwrite --module-path near.py -m near -q -o ndjson:out.ndjson".split()
    for what, more, env in (
        ("first on the path", [], {"PATH": path, "NIGHTJAR_PYTHON": ""}),
        ("in the environment", [], {"NIGHTJAR_PYTHON": "a b/shims/python3"}),
        ("in a setting", ["-D", "module.near.python=a b/shims/python3"], {}),
    ):
        r = nightjar(*words, *more, env={**ENV, **env})
        ok(r.returncode == 0 and len(rows("out.ndjson")) == 300, f"a script {what}", r.stderr)
    r = nightjar(*words, env={**ENV, "NIGHTJAR_PYTHON": "./says_nothing"})
    ok(
        r.returncode == 1 and "./says_nothing is a script" in r.stderr and "name the interpreter" in r.stderr,
        "a script that does not say what it starts",
        r.stderr,
    )
    with open("source/nightjar/worker.py", encoding="utf-8") as f:
        text = f.read()
    subprocess.run(["cp", "-r", "source", "other"], check=True)
    write("other/nightjar/worker.py", text.replace("\nPROTOCOL = ", "\nPROTOCOL = 1000 + "))
    r = nightjar(*words, env={**ENV, "PYTHONPATH": os.path.abspath("other")})
    ok(
        r.returncode == 1 and "is of another version than this program" in r.stderr,
        "a package that speaks another protocol is refused",
        r.stderr,
    )


def wheel():
    """pip builds a wheel, and a run by an environment that has nothing but that."""
    builder = subprocess.run(
        [f"{ROOT}/tests/python", "numpy", "setuptools", "wheel"], capture_output=True, text=True
    ).stdout.strip()
    if not builder:
        return skip("a wheel of the package", "no Python with setuptools and wheel")
    r = subprocess.run(
        [os.path.join(ROOT, builder), "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "-w", "wheels", "./source"],
        capture_output=True, text=True,
    )  # fmt: skip
    made = os.listdir("wheels") if os.path.isdir("wheels") else []
    if not ok(len(made) == 1 and made[0].endswith("-none-any.whl"), "a wheel of the package", r.stderr):
        return
    venv = [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", "env"]
    subprocess.run(venv, check=True)
    pip = [os.path.join(ROOT, builder), "-m", "pip", "--python", "env/bin/python"]
    subprocess.run(
        [*pip, "install", "-q", "--no-deps", "--disable-pip-version-check", f"wheels/{made[0]}"], check=True
    )
    where = next(p for p in sys.path if os.path.isdir(os.path.join(p, "numpy")))
    env = {"PYTHONPATH": where, "NIGHTJAR_PYTHON": os.path.abspath("env/bin/python")}
    r = nightjar(
        "run", "--overwrite", "--module-path", "columns.py", "-m", "columns", "-o", "ndjson:wheel.ndjson",
        "night.tar", env=env,
    )  # fmt: skip
    ok(r.returncode == 0 and len(rows("wheel.ndjson")) == 300, "a run with the installed package", r.stderr)
    r = subprocess.run(["env/bin/python", "-c", "import nightjar_export"], capture_output=True, text=True)
    ok(r.returncode == 0, "the exporters are in it, and need no framework to be imported", r.stderr)


if SANITIZED:
    skip("modules in Python", "they are of the release build")
    done()
with Folder():
    subprocess.run(["cp", "-r", f"{ROOT}/modules/python", "source"], check=True)
    r = nightjar("simulate", "-q", "-n", 300, "-o", "night.tar")
    ok(r.returncode == 0, "a night of 300 alerts", r.stderr)
    columns()
    failing()
    spoilt()
    killed("worker")
    killed("interpreter")
    refused()
    returned()
    forms()
    serial()
    begins()
    near()
    interpreters()
    fresh()
    wheel()
done()
