# dragoman tokenizer: train, encode, decode from the command line.
. tests/tap.sh
models=tests/tokenizer
tok() { "$dragoman" tokenizer "$@"; }
from() { input=$1; shift; printf '%s\n' "$input" | tok "$@"; }

for part in "" train encode decode; do
  helps() { tok $part --help >"$TMPDIR/help" && grep -q '^examples:' "$TMPDIR/help"; }
  check "help $part" helps
done

check "encode prints pieces" prints '▁ t ab ▁ h ere' from 'tab here' encode -m $models/unigram.model
check "encode --ids" prints '264 274' from 'a' encode -m $models/unigram.model --ids
json='{"text":"é","tokens":[{"id":264,"piece":"▁","begin":0,"end":0},{"id":379,"piece":"é","begin":0,"end":2}]}'
check "encode --json" prints "$json" from 'é' encode -m $models/unigram.model --json
check "decode pieces" prints 'tab here' from '▁ t ab <2gl> ▁ h ere </s>' decode -m $models/unigram.model
check "decode --ids" prints 'a' from '2 4 264 274 3' decode -m $models/unigram.model --ids
check "decode --json" prints '{"text":"a"}' from '264 274' decode -m $models/unigram.model --ids --json

round_trip() { # OPTION: the other lines of the file are those with spaces or marks to lose
  grep -v -e '  ' -e '▁' -e '^ ' -e ' $' $models/sentences.txt >"$TMPDIR/text"
  tok encode -m $models/bpe.model $1 "$TMPDIR/text" | tok decode -m $models/bpe.model ${2-$1} >"$TMPDIR/back"
  cmp "$TMPDIR/text" "$TMPDIR/back"
}
check "round trip by pieces" round_trip
check "round trip by ids" round_trip --ids
check "round trip of samples" round_trip '--sample 0.3' ''

sampling() {
  tok encode -m $models/unigram.model --sample 0.2 $models/sentences.txt >"$TMPDIR/a" &&
    tok encode -m $models/unigram.model --sample 0.2 --seed 1 $models/sentences.txt >"$TMPDIR/b" &&
    tok encode -m $models/unigram.model --sample 0.2 --seed 2 $models/sentences.txt >"$TMPDIR/c" &&
    tok encode -m $models/unigram.model --sample 0.2 --nbest 4 $models/sentences.txt >"$TMPDIR/d" &&
    cmp "$TMPDIR/a" "$TMPDIR/b" && ! cmp -s "$TMPDIR/a" "$TMPDIR/c" && ! cmp -s "$TMPDIR/a" "$TMPDIR/d"
}
check "samples follow the seed" sampling

train() { tok train -v 500 --coverage 0.98 "$@"; }
to_standard_output() { # what is said beside the model is not in it
  train --json -o - "$TMPDIR/plain" >"$TMPDIR/out.model" 2>"$TMPDIR/err" && grep -q '"pieces": 500' "$TMPDIR/err" &&
    echo a | tok encode -m "$TMPDIR/out.model" >/dev/null
}
grep -a '^[ -~—]*$' $models/sentences.txt >"$TMPDIR/plain"
check "a model to standard output" to_standard_output
awk '{ print $1 " " $2 "\t" $0 "\tlicence" NR }' "$TMPDIR/plain" >"$TMPDIR/pairs.tsv"
cut -f 1,2 "$TMPDIR/pairs.tsv" | tr '\t' '\n' >"$TMPDIR/both"
gzip -k "$TMPDIR/pairs.tsv"
columns() {
  train -o "$TMPDIR/both.model" --quiet "$TMPDIR/both" &&
    train -o "$TMPDIR/tsv.model" --quiet "$TMPDIR/pairs.tsv.gz" &&
    train -o "$TMPDIR/columns.model" --quiet --column 1 --column 2 - <"$TMPDIR/pairs.tsv" &&
    train -o "$TMPDIR/second.model" --quiet --column 2 "$TMPDIR/pairs.tsv" &&
    train -o "$TMPDIR/plain.model" --quiet "$TMPDIR/plain" &&
    cmp "$TMPDIR/both.model" "$TMPDIR/tsv.model" && cmp "$TMPDIR/both.model" "$TMPDIR/columns.model" &&
    cmp "$TMPDIR/second.model" "$TMPDIR/plain.model" &&
    ! cmp -s "$TMPDIR/both.model" "$TMPDIR/plain.model"
}
check "train on columns" columns

