#!/usr/bin/env python3
"""The short form of tests/long/kills.py: one broker, six kills -9 in six seconds, of the worker and of the
whole run in turn. Every output equals that of an uninterrupted run."""

import os, sys
from tap import ROOT

kills = os.path.join(ROOT, "tests", "long", "kills.py")
os.execv(
    sys.executable,
    [sys.executable, kills, *"--only mixed --brokers 1 --alerts 500 --kills 6 --seconds 1".split()],
)
