# dragoman import: public checkpoints become bases that every command takes.
. tests/tap.sh
made=tests/import/base
import() { "$dragoman" import --quiet "$@"; }
translate() { printf 'one\ntwo\n' | "$dragoman" translate --quiet --max-length 8 "$@"; }
lines() { [ "$(translate "$@" | wc -l)" -eq 2 ]; }

for family in m2m100 small100 nllb nllb_legacy mbart madlad; do
  base=$TMPDIR/$family.safetensors
  check "$family" import $made/$family -o "$base"
  case $family in
    nllb*) from=zh_TW ;;
    *) from=en ;;
  esac
  for code in gl glg gl_ES; do
    check "$family: -t $code" lines -b "$base" -s $from -t $code
  done
done
# An adapter trains on a base of each family.
head -30 data/demo/en-gl.tsv >"$TMPDIR/train.tsv"
tail -10 data/demo/en-gl.tsv >"$TMPDIR/dev.tsv"
trains() {
  "$dragoman" train --quiet -b "$1" -s en -t gl --train "$TMPDIR/train.tsv" --dev "$TMPDIR/dev.tsv" \
    -o "$TMPDIR/adapter" --max_updates 2 && lines -b "$1" -a "$TMPDIR/adapter" && rm "$TMPDIR"/adapter*
}
for family in m2m100 small100 nllb nllb_legacy mbart madlad; do
  check "$family: an adapter trains" trains "$TMPDIR/$family.safetensors"
done
# OPUS-MT cuts sources otherwise than targets: the way back is cut as a run of its own cuts it.
both_ways() {
  import tests/import/formats/marian_two -t es,en -o "$TMPDIR/two.safetensors" || return 1
  for way in '-s en -t es --bidirectional' '-s es -t en --reversed'; do
    "$dragoman" train --quiet -b "$TMPDIR/two.safetensors" $way --train "$TMPDIR/train.tsv" --dev "$TMPDIR/dev.tsv" \
      --keep-problems --eval_sentences 0 --max_updates 1 --threads 1 -o "$TMPDIR/adapter" || return 1
    "$dragoman" info --json "$TMPDIR/adapter" | grep -o '"es-en","sentences":0,.*' |
      grep -o '"untouched":{"loss":[0-9.]*' || return 1
    rm "$TMPDIR"/adapter*
  done >"$TMPDIR/ways"
  cat "$TMPDIR/ways"
  [ "$(wc -l <"$TMPDIR/ways")" -eq 2 ] && [ "$(sort -u "$TMPDIR/ways" | wc -l)" -eq 1 ]
}
told() { # which prefix it took, or that it has none
  "$dragoman" import $made/t5_prefix -s en -t gl -o "$TMPDIR/x" 2>&1 | grep -q 'reads "translate English to Galician: "' &&
    "$dragoman" import $made/t5_prefix -s en -t de -o "$TMPDIR/x" 2>&1 | grep -q 'other pairs alone' && rm "$TMPDIR/x"
}
check "T5's prefix" told
check "languages that nothing is translated into" refuses 2 'writes is to be kept' \
  import tests/import/formats/marian --langs en -o "$TMPDIR/x"
any_script() { # a source of any language, "mul", keeps every script; it may be named by its own code
  import tests/import/formats/marian_two -t ru --langs mul,ru -o "$TMPDIR/any.safetensors" &&
    "$dragoman" tokenizer encode -m "$TMPDIR/any.safetensors" --side source data/demo/en-gl.tsv >"$TMPDIR/few" &&
    import tests/import/formats/marian_two -t ru -o "$TMPDIR/any.safetensors" &&
    "$dragoman" tokenizer encode -m "$TMPDIR/any.safetensors" --side source data/demo/en-gl.tsv | cmp - "$TMPDIR/few" &&
    import tests/import/formats/marian_two -t ru --langs sw,ru -o "$TMPDIR/any.safetensors" && lines -b "$TMPDIR/any.safetensors" -s sw -t ru && rm "$TMPDIR/any.safetensors"
}
check "--langs of a source that may be any" any_script
check "a base for no adapter" refuses 2 'with --adapter' import $made/m2m100 -b base -o "$TMPDIR/x"
check "both ways on a base with two tokenizers" both_ways
each_side() { # what one side's tokenizer cuts it alone puts together again
  for side in source target; do
    echo 'Open the file' | "$dragoman" tokenizer encode -m "$TMPDIR/two.safetensors" --side $side --ids >"$TMPDIR/$side" &&
      "$dragoman" tokenizer decode -m "$TMPDIR/two.safetensors" --side $side --ids "$TMPDIR/$side" | grep -qx 'Open the file' || return 1
  done
  ! cmp -s "$TMPDIR/source" "$TMPDIR/target"
}
check "the tokenizer of each side" each_side
check "one of two tokenizers" refuses 2 'say --side source or target' \
  "$dragoman" tokenizer encode -m "$TMPDIR/two.safetensors" /dev/null
