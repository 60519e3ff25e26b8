#!/usr/bin/env python3
"""catalog_tables.py - tables as catalogues, services and programs write them: no value is altered, what is
not read is named."""

import gzip, json, struct
from tap import Folder, done, nightjar, ok

BIG = 5100000000000000123


def build(path, *more):
    r = nightjar("catalog", "build", *([path] if isinstance(path, str) else path), "-o", "o.njx", *more)
    return r


def row_at(ra=120.5, dec=-33.25):
    r = nightjar("catalog", "query", "o.njx", ra, dec, 1, "--json")
    lines = r.stdout.splitlines()
    return json.loads(lines[0]) if lines else {}


def write(name, text):
    data = text if isinstance(text, bytes) else text.encode()
    with (gzip.open if name.endswith(".gz") else open)(name, "wb") as f:
        f.write(data)
    return name


def reads(kind, name, text, column, want, *more):
    r = build(write(name, text), *more)
    got = row_at().get(column) if r.returncode == 0 else r.stderr
    ok(
        got == want and type(got) is type(want),
        f"{kind}: {column} is {want!r}",
        f"{got!r} {r.stdout}{r.stderr}",
    )


def refuses(kind, name, text, word, *more):
    r = build(write(name, text), *more)
    ok(r.returncode == 2, f"{kind}: exit 2", r.returncode)
    ok(word.lower() in r.stderr.lower(), f"{kind}: says {word}", r.stdout + r.stderr)


def ids():
    one = lambda value, head="id": f"ra,dec,{head},mag\n120.5,-33.25,{value},14.25\n"
    reads("19 digits", "a.csv", one(BIG), "id", BIG)
    reads("19 digits, negative", "a.csv", one(-BIG), "id", -BIG)
    reads("the largest int64", "a.csv", one(2**63 - 1), "id", 2**63 - 1)
    reads("beyond int64, as text", "a.csv", one(2**64 - 1), "id", str(2**64 - 1))
    reads("leading zeros, as text", "a.csv", one("000123"), "id", "000123")
    many = "".join(f"{i / 100},10,{i},1\n" for i in range(10500))
    reads(
        "19 digits behind 10,500 short ones",
        "a.csv",
        f"ra,dec,id,mag\n{many}120.5,-33.25,{BIG},14.25\n",
        "id",
        BIG,
    )
    halves = "".join(f"{i / 100},10,{i}.5,1\n" for i in range(10500))
    reads(
        "19 digits behind 10,500 fractions",
        "a.csv",
        f"ra,dec,id,mag\n{halves}120.5,-33.25,{BIG},1\n",
        "id",
        str(BIG),
    )
    reads(
        "a text behind 10,500 numbers",
        "a.csv",
        f"ra,dec,id,mag\n{many}120.5,-33.25,SN2011fe,1\n",
        "id",
        "SN2011fe",
    )
    reads(
        "a fraction behind 10,500 numbers", "a.csv", f"ra,dec,id,mag\n{many}120.5,-33.25,0.5,1\n", "id", 0.5
    )
    reads(
        "a value behind 10,500 empty cells",
        "a.csv",
        "ra,dec,id,mag\n" + "1,1,,\n" * 10500 + "120.5,-33.25,x,1\n",
        "id",
        "x",
    )
    write("one.csv", "ra,dec,id\n10,10,1.5\n")
    r = build(["one.csv", write("two.csv", f"ra,dec,id\n120.5,-33.25,{BIG}\n")])
    ok(
        row_at().get("id") == str(BIG),
        "19 digits in the second file, fractions in the first",
        f"{row_at()} {r.stderr}",
    )


