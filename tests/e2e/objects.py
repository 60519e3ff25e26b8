#!/usr/bin/env python3
"""nightjar objects: alerts joined by object. What is dropped or joined is counted; bounded memory changes
nothing; phase curves of 14 solar system objects against fink-utils, from packets to rows."""

import copy, fcntl, json, math, os, random, re, subprocess, tarfile, time
from avro import Schema, container, make_container
from tap import NIGHTJAR, ROOT, SHARED, Folder, done, nightjar, ok, report, rows, skip

POINT = [("midpointMjdTai", "double"), ("psfFlux", "double"), ("psfFluxErr", "double"), ("band", "string")]
PLACE = [("ra", "double"), ("dec", "double")]
SSO = [("phaseAngle", "double"), ("helioRange", "double"), ("topoRange", "double")]


def record(name, fields):
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields]}


SOURCE = record(
    "diaSource",
    [
        ("diaSourceId", "long"),
        ("diaObjectId", ["null", "long"]),
        ("ssObjectId", ["null", "long"]),
        *POINT,
        *PLACE,
    ],
)
ALERT = {
    **record(
        "alert",
        [
            ("diaSource", SOURCE),
            ("prvDiaSources", ["null", {"type": "array", "items": "diaSource"}]),
            ("prvDiaForcedSources", ["null", {"type": "array", "items": record("forced", POINT)}]),
            ("ssSource", ["null", record("ssSource", SSO)]),
        ],
    ),
    "namespace": "lsst.v99_0",
}


def source(id, object, mjd, flux=1000.0, band="r", sso=None, ra=10.0, dec=-5.0, err=20.0):
    return {
        "diaSourceId": id,
        "diaObjectId": object,
        "ssObjectId": sso,
        "midpointMjdTai": mjd,
        "psfFlux": flux,
        "psfFluxErr": err,
        "band": band,
        "ra": ra,
        "dec": dec,
    }


def alert(now, before=None, forced=None, sso=None):
    return {
        "diaSource": now,
        "prvDiaSources": before,
        "prvDiaForcedSources": forced,
        "ssSource": sso,
    }


def forced(mjd, flux, band="r"):
    return {"midpointMjdTai": mjd, "psfFlux": flux, "psfFluxErr": 5.0, "band": band}


def write(path, alerts):
    with open(path, "wb") as f:
        f.write(make_container(ALERT, alerts))


def objects(*args):
    return nightjar("objects", *args)


def merged(path, columns="lc.candid,lc.jd,lc.band,lc.kind,lc.flux,fp.jd,fp.flux", *more):
    """The packets that were written, by their key, as a run reads them."""
    out = path + ".ndjson"
    r = nightjar(
        "run",
        path,
        "-m",
        "nalerthist",
        "--columns",
        "object_key,n_alerts," + columns,
        "-o",
        "ndjson:" + out,
        "--overwrite",
        "-q",
        *more,
    )
    if r.returncode:
        print("# " + r.stderr.replace("\n", "\n# "))
    return {x["object_key"]: x for x in rows(out)}


