"""The columns of a batch as pandas or Arrow has them, for functions that were written for those, and what
such functions return."""

import numpy as np

from .columns import Images, Series


def _pandas(column):
    import pandas

    if isinstance(column, Series):
        out = np.empty(len(column), object)
        for i in range(len(column)):
            out[i] = column[i]
        return pandas.Series(out)
    return pandas.Series(column)


def _arrow(column):
    import pyarrow

    if isinstance(column, Series):
        offsets = pyarrow.array(column.offsets.astype(np.int32))
        return pyarrow.ListArray.from_arrays(offsets, pyarrow.array(column.values))
    return pyarrow.array(column)


def turned(given, module):
    """The needs among what a function is given."""
    to = _pandas if module.form == "pandas" else _arrow
    as_is = lambda k, v: v is None or k not in module.needs or isinstance(v, Images)
    return {k: v if as_is(k, v) else to(v) for k, v in given.items()}


def columns(table):
    """{name: column} of a DataFrame (pandas, polars) or a table of Arrow; None: it is neither."""
    if isinstance(table, dict) or not hasattr(table, "columns") or not hasattr(table, "__getitem__"):
        return None
    return {name: table[name] for name in getattr(table, "column_names", table.columns)}


def in_order(values):
    """False: the rows of a pandas Series are there, but in another order. Its index says so."""
    index = getattr(values, "index", None)
    if index is None or not hasattr(values, "iloc"):
        return True
    places, rows = np.asarray(index), np.arange(len(index))
    if places.dtype.kind not in "iu" or np.array_equal(places, rows):
        return True
    return not np.array_equal(np.sort(places), rows)


def items(values):
    """What a column has row by row, texts and lists, as Python has it."""
    return values.to_pylist() if hasattr(values, "to_pylist") else values


def numbers(values):
    """A column as a NumPy array, and where it has none (a mask, or None): of pandas' types with nulls, and of
    Arrow's."""
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.getdata(values), np.ma.getmaskarray(values)
    if hasattr(values, "null_count") and hasattr(values, "is_null"):  # of polars it is a method
        if not hasattr(values, "fill_null") or callable(values.null_count):
            return values.to_numpy(), None
        mask = np.asarray(values.is_null().to_numpy(zero_copy_only=False)) if values.null_count else None
        if mask is not None and len(mask) and not mask.all():
            values = values.fill_null(values.drop_null()[0])
        elif mask is not None:
            return np.zeros(len(mask), np.uint8), mask
        return values.to_numpy(zero_copy_only=False), mask
    kind = getattr(getattr(values, "dtype", None), "numpy_dtype", None)
    if kind is not None and hasattr(values, "isna"):
        return values.to_numpy(dtype=kind, na_value=kind.type(0)), np.asarray(values.isna())
    return values.to_numpy() if hasattr(values, "to_numpy") else values, None


def warm(form):
    """Imports what a form needs, and uses it once. ImportError: it is not there."""
    if form == "numpy":
        return
    to = _pandas if form == "pandas" else _arrow
    to(np.zeros(2))
    to(Series(np.zeros(2), np.array([0, 2])))
