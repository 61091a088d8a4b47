# For the scripts of this folder, which source it: files that are there whole or not at all, what
# a model's card says, and runs of which one that fails does not stop the others.
once() { # FILE COMMAND...
  wanted_file=$1
  shift
  [ ! -f "$wanted_file" ] || return 0
  { "$@" >"$wanted_file.$$" && mv "$wanted_file.$$" "$wanted_file"; } || { rm -f "$wanted_file.$$"; return 1; }
}

# In two steps, for jq 1.6 takes no input at all for a success.
facts() { # MODEL FILTER
  said=$("$dragoman" info --json "$1") && printf '%s\n' "$said" | jq -er "$2"
}

pairs_of() { gzip -t "$1" && gzip -dc "$1" | cut -f1,2; }

# Of 4 words or more; small samples are part of larger ones.
sample() { # SIZE FILE OUTPUT
  [ -f "$3" ] || "$dragoman" data sample --quiet -n "$1" --words 4 -o "$3" "$2"
}

failed=''
try() { # NAME COMMAND...
  tried=$1
  shift
  set +e # or set -e would not hold in what is asked for its status
  (
    set -e
    "$@"
  )
  status=$?
  set -e
  [ $status -ne 130 ] || exit 130
  [ $status -eq 0 ] || failed="$failed
  $tried"
}

tell_failed() {
  [ "$failed" ] || return 0
  echo "$0: these failed; the same command tries them again:$failed" >&2
  exit 1
}
