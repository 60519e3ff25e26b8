#!/usr/bin/env python3
"""An allocation that fails, each in turn: no crash, no hang, and exit code 0 only with all that the run was
asked for.

NIGHTJAR_MALLOC_STEP=N tries every N-th (1 = all: some minutes), NIGHTJAR_MALLOC_FIRST=K begins at the K-th;
the default is a sample that ends soon, another one for each seed of NIGHTJAR_SEED."""

import os, re, subprocess, threading
from tap import ROOT, SANITIZED, Folder, done, nightjar, ok, rows, skip

SAMPLE = 160  # runs by default
NIGHTJAR = os.path.join(
    os.environ.get("NIGHTJAR_BUILD", os.path.join(ROOT, "build", "release")), "nightjar-pieces"
)
JOBS = os.cpu_count() or 1

RUN = [
    "run",
    "-j",
    "1",
    "-m",
    "nalerthist,roid,features,hostless,lookup_cats",
    "--columns",
    "lc.mag,packet.candidate.fid",
    "-w",
    "mag < 99",
    "-t",
    "bright=mag < 30",
    "-D",
    "run.private_topics=1",
    "-D",
    "run.dedup=100",
    "-D",
    "run.flush_ms=60000",
    "--overwrite",
    "-c",
    "cats.ini",
]
FILES = ["out.ndjson", "out.avro", "out.fits", "out.parquet", "out.csv"]


def build():
    library = os.path.abspath("failing_malloc.so")
    r = subprocess.run(
        [
            os.environ.get("CC", "cc").split()[-1],
            "-shared",
            "-fPIC",
            "-O1",
            "-Wall",
            "-Wextra",
            "-o",
            library,
            os.path.join(ROOT, "tests", "e2e", "failing_malloc.c"),
            "-ldl",
        ],
        capture_output=True,
        text=True,
    )
    return library if ok(r.returncode == 0, "the library that lets an allocation fail", r.stderr) else None


def attempt(library, folder, at):
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    outputs = [
        f"ndjson:{folder}/out.ndjson",
        f"avro:{folder}/out.avro",
        f"fits:{folder}/out.fits",
        f"parquet:{folder}/out.parquet",
        f"csv:{folder}/out.csv",
        f"sqlite:{folder}/out.db",
    ]
    sinks = [x for spec in outputs for x in ("-o", spec)]
    env = {
        **os.environ,
        "LD_PRELOAD": library,
        "FAIL_AT": str(at),
        "FAIL_COUNT": f"{folder}/count",
        "FAIL_WHERE": f"{folder}/where",
        "OMP_WAIT_POLICY": "passive",
    }
    try:
        r = subprocess.run(
            [
                NIGHTJAR,
                *RUN,
                "night.tar",
                *sinks,
                "--dead-letters",
                f"{folder}/dead.avro",
                "--report",
                f"{folder}/r.json",
            ],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
            env=env,
        )
    except subprocess.TimeoutExpired:
        return "hangs", ""
    return r.returncode, r.stderr


def commands(library):
    """Commands without an account: an error with exit code 1, or all of the answer."""
    with open("sky.csv", "w", encoding="ascii") as f:
        f.write("id,ra,dec,mag\n" + "".join(f"{k},{k},{k / 2},{15 + k / 10}\n" for k in range(50)))
    for args in (
        ["compare", "whole/r.json", "whole/r.json"],
        ["catalog", "build", "sky.csv", "-o", "sky.njx", "-q"],
    ):
        env = {**os.environ, "LD_PRELOAD": library, "FAIL_COUNT": "n"}
        whole = subprocess.run([NIGHTJAR, *args], capture_output=True, text=True, env=env, timeout=60)
        with open("n", encoding="ascii") as f:
            n = int(f.read(), 16)
        wrong = []
        for k in numbers(n, 60):
            r = subprocess.run(
                [NIGHTJAR, *args],
                capture_output=True,
                text=True,
                timeout=60,
                env={**env, "FAIL_AT": str(k), "FAIL_WHERE": "where"},
            )
            if r.returncode not in (0, whole.returncode) and not (
                0 < r.returncode < 6 and "nightjar" in r.stderr
            ):
                wrong.append(f"{k}: exit code {r.returncode} in {where('.')}: {r.stderr[-200:]}")
            elif r.returncode == whole.returncode == 0 and r.stdout != whole.stdout:
                wrong.append(f"{k}: another answer in {where('.')}")
        ok(not wrong, f"nightjar {args[0]}: some of {n} allocations failing", "\n".join(wrong[:20]))


