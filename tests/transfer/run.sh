#!/bin/sh
# What adapters add to languages the base never saw: the runs of rows.tsv, each into a
# line of table.tsv, what full training forgets into forgetting.tsv, and what adapters
# gain over others into paired.tsv. Finished lines are kept, so it resumes; a line that is
# deleted, that another base or budget made, or whose run is named after -f, is made again.
#   tests/transfer/run.sh                      # all that is missing
#   tests/transfer/run.sh en-gl                # what is missing of these
#   tests/transfer/run.sh -f 'en-gl 2000 lora 1'   # this one, anew
# Words of a name match columns PAIR SIZE METHOD SEED from the left. Settings, with
# their defaults: DRAGOMAN=build/dragoman, BASE=data/models/base.safetensors,
# CORPUS=work/corpus (dragoman data harvest -c configs/harvest.conf), PROSE=work/corpus-prose
# (dragoman data harvest -c configs/harvest-prose.conf; for stacked alone), WORK=work/transfer,
# TABLE=tests/transfer/table.tsv (the others stand beside it), UPDATES=2000 (twice as many for
# samples of more than 2,000 pairs), FULL_RATE=0.0005 (the learning rate of method full),
# THREADS (all CPUs). A run that fails does not stop the others; in the end it says which did.
# Several run.sh may go side by side: with THREADS=1 on two cores two are done sooner than one.
# Needs GNU time (Debian: time) and jq.
set -eu
cd "$(dirname "$0")/../.."
. tests/transfer/keep.sh
dragoman=${DRAGOMAN:-build/dragoman} base=${BASE:-data/models/base.safetensors}
corpus=${CORPUS:-work/corpus} prose=${PROSE:-work/corpus-prose} work=${WORK:-work/transfer}
table=${TABLE:-tests/transfer/table.tsv} updates=${UPDATES:-2000} full_rate=${FULL_RATE:-0.0005}
threads=${THREADS:-$(nproc)}
paired=$(dirname "$table")/paired.tsv kept=$(dirname "$table")/forgetting.tsv
tab=$(printf '\t')
anew=
[ "${1:-}" != -f ] || { anew=1; shift; }
die() { echo "$0: $*" >&2; exit 1; }

# --- text -------------------------------------------------------------------------------------
# Pairs of one domain: user interfaces (catalogues, language packs) or prose (help, manuals).
domain() { # FILE ui|prose
  gzip -t "$1" && gzip -dc "$1" | awk -F'\t' -v want="$2" '
    { ui = $3 ~ /\.(mo|ftl|properties|dtd)$/ }
    (want == "ui") == ui { print $1 "\t" $2 }'
}

# So many lines, evenly: tests stand in the order of their documents.
spread() { # LINES FILE
  awk -v want="$1" 'NR == FNR { lines = NR; next }
    int(FNR * want / lines) > int((FNR - 1) * want / lines)' "$2" "$2"
}

swapped() { awk -F'\t' '{ print $2 "\t" $1 }' "$1"; }

sides() { # NAME: its columns, each a file
  once "$work/$1.1" cut -f1 "$work/$1.tsv"
  once "$work/$1.2" cut -f2 "$work/$1.tsv"
}

held_out() { # LANGUAGE
  for set in dev test; do once "$work/$set.$1.tsv" pairs_of "$corpus/$set.$1.tsv.gz"; done
  sides "test.$1"
}

# The corpus's own test sets have no prose: this is from help of which no training, of
# whatever language, saw a page or a sentence.
held_out_prose() { # LANGUAGE
  [ -f "$prose/manifest.tsv" ] || die "there is no prose in $prose"
  [ -f "$work/prose.$1.tsv" ] || {
    set -- "$1"
    for file in "$corpus"/train.*.tsv.gz; do set -- "$@" --without "$file"; done
    language_of=$1
    shift
    "$dragoman" data clean --quiet -s en -t "$language_of" "$@" -o "$work/prose.$language_of.all.tsv" \
      "$prose/train.$language_of.tsv.gz"
    set -- "$language_of"
    sample 1000 "$work/prose.$1.all.tsv" "$work/prose.$1.tsv"
  }
  sides "prose.$1"
}

# --- training ---------------------------------------------------------------------------------
budget() { # SIZE
  if [ "$1" -eq 0 ]; then echo 0
  elif [ "$1" -gt 2000 ]; then echo $((2 * updates)); else echo "$updates"; fi
}

