#!/usr/bin/env bash
# inspect: what a person sees of one packet, and the same as JSON and PNG. Reads the sample night of data/.
cd "$(dirname "$0")/../.." || exit 1
export NIGHTJAR=${NIGHTJAR:-$PWD/nightjar} LC_ALL=C.UTF-8 COLUMNS=100
t=$(mktemp -d) && trap 'rm -rf "$t"' EXIT
err=$t/err
. tests/e2e/tap.sh
field() { # ROW COLUMN: of the truth of the sample
  awk -F, -v row="$1" -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) k = i }
    NR == row + 2 { print $k }' data/sample.truth.csv
}
json() { python3 -c 'import json, sys; p = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$@"; }
sample=data/sample.tar.gz

"$NIGHTJAR" inspect $sample --record 3 >"$t/out" 2>"$t/err"; ok $? "a record of a tar.gz"
candid=$(field 3 candid)
grep -qE "^  candid +$candid " "$t/out"; ok $? "the candidate's number"
grep -qE '^  magpsf +[0-9.]+ mag +Magnitude of the difference flux' "$t/out"
ok $? "a value, its unit, its meaning"
grep -q "0 = JD" "$t/out"; ok $? "the light curve has its axis"
grep -qE '^science +template +difference$' "$t/out"; ok $? "three stamps side by side"
wide=$(python3 -c 'import sys
print(sum(len(l) > 101 for l in open(sys.argv[1], encoding="utf-8") if ".fits" not in l))' "$t/out")
is "$wide" 0 "lines wider than the terminal, but for file names"
LC_ALL=C "$NIGHTJAR" inspect $sample --record 3 2>"$t/err" | LC_ALL=C grep -c '[^ -~]' >"$t/n"
is "$(cat "$t/n")" 0 "lines with other than ASCII without a UTF-8 locale"

"$NIGHTJAR" inspect $sample --candid "$candid" --json --stamps "$t/png" >"$t/one.json" 2>"$t/err"
ok $? "by candid, as JSON, with PNG files"
is "$(json "$t/one.json" 'p["packet"]["candid"]')" "$candid" "candid is whole in JSON"
is "$(json "$t/one.json" 'p["packet"]["objectId"]')" "$(field 3 object)" "object"
cat >"$t/fields.py" <<'P'
import json, sys, tarfile
sys.path.insert(0, "tests/e2e")
import avro
with tarfile.open(sys.argv[1]) as tar:
    packets = (tar.extractfile(m).read() for m in tar if m.name.endswith(".avro"))
    schema, _ = avro.container(next(packets))
print(len(next(f["type"]["fields"] for f in json.loads(schema)["fields"] if f["name"] == "candidate")))
P
fields=$(python3 "$t/fields.py" $sample)
is "$(json "$t/one.json" 'len(p["packet"]["candidate"])')" "$fields" \
  "fields of candidate: those of its schema"
is "$(json "$t/one.json" 'p["packet"]["candidate"]["isdiffpos"] == "t"')" \
  "$([ "$(field 3 positive)" = 1 ] && echo True || echo False)" "sign"
history='p["packet"]["prv_candidates"]'
is "$(json "$t/one.json" "all(a['jd'] < b['jd'] for a, b in zip($history, $history[1:]))")" True \
  "history in order of time"
is "$(json "$t/one.json" 'abs(p["packet"]["candidate"]["jd"] - '"$(field 3 jd)"') < 1e-7')" True \
  "jd keeps its digits"
is "$(json "$t/one.json" 'sorted(p["stamps"])')" "['difference', 'science', 'template']" "stamps"
for p in science template difference lightcurve; do
    python3 - "$t/png_$p.png" <<'P' >"$t/err" 2>&1
import struct, sys, zlib
b = open(sys.argv[1], "rb").read()
assert b[:8] == b"\x89PNG\r\n\x1a\n"
at, idat, head = 8, b"", None
while at < len(b):
    n, kind = struct.unpack(">I4s", b[at:at + 8])
    body = b[at + 8:at + 8 + n]
    assert struct.unpack(">I", b[at + 8 + n:at + 12 + n])[0] == zlib.crc32(kind + body), kind
    if kind == b"IHDR": head = struct.unpack(">IIBB", body[:10])
    if kind == b"IDAT": idat += body
    at += 12 + n
w, h, bits, colour = head
raw = zlib.decompress(idat)
assert (bits, colour) == (8, 2) and len(raw) == h * (3 * w + 1)
assert len(set(raw)) > 3, "an empty picture"
P
    ok $? "PNG of the $p: checksums, size, not empty"
done

# Every record of the sample, against the truth that was written with it.
bad=0
science='p["stamps"]["science"]'
got='"%s %s %d %d %d" % (p["packet"]["candid"], p["packet"]["schemavsn"], '
got+="$science[\"rows\"], $science[\"cols\"], $science[\"n_nan\"])"
for i in $(seq 0 19); do
    "$NIGHTJAR" inspect $sample --record "$i" --json >"$t/r.json" 2>"$t/err" || bad=$((bad + 1))
    want="$(field "$i" candid) $(field "$i" schema)"
    want+=" $(field "$i" rows) $(field "$i" cols) $(field "$i" n_nan)"
    [ "$(json "$t/r.json" "$got")" = "$want" ] || bad=$((bad + 1))
done
is "$bad" 0 "sample: records that differ from truth.csv"

"$NIGHTJAR" inspect $sample --record 20 >"$t/out" 2>"$t/err"; is $? 2 "exit code beyond the last record"
grep -q "there are 20" "$t/err"; ok $? "and how many there are"
"$NIGHTJAR" inspect $sample --candid 1 >"$t/out" 2>"$t/err"; is $? 2 "exit code for an unknown candid"
"$NIGHTJAR" inspect >"$t/out" 2>"$t/err"; is $? 1 "exit code without a file"
"$NIGHTJAR" inspect $sample --record x >"$t/out" 2>"$t/err"; is $? 1 "exit code for a bad number"

if [ -d "${NIGHTJAR_SHARED:-}/real" ]; then
    bad=0
    for f in "$NIGHTJAR_SHARED"/real/ztf/1*5015001.avro "$NIGHTJAR_SHARED"/real/other/fink_ztf/*.avro; do
        "$NIGHTJAR" inspect "$f" --json >"$t/r.json" 2>"$t/err" &&
            [ "$(json "$t/r.json" 'len(p["packet"]) > 5 and len(p["stamps"]) == 3')" = True ] ||
            { bad=$((bad + 1)); echo "# $f"; }
    done
    is "$bad" 0 "real packets of ZTF and Fink that it cannot show"
else
    skip "real packets" "inspect: no shared folder"
fi
finish
