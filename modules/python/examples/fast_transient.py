"""modules/fast_transient.c in NumPy: the slope between the current detection and the last one of its band."""

import numpy as np
from nightjar import give, module, null_of, scalar, series

NO_BAND = null_of("i32")
E = 2.5 / np.log(10)  # mag per relative flux
Z_95 = 1.6448536269514722


@module(
    needs={
        "jd": series("lc.jd", unit="d"),
        "mag": series("lc.mag", unit="mag"),
        "err": series("lc.mag_err", unit="mag"),
        "limit": series("lc.limit_mag", unit="mag", optional=True),
        "band": series("lc.band", type="i32"),
        "start": scalar("first_jd", unit="d", optional=True),
        "stop": scalar("stop_band", type="i32", optional=True),
    },
    gives={
        "jd_first_real_det": give("d", "time of the first detection; none without detections"),
        "jdstarthist_dt": give("d", "that time minus the start of the survey's own history"),
        "delta_time": give("d", "time since the last point of the same band; none without one"),
        "from_upper": give(
            "1", "1 when that point is an upper limit; none without detections", type="u8", lo=0, hi=1
        ),
        "mag_rate": give("mag/d", "mean slope; none without an earlier point"),
        "sigma_rate": give("mag/d", "standard deviation of the slope", lo=0),
        "lower_rate": give("mag/d", "5 % point of the slope"),
        "upper_rate": give("mag/d", "95 % point of the slope"),
    },
)
def fast_transient(jd, mag, err, limit, band, start, stop):
    n, place = len(jd), np.arange(len(jd.values))
    last_of = lambda which: jd.like(np.where(which, place, -1)).reduce(np.maximum, -1)
    at = lambda series, i: np.where(i >= 0, series.values[i], np.nan) if place.size else np.full(n, np.nan)

    first = jd.like(np.where(np.isnan(mag.values), place.size, place)).reduce(np.minimum, place.size)
    first = np.where(first < place.size, first, -1)
    jd_first = at(jd, first)
    detected = first >= 0

    current = jd.offsets[1:] - 1
    now = band.last()
    known = detected & (now != NO_BAND)
    before = place < current[jd.rows]
    stops = np.full(n, NO_BAND) if stop is None else stop
    same = last_of(before & (band.values == now[jd.rows]))
    ended = last_of(before & (band.values == stops[jd.rows]) & (stops != NO_BAND)[jd.rows])
    i = np.where(known & (same > ended), same, -1)

    dt = np.where(i >= 0, jd.last() - at(jd, i), np.nan)
    m, s, m0, s0 = mag.last(), err.last(), at(mag, i), at(err, i)
    bound = np.full(n, np.nan) if limit is None else at(limit, i)
    upper = (i >= 0) & np.isnan(m0)
    rise = m - np.where(upper, bound + E, m0)
    sd = np.sqrt(s * s + np.where(upper, E * E, s0 * s0))
    low = np.where(upper, m - bound - E * np.log(20), rise - Z_95 * sd)
    high = np.where(upper, m - bound - E * np.log(20.0 / 19), rise + Z_95 * sd)

    unknown = np.isnan(rise) | np.isnan(sd)
    reason = np.select(
        [~known, i < 0, unknown, dt == 0], ["no_input", "few_points", "no_input", "range"], "done"
    )
    done = reason == "done"
    with np.errstate(divide="ignore", invalid="ignore"):
        of = lambda x: np.where(done, x / dt, np.nan)
        return {
            "jd_first_real_det": jd_first,
            "jdstarthist_dt": jd_first - (np.nan if start is None else start),
            "delta_time": dt,
            "from_upper": np.ma.array(upper, mask=~known),
            "mag_rate": of(rise),
            "sigma_rate": np.where(done, sd / np.abs(dt), np.nan),
            "lower_rate": of(np.where(dt > 0, low, high)),
            "upper_rate": of(np.where(dt > 0, high, low)),
            "reason": reason,
        }
