#!/usr/bin/env python3
"""What the brokers publish, each packet made here after their documentation: Lasair, Pitt-Google, Hopskotch,
GCN and igwn.gwalert in JSON, Babamul and Roman in Avro; columns as worked out by hand, through a file and a
Kafka."""

import base64, gzip, io, json, math, os, subprocess, tarfile, zipfile
from mock_broker import MockBroker
from tap import NIGHTJAR, Folder, done, needs, nightjar, ok, rows

needs("fastavro", "numpy")
import fastavro, numpy as np

ID = 169760235333878021  # beyond 2^53
SOURCES = [
    {
        "psfFlux": 13677.0458984375,
        "psfFluxErr": 1538.75,
        "midpointMjdTai": 61029.25,
        "band": "z",
        "reliability": 0.5,
    },
    {"psfFlux": -250.5, "psfFluxErr": 100.0, "midpointMjdTai": 61030.5, "band": "g", "reliability": 0.875},
]
FORCED = [{"psfFlux": 12.5, "psfFluxErr": 3.25, "midpointMjdTai": 61028.0, "band": "u"}]
LC = "lc.jd,lc.flux,lc.flux_err,lc.band,lc.kind,lc.positive,fp.jd,fp.flux,published_jd"


def write(name, *packets, text=None):
    with open(name, "w", encoding="utf-8") as f:
        f.write(text if text is not None else "".join(json.dumps(p) + "\n" for p in packets))


def run(source, *args, out="out.ndjson"):
    for name in (out, "dead.avro"):
        for x in (name, name + ".journal", name + ".meta.json"):
            if os.path.exists(x):
                os.remove(x)
    r = nightjar("run", source, "--dead-letters", "dead.avro", "-o", f"ndjson:{out}", *args)
    return r, rows(out) if os.path.exists(out) else []


def is_row(row, want, name):
    for key, value in want.items():
        have = row.get(key, "absent")
        if isinstance(value, float) and isinstance(have, float):
            good = math.isclose(have, value, rel_tol=1e-12)
        else:
            good = have == value
        ok(good, f"{name}: {key} = {value}", f"{key} is {have}")


def check(name, packet, want, *args, topic=None, server=None):
    """Through a file, and through a Kafka."""
    write("p.json", packet)
    through(name, "p.json", want, args, topic or "any_json", server)


def through(name, file, want, args, topic, server):
    """The same row of a file and of a topic; of a real Kafka the topic alone: the file has its turn there."""
    got = None
    if not server.is_real:
        r, got = run(file, *args)
        ok(r.returncode == 0, f"{name}: a file is read", r.stderr)
        ok(len(got) == 1, f"{name}: one row", (got, r.stderr))
        is_row(got[0] if got else {}, want, name)
    if server:
        with open(file, "rb") as f:
            packet = f.read()
        server.topic(topic)
        server.send(topic, [(packet, None, [])])
        source = f"kafka://{server.server}/{topic}?group=g-{topic}&from=earliest&until=end"
        r, again = run(source, *args, out="kafka.ndjson")
        ok(r.returncode == 0, f"{name}: from a topic", r.stderr)
        if got is None:
            is_row(again[0] if again else {}, want, name + ", from Kafka")
        else:
            ok(again == got, f"{name}: the same row from the topic", (again, got))


