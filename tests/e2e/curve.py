#!/usr/bin/env python3
"""nightjar curve: pictures of light curves whose truth is known, and what it says when there is none."""

import math, os, random, re
from xml.etree import ElementTree
from avro import make_container
from tap import Folder, done, nightjar, ok

SOURCE = [
    ("diaSourceId", "long"),
    ("diaObjectId", ["null", "long"]),
    ("ssObjectId", ["null", "long"]),
    ("midpointMjdTai", "double"),
    ("psfFlux", "double"),
    ("psfFluxErr", "double"),
    ("band", "string"),
    ("ra", "double"),
    ("dec", "double"),
]
SSO = [("phaseAngle", "double"), ("helioRange", "double"), ("topoRange", "double")]


def record(name, fields):
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields]}


ALERT = {
    **record(
        "alert",
        [
            ("diaSource", record("diaSource", SOURCE)),
            ("prvDiaSources", ["null", {"type": "array", "items": "diaSource"}]),
            ("ssSource", ["null", record("ssSource", SSO)]),
        ],
    ),
    "namespace": "lsst.v99_0",
}


def source(id, object, mjd, flux, err, band, sso=None):
    place = {"ra": 10.0, "dec": -5.0}
    ids = {"diaSourceId": id, "diaObjectId": object, "ssObjectId": sso}
    return {**ids, "midpointMjdTai": mjd, "psfFlux": flux, "psfFluxErr": err, "band": band, **place}


def write(path, alerts):
    with open(path, "wb") as f:
        f.write(make_container(ALERT, alerts))


def alert(points, sso=None):
    return {"diaSource": points[-1], "prvDiaSources": points[:-1] or None, "ssSource": sso}


def picture(*args):
    """The text of the picture, its title, and the command's answer."""
    r = nightjar("curve", *args)
    text = r.stdout
    title = ElementTree.fromstring(text).findall(".//{*}text")[0].text if r.returncode == 0 else ""
    return text, title, r


def variable(rng, id, object, period):
    points = []
    for i in range(120):
        t = 61000 + 200 * rng.random()
        flux = 5000 + 2000 * math.sin(2 * math.pi * t / period) + rng.gauss(0, 50)
        points.append(source(id + i, object, t, flux, 50.0, "gr"[i % 2]))
    return sorted(points, key=lambda p: p["midpointMjdTai"])


def supernova(id, object):
    points = []
    for i in range(40):
        d = -15 + 2 * i
        flux = 30000 * math.exp(-d / 30) / (1 + math.exp(-d / 4))
        points.append(source(id + i, object, 61020 + d, flux, 200.0, "gri"[i % 3]))
    return points


def asteroid(rng, id, sso):
    out = []
    for i in range(60):
        a = 1 + 0.4 * i
        basis = [
            math.exp(-3.332 * math.tan(math.radians(a) / 2) ** 0.631),
            math.exp(-1.862 * math.tan(math.radians(a) / 2) ** 1.218),
        ]
        mag = 16 - 2.5 * math.log10(0.85 * basis[0] + 0.15 * basis[1]) + 5 * math.log10(2.5 * 1.6)
        flux = 3631e9 * 10 ** (-0.4 * (mag + rng.gauss(0, 0.01)))
        s = source(id + i, None, 61000 + i, flux, 0.01 * flux, "r", sso)
        out.append(alert([s], {"phaseAngle": a, "helioRange": 2.5, "topoRange": 1.6}))
    return out


with Folder():
    rng = random.Random(4)
    write("two.avro", [alert(variable(rng, 1, 7, 0.731)), alert(supernova(1000, 8))])
    text, title, r = picture("two.avro")
    ok(r.returncode == 0 and title == "7: 120 points", "the first object, without a fit", title + r.stderr)
    ok(text.count("<circle") == 122, "a mark for every point, and for each band", text.count("<circle"))
    text, title, r = picture("two.avro", "--object", "8")
    ok(title == "8: 40 points", "an object by its id", title)
    text, title, r = picture("two.avro", "--object", "1119")
    ok(r.returncode == 2 and "1119" in r.stderr, "an object that is not there: exit code 2", r.stderr)
    text, title, r = picture("two.avro", "--fit", "period")
    found = float(re.search(r"period ([\d.]+) d", title)[1]) if r.returncode == 0 else 0
    ok(abs(found / 0.731 - 1) < 1e-3, "the period that was put in", title + r.stderr)
    ok("folded" in text, "and the light curve folded with it")
    text, title, r = picture("two.avro", "--object", "8", "--fit", "rainbow")
    ok(
        "bazin+sigmoid" in title and text.count("stroke-width") == 3,
        "a fit, a line for each band",
        title + r.stderr,
    )
    text, title, r = picture("two.avro", "--object", "8", "--fit", "rainbow", "--terms", "sigmoid+constant")
    ok("sigmoid+constant" in title, "other terms", title + r.stderr)
    text, title, r = picture("two.avro", "--fit", "rainbow", "--terms", "bazin")
    ok(r.returncode == 3 and "bazin+sigmoid" in r.stderr, "terms that are none", r.stderr)
    text, title, r = picture("two.avro", "--fit", "phase")
    ok(r.returncode == 3 and "HG1G2" in r.stderr, "no phase curve of what has no phase angle", r.stderr)
    write("sso.avro", asteroid(rng, 1, 42))
    nightjar("objects", "--by", "sso", "sso.avro", "-m", "phase_curve_hg", "-q", "--merged", "sso")
    text, title, r = picture("sso/lsst.avro", "--fit", "phase", "--object", "42")
    h = float(re.search(r"H_r = ([\d.]+)", title)[1]) if r.returncode == 0 else 0
    ok(abs(h - 16) < 0.1, "the absolute magnitude that was put in", title + r.stderr)
    r = nightjar("curve", "two.avro", "-o", "a.svg")
    ok(r.returncode == 0 and os.path.getsize("a.svg") > 1000, "into a file", r.stderr)
    r = nightjar("curve", "two.avro", "-o", "a.svg")
    ok(r.returncode == 3 and "--overwrite" in r.stderr, "which is not replaced", r.stderr)
    r = nightjar("curve", "two.avro", "-o", "a.svg", "--overwrite")
    ok(r.returncode == 0, "unless --overwrite says so", r.stderr)
    r = nightjar("curve")
    ok(r.returncode == 1, "no SOURCE is wrong usage", r.stderr)
    r = nightjar("curve", "nothing.avro")
    ok(r.returncode == 2, "a source that is not there: exit code 2", r.stderr)
done()
