#!/usr/bin/env python3
"""Packets of JSON that are nearly right: cut lists, numbers that lost digits, keys of several types, and what
the end of a run says of keys that the survey's map does not read or does not find."""

import json, os
from streams import rows, run
from tap import Folder, done, ok

ID = 169760235333878021  # beyond 2^53
GOOD = {"diaObjectId": ID, "decl": 1.5, "ra": 2.5, "UTC": "2026-01-29 11:40:14"}
TEXT = json.dumps(GOOD)


def of(text, *args):
    with open("p.json", "w", encoding="utf-8") as f:
        f.write(text)
    return run("p.json", "-m", "roid", *args)


def lists():
    """A file that ends between two packets of a list lacks something, and nothing else says so."""
    for text, n, word in (
        (f"[{TEXT}, {TEXT}", 2, "has no ']'"),
        (f"[{TEXT},", 1, "has no ']'"),
        (f"{TEXT}]", 1, "a ']' behind the packets"),
        (f"[{TEXT}, [{TEXT}]]", 2, "lists of packets within a list"),
    ):
        r, got = of(text)
        ok(len(got) == n, f"{word}: its packets are rows", got)
        ok(word in r.stderr, f"a list: '{word}' is said", r.stderr)
        ok(f"{n + 1} in = {n} out + 0 filtered + 1 dead" in r.stdout, f"{word}: and counted", r.stdout)
    for text, n in ((f"[{TEXT}]", 1), (f" [\n{TEXT},\n{TEXT}\n]\n", 2), (f"{TEXT}\n{TEXT}", 2)):
        r, got = of(text)
        ok(f"{n} in = {n} out + 0 filtered + 0 dead" in r.stdout, f"whole: {text[:3]!r}", r.stdout)
    r, got = of(f'[{TEXT}, 5, "x"]')
    ok("2 in = 1 out + 0 filtered + 1 dead" in r.stdout, "what is no packet is one letter", r.stdout)


def numbers():
    """A double beyond 2^53 stands for several whole numbers: no id is made of it."""
    for value, want, said in (
        (f"{ID}", ID, ""),
        (f'"{ID}"', ID, ""),
        (f"{ID}.0", None, "1.6976023533387802e+17 is no whole number"),
        ("1.5", None, "the number 1.5 is no whole number"),
        ('"1.5"', None, "the text '1.5' is no number that its column can hold"),
        ('"18446744073709551615"', None, "the text '18446744073709551615'"),
        ("1e3", 1000, ""),
        ("7.0", 7, ""),
        ("9223372036854775807", 2**63 - 1, ""),
    ):
        r, got = of(TEXT.replace(str(ID), value))
        ok([x["candid"] for x in got] == [want], f"an id of {value} is {want}", (got, r.stderr))
        ok(r.stderr.count("its column can hold") == bool(said), f"{value}: said once or not", r.stderr)
        ok(said in r.stderr, f"{value}: '{said}'", r.stderr)
    for time in ("2026-02-29 00:00:00", "2026-01-29 24:00:01", "2026-04-31"):
        r, got = of(json.dumps({**GOOD, "UTC": time}), "--columns", "published_jd")
        ok([x["published_jd"] for x in got] == [None], f"{time} is no time", got)
    r, got = of(json.dumps({**GOOD, "UTC": "2024-02-29 24:00:00"}), "--columns", "published_jd")
    ok([x["published_jd"] for x in got] == [2460370.5], "the end of a leap day is one", got)


def ends():
    """Each key that no column reads, that comes in several types, that the map wants and no packet has."""
    packets = [{**GOOD, "more": 1}, {**GOOD, "more": {"deep": "x"}}, {**GOOD, "ra": {"a": 1}}]
    r, got = of("\n".join(map(json.dumps, packets)))
    ok(len(got) == 3, "keys of several types: all are rows", r.stderr)
    for word in (
        "several types: ra (number, record), more (number, record)",
        "no column reads (packet.KEY does), survey lasair: ra.a (1), more.deep (1)",
        "columns whose keys no packet has, survey lasair: jd (lastDiaSourceMjdTai, ...), band",
        "3 JSON packets, survey lasair",
    ):
        ok(word in r.stderr, f"the end says '{word}'", r.stderr)
    r, got = of(json.dumps({**GOOD, "ra": {"a": 1}}))
    ok(" ra (ramean, ...)" in r.stderr, "a record where a number should be is no key of the column", r.stderr)


def poison():
    """A packet beyond a limit leaves nothing behind: those after it bring keys of their own."""
    many = {**GOOD, "x": {f"k{i}": i for i in range(20001)}}
    deep = TEXT[:-1] + ', "trace": ' + '{"a":' * 20 + "1" + "}" * 21
    r, got = of(
        f'{json.dumps(many)}\n{deep}\n{json.dumps({**GOOD, "later": 1})}\n', "--columns", "packet.later"
    )
    ok([x["packet.later"] for x in got] == [1], "a key that comes after 20,001 others", (got, r.stderr))
    ok("more than 20000 different keys" in r.stderr, "which were refused", r.stderr)
    ok("max_depth" in r.stderr, "as was the deep one", r.stderr)
    ok("trace" not in r.stderr.split("JSON packet")[-1], "whose keys are in no count", r.stderr)
    ok("1 JSON packet, survey lasair" in r.stderr, "one packet was read", r.stderr)


def strangers():
    """Packets of two surveys in one file: those of the second are letters, and rows of a run of these."""
    notice = {
        **{"alert_type": "INITIAL", "time_created": "2026-11-01T08:08:17Z", "superevent_id": "S261101h"},
        **{"event": None, "external_coinc": None},
    }
    small = {"diaObjectId": 5, "UTC": "2026-01-29 11:40:14"}
    large = {**GOOD, **{f"more{k}": k for k in range(20)}}
    r, got = of("\n".join(map(json.dumps, (small, large, notice, GOOD))))
    ok([x["candid"] for x in got] == [5, ID, ID], "those of the first survey are rows", got)
    ok({x["survey"] for x in got} == {"lsst"}, "of that survey", got)
    ok("its keys are not those of the packets before it" in r.stderr, "the other one is named", r.stderr)
    ok("4 in = 3 out + 0 filtered + 1 dead" in r.stdout, "and counted", r.stdout)
    os.rename("dead.avro", "letters.avro")
    r, got = run("letters.avro")
    ok([x["survey"] for x in got] == ["gwalert"], "a run of the letters reads it", (got, r.stderr))
    ok([x["object"] for x in got] == ["S261101h"], "with its columns", got)


with Folder():
    strangers()
    lists()
    numbers()
    ends()
    poison()
done()
