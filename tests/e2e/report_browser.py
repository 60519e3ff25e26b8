#!/usr/bin/env python3
"""The page of `nightjar report` in a real browser: widths, sorting, both colour schemes, and without
JavaScript."""

import json, os, re
from browser import PROGRAM, Browser
from tap import ROOT, Folder, done, nightjar, ok, skip

NAMES = (
    "desktop: nothing scrolls sideways, the module table included",
    "phone: the page fits, wide tables scroll in their own box",
    "letters keep their size on a phone",
    "a click on a heading sorts by value, again turns it round",
    "dark: another background, letters in contrast",
    "without JavaScript the tables and charts are there",
)

PROBE = """<script>
const wide = document.documentElement.scrollWidth, inner = window.innerWidth;
const boxes = [...document.querySelectorAll('.scroll')].map(b => b.scrollWidth - b.clientWidth);
const texts = [...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect());
const outside = texts.filter(t => t.right > inner + 1 || t.left < -1).length;
const size = Math.min(...texts.map(t => t.height));
const table = [...document.querySelectorAll('table')].find(t => t.tHead.textContent.includes('CPU us/alert'));
const column = i => [...table.tBodies[0].rows].map(r => +r.cells[i].dataset.v);
const at = [...table.tHead.rows[0].cells].findIndex(c => c.textContent.startsWith('CPU us'));
const before = column(at), heads = table.tHead.querySelectorAll('button');
heads[at] && heads[at].click();
const once = column(at);
heads[at] && heads[at].click();
const twice = column(at);
const css = getComputedStyle(document.body);
document.body.textContent = '';
document.title = 'PROBE' + JSON.stringify({
  wide, inner, boxes, outside, size, before, once, twice, back: css.backgroundColor, fore: css.color});
</script>"""


def probe(browser, width, dark=False):
    """A window may not be as narrow as a phone: the page stands in a frame of that width."""
    text = (
        open("page.html", encoding="utf-8")
        .read()
        .replace("</body>", PROBE.replace("document.title =", "parent.document.title =") + "</body>")
    )
    inner = text.replace("&", "&amp;").replace('"', "&quot;")
    open("probe.html", "w", encoding="utf-8").write(
        '<!doctype html><html style="color-scheme:light dark"><body style="margin:0"><iframe'
        f' style="border:0;width:{width}px;height:3000px" srcdoc="{inner}"></iframe></body></html>'
    )
    dom = browser.dom("probe.html", size=(1400, 3000), dark=dark)
    found = re.search(r"<title>PROBE(\{.*?\})</title>", dom)
    return json.loads(found.group(1)) if found else None


def light(colour):
    return sum(int(x) for x in re.findall(r"\d+", colour)[:3]) / 3


def main(browser):
    nightjar(
        "run",
        "-q",
        os.path.join(ROOT, "data", "sample.tar.gz"),
        "-D",
        "run.single_row=1",
        "-D",
        "run.batch_rows=8",
        "-D",
        "run.broker_share=0",
        "--report",
        "run.json",
    )
    run = json.load(open("run.json"))
    for m in run["modules"]:  # as long as the counts of a whole night
        m.update({k: m[k] * 10602 for k in ("offered", "passed", "hits", "flagged")})
    json.dump(run, open("run.json", "w"))
    nightjar("report", "run.json", "-o", "page.html")
    d, p, k = probe(browser, 1280), probe(browser, 390), probe(browser, 1280, dark=True)
    if not d or not p or not k:
        for name in NAMES:
            skip(name, "the browser does not run here")
        return
    ok(d["wide"] <= d["inner"] == 1280 and max(d["boxes"]) <= 0 and not d["outside"], NAMES[0], d)
    ok(p["wide"] <= p["inner"] == 390 and max(p["boxes"]) > 0 and not p["outside"], NAMES[1], p)
    ok(p["size"] >= 0.95 * d["size"] > 10, NAMES[2], (p["size"], d["size"]))
    ok(
        len(d["before"]) > 5
        and d["before"] != sorted(d["before"])
        and d["once"] == sorted(d["before"], reverse=True)
        and d["twice"] == sorted(d["before"]),
        NAMES[3],
        d,
    )
    ok(
        light(d["back"]) > 240 and light(k["back"]) < 60 and light(d["fore"]) < 80 and light(k["fore"]) > 180,
        NAMES[4],
        (d["back"], k["back"]),
    )
    text = re.sub(r"<script>.*?</script>", "", open("page.html", encoding="utf-8").read(), flags=re.S)
    open("plain.html", "w", encoding="utf-8").write(text)
    dom = browser.dom("plain.html")  # with all scripts cut out
    ok(
        dom.count("<table") >= 6 and dom.count("<svg") >= 20 and "hostless" in dom and "<button" not in dom,
        NAMES[5],
        dom[:300],
    )


with Folder():
    if PROGRAM:
        with Browser() as browser:
            main(browser)
    else:
        for each in NAMES:
            skip(each, "no Chromium")
done()
