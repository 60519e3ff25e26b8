#!/usr/bin/env python3
"""The short form of tests/long/boundaries.py: a few of the moments between two system calls, other ones each
time, for each kind of output."""

import os, sys
from tap import ROOT

long = os.path.join(ROOT, "tests", "long", "boundaries.py")
os.execv(sys.executable, [sys.executable, long, *"--step 67 --alerts 24".split(), *sys.argv[1:]])
