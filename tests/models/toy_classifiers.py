#!/usr/bin/env python3
"""Makes small forests for the kilonova, early_snia and microlensing modules, and alerts whose scores are
known.

usage: toy_classifiers.py MODELS REFERENCES (the files in the repository: data/models data/ref)
The features of the reference alerts are worked out here by other means than in the modules: descent along the
coordinates, light curves made from known parameters, definitions one by one. Standard library only."""

import math
import os
import random
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "modules", "python"))
from nightjar_export import folder as mf
from toy_models import LICENCE, random_tree, walk

JD = 2459000.75


def forest_model(folder, name, seed, features, ranges, classes, n_trees=8, depth=5):
    """A random forest with thresholds inside each feature's range; returns a function from features to
    probabilities."""
    rng = random.Random(seed)
    trees = [random_tree(rng, depth, len(features), len(classes), n_trees) for _ in range(n_trees)]
    for tree in trees:
        for i, n in enumerate(tree):
            if n[0] is not None:
                low, high = ranges[n[0]]
                tree[i] = (n[0], mf.float32_down(low + (n[1] + 3.0317) / 6.07 * (high - low)), n[2], n[3])

    def score(x):
        x = [mf.float32(v) for v in x]
        return [math.fsum(walk(t, x)[k] for t in trees) for k in range(len(classes))]

    if folder:
        lines = []
        for _ in range(16):
            x = [
                mf.float32(rng.uniform(low - 0.1 * (high - low), high + 0.1 * (high - low)))
                for low, high in ranges
            ]
            lines.append(x + score(x))
        manifest = dict(
            LICENCE,
            name=name,
            inputs=[mf.port("X", ["N", len(features)])],
            features=features,
            outputs=[mf.port("probabilities", ["N", len(classes)], classes=classes)],
        )
        mf.write_table(
            os.path.join(folder, name),
            mf.forest(trees, classes, "probabilities", len(features)),
            manifest,
            features,
            classes,
            lines,
            1e-7,
        )
    return score


def fluxcal(mag):
    return 1e11 * 10 ** (-0.4 * mag)


def fluxcal_err(mag, err):
    return 9.21034e10 * math.exp(-0.921034 * mag) * err


def mag_of(flux):
    return -2.5 * math.log10(flux / 1e11)


def text(values):
    return " ".join("-" if v is None else repr(v) for v in values)


def write(path, head, rows):
    with open(path, "w") as f:
        f.write(
            "# Made by tests/models/toy_classifiers.py, which says how.\n# tolerance 1e-7\n# process_ref"
            " 1e-7\n" + head + "\n"
        )
        f.writelines(",".join(r) + "\n" for r in rows)


# --- kilonova ---


def component(k, t):
    return (
        math.exp(-t * t / 450),
        t / 20 * math.exp(-t * t / 200),
        0.3 * math.cos(t / 6) * math.exp(-t * t / 800),
    )[k]


def component_features(points):
    """c1, c2, c3, root mean square residual, largest flux; by descent along the coordinates."""
    f, s, t = (
        [fluxcal(m) for _, m, _ in points],
        [fluxcal_err(m, e) for _, m, e in points],
        [p[0] for p in points],
    )
    top = f.index(max(f))
    big, w = f[top], (f[top] / s[top]) ** 2
    use = [i for i in range(len(t)) if abs(t[i] - t[top]) < 50]
    x = [[component(k, round((t[i] - t[top]) / 0.25) * 0.25) for k in range(3)] for i in use]
    y, sy = [f[i] / big for i in use], [s[i] / big for i in use]
    c = [0.5, 0.5, 0.5]
    for _ in range(20000):
        for k in range(3):
            rest = [yi - sum(c[m] * xi[m] for m in range(3) if m != k) for xi, yi in zip(x, y)]
            g = sum(r * xi[k] / e**2 for r, xi, e in zip(rest, x, sy))
            a = sum((xi[k] / e) ** 2 for xi, e in zip(x, sy)) + (w if k or g < 0 else 0)
            c[k] = max(-2.0, min(2.0, g / a))
    residual = math.sqrt(
        sum(((sum(a * b for a, b in zip(c, xi)) - yi) / e) ** 2 for xi, yi, e in zip(x, y, sy)) / len(use)
    )
    return c + [residual, big]


