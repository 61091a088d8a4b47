# dragoman train as a newcomer calls it: faulty data, no dev text, logs and reports, recipes.
. tests/tap.sh
. tests/numbers.sh
cd "$TMPDIR" || exit 1

pairs 1 400 "$spanish" >train.es.tsv
pairs 401 420 "$spanish" >dev.es.tsv
pairs 1 300 "$galician" >train.gl.tsv
pairs 401 440 "$galician" >dev.gl.tsv
pairs 441 500 "$galician" >test.gl.tsv
cat >tiny.conf <<END
train = en es train.es.tsv
dev = en es dev.es.tsv
$tiny_shape
learning_rate = 0.01
warmup = 20
batch_tokens = 512
max_updates = 80
eval_every = 40
eval_sentences = 0
max_tokens = 32
precision = fp32
END
check "a base" "$dragoman" pretrain -c tiny.conf --quiet --threads 2 -o base.safetensors
launch=
train() { # launch=exec: in place of the subshell, so that a kill reaches it
  $launch "$dragoman" train -b base.safetensors -s en -t gl --like es --threads 2 --max_updates 40 \
    --batch_tokens 512 --precision fp32 "$@"
}
weights() { # of a safetensors file: what follows its header
  length=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
  tail -c +$((length + 9)) "$1"
}
same_weights() { weights "$1" >a.bytes && weights "$2" >b.bytes && [ -s a.bytes ] && cmp a.bytes b.bytes; }

