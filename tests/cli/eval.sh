# dragoman eval: what it prints is what sacreBLEU 2.6 printed for the same text.
. tests/tap.sh
score() { "$dragoman" eval "$@"; }

cat >"$TMPDIR/ref" <<'END'
The committee met on 12,000.50 occasions - it said "no" &amp; left.
A mesa é grande, pero a cadeira é pequena.

Не знаю, что сказать: 3-4 раза, 1990-х.
今日は良い天気ですね。
END
cat >"$TMPDIR/hyp" <<'END'
The committee met on 12,000.50 occasions- it said "no" & left .
A mesa é moi grande pero a cadeira pequena.

Не знаю что сказать, 3-4 раза; 1990-х
今日は天気がいいですね。
END
bleu='nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0'
chrf='nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0'
verbose='89.5/67.6/45.2/28.6 (BP = 0.900 ratio = 0.905 hyp_len = 38 ref_len = 42)'
bleu_json() { # SCORE
  cat <<END
{
 "name": "BLEU",
 "score": $1,
 "signature": "$bleu",
 "verbose_score": "$verbose",
 "nrefs": "1",
 "case": "mixed",
 "eff": "no",
 "tok": "13a",
 "smooth": "exp",
 "version": "2.6.0"
}
END
}
chrf_json() {
  cat <<END
{
 "name": "chrF2",
 "score": $1,
 "signature": "$chrf",
 "nrefs": "1",
 "case": "mixed",
 "eff": "yes",
 "nc": "6",
 "nw": "0",
 "space": "no",
 "version": "2.6.0"
}
END
}
printf '  BLEU|%s = 47.6 %s\nchrF2|%s = 73.6\n' "$bleu" "$verbose" "$chrf" >"$TMPDIR/text"
printf 'BLEU|%s = 47.5823 %s\n' "$bleu" "$verbose" >"$TMPDIR/bleu4"
printf '47.582\n73.564\n' >"$TMPDIR/numbers"
printf '[\n47.6,\n73.6\n]\n' >"$TMPDIR/list"
bleu_json 47.5823 >"$TMPDIR/bleu.json"
chrf_json 74.0 >"$TMPDIR/chrf.json"
printf '[\n%s,\n%s\n]\n' "$(bleu_json 47.6)" "$(chrf_json 73.6)" >"$TMPDIR/both.json"

helps() { score --help >"$TMPDIR/help" && grep -q '^examples:' "$TMPDIR/help"; }
check "help" helps
check "both metrics" prints_file "$TMPDIR/text" score -r "$TMPDIR/ref" "$TMPDIR/hyp"
piped() { score -r "$TMPDIR/ref" <"$TMPDIR/hyp"; }
check "from standard input" prints_file "$TMPDIR/text" piped
turned() { score -r - "$TMPDIR/hyp" <"$TMPDIR/ref"; }
check "reference from standard input" prints_file "$TMPDIR/text" turned
gzip -k "$TMPDIR/ref" "$TMPDIR/hyp"
check "gzipped" prints_file "$TMPDIR/text" score -r "$TMPDIR/ref.gz" "$TMPDIR/hyp.gz"
sed 's/$/\r/' "$TMPDIR/hyp" >"$TMPDIR/crlf"
check "lines end as on Windows" prints_file "$TMPDIR/text" score -r "$TMPDIR/ref" "$TMPDIR/crlf"
check "order of metrics is fixed" prints_file "$TMPDIR/text" score -m chrf,bleu -r "$TMPDIR/ref" "$TMPDIR/hyp"
check "one metric, four digits" prints_file "$TMPDIR/bleu4" score -m bleu -w 4 -r "$TMPDIR/ref" "$TMPDIR/hyp"
check "--quiet" prints_file "$TMPDIR/numbers" score --quiet -w 3 -r "$TMPDIR/ref" "$TMPDIR/hyp"
check "--json" prints_file "$TMPDIR/both.json" score --json -r "$TMPDIR/ref" "$TMPDIR/hyp"
check "--json, one metric" prints_file "$TMPDIR/bleu.json" score --json -m bleu -w 4 -r "$TMPDIR/ref" "$TMPDIR/hyp"
check "--json, no digits" prints_file "$TMPDIR/chrf.json" score --json -m chrf -w 0 -r "$TMPDIR/ref" "$TMPDIR/hyp"
check "--json --quiet" prints_file "$TMPDIR/list" score --json --quiet -r "$TMPDIR/ref" "$TMPDIR/hyp"
printf '100.00\n100.00\n' >"$TMPDIR/perfect"
check "a perfect translation" prints_file "$TMPDIR/perfect" score --quiet -w 2 -r "$TMPDIR/ref" "$TMPDIR/ref"
printf '0.0\n5.7\n' >"$TMPDIR/poor"
printf 'quite other words\n' >"$TMPDIR/other"
printf 'A mesa\n' >"$TMPDIR/mesa"
check "no word right" prints_file "$TMPDIR/poor" score --quiet -r "$TMPDIR/mesa" "$TMPDIR/other"

