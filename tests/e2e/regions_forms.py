#!/usr/bin/env python3
"""Regions in the forms that other tools write: ellipses and boxes of DS9, flat HEALPix maps, against astropy
on 10^5 positions."""

from regions import CENTRES, N, check, np, positions, refused, rng, u
from regions import FK5, Galactic, SkyCoord, Table, healpix_to_lonlat, lonlat_to_healpix
from tap import Folder, done, nightjar, ok


def on_the_plane(sky, centre, angle):
    """Degrees along the first axis of a shape and across it, on the plane that touches the sphere at its
    centre; the angle is from west to north."""
    o = sky.transform_to(centre.frame).transform_to(centre.skyoffset_frame()).cartesian
    x, y, z = o.x.value, o.y.value, o.z.value
    with np.errstate(divide="ignore", invalid="ignore"):
        east, north = np.degrees(y / x), np.degrees(z / x)
    a = np.radians(angle)
    along, across = -east * np.cos(a) + north * np.sin(a), -east * -np.sin(a) + north * np.cos(a)
    return np.where(x > 0, along, np.inf), np.where(x > 0, across, np.inf)


def ellipses_and_boxes_equal_astropy():
    ra, dec = positions()
    sky = SkyCoord(ra * u.deg, dec * u.deg)
    at = lambda a, d, **k: SkyCoord(a * u.deg, d * u.deg, **k)
    shapes = {  # name: (line, centre, sizes, angle)
        "round": ("icrs;ellipse(150,2,3,3,20)", at(150, 2), (3, 3), 20),
        "thin": ("icrs;ellipse(150,2,2.5,30',35)", at(150, 2), (2.5, 0.5), 35),
        "level": ('icrs;ellipse(359.9,-1,3600",2)', at(359.9, -1), (1, 2), 0),
        "pole": ("icrs\nellipse(45,89.5,3,1,60)", at(45, 89.5), (3, 1), 60),
        "very": ("icrs\nellipse(0,90,4,1,10)", at(0, 90), (4, 1), 10),
        "wide": ("icrs;ellipse(0,0,70,20,-15)", at(0, 0), (70, 20), -15),
        "plane": ("galactic;ellipse(0.5,-0.25,3,1,25)", at(0.5, -0.25, frame=Galactic), (3, 1), 25),
        "square": ("icrs;box(150,2,4,2,30)", at(150, 2), (4, 2), 30),
        "south": ("fk5;box(10,-89,5,3,100)", at(10, -89, frame=FK5(equinox="J2000")), (5, 3), 100),
        "flat": ("icrs;box(0,0,60,1)", at(0, 0), (60, 1), 0),
    }
    inside = {}
    for name, (line, centre, (a, b), angle) in shapes.items():
        open(f"{name}.reg", "w").write(line + "\n")
        x, y = on_the_plane(sky, centre, angle)
        if "box" in line:
            inside[name] = (np.abs(x) <= a / 2) & (np.abs(y) <= b / 2)
        else:
            inside[name] = (x / a) ** 2 + (y / b) ** 2 <= 1
    names = [[k for k in inside if inside[k][i]] for i in range(N)]
    r = check(", ".join(f"{k}.reg" for k in inside), ra, dec, names)
    ok(r.returncode == 0, f"ellipses and boxes: {N} positions as astropy", r.stdout + r.stderr)
    for k in inside:
        ok(inside[k].sum() > 20, f"{k}: some are inside", inside[k].sum())
    open("rod.reg", "w").write("icrs;ellipse(150,2,3,0.1,45)\n")
    west_north = CENTRES[0].directional_offset_by(-45 * u.deg, 2 * u.deg)
    r = check("rod.reg", [west_north.ra.deg], [west_north.dec.deg], [["rod"]])
    ok(r.returncode == 0, "an angle of 45 degrees is north-west", r.stdout + r.stderr)


