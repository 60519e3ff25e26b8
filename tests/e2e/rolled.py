#!/usr/bin/env python3
"""Outputs of several files, by night, hour, topic, size and age: what is in which file, also after kills.

NIGHTJAR_KILLS=N kills each of the runs N times (4), NIGHTJAR_SEED=K at other moments."""

import datetime, glob, gzip, http.client, io, json, math, os, random, shutil, signal, sqlite3
import subprocess, tarfile, time
import own_copy  # before tap
from tap import NIGHTJAR, Folder, compile_module, done, free_port, needs, nightjar, ok, skip, table_rows

needs("fastavro", "astropy", "pyarrow")
import fastavro, pyarrow.parquet
from astropy.io import fits

KILLS = int(os.environ.get("NIGHTJAR_KILLS", "4"))
rng = random.Random(int(os.environ.get("NIGHTJAR_SEED", "1")))
OFTEN = ["-D", "run.commit_ms=20", "-D", "run.flush_ms=5", "-D", "run.batch_rows=8"]
PALOMAR = ["-D", "run.site=palomar"]
NIGHTS = ["2024-03-15", "2024-03-16", "2024-03-17"]  # UTC; at Palomar it is the evening of the day before
NAMES = ["20240314", "20240315", "20240316"]


def run(*args, source=None, **more):
    return nightjar("run", *(source or [f"{d}.tar" for d in NIGHTS]), "-m", "roid", *args, **more)


def text_of(path):
    if path.endswith((".zst", ".zst.part")):
        r = subprocess.run(["zstd", "-dcq"], stdin=open(path, "rb"), capture_output=True)
        return r.stdout.decode() if r.returncode == 0 else "damaged: " + r.stderr.decode()
    if path.endswith((".gz", ".gz.part")):
        return gzip.open(path, "rt").read()
    return open(path).read()


def rows_of(path):
    """Rows as texts that sort, whatever the format."""
    plain = path.removesuffix(".part")
    if plain.endswith(".avro"):
        with open(path, "rb") as f:
            return [json.dumps(r) for r in fastavro.reader(f)]
    if plain.endswith(".parquet"):
        return list(map(repr, pyarrow.parquet.read_table(path).to_pylist()))
    if plain.endswith(".db"):
        db = sqlite3.connect(path)
        found = [repr(r) for r in db.execute("SELECT * FROM alerts")]
        db.close()
        return found
    if plain.endswith(".fits"):
        with fits.open(path) as f:
            return table_rows(f["ALERTS"].data)
    lines = text_of(path).splitlines()
    return lines[1:] if plain.endswith(".csv") else lines


def files_of(pattern):
    beside = (".journal", ".meta.json", ".lock", ".rows")
    return sorted(f for f in glob.glob(pattern) if not f.endswith(beside))


def clear():
    for name in glob.glob("out*") + glob.glob("dead-letters*"):
        os.remove(name)


def night_of(jd, longitude=-116.8597):
    noon = math.floor(jd + longitude / 360)  # a Julian day begins at noon
    return (datetime.date(1970, 1, 1) + datetime.timedelta(noon - 2440588)).strftime("%Y%m%d")


def date_and_hour(jd):
    t = datetime.datetime(1970, 1, 1) + datetime.timedelta(jd - 2440587.5)
    return t.strftime("%Y%m%d-%H")


def wrong_place(files, name_of):
    return [(f, r["jd"]) for f in files for r in map(json.loads, rows_of(f)) if name_of(r) not in f][:3]


