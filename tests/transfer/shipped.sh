#!/bin/sh
# Measures what ships in data/models on the dev and test sets of the corpus
# (configs/make-models.sh) and prints a table: tests/transfer/shipped.tsv. Intervals are sacreBLEU's
# of 95%; `lost` counts translations that have other placeholders or tags than the source; the hash
# is of the adapter, or of the base where there is none.
#   tests/transfer/shipped.sh [PROGRAM] >shipped.new && mv shipped.new tests/transfer/shipped.tsv
# Needs jq. CORPUS (work/corpus) is where the corpus is; with BASE=FILE, another base, it alone
# is measured: shipped-fp32.tsv is of the same weights stored in fp32 (pretrain --set storage=fp32).
set -eu
cd "$(dirname "$0")/../.."
. tests/transfer/keep.sh
dragoman=${1:-build/dragoman}
models=data/models corpus=${CORPUS:-work/corpus}
base=${BASE:-$models/base.safetensors}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM

# measure PAIR SYSTEM SET SOURCE-COLUMN TAGS...: one row of the table.
measure() {
  pair=$1 system=$2 set=$3 column=$4
  shift 4
  gzip -dc "$corpus/$set.tsv.gz" >"$scratch/pairs"
  cut -f"$column" "$scratch/pairs" >"$scratch/source"
  cut -f$((3 - column)) "$scratch/pairs" >"$scratch/reference"
  "$dragoman" translate -b "$base" --quiet "$@" "$scratch/source" >"$scratch/output"
  "$dragoman" eval --json --confidence -w 2 --failures --source-text "$scratch/source" -r "$scratch/reference" "$scratch/output" \
    >"$scratch/scores"
  scores=$(jq -er '[(.scores[] | .score, (.confidence_var * 100 | round / 100)), .details[0].placeholders] |
    if length == 5 then @tsv else error("scores are missing") end' "$scratch/scores")
  case $system in
    adapter) hash=$(facts "$models/$pair.safetensors" .hash) ;;
    *) hash=$base_hash ;;
  esac
  printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$pair" "$system" "${set%%.*}" "$(wc -l <"$scratch/source")" "$scores" "$hash"
}

printf 'pair\tsystem\tset\tsentences\tBLEU\tBLEU_ci\tchrF\tchrF_ci\tlost\thash\n'
base_hash=$(facts "$base" .hash)
languages=$(facts "$base" '.languages[].code | select(. != "en")')
for language in $languages; do
  for part in dev test; do
    measure "en-$language" base "$part.$language" 1 -a none -s en -t "$language"
    measure "$language-en" base "$part.$language" 2 -a none -s "$language" -t en
  done
done
[ -z "${BASE:-}" ] || exit 0
for part in dev test; do
  measure en-gl "base as es" $part.gl 1 -a none -s en -t es
  measure en-gl "base as pt" $part.gl 1 -a none -s en -t pt
  measure en-gl adapter $part.gl 1 -a $models/en-gl.safetensors
  measure gl-en "base as es" $part.gl 2 -a none -s es -t en
  measure gl-en "base as pt" $part.gl 2 -a none -s pt -t en
  measure gl-en adapter $part.gl 2 -a $models/gl-en.safetensors
  measure en-an "base as es" $part.an 1 -a none -s en -t es
  measure en-an adapter $part.an 1 -a $models/en-an.safetensors
done
