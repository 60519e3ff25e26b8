#!/usr/bin/env python3
"""A run that is killed again and again, and continues with --resume, writes what an uninterrupted one writes.

NIGHTJAR_KILLS=N kills each of the runs N times (6), NIGHTJAR_SEED=K at other moments (a number of its own
each time when it is "random")."""

import gzip, json, os, random, shutil, signal, sqlite3, subprocess, sys, tarfile, time
import own_copy  # before tap
from tap import NIGHTJAR, Folder, done, needs, nightjar, ok, table_rows

needs("fastavro", "astropy", "pyarrow")
import fastavro, pyarrow.parquet
from astropy.io import fits

KILLS = int(os.environ.get("NIGHTJAR_KILLS", "6"))
SEED = os.environ.get("NIGHTJAR_SEED", "1")
rng = random.Random(None if SEED == "random" else int(SEED))
FILES = ["out.ndjson", "out.db", "out.avro", "out.fits", "out.parquet", "out.csv"]
KINDS = ["ndjson", "sqlite", "avro", "fits", "parquet", "csv"]
OUTPUTS = [x for kind, path in zip(KINDS, FILES) for x in ("-o", f"{kind}:{path}")]
PACKED = ["-o", "ndjson:out.gz", "-o", "ndjson:out.zst"]
OFTEN = ["-D", "run.commit_ms=20", "-D", "run.flush_ms=5", "-D", "run.batch_rows=8"]
OFTEN += ["-D", "sink.parquet.row_group_bytes=30000"]


def command(source, *more):
    return ["run", *source, "-q", "-m", "roid,nalerthist", *OUTPUTS, *PACKED, *OFTEN, *more]


def alerts_of(letters):
    with open(letters, "rb") as f:
        return sorted((r["origin"], r["record"], r["packet"]) for r in fastavro.reader(f))


def content():
    """What readers find in each output, sorted."""
    found = {}
    with open("out.ndjson") as f:
        found["ndjson"] = sorted(f)
    with open("out.csv") as f:
        found["csv"] = sorted(f)
    with gzip.open("out.gz", "rt") as f:
        found["gzip"] = sorted(f)
    if shutil.which("zstd"):
        r = subprocess.run(["zstd", "-dcq", "out.zst"], capture_output=True, text=True)
        found["zstd"] = sorted(r.stdout.splitlines(True)) if r.returncode == 0 else [r.stderr]
    db = sqlite3.connect("out.db")
    found["sqlite"] = sorted(map(repr, db.execute("SELECT * FROM alerts")))
    db.close()
    with open("out.avro", "rb") as f:
        found["avro"] = sorted(json.dumps(r) for r in fastavro.reader(f))
    with fits.open("out.fits") as f:
        found["fits"] = sorted(table_rows(f["ALERTS"].data))
    table = pyarrow.parquet.read_table("out.parquet")
    found["parquet"] = sorted(map(repr, table.to_pylist()))
    if os.path.exists("dead-letters.avro"):
        found["letters"] = alerts_of("dead-letters.avro")
    return found


def clear():
    for name in os.listdir("."):
        if name.startswith(("out.", "dead-letters")):
            os.remove(name)


