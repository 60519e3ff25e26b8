#!/usr/bin/env python3
"""Alerts that come twice: in two files, in three, in one, in archives and folders of a folder, in a folder of
Parquet, in an output of an earlier run, also when a run is resumed."""

import glob, io, json, os, signal, subprocess, tarfile, time
from tap import NIGHTJAR, Folder, compile_module, done, needs, nightjar, ok, report, rows

needs("fastavro", "pyarrow")
import fastavro, pyarrow as pa, pyarrow.parquet as pq


def run(*args, out="out.ndjson"):
    r = nightjar(
        "run", *args, "-m", "roid", "-o", f"ndjson:{out}", "--overwrite", "--report", "r.json", "-j", "1"
    )
    return r, rows(out) if os.path.exists(out) else []


def members(name):
    with tarfile.open(name) as t:
        return [(m.name, t.extractfile(m).read()) for m in t if m.name.endswith(".avro")]


def tar(name, items):
    with tarfile.open(name, "w") as t:
        for member, data in items:
            info = tarfile.TarInfo(member)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))


def candid(data):
    return next(fastavro.reader(io.BytesIO(data)))["candid"]


def two_files():
    r, got = run("a.tar", "b.tar")
    warned = [x for x in r.stderr.splitlines() if "came before" in x]
    ok(r.returncode == 0, "two archives with alerts in common: a run", r.stderr)
    ok(len(got) == 60, "all are written, as they are", len(got))
    ok(len(warned) == 1, "one warning for the pair", warned)
    first = candid(ALL[20][1])
    for word in ("10 alerts of b.tar", "in a.tar", f"the first is {first}", ALL[20][0], "x" + ALL[20][0]):
        ok(word in warned[0], f"it says '{word}'", warned)
    ok("dedup = N drops them" in warned[0], "and the cure", warned)
    found = report("r.json")["duplicates_in_files"]
    ok([(d["n"], d["id"]) for d in found] == [(10, first)], "the report counts them", found)
    ok([d["first"].endswith("a.tar") for d in found] == [True], "and names the first", found)
    ok([d["second"].endswith("b.tar") for d in found] == [True], "and the second", found)
    r, got = run("a.tar", "b.tar", "-D", "run.dedup=1000")
    ok(len(got) == 50, "[run] dedup drops them", len(got))
    ok("10 alerts of b.tar" in r.stderr, "and the files are named all the same", r.stderr)
    ok(report("r.json")["ledger"]["duplicates"] == 10, "the ledger has them", report("r.json")["ledger"])
    r, _ = run("a.tar")
    ok("came before" not in r.stderr, "without any nothing is said", r.stderr)


def one_source():
    tar("c.tar", ALL[:5] + [("again/" + n, d) for n, d in ALL[2:4]])
    r, got = run("c.tar")
    ok("2 alerts of c.tar came before, in the same source" in r.stderr, "twice in one archive", r.stderr)
    ok("again/" + ALL[2][0] in r.stderr, "with both members", r.stderr)
    os.mkdir("parquet")
    alerts = [next(fastavro.reader(io.BytesIO(d))) for _, d in ALL[:10]]
    for a in alerts:
        a.pop("fp_hists", None)
    table = pa.Table.from_pylist(alerts)
    for part in (0, 1):
        pq.write_table(table, f"parquet/part-{part}.parquet")
    r, got = run("parquet")
    ok(len(got) == 20, "a folder with a file twice", (len(got), r.stderr))
    ok("10 alerts of parquet came before" in r.stderr, "which is said", r.stderr)
    ok("part-0" in r.stderr and "part-1" in r.stderr, "with both files", r.stderr)


