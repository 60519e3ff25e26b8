#!/usr/bin/env bash
# Models of scikit-learn, XGBoost, LightGBM, CatBoost and PyTorch, exported and checked: every golden row,
# among them rows that lie exactly on thresholds, has the score that the library itself computes. All but
# PyTorch come by pip. PyTorch is used where it is installed (Debian: python3-torch), as it is large.
set -u
cd "$(dirname "$0")/../.."
work=$(mktemp -d) err=$work/out && trap 'rm -rf "$work"' EXIT
. tests/e2e/tap.sh
with() { # IMPORT: a Python that has it
  for p in ${NIGHTJAR_PYTHON:-} build/python/bin/python python3 /usr/bin/python3; do
    "$p" -c "from importlib.util import find_spec as f; exit(not (f('numpy') and f('$1')))" 2>/dev/null &&
      echo "$p" && return
  done
  return 1
}
get() { # PACKAGE IMPORT: a Python that has it
  local python
  with "$2" && return
  python=$(tests/python numpy scipy pandas) && case $python in
    build/python/*) timeout 300 "$python" -m pip install -q --disable-pip-version-check $1 >/dev/null 2>&1 ;;
  esac
  with "$2"
}
check() { # KIND LEAST PYTHON
  local found=0
  mkdir "$work/$1"
  if ! timeout 300 "$3" -B tests/models/check_export.py "$work/$1" "$1" >"$work/log" 2>&1; then
    ok 1 "exported from $1"
    tail -n 12 "$work/log" | sed 's/^/# /'
    return
  fi
  for folder in "$work/$1"/*/; do
    found=$((found + 1))
    "${NIGHTJAR:-./nightjar}" model check "$folder" >"$work/out" 2>&1
    ok $? "$(basename "$folder"): $(grep -o 'engine.*' "$work/out")"
  done
  [ "$found" -ge "$2" ]
  ok $? "$1: $2 models at least ($found)"
}
if python=$(get scikit-learn sklearn); then check sklearn 17 "$python"
else skip "exported from scikit-learn" "no Python with numpy and scikit-learn"; fi
if python=$(get "--no-deps xgboost-cpu" xgboost); then check xgboost 17 "$python"
else skip "exported from XGBoost" "no Python with xgboost"; fi
if python=$(get "--no-deps lightgbm" lightgbm); then check lightgbm 10 "$python"
else skip "exported from LightGBM" "no Python with lightgbm"; fi
if python=$(get "--no-deps catboost six" catboost); then check catboost 8 "$python"
else skip "exported from CatBoost" "no Python with catboost"; fi
if python=$(with torch); then check torch 2 "$python"
else skip "exported from PyTorch" "no Python with torch (apt-get install python3-torch)"; fi
finish