def json_in_archives():
    """Members of JSON are packets where an archive has no others."""
    one = {"diaObjectId": ID, "decl": -38.5, "ra": 221.5, "UTC": "2026-01-29 11:40:14"}
    text = lambda *n: "".join(json.dumps({**one, "diaObjectId": k}) + "\n" for k in n).encode()
    members = [
        ("a/one.json", text(ID)),
        ("two.ndjson", text(1, 2)),
        ("three.jsonl.gz", gzip.compress(text(3))),
    ]
    avro = io.BytesIO()
    fastavro.writer(avro, {"type": "record", "name": "x", "fields": []}, [])

    def tar(name, mode, members):
        with tarfile.open(name, mode) as t:
            for path, data in members:
                info = tarfile.TarInfo(path)
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))

    tar("only.tar", "w", members)
    tar("only.tar.gz", "w:gz", members)
    with zipfile.ZipFile("only.zip", "w") as z:
        for path, data in members:
            z.writestr(path, data)
    for name in ("only.tar", "only.tar.gz", "only.zip"):
        r, got = run(name)
        ok(r.returncode == 0, f"{name}: JSON in an archive: exit 0", r.stderr)
        ok(
            [x["candid"] for x in got] == [ID, 1, 2, 3],
            f"{name}: each packet once, in order",
            (got, r.stderr),
        )
        ok("its 3 members of JSON are read" in r.stderr, f"{name}: which is said", r.stderr)
    tar("mixed.tar", "w", [*members, ("report.json", b"{}"), ("a.avro", avro.getvalue())])
    r, got = run("mixed.tar")
    ok(got == [], "beside Avro they are reports", got)
    ok("skipped 4 members not an alert" in r.stderr, "and skipped, which is said", r.stderr)
    with open("only.tar", "rb") as f:
        p = subprocess.run(
            [NIGHTJAR, "run", "-", "-o", "ndjson:pipe.ndjson"], input=f.read(), capture_output=True
        )
    ok(b"a pipe does not say" in p.stderr, "in a pipe they are skipped, and why", p.stderr)
    tar("wrong.tar", "w", [("a.json", text(1)), ("b.json", b'{"diaObjectId": 5')])
    r, got = run("wrong.tar")
    ok([x["candid"] for x in got] == [1], "one that is cut off: the others are rows", got)
    ok("1 dead" in r.stdout, "and it is a dead letter", r.stdout)


def lasair(server):
    plain = {
        "diaObjectId": ID,
        "decl": -38.16173726666955,
        "ra": 221.87087177320953,
        "UTC": "2026-01-29 11:40:14",
    }
    base = {
        "candid": ID,
        "object": str(ID),
        "survey": "lsst",
        "ra": 221.87087177320953,
        "dec": -38.16173726666955,
        "published_jd": 2461069.986273148,
    }
    asked = ("--columns", LC)
    check(
        "Lasair plain", plain, {**base, "jd": None, "lc.jd": []}, *asked, topic="lasair_1plain", server=server
    )
    lite = {**plain, "alert": {"diaSourcesList": SOURCES, "diaForcedSourcesList": FORCED}}
    curve = {
        "lc.jd": [2461029.75, 2461031.0],
        "lc.flux": [13677.0458984375, -250.5],
        "lc.flux_err": [1538.75, 100],
        "lc.band": [4, 1],
        "lc.kind": [0, 0],
        "lc.positive": [1, 0],
        "fp.jd": [2461028.5],
        "fp.flux": [12.5],
    }
    check("Lasair lite", lite, {**base, **curve}, *asked, topic="lasair_2lite", server=server)
    full = json.loads(json.dumps(lite))
    full["lastDiaSourceMjdTai"] = 61030.5
    full["nDiaSources"] = 2
    full["alert"]["diaObject"] = {"diaObjectId": ID, "firstDiaSourceMjdTai": 61029.25, "nDiaSources": 2}
    for k, s in enumerate(full["alert"]["diaSourcesList"]):
        s.update(
            {"diaSourceId": ID + k, "visit": 2025121900283, "ra": 10.5, "dec": -5.25, "ssObjectId": None}
        )
    want = {
        **base,
        **curve,
        "jd": 2461031.0,
        "ndethist": 2,
        "lc.candid": [ID, ID + 1],
        "first_jd": 2461029.75,
    }
    check(
        "Lasair full",
        full,
        want,
        "--columns",
        LC + ",lc.candid,first_jd",
        topic="lasair_3full",
        server=server,
    )


