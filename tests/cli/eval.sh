# dragoman eval: what it prints is what sacreBLEU 2.6 printed for the same text.
. tests/tap.sh
. tests/numbers.sh
root=$PWD
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
check "--json --quiet" prints_file "$TMPDIR/both.json" score --json --quiet -r "$TMPDIR/ref" "$TMPDIR/hyp"
printf '100.00\n100.00\n' >"$TMPDIR/perfect"
check "a perfect translation" prints_file "$TMPDIR/perfect" score --quiet -w 2 -r "$TMPDIR/ref" "$TMPDIR/ref"
printf '0.0\n5.7\n' >"$TMPDIR/poor"
printf 'quite other words\n' >"$TMPDIR/other"
printf 'A mesa\n' >"$TMPDIR/mesa"
check "no word right" prints_file "$TMPDIR/poor" score --quiet -r "$TMPDIR/mesa" "$TMPDIR/other"

check "no reference" refuses 2 '-r' score "$TMPDIR/hyp"
check "the same hypothesis twice" refuses 2 'named twice' score -r "$TMPDIR/ref" "$TMPDIR/hyp" "$TMPDIR/hyp"
check "unknown metric" refuses 2 'comet' score -m bleu,comet -r "$TMPDIR/ref" "$TMPDIR/hyp"
check "no metric" refuses 2 'needs a value' score -m '' -r "$TMPDIR/ref" "$TMPDIR/hyp"
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
check "no reference at all" refuses 1 'gap: line 2 is empty, and there is no other reference' score --optional-refs -r "$TMPDIR/gap" "$TMPDIR/two"
head -c 60 "$TMPDIR/hyp.gz" >"$TMPDIR/cut.gz"
check "cut gzip data" refuses 1 'cut.gz: .*gzip' score -r "$TMPDIR/ref" "$TMPDIR/cut.gz"

# --- several systems ------------------------------------------------------------------------
# Tables as sacreBLEU printed them; tests/test_eval_metrics.c has the numbers.
cd "$TMPDIR" || exit 1
cat >source <<'END'
one two three four five
file not found
the same
short
numbers are here
END
cat >target <<'END'
un dous tres catro cinco
non se atopou o ficheiro
o mesmo
curto
hai números aquí
END
cat >failing <<'END'
un un un un un un
file not found

курто
hai números aquí
END
sed 's/[a-m]/x/' hyp >poor_one
cp ref good
table() { score -r ref -m bleu,chrf poor_one good; }
cat >table <<'END'
╒══════════╤════════╤═════════╕
│   System │  BLEU  │  chrF2  │
╞══════════╪════════╪═════════╡
│ poor_one │  42.1  │  70.8   │
├──────────┼────────┼─────────┤
│     good │ 100.0  │  100.0  │
╘══════════╧════════╧═════════╛

-----------------
Metric signatures
-----------------
 - BLEU       nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0
 - chrF2      nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0
END
check "two systems" prints_file table table
paired() { score -r ref -m bleu --paired-bs --paired-bs-n 100 "$@" poor_one good; }
signed() { paired | grep -q '^ - BLEU       nrefs:1|bs:100|seed:12345|case:mixed'; }
check "paired bootstrap signs its trials" signed
escaped() { paired --format latex | grep -q '^ Baseline: poor\\_one & '; }
check "LaTeX is escaped" escaped
markdown() { paired --format markdown | grep -q '^| Baseline: poor\\_one | 42.1 '; }
check "Markdown is escaped" markdown
reads() { paired --json | python3 -m json.tool >/dev/null 2>&1 || ! command -v python3 >/dev/null; }
check "JSON of a paired test" reads
columns() { paste target source | score -r target -m bleu | grep -q 'System 1 │ 100.0'; }
check "columns of standard input are systems" columns
one_column() { paste poor_one good >both.tsv; score -r ref:1 -m bleu --quiet both.tsv:2; }
check "a column of a file" prints 100.0 one_column
uneven() { printf 'one\ttwo\nthree\n' | score -r two; }
refused_uneven() { uneven 2>&1 | grep -q 'line 2 has 1 columns, not 2'; }
check "uneven columns" refused_uneven
check "a list with blanks" prints_file "$TMPDIR/text" score -m 'bleu, chrf' -r "$TMPDIR/ref" "$TMPDIR/hyp"
signs_order() { score -m bleu --bleu-order 2 -r good good | grep -q '|version:2.6.0|order:2 = ' && ! score -m bleu --bleu-order 4 -r good good | grep -q order; }
check "another order of n-grams is signed" signs_order
useless() { score -m chrf --tokenize char -r good good 2>&1 >/dev/null | grep -q 'tokenize is of BLEU, which is not'; }
check "flags of another metric are told" useless
check "chrF++ of another order" refuses 2 'say -m chrf' score -m chrf++ --chrf-word-order 3 -r good good
check "columns of a column" refuses 2 'both.tsv:2 is one column' score -r both.tsv:2 --num-refs 2 ref
check "a beam for nothing to translate" refuses 2 'name it with --test' score -r ref --beam 8 hyp
check "no such column" refuses 1 'line 1 has only 2 columns' score -r ref both.tsv:3
interval() { score -r ref -m chrf --confidence --confidence-n 50 hyp | grep -q 'bs:50|seed:12345.*(μ = .* ± '; }
check "confidence" interval
sentences() { [ "$(score -r ref -m ter --sentence-level hyp | wc -l)" = 5 ]; }
check "sentence by sentence" sentences
references() { score -r ref -r good -m bleu hyp | grep -q 'nrefs:2'; }
check "two references" references
optional() { score -r target -r gap5 --optional-refs -m bleu failing | grep -q 'nrefs:var'; }
printf 'one\n\n\n\n\n' >gap5
check "references here and there" optional
check "confidence is of one system" refuses 2 'paired-bs' score -r ref --confidence poor_one good
check "a paired test needs two" refuses 2 'two systems' score -r ref --paired-ar poor_one
check "unknown tokenizer" refuses 2 '13b' score -r ref --tokenize 13b hyp
check "a tokenizer without its model" refuses 2 'tokenizer-model' env SACREBLEU=/absent "$dragoman" eval -r ref --tokenize flores200 hyp
check "unknown smoothing" refuses 2 'floor' score -r ref --smooth much hyp

