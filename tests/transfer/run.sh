#!/bin/sh
# What adapters add to languages the base never saw: the runs of rows.tsv, each into a
# line of table.tsv. Finished lines are kept, so it resumes; a line that is deleted, or
# whose run is named, is made again.
#   tests/transfer/run.sh                      # all that is missing
#   tests/transfer/run.sh en-gl                # what is missing of these
#   tests/transfer/run.sh -f 'en-gl 2000 lora 1'   # this one, anew
# Words of a name match columns PAIR SIZE METHOD SEED from the left. Settings, with
# their defaults: DRAGOMAN=build/dragoman, BASE=data/models/base.safetensors,
# CORPUS=work/corpus (dragoman data harvest -c configs/harvest.conf), PROSE=work/corpus-prose
# (dragoman data harvest -c configs/harvest-prose.conf; for stacked alone), WORK=work/transfer,
# TABLE=tests/transfer/table.tsv, UPDATES=2000, THREADS (all CPUs). Runs that name
# different pairs may go side by side: with THREADS=1 on two cores they are done sooner.
# Needs GNU time (Debian: time) and jq.
set -eu
cd "$(dirname "$0")/../.."
dragoman=${DRAGOMAN:-build/dragoman} base=${BASE:-data/models/base.safetensors}
corpus=${CORPUS:-work/corpus} prose=${PROSE:-work/corpus-prose} work=${WORK:-work/transfer}
table=${TABLE:-tests/transfer/table.tsv} updates=${UPDATES:-2000}
threads="--threads ${THREADS:-$(nproc)}"
anew=
[ "${1:-}" != -f ] || { anew=1; shift; }
[ -f "$corpus/manifest.tsv" ] || { echo "there is no corpus in $corpus" >&2; exit 1; }
for tool in jq /usr/bin/time; do
  command -v $tool >/dev/null || { echo "$tool is missing" >&2; exit 1; }
done
mkdir -p "$work"
tab=$(printf '\t')
header=$(printf '%s\t' pair relative size method seed pairs test BLEU BLEU_ci chrF chrF_ci \
  parameters minutes peak_MiB base_hash)
[ -f "$table" ] || printf '%s\n' "${header%"$tab"}" >"$table"
base_hash=$($dragoman info --json "$base" | jq -r .hash)

# The text of a language, cut to its purpose. Small samples are part of larger ones.
prepare() { # LANGUAGE SIZE
  for set in dev test; do
    [ -f "$work/$set.$1.tsv" ] || {
      gzip -dc "$corpus/$set.$1.tsv.gz" | cut -f1,2 >"$work/$set.$1.$$"
      mv "$work/$set.$1.$$" "$work/$set.$1.tsv"
    }
  done
  [ "$2" = 0 ] || [ -f "$work/train.$1.$2.tsv" ] ||
    $dragoman data sample --quiet -n "$2" --words 4 -o "$work/train.$1.$2.tsv" "$corpus/train.$1.tsv.gz"
}

# Pairs of one domain: user interfaces (catalogues, language packs) or prose (help, manuals).
domain() { # FILE ui|prose
  gzip -dc "$1" | awk -F'\t' -v want="$2" '
    { ui = $3 ~ /\.(mo|ftl|properties|dtd)$/ }
    (want == "ui") == ui { print $1 "\t" $2 }'
}

# The recipe of a model from nothing: small, as little text wants it (Wu et al. 2021).
scratch_recipe() { # SOURCE TARGET TRAIN DEV PIECES
  cat <<END
train = $1 $2 $3
dev = $1 $2 $4
both_directions = false
vocab_size = $5
d_model = 128
encoder_layers = 4
decoder_layers = 4
heads = 4
ffn_dim = 256
dropout = 0.3
optimizer = muon
learning_rate = 0.004
warmup = 400
batch_tokens = 1024
max_updates = $updates
ema = 0.99
eval_every = 200
eval_sentences = 300
patience = 6
END
}

