#!/usr/bin/env python3
"""The short form of tests/long/members.py: two and three processes of one group on one broker, killed and
joined in turn. The outputs together equal those of one run."""

import os, sys
from tap import ROOT

members = os.path.join(ROOT, "tests", "long", "members.py")
os.execv(
    sys.executable,
    [sys.executable, members, *"--alerts 600 --turns 4 --seconds 1.5 --away 1".split()],
)