def what_is_counted():
    a = [source(1, 7, 61000.1), source(2, 7, 61001.1, 1100.0, "g"), source(3, 7, 61002.1, 1200.0)]
    later = dict(a[0], psfFlux=999.0)  # told again with another flux
    write(
        "one.avro",
        [
            alert(a[0], None, [forced(60999.1, 3.0), forced(61000.1, 950.0)]),
            alert(a[1], [a[0]], [forced(60999.1, 3.0)]),
            alert(source(9, None, 61000.2)),
            alert(source(10, 8, 61000.3)),
        ],
    )
    write("two.avro", [alert(a[2], [later, a[1]], None), alert(a[1], [a[0]], None)])
    r = objects("one.avro", "two.avro", "-m", "features", "-o", "ndjson:out.ndjson", "--merged", "m")
    ok(r.returncode == 0, "alerts of two files are joined", r.stderr)
    said = " ".join(r.stderr.split())
    ok(
        "6 alerts read: 4 of 2 objects; 1 of none; 1 that had come before" in said,
        "what became of alerts",
        said,
    )
    ok("lsst lc: 4 points; 5 told again, 3 of them with other values" in said, "what became of points", said)
    ok("(first: lc.flux of 7)" in said, "the first that differs is named", said)
    r = objects("one.avro", "two.avro", "-m", "features", "-o", "null:", "-q", "--report", "run.json")
    told = report("run.json")["objects"]
    ok(told["read"] == 6 and told["merged"] == 4 and told["of_none"] == 1, "the report has the account", told)
    ok(told["series"][0]["differing"] == 3, "of each series, too", told)
    p = merged("m/lsst.avro")
    ok(sorted(p) == ["7", "8"], "a packet per object", list(p))
    ok(p["7"]["lc.candid"] == [1, 2, 3], "each detection once, in time", p["7"])
    ok(p["7"]["lc.flux"][0] == 999.0, "the newest alert's value stands", p["7"])
    ok(p["7"]["candid"] == 3, "and its other columns", p["7"])
    ok(len(p["7"]["fp.flux"]) == 2, "forced photometry is a series of its own", p["7"])
    ok(p["7"]["n_alerts"] == 3, "the number of alerts", p["7"]["n_alerts"])
    got = {x["object"]: x for x in rows("out.ndjson")}
    ok(got["7"]["n_alerts"] == 3 and got["8"]["n_alerts"] == 1, "in the rows, too", got)
    ok(got["7"]["survey"] == "lsst", "and of their survey")
    r = objects(
        "m/lsst.avro", "two.avro", "-m", "features", "-o", "ndjson:again.ndjson", "--merged", "m2", "-q"
    )
    ok(r.returncode == 0, "joined packets are joined again", r.stderr)
    ok(merged("m2/lsst.avro") == p, "and alerts that they have add nothing")
    r = objects("one.avro", "-m", "features", "-o", "null:", "--merged", "m")
    ok(r.returncode == 3 and "--overwrite" in r.stderr, "packets that are there are not replaced", r.stderr)
    ok(merged("m/lsst.avro") == p, "and stay as they are")
    r = objects("one.avro", "-m", "features", "-o", "null:", "--resume")
    ok(r.returncode == 1 and "--resume" in r.stderr, "--resume is refused", r.stderr)
    r = objects("one.avro", "-o", "ndjson:default.ndjson", "-m", "+nalerthist")
    keys = set(rows("default.ndjson")[0])
    ok(
        r.returncode == 0 and {"period.period", "features.r_mean", "nalerthist.n"} <= keys,
        "the modules without -m",
        keys,
    )
    ok(not any(k.startswith(("roid", "hostless")) for k in keys), "are not those of a run", keys)
    r = objects()
    ok(r.returncode == 1, "no SOURCE is wrong usage", r.stderr)


def kinds_and_limits():
    """ZTF: a detection and a limit of one time are two points."""
    with open("kinds.map", "w") as f:
        f.write(
            "survey pair\nmatch name pair.alert\ncandid i64 = id\nobject str = o\njd f64 d = jd\n"
            "series lc = h[]\nlc.jd f64 d = jd\nlc.band u8 = b\nlc.kind u8 = k\nlc.mag f64 mag = m\n"
            "series odd = odd[]\nodd.x f64 = x\n"
        )
    os.makedirs("maps", exist_ok=True)
    os.rename("kinds.map", "maps/pair.map")
    opt = ["null", "double"]
    schema = {
        **record(
            "alert",
            [
                ("id", "long"),
                ("o", "string"),
                ("jd", "double"),
                (
                    "h",
                    {
                        "type": "array",
                        "items": record("h", [("jd", opt), ("b", "int"), ("k", ["null", "int"]), ("m", opt)]),
                    },
                ),
                ("odd", {"type": "array", "items": record("odd", [("x", "double")])}),
            ],
        ),
        "namespace": "pair",
    }

    def point(jd, b, k, m):
        return {"jd": jd, "b": b, "k": k, "m": m}

    alerts = [
        {
            "id": 1,
            "o": "a",
            "jd": 1.5,
            "h": [point(1.0, 1, 0, 18.0), point(1.0, 1, 1, None)],
            "odd": [{"x": 1.0}],
        },
        {
            "id": 2,
            "o": "a",
            "jd": 2.5,
            "h": [point(1.0, 1, 0, None), point(1.0, 2, 0, 17.0)],
            "odd": [{"x": 2.0}],
        },
        {"id": 3, "o": "a", "jd": 2.0, "h": [point(None, 1, 0, 5.0)], "odd": []},
    ]
    with open("pair.avro", "wb") as f:
        f.write(make_container(schema, alerts))
    r = objects("pair.avro", "-D", "decode.maps=maps", "-m", "nalerthist", "-o", "null:", "--merged", "p")
    ok(r.returncode == 0, "a survey of the user's map", r.stderr)
    said = " ".join(r.stderr.split())
    ok(
        "pair lc: 3 points; 1 told again; 1 without a time were left out" in said,
        "a point without a time",
        said,
    )
    ok("pair.odd: series without times" in said, "a series without times is said", said)
    p = merged("p/pair.avro", "lc.kind,lc.band,lc.mag,odd.x", "-D", "decode.maps=maps")["a"]
    ok(
        sorted(zip(p["lc.kind"], p["lc.band"])) == [(0, 1), (0, 2), (1, 1)],
        "kind and band tell apart",
        p,
    )
    ok(
        18.0 in p["lc.mag"],
        "a value that the newest lacks comes from an older one",
        p,
    )
    ok(p["odd.x"] == [2.0], "and is the newest alert's", p)