# Files as programs leave them; sacreBLEU's output by tests/goldens/eval_files.py. A line of
# outputs.txt that begins with "$ " has the arguments.
files=$root/tests/eval/files
said() (
  cd "$files" && sed -n "$1,$2p" outputs.txt >"$TMPDIR/want" && shift 2 &&
    eval "score $* 2>/dev/null" | diff "$TMPDIR/want" -
)
grep -n '^\$ ' "$files/outputs.txt" | sed 's/^\([0-9]*\):\$ /\1 /' >commands
last=$(($(wc -l <"$files/outputs.txt") + 1))
while read -r from arguments; do
  to=$(awk -v from="$from" -v last="$last" '$1 > from { print $1; found = 1; exit } END { if (!found) print last }' commands)
  check "as sacreBLEU: $arguments" said $((from + 1)) $((to - 1)) $arguments
done <commands

# --- beyond ---------------------------------------------------------------------------------
# What follows the scores, which end with an empty line. Scores of groups are sacreBLEU's of those
# segments alone.
beyond() { score -r target "$@" | sed '1,/^$/d'; }
cat >failures <<'END'
Failures, of each system's segments
  failing: empty 1 (20.0%), untranslated 1 (20.0%), repeating 1 (20.0%), wrong script 1 (20.0%), other placeholders 0 (0.0%)
END
check "failures" prints_file failures beyond -m chrf --failures --source-text source failing
cat >worst <<'END'
Worst of failing, by chrF2; [-missing-] {+too much+}
  line 3, 0.0
    source     the same
    reference  o mesmo
    output     
    difference [-o mesmo-]
  line 4, 0.0
    source     short
    reference  curto
    output     курто
    difference [-curto-] {+курто+}
  line 1, 4.6
    source     one two three four five
    reference  un dous tres catro cinco
    output     un un un un un un
    difference un [-dous tres catro cinco-] {+un un un un un+}
END
check "the worst with a difference" prints_file worst beyond -m chrf --worst 3 --source-text source failing
no_edits() { score -r target -m ter --worst 1 target | grep -qx '  line 1, 0.0'; }
check "a worst segment without an edit" no_edits
{
  cat target
  echo 'курто да'
  echo
} >mixed
cat >known <<'END'
un un dous tres catro cinco o o
mesmo mesmo curto non se ficheiro
END
{
  cat failing
  echo 'курто нет'
  echo
} >mixed_output
cat >groups <<'END'
By length: characters of the reference
                   segments     chrF2       TER
  1-10                    4      20.7      80.0
  11-20                   3      32.1      76.9

By script: script of the reference
                   segments     chrF2       TER
  Latin                   5      28.5      81.2
  Cyrillic                1      45.1      50.0
  no letters              1       0.0       0.0

By frequency: count of the reference's rarest word
                   segments     chrF2       TER
  unseen                  3      48.2      60.0
  once                    2       3.6     100.0
  2-4                     1       0.0     100.0
  no words                1       0.0       0.0
