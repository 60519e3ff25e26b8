# tap.sh - what the shell tests share: TAP lines and the exit code. Sourced, and no test itself.
# A test may set $err: the file whose last lines explain a failure.
tap_count=0 tap_bad=0
ok() { # STATUS NAME
  tap_count=$((tap_count + 1))
  [ "$1" -eq 0 ] && echo "ok $tap_count - $2" && return
  echo "not ok $tap_count - $2"
  tap_bad=1
  [ ! -f "${err:-}" ] || tail -n 5 "$err" | sed 's/^/# /'
}
is() { # GOT EXPECTED NAME
  [ "$1" = "$2" ]
  ok $? "$3 ($1)"
  [ "$1" = "$2" ] || echo "# expected $2"
}
skip() { # NAME WHY
  tap_count=$((tap_count + 1))
  echo "ok $tap_count - $1 # SKIP $2"
}
finish() { # the last line of a test
  echo "1..$tap_count"
  exit "$tap_bad"
}
