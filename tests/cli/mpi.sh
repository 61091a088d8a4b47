# dragoman train in several processes: the same result as one, and a lost one does no harm.
. tests/tap.sh
. tests/numbers.sh
skip() {
  echo "ok 1 - several processes # SKIP"
  echo "# skip: $1"
  echo "1..1"
  exit 0
}
case $("$dragoman" --version) in *MPI*) ;; *) skip "this build has no MPI (make MPI=1)" ;; esac
command -v mpirun >/dev/null || skip "there is no mpirun"
cd "$TMPDIR" || exit 1
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM

pairs 1 300 "$galician" >all.tsv
head -n 260 all.tsv >train.tsv
tail -n 40 all.tsv >dev.tsv
cat >tiny.conf <<END
train = en gl train.tsv
$tiny_shape
batch_tokens = 256
max_updates = 5
precision = fp32
END
"$dragoman" pretrain -c tiny.conf --quiet --threads 1 -o base.safetensors || exit 1

# processes N OUTPUT FLAGS...: a run in N of them.
processes() {
  count=$1 output=$2
  shift 2
  $launch mpirun --oversubscribe -n "$count" "$dragoman" train -b base.safetensors -s en -t gl --train train.tsv \
    --dev dev.tsv --threads 1 --batch_tokens 256 --precision fp32 --storage fp32 --eval_sentences 10 \
    --max_updates 40 --eval_every 10 --learning_rate 0.005 -o "$output" "$@"
}
launch=
# Whatever is dropped or sampled goes by the sentence, not by who computes it.
noisy() { processes "$@" --attention-dropout 0.1 --subword-alpha 0.1; }
numbers() { # the weights of a safetensors file
  length=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
  tail -c +$((length + 9)) "$1" | od -An -v -t f4 -w4
}
# Sums over the sentences of an update are added in another order: up to 0.002 of the largest weight.
close() {
  numbers "$1" >a.numbers && numbers "$2" >b.numbers && [ "$(wc -l <a.numbers)" -gt 1000 ] || return 1
  paste a.numbers b.numbers | awk '{
    d = $1 - $2; if (d < 0) d = -d; x = $1 < 0 ? -$1 : $1
    if (d > far) far = d; if (x > most) most = x
  } END { print NR " numbers, largest " most ", farthest apart " far; exit !(most > 0 && far <= 0.002 * most) }'
}
noisy 1 one.safetensors --quiet || exit 1
for ranks in 2 4; do
  many() {
    noisy $ranks many$ranks.safetensors --quiet >out 2>err || { cat err; return 1; }
    close one.safetensors many$ranks.safetensors && [ ! -e many$ranks.safetensors.checkpoint ]
  }
  check "$ranks processes do what one does" many
done
differs() { # and the comparison can tell
  noisy 1 other.safetensors --quiet --seed 2 && ! close one.safetensors other.safetensors
}
check "another seed does not" differs
once() { # one of them speaks
  processes 2 told.safetensors >out 2>err && [ "$(grep -c '^update' out)" -eq 5 ] && [ "$(grep -c 'training pairs' err)" -eq 1 ]
}
check "one report" once
again() { # to the last bit, by as many
  noisy 2 again.safetensors --quiet && numbers many2.safetensors >a && numbers again.safetensors >b && cmp a b
}
check "two runs of two are equal" again
lost() {
  launch=exec processes 2 lost.safetensors --max_updates 4000 --patience 0 --json --checkpoint_minutes 600 >lost.log 2>lost.err &
  pid=$!
  for i in $(seq 3000); do [ "$(grep -c '"update"' lost.log)" -ge 8 ] && break; sleep 0.01; done
  for child in $(ps -o pid= --ppid $pid); do # not the one that writes
    tr '\0' '\n' <"/proc/$child/environ" | grep -qx OMPI_COMM_WORLD_RANK=1 && kill -9 "$child"
  done
  wait $pid
  [ $? -ne 0 ] || { echo "mpirun knows of no loss"; return 1; }
  grep -q 'lost after update [0-9]*; the same command goes on' lost.err || { cat lost.err; return 1; }
  update=$("$dragoman" info --json lost.safetensors.checkpoint | tr -d ' ' | grep -o '"update":[0-9]*' | head -n 1 | cut -d: -f2)
  [ "$update" -ge 30 ] && [ "$update" -lt 4000 ] || { echo "checkpoint at $update"; return 1; }
  more=$((update / 10 * 10 + 50))
  processes 2 lost.safetensors --max_updates $more --patience 0 --quiet &&
    processes 2 whole.safetensors --max_updates $more --patience 0 --quiet &&
    numbers lost.safetensors >a && numbers whole.safetensors >b && cmp a b
}
check "a lost process: a checkpoint from which the run goes on" lost
interrupted() { # all at once, while one scores and the others wait for it
  pairs 1000 2500 "$galician" >long.tsv
  launch=exec processes 2 stopped.safetensors --dev long.tsv --eval_sentences 1500 --eval_every 1 >stopped.log 2>stopped.err &
  pid=$!
  for i in $(seq 3000); do grep -q '^update' stopped.log && break; sleep 0.01; done
  sleep 0.2 # it scores again, after an update
  kill -TERM $(ps -o pid= --ppid $pid)
  wait $pid
  grep -q 'stopped at update [0-9]*; the same command goes on' stopped.err && [ -f stopped.safetensors.checkpoint ] || { cat stopped.err; return 1; }
}
check "interrupted while one scores" interrupted
alone() { # what rank 0 cannot do ends them all
  launch=timeout\ 60
  processes 2 w.safetensors --report no/such.html >out 2>err
  code=$?
  launch=
  [ $code -ne 0 ] && [ $code -ne 124 ] && grep -q 'no/such.html' err || { echo "exit status $code"; cat err; return 1; }
}
check "a failure of one" alone
echo "1..$n"