def fits_table(columns, row):
    """One BINTABLE; columns: (name, TFORM, unit, struct code, further cards)."""

    def block(cards):
        text = "".join(f"{c:<80}" for c in cards + ["END"])
        return (text + " " * (-len(text) % 2880)).encode()

    card = lambda k, v: f"{k:<8}= {v:>20}"
    data = b"".join(struct.pack(">" + c[3], v) for c, v in zip(columns, row))
    cards = [
        "XTENSION= 'BINTABLE'",
        card("BITPIX", 8),
        card("NAXIS", 2),
        card("NAXIS1", len(data)),
        card("NAXIS2", 1),
        card("PCOUNT", 0),
        card("GCOUNT", 1),
        card("TFIELDS", len(columns)),
    ]
    for i, (name, form, unit, _, more) in enumerate(columns, 1):
        cards += [f"TTYPE{i:<3}= '{name:<8}'", f"TFORM{i:<3}= '{form:<8}'"] + (
            [f"TUNIT{i:<3}= '{unit:<8}'"] if unit else []
        )
        cards += [f"{k + str(i):<8}= {v:>20}" for k, v in more]
    return (
        block(["SIMPLE  =                    T", card("BITPIX", 8), card("NAXIS", 0)])
        + block(cards)
        + data
        + b"\0" * (-len(data) % 2880)
    )


def fits():
    unsigned = [("TZERO", "9223372036854775808"), ("TSCAL", "1")]
    make = lambda ids, more, unit="deg", ra=120.5: fits_table(
        [("ra", "1D", unit, "d", []), ("dec", "1D", "deg", "d", []), ("id", "1K", "", "q", more)],
        (ra, -33.25, ids),
    )
    reads("FITS int64", "a.fits", make(BIG, []), "id", BIG)
    reads("FITS uint64 within int64", "a.fits", make(BIG - 2**63, unsigned), "id", BIG)
    reads(
        "FITS uint64 beyond, as text on request",
        "a.fits",
        make(2**64 - 1 - 2**63, unsigned),
        "id",
        str(2**64 - 1),
        "--columns",
        "id:id:str",
    )
    reads("FITS uint64 beyond, by itself", "a.fits", make(2**64 - 1 - 2**63, unsigned), "id", str(2**64 - 1))
    r = build("a.fits")
    ok("column 'id' is text" in r.stdout, "FITS uint64 beyond int64: reported that it is text", r.stdout)
    table = fits_table(
        [
            ("ra", "1D", "deg", "d", []),
            ("dec", "1D", "deg", "d", []),
            ("flag", "1J", "", "i", []),
            ("both", "2J", "", "q", []),
        ],
        (120.5, -33.25, 7, 0),
    )
    reads("FITS, a column of two values a row", "b.fits", table, "flag", 7)
    r = build("b.fits")
    ok("left out" in r.stdout and "both" in r.stdout, "FITS: a column that is left out is named", r.stdout)
    reads("FITS with two tables", "c.fits", table + table[2880:], "flag", 7)
    ok("further tables" in build("c.fits").stdout, "FITS: a second table is reported")
    for kind, cards, word in (
        ("FK4", ["RADESYS = 'FK4     '"], "FK4"),
        ("EQUINOX alone", ["EQUINOX =               1950.0"], "FK4"),
        ("FK5 of 1975", ["RADESYS = 'FK5     '", "EQUINOX =               1975.0"], "FK5/1975"),
    ):
        data = make(BIG, [])
        end = data.rindex(b"END" + b" " * 77)
        more = "".join(f"{c:<80}" for c in cards).encode()
        data = data[:end] + more + data[end : end + 80] + data[end + 80 + len(more) :]
        refuses(f"FITS positions in {kind}", "f.fits", data, word)
        reads(f"FITS positions in {kind}, taken as they stand", "f.fits", data, "id", BIG, "--frame", "old")
    whole = fits_table(
        [("ra", "1D", "deg", "d", []), ("dec", "1D", "deg", "d", []), ("id", "1K", "", "q", [])], (1, 1, BIG)
    )
    part = fits_table(
        [("ra", "1D", "deg", "d", []), ("dec", "1D", "deg", "d", []), ("id", "1D", "", "d", [])],
        (120.5, -33.25, 0.5),
    )
    build([write("w.fits", whole), write("p.fits", part)])
    ok(row_at(1, 1).get("id") == str(BIG), "FITS: int64 in one file and double in another", row_at(1, 1))
    build(["p.fits", "w.fits"])
    ok(row_at(1, 1).get("id") == str(BIG), "FITS: double in one file and int64 in another", row_at(1, 1))
    head = [
        "XTENSION= 'TABLE   '",
        "BITPIX  =                    8",
        "NAXIS   =                    2",
        "NAXIS1  =                   40",
        "NAXIS2  =                    2",
        "PCOUNT  =                    0",
        "GCOUNT  =                    1",
        "TFIELDS =                    3",
    ]
    for i, (name, form, at) in enumerate((("ra", "F10.5", 1), ("dec", "F10.5", 11), ("id", "I20", 21)), 1):
        head += [f"TTYPE{i}  = '{name:<8}'", f"TFORM{i}  = '{form:<8}'", f"TBCOL{i}  = {at:>20}"]
    head += ["TNULL3  = '-1      '", "END"]
    text = "".join(f"{c:<80}" for c in head)
    rows = f"{120.5:>10}{-33.25:>10}{BIG:>20}{10.0:>10}{10.0:>10}{-1:>20}"
    data = whole[:2880] + text.ljust(2880).encode() + rows.ljust(2880).encode()
    reads("FITS ASCII table", "t.fits", data, "id", BIG)
    ok(row_at(10, 10).get("id", 0) is None, "FITS ASCII table, its own null", row_at(10, 10))
    reads("FITS, right ascension in hours", "a.fits", make(BIG, [], "hour", 120.5 / 15), "id", BIG)
    refuses("FITS, a unit that is none of positions", "a.fits", make(BIG, [], "pix"), "'pix'")