# --- data -------------------------------------------------------------------------------------
{
  cat train.gl.tsv
  head -n 5 train.gl.tsv       # duplicates
  head -n 2 dev.gl.tsv         # leaks
  printf 'six one four\t\n'    # empty
  awk -F'\t' 'NR > 100 && NR < 104 { print $2 "\t" $1 }' train.gl.tsv
} >dirty.tsv
faults() {
  train --train dirty.tsv --dev dev.gl.tsv --eval_sentences 0 -o faults.safetensors 2>err >out || return 1
  grep -q 'dirty.tsv: 5 pairs that came before.*301' err && grep -q '2 pairs whose sentence is in the dev' err &&
    grep -q '1 pair with an empty side' err && grep -q 'swapped sides' err || { cat err; return 1; }
  "$dragoman" info --json faults.safetensors | grep -q '"duplicate": *5'
}
check "faulty pairs are told and left out" faults
cleaned() {
  train --train train.gl.tsv --dev dev.gl.tsv --eval_sentences 0 --quiet -o clean.safetensors >out &&
    train --train train.gl.tsv --dev dev.gl.tsv --eval_sentences 0 --quiet --keep-problems -o kept.safetensors &&
    train --train dirty.tsv --dev dev.gl.tsv --eval_sentences 0 --quiet --keep-problems -o dirty.safetensors &&
    same_weights clean.safetensors kept.safetensors && ! same_weights clean.safetensors dirty.safetensors
}
check "sound text is as it was, --keep-problems keeps the faulty" cleaned
awk -F'\t' '{ print $1 "\tдом " NR }' train.gl.tsv >wrong.tsv
sides() { # of one script, and one of them new: the base knows English when it sees it
  awk -F'\t' '{ print $2 "\t" $1 }' train.gl.tsv >swapped.tsv
  awk -F'\t' '{ print $2 "\t" $1 }' dev.gl.tsv >swapped.dev.tsv
  refuses 2 'swapped.tsv.*--reversed' train --quiet --train swapped.tsv --dev dev.gl.tsv -o w.safetensors &&
    refuses 2 'swapped.dev.tsv.*--reversed' train --quiet --train train.gl.tsv --dev swapped.dev.tsv -o w.safetensors &&
    train --quiet --reversed --train swapped.tsv --dev swapped.dev.tsv --max_updates 1 --eval_sentences 0 -o w.safetensors
}
check "a file the wrong way round" sides
known_sides() { # both known: the wrong way round; and a third language, which is not that
  known() { "$dragoman" train -b base.safetensors -s en -t es --max_updates 1 --eval_sentences 0 --quiet \
    -o w.safetensors "$@"; }
  pairs 1 200 "$spanish" | awk -F'\t' '{ print $2 "\t" $1 }' >swapped.es.tsv
  pairs 1 200 "kuto wazi mone pale sifo rugu temi havo lido nebi" >third.tsv
  refuses 2 'swapped.es.tsv.*--reversed' known --train swapped.es.tsv && known --train swapped.es.tsv --reversed &&
    known --train third.tsv
}
check "a file the wrong way round, its languages known" known_sides
check "the wrong script" refuses 2 'script' train --quiet --train wrong.tsv -o w.safetensors
german="null eins zwei drei vier fünf sechs sieben acht neun"
foreign() { # a third language: all of the file, some of it, and beside one that nobody can identify
  pairs 1 300 "$german" >de.tsv
  { cat train.gl.tsv; tail -n 60 de.tsv; } >some.tsv
  refuses 2 'de.tsv: .* English and German: are -s and -t right' train --quiet --train de.tsv --dev dev.gl.tsv -o w.safetensors &&
    refuses 2 'de.dev.tsv: .*German' train --quiet --train train.gl.tsv --dev de.dev.tsv -o w.safetensors || return 1
  train --train some.tsv --dev dev.gl.tsv --max_updates 1 --eval_sentences 0 -o w.safetensors 2>err >out &&
    [ "$(grep -o 'some.tsv: [0-9]* pairs with a side in a third' err | cut -d" " -f2)" -ge 40 ] || { cat err; return 1; }
  "$dragoman" train -b base.safetensors -s en -t nah --like es --train de.tsv --threads 2 --max_updates 1 \
    --eval_sentences 0 -o w.safetensors 2>err >out && grep -q 'de.tsv: the nah side looks like German' err || { cat err; return 1; }
}
pairs 401 440 "$german" >de.dev.tsv
check "text in another language" foreign
apart() {
  train --train train.gl.tsv --eval_sentences 0 -o apart.safetensors 2>err >out || return 1
  grep -q '30 pairs set apart as dev' err || { cat err; return 1; }
  "$dragoman" info --json apart.safetensors | tr -d ' \n' >said
  left=$(sed -n 's/.* and \([0-9]*\) that say the same left out/\1/p' err)
  grep -q '"role":"dev"[^}]*"pairs":30' said && grep -q "\"role\":\"train\"[^}]*\"left_out\":$left" said || { cat said; return 1; }
}
check "without dev text some is set apart" apart
family() { # what one pair is measured on, another must not be trained on; sets of text may overlap, and are told to
  several() { "$dragoman" train -b base.safetensors --like es --threads 2 --max_updates 1 --eval_sentences 0 \
    -o family.safetensors "$@" >out 2>err || { cat err; return 1; }; }
  cat train.es.tsv dev.gl.tsv >other.tsv
  cat dev.es.tsv train.es.tsv >again.tsv
  { cat dev.gl.tsv; head -n 3 dev.gl.tsv; head -n 5 test.gl.tsv; } >overlap.tsv
  several --pair en:gl:train.gl.tsv:dev.gl.tsv --pair en:es:other.tsv:dev.es.tsv &&
    grep -q 'other.tsv: 40 pairs whose sentence is in the dev or test text, left out' err || { cat err; return 1; }
  several --pair en:gl:train.gl.tsv:dev.gl.tsv --pair en:gl:train.gl.tsv:dev.gl.tsv &&
    grep -q 'train.gl.tsv: 300 pairs that came before, left out' err || { cat err; return 1; }
  several --pair en:es:train.es.tsv --pair en:gl:train.gl.tsv &&
    grep -q '^en-es, en-gl: [0-9]* training pairs' err || { cat err; return 1; }
  left=$(grep -o '^en-es, en-gl: [0-9]*' err | sed 's/.*: //') # the same numbers in English
  apart=$(sed -n 's/^\([0-9]*\) pairs set apart.*/\1/p' err)
  same=$(sed -n 's/.* as dev text, and \([0-9]*\) that say the same left out/\1/p' err)
  [ "$apart" -eq 70 ] && [ "$same" -ge 1 ] && [ $((left + apart + same)) -eq 700 ] || { cat err; return 1; }
  several -s en -t gl --train train.gl.tsv --dev overlap.tsv --test test.gl.tsv &&
    grep -q 'overlap.tsv: 3 pairs that came before, kept' err &&
    grep -q 'overlap.tsv: 5 pairs whose sentence is in the dev or test text, kept' err &&
    "$dragoman" info family.safetensors | grep -q 'dev  *en-gl  *48  *0  *overlap.tsv' || { cat err; return 1; }
}
check "leaks from one pair to another, from dev to test" family
awk -F'\t' '{ print $1 "\tдом " NR }' dev.gl.tsv >wrong.dev.tsv
check "dev text in the wrong script" refuses 2 'wrong.dev.tsv.*script' train --quiet --train train.gl.tsv \
  --dev wrong.dev.tsv -o w.safetensors
