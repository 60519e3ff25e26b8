#!/usr/bin/env bash
# The ready topics of hostless detection: what they let through of a simulated night is what their definition
# says, computed again from the rows and light curves of the same night.
cd "$(dirname "$0")/../.." || exit 1
export NIGHTJAR=${NIGHTJAR:-$PWD/nightjar}
t=$(mktemp -d) && trap 'rm -rf "$t"' EXIT
err=$t/err
. tests/e2e/tap.sh
"$NIGHTJAR" simulate -q -n 4000 --seed 5 -o "$t/night.tar" 2>"$t/err"; ok $? "a night"
run() { "$NIGHTJAR" run "$t/night.tar" -q -m hostless,roid --dead-letters "$t/dead.avro" "$@" 2>"$t/err"; }
run -o "ndjson:$t/all" --columns lc.jd,lc.kind,packet.candidate.distnr,packet.candidate.nbad
ok $? "all its rows"
cat >"$t/check.py" <<'P'
import json, sys
def dets(r):
    return sorted((j for j, k in zip(r["lc.jd"], r["lc.kind"]) if k == 0 and j < r["jd"]), reverse=True)
def base(r):
    return r["hostless.verdict"] == 1 and (r["packet.candidate.distnr"] or 0) > 1.5 and r["roid.roid"] != 3
def clean(r):
    good = r["rb"] >= 0.55 and r["packet.candidate.nbad"] == 0 and r["hostless.n_bad"] == 0
    good = good and r["hostless.verdict_reason"] is None
    return good and r["hostless.lone"] == "science" and r["positive"] == 1
def new(r): return r["ndethist"] == 1
def intra_night(r): d = dets(r); return r["ndethist"] == 2 and len(d) > 0 and r["jd"] - d[0] < 0.5
def inter_night(r):
    d = dets(r)
    return r["ndethist"] == 3 and len(d) > 1 and r["jd"] - d[0] > 0.5 and d[0] - d[1] < 0.5
topic = sys.argv[2].replace("hostless_", "")
which = globals()[topic.replace("_clean", "")]
rows = [r for r in map(json.loads, open(sys.argv[1])) if base(r) and which(r)]
want = {r["candid"] for r in rows if clean(r) or not topic.endswith("_clean")}
got = {json.loads(l)["candid"] for l in open(sys.argv[3])}
if want != got: print(len(want - got), "missing,", len(got - want), "too many", file=sys.stderr)
print(len(want)); sys.exit(want != got)
P
total=0
for topic in hostless_new hostless_new_clean hostless_intra_night hostless_intra_night_clean \
  hostless_inter_night hostless_inter_night_clean; do
  run -t $topic -o "ndjson:$t/$topic"; ok $? "run -t $topic"
  count=$(python3 "$t/check.py" "$t/all" $topic "$t/$topic" 2>"$t/err")
  ok $? "$topic: $count alerts, as by its definition"
  total=$((total + count))
done
[ "$total" -gt 0 ]; ok $? "the night has some ($total)"
finish
