#!/usr/bin/env python3
"""The short form of one trial of tests/long/streams.py: partitions are added while a run works and while it
is dead. It comes back under its name in the group, and every partition has a reader."""

import os, sys
from tap import ROOT

streams = os.path.join(ROOT, "tests", "long", "streams.py")
os.execv(sys.executable, [sys.executable, streams, *"--only partitions --brokers 1".split()])
