"""Modules in Python for the alert broker nightjar: what a function needs and gives is declared by @module.

    import numpy as np
    from nightjar import give, module, series

    @module(needs={"mag": series("lc.mag", unit="mag")},
            gives={"rise": give("mag", "mean minus brightest magnitude; none without detections")})
    def brightness(mag):
        return {"rise": mag.mean() - mag.min()}

It runs by `[module.brightness] kind = python, file = brightness.py`."""

from .columns import (
    CUT,
    DONE,
    FEW_POINTS,
    NO_FIT,
    NO_INPUT,
    RANGE,
    UNAVAILABLE,
    Images,
    Series,
    null_of,
)
from .declare import Batch, give, image, module, scalar, series
from .tools import Failed, call, run

__all__ = [
    "Batch",
    "CUT",
    "DONE",
    "Failed",
    "FEW_POINTS",
    "Images",
    "NO_FIT",
    "NO_INPUT",
    "RANGE",
    "Series",
    "UNAVAILABLE",
    "call",
    "give",
    "image",
    "module",
    "null_of",
    "run",
    "scalar",
    "series",
]
