#!/bin/sh
# Makes what ships in data/models from nothing: corpus, base, adapters. The corpus is that of
# data/manifest.tsv, byte for byte (data/corpus.sha256); without these two it is made of what Debian
# has now, and they go with the base. Every step resumes; a finished one is not repeated unless its
# output is removed. Adapters of another base are made again. Needs jq.
#   configs/make-models.sh [PROGRAM]
set -eu
cd "$(dirname "$0")/.."
dragoman=${1:-build/dragoman} base=data/models/base.safetensors
mkdir -p work/base work/adapters data/models

# A package that cannot be had ends it here.
harvest() {
  [ ! -f work/corpus/manifest.tsv ] || return 0
  set -- -c configs/harvest.conf -o work/corpus --cache work/debs
  [ ! -f data/manifest.tsv ] || set -- "$@" --manifest data/manifest.tsv
  "$dragoman" data harvest "$@"
}

check_corpus() {
  sums=$PWD/data/corpus.sha256
  [ ! -f "$sums" ] || (cd work/corpus && sha256sum --check --quiet "$sums") || {
    echo "$0: work/corpus is not the text of data/manifest.tsv: remove it, or, to make other models" \
      "of it, data/manifest.tsv, data/corpus.sha256 and data/models" >&2
    exit 1
  }
}

# What ships is whole or not there.
ship() { # FILE AS
  cp "$1" "$2.tmp"
  mv "$2.tmp" "$2"
}

[ -f $base ] || {
  harvest
  check_corpus
  "$dragoman" pretrain -c configs/base.conf -o work/base/base.safetensors
  (cd work/corpus && sha256sum -- *.gz) >work/base/corpus.sha256
  ship work/base/corpus.sha256 data/corpus.sha256
  ship work/corpus/manifest.tsv data/manifest.tsv
  ship work/base/base.safetensors $base
}
# In two steps, for jq 1.6 takes no input at all for a success.
card=$("$dragoman" info --json $base)
base_hash=$(printf '%s\n' "$card" | jq -er .hash)

# adapter SOURCE TARGET LANGUAGE RELATIVE FLAGS: 5,000 pairs of four words or more.
adapter() {
  shipped=data/models/$1-$2.safetensors
  if [ -f "$shipped" ]; then
    card=$("$dragoman" info --json "$shipped")
    its_base=$(printf '%s\n' "$card" | jq -er .base_hash)
    [ "$its_base" != "$base_hash" ] || return 0
  fi
  harvest
  check_corpus
  made=work/adapters/$1-$2.$base_hash.safetensors
  "$dragoman" data sample -n 5000 --words 4 -o "work/adapters/train.$3.tsv" "work/corpus/train.$3.tsv.gz"
  "$dragoman" train -b $base -s "$1" -t "$2" --like "$4" $5 --train "work/adapters/train.$3.tsv" \
    --dev "work/corpus/dev.$3.tsv.gz" --test "work/corpus/test.$3.tsv.gz" -o "$made"
  ship "$made" "$shipped"
}
adapter en gl gl pt ''
adapter gl en gl pt --reversed
adapter en an an es ''
