# dragoman info: what it says of files made here.
. tests/tap.sh
# says FILE REGEX...: standard output of `info` has lines like these, in this order.
says() {
  info $1 >"$TMPDIR/got" || return
  shift
  at=1
  for regex; do
    line=$(tail -n +$at "$TMPDIR/got" | grep -n -m 1 -e "$regex" | cut -d: -f1)
    [ -n "$line" ] || { echo "no line like: $regex (after line $at of)"; cat "$TMPDIR/got"; return 1; }
    at=$((at + line))
  done
}
info() { "$dragoman" info "$@"; }

here=$PWD
cd "$TMPDIR" || exit 1
awk 'BEGIN {
  srand(1)
  split("the a red blue house dog cat tree sees has likes big small old new", w, " ")
  split("a unha vermella azul casa can gato arbore ve ten gusta grande pequena vella nova", v, " ")
  for (i = 0; i < 400; i++) {
    s = t = ""
    for (k = 0; k < 3 + i % 6; k++) {
      j = int(rand() * 15) + 1
      s = s (k ? " " : "") w[j]
      t = t (k ? " " : "") v[j]
    }
    print s "\t" t
  }
}' >pairs.tsv
head -n 40 pairs.tsv >dev.tsv
cat >recipe <<'END'
train = en pt pairs.tsv
dev = en pt dev.tsv
vocab_size = 300
character_coverage = 1
licence = CC0-1.0
storage = int8
d_model = 16
encoder_layers = 1
decoder_layers = 1
heads = 2
ffn_dim = 32
batch_tokens = 512
warmup = 1
max_updates = 2
eval_every = 1
eval_sentences = 4
END
made() {
  "$dragoman" pretrain --quiet -c recipe -o base.safetensors &&
    cp base.safetensors.tokenizer tokenizer.model &&
    "$dragoman" train --quiet -b base.safetensors -s en -t gl --like pt --train pairs.tsv \
      --dev dev.tsv -o en-gl.safetensors --width 4 --placement layer --encoder-layers all \
      --new-pieces 0 --embeddings 0 --warmup 1 --max_updates 2 --eval_every 1 --eval_sentences 4 \
      --keep-problems # a base of two updates takes either side for English
}
check "files to tell of" made
interrupted() { # only a run that is stopped leaves a checkpoint; slow machines need longer
  for seconds in 1 4 16; do
    timeout -s TERM $seconds "$dragoman" pretrain --quiet -c recipe -o run.safetensors \
      --set max_updates=100000000
    [ -e run.safetensors.checkpoint ] && return
  done
  return 1
}
check "a checkpoint to tell of" interrupted

helps() { info --help >help && grep -q '^examples:' help; }
check "help" helps
hash=$(info --json base.safetensors | sed 's/.*"hash":"\([0-9a-f]*\)".*/\1/')
check "base" says base.safetensors '^base.safetensors: base$' "^  hash  *$hash\$" \
  '^  parameters  10,432$' '^  storage  *int8, [0-9,]* bytes$' '^  pieces  *300$' \
  '^  languages  *en English, pt Portuguese$' 'd_model 16' 'source_format <src> <tgt> X </s>' \
  'training  *2 updates, the best after [012]; ' 'licence  *CC0-1.0' \
  'data  *pair  *pairs  *left out  *file' 'train  *en-pt  *400  *0  *pairs.tsv' \
  'dev  *en-pt  *40  *0  *dev.tsv' 'measured  *direction  *sentences  *loss  *BLEU  *chrF2$' \
  'en-pt  *4  *[0-9.]*  *[0-9.]*  *[0-9.]*$' 'pt-en  *4' 'settings  *seed 1'
check "adapter" says en-gl.safetensors ': adapter$' 'pair  *English to Galician (en-gl)' \
  "base  *$hash\$" 'adapter .*method bottleneck.* width 4' 'parameters  376$' 'storage  *bf16' 'adds  *gl Galician (into)$' \
  'like  *pt' 'loss before' 'en-gl  *4'