# Files of a run are called by all that they depend on: what is made from nothing stays for other
# bases, and is translated with again.
name_of() { # SIZE METHOD SEED
  of_base=.$short_hash
  case $2 in
    full) set -- "$1" "$2.$full_rate" "$3" ;;
    scratch) of_base='' ;;
  esac
  echo "$pair.$1.$2.$3.$relative.$(budget "$1")$of_base"
}

# Trains what is not trained yet, from its checkpoint if there is one. What it took is written
# beside the model at the end: a model without that was cut off.
fit() { # MODEL COMMAND ARGUMENTS...
  model=$1
  shift
  if [ ! -s "$model.took" ] || [ ! -f "$model" ]; then
    /usr/bin/time -f "%M $threads" -o "$model.time" \
      "$dragoman" "$@" --threads "$threads" --quiet -o "$model"
    mv "$model.time" "$model.took"
  fi
  rm -f "$model.checkpoint" # finished: only a longer run would want it
}

# The recipe of a model from nothing: small, as little text wants it (Wu et al. 2021).
scratch_recipe() { # TRAIN DEV
  count=$(wc -l <"$1")
  cat <<END
train = $source $target $1
both_directions = false
vocab_size = $((count < 1000 ? 1000 : count < 5000 ? 2000 : 4000))
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
max_updates = $(budget "$size")
ema = 0.99
eval_every = 200
eval_sentences = 300
patience = 6
END
  [ ! -s "$2" ] || echo "dev = $source $target $2"
}

train_scratch() { # MODEL TRAIN DEV
  if [ "$reversed" ]; then # the source in the first column
    once "$2.reversed" swapped "$2"
    once "$3.reversed" swapped "$3"
    set -- "$1" "$2.reversed" "$3.reversed"
  fi
  scratch_recipe "$2" "$3" >"$1.conf"
  fit "$1" pretrain -c "$1.conf" --set seed="$seed"
}

# Where the corpus has no dev text, train sets some apart.
train_on_base() { # MODEL TRAIN DEV TARGET [SETTING...]
  model=$1 text=$2 dev=$3 to=$4
  shift 4
  [ ! -s "$dev" ] || set -- --dev "$dev" "$@"
  fit "$model" train -b "$base" -s "$source" -t "$to" --seed "$seed" \
    --max-updates "$(budget "$size")" --train "$text" "$@"
}

# What models took, together.
measure() { # MODEL...
  cards=$("$dragoman" info --json "$@")
  took=$(printf '%s\n' "$cards" | jq -rs 'map(.card) | [(map(.trained_parameters) | add),
    (map(.minutes) | add * 10 | round / 10), (map(.settings.learning_rate) | unique | join(","))] | @tsv')
  parameters=$(echo "$took" | cut -f1) minutes=$(echo "$took" | cut -f2) rate=$(echo "$took" | cut -f3)
  for model; do cat "$model.took"; done >"$work/took.$$"
  peak=$(awk '$1 > most { most = $1 } END { print int(most / 1024) }' "$work/took.$$")
  on=$(awk '$2 > most { most = $2 } END { print most }' "$work/took.$$")
  rm "$work/took.$$"
}

# --- tables -----------------------------------------------------------------------------------
# awk that knows the run at hand, and which lines the present settings made.
awk_of_run() { # PROGRAM FILE...
  program=$1
  shift
  awk -F'\t' -v pair="$pair" -v relative="$relative" -v size="$size" -v method="$method" \
    -v seed="$seed" -v hash="$base_hash" -v updates="$updates" -v full_rate="$full_rate" '
    function same() {
      return $1 == pair && $2 == relative && $3 == size && $5 == seed &&
        ($4 == method || method == "stacked" && $4 ~ /^stacked:/)
    }
    function current() {
      return $18 == hash && ($4 == "base" || $4 == "copy" || $15 == ($3 > 2000 ? 2 : 1) * updates) &&
        ($4 != "full" || $16 == full_rate)
    }
    '"$program" "$@"
}

