#!/usr/bin/env python3
"""Runs of one group on one host: each finds its own name in the group again when it was killed, whatever
others are there and start meanwhile. No broker is needed: a name is taken before the first contact."""

import os, re, signal, subprocess, time
import own_copy  # before tap
from tap import NIGHTJAR, Folder, done, free_port, ok

NIGHTJAR = os.path.abspath(NIGHTJAR)


class Run:
    def __init__(self, folder, *more):
        os.makedirs(folder, exist_ok=True)
        self.log = f"{folder}/log"
        source = f"kafka://127.0.0.1:{PORT}/t?group=g&from=committed"
        args = [NIGHTJAR, "run", source, "-v", "-m", "roid", "-o", "ndjson:out.ndjson", "--append", *more]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                args,
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, "XDG_RUNTIME_DIR": os.getcwd()},
                start_new_session=True,
            )
        self.name = None
        for _ in range(3000):
            found = re.search(r"member (\S+) of group", open(self.log).read())
            if found or self.process.poll() is not None:
                self.name = found and found[1]
                break
            time.sleep(0.02)

    def killed(self):
        self.process.kill()  # the supervisor; its worker dies of that
        self.process.wait()

    def ends(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


with Folder():
    PORT = free_port()
    a, b = Run("a"), Run("b")
    first = [a.name, b.name]
    ok(all(first) and first[0] != first[1], "two runs have two names", (first, open(a.log).read()))
    for turn in range(2):
        a.killed()
        b.killed()
        b, a = Run("b"), Run("a")
        names = [a.name, b.name]
        ok(names == first, f"both killed, the second is back first, {turn}: each has its own", (names, first))
    a.killed()
    c = Run("c")
    ok(c.name and c.name not in first, "a new run takes no name of one that was killed", (c.name, first))
    a = Run("a")
    ok(a.name == first[0], "which finds it when it is back", (a.name, first))
    c.ends()
    d = Run("d")
    ok(d.name == c.name, "that of a run which ended by itself is free", (d.name, c.name))
    e = Run("e", "-D", "guard.sandbox=1")  # as with --module-path
    ok(
        e.name and e.name not in (a.name, b.name, d.name),
        "a run in the sandbox has a name",
        open(e.log).read(),
    )
    for run in (a, b, d, e):
        run.ends()
done()
