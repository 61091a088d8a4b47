# dragoman pretrain, train and translate: a whole life on a language of numbers.
. tests/tap.sh
. tests/numbers.sh
cd "$TMPDIR" || exit 1

pairs 1 400 "$spanish" >train.es.tsv
pairs 401 420 "$spanish" | gzip >dev.es.tsv.gz
pairs 1 200 "$galician" >train.gl.tsv
pairs 401 420 "$galician" >dev.gl.tsv
cut -f1 dev.gl.tsv >dev.en
cut -f2 dev.gl.tsv | gzip >dev.gl.gz
cat >tiny.conf <<END
train = en es train.es.tsv
dev = en es dev.es.tsv.gz
$tiny_shape
learning_rate = 0.01
warmup = 20
batch_tokens = 512
max_updates = 60
eval_every = 20
eval_sentences = 5
dropout = 0.1
max_tokens = 32
ema = 0.9
storage = fp32
precision = fp32
END

pretrain() { "$dragoman" pretrain -c tiny.conf --quiet --threads 2 "$@"; }
# The weights of a safetensors file: what follows its header.
weights() {
  length=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
  tail -c +$((length + 9)) "$1"
}
same_weights() { weights "$1" >a.bytes && weights "$2" >b.bytes && [ -s a.bytes ] && cmp a.bytes b.bytes; }

check "pretrain" pretrain -o base.safetensors
learned() { # the loss of the card's dev sets
  "$dragoman" info --json base.safetensors >info.json && grep -q '"update' info.json
}
check "its card says so" learned
anew() { # a finished run's tokenizer is not that of another recipe
  cp base.safetensors.tokenizer other.safetensors.tokenizer &&
    pretrain -o other.safetensors --set max_updates=1 --set tokenizer_type=bpe &&
    ! cmp -s base.safetensors.tokenizer other.safetensors.tokenizer
}
check "another recipe has another tokenizer" anew
again() { pretrain -o again.safetensors && same_weights base.safetensors again.safetensors; }
check "the same again" again
# Scoring more often keeps other best weights: compare with a run scored alike.
often() { pretrain -o often.safetensors --set eval_every=1 --set eval_sentences=0; }
mkfifo reports # a reader of it is awake at once
# stopped UPDATES SIGNAL: a run stopped when about so many updates are made; 1 if it was too fast.
stopped() {
  rm -f killed.*
  exec 3<>reports # which it may write to after it is read no more
  "$dragoman" pretrain -c tiny.conf --json --threads 2 -o killed.safetensors \
    --set checkpoint_minutes=0 --set eval_every=1 --set eval_sentences=0 >reports 2>/dev/null 3>&- &
  pid=$!
  timeout 60 head -n "$1" <reports >killed.log
  kill -"$2" $pid 2>/dev/null
  wait $pid 2>/dev/null
  code=$?
  exec 3<&-
  [ $code -ne 0 ]
}
killed_often() {
  for try in 1 2 3 4 5; do stopped "$@" && break; done || { echo "it was always over already"; return 1; }
  [ -f killed.safetensors.checkpoint ] || { echo "no checkpoint"; return 1; }
  [ "$2" = 9 ] || [ $code -eq 130 ] || { echo "exit status $code"; return 1; }
  pretrain -o killed.safetensors --set eval_every=1 --set eval_sentences=0 &&
    same_weights often.safetensors killed.safetensors
}
check "scored after every update" often
check "killed at update 3, started again" killed_often 3 9
check "killed at update 20, started again" killed_often 20 9
check "interrupted, started again" killed_often 15 TERM # a shell keeps INT from what it starts with &
longer() { # a longer run goes on from the checkpoint, other settings do not
  refuses 2 'other settings' "$dragoman" pretrain -c tiny.conf -o killed.safetensors --quiet --set seed=2
}
check "a checkpoint of other settings is refused" longer
check "of another tokenizer" refuses 2 'other settings' "$dragoman" pretrain -c tiny.conf -o killed.safetensors --quiet \
  --set character_coverage=0.99
