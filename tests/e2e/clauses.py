#!/usr/bin/env python3
"""The functions of clauses on simulated alerts, against the same computed here from the rows: sep by another
formula, night against the file names that {night} makes, dmag_per_day, windows on lc; wrong calls are
refused before the first alert."""

import glob, json, math
from tap import Folder, done, nightjar, ok, rows

N = 1500
LC = "lc.jd,lc.kind,lc.band,lc.mag"
BAND = "ugrizy"
ARGS = ("-q", "-m", "roid", "--overwrite")


def sep(a, b, c, d):
    """Haversine, in arcseconds."""
    a, b, c, d = map(math.radians, (a, b, c, d))
    h = math.sin((d - b) / 2) ** 2 + math.cos(b) * math.cos(d) * math.sin((c - a) / 2) ** 2
    return math.degrees(2 * math.asin(math.sqrt(h))) * 3600


def points(r, band, since):
    all = zip(r["lc.jd"], r["lc.kind"], r["lc.band"], r["lc.mag"])
    return [
        (jd, mag)
        for jd, kind, b, mag in all
        if kind == 0 and b is not None and BAND[b] == band and mag is not None and since <= jd <= r["jd"]
    ]


def slope(r, band, days):
    p = points(r, band, r["jd"] - days)
    t = [jd - r["jd"] for jd, _ in p]
    if len(p) < 2 or min(t) == max(t):
        return None
    mean, level = sum(t) / len(t), sum(m for _, m in p) / len(p)
    return sum((x - mean) * (m - level) for x, (_, m) in zip(t, p)) / sum((x - mean) ** 2 for x in t)


def step(r):
    """The largest step between two detections of a band that follow each other."""
    all = [math.inf]
    for band in BAND:
        mags = [m for _, m in sorted(points(r, band, 0))]
        all += [m - n for n, m in zip(mags, mags[1:])]
    return -min(all)


def matches(where, *more):
    r = nightjar("run", "night.tar", *ARGS, "-w", where, "-o", "ndjson:some.ndjson", *more)
    ok(r.returncode == 0, f"{where}: exit 0", r.stderr)
    return [x["candid"] for x in rows("some.ndjson")]


def same(where, mine, *more):
    got, want = matches(where, *more), [r["candid"] for r in all if mine(r)]
    ok(0 < len(want) < N, f"{where}: {len(want)} of {N} alerts, neither none nor all")
    ok(got == want, f"{where}: these", sorted(set(got) ^ set(want))[:5])


def below(value, limit):
    return value is not None and value < limit


