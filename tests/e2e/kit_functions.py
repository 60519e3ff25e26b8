#!/usr/bin/env python3
"""The list of the kit's functions is that of the headers, and the guides name functions that exist."""

import glob, os, re, subprocess, sys
from tap import ROOT, done, ok

command = [sys.executable, f"{ROOT}/perf/kit_functions.py", "--check"]
r = subprocess.run(command, capture_output=True, text=True)
ok(r.returncode == 0, "include/nightjar/FUNCTIONS.md is the list that perf/kit_functions.py makes", r.stderr)
known = ""
for path in glob.glob(f"{ROOT}/include/nightjar/*.h"):
    with open(path, encoding="utf-8") as f:
        known += f.read()
for name in ("FROM_PANDAS.md", "CRASHES.md"):
    with open(os.path.join(ROOT, "modules", name), encoding="utf-8") as f:
        named = set(re.findall(r"\b(?:nj|NJ)_\w+", f.read()))
    missing = sorted(n for n in named if not re.search(rf"\b{n}\b", known))
    ok(named and not missing, f"modules/{name}: all of its {len(named)} names exist", missing)
done()
