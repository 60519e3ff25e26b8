#!/usr/bin/env python3
"""What commands say about themselves: the help names every option of the table and no other, in 80
columns."""

import json, os, re
from tap import ROOT, Folder, done, nightjar, ok

SAMPLE = os.path.join(ROOT, "data", "sample.tar.gz")


def commands(all_of_them, before=()):
    """(words, command) of each command and of their own commands."""
    for c in all_of_them:
        words = [*before, c["name"]]
        yield words, c
        yield from commands(c.get("commands", []), words)


def named(text):
    """{option: (letter, takes a value)} of the part Options of a help text."""
    part = re.search(r"^Options\n(.*?)(?:\n\n|\Z)", text, re.S | re.M)
    lines = re.findall(
        r"^  (?:-(\w), |    )--([a-z][a-z0-9-]*)((?: [^ \n]+)?)", part[1] if part else "", re.M
    )
    return {name: (letter or None, bool(value)) for letter, name, value in lines}


def same(words, c):
    r = nightjar("help", *words)
    name = " ".join(words)
    table = {o["name"]: (o["letter"], o["value"] is not None) for o in c["options"]}
    own = r.stdout if not c.get("commands") else r.stdout.split("\nnightjar ")[0]
    ok(r.returncode == 0, f"help {name}", r.stderr)
    ok(
        named(own) == table,
        f"help {name} names the options of the table and no other",
        f"{named(own)}\n{table}",
    )
    ok(all(o["doc"] for o in c["options"]), f"each option of {name} has a sentence")
    ok(nightjar(*words, "--help").stdout == r.stdout, f"{name} --help is the same")
    too_long = [l for l in r.stdout.splitlines() if len(l) > 80]
    ok(not too_long, f"help {name} fits 80 columns", "\n".join(too_long))
    ok(r.stdout.isascii(), f"help {name} is ASCII")
    letters = [o["letter"] for o in c["options"] if o["letter"]]
    ok(
        len(set(letters)) == len(letters) and len(table) == len(c["options"]),
        f"no option of {name} has the name of another",
    )
    text = re.sub(r"\s+", " ", r.stdout)
    missing = [o["doc"] for o in c["options"] if re.sub(r"\s+", " ", o["doc"]) not in text]
    ok(not missing, f"help {name} has each sentence", missing)


def overview():
    r = nightjar("help")
    ok(r.returncode == 0 and r.stdout == nightjar("--help").stdout, "help and --help are the same", r.stderr)
    ok(not [l for l in r.stdout.splitlines() if len(l) > 80], "the overview fits 80 columns", r.stdout)
    r = nightjar("help", "lagg")
    ok(
        r.returncode == 1 and "did you mean 'lag'?" in r.stderr,
        "help of a wrong command says what was meant",
        r.stderr,
    )
    r = nightjar("help", "lag", "x")
    ok(
        r.returncode == 1 and "no commands of its own" in r.stderr,
        "help of a command that has none of its own",
        r.stderr,
    )


def exits(words, c, code, *args):
    """A run of the command ends with a code that its help has."""
    r = nightjar(*words, *args, timeout=120)
    told = set(re.findall(r"^  (\d+) ", nightjar("help", *words).stdout.split("Exit codes\n")[1], re.M))
    ok(
        r.returncode == code and str(code) in told,
        f"{' '.join([*words, *args])} ends with {code}, which its help lists",
        f"exit {r.returncode}, told {sorted(told)}\n{r.stderr}",
    )


def exit_codes(tables):
    all_of_them = {" ".join(words): (words, c) for words, c in commands(tables)}
    kafka = "kafka://127.0.0.1:1/x"
    for name, code, *args in (
        ("run", 0, SAMPLE, "-q", "-m", "roid", "--limit", "1"),
        ("run", 1, SAMPLE, "-m", "roidd"),
        ("run", 2, "no/such.tar"),
        ("run", 4, "bad.avro", SAMPLE, "-q", "-m", "roid", "--strict", "-o", "null:"),
        ("graph", 1, "no/such.tar"),
        ("lag", 2, kafka),
        ("ledger", 2, "no/such.ndjson"),
        ("inspect", 2, "no/such.tar"),
        ("columns", 2, "no/such.tar"),
        ("profile", 2, "roid", "no/such.tar"),
        ("diff", 2, "roid", "roid", "no/such.tar"),
        ("replay", 1, SAMPLE),
        ("report", 2, "no/such.json"),
        ("compare", 2, "no/a.json", "no/b.json"),
        ("bench", 1, "nosuch"),
        ("cutout", 1, "no/a.fits", "--targets", "no/such.csv", "-o", "x"),
        ("cutout", 2, "no/a.fits", "--targets", "targets.csv", "-o", "x"),
        ("catalog build", 2, "no/such.csv", "-o", "x.njx"),
        ("catalog info", 2, "no/such.njx"),
        ("catalog query", 2, "no/such.njx", "1", "-5", "1"),
        ("catalog check", 2, "no/such.njx"),
        ("model check", 1, "no/such"),
        ("model info", 1, "no/such"),
        ("new-module", 1, "9"),
        ("settings", 1, "runn"),
        ("modules", 1, "roidd"),
        ("doctor", 1, "x"),
        ("demo", 1, "x"),
        ("man", 1, "runn"),
        ("completion", 1, "fish"),
        ("topics", 1, "x"),
    ):
        exits(*all_of_them[name], code, *args)


def contradictions():
    r = nightjar("run", SAMPLE, "-q", "-m", "hostless", "-m", "roid", "--limit", "1", "-o", "null:")
    ok(
        r.returncode == 0 and "-m is given twice: roid is used, hostless is not" in r.stderr,
        "an option given twice is reported",
        r.stderr,
    )
    r = nightjar(
        "run",
        SAMPLE,
        "-q",
        "-m",
        "roid",
        "-m",
        "roid",
        "-D",
        "run.dedup=1",
        "-D",
        "run.dedup=2",
        "-o",
        "null:",
    )
    ok(
        r.returncode == 0 and "twice" not in r.stderr,
        "the same twice, and what may be said often, are not",
        r.stderr,
    )
    r = nightjar("run", SAMPLE, "-o", "null:", "--overwrite", "--append")
    ok(r.returncode == 1 and "do not go together" in r.stderr, "--overwrite and --append", r.stderr)


def main():
    r = nightjar("help", "--json")
    tables = json.loads(r.stdout)
    ok({"run", "lag", "help"} <= {c["name"] for c in tables}, "help --json has the commands", r.stderr)
    for words, c in commands(tables):
        same(words, c)
    exit_codes(tables)


if __name__ == "__main__":
    with Folder():
        open("bad.avro", "wb").write(b"no packet")
        open("targets.csv", "w").write("ra,dec\n1,2\n")
        overview()
        main()
        contradictions()
    done()
