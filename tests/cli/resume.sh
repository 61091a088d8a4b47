# Runs of dragoman train that are killed and started again end as if nothing had happened,
# whatever is trained and however.
. tests/tap.sh
. tests/numbers.sh
cd "$TMPDIR" || exit 1
pairs 1 300 "$galician" >all.tsv
head -n 220 all.tsv >train.tsv
tail -n +221 all.tsv | head -n 20 >dev.tsv
tail -n 60 all.tsv | cut -f2 >mono.gl
cat >tiny.conf <<END
train = en es train.tsv
$tiny_shape
batch_tokens = 256
max_updates = 5
precision = fp32
END
"$dragoman" pretrain -c tiny.conf --quiet --threads 1 -o base.safetensors || exit 1
weights() { # of a safetensors file: what follows its header
  length=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
  tail -c +$((length + 9)) "$1"
}
launch=
train() { # launch=exec: in place of the subshell, so that a kill reaches it
  $launch "$dragoman" train -b base.safetensors -s en -t gl --like es --train train.tsv --dev dev.tsv --quiet \
    --threads 2 --width 8 --rank 4 --max_updates 24 --eval_every 8 --eval_sentences 0 --learning_rate 0.01 \
    --batch_tokens 256 --precision fp32 --storage fp32 --checkpoint_minutes 0 "$@"
}
resumes() {
  rm -f whole.* killed.*
  train "$@" -o whole.safetensors || return 1
  for try in 1 2 3 4 5; do # some updates made, and not all: a run that has ended has no checkpoint
    rm -f killed.*
    launch=exec train "$@" --json -o killed.safetensors >log 2>/dev/null &
    pid=$!
    for i in $(seq 2000); do [ "$(grep -c '"update"' log)" -ge 2 ] && break; sleep 0.01; done
    kill -9 $pid
    wait $pid 2>/dev/null
    [ -f killed.safetensors.checkpoint ] && break
  done
  [ -f killed.safetensors.checkpoint ] || { echo "it was always over already"; return 1; }
  train "$@" -o killed.safetensors && weights whole.safetensors >a.bytes &&
    weights killed.safetensors >b.bytes && [ -s a.bytes ] && cmp a.bytes b.bytes
}
for method in lora ia3 norms+tag full; do
  check "$method" resumes --method $method
done
check "sampled segmentations, hidden words, averages" resumes --subword-alpha 0.5 --word-dropout 0.1 \
  --average-best 3 --ema 0.9
check "16-bit products" resumes --precision bf16
check "R-Drop" resumes --rdrop 1
check "back-translations" resumes --mono mono.gl
check "both directions" resumes --bidirectional
echo "1..$n"
