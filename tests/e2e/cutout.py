#!/usr/bin/env python3
"""nightjar cutout: stamps have the values and the positions of astropy's Cutout2D, whatever the image; the
command line."""

import glob, json, os, re, subprocess, sys
from tap import NIGHTJAR, ROOT, Folder, done, nightjar, ok, skip

try:
    import astropy
except ImportError:
    found = subprocess.run([os.path.join(ROOT, "tests", "python"), "astropy"], capture_output=True, text=True)
    if found.returncode == 0 and not os.environ.get("NIGHTJAR_CUTOUT_AGAIN"):
        os.environ["NIGHTJAR_CUTOUT_AGAIN"] = "1"
        python = os.path.join(ROOT, found.stdout.strip())
        os.execv(python, [python, os.path.abspath(__file__)])
    skip("stamps equal astropy's Cutout2D", "no Python with astropy, and none can be installed")
    astropy = None

ROWS, COLS = 150, 190


def header(**more):
    h = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRPIX1": 80.3,
        "CRPIX2": 70.8,
        "CRVAL1": 210.3,
        "CRVAL2": 54.1,
        "CD1_1": -2.7e-4,
        "CD1_2": 3e-5,
        "CD2_1": 2.5e-5,
        "CD2_2": 2.8e-4,
    }
    for k in [k for k in more if more[k] is None]:
        h.pop(k, None)
    h.update({k: v for k, v in more.items() if v is not None})
    return fits.Header(h)


NO_CD = {"CD1_1": None, "CD1_2": None, "CD2_1": None, "CD2_2": None}
SIP = {
    "CTYPE1": "RA---TAN-SIP",
    "CTYPE2": "DEC--TAN-SIP",
    "A_ORDER": 3,
    "B_ORDER": 2,
    "A_2_0": 3e-4,
    "A_1_1": -2e-4,
    "A_0_2": 1e-4,
    "A_3_0": 2e-6,
    "B_2_0": -1e-4,
    "B_1_1": 3e-4,
    "B_0_2": 2e-4,
}


def images():
    """name: (HDU list, the data and header that a stamp must come from)"""
    random = np.random.default_rng(3)
    noise = random.normal(100, 10, (ROWS, COLS))
    single, cube = noise.astype("f4"), random.normal(0, 1, (5, ROWS, COLS)).astype("f4")
    single[40:43, 50:60] = np.nan
    plain = lambda data, h: (fits.HDUList([fits.PrimaryHDU(data, h)]), data, h)
    yield "float", plain(single, header())
    yield "double", plain(
        noise, header(**NO_CD, CDELT1=-2.7e-4, CDELT2=2.7e-4, PC1_1=0.96, PC1_2=-0.28, PC2_1=0.28, PC2_2=0.96)
    )
    yield "turned", plain(single, header(**NO_CD, CDELT1=-2.7e-4, CDELT2=3e-4, CROTA2=33.0))
    yield "lonpole", plain(single, header(LONPOLE=165.0))
    yield "pole", plain(single, header(CRVAL2=89.995))
    yield "sip", plain(single, header(**SIP))
    yield "sip_unnamed", plain(single, header(**{**SIP, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}))
    yield "tpv", plain(
        single,
        header(
            CTYPE1="RA---TPV",
            CTYPE2="DEC--TPV",
            PV1_0=1e-4,
            PV1_1=1.0,
            PV1_2=2e-4,
            PV1_4=3e-3,
            PV2_1=1.0,
            PV2_2=-1e-4,
            PV2_5=2e-3,
        ),
    )
    for name in ("STG", "SIN", "ARC", "ZEA", "ZPN", "AIT", "MOL", "CAR", "SFL", "MER", "COE"):
        extra = {"ZPN": {"PV2_1": 1.0, "PV2_3": 1e-2}, "COE": {"PV2_1": 45.0}}.get(name, {})
        at = {} if name in ("STG", "SIN", "ARC", "ZEA", "ZPN", "COE") else {"CRVAL1": 12.0, "CRVAL2": 0.0}
        yield name.lower(), plain(single, header(CTYPE1=f"RA---{name}", CTYPE2=f"DEC--{name}", **at, **extra))
    yield "galactic", plain(single, header(CTYPE1="GLON-TAN", CTYPE2="GLAT-TAN"))
    yield "fk5", plain(single, header(RADESYS="FK5"))
    yield "fk5_1975", plain(single, header(RADESYS="FK5", EQUINOX=1975.0))
    yield "fk4", plain(single, header(RADESYS="FK4", EQUINOX=1950.0))
    yield "equinox_1950", plain(single, header(EQUINOX=1950.0))
    yield "equinox_2000", plain(single, header(EQUINOX=2000.0))
    yield "icrs_equinox", plain(single, header(RADESYS="ICRS", EQUINOX=2000.0))
    yield "pole_itself", plain(single, header(CRVAL2=90.0))
    yield "south_pole", plain(single, header(CRVAL2=-90.0))
    yield "arcsec", plain(
        single,
        header(
            **NO_CD,
            CDELT1=-1.0,
            CDELT2=1.0,
            CUNIT1="arcsec",
            CUNIT2="arcsec",
            CRVAL1=210.3 * 3600,
            CRVAL2=54.1 * 3600,
        ),
    )
    yield "radio", plain(
        single[None, None],
        header(
            CTYPE3="STOKES",
            CRVAL3=1.0,
            CDELT3=1.0,
            CRPIX3=1.0,
            CTYPE4="FREQ",
            CRVAL4=1.4e9,
            CDELT4=1e6,
            CRPIX4=1.0,
            CUNIT4="Hz",
        ),
    )
    yield "swapped", plain(single, header(CTYPE1="DEC--TAN", CTYPE2="RA---TAN", CRVAL1=54.1, CRVAL2=210.3))
    yield "cube", plain(cube, header())
    yield "short", plain(noise.astype("i2"), header())
    scaled = fits.PrimaryHDU(noise.astype("i2"), header(BLANK=101))
    scaled.header["BSCALE"], scaled.header["BZERO"] = 0.25, 7.0
    scaled.writeto("scaled_raw.fits", overwrite=True)
    read = fits.open("scaled_raw.fits")
    yield "scaled", (read, read[0].data, read[0].header)
    extension = fits.ImageHDU(single, header(), name="SCI")
    yield "extension", (fits.HDUList([fits.PrimaryHDU(), extension]), single, extension.header)
    packed = fits.CompImageHDU(noise.astype("i4"), header(), compression_type="RICE_1")
    lossless = fits.CompImageHDU(single, header(), compression_type="GZIP_2", quantize_level=0)
    yield "gaps", (fits.HDUList([fits.PrimaryHDU(), lossless]), single, header())
    yield "packed", (fits.HDUList([fits.PrimaryHDU(), packed]), noise.astype("i4"), header())


