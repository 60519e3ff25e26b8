#!/usr/bin/env python3
"""Alerts on Kafka for other programs: packets as they came, and the record that SkyPortal's plug-in for BOOM
reads. What that reader does with a message is written down here anew, from its published behaviour."""

import gzip, io, json, math, os, re, shlex, tarfile
from mock_broker import MockBroker
from tap import ROOT, SHARED, Folder, done, needs, nightjar, ok, rows, skip

needs("fastavro", "confluent_kafka")
import fastavro
from confluent_kafka import Consumer, TopicPartition

N = 60
ZERO_POINT = {
    "LSST": 8.9,
    "ZTF": 23.9,
    "WINTER": 8.9,
}  # of fluxes times 1e-9, by survey, as SkyPortal has them


def consume(server, topic):
    """(key, value) of all messages."""
    c = Consumer({"bootstrap.servers": server, "group.id": "t", "enable.partition.eof": True})
    parts = list(c.list_topics(topic, timeout=60).topics[topic].partitions)
    c.assign([TopicPartition(topic, p, 0) for p in parts])
    found, ends = [], 0
    while ends < len(parts):
        m = c.poll(60)
        if m is None or m.error():
            ends += 1
        else:
            found.append((m.key(), m.value()))
    c.close()
    return found


def run(source, server, scheme, topic, *more):
    args = [
        "run",
        source,
        "-m",
        "roid,features",
        "-o",
        f"{scheme}://{server}/{topic}",
        "-o",
        "ndjson:o.ndjson",
    ]
    return nightjar(*args, "--overwrite", "--report", "r.json", "--dead-letters", "d.avro", *more)


def originals(night):
    with tarfile.open(night) as t:
        return [t.extractfile(m).read() for m in t if m.name.endswith(".avro")]


# --- the reader -------------------------------------------------------------------------------------------


def read(value):
    """Its first record, as the plug-in takes it."""
    return next(iter(fastavro.reader(io.BytesIO(value))))


def normalized(record):
    """Points without an error are dropped; all fields are found by these names."""
    points = []
    for p in record["photometry"]:
        if p.get("flux_err") is None or not math.isfinite(p["flux_err"]):
            continue
        points.append(
            {k: p.get(k) for k in ("jd", "band", "ra", "dec", "programid", "candid", "flux", "flux_err")}
        )
    candidate = {k: record.get(k) for k in ("jd", "ra", "dec", "drb")}
    return {
        "objectId": record["objectId"],
        "candid": record["candid"],
        "candidate": candidate,
        "points": points,
    }


def magnitude(survey, flux):
    return -2.5 * math.log10(flux * 1e-9) + ZERO_POINT[survey]


def annotations(record, links):
    """Of each filter that somebody linked to one of SkyPortal's."""
    found = {}
    for f in record.get("filters") or []:
        if f.get("filter_id") in links:
            a = json.loads(f["annotations"])
            if isinstance(a, dict) and a:
                found[links[f["filter_id"]]] = a
    return found


def stamp(data):
    """FITS, packed or not: its first card."""
    raw = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    return raw[:9] == b"SIMPLE  ="


# ----------------------------------------------------------------------------------------------------------


