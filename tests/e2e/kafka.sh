#!/usr/bin/env bash
# The binary against a real Apache Kafka: equal rows, SCRAM, kill -9, Ctrl-C, a second member. Speaks TAP.
set -u
cd "$(dirname "$0")/../.."
nightjar=${NIGHTJAR:-$PWD/nightjar}
dir=$(mktemp -d)
names=(
    "a real Kafka starts and takes a night by replay"
    "rows from Kafka equal rows from files"
    "the ledger of the Kafka run closes"
    "what was committed does not come again"
    "lag: nothing for that group, everything for another"
    "lag --watch looks again until it is interrupted"
    "a time as the beginning"
    "SCRAM with the password from a file: equal rows"
    "a wrong password ends with its cause and is not shown"
    "TLS with the authority's certificate: equal rows"
    "TLS without it ends with what is missing"
    "replay at a rate, up to a limit"
    "kill -9 in mid-stream and a restart: every candid comes out"
    "the ledger after the restart closes"
    "Ctrl-C: exit code 130, accounted for"
    "what Ctrl-C left is all that comes afterwards"
    "a second member joins in mid-stream: every candid comes out"
    "the broker goes away in mid-stream and comes back: every candid comes out"
)
. tests/e2e/tap.sh
check() { # GOT EXPECTED [LOG]: the next of the names
    err=${3:-} is "$1" "$2" "${names[tap_count]}"
}
leave() {
    [ -d "$dir/kafka" ] && tests/e2e/kafka-up stop "$dir/kafka"
    rm -rf "$dir"
}
trap leave EXIT

tests/e2e/kafka-up start "$dir/kafka" 2>"$dir/up.log"
rc=$?
if [ $rc -eq 3 ]; then # no Java, no Maven, or no way to the jars
    why=$(tail -n 1 "$dir/up.log")
    for name in "${names[@]}"; do skip "$name" "$why"; done
    finish
fi
[ $rc -eq 0 ] || { err=$dir/up.log ok 1 "${names[0]}"; finish; }
. "$dir/kafka/env"

night=${NIGHTJAR_SHARED:-}/real/ztf
if [ -z "${NIGHTJAR_SHARED:-}" ] || [ ! -d "$night" ]; then
    night=$dir/night.tar
    "$nightjar" simulate --alerts 300 --seed 3 -o "$night" >/dev/null 2>"$dir/simulate.log" ||
        { err=$dir/simulate.log ok 1 "${names[0]}"; finish; }
fi

run() { # the log is $dir/run.log, the exit code that of nightjar
    "$nightjar" run "$@" >/dev/null 2>"$dir/run.log"
}
candids() { sed -n 's/^{"candid": *\(-\{0,1\}[0-9]*\),.*/\1/p' "$@" | sort -u; }
ledger() { # REPORT: "consumed emitted closed"
    python3 -c 'import json, sys
l = json.load(open(sys.argv[1]))["ledger"]
print(l["consumed"], l["emitted"], l["closed"])' "$1"
}
lines() { wc -l 2>/dev/null <"$1" || echo 0; }
sent() { sed -n 's/ messages, .*//p' "$1"; } # LOG of replay: how many messages it sent
rows_sum() { sort -u "$1" | sha256sum; }
wait_lines() { # FILE N: until the file has so many lines, at most 120 s
    for ((i = 0; i < 1200; i++)); do
        [ -f "$1" ] && [ "$(lines "$1")" -ge "$2" ] && return
        sleep 0.1
    done
}
# a dead member holds its partitions until its session ends
group_settings=(-X session.timeout.ms=2000 -X heartbeat.interval.ms=300)

run "$night" -o "ndjson:$dir/files.ndjson" --report "$dir/files.json" --dead-letters "$dir/dead.avro" ||
    cat "$dir/run.log" >&2
n=$(lines "$dir/files.ndjson")
"$nightjar" replay "$night" --to "kafka://$KAFKA/night" 2>"$dir/replay.log"
check "$? $(sent "$dir/replay.log") $([ "$n" -ge 300 ] && echo many)" "0 $n many" "$dir/replay.log"

run "kafka://$KAFKA/night?group=g&from=earliest&until=idle:2" -o "ndjson:$dir/kafka.ndjson" \
    --report "$dir/kafka.json"
