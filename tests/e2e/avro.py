"""avro.py - the little Avro that end-to-end tests write packets with: datums and container files by any
schema, standard library only. Not a test."""

import json, struct

PRIMITIVE = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}


class Branch:
    """A value of a union with its branch chosen; without it a value takes the first branch that is not
    null."""

    def __init__(self, index, value):
        self.index, self.value = index, value


class Schema:
    """A parsed schema; types that stand as names are looked up with and without their namespace."""

    def __init__(self, document):
        self.document = json.loads(document) if isinstance(document, str) else document
        self.named = {}
        self._names(self.document, "")

    def _names(self, t, space):
        if isinstance(t, list):
            for x in t:
                self._names(x, space)
        elif isinstance(t, dict):
            if t.get("type") in ("record", "enum", "fixed"):
                space = t.get("namespace", space)
                full = t["name"] if "." in t["name"] or not space else f"{space}.{t['name']}"
                space = full.rpartition(".")[0]
                self.named[full] = self.named[full.rpartition(".")[2]] = t
            for key in ("type", "items", "values"):
                self._names(t.get(key), space)
            for f in t.get("fields", []):
                self._names(f["type"], space)

    def type(self, t):
        """The definition behind a name or a {"type": {...}}."""
        while True:
            if isinstance(t, str) and t not in PRIMITIVE:
                t = self.named.get(t) or self.named[t.rpartition(".")[2]]
            elif isinstance(t, dict) and not isinstance(t["type"], str):
                t = t["type"]
            elif isinstance(t, dict) and t["type"] not in ("record", "enum", "fixed", "array", "map"):
                t = t["type"]
            else:
                return t

    def read(self, data, at=0):
        return _read(self, self.document, data, at)[0]

    def write(self, value):
        out = bytearray()
        _write(self, self.document, value, out)
        return bytes(out)


def _long(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return (value >> 1) ^ -(value & 1), at


def _put_long(out, v):
    v = (v << 1) ^ (v >> 63)
    while v > 127:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v)


def _read(s, t, data, at):
    t = s.type(t)
    if isinstance(t, list):
        i, at = _long(data, at)
        return _read(s, t[i], data, at)
    kind = t if isinstance(t, str) else t["type"]
    if kind == "null":
        return None, at
    if kind == "boolean":
        return bool(data[at]), at + 1
    if kind in ("int", "long"):
        return _long(data, at)
    if kind in ("float", "double"):
        n = 4 if kind == "float" else 8
        return struct.unpack_from("<f" if n == 4 else "<d", data, at)[0], at + n
    if kind in ("bytes", "string"):
        n, at = _long(data, at)
        return (bytes(data[at : at + n]) if kind == "bytes" else str(data[at : at + n], "utf-8")), at + n
    if kind == "fixed":
        return bytes(data[at : at + t["size"]]), at + t["size"]
    if kind == "enum":
        i, at = _long(data, at)
        return t["symbols"][i], at
    if kind == "record":
        out = {}
        for f in t["fields"]:
            out[f["name"]], at = _read(s, f["type"], data, at)
        return out, at
    out = [] if kind == "array" else {}
    while True:
        n, at = _long(data, at)
        if n == 0:
            return out, at
        if n < 0:
            n, (_, at) = -n, _long(data, at)
        for _ in range(n):
            if kind == "map":
                key, at = _read(s, "string", data, at)
                out[key], at = _read(s, t["values"], data, at)
            else:
                value, at = _read(s, t["items"], data, at)
                out.append(value)


def _write(s, t, v, out):
    t = s.type(t)
    if isinstance(t, list):
        if isinstance(v, Branch):
            _put_long(out, v.index)
            return _write(s, t[v.index], v.value, out)
        kinds = [x if isinstance(x, str) else x.get("type") for x in map(s.type, t)]
        i = kinds.index("null") if v is None else next(k for k, x in enumerate(kinds) if x != "null")
        _put_long(out, i)
        return _write(s, t[i], v, out)
    kind = t if isinstance(t, str) else t["type"]
    if kind == "boolean":
        out.append(bool(v))
    elif kind in ("int", "long"):
        _put_long(out, v)
    elif kind == "float":
        out += struct.pack("<f", v)
    elif kind == "double":
        out += struct.pack("<d", v)
    elif kind in ("bytes", "string"):
        v = v if isinstance(v, bytes) else v.encode()
        _put_long(out, len(v))
        out += v
    elif kind == "fixed":
        out += v
    elif kind == "enum":
        _put_long(out, t["symbols"].index(v))
    elif kind == "record":
        for f in t["fields"]:
            _write(s, f["type"], v[f["name"]], out)
    elif kind in ("array", "map"):
        if v:
            _put_long(out, len(v))
            for x in v:
                if kind == "map":
                    _write(s, "string", x, out)
                _write(s, t["items"] if kind == "array" else t["values"], x if kind == "array" else v[x], out)
        out.append(0)


def container(data):
    """The schema text and the datums of a container file without compression (one record per block, as alerts
    have it)."""
    meta, at = _read(Schema('"null"'), {"type": "map", "values": "bytes"}, data, 4)
    schema, at = meta["avro.schema"].decode(), at + 16
    datums = []
    while at < len(data):
        n, at = _long(data, at)
        size, at = _long(data, at)
        assert n == 1, "one record per block"
        datums.append(data[at : at + size])
        at += size + 16
    return schema, datums


def confluent(schema_id, datum):
    return b"\0" + struct.pack(">I", schema_id) + datum


def make_container(schema, values):
    """A container file without compression, one record per block."""
    s, sync = Schema(schema), b"nightjar-test-16"
    out = bytearray(b"Obj\1")
    _write(
        s,
        {"type": "map", "values": "bytes"},
        {"avro.schema": json.dumps(schema).encode(), "avro.codec": b"null"},
        out,
    )
    out += sync
    for v in values:
        datum = s.write(v)
        _put_long(out, 1)
        _put_long(out, len(datum))
        out += datum + sync
    return bytes(out)
