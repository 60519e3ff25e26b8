#!/usr/bin/env python3
"""What counts is on the disk: every output and the dead letters are synced before the end, and a file that is
removed, replaced or cut under the run is noticed."""

import io, os, shutil, subprocess, tarfile, threading, time
from tap import NIGHTJAR, SANITIZED, Folder, done, nightjar, ok, skip

KINDS = ["ndjson", "avro", "fits", "sqlite", "parquet"]

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void note(int fd)
{
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    int log = open(getenv("SYNC_LOG"), O_WRONLY | O_APPEND | O_CREAT, 0666);
    if (n > 0 && log >= 0) {
        path[n] = '\n';
        if (write(log, path, n + 1) < 0) abort();
    }
    close(log);
}
int fdatasync(int fd)
{
    note(fd);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
int fsync(int fd)
{
    note(fd);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
"""


def packets(night):
    with tarfile.open(night) as t:
        return [(m.name, t.extractfile(m).read()) for m in t if m.name.endswith(".avro")]


def synced(night):
    """Every file that counts, by a library that sees the calls."""
    if SANITIZED:
        return skip("which files are synced", "a preloaded library and a sanitizer do not go together")
    open("shim.c", "w").write(SHIM)
    if subprocess.run(["cc", "-shared", "-fPIC", "-o", "shim.so", "shim.c", "-ldl"]).returncode:
        return skip("which files are synced", "no compiler")
    os.mkdir("in")
    for name, data in packets(night)[:20]:
        open(os.path.join("in", os.path.basename(name)), "wb").write(data)
    open("in/bad.avro", "wb").write(b"Obj\1 this is none")
    outputs = [x for k in KINDS for x in ("-o", f"{k}:out.{k}")]
    for durable in (1, 0):
        log = os.path.abspath(f"log{durable}")
        r = nightjar(
            "run",
            "in",
            "-q",
            "-m",
            "roid",
            *outputs,
            "--overwrite",
            "--dead-letters",
            "letters.avro",
            "-D",
            f"run.durable={durable}",
            env={"LD_PRELOAD": os.path.abspath("shim.so"), "SYNC_LOG": log},
        )
        ok(r.returncode == 0, f"durable = {durable}: the run", r.stderr)
        seen = open(log).read() if os.path.exists(log) else ""
        for name in [f"out.{k}" for k in KINDS] + ["out.parquet.rows", "letters.avro"]:
            path = os.path.join(os.path.realpath(os.getcwd()), name)
            ok((path + "\n" in seen) == bool(durable), f"durable = {durable}: {name} is synced or not", seen)
        ok(
            ("a power cut" in r.stderr) != bool(durable),
            f"durable = {durable}: what it means is reported",
            r.stderr,
        )


class Fed:
    """A run that reads a tar from its standard input, packet by packet."""

    def __init__(self, *args):
        self.p = subprocess.Popen(
            [NIGHTJAR, "run", "-", "-q", "-m", "roid", "-j", "1", "-D", "run.flush_ms=20", *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self.err = b""
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        self.tar = tarfile.open(fileobj=self.p.stdin, mode="w|", bufsize=512)

    def read(self):
        self.err = self.p.stderr.read()

    def feed(self, packets):
        try:
            for name, data in packets:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                self.tar.addfile(info, io.BytesIO(data))
                self.p.stdin.flush()
        except BrokenPipeError:
            pass

    def feed_until_it_ends(self, packets):
        for k in range(200):
            if self.p.poll() is not None:
                break
            self.feed([(f"again{k}/{n}", d) for n, d in packets[:20]])
            time.sleep(0.05)
        return self.end()

    def end(self):
        try:
            self.tar.close()
            self.p.stdin.close()
        except (BrokenPipeError, ValueError):
            pass
        self.p.wait(60)
        self.reader.join()
        return self.p.returncode, self.err.decode()


def remove(path):
    os.remove(path)


def move(path):
    os.rename(path, path + ".1")


def replace(path):
    shutil.copy(path, path + ".2")
    os.rename(path + ".2", path)


def cut(path):
    os.truncate(path, 100)


def remove_folder(path):
    shutil.rmtree(os.path.dirname(path))


def gone(night):
    all_of_them = packets(night)
    for kind in KINDS:
        for how in (remove, move, replace, cut, remove_folder):
            if kind == "sqlite" and how is cut:
                continue  # SQLite's own file has no end that only grows
            path = f"{how.__name__}.{kind}"
            if how is remove_folder:
                os.mkdir(kind)
                path = f"{kind}/{path}"
            grows = path + ".rows" if kind == "parquet" else path
            r = Fed("-o", f"{kind}:{path}", "--dead-letters", "unused.avro", "--append")
            r.feed(all_of_them)
            for _ in range(300):
                if r.p.poll() is not None or (os.path.exists(grows) and os.path.getsize(grows) > 4096):
                    break
                time.sleep(0.05)
            time.sleep(0.2)
            how(path if how is move else grows)
            rc, err = r.feed_until_it_ends(all_of_them)
            ok(rc == 3, f"{kind}: {how.__name__} under the run: exit 3", (rc, err))
            ok(path in err, f"{kind}: {how.__name__} under the run: the file is named", err)
            ok("; waiting" not in err, f"{kind}: {how.__name__} under the run: nothing is waited for", err)


with Folder():
    nightjar("simulate", "-n", 300, "--seed", 3, "-o", "night.tar")
    synced("night.tar")
    gone("night.tar")
done()