# Trains (all that its method trains); leaves $out, $minutes, $parameters, $peak and the
# arguments that translate with it in $with.
train() { # SOURCE TARGET RELATIVE SIZE METHOD SEED LANGUAGE REVERSED
  out=$work/$1-$2.$4.$5.$6.safetensors
  peak_file=$out.peak
  text=$work/train.$7.$4.tsv
  case $5 in
    scratch)
      count=$(wc -l <"$text")
      for file in "$text" "$work/dev.$7.tsv"; do # the source in the first column
        if [ "$8" ]; then awk -F'\t' '{ print $2 "\t" $1 }' "$file" >"$file.$1-$2"
        else cp "$file" "$file.$1-$2"; fi
      done
      scratch_recipe "$1" "$2" "$text.$1-$2" "$work/dev.$7.tsv.$1-$2" \
        $((count < 1000 ? 1000 : count < 5000 ? 2000 : 4000)) >"$out.conf"
      set -- pretrain -c "$out.conf" -o "$out" --set seed="$6"
      with="-b $out -a none -s $source -t $target"
      ;;
    *)
      # All weights of the base learn at a rate that does not destroy what they know.
      how=
      with="-b $base -a $out -s $1 -t $2"
      if [ "$5" = full ]; then
        how='--learning-rate 0.0005'
        with="-b $out -a none -s $1 -t $2"
      fi
      set -- train -b "$base" -s $1 -t $2 --like "$3" $how ${8:+--reversed} --method "$5" \
        --seed "$6" --max-updates "$updates" --train "$text" --dev "$work/dev.$7.tsv" -o "$out"
      ;;
  esac
  [ -f "$out" ] && [ ! -f "$out.checkpoint" ] && [ -f "$peak_file" ] ||
    /usr/bin/time -f %M -o "$peak_file" "$dragoman" "$@" $threads --quiet
  rm -f "$out.checkpoint" # finished: only a longer run would want it
  describe
}

describe() {
  peak=$(($(tail -n 1 "$peak_file") / 1024))
  minutes=$($dragoman info --json "$out" | jq -r '.card.minutes | . * 10 | round / 10')
  parameters=$($dragoman info --json "$out" | jq -r .card.trained_parameters)
}

# BLEU, its interval, chrF, its interval of a translation of the test set.
score() { # OUTPUT REFERENCE
  $dragoman eval --confidence --format json -w 2 -r "$2" "$1" |
    jq -r '[.[] | .score, (.confidence_var | . * 100 | round / 100)] | @tsv'
}

translate() { # OUTPUT-NAME SOURCE-FILE ARGUMENTS...
  output=$work/$1.out source_file=$2
  shift 2
  $dragoman translate --quiet $threads "$@" -o "$output" "$source_file"
}

run_row() { # PAIR RELATIVE SIZE METHOD SEED
  source=${1%%-*} target=${1#*-} relative=$2 size=$3 method=$4 seed=$5
  language=$target reversed='' column=1
  [ "$target" != en ] || { language=$source reversed=1 column=2; }
  prepare "$language" "$size"
  name=$1.$size.$method.$seed pairs=0
  [ "$size" = 0 ] || pairs=$(wc -l <"$work/train.$language.$size.tsv")
  cut -f$column "$work/test.$language.tsv" >"$work/$name.source"
  cut -f$((3 - column)) "$work/test.$language.tsv" >"$work/$name.reference"
  case $method in
    base)
      minutes=0 parameters=0 peak=0
      if [ "$reversed" ]; then
        translate "$name" "$work/$name.source" -b "$base" -a none -s "$relative" -t en
      else
        translate "$name" "$work/$name.source" -b "$base" -a none -s en -t "$relative"
      fi
      ;;
    stacked) stacked_row; return ;;
    *)
      train "$source" "$target" "$relative" "$size" "$method" "$seed" "$language" "$reversed"
      translate "$name" "$work/$name.source" $with
      ;;
  esac
  write_row "$method"
  [ "$method" != full ] || forgotten "$out" "$name"
}

