#!/usr/bin/env python3
"""LSST as the stream sends it: releases that the build has never seen, through the whole of `nightjar run`."""
import copy, glob, json, os
from avro import Schema, confluent, container
from tap import Folder, done, nightjar, ok, report, rows, skip

N = 30


def night():
    """Simulated packets of release 11.0: the schema and the alerts as dictionaries."""
    r = nightjar("simulate", "--survey", "lsst", "-n", N, "--exposures", 3, "--seed", 7, "-q", "-o", "night", "--truth", "truth.csv")
    schema, alerts = None, []
    for f in sorted(glob.glob("night/*.avro")):
        with open(f, "rb") as file:
            schema, datums = container(file.read())
        alerts += [Schema(schema).read(d) for d in datums]
    ok(r.returncode == 0 and len(alerts) == N, f"{N} simulated packets of release 11.0", r.stderr)
    return schema, alerts


def fields_of(document, name):
    """The list of fields of a record, wherever it is defined."""
    return Schema(document).named[name]["fields"]


def next_release(schema):
    """11.2: two fields more, psfFlux under another name, psfFluxErr and reliability gone."""
    doc = json.loads(schema.replace("v11_0", "v11_2"))
    source = fields_of(doc, "lsst.v11_2.diaSource")
    source[:] = [f for f in source if f["name"] not in ("psfFluxErr", "reliability")]
    at = next(i for i, f in enumerate(source) if f["name"] == "psfFlux")
    source[at]["name"] = "fluxOfThePsf"
    source.insert(at, {"name": "skyMood", "type": ["null", "string"], "default": None})
    doc["fields"].insert(0, {"name": "weather", "type": {"type": "map", "values": "double"}})
    return json.dumps(doc)


def to_next(alert):
    a = copy.deepcopy(alert)
    for s in [a["diaSource"]] + (a["prvDiaSources"] or []):
        s["fluxOfThePsf"], s["skyMood"] = s.pop("psfFlux"), "fair" if s["diaSourceId"] % 2 else None
        del s["psfFluxErr"], s["reliability"]
    a["weather"] = {"seeing": 0.7, "wind": 3.0}
    return a


def write_messages(folder, parts):
    """parts: (id, schema text, alerts); their messages as files."""
    os.makedirs(folder)
    for number, schema, alerts in parts:
        s = Schema(schema)
        for a in alerts:
            with open(f"{folder}/{a['diaSourceId']}.msg", "wb") as f:
                f.write(confluent(number, s.write(a)))


def run(source, name, *args):
    r = nightjar("run", source, "-o", f"ndjson:{name}.ndjson", "--report", f"{name}.json", "--dead-letters", f"{name}.dead.avro", *args)
    got = {x["candid"]: x for x in rows(f"{name}.ndjson")} if os.path.exists(f"{name}.ndjson") else {}
    return r, got, report(f"{name}.json")["ledger"] if os.path.exists(f"{name}.json") else {}


def differing(a, b, skip_keys=()):
    return sorted({k for c in a for k in set(a[c]) | set(b.get(c, {})) if k not in skip_keys and a[c].get(k, "-") != b.get(c, {}).get(k, "-")})


