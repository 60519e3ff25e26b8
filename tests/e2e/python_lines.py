#!/usr/bin/env python3
"""Hits of lines in a Python function: sys.monitoring (Python 3.12 and later) counts what sys.settrace counts,
with loops, inner functions, methods, generators, exceptions and other threads."""

import glob, json, os, shutil, subprocess, sys
from tap import ROOT, Folder, done, ok, skip

SUBJECT = """
import threading

def twice(function):
    def inner(*a):
        return function(*a)
    return inner

class Kept:
    def __init__(self, n):
        self.n = n

    @property
    def half(self):
        return self.n // 2

    @staticmethod
    def sum_of(values):
        total = 0
        for v in values:
            total += v
        return total

def some(n):
    for i in range(n):
        yield i

def fails(n):
    if n % 3 == 0:
        raise ValueError(n)
    return n

def caught(n):
    try:
        return fails(n)
    except ValueError:
        return -1

@twice
def decorated(n):
    return n + 1

def elsewhere():
    return sum(x * x for x in range(10))

def work(n):
    later = lambda x: x + 1
    squares = list(x * x for x in range(n))
    kept = Kept(n)
    total = kept.half + Kept.sum_of(squares)
    for i in some(n):
        if i % 2:
            continue
        total += caught(i) + later(i)
    made = some(3)
    next(made)
    try:
        made.throw(KeyError("stop"))
    except KeyError:
        total += decorated(1)
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    while n:
        n -= 1
    return total
"""
RUN = """
import importlib.util, json, os, sys
def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made
lines = load("lines", sys.argv[1])
subject = load("subject", os.path.abspath("subject.py"))
out = {}
for kind in (lines.Lines, lines.Monitored):
    traced = kind(os.path.abspath("subject.py"), kind.__name__ + ".txt")
    traced.start()
    try:
        answer = [subject.work(9) for _ in range(5)]
    finally:
        traced.end()
    traced.write()
    traced.out.close()
    out[kind.__name__] = [answer, sorted(traced.hits.items())]
    out[kind.__name__] += [sorted(f[0] for f in traced.functions.values())]
    out[kind.__name__] += [all(v >= 0 for v in traced.ns.values()), sorted(traced.ns) == sorted(traced.hits)]
print(json.dumps(out))
"""


def pythons():
    """Of 3.12 and later, one of each."""
    names = [sys.executable] + [shutil.which(f"python3.{n}") for n in range(12, 16)]
    names += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python")))
    found = {}
    for name in filter(None, names):
        r = subprocess.run(
            [name, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True
        )
        version = tuple(map(int, r.stdout.split())) if r.returncode == 0 else (0, 0)
        if version >= (3, 12):
            found.setdefault(version, name)
    return found


with Folder():
    with open("subject.py", "w", encoding="utf-8") as f:
        f.write(SUBJECT)
    for version, name in sorted(pythons().items()):
        which = "Python %d.%d" % version
        words = [name, "-c", RUN, f"{ROOT}/modules/python/nightjar/lines.py"]
        r = subprocess.run(words, capture_output=True, text=True, timeout=60)
        if not ok(r.returncode == 0, f"{which}: both run", r.stderr):
            continue
        got = json.loads(r.stdout)
        plain, monitored = got["Lines"], got["Monitored"]
        ok(monitored[0] == plain[0], f"{which}: the answers", got)
        differ = [x for x in plain[1] + monitored[1] if x not in plain[1] or x not in monitored[1]]
        ok(not differ and len(plain[1]) > 30, f"{which}: the same hits of every line", differ)
        ok(monitored[2] == plain[2], f"{which}: the same functions", (plain[2], monitored[2]))
        ok(monitored[3], f"{which}: no time is negative", monitored)
        ok(monitored[4], f"{which}: every line that was hit has a time", monitored)
        with open("Monitored.txt", encoding="utf-8") as f:
            ok("by sys.monitoring of Python" in f.read(), f"{which}: the table says how")
    if not pythons():
        skip("hits by sys.monitoring", "no Python 3.12 or later")
done()
