#!/usr/bin/env python3
"""The list of the kit's functions, include/nightjar/FUNCTIONS.md: what each does and how accurate it is, from
the comments of the headers and of the files that implement them; what it costs, from perf/results. With
--check nothing is written: exit code 1 when the list is an old one."""

import glob, json, os, re, sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
LIST = os.path.join(ROOT, "include", "nightjar", "FUNCTIONS.md")
# headers of functions that a process() calls, in the order of the list
HEADERS = (
    "column astro lc num period phase rainbow motion stamp lone_source expression list csv sky model".split()
)
# benchmark: function, what one of it is
COSTS = {
    "kernels/philox, word": ("nj_philox_fill", "a word"),
    "kernels/clip of a stamp": ("nj_clip_passes", "a stamp of 63 x 63"),
    "kernels/spectrum of 14 x 14 pixels": ("nj_spectrum", "an image of 14 x 14"),
    "kernels/w1 of a pair of 7": ("nj_w1_pairs", "a pair of samples of 7"),
    "kernels/ks of 200 against 19900": ("nj_ks", "200 against 19,900"),
    "kernels/26 features of 32 points": ("nj_lc_features", "32 points"),
    "kernels/47 flux features of 32 points": ("nj_flux_features", "32 points"),
    "kernels/component fit of 32 points": ("nj_component_fit_flux", "32 points"),
    "kernels/rise fit of 12 nights": ("nj_rise_fit", "12 nights"),
    "kernels/sort of 256 numbers": ("nj_sort_f64", "256 numbers"),
    "fits/rainbow fit of 40 points": ("nj_rainbow_fit_points", "40 points"),
    "fits/periodogram, frequency of 140 points": ("nj_period_power", "a frequency of 140 points"),
    "fits/periodogram by transforms, frequency of 140 points": (
        "nj_period_power_fft",
        "a frequency of 140 points",
    ),
    "fits/phase curve HG, 200 points": ("nj_phase_fit_points", "HG, 200 points"),
}
ACCURACY = re.compile(
    r"\b(within|good to|agrees?|accurate|equal to|the same bits|same bits|exact|relative error|below 1e-|some"
    r" 1e-|the largest difference)\b.*(1e-\d+|10\^-?\d+|bits|digits?\b|exact|ulp)"
)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def words(comment):
    text = re.sub(r"^\s*/\*+|\*/\s*$", "", comment.strip())
    return re.sub(r"\s+", " ", re.sub(r"\n\s*\* ?", "\n", text)).strip()


def sentences(text):
    return re.split(r"(?<=[.;]) (?=[A-Z(\"'\d])", text)


def first_of(text):
    """As many sentences as it takes to say something."""
    out = ""
    for s in sentences(text):
        out = f"{out} {s}".strip()
        if len(out) >= 40:
            break
    return out


def functions(header):
    """(name, declaration, comment) in the order of the header; a comment may stand above several."""
    text = read(f"include/nightjar/{header}.h")
    found, comment, at = [], "", 0
    pattern = re.compile(
        r"(/\*.*?\*/)|^((?:static inline |extern )?[a-zA-Z_][\w ]*[ *]+(nj_\w+)\(([^;{]*?)\)\s*(?:;|\n?\{))",
        re.S | re.M,
    )
    for m in pattern.finditer(text):
        if m[1]:
            line = text.count("\n", 0, m.start())
            own = text[: m.start()].rsplit("\n", 1)[-1].strip()
            if own.endswith(";") and found and found[-1][3] == line:  # behind a declaration
                found[-1][2] = words(m[1])
            else:
                comment = words(m[1])
                comment = "" if re.match(r"-{2,}", comment) else comment
            continue
        if header in ("sky", "model") and "static inline" not in m[2]:
            continue
        declaration = re.sub(r"\s+", " ", m[2]).strip(" {;")
        found.append([m[3], declaration, comment, text.count("\n", 0, m.end())])
    return found


def implementations():
    """Function: the comment at the head of its file, and the one above it."""
    out = {}
    for path in glob.glob(os.path.join(ROOT, "modules", "kit", "*", "*.c")):
        text = read(os.path.relpath(path, ROOT))
        comments = [(m.end(), words(m[0])) for m in re.finditer(r"/\*.*?\*/", text, re.S)]
        for m in re.finditer(r"^[a-zA-Z_][\w ]*[ *]+(nj_\w+)\([^;{]*?\)\s*\{", text, re.S | re.M):
            above = [c for end, c in comments if end <= m.start()]
            near = [c for end, c in comments if end <= m.start() and not text[end : m.start()].strip()]
            out[m[1]] = (near[:1] + above[:3], os.path.relpath(path, ROOT))
    return out


def costs():
    out = {}
    for name in ("kernels", "fits"):
        for b in json.loads(read(f"perf/results/{name}.json"))["benchmarks"]:
            if b["name"] in COSTS:
                function, what = COSTS[b["name"]]
                ns = b["median"]
                out[function] = (f"{ns:.2g} ns" if ns < 1000 else f"{ns / 1000:.3g} us") + f", {what}"
    return out


def make():
    code, cost = implementations(), costs()
    lines = [
        "# Functions of the kit",
        "",
        "Made by `perf/kit_functions.py` from the headers and from perf/results: change those, then run it.",
        "Costs are medians of `nightjar bench kernels fits` on the machines that those files name. Accuracy",
        "is what the comments state, and tests/kernel holds it.",
        "",
    ]
    n = 0
    for header in HEADERS:
        found = functions(header)
        if not found:
            continue
        about = words(re.match(r"/\*.*?\*/", read(f"include/nightjar/{header}.h"), re.S)[0])
        about = sentences(about)[0].split(" - ", 1)[-1].split(" (libnightjar")[0].split(": ")[0].rstrip(".;:")
        lines += [
            f"## nightjar/{header}.h: {about}",
            "",
            "| function | what | accuracy | cost |",
            "|---|---|---|---|",
        ]
        for name, declaration, comment, _ in found:
            n += 1
            what = first_of(comment)
            texts, path = code.get(name, ([], ""))
            accurate = [s for t in [comment, *texts] for s in sentences(t) if ACCURACY.search(s)]
            lines.append(
                "| `%s` | %s | %s | %s |"
                % (name, cell(what, 200), cell(accurate[0] if accurate else "", 160), cost.get(name, ""))
            )
        lines.append("")
    if n < 60:
        sys.exit(f"only {n} functions were found: the pattern no longer fits the headers")
    return "\n".join(lines).rstrip() + "\n"


def cell(text, most):
    text = text.replace("|", "\\|").strip()
    return text if len(text) <= most else text[: most - 1].rsplit(" ", 1)[0] + " ..."


def main():
    text = make()
    if "--check" in sys.argv[1:]:
        old = open(LIST, encoding="utf-8").read() if os.path.exists(LIST) else ""
        sys.exit(0 if old == text else "include/nightjar/FUNCTIONS.md is an old list: perf/kit_functions.py")
    with open(LIST, "w", encoding="utf-8") as f:
        f.write(text)


main()
