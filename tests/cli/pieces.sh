# dragoman train --new-pieces, --embeddings: vocabulary for a language whose letters the base
# spells as bytes.
. tests/tap.sh
. tests/numbers.sh
cd "$TMPDIR" || exit 1

pairs 1 400 "$spanish" >train.es.tsv
pairs 1 200 "$ukrainian" >train.uk.tsv
pairs 401 420 "$ukrainian" >dev.uk.tsv
cut -f1 dev.uk.tsv >dev.en
cut -f2 dev.uk.tsv >dev.uk
for kind in unigram bpe; do
  cat >$kind.conf <<END
train = en es train.es.tsv
vocab_size = 300
tokenizer_type = $kind
d_model = 32
encoder_layers = 1
decoder_layers = 1
heads = 2
ffn_dim = 64
max_positions = 128
learning_rate = 0.01
batch_tokens = 512
max_updates = 10
max_tokens = 100
precision = fp32
END
  check "a base, $kind" "$dragoman" pretrain -c $kind.conf --quiet --threads 2 -o $kind.safetensors
done
cp unigram.safetensors before
launch= base=unigram
train() { # launch=exec: in place of the subshell, so that a kill reaches it
  $launch "$dragoman" train -b $base.safetensors -s en -t uk --like es --train train.uk.tsv \
    --dev dev.uk.tsv --threads 2 --width 8 --max_updates 8 --eval_every 4 --eval_sentences 4 --metric loss \
    --batch_tokens 512 --precision fp32 --new-pieces 40 "$@"
}
weights() { # of a safetensors file: what follows its header
  length=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
  tail -c +$((length + 9)) "$1"
}
same_weights() { weights "$1" >a.bytes && weights "$2" >b.bytes && [ -s a.bytes ] && cmp a.bytes b.bytes; }
trained() { # the text gets shorter, and the pieces are used both ways
  base=$1
  train -o $base.uk.safetensors >out 2>err || { cat err; return 1; }
  grep 'new pieces for uk' err | sed 's/.*): //; s/ tokens a word, / /' |
    awk '{ exit !($1 > 0 && 2.5 * $1 < $2) }' || { cat err; return 1; }
  "$dragoman" translate -b $base.safetensors -a $base.uk.safetensors --quiet dev.en >out.uk &&
    [ "$(wc -l <out.uk)" -eq 20 ]
}
check "unigram" trained unigram
check "BPE" trained bpe
base=unigram
check "the base is as it was" cmp unigram.safetensors before
told() {
  "$dragoman" info unigram.uk.safetensors >said && grep -q 'new_pieces [0-9]' said &&
    grep -q 'pieces  *[0-9]* new ones for uk, .* tokens a word instead of' said && grep -q '▁' said || { cat said; return 1; }
  "$dragoman" info --json unigram.uk.safetensors | tr -d ' \n' | grep -q '"new_pieces":{"languages":\["uk"\]'
}
check "info" told
evaluated() {
  "$dragoman" eval -b unigram.safetensors -a unigram.uk.safetensors --test dev.uk.tsv >scores || return 1
  "$dragoman" translate -b unigram.safetensors -a unigram.uk.safetensors --json dev.en | grep -c '"text"' | grep -qx 20
}
check "eval, translate --json" evaluated
killed() {
  launch=exec train -o killed.safetensors --checkpoint_minutes 0 >/dev/null 2>&1 &
  pid=$!
  for i in $(seq 2000); do [ -f killed.safetensors.checkpoint ] && break; sleep 0.01; done
  kill -9 $pid
  wait $pid 2>/dev/null
  train -o killed.safetensors --quiet && same_weights killed.safetensors unigram.uk.safetensors
}
check "killed, started again" killed
both() { # each direction cuts up the language, wherever it stands, with its pieces
  train --bidirectional --quiet -o both.safetensors &&
    "$dragoman" translate -b unigram.safetensors -a both.safetensors --quiet -s uk -t en dev.uk | wc -l | grep -qx 20 &&
    "$dragoman" translate -b unigram.safetensors -a both.safetensors --quiet dev.en | wc -l | grep -qx 20
}
check "both directions" both
begun() { # an adapter's pieces are taken over with it
  "$dragoman" train -b unigram.safetensors -s en -t uk --like es --train train.uk.tsv --dev dev.uk.tsv --threads 2 \
    --init unigram.uk.safetensors --learning_rate 0 --max_updates 1 --precision fp32 --eval_sentences 0 \
    -o begun.safetensors >out 2>err &&
    grep -q 'new pieces for uk' err && "$dragoman" translate -b unigram.safetensors -a begun.safetensors --quiet dev.en |
    cmp - want || { cat err; return 1; }
}
"$dragoman" translate -b unigram.safetensors -a unigram.uk.safetensors --quiet dev.en >want
check "--init" begun
check "pieces of its own besides" refuses 2 'leave out --new-pieces' train --quiet --init unigram.uk.safetensors -o w
above() { # an adapter without pieces stands on one that has them
  "$dragoman" train -b unigram.safetensors -a unigram.uk.safetensors -s en -t uk --train train.uk.tsv --dev dev.uk.tsv \
    --threads 2 --learning_rate 0 --max_updates 1 --precision fp32 --eval_sentences 0 --quiet -o above.safetensors
  "$dragoman" translate -b unigram.safetensors -a unigram.uk.safetensors -a above.safetensors --quiet dev.en | cmp - want
}
check "an adapter on top" above
check "more pieces on top" refuses 2 'only one may' train --quiet -a unigram.uk.safetensors -o w
check "two with pieces" refuses 2 'only one may' "$dragoman" translate -b unigram.safetensors \
  -a unigram.uk.safetensors -a both.safetensors -t uk --quiet dev.en
