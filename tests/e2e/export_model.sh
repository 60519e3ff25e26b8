#!/usr/bin/env bash
# A scikit-learn forest (and XGBoost models, where xgboost is at hand), exported and checked: every golden row, among them
# rows that lie exactly on thresholds, has the score that the library itself computes.
set -u
cd "$(dirname "$0")/../.."
python=$(tests/python numpy) && { "$python" -c 'import sklearn' 2>/dev/null || timeout 300 "$python" -m pip install -q --disable-pip-version-check scikit-learn >/dev/null 2>&1; } &&
  "$python" -c 'import sklearn' 2>/dev/null || { echo "ok 1 - exported models # SKIP no Python with numpy and scikit-learn"; exit 0; }
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
if ! "$python" -B tests/models/check_export.py "$work" >"$work/log" 2>&1; then echo "not ok 1 - exported models"; tail -n 5 "$work/log"; exit 1; fi
n=0 rc=0
for folder in "$work"/*/; do
  n=$((n + 1)) name=$(basename "$folder")
  if "${NIGHTJAR:-./nightjar}" model check "$folder" >"$work/out" 2>&1; then echo "ok $n - $name: $(grep -o '[0-9]* golden rows.*' "$work/out")"
  else echo "not ok $n - $name"; sed 's/^/# /' "$work/out"; rc=1; fi
done
[ "$n" -ge 2 ] || { echo "not ok $((n + 1)) - two models at least"; rc=1; }
exit $rc
