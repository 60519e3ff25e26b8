#!/usr/bin/env python3
"""nightjar cutout of TESS cubes: a complete target pixel file for each target, with the pixels of the cube,
the times of its table and positions that agree with the distorted ones of the images."""

import os, warnings
from tap import Folder, done, needs, nightjar, ok

needs("astropy", "numpy")
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

warnings.simplefilter("ignore")
SIDE, COLS, FRAMES, SIZE = 40, 44, 70, 11
COLUMNS = ["TIME", "TIMECORR", "CADENCENO", "RAW_CNTS", "FLUX", "FLUX_ERR", "FLUX_BKG", "FLUX_BKG_ERR"]
COLUMNS += ["QUALITY", "POS_CORR1", "POS_CORR2", "FFI_FILE"]
POSITIONS = {
    "CTYPE1": "RA---TAN-SIP",
    "CTYPE2": "DEC--TAN-SIP",
    "CRVAL1": 250.34974,
    "CRVAL2": 2.28092,
    "CRPIX1": 1045.0,
    "CRPIX2": 1001.0,
    "CD1_1": -0.0055645,
    "CD1_2": -0.0010421,
    "CD2_1": 0.0011814,
    "CD2_2": -0.0055908,
    "A_ORDER": 2,
    "B_ORDER": 2,
    "A_2_0": 2.0245e-05,
    "A_0_2": 3.3176e-06,
    "A_1_1": 1.7346e-05,
    "B_2_0": 3.3313e-06,
    "B_0_2": 2.0425e-05,
    "B_1_1": 1.7148e-05,
    "RADESYS": "ICRS",
    "EXPOSURE": 0.0165,
    "NUM_FRM": 720,
}


def table(frames=FRAMES, without=(), positions=POSITIONS, bad_rows=()):
    """A row for each image, with a column for each key of its header."""
    i = np.arange(frames)
    cols = [
        fits.Column("TSTART", "D", array=1325.25 + i / 48),
        fits.Column("TSTOP", "D", array=1325.27 + i / 48),
    ]
    cols += [
        fits.Column("BARYCORR", "D", array=4e-3 + i * 1e-6),
        fits.Column("DQUALITY", "J", array=i % 4 << 5),
    ]
    for key, value in positions.items():
        form = f"{len(value)}A" if isinstance(value, str) else "J" if isinstance(value, int) else "D"
        values = ["" if k in bad_rows and key.startswith("CTYPE") else value for k in i]
        cols.append(fits.Column(key, form, array=np.array(values)))
    cols.append(fits.Column("FFI_FILE", "19A", array=[f"tess-{k:04d}-ffic.fits" for k in i]))
    return fits.BinTableHDU.from_columns([c for c in cols if c.name not in without])


def write(path, data, tail):
    primary = fits.PrimaryHDU()
    head = {
        "TELESCOP": "TESS",
        "ORIGIN": "STScI/MAST",
        "DATE": "2019-01-01",
        "CAMERA": 1,
        "CCD": 2,
        "SECTOR": 7,
    }
    head |= {"TSTART": 1325.25, "TSTOP": 1326.75, "DATE-OBS": "2018-07-25T18:00:00", "FFIINDEX": 4697}
    primary.header.update(head | {"DATE-END": "2018-07-27T06:00:00", "GAINA": 5.3, "MJD-BEG": 1.0})
    fits.HDUList([primary, fits.ImageHDU(data)] + tail).writeto(path, overwrite=True)


def close(a, b, most):
    """Degrees between two lists of positions."""
    east = (a[0] - b[0]) * np.cos(np.radians(a[1]))
    return np.hypot(east, a[1] - b[1]).max() < most


def check(i, x, y, data, wcs):
    path = f"out/t{i}.fits"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True) as f:
            ok(f.verify("exception") is None, f"{path}: valid FITS, and its checksums are right")
            f[1].data, f[2].data
    with fits.open(path) as f:
        head, rows, aperture = f[0].header, f[1].data, f[2].data
        left, bottom = round(x - SIZE / 2), round(y - SIZE / 2)
        wide = np.full((2, FRAMES, SIDE + 4 * SIZE, COLS + 4 * SIZE), np.nan, "f4")
        wide[:, :, 2 * SIZE : 2 * SIZE + SIDE, 2 * SIZE : 2 * SIZE + COLS] = data.transpose(3, 2, 0, 1)
        square = np.s_[:, :, bottom + 2 * SIZE : bottom + 3 * SIZE, left + 2 * SIZE : left + 3 * SIZE]
        flux, error = wide[square]
        ok(
            np.array_equal(rows["FLUX"], flux, equal_nan=True),
            f"{path}: FLUX is that of the cube, NaN beyond it",
        )
        ok(np.array_equal(rows["FLUX_ERR"], error, equal_nan=True), f"{path}: FLUX_ERR likewise")
        ok(np.array_equal(aperture, ~np.isnan(flux[0])), f"{path}: APERTURE says which pixels the cube has")
        k = np.arange(SIZE)
        px, py = (a.ravel() for a in np.meshgrid(k, k))
        true = wcs.all_pix2world(px + left, py + bottom, 0)
        of_aperture = WCS(f[2].header).all_pix2world(px, py, 0)
        of_column = WCS(f[1].header, keysel=["binary"], colsel=[5]).all_pix2world(px, py, 0)
        worst = f[2].header["WCS_MSEP"]
        ok(close(true, of_aperture, worst * 1.05 + 1e-9), f"{path}: positions are off by WCS_MSEP at most")
        ok(worst < 1e-5, f"{path}: which is 36 mas at most", worst)
        ok(close(of_aperture, of_column, 1e-12), f"{path}: the positions of the column FLUX are the same")
        ok(f[1].header["1CRV5P"] == left + 1, f"{path}: the column of the camera", f[1].header["1CRV5P"])
        ok(f[1].header["2CRV5P"] == bottom + 1, f"{path}: the row of the camera", f[1].header["2CRV5P"])
        ok(head["OBJECT"] == f"t{i}", f"{path}: OBJECT is the target's name", head["OBJECT"])


