#!/usr/bin/env bash
# A simulated night through the whole host, held against its truth: the modules find what is there and little
# else.
# Bars: what 4,000 alerts of another seed gave, with room (hostless 88 % candidates, 0.5 % of what has a host;
# roid 97 %).
cd "$(dirname "$0")/../.." || exit 1
export NIGHTJAR=${NIGHTJAR:-$PWD/nightjar} LC_ALL=C
t=$(mktemp -d) && trap 'rm -rf "$t"' EXIT
"$NIGHTJAR" simulate -q -n 1500 --seed 11 --exposures 24 -o - --truth "$t/truth.csv" |
    "$NIGHTJAR" run - -q -m hostless,roid,is_transient -o "ndjson:$t/out.ndjson" \
        --dead-letters "$t/dead.avro" 2>"$t/err"
codes="${PIPESTATUS[*]}"
if [ "$codes" = "0 0" ]; then echo "ok 1 - simulate | run"
else
    echo "not ok 1 - simulate | run (exit codes $codes)"
    sed 's/^/# /' "$t/err"
fi
python3 - "$t/truth.csv" "$t/out.ndjson" <<'P'
import csv, json, sys

truth = {int(r["candid"]): r for r in csv.DictReader(open(sys.argv[1]))}
rows = [json.loads(line) for line in open(sys.argv[2])]
number = 1


def check(good, name):
    global number
    number += 1
    print("%s %d - %s" % ("ok" if good else "not ok", number, name))


def share(classes, hit):
    mine = [r for r in rows if truth[r["candid"]]["class"] in classes]
    return sum(map(hit, mine)) / len(mine)


check(len(rows) == 1500 and {r["candid"] for r in rows} == set(truth), "every alert once")


def as_in_truth(r):
    t = truth[r["candid"]]
    same = r["object"] == t["object"] and r["band"] == t["band"] and r["positive"] == int(t["positive"])
    return same and abs(r["jd"] - float(t["jd"])) < 1e-6


same = all(map(as_in_truth, rows))
check(same, "object, band, sign and time are those of the truth")
pull = sorted(abs(r["mag"] - float(truth[r["candid"]]["mag"])) / r["mag_err"] for r in rows)
median = pull[len(pull) // 2]
name = "magnitudes scatter by their errors (median pull %.2f, 0.67 for a Gaussian)" % median
check(0.5 < median < 0.9, name)
found = share({"hostless"}, lambda r: r["hostless.candidate"] == 1)
wrong = share(
    {"star", "variable", "galaxy", "supernova"},
    lambda r: r["hostless.candidate"] == 1 and r["hostless.lone"] == "science",
)
check(found > 0.7, "hostless transients that are candidates: %.3f" % found)
check(wrong < 0.03, "what has a host or is a star, taken for hostless: %.4f" % wrong)
moving = share({"asteroid"}, lambda r: r["roid.roid"] is not None and r["roid.roid"] >= 2)
still = share(
    {"star", "variable", "galaxy", "supernova"}, lambda r: r["roid.roid"] is not None and r["roid.roid"] >= 2
)
check(moving > 0.85, "asteroids that roid flags: %.3f" % moving)
check(still < 0.03, "others that roid flags: %.4f" % still)
varying = share({"variable", "star"}, lambda r: r["is_transient.is_transient"] == 1)
check(varying < 0.05, "variable stars taken for transients: %.4f" % varying)
print("1..%d" % number)
P
