#!/usr/bin/env bash
# nightjar doctor: its lines name what a run would find, and a folder that is not there is said.
. "$(dirname "$0")/tap.sh"
cd "$(mktemp -d)" || exit 1
trap 'rm -rf "$PWD"' EXIT
out=$("$NIGHTJAR" doctor 2>&1); rc=$?
[ "$rc" -eq 0 ] && grep -q '^ok *nightjar ' <<<"$out" && grep -qE '^(ok|note) *librdkafka ' <<<"$out" &&
  grep -q "^ok *cores *$(nproc)," <<<"$out" && grep -qE '^(ok|note) *energy ' <<<"$out" &&
  grep -q '^ok *disk ' <<<"$out" && grep -q '^ok *share of the machine: by the CPU time of ' <<<"$out"
ok $? "libraries, cores, energy, disk"
if grep -q '^note *librdkafka' <<<"$out"; then grep -q SCRAM <<<"$out"
else ! grep -q 'cannot do SCRAM' <<<"$out"; fi
ok $? "an old librdkafka has its warning about SCRAM, a new one has none"
off=$(sed -n 's/.*built in; \([0-9]*\) of the default set are off/\1/p' <<<"$out")
named=$(sed -n 's/^note \{20,\}off, as no model is there: //p' <<<"$out" | tr ',' '\n' | grep -c .)
[ -n "$off" ] && [ "$((named + $(grep -cE '^note {20,}[a-z0-9_]+ is off: ' <<<"$out")))" -eq "$off" ]
ok $? "every module that is off is named"
mkdir none; each=$("$NIGHTJAR" doctor -D models.path=none 2>&1)
[ "$(grep -cE '^note {20,}[a-z0-9_]+ is off: ' <<<"$each")" -eq "$off" ]
ok $? "and has its reason when there is a folder of models"
(PATH=/nowhere; "$NIGHTJAR" doctor) | grep -q 'cc is not here, gcov is not here'
ok $? "no compiler: said, with what needs it"
"$NIGHTJAR" doctor -D models.path=/no/such/folder >out 2>&1; rc=$?
[ "$rc" -eq 1 ] && grep -q '^LACKS *models *\/no\/such\/folder' out
ok $? "a models folder that is not there: said, exit 1"
mkdir m; touch m/a m/b; "$NIGHTJAR" doctor -D models.path="$PWD/m:/no/such" >out 2>&1; rc=$?
[ "$rc" -eq 1 ] && grep -q "^ok *models *$PWD/m: 2 entries" out && grep -q '^LACKS *models */no/such' out
ok $? "several folders with ':' between them"
ORT_DYLIB_PATH=/no/such.so "$NIGHTJAR" doctor >out 2>&1; rc=$?
[ "$rc" -eq 1 ] && grep -q '^LACKS *ONNX Runtime' out
ok $? "a runtime that is named and does not load: said, exit 1"
"$NIGHTJAR" doctor -D energy.source=rapl -D energy.cpu_model=x >out 2>&1; rc=$?
{ [ "$rc" -eq 1 ] && grep -q '^LACKS *energy' out; } || { [ "$rc" -eq 0 ] && grep -q 'rapl, measured' out; }
ok $? "an energy source that is asked for and not there: said, exit 1"
"$NIGHTJAR" doctor --nonsense >out 2>&1; [ $? -eq 1 ]; ok $? "usage"
[ "$tap_bad" -eq 0 ] || sed 's/^/# /' <<<"$out"
finish
