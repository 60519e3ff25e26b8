#!/usr/bin/env python3
"""-o hats: a HATS catalogue: its layout, the places of its rows, every cell as in Parquet; kills; what is
refused. HATS as SOURCE, with light curves nested in both ways, and what stands beside the rows."""

import glob, io, os, random, re, signal, subprocess, tarfile, time
from avro import make_container
from out_kit import alert_schema, packet
import own_copy  # before tap
from tap import NIGHTJAR, Folder, done, needs, nightjar, ok, report, rows

needs("pyarrow", "astropy", "astropy_healpix", "fastavro")
import fastavro, pyarrow as pa, pyarrow.parquet as pq
from astropy import units as u
from astropy_healpix import lonlat_to_healpix

N = 400
KILLS = int(os.environ.get("NIGHTJAR_KILLS", "4"))
LC = ["--columns", "lc.jd,lc.mag,lc.band,fp.jd"]
SMALL = ["-D", "sink.hats.rows=60", "-D", "sink.hats.order=8"]
OFTEN = ["-D", "run.commit_ms=5", "-D", "run.flush_ms=2", "-D", "run.batch_rows=4", "-j", "1"]
rng = random.Random(int(os.environ.get("NIGHTJAR_SEED", "1")))


def tiles(folder):
    """{(order, pixel): path}, by the names of files."""
    found = {}
    for path in glob.glob(f"{folder}/dataset/Norder=*/Dir=*/Npix=*.parquet"):
        order, first, pixel = map(
            int, re.search(r"Norder=(\d+)/Dir=(\d+)/Npix=(\d+)\.parquet$", path).groups()
        )
        (
            ok(first == pixel // 10000 * 10000, f"{path}: its folder")
            if first != pixel // 10000 * 10000
            else None
        )
        found[order, pixel] = path
    return found


def properties(folder, name="hats.properties"):
    with open(f"{folder}/{name}", encoding="utf-8") as f:
        return dict(line.strip().split("=", 1) for line in f if "=" in line)


def flat(row):
    """A row of the catalogue as one of Parquet: light curves are not nested there."""
    out = {}
    for key, value in row.items():
        if key in ("lc", "fp", "nd"):
            out.update({f"{key}.{k}": v for k, v in value.items()})
        elif key != "_healpix_29":
            out[key] = value
    return out


def content(folder):
    return {
        r["candid"]: flat(r)
        for p in tiles(folder).values()
        for r in pq.read_table(p, partitioning=None).to_pylist()
    }


def layout(name, folder, most):
    files, listed = tiles(folder), set()
    with open(f"{folder}/partition_info.csv", encoding="utf-8") as f:
        ok(f.readline().strip() == "Norder,Npix", f"{name}: the list's head")
        listed = {tuple(map(int, line.split(","))) for line in f}
    ok(listed == set(files), f"{name}: partition_info.csv has each file", (len(listed), len(files)))
    inside = [(a, b) for a in files for b in files if a[0] < b[0] and b[1] >> 2 * (b[0] - a[0]) == a[1]]
    ok(not inside, f"{name}: no place is within another", inside[:3])
    p = properties(folder)
    ok(p == properties(folder, "properties"), f"{name}: the properties under both names")
    ok(p["hats_order"] == str(max((o for o, _ in files), default=0)), f"{name}: the highest order", p)
    total, unsorted, elsewhere, large = 0, [], [], []
    schema = pq.read_schema(f"{folder}/dataset/_common_metadata").remove_metadata()
    for (order, pixel), path in files.items():
        t = pq.read_table(path, partitioning=None)
        cells = t["_healpix_29"].to_pylist()
        own = lonlat_to_healpix(
            t["ra"].to_numpy() * u.deg, t["dec"].to_numpy() * u.deg, 2**29, order="nested"
        )
        unsorted += [path] if cells != sorted(cells) else []
        elsewhere += (
            [path] if any(c >> 2 * (29 - order) != pixel for c in cells) or cells != own.tolist() else []
        )
        large += [path] if len(cells) > most and order < 8 else []
        if t.schema.remove_metadata() != schema:
            ok(False, f"{path}: the schema of _common_metadata", t.schema)
        total += len(cells)
    ok(str(total) == p["hats_nrows"], f"{name}: hats_nrows", (total, p))
    ok(not unsorted, f"{name}: rows are in the order of the sky", unsorted)
    ok(not elsewhere, f"{name}: each row is where its file says, and _healpix_29 is its place", elsewhere)
    ok(not large, f"{name}: places with many rows are divided", large)
    ok(
        not glob.glob(f"{folder}/rows.parquet") + glob.glob(f"{folder}/*.part"),
        f"{name}: nothing else is left",
    )
    return files


def night():
    nightjar("simulate", "-n", str(N), "--seed", "3", "-q", "-o", "night.tar")
    r = nightjar("run", "night.tar", "-q", "-o", "hats:cat", "-o", "parquet:o.parquet", *LC, *SMALL)
    ok(r.returncode == 0, "a night", r.stderr)
    files = layout("a night", "cat", 60)
    ok(len({o for o, _ in files}) > 1, "files of several orders", sorted(files))
    expected = {e["candid"]: e for e in pq.read_table("o.parquet").to_pylist()}
    for e in expected.values():  # a nested table is empty, not absent
        e.update({k: [] for k in ("lc.jd", "lc.mag", "lc.band", "fp.jd") if e[k] is None})
    found = content("cat")
    wrong = [
        (i, k, e[k], found.get(i, {}).get(k))
        for i, e in expected.items()
        for k in e
        if found[i].get(k) != e[k]
    ]
    ok(found.keys() == expected.keys(), "a night: all rows", len(found))
    ok(not wrong, "a night: every cell as in Parquet", wrong[:3])
    t = pq.read_schema("cat/dataset/_common_metadata")
    ok(t.names[0] == "_healpix_29", "the place is the first column", t.names)
    ok(pa.types.is_struct(t.field("lc").type), "a light curve is a struct of lists", t.field("lc"))
    ok(pa.types.is_list(t.field("lc").type.field("jd").type), "of lists", t.field("lc"))
    meta = pq.read_metadata(next(iter(files.values()))).metadata
    ok(any(k.startswith(b"nightjar.module.") for k in meta), "provenance", list(meta))
    r = nightjar("run", "night.tar", "-q", "-o", "hats:one", *LC)
    ok(len(tiles("one")) < len(files), "by default places are larger", (len(tiles("one")), r.stderr))
    layout("by default", "one", 200000)
    return expected


def odd_rows():
    alerts = [
        packet(k, {"ra": [0.3, 359.9999999, 44.7, 10.0][k % 4], "dec": [90.0, -90.0, 0.1, -5.0][k % 4]})
        for k in range(12)
    ]
    alerts[5]["candidate"]["dec"] = float("nan")
    alerts[6]["candidate"]["ra"] = float("inf")
    with open("odd.avro", "wb") as f:
        f.write(make_container(alert_schema(), alerts))
    args = [
        "run",
        "odd.avro",
        "-q",
        "--survey",
        "ztf",
        "-m",
        "roid",
        "--dead-letters",
        "d.avro",
        "--report",
        "r.json",
    ]
    r = nightjar(*args, "-o", "hats:odd", "-o", "ndjson:odd.ndjson")
    ok(r.returncode == 0, "poles, the border of RA, and no position", r.stderr)
    ok(len(content("odd")) == 10, "those with a position", len(content("odd")))
    ok(report("r.json")["ledger"]["dead"] == 2, "the others are dead letters", r.stderr)
    ok(len(rows("odd.ndjson")) == 10, "and in no other output", len(rows("odd.ndjson")))
    layout("poles", "odd", 200000)
    r = nightjar(*args[:7], "-w", "1 = 0", "-o", "hats:none")
    ok(r.returncode == 0 and not tiles("none"), "without rows", r.stderr)
    ok(properties("none")["hats_nrows"] == "0", "a catalogue of nothing")


def refused():
    r = nightjar("run", "night.tar", "-q", "-m", "roid", "-o", "hats:cat")
    ok(r.returncode == 1 and "--overwrite" in r.stderr, "one that is there", (r.returncode, r.stderr))
    r = nightjar("run", "night.tar", "-q", "-m", "roid", "-o", "hats:cat", "--append")
    ok(r.returncode == 1 and "no more rows" in r.stderr, "--append", (r.returncode, r.stderr))
    before = content("cat")
    ok(len(before) == N, "it is as it was", len(before))
    r = nightjar(
        "run", "night.tar", "-q", "-m", "roid", "-o", "hats:cat", "--overwrite", "-w", "candid % 2 = 0"
    )
    ok(r.returncode == 0, "--overwrite", r.stderr)
    ok(0 < len(content("cat")) < N, "has the rows of the new run alone", len(content("cat")))
    layout("--overwrite", "cat", 200000)
    r = nightjar("run", "night.tar", "-q", "-m", "roid", "-o", "hats:c-{night}", "-D", "run.site=palomar")
    ok(r.returncode == 1 and "one catalogue" in r.stderr, "several of them by name", (r.returncode, r.stderr))


def kills(expected):
    args = [
        NIGHTJAR,
        "run",
        "night.tar",
        "-q",
        "-o",
        "hats:k",
        "--dead-letters",
        "kd.avro",
        *LC,
        *SMALL,
        *OFTEN,
    ]
    n, rc = 0, None
    for k in range(40):
        child = subprocess.Popen(
            [*args, *(["--resume"] if k else [])], stderr=subprocess.PIPE, start_new_session=True
        )
        if n < KILLS:
            time.sleep(rng.uniform(0.02, 0.6))
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL if n % 2 == 0 else signal.SIGINT)
                n += 1
        said = child.communicate()[1].decode()
        rc = child.returncode
        if rc == 0 and os.path.exists("k/hats.properties"):
            break
    ok(rc == 0, f"{n} kills and interruptions, --resume", said)
    found = content("k")
    ok(found.keys() == expected.keys(), "each row once", (len(found), len(expected)))
    ok(found == expected, "every cell")
    layout("after kills", "k", 60)
    r = subprocess.run([*args, "--resume"], capture_output=True, text=True)
    ok(r.returncode == 0 and content("k") == expected, "--resume of a complete one changes nothing", r.stderr)
    r = nightjar("ledger", "k")
    ok(r.returncode == 0 and str(N) in r.stdout, "nightjar ledger", (r.returncode, r.stdout, r.stderr))