check "the dev text alone" refuses 2 'no pair is left to train on; dev.gl.tsv: 40 of 40 pairs whose sentence is in the dev' \
  train --quiet --train dev.gl.tsv --dev dev.gl.tsv -o w.safetensors
head -n 30 train.gl.tsv >few.tsv
check "too few pairs for that" refuses 2 '--dev' train --quiet --train few.tsv -o w.safetensors

# --- logs and reports -------------------------------------------------------------------------
columns='update epochs minutes learning_rate loss gradient_norm tokens_per_second dev_loss dev_bleu dev_chrf best'
table() { # the same points once each, whether or not the run was stopped
  [ "$(head -n 1 "$1" | tr '\t' ' ')" = "$columns" ] &&
    [ "$(awk -F'\t' 'NF != 11' "$1" | wc -l)" -eq 0 ] &&
    [ "$(tail -n +2 "$1" | cut -f1 | tr '\n' ' ')" = "0 10 20 25 30 40 " ]
}
logged() {
  train --train train.gl.tsv --dev dev.gl.tsv --test test.gl.tsv --eval_every 10 --eval_sentences 20 \
    --log run.tsv --report run.html -o logged.safetensors >out 2>err || { cat err; return 1; }
  table run.tsv || { cat run.tsv; return 1; }
}
check "--log" logged
page() {
  grep -q 'dev.gl.tsv (dev)' run.html && grep -q 'test.gl.tsv (test)' run.html && grep -q '<svg' run.html &&
    [ "$(grep -c 'class=seg' run.html)" -eq 20 ] && ! grep -q 'nan\|http' run.html || return 1
  command -v xmllint >/dev/null || return 0
  xmllint --html --noout run.html 2>&1 | grep -v 'Tag svg\|Tag path\|Tag text\|Tag title\|<svg\|<text\|\^' | grep error
  [ $? -eq 1 ]
}
check "--report" page
gain() { # what is printed is what eval says of the same translations
  grep -q '^test.gl.tsv: untouched base as es .* p = ' out || { cat out; return 1; }
  cut -f1 test.gl.tsv >in.en
  cut -f2 test.gl.tsv >ref.gl
  bleu=$("$dragoman" translate -b base.safetensors -a logged.safetensors --quiet in.en |
    "$dragoman" eval -r ref.gl -m bleu chrf --json | tr -d ' \n' | grep -o '"score":[0-9.]*' | cut -d: -f2)
  for score in $bleu; do
    grep '^test.gl.tsv' out | sed 's/.*with the adapter//' | grep -q " $(printf '%.2f' "$score")" || { cat out; echo "$score"; return 1; }
  done
}
check "the gain is what eval measures" gain
going_on() {
  launch=exec train --train train.gl.tsv --dev dev.gl.tsv --eval_every 10 --eval_sentences 20 --checkpoint_minutes 0 --json \
    --log on.tsv -o on.safetensors >on.log 2>/dev/null &
  pid=$!
  for i in $(seq 2000); do [ "$(grep -c update on.log)" -ge 2 ] && break; sleep 0.01; done
  kill -9 $pid
  wait $pid 2>/dev/null
  train --train train.gl.tsv --dev dev.gl.tsv --eval_every 10 --eval_sentences 20 --quiet --log on.tsv -o on.safetensors &&
    same_weights on.safetensors logged.safetensors && table on.tsv &&
    cut -f1,2,4-6,8- on.tsv >a && cut -f1,2,4-6,8- run.tsv >b && cmp a b
}
check "killed and started again: the same table" going_on
# --- the card ---------------------------------------------------------------------------------
printf 'For menus only.\nNot for novels.\n' >note.txt
carded() {
  cp logged.safetensors card.safetensors
  "$dragoman" info --set-note note.txt --set-licence CC-BY-4.0 card.safetensors >info.txt &&
    same_weights card.safetensors logged.safetensors && ! cmp -s card.safetensors logged.safetensors &&
    grep -q 'For menus only' info.txt && grep -q 'CC-BY-4.0' info.txt && grep -q "date  *$(date -u +%Y)" info.txt &&
    grep -q 'test.gl.tsv (test, 60): BLEU .* chrF .*p = ' info.txt && grep -q 'nrefs:1' info.txt || { cat info.txt; return 1; }
  "$dragoman" translate -b base.safetensors -a card.safetensors --quiet in.en >a &&
    "$dragoman" translate -b base.safetensors -a logged.safetensors --quiet in.en | cmp - a
}
check "its note and licence can be changed" carded
noted() { # one note, from a pipe, for several
  cp card.safetensors card2.safetensors && echo 'From a pipe.' |
    "$dragoman" info --set-note - card.safetensors card2.safetensors | grep -c 'From a pipe' | grep -qx 2
}
check "a note for several" noted
check "a base's cannot" refuses 2 'not an adapter' "$dragoman" info --set-licence X base.safetensors
full() { # a file that may not grow stands for a disk that is full
  launch=exec train --train train.gl.tsv --dev dev.gl.tsv --eval_sentences 0 --checkpoint_minutes 0 \
    -o full.safetensors >/dev/null 2>&1 &
  pid=$!
  for i in $(seq 2000); do [ -f full.safetensors.checkpoint ] && break; sleep 0.01; done
  kill -9 $pid
  wait $pid 2>/dev/null
  cp full.safetensors.checkpoint last
  rm -f full.safetensors.checkpoint.tmp-*
  (
    trap '' XFSZ
    ulimit -f 100 # blocks of 512 bytes: enough for the adapter, not for the checkpoint
    refuses 1 'full.safetensors.checkpoint.*too large' train --train train.gl.tsv --dev dev.gl.tsv \
      --eval_sentences 0 --checkpoint_minutes 0 --quiet -o full.safetensors
  ) || return 1
  cmp last full.safetensors.checkpoint && [ -z "$(ls full.*tmp* 2>/dev/null)" ] || { ls full*; return 1; }
  train --train train.gl.tsv --dev dev.gl.tsv --eval_sentences 0 --quiet -o full.safetensors &&
    same_weights full.safetensors clean.safetensors
}
check "a full disk: told, the last checkpoint intact" full