swapped_languages() { # the same text, said to be of others
  for of in 'es gl' 'gl es'; do
    { echo "train = en ${of% *} train.es.tsv"; echo "train = en ${of#* } train.gl.tsv"; sed '/^train/d; /^dev/d' tiny.conf; } >"${of% *}.conf"
  done
  "$dragoman" pretrain -c es.conf -o two.safetensors --quiet --set max_updates=1 &&
    refuses 2 'other settings' "$dragoman" pretrain -c gl.conf -o two.safetensors --quiet --set max_updates=2
}
check "of other languages" swapped_languages
damaged() {
  head -c 5000 killed.safetensors.checkpoint >cut && cp cut killed.safetensors.checkpoint
  refuses 1 'killed.safetensors.checkpoint' pretrain -o killed.safetensors
}
check "a truncated checkpoint is refused" damaged

going_on() { # one update at a learning rate of nothing: the weights are those it began with
  pretrain -o on.safetensors --set init=base.safetensors --set learning_rate=0 --set max_updates=1 \
    --set d_model=64 && same_weights base.safetensors on.safetensors
}
check "going on from a base" going_on

translate() { "$dragoman" translate -b base.safetensors --quiet "$@"; }
launch=
train() { # launch=exec: in place of the subshell, so that a kill reaches it
  $launch "$dragoman" train -b base.safetensors -s en -t gl --train train.gl.tsv --dev dev.gl.tsv --quiet \
    --threads 2 --width 8 --max_updates 60 --eval_every 20 --eval_sentences 5 --learning_rate 0.01 \
    --batch_tokens 512 --precision fp32 "$@"
}
check "a new language needs a relative" refuses 2 '--like' train -o gl.safetensors
cp base.safetensors before
check "train" train --like es -o gl.safetensors
check "the base is as it was" cmp base.safetensors before
check "no checkpoint stays" test ! -e gl.safetensors.checkpoint
aligned() {
  train --like ES -o gl2.safetensors --dev dev.en,dev.gl.gz && same_weights gl.safetensors gl2.safetensors
}
check "aligned files are as good as TSV" aligned
# killed OUTPUT COMMAND...: a run killed after some updates and before its end, which has no checkpoint.
killed() {
  output=$1
  shift
  for try in 1 2 3 4 5; do
    rm -f "$output" "$output".*
    launch=exec "$@" --json >reports 2>/dev/null &
    pid=$!
    head -n 2 <reports >/dev/null
    kill -9 $pid
    wait $pid 2>/dev/null
    [ -f "$output.checkpoint" ] && return
  done
  echo "it was always over already"
  return 1
}
long="--max_updates 400 --eval_every 100" # the kill takes its time
train_killed() {
  train --like es -o long.safetensors $long || return 1
  killed gl3.safetensors train --like es -o gl3.safetensors --checkpoint_minutes 0 $long || return 1
  train --like es -o gl3.safetensors $long && same_weights long.safetensors gl3.safetensors
}
check "train killed, started again" train_killed
methods() { # each can be stopped at any update and translates both ways of running
  for method in lora ia3 bitfit 'bottleneck+lora+ia3+norms+tag'; do
    train --like es -o m.safetensors --method "$method" --rank 4 --max_updates 6 --eval_every 3 --eval_sentences 0 &&
      translate -a m.safetensors dev.en >/dev/null || return 1
  done
}
check "every method" methods
placements() {
  train --like es -o m.safetensors --placement sublayer --max_updates 3 --eval_every 3 --eval_sentences 0 &&
    train --like es -o m.safetensors --placement parallel --encoder-layers none --max_updates 3 \
      --eval_every 3 --eval_sentences 0 &&
    train --like es -o m.safetensors --layers 0 --adapter-activation gelu --max_updates 3 --eval_every 3 --eval_sentences 0
}
check "every placement" placements
mixed() {
  to=$1
  shift
  train --like es -o "$to" --method bottleneck+lora+bitfit --rank 4 --checkpoint_minutes 0 --eval_sentences 0 "$@"
}
mixed_killed() {
  mixed mixed.safetensors $long || return 1
  killed killed.mixed mixed killed.mixed $long || return 1
  mixed killed.mixed $long && same_weights mixed.safetensors killed.mixed
}
check "a sum of methods killed, started again" mixed_killed
check "no such method" refuses 2 'dora' train --like es -o m.safetensors --method dora
check "no such layer" refuses 2 'layers 0 to' train --like es -o m.safetensors --layers 0-9
full() { # every weight: the output is a base
  "$dragoman" train -b base.safetensors -s en -t es --train train.es.tsv --dev dev.es.tsv.gz --quiet \
    --method full --max_updates 4 --eval_every 2 --eval_sentences 3 --learning_rate 1e-3 \
    --batch_tokens 512 --threads 2 -o full.safetensors &&
    "$dragoman" info full.safetensors | grep -q 'full.safetensors: base$' &&
    "$dragoman" translate -b full.safetensors -t es --quiet dev.en | wc -l | grep -qx 20 &&
    cmp base.safetensors before
}
check "full: every weight, the base's file as it was" full
full_new() { # a new language gets a tag of its own in the copy, which knows the others still
  "$dragoman" train -b base.safetensors -s en -t gl --like es:3,en:1 --train train.gl.tsv --dev dev.gl.tsv --quiet \
    --method full --max_updates 1 --learning_rate 0 --eval_sentences 0 --threads 2 --storage fp32 \
    --precision fp32 -o whole.safetensors &&
    "$dragoman" info whole.safetensors >said && grep -q 'gl Galician' said && grep -q 'pieces  *301' said || { cat said; return 1; }
  "$dragoman" translate -b whole.safetensors -t es --quiet dev.en >a &&
    "$dragoman" translate -b base.safetensors -t es --quiet dev.en | cmp - a || return 1
  "$dragoman" translate -b whole.safetensors -t gl --quiet dev.en | wc -l | grep -qx 20 &&
    "$dragoman" train -b whole.safetensors -s en -t ast --like gl --train train.gl.tsv --dev dev.gl.tsv --quiet \
      --method full --max_updates 1 --eval_sentences 0 --threads 2 -o further.safetensors &&
    "$dragoman" info further.safetensors | grep -q 'gl Galician (into), ast Asturian (into)'
}
check "full: a new language" full_new
bidirectional() {
  train --like es -o both.safetensors --bidirectional --max_updates 6 --eval_every 3 --eval_sentences 0 &&
    translate -a both.safetensors -s gl -t en dev.gl.gz >out.en &&
    translate -a both.safetensors -s gl dev.gl.gz | cmp - out.en && translate -a both.safetensors dev.en |
    wc -l | grep -qx 20 && "$dragoman" info both.safetensors | grep -q 'pairs  *en-gl, gl-en$'
}
check "one adapter for both directions" bidirectional
family() {
  "$dragoman" train -b base.safetensors --pair en:gl:train.gl.tsv:dev.gl.tsv --pair en:es:train.es.tsv \
    --like gl=es:0.7,en:0.3 --quiet --width 8 --max_updates 6 --eval_every 3 --eval_sentences 0 \
    --batch_tokens 512 --threads 2 -o family.safetensors &&
    "$dragoman" info family.safetensors >said && grep -q 'pairs  *en-gl, en-es$' said &&
    translate -t gl -a family.safetensors dev.en >/dev/null &&
    translate -t es -a family.safetensors dev.en >/dev/null
}
check "one adapter for several pairs, a tag from a mix" family
check "a pair without text" refuses 2 'SRC:TGT:TRAIN' "$dragoman" train -b base.safetensors --pair en:gl -o x
check "a mix without weights" refuses 2 'number above 0' train --like es:x -o m.safetensors
stacked() { # a domain on top of a language: without it, refused; trained, the lower stays
  train -a gl.safetensors -o domain.safetensors --max_updates 6 --eval_every 3 --eval_sentences 0 &&
    translate -a gl.safetensors -a domain.safetensors dev.en | wc -l | grep -qx 20 &&
    refuses 2 'on top of' translate -a domain.safetensors -t es dev.en
}
check "an adapter on top of another" stacked
named_once() { # the relative, though English has a tag of its own, too
  "$dragoman" train -b base.safetensors -s en -t gl --like es --method bottleneck+tag --train train.gl.tsv \
    --dev dev.gl.tsv --max_updates 1 --eval_sentences 5 -o tagged.safetensors >said 2>/dev/null
  grep -q 'untouched base as es BLEU' said || { cat said; return 1; }
}
check "a tag for a known language has no relative" named_once
before_work() { # what cannot be read is told before anything is translated
  ! translate -a gl.safetensors -o none.gl dev.en nosuch.en 2>err && grep -q 'nosuch.en: cannot open' err && [ ! -e none.gl ]
}
check "translate: a file that is not there" before_work
nothing_yet() { # and before it is trained, the two say what the one says
  train -a gl.safetensors -o zero2.safetensors --learning_rate 0 --max_updates 1 2>/dev/null
  translate -a gl.safetensors -a zero2.safetensors dev.en | cmp - out.gl
}
begun() {
  train --init gl.safetensors --like es -o begun.safetensors --learning_rate 0 --max_updates 1 2>/dev/null
  translate -a begun.safetensors dev.en >begun.gl && cmp begun.gl out.gl
}
useless() {
  train --like es -o none.safetensors --learning_rate 0 --max_updates 20 2>warning &&
    grep -q 'nothing was gained' warning || return 1
  "$dragoman" info none.safetensors >said && grep -q '^  gain .*(p = 1.0000), chrF .*(p = 1.0000)' said || { cat said; return 1; }
}
check "training that gains nothing says so" useless

