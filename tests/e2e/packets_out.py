#!/usr/bin/env python3
"""The output `packets:`: alerts as they came, stamps and schema included; several schemas; kills."""

import glob, io, json, os, random, signal, subprocess, tarfile, time
import own_copy  # before tap
from tap import NIGHTJAR, ROOT, Folder, done, needs, nightjar, ok, rows

needs("fastavro")
import fastavro

KILLS = int(os.environ.get("NIGHTJAR_KILLS", "6"))
rng = random.Random(int(os.environ.get("NIGHTJAR_SEED", "1")))
OFTEN = ["-D", "run.commit_ms=10", "-D", "run.flush_ms=3", "-D", "run.batch_rows=4", "-j", "1"]


def records(path):
    with open(path, "rb") as f:
        return list(fastavro.reader(f))


def schema_of(path):
    with open(path, "rb") as f:
        return fastavro.reader(f).metadata["avro.schema"]


def originals(night):
    with tarfile.open(night) as t:
        files = [t.extractfile(m).read() for m in t if m.name.endswith(".avro")]
    return files, [r for data in files for r in fastavro.reader(io.BytesIO(data))]


def of_one_schema():
    """A simulated night has several, as a real one: those of the first alert's."""
    files, _ = originals("night.tar")
    own = [fastavro.reader(io.BytesIO(data)).metadata["avro.schema"] for data in files]
    with tarfile.open("one.tar", "w") as t:
        for k, data in enumerate(files):
            info = tarfile.TarInfo(f"{k:03}.avro")
            info.size = len(data)
            if own[k] == own[0]:
                t.addfile(info, io.BytesIO(data))


def as_they_came():
    files, alerts = originals("one.tar")
    r = nightjar("run", "one.tar", "-q", "-m", "roid", "-o", "packets:p.avro", "-o", "ndjson:p.ndjson")
    ok(r.returncode == 0, "a run", r.stderr)
    ok(records("p.avro") == alerts, "every field of every alert, stamps too", len(records("p.avro")))
    own = fastavro.reader(io.BytesIO(files[0])).metadata["avro.schema"]
    ok(schema_of("p.avro") == own, "the schema to the letter")
    with open("p.avro", "rb") as f:
        data = f.read()
        f.seek(0)
        keys = [k for k in fastavro.reader(f).metadata if k.startswith("nightjar.")]
    datum = files[0][files[0].index(alerts[0]["objectId"].encode(), len(own)) : -16]
    ok(datum in data, "its bytes are those of the packet")
    ok("nightjar.module.roid" in keys, "who selected them is in the header", keys)
    r = nightjar("run", "p.avro", "-q", "-m", "roid", "-o", "ndjson:again.ndjson")
    ok(rows("again.ndjson") == rows("p.ndjson"), "read again they give the same rows", r.stderr)
    r = nightjar("run", "one.tar", "-q", "-m", "roid", "-o", "packets:b.avro", "-w", "mag < 18.5")
    bright = [a for a in alerts if a["candidate"]["magpsf"] < 18.5]
    ok(0 < len(bright) < len(alerts) and records("b.avro") == bright, "those that pass a clause", r.stderr)
    r = nightjar("run", "one.tar", "-q", "-m", "roid", "-o", "packets:b.avro", "-w", "mag > 18.5", "--append")
    ok(len(records("b.avro")) == len(alerts), "--append: and the others", r.stderr)
    r = nightjar("run", "one.tar", "-q", "-m", "roid", "-o", "packets:none.avro", "-w", "1 = 0")
    ok(r.returncode == 0 and not os.path.exists("none.avro"), "without a packet there is no file", r.stderr)
    r = nightjar("run", "one.tar", "-q", "-o", "packets:x.avro.gz")
    ok(r.returncode == 1 and "no compressed files" in r.stderr, "packed files are refused", r.stderr)


