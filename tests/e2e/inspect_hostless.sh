#!/usr/bin/env bash
# inspect --hostless --all: a page for every alert of a file, and an index. Reads a simulated night.
cd "$(dirname "$0")/../.." || exit 1
export NIGHTJAR=${NIGHTJAR:-$PWD/nightjar} LC_ALL=C.UTF-8
t=$(mktemp -d) && trap 'rm -rf "$t"' EXIT
err=$t/err
. tests/e2e/tap.sh

"$NIGHTJAR" simulate -q -n 60 --seed 11 -o "$t/night.tar" 2>"$t/err"; ok $? "a night to look at"
"$NIGHTJAR" inspect --hostless "$t/night.tar" -o "$t/pages" --all >"$t/out" 2>"$t/err"
ok $? "pages are written"
is "$(find "$t/pages" -name '[0-9]*.html' | wc -l)" 60 "a page for every alert"
candidates=$(sed -E 's/.*unreadable, ([0-9]+) with.*/\1/' "$t/out")
[ "$candidates" -gt 0 ]; ok $? "some are candidates ($candidates)"
cat >"$t/check.py" <<'P'
import base64, html.parser, pathlib, re, struct, sys
class Tags(html.parser.HTMLParser):
    def __init__(self): super().__init__(); self.open, self.bad = [], 0
    void = {"meta", "img", "link", "br", "input", "image", "path", "rect", "circle"}
    loose = {"html", "th", "li", "td", "tr", "thead", "tbody"}
    def handle_starttag(self, tag, attrs):
        if tag not in self.void | self.loose: self.open.append(tag)
    def handle_startendtag(self, tag, attrs): pass
    def handle_endtag(self, tag):
        if tag in self.loose | self.void: return
        if not self.open or self.open.pop() != tag: self.bad += 1
pages = sorted(pathlib.Path(sys.argv[1]).glob("[0-9]*.html"))
index = (pathlib.Path(sys.argv[1]) / "index.html").read_text()
bad = outside = pngs = tests = 0
for p in pages + [pathlib.Path(sys.argv[1]) / "index.html"]:
    text = p.read_text()
    tags = Tags(); tags.feed(text); bad += tags.bad + len(tags.open)
    outside += len(re.findall(r'(?:src|href)="?(?:https?:|//)', text)) + ("<script" in text)
    for data in re.findall(r'base64,([A-Za-z0-9+/=]+)', text):
        png = base64.b64decode(data)
        pngs += png[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", png[16:24])[0] > 0
    if p.name != "index.html": tests += "Wasserstein" in text
print(bad); print(outside); print(pngs); print(tests); print(sum(f"href={p.name}" in index for p in pages))
order = re.findall(r'class="badge (\w*)"', index.split("<tr class=doubt>")[0])
print(order == sorted(order, key=["yes", "maybe", ""].index))
P
python3 "$t/check.py" "$t/pages" >"$t/result" 2>"$t/err"; ok $? "pages can be parsed"
is "$(sed -n 1p "$t/result")" 0 "tags that do not match"
is "$(sed -n 2p "$t/result")" 0 "references to anything outside"
[ "$(sed -n 3p "$t/result")" -ge 180 ]; ok $? "three stamps a page are PNG images ($(sed -n 3p "$t/result"))"
is "$(sed -n 4p "$t/result")" "$candidates" "candidates with their distances drawn"
is "$(sed -n 5p "$t/result")" 60 "alerts in the index"
is "$(sed -n 6p "$t/result")" True "the index begins with those that pass"
"$NIGHTJAR" inspect --hostless "$t/night.tar" -o "$t/again" --all -j 2 >/dev/null 2>"$t/err"
diff -rq "$t/pages" "$t/again" >"$t/err"; ok $? "the same alerts, the same pages"
"$NIGHTJAR" inspect --hostless "$t/night.tar" >/dev/null 2>"$t/err"; is $? 1 "without -o: usage"
"$NIGHTJAR" inspect --hostless "$t/nothing.tar" -o "$t/none" >/dev/null 2>"$t/err"; is $? 2 "no such file"
"$NIGHTJAR" inspect --hostless "$t/night.tar" -o "$t/none2" -D module.hostless.repeats=0 >/dev/null 2>"$t/err"
is $? 1 "a setting out of range"
grep -q 'repeats' "$t/err"; ok $? "is named"
if [ -n "${NIGHTJAR_SHARED:-}" ]; then
  "$NIGHTJAR" inspect --hostless "$NIGHTJAR_SHARED/oracles/alerts/host.avro" -o "$t/host" --all \
    >"$t/out" 2>"$t/err"
  ok $? "real alerts"
  grep -q '^72 alerts, 0 unreadable, 3 with' "$t/out"
  ok $? "of which three are candidates, as in the reference"
  "$NIGHTJAR" run "$NIGHTJAR_SHARED/real/lsst/fink" "$NIGHTJAR_SHARED/real/lsst/ocf" -q -m hostless \
    -o "ndjson:$t/lsst" --dead-letters "$t/dead" 2>"$t/err"
  ok $? "real LSST packets"
  count() { grep -c "\"hostless.reason\":\"$1\"" "$t/lsst"; }
  is "$(count done)" 17 "LSST packets with stamps of 30 to 62 pixels that get an answer"
  is "$(($(wc -l <"$t/lsst") - $(count done) - $(count no_input)))" 0 "others that have stamps"
  "$NIGHTJAR" inspect --hostless "$NIGHTJAR_SHARED/real/lsst/fink" -o "$t/lsstpages" --all \
    >"$t/out" 2>"$t/err"
  ok $? "and pages"
else
  skip "real alerts" "no shared/oracles"
fi
finish
