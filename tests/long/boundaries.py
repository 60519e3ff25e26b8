#!/usr/bin/env python3
"""kill -9 between any two system calls that change an output: before each write, sync, rename, cut and
removal, and in the middle of each write. Behind each kill --resume gives what an uninterrupted run gives, and
so it does when the resumed run is killed as well.

  tests/long/boundaries.py [--only ndjson,sqlite,...] [--step N] [--alerts N]

--step N takes every N-th moment. Speaks TAP. tests/e2e/kill_at.c does the kills, by ptrace."""

import argparse, glob, gzip, io, json, os, random, re, shutil, sqlite3, subprocess, sys, tarfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import own_copy
from tap import NIGHTJAR, ROOT, Folder, done, needs, nightjar, ok, skip, table_rows

needs("fastavro", "astropy", "pyarrow")
import fastavro, pyarrow.parquet
from astropy.io import fits

NIGHTJAR = os.path.abspath(NIGHTJAR)
OFTEN = ["-D", "run.commit_ms=0", "-D", "run.flush_ms=1", "-D", "run.batch_rows=8"]
OFTEN += ["-D", "run.site=palomar", "-D", "sink.parquet.row_group_bytes=6000"]
SINKS = {
    "ndjson": ["ndjson:out.ndjson"],
    "packed": ["ndjson:out.gz"],
    "csv": ["csv:out.csv"],
    "sqlite": ["sqlite:out.db"],
    "avro": ["avro:out.avro"],
    "fits": ["fits:out.fits"],
    "series": ["fits:out.fits", "--columns", "lc.mag"],
    "parquet": ["parquet:out.parquet"],
    "packets": ["packets:out-{schema}.avro"],
    "archive": ["archive:out"],
    "hats": ["hats:out"],
    "rolled": ["ndjson:out-{night}-{n}.ndjson?rotate=6kB"],
    "tree": ["parquet:out/?by=night"],
    "two": ["ndjson:out.ndjson", "-o", "sqlite:out.db"],
}
KEPT = (".journal", ".meta.json", ".lock", ".part", ".undo", ".rows")
opts = None


def command(sink):
    bad = ["--dead-letters", "dead.avro"]
    return [NIGHTJAR, "run", "../night.tar", "-q", "-j", "1", "-m", "roid", "-o", *SINKS[sink], *bad, *OFTEN]


def rows_of(path):
    """What a reader finds in a file, as texts; None: it is no table."""
    name = os.path.basename(path)
    if name.endswith(KEPT) or name.startswith(("_", "properties", "hats.properties", "partition_info")):
        return None
    if name.endswith((".ndjson", ".csv")):
        return open(path).read().splitlines()
    if name.endswith(".gz"):
        return gzip.open(path, "rt").read().splitlines()
    if name.endswith(".avro"):
        return [repr(r) for r in fastavro.reader(open(path, "rb"))]
    if name.endswith(".fits"):
        with fits.open(path) as f:
            return table_rows(f["ALERTS"].data)
    if name.endswith(".parquet"):
        return list(map(repr, pyarrow.parquet.read_table(path, partitioning=None).to_pylist()))
    if name == "out.db":
        db = sqlite3.connect(path)
        found = list(map(repr, db.execute("SELECT * FROM alerts")))
        db.close()
        return found
    return None


def content(folder):
    """Rows of all files, by the file's kind: a resumed run may begin the next file of several elsewhere."""
    found = {}
    for path in sorted(glob.glob(f"{folder}/**", recursive=True)):
        rows = rows_of(path) if os.path.isfile(path) else None
        if rows is not None:
            kind = re.sub(r"\d+", "N", os.path.relpath(path, folder))
            found[kind] = sorted(found.get(kind, []) + rows)
    if os.path.isdir(f"{folder}/out") and glob.glob(f"{folder}/out/*.db"):  # an archive: read as a source
        r = nightjar("run", f"{folder}/out", "-q", "-m", "roid", "-j", "1", "-o", "ndjson:-")
        found["archive"] = sorted(r.stdout.splitlines()) if r.returncode == 0 else [r.stderr]
    return found


def left_over(folder):
    """Files that a complete run has no use for."""
    return [p for p in glob.glob(f"{folder}/**", recursive=True) if p.endswith((".part", ".undo", ".new"))]


def ledger_of(folder):
    r = nightjar("ledger", folder, "--json")
    keys = ("emitted", "dead", "rows", "complete")
    return r.returncode, [{k: x.get(k) for k in keys} for x in json.loads(r.stdout)]


def kill_at(folder, n, how, args):
    """Its end in words: what was not done; None: the run ended before."""
    r = subprocess.run(["./kill_at", folder, str(n), how, *args], capture_output=True, text=True, timeout=300)
    if r.returncode == 125:
        raise PermissionError("processes cannot be traced here")
    said = r.stderr.strip().splitlines()[-1]
    return said if r.returncode == 137 else None, r


def resume(folder, args):
    return subprocess.run([*args, "--resume"], cwd=folder, capture_output=True, text=True, timeout=300)


