#!/usr/bin/env python3
"""The page of `nightjar profile --html` in a real browser: desktop and phone, dark and light; it has no
script to begin with."""

import json, os, re
from browser import PROGRAM, Browser
from tap import ROOT, SANITIZED, Folder, done, nightjar, ok, skip

NAMES = (
    "desktop: nothing scrolls sideways but source and flame graph in their boxes",
    "phone: the page fits, wide tables scroll in their own boxes",
    "the flame graph's boxes have their names, and the hottest line is the reddest",
    "dark: another background, letters in contrast",
    "the page has no script, and loads nothing",
)

PROBE = """<script>
const box = e => e.getBoundingClientRect();
const all = (selector, of = document) => [...of.querySelectorAll(selector)];
const heated = cell => cell && cell.tagName === 'TD' && cell.textContent;
const rows = all('table.source tr').filter(r => heated(r.cells[4]));
const heat = r => +(getComputedStyle(r).backgroundColor.match(/[0-9.]+/g)[3] ?? 1);
const found = {
  wide: document.documentElement.scrollWidth, inner: window.innerWidth,
  boxes: [...document.querySelectorAll('.wide')].map(b => b.scrollWidth - b.clientWidth),
  outside: all('p, dl, h1, h2, .histogram').filter(e => box(e).right > window.innerWidth + 1).length,
  names: all('.flame g').filter(g => g.querySelector('text')).map(g => [
    g.querySelector('title').textContent.split(':')[0], g.querySelector('text').textContent,
    box(g.querySelector('rect')).width, box(g.querySelector('text')).width]),
  heat: rows.map(r => [+r.cells[4].textContent, heat(r)]),
  sections: [...document.querySelectorAll('h2')].map(h => h.textContent),
  back: getComputedStyle(document.body).backgroundColor, fore: getComputedStyle(document.body).color };
document.body.textContent = '';
parent.document.title = 'PROBE' + JSON.stringify(found);
</script>"""


def probe(browser, width, dark=False):
    """A window may not be as narrow as a phone: the page stands in a frame of that width."""
    text = open("page.html", encoding="utf-8").read().replace("</body>", PROBE + "</body>")
    inner = text.replace("&", "&amp;").replace('"', "&quot;")
    open("probe.html", "w", encoding="utf-8").write(
        '<!doctype html><html style="color-scheme:light dark"><body style="margin:0"><iframe'
        f' style="border:0;width:{width}px;height:3000px" srcdoc="{inner}"></iframe></body></html>'
    )
    dom = browser.dom("probe.html", size=(1400, 3000), dark=dark)
    found = re.search(r"<title>PROBE(\{.*?\})</title>", dom)
    return (
        json.loads(found.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        if found
        else None
    )


def light(colour):
    return sum(int(x) for x in re.findall(r"\d+", colour)[:3]) / 3


def main(browser):
    r = nightjar(
        "profile",
        "features",
        os.path.join(ROOT, "data", "sample.tar.gz"),
        "--min-samples",
        600,
        "--per-alert",
        "--counters",
        "--scaling",
        *("--energy", "-D", "energy.source=tdp", "-D", "energy.cpu_model=AMD EPYC 7702"),
        *("--run-seconds", 0.05, "--foreign", 100),
        "--seconds",
        60,
        "--html",
        "page.html",
    )
    if not os.path.exists("page.html"):
        return ok(False, NAMES[0], r.stdout + r.stderr)
    d, p, k = probe(browser, 1280), probe(browser, 390), probe(browser, 1280, dark=True)
    if not d or not p or not k:
        for name in NAMES:
            skip(name, "the browser does not run here")
        return
    ok(
        d["wide"] <= d["inner"] == 1280
        and not d["outside"]
        and any(s.startswith("Flame") for s in d["sections"])
        and any(s.startswith("Alert by alert") for s in d["sections"])
        and any(s.startswith("Counters") for s in d["sections"])
        and any(s.startswith("Energy") for s in d["sections"]),
        NAMES[0],
        d,
    )
    ok(p["wide"] <= p["inner"] == 390 and max(p["boxes"]) > 0 and not p["outside"], NAMES[1], p)
    heat = sorted(d["heat"])
    ok(
        len(d["names"]) > 4
        and all(whole.startswith(shown) and inner <= outer + 2 for whole, shown, outer, inner in d["names"])
        and len(heat) > 10
        and all(abs(colour - 0.7 * share / 100) < 0.02 for share, colour in heat)
        and heat[-1][1] > 0.3,
        NAMES[2],
        (d["names"][:9], heat[-5:]),
    )
    ok(
        light(d["back"]) > 240 and light(k["back"]) < 60 and light(d["fore"]) < 80 and light(k["fore"]) > 180,
        NAMES[3],
        (d["back"], k["back"]),
    )
    text = open("page.html", encoding="utf-8").read()
    ok(
        not re.search(r"<script|<link|<img|@import|\burl\(|https?://(?!www\.w3\.org/2000/svg)", text),
        NAMES[4],
    )


if SANITIZED or not PROGRAM:
    for name in NAMES:
        skip(name, "a sanitized host times its sanitizer" if SANITIZED else "no chromium here")
else:
    with Folder(), Browser() as browser:
        main(browser)
done()