def bounded_memory():
    """3,000 alerts of 60 objects, shuffled: the same packets with 1 MB and with 512."""
    rng = random.Random(5)
    alerts = []
    for k in range(3000):
        o = rng.randrange(60)
        t = 61000 + k * 0.01
        history = [source(10**6 * o + j, o + 1, 60990.0 + j * 0.25, 500.0 + j) for j in range(20)]
        alerts.append(alert(source(10**7 + k, o + 1, t, 700.0 + k), history, None))
    rng.shuffle(alerts)
    write("many.avro", alerts)
    for mb in ("1", "512"):
        r = objects(
            "many.avro",
            "-m",
            "features",
            "-o",
            f"ndjson:mem{mb}.ndjson",
            "--merged",
            f"mem{mb}",
            "--memory",
            mb,
        )
        ok(r.returncode == 0, f"--memory {mb}", r.stderr)
    with open("mem1/lsst.avro", "rb") as a, open("mem512/lsst.avro", "rb") as b:
        ok(a.read() == b.read(), "memory changes no byte of the packets")
    p = merged("mem1/lsst.avro")
    ok(sum(x["n_alerts"] for x in p.values()) == 3000, "every alert is there")
    ok(all(len(x["lc.jd"]) == x["n_alerts"] + 20 for x in p.values()), "every point once")
    r = objects("many.avro", "-m", "features", "-o", "null:", "--merged", "cut", "-D", "decode.max_items=30")
    ok(
        "older than the newest [decode] max_items" in " ".join(r.stderr.split()),
        "too many points are said",
        r.stderr,
    )
    ok(all(len(x["lc.jd"]) == 30 for x in merged("cut/lsst.avro").values()), "and the newest stay")
    ok(not [f for f in os.listdir(".") if f.startswith("nightjar-")], "nothing is left behind")


def bad_records():
    with open("one.avro", "rb") as f:
        whole = f.read()
    with open("bad.avro", "wb") as f:
        f.write(whole[:-40])
    r = objects("bad.avro", "-m", "features", "-o", "null:", "--dead-letters", "letters.avro")
    ok("dead letters" in r.stderr, "records that cannot be read are counted", r.stderr)
    ok(os.path.exists("letters.avro"), "and kept")
    for k in range(2):
        objects("bad.avro", "-m", "features", "-o", "null:")
    names = sorted(f for f in os.listdir(".") if f.startswith("dead-letters-alerts"))
    ok(
        names == ["dead-letters-alerts-2.avro", "dead-letters-alerts.avro"],
        "each time in a file of their own",
        names,
    )
    r = objects("nothing.avro", "-m", "features", "-o", "null:")
    ok(r.returncode == 2, "a source that is not there: exit code 2", r.stderr)


def private_and_public():
    """An object with one private alert is private, and in no topic; two surveys at once."""
    with tarfile.open(f"{ROOT}/data/sample.tar.gz") as t:
        schema, datums = container(t.extractfile(next(m for m in t.getmembers() if m.isfile())).read())
    alert = Schema(schema).read(datums[0])
    alerts = []
    for k, (object, program) in enumerate([("open", 1), ("open", 1), ("shut", 2), ("shut", 1)]):
        a = copy.deepcopy(alert)
        a["objectId"] = object
        a["candid"] = a["candidate"]["candid"] = 100 + k
        a["candidate"]["programid"] = program
        a["candidate"]["jd"] += k
        alerts.append(a)
    with open("ztf.avro", "wb") as f:
        f.write(make_container(Schema(schema).document, alerts))
    r = objects("ztf.avro", "one.avro", "-m", "nalerthist", "-t", "every=1", "-o", "ndjson:pub.ndjson")
    ok(r.returncode == 0, "two surveys at once", r.stderr)
    got = {x["object"]: x for x in rows("pub.ndjson")}
    ok(sorted(got) == ["7", "8", "open"], "an object with a private alert is in no topic", list(got))
    ok(got["open"]["survey"] == "ztf" and got["7"]["survey"] == "lsst", "each of its own survey", got)
    ok(got["open"]["programid"] == 1, "public alerts make a public object", got["open"])


