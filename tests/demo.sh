#!/bin/sh
# `make demo`: a sample document through the base and the adapter that ship, then
# the scores of a held-out set. tests/demo.sh PROGRAM
set -eu
dragoman=$1
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM
DRAGOMAN_MODELS=data/models
export DRAGOMAN_MODELS

echo "English to Galician: a language the base has never seen, by an adapter of 5,000 sentences"
echo
"$dragoman" translate -t gl --quiet data/demo/sample.en.txt >"$scratch/sample"
paste -d '\n' data/demo/sample.en.txt "$scratch/sample" | awk 'NR % 2 { print "  en  " $0; next } { print "  gl  " $0; print "" }'

cut -f1 data/demo/en-gl.tsv >"$scratch/en"
cut -f2 data/demo/en-gl.tsv >"$scratch/gl"
echo "$(wc -l <"$scratch/en") held-out sentences from messages of free software (data/demo/en-gl.tsv):"
"$dragoman" translate -t es -a none --quiet "$scratch/en" >"$scratch/base"
"$dragoman" translate -t gl --quiet "$scratch/en" >"$scratch/adapter"
for system in base adapter; do
  printf '  %-8s' $system
  "$dragoman" eval --quiet -w 2 -r "$scratch/gl" "$scratch/$system" | awk '{ printf "  %s %s", NR == 1 ? "BLEU" : "chrF", $1 } END { print "" }'
done
echo
echo "base: the untouched base, asked for the relative, Spanish. Try your own:"
echo "  echo 'The file was not found.' | $dragoman translate -t gl"