def targets(wcs):
    """All over the image, on its borders, beyond them, and on the other side of the sky."""
    random = np.random.default_rng(5)
    # none where size / 2 away is a whole number: which way such a tie goes is a matter of the last bit
    x = np.concatenate(
        [random.integers(0, COLS, 20) + 0.3, [0.1, COLS - 1.1, -3.2, COLS + 4.1, 80.1, 80.6, 300.1]]
    )
    y = np.concatenate(
        [random.integers(0, ROWS, 20) + 0.8, [0.1, ROWS - 1.1, 60.1, 60.1, -9.9, ROWS + 9.1, 60.1]]
    )
    if wcs.wcs.lng == 1:
        dec, ra = wcs.all_pix2world(np.column_stack([x, y]), 0).T
    else:
        at = pixel_to_skycoord(x, y, wcs).icrs  # of any frame
        ra, dec = at.ra.deg, at.dec.deg
    ra, dec = np.append(ra, (ra[0] + 180) % 360), np.append(dec, -dec[0])
    with open("targets.csv", "w") as f:
        f.write(
            "name,ra,dec\n"
            + "".join(f"t{i},{float(a)!r},{float(d)!r}\n" for i, (a, d) in enumerate(zip(ra, dec)))
        )
    if wcs.wcs.lng == 1:  # astropy 8.0 takes the pixel axes of such an image one for the other
        return [tuple(p) for p in np.column_stack([x, y])] + [(np.nan, np.nan)]
    return [pixel_of(p, wcs) for p in SkyCoord(ra, dec, unit="deg")]


def pixel_of(position, wcs):
    """As Cutout2D finds it, which asks again for each plane and size; None: astropy finds no pixel."""
    try:
        x, y = skycoord_to_pixel(position, wcs, mode="all")
        return float(x), float(y)
    except (NoConvergence, ValueError):
        return None


def tolerance(name):
    """Pixels of one arcsec. astropy undoes a distortion to 1e-4 only; FK4 and the galactic frame are defined
    a little differently."""
    return (
        2e-4
        if name.startswith("sip")
        else (
            0.03
            if name in ("fk4", "equinox_1950", "galactic")
            else 2e-6 if name == "tpv" else 1e-3 if "fk5" in name or name == "equinox_2000" else 1e-7
        )
    )


def same(name, hdus, data, head):
    hdus.writeto(f"{name}.fits", overwrite=True)
    wcs = WCS(head, naxis=2)
    pixels = targets(wcs)
    for size in (21, 32):
        same_size(name, size, data, wcs, pixels)