END
grouped() { score -r mixed -m chrf,ter --by length,frequency,script --train-text known mixed_output 2>err | sed '1,/^$/d'; }
check "by length, script and frequency" prints_file groups grouped
details() { score -r target -m chrf --by script --failures --worst 2 --json failing >details.json &&
  { ! command -v python3 >/dev/null || python3 -c 'import json; d = json.load(open("details.json")); assert d["details"][0]["empty"] == 1 and d["scores"]["name"] == "chrF2"'; }; }
check "all that as JSON" details
page() { score -r target --html page.html failing source >/dev/null && grep -q '<svg' page.html &&
  ! grep -q -e 'src=' -e 'href=' -e 'http' page.html && { ! command -v xmllint >/dev/null || xmllint --html --noout page.html 2>/dev/null; }; }
check "a page that needs no other file" page
aside() { # it changes nothing of what is printed
  score -r target --json failing >plain.json && score -r target --json --html page.html failing | cmp - plain.json
}
check "a page beside JSON" aside
check "a page that cannot be written is told first" refuses 1 'nosuch/page.html' score -r target --html nosuch/page.html failing
source_too() { score -r target -m chrf --worst 1 --source-text source --json failing | grep -q '"source": "'; }
check "JSON of the worst has the source" source_too
page_of_one() { # with its scores
  score -r target -m chrf --html one.html failing >/dev/null && score -r target -m chrf --quiet failing >one &&
    grep -A 1 '<th>System</th><th>chrF2' one.html | grep -q "[^0-9]$(cat one)[^0-9]"
}
check "a page of one system" page_of_one
odd_name() { # no UTF-8, and a quote
  name=$(printf 'f\351".x')
  cp failing "$name" && score -r target -m chrf --json failing "$name" >odd.json && grep -q '\\"' odd.json &&
    { ! command -v python3 >/dev/null || python3 -c 'import json; json.load(open("odd.json"))'; }
}
check "JSON of a name that is no UTF-8" odd_name
unruly() { # names and texts that would command the terminal
  name=$(printf 'f\033[31m\302\233\n.x')
  sed "1s/^/$(printf '\033[2J')/" failing >"$name"
  cp "$name" unruly
  for format in text latex markdown; do
    score -r unruly --source-text unruly --paired-bs --paired-bs-n 10 --format $format --failures --worst 5 --by length \
      "$name" failing >out 2>err && tame out err && grep -q 'f?.*\[31m??.x' out || { cat -v out err; return 1; }
  done
  score -r unruly --paired-bs --paired-bs-n 10 --json "$name" failing | grep -q 'f\\u001b\[31m\\u009b\\n.x'
}
check "names and texts that would command the terminal" unruly
awk 'BEGIN { for (i = 0; i < 20000; i++) printf "w%d ", i; print "" }' >long
check "a line too long for TER" refuses 1 'segment 1: 20000 words' score -r long -m ter long
check "too many trials" refuses 2 '--paired-bs-n is not in 1..' score -r target --paired-bs --paired-bs-n 2000000000 failing source
check "no trials" refuses 2 '--paired-ar-n is not in 1..' score -r target --paired-ar --paired-ar-n 0 failing source
nothing_by_halves() { # scores that fail leave no half of an object
  ! score -r long -m ter --json --failures long >out 2>err && [ ! -s out ] && grep -q 'segment 1: 20000 words' err
}
check "nothing by halves" nothing_by_halves
whole_page() { # words are compared up to a number, and shown to the last
  score -r target -m chrf --html long.html failing >/dev/null && ! grep -q w19999 long.html &&
    score -r long -m chrf --html long.html long >/dev/null && grep -q 'w399 w400.* w19999' long.html
}
check "a page of long lines" whole_page
check "a smoothing below nothing" refuses 2 'smooth-value' score -r target --smooth floor --smooth-value -0.5 failing
check "a model that the tokenizer has no use for" refuses 2 'spm' score -r target --tokenize intl --tokenizer-model x failing
check "unknown group" refuses 2 'frequency' score -r target --by colour failing

for i in 1 2 3 4 5 6 7 8 9 10; do cat target; done >many
for i in 1 2 3 4 5 6 7 8 9 10; do cat failing; done >weak
gains() { score -r many --min-gain 1 weak many >/dev/null; }
check "a gain" gains
fewer_edits() { score -r many -m ter --min-gain 5 weak many >/dev/null; }
check "a gain is fewer edits" fewer_edits
# says WANT COMMAND...: it fails, and standard error is WANT.
says() {
  want=$1
  shift
  if "$@" >log 2>err; then return 1; fi
  [ "$(cat err)" = "dragoman: $want" ] || { cat err; return 1; }
}
check "a loss" says 'weak gains -71.47 chrF2 over many (p = 0.0010), which is not 0 at least and significant' \
  score -r many -m chrf --min-gain 0 many weak
check "not gain enough" says 'many gains +71.47 chrF2 over weak (p = 0.0010), which is not 80 at least and significant' \
  score -r many -m chrf --min-gain 80 weak many