def what_stays(path):
    with fits.open(path) as f:
        ok(
            [h.name for h in f] == ["PRIMARY", "PIXELS", "APERTURE"],
            "three HDUs, by their names",
            f.info(False),
        )
        rows, head = f[1].data, f[1].header
        ok(rows.columns.names == COLUMNS, "the columns of a target pixel file", rows.columns.names)
        i = np.arange(FRAMES)
        ok(
            np.allclose(rows["TIME"], 1325.26 + i / 48, rtol=0, atol=1e-9),
            "TIME is the middle of an exposure",
        )
        ok(np.array_equal(rows["TIMECORR"], (4e-3 + i * 1e-6).astype("f4")), "TIMECORR is BARYCORR")
        ok(np.array_equal(rows["QUALITY"], i % 4 << 5), "QUALITY is DQUALITY")
        ok(list(rows["FFI_FILE"]) == [f"tess-{k:04d}-ffic.fits" for k in i], "FFI_FILE names the images")
        ok((rows["RAW_CNTS"] == -1).all(), "raw counts are missing, -1", rows["RAW_CNTS"])
        ok(head["TNULL4"] == -1, "and TNULL says so", head["TNULL4"])
        ok(not rows["FLUX_BKG"].any(), "no background is known: zero", rows["FLUX_BKG"])
        ok(
            head["WCS_FFI"] == "tess-0036-ffic.fits",
            "WCS_FFI is the next image that has positions",
            head["WCS_FFI"],
        )
        ok(head["NUM_FRM"] == 720, "keys of that image are in PIXELS", head["NUM_FRM"])
        ok(
            str(head["GAINA"]) in ("None", str(fits.card.UNDEFINED)),
            "those that it lacks have no value",
            head["GAINA"],
        )
        ok(head["SECTOR"] == 7, "keys of the primary header are inherited", head["SECTOR"])
        ok("MJD-BEG" not in f[0].header, "but for those of one image", f[0].header)
        ok(f[0].header["TELAPSE"] == 1.5, "TELAPSE is from the first to the last", f[0].header["TELAPSE"])
        ok(f[0].header["CREATOR"] == "nightjar", "CREATOR says who cut it", f[0].header["CREATOR"])


def refused(what, word, data, tail):
    write("bad.fits", data, tail)
    r = nightjar("cutout", "bad.fits", "--targets", "targets.csv", "--size", SIZE, "-o", "bad")
    ok(r.returncode == 2, f"{what}: exit code 2", r)
    ok("bad.fits" in r.stderr and word in r.stderr, f"{what}: refused by name, '{word}'", r.stderr)


with Folder():
    random = np.random.default_rng(4)
    data = random.normal(100, 10, (SIDE, COLS, FRAMES, 2)).astype("f4")
    write("cube.fits", data, [table(bad_rows=[35])])
    wcs = WCS(fits.Header(POSITIONS))
    places = [(20.3, 17.7), (30.8, 22.1), (-2.2, 19.3), (41.4, 36.6), (300.0, 10.0)]
    with open("targets.csv", "w") as f:
        f.write("name,ra,dec\n")
        for i, (x, y) in enumerate(places):
            ra, dec = (float(v) for v in wcs.all_pix2world(x, y, 0))
            f.write(f"t{i},{ra!r},{dec!r}\n")
    r = nightjar("cutout", "cube.fits", "--targets", "targets.csv", "--size", SIZE, "-o", "out", "-j", 2)
    ok("5 targets = 2 whole + 2 partial + 1 outside" in r.stdout, "every target is accounted for", r)
    what_stays("out/t0.fits")
    for i, (x, y) in enumerate(places[:4]):
        check(i, x, y, data, wcs)
    ok(not os.path.exists("out/t4.fits"), "no file of a target outside", os.listdir("out"))
    nightjar("cutout", "cube.fits", "--targets", "targets.csv", "--size", SIZE, "-o", "one", "-j", 1)
    read = lambda folder: [open(f"{folder}/t{i}.fits", "rb").read() for i in range(4)]
    ok(read("one") == read("out"), "any number of workers: the same bytes")
    fits.open("cube.fits").writeto("cube.fits.gz")
    nightjar("cutout", "cube.fits.gz", "--targets", "targets.csv", "--size", SIZE, "-o", "zip")
    ok(read("zip") == read("out"), "a gzipped cube gives the same files")

    refused("a cube of one plane a time", "1 planes", data[..., :1], [table()])
    refused("a cube without a table", "no table", data, [fits.ImageHDU()])
    refused("a cube at the end of its file", "CTYPE1", data, [])
    refused("a table of too few rows", "70 images", data, [table(FRAMES - 1)])
    refused("no positions in any row", "CTYPE2", data, [table(bad_rows=range(FRAMES))])
    refused("doubles", "32 bits", data.astype("f8"), [table()])
    for key in ("TSTART", "BARYCORR", "DQUALITY", "CTYPE2"):
        refused(f"no {key}", f"no column {key}", data, [table(without=[key])])
done()