# --- monolingual text -------------------------------------------------------------------------
pairs 501 700 "$galician" | cut -f2 >mono.gl
head -n 3 mono.gl >>mono.gl # again
cut -f2 dev.gl.tsv | head -n 4 >>mono.gl # held out
short() { train --train few.tsv --dev dev.gl.tsv --eval_sentences 0 --quiet "$@"; }
check "the way back" "$dragoman" train -b base.safetensors -s gl -t en --like es --reversed --train train.gl.tsv \
  --dev dev.gl.tsv --max_updates 40 --batch_tokens 512 --threads 2 --eval_sentences 0 --quiet -o gl-en.safetensors
mono() {
  train --train few.tsv --dev dev.gl.tsv --eval_sentences 0 --mono mono.gl --reverse gl-en.safetensors --keep-problems \
    -o mono.safetensors >out 2>err || { cat err; return 1; }
  grep -q '^200 sentences translated back' err && [ -z "$(ls mono.safetensors.*)" ] || { cat err; ls; return 1; }
  short -o plain.safetensors && ! same_weights plain.safetensors mono.safetensors &&
    "$dragoman" info --json mono.safetensors | tr -d ' \n' | grep -q '"role":"mono"[^}]*"pairs":200'
}
check "--mono" mono
above_mono() { # on top of an adapter that goes back, and of one that does not
  cp mono.gl wrong.gl
  echo 'дом дом дом дом' >>wrong.gl
  for both in --bidirectional ''; do
    short --max_updates 5 $both -o below.safetensors &&
      "$dragoman" train -b base.safetensors -a below.safetensors -s en -t gl --train few.tsv --dev dev.gl.tsv \
        --mono wrong.gl --threads 2 --max_updates 1 --eval_sentences 0 --checkpoint_minutes 0 --keep-problems \
        -o above.safetensors >out 2>err &&
      grep -q '^201 sentences translated back' err || { cat err; return 1; }
    "$dragoman" train -b base.safetensors -a below.safetensors -s en -t gl --train few.tsv --dev dev.gl.tsv \
      --mono wrong.gl --threads 2 --max_updates 1 --eval_sentences 0 -o above.safetensors >out 2>err &&
      grep -q 'wrong.gl: 1 pair in another script' err && grep -q '^\(19[0-9]\|200\) sentences' err || { cat err; return 1; }
  done
}
check "--mono on top of others, without what is in another script" above_mono
poor_mono() { # worse than no pair at all: left out, and said
  awk 'BEGIN { for (i = 0; i < 40; i++) print "дом дом " i }' >poor.gl
  train --train few.tsv --dev dev.gl.tsv --eval_sentences 0 --max_updates 1 --mono poor.gl -o poor.safetensors >out 2>err &&
    grep -q '^poor.gl: most of its back-translations are no use: --reverse' err && grep -q '^0 sentences' err || { cat err; return 1; }
}
check "useless back-translations are left out" poor_mono
mono_killed() {
  launch=exec train --train few.tsv --dev dev.gl.tsv --eval_sentences 0 --mono mono.gl --reverse gl-en.safetensors --keep-problems \
    --checkpoint_minutes 0 -o back.safetensors >/dev/null 2>&1 &
  pid=$!
  for i in $(seq 2000); do [ -f back.safetensors.checkpoint ] && break; sleep 0.01; done
  kill -9 $pid
  wait $pid 2>/dev/null
  kept=$(ls back.safetensors.back-*)
  [ "$(cut -f2 "$kept")" = "$(head -n 200 mono.gl)" ] || { echo "other sentences"; return 1; }
  cut -f1 "$kept" | head -n 200 >back.want
  cut -f2 "$kept" | "$dragoman" translate -b base.safetensors -a gl-en.safetensors --beam 1 --quiet | cmp - back.want || return 1
  head -c 1500 "$kept" >cut && cp cut "$kept" # killed while it was written
  train --train few.tsv --dev dev.gl.tsv --eval_sentences 0 --mono mono.gl --reverse gl-en.safetensors --keep-problems \
    -o back.safetensors 2>err >out && grep -q 'back-translations of an earlier run' err &&
    same_weights back.safetensors mono.safetensors
}
check "killed, started again" mono_killed
check "another adapter does not go back" refuses 2 'does not translate' train --quiet --train train.gl.tsv \
  --mono mono.gl --reverse logged.safetensors -o w.safetensors