def kill_after(args, seconds, how):
    p = subprocess.Popen(
        [NIGHTJAR, *args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        p.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, how)
    err = p.communicate(timeout=120)[1].decode()
    return p.returncode, err


def broken_off(source):
    """A run that got SIGINT after its first commit and before its end; False when it ended first fifty
    times."""
    for _ in range(50):
        clear()
        p = subprocess.Popen(
            [NIGHTJAR, *command(source)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while p.poll() is None and '"offset"' not in journal():
            time.sleep(0.001)
        if p.poll() is None:
            os.killpg(p.pid, signal.SIGINT)
        p.wait(120)
        if '"offset"' in journal() and '"complete"' not in journal():
            return True
    return False


def journal():
    """The text of the journal of out.ndjson, empty when there is none yet."""
    try:
        with open("out.ndjson.journal") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def wait_for_locks(args):
    """The kernel takes a moment to end all threads of a process that was killed."""
    for _ in range(100):
        r = nightjar(*args)
        if "another run is writing it" not in r.stderr:
            return r
        time.sleep(0.05)
    return r


def interrupted(source, more, how=signal.SIGKILL):
    """KILLS kills at random moments, then to the end. The errors that were seen, and the last run."""
    clear()
    t = time.time()
    r = nightjar(*command(source, *more))
    whole, expected = time.time() - t, (r.returncode, content())
    clear()
    wrong, kills = [], 0
    for k in range(20 * KILLS):
        if kills == KILLS:
            break
        resume = ["--resume"] if k else []
        rc, err = kill_after(command(source, *more, *resume), rng.uniform(0, min(whole, 2) / 2), how)
        if rc in (0, expected[0]) and os.path.exists("out.ndjson"):
            clear()  # it was quicker: once more from the beginning
            continue
        kills += rc == -how or how != signal.SIGKILL
        if rc not in (-how, 130) and "another run is writing it" not in err:
            wrong.append((rc, err))
        if rc == 130 and "error" in err:
            wrong.append((rc, err))
    r = wait_for_locks(command(source, *more, "--resume"))
    print(f"# {kills} kills", flush=True)
    return wrong, r, expected


def same(name, source, *more, how=signal.SIGKILL):
    wrong, r, (rc, expected) = interrupted(source, more, how)
    ok(not wrong, f"{name}: no run said that something is wrong", wrong)
    ok(r.returncode == rc, f"{name}: the last one ends as an uninterrupted one", (r.returncode, r.stderr))
    found = content()
    ok(found.keys() == expected.keys(), f"{name}: the same files", (found.keys(), expected.keys()))
    for kind in expected:
        a, b = expected[kind], found.get(kind, [])
        ok(
            a == b,
            f"{name}: {kind}: the same rows",
            f"{len(b)} instead of {len(a)}, {len(set(map(str, b)))} different",
        )


def refusals(night):
    clear()
    rc, err = kill_after(command([night], "--no-supervise"), 60, signal.SIGKILL)
    ok(rc == 0, "a run that is not broken off", err)
    before = {f: open(f, "rb").read() for f in FILES}
    r = nightjar(*[a for a in command([night], "--resume") if a != "-q"])
    ok(r.returncode == 0, "--resume of complete outputs: exit 0", r.stderr)
    ok("complete" in r.stderr, "--resume of complete outputs: it is said", r.stderr)
    ok(before == {f: open(f, "rb").read() for f in FILES}, "--resume of complete outputs: nothing is touched")
    last = open("out.ndjson.journal").read().splitlines()[-1]
    ok(json.loads(last).get("complete") is True, "the journal says that it is complete", last)

    ok(broken_off([night]), "a run over an archive is broken off")
    r = nightjar(*command([night], "-D", "run.dedup=5", "--resume"))
    ok(r.returncode == 1, "another configuration is refused", r.stderr)
    ok("run.dedup = 5" in r.stderr, "another configuration: the difference is shown", r.stderr)
    r = nightjar(*[a.replace("roid,nalerthist", "roid") for a in command([night], "--resume")])
    ok(r.returncode == 1, "other modules are refused", r.stderr)
    ok("nalerthist" in r.stderr, "other modules: they are named", r.stderr)
    r = nightjar(*command([night]))
    ok(
        r.returncode == 1 and "exists" in r.stderr,
        "without --resume the files are as protected as ever",
        r.stderr,
    )
    os.remove("out.avro.journal")
    r = nightjar(*command([night], "--resume"))
    ok(r.returncode == 1, "a file without its journal is refused", r.stderr)
    ok("out.avro: has no journal" in r.stderr, "a file without its journal is named", r.stderr)
    ok(broken_off([night]), "and once more")
    os.truncate("out.ndjson", 10)
    r = nightjar(*command([night], "--resume"))
    ok(r.returncode == 1, "a file that lost bytes is refused", r.stderr)
    ok("out.ndjson: has 10 bytes" in r.stderr, "a file that lost bytes is named", r.stderr)
    r = nightjar("run", night, "-q", "-o", "null:", "--resume")
    ok(r.returncode == 1 and "journal" in r.stderr, "outputs without a journal cannot be resumed", r.stderr)
    clear()
    r = nightjar(*[a for a in command([night], "--resume") if a != "-q"])
    ok(r.returncode == 0, "--resume where nothing is yet: a run from the beginning", r.stderr)
    ok("does not exist yet" in r.stderr, "--resume where nothing is yet: it is said", r.stderr)
    clear()
    db = sqlite3.connect("out.db")  # as a run leaves it that was killed before it had made its tables
    db.execute("PRAGMA user_version = 1")
    db.close()
    r = nightjar(*command([night], "--resume"))
    ok(
        r.returncode == 0 and os.path.getsize("out.db") > 8192,
        "--resume with a database without tables",
        r.stderr,
    )


def other_orders(night):
    """The same lines of a configuration, and yet another one."""
    clear()
    args = ["run", night, "-q", "-m", "roid", "-o", "csv:out.csv", "--columns"]
    nightjar(*args, "lc.jd,lc.mag")
    r = nightjar(*args, "lc.mag,lc.jd", "--resume")
    ok(r.returncode == 1 and "another order" in r.stderr, "columns in another order are refused", r.stderr)
    r = nightjar(*[a for a in args if a != "-q"], "lc.jd,lc.mag", "--resume")
    ok(r.returncode == 0 and "nothing to resume" in r.stderr, "in the same order they are not", r.stderr)
    r = nightjar("run", night, *args[1:], "lc.jd,lc.mag", "--resume")
    ok(r.returncode == 1 and "another order" in r.stderr, "a source that is given twice is refused", r.stderr)


def long_paths(night):
    """Two sources whose paths are alike in their first 300 bytes are two."""
    folder = os.path.join(*["a-folder-with-a-name-that-is-rather-long-for-a-folder"] * 6)
    os.makedirs(folder)
    other = os.path.join(folder, "other.tar.gz")
    nightjar("simulate", "-n", 300, "--seed", 8, "-o", other)
    shutil.copy(night, os.path.join(folder, "night.tar.gz"))
    same("long paths", [os.path.join(folder, "night.tar.gz"), other])


def ledger(night):
    """One run over all its restarts, from any of its outputs; and from the folder."""
    r = nightjar("ledger", ".", "--json")
    one = [x for x in json.loads(r.stdout)] if r.returncode == 0 else []
    ok(len(one) == 1, "ledger: six outputs of one run", r.stdout + r.stderr)
    ok(one[0]["emitted"] == len(open("out.ndjson").readlines()), "ledger: over all restarts", r.stdout)
    ok(one[0]["complete"], "ledger: complete", r.stdout)
    for name in FILES + ["out.avro.journal"]:
        r = nightjar("ledger", name)
        ok(str(one[0]["emitted"]) in r.stdout, f"ledger {name}", r.stdout + r.stderr)
    r = nightjar("ledger", night)
    ok(r.returncode == 2 and "no journal" in r.stderr, "ledger of what is no output: exit 2", r.stderr)


def committed():
    """The rows that the journals of all outputs have."""
    found = []
    for path in ("out.ndjson.journal", "out.avro.journal"):
        try:
            found.append(json.loads(open(path).read().splitlines()[-1])["rows"])
        except (OSError, ValueError, IndexError, KeyError):
            found.append(0)
    return min(found)


def wait_for(rows, p):
    while p.poll() is None and committed() < rows:
        time.sleep(0.001)


def two_kinds_of_ends(night):
    """A run that was killed continues, and then its worker dies: the ledger has what all of them did."""
    outputs = ["-o", "ndjson:out.ndjson", "-o", "avro:out.avro"]
    args = [NIGHTJAR, "run", night, "-q", "-m", "roid", *outputs, *OFTEN]
    both = False
    for _ in range(30):
        clear()
        p = subprocess.Popen(args, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_for(50, p)
        os.killpg(p.pid, signal.SIGKILL)
        if p.wait() != -signal.SIGKILL:
            continue
        before = committed()
        wait_for_locks(["ledger", "."])
        time.sleep(0.3)
        p = subprocess.Popen([*args, "--resume"], stderr=subprocess.PIPE, text=True, start_new_session=True)
        wait_for(before + 50, p)
        children = f"/proc/{p.pid}/task/{p.pid}/children"
        worker = open(children).read().split() if os.path.exists(children) else []
        if worker:
            os.kill(int(worker[0]), signal.SIGSEGV)
        err = p.communicate(timeout=120)[1]
        if "the worker died" in err and p.returncode == 0:
            both = True
            break
    ok(both, "a run was killed, continued, lost its worker, and came to its end", err)
    r = nightjar("ledger", ".", "--json")
    one = json.loads(r.stdout)[0] if r.returncode == 0 else {}
    rows = len(open("out.ndjson").readlines())
    ok(rows == 900, "each row is there once", rows)
    ok(one.get("emitted") == 900, "ledger: over the killed run and both workers", r.stdout + r.stderr)


def another_source(night):
    ok(broken_off(["changing"]), "a run over a folder is broken off")
    shutil.copy(os.path.join("changing", sorted(os.listdir("changing"))[-1]), "changing/000.avro")
    r = nightjar(*command(["changing"], "--resume"))
    ok(
        r.returncode == 2,
        "a folder with another file in front is no longer the same source",
        (r.returncode, r.stderr),
    )
    ok("is not what it was" in r.stderr, "which is reported", r.stderr)


def raw_types(night):
    """A packet decides the type of a raw column: a run that is broken off before its first one, and one that
    finds none when it continues, know it as well."""
    source, more = [night], ["--columns", "packet.candidate.distnr", "-j", "1"]
    clear()
    r = nightjar(*command(source, *more))
    ok(r.returncode == 0, "a raw column: a run", r.stderr)
    expected = content()
    clear()
    os.mkfifo("pipe.tar")
    p = subprocess.Popen([NIGHTJAR, *command(["pipe.tar"], *more)], stderr=subprocess.PIPE, text=True)
    with open("pipe.tar", "wb"):
        while p.poll() is None and not os.path.exists("out.parquet"):
            time.sleep(0.01)
        time.sleep(0.2)
        p.send_signal(signal.SIGINT)
        err = p.communicate(timeout=120)[1]
    os.remove("pipe.tar")
    shutil.copy(night, "pipe.tar")
    ok(p.returncode == 130, "Ctrl-C before the first packet", (p.returncode, err))
    r = nightjar(*command(["pipe.tar"], *more, "--resume"))
    ok(r.returncode == 0, "Ctrl-C before the first packet, --resume", r.stderr)
    ok(content() == expected, "Ctrl-C before the first packet, --resume: the same rows")
    for path in FILES:  # as a kill leaves it between its last rows and the word that they are all
        if path == "out.db":
            continue
        with open(f"{path}.journal", "r+") as f:
            text = f.read().replace('"complete":true,', "")
            f.seek(0)
            f.truncate()
            f.write(text)
    r = nightjar(*command(["pipe.tar"], *more, "--resume"))
    ok(r.returncode == 0, "a resumed run that finds no more packets", r.stderr)
    ok(content() == expected, "a resumed run that finds no more packets: the same rows")
    ok('"complete":true' in journal(), "and then they are complete", journal()[-300:])


with Folder():
    nightjar("simulate", "-n", 900, "--seed", 3, "-o", "night.tar.gz")
    os.mkdir("folder")
    os.mkdir("changing")
    with tarfile.open("night.tar.gz") as t:
        packets = [(os.path.basename(m.name), t.extractfile(m).read()) for m in t if m.name.endswith(".avro")]
    for i, (name, data) in enumerate(packets):
        with open(os.path.join("folder", name), "wb") as f:
            f.write(data)
        for k in range(5):  # enough of them that a run takes longer than its first commit
            with open(os.path.join("changing", f"part{k}-{name}"), "wb") as f:
                f.write(data)
        if i % 7 == 0:
            with open(os.path.join("folder", f"{name}.bad.avro"), "wb") as f:
                f.write(b"Obj\1 no alert: %d" % i)
    same("tar.gz", ["night.tar.gz"])
    same("tar.gz with series", ["night.tar.gz"], "--columns", "lc.mag,lc.jd")
    same("folder with bad packets", ["folder"], "-w", "mag < 19.5")
    same("one process", ["night.tar.gz"], "--no-supervise")
    ledger("night.tar.gz")
    two_kinds_of_ends("night.tar.gz")
    same("Ctrl-C", ["folder"], how=signal.SIGINT)
    long_paths("night.tar.gz")
    refusals("night.tar.gz")
    other_orders("night.tar.gz")
    another_source("night.tar.gz")
    raw_types("night.tar.gz")
done()
