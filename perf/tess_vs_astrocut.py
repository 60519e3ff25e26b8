#!/usr/bin/env python3
"""Target pixel files from a TESS cube: `nightjar cutout` against astrocut, which TESScut runs. The same cube,
the same targets, the same folder, one worker each, in the same run; the pixels of every pair are compared.

    python3 -m venv build/venv-tess && build/venv-tess/bin/pip install astrocut
    build/venv-tess/bin/python perf/tess_vs_astrocut.py [--frames N] [--targets N] [--rounds N] [-o OUTPUT]

The figures of the repository are made with -o perf/results/tess_vs_astrocut.json. Cube and files lie in
memory (/dev/shm), so that no disk is measured. Times are CPU time per target (other work may share the
machine): user and system together, and user alone, since both spend most of the system's on the writing of
the same file. astrocut is asked in one process, after one target that is not counted: its imports
are not in the figure. nightjar's process is counted whole, less that of one target.
"""

import argparse, json, os, platform, resource, shutil, statistics, subprocess, tempfile, time, warnings

for key in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[key] = "1"
warnings.simplefilter("ignore")
import astrocut, astropy
import numpy as np
from astrocut import TessCubeCutout
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SIDE = 200
POSITIONS = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CRVAL1": 250.34974, "CRVAL2": 2.28092}
POSITIONS |= {
    "CRPIX1": 1045.0,
    "CRPIX2": 1001.0,
    "CD1_1": -0.0055645,
    "CD1_2": -0.0010421,
    "CD2_1": 0.0011814,
}
POSITIONS |= {"CD2_2": -0.0055908, "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 2.0245e-05, "A_0_2": 3.3176e-06}
POSITIONS |= {
    "A_1_1": 1.7346e-05,
    "B_2_0": 3.3313e-06,
    "B_0_2": 2.0425e-05,
    "B_1_1": 1.7148e-05,
    "RADESYS": "ICRS",
}


def write_cube(path, frames):
    i = np.arange(frames)
    cols = [
        fits.Column("TSTART", "D", array=1325.25 + i / 48),
        fits.Column("TSTOP", "D", array=1325.27 + i / 48),
    ]
    cols += [fits.Column("BARYCORR", "D", array=4e-3 + i * 1e-6), fits.Column("DQUALITY", "J", array=0 * i)]
    for key, value in POSITIONS.items():
        form = f"{len(value)}A" if isinstance(value, str) else "J" if isinstance(value, int) else "D"
        cols.append(fits.Column(key, form, array=np.array([value] * frames)))
    cols.append(fits.Column("FFI_FILE", "19A", array=[f"tess-{k:04d}-ffic.fits" for k in i]))
    head = fits.PrimaryHDU()
    head.header.update(
        {"TELESCOP": "TESS", "ORIGIN": "STScI/MAST", "DATE": "2019-01-01", "CAMERA": 1, "CCD": 2}
    )
    head.header.update(
        {"TSTART": 1325.25, "TSTOP": 1350.25, "DATE-OBS": "2018-07-25T18:00:00", "FFIINDEX": 4697}
    )
    head.header["DATE-END"] = "2018-08-19T18:00:00"
    data = np.random.default_rng(1).normal(100, 10, (SIDE, SIDE, frames, 2)).astype("f4")
    fits.HDUList([head, fits.ImageHDU(data), fits.BinTableHDU.from_columns(cols)]).writeto(path)


def targets(n, most):
    xy = np.random.default_rng(2).uniform(most / 2 + 1, SIDE - most / 2 - 2, (n, 2))
    xy = np.floor(xy) + 0.3  # no tie, which the last bit of a position decides
    return SkyCoord(*WCS(fits.Header(POSITIONS)).all_pix2world(xy[:, 0], xy[:, 1], 0), unit="deg")


def write_targets(path, sky):
    with open(path, "w") as f:
        f.write("name,ra,dec\n")
        for i, s in enumerate(sky):
            f.write(f"t{i},{float(s.ra.deg)!r},{float(s.dec.deg)!r}\n")


def cpu(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array([after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime])


def nightjar(cube, table, size, folder):
    shutil.rmtree(folder, ignore_errors=True)
    return cpu(
        [os.path.join(ROOT, "nightjar"), "cutout", cube, "--targets", table, "--size", str(size), "-j", "1"]
        + ["-o", folder]
    )


def reference(cube, sky, size, folder):
    paths, start = [], os.times()
    for s in sky:
        paths += TessCubeCutout(cube, s, size).write_as_tpf(folder)
    end = os.times()
    return np.array([end.user - start.user, end.system - start.system]), paths


def same(ours, theirs):
    with fits.open(ours) as a, fits.open(theirs) as b:
        for key in ("TIME", "TIMECORR", "RAW_CNTS", "FLUX", "FLUX_ERR", "FLUX_BKG", "QUALITY", "POS_CORR1"):
            assert np.array_equal(a[1].data[key], b[1].data[key]), (ours, key)
        assert np.array_equal(a[2].data, b[2].data), ours


def measure(cube, size, o, folder):
    sky, ours, theirs = targets(o.targets, max(o.sizes)), [], []
    write_targets(f"{folder}/all.csv", sky)
    write_targets(f"{folder}/one.csv", sky[:1])
    reference(cube, sky[:1], size, f"{folder}/theirs")
    few = sky[: o.of_astrocut]
    for _ in range(o.rounds):
        begin = nightjar(cube, f"{folder}/one.csv", size, f"{folder}/ours")
        whole = nightjar(cube, f"{folder}/all.csv", size, f"{folder}/ours")
        ours.append((whole - begin) / (o.targets - 1))
        seconds, paths = reference(cube, few, size, f"{folder}/theirs")
        theirs.append(seconds / len(few))
        for i, path in enumerate(paths):
            same(f"{folder}/ours/t{i}.fits", path)
        shutil.rmtree(f"{folder}/theirs")
    line = {}
    for name, of in (("CPU", lambda x: x.sum()), ("user", lambda x: x[0])):
        a, b = (1e3 * statistics.median([of(x) for x in some]) for some in (theirs, ours))
        line[name] = {"astrocut_ms": a, "nightjar_ms": b, "ratio": a / b}
        print(
            f"{size:3d} pixels, {name:4s}: astrocut {a:7.2f} ms, nightjar {b:7.3f} ms, ratio {a / b:6.1f}",
            flush=True,
        )
    line |= {"file_MB": os.path.getsize(f"{folder}/ours/t0.fits") / 1e6}
    line["rounds_user_system_ms"] = {"astrocut": (1e3 * np.array(theirs)).tolist()}
    line["rounds_user_system_ms"]["nightjar"] = (1e3 * np.array(ours)).tolist()
    return line


p = argparse.ArgumentParser()
p.add_argument(
    "--frames", type=int, default=1200, help="images of the cube; a sector of half-hour images has 1200"
)
p.add_argument("--targets", type=int, default=200)
p.add_argument("--of-astrocut", type=int, default=8, help="targets that astrocut cuts in a round")
p.add_argument("--rounds", type=int, default=3)
p.add_argument("--sizes", type=lambda s: [int(x) for x in s.split(",")], default=[5, 11, 21])
p.add_argument("-o", "--output")
o = p.parse_args()
with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
    cube = f"{folder}/cube.fits"
    write_cube(cube, o.frames)
    found = {str(size): measure(cube, size, o, folder) for size in o.sizes}
said = subprocess.run([os.path.join(ROOT, "nightjar"), "--version"], capture_output=True, text=True)
result = {"context": {"nightjar": said.stdout.split("\n")[0], "astrocut": astrocut.__version__}}
result["context"] |= {
    "astropy": astropy.__version__,
    "numpy": np.__version__,
    "python": platform.python_version(),
}
result["context"] |= {"date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "cores": os.cpu_count()}
result["context"] |= {
    "load_average": os.getloadavg(),
    "kernel": platform.release(),
    "machine": platform.machine(),
}
result |= {
    "cube": {"side": SIDE, "frames": o.frames},
    "targets": o.targets,
    "times_are": "CPU of one worker, per target",
}
result["pixels"] = found
if o.output:
    with open(o.output, "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
