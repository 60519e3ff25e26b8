#!/usr/bin/env python3
"""Positions in hours, degrees and radians, by the unit that the table declares, in catalogues and lists of
targets; what may mean two things is refused or reported."""

import glob, json, os
from tap import Folder, done, needs, nightjar, ok

needs("astropy", "numpy")
import numpy as np
from astropy.io import fits

RA, DEC = 187.70593, 12.391123  # 12h30m49.423s
HMS, DMS = "12:30:49.4232", "+12:23:28.0428"
RAD = (np.radians(RA), np.radians(DEC))
ECSV = (
    "# %ECSV 1.0\n# ---\n# datatype:\n# - {{name: name, datatype: string}}\n# - {{name: ra, unit: {},"
    " datatype: {}}}\n# - {{name: dec, unit: {}, datatype: {}}}\nname ra dec\nA {} {}\n"
)
VOTABLE = """<?xml version="1.0"?><VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">
<RESOURCE><TABLE><FIELD name="name" datatype="char" arraysize="*"/>
<FIELD name="ra" datatype="{2}" arraysize="{3}" unit="{0}"/>
<FIELD name="dec" datatype="{2}" arraysize="{3}" unit="{1}"/>
<DATA><TABLEDATA><TR><TD>A</TD><TD>{4}</TD><TD>{5}</TD></TR></TABLEDATA></DATA>
</TABLE></RESOURCE></VOTABLE>"""


def table(name, ra_unit, dec_unit, ra, dec):
    columns = [fits.Column(name="name", format="1A", array=["A"])]
    for n, unit, v in (("ra", ra_unit, ra), ("dec", dec_unit, dec)):
        columns.append(fits.Column(name=n, format="16A" if isinstance(v, str) else "D", unit=unit, array=[v]))
    fits.BinTableHDU.from_columns(columns).writeto(name)


def write():
    for name, text in {
        "plain.csv": f"name,ra,dec\nA,{RA},{DEC}\n",
        "parts.csv": f"name,ra,dec\nA,{HMS},{DMS}\n",
        "letters.csv": "name,ra,dec\nA,12h30m49.4232s,+12d23m28.0428s\n",
        "blanks.csv": "name,ra,dec\nA,12 30 49.4232,+12 23 28.0428\n",
        "deg.ecsv": ECSV.format("deg", "float64", "deg", "float64", RA, DEC),
        "hours.ecsv": ECSV.format("hourangle", "float64", "deg", "float64", RA / 15, DEC),
        "h.ecsv": ECSV.format("h", "float64", "deg", "float64", RA / 15, DEC),
        "rad.ecsv": ECSV.format("rad", "float64", "rad", "float64", *RAD),
        "hms.ecsv": ECSV.format("hourangle", "string", "deg", "string", HMS, DMS),
        "mixed.ecsv": ECSV.format("rad", "float64", "deg", "float64", RAD[0], DEC),
        "deg.vot": VOTABLE.format("deg", "deg", "double", "1", RA, DEC),
        "rad.vot": VOTABLE.format("rad", "rad", "double", "1", *RAD),
        "hms.vot": VOTABLE.format(
            '"h:m:s"'.replace('"', "&quot;"), '"d:m:s"'.replace('"', "&quot;"), "char", "*", HMS, DMS
        ),
        "hours.vot": VOTABLE.format("h", "deg", "double", "1", RA / 15, DEC),
    }.items():
        with open(name, "w") as f:
            f.write(text)
    table("deg.fits", "deg", "deg", RA, DEC)
    table("hours.fits", "h", "deg", RA / 15, DEC)
    table("rad.fits", "rad", "rad", *RAD)
    table("none.fits", None, None, RA, DEC)
    table("hms.fits", "h:m:s", "d:m:s", HMS, DMS)