check "an unknown language lists the known" \
  refuses 2 'es (Spanish).*--like' "$dragoman" translate -b "$TMPDIR/mbart.safetensors" -s en -t eo

# The same tags are told in several ways; the base is the same to the byte.
same() { # FAMILY FILE...: without these files
  family=$1
  shift
  rm -rf "$TMPDIR/copy" && cp -r $made/$family "$TMPDIR/copy" && (cd "$TMPDIR/copy" && rm "$@") &&
    import "$TMPDIR/copy" -o "$TMPDIR/copy.safetensors" &&
    cmp "$TMPDIR/copy.safetensors" "$TMPDIR/$family.safetensors"
}
check "tags of added_tokens.json" same nllb tokenizer_config.json special_tokens_map.json
check "tags of mBART's special_tokens_map.json" same mbart tokenizer_config.json
check "M2M-100's own tags" same m2m100 tokenizer_config.json special_tokens_map.json
check "no tags" refuses 1 'no language tags' same mbart tokenizer_config.json special_tokens_map.json
sed 's/MBart50Tokenizer/MBartTokenizer/' $made/mbart/tokenizer_config.json >"$TMPDIR/config"
mkdir "$TMPDIR/mbart" && cp $made/mbart/*.* "$TMPDIR/mbart" && mv "$TMPDIR/config" "$TMPDIR/mbart/tokenizer_config.json"
sed '/"tokenizer_class"/d' $made/mbart/config.json >"$TMPDIR/config"
rm -rf "$TMPDIR/copy" && cp -r $made/mbart_fast "$TMPDIR/copy" && mv "$TMPDIR/config" "$TMPDIR/copy/config.json"
check "an mBART of no class" refuses 1 'of class MBartTokenizer' import "$TMPDIR/copy" -o "$TMPDIR/x"
check "an mBART before mBART-50" refuses 1 'MBartTokenizer' import "$TMPDIR/mbart" -o "$TMPDIR/x"
check "a checkpoint over itself" refuses 2 'in the directory that is read' \
  import "$TMPDIR/mbart" -o "$TMPDIR/mbart/model.safetensors"
check "a checkpoint's vocabulary" refuses 2 'in the directory that is read' \
  import "$TMPDIR/mbart" -o "$TMPDIR/mbart/sentencepiece.bpe.model"
rm -rf "$TMPDIR/copy" && cp -r $made/m2m100 "$TMPDIR/copy"
check "a base among its checkpoint's files" import "$TMPDIR/copy" -o "$TMPDIR/copy/base.safetensors"
check "it may be made again" import "$TMPDIR/copy" -o "$TMPDIR/copy/base.safetensors"

# An mBART-50 of many languages to one says so; one of one to many does not.
id=$(awk -F '"' '/^ *"[0-9]+": / { id = $2 } /"en_XX"/ { print id; exit }' $made/mbart/tokenizer_config.json)
rm -rf "$TMPDIR/copy" && cp -r $made/mbart "$TMPDIR/copy"
sed "s/\"eos_token_id\"/\"forced_bos_token_id\": $id, &/" $made/mbart/config.json >"$TMPDIR/copy/config.json"
check "many to one" import "$TMPDIR/copy" -o "$TMPDIR/one.safetensors"
check "many to one translates" lines -b "$TMPDIR/one.safetensors" -s gl -t en
check "many to one writes one language" \
  refuses 2 'does not translate into fr' translate -b "$TMPDIR/one.safetensors" -s gl -t fr
told_sides() { "$dragoman" info "$TMPDIR/one.safetensors" | grep -q 'cs Czech (from).*en English, '; }
check "info tells the sides" told_sides

rm "$TMPDIR/one.safetensors" && cp $made/mbart/config.json "$TMPDIR/copy"
echo "{\"forced_bos_token_id\": $id}" >"$TMPDIR/copy/generation_config.json"
check "many to one as newer files tell it" import "$TMPDIR/copy" -o "$TMPDIR/one.safetensors"
check "they tell the sides" told_sides

# Where both files tell it, generate() reads the newer, unless that is a copy of the older.
other=$(awk -F '"' '/^ *"[0-9]+": / { id = $2 } /"fr_XX"/ { print id; exit }' $made/mbart/tokenizer_config.json)
sed "s/\"eos_token_id\"/\"forced_bos_token_id\": $other, &/" $made/mbart/config.json >"$TMPDIR/copy/config.json"
rm "$TMPDIR/one.safetensors"
check "two files that disagree" import "$TMPDIR/copy" -o "$TMPDIR/one.safetensors"
check "the newer tells the sides" told_sides
echo "{\"_from_model_config\": true, \"forced_bos_token_id\": $id}" >"$TMPDIR/copy/generation_config.json"
rm "$TMPDIR/one.safetensors"
check "a copy that disagrees" import "$TMPDIR/copy" -o "$TMPDIR/one.safetensors"
check "the original tells the sides" refuses 2 'does not translate into en' translate -b "$TMPDIR/one.safetensors" -s gl -t en

# As Hugging Face's cache and a clone without large files have them.
cache=$TMPDIR/models--some--m2m100
mkdir -p "$cache/refs" "$cache/blobs" "$cache/snapshots/01ab"
printf 01ab >"$cache/refs/main"
for file in $made/m2m100/*; do
  cp "$file" "$cache/blobs/${file##*/}.blob"
  ln -s "../../blobs/${file##*/}.blob" "$cache/snapshots/01ab/${file##*/}"
