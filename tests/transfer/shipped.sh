#!/bin/sh
# Measures what ships in data/models on the dev and test sets of the corpus
# (configs/make-models.sh) and prints a table: tests/transfer/shipped.tsv.
#   tests/transfer/shipped.sh [PROGRAM] >tests/transfer/shipped.tsv      needs jq
set -eu
cd "$(dirname "$0")/../.."
dragoman=${1:-build/dragoman}
models=data/models
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM

# measure PAIR SYSTEM SET SOURCE-COLUMN TAGS...: one row of the table.
measure() {
  pair=$1 system=$2 corpus=$3 column=$4
  shift 4
  gzip -dc "work/corpus/$corpus.tsv.gz" | cut -f"$column" >"$scratch/source"
  gzip -dc "work/corpus/$corpus.tsv.gz" | cut -f$((3 - column)) >"$scratch/reference"
  "$dragoman" translate -b $models/base.safetensors --quiet "$@" "$scratch/source" >"$scratch/output"
  "$dragoman" eval --quiet -w 2 -r "$scratch/reference" "$scratch/output" |
    awk -v row="$pair\t$system\t${corpus%%.*}\t$(wc -l <"$scratch/source")" '
      { score[NR] = $1 } END { print row "\t" score[1] "\t" score[2] }'
}

printf 'pair\tsystem\tset\tsentences\tBLEU\tchrF\n'
for language in $("$dragoman" info --json $models/base.safetensors |
  jq -r '.languages[].code | select(. != "en")'); do
  for set in dev test; do
    measure "en-$language" base $set.$language 1 -a none -s en -t $language
    measure "$language-en" base $set.$language 2 -a none -s $language -t en
  done
done
for set in dev test; do
  measure en-gl "base as es" $set.gl 1 -a none -s en -t es
  measure en-gl "base as pt" $set.gl 1 -a none -s en -t pt
  measure en-gl adapter $set.gl 1 -a $models/en-gl.safetensors
  measure gl-en "base as es" $set.gl 2 -a none -s es -t en
  measure gl-en "base as pt" $set.gl 2 -a none -s pt -t en
  measure gl-en adapter $set.gl 2 -a $models/gl-en.safetensors
  measure en-an "base as es" $set.an 1 -a none -s en -t es
  measure en-an adapter $set.an 1 -a $models/en-an.safetensors
done