def kilonova(models, references):
    features = [n + b for b in ("_g", "_r") for n in ("c1", "c2", "c3", "residuo", "maxflux")]
    score = forest_model(
        models,
        "toy_kilonova",
        2,
        features,
        [(0, 2), (-1, 1), (-1, 1), (0, 3), (200, 3000)] * 2,
        ["other", "kilonova"],
    )
    with open(os.path.join(models, "toy_kilonova", "interpolated_mixed_pcs.csv"), "w") as f:
        f.write("day,pc1,pc2,pc3\n")
        f.writelines(
            "%r,%s\n" % ((i - 200) * 0.25, ",".join(repr(component(k, (i - 200) * 0.25)) for k in range(3)))
            for i in range(401)
        )
    exact = [
        [(JD + 1.5 * i + b, mag_of(big * component(0, 1.5 * i - 6)), 0.05) for i in range(9)]
        for b, big in ((0, 900.0), (0.25, 1500.0))
    ]
    bumpy = [
        [(JD + 2 * i + b, m, 0.06) for i, m in enumerate(mags)]
        for b, mags in (
            (0, [20.4, 20.1, 19.6, 19.8, 20.2, 20.15]),
            (0.25, [20.0, 19.9, 19.2, 19.5, 19.6, 19.7]),
        )
    ]
    rows = []

    def row(g, r, start, ndethist, otype, reason):
        points = sorted([p + (1,) for p in g] + [p + (2,) for p in r])
        value = "%.17g" % score(component_features(g) + component_features(r))[1] if reason == "done" else ""
        rows.append([text(c) for c in zip(*points)] + [start, ndethist, otype, value, reason])

    soon = repr(JD - 1)
    row(*exact, soon, "9", "Unknown", "done")
    row(*bumpy, soon, "9", "", "done")
    row(*bumpy, soon, "21", "", "cut")
    row(*bumpy, repr(JD - 30), "9", "", "cut")
    row(*bumpy, soon, "9", "Star", "cut")
    row(*bumpy, "", "9", "", "no_input")
    row(bumpy[0], [], soon, "9", "Galaxy", "no_fit")
    row([(t, m + 3, e) for t, m, e in bumpy[0]], bumpy[1], soon, "9", "", "no_fit")
    row(bumpy[0][:1], [], soon, "9", "", "few_points")
    write(
        os.path.join(references, "toy_kilonova.csv"),
        "lc.jd,lc.mag,lc.mag_err,lc.band,first_jd,ndethist,simbad.otype,=score,=reason",
        rows,
    )


# --- early SN Ia: light curves made from the parameters, one point per night ---


def early_snia(models, references):
    features = [n + b for b in ("_g", "_r") for n in ("a", "b", "c", "snratio", "mse", "nrise")]
    ranges = [(0, 1), (0, 10), (0, 8000), (0, 40), (1e-4, 1e-1), (3, 12)] * 2
    score = forest_model(models, "toy_early_snia", 3, features, ranges, ["other", "early"])

    def curve(a, b, c, n, start):
        return [(start + i, mag_of(c / (1 + math.exp(-a * (i - b)))), 0.05 + 0.01 * i) for i in range(n)]

    def values(p, a, b, c):
        return [a, b, c, sum(fluxcal(m) / fluxcal_err(m, e) for _, m, e in p) / len(p), 0.0, len(p)]

    pars = ((0.45, 4.0, 3000.0, 9), (0.6, 3.0, 5000.0, 7))
    g, r = (curve(*p, JD + 0.001 * k) for k, p in enumerate(pars))
    rows = []

    def row(g_points, r_points, ndethist, otype, reason):
        points = sorted([p + (1,) for p in g_points] + [p + (2,) for p in r_points])
        value = (
            "%.17g" % score(values(g, *pars[0][:3]) + values(r, *pars[1][:3]))[1] if reason == "done" else ""
        )
        rows.append([text(c) for c in zip(*points)] + [ndethist, otype, value, reason])

    row(g, r, "10", "Unknown", "done")
    row(g, r, "10", "", "done")
    row(g, r, "21", "", "cut")
    row(g, r, "10", "Star", "cut")
    row(g, r[:3], "10", "", "no_fit")
    row(
        g,
        [(t, mag_of(fluxcal(m) * (0.1 if i == 5 else 1)), e) for i, (t, m, e) in enumerate(r)],
        "10",
        "",
        "no_fit",
    )
    row(g[:2], r[:1], "3", "", "few_points")
    write(
        os.path.join(references, "toy_early_snia.csv"),
        "lc.jd,lc.mag,lc.mag_err,lc.band,ndethist,simbad.otype,=score,=reason",
        rows,
    )


