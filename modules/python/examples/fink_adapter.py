"""An existing pandas function as a module, unchanged: names of its arguments to columns, its marker for "no
answer" to none. A history in Spark is a list column ("cmagpsf"); here it is a series ("lc.mag")."""

import numpy as np
from nightjar import give, module, scalar, series
from toy_pandas import toy_snn


@module(
    needs={
        "cjd": series("lc.jd", unit="d"),
        "cfid": series("lc.band", type="i32"),
        "cmagpsf": series("lc.mag", unit="mag"),
        "csigmapsf": series("lc.mag_err", unit="mag"),
        "roid": scalar("roid.roid", type="i32"),  # another module's answer: that makes the order
    },
    gives={"score": give("1", "P(SN Ia); none with too few detections, or for asteroids", lo=0, hi=1)},
    form="pandas",
)
def fink_adapter(**columns):
    score = toy_snn(**columns).to_numpy()
    return {
        "score": np.where(score < 0, np.nan, score),
        "reason": np.where(score < 0, "few_points", "done"),
    }
