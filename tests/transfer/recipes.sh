#!/bin/sh
# What the defaults of `train` rest on: short runs that differ in one setting, each a line of
# recipes.tsv. Finished lines are kept, so it resumes; a run that fails does not stop the others.
#   tests/transfer/recipes.sh                 # all that is missing
#   tests/transfer/recipes.sh 'en-gl 500'     # what is missing of these
# Settings, with their defaults: DRAGOMAN=build/dragoman, BASE=data/models/base.safetensors,
# CORPUS=work/corpus (dragoman data harvest -c configs/harvest.conf), WORK=work/recipes,
# TABLE=tests/transfer/recipes.tsv, RUN= (a command that runs each, such as nice). Runs of one
# size see the same sentences as often, R-Drop half as often, for it takes twice the time. A run
# called `default` has updates of 1,024 tokens, a rate of 0.005 and bottlenecks of width 64 after
# every layer. Needs jq.
set -eu
cd "$(dirname "$0")/../.."
. tests/transfer/keep.sh
dragoman=${DRAGOMAN:-build/dragoman} base=${BASE:-data/models/base.safetensors}
corpus=${CORPUS:-work/corpus} work=${WORK:-work/recipes}
table=${TABLE:-tests/transfer/recipes.tsv}
export OPENBLAS_NUM_THREADS=1
mkdir -p "$work"
tab=$(printf '\t')
base_hash=$(facts "$base" .hash) || { echo "$0: $base cannot be read" >&2; exit 1; }
[ -f "$table" ] ||
  printf 'pair\tsize\trun\tdev_loss\tBLEU\tchrF\tat_update\tof\tminutes\tsettings\tbase_hash\n' >"$table"

short_pairs() { gzip -t "$1" && gzip -dc "$1" | awk -F'\t' 'split($1, words, " ") <= 20'; }

# Pairs of 4 to 20 words, the same for every run.
prepare() { # LANGUAGE SIZE
  once "$work/dev.$1.tsv" pairs_of "$corpus/dev.$1.tsv.gz"
  once "$work/short.$1.tsv" short_pairs "$corpus/train.$1.tsv.gz"
  sample "$2" "$work/short.$1.tsv" "$work/train.$1.$2.tsv"
}

train() { # [SETTING...]
  source=${pair%%-*} target=${pair#*-} batch=1024 option=
  case $target in en) language=$source reversed=--reversed ;; *) language=$target reversed= ;; esac
  prepare "$language" "$size"
  for word; do
    [ "$option" != --batch-tokens ] || batch=$word
    option=$word
  done
  case "$*" in *--rdrop*) tokens=$((tokens / 2)) ;; esac
  updates=$((tokens / batch)) out=$work/$pair.$size.$name.$(echo "$base_hash" | cut -c1-8)
  ${RUN:-} "$dragoman" train --quiet -b "$base" -s "$source" -t "$target" --like "$relative" $reversed \
    --train "$work/train.$language.$size.tsv" --dev "$work/dev.$language.tsv" --threads 1 --seed 1 \
    --max-updates $updates --warmup $((updates / 8)) --eval-every $(((updates + 3) / 4)) \
    --eval-sentences 200 --average-best 1 --patience 0 --metric loss \
    --batch-tokens 1024 --learning-rate 0.005 \
    --placement layer --encoder-layers all --width 64 --embeddings 0 \
    --log "$out.tsv" -o "$out.safetensors" "$@"
  best=$(awk -F'\t' '
    NR > 1 && $8 != "" {
      last = $1; minutes = $3
      if (!best || $8 < best) { best = $8; scores = $8 "\t" $9 "\t" $10 "\t" $1 }
    }
    END {
      if (!best) { print FILENAME " has no scores" >"/dev/stderr"; exit 1 }
      print scores "\t" last "\t" minutes
    }' "$out.tsv")
  printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$pair" "$size" "$name" "$best" "$*" "$base_hash" >>"$table"
  rm -f "$out.safetensors.checkpoint"
}

run() { # PAIR RELATIVE SIZE TOKENS RUN [SETTING...]
  pair=$1 relative=$2 size=$3 tokens=$4 name=$5
  shift 5
  case "$pair $size $name" in "$wanted"*) ;; *) return 0 ;; esac
  awk -F'\t' -v run="$pair$tab$size$tab$name$tab" -v hash="$base_hash" '
    index($0, run) == 1 && $NF == hash { there = 1 } END { exit !there }' "$table" && return 0
  try "$pair $size $name" train "$@"
}