done
for path in "$cache" "$cache/snapshots/01ab"; do
  cached() { import "$path" -o "$TMPDIR/x" && cmp "$TMPDIR/x" "$TMPDIR/m2m100.safetensors" && rm "$TMPDIR/x"; }
  check "Hugging Face's cache: ${path##*/}" cached
done
rm -rf "$TMPDIR/copy" && cp -r $made/m2m100 "$TMPDIR/copy"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n' >"$TMPDIR/copy/model.safetensors"
mkfifo "$TMPDIR/copy/a.pipe" # which nobody writes to
check "a pointer of Git LFS" refuses 1 'model.safetensors.*git lfs pull' import "$TMPDIR/copy" -o "$TMPDIR/x"

# A tokenizer.json that no sentencepiece model can be.
mkdir "$TMPDIR/fast" && cp $made/nllb_fast/config.json $made/nllb_fast/model.safetensors "$TMPDIR/fast"
for change in 's/"Metaspace"/"ByteLevel"/g pre_tokenizer."ByteLevel"' 's/"BPE"/"WordPiece"/ model."WordPiece"' \
  's/"Replace"/"Lowercase"/ normalizer."Lowercase"' 's/"dropout":null/"dropout":0.1/ setting."dropout"' 's/"fuse_unk":true/"fuse_unk":false/ setting."fuse_unk"'; do
  sed "${change% *}" $made/nllb_fast/tokenizer.json >"$TMPDIR/fast/tokenizer.json"
  check "tokenizer.json: ${change#* }" refuses 1 "tokenizer.json: its .*${change#* }" \
    import "$TMPDIR/fast" -o "$TMPDIR/x"
done

# Words added beside a sentencepiece model; of another script they stay without its pieces, too.
added=tests/import/added
check "added words" import $added/nllb -o "$TMPDIR/added.safetensors"
check "added words: --langs" import $added/nllb -o "$TMPDIR/fewer.safetensors" --langs gl
pieces_of() { echo 'the <tok>, ñandú中<formal>' | "$dragoman" tokenizer encode --quiet -m "$1" >"$2"; }
stay() { pieces_of "$TMPDIR/added.safetensors" "$TMPDIR/a" && pieces_of "$TMPDIR/fewer.safetensors" "$TMPDIR/b" &&
  grep -q '<tok>.*ñandú 中 <formal>$' "$TMPDIR/a" && cmp "$TMPDIR/a" "$TMPDIR/b"; }
