#!/usr/bin/env python3
"""The table of limits in broker/SECURITY.md against the code, the settings and the tests, and what happens
when a limit is passed; archives and folders that were made to harm."""

import glob, gzip, io, json, os, re, shutil, socket, subprocess, tarfile, zlib
from avro import confluent, container
from tap import ROOT, Folder, done, nightjar, ok, report, rows

# beyond MAX_ROWS
WIDE = """
#include <math.h>
#include "nightjar/module.h"
static int process(const void *self, void *thread, const nj_work *w) { return NJ_OK; }
NJ_MODULE(wide) = { NJ_HEADER, .name = "wide", .version = "1.0", .summary = "wide", .paper = "none: test",
    .needs = (const nj_need[]){ { "mag", NJ_F64, NJ_SCALAR, "mag", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "x", NJ_F64, 65537, 0, "1", -INFINITY, INFINITY, NAN, 0, "Numbers." },
                                { 0 } },
    .process = process };
"""
VOTABLE = '<?xml version="1.0"?><VOTABLE><RESOURCE><TABLE>%s</TABLE></RESOURCE></VOTABLE>'
N = 20  # alerts of the night
DOCUMENT = os.path.join(ROOT, "broker", "SECURITY.md")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


# --- the table -------------------------------------------------------------------------------------------
def table():
    """Rows of the table of limits: (limit, setting or constant, value, beyond it, message, test)."""
    text = read(DOCUMENT).partition("<!-- limits -->")[2].partition("<!-- end of limits -->")[0]
    found = [
        [c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return found[2:]


SUFFIX = {"k": 2**10, "M": 2**20, "G": 2**30}


def number(text):
    text = text.split(" ")[0].replace(",", "")
    return float(text[:-1]) * SUFFIX[text[-1]] if text[-1] in SUFFIX else float(text)


def default_of(section, key):
    """As `nightjar settings SECTION` prints it, or None."""
    m = re.search(rf"(?m)^  {re.escape(key)} = *(\S*)", nightjar("settings", section).stdout)
    return m and m[1]


def constant(name, path):
    m = re.search(rf"\b{name} = ([\d <*()]+)", read(path))
    return m and float(eval(m[1]))  # digits, << and * only


# Constants that are called like limits and have no row: their names, and why.
OTHER = {
    "broker/avro/change.c": "MAX_DEPTH MAX_FIELDS MAX_REPORTED: a report, which counts the rest",
    "broker/avro/datum_json.c": "NESTING HEX_MOST: above NJ_SCHEMA_NESTING; how much of a value is shown",
    "broker/avro/json_shape.c": "MAX_PATH: the end of a path in a message",
    "broker/avro/map.c": "MAX_TOKENS MAX_COLUMNS MAX_RULES MAX_GROUPS MAX_WORDS: refused by line",
    "broker/avro/near.c": "MOST_PATHS DEEPEST: suggestions for misspelt names",
    "broker/avro/tree.c": "MAX_TRIES: names that are tried; then NJ_SCHEMA_NAMES is reached",
    "broker/base/json.h": "NJ_JSON_DEEPEST: what the program itself writes",
    "broker/base/option.c": "MOST: tables of options of the program",
    "broker/base/secret.c": "MOST_NAME: the name of a setting",
    "broker/base/template.c": "MOST_SCOPES MOST_FILES: pages of the program",
    "broker/catalog/build_inputs.c": "MOST_FILES: files that the operator names, refused by number",
    "broker/cutout/target_pixels.c": "MOST_POINTS: points of a fit that the program makes",
    "broker/cutout/wcs.c": "NJ_MOST_AXES: the library's",
    "broker/engine/probe.c": "MOST_S: a time",
    "broker/flow/confine.c": "MOST_PLACES: folders of outputs, refused",
    "broker/flow/duplicates.c": "MOST_IDS MOST_NAMES: ids that are remembered; more are said",
    "broker/flow/internal.h": "EARLY_MOST: candidates that are kept for a report",
    "broker/flow/letters.c": "RUNS_MOST: runs in one folder, refused",
    "broker/flow/metrics_server.c": "CALLERS_MOST: above CROWDED",
    "broker/flow/notices.c": "LONGEST_WAIT_MS: a time",
    "broker/flow/reload.c": "MOST_S: a time",
    "broker/graph/growth.c": "OF_MOST: a share",
    "broker/graph/modules.c": "MAX_TEXT: a text of a module, refused at load",
    "broker/graph/sandbox.c": "MOST_CODE: a program that the host makes",
    "broker/graph/table.c": "MAX_NAME MAX_TEXT: names and texts of a module, refused at load",
    "broker/image/fits.c": "MOST_AXES: images of more axes are none of two",
    "broker/image/inflate.c": "MOST_ANNOUNCED MOST_PACKING: the fast path; the other has max_stamp",
    "broker/kafka/oauth.c": "MOST: settings, refused by name",
    "broker/kafka/position.c": "OFFSET_MOST: settings, refused by name",
    "broker/merge/avro.c": "ROW_MOST: a row of one's own output, refused",
    "broker/model/new.c": "MOST_BYTES MOST_FEATURES MOST_PORTS: of a command, refused by name",
    "broker/objects/sort.c": "MOST_RUNS: runs of a sort; then they are merged",
    "broker/parquet/encode.c": "GROUPS_MOST: what a writer puts into a page",
    "broker/parquet/format.h": "NJ_PQ_ST_MAX: numbers of the format",
    "broker/parquet/parquet.c": "MOST_ROWS: rows that the program asks for at once",
    "broker/parquet/parquet_avro.c": "MOST_COLUMNS: columns of a night, refused by number",
    "broker/parquet/writer.c": "LEVELS_MOST TEXT_MOST: what a writer puts into a page",
    "broker/query/filter.c": "FAILED_MOST: failures, after which a clause is at fault",
    "broker/schema/folder.c": "MAX_NESTING: above NJ_SCHEMA_NESTING",
    "broker/schema/registry.c": "MAX_UNKNOWN CLOSED_MOST_MS: ids that are remembered as unknown; a time",
    "broker/sink/avro.c": "ROW_MOST: a row of one's own output, refused",
    "broker/sink/journal.c": "LONGEST MOST_BYTES: journals that the program writes",
    "broker/sink/kafka.c": "HELD_MOST AGAIN_MOST: messages that wait: back-pressure",
    "broker/sink/parquet.c": "ROW_MOST: a row of one's own output, refused",
    "broker/sink/rolled_part.c": "MOST_NUMBER: {n} of a file's name, refused",
    "broker/sink/webhook.c": "WAITING_MOST: rows that wait; then they are sent",
    "broker/sink/webhook_post.c": "PAUSE_MOST_MS: a time",
    "broker/sink/wording.c": "NAME_MOST: the end of a name in a message",
    "broker/source/embedded.c": "MAX_PARTITIONS: a setting, refused by name",
    "broker/source/hats_folder.c": "MOST_BYTES: properties of a catalogue that the operator names",
    "broker/source/kafka_unowned.c": "UNKNOWN_MOST JOINS_MOST: tries",
    "broker/source/parquet.c": "MOST_FOLDER_COLUMNS: columns in names of folders, refused",
    "broker/view/draw.c": "PICTURES_MOST CHART_COLS_MOST: a picture of the terminal",
    "broker/view/field_text.c": "NAME_WIDTH_MOST: a width of the terminal",
    "broker/view/fields.c": "DEPTH_MOST FIELDS_MOST PATH_MOST: what is shown of a packet",
    "modules/kit/model/ort.c": "MOST_ROWS: rows of a call",
    "modules/kit/model/tile.c": "MAX_P MAX_V: a kernel's shape",
    "modules/kit/model/tree.h": "NJ_TREE_MAX_FEATURES: features of a forest, refused at load",
    "modules/kit/model/tree_lanes.c": "MAX_GROUPS: a kernel's shape",
    "modules/kit/model/winograd.c": "MOST: a kernel's shape",
    "modules/kit/num/lone_source.c": "MAX_TEMPLATE_MASKED: pixels",
    "modules/kit/num/phase.c": "MOST MOST_EVALUATIONS: a fit",
    "modules/kit/num/rainbow.h": "MOST: a fit",
    "modules/kit/num/rainbow_fit.c": "MOST_EVALUATIONS: a fit",
    "modules/kit/python/interpreter.c": "MOST_BYTES MOST_EARLY: what a module declares, refused; tries",
    "modules/kit/region/ds9.c": "MOST_NUMBERS: numbers of a region, refused by line",
    "modules/kit/sky/grid.c": "MOST_BANDS MOST_GROUPS: a grid that the program makes",
}
READERS = "avro base batch catalog cutout engine flow graph image kafka merge model objects parquet query"
READERS += " replay schema sink source view"
NAMED_SO = re.compile(
    r"\b((?:NJ_)?(?:[A-Z]+_)*(?:MAX|MOST|LONGEST|LARGEST|DEEPEST|NESTING)(?:_[A-Z]+)*) = [\d(N]"
)


def none_without_a_row(limits):
    """A constant that is called like a limit, of a room that reads what others wrote: a row or a reason."""
    rows_of = {what for _, what, *_ in limits}
    found = {}
    for room in [f"broker/{r}" for r in READERS.split()] + ["modules/kit/*"]:
        for path in sorted(glob.glob(os.path.join(ROOT, room, "*.[ch]"))):
            name = os.path.relpath(path, ROOT)
            for m in NAMED_SO.finditer(read(path)):
                if f"`{m[1]}` in {name}" not in rows_of:
                    found.setdefault(name, []).append(m[1])
    reasons = {path: set(text.partition(":")[0].split()) for path, text in OTHER.items()}
    new = {k: set(v) - reasons.get(k, set()) for k, v in found.items()}
    new = {k: v for k, v in new.items() if v}
    ok(not new, "every constant that is called like a limit has a row in the table, or a reason here", new)
    old = {k: v - set(found.get(k, ())) for k, v in reasons.items()}
    old = {k: v for k, v in old.items() if v}
    ok(not old, "and each reason a constant", old)


def the_table():
    limits = table()
    none_without_a_row(limits)
    ok(len(limits) > 25, "there is a table", len(limits))
    paths = glob.glob(os.path.join(ROOT, "broker", "*", "*.[ch]"))
    paths += glob.glob(os.path.join(ROOT, "modules", "kit", "*", "*.[ch]"))
    source = "".join(re.sub(r'"\s*\n\s*"', "", read(p)) for p in paths)
    for limit, what, value, _, message, test in limits:
        setting = re.fullmatch(r"`\[([\w.]+)\] (\S+)`", what)
        named = re.fullmatch(r"`(\w+)` in (\S+)", what)
        if setting:
            ok(
                default_of(*setting.groups()) == value,
                f"{limit}: the default of {what}",
                default_of(*setting.groups()),
            )
        else:
            ok(named and constant(*named.groups()) == number(value), f"{limit}: the value of {what}", value)
        words = message.strip("`")
        if words == "-":  # reported in other words, or not at all: its test names it
            words = named[1] if named else setting[2]
        ok(words in source, f"{limit}: its words are in the code", words)
        ok(words in read(f"tests/{test}"), f"{limit}: and in its test, {test}", words)


# --- limits passed ---------------------------------------------------------------------------------------
def run(source, *more, modules="features"):
    for f in glob.glob("out.*"):
        os.remove(f)
    args = [
        "-m",
        modules,
        "-o",
        "ndjson:out.ndjson",
        "--report",
        "out.json",
        "--dead-letters",
        "out.avro",
        "-j",
        1,
    ]
    r = nightjar("run", source, *args, *more)
    r.ledger = (
        report("out.json")["ledger"]
        if os.path.exists("out.json")
        else {"dead": -1, "emitted": -1, "closed": False}
    )
    return r


def refused(name, message, source, *more, rc=0, dead=N):
    """Dead letters with the message, and the accounts close."""
    r = run(source, *more)
    ok(message in r.stderr, f"{name}: says '{message}'", r.stderr[-800:])
    ok(r.returncode == rc, f"{name}: exit code {rc}", r.stderr[-300:])
    ok(r.ledger["dead"] == dead, f"{name}: {dead} dead letters", r.ledger)
    ok(r.ledger["closed"], f"{name}: the ledger is closed", r.ledger)


def deflated(data):
    """A container file of one block as one with the codec deflate; header and sync are of the same length."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    sync = data[-16:]
    begin = data.index(sync) + 16
    count, at = data[begin], begin + 1  # one record: a count of 1 byte
    shift = size = 0
    while True:
        byte = data[at]
        at += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    packed = packer.compress(data[at : at + (size >> 1)]) + packer.flush()
    header = data[:begin].replace(b"\x08null", b"\x0edeflate")
    length, out = len(packed) << 1, bytearray([count])
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return header + bytes(out) + packed + sync


def packets():
    refused("depth", "nested deeper than the limit", "night.tar", "-D", "decode.max_depth=1")
    r = run("night.tar", "-D", "decode.max_items=1")
    ok("more than the limit of 1" in r.stderr, "items: says so", r.stderr[-500:])
    ok(r.ledger["dead"] > 0 and r.ledger["closed"], "items: dead letters", r.ledger)
    os.mkdir("packed")
    for path in glob.glob("night/*.avro"):
        with open(path, "rb") as f, open("packed/" + os.path.basename(path), "wb") as to:
            to.write(deflated(f.read()))
    r = run("packed")
    ok(r.ledger["emitted"] == N, "packets in deflated blocks are read", r.stderr[-500:])
    refused("block", "the block unpacks to more than", "packed", "-D", "decode.max_block=2k")
    for key, message in (
        ("max_stamp=1024", "would unpack to more than [decode] max_stamp"),
        ("max_pixels=100", "FITS image of no or too many pixels"),
    ):
        r = run("night.tar", "-D", f"decode.{key}", modules="hostless")
        ok(message in r.stderr, f"{key}: says so", r.stderr[-500:])
        ok(r.ledger["emitted"] == N, f"{key}: the alert is a row, without the stamp", r.ledger)
    refused("member", "it has more bytes than", "night.tar", "-D", "source.max_member=2k", rc=2)
    with open("night/" + sorted(os.listdir("night"))[0], "rb") as f:
        data = f.read()
    with open("one.avro", "wb") as f:
        f.write(data)
    head, sync = data[: data.index(data[-16:]) + 16], data[-16:]
    with open("keys.avro", "wb") as f:  # a header of 1,001 keys more
        body = b"".join(b"\x08" + b"k%03d" % k + b"\x02v" for k in range(1000)) + b"\x0ak1000\x02v"
        f.write(head[:4] + b"\xd2\x0f" + body + head[4:] + data[len(head) :])
    refused("header", "the header has more than", "keys.avro", dead=1)
    for layers in (5, 6):  # MAX_LAYERS, 4, and the first
        with open(f"l{layers}.avro.gz", "wb") as f:
            packed = data
            for _ in range(layers):
                packed = gzip.compress(packed)
            f.write(packed)
    r = run("l5.avro.gz")
    ok(r.ledger["emitted"] == 1, "gzip in gzip, five times: a row", r.stderr[-500:])
    refused("six times", "not an Avro packet: it is gzip data", "l6.avro.gz", dead=1)


def names_and_clauses():
    names = ",".join(f"packet.candidate.x{k}" for k in range(5000))
    refused("columns", "packet columns are asked for", "night.tar", "--columns", names)
    longer = "length(replace(hex(zeroblob(900000)), '0', 'xx')) > 0"  # beyond MAX_TEXT
    refused("a clause's text", "too big", "night.tar", "-w", longer)
    for clause, message in (
        ("(" * 70 + "rb" + ")" * 70 + " > 0", "parentheses are nested more than"),
        (" AND ".join(["rb > 0"] * 3000), "words and signs"),
    ):
        r = run("night.tar", "-w", clause)
        ok(message in r.stderr and r.returncode == 1, f"a clause: {message}", r.stderr[-500:])
    for line, message in (
        ("[run]\nwhere = " + "x" * 300 + "\n", "longer than 198 characters"),
        ("[module." + "m" * 60 + "]\n", "the name of a section has at most"),
    ):
        with open("long.ini", "w", encoding="ascii") as f:
            f.write(line)
        r = run("night.tar", "-c", "long.ini")
        ok(message in r.stderr and r.returncode == 1, f"settings: {message}", r.stderr[-500:])


def files_of_other_kinds():
    """JSON packets, tables, folders, stamps: what is read beside Avro."""
    with open("keys.json", "w", encoding="ascii") as f:
        json.dump({"diaObjectId": 1, **{f"k{k}": k for k in range(20001)}}, f)
    refused("keys of JSON", "different keys", "keys.json", "-D", "decode.survey=lsst", dead=1)
    deep = "/".join(["deep"] + ["d"] * 66)
    os.makedirs(deep)
    shutil.copy("one.avro", deep)
    r = run("deep")
    ok("folders are nested too deep" in r.stderr and r.returncode == 2, "folders in folders", r.stderr[-300:])
    for name, text, message in (
        (
            "wide.csv",
            ",".join(f"c{k}" for k in range(4097)) + "\n" + "1," * 4096 + "1\n",
            "a text table of more than",
        ),
        ("row.csv", 'ra,dec,name\n1,2,"' + "x" * (65 << 20), "a row of more than 64 MiB"),
        (
            "wide.vot",
            VOTABLE % "".join(f'<FIELD name="c{k}" datatype="int"/>' for k in range(4097)),
            "a VOTable of more than",
        ),
    ):
        with open(name, "w", encoding="ascii") as f:
            f.write(text)
        r = nightjar("catalog", "build", name, "-o", "t.njx")
        ok(message in r.stderr and r.returncode == 2, f"{name}: {message}", (r.returncode, r.stderr[-500:]))
        os.remove(name)


def a_folder_of_schemas():
    """MAX_FILES of schemas/folder.c, reached and passed."""
    nightjar("simulate", "--survey", "lsst", "-q", "-n", 2, "-o", "lsst", "--truth", "l.csv")
    os.mkdir("packets")
    os.makedirs("folder/9/7")
    for i, path in enumerate(sorted(glob.glob("lsst/*.avro"))):
        with open(path, "rb") as f:
            schema, data = container(f.read())
        for datum in data:
            with open(f"packets/{i}.msg", "wb") as f:
                f.write(confluent(907, datum))
    with open("folder/9/7/alert.avsc", "w", encoding="utf-8") as f:
        f.write(schema if isinstance(schema, str) else json.dumps(schema))
    for k in range(1, 201):
        with open(f"folder/9/7/t{k:03}.avsc", "w", encoding="ascii") as f:
            json.dump({"type": "enum", "name": f"E{k}", "symbols": ["A"]}, f)
        if k == 199:
            r = run("packets", "--schemas", "folder", "--survey", "lsst")
            ok(r.ledger["emitted"] == 2, "a folder of 200 schemas: the rows", r.stderr[-500:])
    message = "more than 200 files of schemas in one folder"
    refused("a folder of 201", message, "packets", "--schemas", "folder", "--survey", "lsst", dead=2)
    os.remove("folder/9/7/t200.avsc")
    with open("folder/9/7/t199.avsc", "w", encoding="ascii") as f:
        f.write('{"type": "enum", "symbols": ["A"]}')
    message = "t199.avsc: a type without a name"
    refused("a type without a name", message, "packets", "--schemas", "folder", "--survey", "lsst", dead=2)


def a_run():
    r = run("night.tar")
    want = [x["candid"] for x in rows("out.ndjson")]
    for settings in (["run.budget_bytes=1M"], ["run.batch_rows=1"], ["run.batch_rows=4096"]):
        r = run("night.tar", *(x for s in settings for x in ("-D", s)))
        ok(
            [x["candid"] for x in rows("out.ndjson")] == want,
            f"{settings[0]}: the same rows",
            r.stderr[-300:],
        )
    r = nightjar("run", *["one.avro"] * 16385, "-m", "features", "-q")
    ok("sources and partitions in one run" in r.stderr, "16,385 sources: the limit is named", r.stderr[-300:])
    ok(r.returncode == 2, "and the run does not begin", r.returncode)
    with open("wide.c", "w", encoding="utf-8") as f:
        f.write(WIDE)
    flags = "-std=c11 -O1 -w -fPIC -DNJ_SHARED -shared".split()
    subprocess.run(["cc", *flags, f"-I{ROOT}/include", "wide.c", "-o", "wide.so"], check=True)
    r = run("night.tar", "--module-path", "./wide.so", modules="wide")
    ok(
        "has more than 65536 values per alert" in r.stderr,
        "a module of 65,537 values: refused",
        r.stderr[-300:],
    )


# --- folders and archives that were made to harm ------------------------------------------------------------
def special_files():
    """Pipes, devices and sockets between the packets: a read of one would never end."""
    os.mkfifo("night/a_pipe.avro")
    os.mkfifo("night/pipe")
    os.symlink("/dev/zero", "night/zero.avro")
    os.symlink("/dev/zero", "night/zero")
    os.symlink("../night", "night/loop")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("night/socket.avro")
        r = run("night")
    ok(r.ledger["emitted"] == N, "a folder with pipes and devices: every packet is a row", r.stderr[-500:])
    ok(
        "6 files of another kind: link, pipe, device" in r.stderr,
        "and they are reported, a link to a folder too",
        r.stderr[-500:],
    )
    os.mkdir("tables")
    os.mkfifo("tables/a.parquet")
    r = run("tables")
    ok(r.returncode != 0, "a folder of a pipe called .parquet: no hang", r.stderr[-300:])
    os.mkdir("schemas")
    os.mkfifo("schemas/a.avsc")
    r = run("night.tar", "--schemas", "schemas")
    ok(r.ledger["emitted"] == N, "a pipe among schemas: no hang", r.stderr[-300:])


def hostile_archive():
    """Names that lead outside, links and devices: nothing is written, and nothing outside is read."""
    with open("outside.avro", "wb") as f, tarfile.open("night.tar") as t:
        good = t.extractfile(next(m for m in t if m.name.endswith(".avro"))).read()
        f.write(good)
    os.mkdir("inner")
    with tarfile.open("inner/evil.tar", "w") as t:

        def add(name, data=b"", **what):
            info = tarfile.TarInfo(name)
            for k, v in what.items():
                setattr(info, k, v)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))

        add("../escaped.avro", good)
        add(os.path.abspath("absolute.avro"), good)
        add("a/../../../escaped.avro", good)
        add("link.avro", type=tarfile.SYMTYPE, linkname="../outside.avro")
        add("hard.avro", type=tarfile.LNKTYPE, linkname="../outside.avro")
        add("absolute_link.avro", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add("device.avro", type=tarfile.CHRTYPE, devmajor=1, devminor=5)
        add("pipe.avro", type=tarfile.FIFOTYPE)
        add("link", type=tarfile.SYMTYPE, linkname="..")
        add("link/through.avro", good)
        add("good.avro", good)
    before = sorted(glob.glob("**/*", recursive=True))
    r = run("inner/evil.tar")
    made = set(glob.glob("**/*", recursive=True)) - set(before)
    ok(
        r.ledger["emitted"] == 5,
        "an archive of hostile names: its packets are rows, wherever they want to be",
        r.ledger,
    )
    ok(
        made <= {"out.ndjson", "out.ndjson.meta.json", "out.json", "out.avro"},
        "nothing was written but outputs",
        made,
    )
    ok(
        "6 members of another kind: link, pipe, device" in r.stderr,
        "links and devices are reported, not followed",
        r.stderr,
    )
    with open("out.ndjson", encoding="utf-8") as f:
        ok("root:" not in f.read(), "nothing of the machine is in the rows")


with Folder():
    nightjar("simulate", "-q", "-n", N, "-o", "night.tar", "--truth", "t.csv")
    nightjar("simulate", "-q", "-n", N, "-o", "night", "--truth", "u.csv")
    the_table()
    packets()
    names_and_clauses()
    files_of_other_kinds()
    a_folder_of_schemas()
    a_run()
    special_files()
    hostile_archive()
done()
