# tests/transfer/run.sh and configs/make-models.sh: what is made, what is kept, what a failure and
# a kill leave. Models are tiny, of a few updates.
. tests/tap.sh
. tests/numbers.sh
for tool in jq flock setsid /usr/bin/time; do
  command -v $tool >/dev/null && continue
  echo "ok 1 - the table of transfer # SKIP"
  echo "# skip: $tool is missing"
  echo "1..1"
  exit 0
done
root=$PWD
cd "$TMPDIR" || exit 1

portuguese="zero um dois três quatro cinco seis sete oito nove"
named() { # FROM TO DIGITS: numbers, each with a name, so that there are pieces enough
  pairs "$@" | awk -F'\t' -v at="$1" '{
    x = at++; name = ""
    for (k = 0; k < 4; k++) {
      x = x * 48271 % 2147483647
      name = name substr("bdfghklmnprstvwyz", x % 17 + 1, 1) substr("aeiou", int(x / 17) % 5 + 1, 1)
    }
    print $1 " " name "\t" $2 " " name
  }'
}
packed() { sed "s/\$/\t$1\tpackage\t1\tGPL-2+/" | gzip; }
language() { # CODE DIGITS: a corpus as data harvest leaves it
  { named 1 600 "$2" | sed 's/$/\tmenu.mo/'; named 601 800 "$2" | sed 's/$/\tbook.page/'; } | gzip >corpus/train.$1.tsv.gz
  named 801 820 "$2" | packed dev.mo >corpus/dev.$1.tsv.gz
  named 821 850 "$2" | packed test.mo >corpus/test.$1.tsv.gz
}
mkdir corpus prose 'in a place' out
language es "$spanish"
language pt "$portuguese"
language gl "$galician"
named 901 2600 "$galician" | sed 's/$/\tlist.mo/' | gzip >>corpus/train.gl.tsv.gz # more than one sample
named 861 890 "$galician" | packed help.page >prose/train.gl.tsv.gz
echo 'a package' | tee corpus/manifest.tsv >prose/manifest.tsv
for code in es pt; do gzip -dc corpus/train.$code.tsv.gz | cut -f1,2 >$code.tsv; done
cat >tiny.conf <<END
train = en es es.tsv
train = en pt pt.tsv
$tiny_shape
learning_rate = 0.01
warmup = 5
batch_tokens = 512
max_updates = 20
eval_sentences = 0
precision = fp32
END
"$dragoman" pretrain -c tiny.conf --quiet --threads 1 -o base.safetensors || exit 1

# Notes what is asked of the program, and fails or kills the whole run as `fault` says.
cat >spy <<END
#!/bin/sh
echo "\$*" >>"$TMPDIR/asked"
case "\$1 \$(cat "$TMPDIR/fault")" in
  "eval eval") exit 1 ;;
  "train half") # once there is a checkpoint
    "$dragoman" "\$@" --checkpoint-minutes 0 &
    for i in \$(seq 2000); do [ ! -f "$TMPDIR/in a place/"*.lora.*.checkpoint ] || break; sleep 0.01; done
    kill -9 0 ;;
  "train end") # before its time is known
    "$dragoman" "\$@"
    kill -9 0 ;;
esac
exec "$dragoman" "\$@"
END
chmod +x spy
: >fault
DRAGOMAN=$TMPDIR/spy BASE=$TMPDIR/base.safetensors CORPUS=$TMPDIR/corpus PROSE=$TMPDIR/prose
WORK="$TMPDIR/in a place" TABLE=$TMPDIR/out/table.tsv THREADS=1 UPDATES=2
export DRAGOMAN BASE CORPUS PROSE WORK TABLE THREADS UPDATES
run() { : >asked; "$root/tests/transfer/run.sh" "$@" >out/log 2>out/err || { rc=$?; cat out/err; return $rc; }; }
asked() { [ "$(grep -c "^\($2\)" asked)" -eq "$1" ] || { cat asked; return 1; }; }
rows() { [ "$(grep -c "$2" "$TABLE")" -eq "$1" ] || { cat "$TABLE"; return 1; }; }
compared() { [ "$(grep -c "$2" out/paired.tsv)" -eq "$1" ] || { cat out/paired.tsv; return 1; }; }