check "added words: they stay" stay
for change in 's/"<tok>": 311/"<tok>": -1/ id.-1,.outside.*resize' 's/"<tok>": 311/"<tok>": 319/ id.319,.outside' \
  's/"<tok>": 311/"<tok>": 9e99/ no.number.for.an.id' 's/"<tok>": 311/"<tok>": "x"/ no.number.for.an.id' \
  's/"<tok>": 311/"<tok>": 312/ which.another.token.has' 's/"<tok>": 311/"<tok>": 3/ which.another.token.has' \
  's/"<tok>": 311/"A": 311/ has.another.one,.too'; do
  rm -rf "$TMPDIR/copy" && cp -r $added/m2m100 "$TMPDIR/copy"
  sed "${change% *}" $added/m2m100/added_tokens.json >"$TMPDIR/copy/added_tokens.json"
  check "added_tokens.json: ${change% *}" \
    refuses 1 "added_tokens.json: the added token .*${change##* }" import "$TMPDIR/copy" -o "$TMPDIR/x"
done
for change in 's/"214"/"x214"/ no.number.for.an.id' 's/"214"/"99999999999999999999"/ no.number' \
  's/"content": "<tok>"/"x": 1/ no."content"' '/"<tok>"/s/$/"single_word":true,/;/single_word": f/d "<tok>".has."single_word"' \
  '/"<tok>"/s/$/"lstrip":true,/;/lstrip": f/d "<tok>".has."lstrip"'; do
  rm -rf "$TMPDIR/copy" && cp -r $added/t5 "$TMPDIR/copy"
  sed "${change% *}" $added/t5/tokenizer_config.json >"$TMPDIR/copy/tokenizer_config.json"
  check "added_tokens_decoder: ${change% *}" refuses 1 "tokenizer_config.json: the added token .*${change##* }" \
    import "$TMPDIR/copy" -t gl -o "$TMPDIR/x"
done
rm -rf "$TMPDIR/copy" && cp -r tests/import/formats/marian "$TMPDIR/copy" && rm "$TMPDIR/copy/tokenizer_config.json"
echo '{"<tok>": 20}' >"$TMPDIR/copy/added_tokens.json"
check "OPUS-MT's added words" refuses 1 'added_tokens.json: the added token "<tok>" .*OPUS-MT' \
  import "$TMPDIR/copy" -o "$TMPDIR/x"
for change in 's/"type": "Metaspace"/"type": "Split"/ .' 's/"content": "<tok>",/"content": "▁tok",/ "▁tok".has.a.space.at.its.edge'; do
  rm -rf "$TMPDIR/copy" && cp -r $added/nllb_fast "$TMPDIR/copy"
  sed "${change% *}" $added/nllb_fast/tokenizer.json >"$TMPDIR/copy/tokenizer.json"
  check "tokenizer.json beside: ${change% *}" refuses 1 "tokenizer.json: the added token .*${change##* }" \
    import "$TMPDIR/copy" -o "$TMPDIR/x"
done

for storage in bf16 int8; do
  check "--quantize $storage" import $made/m2m100 -o "$TMPDIR/$storage.safetensors" --quantize $storage
  stored() { "$dragoman" info "$TMPDIR/$storage.safetensors" | grep -q $storage; }
  check "info says $storage" stored
  check "$storage translates" lines -b "$TMPDIR/$storage.safetensors" -s en -t gl
done
smaller() { [ "$(wc -c <"$TMPDIR/int8.safetensors")" -lt "$(wc -c <"$TMPDIR/m2m100.safetensors")" ]; }
check "int8 is smaller" smaller

# The mBART of the tests writes Latin only: trimmed to it, it writes the same.
small=$TMPDIR/small.safetensors
check "--langs" import $made/mbart -o "$small" --langs en,gl_ES
{ cut -f2 tests/import/sentences.tsv; cut -c1-60 tests/tokenizer/sentences.txt; } | LC_ALL=C grep -v '[^ -~]' >"$TMPDIR/text"
translations() { "$dragoman" translate --quiet --max-length 12 -s en -t gl -b "$1" "$TMPDIR/text"; }
same_translations() {
  translations "$TMPDIR/mbart.safetensors" >"$TMPDIR/full.out" && translations "$small" >"$TMPDIR/small.out" &&
    cmp "$TMPDIR/full.out" "$TMPDIR/small.out" && [ "$(sort -u "$TMPDIR/small.out" | wc -l)" -gt 5 ]
}
check "translations are the same" same_translations
check "trimmed is smaller" [ "$(wc -c <"$small")" -lt "$(wc -c <"$TMPDIR/mbart.safetensors")" ]
check "other languages are gone" refuses 2 'does not translate into fr' \
  "$dragoman" translate -b "$small" -s en -t fr
