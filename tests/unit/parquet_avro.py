"""For tests/unit/parquet_avro.c. `make FOLDER`: more Parquet files, with maps. `check FOLDER NAME`: the
datums of NAME.datums (each behind its length), read by fastavro with NAME.schema, against what pyarrow reads
from NAME.parquet."""

import io
import json
import struct
import sys

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

folder = sys.argv[2]


def make():
    t = pa.schema(
        [
            ("word", pa.map_(pa.string(), pa.float32())),
            ("number", pa.map_(pa.int32(), pa.string())),
            ("maps", pa.list_(pa.map_(pa.string(), pa.int64()))),
            pa.field(
                "sure",
                pa.struct(
                    [
                        pa.field(
                            "a",
                            pa.list_(pa.struct([("b", pa.list_(pa.bool_())), ("c", pa.string())])),
                            nullable=False,
                        )
                    ]
                ),
                nullable=False,
            ),
            (
                "half",
                pa.struct(
                    [
                        (
                            "deep",
                            pa.map_(
                                pa.string(), pa.struct([("x", pa.float64()), ("y", pa.list_(pa.int16()))])
                            ),
                        )
                    ]
                ),
            ),
            ("a\"b é", pa.uint64()),
        ]
    )
    rows = [
        {
            "word": None if i % 7 == 0 else [(f"k{k}", None if k == 2 else k / 4) for k in range(i % 5)],
            "number": [(k, f"v{k}") for k in range(i % 3)],
            "maps": (
                None
                if i % 5 == 0
                else [None if k == 1 else [("a", i), ("b", None)][:k] for k in range(i % 4)]
            ),
            "sure": {
                "a": [{"b": None if k == 0 else [True, None, False][:k], "c": str(i)} for k in range(i % 5)]
            },
            "half": (
                None
                if i % 4 == 0
                else {"deep": None if i % 4 == 1 else [("p", {"x": i * 1.5, "y": [1, None, i]}), ("q", None)]}
            ),
            "a\"b é": i * 6 * 10**16,
        }
        for i in range(150)
    ]
    table = pa.Table.from_pylist(rows, t)
    pq.write_table(table, f"{folder}/maps.parquet", row_group_size=41, data_page_size=300, write_batch_size=7)
    pq.write_table(pa.table({"n": pa.array([1, 2**63], pa.uint64())}), f"{folder}/large.parquet")


def bare(schema):
    """Without logical types, which fastavro would turn into dates."""
    if isinstance(schema, dict):
        return {k: bare(v) for k, v in schema.items() if k != "logicalType"}
    return [bare(x) for x in schema] if isinstance(schema, list) else schema


def number(table):
    """Times and dates as the numbers that are stored."""
    for i, f in enumerate(table.schema):
        to = (
            pa.int64()
            if pa.types.is_timestamp(f.type)
            else pa.int32() if pa.types.is_date32(f.type) else None
        )
        if to:
            table = table.set_column(i, f.name, table.column(i).cast(to))
    return table


def normal(value, t):
    """pyarrow gives a map as pairs; with text keys it is a map in Avro, else an array of records."""
    if value is None:
        return None
    if pa.types.is_map(t) and pa.types.is_string(t.key_type):
        return {k: normal(v, t.item_type) for k, v in value}
    if pa.types.is_map(t):
        return [{"key": k, "value": normal(v, t.item_type)} for k, v in value]
    if pa.types.is_list(t):
        return [normal(v, t.value_type) for v in value]
    if pa.types.is_struct(t):
        return {f.name: normal(value[f.name], f.type) for f in t}
    return float(value) if pa.types.is_decimal(t) else value


def check(name):
    with open(f"{folder}/{name}.schema", encoding="utf-8") as f:
        schema = bare(json.load(f))
    # fastavro asks for names that the standard allows; ours are read as the file has them
    for field in schema["fields"]:
        field["name"] = (
            "odd" if not field["name"].isidentifier() or not field["name"].isascii() else field["name"]
        )
    schema = fastavro.parse_schema(schema)
    table = number(pq.ParquetFile(f"{folder}/{name}.parquet").read())
    want = [
        {("odd" if "\"" in f.name else f.name): normal(row[f.name], f.type) for f in table.schema}
        for row in table.to_pylist()
    ]
    with open(f"{folder}/{name}.datums", "rb") as f:
        data = f.read()
    at = n = 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        stream = io.BytesIO(data[at + 4 : at + 4 + size])
        got = fastavro.schemaless_reader(stream, schema)
        if stream.tell() != size:
            sys.exit(f"{name}, row {n}: {size - stream.tell()} bytes too many")
        folder_column = got.pop("finkclass"), got.pop("night"), got.pop("none")
        if folder_column != ("Early SN", 7, None):
            sys.exit(f"{name}, row {n}: the folder's columns are {folder_column}")
        for k in want[n]:
            if got[k] != want[n][k]:
                sys.exit(f"{name}, row {n}, {k}: expected {str(want[n][k])[:200]}, got {str(got[k])[:200]}")
        if set(got) != set(want[n]):
            sys.exit(f"{name}, row {n}: columns {set(got) ^ set(want[n])}")
        at += 4 + size
        n += 1
    if n != len(want):
        sys.exit(f"{name}: {n} of {len(want)} rows")


make() if sys.argv[1] == "make" else [check(name) for name in sys.argv[3:]]
