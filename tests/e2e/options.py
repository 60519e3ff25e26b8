#!/usr/bin/env python3
"""Options that no command has, and wrong letters, verbs and commands: exit 1, and what was meant. Each option
with a wrong name or value: tests/unit/options_commands.c."""

import json, os
from tap import ROOT, Folder, done, nightjar, ok

SAMPLE = os.path.join(ROOT, "data", "sample.tar.gz")


def leaves(all_of_them, before=()):
    """(words, command) of all that take options: `lag`, `catalog build`."""
    for c in all_of_them:
        words = [*before, c["name"]]
        if c.get("commands"):
            yield from leaves(c["commands"], words)
        else:
            yield words, c


def refused(name, words, *args):
    r = nightjar(*args, timeout=60)
    ok(
        r.returncode == 1 and any(w in r.stderr for w in words),
        name,
        f"exit {r.returncode}\n{r.stderr}{r.stdout[:500]}",
    )


def main():
    tables = json.loads(nightjar("help", "--json").stdout)
    ok(len(tables) > 12, "the commands are found", [c["name"] for c in tables])
    for words, c in leaves(tables):
        n = len(c["options"])
        refused(
            f"{' '.join(words)} --zzzzzzzz",
            [f"option --zzzzzzzz is not known; there {'is' if n == 1 else 'are'}"],
            *words,
            "--zzzzzzzz",
        )
    for c in tables:
        verbs = [v["name"] for v in c.get("commands", [])]
        for verb in verbs:
            refused(f"{c['name']} {verb}q", [f"did you mean '{verb}'?"], c["name"], verb + "q", "x")
        if verbs:
            refused(f"{c['name']} zzzzzzzz", ["there are " + ", ".join(verbs)], c["name"], "zzzzzzzz", "x")
    refused("demo with a source", ["would not be read"], "demo", SAMPLE)


def letters():
    refused(
        "one dash of a long option",
        ["option -columns is not known; did you mean --columns?"],
        "run",
        SAMPLE,
        "-columns",
        "lc.mag",
    )
    refused(
        "the other case of a letter",
        ["option -O is not known; did you mean -o?"],
        "run",
        SAMPLE,
        "-O",
        "null:",
    )
    refused("a letter without its value", ["option -o lacks its value"], "run", SAMPLE, "-o")
    refused("a value where there is none", ["option --strict takes no value"], "run", SAMPLE, "--strict=1")
    refused("letters together", ["option -Z is not known"], "run", SAMPLE, "-qZ")
    refused("a wrong command", ["did you mean 'run'?"], "rum", SAMPLE)
    refused("a wrong subject of bench", ["did you mean 'decode'?"], "bench", "decod")
    refused("values that are no numbers", ["--rounds many"], "diff", "a", "b", SAMPLE, "--rounds", "many")
    refused("the same of compare", ["--rerun many"], "compare", "a", "b", "--rerun", "many", "--", "x")
    refused("a second NAME of modules", ["one NAME"], "modules", "roid", "hostless")
    r = nightjar("run", SAMPLE, "-o", "null:", "-m", "-hostless", "--col=lc.mag", "--limit=3", "-q")
    ok(r.returncode == 0, "abbreviations, = and values with a dash are understood", r.stderr)


if __name__ == "__main__":
    with Folder():
        main()
        letters()
    done()
