#!/usr/bin/env python3
"""Fink's topics (data/topics/fink-*.ini): equal to Fink's own filters on its cases, with an alert that passes
and one that fails for each, and the columns that they need: airmass, the Moon's distance, elongation, and the
template's fluxes."""

import copy, csv, glob, json, os, re, shutil, tarfile
from avro import Schema, container, make_container
from tap import ROOT, SHARED, Folder, done, nightjar, ok, rows, skip

# columns of catalogues and classifiers, which tests give in a table: as in the topics, as in the tables
RUBIN = {
    "simbad.otype": "simbad_otype",
    "mangrove.lum_dist": "mangrove_lum_dist",
    "gaiadr3.parallax_error": "gaiadr3_e_plx",
    "gaiadr3.parallax": "gaiadr3_plx",
    "vsx.type": "vsx_type",
    "legacydr8.zphot": "legacydr8_zphot",
    "tns.name": "tns_name",
    "cats.class": "cats_class",
    "cats.score": "cats_score",
    "snn_elasticc_sn_vs_other.score": "snn_score",
    "hostless_rubin_gated.ks_template": "ks_template",
}  # the stamps are looked at where they are those of the oracle
ROUND = {"elongation.elongation": "elongation"}
ZTF = {
    "simbad.otype": "simbad_otype",
    "snn_snia_vs_nonia.score": "snn_snia_vs_nonia",
    "snn_sn_vs_all.score": "snn_sn_vs_all",
    "early_snia.score": "rf_snia_vs_nonia",
    "kilonova.score": "rf_kn_vs_nonkn",
    "microlensing.score": "mulens",
    "tns.type": "tns",
    "gaiadr3.source_id": "gaiadr3_name",
    "spicy.class": "spicy_class",
    "features.r_linear_fit_slope": "linear_fit_slope",
    "mangrove.lum_dist": "mangrove_lum_dist",
    "slsn.score": "slsn_score",
    "blazar_state.instantness_low": "instantness_low",
    "blazar_state.robustness_low": "robustness_low",
    "blazar_state.instantness_high": "instantness_high",
    "blazar_state.robustness_high": "robustness_high",
    "tracklet.name": "tracklet",
}
FINKCLASS = """
[module.finkclass]
need.simbad.otype = x.simbad_otype
need.microlensing.score = x.mulens
need.snn_snia_vs_nonia.score = x.snn_snia_vs_nonia
need.snn_sn_vs_all.score = x.snn_sn_vs_all
need.early_snia.score = x.rf_snia_vs_nonia
need.kilonova.score = x.rf_kn_vs_nonkn
"""


def topics_of(survey, more_columns=()):
    """The topics of the file, by name; and its text with the columns of a table by candid."""
    with open(f"{ROOT}/data/topics/fink-{survey}.ini", encoding="utf-8") as f:
        text = f.read()
    names = re.findall(r"^\[topic\.fink_(\w+)\]", text, re.M)
    for column, other in {**(RUBIN if survey == "rubin" else ZTF), **dict(more_columns)}.items():
        text = re.sub(r"(?<![\w.])" + re.escape(column) + r"\b", "x." + other, text)
    text = text[text.index("[topic.") :]
    lookup = "[module.x]\nkind = lookup\nfile = table.csv\nkey = candid\n"
    more = FINKCLASS if survey == "ztf" else "[module.elongation]\ndefault = 1\n"
    return names, lookup + more + "\n" + text


def run(names, file, source, columns="", *more):
    """The topics of each alert."""
    if os.path.exists("out.ndjson"):
        os.unlink("out.ndjson")
    every = ["-t", "every=1", "--columns", "candid" + columns]
    r = nightjar("run", "--topics", file, *every, source, "-q", "-o", "ndjson:out.ndjson", *more)
    if r.returncode:
        print("# " + r.stderr.replace("\n", "\n# "))
        return {}, {}
    out = {str(x["candid"]): x for x in rows("out.ndjson")}
    return {c: {t[5:] for t in x["topics"].split(",") if t.startswith("fink_")} for c, x in out.items()}, out


