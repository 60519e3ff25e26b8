#!/usr/bin/env python3
"""LSST as the stream sends it: releases that the build has never seen, through the whole of
`nightjar run`."""

import copy, glob, json, math, os, re, shutil, statistics, struct, subprocess
from avro import Schema, confluent, container
from tap import ROOT, SHARED, Folder, done, nightjar, ok, report, rows, skip

REAL = os.path.join(SHARED, "real") if SHARED else ""

N = 30


def night():
    """Simulated packets of release 11.0: the schema and the alerts as dictionaries."""
    r = nightjar(
        "simulate",
        "--survey",
        "lsst",
        "-n",
        N,
        "--exposures",
        3,
        "--seed",
        7,
        "-q",
        "-o",
        "night",
        "--truth",
        "truth.csv",
    )
    schema, alerts = None, []
    for f in sorted(glob.glob("night/*.avro")):
        with open(f, "rb") as file:
            schema, datums = container(file.read())
        alerts += [Schema(schema).read(d) for d in datums]
    ok(r.returncode == 0 and len(alerts) == N, f"{N} simulated packets of release 11.0", r.stderr)
    return schema, alerts


def fields_of(document, name):
    """The list of fields of a record, wherever it is defined."""
    return Schema(document).named[name]["fields"]


def next_release(schema):
    """11.2: two fields more, psfFlux under another name, psfFluxErr and reliability gone."""
    doc = json.loads(schema.replace("v11_0", "v11_2"))
    source = fields_of(doc, "lsst.v11_2.diaSource")
    source[:] = [f for f in source if f["name"] not in ("psfFluxErr", "reliability")]
    at = next(i for i, f in enumerate(source) if f["name"] == "psfFlux")
    source[at]["name"] = "fluxOfThePsf"
    source.insert(at, {"name": "skyMood", "type": ["null", "string"], "default": None})
    doc["fields"].insert(0, {"name": "weather", "type": {"type": "map", "values": "double"}})
    return json.dumps(doc)


def to_next(alert):
    a = copy.deepcopy(alert)
    for s in [a["diaSource"]] + (a["prvDiaSources"] or []):
        s["fluxOfThePsf"], s["skyMood"] = s.pop("psfFlux"), "fair" if s["diaSourceId"] % 2 else None
        del s["psfFluxErr"], s["reliability"]
    a["weather"] = {"seeing": 0.7, "wind": 3.0}
    return a


def write_messages(folder, parts):
    """parts: (id, schema text, alerts); their messages as files."""
    os.makedirs(folder)
    for number, schema, alerts in parts:
        s = Schema(schema)
        for a in alerts:
            with open(f"{folder}/{a['diaSourceId']}.msg", "wb") as f:
                f.write(confluent(number, s.write(a)))


def run(source, name, *args):
    r = nightjar(
        "run",
        source,
        "-o",
        f"ndjson:{name}.ndjson",
        "--report",
        f"{name}.json",
        "--dead-letters",
        f"{name}.dead.avro",
        *args,
    )
    got = {x["candid"]: x for x in rows(f"{name}.ndjson")} if os.path.exists(f"{name}.ndjson") else {}
    return r, got, report(f"{name}.json")["ledger"] if os.path.exists(f"{name}.json") else {}


def differing(a, b, skip_keys=()):
    return sorted(
        {
            k
            for c in a
            for k in set(a[c]) | set(b.get(c, {}))
            if k not in skip_keys and a[c].get(k, "-") != b.get(c, {}).get(k, "-")
        }
    )