def stamp():
    """A FITS image, packed as LSST and ZTF do."""
    cards = [
        "SIMPLE  =                    T",
        "BITPIX  =                  -32",
        "NAXIS   =                    2",
    ]
    cards += ["NAXIS1  =                   63", "NAXIS2  =                   63", "END"]
    head = "".join(c.ljust(80) for c in cards).ljust(2880).encode()
    data = np.arange(63 * 63, dtype=">f4").tobytes()
    return gzip.compress(head + data.ljust(-(-len(data) // 2880) * 2880, b"\0"), mtime=0)


def lsst_alert():
    source = {
        "diaSourceId": ID,
        "diaObjectId": ID + 5,
        "ssObjectId": None,
        "visit": 2025121900283,
        "detector": 179,
        "midpointMjdTai": 61030.5,
        "ra": 10.5,
        "dec": -5.25,
        "psfFlux": 1000.0,
        "psfFluxErr": 50.0,
        "band": "r",
        "reliability": 0.75,
        "snr": 20.0,
    }
    before = {**source, "diaSourceId": ID - 1, "midpointMjdTai": 61029.5, "psfFlux": -500.0, "band": "g"}
    return {
        "diaSourceId": ID,
        "diaSource": source,
        "prvDiaSources": [before],
        "prvDiaForcedSources": None,
        "diaObject": {"diaObjectId": ID + 5, "nDiaSources": 2},
        "ssSource": None,
    }


LSST = {
    "candid": ID,
    "object": str(ID + 5),
    "survey": "lsst",
    "jd": 2461031.0,
    "ra": 10.5,
    "dec": -5.25,
    "exposure": 2025121900283.0,
    "band": "r",
    "mag": 31.4 - 2.5 * math.log10(1000),
    "rb": 0.75,
    "ndethist": 2,
    "lc.jd": [2461030.0, 2461031.0],
    "lc.flux": [-500, 1000],
    "lc.band": [1, 2],
    "lc.candid": [ID - 1, ID],
}


def lasair_of_ztf(server):
    """The same topics and the same look, but the object is objectId: no row may say lsst."""
    packet = {
        "objectId": "ZTF26aaaaaaa",
        "ramean": 221.5,
        "decmean": -8.25,
        "jdmax": 2461070.75,
        "jdmin": 2461060.5,
        "ncand": 7,
        "gmag": 18.5,
        "UTC": "2026-01-29 11:40:14",
    }
    want = {"candid": None, "object": "ZTF26aaaaaaa", "survey": "ztf", "jd": 2461070.75, "ra": 221.5}
    want = {**want, "dec": -8.25, "ndethist": 7, "first_jd": 2461060.5, "published_jd": 2461069.9862731481}
    asked = ("--columns", "first_jd,published_jd")
    check("Lasair's ZTF", packet, want, *asked, topic="lasair_4ztf", server=server)
    small = {"objectId": "ZTF26aaaaaaa", "gmag": 18.5}
    want = {"object": "ZTF26aaaaaaa", "survey": "ztf", "jd": None, "ra": None}
    server.topic("lasair_5small")
    server.send("lasair_5small", [(json.dumps(small).encode(), None, [])])
    source = f"kafka://{server.server}/lasair_5small?group=g5&from=earliest&until=end"
    r, got = run(source, out="kafka.ndjson")
    ok(len(got) == 1, "Lasair's ZTF: topic and objectId are enough", (got, r.stderr))
    is_row(got[0] if got else {}, want, "Lasair's ZTF, few attributes")


def pitt_google(server):
    want = {k: v for k, v in LSST.items() if k != "mag"}
    args = ("--columns", "lc.jd,lc.flux,lc.band,lc.candid")
    check("Pitt-Google", lsst_alert(), want, *args, topic="lsst-json", server=server)
    if server.is_real:
        return
    with_stamps = {**lsst_alert()}
    for kind in ("cutoutScience", "cutoutTemplate", "cutoutDifference"):
        with_stamps[kind] = base64.b64encode(stamp()).decode()
    write("s.json", with_stamps)
    r = nightjar("inspect", "s.json", "--stamps", "S")
    ok(os.path.exists("S_science.png"), "base64: stamps are images", r.stdout + r.stderr)
    with_stamps["cutoutScience"] = "not!base64"
    write("s.json", with_stamps)
    r, got = run("s.json")
    ok(not got, "base64: a stamp that is none: no row", got)
    ok("cutoutScience: a stamp is no base64" in r.stderr, "base64: and the key is named", r.stderr)


def hopskotch(server):
    packet = {"format": "json", "content": lsst_alert()}
    check("Hopskotch", packet, {"candid": ID, "survey": "lsst"}, topic="hop.lsst", server=server)
    r, _ = run("p.json")
    ok(
        "1 packets were the content of an envelope" in r.stderr,
        "Hopskotch: the envelope is counted",
        r.stderr,
    )


def notices(server):
    gcn = {
        "$schema": "https://gcn.nasa.gov/schema/main/gcn/notices/einstein_probe/wxt/alert.schema.json",
        "instrument": "WXT",
        "mission": "Einstein Probe",
        "trigger_time": "2026-03-01T21:46:05.13Z",
        "alert_datetime": "2026-03-01T21:50:00.000+00:00",
        "id": ["01708973486"],
        "ra": 120.5,
        "dec": -40.25,
        "ra_dec_error": 0.02,
    }
    want = {"survey": "gcn", "object": "Einstein Probe", "ra": 120.5, "dec": -40.25, "ra_dec_error": 0.02}
    want["jd"] = 2461100.5 + (21 * 3600 + 46 * 60 + 5.13) / 86400
    args = ("--columns", "ra_dec_error,published_jd")
    check("GCN", gcn, want, *args, topic="gcn.notices.einstein_probe.wxt.alert", server=server)
    gw = {
        "alert_type": "PRELIMINARY",
        "time_created": "2026-11-01T08:08:17Z",
        "superevent_id": "MS261101h",
        "urls": {"gracedb": "https://example.org/superevents/MS261101h/view/"},
        "event": {
            "significant": True,
            "time": "2026-11-01T08:02:45.420Z",
            "far": 9.11e-14,
            "instruments": ["H1", "L1"],
            "group": "CBC",
            "pipeline": "gstlal",
            "search": "MDC",
            "properties": {"HasNS": 1.0, "HasRemnant": 1.0, "HasMassGap": 0.0, "HasSSM": 0.0},
            "classification": {"BNS": 0.9999, "NSBH": 0.0001, "BBH": 0, "Terrestrial": 0},
            "duration": None,
            "central_frequency": None,
            "skymap": base64.b64encode(b"SIMPLE").decode(),
        },
        "external_coinc": None,
    }
    want = {
        "survey": "gwalert",
        "object": "MS261101h",
        "ra": None,
        "alert_type": "PRELIMINARY",
        "far": 9.11e-14,
    }
    want["jd"] = 2461345.5 + (8 * 3600 + 2 * 60 + 45.42) / 86400
    want["packet.event.classification.BNS"] = 0.9999
    want["packet.event.instruments[]"] = ["H1", "L1"]
    want["packet.event.skymap"] = base64.b64encode(b"SIMPLE").decode()
    columns = "alert_type,far,packet.event.classification.BNS,packet.event.instruments[],packet.event.skymap"
    check("gwalert", gw, want, "--columns", columns, topic="igwn.gwalert", server=server)


def babamul(server):
    ztf = {
        "candid": ID,
        "objectId": "ZTF26aaaaaaa",
        "candidate": {
            **{
                "jd": 2461030.75,
                "fid": 2,
                "ra": 10.5,
                "dec": 5.25,
                "magpsf": 18.5,
                "sigmapsf": 0.1,
                "rb": 0.8,
            },
            **{
                "drb": 0.9,
                "isdiffpos": True,
                "programid": 1,
                "ndethist": 3,
                "psfFlux": 1e9,
                "psfFluxErr": 1e7,
            },
            **{"band": "r", "jdstarthist": 2461000.5, "diffmaglim": 20.5, "nbad": 0},
        },
        "prv_candidates": [
            {"jd": 2461029.75, "psfFlux": -5e8, "psfFluxErr": 1e7, "band": "g", "ra": 10.5, "dec": 5.25}
        ],
        "fp_hists": [{"jd": 2461028.75, "psfFlux": 2e9, "psfFluxErr": 1e7, "band": "i"}],
    }
    want = {
        **{
            "candid": ID,
            "survey": "ztf",
            "object": "ZTF26aaaaaaa",
            "jd": 2461030.75,
            "band": "r",
            "mag": 18.5,
        },
        **{
            "rb": 0.8,
            "positive": 1,
            "ndethist": 3,
            "lc.jd": [2461029.75, 2461030.75],
            "lc.flux": [-500, 1000],
        },
        **{"lc.band": [1, 2], "fp.flux": [2000], "roid.reason": "done"},
    }
    args = (
        "--survey",
        "babamul",
        "--columns",
        "lc.jd,lc.flux,lc.band,fp.flux",
        "-D",
        "module.roid.surveys=ztf",
    )
    want.pop("mag"), want.pop("rb")
    avro("Babamul ZTF", "BabamulZtfAlert", ztf, want, args, "babamul.ztf.no-lsst-match.hosted", server)
    lsst = {
        "candid": ID,
        "objectId": str(ID + 5),
        "candidate": {
            **{
                "diaSourceId": ID,
                "visit": 2025121900283,
                "detector": 179,
                "midpointMjdTai": 61030.5,
                "ra": 10.5,
            },
            **{
                "dec": -5.25,
                "psfFlux": 1000.0,
                "psfFluxErr": 50.0,
                "band": "z",
                "reliability": 0.75,
                "snr": 20.0,
            },
            **{"jd": 2461031.0, "magpsf": 23.5, "sigmapsf": 0.05, "diffmaglim": 24.5, "isdiffpos": True},
            **{"objectId": str(ID + 5), "ndethist": 2, "jdstarthist": 2461000.5},
        },
        "prv_candidates": [
            {"jd": 2461030.0, "psfFlux": -500.0, "psfFluxErr": 50.0, "band": "u", "ra": 10.5, "dec": -5.25}
        ],
        "fp_hists": [{"jd": 2461028.5, "psfFlux": 12.5, "psfFluxErr": 3.25, "band": "y"}],
    }
    want = {
        **{"candid": ID, "survey": "lsst", "object": str(ID + 5), "jd": 2461031.0, "band": "z", "mag": 23.5},
        **{"rb": 0.75, "positive": 1, "ndethist": 2, "exposure": 2025121900283.0, "lc.flux": [-500, 1000]},
        **{"lc.jd": [2461030.0, 2461031.0], "lc.band": [0, 4], "fp.flux": [12.5], "roid.reason": "done"},
    }
    args = ("--columns", "lc.jd,lc.flux,lc.band,fp.flux", "-D", "module.roid.surveys=lsst")
    avro("Babamul LSST", "BabamulLsstAlert", lsst, want, args, "babamul.lsst.ztf-match.hostless", server)


def type_of(value, name):
    if isinstance(value, dict):
        fields = [{"name": k, "type": type_of(v, f"{name}_{k}")} for k, v in value.items()]
        return {"type": "record", "name": name, "fields": fields}
    if isinstance(value, list):
        return {"type": "array", "items": type_of(value[0], name + "_item")}
    kinds = {bool: "boolean", int: "long", float: "double", str: "string", bytes: "bytes"}
    return ["null", kinds[type(value)]] if value is not None else ["null", "long"]


def avro(name, record, packet, want, args, topic, server):
    """A container file, as a file and as a message."""
    out = io.BytesIO()
    fastavro.writer(out, {**type_of(packet, record.split(".")[-1]), "name": record}, [packet])
    with open("p.avro", "wb") as f:
        f.write(out.getvalue())
    through(name, "p.avro", want, args, topic, server)


def transfer(server):
    """Fink's data transfer: bare datums, and the schema as the key of a message in another topic."""
    alert = lsst_alert()
    schema = fastavro.parse_schema({**type_of(alert, "alert"), "name": "lsst.v11_0.alert"})
    schema.pop("__fastavro_parsed__", None), schema.pop("__named_schemas", None)
    datum = io.BytesIO()
    fastavro.schemaless_writer(datum, schema, alert)
    name = "ftransfer_lsst_2026-11-29_1"
    for topic in (name, name + "_schema"):
        server.topic(topic)
    server.send(name, [(datum.getvalue(), None, []) for _ in range(3)])
    server.send(name + "_schema", [(b"x", json.dumps(schema).encode(), [])])
    for k, topic in enumerate([name, "^ftransfer_.*"]):
        source = f"kafka://{server.server}/{topic}?group=transfer{k}&from=earliest&until=end"
        r, got = run(source)
        ok(r.returncode == 0, f"data transfer, {topic}: a run", r.stderr)
        ok([x["candid"] for x in got] == [ID] * 3, f"data transfer, {topic}: the rows", (got, r.stderr))
        ok(
            "the key of a message in " + name in r.stderr,
            f"data transfer, {topic}: the schema is found",
            r.stderr,
        )
        ok("0 dead" in r.stdout, f"data transfer, {topic}: and is no alert itself", r.stdout)


def new_version(server):
    """A topic whose packets carry their schema gets a new major version: reported once, and read."""
    messages = []
    for version, more in [
        ("v11_0", {}),
        ("v12_0", {"mood": "new"}),
        ("v11_0", {}),
        ("v12_0", {"mood": "new"}),
    ]:
        alert = lsst_alert()
        alert["diaSource"].update(more)
        alert.pop("prvDiaSources")
        out = io.BytesIO()
        fastavro.writer(out, {**type_of(alert, "alert"), "name": f"lsst.{version}.alert"}, [alert])
        messages.append((out.getvalue(), None, []))
    server.topic("fink_new_lsst")
    server.send("fink_new_lsst", messages)
    r, got = run(f"kafka://{server.server}/fink_new_lsst?group=v12&from=earliest&until=end", "-j", "1")
    ok([x["candid"] for x in got] == [ID] * 4, "a new major version: all are read", (got, r.stderr))
    said = [
        line for line in r.stderr.splitlines() if "a new schema: lsst.v12_0.alert; against lsst.v11_0" in line
    ]
    ok(len(said) == 1, "a new major version: reported once", r.stderr)
    ok("+ diaSource.mood (null or string)" in r.stderr, "a new major version: with the difference", r.stderr)


def roman(server):
    for version, time, sign, exposure, template in [
        ("v00_02", "midpointMjd", ("isNegative", True), "expId", "cutoutReference"),
        ("v01_00", "midpointMjdTai", ("isdiffpos", False), "visit", "cutoutTemplate"),
        ("v01_01", "midpointMjd", ("isNegative", True), "visit", "cutoutTemplate"),
        ("v02_00", "midpointMjdTai", ("isNegative", True), "visit", "cutoutTemplate"),
    ]:
        source = {"diaSourceId": ID, "diaObjectId": 7, time: 61030.5, sign[0]: sign[1], exposure: 1234}
        source.update(
            {"ra": 10.5, "dec": 5.25, "band": "F158", "psfFlux": 5.0, "psfFluxErr": 1.0, "snr": 5.0}
        )
        packet = {"diaSourceId": ID, "diaSource": source, "prvDiaSources": [source], template: b""}
        want = {"survey": "roman", "jd": 2461031.0, "positive": 0, "exposure": 1234.0, "object": "7"}
        want["lc.jd"] = [2461031.0, 2461031.0]
        want["lc.positive"] = [0, 0]
        args = ("--columns", "lc.jd,lc.positive")
        avro(f"Roman {version}", f"rapid.{version}.alert", packet, want, args, f"rapid-{version}", server)


def strictness():
    """What is wrong is a dead letter with its key, and the others go on."""
    good = {"diaObjectId": ID, "decl": 1.5, "ra": 2.5, "UTC": "2026-01-29 11:40:14"}
    bad = [
        ('{"diaObjectId": 123456789012345678901234567890, "decl": 1.5, "ra": 2.5, "UTC": ""}', "no JSON"),
        ('{"diaObjectId": 1, "diaObjectId": 2, "decl": 1.5, "ra": 2.5, "UTC": ""}', "no JSON"),
        ('{"diaObjectId": 1, "decl": 1.5, "ra": 2.5, "UTC": ""', "no JSON"),
        ('{"diaObjectId": 1, "decl": 1.5,, "ra": 2.5, "UTC": ""}', "no JSON"),
        ("nonsense", "no JSON"),
        (
            '{"diaObjectId": 1, "decl": 1.5, "ra": 2.5, "UTC": "", "deep": ' + "[" * 40 + "]" * 40 + "}",
            "max_depth",
        ),
    ]
    for text, word in bad:
        write("b.ndjson", text=f"{json.dumps(good)}\n{text}\n{json.dumps(good)}\n")
        r, got = run("b.ndjson", "--columns", "published_jd")
        ok(len(got) == 2, f"strict: {word}: the others have their rows", (text, r.stderr))
        ok(word in r.stderr, f"strict: {word}: the reason names it", r.stderr)
        ok("3 in = 2 out + 0 filtered + 1 dead" in r.stdout, f"strict: {word}: counted", r.stdout)
        letter = next(fastavro.reader(open("dead.avro", "rb")))
        ok(letter["packet"].decode() == text, f"strict: {word}: the letter has the text", letter)
        ok(letter["framing"] == "json", f"strict: {word}: and says that it is JSON", letter["framing"])
    for key, value in [("ra", "east"), ("UTC", "yesterday")]:
        write("b.ndjson", good, {**good, key: value})
        r, got = run("b.ndjson", "--columns", "published_jd")
        column = {"ra": "ra", "UTC": "published_jd"}[key]
        ok(
            f"{key}: the text '{value}'" in r.stderr,
            f"strict: {key} = {value}: the column is named",
            r.stderr,
        )
        ok(
            [x[column] is None for x in got] == [False, True],
            f"strict: {key} = {value}: and has no answer",
            got,
        )
    write("b.ndjson", text=f"{json.dumps(good)}\n{bad[0][0]}\n")
    run("b.ndjson")
    os.rename("dead.avro", "letters.avro")
    r, got = run("letters.avro")
    ok(
        "1 in = 0 out + 0 filtered + 1 dead" in r.stdout,
        "strict: a letter is a SOURCE, and dead again",
        r.stdout,
    )
    write(
        "n.json", text='{"diaObjectId": 5, "decl": NaN, "ra": 2.5, "UTC": "2026-01-29 11:40:14", "x": "NaN"}'
    )
    r, got = run("n.json", "--columns", "packet.x")
    ok(len(got) == 1 and got[0]["dec"] is None, "NaN is null", got)
    ok(got and got[0]["packet.x"] == "NaN", "but not within a text", got)
    ok("NaN or Infinity" in r.stderr, "and is reported", r.stderr)
    for name, text in [
        ("a list", json.dumps([good, good])),
        ("a list in lines", json.dumps([good, good], indent=1)),
    ]:
        write("l.json", text=text)
        r, got = run("l.json")
        ok(len(got) == 2, f"{name} of packets", r.stderr)
    os.mkdir("folder")
    for k in range(3):
        write(f"folder/{k}.json", {**good, "diaObjectId": k + 1})
    r, got = run("folder")
    ok([x["candid"] for x in got] == [1, 2, 3], "a folder of JSON files", (got, r.stderr))
    write("u.json", {"a": 1, "b": {"c": [1, 2]}})
    r, got = run("u.json")
    ok("no survey map matches" in r.stderr, "packets of no survey are dead, and why", r.stderr)


def keys():
    """Keys come and go, and change their type: the values stay, and it is counted."""
    p = {"diaObjectId": ID, "decl": 1.5, "ra": 2.5, "UTC": "2026-01-29 11:40:14"}
    packets = [
        {**p, "n": 1, "t": "a", "m": None},
        {**p, "n": 2, "m": {"x": 1}, "t": None},
        {**p, "n": 2**60 + 1, "t": "b", "m": {"x": 2, "y": [1.5]}},
    ]
    write("k.ndjson", *packets)
    r, got = run("k.ndjson", "-j", "1", "--columns", "packet.n,packet.t,packet.m.x,packet.m.y[]")
    ok([x["packet.n"] for x in got] == [1, 2, 2**60 + 1], "keys: whole numbers keep their digits", got)
    ok([x["packet.t"] for x in got] == ["a", None, "b"], "keys: null and absent", got)
    ok([x["packet.m.x"] for x in got] == [None, 1, 2], "keys: of a record that is null at first", got)
    ok(
        [x["packet.m.y[]"] for x in got] == [[], [], [1.5]] or [x["packet.m.y[]"] for x in got][2] == [1.5],
        "keys: a list",
        got,
    )
    for word in ("3 JSON packets", "m.y (1 of 2)", "first packet did not have", "m.x (2)"):
        ok(word in r.stderr, f"keys: the end says '{word}'", r.stderr)


if __name__ == "__main__":
    with Folder(), MockBroker(partitions=1) as mock:
        json_in_archives()
        lasair(mock)
        lasair_of_ztf(mock)
        pitt_google(mock)
        hopskotch(mock)
        notices(mock)
        babamul(mock)
        transfer(mock)
        new_version(mock)
        roman(mock)
        strictness()
        keys()
    done()
