#!/usr/bin/env python3
"""A survey that nobody has heard of, with its own field names, times, bands and stamps of 51 x 51, runs by
one map and without C: its answers are those of the same alerts in the form of ZTF."""

import gzip, math, os, struct
from glob import glob
from avro import Schema, container, make_container
from tap import Folder, done, nightjar, ok, rows

N, SIDE = 150, 51
MAP = """survey skylark
match name sky.lark
time tai end 45
candid   i64     = number
object   str     = name
survey   str     = "skylark"
jd       f64 d   = seen.mjd offset 2400000.5
ra       f64 deg = seen.where.alpha
dec      f64 deg = seen.where.delta
band     str     = seen.colour {green:g red:r infra:i}
mag      f64 mag = seen.centimag scale 0.01
mag_err  f64 mag = seen.centimag_sd scale 0.01
positive u8      = seen.brightened {true:1 false:0}
ndethist i32     = sightings
first_jd f64 d   = first_mjd offset 2400000.5
ref_dist   f64 pixel  = seen.ref.pixels
near1_star f32        = neighbour.starlike
near1_dist f32 arcsec = neighbour.milliarcsec scale 0.001
sso_dist   f32 arcsec = asteroid.milliarcsec scale 0.001
stamp_px     i32 pixel  = 51
series lc = before[] + seen
lc.jd       f64 d   = mjd offset 2400000.5
lc.mag      f64 mag = centimag scale 0.01
lc.mag_err  f64 mag = centimag_sd scale 0.01
lc.positive u8      = brightened {true:1 false:0}
lc.band     u8      = colour {green:1 red:2 infra:3}
lc.kind     u8      = centimag ? 0 : 1
lc.ref_dist f64 pixel   = ref.pixels
lc.ref_mag  f64 mag     = ref.mag
lc.ref_mag_err f64 mag  = ref.sd
stamp.science    image = picture.now
stamp.template   image = picture.then
stamp.difference image = picture.change
"""


def record(name, *fields):
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields]}


MAYBE = ["null", "double"]
REF = record("ref", ("pixels", MAYBE), ("mag", MAYBE), ("sd", MAYBE))
POINT = [
    ("mjd", "double"),
    ("centimag", MAYBE),
    ("centimag_sd", MAYBE),
    ("brightened", ["null", "boolean"]),
    ("colour", "string"),
]
SCHEMA = {
    **record(
        "lark",
        ("number", "long"),
        ("name", "string"),
        ("picture", record("picture", ("now", "bytes"), ("then", "bytes"), ("change", "bytes"))),
        (
            "seen",
            record(
                "seen",
                ("where", record("where", ("alpha", "double"), ("delta", "double"))),
                *POINT,
                ("ref", REF),
            ),
        ),
        ("before", {"type": "array", "items": record("before", ("ref", "ref"), *POINT)}),
        ("sightings", "int"),
        ("first_mjd", "double"),
        ("neighbour", record("neighbour", ("starlike", MAYBE), ("milliarcsec", MAYBE))),
        ("asteroid", record("asteroid", ("milliarcsec", MAYBE))),
    ),
    "namespace": "sky",
}


def simulated():
    """ZTF's packets as dictionaries."""
    r = nightjar("simulate", "-q", "-n", N, "--seed", 5, "-o", "ztf", "--truth", "truth.csv")
    ok(r.returncode == 0, f"{N} alerts in the form of ZTF", r.stderr)
    out = []
    for name in sorted(glob("ztf/*.avro")):
        with open(name, "rb") as f:
            schema, datums = container(f.read())
        out += [Schema(schema).read(d) for d in datums]
    return out


def known(value, scale=1.0):
    """ZTF's -999 and the like are no value."""
    return None if value is None or value <= -99 else value * scale


