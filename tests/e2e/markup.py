#!/usr/bin/env python3
"""Text from packets, file names and reports is text on every page: hostile ones, opened in a real browser,
run no script."""

import contextlib, glob, html.parser, io, json, os, shutil, tarfile, xml.dom.minidom
from browser import PROGRAM, Browser
from tap import ROOT, Folder, done, needs, nightjar, ok, skip

needs("fastavro")
import fastavro

SET = "document.title=`PWNED`"
HOSTILE = [
    f"<img src=x onerror={SET}>",
    f"\"><script>{SET}</script>",
    f"</title><script>{SET}</script>",
    f"' onmouseover={SET} x='",
    f"--><svg onload={SET}>",
    f"<!--<script>{SET}</script>",
    f"</script><script>{SET}</script>",
    f"</textarea></style></text></desc><script>{SET}</script>",
    "a&lt;b&amp;c",
    "]]><x>",
    "../../../../etc/passwd",
    "a/b\\c",
    "\x01\x1b[31mred",
    "naïve ☃ 𝔘",
    "x" * 3000,
    f"{{{{{SET}}}}}",
    "&#60;script&#62;",
]


class Look(html.parser.HTMLParser):
    """What of a page would run: event attributes, script elements of its own, addresses that are script."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name.startswith("on") or (
                name in ("href", "src", "action") and (value or "").strip().lower().startswith("javascript:")
            ):
                self.found.append((tag, name, value))
        if tag == "script":
            self.scripts.append(dict(attrs).get("type"))

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        if self.lasttag == "script" and data.strip().startswith("document.title"):
            self.found.append(("script", data))


def safe(page, what):
    text = open(page, encoding="utf-8").read()  # valid UTF-8, too
    look = Look(text)
    ok(not look.found, f"{what}: nothing in the page would run", look.found[:3])
    if browser:
        dom = browser.dom(page)
        ok("<title>PWNED" not in dom, f"{what}: nothing ran in the browser", dom[:300])
        ok(not Look(dom).found and "<body" in dom, f"{what}: as the browser read it", Look(dom).found[:3])
    else:
        skip(f"{what}: nothing ran in the browser", "no Chromium")
    return text


def packets():
    with tarfile.open(os.path.join(ROOT, "data", "sample.tar.gz")) as t:
        readers = [fastavro.reader(io.BytesIO(t.extractfile(m).read())) for m in t.getmembers() if m.isfile()]
        return [(r.writer_schema, next(r)) for r in readers]


def hostile_alerts(folder):
    os.makedirs(folder)
    source = packets()
    for i, name in enumerate(HOSTILE):
        schema, alert = source[i % len(source)]
        with open(os.path.join(folder, f"{i}.avro"), "wb") as f:
            fastavro.writer(
                f, schema, [{**alert, "objectId": name, "candid": [0, -1, 2**63 - 1, 10**18 + i][min(i, 3)]}]
            )


def hostless_pages():
    hostile_alerts("alerts")
    r = nightjar("inspect", "--hostless", "alerts", "-o", "pages", *ALL)
    pages = sorted(glob.glob("pages/*.html"))
    ok(len(pages) == len(HOSTILE) + 1, "a page for each alert and the index", (len(pages), r.stderr))
    text = safe("pages/index.html", "hostless index")
    ok("&lt;img src=x onerror=" in text, "the name is there, as text")
    for page in pages[:: 1 if not browser else 4]:
        safe(page, "hostless page " + os.path.basename(page))
    ok(not [x for x in glob.glob("pages/**", recursive=True) if "passwd" in x], "no id makes a path")
    # the name of the source is the title
    for name in [f"<img src=x onerror={SET}>", f"'\"><svg onload={SET}>"]:
        shutil.copytree("alerts", name)
        nightjar("inspect", "--hostless", name, "-o", "named", *ALL)
        safe("named/index.html", "hostless index of a source with markup in its name")
        shutil.rmtree("named")
    r = nightjar("inspect", "--hostless", "alerts", "-o", "y" * 3500)
    ok(
        r.returncode != 0 and "error" in r.stderr,
        "a folder's name that is too long is refused",
        r.stderr[-200:],
    )


def spoil(value, text):
    """Every text of a report with markup behind it."""
    if isinstance(value, dict):
        return {k: spoil(v, text) for k, v in value.items()}
    if isinstance(value, list):
        return [spoil(v, text) for v in value]
    return value + text if isinstance(value, str) else value


def reports():
    source = f"<img src=x onerror={SET}>.tar.gz"
    shutil.copy(os.path.join(ROOT, "data", "sample.tar.gz"), source)
    r = nightjar(
        "run", source, "-q", "--report", "run.json", "-D", "run.batch_rows=8", "-D", "run.single_row=1"
    )
    ok(r.returncode == 0, "a run of a file with markup in its name", r.stderr)
    nightjar("report", "run.json", "-o", "run.html")
    safe("run.html", "report page of that file")
    clean = json.load(open("run.json"))
    os.makedirs("history")
    for i, text in enumerate(HOSTILE[:9]):
        json.dump(spoil(clean, text), open(f"bad{i}.json", "w"))
        r = nightjar("report", f"bad{i}.json", "-o", f"bad{i}.html")
        ok(r.returncode == 0, f"report page {i} is written", r.stderr)
        text = safe(f"bad{i}.html", f"report page with markup in every text, {i}")
        if i == 0:
            embedded = text[text.index("id=run>") + 7 :]
            ok(
                json.loads(embedded[: embedded.index("</script>")]) == json.load(open("bad0.json")),
                "the report in the page is the same",
            )
        shutil.copy(f"bad{i}.json", "history/" + f"{i}<svg onload={SET}>.json")
    r = nightjar("compare", "--history", "-o", "history.html", "history")
    ok(os.path.exists("history.html"), "a history of them", r.stderr)
    safe("history.html", "history page")


def profiles():
    """A source, a module's file, its lines and its ids with markup: the pages of profile have all of them."""
    os.makedirs("folder")
    source, module = f"<img src=x onerror={SET}>.tar", f"folder/<img src=x onerror={SET}>&amp;'hurt.c"
    with tarfile.open(source, "w") as t:
        for f in sorted(os.listdir("alerts")):
            t.add("alerts/" + f, f"<svg onload={SET}>{f}")
    with open(os.path.join(ROOT, "modules", "roid.c"), encoding="utf-8") as f:
        text = (
            f.read().replace("NJ_MODULE(roid)", "NJ_MODULE(hurt)").replace('.name = "roid"', '.name = "hurt"')
        )
    with open(module, "w", encoding="utf-8") as f:
        f.write(
            text.replace(
                "(void)thread;",
                f"(void)thread; /* </td></table></script><script>{SET}</script><img src=x onerror={SET}> */",
            )
        )
    r = nightjar(
        "profile",
        module,
        source,
        "--lines",
        "--per-alert",
        "--seconds",
        1,
        "--html",
        "profile.html",
        "--svg",
        "flame.svg",
        "--json",
        "profile.json",
        timeout=600,
    )
    if not os.path.exists("profile.html"):
        return skip("profile pages", "no profile here: " + r.stderr[-200:].replace("\n", " "))
    text = safe("profile.html", "profile page")
    ok("&lt;img src=x onerror=" in text, "profile page: names of files are there, as text")
    ok("&lt;/script&gt;&lt;script&gt;" in text, "profile page: lines of source, too")
    text = open("flame.svg", encoding="utf-8").read()
    xml.dom.minidom.parseString(text)  # well-formed
    ok(not Look(text).found, "flame graph: nothing in it would run", Look(text).found[:3])
    if browser:
        dom = browser.dom("flame.svg")
        ok(
            "<title>PWNED" not in dom and not Look(dom).found,
            "flame graph: nothing ran in the browser",
            Look(dom).found[:3],
        )


ALL = ["--all"]
with Folder(), Browser() if PROGRAM else contextlib.nullcontext() as browser:
    hostless_pages()
    reports()
    profiles()
done()
