#!/bin/sh
# Why some languages gain less than others: of the words of the test sets the share that stands in
# the 2,000 pairs trained on, that stands in the base's own text in the relative, and in either;
# and how long a pair is. Of the runs that run.sh has made text for: coverage.tsv.
#   tests/transfer/coverage.sh >coverage.new && mv coverage.new tests/transfer/coverage.tsv
# CORPUS and WORK as for run.sh.
set -eu
cd "$(dirname "$0")/../.."
corpus=${CORPUS:-work/corpus} work=${WORK:-work/transfer}
export LC_ALL=C.UTF-8
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM
tab=$(printf '\t')

words() { grep -oP '[\p{L}\p{M}]+' | sed 's/.*/\L&/'; }

printf 'pair\trelative\ttest words\tin the pairs\tin the relative\tin either\twords a pair\n'
awk -F'\t' '$3 == 2000 && $4 == "bottleneck" && $5 == 1 && $1 ~ /^en-/' tests/transfer/rows.tsv |
  while IFS=$tab read -r pair relative size _; do
    language=${pair#en-}
    [ -f "$work/train.$language.$size.tsv" ] && [ -f "$work/test.$language.2" ] || continue
    cut -f2 "$work/train.$language.$size.tsv" | words >"$scratch/pairs"
    gzip -dc "$corpus/train.$relative.tsv.gz" | cut -f2 | words | sort -u >"$scratch/relative"
    words <"$work/test.$language.2" >"$scratch/test"
    pairs=$(wc -l <"$work/train.$language.$size.tsv")
    awk -v pair="$pair" -v relative="$relative" -v pairs="$pairs" '
      FILENAME == ARGV[1] { trained[$0]; words++; next }
      FILENAME == ARGV[2] { known[$0]; next }
      { n++; t = $0 in trained; k = $0 in known; a += t; b += k; c += t || k }
      END {
        printf "%s\t%s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\n", pair, relative, n, 100 * a / n, 100 * b / n, 100 * c / n,
          words / pairs
      }' "$scratch/pairs" "$scratch/relative" "$scratch/test"
  done
