#!/usr/bin/env bash
# Two binaries in turn over everything that perf/whole_night.py measures: before_after.py says what and how.
#   perf/before_after.sh [--quick] [-o PREFIX] OLD NEW
exec python3 "$(dirname "$0")/before_after.py" "$@"