tags() {
  train -o "$TMPDIR/t.model" --type bpe --tags '<2gl>' '<2pt-BR>' --symbols %s , -- "$TMPDIR/plain" &&
    prints '%s,' from '4 5 6 7' decode -m "$TMPDIR/t.model" --ids &&
    prints '' from '<2gl> <2pt-BR>' decode -m "$TMPDIR/t.model" &&
    from '%s,' encode -m "$TMPDIR/t.model" --ids | grep -q ' 6 7$'
}
check "tags and symbols" tags
report='{"type": "unigram", "pieces": 500, "sentences": '$(wc -l <"$TMPDIR/plain")'}'
check "train --json" prints "$report" train -o "$TMPDIR/j.model" --json "$TMPDIR/plain"

check "no output" refuses 2 '-o' tok train -v 500 "$TMPDIR/plain"
check "no size" refuses 2 'vocab-size' tok train -o "$TMPDIR/x" "$TMPDIR/plain"
check "unknown type" refuses 2 'unigram' tok train -v 500 --type word -o "$TMPDIR/x" "$TMPDIR/plain"
check "bad column" refuses 2 'column' train --column x -o "$TMPDIR/x" "$TMPDIR/pairs.tsv"
check "missing column" refuses 1 'pairs.tsv: line 1: there is no column 4' train --column 1 --column 4 -o "$TMPDIR/x" "$TMPDIR/pairs.tsv"
check "no text" refuses 2 'no text' train -o "$TMPDIR/x" /dev/null
check "vocabulary too large" refuses 2 'at most' tok train -v 100000 -o "$TMPDIR/x" "$TMPDIR/plain"
check "missing corpus" refuses 1 'absent' train -o "$TMPDIR/x" "$TMPDIR/absent"
printf 'good\nbad \377\n' >"$TMPDIR/latin1"
check "corpus not UTF-8" refuses 1 'latin1: line 2' train -o "$TMPDIR/x" "$TMPDIR/latin1"
check "nothing written on failure" [ ! -e "$TMPDIR/x" ]
check "no model" refuses 2 '-m' tok encode
check "missing model" refuses 1 'absent' tok encode -m "$TMPDIR/absent"
check "not a model" refuses 1 'sentences.txt' tok decode -m $models/sentences.txt
head -c 900 $models/tiny.model >"$TMPDIR/cut.model"
check "cut model" refuses 1 'cut' tok encode -m "$TMPDIR/cut.model"
check "not a base" refuses 1 'fake.safetensors' sh -c "cp $models/tiny.model $TMPDIR/fake.safetensors; $dragoman tokenizer encode -m $TMPDIR/fake.safetensors"
check "ids and pieces" refuses 2 'choose' tok encode -m $models/tiny.model --ids --pieces
check "nbest alone" refuses 2 'sample' tok encode -m $models/tiny.model --nbest 3
printf '5 6\n5 9999\n' >"$TMPDIR/ids"
check "unknown id" refuses 1 'ids: line 2: "9999"' sh -c "$dragoman tokenizer decode -m $models/bpe.model --ids $TMPDIR/ids >/dev/null"
printf 'nonesuch\n' >"$TMPDIR/words"
check "unknown piece" refuses 1 'words: line 1: "nonesuch"' tok decode -m $models/bpe.model "$TMPDIR/words"
check "dropout out of range" refuses 2 '0..1' tok encode -m $models/bpe.model --sample 2 "$TMPDIR/words"
unknown_part() {
  tok nonesuch 2>"$TMPDIR/err"
  [ $? -eq 2 ] && grep -q 'nonesuch' "$TMPDIR/err" && grep -q '^usage:' "$TMPDIR/err"
}
check "unknown part" unknown_part
cp "$TMPDIR/plain" "$TMPDIR/taken"
check "a model in place of its text" refuses 2 'taken is read' \
  "$dragoman" tokenizer train -v 60 -o "$TMPDIR/taken" "$TMPDIR/taken"
check "an unknown normalisation" refuses 2 'choose nmt_nfkc' tok train -v 500 --normalization nfd -o "$TMPDIR/x" "$TMPDIR/plain"
{ sed -n 1,40p "$TMPDIR/plain"; printf 'caf\351\n'; cat "$TMPDIR/plain"; } >"$TMPDIR/latin"
check "a sample of text that cannot be read" refuses 1 'latin: line 41' tok train -v 300 --sentences 20 --quiet -o "$TMPDIR/x" "$TMPDIR/latin"
check "a vocabulary of billions" refuses 2 'too large' tok train -v 1000000000 --quiet -o "$TMPDIR/x" "$TMPDIR/plain"
echo "1..$n"
