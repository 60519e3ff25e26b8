#!/usr/bin/env python3
"""Every option of every command with a wrong name or without its value: exit 1, and what was meant."""

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


def from_table(c):
    """{--option: takes a value}"""
    return {"--" + o["name"]: o["value"] is not None for o in c["options"]}


def refused(name, words, *args):
    r = nightjar(*args, timeout=60)
    ok(
        r.returncode == 1 and any(w in r.stderr for w in words),
        name,
        f"exit {r.returncode}\n{r.stderr}{r.stdout[:500]}",
    )


def misspelt(option):
    return option[:3] + "q" + option[3:]  # no prefix of any option: those are understood


def check(words, known, args=()):
    """words: the command. args: what it needs besides, so that the option alone is wrong."""
    name = " ".join(words)
    for option, has_value in sorted(known.items()):
        wrong = misspelt(option)
        refused(
            f"{name} {wrong}",
            [
                f"option {wrong} is not known; did you mean --",
            ],
            *words,
            *args,
            wrong,
            *(["1"] if has_value else []),
        )
        if has_value:
            refused(
                f"{name} {option} without its value",
                [f"option {option} lacks its value"],
                *words,
                *args,
                option,
            )
    refused(
        f"{name} --zzzzzzzz",
        ["option --zzzzzzzz is not known; there " + ("is" if len(known) == 1 else "are")],
        *words,
        *args,
        "--zzzzzzzz",
    )
    refused(f"{name} -Z", ["option -Z is not known"], *words, *args, "-Z")


def values(words, c):
    """Numbers out of their ranges and words that are none of those that there are."""
    for o in c["options"]:
        for value in (["x", str(o["range"][1] * 10 + 1)[:40]] if "range" in o else []) + (
            ["zzz"] if "words" in o else []
        ):
            refused(
                f"{' '.join(words)} --{o['name']} {value}",
                [f"--{o['name']} {value}: expected"],
                *words,
                f"--{o['name']}",
                value,
            )


def main():
    tables = json.loads(nightjar("help", "--json").stdout)
    ok(len(tables) > 12, "the commands are found", [c["name"] for c in tables])
    for words, c in leaves(tables):
        check(words, from_table(c))
        values(words, c)
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
