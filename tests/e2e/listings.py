#!/usr/bin/env python3
"""`nightjar sources, sinks, topics, settings, columns`: what they list is what a run takes, as text and as
JSON."""

import json, os
from tap import ROOT, Folder, done, nightjar, ok

SAMPLE = os.path.join(ROOT, "data", "sample.tar.gz")


def listed(*words):
    """The JSON, after a look at the text: the same names, in 80 columns."""
    text, r = nightjar(*words), nightjar(*words, "--json")
    ok(
        text.returncode == 0 and r.returncode == 0,
        f"{' '.join(words)}, as text and JSON",
        text.stderr + r.stderr,
    )
    too_long = [l for l in text.stdout.splitlines() if len(l) > 80 and " " in l.strip()]
    ok(not too_long, f"{' '.join(words)} fits 80 columns", "\n".join(too_long))
    return json.loads(r.stdout), text.stdout


def run(*args):
    return nightjar("run", SAMPLE, "-q", "-m", "-hostless", "--limit", 2, "-o", "null:", *args, timeout=60)


def sources():
    all_of_them, text = listed("sources")
    ok(
        {"embedded", "kafka", "folder", "file", "archive", "parquet"} <= {s["name"] for s in all_of_them},
        "all kinds of sources",
        all_of_them,
    )
    ok(
        all(s["doc"] and " ".join(s["form"].split()) in " ".join(text.split()) for s in all_of_them),
        "each form of a source is in the text",
    )
    keys = {k["key"] for s in all_of_them for k in s["query"]}
    ok({"group=NAME", "until=end", "partitions=N"} <= keys, "what stands behind '?'", keys)


def sinks():
    all_of_them, text = listed("sinks")
    names = [s["name"] for s in all_of_them]
    r = run("-o", "zzzzz:x")
    ok(r.returncode == 1 and ", ".join(names) in r.stderr, "the sinks are those that a run has", r.stderr)
    ok(all(s["doc"] and s["form"].split(",")[0] in text for s in all_of_them), "each sink is in the text")
    ok(nightjar("sinks", "--names").stdout.split() == [n + ":" for n in names], "names of sinks")


def topics():
    all_of_them, text = listed("topics")
    names = [t["name"] for t in all_of_them]
    ok(
        "hostless_new" in names and nightjar("topics", "--names").stdout.split() == names,
        "names of topics",
        names,
    )
    ok(
        all(" ".join(t["where"].split()) in " ".join(text.split()) for t in all_of_them),
        "each clause is in the text",
    )
    r = run("-m", "hostless,roid", *(a for n in names for a in ("-t", n)))
    ok(r.returncode == 0, "a run takes all of them", r.stderr)
    night = json.loads(nightjar("topics", "-c", "night", "--json").stdout)
    ok("kilonova" in {t["name"] for t in night}, "those of a configuration")
    r = nightjar("topics", "-D", "topic.mine.where=rb > 0.5", "-D", "topic.mine.where=rb > 0.6", "--json")
    mine = [t for t in json.loads(r.stdout) if t["name"] == "mine"]
    ok([t["where"] for t in mine] == ["rb > 0.6"], "said twice, the last one counts", mine)
    ok(nightjar("topics", "x").returncode == 1, "topics takes no argument")


def beyond(key):
    """A value outside of the key's range."""
    low, high = key["range"]
    value = low - 1 if low is not None else high * 10 + 1
    return f"{value:.17g}"


def settings():
    all_of_them, _ = listed("settings")
    sections = {s["section"]: s for s in all_of_them}
    ok(
        {"run", "decode", "source", "sink.fits", "energy", "cost", "module.hostless", "module.hostless_gated"}
        <= set(sections),
        "all sections",
    )
    ok(all(k["doc"] for s in all_of_them for k in s["keys"]), "each key has a sentence")
    own = {n: s for n, s in sections.items() if "NAME" not in n and not n.startswith("module.")}
    said = [
        f"{n}.{k['key']}={k['default']}"
        for n, s in own.items()
        for k in s["keys"]
        if not n.startswith("sink.")
    ]
    r = run(*(a for s in said for a in ("-D", s)))
    ok(
        r.returncode == 0 and len(said) > 50,
        f"a run takes the {len(said)} defaults as they are listed",
        r.stderr,
    )
    for n in ("run", "decode", "source", "energy", "cost"):
        for k in sections[n]["keys"]:
            if "range" in k:
                r = run("-D", f"{n}.{k['key']}={beyond(k)}")
                ok(
                    r.returncode == 1 and f"[{n}] {k['key']}" in r.stderr,
                    f"{n}.{k['key']}={beyond(k)} is refused",
                    r.stderr,
                )
    names = nightjar("settings", "--names").stdout.split()
    ok(
        len(names) == sum(len(s["keys"]) for s in all_of_them) and "run.batch_rows=" in names,
        "names of settings",
    )


