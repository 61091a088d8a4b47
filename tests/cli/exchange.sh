# dragoman merge, export, import --adapter: adapters averaged, and in other projects' layouts.
. tests/tap.sh
here=$PWD
cd "$TMPDIR" || exit 1

weights() {
  length=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
  tail -c +$((length + 9)) "$1"
}
same_weights() { weights "$1" >a.bytes && weights "$2" >b.bytes && [ -s a.bytes ] && cmp a.bytes b.bytes; }
for i in $(seq 40); do printf 'one %d two\tun %d dous\n' "$i" $((i * 37)); done >pairs.tsv
check "a base" "$dragoman" import "$here/tests/import/base/m2m100" -o base.safetensors --quiet
train() {
  "$dragoman" train -b base.safetensors -s en -t gl --train pairs.tsv --dev pairs.tsv --quiet --keep-problems \
    --storage fp32 --max_updates 2 --eval_every 2 --eval_sentences 0 --warmup 1 --threads 1 "$@"
}
check "LoRA" train --method lora --rank 3 --projections q,fc2 -o lora.safetensors
check "LoRA of another seed" train --method lora --rank 3 --projections q,fc2 --seed 2 -o lora2.safetensors
check "bottlenecks" train --width 4 --placement sublayer -o hub.safetensors

begun() { # what is not said again is as in the adapter it begins from
  train --init lora.safetensors --max_updates 1 --learning_rate 0 -o begun.safetensors 2>/dev/null
  "$dragoman" info begun.safetensors | grep -q 'method lora, .*rank 3' && same_weights lora.safetensors begun.safetensors
}
check "begun from LoRA" begun
check "begun from another rank" refuses 2 'lora_a.*3 x' train --init lora.safetensors --rank 5 -o no

for f in base.safetensors lora.safetensors; do
  check "a mean in place of $f" refuses 2 "$f is read" "$dragoman" merge -b base.safetensors lora.safetensors \
    lora2.safetensors -o $f
done
merged() {
  "$dragoman" merge -b base.safetensors lora.safetensors lora2.safetensors --storage fp32 -o mean.safetensors &&
    "$dragoman" merge -b base.safetensors lora2.safetensors lora.safetensors --storage fp32 -o mean2.safetensors &&
    "$dragoman" merge -b base.safetensors lora.safetensors lora2.safetensors -w 1 0 --storage fp32 \
      -o first.safetensors && same_weights first.safetensors lora.safetensors &&
    same_weights mean.safetensors mean2.safetensors && ! same_weights mean.safetensors lora.safetensors >/dev/null &&
    "$dragoman" translate -b base.safetensors -a mean.safetensors --quiet pairs.tsv >/dev/null
}
check "merge" merged
named() { DRAGOMAN_MODELS=. refuses 2 'is read' "$dragoman" merge -b base lora lora2 -o ./lora.safetensors; }
check "a mean in place of a named one" named
for f in base.safetensors lora.safetensors pairs.tsv; do
  check "a translation in place of $f" refuses 2 "$f is read" "$dragoman" translate -b base.safetensors \
    -a lora.safetensors -o $f pairs.tsv
done
merge() { "$dragoman" merge -b base.safetensors "$@"; }
check "merge: other kinds have no mean" refuses 2 'method' merge lora.safetensors hub.safetensors -o no
check "merge: as many weights as adapters" refuses 2 '1 weights for 2' merge lora.safetensors lora2.safetensors -w 1 -o no
check "merge: weights of nothing" refuses 2 'nothing' merge lora.safetensors lora2.safetensors -o no -w 0 0
check "merge: any weight may be negative" merge lora.safetensors lora2.safetensors -w 2 -1 -o negative.safetensors
check "merge: one is not enough" refuses 2 'two' merge lora.safetensors -o no

back() { # FORMAT ADAPTER: out and in again
  "$dragoman" export -b base.safetensors -a "$2" --format "$1" -o "out.$1" && [ -f "out.$1/adapter_config.json" ] &&
    "$dragoman" import --adapter "out.$1" -b base.safetensors -s en -t gl -o "$1.safetensors" --quiet &&
    same_weights "$2" "$1.safetensors"
}
check "PEFT, and back" back peft lora.safetensors
check "AdapterHub, and back" back adapterhub hub.safetensors
told() { grep -q '"model.encoder.layers.0.self_attn.q_proj"' out.peft/adapter_config.json; }
check "its modules are named" told
check "export over a directory" refuses 2 'exists' "$dragoman" export -b base.safetensors -a lora.safetensors --format peft -o out.peft
check "export of the wrong kind" refuses 1 'bottleneck' "$dragoman" export -b base.safetensors -a hub.safetensors --format peft -o no
check "export to nowhere" refuses 1 'nosuch' "$dragoman" export -b base.safetensors -a lora.safetensors --format peft -o nosuch/dir
left() { [ -z "$(ls -d no* 2>/dev/null)" ]; }
check "nothing is left of what failed" left
check "import: which languages" refuses 2 '-s and -t' "$dragoman" import --adapter out.peft -b base.safetensors -o no
check "import: no such language" refuses 2 'xx' "$dragoman" import --adapter out.peft -b base.safetensors -s en -t xx -o no
cut_short() {
  cp -r out.peft cut && head -c 600 out.peft/adapter_model.safetensors >cut/adapter_model.safetensors
  refuses 1 'cut' "$dragoman" import --adapter cut -b base.safetensors -s en -t gl -o no
}
check "import: damaged" cut_short
echo "1..$n"
