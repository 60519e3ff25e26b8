#!/usr/bin/env python3
"""Wrong names and settings: each stops the run with exit code 1, its own name and a near miss."""

import os, re
from tap import ROOT, Folder, done, nightjar, ok

SAMPLE = os.path.join(ROOT, "data", "sample.tar.gz")
# Columns that only the gate of hostless reads: without it a wrong one is not looked at. The second model of a
# module, when the first one is not here.
FREE = {"matches", "tns", "model_for_r"}


def run(*args, **how):
    return nightjar("run", SAMPLE, "-o", "null:", *args, **how)


def refused(name, words, *args, **how):
    """Exit 1, nothing written, and every one of the words in the message."""
    r = run(*args, **how)
    ok(r.returncode == 1 and all(w in r.stderr for w in words), name, f"exit {r.returncode}\n{r.stderr}")


def misspelt(word):
    return word[:-1] + "zq" if len(word) > 3 else word + "q"


def default_modules():
    """Instances of the default set, with the settings of each as `nightjar modules NAME` prints them."""
    found = {}
    for line in nightjar("modules").stdout.splitlines()[1:]:
        name = line.split()[0]
        one = nightjar("modules", name).stdout
        table = one[one.index("\nsettings [") :].splitlines()[2:]
        found[name] = [re.match(r"  (\S+) += ", row).group(1) for row in table]
    return found


def unlike_any():
    """A key that resembles none: the message lists what there is."""
    refused(
        "[run]: no such key",
        ["-D: [run] has no key 'thred'; there are batch_rows, "],
        "-q",
        "-D",
        "run.thred=2",
    )
    refused(
        "[models]: no such key", ["[models] has no key 'xyz'; there are path"], "-q", "-D", "models.xyz=2"
    )


def modules():
    found = default_modules()
    ok(
        len(found) > 20 and "hostless" in found and "adapt_ztf" in found,
        "the default modules are found in `nightjar modules`",
        found,
    )
    for name, keys in found.items():
        key = misspelt(keys[0]) if keys else "no_such_key"
        hint = [f"did you mean '{keys[0]}'"] if keys and len(keys[0]) > 3 else []
        refused(
            f"{name}: a wrong key, with -q",
            [f"[module.{name}] has no key '{key}'", *hint],
            "-q",
            "-D",
            f"module.{name}.{key}=1",
        )
        refused(
            f"{name}: a wrong survey",
            ["no survey 'ztg'", "did you mean 'ztf'"],
            "-q",
            "-D",
            f"module.{name}.surveys=ztg",
        )
        for key in keys:
            if key not in FREE:
                refused(
                    f"{name}: a wrong value of {key}", [name, key], "-q", "-D", f"module.{name}.{key}=@wrong@"
                )


def where_it_is_said():
    open("a.ini", "w").write("[module.hostless]\nrepeat = 4\n")
    refused(
        "a wrong key of a default module in a -c file, with its line",
        ["a.ini:2", "'repeat'", "did you mean 'repeats'"],
        "-q",
        "-c",
        "a.ini",
    )
    refused("the same when -m names another module", ["did you mean 'repeats'"], "-m", "roid", "-c", "a.ini")
    refused("the same when -m names it", ["did you mean 'repeats'"], "-m", "hostless", "-c", "a.ini")
    refused("the same when -m leaves it out", ["did you mean 'repeats'"], "-m", "-hostless", "-c", "a.ini")
    refused("a wrong value beyond the range", ["repeats = 0", "outside"], "-D", "module.hostless.repeats=0")
    refused(
        "a wrong key of an instance that runs only when asked for",
        ["did you mean 'catalog'"],
        "-D",
        "module.vsx.catalg=x",
    )
    refused(
        "a section of no module is not its own near miss",
        ["[module.hostlss]", "did you mean 'hostless'?"],
        "-D",
        "module.hostlss.repeats=4",
    )
    refused(
        "two wrong sections are not each other's near miss",
        ["did you mean 'hostless'?"],
        "-D",
        "module.hostlss.repeats=4",
        "-D",
        "module.hostlsz.repeats=4",
    )
    refused("a wrong kind", ["did you mean 'xmatch'?"], "-D", "module.mine.kind=xmach")
    refused("a wrong name behind -m -", ["did you mean 'hostless'?"], "-m", "-hostlss")
    refused(
        "a module's settings without `module.`",
        ["did you mean [module.hostless]?"],
        "-D",
        "hostless.repeats=4",
    )
    refused("a wrong section", ["did you mean [run]?"], "-D", "runn.batch_rows=4")
    refused("a wrong section of an output", ["did you mean [sink.fits]?"], "-D", "sink.fitz.x=4")
    refused("a wrong key of [models]", ["did you mean 'path'?"], "-D", "models.pathh=x")
    refused("a wrong key of [models], the second", ["did you mean 'checked'?"], "-D", "models.cheked=x")
    refused("`checked` is no key of [catalogs]", ["no key 'checked'"], "-D", "catalogs.checked=x")
    refused(
        "[models] checked that cannot be written", ["[models] checked"], "-D", "models.checked=/dev/null/x"
    )
    refused("a wrong key of a topic", ["did you mean 'where'?"], "-D", "topic.mine.were=rb > 0.5")
    refused("a wrong name of an instance", ["[a-z][a-z0-9_]*"], "-D", "module.Big One.kind=roid")
    refused("default = maybe", ["must be 0 or 1"], "-D", "module.roid.default=maybe")
    refused(
        "a need that the module has not",
        ["it has no need 'lc.flx'"],
        "-D",
        "module.nalerthist.need.lc.flx=lc.flux",
    )
    r = run("-D", "module.hostless.default=no", "-m", "+roid")
    ok(r.returncode == 0 and "hostless" not in r.stdout, "default = no is understood", r.stderr)