check "adapter and its base" says 'base.safetensors en-gl.safetensors' ': base$' ': adapter$' \
  "parameters  376, 3.60% of its base's\$"
check "checkpoint" says run.safetensors.checkpoint ': checkpoint$' 'parameters  10,432' \
  'update  *[0-9,]*[1-9]' 'trained  *[0-9.]* minutes' 'best update  *[0-9]' \
  'best  *loss [0-9.]*, BLEU [0-9.]*, chrF2 [0-9.]*$' 'd_model 16'
check "tokenizer" says tokenizer.model ': tokenizer$' 'hash  *[0-9a-f]\{32\}$' 'pieces  *300' \
  'languages  *en English, pt Portuguese$'
check "another tokenizer" says "$here/tests/tokenizer/bpe.model" ': tokenizer$' 'pieces'

mkdir models
cp base.safetensors models/known.safetensors
named() { DRAGOMAN_MODELS=models info --json known | grep -q "models/known.safetensors.*$hash"; }
check "by name" named

check "base --json" says '--json base.safetensors' '"kind":"base".*"parameters":10432.*"storage":"int8".*"languages":\[{"code":"en","name":"English"},{"code":"pt","name":"Portuguese"}\].*"file":"pairs.tsv","pairs":400'
check "adapter --json" says '--json base.safetensors en-gl.safetensors' '"kind":"base"' \
  '"kind":"adapter".*"parameters":376.*"source":{"code":"en","name":"English"}.*"adapter":{[^}]*"width":"4"[^}]*}.*"share_of_base":0.0360'
check "checkpoint --json" says '--json run.safetensors.checkpoint' '"kind":"checkpoint".*"state":{.*"update":[1-9]'
check "tokenizer --json" says '--json tokenizer.model' '"kind":"tokenizer".*"pieces":300.*"control_pieces":\["<pad>","<s>","</s>","<2en>","<2pt>"\]'

# A file as another program writes it: no hash, no metadata.
header='{"a.weight":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}'
foreign() { printf "\\$(printf %o ${#header})\\0\\0\\0\\0\\0\\0\\0%s12345678" "$header" >foreign.safetensors; }
foreign
check "foreign file" says foreign.safetensors 'of another program$' 'parameters  2$' 'tensors  *1' 'fp32'

check "no file" refuses 2 'name a file' info
check "missing file" refuses 1 'absent' info ./absent
check "missing name" refuses 2 'absent.*DRAGOMAN_MODELS' info absent
check "a text" refuses 1 'pairs.tsv: neither a base' info pairs.tsv
: >empty
check "empty file" refuses 1 'empty' info empty
for file in base.safetensors en-gl.safetensors run.safetensors.checkpoint; do
  size=$(wc -c <$file)
  head -c $((size - 7)) $file >cut.safetensors
  check "cut $file" refuses 1 'cut.safetensors: ' info cut.safetensors
  head -c 60 $file >cut.safetensors
  check "short $file" refuses 1 'cut.safetensors: ' info cut.safetensors
  { head -c $((size - 9)) $file; printf 'x'; tail -c 8 $file; } >altered.safetensors
  check "altered $file" refuses 1 'altered.safetensors: ' info altered.safetensors
  sed 's/dragoman[.]hash/dragoman.hush/' $file >hushed.safetensors
  check "$file without its hash" refuses 1 'hushed.safetensors: ' info hushed.safetensors
done
head -c 2000 tokenizer.model >cut.model
check "cut tokenizer" refuses 1 'cut.model: ' info cut.model
good_and_bad() {
  info ./absent en-gl.safetensors >out 2>err
  [ $? -eq 1 ] && [ "$(wc -l <err)" -eq 1 ] && grep -q ': adapter$' out
}
check "a bad file among good ones" good_and_bad
echo "1..$n"