def vizier(
    separator,
    blank="",
    newline="\n",
    bom=b"",
    units=("deg", "deg", " ", "mag"),
    values=("120.5", "-33.25", str(BIG), "14.25"),
):
    lines = [
        "#",
        "#   VizieR-like",
        blank,
        "#Column" + separator + "RA_ICRS" + separator + "(F15.11)",
        separator.join(("RA_ICRS", "DE_ICRS", "Source", "Gmag")),
        separator.join(units),
        separator.join(("-" * 15, "-" * 15, "-" * 19, "-" * 9)),
        separator.join(values),
        "",
    ]
    return bom + newline.join(lines).encode()


def dialects():
    for name, separator in (("tabs", "\t"), ("semicolons", ";"), ("bars", "|")):
        reads(f"VizieR, {name}", "v.tsv", vizier(separator), "source", BIG)
        reads(f"VizieR, {name}, a blank line", "v.tsv", vizier(separator, blank="#"), "gmag", 14.25)
    reads(
        "VizieR, CR LF and a byte order mark",
        "v.tsv",
        vizier("\t", newline="\r\n", bom=b"\xef\xbb\xbf"),
        "source",
        BIG,
    )
    parts = vizier(
        "\t",
        units=('"h:m:s"', '"d:m:s"', " ", "mag"),
        values=("08 02 00.00", "-33 15 00.0", str(BIG), "14.25"),
    )
    reads("VizieR, positions in parts", "v.tsv", parts, "source", BIG)
    reads("VizieR, packed", "v.tsv.gz", vizier("\t"), "source", BIG)
    reads(
        "units without dashes", "u.csv", f"ra,dec,id,g\ndeg,deg,,mag\n120.5,-33.25,{BIG},14.25\n", "id", BIG
    )
    reads(
        "dashes without units", "u.csv", f"ra\tdec\tid\n----\t----\t----\n120.5\t-33.25\t{BIG}\n", "id", BIG
    )
    ecsv = lambda kind, value, sep=" ": (
        f"# %ECSV 1.0\n# ---\n"
        + (f"# delimiter: '{sep}'\n" if sep != " " else "")
        + "# datatype:\n# - {name: ra, unit: deg, datatype: float64}\n# - {name: dec, unit: deg,"
        f" datatype: float64}}\n# - {{name: id, datatype: {kind}, description: 'unit:"
        f" none'}}\n{sep.join(('ra', 'dec', 'id'))}\n{sep.join(('120.5', '-33.25', value))}\n"
    )
    reads("ECSV int64", "e.ecsv", ecsv("int64", str(BIG)), "id", BIG)
    reads("ECSV string of digits", "e.ecsv", ecsv("string", "123"), "id", "123")
    reads("ECSV float64 of a whole number", "e.ecsv", ecsv("float64", "7"), "id", 7)
    reads("ECSV with commas", "e.ecsv", ecsv("int64", str(BIG), ","), "id", BIG)
    block = (
        "# %ECSV 1.0\n# ---\n# datatype:\n# - name: ra\n#   unit: rad\n#   datatype: float64\n# - name:"
        " dec\n#   unit: rad\n#   datatype: float64\n# - name: id\n#   datatype: string\nra dec"
        " id\n2.1031218153 -0.5803219763 42\n"
    )
    reads("ECSV in block form, radians", "e.ecsv", block, "id", "42")
    r = build(write("e.ecsv", ecsv("int64", "x1")))
    ok("'x1'" in r.stdout, "ECSV: a cell that is not of the declared type is reported", r.stdout)
    ipac = lambda bars: (
        "\\fixlen = T\n\\ a comment\n"
        + "".join(line + "\n" for line in bars)
        + f" {BIG:>22} {120.5:>9} {-33.25:>9} {14.25:>7} {-99:>6}\n"
    )
    bars = [
        "|             source_id|       ra|      dec|      g|     h|",
        "|                  long|   double|   double| double|double|",
        "|                      |      deg|      deg|    mag|   mag|",
        "|                  null|     null|     null|   null|   -99|",
    ]
    reads("IPAC", "i.tbl", ipac(bars), "source_id", BIG)
    reads("IPAC, its own null", "i.tbl", ipac(bars), "h", None)
    reads("IPAC, names alone", "i.tbl", ipac(bars[:1]), "g", 14.25)
    reads(
        "IPAC, names and types",
        "i.tbl",
        ipac([bars[0], bars[1].replace("  long|", "  char|")]),
        "source_id",
        str(BIG),
    )
    refuses("IPAC, a value across a bar", "i.tbl", ipac(bars).replace("     120.5", "120.5     "), "i.tbl:7")
    reads(
        "names in a comment",
        "t.txt",
        f"# source_id ra dec g\n{BIG} 120.5 -33.25 14.25\n41 121.5 -33.25 15.1\n",
        "source_id",
        BIG,
    )
    reads("names in a comment, commas", "t.csv", f"#a title\n#id,ra,dec\n{BIG},120.5,-33.25\n", "id", BIG)
    vot = lambda rows, field='<FIELD name="id" datatype="long"/>': (
        '<?xml version="1.0"?>\n<VOTABLE version="1.4"><RESOURCE><TABLE><FIELD name="ra" datatype="double"'
        ' unit="deg"/><FIELD name="dec" datatype="double"'
        f' unit="deg"/>{field}<DATA>{rows}</DATA></TABLE></RESOURCE></VOTABLE>'
    )
    table = lambda value: f"<TABLEDATA><TR><TD>120.5</TD><TD>-33.25</TD><TD>{value}</TD></TR></TABLEDATA>"
    reads("VOTable", "t.vot", vot(table(BIG)), "id", BIG)
    reads("VOTable, packed", "t.vot.gz", vot(table(BIG)), "id", BIG)
    reads(
        "VOTable, its own null",
        "t.vot",
        vot(table(-1), '<FIELD name="id" datatype="long"><VALUES null="-1"/></FIELD>'),
        "id",
        None,
    )
    reads(
        "VOTable, a text",
        "t.vot",
        vot(table("<![CDATA[a<b]]>"), '<FIELD name="id" datatype="char" arraysize="*"/>'),
        "id",
        "a<b",
    )
    reads(
        "VOTable, an empty cell",
        "t.vot",
        vot("<TABLEDATA><TR><TD>120.5</TD><TD>-33.25</TD><TD/></TR></TABLEDATA>"),
        "id",
        None,
    )
    refuses(
        "VOTable in base64",
        "t.vot",
        vot("<BINARY2><STREAM encoding='base64'>AA==</STREAM></BINARY2>"),
        "BINARY2",
    )
    refuses("VOTable cut short", "t.vot", vot(table(1))[:-60], "damaged")
    refuses(
        "VOTable, a row of two cells",
        "t.vot",
        vot("<TABLEDATA><TR><TD>1</TD><TD>2</TD></TR></TABLEDATA>"),
        "2 cells",
    )
    refuses("another XML", "t.xml", "<?xml version='1.0'?><svg><g/></svg>", "svg")