def a_release_never_seen(schema, alerts):
    os.makedirs("schemas")
    new = next_release(schema)
    for number, text in ((1100, schema), (1102, new)):
        with open(f"schemas/{number}.avsc", "w", encoding="utf-8") as f:
            f.write(text)
    half = N // 2
    later = [to_next(a) for a in alerts]
    write_messages("old", [(1100, schema, alerts)])
    write_messages("new", [(1102, new, later)])
    write_messages("both", [(1100, schema, alerts[:half]), (1102, new, later[half:])])
    columns = ["--columns", "packet.diaSource.skyMood,lc.flux"]

    _, want, _ = run("night", "avro", *columns)
    r, got, l = run("old", "old", "--schemas", "schemas", *columns)
    ok(
        r.returncode == 0 and l["closed"] and l["dead"] == 0 and len(got) == N and not differing(want, got),
        "framed messages with a folder of schemas give the rows of the container files",
        f"{differing(want, got)}\n{r.stderr}",
    )

    r, got, l = run("new", "unmapped", "--schemas", "schemas", *columns)
    ok(
        "a new schema, id 1102: lsst.v11_2.alert; against lsst.v11_1.alert" in r.stderr
        and "- diaSource.reliability " in r.stderr
        and "+ diaSource.skyMood" in r.stderr,
        "it is reported field by field against the newest release that the build knows",
        r.stderr,
    )
    touched = [
        k for k in want[next(iter(want))] if k in ("mag", "mag_err", "positive", "rb", "lc.flux") or "." in k
    ]
    ok(
        r.returncode == 0 and l["closed"] and l["dead"] == 0 and len(got) == N,
        "11.2, which nobody has seen: no alert is lost",
        r.stderr,
    )
    ok(
        not differing(want, got, touched) and all(x["mag"] is None and x["rb"] is None for x in got.values()),
        "what it still has is there, what it lacks or renames is null",
        differing(want, got, touched),
    )
    ok(
        all(x["features.reason"] == x["fast_transient.reason"] == "no_input" for x in got.values())
        and all(x["nalerthist.n"] is None and x["nalerthist.reason"] == "no_input" for x in got.values())
        and all(
            x["hostless.reason"] == want[c]["hostless.reason"]
            and x["hostless.ks_science"] == want[c]["hostless.ks_science"]
            for c, x in got.items()
        ),
        "modules that require it say no_input, the others run as before",
        {k: sorted({x[k] for x in got.values()}) for k in got[next(iter(got))] if k.endswith(".reason")},
    )

    os.makedirs("maps")
    with open("maps/rename.map", "w", encoding="ascii") as f:
        f.write(
            "amend lsst # release 11.2\nflux |= diaSource.fluxOfThePsf\npositive |= diaSource.fluxOfThePsf\n"
            "lc.flux |= fluxOfThePsf\nlc.positive |= fluxOfThePsf\nmood str = diaSource.skyMood\n"
        )
    mapped = ["--schemas", "schemas", "-D", "decode.maps=maps"]
    r, got, l = run(
        "new", "mapped", *mapped, "--columns", "packet.diaSource.skyMood,lc.flux,mood,packet.weather.seeing"
    )
    gone = ("rb", "mag_err", "packet.diaSource.skyMood", "mood", "packet.weather.seeing")
    changed = differing(want, got, gone)
    ok(
        r.returncode == 0
        and l["closed"]
        and l["dead"] == 0
        and all(
            got[c]["lc.flux"] == want[c]["lc.flux"] and got[c]["positive"] == want[c]["positive"]
            for c in want
        ),
        "four lines of map and the renamed field is read, in the history too",
        f"{changed}\n{r.stderr}",
    )
    ok(
        all(x["packet.diaSource.skyMood"] == x["mood"] == ("fair" if c % 2 else None) for c, x in got.items())
        and len({x["mood"] for x in got.values()}) == 2,
        "the added field is a column, by its path and by its name in the map",
    )
    ok(
        all(
            x["nalerthist.n"] == want[c]["nalerthist.n"]
            and x["nalerthist.reason"] == "done"
            and x["rb"] is None
            and x["mag_err"] is None
            for c, x in got.items()
        )
        and all(x["features.reason"] == "no_input" for x in got.values()),
        "the removed ones are null, and no_input for what requires them",
        {k: sorted({x[k] for x in got.values()}) for k in got[next(iter(got))] if k.endswith(".reason")},
    )

    for name, source in (("files", "both"), ("stream", "embedded://both")):
        r, got, l = run(source, "both_" + name, *mapped, *columns, "-j", 1)
        first, second = {a["diaSourceId"] for a in alerts[:half]}, {a["diaSourceId"] for a in alerts[half:]}
        ok(
            r.returncode == 0
            and l["closed"]
            and l["dead"] == 0
            and len(got) == N
            and not differing({c: want[c] for c in first}, got)
            and all(got[c]["lc.flux"] == want[c]["lc.flux"] and got[c]["rb"] is None for c in second),
            f"both releases in one run ({name}): each alert by its own schema",
            f"{differing({c: want[c] for c in first}, got)}\n{r.stderr}",
        )
        told = [x for x in r.stderr.splitlines() if "a new schema, id" in x]
        ok(
            len(told) == 1
            and "+ diaSource.skyMood" in r.stderr
            and "- diaSource.reliability" in r.stderr
            and "+ diaSource.fluxOfThePsf" in r.stderr
            and "weather" in r.stderr,
            f"the new id is reported once, field by field ({name})",
            r.stderr,
        )
    with open("maps/wrong.map", "w", encoding="ascii") as f:
        f.write("amend lsst\nflox |= diaSource.fluxOfThePsf\n")
    r, _, _ = run("new", "wrong", *mapped)
    ok(
        r.returncode == 1 and "wrong.map:2" in r.stderr and "flox" in r.stderr,
        "a mistake in the map is reported with file and line",
        r.stderr,
    )


