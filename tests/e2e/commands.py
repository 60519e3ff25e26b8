#!/usr/bin/env python3
"""What commands say about themselves: the help names every option of the table and no other, in 80 columns."""
import json, re
from tap import Folder, done, nightjar, ok


def commands(all_of_them, before=()):
    """(words, command) of each command and of their own commands."""
    for c in all_of_them:
        words = [*before, c["name"]]
        yield words, c
        yield from commands(c.get("commands", []), words)


def named(text):
    """{option: (letter, takes a value)} of the part Options of a help text."""
    part = re.search(r"^Options\n(.*?)(?:\n\n|\Z)", text, re.S | re.M)
    lines = re.findall(r"^  (?:-(\w), |    )--([a-z][a-z0-9-]*)((?: [^ \n]+)?)", part[1] if part else "", re.M)
    return {name: (letter or None, bool(value)) for letter, name, value in lines}


def same(words, c):
    r = nightjar("help", *words)
    name = " ".join(words)
    table = {o["name"]: (o["letter"], o["value"] is not None) for o in c["options"]}
    own = r.stdout if not c.get("commands") else r.stdout.split("\nnightjar ")[0]
    ok(r.returncode == 0, f"help {name}", r.stderr)
    ok(named(own) == table, f"help {name} names the options of the table and no other", f"{named(own)}\n{table}")
    ok(all(o["doc"] for o in c["options"]), f"each option of {name} has a sentence")
    ok(nightjar(*words, "--help").stdout == r.stdout, f"{name} --help is the same")
    too_long = [l for l in r.stdout.splitlines() if len(l) > 80]
    ok(not too_long, f"help {name} fits 80 columns", "\n".join(too_long))
    ok(r.stdout.isascii(), f"help {name} is ASCII")
    letters = [o["letter"] for o in c["options"] if o["letter"]]
    ok(len(set(letters)) == len(letters) and len(table) == len(c["options"]), f"no option of {name} has the name of another")
    text = re.sub(r"\s+", " ", r.stdout)
    missing = [o["doc"] for o in c["options"] if re.sub(r"\s+", " ", o["doc"]) not in text]
    ok(not missing, f"help {name} has each sentence", missing)


def overview():
    r = nightjar("help")
    ok(r.returncode == 0 and r.stdout == nightjar("--help").stdout, "help and --help are the same", r.stderr)
    ok(not [l for l in r.stdout.splitlines() if len(l) > 80], "the overview fits 80 columns", r.stdout)
    r = nightjar("help", "lagg")
    ok(r.returncode == 1 and "did you mean 'lag'?" in r.stderr, "help of a wrong command says what was meant", r.stderr)
    r = nightjar("help", "lag", "x")
    ok(r.returncode == 1 and "no commands of its own" in r.stderr, "help of a command that has none of its own", r.stderr)


def main():
    r = nightjar("help", "--json")
    tables = json.loads(r.stdout)
    ok({"run", "lag", "help"} <= {c["name"] for c in tables}, "help --json has the commands", r.stderr)
    for words, c in commands(tables):
        same(words, c)


if __name__ == "__main__":
    with Folder():
        overview()
        main()
    done()
