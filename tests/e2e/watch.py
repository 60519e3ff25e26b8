#!/usr/bin/env python3
"""nightjar watch: a list becomes a catalogue, settings and a topic; each row has its own radius, owner and
date; rows that are wrong are named; CSV, VOTable and the daily file of the TNS."""

import os
from tap import ROOT, Folder, done, nightjar, ok, rows

NIGHT = f"{ROOT}/data/sample.tar.gz"


def sky():
    """Positions of four alerts of the sample that are far from each other, and their Julian Dates."""
    nightjar(*f"run {NIGHT} -m nalerthist -o ndjson:sky.ndjson".split())
    found = []
    for r in rows("sky.ndjson"):
        if all(abs(r["ra"] - f["ra"]) + abs(r["dec"] - f["dec"]) > 0.1 for f in found) and abs(r["dec"]) < 80:
            found.append(r)
    return found[:4]


def write(name, text):
    with open(name, "w", encoding="utf-8") as f:
        f.write(text)


def watch(*args):
    return nightjar("watch", *args)


def run(name):
    out = f"{name}.ndjson"
    for x in (out, out + ".journal"):
        if os.path.exists(x):
            os.remove(x)
    r = nightjar(*f"run -c {name}.ini -m {name} -t {name} -o ndjson:{out} {NIGHT}".split())
    ok(r.returncode == 0, f"{name}: what it prints runs", r.stderr)
    return {x["candid"]: x for x in rows(out)}


def a_list(at):
    north = lambda r, arcsec: (r["ra"], r["dec"] + arcsec / 3600)
    later, before = at[2]["jd"] + 10, at[3]["jd"] - 10
    write(
        "my-list.csv",
        "objname,ra,dec,radius,owner,expires\n"
        + '"wide, ""mine""",{},{},5,anna,2100-01-01\n'.format(*north(at[0], 3))
        + "narrow,{},{},2,bo,\n".format(*north(at[1], 3))
        + "usual,{},{},,,{}\n".format(*north(at[2], 1), later)
        + "past,{},{},5,bo,{}\n".format(*north(at[3], 1), "2100-01-01")
        + "gone,10,10,5,bo,2001-01-01T10:00:00Z\n"
        + "a,nan,2,,bo,\nb,151,95,,bo,\nc,152,2,-1,bo,\nd,153,2,x,bo,\ne,154,2,1,bo,soon\nf,155,2\n",
    )
    r = watch("my-list.csv", "--force")
    ok(r.returncode == 0, "a list is taken", r.stderr)
    ok("my_list.njx: 3 rows, 6 bad ones left out, 2 expired ones left out" in r.stdout, "counted", r.stdout)
    for words in (
        "row 6 (line 7): no position: ra is 'nan'",
        "row 7 (line 8): no position: dec is '95'",
        "row 8 (line 9): no radius above 0 and up to 10 degrees: radius is '-1'",
        "row 9 (line 10): no radius above 0 and up to 10 degrees: radius is 'x'",
        "row 10 (line 11): no date: expires is 'soon'",
        "row 11 (line 12): 3 cells where the header has 6",
    ):
        ok(words in r.stderr, f"named: {words}", r.stderr)
    ok("nightjar run -c my_list.ini -m my_list -t my_list" in r.stdout, "how to run it", r.stdout)
    with open("my_list.ini", encoding="utf-8") as f:
        text = f.read()
    ok(all(f"    {line}" in r.stdout for line in text.split("\n") if line), "the settings it wrote", r.stdout)
    return text


def radii_owners_and_dates(at):
    text = a_list(at)
    got = run("my_list")
    match = got.get(at[0]["candid"])
    ok(match, "3 arcsec away, and the row's radius is 5: it matches", list(got))
    ok(match and match["my_list.id"] == 'wide, "mine"', "with its name", match)
    ok(match and match["my_list.owner"] == "anna", "its owner", match)
    ok(at[1]["candid"] not in got, "3 arcsec away, and the row's radius is 2: none", list(got))
    return text


def settings_are_kept(text):
    write("my_list.ini", text + "; mine\n")
    r = watch("my-list.csv")
    ok("is there and is kept" in r.stderr, "settings that were changed are kept", r.stderr)
    ok("where = my_list.n > 0" in r.stderr, "and what they would be is shown", r.stderr)
    ok(open("my_list.ini").read().endswith("; mine\n"), "they are as they were")
    r = watch("my-list.csv", "--force")
    ok(open("my_list.ini").read() == text, "--force writes them", r.stdout)
    ok("as it was" in watch("my-list.csv").stdout, "the same ones are no matter")