def by_key():
    """The schema is in the message's key, not in the packet."""
    files, alerts = originals("one.tar")
    schema = fastavro.reader(io.BytesIO(files[0])).writer_schema
    with open(os.path.join(ROOT, "data", "embed", "dead_letter.avsc"), encoding="utf-8") as f:
        letter = json.load(f)
    out = io.BytesIO(b"Obj\x01")
    out.seek(4)
    meta = {"avro.codec": b"null", "avro.schema": json.dumps(letter, separators=(",", ":")).encode()}
    fastavro.schemaless_writer(out, {"type": "map", "values": "bytes"}, meta)
    out.write(bytes(16))
    for k, alert in enumerate(alerts):
        packet, item = io.BytesIO(), io.BytesIO()
        fastavro.schemaless_writer(packet, schema, alert)
        base = {"origin": f"m{k}", "record": 0, "reason": "", "module": "", "field": None, "topic": None}
        more = {"framing": "keyed", "schema": json.dumps(schema), "packet": packet.getvalue()}
        fastavro.schemaless_writer(item, letter, {**base, **more})
        fastavro.schemaless_writer(out, "long", 1)
        fastavro.schemaless_writer(out, "bytes", item.getvalue())
        out.write(bytes(16))
    with open("keyed.avro", "wb") as f:
        f.write(out.getvalue())
    r = nightjar("run", "keyed.avro", "-q", "-m", "roid", "-o", "packets:k.avro")
    ok(r.returncode == 0, "packets whose schema is in the key", r.stderr)
    ok(records("k.avro") == alerts, "packets whose schema is in the key: all of them")


def two_schemas():
    files, alerts = originals("one.tar")
    os.mkdir("two")
    for k, data in enumerate(files[:40]):
        if k % 4 == 3:
            schema = json.loads(fastavro.reader(io.BytesIO(data)).metadata["avro.schema"])
            schema["fields"].append({"name": "more", "type": ["null", "int"], "default": None})
            out = io.BytesIO()
            fastavro.writer(out, schema, [alerts[k]])
            data = out.getvalue()
        with open(f"two/{k:02}.avro", "wb") as f:
            f.write(data)
    r = nightjar("run", "two", "-q", "-m", "roid", "-o", "packets:t.avro", "-o", "ndjson:t.ndjson")
    ok(len(records("t.avro")) == 30, "another schema is not mixed in", r.stderr)
    ok(len(rows("t.ndjson")) == 30, "and the other outputs have the same alerts", len(rows("t.ndjson")))
    letters = records("dead-letters.avro")
    ok(len(letters) == 10, "those of the other schema are dead letters", len(letters))
    ok("{schema} in the name" in letters[0]["reason"], "with the cure", letters[0]["reason"])
    r = nightjar("run", "two", "-q", "-m", "roid", "-o", "packets:s-{schema}.avro")
    files = sorted(glob.glob("s-*.avro"))
    ok(r.returncode == 0 and len(files) == 2, "{schema}: a file for each", (files, r.stderr))
    ok(sorted(len(records(f)) for f in files) == [10, 30], "{schema}: all alerts")
    ok(all(f.startswith("s-ztf.alert-") for f in files), "{schema}: named after it", files)
    r = nightjar("run", *files, "-q", "-m", "roid", "-o", "ndjson:both.ndjson")
    ok(len(rows("both.ndjson")) == 40, "and they are read again", r.stderr)


def kill_after(args, seconds):
    p = subprocess.Popen([NIGHTJAR, *args], stderr=subprocess.PIPE, start_new_session=True)
    try:
        p.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
    err = p.communicate(timeout=120)[1].decode()
    return p.returncode, err


def clear():
    for f in glob.glob("k-*") + glob.glob("dead-letters*"):
        os.remove(f)


def killed(target, night):
    clear()
    args = ["run", night, "-q", "-m", "roid", *OFTEN, "-o", f"packets:{target}"]
    expected = sorted(originals(night)[1], key=lambda a: a["candid"])
    n, wrong = 0, []
    for _ in range(40 * KILLS):
        if n == KILLS:
            break
        rc, err = kill_after([*args, "--resume"], rng.uniform(0.02, 0.3))
        if rc == 0:
            clear()  # it was quicker
            continue
        n += rc == -9
        if rc != -9 and "another run is writing it" not in err:
            wrong.append((rc, err))
    ok(n == KILLS and not wrong, f"{target}: it was killed {KILLS} times", wrong)
    for _ in range(100):
        r = nightjar(*args, "--resume")
        if "another run is writing it" not in r.stderr:
            break
        time.sleep(0.05)
    ok(r.returncode == 0, f"{target}: it continues to its end", r.stderr)
    found = sorted((x for f in glob.glob("k-*.avro") for x in records(f)), key=lambda a: a["candid"])
    ok(found == expected, f"{target}: every alert once", (len(found), len(expected)))


with Folder():
    nightjar("simulate", "-q", "-n", 400, "--seed", 3, "-o", "night.tar")
    of_one_schema()
    as_they_came()
    by_key()
    two_schemas()
    killed("k-one.avro", "one.tar")
    killed("k-{schema}.avro", "night.tar")
done()