def units():
    head = lambda ra_unit, dec_unit, ra, dec: (
        f"ra\tdec\tid\n{ra_unit}\t{dec_unit}\t \n----\t----\t---\n{ra}\t{dec}\t7\n"
    )
    for kind, args in (
        ("hours", ("h", "deg", repr(120.5 / 15), "-33.25")),
        ("radians", ("rad", "rad", "2.1031218153", "-0.5803219763")),
        ("hours in parts", ("h:m:s", "d:m:s", "8:02:00", "-33:15:00")),
        ("degrees in parts, by their unit", ("d:m:s", "d:m:s", "120:30:00", "-33:15:00")),
    ):
        reads(kind, "u.tsv", head(*args), "id", 7)
    refuses("arc seconds", "u.tsv", head("arcsec", "arcsec", "1", "2"), "arcsec")


def refused():
    refuses("no header", "n.csv", "120.5,-33.25,1\n121.5,-33.25,2\n", "n.csv:1")
    refuses("no header", "n.csv", "120.5,-33.25,1\n", "names")
    refuses("HTML", "n.csv", "<!DOCTYPE html><html><body>busy</body></html>", "HTML")
    refuses("JSON", "n.csv", '[{"ra": 1, "dec": 2}]', "JSON")
    refuses("UTF-16", "n.csv", "ra,dec\n1,2\n".encode("utf-16"), "UTF-16")
    refuses(
        "CDS",
        "n.dat",
        "Title\n====\nByte-by-byte Description of file: a.dat\n----\n 1- 3 F3.1 deg ra\n----\n1.0 2.0\n",
        "astropy",
    )
    refuses("an empty file", "n.csv", "", "empty")
    refuses("a header alone", "n.csv", "ra,dec,id\n", "no row")
    refuses("no position in any row", "n.csv", "ra,dec,id\n400,1,1\nx,2,2\n", "400")
    r = build(write("r.csv", "ra,dec,id\n120.5,-33.25,1\n10,95,2\n,1,3\n"))
    ok("2 rejected" in r.stdout, "rejected rows are counted", r.stdout)
    ok("row 2 (line 3): ra is '10', dec is '95'" in r.stdout, "the first rejected row is shown", r.stdout)