def names():
    clear()
    r = run("-o", "ndjson:out.ndjson")
    everything = sorted(rows_of("out.ndjson"))
    ok(r.returncode == 0 and len(everything) == 900, "three nights in one file", r.stderr)
    clear()
    r = run("-o", "ndjson:out-{night}.ndjson", *PALOMAR)
    ok(
        files_of("out*") == [f"out-{n}.ndjson" for n in NAMES],
        "a file for each night",
        (os.listdir("."), r.stderr),
    )
    ok(not wrong_place(files_of("out*"), lambda a: night_of(a["jd"])), "each alert in the file of its night")
    ok(
        sorted(x for f in files_of("out*") for x in rows_of(f)) == everything,
        "together they are the one file",
    )
    last = [json.loads(open(f + ".journal").read().splitlines()[-1]) for f in files_of("out*")]
    ok([x["rows"] for x in last] == [300, 300, 300], "the journal of each says its rows", last)
    ok(
        [x["bytes"] for x in last] == [os.path.getsize(f) for f in files_of("out*")],
        "the journal of each says its bytes",
    )
    ok(all(x["complete"] for x in last), "the journal of each says that it is complete")
    columns = [c["key"] for c in json.load(open(f"out-{NAMES[0]}.ndjson.meta.json"))["columns"]]
    ok(columns == list(json.loads(everything[0])), "what the columns are stands beside each file", columns)
    left = [f for f in os.listdir(".") if f.endswith((".part", ".lock", ".new"))]
    ok(not left, "nothing else is left over", left)
    clear()
    run("-o", "ndjson:out-{night}.ndjson", "-D", "run.site=149.07,-31.27,1165")
    ok(
        not wrong_place(files_of("out*"), lambda a: night_of(a["jd"], 149.07)),
        "another site: other nights",
        os.listdir("."),
    )
    clear()
    run("-o", "ndjson:out-{date}-{hour}.ndjson", "-D", "run.open_files=2", *OFTEN)
    ok(
        not wrong_place(files_of("out*"), lambda a: date_and_hour(a["jd"])),
        "by date and hour, two files open at once: each alert in its file",
    )
    ok(
        sorted(x for f in files_of("out*") for x in rows_of(f)) == everything,
        "by date and hour: none is lost",
    )
    clear()
    topics = ["-t", "bright=mag < 19", "-t", "any=1"]
    r = run("-o", "ndjson:out-{topic}.ndjson", *topics)
    rows = [json.loads(x) for x in rows_of("out-any.ndjson")]
    bright = [json.loads(x) for x in rows_of("out-bright.ndjson")]
    ok(len(rows) == 900, "by topic: a row is in the file of each of its topics", r.stderr)
    ok(bright == [x for x in rows if x["mag"] is not None and x["mag"] < 19], "by topic: and in no other")


def sizes():
    clear()
    r = run("-o", "ndjson:out-{night}-{n}.ndjson.zst?rotate=night,4kB", *PALOMAR, *OFTEN)
    files = files_of("out*")
    ok(len(files) > 6, "rotate=4kB: several files a night", (files, r.stderr))
    ok(files[1] == f"out-{NAMES[0]}-0002.ndjson.zst", "numbers of four digits, which sort", files)
    ok(not wrong_place(files, lambda a: night_of(a["jd"])), "rotate=4kB: each alert in a file of its night")
    ok(sum(len(rows_of(f)) for f in files) == 900, "rotate=4kB: none is lost")
    every = all(json.loads(open(f + ".journal").read().splitlines()[-1])["complete"] for f in files)
    ok(every, "rotate=4kB: each file has its journal")


SELDOM = ["-D", "run.commit_ms=60000", "-D", "run.flush_ms=60000", "-D", "run.batch_rows=8"]


def sizes_between_commits():
    """How large a file is must be known before it is on disk: a busy machine commits late."""
    avro = ["-D", "sink.avro.codec=deflate", "-D", "sink.avro.block_bytes=4096"]
    for ending, kind in zip(ENDINGS, KINDS):
        clear()
        r = run("-o", f"{kind}:out-{{n}}{ending}?rotate=40kB", *SELDOM, *(avro if kind == "avro" else []))
        files = kinds(ending)
        size = [os.path.getsize(f) for f in files]
        what = (size, r.stderr)
        ok(
            len(files) > 1 and max(size) < 120_000,
            f"{ending}: files of about the size without a commit",
            what,
        )
        ok(min(size[:-1], default=0) > 10_000, f"{ending}: and not much smaller", what)
        ok(sum(len(rows_of(f)) for f in files) == 900, f"{ending}: all rows", what)


