"""modules/nalerthist.c in NumPy: how many detections the light curve of the alert holds."""

from nightjar import give, module, series


@module(
    needs={"mag": series("lc.mag", unit="mag")},
    gives={
        "n": give("1", "points of the light curve that are detections, not upper limits", type="i32", lo=0)
    },
)
def nalerthist(mag):
    return mag.count()