FIDS = {1: "g", 2: "r"}
SHAPE = {"HG": ["G"], "HG12": ["G12"], "HG1G2": ["G1", "G2"], "SHG1G2": ["G1", "G2"]}


def phase_curves():
    """fink-utils' 56 fits, from packets of one detection each."""
    folder = os.path.join(SHARED, "oracles/next/ssoft") if SHARED else ""
    if not os.path.isdir(folder):
        return skip("phase curves against fink-utils", "no ../shared/oracles/next/ssoft")
    alerts, ids = [], {}
    for n, line in enumerate(open(folder + "/lightcurves.ndjson")):
        c = json.loads(line)
        ids[c["id"]] = n + 1
        for i, jd in enumerate(c["jd"]):
            flux = 3631e9 * 10 ** (-0.4 * c["mag"][i])
            s = source(
                1000 * (n + 1) + i,
                None,
                jd - 2400000.5,
                flux,
                FIDS[c["fid"][i]],
                n + 1,
                c["ra"][i],
                c["dec"][i],
                flux * c["sig"][i] * math.log(10) / 2.5,
            )
            alerts.append(
                alert(
                    s,
                    None,
                    None,
                    {"phaseAngle": c["phase"][i], "helioRange": c["dhelio"][i], "topoRange": c["dobs"][i]},
                )
            )
    random.Random(1).shuffle(alerts)
    write("sso.avro", alerts)
    models = "phase_curve,phase_curve_hg,phase_curve_hg12,phase_curve_hg1g2"
    r = objects("--by", "sso", "sso.avro", "-m", models, "-o", "ndjson:sso.ndjson")
    ok(r.returncode == 0, f"{len(alerts)} alerts of {len(ids)} solar system objects", r.stderr)
    got = {int(x["object_key"]): x for x in rows("sso.ndjson")}
    ok(len(got) == len(ids), "a row each", len(got))
    equal = better = worse = h_off = g_off = n = 0
    worst = []
    for line in open(folder + "/fits.ndjson"):
        f = json.loads(line)
        x, m = got[ids[f["id"]]], f["model"]
        p = "phase_curve." if m == "SHG1G2" else f"phase_curve_{m.lower()}."
        n += 1
        rms = x[p + "rms"]
        if rms is None or rms > f["rms"] * (1 + 1e-5):
            worse += 1
            worst.append((f["id"], m, rms, f["rms"]))
            continue
        if rms < f["rms"] * (1 - 1e-5):
            better += 1
            continue
        equal += 1
        for fid, b in FIDS.items():
            if f"H_{fid}" not in f:
                continue
            h_off += not abs(x[p + "h_" + b] - f[f"H_{fid}"]) <= max(1e-3, 0.1 * (x[p + "e_h_" + b] or 0))
            for k, name in enumerate(SHAPE[m]):
                g_off += not abs(x[p + f"g{k + 1}_" + b] - f[f"{name}_{fid}"]) <= 1e-2
    print(
        f"# {n} fits of fink-utils: {equal} equal, {better} better, {worse} worse; {h_off} H, {g_off} G off"
    )
    ok(n == 56, "56 fits", n)
    ok(worse == 0, "none worse", worst)
    ok(h_off == 0, "H within 1e-3 or a tenth of its error")
    ok(g_off == 0, "G within 1e-2")
    r = objects(
        "--by",
        "sso",
        "sso.avro",
        "-m",
        "phase_curve_hg",
        "-D",
        "module.phase_curve_hg.weighted=1",
        "-o",
        "ndjson:w.ndjson",
    )
    w = {int(x["object_key"]): x["phase_curve_hg.chi2red"] for x in rows("w.ndjson")}
    unweighted = sum(x["phase_curve_hg.chi2red"] for x in got.values())
    ok(sum(w.values()) < unweighted, "fits weighted by errors have a smaller chi2 in all", (w, unweighted))