def same_size(name, size, data, wcs, pixels):
    path, readable = f"{name}.fits", 0
    r = nightjar("cutout", path, "--targets", "targets.csv", "--size", size, "-o", f"{name}_{size}", "-j", 2)
    said = re.search(r"28 targets = (\d+) whole \+ (\d+) partial \+ (\d+) outside", r.stdout)
    bad, count = [], [0, 0, 0]
    kind = data.dtype if data.dtype.kind == "f" else "f8" if data.dtype.itemsize >= 4 else "f4"
    floats = data.reshape(-1, *data.shape[-2:]).astype(kind)
    for i, position in enumerate(pixels):
        stamp = f"{name}_{size}/t{i}.fits"
        try:
            planes = position and [
                Cutout2D(plane, position, (size, size), wcs=wcs, mode="partial", fill_value=np.nan)
                for plane in floats
            ]
        except (NoOverlapError, ValueError):
            planes = None
        if planes is None:
            count[2] += 1
            if os.path.exists(stamp):
                bad.append(f"{stamp}: astropy has none")
            continue
        want = np.array([p.data for p in planes]).reshape(*data.shape[:-2], size, size)
        count[tuple(s.stop - s.start for s in planes[0].slices_cutout) != (size, size)] += 1
        with fits.open(stamp) as f:
            f.verify("exception")
            got, h = f[0].data, f[0].header
            if got.dtype != want.dtype.newbyteorder(">") or not np.array_equal(got, want, equal_nan=True):
                bad.append(f"{stamp}: values, {got.dtype} {want.dtype}")
            # the first three as astropy reads them: it takes 10 ms for each
            crpix = WCS(h, naxis=2).wcs.crpix if readable < 3 else [h["CRPIX1"], h["CRPIX2"]]
            readable += 1
            if not np.allclose(crpix, planes[0].wcs.wcs.crpix, rtol=0, atol=1e-9):
                bad.append(f"{stamp}: CRPIX {crpix} {planes[0].wcs.wcs.crpix}")
            # the target's own pixel; astropy undoes a distortion to 1e-4 only
            if not np.allclose(
                [h["NJ_X"], h["NJ_Y"]], planes[0].input_position_original, rtol=0, atol=tolerance(name)
            ):
                bad.append(f"{stamp}: {h['NJ_X']}, {h['NJ_Y']} {planes[0].input_position_original}")
    ok(
        r.returncode == 0
        and not bad
        and said
        and [int(x) for x in said.groups()] == count
        and min(count) > 0,
        f"{name}, {size} pixels: {count[0]} whole, {count[1]} partial and {count[2]} outside, as astropy's"
        " Cutout2D",
        f"{count}\n{r.stdout}{r.stderr}" + "\n".join(bad[:5]),
    )


def command_line():
    hdus, data, head = dict(images())["float"]
    targets(WCS(head, naxis=2))
    hdus.writeto("a.fits", overwrite=True)
    hdus.writeto("b.fits.gz", overwrite=True)
    cut = lambda *args: nightjar("cutout", *args, "--targets", "targets.csv", "--size", 21)
    r = cut("a.fits", "b.fits.gz", "-o", "two", "-j", 1)
    pairs = [
        (open(f, "rb").read(), open(f.replace("_a.fits", "_b.fits"), "rb").read())
        for f in glob.glob("two/*_a.fits")
    ]
    ok(
        r.returncode == 0
        and len(pairs) > 20
        and all(a.replace(b"'a       '", b"'b       '") == b for a, b in pairs),
        "a gzipped image gives the same stamps",
        r.stderr,
    )
    r = cut("a.fits", "-o", "one", "-j", 3)
    ok(
        r.returncode == 0
        and all(
            open(f, "rb").read() == open(f.replace("one/", "two/").replace(".fits", "_a.fits"), "rb").read()
            for f in glob.glob("one/*.fits")
        ),
        "any number of workers: the same bytes",
        r.stderr,
    )
    r = cut("a.fits", "-o", "one")
    ok(
        r.returncode == 3
        and "exists" in r.stderr
        and cut("a.fits", "-o", "one", "--overwrite").returncode == 0,
        "stamps that exist are replaced only on request",
        r.stderr,
    )
    for key, more, word in (
        ("xyz", {"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"}, "RA---XYZ"),
        ("cpdis", {"CPDIS1": "LOOKUP"}, "CPDIS1"),
        ("d2im", {"D2IMDIS1": "LOOKUP"}, "D2IMDIS1"),
        ("tab", {"CTYPE1": "RA---TAB"}, "RA---TAB"),
        ("gappt", {"RADESYS": "GAPPT"}, "GAPPT"),
        ("fk4_1975", {"RADESYS": "FK4", "EQUINOX": 1975.0}, "1975"),
        ("noe", {"RADESYS": "FK4-NO-E"}, "FK4-NO-E"),
        ("ecliptic", {"CTYPE1": "ELON-TAN", "CTYPE2": "ELAT-TAN"}, "ELON-TAN"),
        ("wave", {"CTYPE1": "WAVE", "CTYPE2": "SLIT"}, "WAVE"),
        ("none", {"CTYPE1": None, "CTYPE2": None}, "CTYPE"),
        ("mixed", {"CTYPE2": "GLAT-TAN"}, "GLAT-TAN"),
        ("singular", {"CD1_1": 0.0, "CD1_2": 0.0}, "singular"),
    ):
        fits.PrimaryHDU(data, header(**more)).writeto(f"{key}.fits")
        r = cut(f"{key}.fits", "-o", f"out_{key}")
        ok(
            r.returncode == 2 and f"{key}.fits" in r.stderr and word.lower() in r.stderr.lower(),
            f"{key}: refused by name, {word}",
            r.stderr,
        )
    open("cut.fits", "wb").write(open("a.fits", "rb").read()[:60000])
    r = cut("cut.fits", "-o", "three")
    ok(r.returncode == 2 and "cut.fits" in r.stderr, "a truncated image: exit 2", r.stderr)
    for text, why in (
        ("ra,dec\n1,2\n1,x\n", "line 3"),
        ("name,ra,dec\na,1,2\na,1,3\n", "a.fits"),
        ("ra,d\n1,2\n", "ra and dec"),
        ("ra,dec\n", "no targets"),
        ("ra,dec\n1,95\n", "line 2"),
    ):
        open("targets.csv", "w").write(text)
        r = cut("a.fits", "-o", "three")
        ok(r.returncode == 1 and why in r.stderr, f"targets {text!r}: refused, {why}", r.stderr)


