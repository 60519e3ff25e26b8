#!/usr/bin/env python3
"""nightjar cutout of images on a server: the stamps are those of the same file here, and only the blocks that
they need come over the net. The server is in this process; it delays, fails, changes and refuses as told."""

import http.server, os, re, threading, time
from tap import Folder, done, needs, nightjar, ok

needs("astropy", "numpy")
import numpy as np
from astropy.io import fits

SIDE = 1500


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    requests, sent, at_once, most, failures = [], 0, 0, 0, 0
    latency, bandwidth, ranges, changed, total = 0, 0, True, False, None

    @classmethod
    def reset(cls, **told):
        cls.requests, cls.sent, cls.at_once, cls.most, cls.failures = [], 0, 0, 0, 0
        cls.latency, cls.bandwidth, cls.ranges, cls.changed, cls.total = 0, 0, True, False, None
        for k, v in told.items():
            setattr(cls, k, v)

    def log_message(self, *_):
        pass

    def answer(self, code, body=b"", **headers):
        self.send_response(code)
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        of = Server
        with of.lock:
            of.requests.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
            of.at_once += 1
            of.most = max(of.most, of.at_once)
            fails = of.failures > 0
            of.failures -= fails
        try:
            time.sleep(of.latency)
            path = "files/" + os.path.basename(self.path.split("?")[0])
            if fails:
                return self.answer(503, b"not now")
            if self.path.startswith("/moved/"):
                return self.answer(302, Location="/" + os.path.basename(self.path))
            if not os.path.exists(path):
                return self.answer(404, b"no such file")
            with open(path, "rb") as f:
                data = f.read()
            m = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if not m or not of.ranges:
                return self.answer(200, data)
            a, b = int(m[1]), min(int(m[2]), len(data) - 1)
            if of.bandwidth:
                time.sleep((b + 1 - a) / of.bandwidth)
            with of.lock:
                of.sent += b + 1 - a
                tag = f'"{len(of.requests) if of.changed else 1}"'
            self.answer(
                206, data[a : b + 1], Content_Range=f"bytes {a}-{b}/{of.total or len(data)}", ETag=tag
            )
        finally:
            with of.lock:
                of.at_once -= 1


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):  # a client that has read enough
        pass


def header(side=SIDE):
    h = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": side / 2 + 0.5, "CRPIX2": side / 2 + 0.5}
    return fits.Header(h | {"CRVAL1": 150.0, "CRVAL2": 20.0, "CDELT1": -1 / 3600, "CDELT2": 1 / 3600})


def make_files():
    random = np.random.default_rng(7)
    image = random.normal(100, 10, (SIDE, SIDE)).astype("f4")
    os.mkdir("files")
    fits.PrimaryHDU(image, header()).writeto("files/image.fits")
    cube = random.normal(0, 1, (40, 300, 300)).astype("f4")
    primary, table = fits.PrimaryHDU(), fits.BinTableHDU.from_columns(
        [fits.Column("x", "D", array=np.arange(5e4))]
    )
    fits.HDUList([primary, table, fits.ImageHDU(cube, header(300), name="CUBE")]).writeto("files/cube.fits")
    rows = [
        ("CTYPE1", "8A", "RA---TAN"),
        ("CTYPE2", "8A", "DEC--TAN"),
        ("CRPIX1", "D", 40.5),
        ("CRPIX2", "D", 40.5),
    ]
    rows += [
        ("CRVAL1", "D", 150.0),
        ("CRVAL2", "D", 20.0),
        ("CDELT1", "D", -1 / 3600),
        ("CDELT2", "D", 1 / 3600),
    ]
    rows += [("TSTART", "D", 1325.2), ("TSTOP", "D", 1325.3), ("BARYCORR", "D", 0.004), ("DQUALITY", "J", 0)]
    times = fits.BinTableHDU.from_columns([fits.Column(k, f, array=np.array([v] * 50)) for k, f, v in rows])
    frames = fits.ImageHDU(random.normal(0, 1, (80, 80, 50, 2)).astype("f4"))
    fits.HDUList([fits.PrimaryHDU(), frames, times]).writeto("files/tess.fits")
    fits.CompImageHDU(image[:400, :400], header(400)).writeto("files/packed.fits.fz")
    fits.PrimaryHDU((image[:400, :400]).astype("i2"), header(400)).writeto("files/whole.fits")
    fits.PrimaryHDU(image[:300, :300], header(300)).writeto("files/zipped.fits.gz")
    with open("files/text.fits", "w") as f:
        f.write("this is no FITS file\n" * 10)
    with open("targets.csv", "w") as f:
        f.write("name,ra,dec\n")
        for i, (x, y) in enumerate([(0, 0), (30, 40), (-60, 10), (500, 500), (-749, 0), (0, 3000)]):
            f.write(f"t{i},{150 + x / 3600 / np.cos(np.radians(20)):.9f},{20 + y / 3600:.9f}\n")


def stamps(source, folder, size=31, *more):
    r = nightjar(
        "cutout", source, "--targets", "targets.csv", "--size", size, "-o", folder, "--overwrite", *more
    )
    found = {}
    for name in sorted(os.listdir(folder)) if r.returncode == 0 else []:
        with open(f"{folder}/{name}", "rb") as f:
            found[name] = f.read()
    return r, found