check "--reverse without --mono" refuses 2 'of --mono' train --quiet --train train.gl.tsv --reverse gl-en.safetensors \
  -o w.safetensors

check "a report that cannot be" refuses 1 'no/such' train --quiet --train train.gl.tsv --report no/such.html -o w.safetensors
begun() { # no gain over the adapter it begins from, which had gained much
  train --train train.gl.tsv --dev dev.gl.tsv --init logged.safetensors --learning_rate 0 --max_updates 1 \
    --eval_sentences 0 -o begun.safetensors >out 2>err &&
    grep -q 'gained over the adapter that it begins from' err && grep -q 'dev loss: before training' out &&
    "$dragoman" info begun.safetensors >said && grep -q "loss  *loss before$" said &&
    "$dragoman" info logged.safetensors | grep -q "chrF2 before" && "$dragoman" info --json begun.safetensors |
    tr -d ' \n' | grep -q '"init":{"loss":[0-9.]*}}' || { cat out err said; return 1; }
}
check "no gain over --init" begun
recut() { # new pieces that nothing was learned for: not what the base says, and worse
  "$dragoman" train -b base.safetensors -s gl -t en --like es --reversed --threads 2 --train train.gl.tsv \
    --dev dev.gl.tsv --learning_rate 0 --max_updates 1 --eval_sentences 20 "$@" -o cut.safetensors >out 2>err
  cat out err
  grep -q 'may do harm.*new pieces came to nothing' err && ! grep -q 'as it is' err
}
check "new pieces alone may do harm" recut
whole() { ! recut --new-pieces 0 && grep -q 'gained over the untouched base; the adapter leaves it as it is' err; }
check "without them nothing changes" whole
equal() { # in scores alone: no word of either is in the dev text
  train --train train.gl.tsv --dev wrong.dev.tsv --keep-problems --eval_sentences 20 -o equal.safetensors >out 2>err
  grep -q 'untouched base as es BLEU 0.00 chrF 0.00.*(+0.00, p = 1.000; +0.00, p = 1.000)' out || { cat out err; return 1; }
}
check "equal scores are no gain" equal
# so many words that the base's 64 positions have no room for them, and max_tokens has
awk 'BEGIN { for (i = 0; i < 70; i++) { a = a "two "; b = b "dous " } print a "\t" b }' >long.tsv
beyond() {
  cat train.gl.tsv long.tsv >some.tsv
  train --train some.tsv --dev dev.gl.tsv --new_pieces 0 --eval_sentences 0 -o beyond.safetensors >out 2>err &&
    grep -q '1 pairs left out: empty or longer than 64 tokens' err || { cat err; return 1; }
  sed 's/max_tokens = 32/max_tokens = 128/' tiny.conf >wide.conf
  cp train.es.tsv es.copy
  sed 's/dous/dos/g' long.tsv >>train.es.tsv
  "$dragoman" pretrain -c wide.conf --quiet --threads 2 --set max_updates=20 -o beyond.base
  code=$?
  mv es.copy train.es.tsv
  return $code
}
check "sentences longer than the base can read" beyond
check "dev text of such alone" refuses 2 'no usable dev pairs for en-gl: .*longer than 64' train --quiet --keep-problems \
  --train train.gl.tsv --dev long.tsv --new_pieces 0 --eval_sentences 0 -o w.safetensors
