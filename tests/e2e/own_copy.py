"""own_copy.py - a test that starts nightjar again and again must have one program all the time, also while a
build replaces it: imported before tap, this sets $NIGHTJAR to a copy. Not a test."""

import atexit, os, shutil, tempfile

_of = os.environ.get("NIGHTJAR", os.path.join(os.path.dirname(__file__), "..", "..", "nightjar"))
if not os.environ.get("NIGHTJAR_OWN_COPY"):  # else this is a Python that took the place of the first one
    _folder = tempfile.mkdtemp(prefix="nightjar-copy-")
    os.environ["NIGHTJAR"] = os.path.join(_folder, "nightjar")
    os.environ["NIGHTJAR_OWN_COPY"] = f"{os.getpid()} {_folder}"
    shutil.copy2(_of, os.environ["NIGHTJAR"])
_owner, _folder = os.environ["NIGHTJAR_OWN_COPY"].split(" ", 1)
if int(_owner) == os.getpid():
    atexit.register(shutil.rmtree, _folder, ignore_errors=True)