def letters_and_forms():
    one = lambda ra, dec="-33.25": f"ra,dec,id\n{ra},{dec},7\n"
    reads("a letter h", "l.csv", one("8h02m00s"), "id", 7)
    reads("a letter d in a right ascension", "l.csv", one("120d30m00s"), "id", 7)
    r = build(write("l.csv", one("120.5") + "8:02:00,-33.25,8\n"))
    ok(
        "1 rejected" in r.stdout and "line 3" in r.stdout,
        "degrees, then parts: the row is rejected",
        r.stdout,
    )
    r = build(write("l.csv", one("8:02:00") + "120.5,-33.25,8\n"))
    ok(
        "1 rejected" in r.stdout and "line 3" in r.stdout,
        "parts, then a plain number: the row is rejected",
        r.stdout,
    )
    write("deg.tsv", "ra\tdec\tid\ndeg\tdeg\t\n---\t---\t---\n10\t10\t1\n")
    build(["deg.tsv", write("h.tsv", f"ra\tdec\tid\nh\tdeg\t\n---\t---\t---\n{120.5 / 15!r}\t-33.25\t2\n")])
    ok(row_at().get("id") == 2, "each file has its own unit", row_at())
    for unit, factor in (("mas/yr", 1), ("arcsec/yr", 1000), ("", 1), ("mas / yr", 1), ("mas.yr**-1", 1)):
        motion = f"ra\tdec\tp\tq\ndeg\tdeg\t{unit}\t{unit}\n---\t---\t---\t---\n"
        motion += f"120.5\t-33.25\t0\t{1000 / factor}\n"
        r = build(write("m.tsv", motion), "--pmra", "p", "--pmdec", "q", "--epoch", "2000")
        got = json.loads(
            nightjar(
                "catalog", "query", "o.njx", 120.5, -33.25 + 10 / 3600, 1, "--epoch", "2010", "--json"
            ).stdout
            or "{}"
        )
        ok(got.get("sep_arcsec", 9) < 0.01, f"proper motions in '{unit}'", f"{got} {r.stdout}{r.stderr}")
    more = ("--pmra", "p", "--pmdec", "q", "--epoch", "2000")
    refuses("proper motions in an unknown unit", "m.tsv", motion.replace("mas.yr**-1", "km/s"), "km/s", *more)


