#!/usr/bin/env python3
"""Names of columns, needs, outputs, topics and instances: what nothing has is refused at the start, with a
near miss."""

import os, subprocess
from tap import ROOT, Folder, done, nightjar, ok, rows

SAMPLE = os.path.join(ROOT, "data", "sample.tar.gz")
MODULE = """#include "nightjar/module.h"
static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self, (void)thread;
    for (uint32_t i = 0; i < w->n; i++) w->reason[w->row[i]] = NJ_DONE;
    return NJ_OK;
}
NJ_MODULE(probe) = { NJ_HEADER, .name = "probe", .version = "1.0", .summary = "a test",
    .paper = "none: a test",
    .needs = (const nj_need[]){ %s { 0 } }, .gives = (const nj_give[]){ %s { 0 } },
    .params = (const nj_param[]){ { 0 } },
    .process = process };
"""


def run(*args):
    return nightjar("run", SAMPLE, "-o", "null:", *args)


def refused(name, words, *args):
    r = run(*args)
    ok(r.returncode == 1 and all(w in r.stderr for w in words), name, f"exit {r.returncode}\n{r.stderr}")


def columns():
    for path, near in [
        ("lc.magg", "'lc.mag'"),
        ("rbb", "'rb'"),
        ("roid.roit", "'roid.roid'"),
        ("hostless.verdct", "'hostless.verdict'"),
        ("hostlesss.x", "'hostless'"),
        ("objekt", "'object'"),
    ]:
        refused(f"--columns {path}", ["--columns", near], "--columns", path)
        refused(f"-w {path}", ["-w", near], "-w", f"{path} IS NULL")
        refused(f"-t {path}", ["-t mine", near], "-t", f"mine={path} IS NULL")
        refused(
            f"need.lc.mag = {path}",
            ["need.lc.mag", near],
            "-m",
            "nalerthist",
            "-D",
            f"module.nalerthist.need.lc.mag={path}",
        )
    refused(
        "a column of a module that does not run",
        ["-m +nalerthist"],
        "-m",
        "roid",
        "--columns",
        "nalerthist.n",
    )
    refused("a column of a module that is off", ["module braai is off"], "--columns", "braai.score")
    refused("a view that there is not", ["@q", "@g"], "--columns", "lc.mag@q")
    refused("an image as a column", ["an image"], "--columns", "stamp.science")
    refused("a raw path without a name", ["'packet.'"], "--columns", "packet.")
    r = run("-m", "roid", "--columns", "packet.candidate.magpsff,packet.candidate.fid,packet.nothing.of.it")
    notes = [l for l in r.stderr.splitlines() if "magpsff" in l]
    ok(
        r.returncode == 0
        and len(notes) == 1
        and "did you mean packet.candidate.magpsf?" in notes[0]
        and "packet.nothing.of.it" in notes[0],
        "raw paths that the packets lack: one note for the survey, with a near miss",
        r.stderr,
    )
    ok("packet.candidate.fid" not in r.stderr, "what the packets have is not in it", r.stderr)
    r = run("-m", "roid", "-w", "packet.candidate.rbb > 0.5")
    ok("did you mean packet.candidate.rb?" in r.stderr, "the same for a clause", r.stderr)
    r = nightjar(
        "run",
        SAMPLE,
        "-m",
        "roid",
        "-o",
        "ndjson:views.ndjson",
        "--columns",
        " lc.mag@g , lc.jd@time,packet.candidate.fid",
    )
    ok(
        r.returncode == 0 and all(k in rows("views.ndjson")[0] for k in ("lc.mag@g", "lc.jd@time")),
        "views and blanks in the list are fine",
        r.stderr,
    )


def names():
    for name in ["bad name", "Upper", "1st", "a-b", "a.b"]:
        refused(f"-t '{name}=...'", ["[a-z][a-z0-9_]*"], "-t", f"{name}=rb > 0.5")
    refused("a topic said twice", ["twice"], "-t", "a=rb > 0.5", "-t", "a=rb > 0.6")
    refused(
        "a topic of the settings said twice", ["twice"], "-c", "night", "-D", "run.topics=all supernova all"
    )
    refused("a wrong name of a ready topic in the settings", ["[a-z][a-z0-9_]*"], "-D", "topic.Big.where=1")
    for name in ["lc", "packet", "stamp", "rb"]:
        refused(f"an instance called {name} would hide columns", ["taken"], "-D", f"module.{name}.kind=roid")


GIVE = '{ "n", NJ_I32, 1, -1, "1", 0, 9, NAN, 0, "a number" },'


def compile_probe(needs, gives=GIVE, name="probe"):
    with open("probe.c", "w") as f:
        f.write((MODULE % (needs, gives)).replace("probe", name))
    return subprocess.run(
        [
            *os.environ.get("CC", "cc").split(),
            "-std=c11",
            "-fPIC",
            "-shared",
            "-DNJ_SHARED",
            "-I",
            os.path.join(ROOT, "include"),
            "-o",
            f"{name}.so",
            "probe.c",
        ],
        capture_output=True,
        text=True,
    )