spared() {
  cp "$TMPDIR/text" "$TMPDIR/corpus.txt"
  refuses 2 'corpus.txt is read' "$dragoman" import $made/nllb -o "$TMPDIR/corpus.txt" --langs en,gl --corpus "$TMPDIR/corpus.txt" &&
    cmp "$TMPDIR/text" "$TMPDIR/corpus.txt"
}
check "the corpus as output" spared
told() { "$dragoman" import $made/nllb -o "$small" --langs en,gl 2>&1 | grep -q 'pieces of 1406 stay'; }
check "the sizes are told" told
check "--langs with --adapter" refuses 2 'leave it out' "$dragoman" import --adapter x -s en -t gl --langs en -o "$TMPDIR/x"
check "--corpus without --langs" refuses 2 'goes with --langs' \
  import $made/nllb -o "$TMPDIR/x" --corpus "$TMPDIR/text"
check "a corpus that is not there" refuses 1 'nowhere' \
  import $made/nllb -o "$TMPDIR/x" --langs gl --corpus "$TMPDIR/nowhere"
: >"$TMPDIR/silent"
check "a corpus without text" refuses 1 'no text' \
  import $made/nllb -o "$TMPDIR/x" --langs gl --corpus "$TMPDIR/silent"
check "--langs nobody has" refuses 2 'does not know the language eo' import $made/mbart -o "$TMPDIR/x" --langs en,eo

check "languages that tags say" refuses 2 "leave -s and -t out" import $made/m2m100 -o "$TMPDIR/x" -s en -t gl
check "no output" refuses 2 '.-o' import $made/m2m100
check "no directory" refuses 2 'one directory or package' import -o "$TMPDIR/x"
check "an unknown storage" refuses 2 'fp16: choose' import $made/m2m100 -o "$TMPDIR/x" --quantize fp16
check "nothing there" refuses 1 'nothing is downloaded' import "$TMPDIR/nowhere" -o "$TMPDIR/x"
mkdir "$TMPDIR/empty"
check "nothing in it" refuses 1 'config.json' import "$TMPDIR/empty" -o "$TMPDIR/x"
formats=tests/import/formats
for model in marian marian_two; do
  check "$model" import $formats/$model -o "$TMPDIR/$model.safetensors"
  check "$model: translates" lines -b "$TMPDIR/$model.safetensors" -s en -t gl
  check "$model: an adapter trains" trains "$TMPDIR/$model.safetensors"
done
check "marian_tags" import $formats/marian_tags -o "$TMPDIR/tags.safetensors"
check "marian_tags: a tag chosen" lines -b "$TMPDIR/tags.safetensors" -s fi -t pt_BR
check "marian_tags: no such tag" \
  refuses 2 'does not translate into de' translate -b "$TMPDIR/tags.safetensors" -s fi -t de
check "marian: --langs" import $formats/marian -o "$TMPDIR/x.safetensors" --langs en,gl
check "marian: --langs translates" lines -b "$TMPDIR/x.safetensors" -s en -t gl
for name in m2m100 nllb mbart madlad; do
  case $name in
    nllb) from=zh_TW ;;
    *) from=en ;;
  esac
  check "CTranslate2: $name" import $formats/ct2_$name -o "$TMPDIR/ct2.safetensors"
  check "CTranslate2: $name translates" lines -b "$TMPDIR/ct2.safetensors" -s $from -t gl
done
check "CTranslate2 without languages" \
  refuses 2 'which language' import $formats/ct2_opennmt -o "$TMPDIR/x"
check "CTranslate2 with -s and -t" import $formats/ct2_opennmt -s en -t gl -o "$TMPDIR/ct2.safetensors"
check "CTranslate2 with -s and -t translates" lines -b "$TMPDIR/ct2.safetensors" -s en -t gl
check "Marian's own" import $formats/npz/model.npz -s en -t gl -o "$TMPDIR/npz.safetensors"
check "Marian's own translates" lines -b "$TMPDIR/npz.safetensors" -s en -t gl
check "Marian's own: an adapter trains" trains "$TMPDIR/npz.safetensors"
check "Argos" import $formats/argos.argosmodel -o "$TMPDIR/argos.safetensors"
check "Argos translates" lines -b "$TMPDIR/argos.safetensors" -s en -t gl
check "Argos: an adapter trains" trains "$TMPDIR/argos.safetensors"
sides() { "$dragoman" info "$TMPDIR/argos.safetensors" --json | grep -q '"sides":{"en":"source","gl":"target"}'; }
check "info tells the sides" sides
check "Argos the other way" refuses 2 'does not translate into en' translate \
  -b "$TMPDIR/argos.safetensors" -s en -t en