check "no reference" refuses 2 '-r' score "$TMPDIR/hyp"
check "the same hypothesis twice" refuses 2 'named twice' score -r "$TMPDIR/ref" "$TMPDIR/hyp" "$TMPDIR/hyp"
check "unknown metric" refuses 2 'comet' score -m bleu,comet -r "$TMPDIR/ref" "$TMPDIR/hyp"
check "no metric" refuses 2 'no list' score -m '' -r "$TMPDIR/ref" "$TMPDIR/hyp"
check "too many digits" refuses 2 'width' score -w 40 -r "$TMPDIR/ref" "$TMPDIR/hyp"
check "standard input twice" refuses 2 'standard input' score -r -
check "missing reference" refuses 1 'absent' score -r "$TMPDIR/absent" "$TMPDIR/hyp"
check "missing hypothesis" refuses 1 'absent' score -r "$TMPDIR/ref" "$TMPDIR/absent"
head -n 3 "$TMPDIR/hyp" >"$TMPDIR/short"
check "too few lines" refuses 1 'short has 3 lines but the reference .*ref has 5: from line 4' score -r "$TMPDIR/ref" "$TMPDIR/short"
check "too many lines" refuses 1 'ref has 5 lines .*short has 3: from line 4' score -r "$TMPDIR/short" "$TMPDIR/ref"
check "nothing to score" refuses 1 'standard input has 0 lines' score -r "$TMPDIR/ref"
printf 'one\nt\366o\n' >"$TMPDIR/latin1"
printf 'one\ntwo\n' >"$TMPDIR/two"
check "hypothesis not UTF-8" refuses 1 'latin1: line 2, byte 2: .*iconv' score -r "$TMPDIR/two" "$TMPDIR/latin1"
check "reference not UTF-8" refuses 1 'latin1: line 2, byte 2: .*iconv' score -r "$TMPDIR/latin1" "$TMPDIR/two"
printf 'one\nt\0o\n' >"$TMPDIR/nul"
check "NUL byte" refuses 1 'nul: line 2' score -r "$TMPDIR/two" "$TMPDIR/nul"
: >"$TMPDIR/empty"
check "empty reference" refuses 1 'empty: the reference is empty: name' score -r "$TMPDIR/empty" "$TMPDIR/empty"
printf '\n \n' >"$TMPDIR/blank"
check "blank reference" refuses 1 'blank: the reference is empty: name' score -r "$TMPDIR/blank" "$TMPDIR/two"
printf 'one\n\n' >"$TMPDIR/gap"
gap() { score --quiet -m chrf -w 4 -r "$TMPDIR/gap" "$TMPDIR/two" 2>"$TMPDIR/err"; }
check "reference with a gap, scored as sacreBLEU does" prints 100.0000 gap
warned() { score -r "$TMPDIR/gap" "$TMPDIR/two" 2>&1 >"$TMPDIR/out" | grep -q 'gap: line 2 is empty'; }
check "reference with a gap, warned of" warned
check "no reference at all" refuses 1 'segment 2 has no reference' score --optional-refs -r "$TMPDIR/gap" "$TMPDIR/two"
head -c 60 "$TMPDIR/hyp.gz" >"$TMPDIR/cut.gz"
check "cut gzip data" refuses 1 'cut.gz: .*gzip' score -r "$TMPDIR/ref" "$TMPDIR/cut.gz"
echo "1..$n"
