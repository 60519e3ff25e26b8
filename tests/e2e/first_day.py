#!/usr/bin/env python3
"""The first day of who writes a module: install to a prefix, a new module away from the repository in C and
in C++, and all that new-module prints is run there: check, compile, columns, run, profile, diff, bench."""

import os, re, shutil, subprocess
from tap import ROOT, SANITIZED, Folder, done, ok, skip


def run(*words, env=None, timeout=600):
    return subprocess.run(words, capture_output=True, text=True, env=env, timeout=timeout)


def shell(line, env):
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=env, timeout=600)


def install():
    prefix = os.path.abspath("prefix")
    # -o: what other tests use meanwhile is installed as it is, even if a source has changed since
    r = run("make", "-C", ROOT, "-s", "-o", "nightjar", "install", f"PREFIX={prefix}")
    if not ok(r.returncode == 0, "make install PREFIX=…", r.stdout + r.stderr):
        return None
    for name in (
        "bin/nightjar",
        "include/nightjar/module.h",
        "lib/libnightjar-kit.a",
        "lib/pkgconfig/nightjar.pc",
    ):
        ok(os.path.exists(f"{prefix}/{name}"), f"it has {name}")
    docs = f"{prefix}/share/doc/nightjar"
    dead = []
    for folder, _, names in os.walk(docs):
        for name in names:
            if not name.endswith(".md"):
                continue
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                for link in re.findall(r"\]\(([^)#:]+\.md)[^)]*\)", f.read()):
                    if not os.path.exists(os.path.join(folder, link)):
                        dead.append((os.path.relpath(os.path.join(folder, name), docs), link))
    ok(not dead, "and every guide that an installed guide links to", dead)
    return prefix


def commands(text):
    """The commands that new-module prints, a line each."""
    text = text.replace("\\\n", " ")
    return [line.strip().split("#")[0].strip() for line in text.splitlines() if line.startswith("  ")]


def a_module(env, name, *options):
    r = run("nightjar", "new-module", name, *options, env=env)
    if not ok(r.returncode == 0, f"new-module {name} {' '.join(options)}", r.stderr):
        return
    todo = commands(r.stdout)
    ok(len(todo) == 6, "it prints what comes next", r.stdout)
    ok(all(len(line) <= 100 for line in r.stdout.splitlines()), "in lines of a terminal", r.stdout)
    for line in todo:
        line = line.replace("ALERTS", "night.tar")
        if "profile" in line:
            line += " --repeat 2"
        if "bench" in line:
            line += " --seconds 0.01"
        r = shell(line, env)
        ok(r.returncode == 0, line, r.stdout + r.stderr)
        if "nightjar run" in line:
            got = [x for x in r.stdout.splitlines() if f'"{name}.range":' in x]
            ok(len(got) == 60, "its column is in every row", r.stdout[:300])
        if "bench" in line:
            ok(f"\n{name} " in r.stdout, "bench times it", r.stdout)
        if "modules" in line:
            ok("min_points" in r.stdout, "its setting is listed", r.stdout)


def a_change(env):
    """Another version: diff says which answers differ and what it costs."""
    with open("mine.c", encoding="utf-8") as f:
        text = f.read()
    with open("mine2.c", "w", encoding="utf-8") as f:
        f.write(
            text.replace('"0.1"', '"0.2"').replace(
                "nj_put_f64(w, RANGE, row, hi - lo);", "nj_put_f64(w, RANGE, row, 2 * (hi - lo));"
            )
        )
    r = shell(
        "cc -std=c11 -O2 -g -fPIC -shared -DNJ_SHARED $(pkg-config --cflags nightjar) mine2.c -o mine2.so "
        "$(pkg-config --libs nightjar) && nightjar diff mine.so mine2.so night.tar --rounds 1",
        env,
    )
    ok(
        r.returncode == 0 and "mine.range: " in r.stdout,
        "diff names the column that changed",
        r.stdout + r.stderr,
    )


def bench(env):
    r = run("nightjar", "bench", "roid", "--seconds", "0.01", env={**env, "NIGHTJAR_SHARED": "/nonexistent"})
    ok(
        r.returncode == 0 and "500 simulated alerts" in r.stdout,
        "bench without packets simulates some",
        r.stdout + r.stderr,
    )
    r = run("nightjar", "bench", "modules", "night.tar", "--seconds", "0.01", env=env)
    ok(r.returncode == 0 and "runs of 60 alerts" in r.stdout, "bench takes any source", r.stdout + r.stderr)
    for words, says in (
        (["roids"], "did you mean 'roid'"),
        (["kernels", "roid"], "a subject or a module, not both"),
        (["mine.so", "mine2.so"], "one module at a time"),
    ):
        r = run("nightjar", "bench", *words, "--seconds", "0.01", env=env)
        ok(r.returncode == 1 and says in r.stderr, f"bench {' '.join(words)}: {says}", r.stdout + r.stderr)
    r = run("nightjar", "bench", "modules", "nothing.tar", "--seconds", "0.01", env=env)
    ok(r.returncode == 1 and "nothing.tar" in r.stderr, "a file that is not there", r.stderr)
    shutil.copy("night.tar", "empty.tar")
    with open("empty.tar", "wb") as f:
        f.write(b"\0" * 10240)
    r = run("nightjar", "bench", "modules", "empty.tar", "--seconds", "0.01", env=env)
    ok(
        r.returncode == 3 and "no packets in empty.tar" in r.stdout + r.stderr,
        "a source without packets",
        r.stdout + r.stderr,
    )


def uninstall(prefix):
    """All that was installed goes, and nothing else."""
    mine = f"{prefix}/share/doc/mine.txt"
    with open(mine, "w", encoding="utf-8") as f:
        f.write("of another program\n")
    r = run("make", "-C", ROOT, "-s", "-o", "nightjar", "uninstall", f"PREFIX={prefix}")
    left = [os.path.join(folder, name) for folder, _, names in os.walk(prefix) for name in names]
    ok(r.returncode == 0 and left == [mine], "make uninstall PREFIX=…", (r.stdout + r.stderr, left[:5]))
    ok(not os.path.exists(f"{prefix}/include"), "and empty folders", os.listdir(prefix))


if SANITIZED:
    skip("the first day", "it is of the release build")
else:
    with Folder():
        prefix = install()
        if prefix:
            env = {
                **os.environ,
                "PATH": f"{prefix}/bin:" + os.environ["PATH"],
                "PKG_CONFIG_PATH": f"{prefix}/lib/pkgconfig",
            }
            r = run("nightjar", "simulate", "-q", "-n", "60", "-o", "night.tar", env=env)
            ok(r.returncode == 0, "a night of 60 alerts", r.stderr)
            a_module(env, "mine")
            a_module(env, "cxxmine", "--cxx")
            a_change(env)
            bench(env)
            uninstall(prefix)
done()