def clear(folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)


def judge(r, expected, wrong, moment):
    if r.returncode:
        wrong.append((moment, r.returncode, r.stderr[-600:]))
        return
    found = content("run")
    for kind in sorted(set(found) | set(expected[0])):
        a, b = expected[0].get(kind), found.get(kind)
        if a != b:
            wrong.append((moment, kind, "rows", len(b or []), "instead of", len(a or []), r.stderr[-300:]))
    if left_over("run"):
        wrong.append((moment, left_over("run")))
    if ledger_of("run") != expected[1]:
        wrong.append((moment, "the ledger", ledger_of("run"), expected[1]))


def trial(sink):
    args = command(sink)
    clear("run")
    r = subprocess.run(args, cwd="run", capture_output=True, text=True)
    expected = content("run"), ledger_of("run")
    ok(r.returncode == 0 and any(expected[0].values()), f"{sink}: an uninterrupted run", (r.stderr, expected))
    for how in ("before", "half"):
        n, at, wrong, calls = 0, random.randrange(opts.step) + 1, [], []
        while True:
            clear("run")
            said, r = kill_at("run", at, how, args)
            if not said:
                break
            calls.append(said)
            judge(resume("run", args), expected, wrong, said)
            n, at = n + 1, at + opts.step
        ok(r.returncode == 0, f"{sink}: traced to its end", r.stderr)
        ok(n > 0, f"{sink}: it was killed", n)
        print(f"# {sink}: {how}: {n} kills", flush=True)
        ok(not wrong, f"{sink}: killed {how} a call, then resumed", "\n".join(map(str, wrong[:6])))
    twice(sink, args, expected, len(calls) * opts.step // 2)


def twice(sink, args, expected, middle):
    """The run that resumes is killed, too."""
    n, at, wrong, said = 0, random.randrange(opts.step) + 1, [], True
    while said:
        clear("run")
        first, _ = kill_at("run", middle, "half", args)
        said, r = kill_at("run", at, "half", [*args, "--resume"])
        if said:
            judge(resume("run", args), expected, wrong, f"{first}; {said}")
            n, at = n + 1, at + opts.step
        elif r.returncode:
            wrong.append((first, r.returncode, r.stderr))
    print(f"# {sink}: resumed: {n} kills", flush=True)
    ok(not wrong, f"{sink}: killed while it resumes", "\n".join(map(str, wrong[:6])))


def members_of(path):
    with tarfile.open(path) as t:
        return [(m, t.extractfile(m).read()) for m in t]


def make_tar(path, members):
    with tarfile.open(path, "w") as t:
        for m, data in members:
            t.addfile(m, io.BytesIO(data))


def other_source():
    """The first output has its commit and the second has not: a source that is another one by now is refused,
    although the run would begin at its beginning."""
    args, at, said = command("two"), 0, True
    while said:
        at += 1
        clear("run")
        said, _ = kill_at("run", at, "before", args)
        journal = "run/out.ndjson.journal"
        if said and " out.db" in said and os.path.exists(journal) and '"offset"' in open(journal).read():
            break
    ok(said, "killed between the commits of two outputs", said)
    whole = members_of("night.tar")
    for what, members, words in (
        ("shorter", whole[:3], "is shorter than it was"),
        ("in another order", whole[::-1], "is not what it was"),
    ):
        shutil.copytree("run", "again")
        make_tar("night.tar", members)
        r = resume("again", args)
        ok(
            r.returncode == 2 and words in r.stderr,
            f"a source that is {what} is refused",
            (r.returncode, r.stderr),
        )
        shutil.rmtree("again")
    make_tar("night.tar", whole)
    r = resume("run", args)
    ok(r.returncode == 0, "as it was it is taken", r.stderr)


def make_night():
    r = nightjar("simulate", "-n", opts.alerts, "--seed", 5, "-q", "-o", "good.tar")
    ok(r.returncode == 0, "a night", r.stderr)
    members = []
    for i, m in enumerate(members_of("good.tar")):
        members.append(m)
        if i % 10 == 4:
            bad = tarfile.TarInfo(f"bad{i}.avro")
            bad.size = 400
            members.append((bad, b"Obj\x01" + bytes([i]) * 396))
    make_tar("night.tar", members)


def main():
    global opts
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--only", default=",".join(SINKS))
    p.add_argument("--step", type=int, default=1)
    p.add_argument("--alerts", type=int, default=40)
    p.add_argument("--seed", type=int)
    opts = p.parse_args()
    random.seed(opts.seed)
    with Folder():
        source = os.path.join(ROOT, "tests", "e2e", "kill_at.c")
        subprocess.run(["cc", "-O1", "-D_GNU_SOURCE", "-o", "kill_at", source], check=True)
        make_night()
        for sink in opts.only.split(","):
            try:
                trial(sink)
                if sink == "two":
                    other_source()
            except PermissionError as why:
                skip(sink, str(why))


main()
done()
