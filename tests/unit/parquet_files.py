"""Parquet files for tests/unit/parquet.c, and beside each NAME.parquet a NAME.txt: per leaf a line
`leaf NAME`, then per level entry `rep def value` (value in hex of its bits or bytes, `-` when null), shredded
here from the Python values.
"""

import datetime
import decimal
import random
import struct
import sys

import pyarrow as pa
import pyarrow.parquet as pq

out = sys.argv[1]
random.seed(7)


def leaves(t, path):
    if pa.types.is_list(t) or pa.types.is_large_list(t):
        return leaves(t.value_type, path)
    if pa.types.is_struct(t):
        return [x for f in t for x in leaves(f.type, path + "." + f.name)]
    return [path]


def text(v, t):
    if pa.types.is_floating(t):
        return struct.pack(">f" if t.bit_width == 32 else ">d", v).hex()
    if pa.types.is_boolean(t):
        return "%02x" % v
    if pa.types.is_integer(t):
        bits = 32 if t.bit_width <= 32 else 64
        return "%0*x" % (bits // 4, v & ((1 << bits) - 1))
    if pa.types.is_date32(t):
        return "%08x" % ((v - datetime.date(1970, 1, 1)).days & 0xFFFFFFFF)
    if pa.types.is_timestamp(t):
        micro = (v - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)
        return "%016x" % (micro * (1000 if t.unit == "ns" else 1) & (1 << 64) - 1)
    if pa.types.is_decimal(t):
        raw = int(v.scaleb(t.scale))
        size = next(n for n in range(1, 20) if 10**t.precision < 1 << (8 * n - 1))
        return raw.to_bytes(size, "big", signed=True).hex()
    return (v.encode() if isinstance(v, str) else v).hex() or "."


def shred(v, t, nullable, r, d, depth, path, to):
    if nullable:
        if v is None:
            for leaf in leaves(t, path):
                to[leaf].append((r, d, "-"))
            return
        d += 1
    if pa.types.is_list(t) or pa.types.is_large_list(t):
        if not v:
            for leaf in leaves(t, path):
                to[leaf].append((r, d, "-"))
        for i, x in enumerate(v):
            shred(x, t.value_type, t.value_field.nullable, depth + 1 if i else r, d + 1, depth + 1, path, to)
    elif pa.types.is_struct(t):
        for f in t:
            shred(v[f.name], f.type, f.nullable, r, d, depth, path + "." + f.name, to)
    else:
        to[path].append((r, d, text(v, t)))


shredded = {}  # a table is written in many ways, and its entries are the same each time


def entries_of(table):
    if id(table) not in shredded:
        to = {leaf: [] for f in table.schema for leaf in leaves(f.type, f.name)}
        for row in table.to_pylist():
            for f in table.schema:
                shred(row[f.name], f.type, f.nullable, 0, 0, 0, f.name, to)
        lines = [f"leaf {leaf}\n" + "".join("%d %d %s\n" % e for e in to[leaf]) for leaf in to]
        shredded[id(table)] = table, "".join(lines)  # with the table: its id stays its own
    return shredded[id(table)][1]


def write(name, table, **options):
    pq.write_table(table, f"{out}/{name}.parquet", **options)
    with open(f"{out}/{name}.txt", "w") as file:
        file.write(entries_of(table))


def maybe(f, p=0.2):
    return None if random.random() < p else f()


def word():
    return (
        random.choice(["", "SN Ia", "AGN", "Σ-ray", "RR*"])
        if random.random() < 0.5
        else "ZTF%09d" % random.randrange(10**9)
    )


def point(complete):
    p = 0 if complete else 0.2
    return {
        "jd": 2460000 + random.random(),
        "fid": maybe(lambda: random.randrange(1, 4), p),
        "magpsf": maybe(lambda: random.gauss(19, 1), p),
        "pdiffimfilename": maybe(word, p),
    }


N = 2500
point_type = pa.struct(
    [
        pa.field("jd", pa.float64(), nullable=False),
        ("fid", pa.int32()),
        ("magpsf", pa.float32()),
        ("pdiffimfilename", pa.string()),
    ]
)
stamp_type = pa.struct([("fileName", pa.string()), ("stampData", pa.binary())])
schema = pa.schema(
    [
        pa.field("candid", pa.int64(), nullable=False),
        ("objectId", pa.string()),
        ("candidate", point_type),
        ("prv_candidates", pa.list_(point_type)),
        ("cutoutScience", stamp_type),
        ("flags", pa.list_(pa.bool_())),
        ("deep", pa.list_(pa.list_(pa.int32()))),
        ("rb", pa.float32()),
        ("jd", pa.float64()),
        ("small", pa.int8()),
        ("unsigned", pa.uint32()),
        ("yes", pa.bool_()),
        ("when", pa.timestamp("us")),
        ("day", pa.date32()),
        ("cost", pa.decimal128(12, 3)),
        ("hash", pa.binary(16)),
        ("nothing", pa.float64()),
    ]
)
rows = [
    {
        "candid": random.randrange(-(2**62), 2**62),
        "objectId": maybe(word),
        "candidate": maybe(lambda: point(False), 0.05),
        "prv_candidates": maybe(
            lambda: [maybe(lambda: point(False), 0.05) for _ in range(random.choice([0, 0, 1, 2, 30]))]
        ),
        "cutoutScience": maybe(
            lambda: {"fileName": word(), "stampData": random.randbytes(random.randrange(300))}
        ),
        "flags": maybe(lambda: [maybe(lambda: random.random() < 0.5) for _ in range(random.randrange(4))]),
        "deep": maybe(
            lambda: [
                maybe(lambda: [maybe(lambda: random.randrange(-9, 9)) for _ in range(random.randrange(4))])
                for _ in range(random.randrange(4))
            ]
        ),
        "rb": maybe(random.random),
        "jd": maybe(random.random, 0.01),
        "small": maybe(lambda: random.randrange(-128, 128)),
        "unsigned": maybe(lambda: random.randrange(2**32)),
        "yes": maybe(lambda: i % 700 < 350, 0.01),
        "when": maybe(
            lambda: datetime.datetime(2026, 1, 1) + datetime.timedelta(microseconds=random.randrange(10**12))
        ),
        "day": maybe(lambda: datetime.date(1969, 1, 1) + datetime.timedelta(days=random.randrange(30000))),
        "cost": maybe(lambda: decimal.Decimal(random.randrange(-(10**11), 10**11)).scaleb(-3)),
        "hash": maybe(lambda: random.randbytes(16)),
        "nothing": None,
    }
    for i in range(N)
]
table = pa.Table.from_pylist(rows, schema)

write("defaults", table)
for codec in ("none", "snappy", "gzip", "zstd"):
    for version in ("1.0", "2.0"):
        write(
            f"{codec}-v{version[0]}",
            table,
            compression=codec,
            data_page_version=version,
            data_page_size=2000,
            row_group_size=900,
            use_dictionary=codec != "gzip",
            write_batch_size=100,
        )
flat = table.select(["candid", "objectId", "rb", "jd", "small", "when", "hash", "yes"])
write(
    "delta",
    flat,
    use_dictionary=False,
    data_page_size=3000,
    row_group_size=1100,
    column_encoding={
        "candid": "DELTA_BINARY_PACKED",
        "objectId": "DELTA_BYTE_ARRAY",
        "rb": "BYTE_STREAM_SPLIT",
        "jd": "BYTE_STREAM_SPLIT",
        "small": "DELTA_BINARY_PACKED",
        "when": "DELTA_BINARY_PACKED",
        "hash": "DELTA_BYTE_ARRAY",
        "yes": "RLE",
    },
    data_page_version="2.0",
)
write(
    "delta-length",
    table.select(["objectId"]),
    use_dictionary=False,
    column_encoding={"objectId": "DELTA_LENGTH_BYTE_ARRAY"},
)
stamps = pa.table(
    {
        "when": pa.array(
            [
                maybe(lambda: datetime.datetime(2026, 1, 1) + datetime.timedelta(microseconds=i))
                for i in range(500)
            ],
            pa.timestamp("ns"),
        )
    }
)
write("int96", stamps, use_deprecated_int96_timestamps=True)
write("empty", table.slice(0, 0))
write("old-lists", table.select(["prv_candidates", "flags"]), use_compliant_nested_type=False)