def other_names():
    refused("a wrong key of [source], whatever source", ["did you mean 'drain_s'?"], "-D", "source.drain=1")
    refused("a wrong survey of --survey", ["did you mean 'ztf'?"], "--survey", "ztff")
    refused("a ready topic that there is not", ["did you mean 'hostless_new'?"], "-t", "hostless_neww")
    refused("the same in the settings", ["did you mean 'hostless_new'?"], "-D", "run.topics=hostless_neww")
    refused("a configuration that there is not", ["did you mean 'night'?"], "-c", "nigth")
    refused("a file of settings that there is not", ["no/such.ini"], "-c", "no/such.ini")
    refused("a sink that there is not", ["did you mean 'ndjson'"], "-D", "run.sinks=ndjsn:x", "-o", "ndjsn:x")
    refused("a wrong name in [run] columns", ["did you mean 'rb'?"], "-D", "run.columns=rbb")
    refused("a wrong name in [run] where", ["did you mean 'rb'?"], "-D", "run.where=rbb > 1")
    refused("a wrong name in [run] modules", ["did you mean 'hostless'?"], "-D", "run.modules=hostles")
    r = nightjar("run", f"embedded://{SAMPLE}?partition=2", "-o", "null:")
    ok(r.returncode == 2, "a wrong key of the embedded broker's query", r.stderr)
    ok("did you mean 'partitions'?" in r.stderr, "it says what was meant", r.stderr)


def what_is_off():
    r = run()
    ok(
        r.returncode == 0
        and re.search(r"modules are off.*no model here \(-D models.path=DIR\): .*braai", r.stderr),
        "without models: what is off, and that it is models that are not here",
        r.stderr,
    )
    r = run("-D", "module.gcvs.default=1")
    ok(
        r.returncode == 0 and re.search(r"no catalogue here \(-D catalogs.path=DIR\): gcvs", r.stderr),
        "a catalogue that is not here is reported apart",
        r.stderr,
    )
    for key, value in (
        ("standardized_flux.catalogue", "none.csv"),
        ("braai.model", "brai"),
        ("anomaly.model_for_g", "anomalie"),
    ):
        name = key.split(".")[0]
        refused(
            f"{key} = what is not here, with -q",
            [f"-D: [module.{name}]", f"= {value}:", f"-m -{name} leaves it out"],
            "-q",
            "-D",
            f"module.{key}={value}",
        )
        r = run("-q", "-D", f"module.{key}={value}", "-m", f"-{name}")
        ok(r.returncode == 0, f"{name} left out, the others run", r.stderr)
    refused(
        "a column of the gate that nothing gives",
        ["[module.hostless] tns", "tnss.type"],
        "-q",
        "-D",
        "module.hostless.gate=1",
        "-D",
        "module.hostless.tns=tnss.type",
    )
    refused(
        "one of a list",
        ["[module.hostless] matches", "simbd.otype"],
        "-q",
        "-D",
        "module.hostless.survey=rubin",
        "-D",
        "module.hostless.gate=1",
        "-D",
        "module.hostless.matches=object,simbd.otype",
    )
    r = run("-q", "-D", "module.hostless.gate=1")
    ok(r.returncode == 0, "the columns that the gate looks at by itself may be absent", r.stderr)
    r = run("-m", "+vsx")
    ok(
        r.returncode == 1 and "vsx.njx" in r.stderr,
        "a catalogue that is not here stops the run when -m names the module",
        r.stderr,
    )
    open("none.csv", "w").write("no,such,columns\n1,2,3\n")
    r = run("-q", "-D", "module.standardized_flux.catalogue=none.csv")
    ok(
        r.returncode == 1 and "standardized_flux" in r.stderr and "has no column object" in r.stderr,
        "a catalogue that is here and wrong stops the run",
        r.stderr,
    )
    os.makedirs("models/braai", exist_ok=True)
    open("models/braai/manifest.json", "w").write("{}")
    r = run("-q", "-D", "models.path=models")
    ok(
        r.returncode == 1 and "module braai cannot open" in r.stderr and "-m -braai" in r.stderr,
        "a model that is here and broken stops the run, with the way to leave it out",
        r.stderr,
    )
    r = run("-q", "-D", "models.path=models", "-m", "-braai")
    ok(r.returncode == 0, "left out, the others run", r.stderr)