def catalogue(folder, alerts, nest):
    """Alerts in the layout of HATS, two files; nest makes a light curve of its points."""
    names = sorted({n for a in alerts for p in a["prv_candidates"] or [] for n in p})
    table = pa.Table.from_pylist(
        [
            {
                "_healpix_29": k,
                **{n: a[n] for n in ("objectId", "candid", "schemavsn", "publisher", "candidate")},
                "prv_candidates": nest(a["prv_candidates"], names),
            }
            for k, a in enumerate(alerts)
        ]
    )
    at = f"{folder}/dataset/Norder=1/Dir=0"
    os.makedirs(at)
    half = len(alerts) // 2
    pq.write_table(table[:half], f"{at}/Npix=1.parquet")
    pq.write_table(table[half:], f"{at}/Npix=2.parquet")
    for name in ("_metadata", "_common_metadata"):
        pq.write_metadata(table.schema, f"{folder}/dataset/{name}")
    pq.write_table(table[:3], f"{folder}/dataset/data_thumbnail.parquet")
    for name, text in (
        ("partition_info.csv", "Norder,Npix\n1,1\n1,2\n"),
        ("hats.properties", "hats_nrows=1\n"),
    ):
        with open(f"{folder}/{name}", "w", encoding="utf-8") as f:
            f.write(text)