def table(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def compare(survey, names, got, truth):
    equal = wrong = 0
    off = []
    for row in truth:
        for name in names:
            if name not in row:
                continue
            same = (name in got.get(row["candid"], ())) == (row[name] == "1")
            equal += same
            wrong += not same
            if not same:
                off.append((row["candid"], row.get("case", ""), name, row[name]))
    print(f"# {survey}: {len(truth)} alerts, {equal} answers equal, {wrong} not")
    return off


def oracle_rubin(folder):
    names, text = topics_of("rubin")
    with open("rubin.ini", "w") as f:
        f.write(text)
    shutil.copy(folder + "/lsst_lookup.csv", "table.csv")
    got, out = run(names, "rubin.ini", folder + "/lsst_cases.avro", ",airmass,moon_dist")
    truth = table(folder + "/lsst_truth.csv")
    ok(len(got) == len(truth) == 133, "133 cases of Rubin", len(got))
    off = compare("rubin", names, got, truth)
    ok(not off, "13 Rubin topics equal Fink's filters on every case", off)
    airmass, elongation, n = [], [], 0
    for x in table(folder + "/lsst_lookup.csv"):
        mine = out[x["candid"]]
        if x["airmass"] and not abs(mine["airmass"] / float(x["airmass"]) - 1) < 3e-4:
            airmass.append((x["candid"], mine["airmass"], x["airmass"]))
        if not x["elongation"] or mine["elongation.reason"] == "no_input":
            continue  # some rows have lost their stamps
        n += 1
        if not abs((mine["elongation.elongation"] or 0) / float(x["elongation"]) - 1) < 1e-6:
            elongation.append((x["candid"], mine["elongation.elongation"], x["elongation"]))
    ok(not airmass, "airmass as astropy's", airmass)
    ok(n >= 8 and not elongation, f"elongation of {n} stamps as Fink's", elongation)


def oracle_ztf(folder):
    names, text = topics_of("ztf")
    with open("ztf.ini", "w") as f:
        f.write(text)
    shutil.copy(folder + "/ztf_lookup.csv", "table.csv")
    got, _ = run(names, "ztf.ini", SHARED + "/real/ztf", "", "-D", "run.private_topics=1")
    truth = table(folder + "/ztf_truth.csv")
    ok(len(got) == len(truth) == 322, "322 alerts of ZTF", len(got))
    off = compare("ztf", names, got, truth)
    ok(not off, "25 ZTF topics equal Fink's filters on every alert", off)
    public, _ = run(names, "ztf.ini", SHARED + "/real/ztf")
    ok(all(got[c] == public[c] for c in public), f"and {len(got) - len(public)} private ones are in none")
    got, _ = run(names, "ztf.ini", folder + "/ztf_orphan.avro")
    off = compare("ztf orphans", ["orphan_grb"], got, table(folder + "/ztf_orphan_truth.csv"))
    ok(not off, "orphan_grb equals Fink's filter on 9 simulated alerts", off)


# --- an alert that passes and one that fails, of this test's own making ---

GALAXY = {"simbad_otype": "Galaxy"}
BRIGHT = {"psfFlux": 50000.0, "psfFluxErr": 100.0}
FAST = {"psfFlux": 30000.0, "psfFluxErr": 100.0}


def before(days, flux, band="r", template=1000.0):
    return {"days": days, "psfFlux": flux, "band": band, "templateFlux": template}


class Case:
    """Changes to the alert's source (or candidate), its object, its history, and its row of the table."""

    def __init__(self, source=None, row=None, object=None, history=(), candid=None):
        self.source, self.row, self.object = source or {}, row or {}, object or {}
        self.history, self.candid = list(history), candid

    def but(self, **changes):
        other = copy.deepcopy(self)
        for name, value in changes.items():
            if isinstance(value, dict):
                getattr(other, name).update(value)
            else:
                setattr(other, name, value)
        return other


lt20 = Case(
    BRIGHT, None, {"nDiaSources": 6, "r_psfFluxMean": 1000.0, "r_psfFluxMeanErr": 10.0}, [before(3, 900.0)]
)
new = Case(None, GALAXY, {"r_psfFluxNdata": 3}, [before(1, 2000.0)])
svom = Case(None, GALAXY, None, [before(1, 4000.0)])
gvom = Case(FAST, None, None, [before(1, 5000.0)])
likely = {"snn_score": 0.9, "cats_class": 11, "cats_score": 0.95}
near = Case(None, {"legacydr8_zphot": 0.05}, {"nDiaSources": 7, "r_psfFluxMax": 5000.0})
flare = Case(
    {"band": "g", "dec": -75.0, "templateFlux": 10000.0},
    None,
    None,
    [before(10, 900.0, "r", 1000.0), before(10.1, 900.0, "i", 2000.0), before(10.2, 900.0, "z", 3000.0)],
)
flagged, sure = {"isDipole": True}, {"nDiaSources": 3}
RUBIN_CASES = {
    "good_quality": (Case(), Case({"isDipole": True})),
    "extragalactic_lt20mag_candidate": (lt20, lt20.but(source={"psfFlux": 5000.0})),
    "extragalactic_new_candidate": (new, new.but(row={"simbad_otype": "Star"})),
    "extragalactic_svom": (svom, svom.but(history=[before(10, 4000.0)])),
    "fast_transient_gvom": (gvom, gvom.but(history=[before(1, 29900.0)])),
    "hostless_candidate": (
        Case({"psfFlux": 10000.0}, {"ks_template": 0.5}),
        Case({"psfFlux": 10000.0}, {"ks_template": 0.97}),
    ),
    "in_tns": (Case(None, {"tns_name": "2026abc"}), Case()),
    "most_likely_sn": (Case(flagged, likely, sure), Case(None, likely, sure)),
    "remove_unlikely_transients": (Case(flagged, None, sure), Case(None, None, sure)),
    "sn_near_galaxy_candidate": (near, near.but(row={"legacydr8_zphot": 0.0005})),
    "uniform_sample": (Case(candid=113 * 10**6), Case(candid=113 * 10**6 + 1)),
    "faint_trails": (
        Case({**FAST, "trailLength": 3.0, "trailFlux": 10.0}, {"elongation": 3.0}),
        Case({**FAST, "trailLength": 3.0, "trailFlux": 10.0}, {"elongation": 1.5}),
    ),
    "mdwarf_flare": (flare, flare.but(history=[before(10, 900.0, b, 1000.0) for b in "riz"])),
    "most_likely_sn_meant": (Case(None, likely, sure), Case(flagged, likely, sure)),
    "remove_unlikely_transients_meant": (Case(None, None, sure), Case(flagged, None, sure)),
    "extragalactic_new_candidate_meant": (new, new.but(row={"simbad_otype": "Fail"})),
    "extragalactic_svom_meant": (svom, svom.but(row={"simbad_otype": "Fail"})),
    "sn_near_galaxy_candidate_meant": (near, near.but(row={"simbad_otype": "Star"})),
    "fast_transient_gvom_meant": (gvom, gvom.but(row={"gaiadr3_plx": 10.0, "gaiadr3_e_plx": 1.0})),
}

sn = {"snn_sn_vs_all": 0.9, "rf_snia_vs_nonia": 0.9, "simbad_otype": "Unknown"}
real = {"drb": 0.9, "rb": 0.9, "classtar": 0.9, "ndethist": 5, "nbad": 0}
states = {"instantness_low": 0.5, "robustness_low": 0.5, "instantness_high": 2.0, "robustness_high": 2.0}
young = Case(real, sn)
kilonova = Case(real, {"rf_kn_vs_nonkn": 0.9, "simbad_otype": "Unknown"})
spicy = Case(
    None,
    {"spicy_class": "ClassII", "linear_fit_slope": 0.1},
    None,
    [before(k, 17 + 0.1 * k) for k in range(1, 8)],
)
vast = Case({"dec": -20.0}, {"mangrove_lum_dist": 100.0, "tns": "SN Ia", "snn_sn_vs_all": 0.9})
orphan = Case({"magpsf": 19.5}, None, None, [before(2, 18.8, "r"), before(4, 19.4, "g")])
moving = {"ndethist": 1, "ssdistnr": -999.0, "sgscore1": 0.5, "distpsnr1": 20.0}


def otype(good, bad="Star"):
    return Case(real, {"simbad_otype": good}), Case(real, {"simbad_otype": bad})


def lookup(key, good, bad):
    return Case(real, {key: good}), Case(real, {key: bad})


ZTF_CASES = {
    "blazar": otype("Blazar"),
    "early_sn_candidates": (young, young.but(row={"rf_snia_vs_nonia": 0.1})),
    "sn_candidates": (young, young.but(row={"snn_sn_vs_all": 0.1})),
    "kn_candidates": (kilonova, kilonova.but(row={"rf_kn_vs_nonkn": 0.1})),
    "microlensing_candidates": lookup("mulens", 0.5, 0.0),
    "simbad_grav_candidates": otype("LensingEv"),
    "sso_fink_candidates": (Case(moving), Case({**moving, "sgscore1": 0.9})),
    "sso_ztf_candidates": (Case({**moving, "ssdistnr": 1.0}), Case({**moving, "ssdistnr": 9.0})),
    "tns_match": (Case(None, {"tns": "SN Ia"}), Case()),
    "vra": (
        Case({**real, "magpsf": 20.0}, {"simbad_otype": "Unknown"}),
        Case({**real, "magpsf": 19.0}, {"simbad_otype": "Unknown"}),
    ),
    "yso_candidates": otype("YSO_Candidate"),
    "yso_spicy_candidates": (spicy, spicy.but(row={"spicy_class": "Unknown"})),
    "unknowns": otype("Unknown"),
    "blazar_high_state": (Case(None, states), Case(None, {**states, "instantness_high": 0.9})),
    "blazar_low_state": (Case(None, states), Case(None, {**states, "robustness_low": -0.1})),
    "gaia_dr3_candidates": (Case(None, {"gaiadr3_name": "1"}), Case()),
    "ztf_quality_cuts": (Case(real), Case({**real, "nbad": 1})),
    "rrlyr": otype("RRLyrae"),
    "simbad_candidates": otype("Star", "Galaxy"),
    "snialike": (
        Case({"neargaia": 9.0, "distpsnr1": 9.0}, {"rf_snia_vs_nonia": 0.1, "simbad_otype": "Unknown"}),
        Case({"neargaia": 1.0, "distpsnr1": 9.0}, {"rf_snia_vs_nonia": 0.1, "simbad_otype": "Unknown"}),
    ),
    "slsn_filter": lookup("slsn_score", 0.6, 0.4),
    "tracklet_candidates": lookup("tracklet", "TRCK_1", "TRCK1"),
    "vast_supernovae": (vast, vast.but(row={"mangrove_lum_dist": 300.0})),
    "vast_supernovae_candidates": (vast, vast.but(source={"dec": 0.0})),
    "orphan_grb": (orphan, orphan.but(source={"magpsf": 18.2})),
    "early_sn_candidates_meant": (young, young.but(row={"simbad_otype": "Fail"})),
    "sn_candidates_meant": (young, young.but(row={"simbad_otype": "Fail"})),
    "kn_candidates_meant": (kilonova, kilonova.but(row={"simbad_otype": "Fail"})),
}


def simulated_lsst():
    nightjar(
        "simulate", "--survey", "lsst", "-n", 40, "--seed", 7, "-q", "-o", "night", "--truth", "truth.csv"
    )
    for path in sorted(glob.glob("night/*.avro")):
        with open(path, "rb") as f:
            schema, datums = container(f.read())
        for datum in datums:
            alert = Schema(schema).read(datum)
            if alert["diaObject"]:
                return schema, alert
    return None, None


def make_rubin(alert, case, candid):
    a = copy.deepcopy(alert)
    now = a["diaSource"]
    for key, value in now.items():
        if isinstance(value, bool):
            now[key] = False
    plain = {
        "ssObjectId": None,
        "ra": 10.0,
        "dec": -30.0,
        "band": "r",
        "psfFlux": 5000.0,
        "psfFluxErr": 100.0,
    }
    now.update({**plain, "snr": 50.0, "isNegative": False, "diaSourceId": candid, **case.source})
    a["ssSource"] = None
    a["diaObject"].update({"nDiaSources": 1, **case.object})
    history = []
    for h in case.history:
        p = {**copy.deepcopy(now), **h, "midpointMjdTai": now["midpointMjdTai"] - h["days"]}
        p.pop("days")
        history.append(p)
    a["prvDiaSources"] = history or None
    return a


def public_ztf():
    with tarfile.open(f"{ROOT}/data/sample.tar.gz") as t:
        for m in t.getmembers():
            schema, datums = container(t.extractfile(m).read())
            alert = Schema(schema).read(datums[0])
            if alert["candidate"]["programid"] == 1:
                return schema, alert
    return None, None


def make_ztf(alert, case, candid):
    a = copy.deepcopy(alert)
    now = a["candidate"]
    fids = {"g": 1, "r": 2, "i": 3}
    plain = {
        "magpsf": 17.0,
        "sigmapsf": 0.05,
        "fid": 2,
        "isdiffpos": "t",
        "ssdistnr": -999.0,
        "ssnamenr": "null",
    }
    now.update(
        {
            **plain,
            "jdstarthist": now["jd"] - 4,
            "candid": candid,
            "ndethist": 5,
            "sgscore1": 0.9,
            **case.source,
        }
    )
    a["candid"] = candid
    history = []
    for h in sorted(case.history, key=lambda h: -h["days"]):
        p = copy.deepcopy(now)
        p.update({"jd": now["jd"] - h["days"], "magpsf": h["psfFlux"], "fid": fids[h["band"]]})
        history.append(p)
    a["prv_candidates"] = history or None
    return a


def own_cases(survey, cases, schema, alert, make, more=()):
    names, text = topics_of(survey, more)
    ok(sorted(names) == sorted(cases), f"{survey}: cases of all {len(names)} topics", set(names) ^ set(cases))
    alerts, lines, tests = [], [], {}
    columns = sorted(
        {k for pair in cases.values() for c in pair for k in c.row}
        | set(ZTF.values())
        | set(RUBIN.values())
        | {"elongation"}
    )
    for n, (name, pair) in enumerate(cases.items()):
        for which, case in zip(("passes", "fails"), pair):
            candid = case.candid or 10**9 + 1000 * n + (which == "fails")
            alerts.append(make(alert, case, candid))
            lines.append([candid, *(case.row.get(k, "") for k in columns)])
            tests.setdefault(name, []).append(f"{which} = {survey}.avro#{candid}")
    with open(survey + ".avro", "wb") as f:
        f.write(make_container(Schema(schema).document, alerts))
    with open("table.csv", "w", newline="") as f:
        csv.writer(f).writerows([["candid", *columns], *lines])
    for name, two in tests.items():
        text = text.replace(f"[topic.fink_{name}]\n", f"[topic.fink_{name}]\n" + "\n".join(two) + "\n")
    with open(survey + ".ini", "w") as f:
        f.write(text)
    r = nightjar("topics", "check", survey + ".ini", "--json")
    answers = [t for x in json.loads(r.stdout or '{"topics": []}')["topics"] for t in x["tests"]]
    bad = [t for t in answers if not t["passed"]]
    name = f"{survey}: an alert passes and one fails, for each of {len(names)} topics"
    ok(len(answers) == 2 * len(names) and not bad, name, bad or r.stderr)


def own():
    schema, alert = simulated_lsst()
    own_cases("rubin", RUBIN_CASES, schema, alert, make_rubin, ROUND)
    schema, alert = public_ztf()
    own_cases("ztf", ZTF_CASES, schema, alert, make_ztf)
    for name in ("fink-rubin", "fink-ztf"):
        r = nightjar("topics", "-c", name, "--names")
        ok(r.returncode == 0 and "fink_" in r.stdout, f"-c {name} is built in", r.stderr)


with Folder():
    own()
    where = os.path.join(SHARED, "oracles/next/topics") if SHARED else ""
    if os.path.isdir(where):
        oracle_rubin(where)
        oracle_ztf(where)
    else:
        skip("Fink's topics against its filters", "no ../shared/oracles/next/topics")
done()