def flat_maps_equal_astropy_healpix():
    """One size of pixels, RING and NESTED, all of them or some, as healpy and the satellites write them."""
    ra, dec = positions()
    nside, area = 32, 4 * np.pi / (12 * 32**2)
    for ordering, column, repeat, explicit in (
        ("RING", "PROB", 1024, False),
        ("NESTED", "PROBABILITY", 1, False),
        ("NESTED", "PROB", 1, True),
        ("RING", "PROB", 1, True),
        ("RING", "PROBDENSITY", 1, False),
    ):
        order = "ring" if ordering == "RING" else "nested"
        pixel = np.arange(12 * nside**2)
        here = SkyCoord(*healpix_to_lonlat(pixel, nside, order=order))
        p = sum(np.exp(-((here.separation(c).deg / s) ** 2) / 2) for c, s in zip(CENTRES, (6, 9)))
        p[p < 1e-6] = 0
        p[rng.random(len(p)) < 0.02] *= 0.5
        p /= p.sum()
        mu = rng.normal(100, 20, len(p))
        keep = p > 0 if explicit else np.ones(len(p), bool)
        t = Table()
        if explicit:
            t["PIXEL"] = pixel[keep]
        t[column] = (
            (p / area if column == "PROBDENSITY" else p)[keep].reshape(-1, repeat)
            if repeat > 1
            else ((p / area if column == "PROBDENSITY" else p)[keep])
        )
        t["DISTMU"] = mu[keep].reshape(-1, repeat) if repeat > 1 else mu[keep]
        t.meta.update({"ORDERING": ordering, "COORDSYS": "C", "PIXTYPE": "HEALPIX", "NSIDE": nside})
        t.meta["INDXSCHM"] = "EXPLICIT" if explicit else "IMPLICIT"
        t.write("flat.fits", overwrite=True)
        best = np.argsort(-p, kind="stable")
        level = np.empty(len(p))
        level[best] = np.minimum(np.cumsum(p[best]), 1)
        cell = lonlat_to_healpix(ra * u.deg, dec * u.deg, nside, order=order)
        with open("values.csv", "w") as f:
            f.write("# by astropy-healpix\n# tolerance 1e-9\nra,dec,=inside,=level,=prob,=distmu,=reason\n")
            for a, d, i in zip(ra[:20000], dec[:20000], cell):
                values = (level[i], p[i] / area / (180 / np.pi) ** 2, mu[i]) if keep[i] else ("", "", "")
                inside = int(keep[i] and level[i] <= 0.5)
                f.write(f"{float(a)!r},{float(d)!r},{inside},{','.join(str(v) for v in values)},done\n")
        sets = (
            "-D",
            "module.here.kind=region",
            "-D",
            "module.here.files=flat.fits",
            "-D",
            "module.here.level=0.5",
        )
        r = nightjar("check", "here", *sets, "--values", "values.csv", timeout=600)
        what = f"a flat map, {ordering}, {column}, {'EXPLICIT' if explicit else 'IMPLICIT'}, {repeat} a row"
        ok(r.returncode == 0, f"{what}: 20000 positions as astropy-healpix", r.stdout + r.stderr)
    good = t.copy()

    def of(name, *words, rows_=None, column=None, **meta):
        made = good[:rows_] if rows_ else good.copy()
        if column is not None:
            made["PROBDENSITY"] = column(np.array(made["PROBDENSITY"]))
        made.meta.update(meta)
        made.write("made.fits", overwrite=True)
        refused(name, open("made.fits", "rb").read(), *words)

    def first(value):
        return lambda c: np.where(np.arange(len(c)) == 0, value, c)

    of("nside.fits", "NSIDE = 31 is no power of two", NSIDE=31)
    of("few.fits", "12287 pixels, and NSIDE = 32 has 12288", rows_=12287)
    of("order.fits", "ORDERING = ODD", ORDERING="ODD")
    of("scheme.fits", "INDXSCHM = EXPLICIT, and no column PIXEL", INDXSCHM="EXPLICIT")
    of("flatsum.fits", "add up to 2", column=lambda c: 2 * c)
    of("flatnan.fits", "row 1: PROBDENSITY is no probability", column=first(np.nan))


with Folder():
    ellipses_and_boxes_equal_astropy()
    flat_maps_equal_astropy_healpix()
done()