check "$? $(sort "$dir/files.ndjson" | sha256sum)" "0 $(sort "$dir/kafka.ndjson" | sha256sum)" "$dir/run.log"
check "$(ledger "$dir/kafka.json")" "$n $n True"
run "kafka://$KAFKA/night?group=g&until=end" -o "ndjson:$dir/again.ndjson"
check "$? $(lines "$dir/again.ndjson")" "0 0" "$dir/run.log"

lag() { "$nightjar" lag "kafka://$KAFKA/night?group=$1" 2>&1 | sed -n 's/^total  *//p'; }
check "$(lag g) $(lag other)" "0 $n"
: >"$dir/watch" # the loop may look before the shell behind & has opened it
timeout -s INT 20 "$nightjar" lag --watch "kafka://$KAFKA/night?group=g" >"$dir/watch" 2>"$dir/run.log" &
watcher=$!
for ((i = 0; i < 150 && $(grep -c ^total "$dir/watch") < 3; i++)); do sleep 0.1; done
kill -INT $watcher
wait $watcher
check "$? $([ "$(grep -c ^total "$dir/watch")" -ge 3 ] && echo again)" "0 again" "$dir/run.log"

sleep 1
now=$(($(date +%s) * 1000 + 500))
sleep 1
"$nightjar" replay "$night" --to "kafka://$KAFKA/night" --limit 100 2>"$dir/replay.log"
run "kafka://$KAFKA/night?group=times&from=$now&until=end" -o "ndjson:$dir/late.ndjson"
check "$? $(lines "$dir/late.ndjson")" "0 100" "$dir/run.log"

printf '%s\n' "$KAFKA_PASSWORD" >"$dir/secret"
secure=(-X security.protocol=SASL_PLAINTEXT -X sasl.mechanism=SCRAM-SHA-512 -X "sasl.username=$KAFKA_USER")
run "kafka://$KAFKA_SASL/night?group=secure&until=end" "${secure[@]}" -X "sasl.password.file=$dir/secret" \
    -o "ndjson:$dir/secure.ndjson"
check "$? $(rows_sum "$dir/secure.ndjson")" "0 $(rows_sum "$dir/files.ndjson")" "$dir/run.log"
NIGHTJAR_KAFKA_PASSWORD=not-the-one run "kafka://$KAFKA_SASL/night?group=secure&until=end" "${secure[@]}" \
    -o null:
rc=$?
said=$(grep -q 'error: .*invalid credentials' "$dir/run.log" && echo said)
check "$rc $said $(grep -c not-the-one "$dir/run.log")" "2 said 0" "$dir/run.log"

sealed=(-X security.protocol=SASL_SSL -X sasl.mechanism=SCRAM-SHA-512 -X "sasl.username=$KAFKA_USER"
    -X "sasl.password.file=$dir/secret")
run "kafka://$KAFKA_TLS/night?group=sealed&until=end" "${sealed[@]}" -X "ssl.ca.location=$KAFKA_CA" \
    -o "ndjson:$dir/sealed.ndjson"
check "$? $(rows_sum "$dir/sealed.ndjson")" "0 $(rows_sum "$dir/files.ndjson")" "$dir/run.log"
run "kafka://$KAFKA_TLS/night?group=sealed&until=end" "${sealed[@]}" -o null:
check "$? $(grep -q 'error: .*ssl.ca.location' "$dir/run.log" && echo said)" "2 said" "$dir/run.log"

"$nightjar" replay "$night" --to "kafka://$KAFKA/paced" --rate 200/s --limit 200 2>"$dir/replay.log"
check "$? $(sent "$dir/replay.log")" "0 200" "$dir/replay.log"

slow() { "$nightjar" replay "$night" --to "kafka://$KAFKA/$1" --rate 120/s 2>"$dir/$1.log"; }
# the topic is there before its reader
"$nightjar" replay "$night" --to "kafka://$KAFKA/killed" --limit 1 2>"$dir/replay.log"
slow killed &
feeder=$!
"$nightjar" run "kafka://$KAFKA/killed?group=g&from=committed" "${group_settings[@]}" \
    -o "ndjson:$dir/killed.ndjson" >/dev/null 2>"$dir/run.log" &
victim=$!
wait_lines "$dir/killed.ndjson" 230 # two commits have been made
kill -9 $victim
wait $victim 2>/dev/null
before=$(lines "$dir/killed.ndjson")
wait $feeder
run "kafka://$KAFKA/killed?group=g&until=idle:4" "${group_settings[@]}" -o "ndjson:$dir/killed.ndjson" \
    --append --report "$dir/killed.json"