PROBE = """#include "nightjar/column.h"
/* Sum, rows and columns of three images. */
static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self, (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k];
        w->reason[row] = NJ_DONE;
        for (uint32_t i = 0; i < 3; i++) {
            const nj_image *image = w->image(w, i, row);
            double sum = 0;
            if (!image) continue;
            for (uint32_t p = 0; p < image->rows * image->cols; p++) sum += (double)image->pixel[p];
            nj_put_f64(w, i, row, sum);
            nj_put_i32(w, 3 + i, row, (int32_t)(1000 * image->rows + image->cols));
        }
    }
    return NJ_OK;
}
#define SUM(name) { name, NJ_F64, 1, -1, "1", -INFINITY, INFINITY, NAN, 0, "sum" }
#define SIZE(name) { name, NJ_I32, 1, -1, "1", 0, INFINITY, NAN, 0, "1000 rows + columns" }
NJ_MODULE(probe) = {
    NJ_HEADER, .name = "probe", .version = "1.0", .summary = "sums of images", .paper = "none: test",
    .needs = (const nj_need[]){ { "stamp.science[uncert]", NJ_F32, NJ_IMAGE, "1", 0 },
                                { "stamp.template[2]", NJ_F32, NJ_IMAGE, "1", 0 },
                                { "stamp.difference", NJ_F32, NJ_IMAGE, "1", 0 }, { 0 } },
    .gives = (const nj_give[]){ SUM("sum_a"), SUM("sum_b"), SUM("sum_c"),
                                SIZE("size_a"), SIZE("size_b"), SIZE("size_c"), { 0 } },
    .process = process
};
"""


