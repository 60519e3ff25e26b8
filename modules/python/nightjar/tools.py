"""Runs the binary and reads what it wrote: a night as a table, and a module's answers to one's own
columns."""

import json
import os
import subprocess
import tempfile
import warnings

import numpy as np

from .columns import Series


class Failed(RuntimeError):
    """The binary's own message, and its exit code as `code`."""

    def __init__(self, code, text):
        super().__init__(text.strip() or "nightjar ended with exit code %d" % code)
        self.code = code


def _binary(binary):
    return binary or os.environ.get("NIGHTJAR") or "nightjar"


def _run(words, accepted=(0,)):
    try:
        r = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise Failed(127, "%s: no such program; binary= or $NIGHTJAR names it" % words[0]) from None
    except OSError as e:
        raise Failed(126, "%s: %s; binary= or $NIGHTJAR names the program" % (words[0], e.strerror)) from None
    if r.returncode not in accepted:
        raise Failed(r.returncode, r.stderr)
    if r.stderr.strip():
        warnings.warn(r.stderr.strip(), stacklevel=3)
    return r.stdout


def _settings(settings):
    """{"hostless.repeats": 16} is -D module.hostless.repeats=16; other sections as they are."""
    known = ("run", "guard", "decode", "registry", "source", "kafka", "sink", "energy", "cost", "models")
    known += ("catalogs", "module", "topic")  # `nightjar settings` has them all
    out = []
    for key, value in (settings or {}).items():
        full = key if key.split(".")[0] in known else "module." + key
        value = int(value) if isinstance(value, (bool, np.bool_)) else value
        out += ["-D", "%s=%s" % (full, value)]
    return out


def _modules(modules):
    """Names, files (.py, .so), or functions that were declared in a file."""
    names, words = [], []
    for m in [modules] if isinstance(modules, (str, os.PathLike)) or callable(modules) else modules or []:
        if callable(m):
            m = m.__code__.co_filename
        m = os.fspath(m)
        if m.endswith((".py", ".so")):
            words += ["--module-path", m]
            m = os.path.basename(m).split(".")[0]
        names.append(m)
    return words + (["-m", ",".join(names)] if names else [])


def run(source, modules=None, where=None, columns=None, settings=None, options=(), binary=None, form="arrow"):
    """The rows of a run, as an Arrow table (form="pandas": a DataFrame; form="rows": a list of dicts).

    source: a path or a list of them, as for `nightjar run`. modules: names, files of Python or shared
    objects; none: the default ones. where: a clause, as -w. columns: more of them, as --columns. settings:
    those of modules, {"hostless.repeats": 16}, or of sections. options: more words of the command line. The
    report is `table.schema.metadata[b"report"]`, or `frame.attrs["report"]`. Failed: what the binary says."""
    if form not in ("arrow", "pandas", "rows"):
        raise ValueError("form = %r is none of arrow, pandas, rows" % (form,))
    sources = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    with tempfile.TemporaryDirectory(prefix="nightjar-") as folder:
        out, report = os.path.join(folder, "out"), os.path.join(folder, "report.json")
        words = [_binary(binary), "run", "-q", "--report", report, *_modules(modules), *_settings(settings)]
        words += ["-w", where] if where else []
        words += ["--columns", columns if isinstance(columns, str) else ",".join(columns)] if columns else []
        kind = "ndjson" if form == "rows" else "parquet"
        _run([*words, *options, "-o", "%s:%s.%s" % (kind, out, kind), *map(os.fspath, sources)])
        with open(report, encoding="utf-8") as f:
            text = f.read()
        if form == "rows":
            with open(out + ".ndjson", encoding="utf-8") as f:
                return [json.loads(line) for line in f]
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(out + ".parquet")
    metadata = {**(table.schema.metadata or {}), b"report": text.encode()}
    table = table.replace_schema_metadata(metadata)
    if form == "arrow":
        return table
    frame = table.to_pandas()
    frame.attrs["report"] = json.loads(text)
    return frame


# --- a module's process() on one's own columns ---


