#!/usr/bin/env python3
"""Two surveys in one run: each has the rows that it has alone, for any order of sources, batch size and
number of threads."""

import json
from tap import Folder, done, nightjar, ok, rows

# canonical and raw, of both surveys and of one only; 64-bit ids, floats, texts, lists, and the SQL table lc
COLUMNS = (
    "lc.mag,lc.jd,lc.flux,lc.candid,fp.flux,fp.jd,limit_mag,snr,sso_id,detector,mjd_tai_mid,"
    "packet.candidate.magpsf,packet.candidate.pid,packet.candidate.programpi,packet.prv_candidates[].candid,"
    "packet.diaSource.diaSourceId,packet.diaSource.psfFlux,packet.diaSource.visit,packet.diaSource.band,"
    "packet.prvDiaSources[].diaSourceId,packet.nothing.of.that.name"
)
WHERE = (
    "(SELECT count(*) FROM lc WHERE mag IS NOT NULL) >= 1 AND (packet.diaSource.diaSourceId IS NULL OR"
    " packet.diaSource.diaSourceId > 0)"
)


def run(name, *args):
    r = nightjar(
        "run", "-m", "roid,nalerthist", "--columns", COLUMNS, "-o", f"ndjson:{name}", "--overwrite", *args
    )
    return r, sorted((json.dumps(x, sort_keys=True) for x in rows(name)) if r.returncode == 0 else [])


def types(name):
    return {
        c["key"]: (c["type"], c.get("width", 1))
        for c in json.load(open(name + ".meta.json", encoding="utf-8"))["columns"]
    }


def two_surveys():
    nightjar("simulate", "-q", "-n", 40, "-o", "ztf.tar", "--truth", "z.csv")
    nightjar("simulate", "-q", "-n", 40, "--survey", "lsst", "-o", "lsst.tar", "--truth", "l.csv")
    _, ztf = run("z.ndjson", "ztf.tar", "-j", 1, "-w", WHERE)
    r, lsst = run("l.ndjson", "lsst.tar", "-j", 1, "-w", WHERE)
    ok(len(ztf) > 30 and len(lsst) > 30, "each survey alone has rows", r.stderr)
    one = rows("l.ndjson")[0]
    ok(any(v is not None for v in one["lc.mag"]), "lc.mag of LSST is there")
    ok(
        one["packet.diaSource.diaSourceId"] == one["candid"] and one["candid"] > 2**53,
        "a raw 64-bit id is exact",
        one,
    )
    ok(
        types("z.ndjson") == types("l.ndjson"),
        "the columns have the same types whichever survey is read",
        {
            k: (v, types("l.ndjson").get(k))
            for k, v in types("z.ndjson").items()
            if v != types("l.ndjson").get(k)
        },
    )
    both = sorted(ztf + lsst)
    for order in (("ztf.tar", "lsst.tar"), ("lsst.tar", "ztf.tar")):
        for size in (1, 4, 64):
            for threads in (1, 2):
                wrong = []
                for _ in range(3):  # a race shows in some repeats only
                    r, got = run(
                        "both.ndjson", *order, "-j", threads, "-D", f"run.batch_rows={size}", "-w", WHERE
                    )
                    if got != both:
                        wrong = [(a, b) for a, b in zip(got, both) if a != b][:1] or [r.stderr, len(got)]
                ok(
                    not wrong,
                    f"{' '.join(order)}, {size} rows a batch, {threads} threads: each survey's rows as alone",
                    wrong,
                )


with Folder():
    two_surveys()
done()