def odd_texts():
    for nul in ("#\0\0\0\n", "#a\0b\n", "#\0\n#\0 \0\n"):  # found by fuzzing, behind what is looked at first
        nul = "\n" * 10000 + nul
        reads("NULs in a comment", "n.csv", f"{nul}ra,dec,id\n120.5,-33.25,{BIG}\n", "id", BIG)
        reads("NULs before names", "n.csv", f"{nul}#id ra dec\n{BIG} 120.5 -33.25\n", "id", BIG)
    reads("a NUL in names", "n.csv", "\n" * 10000 + f"#id\0ra\0dec\n{BIG} 120.5 -33.25\n", "id", BIG)
    reads("a quote in a comment", "o.csv", f'# within 5" of\nra,dec,id\n120.5,-33.25,{BIG}\n', "id", BIG)
    reads("a quote within a cell", "o.tsv", 'ra\tdec\tid\n120.5\t-33.25\ta 5" b\n1\t1\tc\n', "id", 'a 5" b')
    reads("doubled quotes", "o.csv", 'ra,dec,id\n120.5,-33.25,"a ""b"", c\nd"\n', "id", 'a "b", c\nd')
    reads("NaN among ids", "o.csv", f"ra,dec,id\n120.5,-33.25,{BIG}\n1,1,nan\n", "id", BIG)
    reads("NaN among names", "o.csv", "ra,dec,id\n120.5,-33.25,NaN\n1,1,Bob\n", "id", "NaN")
    formats = "#Column\tid\t(A5)\tname\n#Column\tra\t(F9.5)\n#Column\tdec\t(F9.5)\n"
    formats += "ra\tdec\tid\n120.5\t-33.25\t123\n"
    reads("VizieR's formats are obeyed", "o.tsv", formats, "id", "123")
    refuses("VizieR, two tables in one", "o.tsv", formats + formats, "o.tsv:9")
    refuses("bars at both ends", "o.txt", "|name|ra|dec|\n|a|120.5|-33.25|\n|b|1|2|\n", "bars")
    refuses("Markdown", "o.md", "| ra | dec |\n|---|---|\n| 120.5 | -33.25 |\n", "bars")
    for kind, value in (("i32", 2**31), ("u8", 255), ("f32", "1e39")):
        r = build(write("o.csv", f"ra,dec,id\n120.5,-33.25,{value}\n"), "--columns", f"id:id:{kind}")
        ok("1 cells became null" in r.stdout, f"{value} is no {kind}, and that is reported", r.stdout)
    frame = (
        '<VOTABLE><RESOURCE><COOSYS ID="old" system="eq_FK4" equinox="B1950"/><COOSYS ID="new"'
        ' system="ICRS"/><TABLE>'
        '<FIELD name="ra" datatype="double" unit="deg" ref="REF"/><FIELD name="dec" datatype="double"'
        ' unit="deg" ref="REF"/>'
        '<FIELD name="id"'
        ' datatype="int"/><DATA><TABLEDATA>'
        '<TR><TD>120.5</TD><TD>-33.25</TD><TD>7</TD></TR></TABLEDATA></DATA>'
        '</TABLE></RESOURCE></VOTABLE>'
    )
    refuses("VOTable in FK4", "o.vot", frame.replace("REF", "old"), "FK4")
    reads("VOTable in ICRS", "o.vot", frame.replace("REF", "new"), "id", 7)
    two = frame.replace("REF", "new").replace("</TABLE>", "</TABLE><TABLE name='second'></TABLE>")
    reads("VOTable with two tables", "o.vot", two, "id", 7)
    ok("second" in build("o.vot").stdout, "VOTable: a second table is reported")


with Folder():
    ids()
    fits()
    dialects()
    units()
    refused()
    letters_and_forms()
    odd_texts()
done()
