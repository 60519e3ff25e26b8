#!/usr/bin/env python3
"""How CPU time grows: alerts, history, rows of a catalogue, columns, filters, topics, threads.

  perf/growth.py [--quick] [AXIS...]      axes as the functions of_* below; all without arguments

Each point is the least CPU time (user and system, all threads) of a few runs, in turn over the sizes, less
that of the smallest run of its kind (start, one alert). The exponent is the slope of log(cost) over log(size)
by least squares over all sizes, with its 95 % interval (Student's t of the residuals); `last` is that between
the two largest sizes alone: what grows faster at the end shows there. Alerts are a packet of
data/sample.tar.gz without its stamps, with a history as long as asked. Needs fastavro and numpy. Writes
perf/results/growth.txt and growth.json; axes that are not asked for stay as they are there."""

import argparse, copy, io, json, math, os, platform, resource, subprocess, sys, tarfile, tempfile, time

import fastavro
import numpy as np

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
BIN = os.environ.get("NIGHTJAR", os.path.join(ROOT, "nightjar"))
OUT = os.path.join(ROOT, "perf", "results", "growth")
BLOCK = 500  # alerts of one Avro block, which is written again and again
T95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57}
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
RUN = ("run", "-q", "--overwrite", "--dead-letters", "dead.avro", "-D", "run.dedup=0", "-o", "null:")
CHEAP = ("-m", "roid,nalerthist,fast_transient,is_transient")


