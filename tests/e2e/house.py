#!/usr/bin/env python3
"""How the sources are built: who opens packets, names that two rooms share, headers for C++, the longest file
and line, what each file says first; and the walk of an alert in broker/README.md."""

import collections, glob, os, re
from tap import ROOT, done, ok


def read(path):
    return open(path, encoding="utf-8").read()


def sources(*patterns):
    return sorted(p for x in patterns for p in glob.glob(os.path.join(ROOT, x)))


def short(path):
    return os.path.relpath(path, ROOT)


def packets_are_opened_once():
    callers = [
        short(p) for p in sources("broker/*/*.[ch]") if re.search(r"\bnj_cursor_(open|read)\(", read(p))
    ]
    wrong = [p for p in callers if p.split("/")[1] not in ("avro", "engine")]
    ok(
        not wrong and "broker/engine/reader.c" in callers,
        "only broker/engine opens packets",
        "\n".join(wrong),
    )


def types_have_one_room():
    """A type that a header defines, by its room; a declaration of what is defined elsewhere in the room is
    none."""
    where = collections.defaultdict(set)
    for p in sources("broker/*/*.h", "modules/kit/*/*.h", "include/nightjar/*.h"):
        text = re.sub(r"/\*.*?\*/", "", read(p), flags=re.S)
        names = re.findall(r"^\} (?:__attribute__\S+ )?(\w+);", text, re.M) + re.findall(
            r"^typedef (?!struct \w+ (?:\w+);)[^;{(]*?(\w+);", text, re.M
        )
        names += re.findall(r"^(?:struct|union) (\w+) \{", text, re.M)
        for name in names:
            where[name].add(os.path.dirname(short(p)))
    twice = [f"{name}: {', '.join(sorted(rooms))}" for name, rooms in where.items() if len(rooms) > 1]
    ok(
        not twice and len(where) > 100,
        f"none of {len(where)} types is defined in two rooms",
        "\n".join(twice),
    )


def enumerators_have_one_room():
    where = collections.defaultdict(set)
    for p in sources("broker/*/*.h", "modules/kit/*/*.h", "include/nightjar/*.h"):
        text = re.sub(r"/\*.*?\*/", "", read(p), flags=re.S)
        for body in re.findall(r"\benum(?: \w+)? \{([^}]*)\}", text):
            for item in body.split(","):
                name = re.match(r"\s*(\w+)", item)
                if name:
                    where[name.group(1)].add(os.path.dirname(short(p)))
    twice = [f"{name}: {', '.join(sorted(rooms))}" for name, rooms in where.items() if len(rooms) > 1]
    ok(
        not twice and len(where) > 100,
        f"none of {len(where)} constants is defined in two rooms",
        "\n".join(twice),
    )


def too_long(paths):
    """FILE:LINE of lines beyond 110 columns."""
    return [f"{short(p)}:{n}" for p in paths for n, x in enumerate(read(p).splitlines(), 1) if len(x) > 110]


def begin_with(first_line):
    paths = sources("tests/*", "tests/e2e/*", "tests/fuzz/*", "perf/*", ".ci/*")
    return [p for p in paths if os.path.isfile(p) and re.match(first_line, open(p, "rb").readline())]


def prose(path):
    """NUMBER, LINE of a Markdown file without its tables and code. A word alone, as an address, cannot be
    wrapped."""
    fence = None
    for n, line in enumerate(read(path).splitlines(), 1):
        mark = re.match(r"\s*(```|~~~)", line)
        if mark and fence in (None, mark.group(1)):
            fence = None if fence else mark.group(1)
        elif not fence and not line.lstrip().startswith("|") and " " in line.strip(" -*>"):
            yield n, line


def markdown():
    paths = sources("*.md", "*/*.md", "*/*/*.md", "*/*/*/*.md")
    built = (os.path.join(ROOT, "build"), os.path.join(ROOT, ".onnxruntime"))
    return [p for p in paths if not p.startswith(built)]


def repeated(path):
    """Long sentences that the file has twice: a merge leaves such paragraphs."""
    text = " ".join(" ".join(line for _, line in prose(path)).split())
    count = collections.Counter(x for x in re.split(r"(?<=[.:;]) ", text) if len(x) >= 50)
    return [f"{short(path)}: {x[:70]}" for x, n in count.items() if n > 1]


