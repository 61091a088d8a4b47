#!/bin/sh
# The Multi30k task from scratch: trains configs/multi30k.conf (it resumes),
# translates test_2016_flickr and fails below 36 BLEU. Far too long for `make check`.
#   tests/multi30k.sh [PROGRAM]        the text is looked for in $MULTI30K (../shared/data/multi30k)
set -eu
cd "$(dirname "$0")/.."
dragoman=${1:-build/dragoman}
data=${MULTI30K:-../shared/data/multi30k}
least=36
[ -f "$data"/train.en.gz ] || { echo "skipped: there is no $data"; exit 0; }
mkdir -p work/multi30k
base=work/multi30k/base.safetensors
sed "s|\.\./shared/data/multi30k|$data|g" configs/multi30k.conf >work/multi30k/recipe.conf
$dragoman pretrain -c work/multi30k/recipe.conf -o $base
gzip -dc "$data"/test_2016_flickr.de.gz >work/multi30k/reference
begun=$(date +%s)
$dragoman translate -b $base -a none -s en -t de --beam 5 --quiet "$data"/test_2016_flickr.en.gz \
  -o work/multi30k/hypothesis
echo "translated $(wc -l <work/multi30k/reference) sentences in $(($(date +%s) - begun)) s"
$dragoman eval -w 2 -r work/multi30k/reference work/multi30k/hypothesis
bleu=$($dragoman eval -m bleu -w 4 --quiet -r work/multi30k/reference work/multi30k/hypothesis)
awk -v bleu="$bleu" -v least=$least 'BEGIN { exit !(bleu >= least) }' ||
  { echo "BLEU $bleu is below $least"; exit 1; }