def _number(v):
    if v is None or v is np.ma.masked or v != v:
        return None
    return repr(int(v)) if isinstance(v, (int, np.integer, bool, np.bool_)) else repr(float(v))


def _quoted(text):
    return '"%s"' % text.replace('"', '""')


def _fits(path, pixels):
    """A primary image of float32, and nothing else."""
    pixels = np.asarray(pixels, ">f4")
    cards = [("SIMPLE", "T"), ("BITPIX", -32), ("NAXIS", 2)]
    cards += [("NAXIS1", pixels.shape[1]), ("NAXIS2", pixels.shape[0])]
    head = "".join("%-8s= %20s%50s" % (key, value, "") for key, value in cards) + "%-80s" % "END"
    data = pixels.tobytes()
    with open(path, "wb") as f:
        f.write(head.ljust(-(-len(head) // 2880) * 2880).encode())
        f.write(data + bytes(-len(data) % 2880))


def _cell(value, folder, name):
    """A scalar, the points of a light curve, a text, or a stamp."""
    if value is None or value is np.ma.masked:
        return ""
    if isinstance(value, (str, bytes)):
        text = value.decode() if isinstance(value, bytes) else value
        return _quoted(text)
    if np.ndim(value) == 2:
        _fits(os.path.join(folder, name), value)
        return "@" + name
    if np.ndim(value) == 1:
        return _quoted(" ".join(_number(v) or "-" if not isinstance(v, str) else v for v in value))
    return _number(value) or ""


def call(module, columns, settings=None, binary=None):
    """What a module answers to columns of one's own: {"lc.mag": [[18, 19], [17.5]], "jd": [...]}, stamps as
    2-D arrays under "stamp.science". The paths are those of its needs (`nightjar modules NAME`); needs
    without a column are absent. Returned: {name: array}, "reason" among them; integers without an answer are
    masked (numpy.ma); series and vectors are lists of arrays."""
    columns = dict(columns)
    if not columns:
        raise ValueError("call() wants columns: {path of a need: a value for each row}")
    for path, c in columns.items():
        if isinstance(c, (str, bytes)) or not hasattr(c, "__len__"):
            raise ValueError("column %s is a %s: it wants a value for each row" % (path, type(c).__name__))
    lengths = {path: len(c) for path, c in columns.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError("columns of different lengths: %s" % lengths)
    n = next(iter(lengths.values()))
    columns = {p: list(c) if isinstance(c, Series) else c for p, c in columns.items()}
    with tempfile.TemporaryDirectory(prefix="nightjar-") as folder:
        table = os.path.join(folder, "table.csv")
        with open(table, "w", encoding="utf-8") as f:
            f.write(",".join(columns) + "\n")
            for row in range(n):
                cells = [
                    _cell(c[row] if not hasattr(c, "iloc") else c.iloc[row], folder, "%d-%d.fits" % (row, k))
                    for k, c in enumerate(columns.values())
                ]
                f.write(",".join(cells) + "\n" if any(cells) or len(cells) > 1 else '""\n')
        where = module.__code__.co_filename if callable(module) else os.fspath(module)
        text = _run([_binary(binary), "call", *_settings(settings), where, table])
    rows = [json.loads(line) for line in text.splitlines()]
    if len(rows) != n:
        raise Failed(0, "%d rows were given, %d were answered" % (n, len(rows)))
    out = {}
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        known = [v for v in values if v is not None]
        if any(isinstance(v, list) for v in values):
            whole = any(isinstance(x, int) for v in known for x in v)
            out[name] = [_array(v or [], whole) for v in values]
        elif any(isinstance(v, str) for v in values):
            out[name] = np.array(values, object)
        else:
            out[name] = _array(values, any(isinstance(v, int) for v in known))
    return out


def _array(values, whole):
    """Of numbers and None; the binary writes 2.0 for fractions and 2 for integers."""
    if not whole:
        return np.array([np.nan if v is None else v for v in values], float)
    out = np.array([0 if v is None else v for v in values], np.int64)
    none = [v is None for v in values]
    return np.ma.array(out, mask=none) if any(none) else out