merged() {
  train --quiet --seed 2 -o two.safetensors &&
    "$dragoman" merge -b unigram.safetensors unigram.uk.safetensors two.safetensors -o mean.safetensors &&
    "$dragoman" translate -b unigram.safetensors -a mean.safetensors --quiet dev.en | wc -l | grep -qx 20
}
check "merge" merged
head -n 60 train.uk.tsv >less.tsv
check "few pieces" "$dragoman" train -b unigram.safetensors -s en -t uk --like es --train less.tsv --dev dev.uk.tsv \
  --threads 2 --width 8 --max_updates 1 --eval_sentences 0 --new-pieces 9 --quiet -o few.safetensors
check "merge of other pieces" refuses 2 'new_pieces' "$dragoman" merge -b unigram.safetensors \
  unigram.uk.safetensors few.safetensors -o w.safetensors
check "full" refuses 2 'new-pieces' "$dragoman" train -b unigram.safetensors -s en -t es --train train.es.tsv \
  --method full --new-pieces 9 --quiet -o w.safetensors
check "damaged" sh -c 'for at in 3000 9000 20000; do
  cp unigram.uk.safetensors cut.safetensors
  printf x | dd of=cut.safetensors bs=1 seek=$at conv=notrunc 2>/dev/null
  ! "$1" translate -b unigram.safetensors -a cut.safetensors --quiet dev.en 2>/dev/null || exit 1; done' - "$dragoman"