def table():
    os.mkdir("tmp")
    r = nightjar("cutout", "--bench", "-j", 2, "--size", 20, env={"TMPDIR": os.path.abspath("tmp")})
    lines = r.stdout.splitlines()
    ok(r.returncode == 0 and "noise: 4096 x 4096" in lines[0], "--bench: the image", r.stdout + r.stderr)
    ok(
        [line.split()[0] for line in lines[2:4]] == ["1", "2"],
        "--bench: a line per number of workers",
        r.stdout,
    )
    walls = [line.split() for line in lines if re.match(r"\s+\d+( +\d\.\d{6}){3}$", line)]
    ok(
        [w[0] for w in walls] == ["1", "10", "100", "1000", "1", "10", "100", "1", "10", "100", "1000"],
        "--bench: wall time by cutouts",
        walls,
    )
    ranked = [line.split() for line in lines if re.match(r"( +\d+){4}$", line)]
    ok(len(ranked) == 33, "--bench: every pair of cutouts and workers has its rank", ranked)
    rates = [int(x[1]) for x in ranked]
    ok(rates[:12] == sorted(rates[:12], reverse=True), "--bench: the fastest comes first", rates)
    ok(any("noise cube: 256 x 256 x 64" in line for line in lines), "--bench: of a cube, too", lines)
    tpf = "noise TESS cube, a target pixel file each: 256 x 256 x 64, stamps of 11 x 11 x 64"
    ok(tpf in lines, "--bench: of a TESS cube, too", lines)
    ok(os.listdir("tmp") == [], "--bench leaves nothing in TMPDIR", os.listdir("tmp"))


def full_disk():
    """On a disk of 1 MB: what could not be written whole is not there."""
    os.makedirs("small", exist_ok=True)
    if subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "small"], capture_output=True
    ).returncode:
        return skip("stamps on a full disk", "no name space in which to mount a tmpfs")
    fits.PrimaryHDU(np.ones((400, 400), "f4"), header()).writeto("big.fits")
    with open("big.csv", "w") as f:
        f.write("name,ra,dec\nbig,210.3,54.1\n")
    inside = (
        "mount -t tmpfs -o size=256k none small && "
        f"{NIGHTJAR} cutout big.fits --targets big.csv --size 300 -o small; echo rc $?; ls small"
    )
    r = subprocess.run(["unshare", "-rm", "sh", "-c", inside], capture_output=True, text=True)
    ok(
        "No space left" in r.stderr and "big.fits" in r.stderr,
        "a full disk is said, with the stamp",
        r.stderr,
    )
    ok(r.stdout.split() == ["rc", "3"], "exit code 3, and no part of a stamp", r.stdout)


with Folder():
    if astropy:
        import warnings
        import numpy as np
        from astropy.coordinates import SkyCoord
        from astropy.io import fits
        from astropy.nddata import Cutout2D, NoOverlapError
        from astropy.wcs import WCS, NoConvergence
        from astropy.wcs.utils import pixel_to_skycoord, skycoord_to_pixel

        warnings.simplefilter("ignore")
        for image, (hdus, data, head) in images():
            same(image, hdus, data, head)
        command_line()
        full_disk()
    table()
    ok(
        nightjar("cutout").returncode == 1 and nightjar("cutout", "x.fits", "--bench").returncode == 1,
        "usage",
    )
done()