step_zero() { # such an adapter leaves the base's translations as they are
  translate -t es dev.en >zero.base && translate -t gl -a none.safetensors dev.en >zero.adapter &&
    cmp zero.base zero.adapter
}
check "an adapter before training is the base" step_zero
lines() { translate -a gl.safetensors dev.en >out.gl && [ "$(wc -l <out.gl)" -eq 20 ]; }
check "translate: a line a line" lines
check "into the same language" refuses 2 'the same language, en' translate -t en dev.en
check "untrained on top of another" nothing_yet
check "begun from another" begun
stdin() { translate -t gl -a gl.safetensors <dev.en >out2.gl && cmp out.gl out2.gl; }
check "from standard input" stdin
output() { gzip -c dev.en >in.gz && translate -a gl.safetensors -o out3.gl in.gz && cmp out.gl out3.gl; }
check "gzip in, -o out" output
one_by_one() {
  while read -r line; do echo "$line" | translate -a gl.safetensors; done <dev.en >out4.gl
  cmp out.gl out4.gl
}
check "alone as in company" one_by_one
# A line longer than any in training gives what its sentences give: here each fills
# more than half of max_tokens, so that no two are taken together.
long_line() {
  sed 's/^/Five nine eight seven six five four three two one /; s/$/./' dev.en | head -n 8 >dotted
  "$dragoman" tokenizer encode -m base.safetensors dotted | awk 'NF <= 16 || NF > 32 { print NF; exit 1 }' || return 1
  translate -a gl.safetensors dotted | tr '\n' ' ' | sed 's/ $//' >parts
  tr '\n' ' ' <dotted | translate -a gl.safetensors | tr -d '\n' >whole
  cmp parts whole
}
check "a long line keeps all its sentences" long_line
too_long() { # tags and end mark take 3 of the base's 64 places
  for words in 61 62; do
    yes one | head -n $words | tr '\n' ' ' | tee line.$words | "$dragoman" tokenizer encode -m base.safetensors | awk -v n=$words 'NF != n { exit 1 }' || return 1
    "$dragoman" translate -b base.safetensors -t es line.$words 2>warned.$words >/dev/null || return 1
  done
  [ ! -s warned.61 ] && grep -q 'line.62:1: .*its end is lost' warned.62
}
check "a sentence whose end is lost is told" too_long
lost() { # the base knows no placeholder
  printf 'one\ntwo %%s\n<b>red</b>\n' >marked
  "$dragoman" translate -b base.safetensors -t es marked 2>warned >/dev/null &&
    grep -q 'warning: 2 translations have other placeholders .* marked:2$' warned &&
    "$dragoman" translate -b base.safetensors -t es --json --quiet marked | grep -c '"other_placeholders":true' | grep -qx 2
}
check "placeholders that are lost are told" lost
blank() { [ "$(printf 'one\n\n  \ntwo\n' | translate -a gl.safetensors | sed -n '2,3p' | tr -d '\n')" = "" ]; }
check "blank lines stay blank" blank
invisible() { # white space and marks that only Unicode knows
  [ -z "$(printf '\302\240\n\342\200\213\343\200\200\n' | translate -a gl.safetensors | tr -d '\n')" ]
}
check "so do invisible ones" invisible
nbest() {
  translate -a gl.safetensors --nbest 3 dev.en >n.best
  [ "$(cut -f1 n.best | uniq -c | awk '$1 != 3' | wc -l)" -eq 0 ] &&
    awk -F'\t' '$1 == n && $2 > s { exit 1 } { n = $1; s = $2 }' n.best &&
    awk -F'\t' '$1 != n { print $3 } { n = $1 }' n.best | cmp - out.gl
}
check "--nbest, best first" nbest
nbest_of_files() { # one count for all, as the output is one
  translate -a gl.safetensors --nbest 2 dev.en dev.en >n.two && [ "$(tail -n 1 n.two | cut -f1)" -eq 40 ]
}
check "--nbest of two files" nbest_of_files
check "a length penalty out of range" refuses 2 'length-penalty' translate -a gl.safetensors --length-penalty -1e9 dev.en
check "more threads than any machine has" refuses 2 'threads' translate -a gl.safetensors --threads 2000000000 dev.en
check "an output without a name" refuses 2 'needs a value' translate -a gl.safetensors -o "" dev.en
json() { translate -a gl.safetensors --json dev.en | grep -c '"translations":\[{"text":"' | grep -qx 20; }
check "--json" json
spelled() { translate -s eng -t glg -a gl.safetensors dev.en | cmp - out.gl; }
check "any spelling of a code" spelled
beside() { "$dragoman" translate -b ./base.safetensors -t gl dev.en 2>remark >out5.gl && cmp out.gl out5.gl && grep -q 'en-gl' remark; }
cp gl.safetensors en-gl.safetensors
check "the adapter beside the base" beside
named() { DRAGOMAN_MODELS=$PWD "$dragoman" translate -t gl --quiet dev.en | cmp - out.gl; }
check "models by name" named
named_base() {
  hash=$("$dragoman" info --json base.safetensors | sed -n 's/.*"hash": *"\([^"]*\)".*/\1/p')
  DRAGOMAN_MODELS=$PWD "$dragoman" train -s en -t es --train train.es.tsv --dev dev.es.tsv.gz --quiet --threads 2 \
    --max_updates 1 --eval_every 1 --keep-problems -o named.safetensors && [ "$hash" ] &&
    "$dragoman" info --json named.safetensors | grep -q "\"base_hash\": *\"$hash\""
}
check "a base by name to train on" named_base
check "unknown language" refuses 2 'es' translate -t de dev.en
check "no language" refuses 2 '-t' translate dev.en
check "no such file" refuses 1 'nosuch' translate -t es nosuch
check "no such base" refuses 2 'DRAGOMAN_MODELS' "$dragoman" translate -b nosuch -t es dev.en
printf 'one\ntw\377o\n' >bad.txt
check "invalid UTF-8" refuses 1 'bad.txt.*2' translate -t es bad.txt
printf 'one\ntwo\0three\n' >nul.txt
check "a NUL byte" refuses 1 'nul.txt: line 2, byte 4' translate -t es nul.txt
pretrain -o other.safetensors --set seed=2
check "an adapter of another base" refuses 2 'another\|not on this one' "$dragoman" translate -b other.safetensors -a gl.safetensors dev.en
full() { translate -t es dev.en >/dev/full 2>err; code=$?; cat err; [ $code -eq 1 ] && [ "$(wc -l <err)" -eq 1 ]; }
check "full disk" full
nothing_left() { refuses 1 'UTF-8' translate -t es -o left.txt dev.en bad.txt && [ -z "$(ls left.txt* 2>/dev/null)" ]; }
check "a failed run leaves no output" nothing_left
truncated() { head -c 9000 base.safetensors >cut.safetensors; refuses 1 'cut.safetensors' "$dragoman" translate -b cut.safetensors -t es dev.en; }
check "a truncated base" truncated
echo "1..$n"