def hdu(stamp, number):
    """Sum of the pixels of an HDU as float32, its rows and columns; read here from the bytes."""
    at = 0
    while True:
        cards = {}
        while not stamp[at : at + 80].startswith(b"END "):
            card = str(stamp[at : at + 80], "ascii")
            cards[card[:8].strip()] = card[10:].split("/")[0].strip()
            at += 80
        at = (at // 2880 + 1) * 2880
        cols, n_rows, bits = (int(cards[k]) for k in ("NAXIS1", "NAXIS2", "BITPIX"))
        n = cols * n_rows
        if number == 0:
            values = struct.unpack_from(f">{n}{'f' if bits == -32 else 'd'}", stamp, at)
            total = 0.0
            for v in struct.unpack(
                f"{n}f", struct.pack(f"{n}f", *values)
            ):  # one after the other, as the module does; sum() compensates
                total += v
            return None if total != total else total, 1000 * n_rows + cols
        at += (n * abs(bits) // 8 + 2879) // 2880 * 2880
        number -= 1


def other_hdus(alerts):
    cc = shutil.which("cc") or shutil.which("gcc")
    if not cc:
        return skip("HDUs of stamps as needs of a module", "no C compiler")
    os.mkdir("modules")
    with open("probe.c", "w", encoding="ascii") as f:
        f.write(PROBE)
    made = subprocess.run(
        [
            cc,
            "-std=c11",
            "-O1",
            "-fPIC",
            "-shared",
            "-DNJ_SHARED",
            "-I",
            os.path.join(ROOT, "include"),
            "probe.c",
            "-o",
            "modules/probe.so",
        ],
        capture_output=True,
        text=True,
    )
    args = ["--module-path", "modules", "-m", "probe,hostless"]
    r, got, l = run("night", "probe", *args, "-j", 2)
    want = {
        a["diaSourceId"]: [
            hdu(a["cutoutScience"], 1),
            hdu(a["cutoutTemplate"], 2),
            hdu(a["cutoutDifference"], 0),
        ]
        for a in alerts
    }
    has = {c: [(x[f"probe.sum_{k}"], x[f"probe.size_{k}"]) for k in "abc"] for c, x in got.items()}
    ok(
        made.returncode == 0
        and r.returncode == 0
        and l["closed"]
        and has == want
        and len({x[0] for x in has.values()}) > N // 2,
        "a module gets stamp.science[uncert], stamp.template[2] and the first image: every pixel's sum",
        f"{[(c, has.get(c), want[c]) for c in want if has.get(c) != want[c]][:3]}\n{made.stderr}{r.stderr}",
    )
    r, got, l = run(
        "night", "redirect", *args, "-D", "module.probe.need.stamp.difference=stamp.science[UNCERT]"
    )
    ok(
        r.returncode == 0
        and all(x["probe.sum_c"] == x["probe.sum_a"] == want[c][0][0] for c, x in got.items()),
        "need.PATH = stamp.science[UNCERT] redirects a need",
        r.stderr,
    )
    r, got, l = run(
        "night", "nosuch", *args, "-D", "module.probe.need.stamp.difference=stamp.science[NOSUCH]"
    )
    ok(
        r.returncode == 0
        and l["closed"]
        and all(x["probe.sum_c"] is None and x["probe.sum_a"] == want[c][0][0] for c, x in got.items())
        and "stamp.science[NOSUCH] cannot be opened" in r.stderr,
        "an HDU that is not there is no image, and reported",
        f"{list(got.items())[:2]} {l}\n{r.stderr}",
    )


def no_image_columns():
    for args in (
        ["--columns", "stamp.science[UNCERT]"],
        ["--columns", "rb,stamp.science"],
        ["-w", "stamp.science = 1"],
    ):
        r = nightjar("run", "night", *args)
        ok(r.returncode == 1 and "an image is no column" in r.stderr, f"refused: {' '.join(args)}", r.stderr)


def inspect(alerts):
    r = nightjar("inspect", "night", "--hdu", "UNCERT,PSFIMAGE", "--stamps", "png")
    ok(
        r.returncode == 0
        and re.search(
            r"^science    HDUs PRIMARY \d+x\d+ nJy, UNCERT \d+x\d+, PSFIMAGE \d+x\d+$", r.stdout, re.M
        )
        and "template_UNCERT" in r.stdout
        and os.path.exists("png_difference_PSFIMAGE.png"),
        "inspect lists the HDUs of the stamps and draws those that are asked for",
        r.stdout + r.stderr,
    )
    a = min(alerts, key=lambda x: x["diaSourceId"])
    r = nightjar("inspect", "old", "-D", "registry.schemas=schemas", "--candid", a["diaSourceId"], "--json")
    got = json.loads(r.stdout) if r.returncode == 0 else {"packet": {"diaSource": {}}, "stamps": {}}
    ok(
        got["packet"]["diaSource"].get("psfFlux") is not None
        and got["packet"]["diaSource"]["visit"] == a["diaSource"]["visit"]
        and len(got["stamps"]) == 3,
        "inspect reads a framed message by the schemas of a folder",
        r.stderr,
    )
    if not REAL:
        return skip("inspect shows real packets of every form", "NIGHTJAR_SHARED is not there")
    schemas, bare = f"{REAL}/schemas/lsst", f"{REAL}/lsst/bare"
    forms = [
        (f, ["-D", f"registry.schemas={schemas}"])
        for f in glob.glob(f"{REAL}/lsst/wire/*.msg") + glob.glob(f"{REAL}/lsst/fake/*.msg")
    ]
    forms += [
        (f, ["-D", f"decode.schema={bare}/schema_lsst_v9_0.json"]) for f in glob.glob(f"{bare}/*.datum")[:3]
    ]
    forms += [
        (f, [])
        for f in (
            glob.glob(f"{REAL}/lsst/ocf/*.avro")
            + glob.glob(f"{REAL}/lsst/fink/*.avro")
            + glob.glob(f"{REAL}/lsst/fake/*.avro")
        )
    ]
    bad = []
    for f, args in forms:
        r = nightjar("inspect", f, *args, env={"COLUMNS": "110", "LC_ALL": "C.UTF-8"})
        words = ["0 = JD"] + ([] if "lsst/fake" in f else [" HDUs "])
        words += (
            []
            if "lsst/fake" in f or "sample_10" in f
            else ["difference HDUs PRIMARY", "science    HDUs PRIMARY"]
        )
        words += (
            [" nJy      "] if "v9_0_79" in f else []
        )  # of those here the only one whose schema has words and units
        if r.returncode or not all(w in r.stdout for w in words):
            bad.append((f, r.returncode, r.stderr[-200:]))
    ok(
        len(forms) == 46 and not bad,
        f"inspect shows real packets of every form: {len(forms)} files with light curve, real ones with"
        " stamps and their HDUs",
        bad,
    )


RUNS = ["nalerthist", "roid", "fast_transient", "features", "flux_features", "hostless", "finkclass"]
ZTF_ONLY = ["transient_features", "is_transient", "standardized_flux"]


def close(a, b, tolerance=1e-9):
    return (
        a is None
        and b is None
        or a is not None
        and b is not None
        and abs(a - b) <= tolerance * max(1, abs(b))
    )


def expected(x):
    """What the modules must say of an alert, from its light curve alone."""
    jd, flux, err, band = (x["lc." + k] for k in ("jd", "flux", "flux_err", "band"))
    flux, err = (
        [v if v is None else struct.unpack("f", struct.pack("f", v))[0] for v in c] for c in (flux, err)
    )  # written as the shortest float
    mag = [None if not f else -2.5 * math.log10(abs(f) / 3631e9) for f in flux]
    out = {"nalerthist.n": sum(m is not None for m in mag)}
    out["roid.roid"] = 3 if x["sso_id"] is not None else None if x["ndethist"] is None else "rule"
    by_time = sorted((t, f, e, b) for t, f, e, b in zip(jd, flux, err, band) if None not in (f, e) and e > 0)
    first = {t: k for k, (t, _, _, _) in reversed(list(enumerate(by_time)))}
    for k, letter in enumerate("ugrizy"):
        f = [f for i, (t, f, e, b) in enumerate(by_time) if b == k and first[t] == i]
        out[f"flux_features.{letter}_mean"] = sum(f) / len(f) if f else None
        out[f"flux_features.{letter}_amplitude"] = (max(f) - min(f)) / 2 if f else None
        out[f"flux_features.{letter}_standard_deviation"] = statistics.stdev(f) if len(f) > 1 else None
    before = [i for i in range(len(jd) - 1) if band[i] == band[-1]]
    if before and mag[-1] is not None and mag[before[-1]] is not None and jd[-1] != jd[before[-1]]:
        out["fast_transient.mag_rate"] = (mag[-1] - mag[before[-1]]) / (jd[-1] - jd[before[-1]])
    else:
        out["fast_transient.mag_rate"] = None
    return out


def modules_on_real_alerts():
    if not REAL:
        return skip("the host's modules on real LSST alerts", "NIGHTJAR_SHARED is not there")
    columns = ["-m", "+flux_features", "--columns", "lc.jd,lc.flux,lc.flux_err,lc.band,sso_id"]
    forms = [
        ("fink", []),
        ("ocf", []),
        ("wire", ["--schemas", f"{REAL}/schemas/lsst"]),
        ("bare", ["--schema", f"{REAL}/lsst/bare/schema_lsst_v9_0.json"]),
    ]
    n_alerts, seen, bad = 0, {m: {} for m in RUNS + ZTF_ONLY}, []
    for form, args in forms:
        r, _, l = run(f"{REAL}/lsst/{form}", "real_" + form, *columns, *args)
        got = rows(f"real_{form}.ndjson") if os.path.exists(f"real_{form}.ndjson") else []
        if r.returncode or not l or not l["closed"] or l["dead"] or not got:
            bad.append((form, r.returncode, r.stderr[-500:]))
        for x in got:
            n_alerts += 1
            for m in seen:
                seen[m][x[m + ".reason"]] = seen[m].get(x[m + ".reason"], 0) + 1
            want = expected(x)
            if want["roid.roid"] == "rule":
                want["roid.roid"] = x["roid.roid"] if x["roid.roid"] in (0, 1) else "0 or 1"
            bad += [
                (form, x["candid"], k, x[k], v)
                for k, v in want.items()
                if not (x[k] == v if isinstance(v, (int, str)) else close(x[k], v))
            ]
    ok(
        n_alerts > 25 and not bad,
        f"{n_alerts} real LSST alerts of four forms: counts, objects, rates and features as worked out here"
        " from their light curves",
        bad[:9],
    )
    ok(
        all(seen[m].get("done", 0) > 0 for m in RUNS) and all(set(seen[m]) == {"no_input"} for m in ZTF_ONLY),
        "the modules that make sense answer, those of ZTF's own columns are no_input",
        seen,
    )


def main():
    with Folder():
        schema, alerts = night()
        a_release_never_seen(schema, alerts)
        other_hdus(alerts)
        no_image_columns()
        inspect(alerts)
        modules_on_real_alerts()
    done()


main()
