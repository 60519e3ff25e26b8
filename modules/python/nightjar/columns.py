"""The columns of a batch as a function gets them: NumPy arrays over shared memory, valid until it returns."""

import numpy as np

U8, I32, I64, F32, F64, STR = 1, 2, 3, 4, 5, 6
DTYPE = {
    U8: np.dtype(np.uint8),
    I32: np.dtype(np.int32),
    I64: np.dtype(np.int64),
    F32: np.dtype(np.float32),
    F64: np.dtype(np.float64),
    STR: np.dtype(object),
}
TYPES = {"u8": U8, "i32": I32, "i64": I64, "f32": F32, "f64": F64, "str": STR}
NULL = {U8: 255, I32: -(2**31), I64: -(2**63), F32: np.nan, F64: np.nan, STR: None}

# Why a row has no answer; as nj_reason of nightjar/module.h.
DONE, CUT, FEW_POINTS, NO_INPUT, NO_FIT, RANGE, UNAVAILABLE = range(7)
REASONS = {
    "done": DONE,
    "cut": CUT,
    "few_points": FEW_POINTS,
    "no_input": NO_INPUT,
    "no_fit": NO_FIT,
    "range": RANGE,
    "unavailable": UNAVAILABLE,
}


def null_of(dtype):
    """ "No answer" of a type, given as "i32" or a dtype: NaN, -2**31, -2**63, 255, None."""
    if isinstance(dtype, str) and dtype in TYPES:
        return NULL[TYPES[dtype]]
    return next(NULL[k] for k, d in DTYPE.items() if d == np.dtype(dtype))


class Series:
    """A column of light curves: all points one behind the other in `values`; those of row i are
    values[offsets[i]:offsets[i + 1]], or series[i]. The sums and so on leave out NaN, as numpy.nansum does,
    and are NaN of rows without a point."""

    __slots__ = ("values", "offsets", "_rows")

    def __init__(self, values, offsets):
        self.values, self.offsets, self._rows = values, offsets, None

    def __len__(self):
        return len(self.offsets) - 1

    def __getitem__(self, i):
        return self.values[self.offsets[i] : self.offsets[i + 1]]

    def __iter__(self):
        for i in range(len(self)):
            yield self[i]

    @property
    def lengths(self):
        """Points of each row."""
        return np.diff(self.offsets)

    @property
    def rows(self):
        """The row of each point: numpy.bincount(series.rows, weights, minlength=len(series)) sums by row."""
        if self._rows is None:
            self._rows = np.repeat(np.arange(len(self)), self.lengths)
        return self._rows

    def like(self, values):
        """Other values of the same points."""
        return Series(np.asarray(values), self.offsets)

    def where(self, keep):
        """The points for which keep is true, still by row."""
        keep = np.asarray(keep, bool)
        before = np.concatenate(([0], np.cumsum(keep)))
        return Series(self.values[keep], before[self.offsets])

    def reduce(self, ufunc, empty=np.nan):
        """ufunc.reduce of each row's points; empty: of rows that have none."""
        some = self.lengths > 0
        if some.all() and len(some):
            return ufunc.reduceat(self.values, self.offsets[:-1])
        out = np.full(len(self), empty, np.result_type(self.values, type(empty)))
        if some.any():
            out[some] = ufunc.reduceat(self.values, self.offsets[:-1][some])
        return out

    def count(self):
        """Points that are not NaN."""
        if self.values.dtype.kind != "f":
            return self.lengths
        before = np.zeros(len(self.values) + 1, np.int64)
        np.cumsum(self.values == self.values, out=before[1:])
        return np.diff(before[self.offsets])

    def sum(self):
        return self.where(~np.isnan(self.values)).reduce(np.add)

    def mean(self):
        known = self.where(~np.isnan(self.values))
        return known.reduce(np.add) / np.maximum(known.lengths, 1)

    def min(self):
        return self.reduce(np.fmin)

    def max(self):
        return self.reduce(np.fmax)

    def first(self):
        """The first point of each row."""
        return self._at(self.offsets[:-1])

    def last(self):
        """The last point of each row: the current detection."""
        return self._at(self.offsets[1:] - 1)

    def _at(self, place):
        kind = next(k for k, d in DTYPE.items() if d == self.values.dtype)
        out = np.full(len(self), NULL[kind], self.values.dtype)
        some = self.lengths > 0
        out[some] = self.values[place[some]]
        return out

    def tolist(self):
        return [x.tolist() for x in self]


class Images:
    """A column of stamps: images[i] is that of row i, opened now and only now, or None."""

    __slots__ = ("_n", "_open", "_known")

    def __init__(self, n, open_rows):
        self._n, self._open, self._known = n, open_rows, {}

    def __len__(self):
        return self._n

    def __getitem__(self, i):
        if i not in self._known:
            if not 0 <= i < self._n:
                raise IndexError("row %d of %d" % (i, self._n))
            self._known[i] = self._open(i, 1)[0]
        return self._known[i]

    def __iter__(self):
        for i in range(self._n):
            yield self[i]

    def all(self):
        """All of them, opened by one request: a list of arrays and None."""
        if len(self._known) < self._n and self._n:
            self._known = dict(enumerate(self._open(0, self._n)))
        return [self._known[i] for i in range(self._n)]
