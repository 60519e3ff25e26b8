"""kit.py - what the tests by the clock share: tap.py of the end-to-end tests, found from here. Not a test."""

import os, sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from tap import (
    NIGHTJAR,
    ROOT,
    SANITIZED,
    SHARED,
    Folder,
    done,
    nightjar,
    ok,
    report,
    rows,
    skip,
)  # noqa: E402,F401