aren=../shared/data/ctranslate2-aren/aren-transliteration # as its own program has it
for model in $aren $aren-i8; do
  if [ -d "$model" ]; then
    whole() { import "$model" -s ar -t en -o "$TMPDIR/aren.safetensors" &&
      [ "$(printf 'مرحبا\nمحمد\nالقاهرة\n' | "$dragoman" translate --quiet -b "$TMPDIR/aren.safetensors" -s ar -t en --beam 4 | paste -sd ' ')" = "marhaba mahmad qahra" ]; }
    check "a published model of CTranslate2" whole
  else
    n=$((n + 1))
    echo "ok $n - a published model of CTranslate2 # SKIP no $model"
  fi
done
check "OPUS-MT without its tokenizer" refuses 1 'source.spm' import tests/import/model/marian -o "$TMPDIR/x"
mkdir "$TMPDIR/hostile" && cp $made/m2m100/*.json $made/m2m100/*.model "$TMPDIR/hostile"
check "no weights" refuses 1 'no model.safetensors' import "$TMPDIR/hostile" -o "$TMPDIR/x"
cp tests/import/checkpoint/hostile/pytorch_model.bin "$TMPDIR/hostile"
check "a pickle that runs code" refuses 1 'posix.system' import "$TMPDIR/hostile" -o "$TMPDIR/x"
head -c 9000 $made/m2m100/model.safetensors >"$TMPDIR/hostile/model.safetensors"
check "a truncated file" refuses 1 'truncated' import "$TMPDIR/hostile" -o "$TMPDIR/x"
sed 's/"vocab_size": [0-9]*/"vocab_size": 2000000000/' $made/m2m100/config.json >"$TMPDIR/fast/config.json"
check "a huge vocabulary" refuses 1 'config.json: vocab_size = 2000000000' import "$TMPDIR/fast" -o "$TMPDIR/x"
# Shards that are cut off or not there, and headers that lie.
rm "$TMPDIR/hostile/model.safetensors" "$TMPDIR/hostile/pytorch_model.bin"
index() { printf '{"weight_map": {"model.shared.weight": "%s"}}' "$1" >"$TMPDIR/hostile/$2.index.json"; }
index one.safetensors model.safetensors
check "a missing shard" refuses 1 'one.safetensors' import "$TMPDIR/hostile" -o "$TMPDIR/x"
head -c 20000 $made/m2m100/model.safetensors >"$TMPDIR/hostile/one.safetensors"
check "a truncated shard" refuses 1 'one.safetensors.*truncated' import "$TMPDIR/hostile" -o "$TMPDIR/x"
printf '\000\000\000\000\000\000\000\200{}' >"$TMPDIR/hostile/one.safetensors"
check "a header of 2^63 bytes" refuses 1 'header is longer than the file' \
  import "$TMPDIR/hostile" -o "$TMPDIR/x"
header='{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}'
{ printf "\\$(printf %o ${#header})\\0\\0\\0\\0\\0\\0\\0%s123456" "$header"; } >"$TMPDIR/hostile/one.safetensors"
check "tensors that overlap" refuses 1 'tensor b begins at byte 2, not 4' \
  import "$TMPDIR/hostile" -o "$TMPDIR/x"
cp $made/m2m100/model.safetensors "$TMPDIR/hostile/one.safetensors"
check "an index that lacks tensors" refuses 1 'the checkpoint has no tensor model.encoder' \
  import "$TMPDIR/hostile" -o "$TMPDIR/x"
rm "$TMPDIR/hostile/model.safetensors.index.json"
index one.bin pytorch_model.bin
head -c 9000 tests/import/checkpoint/bin/pytorch_model.bin >"$TMPDIR/hostile/one.bin"
check "a truncated shard of torch" refuses 1 'one.bin.*truncated' import "$TMPDIR/hostile" -o "$TMPDIR/x"
cp tests/import/checkpoint/bin/pytorch_model.bin "$TMPDIR/hostile/one.bin"
check "a shard without its tensor" refuses 1 'index.json holds no tensors' \
  import "$TMPDIR/hostile" -o "$TMPDIR/x"
nothing() { [ ! -e "$TMPDIR/x" ] && [ ! -e /tmp/hostile ]; }
check "nothing was left" nothing
echo "1..$n"