def same(what, url, name, size=31):
    here, want = stamps(f"files/{name}", "here", size)
    Server.reset()
    r, got = stamps(url, "there", size)
    ok(r.returncode == 0, f"{what}: stamps are cut", r.stderr)
    ok(len(want) > 0 and got == want, f"{what}: they are those of the file here, to the byte", here.stderr)
    return r, os.path.getsize("files/" + name.split("[")[0])


def fails(what, words, url, code=2, **told):
    Server.reset(**told)
    r, _ = stamps(url, "none")
    ok(r.returncode == code, f"{what}: exit code {code}", r)
    ok(words in r.stderr, f"{what}: it says '{words}'", r.stderr)
    return r


with Folder():
    make_files()
    server = Quiet(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"

    r, size = same("an image", f"{base}/image.fits", "image.fits")
    ok(Server.sent < size / 5, "a fifth of the image at most came", (Server.sent, size))
    ok(f"{Server.sent / 1e6:.2f} MB" in r.stdout, "and the run says how much", r.stdout)
    asked = [re.match(r"bytes=(\d+)-(\d+)", x[1]).groups() for x in Server.requests]
    ranges = sorted((int(a), int(b)) for a, b in asked)
    ok(all(x[1] < y[0] for x, y in zip(ranges, ranges[1:])), "no byte is asked for twice", ranges)
    ok(len(ranges) < 40, "blocks that stand close come in one request", len(ranges))
    r, size = same("a cube", f"{base}/cube.fits", "cube.fits", 9)
    ok(Server.sent < size, "of a cube less than all came", (Server.sent, size))
    r, size = same("an HDU by its name", f"{base}/cube.fits[CUBE]", "cube.fits[CUBE]", 9)
    r, size = same("a TESS cube", f"{base}/tess.fits", "tess.fits", 7)
    ok(Server.sent < size / 2, "of a TESS cube half at most came", (Server.sent, size))
    same("a packed image", f"{base}/packed.fits.fz", "packed.fits.fz")
    same("integers", f"{base}/whole.fits", "whole.fits")
    same("a gzip file", f"{base}/zipped.fits.gz", "zipped.fits.gz")
    same("a redirection", f"{base}/moved/image.fits", "image.fits")
    same("a query", f"{base}/image.fits?token=abc", "image.fits")

    # the net: each request waits; requests go side by side
    Server.reset(latency=0.05, bandwidth=2e7)
    r, got = stamps(f"{base}/image.fits", "slow")
    ok(r.returncode == 0 and len(got) == 5, "a slow net gives the same stamps", r.stderr)
    ok(Server.most > 1, "requests do not wait for one another", Server.most)
    Server.reset(failures=2)
    r, got = stamps(f"{base}/image.fits", "again")
    ok(r.returncode == 0 and len(got) == 5, "a server that fails twice is asked again", r.stderr)
    ok(r.stderr.count("once more") == 2, "which is reported", r.stderr)

    fails("a file that is not there", "the server says 404", f"{base}/none.fits")
    ok(len(Server.requests) == 1, "it is asked for once", Server.requests)
    fails("a server that fails on", "the server says 503", f"{base}/image.fits", failures=99)
    fails("a server without ranges", "sends the whole file", f"{base}/image.fits", ranges=False)
    fails("a file that changes", "has changed", f"{base}/image.fits", changed=True)
    for total in ("-5", "9" * 23):
        fails(f"a file of {total} bytes", "does not say how large", f"{base}/image.fits", total=total)
    fails("a text", "cannot be opened as FITS", f"{base}/text.fits")
    fails("no server", "connect", "http://127.0.0.1:1/image.fits")
    r = fails("a password", "404", base.replace("//", "//me:secret@") + "/none.fits?signature=hidden")
    ok(
        "secret" not in r.stderr and "hidden" not in r.stderr,
        "a password and a signature are not printed",
        r.stderr,
    )

    # S3 by an endpoint of one's own
    aws = {"AWS_ENDPOINT_URL": base}
    Server.reset()
    os.environ.update(aws)
    r, got = stamps("s3://bucket/image.fits", "s3")
    ok(r.returncode == 0 and len(got) == 5, "an object of a public bucket", r.stderr)
    ok({x[0] for x in Server.requests} == {"/bucket/image.fits"}, "by its bucket and key", Server.requests)
    ok({x[2] for x in Server.requests} == {None}, "without a signature")
    os.environ.update(
        AWS_ACCESS_KEY_ID="AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY="secretkey", AWS_REGION="eu-west-1"
    )
    Server.reset()
    r, got = stamps("s3://bucket/image.fits", "s3")
    ok(r.returncode == 0 and len(got) == 5, "an object with a key", r.stderr)
    signed = [x[2] or "" for x in Server.requests]
    form = r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d{8}/eu-west-1/s3/aws4_request, ?"
    form += r"SignedHeaders=\S+, ?Signature=[0-9a-f]{64}"
    ok(all(re.fullmatch(form, x) for x in signed), "its requests are signed", signed[:1])
    fails("an address without a key", "s3://BUCKET/KEY", "s3://bucket")
    server.shutdown()
done()
