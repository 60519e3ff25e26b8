#!/usr/bin/env python3
"""regions.py - the module region against mocpy and astropy on 10^5 positions: coverage maps in every format,
cones, polygons, bands; files that are wrong are refused by name."""

import base64, gzip, hashlib, json, os, struct, warnings
from tap import ROOT, Folder, done, needs, nightjar, ok, report, rows

needs("mocpy", "astropy", "astropy_healpix", "numpy")
import astropy.units as u
import numpy as np
from astropy.coordinates import (
    Angle,
    BarycentricMeanEcliptic,
    Galactic,
    ICRS,
    FK5,
    Latitude,
    Longitude,
    SkyCoord,
)
from astropy.table import Table
from astropy_healpix import healpix_to_lonlat, level_ipix_to_uniq, lonlat_to_healpix
from mocpy import MOC

warnings.simplefilter("ignore")
N = 100_000
rng = np.random.default_rng(20260507)


def positions():
    ra = rng.uniform(0, 360, N)
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, N)))
    near = np.arange(N) % 4 == 0  # around the poles, the meridian and what the maps below hold
    ra[near] = (rng.choice([0, 0, 45, 150, 266.4, 359.9], near.sum()) + rng.normal(0, 2, near.sum())) % 360
    dec[near] = np.clip(
        rng.choice([0, 90, -90, 2, -29, 41.8], near.sum()) + rng.normal(0, 2, near.sum()), -90, 90
    )
    return ra, dec


def check(files, ra, dec, names):
    """Rows whose names differ, by `nightjar check` over a table of reference values."""
    with open("values.csv", "w") as f:
        f.write("# by mocpy and astropy\nra,dec,=inside,=n,=names,=reason\n")
        for a, d, n in zip(ra, dec, names):
            f.write(f'{float(a)!r},{float(d)!r},{int(bool(n))},{len(n)},"{",".join(n)}",done\n')
    sets = ("-D", "module.here.kind=region", "-D", f"module.here.files={files}")
    r = nightjar("check", "here", *sets, "--values", "values.csv", timeout=600)
    return r


def inside_polygon(vertices, ra, dec):
    """By the angles that the corners span around each position, on the sphere."""
    to = lambda a, d: np.stack(
        [np.cos(np.radians(d)) * np.cos(np.radians(a)), np.cos(np.radians(d)) * np.sin(np.radians(a)),
         np.sin(np.radians(d))], -1,
    )  # fmt: skip
    p, v = to(ra, dec), to(*np.array(vertices, float).T)
    turn = np.zeros(len(p))
    for a, b in zip(v, np.roll(v, -1, 0)):
        turn += np.arctan2(p @ np.cross(a, b), a @ b - (p @ a) * (p @ b))
    middle = v.sum(0)
    return (np.abs(turn) > np.pi) & (p @ middle > 0)