def letters_of(files):
    """Origin, record and reason of each letter."""
    found = []
    for name in files:
        with open(name, "rb") as f:
            found += [(r["origin"], r["record"], r["reason"], r["packet"]) for r in fastavro.reader(f)]
    return sorted(found)


def letters():
    """Every third packet is cut."""
    with tarfile.open(f"{NIGHTS[0]}.tar") as of, tarfile.open("bad.tar", "w") as to:
        for k, m in enumerate(x for x in of if x.isfile()):
            bytes_ = of.extractfile(m).read()
            m.size = len(bytes_) // 2 if k % 3 == 0 else len(bytes_)
            to.addfile(m, io.BytesIO(bytes_[: m.size]))
    clear()
    run("-o", "ndjson:out.ndjson", "--dead-letters", "dead-letters.avro", source=["bad.tar"])
    expected = letters_of(["dead-letters.avro"])
    ok(len(expected) == 100, "a third of a night are letters", len(expected))
    clear()
    args = ["-o", "ndjson:out.ndjson", *OFTEN, "--dead-letters", "dead-letters-{n}.avro?rotate=200kB"]
    r = run(*args, source=["bad.tar"])
    files = files_of("dead-letters*")
    ok(r.returncode == 0 and len(files) > 3, "letters in several files, by size", (files, r.stderr))
    ok(letters_of(files) == expected, "together they are the one file")
    every = [json.loads(open(f + ".journal").read().splitlines()[-1]) for f in files]
    ok(all(x["complete"] for x in every), "each has its journal", every)
    ok(sum(x["rows"] for x in every) == 100, "with the number of its letters", every)
    r = run("-o", "null:", "--dead-letters", "again.avro", source=files)
    ok(len(letters_of(["again.avro"])) == 100, "each is a source", r.stderr)
    os.remove("again.avro")
    os.remove("again.avro.journal")
    r = run("-o", "null:", *args[2:], source=["bad.tar"])
    ok(r.returncode == 1 and "dead-letters" in r.stderr, "they are not overwritten without a word", r.stderr)
    clear()
    r = run("-o", "ndjson:out.ndjson", "--dead-letters", "dead-letters-{date}.avro", source=["bad.tar"])
    today = datetime.datetime.now(datetime.timezone.utc)
    days = [f"dead-letters-{today - datetime.timedelta(d):%Y%m%d}.avro" for d in (1, 0)]
    ok(set(files_of("dead-letters*")) <= set(days), "packets of files are dated by the clock", r.stderr)
    ok(letters_of(files_of("dead-letters*")) == expected, "all of them")
    clear()
    args = ["run", "bad.tar", "-q", "-m", "roid", *args]
    t = time.time()
    nightjar(*args)
    whole, wrong = time.time() - t, []
    for _ in range(KILLS):
        clear()
        kill_after(args, rng.uniform(0.2, 1) * whole)
        wait_for_locks([*args, "--resume"])
        if letters_of(files_of("dead-letters*")) != expected:
            wrong.append(os.listdir("."))
    ok(not wrong, f"{KILLS} kills -9: each letter once", wrong)
    r = nightjar("ledger", ".")
    ok(r.returncode == 0, "the ledger reads their journals", r.stdout + r.stderr)
    clear()
    os.remove("bad.tar")


