#!/bin/sh
# Makes what ships in data/models from nothing: corpus, base, adapters. Every step
# resumes; a finished one is not repeated unless its output is removed.
#   configs/make-models.sh [PROGRAM]
set -eu
cd "$(dirname "$0")/.."
dragoman=${1:-build/dragoman}
mkdir -p work/base work/adapters data/models

[ -f work/corpus/manifest.tsv ] ||
  $dragoman data harvest -c configs/harvest.conf -o work/corpus --cache work/debs
cp work/corpus/manifest.tsv data/manifest.tsv

[ -f data/models/base.safetensors ] || {
  $dragoman pretrain -c configs/base.conf -o work/base/base.safetensors
  cp work/base/base.safetensors data/models/
}

# adapter SOURCE TARGET LANGUAGE RELATIVE FLAGS: 5,000 pairs of four words or more.
adapter() {
  [ -f "data/models/$1-$2.safetensors" ] && return
  $dragoman data sample -n 5000 --words 4 -o "work/adapters/train.$3.tsv" "work/corpus/train.$3.tsv.gz"
  $dragoman train -b data/models/base.safetensors -s "$1" -t "$2" --like "$4" $5 \
    --train "work/adapters/train.$3.tsv" --dev "work/corpus/dev.$3.tsv.gz" \
    -o "work/adapters/$1-$2.safetensors"
  cp "work/adapters/$1-$2.safetensors" data/models/
}
adapter en gl gl pt ''
adapter gl en gl pt --reversed
adapter en an an es ''
