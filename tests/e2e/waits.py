#!/usr/bin/env python3
"""Outputs that cannot be written for a while: a reader's lock, a full disk, a full pipe. They wait, and no
row is lost."""

import os, shutil, sqlite3, subprocess, sys, threading, time
from tap import NIGHTJAR, Folder, done, nightjar, ok, report, rows, said_until, skip

N = 200


def start(*args, **more):
    return subprocess.Popen(
        [NIGHTJAR, "run", "night.tar.gz", "-j", "1", "-m", "nalerthist", *args],
        stderr=subprocess.PIPE,
        text=True,
        **{"stdout": subprocess.DEVNULL, **more},
    )


def count(path):
    return sqlite3.connect(path).execute("SELECT count(*) FROM alerts").fetchone()[0]


def a_reader_keeps_its_lock():
    nightjar("run", "night.tar.gz", "-m", "nalerthist", "-o", "sqlite:a.db", "-q")
    reader = sqlite3.connect("a.db")
    cursor = reader.execute("SELECT * FROM alerts")
    cursor.fetchone()
    child = start("--append", "-o", "sqlite:a.db", "--report", "a.json")
    said = said_until(child, "waiting")
    ok(
        "a.db" in said and "keeps it locked; waiting" in said,
        "a reader's open SELECT: the run says what it waits for",
        said,
    )
    ok(child.poll() is None, "and continues")
    cursor.close()
    reader.close()
    said = child.stderr.read()
    ok(child.wait() == 0, "it ends well when the reader is gone", said)
    ok("continues after" in said, "which is reported", said)
    ok(count("a.db") == 2 * N, "every row is there once", count("a.db"))

    reader = sqlite3.connect("a.db")
    cursor = reader.execute("SELECT * FROM alerts")
    cursor.fetchone()
    child = start("--append", "-o", "sqlite:a.db", "--report", "b.json")
    said_until(child, "waiting")
    child.terminate()
    said = child.stderr.read()
    ok(child.wait() in (3, 130), "SIGTERM while it waits: the run ends", said)
    ledger = report("b.json")["ledger"]
    ok(ledger["closed"], "with a ledger that closes", ledger)
    cursor.close()
    ok(
        count("a.db") == 2 * N + ledger["emitted"],
        "and that says what is in the file",
        (count("a.db"), ledger),
    )


def a_full_disk():
    """In a name space of its own, where a small tmpfs may be mounted."""
    os.mkdir("small")
    if subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "small"], capture_output=True
    ).returncode:
        return skip("a full disk", "no name space in which to mount a tmpfs")
    child = subprocess.run(
        [
            "unshare",
            "-rm",
            "sh",
            "-c",
            (
                f'mount -t tmpfs -o size=200k none small && exec "{sys.executable}"'
                f' "{os.path.abspath(__file__)}" inside'
            ),
        ],
        capture_output=True,
        text=True,
    )
    for line in child.stdout.splitlines():
        verdict, _, name = line.partition(" ")
        ok(verdict == "yes", name, child.stderr)
    ok(child.returncode == 0, "a full disk was tried", child.stdout + child.stderr)


def inside():
    """Prints "yes NAME" or "no NAME" a line."""
    say = lambda good, name: print("yes" if good else "no", name)
    with open("small/filler", "wb") as f:
        f.write(b"x" * 150000)
    child = start("-o", "ndjson:small/o.ndjson", "--columns", "candid,lc.jd,lc.flux", "--report", "full.json")
    said = said_until(child, "waiting")
    say("No space left on device; waiting" in said, "a full disk: the run says what it waits for")
    os.remove("small/filler")
    subprocess.run(["mount", "-o", "remount,size=100m", "small"], check=True)
    child.stderr.read()
    say(child.wait() == 0, "with room again it ends well")
    say(len({r["candid"] for r in rows("small/o.ndjson")}) == N, "every row is there")
    say(len(rows("small/o.ndjson")) == N, "once")
    with open("small/o.ndjson", "wb"):
        pass
    subprocess.run(["mount", "-o", "remount,size=100k", "small"], check=True)
    child = start(
        "-o",
        "ndjson:small/p.ndjson",
        "--columns",
        "candid,lc.jd,lc.flux",
        "--report",
        "end.json",
        "-D",
        "run.sink_retry_s=0.3",
    )
    said = child.stderr.read()
    say(child.wait() == 3, "no room within run.sink_retry_s: exit code 3")
    say("small/p.ndjson: cannot be written: No space left on device" in said, "with the file and the reason")
    say(report("end.json")["ledger"]["closed"], "and a ledger that closes")


def a_full_pipe():
    """Standard output that does not block: the reader is slow, and gets all."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    child = start("-o", "ndjson:-", "--columns", "candid,lc.jd,lc.flux", stdout=write)
    os.close(write)
    text = b""
    time.sleep(0.3)
    with os.fdopen(read, "rb") as f:
        while piece := f.read1(65536):
            text += piece
    said = child.stderr.read()
    ok(child.wait() == 0, "a pipe that is full and does not block: the run ends well", said)
    ok(text.count(b'"candid"') == N, "every row came through", text.count(b'"candid"'))


def main():
    with Folder():
        nightjar("simulate", "--alerts", N, "--seed", 5, "-o", "night.tar.gz")
        a_reader_keeps_its_lock()
        a_full_disk()
        a_full_pipe()
    done()


if sys.argv[1:] == ["inside"]:
    inside()
else:
    main()