def beside_the_rows(alerts, args):
    """A collection: a catalogue with statistics, its margin, which repeats rows, and an index of its ids."""
    catalogue("all/night", alerts, columns_of)
    pq.write_table(pa.table({"Norder": [1, 1], "Npix": [1, 2]}), "all/night/per_partition_statistics.parquet")
    for kind, name in (("margin", "hats.properties"), ("index", "properties")):
        catalogue(f"all/night_{kind}", alerts[:6], columns_of)
        os.remove(f"all/night_{kind}/hats.properties")
        with open(f"all/night_{kind}/{name}", "w", encoding="utf-8") as f:
            f.write(f"# a comment\nobs_collection=x\ndataproduct_type = {kind}\nhats_nrows=6\n")
    r = nightjar("run", "all", *args[1:], "-o", "ndjson:all.ndjson")
    ids = [x["candid"] for x in rows("all.ndjson")]
    ok(r.returncode == 0 and sorted(ids) == sorted(a["candid"] for a in alerts), "a collection", len(ids))
    # 2 folders, the thumbnail, the statistics, _metadata and _common_metadata
    ok(" 6 hidden or metadata files" in r.stderr, "what was not read is counted", r.stderr)
    r = nightjar("run", "all/night_margin", *args, "-o", "ndjson:margin.ndjson")
    ok(len(rows("margin.ndjson")) == 6, "a margin that is asked for", r.stderr)


