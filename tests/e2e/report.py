#!/usr/bin/env python3
"""nightjar report: one self-contained page that says what the run report says."""

import html.parser, json, os, re
from tap import ROOT, Folder, done, nightjar, ok, report

SAMPLE = os.path.join(ROOT, "data", "sample.tar.gz")
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(html.parser.HTMLParser):
    """Every element closed in its turn; the cells of each table; what would be fetched."""

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong, self.fetched, self.tables, self.counts, self.script, self.sort = (
            [],
            [],
            [],
            [],
            {},
            "",
            [],
        )
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        self.fetched += [v for k, v in attrs if k in ("src", "href") and not v.startswith("#")]
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag == "table":
            self.tables.append([])
        if tag == "tr" and self.tables:
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)
        self.at_json = tag == "script" and a.get("type") == "application/json"

    def handle_startendtag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        for k, v in attrs:
            if k in ("x", "y", "width", "height", "x1", "x2", "y1", "y2") and not re.fullmatch(
                r"\d+(\.\d+)?%?", v
            ):
                self.wrong.append((tag, k, v))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data
        if self.open and self.open[-1] == "script" and self.at_json:
            self.script += data


def analysis(run, page, text):
    """Drift and exposures as the report has them."""
    drifts = [m["drift"] for m in run["modules"] if m.get("drift", {}).get("n", 0) >= 3]
    ok(
        text.count("cost per alert along the run") == len(drifts) > 3
        and page.counts["circle"] == sum(len(d["points"]) for d in drifts)
        and text.count('class="significant"') == sum(len(d["points"]) for d in drifts if d["drifts"])
        and text.count('class="trend"') == len(drifts),
        "a chart of its drift for every module and stage",
    )
    x = run["exposures"]
    worst = next((t for t in page.tables if t[0][0] == "exposure"), [[]])
    ok(
        f"{x['n']} exposures with {x['alerts']} alerts; {x['over']} over 0 s" in text
        and "waterfall of an exposure" in text
        and [float(row[0]) for row in worst[1:]] == [w["exposure"] for w in x["worst"]]
        and len(worst) > 2,
        "the waterfall, and a row for every exposure over the budget",
        worst,
    )


def sky():
    """Regions that clauses ask for, what notices did; no table without a row."""
    open("north.txt", "w").write("0/0-3")
    os.mkdir("maps")
    args = ["-m", "roid,sky", "-D", "module.sky.kind=region", "-D", "module.sky.files=north.txt, maps/"]
    asks = ["-t", "a=in_region('sky.north')", "-t", "b=in_region('sky.late')"]
    nightjar("run", "-q", SAMPLE, *args, *asks, "-o", "null:", "--report", "sky.json")
    run = report("sky.json")
    run["notices"] = [{"module": "gw", "troubles": 2, "new": 3, "replaced": 0, "retracted": 1}]
    open("sky.json", "w").write(json.dumps(run))
    r = nightjar("report", "sky.json", "-o", "sky.html")
    page = Page(open("sky.html", encoding="utf-8").read())
    ok(r.returncode == 0 and not page.wrong, "a page of regions", (r.stderr, page.wrong[:3]))
    table = {t[0][0]: t[1:] for t in page.tables}
    want = [["sky.late", "not there: its clause matches nothing"], ["sky.north", "there"]]
    ok(sorted(table["region"]) == want, "the regions that clauses ask for", table["region"])
    notices = next(t[1:] for t in page.tables if t[0][-1].startswith("troubles"))
    ok(notices == [["gw", "3 new, 1 retracted", "2"]], "and what notices did", notices)
    unanswered = [m for m in run["modules"] if m["kind"] == "module" and m["hits"] != m["offered"]]
    empty = [t[0] for t in page.tables if len(t) == 1]
    ok(not empty, f"no table is empty ({len(unanswered)} modules lack answers)", empty)
    ok(not any("few_points" in t[0] for t in page.tables) or unanswered, "nor that of missing answers")
    run["regions"], run["notices"] = [], []
    open("sky.json", "w").write(json.dumps(run))
    nightjar("report", "sky.json", "-o", "none.html")
    text = open("none.html", encoding="utf-8").read()
    ok("Regions that" not in text and "Notices that" not in text, "no heading without them")


def main():
    r = nightjar(
        "run",
        "-q",
        SAMPLE,
        "--report",
        "run.json",
        "-D",
        "run.single_row=1",
        "-D",
        "run.batch_rows=2",
        "-D",
        "run.broker_share=0",
    )
    run = report("run.json")
    r = nightjar("report", "run.json", "-o", "page.html")
    text = open("page.html", encoding="utf-8").read() if os.path.exists("page.html") else ""
    page = Page(text)
    ok(
        r.returncode == 0 and not page.wrong and not page.open,
        "the page is well formed",
        (r.stderr, page.wrong[:5], page.open),
    )
    ok(
        not page.fetched
        and "http" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)
        and "@import" not in text,
        "nothing is fetched",
        page.fetched,
    )
    ok(json.loads(page.script) == run, "the run report is in it, whole")
    shown = [m for m in run["modules"] if m["offered"]]
    table = next(t for t in page.tables if t[0][0] == "module" and "offered" in t[0])
    head = table[0]
    want = [[m["name"], str(m["offered"]), str(m["hits"])] for m in shown]
    ok(
        [
            [row[0].strip(), row[head.index("offered")], row[head.index("hits")]]
            for row in table[1 : 1 + len(want)]
        ]
        == want
        and table[-1][0] == "whole run"
        and table[-1][1] == str(run["ledger"]["consumed"]),
        "the table has every module and stage with its counts",
        table,
    )
    ok(
        text.count('class="whisker"') >= 3
        and text.count('class="limit"') == 4
        and "ZTF 1 s: 75/s (600 alerts, 8 cores)" in text
        and "LSST 2 s: 312/s (10000 alerts, 16 cores)" in text,
        "throughput with whiskers and the lines of ZTF and LSST",
    )
    sampled = sum(sum(n for _, n in m["histogram"]) >= 2 for m in shown)
    ok(text.count("distribution of run times") == sampled > 3, "a distribution per module")
    ok(
        all(
            sum(n for _, n in m["histogram"]) > 0
            and m["energy"]["gco2e_per_million"]["low"] <= m["energy"]["gco2e_per_million"]["value"]
            for m in shown
            if m["kind"] == "module" and m["passed"]
        ),
        "the report has histograms and carbon per module",
    )
    analysis(run, page, text)
    nightjar("run", "-q", SAMPLE, "--report", "<i>&.json")
    r = nightjar("report", "run.json", "<i>&.json", "--exposure", "A<b>,100,4", "-o", "two.html")
    two = open("two.html", encoding="utf-8").read()
    ok(
        r.returncode == 0
        and "Mean over the runs" in two
        and "A&lt;b&gt; 1 s: 25/s (100 alerts, 4 cores)" in two
        and "LSST" not in two,
        "two runs: mean and sd; own exposure, escaped",
        r.stderr,
    )
    open("no.json", "w").write('{"a": 1}')
    r = nightjar("report", "no.json")
    ok(r.returncode == 2 and "no.json" in r.stderr, "not a run report: refused", r.stderr)
    ok(
        nightjar("report").returncode == 1
        and nightjar("report", "run.json", "-o", "/no/such/folder/x.html").returncode == 1,
        "usage, and a page that cannot be written",
    )


if __name__ == "__main__":
    with Folder():
        main()
        sky()
    done()