def cpu(*args):
    """User and system seconds of the command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    r = subprocess.run([BIN, *map(str, args)], env=ENV, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if r.returncode:
        sys.exit(f"growth: {' '.join(map(str, args))[:300]}: exit {r.returncode}: {r.stderr[-400:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# ---- alerts -------------------------------------------------------------------------------------


def sample():
    """Schema and record of the first packet that has a history."""
    with tarfile.open(os.path.join(ROOT, "data", "sample.tar.gz")) as t:
        for m in t:
            if not m.name.endswith(".avro"):
                continue
            reader = fastavro.reader(io.BytesIO(t.extractfile(m).read()))
            record = next(reader)
            if len(record.get("prv_candidates") or []) > 5:
                return reader.writer_schema, record
    sys.exit("growth: no packet with a history in data/sample.tar.gz")


def packets(path, alerts, history=10, extra=0):
    """A container file of alerts without stamps; extra: fields x0, x1, ... of `candidate` besides."""
    schema, record = copy.deepcopy(sample())
    for field in schema["fields"]:
        kind = field["type"]
        found = [k for k in (kind if isinstance(kind, list) else [kind]) if isinstance(k, dict)]
        if field["name"] == "candidate":
            found[0]["fields"] += [{"name": f"x{i}", "type": "double"} for i in range(extra)]
    for stamp in ("cutoutScience", "cutoutTemplate", "cutoutDifference"):
        record[stamp] = None
    one = [p for p in record["prv_candidates"] if p.get("magpsf") is not None] or record["prv_candidates"]
    jd = record["candidate"]["jd"]
    record["prv_candidates"] = [
        {**one[i % len(one)], "jd": jd - 30 * (history - i) / history} for i in range(history)
    ]
    if "fp_hists" in record:
        record["fp_hists"] = None
    record["candidate"] |= {f"x{i}": i + 0.5 for i in range(extra)}
    n = min(BLOCK, alerts)
    rows = []
    for i in range(n):
        r = {**record, "candidate": {**record["candidate"]}}
        r["candid"] = r["candidate"]["candid"] = record["candid"] + i
        r["candidate"]["ra"] = i * 360.0 / n
        r["candidate"]["dec"] = -30 + 90.0 * ((i * 7919) % n) / n
        rows.append(r)
    b = io.BytesIO()
    fastavro.writer(
        b, fastavro.parse_schema(schema), rows, sync_interval=1 << 40, sync_marker=b"nightjar-growth!"
    )
    data = b.getvalue()
    first = data.index(b"nightjar-growth!") + 16  # behind the header
    block = data[first:]
    with open(path, "wb") as f:
        f.write(data[:first])
        for _ in range(max(1, alerts // n)):
            f.write(block)
    return max(1, alerts // n) * n


# ---- a table of random places, as FITS ----------------------------------------------------------


def table(path, rows):
    rng = np.random.default_rng(rows)
    t = np.empty(rows, dtype=[("ra", ">f8"), ("dec", ">f8"), ("mag", ">f4")])
    t["ra"] = rng.uniform(0, 360, rows)
    t["dec"] = np.degrees(np.arcsin(rng.uniform(-1, 1, rows)))
    t["mag"] = rng.uniform(12, 22, rows)
    cards = [
        ["SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 0", "EXTEND  = T", "END"],
        ["XTENSION= 'BINTABLE'", "BITPIX  = 8", "NAXIS   = 2", f"NAXIS1  = {t.itemsize}", f"NAXIS2  = {rows}"]
        + ["PCOUNT  = 0", "GCOUNT  = 1", "TFIELDS = 3", "TTYPE1  = 'ra'", "TFORM1  = 'D'", "TUNIT1  = 'deg'"]
        + ["TTYPE2  = 'dec'", "TFORM2  = 'D'", "TUNIT2  = 'deg'", "TTYPE3  = 'mag'", "TFORM3  = 'E'", "END"],
    ]
    with open(path, "wb") as f:
        for header in cards:
            for c in header:
                key, eq, value = c.partition("= ")
                f.write((f"{key}= {value:>20}" if eq and value[0] != "'" else c).ljust(80).encode())
            f.write(b" " * (-80 * len(header) % 2880))
        f.write(t.tobytes())
        f.write(b"\0" * (-t.nbytes % 2880))


# ---- axes: name of a row -> {size: arguments, the source last}, and the source of next to no work ----


def of_alerts(quick):
    sizes = [10**3, 10**4, 10**5] + ([] if quick else [10**6])
    for n in sizes:
        packets(f"a{n}.avro", n)
    return {
        "alerts, cheap modules": ({n: (*RUN, *CHEAP, "-j", 1, f"a{n}.avro") for n in sizes}, "one.avro"),
        "alerts, default modules": ({n: (*RUN, "-j", 1, f"a{n}.avro") for n in sizes[:3]}, "one.avro"),
    }


def of_history(quick):
    sizes = [10, 30, 100, 300, 1000] + ([] if quick else [3000])
    for n in sizes:
        packets(f"h{n}.avro", 300, n)
    modules = {"default modules": (), "features": ("-m", "features"), "period": ("-m", "period")}
    return {
        f"history, {name}": ({n: (*RUN, "-j", 1, *m, f"h{n}.avro") for n in sizes}, "one.avro")
        for name, m in modules.items()
    }


def of_catalogue(quick):
    sizes = [10**4, 10**5, 10**6] + ([] if quick else [10**7])
    packets("c.avro", 50000)
    for n in sizes:
        table(f"c{n}.fits", n)
        cpu("catalog", "build", f"c{n}.fits", "-o", f"c{n}.njx", "-q")
    near = ("-D", "module.near.kind=xmatch", "-m", "near", "-j", 1)
    return {
        "catalogue rows, build": (
            {n: ("catalog", "build", f"c{n}.fits", "-o", "again.njx", "-q") for n in sizes},
            None,
        ),
        "catalogue rows, 50,000 alerts crossed": (
            {n: (*RUN, *near, "-D", f"module.near.catalog=./c{n}.njx", "c.avro") for n in sizes},
            "one.avro",
        ),
    }


def of_columns(quick):
    sizes = [10, 30, 100, 300, 1000] + ([] if quick else [2000])
    packets("w.avro", 1000, extra=2000)
    out = [x for x in RUN if x not in ("-o", "null:")]
    args = lambda n: (*CHEAP, "-j", 1, "--columns", ",".join(f"packet.candidate.x{i}" for i in range(n)))
    least = (*out, "-o", "ndjson:w.ndjson", *args(1), "one.avro")
    return {
        "columns asked, 1,000 alerts to ndjson": (
            {n: (*out, "-o", "ndjson:w.ndjson", *args(n), "w.avro") for n in sizes},
            least,
        ),
        "columns asked, start alone": (
            {n: (*out, "-o", "ndjson:w.ndjson", *args(n), "one.avro") for n in sizes},
            least,
        ),
    }


def of_filters(quick):
    sizes = [1, 3, 10, 30, 100]
    packets("f.avro", 20000)
    clause = lambda n: " and ".join(f"mag < {99 + i}" for i in range(n))
    topics = lambda n: [x for i in range(n) for x in ("-t", f"t{i}=mag < {10 + 0.1 * i:.1f}")]
    return {
        "conditions of one filter": (
            {n: (*RUN, *CHEAP, "-j", 1, "-w", clause(n), "f.avro") for n in sizes},
            "one.avro",
        ),
        "topics of one comparison each": (
            {n: (*RUN, *CHEAP, "-j", 1, *topics(n), "f.avro") for n in sizes},
            "one.avro",
        ),
    }


def of_threads(quick):
    packets("t.avro", 20000, 30)
    return {"threads": ({n: (*RUN, "-j", n, "t.avro") for n in (1, 2)}, "one.avro")}


# ---- the table ----------------------------------------------------------------------------------


def slope(sizes, seconds):
    x, y = np.log(sizes), np.log(np.maximum(seconds, 1e-9))
    b, a = np.polyfit(x, y, 1)
    free = len(x) - 2
    if free < 1:
        return b, math.nan
    s = math.sqrt(((y - a - b * x) ** 2).sum() / free / ((x - x.mean()) ** 2).sum())
    return b, T95.get(free, 2) * s


def measure(name, points, little, rounds):
    sizes = list(points)
    least = {n: math.inf for n in sizes}
    base = math.inf
    for k in range(rounds):
        for n in sizes if k % 2 == 0 else sizes[::-1]:
            least[n] = min(least[n], cpu(*points[n]))
        if little:
            base = min(
                base, cpu(*(little if isinstance(little, tuple) else (*points[sizes[0]][:-1], little)))
            )
    base = base if little else 0
    cost = [max(least[n] - base, 1e-4) for n in sizes]
    # what is below a hundredth of a second is noise of the clock and the start
    used = [i for i, c in enumerate(cost) if c >= 0.01] or list(range(len(cost)))
    used = used if len(used) > 1 else list(range(len(cost)))
    b, half = slope([sizes[i] for i in used], [cost[i] for i in used])
    last, _ = slope(sizes[-2:], cost[-2:])
    row = {"name": name, "sizes": sizes, "cpu_s": cost, "start_s": base, "points_used": len(used)}
    row |= {"exponent": b, "half_width": half, "last": last, "rounds": rounds}
    print(line(row), flush=True)
    return row


def line(r):
    cost = "  ".join(f"{n:,}: {c:.3g}" for n, c in zip(r["sizes"], r["cpu_s"]))
    half = "" if math.isnan(r["half_width"]) else f" +- {r['half_width']:.2f}"
    return f"{r['name']}: exponent {r['exponent']:.2f}{half}, last {r['last']:.2f}\n    CPU s  {cost}"


def main():
    axes = {k[3:]: f for k, f in globals().items() if k.startswith("of_")}
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("axis", nargs="*", choices=[*axes, []])
    p.add_argument("--quick", action="store_true", help="without the largest size, two rounds")
    p.add_argument("--rounds", type=int)
    a = p.parse_args()
    result = {"rows": []}
    if os.path.exists(OUT + ".json"):
        with open(OUT + ".json") as f:
            result = json.load(f)
    result["what"] = __doc__.splitlines()[0]
    for name in a.axis or axes:
        with tempfile.TemporaryDirectory(prefix="nightjar-growth-") as folder:
            os.chdir(folder)
            packets("one.avro", 1, extra=2000 if name == "columns" else 0)
            rows = [
                measure(n, points, little, a.rounds or (2 if a.quick else 3))
                for n, (points, little) in axes[name](a.quick).items()
            ]
            os.chdir(ROOT)
        known = {r["name"] for r in rows}
        for r in rows:
            r |= {
                "date": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()),
                "load": round(os.getloadavg()[0], 1),
            }
        result["rows"] = [r for r in result["rows"] if r["name"] not in known] + rows
        result["context"] = {
            "version": subprocess.run([BIN, "--version"], capture_output=True, text=True).stdout.strip(),
            "cores": os.cpu_count(),
            "kernel": platform.release(),
        }
        with open(OUT + ".json", "w") as f:
            json.dump(result, f, indent=1)
            f.write("\n")
        with open(OUT + ".txt", "w") as f:
            f.write(f"# {result['what']} perf/growth.py; {result['context']['version']}\n")
            f.writelines(f"{line(r)}\n    {r['date']}, load {r['load']}\n" for r in result["rows"])


if __name__ == "__main__":
    main()