rc=$?
cut=$([ "$before" -lt "$n" ] && echo cut)
resumed=$([ "$(lines "$dir/killed.ndjson")" -lt $((n + before)) ] && echo resumed)
check "$rc $(candids "$dir/killed.ndjson" | sha256sum) $cut $resumed" \
    "0 $(candids "$dir/files.ndjson" | sha256sum) cut resumed" "$dir/run.log"
echo "# $before rows before the kill, $(lines "$dir/killed.ndjson") at the end for $n alerts"
check "$(ledger "$dir/killed.json" | cut -d' ' -f3)" True

"$nightjar" replay "$night" --to "kafka://$KAFKA/stopped" 2>"$dir/replay.log"
slow stopped &
feeder=$!
"$nightjar" run "kafka://$KAFKA/stopped?group=g&from=committed" -o "ndjson:$dir/stopped.ndjson" \
    --report "$dir/stopped.json" >/dev/null 2>"$dir/run.log" &
victim=$!
wait_lines "$dir/stopped.ndjson" 10
kill -INT $victim
wait $victim
rc=$?
first=$(lines "$dir/stopped.ndjson")
wait $feeder
check "$rc $(ledger "$dir/stopped.json" | cut -d' ' -f2-)" "130 $first True" "$dir/run.log"
run "kafka://$KAFKA/stopped?group=g&until=idle:2" -o "ndjson:$dir/rest.ndjson" --report "$dir/rest.json"
rc=$?
{ # shown when a row is missing: was it sent, is it left in the topic, did the run count it?
    cat "$dir/stopped.log"
    "$nightjar" lag "kafka://$KAFKA/stopped?group=g"
    echo "rest: $(ledger "$dir/rest.json")"
} >>"$dir/run.log" 2>&1
check "$rc $((first + $(lines "$dir/rest.ndjson"))) $(sent "$dir/stopped.log")" "0 $((2 * n)) $n" \
    "$dir/run.log"

"$nightjar" replay "$night" --to "kafka://$KAFKA/shared" --limit 1 2>"$dir/replay.log"
slow shared &
feeder=$!
members=()
for k in 1 2; do
    "$nightjar" run "kafka://$KAFKA/shared?group=g&until=idle:5" "${group_settings[@]}" \
        -o "ndjson:$dir/member$k.ndjson" --report "$dir/member$k.json" >/dev/null 2>"$dir/member$k.log" &
    members+=($!)
    wait_lines "$dir/member$k.ndjson" 20
done
wait $feeder
rc=
for m in "${members[@]}"; do wait "$m"; rc+="$? "; done
check "$rc$(candids "$dir/member1.ndjson" "$dir/member2.ndjson" | sha256sum)" \
    "0 0 $(candids "$dir/files.ndjson" | sha256sum)" "$dir/member2.log"
echo "# $(lines "$dir/member1.ndjson") and $(lines "$dir/member2.ndjson") rows for $((n + 1)) messages"

"$nightjar" replay "$night" --to "kafka://$KAFKA/gap" --limit 1 2>"$dir/replay.log"
slow gap &
feeder=$!
# a broker on a busy machine may need longer than contact_s to come back
"$nightjar" run "kafka://$KAFKA/gap?group=g&until=idle:8" "${group_settings[@]}" -D source.contact_s=600 \
    -o "ndjson:$dir/gap.ndjson" --report "$dir/gap.json" >/dev/null 2>"$dir/run.log" &
reader=$!
wait_lines "$dir/gap.ndjson" 100
tests/e2e/kafka-up stop "$dir/kafka"
at_stop=$(lines "$dir/gap.ndjson")
sleep 1
tests/e2e/kafka-up again "$dir/kafka"
wait $feeder
wait $reader
rc=$?
cut=$([ "$at_stop" -lt "$n" ] && echo cut)
resumed=$([ "$(lines "$dir/gap.ndjson")" -lt $((n + at_stop)) ] && echo resumed)
check "$rc $(candids "$dir/gap.ndjson" | sha256sum) $(ledger "$dir/gap.json" | cut -d' ' -f3) $cut $resumed" \
    "0 $(candids "$dir/files.ndjson" | sha256sum) True cut resumed" "$dir/run.log"
echo "# $at_stop rows when it went, $(lines "$dir/gap.ndjson") at the end"
finish