def a_release_never_seen(schema, alerts):
    os.makedirs("schemas")
    new = next_release(schema)
    for number, text in ((1100, schema), (1102, new)):
        with open(f"schemas/{number}.avsc", "w", encoding="utf-8") as f:
            f.write(text)
    half = N // 2
    later = [to_next(a) for a in alerts]
    write_messages("old", [(1100, schema, alerts)])
    write_messages("new", [(1102, new, later)])
    write_messages("both", [(1100, schema, alerts[:half]), (1102, new, later[half:])])
    columns = ["--columns", "packet.diaSource.skyMood,lc.flux"]

    _, want, _ = run("night", "avro", *columns)
    r, got, l = run("old", "old", "--schemas", "schemas", *columns)
    ok(r.returncode == 0 and l["closed"] and l["dead"] == 0 and len(got) == N and not differing(want, got),
       "framed messages with a folder of schemas give the rows of the container files", f"{differing(want, got)}\n{r.stderr}")

    r, got, l = run("new", "unmapped", "--schemas", "schemas", *columns)
    touched = [k for k in want[next(iter(want))] if k in ("mag", "mag_err", "positive", "rb", "lc.flux") or "." in k]
    ok(r.returncode == 0 and l["closed"] and l["dead"] == 0 and len(got) == N, "11.2, which nobody has seen: no alert is lost", r.stderr)
    ok(not differing(want, got, touched) and all(x["mag"] is None and x["rb"] is None for x in got.values()),
       "what it still has is there, what it lacks or renames is null", differing(want, got, touched))
    ok(all(x["features.reason"] == x["fast_transient.reason"] == "no_input" for x in got.values()) and
       all(x["nalerthist.n"] is None and x["nalerthist.reason"] == "no_input" for x in got.values()) and
       all(x["hostless.reason"] == want[c]["hostless.reason"] and x["hostless.ks_science"] == want[c]["hostless.ks_science"] for c, x in got.items()),
       "modules that require it say no_input, the others run as before",
       {k: sorted({x[k] for x in got.values()}) for k in got[next(iter(got))] if k.endswith(".reason")})

    os.makedirs("maps")
    with open("maps/rename.map", "w", encoding="ascii") as f:
        f.write("amend lsst # release 11.2\nflux |= diaSource.fluxOfThePsf\npositive |= diaSource.fluxOfThePsf\n"
                "lc.flux |= fluxOfThePsf\nlc.positive |= fluxOfThePsf\nmood str = diaSource.skyMood\n")
    mapped = ["--schemas", "schemas", "-D", "decode.maps=maps"]
    r, got, l = run("new", "mapped", *mapped, "--columns", "packet.diaSource.skyMood,lc.flux,mood,packet.weather.seeing")
    gone = ("rb", "mag_err", "packet.diaSource.skyMood", "mood", "packet.weather.seeing")
    changed = differing(want, got, gone)
    ok(r.returncode == 0 and l["closed"] and l["dead"] == 0 and all(got[c]["lc.flux"] == want[c]["lc.flux"] and got[c]["positive"] == want[c]["positive"] for c in want),
       "four lines of map and the renamed field is read, in the history too", f"{changed}\n{r.stderr}")
    ok(all(x["packet.diaSource.skyMood"] == x["mood"] == ("fair" if c % 2 else None) for c, x in got.items()) and len({x["mood"] for x in got.values()}) == 2,
       "the added field is a column, by its path and by its name in the map")
    ok(all(x["nalerthist.n"] == want[c]["nalerthist.n"] and x["nalerthist.reason"] == "done" and x["rb"] is None and x["mag_err"] is None
           for c, x in got.items()) and all(x["features.reason"] == "no_input" for x in got.values()),
       "the removed ones are null, and no_input for what requires them",
       {k: sorted({x[k] for x in got.values()}) for k in got[next(iter(got))] if k.endswith(".reason")})

    for name, source in (("files", "both"), ("stream", "embedded://both")):
        r, got, l = run(source, "both_" + name, *mapped, *columns)
        first, second = {a["diaSourceId"] for a in alerts[:half]}, {a["diaSourceId"] for a in alerts[half:]}
        ok(r.returncode == 0 and l["closed"] and l["dead"] == 0 and len(got) == N and
           not differing({c: want[c] for c in first}, got) and all(got[c]["lc.flux"] == want[c]["lc.flux"] and got[c]["rb"] is None for c in second),
           f"both releases in one run ({name}): each alert by its own schema", f"{differing({c: want[c] for c in first}, got)}\n{r.stderr}")
        told = [x for x in r.stderr.splitlines() if "a new schema, id" in x]
        ok(len(told) == 1 and "+ diaSource.skyMood" in r.stderr and "- diaSource.reliability" in r.stderr and "+ diaSource.fluxOfThePsf" in r.stderr and
           "weather" in r.stderr, f"the new id is told once, field by field ({name})", r.stderr)
    with open("maps/wrong.map", "w", encoding="ascii") as f:
        f.write("amend lsst\nflox |= diaSource.fluxOfThePsf\n")
    r, _, _ = run("new", "wrong", *mapped)
    ok(r.returncode == 1 and "wrong.map:2" in r.stderr and "flox" in r.stderr, "a mistake in the map is told with file and line", r.stderr)


def main():
    with Folder():
        schema, alerts = night()
        a_release_never_seen(schema, alerts)
    done()


main()