# The table is replaced whole, so that a run that is cut off leaves none of half a line, and
# under a lock, so that of two side by side neither loses the other's.
edit() { # TABLE CONDITION-OF-LINES-THAT-GO [LINE]
  {
    flock 9
    awk_of_run "!($2)" "$1" >"$1.tmp"
    [ $# -lt 3 ] || printf '%s\n' "$3" >>"$1.tmp"
    mv "$1.tmp" "$1"
  } 9<"$(dirname "$1")"
}

# BLEU, its interval, chrF, its interval; of a BLEU of 0 there is none.
score() { # OUTPUT REFERENCE
  scores=$("$dragoman" eval --confidence --format json -w 2 -r "$2" "$1")
  scores=$(printf '%s\n' "$scores" | jq -er '[.[] | .score, ((.confidence_var // 0) * 100 | round / 100)] |
    if length == 4 then @tsv else error("scores are missing") end')
}

write_row() { # METHOD OUTPUT REFERENCE
  score "$2" "$3"
  line=$(printf '%s\t' "$pair" "$relative" "$size" "$1" "$seed" "$pairs" "$(wc -l <"$3")" "$scores" \
    "$parameters" "$minutes" "$peak" "$spent" "$rate" "$on")$base_hash
  edit "$table" "\$4 == \"$1\" && same()" "$line"
  printf '%s\n' "$line"
}

# Comparisons of the run at hand whose other row is there too, but not they themselves: of
# adapters with what they are to beat, of LoRA with bottlenecks, of two adapters with what they
# gain as one or with more of the first domain.
missing_comparisons() {
  awk_of_run '
    FILENAME == ARGV[1] { done[$1, $2, $3, $4, $5, $6] = 1; next }
    $1 == pair && $2 == relative && current() { there[$3, $4, $5]; if ($4 == "base") base_seed = $5 }
    function mine(s, m, r) { return s == size && m == method && r == seed }
    function against(s, m, r, other, its_size, its_seed) {
      if ((its_size, other, its_seed) in there && !((pair, relative, s, m, r, other) in done) &&
        (mine(s, m, r) || mine(its_size, other, its_seed)))
        print s "\t" m "\t" r "\t" other "\t" its_size "\t" its_seed
    }
    END {
      for (k in there) {
        split(k, row, SUBSEP)
        if (row[2] ~ /^((lora-)?base-pieces|bottleneck|lora)$/) {
          against(row[1], row[2], row[3], "base", 0, base_seed)
          against(row[1], row[2], row[3], "scratch", row[1], row[3])
          against(row[1], row[2], row[3], "full", row[1], row[3])
        }
        if (row[2] == "lora") against(row[1], row[2], row[3], "bottleneck", row[1], row[3])
        if (row[2] == "stacked") {
          against(row[1], row[2], row[3], "stacked:language", row[1], row[3])
          against(row[1], row[2], row[3], "stacked:control", row[1], row[3])
        }
      }
    }' "$paired" "$table"
}

compare() {
  missing=$(missing_comparisons)
  [ "$missing" ] || return 0
  lost=0
  while IFS=$tab read -r s m r other its_size its_seed; do
    ours=$work/$(name_of "$s" "$m" "$r").out theirs=$work/$(name_of "$its_size" "$other" "$its_seed").out
    if [ ! -f "$ours" ] || [ ! -f "$theirs" ]; then
      [ -f "$ours" ] && gone="$its_size $other $its_seed" || gone="$s $m $r"
      echo "$pair $s $m $r is not compared with $other: its translation is gone, make it again with" \
        "-f '$pair $gone'" >&2
      lost=1
      continue
    fi
    reference_of "$m"
    scores=$("$dragoman" eval --quiet --paired-ar --format json -r "$reference" "$theirs" "$ours")
    # Without a difference there is nothing to explain; sacreBLEU's p is the smallest then.
    scores=$(printf '%s\n' "$scores" | jq -er '. as [$theirs, $ours] |
      [("BLEU", "chrF2") as $m | ($ours[$m].score - $theirs[$m].score) as $gain |
        ($gain * 1000 | round / 1000 + 0), if $gain == 0 then 1 else $ours[$m].p_value * 10000 | round / 10000 end] |
      if length == 4 then @tsv else error("scores are missing") end')
    key=$(printf '%s\t' "$pair" "$relative" "$s" "$m" "$r" "$other")
    edit "$paired" "index(\$0, \"$key\") == 1" "$key$(wc -l <"$reference")$tab$scores$tab$base_hash"
  done <<END
$missing
END
  return $lost
}

# What a fully trained copy of the base still knows of the base's own languages. An
# adapter leaves the base as it is, byte for byte.
forgotten() { # MODEL NAME
  trained_hash=$(facts "$1" .hash)
  for other in es fr de pl ru tr; do
    printf '%s\n' "$languages" | grep -qx "$other" || continue
    held_out "$other"
    for side in 1 2; do once "$work/spread.$other.$side" spread 300 "$work/test.$other.$side"; done
    knows "$base" base "$base_hash" en "$other" 1 2
    knows "$base" base "$base_hash" "$other" en 2 1
    knows "$1" "$2" "$trained_hash" en "$other" 1 2
    knows "$1" "$2" "$trained_hash" "$other" en 2 1
  done
}

knows() { # MODEL NAME HASH SOURCE TARGET SOURCE-SIDE TARGET-SIDE
  key=$2$tab$4-$5$tab
  awk_of_run "index(\$0, \"$key\") == 1 && \$7 == \"$3\" { there = 1 } END { exit !there }" "$kept" && return 0
  translate "$work/$3.$4-$5.out" "$work/spread.$other.$6" -b "$1" -a none -s "$4" -t "$5"
  score "$work/$3.$4-$5.out" "$work/spread.$other.$7"
  edit "$kept" "index(\$0, \"$key\") == 1" "$key$scores$tab$3$tab$base_hash"
}

# --- runs -------------------------------------------------------------------------------------
translate() { # OUTPUT FILE ARGUMENTS...
  output=$1 source_file=$2
  shift 2
  "$dragoman" translate --quiet --threads "$threads" "$@" -o "$output" "$source_file"
}

reference_of() { # METHOD
  case $1 in
    stacked*) held_out_prose "$language"; reference=$work/prose.$language.2 ;;
    *) held_out "$language"; reference=$work/test.$language.$((3 - column)) ;;
  esac
}

untrained() { pairs=0 parameters=0 minutes=0 peak=0 spent=0 rate=0 on=0; }

# What names, tags and numbers alone score, which are the same in both languages.
run_copy() {
  untrained
  cp "$work/test.$language.$column" "$work/$name.out"
  write_row copy "$work/$name.out" "$reference"
}

run_base() {
  untrained
  if [ "$reversed" ]; then set -- -s "$relative" -t en; else set -- -s en -t "$relative"; fi
  translate "$work/$name.out" "$work/test.$language.$column" -b "$base" -a none "$@"
  write_row base "$work/$name.out" "$reference"
}

run_trained() {
  out=$work/$name.safetensors text=$work/train.$language.$size.tsv dev=$work/dev.$language.tsv
  sample "$size" "$corpus/train.$language.tsv.gz" "$text"
  pairs=$(wc -l <"$text") spent=$(budget "$size")
  if [ "$method" = scratch ]; then
    train_scratch "$out" "$text" "$dev"
  else
    set -- "$out" "$text" "$dev" "$target" --like "$relative"
    case $method in
      # All weights of the base learn at a rate that does not destroy what they know.
      full) set -- "$@" --method full --learning-rate "$full_rate" ;;
      # As many weights as bottlenecks have with pieces of the language's own.
      base-pieces) set -- "$@" --method bottleneck --new-pieces 0 --width 240 --embeddings 300 ;;
      lora-base-pieces) set -- "$@" --method lora --new-pieces 0 ;;
      *) set -- "$@" --method "$method" ;;
    esac
    [ ! "$reversed" ] || set -- "$@" --reversed
    train_on_base "$@"
  fi
  measure "$out"
  case $method in
    scratch | full) set -- -b "$out" -a none ;;
    *) set -- -b "$base" -a "$out" ;;
  esac
  translate "$work/$name.out" "$work/test.$language.$column" "$@" -s "$source" -t "$target"
  [ "$method" != full ] || forgotten "$out" "$pair.$size.$method.$seed"
  write_row "$method" "$work/$name.out" "$reference"
}