def forms(alerts, args):
    """npix_suffix gives the files another ending, none, or makes folders of them; the catalogue may be a link
    and be named by its part `dataset`; a place of the sky may have no rows."""
    for k, (name, suffix) in enumerate(
        (("ending", ".pq"), ("none", ""), ("folder", "/part0.parquet"), ("bare", "/part0"))
    ):
        folder = f"form{k}"
        catalogue(folder, alerts, columns_of)
        for path in glob.glob(f"{folder}/dataset/Norder=1/Dir=0/*.parquet"):
            os.rename(path, "moved")
            to = path.removesuffix(".parquet") + suffix
            os.makedirs(os.path.dirname(to), exist_ok=True)
            os.rename("moved", to)
        empty = pq.read_table(to, partitioning=None)[:0]
        to = re.sub(r"Npix=\d+", "Npix=9", to)
        os.makedirs(os.path.dirname(to), exist_ok=True)
        pq.write_table(empty, to)
        os.symlink(folder, f"link{k}")
        for source in (folder, f"link{k}", f"link{k}/", f"{folder}/dataset"):
            r = nightjar("run", source, *args, "-o", "ndjson:form.ndjson", "--overwrite")
            got = [x["candid"] for x in rows("form.ndjson")]
            ok(r.returncode == 0, f"{name}: {source}: exit 0", r.stderr)
            ok(sorted(got) == sorted(a["candid"] for a in alerts), f"{name}: {source}: each row once", got)
    os.symlink("..", "form0/dataset/around")
    r = nightjar("run", "form0", *args[1:], "-o", "ndjson:form.ndjson", "--overwrite")
    ok(len(rows("form.ndjson")) == len(alerts), "a link to a folder is not followed", r.stderr)
    ok("of another kind: link, pipe, device (dataset/around)" in r.stderr, "which is said", r.stderr)


def columns_of(points, names):
    return None if points is None else {n: [p.get(n) for p in points] for n in names}


def records_of(points, names):
    return None if points is None else [{n: p.get(n) for n in names} for p in points]


def as_source():
    with tarfile.open("night.tar") as t:
        files = [t.extractfile(m).read() for m in t if m.name.endswith(".avro")]
    alerts = [next(fastavro.reader(io.BytesIO(data))) for data in files][:80]
    alerts[3]["prv_candidates"] = []
    alerts[4]["prv_candidates"] = None
    args = ["-q", "--survey", "ztf", "-m", "features,transient_features", "--columns", "lc.jd,lc.mag,lc.band"]
    found = {}
    for name, nest in (("records", records_of), ("columns", columns_of)):
        catalogue(name, alerts, nest)
        r = nightjar("run", name, *args, "-o", f"ndjson:{name}.ndjson")
        found[name] = {x["candid"]: x for x in rows(f"{name}.ndjson")}
        ok(r.returncode == 0 and "came before" not in r.stderr, f"a catalogue with {name}", r.stderr)
        ok(len(rows(f"{name}.ndjson")) == len(alerts), f"{name}: each row once", len(rows(f"{name}.ndjson")))
    r = nightjar("run", "night.tar", *args, "-o", "ndjson:packets.ndjson")
    expected = {x["candid"]: x for x in rows("packets.ndjson")}
    plain = [a["candid"] for k, a in enumerate(alerts) if k not in (3, 4)]
    wrong = [i for i in plain if found["columns"][i] != expected[i]]
    ok(not wrong, "a nested table: every cell as of the packets", (wrong[:3], r.stderr))
    ok(found["columns"] == found["records"], "also empty and absent ones", len(wrong))
    ok(len(found["columns"][alerts[3]["candid"]]["lc.jd"]) == 1, "this detection alone")

    def torn(points, names):
        out = columns_of(points, names)
        if out and out[names[0]]:
            out[names[0]].append(out[names[0]][0])
        return out

    beside_the_rows(alerts[:20], args)
    forms(alerts[:20], args)
    catalogue("torn", alerts, torn)
    r = nightjar("run", "torn", *args, "-o", "ndjson:torn.ndjson")
    ok(r.returncode == 2 and "disagree about how long" in r.stderr, "lists of different lengths", r.stderr)


with Folder():
    NIGHT = night()
    odd_rows()
    as_source()
    refused()
    kills(NIGHT)
done()
