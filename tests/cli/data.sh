# dragoman data: clean, split, sample, stats.
. tests/tap.sh
cd "$TMPDIR" || exit 1
data() { "$dragoman" data "$@"; }

printf '%s\t%s\n' \
  'Open the file' 'Abrir o ficheiro' \
  'Close %s now' 'Pechar %d agora' \
  'Same text here' 'Same text here' \
  'Open the file' 'Abrir o ficheiro' \
  'Save the document' 'Gardar o documento' >mixed.tsv
printf '%s\t%s\n' 'Open the file' 'Abrir o ficheiro' 'Save the document' 'Gardar o documento' >want
check "clean" prints_file want data clean -s en -t gl --quiet mixed.tsv
again() { data clean -s en -t gl --quiet -o cleaned.tsv mixed.tsv && data clean -s en -t gl --quiet cleaned.tsv | cmp - want; }
check "clean text stays as it is" again
reasons() { data clean -s en -t gl mixed.tsv 2>&1 >/dev/null | grep -q 'untranslated 1.*placeholders 1.*duplicate 1, held_back 0$'; }
check "clean says why" reasons
printf 'Other\tgardar o documento!\n' | gzip >test.tsv.gz
head -n 1 want >kept
check "clean without the sentences of a test set" prints_file kept data clean -s en -t gl --quiet --without test.tsv.gz mixed.tsv
printf 'OPEN - the file\tx\n' >more.tsv
without() { data clean -s en -t gl --without test.tsv.gz --without=more.tsv mixed.tsv 2>&1 | grep -q '^kept 0.*held_back 2$'; }
check "clean without two" without
# A number that is stripped from one side of the two files alone, and another normal form.
printf '3.2. Open the file\t3.2. Abrir o ficheiro\n' >numbered.tsv
printf '3.2. Open the file\t3.3. Outra cousa\n' >one_side.tsv
printf 'cafe\314\201s of all towns\tcaf\303\251s\n' >nfd.tsv
apart() {
  for f in numbered nfd; do
    data clean -s en -t gl --quiet --without $f.tsv $f.tsv >x && [ ! -s x ] || return 1
  done
  data clean -s en -t gl --quiet --without one_side.tsv numbered.tsv >x && [ ! -s x ] &&
    data clean -s en -t gl --quiet --without numbered.tsv one_side.tsv >x && [ ! -s x ]
}
check "clean without itself leaves nothing" apart
check "clean without what is not there" refuses 1 nosuch data clean -s en -t gl --without nosuch mixed.tsv

printf 'It is late [[or so]]\tXa e tarde\n' >noted.tsv
printf 'It is late\tXa e tarde\n' >noted.want
check "clean leaves no blank at an end" prints_file noted.want data clean -s en -t gl --quiet noted.tsv
check "standard input twice" refuses 2 'only once' data clean -s en -t gl --without - -

awk 'BEGIN { for (i = 0; i < 2000; i++) print "sentence " i * 7919 % 10007 " of some words\tfrase " i }' |
  tr '0123456789' 'abcdefghij' >all.tsv
split() {
  data split -o s --dev 100 --test 200 --quiet all.tsv &&
    [ "$(wc -l <s.train.tsv) $(wc -l <s.dev.tsv) $(wc -l <s.test.tsv)" = '1700 100 200' ] &&
    cat s.*.tsv | sort >x && sort all.tsv | cmp - x
}
check "split deals every pair once" split
order() { sort -r all.tsv >reversed.tsv && data split -o r --dev 100 --test 200 --quiet reversed.tsv && sort s.test.tsv >a && sort r.test.tsv | cmp - a; }
check "split does not depend on the order" order
half() { # all three parts or none
  mkdir h.dev.tsv && cp s.train.tsv h.train.tsv
  data split -o h --dev 100 --test 200 --seed 2 --quiet all.tsv && return 1
  cmp s.train.tsv h.train.tsv && [ ! -e h.test.tsv ]
}
check "a part that cannot be written" half
check "too few to split" refuses 2 'too few' data split -o t mixed.tsv
sample() {
  data sample -n 50 all.tsv >small && data sample -n 500 all.tsv >large && [ "$(wc -l <small)" -eq 50 ] &&
    sort small >a && sort large >b && [ -z "$(comm -23 a b)" ]
}
check "a larger sample holds the smaller" sample
seeds() { data sample -n 50 --seed 2 all.tsv >other && ! cmp -s small other; }
check "another seed, another sample" seeds
check "sample by words" prints '' data sample -n 5 --words 6 --quiet all.tsv
printf 'Open it now\tAbrir agora\n' >in.tsv
for command in 'clean -s en -t gl -o in.tsv' 'clean -s en -t gl --without in.tsv -o in.tsv all.tsv' \
  'sample -n 1 -o ./in.tsv' 'split -o s s.test.tsv'; do
  keeps() { cp s.test.tsv before; refuses 2 'is read' data $command in.tsv && cmp before s.test.tsv; }
  check "data $command in.tsv: what is read stays" keeps
done
cp want want.tsv
check "stats" prints 'want.tsv: 2 pairs, 0 of them of 5 words or more; 6 and 6 words' data stats want.tsv
cp want.tsv 'a"b.tsv'
odd=$(printf 'a\033[31m.tsv')
cp want.tsv "$odd"
check "stats of a name that would command the terminal" prints 'a?[31m.tsv: 2 pairs, 0 of them of 5 words or more; 6 and 6 words' data stats "$odd"
check "stats as JSON, whatever the name" prints '{"file": "a\"b.tsv", "pairs": 2, "of_5_words": 0, "source_words": 6, "target_words": 6}' data stats --json 'a"b.tsv'
check "no such file" refuses 1 'nosuch' data stats nosuch
printf 'one column\n' >one.tsv
check "one column" refuses 1 'one.tsv.*1' data stats one.tsv
echo 'nonsense = 1' >bad.conf
check "an unknown setting of harvest" refuses 2 'bad.conf.*nonsense' data harvest -c bad.conf -o h
unknown_part() {
  data nonesuch 2>err
  [ $? -eq 2 ] && grep -q 'there is no data command "nonesuch"' err && grep -q '^usage: dragoman data harvest|clean' err
}
check "unknown part" unknown_part
echo "1..$n"