latin() { # file names in another encoding
  name=$(printf 'caf\351')
  cp train.gl.tsv "$name.tsv" && cp logged.safetensors "$name.safetensors" &&
    train --train "$name.tsv" --dev dev.gl.tsv --init "$name.safetensors" --quiet --max_updates 1 \
      --eval_sentences 0 -o latin.safetensors || return 1
  "$dragoman" info --json latin.safetensors | tr -d ' \n' >said
  grep -q "\"file\":\"$(printf 'caf\357\277\275').tsv\",\"pairs\":300" said &&
    grep -q "\"init\":\"$(printf 'caf\357\277\275').safetensors\"" said || { cat said; return 1; }
  "$dragoman" info "$name.safetensors" | grep -q 'adapter$' && cp "$name.safetensors" licensed.safetensors &&
    "$dragoman" info --set-licence "$name" licensed.safetensors >/dev/null && "$dragoman" info licensed.safetensors | grep -q 'licence *caf'
}
check "names in another encoding" latin

# --- outputs that are inputs --------------------------------------------------------------------
lost() { # FILE ARGUMENTS...: refused, and the file is as it was
  file=$1
  shift
  cp "$file" kept.copy
  refuses 2 "$file is read" train --quiet --max_updates 1 "$@" && cmp "$file" kept.copy
}
ln base.safetensors linked.safetensors
cut -f1 train.gl.tsv >train.en
cut -f2 train.gl.tsv >train.gl
pretraining() { # one that is refused takes nothing from the one at work
  cp base.safetensors.tokenizer kept.tokenizer
  exec 8>base.safetensors.checkpoint.lock && flock 8
  rm base.safetensors.checkpoint
  refuses 2 'another process is at work' "$dragoman" pretrain -c tiny.conf --quiet -o base.safetensors --set tokenizer_type=bpe
  code=$?
  exec 8>&-
  [ $code -eq 0 ] && cmp base.safetensors.tokenizer kept.tokenizer
}
check "two runs of one base" pretraining
check "the base as output" lost base.safetensors --train train.gl.tsv -o base.safetensors
check "the base by another name" lost linked.safetensors --train train.gl.tsv -o linked.safetensors
check "a frozen adapter as output" lost logged.safetensors --train train.gl.tsv -a logged.safetensors -o logged.safetensors
check "text as log" lost train.gl --train train.en,train.gl -o w.safetensors --log train.gl
check "text as report" lost dev.gl.tsv --train train.gl.tsv --dev dev.gl.tsv -o w.safetensors --report dev.gl.tsv
check "two outputs in one" refuses 2 'w.tsv is to be written twice' train --quiet --train train.gl.tsv -o w.tsv --log w.tsv
check "the recipe as log" refuses 2 'tiny.conf is read' "$dragoman" pretrain -c tiny.conf --quiet -o w.safetensors --log tiny.conf