def watch_once():
    """A run, what its metrics count, what is there; and what it said if it has ended."""
    clear()
    port = free_port()
    args = [
        *(f"{d}.tar" for d in NIGHTS),
        "-m",
        "roid",
        "-o",
        "ndjson:-",
        "-o",
        "ndjson:out-{n}.ndjson?rotate=4kB",
    ]
    errors = open("errors", "w+")
    p = subprocess.Popen(
        [NIGHTJAR, "run", *args, "--metrics", f"127.0.0.1:{port}", *OFTEN],
        stdout=subprocess.PIPE, stderr=errors,
    )  # fmt: skip
    name, seen, there, until = "nightjar_output_files_finished_total", -1, 0, time.time() + 60
    while (seen <= 0 or seen != there) and time.time() < until and p.poll() is None:
        try:
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            c.request("GET", "/metrics")
            text = c.getresponse().read().decode()
            seen = sum(int(float(x.split()[-1])) for x in text.splitlines() if x.startswith(name + "{"))
        except OSError:
            time.sleep(0.05)
        there = len([f for f in files_of("out-*") if not f.endswith(".part")])
    errors.seek(0)
    return p, seen, there, (p.poll(), errors.read()[-1500:])


def watched():
    """Nobody reads standard output, so the run lasts; what is finished is counted."""
    for attempt in range(3):  # another program may take the port before the run does
        p, seen, there, why = watch_once()
        if there and seen == there:
            break
        p.kill()
        p.wait()
    ok(there > 0 and seen == there, "the metrics count the files that are finished", (seen, there, why))
    p.communicate()
    clear()


def kinds(ending):
    return [f for f in files_of("out*") if f.removesuffix(".part").endswith(ending)]


ENDINGS = [".ndjson.zst", ".ndjson.gz", ".avro", ".db", ".fits", ".parquet", ".csv"]
KINDS = ["ndjson", "ndjson", "avro", "sqlite", "fits", "parquet", "csv"]


