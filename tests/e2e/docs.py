#!/usr/bin/env python3
"""Every command and snippet of the README files is run, in the order in which it stands, against stand-ins.

A fenced block says what it is: sh (each command must end well), python (run by a Python with pandas, astropy
and fastavro), output (what the block before it printed, to the letter), c (compiled, in modules/README.md),
mermaid, and text or csv (read by people only). A command in backticks within a sentence is not run: its
subcommand and its options must exist. What is put in the place of hosts and files that only a reader has
stands in STAND_INS, what is not run in NOT_RUN, each with its reason.

Arguments: the documents, else all. With NIGHTJAR_DOCS_WRITE=1 the output blocks are written again: see the
difference, then commit.
"""

import glob, json, os, re, shutil, signal, subprocess, sys, tarfile, time
from mock_broker import MockBroker
from tap import NIGHTJAR, ROOT, SANITIZED, Folder, done, nightjar, ok, skip

LANGUAGES = {"sh", "python", "output", "text", "c", "csv", "mermaid", "ini"}
ALERTS = 120
# (what stands in the document, what is run, why)
STAND_INS = [
    (r"public\.alerts\.ztf\.uw\.edu:9092", "{broker}", "a broker in this process instead of the survey's"),
    (r"localhost:9092", "{broker}", "the reader's own broker: the same one"),
    (
        r"^(\./nightjar run 'kafka://.*)$",
        r"\1 -X session.timeout.ms=3000 -X heartbeat.interval.ms=500",
        "the mock waits so long for a member that left",
    ),
    (r"simulate -n 2000 ", "simulate -n 300 ", "a page per alert is written below"),
    (r"FOLDER_OF_PARQUET", "parquet", "the simulated night, written by pyarrow"),
    (
        r"^(\./nightjar profile .*)$",
        r"\1 --repeat 2",
        "a profile to look at takes a minute, two replays show that it works",
    ),
    (
        r"^\./nightjar bench$",
        "./nightjar bench simulate --seconds 0.02",
        "all subjects take minutes; bench.py tests them",
    ),
    (
        r"^\./nightjar cutout --bench$",
        "./nightjar cutout --bench -j 2 --size 20",
        "fewer workers, smaller stamps",
    ),
    (r"^make testbins$", "make build/release/tests/module/conformance", "one test program, not all of them"),
    (
        r"^tests/run module/conformance$",
        "NIGHTJAR_SHARED= build/release/tests/module/conformance",
        "tests/run would not see the copy's binary alone",
    ),
]
# (command, why it is not run); those of make must be targets
NOT_RUN = [
    (r"^make demo$", "installs packages; it is what continuous integration runs in a fresh machine"),
    (r"^make test$", "this test is part of it"),
    (r"^make onnxruntime$", "downloads 15 MB"),
    (r"^gdb ", "gdb is not among the packages that tests install; each was run by hand"),
    (r"^\(ulimit -c", "it shows a crash"),
    (r"^LD_PRELOAD=\S*\(cc -print", "it needs build/release/nightjar-pieces beside it"),
    (r"^curl .*ztf\.uw\.edu", "gigabytes from the survey's archive; night.tar.gz is a simulated one"),
]
made = {}  # the files of night(), by name
LIVE = re.compile(r"nightjar run '?kafka://(?!.*until=)")  # continues until it is interrupted


def documents():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "*.md"], capture_output=True, text=True)
    names = (
        listed.stdout.split()
        if listed.returncode == 0
        else [
            os.path.relpath(f, ROOT)
            for f in glob.glob(os.path.join(ROOT, "**", "*.md"), recursive=True)
            if "/build/" not in f
        ]
    )
    return sorted(names)


def blocks(name):
    """(language, text, line) of each fenced block."""
    text = open(os.path.join(ROOT, name), encoding="utf-8").read()
    return [
        (m[2], m[3], text.count("\n", 0, m.start()) + 1)
        for m in re.finditer(r"^( *)```(\S*)\n(.*?)^ *```", text, re.S | re.M)
    ]


