#!/usr/bin/env python3
"""Decode of the same packets by nightjar and by Python (fastavro, astropy), in turn, on one core.

Usage: perf/decode_vs_python.py [--data DIR] [--rounds N] [--json FILE]

Both sides run in turns (Python, nightjar, Python, nightjar, ...), because machines change speed; the figures
are medians over the rounds of CPU time per alert, the ratios medians of the ratios of neighbouring rounds.
Bars: without stamps at least 80 times fastavro with a cached schema, with three stamps at least 12 times
fastavro + astropy. The Python packages live in a virtual environment in build/.
"""

import argparse
import glob
import gzip
import io
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
VENV = os.path.join(ROOT, "build", "venv-decode")
BARS = {"projection / fastavro cached": 80, "projection + 3 stamps / fastavro + astropy": 12}


def into_venv():
    """Runs this script again inside the virtual environment, made at the first call."""
    python = os.path.join(VENV, "bin", "python3")
    if not os.path.exists(os.path.join(VENV, "ready")):
        subprocess.check_call([sys.executable, "-m", "venv", VENV])
        subprocess.check_call([python, "-m", "pip", "install", "-q", "fastavro", "astropy", "numpy"])
        open(os.path.join(VENV, "ready"), "w").close()
    if os.path.abspath(sys.prefix) != os.path.abspath(VENV):
        os.execv(python, [python] + sys.argv)


def python_round(packets, schemas, mode):
    """CPU seconds per alert of one pass. Modes: open (reader per file), cached (schema parsed once),
    stamps."""
    import fastavro
    from astropy.io import fits

    start = time.process_time()
    if mode == "open":
        for data, _, _ in packets:
            for record in fastavro.reader(io.BytesIO(data)):
                record["candidate"]["magpsf"]
    else:
        for data, schema, offset in packets:
            record = fastavro.schemaless_reader(io.BytesIO(memoryview(data)[offset:]), schemas[schema], None)
            record["candidate"]["magpsf"]
            if mode == "stamps":
                for name in ("cutoutScience", "cutoutTemplate", "cutoutDifference"):
                    with fits.open(
                        io.BytesIO(gzip.decompress(record[name]["stampData"])), ignore_missing_simple=True
                    ) as hdus:
                        hdus[0].data.sum()
    return (time.process_time() - start) / len(packets)


def load(folder):
    """Packets with the key of their parsed schema and the offset of their only datum."""
    import fastavro

    packets, schemas = [], {}
    for path in sorted(glob.glob(os.path.join(folder, "*.avro"))):
        data = open(path, "rb").read()
        stream = io.BytesIO(data)
        text = fastavro.reader(stream).metadata["avro.schema"]
        if text not in schemas:
            schemas[text] = fastavro.parse_schema(json.loads(text))
        end = (
            data.index(data[-16:]) + 16
        )  # the header ends with the first sync marker, the file with the last
        for _ in range(2):  # records and bytes of the block
            while data[end] & 0x80:
                end += 1
            end += 1
        packets.append((data, text, end))
    return packets, schemas


def nightjar_round(folder):
    """ns per alert of the cases of `nightjar bench decode`, medians."""
    out = os.path.join(ROOT, "build", "decode_vs_python.json")
    subprocess.run(
        [
            os.path.join(ROOT, "nightjar"),
            "bench",
            "decode",
            "--data",
            folder,
            "--seconds",
            "0.05",
            "--json",
            out,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    with open(out) as f:
        return {b["name"].split("/", 1)[1]: b["median"] for b in json.load(f)["benchmarks"]}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = os.environ.get("NIGHTJAR_SHARED", os.path.join(ROOT, "..", "shared"))
    parser.add_argument("--data", default=os.path.join(shared, "real", "ztf"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json")
    args = parser.parse_args()
    into_venv()
    import warnings
    import astropy
    import fastavro
    import numpy

    warnings.simplefilter("ignore")  # template pixels of -3.4e38 overflow in sums

    packets, schemas = load(args.data)
    if not packets:
        sys.exit(f"no packets in {args.data}")
    for mode in ("open", "cached", "stamps"):
        python_round(packets, schemas, mode)  # warm-up
    python = {"open": [], "cached": [], "stamps": []}
    own = {"projection": [], "projection + 3 stamps": []}
    ratios = {name: [] for name in BARS}
    for _ in range(args.rounds):
        for mode, values in python.items():
            values.append(python_round(packets, schemas, mode) * 1e9)
        case = nightjar_round(args.data)
        for name, values in own.items():
            values.append(case[name])
        ratios["projection / fastavro cached"].append(python["cached"][-1] / own["projection"][-1])
        ratios["projection + 3 stamps / fastavro + astropy"].append(
            python["stamps"][-1] / own["projection + 3 stamps"][-1]
        )
    print(
        f"{len(packets)} packets, {len(schemas)} schemas; fastavro {fastavro.__version__}, astropy"
        f" {astropy.__version__}, numpy {numpy.__version__}, Python {sys.version.split()[0]}; {args.rounds}"
        " rounds in turn"
    )
    result = {"packets": len(packets), "rounds": args.rounds, "ns_per_alert": {}, "ratios": {}}
    for name, values in [
        ("fastavro, reader per file", python["open"]),
        ("fastavro, schema cached", python["cached"]),
        ("fastavro + 3 stamps by astropy", python["stamps"]),
        *((f"nightjar, {k}", v) for k, v in own.items()),
    ]:
        middle = statistics.median(values)
        result["ns_per_alert"][name] = {"median": middle, "min": min(values)}
        print(f"{name:40s} {middle / 1000:10.1f} us/alert {1e9 / middle:10.0f} alerts/s/core")
    missed = 0
    for name, bar in BARS.items():
        middle, low, high = statistics.median(ratios[name]), min(ratios[name]), max(ratios[name])
        missed += middle < bar
        result["ratios"][name] = {
            "median": middle,
            "min": low,
            "max": high,
            "at_least": bar,
            "met": middle >= bar,
        }
        print(
            f"{name:45s} {middle:7.1f} [{low:.1f}, {high:.1f}]  bar: at least {bar},"
            f" {'met' if middle >= bar else 'MISSED'}"
        )
    if args.json:
        with open(args.json, "w") as f:
            json.dump(result, f, indent=1)
    sys.exit(5 if missed else 0)


if __name__ == "__main__":
    main()