def one_section():
    r = nightjar("settings", "run")
    ok(
        r.returncode == 0 and r.stdout.startswith("[run]") and "[decode]" not in r.stdout,
        "one section",
        r.stdout,
    )
    r = nightjar("settings", "run", "-D", "run.dedup=7")
    ok("dedup = 7" in r.stdout, "the value that is said", r.stdout)
    one = json.loads(nightjar("settings", "module.hostless_gated", "--json").stdout)
    keys = {k["key"]: k for k in one[0]["keys"]}
    ok(
        len(one) == 1 and keys["gate"]["value"] == "1" and keys["gate"]["default"] == "0" and "kind" in keys,
        "an instance: its module's keys",
        one,
    )
    r = nightjar("settings", "topic.hostless_new")
    ok(r.returncode == 0 and "where = hostless.verdict" in r.stdout, "a topic's section", r.stdout)
    for wrong, near in (
        ("runn", "[run]"),
        ("module.hostles", "[module.hostless]"),
        ("hostless", "nightjar settings"),
    ):
        r = nightjar("settings", wrong)
        ok(r.returncode == 1 and near in r.stderr, f"settings {wrong}: exit 1, {near}", r.stderr)
    ok(nightjar("settings", "run", "decode").returncode == 1, "one section at a time")
    for command in ("sources", "sinks"):
        r = nightjar(command, "x")
        ok(r.returncode == 1 and "no argument" in r.stderr, f"{command} takes no argument", r.stderr)


def columns():
    all_of_them, text = listed("columns")
    names = [c["name"] for c in all_of_them]
    ok(len(set(names)) == len(names), "each column once", [n for n in names if names.count(n) > 1])
    ok(
        all(c["doc"] and c["type"] and c["surveys"] for c in all_of_them),
        "each has a type, its surveys and a sentence",
        [c for c in all_of_them if not c["doc"]],
    )
    ok(all(n in text for n in names), "each is in the text")
    functions = [c for c in all_of_them if c["group"].startswith("functions of clauses")]
    for name in ("sep", "night", "dmag_per_day", "in_region"):
        ok([c["name"].split("(")[0] for c in functions].count(name) == 1, f"{name} is listed as a function")
    plain = [c["name"] for c in all_of_them if c["type"] != "image" and c not in functions]
    ok(nightjar("columns", "--names").stdout.split() == plain, "names of columns")
    rows = nightjar("run", SAMPLE, "-q", "-m", "roid", "--limit", 1, "-o", "ndjson:-").stdout
    always = {c["name"] for c in all_of_them if c["group"] == "in every row"} - {"topics"}
    ok(always == {k for k in json.loads(rows) if "." not in k}, "what every row has is what a row has", rows)
    r = run(
        "-m",
        "roid",
        "--columns",
        ",".join(c["name"] for c in all_of_them if c["group"] == "of the survey's maps"),
    )
    ok(r.returncode == 0, "a run writes every column of the maps", r.stderr)
    mine = [c["name"] for c in all_of_them if c["group"] in ("of module hostless", "of module features")]
    r = run("-m", "hostless,features", "-w", " AND ".join(f"({n} IS NULL OR {n} IS NOT NULL)" for n in mine))
    ok(r.returncode == 0 and len(mine) > 10, "a clause reads every column of a module", r.stderr)


def columns_of_a_source():
    c = json.loads(nightjar("columns", SAMPLE, "--json").stdout)
    raw = [x for x in c if x["name"].startswith("packet.")]
    types = {x["name"]: (x["type"], x["series"]) for x in raw}
    ok(
        types.get("packet.candidate.ra") == ("f64", False)
        and types.get("packet.prv_candidates[].magpsf") == ("f32", True),
        "fields of the first packet",
        raw[:5],
    )
    r = run("-m", "roid", "--columns", ",".join(types))
    ok(r.returncode == 0 and len(types) > 100, f"a run writes the {len(types)} of them", r.stderr)
    for kind in ("model", "xmatch", "lookup"):
        r = nightjar("modules", kind)
        ok(
            r.returncode == 0 and f"kind = {kind}" in r.stdout and "settings [module.NAME]" in r.stdout,
            f"modules {kind}: what a section of that kind may say",
            r.stdout + r.stderr,
        )
    r = nightjar("columns", "no/such.tar")
    ok(r.returncode == 2 and "no/such.tar" in r.stderr, "a source that is not there: exit 2", r.stderr)
    r = nightjar("columns", "a", "b")
    ok(r.returncode == 1, "one source at a time", r.stderr)
    one = json.loads(nightjar("columns", "-m", "roid", "--json").stdout)
    ok(
        {x["group"] for x in one if x["group"].startswith("of module ")} == {"of module roid"},
        "-m says which modules",
        one,
    )


if __name__ == "__main__":
    with Folder():
        sources()
        sinks()
        topics()
        settings()
        one_section()
        columns()
        columns_of_a_source()
    done()