def kill_after(args, seconds):
    p = subprocess.Popen(
        [NIGHTJAR, *args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        p.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
    err = p.communicate(timeout=120)[1].decode()
    return p.returncode, err


def size_of(path):
    """Of a file that may be renamed between two looks: then none."""
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def broken_off(args):
    """A run that is stopped when its file has rows; a busy machine may be too late for that."""
    for _ in range(100):
        clear()
        p = subprocess.Popen([NIGHTJAR, *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while p.poll() is None and not any(size_of(f) for f in glob.glob("out-*.part")):
            time.sleep(0.001)
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=120)
        there = [f for f in glob.glob("out-*.part") if os.path.getsize(f)]
        if there:
            return there[0]
    return "none"


def wait_for_locks(args):
    for _ in range(100):
        r = nightjar(*args)
        if "another run is writing it" not in r.stderr:
            return r
        time.sleep(0.05)
    return r


def by_night():
    """The rows of each format and night, of all its files, sorted."""
    return {
        (e, n): sorted(x for f in files_of(f"out-{n}*") if f.endswith(e) for x in rows_of(f))
        for e in ENDINGS
        for n in NAMES
    }


def kills(what, name, *more):
    clear()
    outputs = [x for k, e in zip(KINDS, ENDINGS) for x in ("-o", f"{k}:out-{name.replace('@', e)}")]
    args = ["run", *[f"{d}.tar" for d in NIGHTS], "-q", "-m", "roid", *outputs, *PALOMAR, *OFTEN, *more]
    t = time.time()
    r = nightjar(*args)
    whole, expected = time.time() - t, by_night()
    ok(r.returncode == 0, f"{what}: a run that is not broken off", r.stderr)
    ok(all(expected.values()), f"{what}: each format has files of each night", os.listdir("."))
    clear()
    wrong, n = [], 0
    for _ in range(20 * KILLS):
        if n == KILLS:
            break
        resume = ["--resume"] if n else []
        rc, err = kill_after([*args, *resume], rng.uniform(0.1, min(whole, 2)))
        if rc == 0:
            clear()
            n = 0
            whole *= 0.8
            continue
        n += rc == -signal.SIGKILL
        if rc != -signal.SIGKILL and "another run is writing it" not in err:
            wrong.append((rc, err))
            break
    ok(n == KILLS, f"{what}: it was killed {KILLS} times", wrong)
    r = nightjar("ledger", ".", "--json")
    ok(
        r.returncode == 0 and not json.loads(r.stdout)[0]["complete"],
        f"{what}: the ledger knows",
        r.stdout + r.stderr,
    )
    r = wait_for_locks([*args, "--resume"])
    ok(not wrong and r.returncode == 0, f"{what}: it continues to its end", (wrong, r.stderr))
    found = by_night()
    for key in expected:
        a, b = expected[key], found[key]
        ok(a == b, f"{what}: {key}: the same rows", f"{len(b)} instead of {len(a)}")
    left = [
        f for f in os.listdir(".") if f.endswith((".part", ".lock", ".new", ".undo", ".rows", "-journal"))
    ]
    ok(not left, f"{what}: no file is left unfinished", left)
    r = nightjar("ledger", ".", "--json")
    one = json.loads(r.stdout) if r.returncode == 0 else [{}]
    ok(len(one) == 1 and one[0]["complete"], f"{what}: ledger: one run, complete", r.stdout + r.stderr)
    ok(one[0].get("emitted") == 900, f"{what}: ledger: all alerts once", r.stdout)
    listed = {f["file"]: f for f in one[0].get("files", [])}
    there = [f for e in ENDINGS for f in kinds(e)]
    ok(sorted(listed) == sorted(there), f"{what}: ledger: every file", (sorted(listed), sorted(there)))
    ok(all(f["finished"] for f in listed.values()), f"{what}: ledger: every file is finished")
    of_a_format = sum(f["rows"] for f in listed.values() if f["file"].endswith(".db"))
    ok(of_a_format == 900, f"{what}: ledger: rows of files", of_a_format)


SLOW = """#include "nightjar/module.h"
#include <time.h>
static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self, (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        nanosleep(&(struct timespec){ 0, 2000000 }, 0);
        ((double *)w->out[0])[w->row[k]] = 1, w->reason[w->row[k]] = NJ_DONE;
    }
    return NJ_OK;
}
NJ_MODULE(slow) = { NJ_HEADER, .name = "slow", .version = "1.0", .summary = "waits 2 ms", .paper = "none",
    .needs = (const nj_need[]){ { "mag", NJ_F64, NJ_SCALAR, "mag", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "x", NJ_F64, 1, 0, "1", -INFINITY, INFINITY, NAN, 0, "One." }, { 0 } },
    .process = process };
"""


def lateness():
    """A night that comes back gets a file of its own: what is finished is not written again. A night lasts
    longer than some commits, since it is a commit that finishes a file."""
    clear()
    with open("slow.c", "w") as f:
        f.write(SLOW)
    slow = ["-m", "roid,slow", "--module-path", compile_module("slow.c", "slow.so")]
    source = [f"{NIGHTS[0]}.tar", f"{NIGHTS[1]}.tar", "late.tar"]
    late = ["-o", "ndjson:out-{night}.ndjson?late=0s", "-j", 1]
    r = nightjar("run", *source, *slow, *late, *PALOMAR, *OFTEN)
    again = sum(len(rows_of(f)) for f in files_of(f"out-{NAMES[0]}-*.ndjson"))
    ok(again >= 50, "late alerts: they are in a second file of the night", (os.listdir("."), r.stderr))
    total = sum(len(rows_of(f)) for f in files_of("out*"))
    ok(total == 650, "late alerts: none is lost", total)
    ok("more rows of it go to" in r.stderr, "late alerts: it is said where they go", r.stderr)
    clear()
    r = run("-o", "ndjson:out-{night}.ndjson", *PALOMAR, *OFTEN, source=source)
    ok(
        files_of("out*") == [f"out-{n}.ndjson" for n in NAMES[:2]],
        "within late=10m the file is still open",
        r.stderr,
    )
    # the names of a night stay taken by their journals when the files are elsewhere
    for f in files_of("out*"):
        os.rename(f, "kept-" + f)
    r = run("-o", "ndjson:out-{night}.ndjson", *PALOMAR, "--append", source=[f"{NIGHTS[0]}.tar"])
    ok(
        files_of("out*") == [f"out-{NAMES[0]}-2.ndjson"],
        "a file that was moved away: its name is kept",
        r.stderr,
    )
    for f in glob.glob("kept-*"):
        os.remove(f)


def a_quiet_end():
    """The last file of a night is finished although no alert comes after it."""
    clear()
    p = subprocess.Popen(
        [NIGHTJAR, "run", "-", "-q", "-m", "roid", "-o", "ndjson:out-{night}.ndjson?late=0s", *PALOMAR],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with open(f"{NIGHTS[0]}.tar", "rb") as f:
        p.stdin.write(f.read().rstrip(b"\0") + bytes(512))
    p.stdin.flush()
    there = False
    for _ in range(600):
        there = os.path.exists(f"out-{NAMES[0]}.ndjson")
        if there or p.poll() is not None:
            break
        time.sleep(0.1)
    ok(there and p.poll() is None, "a night that is over is finished while the run waits", os.listdir("."))
    p.kill()
    p.communicate()


def modes():
    clear()
    args = ["-o", "ndjson:out-{night}.ndjson.gz", *PALOMAR]
    run(*args)
    before = {f: open(f, "rb").read() for f in files_of("out*")}
    r = run(*args)
    ok(r.returncode == 1 and "--overwrite" in r.stderr, "an output that exists is refused", r.stderr)
    r = run(*args, "--resume")
    ok(r.returncode == 0 and "complete" in r.stderr, "--resume of a complete one: exit 0", r.stderr)
    r = run(*args, "--append", source=[f"{NIGHTS[0]}.tar"])
    ok(
        len(rows_of(f"out-{NAMES[0]}-2.ndjson.gz")) == 300,
        "--append: finished files stay, more come",
        r.stderr,
    )
    ok(all(open(f, "rb").read() == b for f, b in before.items()), "--append: no finished file is touched")
    r = run(*args, "--overwrite", source=[f"{NIGHTS[1]}.tar"])
    ok(len(rows_of(f"out-{NAMES[1]}.ndjson.gz")) == 300, "--overwrite: the same name again", r.stderr)
    ok(len(rows_of(f"out-{NAMES[0]}.ndjson.gz")) == 300, "--overwrite: other nights stay")
    clear()
    open(f"out-{NAMES[0]}.ndjson.gz", "w").write("somebody's\n")
    r = run(*args)
    ok(
        open(f"out-{NAMES[0]}.ndjson.gz").read() == "somebody's\n",
        "a file of another program is left alone",
        r.stderr,
    )
    ok(len(rows_of(f"out-{NAMES[0]}-2.ndjson.gz")) == 300, "and the rows have another name", os.listdir("."))


def two_writers():
    clear()
    args = ["-o", "ndjson:out-{night}.ndjson", *PALOMAR]
    os.mkfifo("out.fifo")
    p = subprocess.Popen(
        [NIGHTJAR, "run", "-", "-q", *args], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    for _ in range(200):
        if os.path.exists("out-{night}.ndjson.journal"):
            break
        time.sleep(0.05)
    r = run(*args, "--append")
    ok(r.returncode == 1 and "another run is writing it" in r.stderr, "a second writer is refused", r.stderr)
    p.kill()
    p.wait()
    r = run("-o", "ndjson:out2-{night}.ndjson", "-o", "ndjson:out2-{night}.ndjson?late=1m", *PALOMAR)
    ok(
        r.returncode == 1 and "writes it already" in r.stderr,
        "a second output of that name is refused",
        r.stderr,
    )


def refusals():
    clear()
    for spec, says in [
        ("ndjson:out-{nigt}.ndjson", "did you mean {night}"),
        ("ndjson:out-{Night}.ndjson", "did you mean {night}"),
        ("ndjson:out-{night.ndjson", "without its other half"),
        ("ndjson:out-night}.ndjson", "without its other half"),
        ("ndjson:out-{}.ndjson", "there is no {}"),
        ("ndjson:out-{n}/out.ndjson", "number of a file"),
        ("ndjson:out-{hour}.ndjson", "put {date} or {night}"),
        ("ndjson:out-{topic}.ndjson", "there are none (-t)"),
        ("ndjson:out-{night}.ndjson?rotat=1GB", "did you mean 'rotate'"),
        ("ndjson:out-{night}.ndjson?rotate=1GB", "{n} in the name"),
        ("ndjson:out-{n}.ndjson?rotate=1XB", "a size (100MB"),
        ("ndjson:out-{n}.ndjson?rotate=10B", "1 kB at least"),
        ("ndjson:out-{n}.ndjson?rotate=night", "wants {night}"),
        ("ndjson:out-{n}.ndjson?late=soon", "is no time"),
        ("ndjson:-?rotate=1h", "only files are rotated"),
        ("ndjson:nowhere/out-{night}.ndjson", "nowhere/out-{night}.ndjson.lock: cannot be written"),
        ("ndjson:out-{night}.ndjson.xz", ".xz is not written"),
        ("avro:out-{night}.avro.zst", "codec = deflate"),
        ("sqlite:out-{night}.db.gz", "in place"),
        ("fits:out-{night}.fits.gz", "no compressed files"),
        ("parquet:out-{night}.parquet.zst", "codec = zstd"),
    ]:
        r = run("-o", spec, *PALOMAR)
        ok(r.returncode == 1 and says in r.stderr, f"{spec} is refused", r.stderr)
    ok(not glob.glob("out*"), "what is refused leaves nothing behind", os.listdir("."))
    r = run("-o", "ndjson:out-{night}.ndjson")
    ok(r.returncode == 1 and "[run] site" in r.stderr, "a night without a place is refused", r.stderr)
    for site, says in [
        ("palomer", "did you mean 'palomar'"),
        ("400", "is no site"),
        ("UTC+99", "is no site"),
    ]:
        r = run("-o", "ndjson:out-{date}.ndjson", "-D", f"run.site={site}")
        ok(r.returncode == 1 and says in r.stderr, f"site {site} is refused", r.stderr)
    args = ["-q", "-o", "ndjson:out-{night}.ndjson", *OFTEN]
    part = broken_off(["run", f"{NIGHTS[0]}.tar", *args, *PALOMAR])
    r = nightjar("run", f"{NIGHTS[0]}.tar", *args, "-D", "run.site=rubin", "--resume")
    ok(r.returncode == 1 and "run.site" in r.stderr, "--resume with another site is refused", r.stderr)
    os.truncate(part, 0)
    r = nightjar("run", f"{NIGHTS[0]}.tar", *args, *PALOMAR, "--resume")
    ok(r.returncode == 1 and part in r.stderr, "a file that lost bytes is refused, by name", r.stderr)


with Folder():
    if not shutil.which("zstd"):
        skip("rotated outputs", "no program zstd")
        done()
    for i, night in enumerate(NIGHTS):
        more = ["-n", 300, "--exposures", 6, "--seed", i + 1, "-q", "--truth", "truth.csv", "--overwrite"]
        nightjar("simulate", "--night", night, *more, "-o", f"{night}.tar")
    with tarfile.open(f"{NIGHTS[0]}.tar") as old, tarfile.open("late.tar", "w") as new:
        for m in [m for m in old if m.name.endswith(".avro")][:50]:
            new.addfile(m, old.extractfile(m))
    names()
    sizes()
    sizes_between_commits()
    lateness()
    a_quiet_end()
    modes()
    two_writers()
    refusals()
    letters()
    watched()
    kills("by night", "{night}@")
    kills("by night and size", "{night}-{n}@?rotate=20kB", "--no-supervise")
    kills("by hour, few open", "{night}-{hour}@?late=0s", "-D", "run.open_files=2")
done()
