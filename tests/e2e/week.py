#!/usr/bin/env python3
"""A week of seven nights in one run that continues after a kill -9 each night: rotation by night,
SIGHUP twice, a disk that is full once. Seven files of each format, their journals, one ledger over all,
nothing lost or doubled.

NIGHTJAR_WEEK=N has N alerts a night (200)."""

import glob, io, json, os, shutil, signal, sqlite3, subprocess, sys, tarfile, time
from tap import NIGHTJAR, Folder, done, needs, nightjar, ok, skip

needs("fastavro")
import fastavro

N = int(os.environ.get("NIGHTJAR_WEEK", "200"))
NIGHTS = [f"2024-03-{d}" for d in range(15, 22)]
NAMES = [f"202403{d}" for d in range(14, 21)]
OUTPUTS = ["ndjson:out/week-{night}.ndjson.zst", "avro:out/week-{night}.avro", "sqlite:out/week-{night}.db"]
PATIENCE_S = 120


def packets():
    """Each night as the bytes of tar members, without the end of an archive."""
    nights = []
    for i, night in enumerate(NIGHTS):
        more = ["-n", N, "--exposures", 4, "--seed", i + 1, "-q", "--truth", "truth.csv", "--overwrite"]
        nightjar("simulate", "--night", night, *more, "-o", "one.tar")
        out = io.BytesIO()
        with tarfile.open("one.tar") as t:
            for m in (m for m in t if m.name.endswith(".avro")):
                data = t.extractfile(m).read()
                m.name = os.path.basename(m.name)
                out.write(m.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512))
        nights.append(out.getvalue())
    return nights


def start(resume, errors):
    outputs = [x for o in OUTPUTS for x in ("-o", o)]
    args = ["run", "-", "-q", "-m", "roid", *outputs, "-D", "run.site=palomar", "-D", "run.commit_ms=20"]
    args += ["-D", "run.sink_retry_s=600", *(["--resume"] if resume else [])]
    for _ in range(200):
        errors.seek(0, 2)
        at = errors.tell()
        p = subprocess.Popen(
            [NIGHTJAR, *args], stdin=subprocess.PIPE, stderr=errors, start_new_session=True, bufsize=0
        )
        time.sleep(0.2)
        errors.seek(at)
        if "another run is writing it" not in errors.read():
            return p
        p.wait()
    return p


def rows_now():
    """What the journals of the outputs say is committed, in all; they have the same."""
    least = None
    for path in glob.glob("out/week-{night}*.journal"):
        lines = open(path).read().splitlines()
        try:
            rows = json.loads(lines[-1])["rows"]
        except (ValueError, IndexError, KeyError):
            rows = 0
        least = rows if least is None else min(least, rows)
    return least or 0


def wait_for(condition, p):
    end = time.time() + PATIENCE_S
    while time.time() < end and not condition():
        if p.poll() is not None:
            return condition()
        time.sleep(0.01)
    return condition()


def feed(p, data):
    """As much as it takes: it may be killed, or refuse."""
    try:
        p.stdin.write(data)
    except BrokenPipeError:
        pass


def kill(p):
    os.killpg(p.pid, signal.SIGKILL)
    p.stdin.close()
    p.wait()


def content():
    zst = subprocess.run(["zstd", "-dcq", *sorted(glob.glob("out/*.zst"))], capture_output=True, text=True)
    found = {"ndjson": sorted(zst.stdout.splitlines())}
    avro = []
    for path in glob.glob("out/*.avro"):
        with open(path, "rb") as f:
            avro += [r["candid"] for r in fastavro.reader(f)]
    found["avro"] = sorted(avro)
    candids = []
    for path in glob.glob("out/*.db"):
        db = sqlite3.connect(path)
        candids += [c for c, in db.execute("SELECT candid FROM alerts")]
        db.close()
    found["sqlite"] = sorted(candids)
    return found


def fill(path):
    with open(path, "wb", buffering=0) as f:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    f.write(b"x" * size)
            except OSError:
                pass