# --- microlensing: the 47 statistics from their definitions ---


def flux_statistics(mag, err, peaks):
    n, f = len(mag), [10 ** (-(m - 24) / 2.5) for m in mag]

    def percentile(v, p):
        v, k = sorted(v), (len(v) - 1) * p / 100
        return v[int(k)] + (k - int(k)) * (v[min(int(k) + 1, len(v) - 1)] - v[int(k)])

    def run(test):
        return max(map(len, "".join("1" if test(q) else "0" for q in x).split("0")))

    def pairs(m):
        t = [x[i : i + m] for i in range(n - m + 1)]
        return sum(
            max(abs(p - q) for p, q in zip(t[i], t[j])) <= 0.2 * sd
            for i in range(len(t))
            for j in range(len(t))
            if i != j
        )

    def log2(y):
        return math.log2(y) if y > 0 else 0

    def normal(y):
        return 0.5 * math.erfc(-(y - med) / (med * math.sqrt(2)))

    def inverse(y):
        q = math.sqrt(med / (2 * y))
        return 0.5 * math.erfc(-q * (y / med - 1)) + 0.5 * math.exp(2) * math.erfc(q * (y / med + 1))

    amp, fm, x = percentile(f, 98) - percentile(f, 2), statistics.median(f), [a / max(f) for a in f]
    e = [s * a * math.log(10) / 2.5 for s, a in zip(err, x)]
    med, mean, sd, d = (
        statistics.median(x),
        sum(x) / n,
        statistics.pstdev(x),
        [b - a for a, b in zip(x, x[1:])],
    )
    delta = [math.sqrt(n / (n - 1)) * (q - med) / s for q, s in zip(x, e)]
    j = sum(math.copysign(math.sqrt(abs(p * q)), p * q) for p, q in zip(delta, delta[1:]))
    k = sum(map(abs, delta)) / n / math.sqrt(sum(q * q for q in delta) / n)
    back, unique, low = (
        x[::-1],
        set(x),
        [sum(x[i + m] <= med - s * sd for m in range(3)) == 3 for s in (3, 2) for i in range(n - 2)],
    )
    assert not any(low)  # no groups of low points: their count would need the rule itself
    return (
        [sum(q > med + s * sd for q in x) for s in (1, 3, 5)]
        + [sum(q * q for q in x), sum(map(abs, d)), amp, statistics.correlation(x[:-1], x[1:])]
        + [sum(q < med - s * sd for q in x) for s in (1, 3, 5)]
        + [
            sum(x[i] * x[i + 1] * x[i + 2] for i in range(n - 2)) / (n - 2),
            len(unique) < n,
            x.count(max(x)) > 1,
            x.count(min(x)) > 1,
            1 - back.index(max(x)) / n,
            1 - back.index(min(x)) / n,
            math.sqrt(sum((q / sd) ** 2 for q in d)),
            0,
            0,
            sum(q > mean for q in x),
            sum(q < mean for q in x),
            x.index(max(x)) / n,
            x.index(min(x)) / n,
            sum((p + q) / 2 for p, q in zip(x, x[1:])),
            n * (n + 1) / ((n - 1) * (n - 2) * (n - 3)) * sum(((q - med) / sd) ** 4 for q in x)
            - 3 * (n - 1) ** 2 / ((n - 2) * (n - 3)),
            run(lambda q: q > mean),
            run(lambda q: q < mean),
            sum(map(abs, d)) / (n - 1),
            (x[-1] - x[0]) / (n - 1),
            sum(x[i + 2] - 2 * x[i + 1] + x[i] for i in range(n - 2)) / (2 * (n - 2)),
            statistics.median(abs(q - med) for q in x),
            sum(fm - amp / 10 < q < fm + amp / 10 for q in f) / n,
            sum(q < fm - amp / 5 for q in f) / n,
            peaks,
            sum(x.count(q) > 1 for q in unique) / len(unique),
            abs(med),
            -math.log(pairs(3) / pairs(2)),
            -sum(
                2
                * s
                * (log2(normal(q + s)) + log2(normal(q - s)) + log2(inverse(q + s)) + log2(inverse(q - s)))
                for q, s in zip(x, e)
            ),
            sum((q - med) ** 3 for q in x) / n / sd**3,
            sd,
            sd / med,
            j,
            k,
            j * k / 0.798,
            sum(x),
            sum(x[i + 2] ** 2 * x[i + 1] - x[i + 1] * x[i] ** 2 for i in range(n - 2)) / (n - 2),
            sum(q * q for q in d) / (n - 1) / sd**2,
        ]
    )


