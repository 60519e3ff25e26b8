#!/usr/bin/env bash
# simulate: every kind of output holds the same bytes; nothing is overwritten unasked.
cd "$(dirname "$0")/../.." || exit 1
export NIGHTJAR=${NIGHTJAR:-$PWD/nightjar} LC_ALL=C
t=$(mktemp -d) && trap 'rm -rf "$t"' EXIT
err=$t/err
. tests/e2e/tap.sh
sim() { "$NIGHTJAR" simulate -n 60 --seed 9 --exposures 6 "$@" 2>"$t/err"; }

sim -q -o "$t/night.tar.gz"; is $? 0 "a tar.gz"
is "$(wc -l <"$t/truth.csv")" 61 "truth.csv beside it, a line for each alert"
sim -q -j 1 -o "$t/night.tar" --truth "$t/two.csv"; is $? 0 "a tar, on one thread"
gzip -dc "$t/night.tar.gz" | cmp -s - "$t/night.tar"; ok $? "tar.gz and tar hold the same bytes"
cmp -s "$t/truth.csv" "$t/two.csv"; ok $? "and the same truth"
sim -q -j 3 -o - --truth "$t/three.csv" | cmp -s - "$t/night.tar"
ok $? "standard output, on three threads, too"
mkdir "$t/d" && sim -q -o "$t/d/night"; is $? 0 "a folder"
mkdir "$t/x" && tar xf "$t/night.tar" -C "$t/x" && diff -r "$t/x" "$t/d/night" >"$t/err"
ok $? "of the same files"
tail -n +2 "$t/truth.csv" | cut -d, -f1 | sed 's/$/.avro/' | sort >"$t/a" &&
    (cd "$t/x" && ls) | sort | cmp -s - "$t/a"
ok $? "named after candid, none twice"
sim -q -o "$t/night.tar.gz" --truth "$t/four.csv"; is $? 1 "an existing file is refused"
grep -q -- "--overwrite" "$t/err"; ok $? "with the way out"
sim -q -o "$t/other.tar"; is $? 1 "an existing truth.csv is refused"
[ ! -e "$t/other.tar" ]; ok $? "before anything is written"
sim -q --overwrite -o "$t/night.tar.gz" --seed 10; is $? 0 "--overwrite"
cmp -s "$t/truth.csv" "$t/two.csv"; is $? 1 "another seed is another night"
sim -q --night 2024-03-16 -o "$t/next.tar" --truth "$t/next.csv"; is $? 0 "the next night"
objects() { tail -n +2 "$1" | cut -d, -f2 | sort -u; }
again=$(comm -12 <(objects "$t/two.csv") <(objects "$t/next.csv") | wc -l)
[ "$again" -ge 10 ]; ok $? "sees objects of the night before ($again)"
is "$(tail -n +2 "$t/next.csv" | cut -d, -f5 | cut -c1-7 | sort -u)" "2460385" "at that date"
for bad in "--night 2024-02-30" "--night yesterday" "-n 0" "-n many" "--schema 7" "--encoder x" \
    "--survey sdss" "-j 0" "stray"; do
    # shellcheck disable=SC2086
    sim -q -o "$t/bad.tar" --truth "$t/bad.csv" $bad; is $? 1 "refused: $bad"
done
sim -q -o - --truth "$t/broken.csv" | head -c 100 >/dev/null
is "${PIPESTATUS[0]}" 3 "a reader that leaves early is an error"
timeout 60 "$NIGHTJAR" simulate -n 3 -q -X message.timeout.ms=1500 -o kafka://127.0.0.1:1/topic \
    >"$t/out" 2>"$t/err"
is $? 3 "a Kafka that is not there"
grep -q "did not arrive\|kafka://127.0.0.1:1" "$t/err"; ok $? "is reported by name"
finish