def avro_rows(data):
    """Rows of an Avro file, over all of its blocks: a run that is held up between two alerts writes more
    blocks, of the same rows."""
    rows_, sync = 0, data[-16:]
    for block in data.split(sync)[1:-1]:
        raw = shift = 0
        for byte in block:  # the count: a zigzag number of seven bits a byte
            raw |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        rows_ += raw >> 1
    return rows_


def content(folder):
    text = {}
    for name in FILES:
        with open(f"{folder}/{name}", "rb") as f:
            text[name] = f.read()
    return (
        text["out.ndjson"],
        avro_rows(text["out.avro"]),
        len(text["out.fits"]),
        text["out.parquet"],
        text["out.csv"],
        os.path.exists(f"{folder}/r.json"),
    )


def where(folder):
    try:
        with open(f"{folder}/where", encoding="ascii") as f:
            address = [hex(int(line, 16) - 1) for line in f]
    except OSError:
        return "(it was not reached)"
    r = subprocess.run(
        ["addr2line", "-f", "-p", "-s", "-e", NIGHTJAR, *address], capture_output=True, text=True
    )
    return " < ".join(
        re.sub(r" \(discriminator.*", "", line) for line in r.stdout.splitlines()
    ) or " < ".join(address)


def verdict(folder, rc, stderr, want):
    """What is wrong with a run, or None."""
    if rc == "hangs" or rc < 0 or rc > 5:
        return f"exit code {rc}"
    if rc == 0:
        return None if content(folder) == want else "exit code 0 without all of the output"
    return None if "nightjar" in stderr else f"exit code {rc} without a word"


def numbers(n, sample=SAMPLE):
    step = int(os.environ.get("NIGHTJAR_MALLOC_STEP", "0")) or max(1, n // sample)
    first = (
        int(os.environ.get("NIGHTJAR_MALLOC_FIRST", "0"))
        or 1 + int(os.environ.get("NIGHTJAR_SEED", "0")) % step
    )
    return list(range(first, n + 1, step))


def each(library, todo, want):
    bad, lock, left = [], threading.Lock(), list(reversed(todo))

    def work(name):
        while True:
            with lock:
                if not left:
                    return
                k = left.pop()
            rc, stderr = attempt(library, name, k)
            wrong = verdict(name, rc, stderr, want)
            if wrong:
                with lock:
                    bad.append(f"allocation {k}: {wrong}; it was asked for in {where(name)}\n{stderr[-300:]}")

    threads = [threading.Thread(target=work, args=(f"job{i}",)) for i in range(JOBS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return bad


def test():
    library = build()
    if not library:
        return
    nightjar("simulate", "-q", "-n", 20, "-o", "night.tar", "--truth", "t.csv")
    with open("cats.csv", "w", encoding="ascii") as f:
        f.write("candid,kind,value\n1,a,0.5\n2,b,1.5\n")
    with open("cats.ini", "w", encoding="ascii") as f:
        f.write("[module.lookup_cats]\nkind = lookup\nfile = cats.csv\nkey = candid\n")
    rc, stderr = attempt(library, "whole", 0)
    want = content("whole") if rc == 0 else None
    if not ok(
        want and len(rows("whole/out.ndjson")) == want[1] == 20,
        "a run of 20 alerts",
        f"{stderr}\n{want and want[1]} rows of Avro",
    ):
        return
    with open("whole/count", encoding="ascii") as f:
        n = int(f.read(), 16)
    todo = numbers(n)
    bad = each(library, todo, want)
    ok(
        not bad,
        f"{len(todo)} of {n} allocations failing, one a run: no crash, no hang, no wrong exit code",
        f"{len(bad)} of them wrong\n" + "\n".join(sorted(bad)[:40]),
    )
    commands(library)


if SANITIZED:
    skip("allocations that fail", "the sanitizer has its own allocator")
else:
    with Folder():
        test()
done()