def what_was_checked():
    """Golden rows that were right are not computed again; what says so is -v."""
    said = "golden rows were computed before"
    toy = ("-D", f"models.path={ROOT}/data/models", "-D", "module.kilonova.model=toy_kilonova")
    args = ("-v", *toy, "-m", "kilonova", "--limit", "1")
    home = {"XDG_CACHE_HOME": os.path.join(os.getcwd(), "home")}
    first, second = run(*args, env=home), run(*args, env=home)
    ok(first.returncode == 0 and said not in first.stderr, "the first run computes golden rows", first.stderr)
    ok(second.returncode == 0 and said in second.stderr, "the second one does not", second.stderr)
    notes = os.listdir("home/nightjar/models")
    ok(len(notes) == 1, "one note, below $XDG_CACHE_HOME", notes)
    off = run(*args, "-D", "models.checked=off", env=home)
    ok(off.returncode == 0 and said not in off.stderr, "checked = off: each run computes them", off.stderr)
    for _ in range(2):
        here = run(*args, "-D", "models.checked=notes", env=home)
    ok(said in here.stderr and len(os.listdir("notes")) == 1, "a folder of one's own", here.stderr)
    deep = run(*args, "-D", "models.checked=none/of/these/is/there")
    ok(
        deep.returncode == 0 and len(os.listdir("none/of/these/is/there")) == 1,
        "folders that are not there are made",
        deep.stderr,
    )
    open("file", "w").close()
    for place in ("file", "file/below", "x" * 300):
        bad = run(*args, "-D", f"models.checked={place}")
        ok(
            bad.returncode == 1 and f"[models] checked = {place}" in bad.stderr,
            f"{place}: refused",
            bad.stderr,
        )


def nothing_of_a_file_is_lost():
    """A key twice in one file, and what stands behind a NUL, were dropped without a word."""
    for name, text, words in (
        ("twice", "[run]\nbatch_rows = 64\nbatch_rows = 32\n", ["twice.ini:3", "line 2"]),
        ("apart", "[run]\nsync = 1\n[models]\nthreads = 1\n[run]\nsync = 0\n", ["apart.ini:6", "line 2"]),
        ("topic", "[topic.a]\nwhere = 1\n[topic.a]\nwhere = 0\n", ["topic.ini:4", "line 2"]),
        ("nul", "[run]\nbatch_rows = 64\n\0\n[nonsense]\n", ["nul.ini", "byte 23 is a NUL"]),
    ):
        with open(name + ".ini", "w", encoding="utf-8") as f:
            f.write(text)
        refused(f"{name}: refused, with the place", words, "-c", name + ".ini")
    with open("once.ini", "w", encoding="utf-8") as f:
        f.write("[run]\nbatch_rows = 64\n[module.a]\nkind = roid\n[module.b]\nkind = roid\n")
    r = run("-c", "once.ini", "-D", "run.batch_rows=32", "-m", "a,b", "-q")
    ok(r.returncode == 0, "-D still goes before a file", r.stderr)


if __name__ == "__main__":
    with Folder():
        nothing_of_a_file_is_lost()
        unlike_any()
        what_was_checked()
        modules()
        where_it_is_said()
        other_names()
        what_is_off()
    done()