def skyportal_of(night, server, survey, topic):
    topics = ["-t", "bright=mag < 19.5", "-t", "any=ra >= 0"]
    r = run(night, server, "kafka+skyportal", topic, "--columns", "lc.mag,lc.jd,lc.band", *topics)
    ok(r.returncode == 0, f"{survey}: a run", r.stderr)
    found, expected = consume(server, topic), rows("o.ndjson")
    ok(len(found) == len(expected) > 10, f"{survey}: a message for each row", (len(found), len(expected)))
    records = {int(key): read(value) for key, value in found}
    by_id = {e["candid"]: e for e in expected}
    ok(set(records) == set(by_id), f"{survey}: keys are ids")
    wrong, answers, stamps, mags, limits = [], [], [], [], 0
    for i, e in by_id.items():
        record = records[i]
        a, own = normalized(record), annotations(record, {"any": 7, "bright": 8})
        c = a["candidate"]
        if (a["objectId"], a["candid"]) != (e["object"], i) or record["survey"] != survey:
            wrong.append((i, a["objectId"]))
        if (c["jd"], c["ra"], c["dec"], c["drb"]) != (e["jd"], e["ra"], e["dec"], e["drb"]):
            wrong.append((i, c))
        if (8 in own) != ("bright" in e["topics"].split(",")) or 7 not in own:
            wrong.append((i, e["topics"], list(own)))
        if any(own[7].get(k) != e[k] for k in own[7]) or "features.reason" in own[7]:
            answers.append((i, own[7]))
        stamps += [k for k in ("cutoutScience", "cutoutTemplate", "cutoutDifference") if not stamp(record[k])]
        limits += sum(p["flux"] is None for p in a["points"])
        now = [p for p in a["points"] if p["candid"] == i]
        if len(now) != 1 or abs(now[0]["jd"] - e["jd"]) > 1e-6:
            mags.append((i, now))
        elif now[0]["flux"] > 0 and abs(magnitude(survey, now[0]["flux"]) - e["mag"]) > 1e-3:
            mags.append((i, now, e["mag"]))
        elif (now[0]["flux"] > 0) != (e["positive"] == 1):
            mags.append((i, now, e["positive"]))
        elif now[0]["flux_err"] <= 0 or now[0]["band"] != e["band"]:
            mags.append((i, now))
    ok(not wrong, f"{survey}: names, place and topics are the row's", wrong[:3])
    ok(not answers, f"{survey}: annotations are the modules' answers", answers[:2])
    ok(not stamps, f"{survey}: stamps are FITS", stamps[:3])
    ok(not mags, f"{survey}: this detection's magnitude in SkyPortal is the row's", mags[:3])
    first = records[next(iter(by_id))]
    ok("mag" in first["properties"], f"{survey}: properties", first["properties"])
    return records, limits


def skyportal(server):
    nightjar("simulate", "-n", str(N), "--seed", "4", "-o", "ztf.tar", "--overwrite")
    nightjar("simulate", "-n", str(N), "--seed", "4", "--survey", "lsst", "-o", "lsst.tar", "--overwrite")
    records, limits = skyportal_of("ztf.tar", server, "ZTF", "sky-ztf")
    ok(limits > 0, "ZTF: upper limits have an error and no flux", limits)
    forced = [p for r in records.values() for p in r["photometry"] if p["origin"] == "ForcedPhot"]
    ok(all(p["flux_err"] > 0 for p in forced), "ZTF: forced photometry", forced[:2])
    skyportal_of("lsst.tar", server, "LSST", "sky-lsst")
    if SHARED:
        skyportal_of(os.path.join(SHARED, "real", "ztf"), server, "ZTF", "sky-real")
    else:
        skip("real alerts", "no NIGHTJAR_SHARED")


def packets(server):
    for night in ("ztf.tar", "lsst.tar"):
        topic = "packets-" + night
        r = run(night, server, "kafka+packets", topic, "-w", "rb > 0.3")
        passed = {x["candid"] for x in rows("o.ndjson")}
        found = consume(server, topic)
        ok(r.returncode == 0 and len(found) == len(passed) > 5, f"{night}: those that passed", r.stderr)
        ok({int(k) for k, _ in found} == passed, f"{night}: by id")
        sent = {v for _, v in found}
        ok(sent <= set(originals(night)), f"{night}: byte for byte")
        schemas = {fastavro.reader(io.BytesIO(v)).metadata["avro.schema"] for v in sent}
        ok(len(schemas) > (night == "ztf.tar"), f"{night}: each with its schema", len(schemas))
    whole = [fastavro.reader(io.BytesIO(v)) for v in originals("ztf.tar")]
    schema = whole[0].metadata["avro.schema"]
    alike = [next(w) for w in whole if w.metadata["avro.schema"] == schema]
    for codec in ("null", "deflate"):
        with open("several.avro", "wb") as f:
            fastavro.writer(f, json.loads(schema), alike, codec=codec)
        r = run("several.avro", server, "kafka+packets", f"several-{codec}")
        found = [read(v) for _, v in consume(server, f"several-{codec}")]
        order = {a["candid"]: a for a in found}
        ok(
            r.returncode == 0 and len(found) == len(alike),
            f"a file of several, {codec}: a message each",
            r.stderr,
        )
        ok(
            [order.get(a["candid"]) for a in alike] == alike,
            f"a file of several, {codec}: every field",
            len(found),
        )
    r = run(f"kafka://{server}/several-null?from=earliest&until=end", server, "kafka+packets", "again")
    ok(len(consume(server, "again")) == len(alike), "nightjar reads what it wrote", r.stderr)


