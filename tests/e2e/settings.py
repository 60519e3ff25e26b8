#!/usr/bin/env python3
"""settings.py - a wrong key or value of any module ends the run with 1 and says which, whether -m names it or not."""
import subprocess
from tap import NIGHTJAR, Folder, done, ok


def nightjar(*args):
    return subprocess.run([NIGHTJAR, *args], capture_output=True, text=True)


def refused(name, args, *words):
    r = nightjar("run", *args, "night.tar.gz")
    ok(r.returncode == 1, f"{name}: exit 1", r.returncode)
    for word in words:
        ok(word in r.stderr, f"{name}: says {word}", r.stderr)


with Folder():
    nightjar("simulate", "-n", "5", "-o", "night.tar.gz")
    listed = nightjar("modules").stdout.splitlines()
    names = [line.split()[0] for line in listed if line[:1].islower() and not line.startswith("instance ")]
    ok(len(names) > 10, "the modules are listed", listed)
    for name in names:
        refused(f"{name}, a bad key", ["-D", f"module.{name}.nokey=1"], "nokey", f"module.{name}")
    refused("one letter missing", ["-D", "module.hostless.repeat=16"], "did you mean 'repeats'?")
    refused("a bad value", ["-D", "module.hostless.repeats=many"], "repeats = many")
    refused("quiet as well", ["-q", "-D", "module.hostless.repeat=16"], "'repeat'")
    refused("-m names another", ["-m", "roid", "-D", "module.hostless.repeats=many"], "repeats = many")
    with open("bad.ini", "w") as f:
        f.write("[module.hostless]\nrepeat = 16\n")
    refused("in a file", ["-c", "bad.ini"], "bad.ini", "did you mean 'repeats'?")
    refused("a section without its module", ["-D", "module.hostlss.repeats=4"], "did you mean 'hostless'?")
    refused("taken out by a wrong name", ["-m", "-hostlss"], "did you mean 'hostless'?")
    r = nightjar("run", "-D", "module.hostless.repeats=16", "-m", "hostless", "night.tar.gz")
    ok(r.returncode == 0, "a right setting runs", r.stderr)
done()