def commands(text):
    """The commands of a block: lines, with those that end in a backslash joined; comments go."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        line = re.sub(r"(^|\s)#\s.*$", "", line).strip()
        if line:
            yield line


# --- what the reader has and the test makes -----------------------------------------------------------------
def night():
    """The same for each document: it is made once."""
    if not made:
        r = nightjar("simulate", "-n", ALERTS, "--exposures", 6, "--seed", 7, "-o", "night.tar.gz", "-q")
        assert r.returncode == 0, r.stderr
        made.update({name: open(name, "rb").read() for name in ("night.tar.gz", "truth.csv")})
    for name, content in made.items():
        open(name, "wb").write(content)
    with tarfile.open("night.tar.gz") as t:
        first = next(m for m in t if m.name.endswith(".avro"))
        open("alert.avro", "wb").write(t.extractfile(first).read())
        t.extractall("folder", filter="data") if hasattr(tarfile, "data_filter") else t.extractall("folder")


def reports():
    for name in ("before", "after"):
        r = nightjar("run", "night.tar.gz", "-q", "--report", name + ".json", "-j", 1)
        assert r.returncode == 0, r.stderr


def shared_objects():
    for name in ("old", "new"):
        subprocess.run(
            [
                *os.environ.get("CC", "cc").split(),
                "-std=c11",
                "-O2",
                "-fPIC",
                "-shared",
                "-DNJ_SHARED",
                "-I",
                os.path.join(ROOT, "include"),
                os.path.join(ROOT, "modules", "roid.c"),
                "-o",
                name + ".so",
            ],
            check=True,
        )


PARQUET = """
import fastavro, glob, os, pyarrow as pa, pyarrow.parquet as pq
os.makedirs("parquet/finkclass=Unknown")
alerts = [a for f in sorted(glob.glob("folder/*.avro"))[:20] for a in fastavro.reader(open(f, "rb"))]
for a in alerts:
    a.pop("fp_hists", None)