def right():
    scale = 1 / 3600
    header = fits.Header(
        {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRPIX1": 16,
            "CRPIX2": 16,
            "CRVAL1": RA,
            "CRVAL2": DEC,
            "CDELT1": -scale,
            "CDELT2": scale,
        }
    )
    fits.PrimaryHDU(np.arange(31 * 31, dtype="f4").reshape(31, 31), header).writeto("image.FITS")
    for name in sorted(glob.glob("*.csv") + glob.glob("*.ecsv") + glob.glob("*.vot") + glob.glob("*.fits")):
        r = nightjar("catalog", "build", name, "-o", "o.njx", "-q")
        out = nightjar("catalog", "query", "o.njx", RA, DEC, 1, "--json").stdout if r.returncode == 0 else ""
        ok(
            out and json.loads(out.splitlines()[0])["sep_arcsec"] < 1e-3,
            f"{name}: the place, in a catalogue",
            out or r.stderr,
        )
        r = nightjar("cutout", "image.FITS", "--targets", name, "--size", 5, "-o", "stamps", "--overwrite")
        at = fits.getheader("stamps/A.fits") if r.returncode == 0 and os.path.exists("stamps/A.fits") else {}
        ok(
            at and abs(at["NJ_X"] - 15) < 1e-3 and abs(at["NJ_Y"] - 15) < 1e-3,
            f"{name}: the place, as a target",
            r.stderr or repr(at)[:300],
        )
        if at:
            os.remove("stamps/A.fits")


def refused():
    for name, text, word in (
        ("unit.ecsv", ECSV.format("furlong", "float64", "deg", "float64", RA, DEC), "furlong"),
        ("parts_in_rad.ecsv", ECSV.format("rad", "string", "deg", "string", HMS, DMS), "rad"),
        ("two_forms.csv", f"name,ra,dec\nA,{HMS},{DMS}\nB,{RA},{DEC}\n", ""),
        ("twins.csv", f"name,RA,ra,dec\nA,{RA},{RA / 15},{DEC}\n", "may both be the ra"),
        ("beyond.ecsv", ECSV.format("hourangle", "float64", "deg", "float64", RA, DEC), ""),
    ):
        with open(name, "w") as f:
            f.write(text)
        r = nightjar("cutout", "image.FITS", "--targets", name, "--size", 5, "-o", "refused")
        ok(
            r.returncode == 1 and name in r.stderr and word in r.stderr,
            f"{name}: refused as targets",
            r.stderr,
        )
        r = nightjar("catalog", "build", name, "-o", "r.njx")
        told = r.returncode != 0 or "left out" in r.stdout + r.stderr or "rejected" in r.stdout + r.stderr
        ok(
            told and word in r.stdout + r.stderr,
            f"{name}: refused or reported as a catalogue",
            r.stdout + r.stderr,
        )


def told():
    """Hours without a unit look like degrees."""
    n = 40
    for name, ra, dec, word in (
        ("hours", np.linspace(0.1, 23.9, n), np.linspace(-60, 60, n), "--unit hms"),
        ("radians", np.linspace(0.01, 6.2, n), np.linspace(-1.5, 1.5, n), "--unit rad"),
        ("degrees", np.linspace(0.1, 359, n), np.linspace(-60, 60, n), None),
        ("field", np.linspace(10, 12, n), np.linspace(0.1, 1, n), None),
    ):
        with open(name + ".csv", "w") as f:
            f.write("name,ra,dec\n" + "".join(f"N{i},{a},{d}\n" for i, (a, d) in enumerate(zip(ra, dec))))
        r = nightjar("catalog", "build", name + ".csv", "-o", "t.njx")
        said = r.stdout + r.stderr
        ok(
            r.returncode == 0 and (word in said if word else "--unit" not in said),
            f"{name} without a unit: {'reported' if word else 'nothing to report'}",
            said,
        )
        r = nightjar("catalog", "build", name + ".csv", "-o", "t.njx", "--unit", "deg")
        ok(
            r.returncode == 0 and "--unit" not in r.stdout + r.stderr,
            f"{name}: by --unit deg nothing is asked",
            r.stdout + r.stderr,
        )
        r = nightjar(
            "cutout", "image.FITS", "--targets", name + ".csv", "--size", 5, "-o", "told", "--overwrite"
        )
        ok(("taken as degrees" in r.stderr) == bool(word), f"{name}: targets, too", r.stderr)


with Folder():
    write()
    right()
    refused()
    told()
done()
