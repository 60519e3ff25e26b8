#!/usr/bin/env python3
"""Every option of every command with a wrong name or without its value: exit 1, and what was meant."""
import json, os, re
from tap import ROOT, Folder, done, nightjar, ok

SAMPLE = os.path.join(ROOT, "data", "sample.tar.gz")


def commands():
    return json.loads(nightjar("help", "--json").stdout)


def from_table(c):
    """{--option: takes a value}"""
    return {"--" + o["name"]: o["value"] is not None for o in c["options"]}


def options(text):
    """{--option: takes a value} as a help text says it: an option that begins a line, before two blanks; or in the usage."""
    found = {}
    for m in re.finditer(r"(--[a-z][a-z-]*)((?:[ =](?=[A-Z]))?)", text):
        found[m.group(1)] = found.get(m.group(1), False) or bool(m.group(2))
    return found


def refused(name, words, *args):
    r = nightjar(*args, timeout=60)
    ok(r.returncode == 1 and any(w in r.stderr for w in words), name, f"exit {r.returncode}\n{r.stderr}{r.stdout[:500]}")


def misspelt(option):
    return option[:3] + "q" + option[3:]  # no prefix of any option: those are understood


def check(words, known, args=()):
    """words: the command. args: what it needs besides, so that the option alone is wrong."""
    name = " ".join(words)
    for option, has_value in sorted(known.items()):
        wrong = misspelt(option)
        refused(f"{name} {wrong}", [f"option {wrong} is not known; did you mean --", ], *words, *args, wrong, *(["1"] if has_value else []))
        if has_value:
            refused(f"{name} {option} without its value", [f"option {option} lacks its value"], *words, *args, option)
    refused(f"{name} --zzzzzzzz", ["option --zzzzzzzz is not known; there"], *words, *args, "--zzzzzzzz")
    refused(f"{name} -Z", ["option -Z is not known"], *words, *args, "-Z")


def main():
    tables = {c["name"]: c for c in commands()}
    ok(len(tables) > 12 and "run" in tables, "the commands are found", list(tables))
    run = from_table(tables["run"])
    ok("--columns" in run and run["--columns"] and not run["--strict"], "the options of run are found", run)
    for name, c in tables.items():
        own = from_table(c) if c["by_table"] else options(nightjar(name, "--help").stdout)
        if name == "new-module":
            refused("new-module takes no option", ["expected one NAME"], name, "--zzz")
        elif name in ("catalog", "model"):
            verbs = {"catalog": ["build", "info", "query", "check"], "model": ["check", "info"]}[name]
            for verb in verbs:
                refused(f"{name} {verb}q", [f"did you mean '{verb}'?"], name, verb + "q", "x")
            refused(f"{name} zzzzzzzz", ["there are " + ", ".join(verbs)], name, "zzzzzzzz", "x")
        elif name == "demo":
            check([name], own)
            refused("demo with a source", ["would not be read"], name, SAMPLE)
        elif name == "compare":
            check([name], {k: v for k, v in own.items() if k not in ("--history", "--json", "--report")})
            check([name, "--history"], {"--gate": False, "--only": True})
        elif name == "report":
            check([name], {"--exposure": True})
        elif name == "inspect":
            check([name], own, [SAMPLE])
        else:
            check([name], own)
    check(["catalog", "build"], {"--ra": True, "--columns": True, "--compact": False, "--pm-unit": True}, ["x.csv"])
    check(["catalog", "info"], {"--json": False}, ["x.njx"])
    check(["catalog", "query"], {"--epoch": True, "--max": True, "--json": False}, ["x.njx", "1", "-5", "1"])
    check(["catalog", "check"], {"--cones": True, "--seed": True}, ["x.njx"])
    check(["model", "check"], {"--engine": True, "--device": True, "--sum": True}, ["x"])


def letters():
    refused("one dash of a long option", ["option -columns is not known; did you mean --columns?"], "run", SAMPLE, "-columns", "lc.mag")
    refused("the other case of a letter", ["option -O is not known; did you mean -o?"], "run", SAMPLE, "-O", "null:")
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