# --- embeddings ----------------------------------------------------------------------------------
change() { # embeddings of 20 of the base's pieces
  $launch "$dragoman" train -b unigram.safetensors -s en -t uk --like es --train train.uk.tsv --dev dev.uk.tsv \
    --threads 2 --width 8 --max_updates 8 --eval_every 4 --eval_sentences 4 --metric loss --batch_tokens 512 \
    --precision fp32 --new-pieces 0 --embeddings 20 "$@"
}
says() { # TEXT FILE OPTIONS...
  wanted=$1 file=$2
  shift 2
  "$dragoman" "$@" "$file" >said && grep -q "$wanted" said || { cat said; return 1; }
}
changed() { # in what is written, where that is new
  change -o changed.safetensors 2>err && grep -q '^20 pieces of the base, [0-9]*% of the text, have' err &&
    says 'embedding_side target' changed.safetensors info && says 'embeddings 20' changed.safetensors info &&
    "$dragoman" translate -b unigram.safetensors -a changed.safetensors --quiet dev.en >out.uk &&
    [ "$(wc -l <out.uk)" -eq 20 ] || { cat err; return 1; }
}
check "embeddings" changed
sides() { # where the language stands, or as told
  change --bidirectional --quiet -o both.safetensors && says 'embedding_side both' both.safetensors info &&
    change --embedding-side source --quiet -o w.safetensors && says 'embedding_side source' w.safetensors info &&
    "$dragoman" train -b unigram.safetensors -s uk -t en --reversed --like es --train train.uk.tsv --dev dev.uk.tsv \
      --max_updates 1 --eval_sentences 0 --width 8 --new-pieces 0 --embeddings 9999 --quiet -o w.safetensors &&
    says 'embedding_side source' w.safetensors info && ! grep -q 'embeddings 9999' said
}
check "their side" sides
killed_changing() {
  rm -f killed.safetensors
  launch=exec change -o killed.safetensors --checkpoint_minutes 0 >/dev/null 2>&1 &
  pid=$!
  for i in $(seq 2000); do [ -f killed.safetensors.checkpoint ] && break; sleep 0.01; done
  kill -9 $pid
  wait $pid 2>/dev/null
  change -o killed.safetensors --quiet && same_weights killed.safetensors changed.safetensors
}
check "killed, started again, with embeddings" killed_changing
check "with new pieces" change --new-pieces 20 --quiet -o w.safetensors
begun_changed() { # from another's, on other text: the same pieces
  "$dragoman" train -b unigram.safetensors -s en -t uk --like es --train less.tsv --dev dev.uk.tsv --threads 2 \
    --init changed.safetensors --learning_rate 0 --max_updates 1 --precision fp32 --eval_sentences 0 \
    -o begun.safetensors >out 2>err && grep -q '20 pieces of the base have' err &&
    "$dragoman" translate -b unigram.safetensors -a begun.safetensors --quiet dev.en | cmp - out.uk || { cat err; return 1; }
}
check "--init with embeddings" begun_changed
check "other embeddings than --init's" refuses 2 "leave out --embeddings" change --quiet --embeddings 10 \
  --init changed.safetensors -o w.safetensors
on_top() { # one stands on another: both change rows
  change -a changed.safetensors --quiet -o above.safetensors &&
    "$dragoman" translate -b unigram.safetensors -a changed.safetensors -a above.safetensors --quiet dev.en | wc -l | grep -qx 20
}
check "embeddings on top of embeddings" on_top
mean_changed() {
  change --quiet --seed 2 -o two.safetensors &&
    "$dragoman" merge -b unigram.safetensors changed.safetensors two.safetensors -o mean.safetensors &&
    "$dragoman" translate -b unigram.safetensors -a mean.safetensors --quiet dev.en | wc -l | grep -qx 20
}
check "merge with embeddings" mean_changed
others() {
  "$dragoman" train -b unigram.safetensors -s en -t uk --like es --train less.tsv --dev dev.uk.tsv --threads 2 \
    --width 8 --max_updates 1 --eval_sentences 0 --new-pieces 0 --embeddings 20 \
    --quiet -o other.safetensors &&
    refuses 2 'embeddings of different pieces' "$dragoman" merge -b unigram.safetensors changed.safetensors \
      other.safetensors -o w.safetensors
}
check "merge of other embeddings" others
told_nothing() { # a new language gets both, and what there is not of them is let be
  untold() {
    "$dragoman" train -b unigram.safetensors -s en -t uk --like es --dev dev.uk.tsv \
      --threads 2 --max_updates 1 --eval_sentences 0 -o untold.safetensors "$@" 2>err || { cat err; return 1; }
  }
  untold --train train.uk.tsv && grep -q 'new pieces for uk' err && grep -q 'have embeddings that learn' err &&
    untold --train train.uk.tsv -a unigram.uk.safetensors && ! grep -q 'new pieces for' err && # below it is no new language
    printf 'a\tа\nb\tб\nc\tв\nd\tг\n' >four.tsv && untold --train four.tsv --keep-problems &&
    ! grep -q 'new pieces for' err || { cat err; return 1; }
}
check "untold" told_nothing
check "embeddings of all weights" refuses 2 'no --embeddings' "$dragoman" train -b unigram.safetensors -s en -t es \
  --train train.es.tsv --method full --embeddings 9 --quiet -o w.safetensors
echo "1..$n"