def week(small_disk):
    nights = packets()
    with open("one.tar", "wb") as f:
        f.write(b"".join(nights) + bytes(1024))
    r = nightjar("run", "one.tar", "-q", "-m", "roid", "-o", "ndjson:quiet.ndjson")
    expected = sorted(open("quiet.ndjson").read().splitlines())
    ok(len(expected) == 7 * N, "an unhurried run in one file", r.stderr)
    errors = open("errors", "w+")
    full = False
    for k in range(7):
        p = start(k > 0, errors)
        for night in nights[:k]:  # the source begins again at its beginning
            feed(p, night)
        half = len(nights[k]) // 2
        feed(p, nights[k][:half])
        ok(
            wait_for(lambda: rows_now() > k * N, p),
            f"night {k + 1} is under way",
            open("errors").read()[-2000:],
        )
        if k in (2, 5):
            p.send_signal(signal.SIGHUP)
        if k == 3 and small_disk:
            fill("out/ballast")
            before = len(open("errors").read())
            feeding = os.fork()  # it takes no more than a pipe and its buffers hold
            if not feeding:
                feed(p, nights[k][half:])
                os._exit(0)
            full = wait_for(lambda: "No space left" in open("errors").read()[before:], p)
            os.remove("out/ballast")
            os.waitpid(feeding, 0)
        else:
            feed(p, nights[k][half:])
        some = k * N + N // 4
        ok(wait_for(lambda: rows_now() >= some, p), f"night {k + 1} continues", open("errors").read()[-2000:])
        kill(p)
    if small_disk:
        ok(full, "the disk was full, which is said, and it waited", open("errors").read()[-2000:])
    p = start(True, errors)
    for data in [*nights, bytes(1024)]:
        feed(p, data)
    p.stdin.close()
    ok(p.wait() == 0, "after seven kills it ends well", open("errors").read()[-2000:])
    found = content()
    ok(found["ndjson"] == expected, "ndjson.zst: every row once", len(found["ndjson"]))
    candids = sorted(json.loads(x)["candid"] for x in expected)
    ok(found["avro"] == candids, "avro: every row once", len(found["avro"]))
    ok(found["sqlite"] == candids, "sqlite: every row once", len(found["sqlite"]))
    files = sorted(
        f for f in os.listdir("out") if not f.endswith((".journal", ".meta.json")) and f.startswith("week")
    )
    wanted = sorted(f"week-{n}.{e}" for n in NAMES for e in ("ndjson.zst", "avro", "db"))
    ok(files == wanted, "seven files of each format, and no other", files)
    journals = [json.loads(open(f"out/{f}.journal").read().splitlines()[-1]) for f in files]
    ok([j["rows"] for j in journals] == len(files) * [N], "the journal of each says its rows", journals)
    ok(all(j["complete"] for j in journals), "the journal of each says that it is complete")
    r = nightjar("ledger", "out", "--json")
    one = json.loads(r.stdout) if r.returncode == 0 else [{}]
    ok(len(one) == 1, "one run over the week", r.stdout + r.stderr)
    ok(one[0].get("emitted") == 7 * N, "its ledger has all alerts", r.stdout)
    ok(one[0].get("complete") is True, "its ledger is complete", r.stdout)
    ok(sorted(f["file"] for f in one[0].get("files", [])) == wanted, "its ledger has all files", r.stdout)


if "NIGHTJAR_INSIDE" not in os.environ:  # a name space of its own, where a small disk may be mounted
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0:
        os.environ["NIGHTJAR_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "-rm", sys.executable, os.path.abspath(__file__)])
with Folder() as folder:
    if not shutil.which("zstd"):
        skip("a week", "no program zstd")
        done()
    os.mkdir("out")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", "out"]
    small = "NIGHTJAR_INSIDE" in os.environ and subprocess.run(mount, capture_output=True).returncode == 0
    week(small)
    if small:
        subprocess.run(["umount", "out"])
    else:
        skip("a full disk", "no name space in which to mount a tmpfs")
done()
