#!/usr/bin/env python3
"""The package nightjar as a reader: a run as an Arrow table, a DataFrame or rows, and a module's answers to
columns of one's own (`nightjar call`)."""

import csv, json, os, sys, warnings
from tap import NIGHTJAR, ROOT, SANITIZED, Folder, done, needs, nightjar, ok, rows, skip

needs("numpy", "pandas", "pyarrow")
sys.path.insert(0, f"{ROOT}/modules/python")
os.environ.update(
    NIGHTJAR=os.path.abspath(NIGHTJAR), NIGHTJAR_PYTHON=sys.executable, PYTHONPATH=f"{ROOT}/modules/python"
)
import numpy as np
import nightjar as nj

EXAMPLES = f"{ROOT}/modules/python/examples"


def raises(word, f, *args, **more):
    try:
        f(*args, **more)
    except Exception as e:
        return ok(word in str(e), f"refused: {word}", repr(e))
    ok(False, f"refused: {word}")


def runs():
    r = nightjar("run", "-q", "-m", "roid,nalerthist", "-o", "ndjson:out.ndjson", "night.tar")
    want = rows("out.ndjson")
    ok(r.returncode == 0 and len(want) == 200, "a run of the binary", r.stderr)
    table = nj.run("night.tar", modules=["roid", "nalerthist"])
    ok(table.num_rows == 200, "run() gives an Arrow table", table.schema)
    ok(table["candid"].to_pylist() == [x["candid"] for x in want], "with the same alerts")
    ok(table["nalerthist.n"].to_pylist() == [x["nalerthist.n"] for x in want], "and answers")
    report = json.loads(table.schema.metadata[b"report"])
    ok(any(m["name"] == "roid" for m in report["modules"]), "the report is with it")
    frame = nj.run(["night.tar"], modules="nalerthist", where="nalerthist.n > 3", form="pandas")
    few = [x["candid"] for x in want if x["nalerthist.n"] > 3]
    ok(frame["candid"].tolist() == few and 0 < len(few) < 200, "a clause, and a DataFrame")
    ok(frame.attrs["report"]["modules"], "which has the report, too")
    got = nj.run("night.tar", modules=f"{EXAMPLES}/fast_transient.py", form="rows", options=["--limit", "20"])
    ok(
        len(got) == 20 and "fast_transient.mag_rate" in got[0],
        "a module in Python, and more options",
        got[:1],
    )
    got = nj.run("night.tar", modules="nalerthist", columns=["lc.mag"], form="rows")
    ok(len(got[0]["lc.mag"]) > 0, "more columns")
    got = nj.run("night.tar", modules="hostless", settings={"hostless.repeats": 2}, form="rows")
    ok("hostless.ks_science_sd" in got[0], "settings of a module")
    raises("no module 'riod'", nj.run, "night.tar", modules="riod")
    raises("nothing.tar", nj.run, "nothing.tar", modules="roid")
    raises("no such program", nj.run, "night.tar", binary="no-such-nightjar")
    raises("names the program", nj.run, "night.tar", binary="./night.tar")
    raises("'polars' is none of", nj.run, "night.tar", form="polars")
    more = {"guard.sandbox": True, "sink.ndjson.infinity": "null", "decode.max_items": 100000}
    got = nj.run("night.tar", modules="nalerthist", settings=more, form="rows")
    ok(len(got) == 200, "settings of sections", got[:1])


WHOLE = """
import numpy as np
from nightjar import give, module, scalar
@module(needs={"i": scalar("candid", type="i64"), "jd": scalar("jd", unit="d"),
               "object": scalar("object", type="str")},
        gives={"id": give("1", "candid; none for an odd one", type="i64"),
               "jd": give("d", "jd; none without")})
def whole(i, jd, object):
    return {"id": np.ma.array(i, mask=i % 2 == 1), "jd": jd}
"""


def tables():
    """Cells that are no number of their column's type are refused, not read as another one."""
    for module, text, word in (
        ("whole.py", "candid,jd\n1,abc\n", "line 2: jd: 'abc' is no number"),
        ("whole.py", "candid,jd\n1.5,1\n", "candid: '1.5' is no whole number"),
        ("whole.py", "candid,jd\n1x,1\n", "candid: '1x' is no number"),
        ("whole.py", "candid,jd\n99999999999999999999,1\n", "is beyond the column's type"),
        ("whole.py", "candid,candid\n1,2\n", "column candid is there twice"),
        ("nalerthist", 'lc.mag\n"18 x"\n', "lc.mag: 'x' is no number"),
        ("fast_transient", 'lc.mag,lc.jd\n"18 19 20","1 2"\n', "lc.jd has 2 points, and lc.mag 3"),
        ("fast_transient", 'lc.mag,lc.band\n"18 19","1 1.5"\n', "lc.band: '1.5' is no whole number"),
        ("nalerthist", 'lc.mag,=n\n"18 19",two\n', "'two' is no number"),
        ("nalerthist", 'lc.mag,=n\n"18 19",2 3\n', "=n has more values than the 1"),
        ("nalerthist", 'lc.mag,=n\n"18 19",3\n', "n is 2, expected 3"),
    ):
        with open("cells.csv", "w", encoding="utf-8") as f:
            f.write(text)
        r = nightjar("call", module, "cells.csv")
        ok(r.returncode == 2 and word in r.stderr, word, r.stdout + r.stderr)
    with open("cells.csv", "w", encoding="utf-8") as f:
        f.write('lc.mag\n"18 19 20 21 22 23"\n')
    r = nightjar("call", "fast_transient", "cells.csv")
    ok(
        r.returncode == 0 and "no_input" in r.stdout,
        "a need without a column has as many null points",
        r.stdout,
    )


