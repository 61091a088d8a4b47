# Every command explains itself; mistakes are one line and exit with status 2.
. tests/tap.sh

"$dragoman" --help >"$TMPDIR/commands"
for command in translate train pretrain eval tokenizer data info import merge export; do
  listed() { grep -q "^  $command " "$TMPDIR/commands"; }
  check "$command is listed" listed
  helps() {
    "$dragoman" $command --help >"$TMPDIR/help" && grep -q '^usage: dragoman '$command "$TMPDIR/help" &&
      grep -q '^examples:' "$TMPDIR/help"
  }
  check "$command --help has examples" helps
done
for command in translate train pretrain eval info import merge export "tokenizer train" "tokenizer encode" \
  "tokenizer decode" "data harvest" "data clean" "data split" "data sample" "data stats"; do
  common() {
    "$dragoman" $command --help >"$TMPDIR/help" &&
      for flag in threads quiet help; do grep -q -e "--$flag" "$TMPDIR/help" || return 1; done
    case $command in # those that print results
      import | merge | export) ! grep -q -e '--json ' "$TMPDIR/help" ;;
      *) grep -q -e '--json ' "$TMPDIR/help" ;;
    esac
  }
  check "$command has the common flags" common
  narrow() { ! "$dragoman" $command --help | grep -n '.\{101\}'; }
  check "$command --help fits 100 columns" narrow
  check "$command knows no --nonsense" refuses 2 'nonsense' "$dragoman" $command --nonsense
done
check "a part's own help is named" refuses 2 'see dragoman data clean --help' "$dragoman" data clean --bogus
check "--json without results" refuses 2 'no flag --json' "$dragoman" merge --json
check "a near miss is named" refuses 2 'did you mean --threads' "$dragoman" translate --thread 2
check "an empty word" refuses 2 'name of nothing' "$dragoman" translate -t es ''
check "a name that would command the terminal" refuses 2 'a?\[31mb?c' "$dragoman" info "$(printf 'a\033[31mb\nc')"
odd=$(printf 'a\033[31mb\302\233c')
check "a flag that would" refuses 2 'no flag --a?\[31mb?c;\? ' "$dragoman" translate "--$odd"
check "a value that would" refuses 2 '"a?\[31mb?c" is not' "$dragoman" translate --beam "$odd"
check "a command that would" refuses 2 '"a?\[31mb?c"' "$dragoman" "$odd"
full() { ! "$dragoman" --help >/dev/full && ! "$dragoman" translate --help >/dev/full && ! "$dragoman" --version >/dev/full; }
check "help that cannot be written" full
check "unknown command" refuses 2 'nosuch' "$dragoman" nosuch
check "version" prints "dragoman $(sed -n 's/^VERSION := //p' Makefile)" "$dragoman" --version
echo "1..$n"