pq.write_table(pa.Table.from_pylist(alerts), "parquet/finkclass=Unknown/part-0.parquet")
"""


def find_python(*packages):
    found = subprocess.run([os.path.join(ROOT, "tests", "python"), *packages], capture_output=True, text=True)
    python = found.stdout.strip()
    return (
        (python if python.startswith("/") else os.path.join(ROOT, python)) if found.returncode == 0 else None
    )


def parquet():
    """A night as a data transfer writes it; False without pyarrow."""
    python = find_python("pyarrow", "fastavro")
    if not python:
        return False
    r = subprocess.run([python, "-c", PARQUET], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    return True


def copy_tree():
    """The sources and what was built of them: for documents that say `make`."""
    for part in ("Makefile", "broker", "include", "modules", "schemas", "data", "tests"):
        src = os.path.join(ROOT, part)
        (shutil.copytree if os.path.isdir(src) else shutil.copy2)(src, part)
    shutil.copytree(
        os.path.join(ROOT, "build", "release"),
        os.path.join("build", "release"),
        ignore=shutil.ignore_patterns("tests", "so", "fuzz"),
    )


# --- running ------------------------------------------------------------------------------------------------
class Reader:
    """One who goes through a document from its top to its end, in one folder."""

    def __init__(self, name, broker):
        self.name, self.broker, self.printed, self.have_parquet, self.moved, self.unmade = (
            name,
            broker,
            None,
            None,
            0,
            set(),
        )

    def stand_in(self, command):
        for pattern, replacement, _ in STAND_INS:
            command = re.sub(pattern, replacement.replace("{broker}", self.broker), command)
        return command

    def run(self, command, line):
        title = f"{self.name}:{line}: {command}"
        for pattern, why in NOT_RUN:
            if re.search(pattern, command):
                if command.startswith("make "):
                    r = subprocess.run(
                        ["make", "-C", ROOT, "-q", command.split()[1]], capture_output=True, text=True
                    )
                    return ok("No rule" not in r.stderr, f"{title}: is there ({why})", r.stderr)
                return print(f"# not run: {title}: {why}")
        if "FOLDER_OF_PARQUET" in command:
            if self.have_parquet is None:
                self.have_parquet = parquet()
            if not self.have_parquet:
                return skip(title, "no Python with pyarrow, and none can be installed")
        if any(f in command for f in self.unmade):
            self.printed = None
            return skip(title, "the snippet that makes its input did not run")
        actual = self.stand_in(command)
        live = LIVE.search(actual)
        start = time.time()
        rc, out, err = self.until_rows(actual) if live else self.to_the_end(actual)
        self.printed = out
        good = ok(rc == (130 if live else 0), title, f"{actual}\nexit {rc}\n{out[-1500:]}{err[-1500:]}")
        if time.time() - start > 5:
            print(f"# {time.time() - start:.1f} s")
        return good

    def to_the_end(self, command):
        try:
            r = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command],
                capture_output=True,
                text=True,
                timeout=300,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            return "none after 300 s", "", ""
        return r.returncode, r.stdout, r.stderr

    def until_rows(self, command):
        """A live stream: a night is sent when the run has begun, and the run is interrupted when its rows are
        there."""
        topic = (
            "ztf_20260321_programid1"
            if "ztf_" in command
            else re.search(r"kafka://[^/]*/([a-z_0-9]+)", command)[1]
        )
        path = re.search(r"-o \w+:(\S+)", command)[1]
        size = lambda: os.path.getsize(path) if os.path.exists(path) else 0
        before = size()
        p = subprocess.Popen(
            ["bash", "-c", "exec " + command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        time.sleep(3)  # from=latest: what is sent before the first assignment is not for this run
        deadline = time.time() + 120
        while time.time() < deadline and p.poll() is None:
            nightjar("replay", "night.tar.gz", "--to", f"kafka://{self.broker}/{topic}", "--limit", 20, "-q")
            time.sleep(1)
            if size() > before:
                break
        p.send_signal(signal.SIGINT)
        try:
            out, err = p.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = p.communicate()
        return p.returncode if size() > before else f"{p.returncode}, and no rows", out, err

    def python(self, text, line, python):
        title = f"{self.name}:{line}: {text.strip().splitlines()[-1].strip()}"
        if not python:
            self.printed = None
            self.unmade |= (
                set(re.findall(r'"([\w.]+\.(?:fits|csv|json))"', text)) if "write" in text else set()
            )
            return skip(title, "no Python with pandas, polars, DuckDB, ..., and none can be installed")
        r = subprocess.run(
            [python, "-W", "error::DeprecationWarning", "-c", text],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "PYTHONPATH": os.path.join(ROOT, "modules", "python")},
        )
        self.printed = r.stdout
        return ok(r.returncode == 0, title, r.stdout + r.stderr)

    def compare(self, text, line):
        title = f"{self.name}:{line}: prints what stands there"
        if self.printed is None:
            return skip(title, "the block before it did not run")
        if os.environ.get("NIGHTJAR_DOCS_WRITE"):
            self.rewrite(line)
            text = self.printed
        trim = lambda s: [x.rstrip() for x in s.rstrip().splitlines()]
        return ok(trim(text) == trim(self.printed), title, self.printed)

    def rewrite(self, line):
        path = os.path.join(ROOT, self.name)
        lines = open(path, encoding="utf-8").read().split("\n")
        line += self.moved  # blocks above may have changed their length
        end = lines.index("```", line)
        now = self.printed.rstrip().split("\n")
        self.moved += len(now) - (end - line)
        lines[line:end] = [x.rstrip() for x in now]
        open(path, "w", encoding="utf-8").write("\n".join(lines))


def read(name, broker, python):
    """All blocks of a document."""
    parts = blocks(name)
    if not any(language in ("sh", "python") for language, _, _ in parts):
        return
    text = "".join(t for language, t, _ in parts if language == "sh")
    with Folder():
        night()
        if any(language == "c" for language, _, _ in parts):
            copy_tree()
        else:
            for part in ("data", "modules", "include", "perf", "tests", "schemas"):
                os.symlink(os.path.join(ROOT, part), part)
            os.symlink(os.path.abspath(NIGHTJAR), "nightjar")
        if "before.json" in text:
            reports()
        if "old.so" in text:
            shared_objects()
        if "-o night.tar.gz" in text:
            os.remove("night.tar.gz")  # the reader makes one
            os.remove("truth.csv")
        reader = Reader(name, broker)
        for language, text, line in parts:
            if language == "sh":
                for c in commands(text):
                    reader.run(c, line)
            elif language == "python":
                reader.python(text, line, python)
            elif language == "output":
                reader.compare(text, line)
            elif language == "c":
                module = re.search(r"NJ_MODULE\((\w+)\)", text)[1]
                open(f"modules/{module}.c", "w").write(text)


# --- what stands in sentences -------------------------------------------------------------------------------
def inline(names):
    """Commands in backticks: the subcommand is in the help, its options in its own help."""
    known = dict(re.findall(r"^  nightjar (\S+) (.*)$", nightjar("--help").stdout, re.M))
    helps, bad = {}, []
    for name in names:
        if name == "CHANGELOG.md":
            continue  # it may speak of what is gone or to come
        text = re.sub(
            r"^( *)```.*?^ *```",
            "",
            open(os.path.join(ROOT, name), encoding="utf-8").read(),
            flags=re.S | re.M,
        )
        for command in re.findall(r"`(?:\./)?nightjar ([a-z][^`]*)`", text):
            words = command.split(" -- ")[0].replace("\\|", "|").split()
            if words[0] == "simulator":
                continue  # a value of a field, not a command
            if words[0] not in known:
                bad.append(f"{name}: nightjar {command}: no such command")
                continue
            if words[0] not in helps:
                helps[words[0]] = nightjar(words[0], "--help").stdout + known[words[0]]
            help_text = helps[words[0]]
            for w in words[1:]:
                if re.match(r"--?[a-z]", w) and not re.search(
                    r"(?<![\w-])" + re.escape(w.split("=")[0]) + r"(?![\w-])", help_text
                ):
                    bad.append(f"{name}: nightjar {command}: no option {w}")
        for target in re.findall(r"`make ([a-z_-]+)[^`]*`", text):
            if not re.search(rf"^{target}:", open(os.path.join(ROOT, "Makefile")).read(), re.M):
                bad.append(f"{name}: make {target}: no such target")
        for link in re.findall(r"\]\(([^)#:]+)[^):]*\)", text):
            if not os.path.exists(os.path.join(ROOT, os.path.dirname(name), link)):
                bad.append(f"{name}: link to {link}, which is not there")
    ok(not bad, "commands, options, make targets and links in the sentences exist", "\n".join(bad))


def figures():
    r = subprocess.run([os.path.join(ROOT, "tests", "picture"), "--check"], capture_output=True, text=True)
    ok(r.returncode == 0, "the picture of the includes in README.md is that of the sources", r.stderr)
    sizes = {f: os.path.getsize(f) for f in glob.glob(os.path.join(ROOT, "broker", "report", "figures", "*"))}
    ok(len(sizes) >= 4 and max(sizes.values()) < 200000, f"{len(sizes)} figures, none above 200 kB", sizes)


def numbers(x):
    if isinstance(x, (dict, list)):
        for v in x.values() if isinstance(x, dict) else x:
            yield from numbers(v)
    elif isinstance(x, (int, float)) and not isinstance(x, bool):
        yield float(x)


def claims():
    """A ratio in a table of README.md stands in the result file beside it, to the digits that are shown."""
    text, bad, n = open(os.path.join(ROOT, "README.md"), encoding="utf-8").read(), [], 0
    for _, said, name in re.findall(r"^\| (.*?) \| ([\d./ ,]+) \| (\S+\.json) \|$", text, re.M):
        path = os.path.join(ROOT, "perf", "results", name)
        have = list(numbers(json.load(open(path)))) if os.path.exists(path) else []
        for number in re.findall(r"\d[\d.]*", said.replace(",", "")):
            n += 1
            digits = len(number.partition(".")[2])
            if not any(abs(v - float(number)) <= 0.5 * 10**-digits + 1e-9 for v in have):
                bad.append(f"{number} is not in perf/results/{name}")
    r = subprocess.run(
        [sys.executable, os.path.join(ROOT, "perf", "module_table.py"), "--check"],
        capture_output=True,
        text=True,
    )
    ok(
        not bad and n >= 4 and r.returncode == 0,
        f"README.md: {n} ratios and the module table are those of perf/results",
        "\n".join(bad) + r.stderr,
    )


def files():
    """A file of its own folder that a README names is there."""
    bad = []
    for name in documents():
        text = re.sub(
            r"^( *)```.*?^ *```",
            "",
            open(os.path.join(ROOT, name), encoding="utf-8").read(),
            flags=re.S | re.M,
        )
        here = os.path.join(ROOT, os.path.dirname(name))
        for row in re.findall(r"^\| ([^|]*\.[ch]\b[^|]*) \|", text, re.M):
            bad += [
                f"{name}: {f}"
                for f in re.findall(r"(?<![\w/*.-])[a-z_0-9]+\.(?:c|h|cc)\b", row)
                if not os.path.exists(os.path.join(here, f))
            ]
    for f in (
        glob.glob(os.path.join(ROOT, "broker", "*", "*.c"))
        + glob.glob(os.path.join(ROOT, "modules", "kit", "*", "*.c"))
        + glob.glob(os.path.join(ROOT, "modules", "*.c"))
    ):
        folder, name = os.path.split(os.path.relpath(f, ROOT))
        if folder not in ("broker/cmd", "broker/bench"):  # those speak for themselves: the help, bench --list
            if not re.search(
                rf"(?<![a-z]){name[:-2]}(?![a-z])",
                open(os.path.join(ROOT, folder, "README.md"), encoding="utf-8").read(),
            ):
                bad.append(f"{folder}/README.md does not name {name}")
    ok(not bad, "what a folder's README lists is in the folder, and every source is named", "\n".join(bad))


def known_names():
    """Every name that a user can say: columns, instances, topics, options."""
    known, listed = set(), nightjar("modules").stdout.splitlines()[1:]
    ini = open(os.path.join(ROOT, "data", "instances.ini")).read()
    recipes = dict(
        re.findall(
            r"-o (\w+)\.njx .*?--columns (\S+|\".*?\")",
            open(os.path.join(ROOT, "broker/catalog/README.md")).read(),
        )
    )
    for name, section in re.findall(r"^\[(?:module|topic)\.(\w+)\]\n((?:(?!\[).*\n)*)", ini, re.M):
        known.add(name)
        columns = re.findall(r"^columns = (.*)$", section, re.M) + [recipes.get(name, "").replace("\"", "")]
        if "kind = xmatch\n" in section:
            # SOURCE:name:type in a recipe; names come in lower case
            given = [c.strip().split(":") for text in columns for c in text.split(",") if c.strip()]
            known |= {f"{name}.{(c[1] if len(c) > 1 else c[0]).lower()}" for c in given} | {
                f"{name}.{c}" for c in ("n", "sep_arcsec", "state")
            }
        elif "default = 0\n" in section:
            listed.append(name)
    for name in {line.split()[0] for line in listed}:
        known |= {name} | set(
            re.findall(r"^  (\w+\.\w+) ", nightjar("modules", name).stdout.split("\ngives\n")[-1], re.M)
        )
    for line in open(os.path.join(ROOT, "schemas", "ztf.map")):
        known |= set(re.findall(r"^(?:series )?(\w+(?:\.\w+)?) ", line))
    return (
        known
        | set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", nightjar("run", "--help").stdout))
        | set(
            re.findall(
                r"`(\w+)`",
                open(os.path.join(ROOT, "broker/sink/READING.md"))
                .read()
                .split("Three rules")[1]
                .split("\n##")[0],
            )
        )
    )


def translations(name):
    """In the tables of a guide, what stands in backticks in a column headed nightjar is a name that
    exists."""
    known, bad, raw, column, n = known_names(), [], set(), None, 0
    for line in open(os.path.join(ROOT, name), encoding="utf-8"):
        cells = [c.strip() for c in line.strip().strip("|").split(" | ")] if line.startswith("|") else []
        if "nightjar" in cells:
            column = cells.index("nightjar")
        elif cells and column is not None:
            for word in re.findall(r"`([^`]+)`", cells[column] if len(cells) > column else ""):
                n += 1
                if word.startswith("packet."):
                    raw.add(word)
                elif not word.startswith("nightjar ") and word not in known:
                    bad.append(word)
        if not cells:
            column = None
    r = nightjar(
        "run",
        os.path.join(ROOT, "data", "sample.tar.gz"),
        "-q",
        "-m",
        "roid",
        "--columns",
        ",".join(raw),
        "-o",
        "ndjson:-",
    )
    row = json.loads(r.stdout.splitlines()[0]) if r.returncode == 0 and r.stdout else {}
    bad += [f"{w}: {r.stderr}" for w in raw if row.get(w) is None]
    ok(not bad and n > 80, f"{name}: {n} names of columns, options and commands exist", bad)


def main():
    names = documents()
    unknown = [
        f"{n}:{line}: {language or 'nothing'}"
        for n in names
        for language, _, line in blocks(n)
        if language not in LANGUAGES
    ]
    ok(not unknown, "every fenced block says what it is", "\n".join(unknown))
    hidden = [
        f"{n}:{line}"
        for n in names
        for language, t, line in blocks(n)
        if language == "text" and re.search(r"^ *(\./nightjar|make) ", t, re.M)
    ]
    ok(not hidden, "no command hides in a text block", "\n".join(hidden))
    inline(names)
    figures()
    claims()
    files()
    translations("modules/OTHER_BROKERS.md")
    wanted = sys.argv[1:]
    python = find_python("pandas", "astropy", "fastavro", "pyarrow", "polars", "duckdb")
    for name in names:
        if wanted and name not in wanted:
            continue
        with MockBroker() as broker:
            for night_of in (20260320, 20260321):  # yesterday's is empty: a pattern must not stop at it
                broker.topic(f"ztf_{night_of}_programid1")
            read(name, broker.server, python)


if SANITIZED:
    skip("the documents", "they are run with the release build")
else:
    main()
done()