def phases_beyond_the_models():
    """One detection at 170 deg, where the HG function is thousands of magnitudes, does not spoil the fit."""
    alerts = []
    for k, phase in enumerate([5.0, 8.0, 11.0, 14.0, 17.0, 20.0, 170.0, float("nan"), -1.0, 400.0]):
        place = {"phaseAngle": phase, "helioRange": 2.5, "topoRange": 1.6}
        alerts.append(alert(source(900 + k, None, 61000.0 + k, 3000.0 - 20 * k, "r", 77), None, None, place))
    write("phases.avro", alerts)
    r = objects("--by", "sso", "phases.avro", "-m", "phase_curve_hg", "-o", "ndjson:phases.ndjson")
    ok(r.returncode == 0, "phase angles of every kind", r.stderr)
    x = rows("phases.ndjson")[0]
    ok(x["phase_curve_hg.n_points"] == 6, "those that no model has take no part", x)
    ok(x["phase_curve_hg.rms"] < 0.5, "the fit is of the others", x)


def real_alerts():
    folder = os.path.join(SHARED, "real/ztf") if SHARED else ""
    if not os.path.isdir(folder):
        return skip("real alerts joined", "no ../shared/real/ztf")
    r = objects(folder, "-m", "period,features,rainbow", "-o", "ndjson:ztf.ndjson", "--merged", "ztf")
    ok(r.returncode == 0, "real alerts, by object", r.stderr)
    for line in r.stderr.splitlines():
        if line.startswith("objects:"):
            print("# " + line)
    read, joined = (
        int(x.replace(",", "")) for x in re.search(r"(\d+) alerts read: (\d+) of", r.stderr).groups()
    )
    ok(joined <= read, "no more than were read")
    ok(all(x["lc.jd"] for x in merged("ztf/ztf.avro").values()), "each has a light curve")
    r = objects("--by", "sso", folder, "-m", "nalerthist", "-o", "ndjson:ztf_sso.ndjson")
    ok(r.returncode == 0, "real alerts, by solar system object", r.stderr)
    for line in r.stderr.splitlines():
        if line.startswith("objects:"):
            print("# " + line)


def killed():
    """What a killed run left is removed by the next one; what is in use, or not yet locked, stays."""
    os.mkdir("tmp")
    nightjar("simulate", "-n", 300, "--seed", 3, "-q", "-o", "killed.tar")
    with open("killed.tar", "rb") as f:
        half = f.read(os.path.getsize("killed.tar") // 1024 * 512)
    env = {"TMPDIR": os.path.abspath("tmp")}
    run = subprocess.Popen(
        [NIGHTJAR, "objects", "-", "-o", "ndjson:killed.ndjson"],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **env},
    )
    while not os.listdir("tmp"):
        time.sleep(0.01)
    run.stdin.write(half)
    run.kill()
    run.wait()
    (left,) = os.listdir("tmp")
    for name in ("dddddd", "eeeeee", "ffffff"):
        os.mkdir(f"tmp/nightjar-objects-{name}")
        open(f"tmp/nightjar-objects-{name}/ztf.avro", "w").close()
    for name in (left, "nightjar-objects-dddddd", "nightjar-objects-eeeeee"):
        os.utime(f"tmp/{name}", (1e9, 1e9))
    used = os.open("tmp/nightjar-objects-eeeeee", os.O_RDONLY)
    fcntl.flock(used, fcntl.LOCK_EX)
    r = nightjar("objects", "killed.tar", "-o", "ndjson:killed.ndjson", env=env)
    ok(r.returncode == 0, "objects after a kill", r.stderr)
    there = sorted(os.listdir("tmp"))
    ok(left not in there, "what the killed run left is removed", there)
    ok("nightjar-objects-dddddd" not in there, "so is an older one with a file in it", there)
    ok("nightjar-objects-eeeeee" in there, "one that is in use stays", there)
    ok("nightjar-objects-ffffff" in there, "one that was just made stays", there)
    ok(len(there) == 2, "its own is removed", there)
    os.close(used)


with Folder():
    killed()
    what_is_counted()
    kinds_and_limits()
    bounded_memory()
    private_and_public()
    bad_records()
    phase_curves()
    phases_beyond_the_models()
    real_alerts()
done()
