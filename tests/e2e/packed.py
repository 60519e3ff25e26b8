#!/usr/bin/env python3
"""packed.py - what is readable does not depend on where it lies: packers, archives, several members, other
names, standard input; and what is damaged there is reported. One table of (name, files, expected)."""

import bz2, glob, gzip, io, json, lzma, os, shutil, subprocess, tarfile, zipfile
import avro
from tap import *


def tar(members, end=True):
    o = io.BytesIO()
    t = tarfile.TarFile(fileobj=o, mode="w", format=tarfile.GNU_FORMAT)
    for name, data in members:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        t.addfile(info, io.BytesIO(data))
    if end:
        t.close()
    return o.getvalue()


def zipped(members, how=zipfile.ZIP_DEFLATED):
    o = io.BytesIO()
    with zipfile.ZipFile(o, "w", how) as z:
        for name, data in members:
            z.writestr(zipfile.ZipInfo(name), data, how)
    return o.getvalue()


def zstd(data, *flags):
    return subprocess.run(["zstd", "-q", "-c", *flags], input=data, capture_output=True, check=True).stdout


def flipped(data, at, bit=0x10):
    b = bytearray(data)
    b[at] ^= bit
    return bytes(b)


def ocf(schema, blocks, codec, pack):
    out = bytearray(b"Obj\1")
    text = lambda b: (avro._put_long(out, len(b)), out.extend(b))
    avro._put_long(out, 2)
    for key, value in (("avro.schema", json.dumps(schema)), ("avro.codec", codec)):
        text(key.encode()), text(value.encode())
    out += bytes(1) + b"nightjar--packed"
    for block in blocks:
        packed = pack(b"".join(block))
        avro._put_long(out, len(block))
        text(packed)
        out += b"nightjar--packed"
    return bytes(out)


def put(name, data):
    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    with open(name, "wb") as f:
        f.write(data)


def run(spec, stdin=None, *more):
    for f in ("o.ndjson", "d.avro"):
        if os.path.exists(f):
            os.remove(f)
    p = nightjar(
        "run",
        "-m",
        "roid",
        "--columns",
        "candid",
        "-o",
        "ndjson:o.ndjson",
        "--dead-letters",
        "d.avro",
        *more,
        spec,
        stdin=stdin,
    )
    err = p.stderr + p.stdout if isinstance(p.stderr, str) else (p.stderr + p.stdout).decode()
    return p.returncode, [r["candid"] for r in rows("o.ndjson")] if os.path.exists("o.ndjson") else [], err


APPLE = bytes.fromhex("00051607000200004d6163204f5320582020202020202020") + bytes(139)


