#!/usr/bin/env python3
"""Output files: one writer each, columns that do not mix, places that are checked at the start, dead letters
beside them."""

import io, json, os, resource, signal, subprocess, tarfile, time
from tap import NIGHTJAR, Folder, done, nightjar, ok, report, rows

KINDS = ["ndjson", "avro", "sqlite", "fits", "parquet", "csv"]


class Running:
    """A run that waits for more of its standard input; its outputs are open."""

    def __init__(self, *args):
        self.p = subprocess.Popen(
            [NIGHTJAR, "run", "-", "-q", "-m", "roid", "-j", "1", "-D", "run.batch_rows=1", *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def feed(self, data):
        self.p.stdin.write(data)
        self.p.stdin.flush()
        return self

    def has_open(self, path):
        folder = f"/proc/{self.p.pid}/fd"
        try:
            return any(
                os.path.realpath(f"{folder}/{fd}") == os.path.realpath(path) for fd in os.listdir(folder)
            )
        except FileNotFoundError:
            return False

    def opens(self, path):
        while self.p.poll() is None and not self.has_open(path):
            time.sleep(0.05)
        time.sleep(0.1)  # it is locked just behind that
        return self

    def end(self, data=b""):
        err = self.p.communicate(data, timeout=120)[1].decode()
        return self.p.returncode, err


def two_runs(night):
    with open(night, "rb") as f:
        alerts = f.read()
    for kind in KINDS:
        path = f"two.{kind}"
        r = nightjar("run", night, "-q", "-m", "roid", "-o", f"{kind}:{path}")
        os.makedirs("deep", exist_ok=True)
        os.symlink(path, f"link.{kind}")
        first = Running("-o", f"{kind}:{path}", "--append").feed(alerts[:9999]).opens(path)
        for how in ["--append", "--overwrite"]:
            for name in [path, f"./deep/../{path}", os.path.abspath(path), f"link.{kind}"]:
                r = nightjar("run", night, "-q", "-m", "roid", "-o", f"{kind}:{name}", how)
                ok(r.returncode == 1, f"{kind} {how} {name[-20:]}: the second run is refused", r.stderr)
                ok(
                    f"process {first.p.pid}" in r.stderr,
                    f"{kind} {how} {name[-20:]}: the holder is named",
                    r.stderr,
                )
        rc, err = first.end(alerts[9999:])
        ok(rc == 0, f"{kind}: the first run continues", err)
        r = nightjar("run", night, "-q", "-m", "roid", "-o", f"{kind}:{path}", "--append")
        ok(r.returncode == 0, f"{kind}: when it has ended, the next one may", r.stderr)
        ok(not os.path.exists(path + ".new"), f"{kind}: nothing is left beside it")
    ok(
        len(rows("two.ndjson")) == 3 * len({x["candid"] for x in rows("two.ndjson")}),
        "every row of three runs is whole",
    )
    # while the first is between its start and its first row, a new fits file is one of cfitsio's
    first = Running("-o", "fits:new.fits").feed(alerts[: len(alerts) // 2]).opens("new.fits")
    while first.p.poll() is None and not os.path.getsize("new.fits"):
        time.sleep(0.05)
    r = nightjar("run", night, "-q", "-m", "roid", "-o", "fits:new.fits", "--append")
    ok(
        r.returncode == 1 and "another run" in r.stderr,
        "a fits file with rows under way is refused",
        r.stderr,
    )
    rc, err = first.end(alerts[len(alerts) // 2 :])
    ok(rc == 0, "and its run ends well", err)


def one_run_twice(night):
    for a, b in [
        ("ndjson:o.x", "ndjson:o.x"),
        ("ndjson:o.x", "ndjson:./o.x"),
        ("ndjson:o.x", "avro:o.x"),
        ("avro:o.x", "sqlite:o.x"),
        ("fits:o.x", "fits:deep/../o.x"),
        ("sqlite:o.x", "sqlite:o.x"),
        ("ndjson:-", "ndjson:-"),
    ]:
        for how in [["--append"], ["--overwrite"], []]:
            r = nightjar("run", night, "-q", "-m", "roid", "-o", a, "-o", b, *how)
            ok(r.returncode == 1, f"-o {a} -o {b} {' '.join(how)}: refused", r.stderr)
            ok(not os.path.exists("o.x"), "and nothing is left")
    for args in [
        ["-o", "ndjson:o.x", "--report", "o.x"],
        ["-o", "ndjson:o.x", "--dead-letters", "o.x", "--append"],
        ["--report", "o.x", "--dead-letters", "./o.x", "--append"],
    ]:
        r = nightjar("run", night, "-q", "-m", "roid", *args)
        ok(
            r.returncode == 1 and "this run writes it already" in r.stderr,
            " ".join(args) + ": refused",
            r.stderr,
        )
        ok(not os.path.exists("o.x"), "and nothing is left")
    r = nightjar(
        "run", night, "-q", "-m", "roid", "-o", "null:", "-o", "ndjson:/dev/null", "-o", "ndjson:///dev/null"
    )
    ok(r.returncode == 0, "devices are nobody's", r.stderr)


def letters_and_report(night):
    with open("bad.avro", "wb") as f:
        f.write(b"Obj\1nonsense")
    with open(night, "rb") as f:
        alerts = f.read()
    for how in [["--dead-letters", "held.avro", "--append"], ["--report", "held.json"]]:
        first = Running(*how).feed(alerts[:9999]).opens(how[1])
        r = nightjar("run", night, "-q", "-m", "roid", *how)
        ok(
            r.returncode == 1 and f"process {first.p.pid}" in r.stderr,
            f"{how[0]} of two runs: the second is refused",
            r.stderr,
        )
        first.end(alerts[9999:])
    ok(json.load(open("held.json"))["ledger"]["consumed"] == 40, "the report of the first is whole")
    for how in [
        ["--dead-letters", "nowhere/d.avro"],
        ["--report", "nowhere/r.json"],
        ["--report", "deep"],
        ["--dead-letters", "deep"],
    ]:
        r = nightjar("run", night, "-q", "-m", "roid", "-o", "ndjson:never.ndjson", *how)
        ok(r.returncode == 1 and how[1] in r.stderr, " ".join(how) + ": found at the start", r.stderr)
        ok(not os.path.exists("never.ndjson"), "before an output is made")
    r = nightjar("run", night, "-q", "-m", "roid", "--dead-letters", "none.avro")
    ok(r.returncode == 0 and not os.path.exists("none.avro"), "no dead letter: no file of them", r.stderr)
    r = nightjar("run", night, "-q", "-m", "roid", "-w", "nonsense", "--report", "none.json")
    ok(
        r.returncode == 1 and not os.path.exists("none.json"),
        "a run that does not start leaves no report",
        r.stderr,
    )
    # beside the first file among the outputs, and not in the working directory
    os.makedirs("out/deep", exist_ok=True)
    r = nightjar(
        "run",
        night,
        "bad.avro",
        "-m",
        "roid",
        "-o",
        "null:",
        "-o",
        "ndjson:out/deep/a.ndjson",
        "-o",
        "avro:out/b.avro",
        "--report",
        "l.json",
    )
    ok(
        os.path.exists("out/deep/dead-letters.avro"),
        "dead letters lie beside the first output file",
        r.stderr,
    )
    ok(not os.path.exists("dead-letters.avro"), "not in the working directory")
    ok(
        report("l.json")["dead_letters"] == "out/deep/dead-letters.avro",
        "the report says where",
        report("l.json").get("dead_letters"),
    )
    ok("out/deep/dead-letters.avro" in r.stdout, "so does the table", r.stdout)
    r = nightjar("run", night, "bad.avro", "-q", "-m", "roid", "-o", "null:")
    ok(os.path.exists("dead-letters.avro"), "without an output file: the working directory", r.stderr)
    # two runs in one folder, each with bad packets
    os.makedirs("shared")
    first = Running("-o", "ndjson:shared/a.ndjson").feed(tar_of("bad.avro")).opens("shared/dead-letters.avro")
    r = nightjar("run", night, "bad.avro", "-q", "-m", "roid", "-o", "ndjson:shared/b.ndjson")
    ok(
        r.returncode == 0 and os.path.exists("shared/dead-letters-2.avro"),
        "two runs in one folder: a file of letters each",
        r.stderr,
    )
    first.end()
    with open(os.path.join(os.path.dirname(__file__), "..", "..", ".gitignore")) as f:
        ok("dead-letters*.avro" in f.read().split(), "git passes over them")


def tar_of(path):
    """A tar that is not at its end yet."""
    out = io.BytesIO()
    t = tarfile.open(fileobj=out, mode="w")
    for i in range(30):  # the reader takes blocks of 20
        t.add(path, arcname=f"{i}.avro")
    return out.getvalue()


def columns_do_not_mix(night):
    for kind in KINDS:
        nightjar("run", night, "-q", "-m", "roid", "-o", f"{kind}:cols.{kind}")
        before = open(f"cols.{kind}", "rb").read()
        for m, says in [("roid,nalerthist", ""), ("nalerthist", ""), ("", "")]:
            r = nightjar("run", night, "-q", "-m", m, "-o", f"{kind}:cols.{kind}", "--append")
            ok(
                r.returncode == 3 and "same" in r.stderr,
                f"{kind}: --append of modules '{m}' to those of roid is refused",
                r.stderr,
            )
            ok(r.stderr.count("--append needs the same") == 1, f"{kind}: said once", r.stderr)
        ok(
            open(f"cols.{kind}", "rb").read() == before or kind in ("fits", "sqlite"),
            f"{kind}: the file is as it was",
        )
    r = nightjar("run", night, "-q", "-m", "roid,nalerthist", "-o", "ndjson:cols.ndjson", "--append")
    ok("nalerthist" in r.stderr and "cols.ndjson" in r.stderr, "ndjson: the column is named", r.stderr)
    meta = json.load(open("cols.ndjson.meta.json"))
    ok(len(meta["runs"]) == 1, "ndjson: the meta file is as it was", meta["runs"])
    os.remove("cols.ndjson.meta.json")
    r = nightjar("run", night, "-q", "-m", "roid,nalerthist", "-o", "ndjson:cols.ndjson", "--append")
    ok(
        r.returncode == 3 and "nalerthist" in r.stderr,
        "ndjson without its meta file: the first row says",
        r.stderr,
    )
    r = nightjar("run", night, "-q", "-m", "roid", "-o", "ndjson:cols.ndjson", "--append")
    ok(
        r.returncode == 0 and len({tuple(x) for x in rows("cols.ndjson")}) == 1,
        "and the same columns are taken",
        r.stderr,
    )
    r = nightjar("run", night, "-q", "-m", "roid", "-o", "ndjson:/dev/full")
    ok(r.stderr.count("No space left") == 1, "a full disk is said once", r.stderr)


def small_disk(night, kind, size):
    """A limit on the size of files stands in for the disk."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    return subprocess.run(
        [
            NIGHTJAR,
            "run",
            night,
            "-q",
            "-m",
            "roid,nalerthist",
            "--columns",
            "lc.mag,lc.jd",
            "-o",
            f"{kind}:full.{kind}",
            "--append",
            "--dead-letters",
            "x.avro",
        ],
        capture_output=True,
        text=True,
        restore_signals=False,
        preexec_fn=limit,
    )


def full_disk(night):
    for kind in KINDS:
        for size in [100 << 10, 150 << 10, 200 << 10, 204 << 10]:
            for start in range(5):
                r = small_disk(night, kind, size)
                ok(
                    r.returncode == 3,
                    f"{kind}, a disk of {size} bytes, start {start}: exit 3",
                    (r.returncode, r.stderr),
                )
                ok(
                    f"full.{kind}" in r.stderr,
                    f"{kind}, a disk of {size} bytes, start {start}: the file is named",
                    r.stderr,
                )
            r = small_disk(night, kind, -1)
            ok(
                r.returncode == 0 or "it cannot be continued" in r.stderr,
                f"{kind}: when there is room again, it is continued",
                (r.returncode, r.stderr),
            )
            os.remove(f"full.{kind}")


with Folder():
    nightjar("simulate", "-n", 40, "--seed", 3, "-o", "night.tar")
    two_runs("night.tar")
    one_run_twice("night.tar")
    letters_and_report("night.tar")
    columns_do_not_mix("night.tar")
    os.remove("truth.csv")
    nightjar("simulate", "-n", 600, "--seed", 3, "-o", "longer.tar")
    full_disk("longer.tar")
done()