# A language adapter that has seen user interfaces alone, and on top of it a domain adapter
# that has seen prose, both on prose; and, for control, on top of it as much more of user
# interfaces. (An adapter of the relative's prose, which the base has read, adds nothing.)
# Documents of dev have one domain: dev pairs are set apart from the text.
run_stacked() {
  language_adapter=$work/$name.ui.safetensors spent=$(budget "$size")
  began=$work/train.$language.ui.$size.tsv all=$work/train.$language.ui.$((2 * size)).tsv
  for of in ui prose; do
    once "$work/train.$language.$of.tsv" domain "$corpus/train.$language.tsv.gz" "$of"
    sample "$size" "$work/train.$language.$of.tsv" "$work/train.$language.$of.$size.tsv"
  done
  sample $((2 * size)) "$work/train.$language.ui.tsv" "$all"
  once "$work/train.$language.more.$size.tsv" awk 'NR == FNR { had[$0] = 1; next } !($0 in had)' "$began" "$all"
  train_on_base "$language_adapter" "$began" /dev/null "$target" --like "$relative" --method bottleneck
  measure "$language_adapter"
  pairs=$(wc -l <"$began")
  output=$work/$(name_of "$size" stacked:language "$seed").out
  translate "$output" "$work/prose.$language.1" -b "$base" -a "$language_adapter" -s "$source" -t "$target"
  write_row stacked:language "$output" "$reference"
  [ ! -s "$work/train.$language.more.$size.tsv" ] || run_on_top stacked:control more
  run_on_top stacked prose
}