def earlier_run():
    for scheme in ("ndjson", "sqlite", "avro", "fits", "ndjson:{}.zst"):
        spec = scheme if ":" in scheme else scheme + ":{}"
        out = spec.format("before." + scheme[:4])
        r = nightjar("run", "a.tar", "-q", "-m", "roid", "-o", out)
        ok(r.returncode == 0, f"{out}: an earlier run", r.stderr)
        r, got = run("b.tar", "--seen", out)
        ok(r.returncode == 0, f"{out}: --seen", r.stderr)
        ok(
            [x["candid"] for x in got] == [candid(d) for _, d in ALL[30:50]],
            f"{out}: only what is new",
            len(got),
        )
        ok(report("r.json")["ledger"]["duplicates"] == 10, f"{out}: the others are duplicates", r.stdout)
        ok("30 alerts, which count as duplicates" in r.stderr, f"{out}: how many it has", r.stderr)
    r, got = run("b.tar", "--seen", "before.ndjs", "--seen", "before.sqli")
    ok(len(got) == 20, "--seen may be given twice", (len(got), r.stderr))
    with open("other.ndjson", "w", encoding="utf-8") as f:
        for x in rows("before.ndjs"):
            f.write(json.dumps({**x, "survey": "lsst"}) + "\n")
    r, got = run("b.tar", "--seen", "other.ndjson")
    ok(len(got) == 30, "the same ids of another survey are others", (len(got), r.stderr))
    with open("before.fits", "rb") as f:
        table = f.read()
    with open("other.fits", "wb") as f:
        f.write(table.replace(b"ztf\0", b"xyz\0").replace(b"ztf ", b"xyz "))
    r, got = run("b.tar", "--seen", "other.fits")
    ok(len(got) == 30, "nor are they in FITS", (len(got), r.stderr))
    r, got = run("b.tar", "--seen", "none.ndjson", out="n.ndjson")
    ok(r.returncode == 1 and "--seen none.ndjson" in r.stderr, "an output that is not there: named", r.stderr)


def three_files():
    """Each pair of files has a line of its own: an alert of all three counts for the first of them."""
    tar("d.tar", [("d" + n, d) for n, d in ALL[10:25]])
    r, got = run("a.tar", "b.tar", "d.tar")
    found = {
        (os.path.basename(d["first"]), os.path.basename(d["second"])): (d["n"], d["id"])
        for d in report("r.json")["duplicates_in_files"]
    }
    ok(len(got) == 75, "three archives: all are written", (len(got), r.stderr))
    expected = {("a.tar", "b.tar"): (10, candid(ALL[20][1])), ("a.tar", "d.tar"): (15, candid(ALL[10][1]))}
    ok(found == expected, "three archives: each pair with its number and its first", found)
    warned = [x for x in r.stderr.splitlines() if "came before" in x]
    ok(len(warned) == 2, "three archives: a line for each pair", warned)
    r, got = run("a.tar", "b.tar", "d.tar", "-D", "run.dedup=1000")
    ok(
        len(got) == 50 and len({x["candid"] for x in got}) == 50,
        "three archives: dedup leaves each once",
        len(got),
    )
    r, got = run("d.tar", "d.tar")
    ok("15 alerts of d.tar" in r.stderr, "the same file given twice", r.stderr)


def archives_in_folders():
    """Archives and packets in folders of folders: the names say where."""
    os.makedirs("deep/one/two")
    tar("deep/one/a.tar", ALL[:10])
    tar("deep/one/two/b.tar", ALL[5:12])
    r, got = run("deep/one/a.tar", "deep/one/two/b.tar")
    found = report("r.json")["duplicates_in_files"]
    ok(len(got) == 17 and [d["n"] for d in found] == [5], "archives in folders: counted", (len(got), found))
    for word in ("deep/one/a.tar", "deep/one/two/b.tar"):
        ok(word in r.stderr, f"archives in folders: {word} is named", r.stderr)
    r, got = run("deep")
    found = report("r.json")["duplicates_in_files"]
    ok(len(got) == 17 and [d["n"] for d in found] == [5], "a folder of archives: counted", (len(got), found))
    ok("one/a.tar" in r.stderr and "one/two/b.tar" in r.stderr, "a folder of archives: both named", r.stderr)
    os.makedirs("packets/one/two")
    for k, (name, data) in enumerate(ALL[:8] + ALL[6:9]):
        with open(f"packets/one/{'two/' if k > 7 else ''}{name}", "wb") as f:
            f.write(data)
    r, got = run("packets")
    found = report("r.json")["duplicates_in_files"]
    ok(len(got) == 11 and [d["n"] for d in found] == [2], "packets in folders: counted", (len(got), found))
    ok("one/two/" in r.stderr, "packets in folders: the files are named", r.stderr)
    r, got = run("packets", "-D", "run.dedup=1000")
    ok(len(got) == 9, "packets in folders: dedup leaves each once", (len(got), r.stderr))
    tar("flat.tar", ALL[:3])
    r, got = run("flat.tar", "deep")
    ok(
        "3 alerts of deep" in r.stderr and "flat.tar" in r.stderr,
        "an archive and a folder: both named",
        r.stderr,
    )


