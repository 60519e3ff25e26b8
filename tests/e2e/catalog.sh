#!/usr/bin/env bash
# Local catalogues from the command line: build, look into, match in a run, replace under a run.
set -u
NIGHTJAR=${NIGHTJAR:-./nightjar}
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
err=$dir/err
. "$(dirname "$0")/tap.sh"

printf 'name,ra,dec,z\nfirst,10.0,20.0,0.1\nsecond,10.0001,20.0,\nfar,200,-45,0.3\nlost,,,1\n' >"$dir/a.csv"
$NIGHTJAR catalog build "$dir/a.csv" -o "$dir/a.njx" -q >"$dir/out" 2>&1 &&
  grep -q '3 rows, 1 rejected' "$dir/out"
ok $? "a CSV becomes a catalogue, the row without a place is counted"
$NIGHTJAR catalog info "$dir/a.njx" | grep -q "sha256    $(sha256sum "$dir/a.csv" | cut -d' ' -f1)"
ok $? "info names the source's sha256"
[ "$($NIGHTJAR catalog query "$dir/a.njx" 10 20 1 | cut -f4 | tr '\n' ' ')" = "name first second " ]
ok $? "query: nearest first, all columns"
far=$($NIGHTJAR catalog query "$dir/a.njx" 13:20:00 -45:00:00.1 1 --json | python3 -c 'import json, sys
r = json.load(sys.stdin)
print(r["name"], r["z"], abs(r["sep_arcsec"] - .1) < 1e-6)')
[ "$far" = "far 0.3 True" ]; ok $? "query: positions in parts, JSON"
$NIGHTJAR catalog check "$dir/a.njx" | grep -q ' 0 wrong'; ok $? "check: sums and cones"
hash=$($NIGHTJAR catalog info "$dir/a.njx" --json |
  python3 -c 'import json,sys; print(json.load(sys.stdin)["hash"])')
$NIGHTJAR catalog build "$dir/a.csv" -o "$dir/b.njx" -q >/dev/null &&
  $NIGHTJAR catalog info "$dir/b.njx" | grep -q "$hash"
ok $? "the same input gives the same hash"
$NIGHTJAR catalog build "$dir/a.csv" -o "$dir/c.njx" --ra nothing -q 2>"$dir/err"
[ $? -eq 2 ] && grep -q "no ra column 'nothing'" "$dir/err" && [ ! -e "$dir/c.njx" ]
ok $? "a missing column: exit 2, the reason, no file"
head -c 1500 "$dir/a.njx" >"$dir/cut.njx"
$NIGHTJAR catalog info "$dir/cut.njx" 2>"$dir/err"
[ $? -eq 2 ] && grep -q 'cut.njx: is truncated' "$dir/err"
ok $? "a truncated catalogue is refused with the reason"
$NIGHTJAR catalog build 2>/dev/null; [ $? -eq 1 ]; ok $? "no file: exit 1"

real=${NIGHTJAR_SHARED:-}/real/catalogs
if [ -z "${NIGHTJAR_SHARED:-}" ] || [ ! -d "$real" ]; then
  skip "alerts matched in a run" "no shared folder"
  skip "a catalogue replaced under a run" "no shared folder"
  finish
fi
$NIGHTJAR catalog build "$real/gcvs.parquet" -o "$dir/gcvs.njx" --columns VarType:type -q >/dev/null &&
  $NIGHTJAR catalog build "$real/3hsp.csv" -o "$dir/x3hsp.njx" --ra R.A. --dec Dec \
    --columns "3HSP Source name:name" --radius 60 -q >/dev/null
$NIGHTJAR run -q -D run.data_path="$dir" -m gcvs,x3hsp -o "ndjson:$dir/sym.ndjson" --report "$dir/run.json" \
  "$NIGHTJAR_SHARED/oracles/alerts/sym.avro" >/dev/null 2>"$dir/err" || cat "$dir/err"
python3 - "$dir" "$NIGHTJAR_SHARED" <<'P'
import csv, json, sys
rows = {r["candid"]: r for r in map(json.loads, open(sys.argv[1] + "/sym.ndjson"))}
want = list(csv.DictReader(open(sys.argv[2] + "/oracles/computed/sym.csv")))
for w in want:
    r = rows[int(w["candid"])]
    assert (r["gcvs.type"] or "Unknown") == w["gcvs"], (w["candid"], r["gcvs.type"], w["gcvs"])
    state = "none" if w["gcvs"] == "Unknown" else "match"
    assert (r["x3hsp.name"] or "Unknown") == w["x3hsp"] and r["gcvs.state"] == state
    assert r["gcvs.reason"] == "done"
    assert r["gcvs.type"] is None or abs(r["gcvs.sep_arcsec"] - float(w["gcvs.arcsec"])) < 1e-6
files = {f["name"]: f for f in json.load(open(sys.argv[1] + "/run.json"))["context"]["files"]}
gcvs = files["gcvs.njx"]
assert len(want) == 20 and gcvs["searched"] == 20
assert gcvs["generation"] == 1 and len(gcvs["sha256"]) == 64
P
ok $? "alerts matched in a run: labels of every row, the hash and the count in the report"

# Half of the night, then a new catalogue (every label the same new one), then the rest.
(cd "$NIGHTJAR_SHARED/real/ztf" && tar cf "$dir/night.tar" ./*.avro)
bytes=$(stat -c %s "$dir/night.tar"); half=$((bytes / 1024 * 512))
mkfifo "$dir/pipe"
$NIGHTJAR run -q -D run.data_path="$dir" -D module.gcvs.with_hash=1 -m gcvs -o "ndjson:$dir/swap.ndjson" \
  --report "$dir/swap.json" - <"$dir/pipe" >/dev/null 2>"$dir/err" &
pid=$!
exec 7>"$dir/pipe"
head -c "$half" "$dir/night.tar" >&7
for _ in $(seq 100); do [ "$(cat "$dir/swap.ndjson" 2>/dev/null | wc -l)" -gt 20 ] && break; sleep 0.1; done
printf 'ra,dec,type\n1,1,NEW\n' >"$dir/new.csv"
$NIGHTJAR catalog build "$dir/new.csv" -o "$dir/gcvs.njx" -q >/dev/null
kill -HUP $pid
sleep 0.2
tail -c +$((half + 1)) "$dir/night.tar" >&7
exec 7>&-
wait $pid; rc=$?
[ $rc -eq 0 ] || cat "$dir/err"
python3 - "$dir" $rc <<'P'
import collections, json, sys
rows = [json.loads(line) for line in open(sys.argv[1] + "/swap.ndjson")]
files = json.load(open(sys.argv[1] + "/swap.json"))["context"]["files"]
files = sorted((f for f in files if f["name"] == "gcvs.njx"), key=lambda f: f["generation"])
by = collections.Counter(r["gcvs.catalog"] for r in rows)
assert sys.argv[2] == "0" and len(rows) == 322 and len(files) == 2, (len(rows), files)
assert [f["generation"] for f in files] == [1, 2], files
assert [by[f["sha256"][:16]] for f in files] == [f["searched"] for f in files], (by, files)
assert min(by.values()) > 20 and sum(by.values()) == 322
P
ok $? "a catalogue replaced under a run: both states in the report, each row by one of them"
finish