check "the metric named first decides" says 'many gains +71.81 chrF2+ over weak (p = 0.0010), which is not 80 at least and significant' \
  score -r many -m chrf,bleu --chrf-word-order 1 --min-gain 80 weak many
cp many page.tsv
check "a page in place of a text" says 'page.tsv is read, and would be overwritten: name another output' \
  score -r many --html page.tsv page.tsv:1
cp many other
check "a tie is no gain" says 'other gains +0.00 chrF2 over many (p = 0.0010), which is not 0 at least and significant' \
  score -r many -m chrf --min-gain 0 many other
check "mismatched line counts" says \
  'short has 3 lines but the reference target has 5: from line 4 on one has nothing to stand beside; both must translate the same segments, a line each' \
  score -r target short
check "invalid UTF-8" says 'latin1: line 2, byte 2: not valid UTF-8; convert the file (for example with iconv)' \
  score -r two latin1
check "an empty reference" says \
  'blank: the reference is empty: name with -r the file of right translations' score -r blank two
mkdir hidden
: >hidden/libmecab.so.2
check "no MeCab" says \
  'the tokenizer ja-mecab needs MeCab, which is not here: install the package libmecab2' \
  env LD_LIBRARY_PATH="$TMPDIR/hidden" "$dragoman" eval -r target --tokenize ja-mecab failing

# --- a model --------------------------------------------------------------------------------
pairs 1 300 "$spanish" >all.tsv
head -n 240 all.tsv >train.tsv
sed -n '241,250p' all.tsv >dev.tsv
tail -n 50 all.tsv >test.tsv
cat >tiny.conf <<END
train = en es train.tsv
$tiny_shape
learning_rate = 0.01
warmup = 10
batch_tokens = 512
max_updates = 12
eval_every = 12
max_tokens = 32
END
"$dragoman" pretrain -c tiny.conf --quiet --threads 1 -o base.safetensors >/dev/null
"$dragoman" train -b base.safetensors -s en -t es --train train.tsv --dev dev.tsv --quiet --threads 1 --max_updates 60 \
  -o adapter.safetensors >/dev/null 2>&1
alone() { score -b base.safetensors -t es --test test.tsv -m chrf >alone && grep -q '^chrF2|nrefs:1' alone; }
check "a base on its test set" alone
adapted() { score -b base.safetensors -a adapter.safetensors --test test.tsv -m chrf --json >adapted &&
  grep -q '"p_value": 0' adapted && grep -q 'Baseline: base.safetensors' adapted; }
check "an adapter against its base" adapted
separate() { cut -f1 test.tsv >test.en; cut -f2 test.tsv >test.es
  score -b base.safetensors -a adapter.safetensors --test test.en -r test.es -m chrf --json | diff adapted -; }
check "the same from two files" separate
check "a model needs a test set" refuses 2 'test' score -b base.safetensors -r ref hyp
in_two() { score -b base.safetensors -a adapter.safetensors --test test.en,test.es -m chrf --json | diff adapted -; }
check "a test set of two files" in_two
check "columns where -r says the rest" refuses 2 "name the source's, test.tsv:1" \
  score -b base.safetensors -t es --test test.tsv -r test.es
check "lengths differ, before translating" refuses 1 'test.en has .* lines but the reference' \
  score -b base.safetensors -t es --test test.en -r adapted
check "a gain over nothing" refuses 2 'min-gain needs two systems' score -b base.safetensors -a none -s en -t es --test test.tsv --min-gain 1
check "no HYP beside a model" refuses 2 'HYP' score -b base.safetensors --test test.tsv hyp
check "standard input as test and reference" refuses 2 'only once' score -b base.safetensors -t es --test -

# --- models that nobody named -------------------------------------------------------------------
mkdir beside && cp base.safetensors beside/base.safetensors && mkdir beside/base
itself() { # a base that is called as its pair's adapter would be
  cp base.safetensors beside/en-es.safetensors &&
    echo 'one red' | "$dragoman" translate --quiet -b beside/en-es.safetensors -t es >got && [ -s got ] && rm beside/en-es.safetensors
}
check "a base called by its pair" itself
echo no adapter >beside/en-es.safetensors
check "an unfit adapter beside the base" refuses 1 'nobody named an adapter (-a none: without one)' \
  "$dragoman" translate --quiet -b beside/base.safetensors -t es
hidden() { # by a directory of its name
  (cd beside && echo 'one red' | DRAGOMAN_MODELS=$TMPDIR/beside "$dragoman" translate --quiet -a none -t es) >got && [ -s got ]
}
check "a directory called as a model" hidden
check "too short and too long" refuses 2 'is more than --max-length' "$dragoman" translate -t es --min-length 9 --max-length 3
echo "1..$n"