check "one output by two names" refuses 2 'is to be written twice' train --quiet --train train.gl.tsv -o w.safetensors --log ./w.safetensors
ln -s w.safetensors ahead
check "one output by a link to it" refuses 2 'is to be written twice' train --quiet --train train.gl.tsv -o w.safetensors --log ahead
check "the checkpoint as log" refuses 2 'is to be written twice' train --quiet --train train.gl.tsv -o w.safetensors \
  --log w.safetensors.checkpoint
check "the beginning as log" lost logged.safetensors --train train.gl.tsv --init logged.safetensors -o w.safetensors \
  --log logged.safetensors
check "a pipe as output" refuses 2 'name a file' train --quiet --train train.gl.tsv -o -
check "standard input twice" refuses 2 'only once' train --quiet --train - --dev - -o w.safetensors
cut_off() { # POINTS: a run over an earlier adapter, stopped when its table has more
  rm -f watched.tsv
  launch=exec train --train train.gl.tsv --dev dev.gl.tsv --eval_sentences 0 --max_updates 100000 --patience 0 --eval_every 1 \
    --log watched.tsv -o earlier.safetensors >out 2>err &
  pid=$!
  for i in $(seq 3000); do [ "$(wc -l 2>/dev/null <watched.tsv || echo 0)" -gt "$1" ] && break; sleep 0.01; done
  kill -TERM $pid
  wait $pid
  [ $? -eq 130 ] && cmp logged.safetensors earlier.safetensors && [ -f earlier.safetensors.checkpoint ] || { cat err; return 1; }
}
before() { # what an earlier run made stays until this one is over, and is gone on with
  cp logged.safetensors earlier.safetensors
  cut_off 4 && cut_off 20 || return 1
  train --train train.gl.tsv --dev dev.gl.tsv --eval_sentences 0 --max_updates 1 --patience 0 --quiet -o over.safetensors &&
    cp over.safetensors kept.copy &&
    train --train train.gl.tsv --dev dev.gl.tsv --eval_sentences 0 --max_updates 2 --patience 0 --quiet -o over.safetensors &&
    ! cmp -s over.safetensors kept.copy
}
check "the adapter of an earlier run" before

# --- mistakes in what is asked for --------------------------------------------------------------
check "layers twice" refuses 2 'leave it out' train --quiet --train train.gl.tsv --layers 0 --encoder-layers 0 -o w.safetensors
check "--reversed with --pair" refuses 2 'in --pair, name SRC and TGT' "$dragoman" train -b base.safetensors \
  --pair en:gl:train.gl.tsv --reversed --like es -o w.safetensors
check "--dev with --pair" refuses 2 'SRC:TGT:TRAIN:DEV' "$dragoman" train -b base.safetensors \
  --pair en:gl:train.gl.tsv --dev dev.gl.tsv --like es -o w.safetensors
check "--log to standard output" refuses 2 '--log writes a file' train --quiet --train train.gl.tsv --log - -o w.safetensors
rm -f w.safetensors*
check "two relatives" refuses 2 'stands beside --like es' train --quiet --train train.gl.tsv --like en -o w.safetensors
check "a relative of none" refuses 2 'ast is no new language' train --quiet --train train.gl.tsv --like ast=es -o w.safetensors
useless() {
  train --train train.gl.tsv --dev dev.gl.tsv --eval_sentences 0 --max_updates 1 --method bottleneck --rank 3 -o w.safetensors 2>err >out &&
    grep -q 'method bottleneck has no rank: it changes nothing' err || { cat err; return 1; }
}
check "a setting of another method" useless

unruly() { # a name that would command the terminal
  odd=$(printf 'dev\033[31m\302\233.tsv')
  cp dev.gl.tsv "$odd"
  train --train train.gl.tsv --dev "$odd" --max_updates 1 --eval_sentences 5 -o w.safetensors >out 2>err && tame out err &&
    grep -q '^dev?\[31m?.tsv: untouched base' out || { cat -v out err; return 1; }
}
check "a name that would command the terminal" unruly
check "a log that cannot be" refuses 1 'no/such' train --quiet --train train.gl.tsv --log no/such.tsv -o w.safetensors
echo "1..$n"
