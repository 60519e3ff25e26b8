"""tap.py - what the end-to-end tests share: TAP lines, a folder that goes away, running nightjar. Not a
test."""

import importlib.util, json, os, shutil, subprocess, sys, tempfile

# Tests of the same names stand in this folder and beside it: packages that import Python's own shall find
# those.
_tests = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
_folder = [p for p in sys.path if os.path.dirname(os.path.realpath(p or ".")) == _tests]
_path, sys.path[:] = list(sys.path), [p for p in sys.path if p not in _folder]
import profile, secrets, trace

sys.path[:] = _path

NIGHTJAR = os.environ.get("NIGHTJAR", os.path.join(os.path.dirname(__file__), "..", "..", "nightjar"))
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
SHARED = os.environ.get("NIGHTJAR_SHARED", "")
SANITIZED = bool(os.environ.get("NIGHTJAR_SANITIZED"))
_count = _bad = 0


def ok(condition, name, detail=""):
    global _count, _bad
    _count += 1
    if not condition:
        _bad += 1
    print(f"{'ok' if condition else 'not ok'} {_count} - {name}", flush=True)
    if not condition and detail:
        print("# " + str(detail)[-3000:].replace("\n", "\n# "), flush=True)
    return bool(condition)


def skip(name, why):
    global _count
    _count += 1
    print(f"ok {_count} - {name} # SKIP {why}", flush=True)


def done():
    print(f"1..{_count}")
    sys.exit(1 if _bad else 0)


def needs(*packages):
    """Continues with a Python that has these packages (tests/python finds or makes one), or skips the whole
    file."""
    if all(importlib.util.find_spec(p) for p in packages):
        return
    if not os.environ.get("NIGHTJAR_NEEDS"):
        found = subprocess.run(
            [os.path.join(ROOT, "tests", "python"), *packages], capture_output=True, text=True
        )
        if found.returncode == 0:
            os.environ["NIGHTJAR_NEEDS"] = "1"
            python = os.path.join(ROOT, found.stdout.strip())
            os.execv(python, [python, *sys.argv])
    skip(
        os.path.basename(sys.argv[0]), "no Python with " + ", ".join(packages) + ", and none can be installed"
    )
    done()


def compile_module(source, out, *flags, kit=False):
    """A shared object for --module-path; kit: with the kit's functions."""
    libs = [os.path.join(os.environ.get("NIGHTJAR_BUILD", f"{ROOT}/build/release"), "libnightjar-kit.a")]
    common = ["-std=c11", "-D_GNU_SOURCE", "-fPIC", "-DNJ_SHARED", "-shared", f"-I{ROOT}/include"]
    cc = os.environ.get("CC_MODULE", "cc")
    subprocess.run([cc, *common, *flags, "-o", out, source, *(libs if kit else []), "-lm"], check=True)
    return os.path.abspath(out)


class Folder:
    """A scratch folder, entered as the working directory."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="nightjar-test-")
        self.before = os.getcwd()
        os.chdir(self.path)
        return self.path

    def __exit__(self, *_):
        os.chdir(self.before)
        shutil.rmtree(self.path, ignore_errors=True)


def nightjar(*args, stdin=None, timeout=300, env=None):
    """Runs the binary; returns CompletedProcess with text output."""
    return subprocess.run(
        [NIGHTJAR, *map(str, args)],
        input=stdin,
        capture_output=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
        text=stdin is None or isinstance(stdin, str),
    )


def said_until(child, words):
    """The standard error of a run up to the first line with these words; what follows is left to be read."""
    said = ""
    for line in child.stderr:
        said += line
        if words in line:
            break
    return said


def free_port():
    """A port that no other test gets while this one runs (tests/e2e/ports)."""
    ports = os.path.join(ROOT, "tests", "e2e", "ports")
    return int(
        subprocess.run([ports, "1", f"/proc/{os.getpid()}"], stdout=subprocess.PIPE, check=True).stdout
    )


def rows(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def table_rows(data):
    """The rows of a FITS table as texts. By columns: astropy takes milliseconds for each row that it is asked
    for."""
    columns = [data[name].tolist() for name in data.names]
    return [repr([x.tolist() if hasattr(x, "tolist") else x for x in row]) for row in zip(*columns)]


def report(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)