wanted=${1:-}
# What vocabulary of its own does for a language that the base cuts to bits. With it the same
# sentences are fewer tokens: batches are as much smaller.
run en-hsb de 500 100000 default
run en-hsb de 500 60000 pieces --new-pieces 500 --batch-tokens 614
run en-gl pt 500 100000 default
run en-gl pt 500 100000 often --batch-tokens 384
run en-gl pt 500 100000 fast --learning-rate 0.015
run en-hsb de 5000 100000 default
run en-hsb de 5000 60000 pieces --new-pieces 1000 --batch-tokens 614
run en-gl pt 5000 100000 default
run en-gl pt 5000 100000 often --batch-tokens 384
run en-gl pt 500 100000 slow --learning-rate 0.0015
run en-gl pt 500 100000 noisy --dropout 0.3 --adapter-dropout 0.3
run en-gl pt 500 100000 rdrop --rdrop 1
run en-gl pt 5000 100000 wide --width 128
run en-gl pt 5000 100000 word-dropout --word-dropout 0.1
run en-gl pt 500 100000 often-fast --batch-tokens 384 --learning-rate 0.015
run en-gl pt 5000 100000 fast --learning-rate 0.015
run en-gl pt 5000 100000 often-fast --batch-tokens 384 --learning-rate 0.015
run en-gl pt 5000 100000 often-wide --batch-tokens 384 --width 128
run en-gl pt 50000 200000 often --batch-tokens 384
run en-gl pt 50000 200000 default
run en-gl pt 50000 200000 often-wide --batch-tokens 384 --width 128
run en-hsb de 5000 200000 often --batch-tokens 384
run en-hsb de 5000 120000 often-pieces --new-pieces 1000 --batch-tokens 230
run en-gl pt 500 100000 oftener-fast --batch-tokens 192 --learning-rate 0.015
run en-gl pt 5000 100000 oftener-fast --batch-tokens 192 --learning-rate 0.015
run en-gl pt 5000 100000 often-faster --batch-tokens 384 --learning-rate 0.03
run en-gl pt 5000 100000 often-fast-wide --batch-tokens 384 --learning-rate 0.015 --width 128
run en-gl pt 500 100000 often-fast-clean --batch-tokens 384 --learning-rate 0.015 --dropout 0 --adapter-dropout 0
run en-gl pt 5000 100000 often-fast-clean --batch-tokens 384 --learning-rate 0.015 --dropout 0 --adapter-dropout 0
run en-gl pt 50000 200000 often-fast --batch-tokens 384 --learning-rate 0.015
run en-hsb de 500 60000 often-fast-pieces --new-pieces 500 --batch-tokens 230 --learning-rate 0.015
run en-hsb de 500 100000 often-fast --batch-tokens 384 --learning-rate 0.015
run en-hsb de 5000 200000 often-fast --batch-tokens 384 --learning-rate 0.015
run en-hsb de 5000 120000 often-fast-pieces --new-pieces 1000 --batch-tokens 230 --learning-rate 0.015
run en-gl pt 5000 100000 often-lora --batch-tokens 384 --method lora
run en-gl pt 5000 100000 often-fast-lora --batch-tokens 384 --method lora --learning-rate 0.015
run en-gl pt 50000 200000 often-fast-wide --batch-tokens 384 --learning-rate 0.015 --width 128
# The rate of all weights, in the budget of the table (run.sh): its default there.
for rate in 0.0002 0.0005 0.001 0.002; do
  for of in 'en-gl pt' 'en-hsb cs' 'af-en nl' 'fy-en nl'; do
    run $of 2000 768000 full-$rate --method full --learning-rate $rate --batch-tokens 384 --warmup 100 --eval-every 100
  done
done
# Where 3% of the weights belong, in the table's budget.
belong() { # PAIR RELATIVE SIZE TOKENS RUN [SETTING...]
  it="$1 $2 $3 $4 $5"
  shift 5
  run $it --batch-tokens 384 --warmup 100 --eval-every 200 --eval-sentences 300 --learning-rate 0.015 --placement parallel "$@"
}
for of in 'en-gl pt 20000 1536000' 'en-hsb cs 20000 1536000' 'en-gl pt 2000 768000' 'en-hsb cs 2000 768000'; do
  belong $of rows --encoder-layers none --width 64 --new-pieces 500 --embeddings 500
  belong $of half --encoder-layers none --width 128 --new-pieces 350 --embeddings 350
  belong $of wide --encoder-layers none --width 240 --new-pieces 300 --embeddings 0
  belong $of both --encoder-layers all --width 40 --new-pieces 300 --embeddings 300
  belong $of both-rows --encoder-layers all --width 20 --new-pieces 450 --embeddings 450
  belong $of lora-16 --method lora --learning-rate 0.005 --rank 16 --new-pieces 500 --embeddings 500
  belong $of lora-4 --method lora --learning-rate 0.005 --rank 4 --alpha 8 --new-pieces 300 --embeddings 300
done
# Rates, in the table's budget.
for of in 'en-gl pt 2000 768000' 'en-hsb cs 2000 768000'; do
  for rate in 0.0075 0.015 0.03; do
    belong $of rows-$rate --encoder-layers none --width 64 --new-pieces 500 --embeddings 500 --learning-rate $rate
  done
  for rate in 0.0025 0.005 0.01; do
    belong $of lora-16-$rate --method lora --rank 16 --new-pieces 500 --embeddings 500 --learning-rate $rate
  done
done
tell_failed