# A language adapter that has seen user interfaces alone, a domain adapter from the
# relative's prose, and both together, on prose.
# The corpus's own test sets have none: this one is from help of which no training, of
# whatever language, saw a page or a sentence.
stacked_row() {
  [ -f "$prose/manifest.tsv" ] || { echo "there is no prose in $prose" >&2; exit 1; }
  for of in "$language ui" "$relative prose"; do
    text=$work/train.${of% *}.${of#* }
    [ -f "$text.tsv" ] || {
      domain "$corpus/train.${of% *}.tsv.gz" "${of#* }" >"$text.$$"
      mv "$text.$$" "$text.tsv"
    }
  done
  text=$work/test.$language.prose
  [ -f "$text.tsv" ] || {
    set --
    for file in "$corpus"/train.*.tsv.gz; do set -- "$@" --without "$file"; done
    $dragoman data clean --quiet -s en -t "$language" "$@" -o "$text.all.tsv" \
      "$prose/train.$language.tsv.gz"
    $dragoman data sample --quiet -n 1000 --words 4 -o "$text.tsv" "$text.all.tsv"
  }
  language_adapter=$work/$source-$target.$size.ui.safetensors
  domain_adapter=$work/$source-$relative.$size.prose.safetensors
  adapt "$language_adapter" "$target" "$language" ui --like "$relative"
  adapt "$domain_adapter" "$relative" "$relative" prose
  cut -f1 "$work/test.$language.prose.tsv" >"$work/$name.source"
  cut -f2 "$work/test.$language.prose.tsv" >"$work/$name.reference"
  out=$language_adapter peak_file=$language_adapter.peak
  describe
  pairs=$size
  translate "$name" "$work/$name.source" -b "$base" -a "$language_adapter" -s "$source" -t "$target"
  write_row stacked:language
  translate "$name" "$work/$name.source" -b "$base" -a "$language_adapter" -a "$domain_adapter" \
    -s "$source" -t "$target"
  write_row stacked
}

# Documents of dev have one domain: dev pairs are set apart from the text.
adapt() { # FILE TARGET LANGUAGE DOMAIN [--like CODE]
  file=$1 to=$2 text=$work/train.$3.$4.$size.tsv
  [ -f "$text" ] ||
    $dragoman data sample --quiet -n "$size" --words 4 -o "$text" "$work/train.$3.$4.tsv"
  shift 4
  [ -f "$file" ] || /usr/bin/time -f %M -o "$file.peak" "$dragoman" train --quiet $threads -b "$base" \
    -s "$source" -t "$to" "$@" --seed "$seed" --max-updates "$updates" --train "$text" -o "$file"
  rm -f "$file.checkpoint"
}

# Lines of the table are replaced whole, so a run that is cut off leaves none.
write_row() { # METHOD
  scores=$(score "$work/$name.out" "$work/$name.reference") # here its failure ends the run
  line=$(printf '%s\t' "$source-$target" "$relative" "$size" "$1" "$seed" "$pairs" \
    "$(wc -l <"$work/$name.reference")" "$scores" "$parameters" "$minutes" "$peak" "$base_hash")
  put "$table" "$source-$target$tab$relative$tab$size$tab$1$tab$seed$tab" "${line%"$tab"}"
  printf '%s\n' "${line%"$tab"}"
}

# One at a time: two runs would lose each other's lines.
put() { # TABLE KEY LINE
  {
    flock 9
    { grep -vF "$2" "$1" || :; printf '%s\n' "$3"; } >"$1.tmp"
    mv "$1.tmp" "$1"
  } 9>"$work/lock"
}

# What a fully trained copy of the base still knows of the base's own languages. An
# adapter leaves the base as it is, byte for byte.
forgotten() { # MODEL NAME
  kept=$(dirname "$table")/forgetting.tsv
  [ -f "$kept" ] || printf 'model\tpair\tBLEU\tBLEU_ci\tchrF\tchrF_ci\tbase_hash\n' >"$kept"
  for other in es fr de pl ru tr; do
    $dragoman info --json "$base" | jq -e --arg c $other 'any(.languages[]; .code == $c)' \
      >/dev/null || continue
    prepare $other 0
    for way in "en $other 1" "$other en 2"; do
      set -- "$1" "$2" $way
      run=$2.$3-$4
      cut -f"$5" "$work/test.$other.tsv" | head -n 300 >"$work/$run.source"
      cut -f$((3 - $5)) "$work/test.$other.tsv" | head -n 300 >"$work/$run.reference"
      for model in "$base base" "$1 $2"; do
        key="${model##* }$tab$3-$4$tab"
        grep -F "$key" "$kept" | grep -qF "$base_hash" && [ "${model##* }" = base ] && continue
        translate "$run" "$work/$run.source" -b "${model% *}" -a none -s "$3" -t "$4"
        scores=$(score "$work/$run.out" "$work/$run.reference")
        put "$kept" "$key" "$key$scores$tab$base_hash"
      done
    done
  done
}

wanted() { # NAME PATTERN...
  name_of=$1
  shift
  [ $# -gt 0 ] || return 0
  for pattern; do
    case "$name_of " in "$pattern "*) return 0 ;; esac
  done
  return 1
}

grep -v '^#' tests/transfer/rows.tsv >"$work/rows.$$"
while IFS=$tab read -r pair relative size method seed <&3; do
  wanted "$pair $size $method $seed" "$@" || continue
  if [ ! "$anew" ] && grep -F "$pair$tab$relative$tab$size$tab$method$tab$seed$tab" "$table" |
    grep -qF "$base_hash"; then continue; fi
  [ ! "$anew" ] || rm -f "$work/$pair.$size.$method.$seed.safetensors"*
  run_row "$pair" "$relative" "$size" "$method" "$seed"
done 3<"$work/rows.$$"
rm -f "$work/rows.$$"