def every_format_equals_mocpy():
    ra, dec = positions()
    at = lambda a, d: (Longitude(np.atleast_1d(a) * u.deg), Latitude(np.atleast_1d(d) * u.deg))
    cone = lambda a, d, r, order: MOC.from_cone(
        Longitude(a * u.deg), Latitude(d * u.deg), radius=Angle(r * u.deg), max_depth=order
    )
    pole = cone(12, 89, 3, 10).union(cone(100, -88.5, 2.5, 9))
    wide = cone(0, 0, 40, 7).union(cone(266.4, -29, 3, 12))
    deep = MOC.from_lonlat(*at(ra[:2000], dec[:2000]), max_norder=29)
    ragged = MOC.from_healpix_cells(
        rng.choice(12 * 4**6, 9000, False).astype(np.uint64), np.full(9000, 6, np.uint8), 6
    )
    whole, empty = MOC.from_str("0/0-11"), MOC.from_str("5/")
    pole.save("pole.fits", "fits", overwrite=True)
    wide.save("wide.moc.fits", "fits", overwrite=True, pre_v2=True)
    deep.save("deep.json", "json", overwrite=True)
    ragged.save("ragged.txt", "ascii", overwrite=True)
    whole.save("whole.txt", "ascii", overwrite=True)
    empty.save("empty.fits", "fits", overwrite=True)
    with gzip.open("packed.fits.gz", "wb") as f, open("pole.fits", "rb") as g:
        f.write(g.read())
    maps = {
        "pole": pole,
        "wide": wide,
        "deep": deep,
        "ragged": ragged,
        "whole": whole,
        "empty": empty,
        "packed": pole,
    }
    inside = {k: m.contains_lonlat(*at(ra, dec)) for k, m in maps.items()}
    names = [[k for k in maps if inside[k][i]] for i in range(N)]
    r = check(
        "pole.fits, wide.moc.fits, deep.json, ragged.txt, whole.txt, empty.fits, packed.fits.gz",
        ra,
        dec,
        names,
    )
    ok(
        r.returncode == 0,
        f"FITS ranges, NUNIQ, JSON, ASCII, gzip: {N} positions as mocpy",
        r.stdout + r.stderr,
    )
    ok(inside["deep"].sum() >= 2000, "2,000 of them in single cells of order 29", inside["deep"].sum())
    names[N // 2] = ["pole"]
    r = check("pole.fits, wide.moc.fits, deep.json, ragged.txt, whole.txt", ra[: N // 2 + 1], dec, names)
    ok(r.returncode == 5, "a row that is wrong is found", r.stdout)


def shapes_and_bands_equal_astropy():
    ra, dec = positions()
    sky = SkyCoord(ra * u.deg, dec * u.deg)
    square = [(149, 1), (151.5, 1.2), (151, 3.4), (148.7, 2.9)]
    arrow = [(350, -20), (10, -20), (0, 0), (10, 25), (350, 20), (355, 3)]  # not convex, over the meridian
    cap = [(0, 85), (90, 84), (180, 86), (270, 83)]  # around the pole
    spell = lambda v: "polygon(" + ",".join(f"{a},{d}" for a, d in v) + ")"
    open("a.reg", "w").write(
        f"# Region file format: DS9\nglobal color=green\nicrs\n{spell(square)} # text={{x}}\n"
    )
    open("b.reg", "w").write(f"icrs;{spell(arrow)};{spell(cap)}\n")
    open("c.reg", "w").write(
        "icrs\ncircle(10:00:00,+02:00:00,1800\")\n+circle 359.9d -1d 90'\nfk5; circle(266.4,-29,2)\n"
    )
    open("d.reg", "w").write("galactic\ncircle(0.5,-0.25,3)\necliptic\ncircle 10 80 4\n")
    fk5 = SkyCoord(266.4 * u.deg, -29 * u.deg, frame=FK5(equinox="J2000")).icrs
    near = lambda c, r: sky.separation(c.icrs).deg <= r
    at = lambda a, d, **k: SkyCoord(a * u.deg, d * u.deg, **k)
    b = sky.galactic.b.deg
    beta = sky.transform_to(BarycentricMeanEcliptic()).lat.deg
    inside = {
        "a": inside_polygon(square, ra, dec),
        "b": inside_polygon(arrow, ra, dec) | inside_polygon(cap, ra, dec),
        "c": near(at(150, 2), 0.5) | near(at(359.9, -1), 1.5) | near(fk5, 2),
        "d": near(at(0.5, -0.25, frame=Galactic), 3) | near(at(10, 80, frame=BarycentricMeanEcliptic), 4),
        "plane": np.abs(b) <= 10,
        "ecliptic": (beta >= -5) & (beta <= 7.5),
    }
    names = [[k for k in inside if inside[k][i]] for i in range(N)]
    r = check("a.reg, b.reg, c.reg, d.reg, galactic -10 10:plane, ecliptic -5 7.5", ra, dec, names)
    ok(r.returncode == 0, f"circles, polygons, bands: {N} positions as astropy", r.stdout + r.stderr)
    for k in inside:
        ok(inside[k].sum() > 20, f"{k}: some are inside", inside[k].sum())


def skymap():
    """A made map of two blobs: fine cells where it is likely, coarse ones elsewhere, shuffled."""
    cells, done_cells = np.arange(12 * 4**3), []
    for order, radius in ((3, 25), (4, 18), (5, 12), (6, 8), (7, 4), (8, 0)):
        here = SkyCoord(*healpix_to_lonlat(cells, 2**order, order="nested"))
        near = np.minimum(*(here.separation(c).deg for c in CENTRES)) < radius
        done_cells += [(order, int(k)) for k in cells[~near]]
        cells = (4 * cells[near][:, None] + np.arange(4)).ravel()
    cells = done_cells
    rng.shuffle(cells)
    order, pixel = np.array(cells).T
    lon, lat = healpix_to_lonlat(pixel, 2**order, order="nested")
    here = SkyCoord(lon, lat)
    density = sum(np.exp(-((here.separation(c).deg / s) ** 2) / 2) for c, s in zip(CENTRES, (3, 6))) + 1e-6
    density *= rng.uniform(0.9, 1.1, len(order))
    area = 4 * np.pi / 12 / 4.0**order
    density /= (density * area).sum()
    t = Table()
    t["UNIQ"] = level_ipix_to_uniq(order, pixel).astype(np.int64)
    t["PROBDENSITY"] = density
    t["DISTMU"] = np.where(rng.random(len(order)) < 0.1, np.inf, rng.normal(100, 20, len(order)))
    t["DISTSIGMA"] = rng.uniform(5, 30, len(order)).astype(np.float32)
    t["DISTNORM"] = rng.uniform(0, 1, len(order))
    t.meta.update({"ORDERING": "NUNIQ", "COORDSYS": "C", "PIXTYPE": "HEALPIX", "MOCORDER": int(order.max())})
    return t, order, pixel, area


CENTRES = [SkyCoord(150 * u.deg, 2 * u.deg), SkyCoord(358 * u.deg, -80 * u.deg)]


def skymaps_equal_astropy_healpix():
    ra, dec = positions()
    half = np.arange(N) % 2 == 1  # half of them around the blobs
    which = rng.integers(0, 2, N)
    for k, c in enumerate(CENTRES):
        near = c.directional_offset_by(rng.uniform(0, 360, N) * u.deg, np.abs(rng.normal(0, 8, N)) * u.deg)
        ra = np.where(half & (which == k), near.ra.deg, ra)
        dec = np.where(half & (which == k), near.dec.deg, dec)
    t, order, pixel, area = skymap()
    t.write("gw.multiorder.fits", overwrite=True)
    density = np.array(t["PROBDENSITY"])
    best = np.argsort(-density, kind="stable")
    level = np.empty(len(t))
    level[best] = np.minimum(np.cumsum((density * area)[best]), 1)
    row = np.full(N, -1)
    for o in np.unique(order):
        at = {int(p): int(i) for i, p in enumerate(pixel) if order[i] == o}
        cell = lonlat_to_healpix(ra * u.deg, dec * u.deg, 2 ** int(o), order="nested")
        row = np.array([at.get(int(c), r) for c, r in zip(cell, row)])
    ok((row >= 0).all(), "the made map covers the sky", (row < 0).sum())
    cell = lambda v: "" if not np.isfinite(v) else repr(float(v))
    with open("values.csv", "w") as f:
        f.write("# by astropy-healpix\n# tolerance 1e-9\n")
        f.write("ra,dec,=inside,=names,=level,=prob,=distmu,=distsigma,=reason\n")
        for a, d, i in zip(ra, dec, row):
            inside = level[i] <= 0.5
            values = (level[i], density[i] / (180 / np.pi) ** 2, t["DISTMU"][i], t["DISTSIGMA"][i])
            name = "gw" if inside else ""
            f.write(f"{float(a)!r},{float(d)!r},{int(inside)},{name},{','.join(map(cell, values))},done\n")
    sets = ("-D", "module.here.kind=region", "-D", "module.here.files=gw.multiorder.fits")
    r = nightjar("check", "here", *sets, "-D", "module.here.level=0.5", "--values", "values.csv", timeout=600)
    ok(
        r.returncode == 0,
        f"a skymap of {len(t)} cells: {N} positions as astropy-healpix",
        r.stdout + r.stderr,
    )
    ok((level[row] <= 0.5).sum() > 1000, "many are within the level", (level[row] <= 0.5).sum())
    r = run_with("gw.multiorder.fits:gw, galactic -10 10:plane")
    ok(r.returncode == 0, "a skymap beside other regions", r.stderr)
    return t


def notices_are_read():
    """As igwn.gwalert sends them; the map is the one above, so that its values are known."""
    with open("gw.multiorder.fits", "rb") as f:
        text = base64.b64encode(f.read()).decode()
    notice = lambda kind, event: json.dumps(
        {"alert_type": kind, "superevent_id": "MS260507a", "event": event, "external_coinc": None}
    )
    open("MS260507a.json", "w").write(notice("PRELIMINARY", {"skymap": text, "group": "CBC"}))
    sets = ("-D", "module.here.kind=region", "-D", "module.here.files=MS260507a.json:gw")
    r = nightjar("check", "here", *sets, "-D", "module.here.level=0.5", "--values", "values.csv", timeout=600)
    ok(r.returncode == 0, f"a notice: {N} positions as its skymap", r.stdout + r.stderr)
    for kind, event in (("RETRACTION", None), ("EARLYWARNING", {"skymap": None})):
        open("MS260507a.json", "w").write(notice(kind, event))
        r = check("MS260507a.json:gw", [150.0], [2.0], [[]])
        ok(r.returncode == 0, f"a notice without a map ({kind}) holds nothing", r.stdout + r.stderr)
    for name, written in (
        ("in lines", "\r\n".join(text[k : k + 76] for k in range(0, len(text), 76))),
        ("without its end", text.rstrip("=")),
        ("url-safe", text.replace("+", "-").replace("/", "_")),
    ):
        open("MS260507a.json", "w").write(notice("UPDATE", {"skymap": written}))
        r = run_with("MS260507a.json:gw")
        ok(r.returncode == 0, f"base64 {name}", r.stderr)
    twice = notice("UPDATE", {"skymap": text}).replace("{", '{"alert_type": "RETRACTION", ', 1)
    refused("twice.json", twice, "duplicate object key")
    refused("base64.json", notice("UPDATE", {"skymap": "a*b"}), "event.skymap is no base64")
    refused("nofits.json", notice("UPDATE", {"skymap": "YWJj"}), "event.skymap is no FITS file")
    refused("other.json", '{"a": 1}', "neither a MOC")
    refused("broken.json", '{"a": 1', "line 1")
    refused("number.json", notice("UPDATE", {"skymap": 5}), "event.skymap is no text")


def wrong_skymaps_are_refused():
    t = skymap()[0]

    def of(name, *words, **columns):
        made = t.copy()
        for column, change in columns.items():
            made[column] = change(np.array(made[column]))
        made.write("made.fits", overwrite=True)
        refused(name, open("made.fits", "rb").read(), *words)

    def first(value):
        def change(column):
            column[0] = value
            return column

        return change

    of("twice.fits", "add up to 2", PROBDENSITY=lambda c: 2 * c)
    of("minus.fits", "row 1: PROBDENSITY is no probability", PROBDENSITY=first(-1))
    of("nan.fits", "row 1: PROBDENSITY is no probability", PROBDENSITY=first(np.nan))
    of("uniq.fits", "row 1: 3 is no cell", UNIQ=first(3))
    of("overlap.fits", "overlap", UNIQ=lambda c: np.where(np.arange(len(c)) == 0, c[1], c))
    of("text.fits", "must be real numbers", DISTMU=lambda c: c.astype("S4"))


def run_with(files):
    here = ("-m", "here", "-D", "module.here.kind=region", "-D", f"module.here.files={files}")
    return nightjar("run", *here, "-o", "null:", f"{ROOT}/data/sample.tar.gz")


def refused(name, content, *words):
    with open(name, "wb") as f:
        f.write(content if isinstance(content, bytes) else content.encode())
    r = run_with(name)
    ok(r.returncode == 1, f"{name}: exit 1", r.stdout + r.stderr)
    for word in words:
        ok(word in r.stderr, f"{name}: says '{word}'", r.stderr)


def wrong_files_are_refused():
    refused("empty_file.txt", "", "empty_file.txt", "is empty")
    refused("order.txt", "3/1\n30/5", "line 2", "order above 29")
    refused("cell.txt", "0/12", "line 1", "a cell that its order does not have")
    refused("noorder.txt", "5 6", "a cell without an order")
    refused("back.txt", "3/5-2", "a cell")
    refused("time.txt", "t5/1 s3/2", "time")
    refused("open.json", '{"3": [1, 2', "no ']'")
    refused("more.json", '{"3": [1]} x', "more behind")
    refused("float.json", '{"3": [1.5]}', "line 1")
    refused("huge.txt", "29/99999999999999999999999", "cell")
    refused("bin.dat", b"\0\1\2\3", "neither FITS nor text")
    refused("ellipse.reg", "icrs\nellipse(1,2,3,4,5,6,0)\n", "line 2", "not an annulus")
    refused("box.reg", "icrs\nbox(1,2,0,4)\n", "line 2", "sizes must be above 0")
    refused("annulus.reg", "icrs\nannulus(1,2,3,4)\n", "line 2", "not 'annulus'")
    refused("pixels.reg", "image\ncircle(1,2,3)\n", "not in 'image'")
    refused("fk4.reg", "fk4\ncircle(1,2,3)\n", "line 1", "fk5, galactic and ecliptic, not in 'fk4'")
    refused("out.reg", "global width=1 include=0\nicrs\ncircle(1,2,3)\n", "line 1", "taken away")
    refused("bom.txt", b"\xef\xbb\xbf3/1\n30/5", "line 2", "order above 29")
    refused("frame.reg", "circle(1,2,3)\n", "no coordinates of the sky")
    refused("minus.reg", "icrs\n-circle(1,2,3)\n", "taken away")
    refused("numbers.reg", "icrs\ncircle(1,2)\n", "two coordinates and a radius")
    refused("radius.reg", "icrs\ncircle(1,2,-3)\n", "a radius must be")
    refused("pixel.reg", "icrs\ncircle(1,2,3p)\n", "3p")
    refused("lat.reg", "icrs\ncircle(1,92,3)\n", "latitude 92")
    refused("odd.reg", "icrs\npolygon(1,2,3,4,5,6,7)\n", "odd number")
    refused("two.reg", "icrs\npolygon(1,2,3,4)\n", "fewer than three corners")
    refused("half.reg", "icrs\npolygon(0,0,120,0,240,0)\n", "85 degrees")
    refused("nothing.reg", "# Region file\nicrs\n", "has no region")
    for files, word in (
        ("absent.fits", "no such file"),
        ("absent/", "no such folder"),
        ("galactic -10", "a band is"),
        ("galactic 10 -10", "a band is"),
        ("ecliptic -95 0", "a band is"),
        ("", "no file, folder or band"),
        ("galactic -10 10, galactic -5 5", "two regions would be called 'galactic'"),
    ):
        r = run_with(files)
        ok(r.returncode != 0, f"'{files}' is refused", r.stdout)
        ok(word in r.stderr, f"'{files}': says '{word}'", r.stderr)


def card(key, value):
    text = f"'{value:<8}'" if isinstance(value, str) else f"{value:>20}"
    return f"{key:<8}= {text}".ljust(80).encode()


def fits(cards, data, rows=1, width=8, form="1K", name="UNIQ"):
    block = lambda b, pad: b + pad * (-len(b) % 2880)
    primary = [("SIMPLE", "T"), ("BITPIX", 8), ("NAXIS", 0)]
    first = b"".join(
        b"SIMPLE  =                    T".ljust(80) if k == "SIMPLE" else card(k, v) for k, v in primary
    )
    table = [("XTENSION", "BINTABLE"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", width), ("NAXIS2", rows),
             ("PCOUNT", 0), ("GCOUNT", 1), ("TFIELDS", 1), ("TFORM1", form), ("TTYPE1", name)]  # fmt: skip
    table = {**dict(table), **dict(cards)}
    head = b"".join(card(k, v) for k, v in table.items())
    end = b"END".ljust(80)
    return block(first + end, b" ") + block(head + end, b" ") + block(data, b"\0")


def wrong_tables_are_refused():
    uniq = struct.pack(">q", 4 * 4**3 + 100)
    nuniq = [("ORDERING", "NUNIQ")]
    good = fits(nuniq, uniq)
    open("good.fits", "wb").write(good)
    r = nightjar("check", "here", "-D", "module.here.kind=region", "-D", "module.here.files=good.fits")
    ok(r.returncode == 0, "a table by hand is read", r.stdout + r.stderr)
    refused("cut.fits", good[:5000], "is cut off")
    refused("headless.fits", good[:2880], "has no binary table")
    refused("zero.fits", fits(nuniq, struct.pack(">q", 0)), "row 1", "no cell in NUNIQ")
    refused("minus.fits", fits(nuniq, struct.pack(">q", -5)), "no cell in NUNIQ")
    refused("above.fits", fits(nuniq, struct.pack(">q", 2**62)), "no cell in NUNIQ")
    refused("rows.fits", fits([*nuniq, ("NAXIS2", 10**9)], uniq), "is cut off")
    refused("wide.fits", fits([*nuniq, ("TFORM1", "2K")], uniq), "width of the columns")
    refused("real.fits", fits(nuniq, uniq, form="1D"), "no whole numbers")
    refused("scaled.fits", fits([*nuniq, ("TZERO1", 5)], uniq), "scaled")
    refused("form.fits", fits(nuniq, uniq, form="1PK(3)"), "is not read")
    refused("galactic.fits", fits([*nuniq, ("COORDSYS", "G")], uniq), "COORDSYS = G")
    refused("time.fits", fits([*nuniq, ("MOCDIM", "TIME")], uniq), "MOCDIM = TIME")
    refused("odd.fits", fits([("ORDERING", "RANGE")], uniq), "lacks its end")
    refused("back.fits", fits([("ORDERING", "RANGE")], struct.pack(">qq", 5, 5), rows=2), "is no range")
    refused("other.fits", fits([("ORDERING", "NESTED")], uniq, name="PIXEL"), "ORDERING is neither")


def clauses_ask_for_regions():
    sample = f"{ROOT}/data/sample.tar.gz"
    open("all.txt", "w").write("0/0-11")
    open("north.txt", "w").write("0/0-3")
    here = ("-m", "nalerthist,sky,everywhere", "-D", "module.sky.kind=region")
    here += ("-D", "module.sky.files=north.txt, galactic -30 30:plane")
    here += ("-D", "module.everywhere.kind=region", "-D", "module.everywhere.files=all.txt")
    nightjar("run", *here, "-o", "ndjson:all.ndjson", sample)
    every = rows("all.ndjson")
    names = lambda r: (r["sky.names"] or "").split(",")
    for clause, wanted in (
        ("in_region('sky')", lambda r: r["sky.inside"] == 1),
        ("NOT in_region('sky')", lambda r: r["sky.inside"] == 0),
        ("in_region('sky.plane')", lambda r: "plane" in names(r)),
        ("NOT in_region('sky.plane')", lambda r: "plane" not in names(r)),
        ("In_Region( 'sky.north' ) AND rb > 0.2", lambda r: "north" in names(r) and r["rb"] > 0.2),
        ("in_region('sky.plane') OR in_region('sky.north')", lambda r: r["sky.inside"] == 1),
    ):
        r = nightjar("run", *here, "-w", clause, "-o", "ndjson:some.ndjson", "--overwrite", sample)
        ok(r.returncode == 0, f"{clause}: exit 0", r.stderr)
        got, want = [x["candid"] for x in rows("some.ndjson")], [x["candid"] for x in every if wanted(x)]
        ok(got == want, f"{clause}: {len(want)} of {len(every)} alerts", f"{got} {want}")
    topic = ("-t", "here=in_region('everywhere') AND in_region('sky.plane')")
    r = nightjar("run", *here, *topic, "-o", "ndjson:some.ndjson", "--overwrite", sample)
    want = sum("plane" in names(x) for x in every)
    ok(0 < want < len(every), "some of the sample lie in the plane", want)
    ok(len(rows("some.ndjson")) == want, "a topic asks for two instances", r.stderr)
    for clause, word in (
        ("in_region('nosuch')", "no column 'nosuch.inside'"),
        ("in_region(sky)", "takes one text"),
        ("in_region('sky', 'plane')", "takes one text"),
        ("in_region()", "takes one text"),
        ("in_region('')", "not in_region('')"),
        ("in_region('sky.')", "not in_region('sky.')"),
        ("in_region('sky.plan')", "sky has no region 'plan', and no folder that could bring one"),
        ("in_region('sky.plan')", "did you mean 'plane'?"),
        ("NOT in_region('sky.completely_other')", "it has north,plane"),
        ("in_region('sky') OR in_region('everywhere.al')", "did you mean 'all'?"),
        ("in_region('x''y')", "not in_region('x''y')"),
    ):
        r = nightjar("run", *here, "-w", clause, "-o", "null:", sample)
        ok(r.returncode == 1, f"{clause}: exit 1", r.stderr)
        ok(word in r.stderr, f"{clause}: says {word}", r.stderr)


def regions_that_may_come():
    """A name that only a folder could bring is said once; when it is there, it answers."""
    sample = f"{ROOT}/data/sample.tar.gz"
    os.mkdir("maps")
    open("maps/south.txt", "w").write("0/8-11")
    open("whole.reg", "w").write("icrs; circle(10, 10, 1)")
    here = (
        "-q",
        "-m",
        "sky",
        "-D",
        "module.sky.kind=region",
        "-D",
        "module.sky.files=maps/, whole.reg:field",
    )
    asks = (
        "-t",
        "a=in_region('sky.late') AND rb > 0",
        "-t",
        "b=in_region('sky.late')",
        "-t",
        "c=in_region('sky.south')",
    )
    out = ("-o", "ndjson:late.ndjson", "--overwrite", "--report", "late.json")
    r = nightjar("run", *here, *asks, *out, sample)
    ok(r.returncode == 0, "a region that may come: exit 0", r.stderr)
    ok(r.stderr.count("there is no region 'late' now") == 1, "it is said once, whoever asks", r.stderr)
    ok("no region 'south'" not in r.stderr, "and not of one that is there", r.stderr)
    regions = {x["name"]: x["there"] for x in report("late.json")["regions"]}
    ok(regions == {"sky.late": False, "sky.south": True}, "the report has both", regions)
    r = nightjar("run", *here[1:], *asks, *out[2:], "-o", "null:", sample)
    ok("1 region that clauses ask for is not there: sky.late" in r.stdout, "the table counts it", r.stdout)
    files = {x["name"]: x["sha256"] for x in report("late.json")["context"]["files"]}
    for name in ("maps/south.txt", "whole.reg"):
        digest = hashlib.sha256(open(name, "rb").read()).hexdigest()
        ok(files.get(os.path.basename(name)) == digest, f"the report has the hash of {name}", files)
    open("maps/late.txt", "w").write("0/0-11")
    r = nightjar("run", *here, *asks, *out, sample)
    ok("no region" not in r.stderr, "it has come: nothing is said", r.stderr)
    b = [x for x in rows("late.ndjson") if "b" in x["topics"].split(",")]
    ok(len(b) == report("late.json")["ledger"]["consumed"], "and it answers", len(b))
    for clause in ("in_region('sky.fjeld')", "in_region('sky.anything')"):
        r = nightjar("run", *here, "-w", clause, "-o", "null:", sample)
        ok(r.returncode == 0, f"{clause}: the folder may bring it", r.stderr)


if __name__ == "__main__":
    with Folder():
        regions_that_may_come()
        clauses_ask_for_regions()
        every_format_equals_mocpy()
        shapes_and_bands_equal_astropy()
        skymaps_equal_astropy_healpix()
        notices_are_read()
        wrong_skymaps_are_refused()
        wrong_files_are_refused()
        wrong_tables_are_refused()
    done()