def template(server):
    """A notice in the words of its readers."""
    with open("notice.json", "w", encoding="utf-8") as f:
        json.dump({"mission": "X", "id": ["{object}"], "ra": "{ra}", "text": "{candid} {#topics}"}, f)
    more = ["-D", "sink.kafka.template=notice.json", "-t", "any=ra >= 0"]
    r = run("ztf.tar", server, "kafka", "notices", *more)
    found = {int(key): json.loads(value) for key, value in consume(server, "notices")}
    expected = {
        e["candid"]: {"mission": "X", "id": [e["object"]], "ra": e["ra"], "text": f"{e['candid']} any"}
        for e in rows("o.ndjson")
    }
    ok(r.returncode == 0 and found == expected, "a template on Kafka", (r.stderr, found))


def recipe(title):
    """The command and the file of settings of a section of MARSHALS.md, for a server that is not there."""
    with open(os.path.join(ROOT, "broker/sink/MARSHALS.md"), encoding="utf-8") as f:
        text = f.read().split(f"## {title}\n")[1].split("```")[1].removeprefix("text\n")
    command, _, settings = text.partition("\n[")
    command = re.sub(r"\\\n\s*", "", command)
    settings = re.sub(r"https://[^/]*/", "https://127.0.0.1:1/", "[" + settings)
    words = shlex.split(re.sub(r"kafka://[a-z.]+:\d+/", "kafka://127.0.0.1:1/", command))
    ok(any(w.startswith("kafka://127.0.0.1:1/") for w in words), f"{title}: a command with a topic", words)
    here = {"kafka://...": "ztf.tar", "NIGHT": "ztf.tar", "mine=...": "mine=ra >= 0"}
    words = [here.get(w, w).replace("=PATH", "=password") for w in words[2:]]
    return words, settings


def recipes():
    """Every setting of a recipe is one that this build takes: the run ends where its server would answer."""
    with open("password", "w", encoding="utf-8") as f:
        f.write("secret\n")
    for title, why in (("Hopskotch", "127.0.0.1:1"), ("GCN", "OAUTHBEARER token")):
        words, settings = recipe(title)
        with open("gcn.ini", "w", encoding="utf-8") as f:
            f.write(settings)
        r = nightjar(*words, "-q", "-m", "roid", "-D", "sink.kafka.connect_s=1")
        ok(
            r.returncode == 1 and "no broker answers" in r.stderr,
            f"{title}: only its server is missing",
            r.stderr,
        )
        ok(why in r.stderr.split("no broker answers")[-1], f"{title}: by its way of login", r.stderr)
        bad = [w.replace("sasl.mechanism=", "sasl.mechanismo=") for w in words]
        with open("gcn.ini", "w", encoding="utf-8") as f:
            f.write(settings.replace("sasl.mechanisms", "sasl.mechanismo"))
        r = nightjar(*bad, "-q", "-m", "roid", "-D", "sink.kafka.connect_s=1")
        ok(
            "sasl.mechanismo" in r.stderr and "no broker" not in r.stderr,
            f"{title}: a wrong key is named",
            r.stderr,
        )


with Folder(), MockBroker() as broker:
    skyportal(broker.server)
    packets(broker.server)
    template(broker.server)
    recipes()
done()