def resumed():
    """A run that was broken off and goes on: no alert is a duplicate of itself, and --seen still holds."""
    for name in glob.glob("part*"):
        os.remove(name)
    with open("slow.c", "w", encoding="utf-8") as f:
        f.write(SLOW)
    slow = ["-m", "slow", "--module-path", compile_module("slow.c", "slow.so")]
    args = ["run", "a.tar", "b.tar", *slow, "-q", "-j", "1", "-o", "ndjson:part.ndjson", *OFTEN]
    seen = ["--seen", "first.ndjson"]
    nightjar(
        "run",
        "a.tar",
        "-q",
        "-m",
        "roid",
        "-w",
        f"candid <= {candid(ALL[9][1])}",
        "-o",
        "ndjson:first.ndjson",
    )
    known = {x["candid"] for x in rows("first.ndjson")}
    p = subprocess.Popen([NIGHTJAR, *args, *seen], stderr=subprocess.PIPE, start_new_session=True)
    until = time.time() + 60
    while p.poll() is None and time.time() < until:
        if os.path.exists("part.ndjson") and os.path.getsize("part.ndjson"):
            break
        time.sleep(0.005)
    os.killpg(p.pid, signal.SIGKILL)
    p.communicate()
    before = len(open("part.ndjson", encoding="utf-8").readlines())
    for _ in range(100):
        r = nightjar(*args, *seen, "--resume")
        if "another run is writing it" not in r.stderr:
            break
        time.sleep(0.05)
    got = [x["candid"] for x in rows("part.ndjson")]
    new = [c for c in [candid(d) for _, d in ALL[:30] + ALL[20:]] if c not in known]
    ok(
        r.returncode == 0 and sorted(got) == sorted(new),
        "resumed: what is known is left out, the rest is there",
        (len(got), len(new), r.stderr),
    )
    ok(0 < before < len(got), "resumed: it was broken off within", before)
    led = json.loads(nightjar("ledger", "part.ndjson", "--json").stdout)[0]
    ok(
        led["emitted"] == len(new) and led["duplicates"] == 60 - len(new),
        "resumed: the ledger of both runs",
        led["duplicates"],
    )


OFTEN = ["-D", "run.commit_ms=10", "-D", "run.flush_ms=2", "-D", "run.batch_rows=4"]
SLOW = """#include "nightjar/module.h"
#include <time.h>
static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self, (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        nanosleep(&(struct timespec){ 0, 20000000 }, 0);
        ((double *)w->out[0])[w->row[k]] = 1, w->reason[w->row[k]] = NJ_DONE;
    }
    return NJ_OK;
}
NJ_MODULE(slow) = { NJ_HEADER, .name = "slow", .version = "1.0", .summary = "waits 20 ms", .paper = "none",
    .needs = (const nj_need[]){ { "mag", NJ_F64, NJ_SCALAR, "mag", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "x", NJ_F64, 1, 0, "1", -INFINITY, INFINITY, NAN, 0, "One." }, { 0 } },
    .process = process };
"""

with Folder():
    nightjar("simulate", "-q", "-n", 50, "--seed", 2, "-o", "night.tar")
    ALL = members("night.tar")
    tar("a.tar", ALL[:30])
    tar("b.tar", [("x" + n, d) for n, d in ALL[20:]])
    two_files()
    one_source()
    earlier_run()
    three_files()
    archives_in_folders()
    resumed()
done()