def dates_end(at):
    """An alert later than the date of its row is not in the topic, but the row's columns say which it was."""
    write(
        "dates.csv",
        "id,ra,dec,expires\n" + "".join(f"x{k},{r['ra']},{r['dec']},\n" for k, r in enumerate(at)),
    )
    watch("dates.csv", "--radius", "3")
    ok({r["candid"] for r in at} <= set(run("dates")), "rows without a date count for good")
    clause = open("dates.ini").read()
    ok("dates.expires is null or jd < dates.expires" in clause, "the topic looks at the date", clause)
    write("dates.ini", clause.replace("jd < dates.expires", f"jd < {at[0]['jd']}").replace("is null", "= 0"))
    ok(at[0]["candid"] not in run("dates"), "an alert at or behind the date is left out")


def other_forms(at):
    cells = "".join(
        f"<TR><TD>v{k}</TD><TD>{r['ra']}</TD><TD>{r['dec']}</TD><TD>0.001</TD></TR>" for k, r in enumerate(at)
    )
    write(
        "votable.xml",
        '<?xml version="1.0"?><VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>'
        '<TABLE><FIELD name="name" datatype="char" arraysize="*"/><FIELD name="RAJ2000" datatype="double" '
        'unit="deg"/><FIELD name="DEJ2000" datatype="double" unit="deg"/>'
        '<FIELD name="radius" datatype="double" unit="deg"/>'
        f'<DATA><TABLEDATA>{cells}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>',
    )
    r = watch("votable.xml")
    ok(r.returncode == 0, "a VOTable is taken", r.stderr)
    got = run("votable")
    ok({x["candid"] for x in at} <= set(got), "its rows match", (r.stdout, len(got)))
    ok(all(abs(x["votable.radius"] - 3.6) < 1e-9 for x in got.values()), "radii in degrees are arcseconds")
    head = '"2026-11-29 00:00:00 - 23:59:59"\n'
    head += '"objid","name_prefix","name","ra","declination","redshift","type"\n'
    lines = "".join(
        f'"{k}","SN","2026ab{k}","{r["ra"]}","{r["dec"]}","0.0{k + 1}","SN Ia"\n' for k, r in enumerate(at)
    )
    write("tns_public_objects.csv", head + lines)
    r = watch("tns_public_objects.csv", "--name", "tns_all", "--columns", "type,redshift", "--radius", "1.5")
    ok(r.returncode == 0, "the daily file of the TNS, with two lines of header", r.stderr)
    got = run("tns_all")[at[1]["candid"]]
    ok(
        (got["tns_all.id"], got["tns_all.type"], got["tns_all.redshift"]) == ("2026ab1", "SN Ia", 0.02),
        "its columns",
        got,
    )


def refused():
    def of(words, code, *args):
        r = watch(*args)
        ok(r.returncode == code, f"{words}: exit {code}", r.stderr)
        ok(words in r.stderr, f"says '{words}'", r.stderr)

    write("bad.csv", "name,ra,dec\na,x,1\nb,y,2\n")
    write("other.csv", "name,alpha,delta\na,1,1\n")
    write("unit.csv", "# unit\nname,ra,dec\na,1,1\n")
    of("no row is left of 2", 2, "bad.csv")
    of("no position: no column 'ra' (there are: name, alpha, delta)", 2, "other.csv")
    of("did you mean 'alpha'?", 2, "other.csv", "--ra", "alpa", "--dec", "delta")
    of("no column 'who'", 2, "other.csv", "--ra", "alpha", "--dec", "delta", "--owner", "who")
    of("which LIST?", 1)
    of("must be [a-z][a-z0-9_]*", 1, "bad.csv", "--name", "My List")
    of("absent.csv", 2, "absent.csv")
    ok(not [f for f in os.listdir(".") if f.endswith(".list")], "nothing is left behind", os.listdir("."))


with Folder():
    places = sky()
    ok(len(places) == 4, "four places", places)
    kept = radii_owners_and_dates(places)
    settings_are_kept(kept)
    dates_end(places)
    other_forms(places)
    refused()
done()