def calls():
    """The answers are those that the reference values expect."""
    out = nj.call("nalerthist", {"lc.mag": [[18, None, 19], [], [17.5]]})
    ok(out["n"].tolist() == [2, 0, 1], "call() of a module in C", out)
    ok(out["reason"].tolist() == ["done"] * 3, "with reasons", out)
    with open(f"{ROOT}/data/ref/fast_transient.csv", newline="", encoding="utf-8") as f:
        lines = [x for x in csv.reader(f) if x and not x[0].startswith("#")]
    head, body = lines[0], lines[1:]
    value = lambda w: None if w in ("", "-") else float(w)
    column = lambda k, s: [[value(w) for w in r[k].split()] if s else value(r[k]) for r in body]
    given = {h: column(k, h.startswith("lc.")) for k, h in enumerate(head) if h[0] != "="}
    for module in ("fast_transient", f"{EXAMPLES}/fast_transient.py"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it replaces the built-in one
            out = nj.call(module, given)
        for k, h in enumerate(head):
            if h == "=reason":
                ok(out["reason"].tolist() == [r[k] for r in body], f"{os.path.basename(module)}: reasons")
            elif h[0] == "=":
                want = np.array([np.nan if r[k] == "" else float(r[k]) for r in body])
                same = np.allclose(out[h[1:]], want, 2e-9, 2e-9, equal_nan=True)
                ok(same, f"{os.path.basename(module)}: {h[1:]}", (out[h[1:]], want))
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(63, 63)).astype(np.float32)
    y, x = np.indices((63, 63)) - 31
    source = noise + 200 * np.exp(-(x * x + y * y) / 8)
    out = nj.call("hostless", {"stamp.science": [source, noise], "stamp.template": [noise, noise]})
    ok(out["candidate"].tolist() == [1, 0], "stamps of one's own", out)
    ok(out["lone"].tolist() == ["science", None], "and texts that come out", out)
    again = nj.call(
        "hostless", {"stamp.science": [source], "stamp.template": [noise]}, {"hostless.repeats": 16}
    )
    ok(again["ks_science_sd"][0] >= 0, "with settings", again)
    r = nj.call(
        f"{EXAMPLES}/stamp_spectrum.py", {"stamp.science": [source, None, noise]}
    )  # a vector per alert
    f = np.fft.fft2(source[24:38, 24:38].astype(np.float32).astype(float))
    ok(len(r["power"][0]) == 7 and np.isnan(r["power"][1]).all(), "a vector per alert", r)
    raises("different lengths", nj.call, "roid", {"a": [1], "b": [1, 2]})
    raises("lc.magg", nj.call, "nalerthist", {"lc.magg": [[1]]})
    raises("no module", nj.call, "nalerthst", {"lc.mag": [[1]]})
    raises("wants columns", nj.call, "roid", {})
    raises("jd is a float", nj.call, "roid", {"jd": 2.0})
    with open("whole.py", "w", encoding="utf-8") as f:
        f.write(WHOLE)
    ids = [2**62, 2**62 + 1, 2**60 + 2]
    out = nj.call("whole.py", {"candid": ids, "jd": [1, 2.5, None], "object": ["a", 'b"', "c,d"]})
    ok(out["id"].filled(-1).tolist() == [ids[0], -1, ids[2]], "masked integers to the digit", out["id"])
    ok(out["jd"].dtype == float and out["jd"].tolist()[:2] == [1, 2.5], "fractions are floats", out["jd"])
    ok(nj.call("whole.py", {"jd": [1, 2]})["jd"].dtype == float, "also whole ones")
    tables()


if SANITIZED:
    skip("the package as a reader", "it is of the release build")
    done()
with Folder():
    r = nightjar("simulate", "-q", "-n", 200, "-o", "night.tar")
    ok(r.returncode == 0, "a night of 200 alerts", r.stderr)
    runs()
    calls()
done()