def centre(stamp):
    """The central 51 x 51 of a gzipped FITS image, as a plain one; what is smaller is left as it is."""
    data = gzip.decompress(stamp)
    card = {data[i : i + 8].strip(): data[i + 10 : i + 30].strip() for i in range(0, 2880, 80)}
    cols, rows_ = int(card[b"NAXIS1"]), int(card[b"NAXIS2"])
    side = (min(SIDE, rows_), min(SIDE, cols))
    top, left = rows_ // 2 - side[0] // 2, cols // 2 - side[1] // 2
    head = [
        "SIMPLE  =                    T",
        "BITPIX  =                  -32",
        "NAXIS   =                    2",
        f"NAXIS1  = {side[1]:20d}",
        f"NAXIS2  = {side[0]:20d}",
        "END",
    ]
    start = (data.index(b"END     ") // 2880 + 1) * 2880
    body = b"".join(data[start + 4 * ((top + i) * cols + left) :][: 4 * side[1]] for i in range(side[0]))
    return "".join(f"{c:80}" for c in head).ljust(2880).encode() + body.ljust(
        -(-len(body) // 2880) * 2880, b"\0"
    )


def point(p):
    return {
        "mjd": p["jd"] - 2400000.5,
        "centimag": known(p["magpsf"], 100),
        "centimag_sd": known(p["sigmapsf"], 100),
        "brightened": None if p["isdiffpos"] is None else p["isdiffpos"] in ("t", "1"),
        "colour": {1: "green", 2: "red", 3: "infra"}[p["fid"]],
        "ref": {"pixels": p["distnr"], "mag": p["magnr"], "sd": p["sigmagnr"]},
    }


def skylark(a):
    c = a["candidate"]
    return {
        "number": a["candid"],
        "name": a["objectId"],
        "picture": {
            k: centre(a[s]["stampData"])
            for k, s in (("now", "cutoutScience"), ("then", "cutoutTemplate"), ("change", "cutoutDifference"))
        },
        "seen": {"where": {"alpha": c["ra"], "delta": c["dec"]}, **point(c)},
        "before": [point(p) for p in a["prv_candidates"] or []],
        "sightings": c["ndethist"],
        "first_mjd": c["jdstarthist"] - 2400000.5,
        # no neighbour is said as a score of -1 at 1000 arcsec: null would be "not known"
        "neighbour": {
            "starlike": c["sgscore1"] if c["sgscore1"] is None or c["sgscore1"] >= 0 else -1.0,
            "milliarcsec": known(c["distpsnr1"], 1000) or 1e6,
        },
        "asteroid": {"milliarcsec": known(c["ssdistnr"], 1000)},
    }


def near(a, b):
    if isinstance(a, float) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-6)
    return a == b


def run(source, out, *args):
    r = nightjar(
        "run",
        source,
        "-q",
        "-m",
        "roid,hostless,features",
        "-D",
        "module.hostless.repeats=4",
        "-o",
        f"ndjson:{out}",
        "--report",
        out + ".json",
        *args,
    )
    got = {x["candid"]: x for x in rows(out)} if r.returncode == 0 else {}
    return r, got


def same(ours, theirs, module):
    """Rows whose columns of a module differ; the number of values compared."""
    bad, n = [], 0
    for candid, b in theirs.items():
        a = ours.get(candid, {})
        for key in b:
            if key.startswith(module + "."):
                n += b[key] is not None
                if not near(a.get(key), b[key]):
                    bad.append((candid, key, a.get(key), b[key]))
    return bad, n


def main():
    alerts = simulated()
    os.mkdir("maps")
    with open("maps/skylark.map", "w") as f:
        f.write(MAP)
    with open("lark.avro", "wb") as f:
        f.write(make_container(SCHEMA, [skylark(a) for a in alerts]))
    _, ztf = run("ztf", "z.ndjson", "-D", "module.hostless.stamp_px=51")
    r, own = run("lark.avro", "s.ndjson", "-D", "decode.maps=maps")
    ok(set(own) == set(ztf) and len(own) == N, "every alert has its row", r.stderr)
    ok({x["survey"] for x in own.values()} == {"skylark"}, "of the survey that the map names")
    for module in ("roid", "hostless", "features"):
        bad, n = same(own, ztf, module)
        ok(n > N, f"{module}: {n} values")
        ok(not bad, f"{module}: the same answers in either form", bad[:5])
    ok(
        {x["roid.roid"] for x in own.values()} >= {0, 1, 3},
        "asteroids among them",
        {x["roid.roid"] for x in own.values()},
    )
    ok(any(x["hostless.ks_science"] is not None for x in own.values()), "candidates of hostless among them")
    ok(
        any(x["hostless.reason"] == "range" for x in own.values())
        == any(x["hostless.reason"] == "range" for x in ztf.values()),
        "stamps that are too small are range",
    )

    _, ztf_topic = run(
        "ztf",
        "zt.ndjson",
        "-t",
        "hostless_intra_night",
        "-t",
        "hostless_new",
        "-D",
        "module.hostless.stamp_px=51",
    )
    r, own_topic = run(
        "lark.avro", "st.ndjson", "-t", "hostless_intra_night", "-t", "hostless_new", "-D", "decode.maps=maps"
    )
    ok(len(own_topic) > 0, "the ready topics of hostless have alerts", r.stderr)
    ok(set(own_topic) == set(ztf_topic), "the same ones", (len(own_topic), len(ztf_topic)))

    # without the line of the stamps there are no rules for 51 x 51, and nothing else changes
    with open("maps/skylark.map", "w") as f:
        f.write("".join(line + "\n" for line in MAP.splitlines() if not line.startswith("stamp_px")))
    _, none = run("lark.avro", "n.ndjson", "-D", "decode.maps=maps")
    ok({x["hostless.reason"] for x in none.values()} == {"range"}, "without stamp_px: range")
    ok(not same(none, ztf, "features")[0], "without stamp_px: features as before")
    with open("maps/skylark.map", "w") as f:
        f.write(MAP)
    r = nightjar("inspect", "--hostless", "lark.avro", "-o", "pages", "-D", "decode.maps=maps")
    pages = glob("pages/[0-9]*.html")
    ok(r.returncode == 0, "pages of its candidates", r.stderr)
    ok(len(pages) == sum(x["hostless.candidate"] == 1 for x in own.values()), "one for each", len(pages))
    with open(pages[0], encoding="utf-8") as f:
        text = f.read()
    ok('viewBox="0 0 51 51"' in text, "with stamps of 51 x 51")
    ok(">10 px<" in text, "a bar in pixels, as the map names no scale")


with Folder():
    main()
done()
