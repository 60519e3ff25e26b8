"""The columns of a batch as pandas or Arrow has them, for functions that were written for those."""

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


def warm(form):
    """Imports what a form needs, and uses it once. ImportError: it is not there."""
    if form == "numpy":
        return
    to = _pandas if form == "pandas" else _arrow
    to(np.zeros(2))
    to(Series(np.zeros(2), np.array([0, 2])))
