# For the scripts of tests/cli: sourced, it speaks TAP for them.
LC_ALL=C
export LC_ALL
dragoman=$DRAGOMAN_BUILD/dragoman
n=0
# check NAME COMMAND...: the command must succeed.
check() {
  n=$((n + 1))
  name=$1
  shift
  if "$@" >"$TMPDIR/log" 2>&1; then echo "ok $n - $name"; else
    echo "not ok $n - $name"
    sed 's/^/# /' "$TMPDIR/log"
  fi
}
# prints WANT COMMAND...: standard output must be WANT.
prints() {
  want=$1
  shift
  got=$("$@") && [ "$got" = "$want" ] && return
  printf 'wanted: %s\ngot: %s\n' "$want" "$got"
  return 1
}
# prints_file FILE COMMAND...: standard output must be the file, byte for byte.
prints_file() {
  want=$1
  shift
  "$@" >"$TMPDIR/got" && diff "$want" "$TMPDIR/got"
}
# tame FILE...: nothing in them tells a terminal what to do; of control characters, lines and tabs.
tame() { ! cat "$@" | grep -n "$(printf '[\001-\010\013-\037\177]\|\302[\200-\237]')"; }
# refuses STATUS WORD COMMAND...: it fails so and its one line of complaint has WORD.
refuses() {
  status=$1 word=$2
  shift 2
  "$@" >"$TMPDIR/out" 2>"$TMPDIR/err" </dev/null
  got=$?
  cat "$TMPDIR/err"
  [ $got -eq "$status" ] && [ "$(wc -l <"$TMPDIR/err")" -eq 1 ] && grep -q -e "$word" "$TMPDIR/err" &&
    [ ! -s "$TMPDIR/out" ]
}
