#!/bin/sh
# What the defaults of `train` rest on: a fractional factorial of its settings (Plackett &
# Burman 1946: eight runs, each of seven settings at each level four times) and single
# variations, each run a line of recipes.tsv. Finished lines are kept, so it resumes.
#   tests/transfer/recipes.sh                 # all that is missing
#   tests/transfer/recipes.sh 'en-gl 500'     # what is missing of these
# Settings, with their defaults: DRAGOMAN=build/dragoman, BASE=data/models/base.safetensors,
# CORPUS=work/corpus (dragoman data harvest -c configs/harvest.conf), WORK=work/recipes,
# TABLE=tests/transfer/recipes.tsv. Runs of one size see the same number of target tokens,
# R-Drop half as many, for it takes twice the time. Needs jq.
set -eu
cd "$(dirname "$0")/../.."
dragoman=${DRAGOMAN:-build/dragoman} base=${BASE:-data/models/base.safetensors}
corpus=${CORPUS:-work/corpus} work=${WORK:-work/recipes}
table=${TABLE:-tests/transfer/recipes.tsv}
export OPENBLAS_NUM_THREADS=1
mkdir -p "$work"
tab=$(printf '\t')
[ -f "$table" ] ||
  printf 'pair\tsize\trun\tdev_loss\tBLEU\tchrF\tat_update\tof\tminutes\tsettings\n' >"$table"

# Pairs of 4 to 20 words, the same for every run; small samples are part of larger ones.
prepare() { # LANGUAGE SIZE
  [ -f "$work/dev.$1.tsv" ] || gzip -dc "$corpus/dev.$1.tsv.gz" | cut -f1,2 >"$work/dev.$1.tsv"
  [ -f "$work/short.$1.tsv" ] ||
    gzip -dc "$corpus/train.$1.tsv.gz" | awk -F'\t' 'split($1, words, " ") <= 20' >"$work/short.$1.tsv"
  [ -f "$work/train.$1.$2.tsv" ] ||
    "$dragoman" data sample --quiet -n "$2" --words 4 -o "$work/train.$1.$2.tsv" "$work/short.$1.tsv"
}

run() { # PAIR RELATIVE SIZE TOKENS RUN [SETTING...]
  pair=$1 relative=$2 size=$3 tokens=$4 name=$5
  shift 5
  case "$pair $size $name" in "$wanted"*) ;; *) return 0 ;; esac
  grep -q "^$pair$tab$size$tab$name$tab" "$table" && return
  language=${pair#en-} batch=1024 option=
  prepare "$language" "$size"
  for word; do
    [ "$option" != --batch-tokens ] || batch=$word
    option=$word
  done
  case "$*" in *--rdrop*) tokens=$((tokens / 2)) ;; esac
  updates=$((tokens / batch)) out=$work/$pair.$size.$name
  "$dragoman" train --quiet -b "$base" -s en -t "$language" --like "$relative" \
    --train "$work/train.$language.$size.tsv" --dev "$work/dev.$language.tsv" --threads 1 --seed 1 \
    --max-updates $updates --warmup $((updates / 8)) --eval-every $(((updates + 3) / 4)) \
    --eval-sentences 200 --average-best 1 --patience 0 --metric loss \
    --log "$out.tsv" -o "$out.safetensors" "$@"
  best=$(awk -F'\t' '
    NR > 1 && $8 != "" {
      last = $1; minutes = $3
      if (!best || $8 < best) { best = $8; scores = $8 "\t" $9 "\t" $10 "\t" $1 }
    }
    END { print scores "\t" last "\t" minutes }' "$out.tsv")
  printf '%s\t%s\t%s\t%s\t%s\n' "$pair" "$size" "$name" "$best" "$*" >>"$table"
  rm -f "$out.safetensors.checkpoint"
}

# Row i of the design has the high level of setting j where its generator, turned i times, has +.
factorial() { # PAIR RELATIVE SIZE TOKENS
  for i in 0 1 2 3 4 5 6 7; do
    set -- "$1" "$2" "$3" "$4" run$i
    j=0
    for setting in learning-rate:0.003:0.01 width:32:128 dropout:0.1:0.3 word-dropout:0:0.1 \
      subword-alpha:0:1 label-smoothing:0:0.1 batch-tokens:512:1536; do
      level=0
      if [ $i -lt 7 ]; then
        case $(((j - i + 7) % 7)) in 0 | 1 | 2 | 4) level=1 ;; esac
      fi
      levels=${setting#*:}
      value=${levels%:*}
      [ $level = 0 ] || value=${levels#*:}
      set -- "$@" "--${setting%%:*}" "$value"
      [ "${setting%%:*}" != dropout ] || set -- "$@" --adapter-dropout "$value"
      j=$((j + 1))
    done
    run "$@"
  done
}

wanted=${1:-}
run en-gl pt 500 160000 default
factorial en-gl pt 500 160000
run en-gl pt 500 160000 rdrop --rdrop 1
run en-gl pt 5000 240000 default
run en-gl pt 5000 240000 slow --learning-rate 0.002
run en-gl pt 5000 240000 wide --width 128
run en-gl pt 50000 400000 default
run en-gl pt 50000 400000 wide --width 128