def functions():
    ra, dec = all[7]["ra"], all[7]["dec"]
    apart = sorted(sep(r["ra"], r["dec"], ra, dec) for r in all)
    radius = apart[N // 3] + 1e-3  # no alert is so near to it that rounding decides
    same(f"sep(ra, dec, {ra!r}, {dec!r}) < {radius!r}", lambda r: sep(r["ra"], r["dec"], ra, dec) < radius)
    same(f"sep({ra!r} - 360, {dec!r}, ra, dec) < 1", lambda r: sep(r["ra"], r["dec"], ra, dec) < 1)
    same("dmag_per_day(band, 30) < 0", lambda r: below(slope(r, r["band"], 30), 0))
    same("dmag_per_day('g', 10) > 0.01", lambda r: not below(slope(r, "g", 10) or -1, 0.01))
    same("dmag_per_day('r', 5) IS NULL", lambda r: slope(r, "r", 5) is None)
    same(
        "dmag_per_day('g', 30) < dmag_per_day('r', 30)",
        lambda r: slope(r, "r", 30) is not None and below(slope(r, "g", 30), slope(r, "r", 30)),
    )
    same(
        "coalesce(drb, rb, 0) >= 0.7",
        lambda r: next((s for s in (r["drb"], r["rb"]) if s is not None), 0) >= 0.7,
    )
    same(
        "coalesce(drb, rb) < 0.5 AND positive = 1",
        lambda r: below(next((s for s in (r["drb"], r["rb"]) if s is not None), None), 0.5)
        and r["positive"] == 1,
    )


def windows():
    step_of = (
        "(SELECT max({}) FROM (SELECT mag, lag(mag) OVER w AS before FROM lc WHERE kind = 'detection' "
        "WINDOW w AS (PARTITION BY band ORDER BY jd)) AS q)"
    )
    same(step_of.format("before - mag") + " > 0.3", lambda r: step(r) > 0.3)
    newest = (
        "(SELECT mag FROM (SELECT mag, row_number() OVER (ORDER BY jd DESC) AS n FROM lc "
        "WHERE kind = 'detection') WHERE n = 2)"
    )

    def second(r):
        p = sorted(p for b in BAND for p in points(r, b, 0))
        return p[-2][1] if len(p) > 1 and p[-2][0] < p[-1][0] else None

    same(f"{newest} < 19 AND mag > 19", lambda r: below(second(r), 19) and r["mag"] > 19)


def nights():
    """night(jd) is what {night} is, and topics can say it."""
    middle = sorted(r["jd"] for r in all)[N // 2] % 1
    site = ("-D", f"run.site={180 - (middle + 0.5) % 1 * 360}")  # noon is then, so there are two nights
    files = "ndjson:n-{night}.ndjson"
    r = nightjar("run", "night.tar", *ARGS, *site, "-o", files)
    names = sorted(glob.glob("n-*.ndjson"))
    ok(r.returncode == 0, "a run by nights", r.stderr)
    ok(len(names) > 1, "noon is among the alerts", names)
    for name in names:
        night = int(name[2:10])
        got = matches(f"night(jd) = {night}", *site)
        ok(got == [x["candid"] for x in rows(name)], f"night(jd) = {night}: the rows of {name}", len(got))
    west = ("-D", "run.site=UTC-7")
    ok(matches("night(jd) IS NOT NULL", *west) == [r["candid"] for r in all], "each alert has a night")
    r = nightjar(
        "run", "night.tar", *ARGS, *west, "-t", f"tonight=night(jd) = {names[0][2:10]}", "-o", "null:"
    )
    ok(r.returncode == 0, "a topic asks for a night", r.stderr)


def mistakes():
    for clause, words in [
        ("sep(ra, dec, 10) < 5", "sep(ra, dec, ra2, dec2) takes 4 values, not 3"),
        ("sep(ra, dec, '10', 20) < 5", "the third value, '10', is a text and no number"),
        ("sep(ra, dec, object, 20) < 5", "object is a text and no number"),
        ("sep(ra, dec, 20, 100) < 5", "the fourth value, 100, is no declination"),
        ("night() = 20240315", "night(jd) takes 1 value, not 0"),
        ("night(jd) = 20240315", "say [run] site"),
        ("dmag_per_day('g') < 0", "dmag_per_day(band, days) takes 2 values, not 1"),
        ("dmag_per_day(10, 'g') < 0", "a passband is 'u'"),
        ("dmag_per_day(g, 10) < 0", "a text stands in single quotes: 'g'"),
        ("dmag_per_day('g', -1) < 0", "is not above 0"),
        ("dmag_per_days('g', 1) < 0", "no such function: dmag_per_days"),
    ]:
        for option in (("-w", clause), ("-t", f"mine={clause}")):
            r = nightjar("run", "night.tar", *ARGS, *option, "-o", "null:")
            ok(r.returncode == 1, f"{option[0]} {clause}: refused", r.stderr)
            ok(words in r.stderr, f"with the words: {words}", r.stderr)


with Folder():
    r = nightjar("simulate", "-q", "-n", N, "--seed", 3, "-o", "night.tar")
    ok(r.returncode == 0, "a night", r.stderr)
    r = nightjar("run", "night.tar", *ARGS, "--columns", LC, "-o", "ndjson:all.ndjson")
    ok(r.returncode == 0, "all alerts", r.stderr)
    all = rows("all.ndjson")
    functions()
    windows()
    nights()
    mistakes()
done()
