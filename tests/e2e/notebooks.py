#!/usr/bin/env python3
"""The notebooks of the package: every code cell is run, in order, in one namespace and an empty folder. Of
IPython it has the last expression of a cell and lines that begin with !."""

import ast, glob, json, os, subprocess, sys
from tap import NIGHTJAR, ROOT, SANITIZED, Folder, done, needs, ok, skip

needs("numpy", "pandas", "pyarrow")
BINARY = os.path.abspath(NIGHTJAR)
NOTEBOOKS = sorted(glob.glob(f"{ROOT}/modules/python/notebooks/*.ipynb"))
sys.path.insert(0, f"{ROOT}/modules/python")
os.environ.update(
    NIGHTJAR=BINARY,
    NIGHTJAR_PYTHON=sys.executable,
    PYTHONPATH=f"{ROOT}/modules/python",
    PATH=os.path.dirname(BINARY) + ":" + os.environ["PATH"],
)


def shell(line):
    r = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=300)
    if r.returncode:
        raise RuntimeError(f"{line}: {r.stdout[-1500:]}{r.stderr[-1500:]}")


def run_cell(source, names):
    lines = [f"_shell({line[1:]!r})" if line.startswith("!") else line for line in source.split("\n")]
    body = ast.parse("\n".join(lines)).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    if last:
        repr(eval(compile(ast.Expression(last.value), "cell", "eval"), names))


def one(path):
    name = os.path.basename(path)
    with open(path, encoding="utf-8") as f:
        book = json.load(f)
    ok((book["nbformat"], book["nbformat_minor"]) == (4, 5), f"{name}: format 4.5", book["nbformat"])
    cells = [c for c in book["cells"] if c["cell_type"] == "code"]
    ok(all(c["outputs"] == [] and c["execution_count"] is None for c in cells), f"{name}: no outputs")
    ids = [c["id"] for c in book["cells"]]
    ok(len(set(ids)) == len(ids), f"{name}: each cell has an id of its own", ids)
    names = {"__name__": "__main__", "_shell": shell}
    for k, cell in enumerate(cells):
        why = ""
        try:
            run_cell("".join(cell["source"]), names)
        except Exception as e:  # it is the notebook's
            why = f"{type(e).__name__}: {e}"
        if not ok(not why, f"{name}: cell {k + 1} runs", why):
            return


if SANITIZED:
    skip("notebooks", "they are of the release build")
    done()
ok(len(NOTEBOOKS) == 3, "there are three notebooks", NOTEBOOKS)
for path in NOTEBOOKS:
    with Folder():
        one(path)
done()