def main():
    nightjar("simulate", "-q", "-n", 5, "-o", "made", "--seed", 3)
    packet = [open(f, "rb").read() for f in sorted(glob.glob("made/**/*.avro", recursive=True))]
    if not ok(len(packet) == 5, "five packets to play with"):
        return
    ids = []
    for k, p in enumerate(packet):
        put("one.avro", p)
        ids += run("one.avro")[1]
    members = [("n/%d.avro" % k, p) for k, p in enumerate(packet)]
    plain, gz, xz = tar(members), lambda b: gzip.compress(b, 6, mtime=0), lzma.compress
    packers = [("gz", gz), ("bz2", bz2.compress), ("xz", xz)]
    if shutil.which("zstd"):
        packers.append(("zst", zstd))
    else:
        skip("zstd", "no program zstd")
    half = tar(members[:2]), tar(members[2:])

    # --- where it lies: (name, bytes)
    table = [
        ("t.tar", plain),
        ("noend.tar", tar(members, end=False)),
        ("z.zip", zipped(members)),
        ("stored.zip", zipped(members, zipfile.ZIP_STORED)),
        ("two.tar", half[0] + half[1]),
        ("three.tar", half[0] + tar([]) + half[1]),
        ("odd.tar", plain + bytes(77)),
        ("first-empty.tar", tar([]) + plain),
        ("mixed.tar.gz", gz(half[0]) + bz2.compress(half[1])),
        ("zipped.tar.gz", gz(zipped(members))),
        ("padded.tar.gz", gz(plain) + bytes(1000)),
        ("gz.zip", zipped([(n + ".gz", gz(p)) for n, p in members], zipfile.ZIP_STORED)),
        ("tars.tar", tar([("a.tar.gz", gz(half[0])), ("b.zip", zipped(members[2:]))])),
        (
            "every.tar",
            tar(
                [
                    (n + "." + packers[k % len(packers)][0], packers[k % len(packers)][1](p))
                    for k, (n, p) in enumerate(members)
                ]
            ),
        ),
        ("noname.tar", tar([("x%d" % k, gz(p)) for k, p in enumerate(packet)])),
    ]
    for end, pack in packers:
        table += [
            ("t.tar." + end, pack(plain)),
            ("two.tar." + end, pack(half[0]) + pack(half[1])),
            ("T." + end.upper(), pack(plain)),
            ("wrong-name-%s.avro" % end, pack(plain)),
            ("twice.%s.gz" % end, gz(pack(plain))),
            ("split." + end, pack(plain[:30000]) + pack(plain[30000:])),
            ("members-%s.tar" % end, tar([(n + "." + end, pack(p)) for n, p in members])),
            (
                "halves-%s.tar" % end,
                tar([(n + "." + end, pack(p[:999]) + pack(p[999:])) for n, p in members]),
            ),
        ]
    for name, data in table:
        put(name, data)
        rc, got, err = run(name)
        ok((rc, got) == (0, ids), name, (rc, got, err))
        rc, got, err = run("-", data)
        ok((rc, got) == (0, ids), name + " by standard input", (rc, got, err))
    for end, pack in packers:
        for name in ("p.avro." + end, "p.avro", "p", "P.AVRO." + end.upper()):
            put(name, pack(packet[0]))
            rc, got, err = run(name)
            ok((rc, got) == (0, ids[:1]), f"one packet in {end} as {name}", (rc, got, err))
            os.remove(name)
    for k, p in enumerate(packet):
        end, pack = packers[k % len(packers)]
        put(f"folder/s{k}/p.avro.{end}", pack(p))
    rc, got, err = run("folder")
    ok((rc, got) == (0, ids), "a folder of packed packets", (rc, got, err))
    put("folder/night.tar", plain)
    rc, got, err = run("folder")
    ok(got == ids, "archives beside packets are not read twice", (rc, got, err))
    ok("skipped 1 archive beside the packets (night.tar); name it to read it" in err, "and reported", err)
    put("folder/s0/none.avro.gz", gz(b""))
    rc, got, err = run("folder")
    ok("1 empty file (s0/none.avro.gz)" in err, "a packed file of nothing is reported", err)
    put("nights/a.tar.gz", gz(half[0]))
    put("nights/b.zip", zipped(members[2:]))
    rc, got, err = run("nights")
    ok((rc, got) == (0, ids), "a folder of archives", (rc, got, err))
    os.mkfifo("pipe")
    writer = subprocess.Popen(["sh", "-c", "cat t.tar.gz >pipe"])
    rc, got, err = run("pipe")
    writer.wait()
    ok((rc, got) == (0, ids), "a tar through a named pipe", (rc, got, err))

    # --- what systems put beside packets
    beside = [
        ("n/._0.avro", APPLE),
        ("n/.DS_Store", b"Bud1"),
        ("__MACOSX/n/0.avro", APPLE),
        ("n/PaxHeaders.12/0.avro", b"30 mtime=1\n"),
        ("n/apple.avro", APPLE),
    ]
    for name, data in (("mac.tar", tar(beside + members)), ("mac.zip", zipped(beside + members))):
        put(name, data)
        rc, got, err = run(name, None, "--strict")
        ok((rc, got) == (0, ids), f"{name}: metadata is skipped", (rc, got, err))
        ok(
            "skipped 5 hidden or metadata members (n/._0.avro, ...)" in err,
            f"{name}: and reported in one line",
            err,
        )
    for name, data in beside + members:
        put("mac/" + name, data)
    rc, got, err = run("mac", None, "--strict")
    ok((rc, got) == (0, ids), "a folder's metadata is skipped", (rc, got, err))
    ok("skipped 5 hidden or metadata files" in err, "and reported in one line", err)

    # --- damage
    body = len(packet[0]) // 2
    stored = gzip.compress(plain, 0)
    one_bad = gzip.compress(packet[1], 0)
    bad_member = flipped(one_bad, len(one_bad) // 2)
    head = 512 * ((len(packet[0]) + 511) // 512 + 1)  # where the second member's header is
    damage = [  # name, bytes, rows that are read, words of the message
        ("bit.tar.gz", flipped(stored, len(stored) // 2), None, "its checksum is wrong"),
        ("length.tar.gz", flipped(gz(plain), -1), ids, "its length is not"),
        ("crc.tar.gz", flipped(gz(plain), -8), ids, "its checksum is wrong"),
        ("first.tar.gz", flipped(gz(half[0]), -8) + gz(half[1]), ids[:2], "its checksum is wrong"),
        ("crc.tar.bz2", flipped(bz2.compress(plain), -7), None, "bzip2 data"),
        ("crc.tar.xz", flipped(lzma.compress(plain), -14), None, "xz data"),
        ("cut.tar.gz", gz(plain)[:-5], ids, "gzip data: cut"),
        ("cut2.tar.gz", gz(half[0]) + gz(half[1])[:-5], ids, "gzip data: cut"),
        ("cut.avro.gz", gz(packet[0])[:-9], [], "gzip data: cut"),
        ("bit.avro.gz", bad_member, [], "its checksum is wrong"),
        ("tail.tar.gz", gz(plain) + b"-----BEGIN", ids, "what follows it is no packed data"),
        (
            "member.tar",
            tar(members[:1] + [("n/1.avro.gz", bad_member)] + members[2:]),
            ids[:1] + ids[2:],
            "n/1.avro.gz: gzip data: its checksum",
        ),
        (
            "cutmember.tar",
            tar(members[:1] + [("n/1.avro.gz", gz(packet[1])[:-9])] + members[2:]),
            ids[:1] + ids[2:],
            "n/1.avro.gz: gzip data: cut",
        ),
        (
            "header.tar",
            flipped(plain, head + 150),
            ids[:1] + ids[2:],
            "after n/0.avro: what should be the header",
        ),
        ("garbage.tar", plain + b"x" * 1024, ids, "after n/4.avro: what should be the header"),
        ("bit.zip", flipped(zipped(members, zipfile.ZIP_STORED), 40 + body), ids[1:], "n/0.avro"),
        (
            "inner.tar",
            tar([("a.tar.gz", flipped(gz(half[0]), -8)), ("b.tar", half[1])]),
            ids[2:],
            "a.tar.gz: gzip data: its checksum",
        ),
        ("page.tar.gz", b"<!DOCTYPE html><html>404</html>", [], "it is an HTML page"),
    ]
    if shutil.which("zstd"):
        damage.append(("sum.tar.zst", flipped(zstd(plain, "--check"), -2), None, "zstandard data"))
        damage.append(("cut.tar.zst", zstd(plain)[:-9], None, "cut"))
    for name, data, want, words in damage:
        put(name, data)
        rc, got, err = run(name)
        ok(rc == 2, f"{name}: exit code 2", (rc, got, err))
        ok(words in err, f"{name}: reported", err)
        ok(name in err, f"{name}: by name", err)
        if want is not None:
            ok(got == want, f"{name}: what can be read is read", (got, err))
    run("member.tar", None, "--report", "r.json", "--overwrite")
    ledger = report("r.json")["ledger"]
    ok(
        (ledger["consumed"], ledger["emitted"], ledger["dead"]) == (5, 4, 1),
        "a damaged member is a dead letter",
        ledger,
    )
    put("bad/0.avro", packet[0])
    put("bad/1.avro.gz", bad_member)
    put("bad/2.avro", packet[2])
    rc, got, err = run("bad")
    ok((rc, got) == (2, [ids[0], ids[2]]), "a damaged file of a folder costs no other", (rc, got, err))
    ok(
        "bad: 1 of its files and folders could not be read; the first is bad: 1.avro.gz: gzip data: its"
        " checksum" in err,
        "and is reported",
        err,
    )

    # --- a bound by a setting, named
    for end, pack in packers:
        put("big.tar", tar([("n/0.avro." + end, pack(packet[0]))]))
        rc, got, err = run("big.tar", None, "-D", "source.max_member=2k")
        ok(rc == 2 and "[source] max_member" in err, f"{end}: too much names its setting", (rc, err))
    if shutil.which("zstd"):
        put("long.tar.zst", zstd(plain, "--ultra", "--long=28", "--no-content-size"))
        rc, got, err = run("long.tar.zst")
        ok((rc, got) == (0, ids), "a long zstd window", (rc, got, err))
        rc, got, err = run("long.tar.zst", None, "-D", "source.zstd_window_log=27")
        ok(rc == 2, "a bound on zstd windows", (rc, err))
        ok("[source] zstd_window_log = 28 allows it" in err, "names its setting", err)
        for name, data, log in (
            ("one.avro.zst", zstd(packet[0], "--ultra", "--long=31", "--no-content-size"), 31),
            (
                "second.tar.zst",
                zstd(plain[:512], "-1") + zstd(plain[512:], "--ultra", "--long=29", "--no-content-size"),
                29,
            ),
            ("long.tar.zst", open("long.tar.zst", "rb").read(), 28),
        ):
            put(name, data)
            rc, got, err = run(name, None, "-D", f"source.zstd_window_log={log}")
            ok(
                rc == 0 and got == ids[: len(got)] and got,
                f"{name}: a window as large as the setting",
                (rc, got, err),
            )
            for spec, stdin in ((name, None), ("-", data)):
                rc, got, err = run(spec, stdin, "-D", f"source.zstd_window_log={log - 1}")
                ok(
                    rc == 2 and f"[source] zstd_window_log = {log} allows it" in err,
                    f"{name} as {spec}: a larger one names what allows it",
                    (rc, err),
                )

    # --- what is none says what it is
    for name, data, words in (
        ("p.avro", b"\x89PNG\r\n\x1a\n" + bytes(60), "a PNG image"),
        ("h.avro", b"<html><body>gone</body></html>", "an HTML page"),
        ("v.xml", b'<?xml version="1.0"?>\n<VOTABLE version="1.4">', "a VOTable"),
        ("f.fits", b"SIMPLE  =                    T", "a FITS file"),
        ("pack.avro", gz(b"PAR1" + bytes(40)), "a Parquet file"),
        ("l.avro", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    ):
        put(name, data)
        rc, got, err = run(name)
        ok("not an Avro packet: it is " + words in err, f"{name}: {words}", err)
    put("j.json", b'{"alerts": 1}')
    rc, got, err = run("j.json")
    ok("no survey map matches the schema 'json.packet'" in err, "JSON that no map knows", err)
    put("zeros.avro", bytes(4096))
    rc, got, err = run("zeros.avro", None, "--strict")
    ok((rc, got) == (4, []), "a packet of zeros is no empty tar", (rc, got, err))
    for name, data in (("empty.tar", tar([])), ("empty.tar.gz", gz(tar([]))), ("empty.zip", zipped([]))):
        put(name, data)
        rc, got, err = run(name)
        ok((rc, got) == (0, []), name, (rc, got, err))
    # --- a file of records that is cut: every record of the cut block is in the ledger
    schema = {
        "type": "record",
        "name": "alert",
        "namespace": "ztf",
        "fields": [
            {"name": "objectId", "type": "string"},
            {"name": "candid", "type": "long"},
            {
                "name": "candidate",
                "type": {"type": "record", "name": "candidate", "fields": [{"name": "jd", "type": "double"}]},
            },
        ],
    }
    datum = [
        avro.Schema(schema).write(
            {"objectId": "ZTF99made%d" % k, "candid": 10 + k, "candidate": {"jd": 2460000.5 + k}}
        )
        for k in range(9)
    ]
    for codec, pack in (("null", bytes), ("bzip2", bz2.compress), ("xz", lzma.compress)):
        data = ocf(schema, [datum[:4], datum[4:], []], codec, lambda b: pack(b) if b else b)
        put("blocks.avro", data)
        rc, got, err = run("blocks.avro", None, "--strict")
        ok(
            (rc, got) == (0, list(range(10, 19))),
            f"codec {codec}, and a last block of nothing",
            (rc, got, err),
        )
        put("blocks.avro", data[:-40])
        rc, got, err = run("blocks.avro")
        ok((rc, got) == (0, [10, 11, 12, 13]), f"codec {codec}, cut: the blocks before", (rc, got, err))
        ok(
            "9 in = 4 out + 0 filtered + 5 dead, ledger closed" in err,
            f"codec {codec}, cut: every record is counted",
            err,
        )
        ok("lost: 5 records" in err, f"codec {codec}, cut: and reported", err)
    # --- dead letters come again, packed or not
    put("bad-one.avro", b"Obj\1" + bytes(40))
    run("bad-one.avro")
    letters = open("d.avro", "rb").read()
    for end, pack in [("", bytes)] + packers:
        put("letters.avro", pack(letters))
        rc, got, err = run("letters.avro")
        ok("letters.avro: letter 0: record 0 is dead" in err, f"dead letters {end}", (rc, err))
    # --- through other doors
    p = nightjar(
        "run", "-q", "-m", "roid", "-o", "null:", "--dead-letters", "x.avro", "embedded://member.tar"
    )
    ok("n/1.avro.gz: gzip data: its checksum" in p.stderr, "through the embedded broker", p.stderr)


with Folder():
    main()
done()