STATISTICS = """above1 above3 above5 abs_energy abs_sum_changes amplitude autocorrelation below1 below3 below5
c3 check_dup check_max_dup check_min_dup check_max_last_loc check_min_last_loc complexity con3
con2 count_above count_below first_loc_max first_loc_min integrate kurtosis
longest_strike_above longest_strike_below mean_abs_change mean_change mean_second_derivative
median_absolute_deviation median_buffer_range median_buffer_range2 peak_detection
ratio_recurring_points root_mean_squared sample_entropy shannon_entropy skewness std
std_over_mean stetson_j stetson_k stetson_l sum_values time_reversal_asymmetry
von_neumann_ratio""".split()


def microlensing(models, references):
    def event(n, peak_at, width, base, step, noise):
        rng = random.Random(7)
        return [
            (
                JD + step * i + noise,
                round(base - 2.2 * math.exp(-(((i - peak_at) / width) ** 2)) + rng.gauss(0, 0.03), 4),
                0.04 + 0.002 * (i % 5),
            )
            for i in range(n)
        ]

    def apparent(p, ref=21.0, ref_err=0.1):
        big, small = [10 ** (-0.4 * m) for _, m, _ in p], 10 ** (-0.4 * ref)
        sigma = [math.hypot(e / 1.0857 * b, ref_err / 1.0857 * small) for (_, _, e), b in zip(p, big)]
        return [-2.5 * math.log10(small + b) for b in big], [
            s / (small + b) * 1.0857 for s, b in zip(sigma, big)
        ]

    g, r = event(16, 8, 2.5, 18.6, 3, 0), event(14, 7, 2.0, 18.2, 3.5, 0.5)
    x = [flux_statistics(*apparent(p), peaks=1) for p in (g, r)]
    ranges = [(min(a, b) - 0.4 * abs(a + b) - 0.5, max(a, b) + 0.4 * abs(a + b) + 0.5) for a, b in zip(*x)]
    classes = ["CONSTANT", "CV", "ML", "VARIABLE"]
    seed = next(
        s
        for s in range(1, 1000)
        if all(p[2] == max(p) for p in map(forest_model(None, "", s, STATISTICS, ranges, classes), x))
    )
    score = forest_model(models, "toy_microlensing", seed, STATISTICS, ranges, classes)
    rows = []

    def row(g_points, r_points, ndethist, value, reason, positive=1):
        points = sorted([p + (1,) for p in g_points] + [p + (2,) for p in r_points])
        n = len(points)
        rows.append(
            [text(c) for c in list(zip(*points))[1:]]
            + [text([21.0] * n), text([0.1] * n), text([positive] * n), ndethist, value, reason]
        )

    row(g, r, "50", "%.17g" % ((score(x[0])[2] + score(x[1])[2]) / 2), "done")
    row(g, r, "100", "", "cut")
    row(g, r[:3], "50", "", "few_points")
    row(g + [(t + 100, m, e) for t, m, e in g], r[:9], "50", "", "few_points")
    spoilt = score(
        [float(k in (11, 14, 15, 34)) for k in range(47)]
    )  # negative flux in every point: no magnitude
    assert spoilt[2] < max(spoilt)
    row(g, r, "50", "0", "done", positive=0)
    write(
        os.path.join(references, "toy_microlensing.csv"),
        "lc.mag,lc.mag_err,lc.band,lc.ref_mag,lc.ref_mag_err,lc.positive,ndethist,=score,=reason",
        rows,
    )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    kilonova(*sys.argv[1:])
    early_snia(*sys.argv[1:])
    microlensing(*sys.argv[1:])