made() {
  run 'en-gl 0' 'en-gl 500 scratch' 'en-gl 500 bottleneck' 'en-gl 500 full' && rows 7 '' &&
    awk -F'\t' 'NR > 1 { for (i = 1; i <= NF; i++) if ($i == "") exit 1; if (NF != 18 || $7 != 30) exit 1
      if ($3 && ($6 != 500 || $15 != 2 || $17 != 1 || $12 < 1000 || $14 < 1)) exit 1 }' "$TABLE"
}
check "rows" made
paired() { # as eval compares
  compared 3 "^en-gl${tab}pt${tab}500${tab}bottleneck${tab}1$tab" || return 1
  "$dragoman" eval --quiet --paired-ar --json -w 2 -r "$WORK/test.gl.2" "$WORK"/en-gl.0.base.*.pt.*.out \
    "$WORK"/en-gl.500.bottleneck.*.out >json || return 1
  jq -r '(.[1].chrF2.score - .[0].chrF2.score) * 1000 | round / 1000' json >want
  jq -r '.[1].chrF2.p_value * 10000 | round / 10000' json >>want
  awk -F'\t' '$6 == "base" { print $10; print $11 }' out/paired.tsv | diff want -
}
tab=$(printf '\t')
check "adapters compared with others" paired
forgets() {
  [ "$(wc -l <out/forgetting.tsv)" -eq 5 ] && [ "$(grep -c '^en-gl.500.full.1' out/forgetting.tsv)" -eq 2 ]
}
check "what all weights forget" forgets
kept() {
  cp -r out before && run 'en-gl 0' 'en-gl 500 scratch' 'en-gl 500 bottleneck' 'en-gl 500 full' &&
    asked 0 'train\|pretrain\|translate\|eval' && cmp "$TABLE" before/table.tsv && cmp out/paired.tsv before/paired.tsv
}
check "what is finished is kept" kept
deleted() { # its model is there: as before
  grep -v "bottleneck" before/table.tsv >"$TABLE"
  run 'en-gl 500 bottleneck' && asked 0 train && compared 3 bottleneck &&
    sort "$TABLE" >a && sort before/table.tsv | cmp - a
}
check "a deleted line" deleted
anew() { run -f 'en-gl 500 bottleneck' && asked 1 train && rows 1 bottleneck && compared 3 bottleneck; }
check "anew" anew
rate() {
  FULL_RATE=0.001 run 'en-gl 500 full' && asked 1 'train.*--method full --learning-rate 0.001' && rows 1 full &&
    awk -F'\t' '$4 == "full" && $16 == 0.001 { there = 1 } END { exit !there }' "$TABLE" && compared 3 bottleneck
}
check "another rate is another model" rate
killed() { # halfway, then on its last step
  for fault in half end; do
    echo $fault >fault
    UPDATES=60 setsid --wait "$root/tests/transfer/run.sh" 'en-gl 500 lora' >/dev/null 2>&1
    : >fault
    rows 0 lora && { [ $fault = end ] || [ -e "$WORK"/*lora*.checkpoint ]; } || return 1
  done
  UPDATES=60 run 'en-gl 500 lora' && rows 1 lora && [ ! -e "$WORK"/*lora*.checkpoint ] &&
    UPDATES=60 run 'en-gl 500 lora' && asked 0 train
}
check "killed and started again" killed
copied() { # the source against the reference
  "$dragoman" eval --quiet -w 2 -r "$WORK/test.gl.2" "$WORK/test.gl.1" | tr '\n' ' ' >want
  awk -F'\t' '$4 == "copy" { printf "%.2f %.2f ", $8, $10 }' "$TABLE" | diff - want
}
check "the source, copied" copied
base_pieces() {
  run 'en-gl 2000 base-pieces' && asked 1 'train.*--new-pieces 0' && rows 1 base-pieces && compared 1 'base-pieces.*base'
}
check "without pieces of the language's own" base_pieces
stacked() { # of both adapters
  run 'en-gl 2000 stacked' && rows 3 stacked && compared 1 stacked:language && compared 1 stacked:control || return 1
  parameters=$("$dragoman" info --json "$WORK"/en-gl.2000.stacked.*.ui.safetensors "$WORK"/en-gl.2000.stacked.*.prose.safetensors |
    jq -s 'map(.parameters) | add')
  awk -F'\t' -v parameters="$parameters" '
    $4 == "stacked:language" { alone = $12; if ($6 != 2000) exit 1 }
    $4 == "stacked:control" { control = $12; if ($6 < 2200 || $6 > 2300) exit 1 }
    $4 == "stacked" { found = 1; if ($6 <= 2000 || $6 > 2200 || $12 != parameters || $12 <= alone || $12 != control) exit 1 }
    END { exit !found }' "$TABLE"
}
check "stacked" stacked
told() { # Asturian is not there, and does not stop Galician
  ! run en-ast 'gl-en 0' && rows 2 gl-en && rows 0 ast && grep -q 'en-ast 2000 full 1' out/err &&
    ! grep -q 'gl-en 0' out/err
}
check "runs that fail are told, others go on" told
no_scores() {
  echo eval >fault
  ! run -f 'gl-en 0' && rows 0 gl-en
  without=$?
  : >fault
  [ $without -eq 0 ] && run 'gl-en 0' && rows 2 gl-en
}
check "without scores there is no row" no_scores
wrong() { # lines that are there stay
  ! BASE=nosuch run 'en-gl 0' && rows 2 "en-gl.*${tab}0${tab}base$tab" && ! run en-xx && grep -q en-xx out/err &&
    ! CORPUS=$TMPDIR/nosuch run 'en-gl 0' && cp -r corpus other && echo more >>other/manifest.tsv &&
    ! CORPUS=$TMPDIR/other run 'en-gl 0' && grep -q 'another corpus' out/err
}
check "wrong settings" wrong
apart() { # no dev text, and a cut file
  : | gzip >other/dev.gl.tsv.gz
  gzip -dc corpus/test.es.tsv.gz | gzip | head -c 300 >other/test.es.tsv.gz
  export CORPUS="$TMPDIR/other" WORK="$TMPDIR/work" TABLE="$TMPDIR/other.tsv"
  run 'en-gl 500 bottleneck' && rows 1 bottleneck && ! grep -q -e --dev asked && ! run 'en-gl 500 full' &&
    rows 0 full && [ ! -e work/test.es.tsv ]
}
check "without dev text; text that is cut" eval '(apart)'
drawn() { # not what another base did, nor what has no score
  awk -F'\t' -v OFS='\t' '
    NR == 2 { line = $0; $1 = "en-yy"; $18 = "old"; print; $0 = line }
    { print }
    $4 == "bottleneck" { $1 = "en-zz"; $8 = $9 = ""; print }' "$TABLE" >out/odd.tsv
  grep -q en-yy out/odd.tsv && grep -q en-zz out/odd.tsv &&
    "$root/tests/transfer/chart.sh" "$TMPDIR/out/odd.tsv" >chart.svg || return 1
  grep -q '>en-gl<' chart.svg && ! grep -q 'en-[yz]\|nan\|inf' chart.svg && tail -n 1 chart.svg | grep -qx '</svg>' || return 1
  command -v xmllint >/dev/null || return 0
  xmllint --noout chart.svg
}
check "a chart" drawn
summarized() { # what the tables say, as eval rounds it
  "$root/tests/transfer/summary.sh" "$TMPDIR/out/odd.tsv" >summary.md && ! grep -q 'en-[yz]\|nan\|inf' summary.md || return 1
  awk -F'\t' '
    $1 == "en-gl" && $2 == "pt" && ($3 == 500 || !$3) { score[$4] = sprintf("%.1f / %.1f", $8, $10); bleu[$4] = $8; weights[$4] = $12 }
    END {
      printf "| en-gl | pt | 30 | 500 | %s | %s | %s | %s | %s | %s |\n", score["copy"], score["base"], score["scratch"],
        score["bottleneck"], score["lora"], score["full"]
      difference = bleu["bottleneck"] - bleu["full"]
      printf "- Bottlenecks less all weights: median %+.2f BLEU (%+.2f to %+.2f, of 1 pairs and sizes, ", difference, difference, difference
      printf "with p < 0.05 0 times more and 0 times less), with"
      share = 100 * weights["bottleneck"] / weights["full"]
      printf " %.2f%% of the parameters (%.2f%% to %.2f%%).\n", share, share, share
    }' "$TABLE" >want
  grep '^| en-gl | pt | 30 | 500\|^- Bottlenecks' summary.md | diff want - && grep -q '^- en-gl on prose, 30 sentences' summary.md &&
    grep -q 'forget of the base.*, 2 measured' summary.md && grep -q 'another relative: en-gl as es [0-9.]* / [0-9.]*\.$' summary.md
}
check "what the tables say" summarized

# --- what ships -------------------------------------------------------------------------------
mkdir -p clone/configs clone/work clone/data/models
cp "$root/configs/make-models.sh" clone/configs/
cp tiny.conf clone/configs/base.conf
cp es.tsv pt.tsv clone/
cp -r corpus clone/work/
for set in train dev test; do cp corpus/$set.es.tsv.gz clone/work/corpus/$set.an.tsv.gz; done
cat >short <<END
#!/bin/sh
[ "\$1" != train ] || set -- "\$@" --max-updates 2 --keep-problems
exec "$TMPDIR/spy" "\$@"
END
chmod +x short
models() { : >asked; clone/configs/make-models.sh "$TMPDIR/short" >out/log 2>out/err || { rc=$?; cat out/err; return $rc; }; }
shipped() {
  models && [ "$(ls clone/data/models | wc -l)" -eq 4 ] && cmp clone/data/manifest.tsv corpus/manifest.tsv &&
    (cd clone/work/corpus && sha256sum --check --quiet ../../data/corpus.sha256) &&
    "$dragoman" translate -b clone/data/models/base.safetensors -a clone/data/models/en-gl.safetensors --quiet dev.en
}
echo 'one two' >dev.en
check "what ships, from nothing" shipped
whole() { echo more >>clone/work/corpus/manifest.tsv && models && asked 0 'train\|pretrain\|data ' && cmp clone/data/manifest.tsv corpus/manifest.tsv; }
check "what ships is there: its list of sources stays" whole
other_text() {
  gzip -c es.tsv >clone/work/corpus/train.an.tsv.gz && rm clone/data/models/en-an.safetensors &&
    ! models && grep -q 'is not the text' out/err && asked 0 'train\|data '
}
check "no adapter of text that the list has not" other_text
again() { rm clone/data/models/base.safetensors clone/data/corpus.sha256 clone/work/base/* && sed -i 's/max_updates = 20/max_updates = 10/' clone/configs/base.conf &&
  models && asked 3 train && cmp clone/data/manifest.tsv clone/work/corpus/manifest.tsv; }
check "another base: its adapters, its list" again
echo "1..$n"