def needs():
    cases = [
        (
            "a wrong unit, with both units",
            '"lc.mag", NJ_F64, NJ_SERIES, "nJy", 0',
            ["it asks nJy, lc.mag is mag"],
        ),
        (
            "a wrong unit of an optional need",
            '"lc.mag", NJ_F64, NJ_SERIES, "nJy", NJ_NEED_OPTIONAL',
            ["it asks nJy, lc.mag is mag"],
        ),
        ("a wrong unit of a view", '"lc.mag@r", NJ_F64, NJ_SERIES, "nJy", 0', ["it asks nJy, lc.mag is mag"]),
        (
            "a wrong unit of another module's output",
            '"hostless.ks_science", NJ_F64, NJ_SCALAR, "mag", 0',
            ["it asks mag", "hostless.ks_science is 1"],
        ),
        ("a wrong path", '"lc.magg", NJ_F64, NJ_SERIES, "mag", 0', ["did you mean 'lc.mag'"]),
        (
            "a wrong output of another module",
            '"roid.roit", NJ_I32, NJ_SCALAR, "1", 0',
            ["did you mean 'roid.roid'"],
        ),
        ("a wrong shape", '"lc.mag", NJ_F64, NJ_SCALAR, "mag", 0', ["one value per alert", "a series"]),
        ("a series of a scalar", '"mag", NJ_F64, NJ_SERIES, "mag", 0', ["a series", "one value per alert"]),
        ("a number of a text", '"object", NJ_F64, NJ_SCALAR, "", 0', ["a number", "text"]),
        ("a text of a number", '"mag", NJ_STR, NJ_SCALAR, "mag", 0', ["text", "a number"]),
        ("an image of a series", '"lc.mag", NJ_F32, NJ_IMAGE, "DN", 0', ["an image", "a series"]),
        ("a scalar of an image", '"stamp.science", NJ_F32, NJ_SCALAR, "DN", 0', ["image"]),
        ("a wrong image", '"stamp.scienc", NJ_F32, NJ_IMAGE, "DN", 0', ["did you mean 'stamp.science'"]),
        ("a wrong view", '"lc.mag@w", NJ_F64, NJ_SERIES, "mag", 0', ["@w", "@g"]),
    ]
    for name, need, words in cases:
        compile_probe("{ %s }," % need)
        refused(
            f"a module's need: {name}", ["module probe", *words], "--module-path", "probe.so", "-m", "probe"
        )
    compile_probe('{ "packet.candidate.sgscore9", NJ_F64, NJ_SCALAR, "1", 0 },')
    r = run("--module-path", "probe.so", "-m", "probe")
    ok(
        "packet.candidate.sgscore9 (for module probe)" in r.stderr
        and "packet.candidate.sgscore1" in r.stderr,
        "a raw path that the survey lacks: a note with the module and a near miss",
        r.stderr,
    )
    compile_probe('{ "packet.objectId", NJ_F64, NJ_SCALAR, "1", 0 },')
    r = run("--module-path", "probe.so", "-m", "probe")
    ok(
        "probe gives no answers on survey ztf" in r.stderr and "text and number" in r.stderr,
        "a raw path of another type: the reason, without -v",
        r.stderr,
    )
    compile_probe(
        '{ "lc.mag@g", NJ_F64, NJ_SERIES, "mag", 0 }, { "mag", NJ_F32, NJ_SCALAR, "mag", 0 }, '
        '{ "ra", NJ_F64, NJ_SCALAR, "rad", 0 }, { "nobody.here", NJ_STR, NJ_SCALAR, "", NJ_NEED_OPTIONAL },'
    )
    r = run("--module-path", "probe.so", "-m", "probe")
    ok(r.returncode == 0, "right needs, a linear unit and an optional one of nobody are fine", r.stderr)


def gives():
    need = '{ "mag", NJ_F64, NJ_SCALAR, "mag", 0 },'
    give = '{ "%s", NJ_I32, 1, -1, "1", 0, 9, NAN, %s, "a number" },'
    for name, gives_, words in [
        ("twice", GIVE + GIVE, ["'n' twice"]),
        ("a blank", give % ("n points", 0), ["[a-z][a-z0-9_]*"]),
        ("a capital", give % ("N", 0), ["[a-z][a-z0-9_]*"]),
        ("reason", give % ("reason", 0), ["reason"]),
        ("a base column", give % ("mag", "NJ_GIVE_CANONICAL"), ["mag"]),
    ]:
        compile_probe(need, gives_)
        refused(
            f"an output: {name}", ["module probe gives", *words], "--module-path", "probe.so", "-m", "probe"
        )
    compile_probe(need)
    os.makedirs("one"), os.makedirs("two")
    os.link("probe.so", "one/probe.so"), os.link("probe.so", "two/probe.so")
    refused(
        "two shared objects of one name",
        ["two modules are called probe", "one/probe.so", "two/probe.so"],
        "--module-path",
        "one",
        "--module-path",
        "two",
        "-m",
        "probe",
    )
    compile_probe(need, GIVE, "roid")
    r = run("--module-path", "roid.so", "-m", "roid")
    ok(
        r.returncode == 0 and "replaces the built-in one" in r.stderr,
        "a shared object may replace a built-in module",
        r.stderr,
    )


if __name__ == "__main__":
    with Folder():
        columns()
        names()
        if compile_probe("").returncode == 0:
            needs()
            gives()
    done()
