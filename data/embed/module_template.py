"""What this module finds out about an alert, in a sentence; how it does so, and what must be known to use it.

To be filled in: this one measures the range of the magnitudes in the light curve."""

import numpy as np
from nightjar import DONE, FEW_POINTS, give, module, series


@module(
    needs={"mag": series("lc.mag", unit="mag")},
    gives={"range": give("mag", "faintest minus brightest detection; none with too few detections", lo=0)},
    settings={"min_points": 2},
    version="0.1",
)
def fill_in(mag, min_points):
    """Of a batch: mag.values has the points of all rows, mag[i] those of row i; an upper limit is NaN."""
    enough = mag.count() >= min_points
    extent = mag.max() - mag.min()
    return {
        "range": np.where(enough, extent, np.nan),
        "reason": np.where(enough, DONE, FEW_POINTS),
    }