def sizes():
    files = sources(
        "broker/*/*.[ch]", "broker/*/*.cc", "modules/*.c", "modules/kit/*/*.[ch]", "include/nightjar/*.h"
    )
    lines = {short(p): read(p).count("\n") for p in files}
    width = {short(p): max(map(len, read(p).splitlines())) for p in files}
    for name in sorted(lines, key=lines.get)[-3:]:
        print(f"# {name}: {lines[name]} lines")
    wide = [f"{p}: {width[p]} columns" for p in width if width[p] > 110]
    ok(not wide, f"no line of {len(files)} files is longer than 110 columns", "\n".join(wide))
    tests = sources("tests/*.[ch]", "tests/*/*.[ch]")
    wide = too_long(tests)
    ok(not wide, f"nor one of {len(tests)} C files of tests", "\n".join(wide))
    scripts = sorted({*sources("tests/*/*.py", "perf/*.py"), *begin_with(rb"#!.*\bpython3?\b")})
    wide = too_long(scripts)
    ok(not wide, f"nor one of {len(scripts)} Python files", "\n".join(wide))
    scripts = begin_with(rb"#!.*\b(ba)?sh\b")
    wide = too_long(scripts)
    ok(not wide, f"nor one of {len(scripts)} shell scripts", "\n".join(wide))
    wide = too_long([os.path.join(ROOT, "Makefile")])
    ok(not wide, "nor one of the Makefile", "\n".join(wide))
    pages = markdown()
    wide = [f"{short(p)}:{n}" for p in pages for n, x in prose(p) if len(x) > 110]
    ok(not wide and len(pages) > 20, f"nor one of {len(pages)} Markdown files", "\n".join(wide))
    twice = [x for p in pages for x in repeated(p)]
    ok(not twice, "and none has a sentence twice", "\n".join(twice))
    ok(max(lines.values()) <= 500, "no file grows beyond 500 lines")


def purposes():
    """Each source begins with a comment, each script with one behind its first line."""
    c = sources(
        "broker/*/*.[ch]", "broker/*.c", "modules/*.c", "modules/kit/*/*.[ch]", "include/nightjar/*.h"
    )
    c += sources("tests/*.[ch]", "tests/*/*.[ch]")
    none = [short(p) for p in c if not re.match(r"/\* \S.{10}", read(p))]
    python = sorted({*sources("tests/*/*.py", "perf/*.py"), *begin_with(rb"#!.*\bpython3?\b")})
    none += [short(p) for p in python if not re.match(r'(#!.*\n)?"""\S.{10}', read(p))]
    shell = begin_with(rb"#!.*\b(ba)?sh\b")
    none += [short(p) for p in shell if not re.match(r"#!.*\n# \S.{10}", read(p))]
    ok(not none, f"each of {len(c + python + shell)} files begins with what it is for", "\n".join(none))


def walk():
    """A function of the walk stands in the file that is named behind it, or in the room's."""
    text = read(os.path.join(ROOT, "broker", "README.md")).split("## One alert")[1]
    known = "".join(map(read, sources("broker/*/*.c")))
    cells = [line.split(" | ")[1] for line in text.splitlines() if line.startswith("| ") and "`" in line]
    named = [(name, cell) for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    gone = [name for name, _ in named if not re.search(rf"^[a-z].*\b{name}\(", known, re.M)]
    ok(len(named) > 30 and not gone, f"the {len(named)} functions of the walk exist", gone)
    files = {f for cell in cells for f in re.findall(r"\b\w+/\w+\.c\b", cell)}
    gone = [f for f in files if not os.path.exists(os.path.join(ROOT, "broker", f))]
    last = [re.search(r"`(\w+)` \((\w+/\w+\.c)", cell) for cell in cells]
    gone += [
        m[0]
        for m in last
        if m
        and m[2] not in gone
        and not re.search(rf"^[a-z].*\b{m[1]}\(", read(os.path.join(ROOT, "broker", m[2])), re.M)
    ]
    ok(not gone, f"in the {len(files)} files that are named", "\n".join(gone))


packets_are_opened_once()
purposes()
walk()
types_have_one_room()
enumerators_have_one_room()
sizes()
done()
