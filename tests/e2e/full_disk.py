#!/usr/bin/env python3
"""A disk that is full, read-only or missing for a while: every output waits, and is then what an
uninterrupted run writes. Without room in time the run ends with exit code 3 and accounts that are true, and
--resume continues from there.
"""

import io, os, shutil, sqlite3, subprocess, sys, tarfile, threading, time
from tap import NIGHTJAR, Folder, done, needs, nightjar, ok, report, rows, said_until, skip, table_rows

needs("fastavro", "astropy", "pyarrow")
import fastavro, pyarrow.parquet
from astropy.io import fits

N = 120
# Stands before the calls that write into FULL_FOLDER: after FULL_AFTER bytes there is no room (FULL_ERROR)
# until the file FULL_ROOM is there. cfitsio writes by calls that cannot be replaced, but only where room was
# asked for.
DISK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
static int no_room(int fd, long n)
{
    static _Atomic long used;
    char link[64], path[4096];
    const char *folder = getenv("FULL_FOLDER"), *room = getenv("FULL_ROOM");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t got = folder ? readlink(link, path, sizeof path - 1) : -1;
    if (got < 0) return 0;
    path[got] = 0;
    if (strncmp(path, folder, strlen(folder)) || !access(room, F_OK)) return 0;
    if (used + n > atol(getenv("FULL_AFTER"))) return errno = atoi(getenv("FULL_ERROR")), 1;
    used += n;
    return 0;
}
ssize_t write(int fd, const void *b, size_t n)
{
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    return no_room(fd, n) ? -1 : real(fd, b, n);
}
ssize_t pwrite(int fd, const void *b, size_t n, off_t at)
{
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) real = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
    return no_room(fd, n) ? -1 : real(fd, b, n, at);
}
ssize_t pwrite64(int fd, const void *b, size_t n, off_t at) { return pwrite(fd, b, n, at); }
int fallocate(int fd, int mode, off_t at, off_t n)
{
    static int (*real)(int, int, off_t, off_t);
    if (!real) real = (int (*)(int, int, off_t, off_t))dlsym(RTLD_NEXT, "fallocate");
    return no_room(fd, n) ? -1 : real(fd, mode, at, n);
}
"""
SINKS = {
    "ndjson": ("ndjson", "roid,nalerthist", "candid,lc.jd,lc.flux"),
    "avro": ("avro", "roid,nalerthist", "candid,lc.jd,lc.flux"),
    "sqlite": ("sqlite", "roid,nalerthist", "candid,lc.jd,lc.flux"),
    "parquet": ("parquet", "roid,nalerthist", "candid,lc.jd,lc.flux"),
    "fits": ("fits", "roid,nalerthist,features", "candid,mag,ra,dec"),
    "fits with series": ("fits", "roid,nalerthist", "candid,lc.jd,lc.flux"),
}
OFTEN = ["-D", "run.commit_ms=5", "-D", "run.flush_ms=2", "-D", "run.batch_rows=8", "-j", "1"]


def content(kind, path):
    """What a reader finds, in order."""
    if kind == "ndjson":
        return rows(path)
    if kind == "avro":
        with open(path, "rb") as f:
            return list(fastavro.reader(f))
    if kind == "parquet":
        return pyarrow.parquet.read_table(path).to_pylist()
    if kind == "sqlite":
        with sqlite3.connect(path) as db:
            return list(map(repr, db.execute("SELECT * FROM alerts")))
    with fits.open(path) as f:
        return table_rows(f["ALERTS"].data)


def letters(path):
    with open(path, "rb") as f:
        return [(r["reason"], r["packet"]) for r in fastavro.reader(f)]


def arguments(sink, folder, *more):
    kind, modules, columns = SINKS[sink]
    return [
        *("run", "night.tar", "-q", "-m", modules, "--columns", columns, "-o", f"{kind}:{folder}/out"),
        *("--dead-letters", f"{folder}/dead.avro", "--report", "run.json", *OFTEN, *more),
    ]


def start(args, env=None, stdin=None):
    return subprocess.Popen(
        [NIGHTJAR, *args],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )


def empty(folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)


def ended_well(what, sink, folder, rc, said, expected):
    kind = SINKS[sink][0]
    ok(rc == 0, f"{what}: the run ends well", said)
    ok(content(kind, f"{folder}/out") == expected[0], f"{what}: the output is that of an uninterrupted run")
    ok(letters(f"{folder}/dead.avro") == expected[1], f"{what}: so are the dead letters")


def plain_run(sink):
    empty("plain")
    nightjar(*arguments(sink, "plain"))
    size = sum(os.path.getsize(f"plain/{f}") for f in os.listdir("plain"))
    return (content(SINKS[sink][0], "plain/out"), letters("plain/dead.avro")), size


def refused(sink, after, error, expected, words):
    """Full after so many bytes; when the run says that it waits, there is room."""
    what = f"{sink}, {words} after {after} bytes"
    empty("full")
    for f in ("room", "run.json"):
        if os.path.exists(f):
            os.remove(f)
    env = {
        "LD_PRELOAD": os.path.abspath("disk.so"),
        "FULL_FOLDER": os.path.abspath("full"),
        "FULL_ROOM": os.path.abspath("room"),
        "FULL_AFTER": str(after),
        "FULL_ERROR": str(error),
    }
    child = start(arguments(sink, "full"), env)
    said = said_until(child, "; waiting")
    ok(f"{words}; waiting" in said, f"{what}: the run says what it waits for", said)
    with open("room", "wb"):
        pass
    said += child.stderr.read()
    ended_well(what, sink, "full", child.wait(), said, expected)
    return env


def too_long(sink, after, env, expected):
    """No room in time: exit code 3, and what the accounts say is what the files have; --resume does the
    rest."""
    what = f"{sink}, no room within run.sink_retry_s"
    empty("full")
    os.remove("room")
    env["FULL_AFTER"] = str(after)
    r = nightjar(*arguments(sink, "full", "-D", "run.sink_retry_s=0.2"), env=env)
    ok(r.returncode == 3, f"{what}: exit code 3", (r.returncode, r.stderr))
    ok("No space left on device" in r.stderr or "disk is full" in r.stderr, f"{what}: the reason", r.stderr)
    ok(report("run.json")["ledger"]["closed"], f"{what}: the ledger closes", report("run.json")["ledger"])
    r = nightjar(*arguments(sink, "full", "--resume"))
    ended_well(f"{what}, then --resume", sink, "full", r.returncode, r.stderr, expected)


def small_disk():
    """A real one: tmpfs, in a name space of its own."""
    os.mkdir("small")
    if subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "small"], capture_output=True
    ).returncode:
        return skip("a small disk", "no name space in which to mount a tmpfs")
    script = (
        f'mount -t tmpfs -o size=4m none small && exec "{sys.executable}" "{os.path.abspath(__file__)}"'
        ' inside'
    )
    child = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)
    for line in child.stdout.splitlines():
        verdict, _, name = line.partition(" - ")
        if name:
            ok(verdict.startswith("ok"), name, child.stdout + child.stderr)
    return ok(child.returncode == 0, "a small disk was tried", child.stdout + child.stderr)


def inside():
    for sink in SINKS:
        expected, _ = plain_run(sink)
        empty("small/d")
        with open("small/filler", "wb") as f:
            try:
                for _ in range(1024):
                    f.write(b"x" * 4096)
                    f.flush()
            except OSError:
                pass
            f.truncate(os.path.getsize("small/filler") - 40960)
        child = start(arguments(sink, "small/d"))
        said = said_until(child, "; waiting")
        ok("No space left on device; waiting" in said, f"{sink}, a small disk: it waits", said)
        os.remove("small/filler")
        said += child.stderr.read()
        ended_well(f"{sink}, a small disk", sink, "small/d", child.wait(), said, expected)


def feed(child, text):
    try:
        child.stdin.buffer.write(text)
        child.stdin.buffer.close()
    except BrokenPipeError:
        pass


def folder_away(sink, expected, back):
    """The folder is moved away when half of the alerts are written, and comes back, or does not."""
    what = f"{sink}, its folder is missing" + ("" if back else " for too long")
    shutil.rmtree("away", ignore_errors=True)
    empty("full")
    more = ["-D", "run.batch_rows=1", "-D", f"run.sink_retry_s={60 if back else 0.2}"]
    child = start(["run", "-", *arguments(sink, "full", *more)[2:]], stdin=subprocess.PIPE)
    with open("night.tar", "rb") as f:
        night = f.read()
    half = len(night) // 1024 * 512
    child.stdin.buffer.write(night[:half])
    child.stdin.buffer.flush()
    grows = "full/out.rows" if SINKS[sink][0] == "parquet" else "full/out"
    while not os.path.exists(grows) or os.path.getsize(grows) < 15000:
        time.sleep(0.01)
    os.rename("full", "away")
    rest = threading.Thread(target=feed, args=(child, night[half:]))  # it blocks while the run waits
    rest.start()
    said = said_until(child, "; waiting") if back else ""
    if back:
        ok("; waiting" in said, f"{what}: it waits", said)
        os.rename("away", "full")
    said += child.stderr.read()
    rc = child.wait()
    rest.join()
    if back:
        return ended_well(what, sink, "full", rc, said, expected)
    ok(rc == 3, f"{what}: exit code 3", (rc, said))
    return ok(report("run.json")["ledger"]["closed"], f"{what}: the ledger closes", report("run.json"))


def main():
    with Folder():
        nightjar("simulate", "-q", "-n", N, "--seed", 5, "-o", "night.tar")
        with tarfile.open("night.tar", "a") as t:
            for k in range(3):
                info = tarfile.TarInfo(f"bad{k}.avro")
                info.size = 9000
                t.addfile(info, io.BytesIO(b"no packet " * 900))
        with open("disk.c", "w", encoding="utf-8") as f:
            f.write(DISK)
        subprocess.run(["cc", "-w", "-O1", "-fPIC", "-shared", "disk.c", "-o", "disk.so", "-ldl"], check=True)
        for sink in SINKS:
            expected, size = plain_run(sink)
            other = (
                (122, "Disk quota exceeded") if SINKS[sink][0] != "fits" else (30, "Read-only file system")
            )
            full = (28, "No space left on device")
            for after, error, words in ((0, *full), (size // 2, *full), (size * 3 // 4, *other)):
                env = refused(sink, after, error, expected, words)
            too_long(sink, size // 2, {**env, "FULL_ERROR": "28"}, expected)
            folder_away(sink, expected, True)
        folder_away("ndjson", None, False)
        small_disk()
    done()


if sys.argv[1:] == ["inside"]:
    inside()
    done()
main()