run_on_top() { # METHOD TEXT
  domain_adapter=$work/$name.$2.safetensors learned=$work/train.$language.$2.$size.tsv
  train_on_base "$domain_adapter" "$learned" /dev/null "$target" -a "$language_adapter"
  measure "$language_adapter" "$domain_adapter"
  pairs=$(cat "$began" "$learned" | wc -l)
  output=$work/$(name_of "$size" "$1" "$seed").out
  translate "$output" "$work/prose.$language.1" -b "$base" -a "$language_adapter" \
    -a "$domain_adapter" -s "$source" -t "$target"
  write_row "$1" "$output" "$reference"
}

run() {
  source=${pair%%-*} target=${pair#*-} name=$(name_of "$size" "$method" "$seed")
  language=$target reversed='' column=1
  [ "$target" != en ] || { language=$source reversed=1 column=2; }
  # What is cut off may leave a trainer behind, which holds the lock to its end.
  exec 8>"$work/locks/$name"
  flock -n 8 || { echo "another run.sh is at $pair $size $method $seed: waiting" >&2; flock 8; }
  if [ "$anew" ] || ! awk_of_run '$4 == method && same() && current() { there = 1 } END { exit !there }' "$table"; then
    edit "$table" 'same()'
    edit "$paired" 'same() || $6 == method && $1 == pair && $2 == relative &&
      (method == "base" || $3 == size && $5 == seed)'
    [ ! "$anew" ] || rm -f "$work/$name".*
    reference_of "$method"
    case $method in
      copy) run_copy ;;
      base) run_base ;;
      stacked) run_stacked ;;
      *) run_trained ;;
    esac
  fi
  compare
}

wanted() { # NAME PATTERN...
  name_of_run=$1
  shift
  [ $# -gt 0 ] || return 0
  for pattern; do
    case "$name_of_run " in "$pattern "*) return 0 ;; esac
  done
  return 1
}

start_table() { # FILE COLUMN...
  file=$1
  shift
  header=$(printf '%s\t' "$@") header=${header%"$tab"}
  [ -f "$file" ] || printf '%s\n' "$header" >"$file"
  [ "$(head -n 1 "$file")" = "$header" ] || die "$file has other columns: move it away"
}

[ -f "$corpus/manifest.tsv" ] || die "there is no corpus in $corpus"
for tool in jq flock /usr/bin/time; do
  command -v "$tool" >/dev/null || die "$tool is missing (Debian packages jq, util-linux, time)"
done
base_hash=$(facts "$base" .hash) || die "$base cannot be read"
languages=$(facts "$base" '.languages[].code')
short_hash=$(echo "$base_hash" | cut -c1-8)
mkdir -p "$work/locks"
once "$work/manifest.tsv" cat "$corpus/manifest.tsv"
cmp -s "$work/manifest.tsv" "$corpus/manifest.tsv" || die "$work was made of another corpus: choose another WORK"
start_table "$table" pair relative size method seed pairs test BLEU BLEU_ci chrF chrF_ci \
  parameters minutes peak_MiB max_updates rate threads base_hash
start_table "$paired" pair relative size method seed against test BLEU_difference BLEU_p \
  chrF_difference chrF_p base_hash
start_table "$kept" model pair BLEU BLEU_ci chrF chrF_ci hash base_hash

any=''
while IFS=$tab read -r pair relative size method seed <&3; do
  case $pair in '' | '#'*) continue ;; esac
  wanted "$pair $size $method $seed" "$@" || continue
  any=1
  try "$pair $size $method $seed" run
done 3<tests/transfer/rows.tsv
[ "$any" ] || die "tests/transfer/rows.tsv has no such run: $*"
chart=$(dirname "$table")/table.svg
if tests/transfer/chart.sh "$table" >"$chart.$$"; then mv "$chart.$$" "$chart"; else rm "$chart.$$"; fi
tell_failed
