# The Multi30k recipe learns: a few updates bring the loss down. (tests/multi30k.sh trains it all.)
. tests/tap.sh
if [ ! -f ../shared/data/multi30k/train.en.gz ]; then
  echo "ok 1 - multi30k # SKIP there is no ../shared/data/multi30k"
  echo "# skipped: the Multi30k text is not in ../shared/data/multi30k"
  echo "1..1"
  exit 0
fi
learns() {
  "$dragoman" pretrain -c configs/multi30k.conf -o "$TMPDIR/base.safetensors" --json --set warmup=20 \
    --set batch_tokens=1024 --set max_updates=50 --set eval_every=50 \
    --set eval_sentences=0 --set metric=loss --set ema=0 >"$TMPDIR/run"
  first=$(sed -n '1s/.*"loss": \([0-9.]*\).*/\1/p' "$TMPDIR/run")
  last=$(sed -n '$s/.*"dev": .*"loss": \([0-9.]*\).*/\1/p' "$TMPDIR/run")
  echo "loss $first, then $last on dev"
  awk -v a="$first" -v b="$last" 'BEGIN { exit !(a > 5 && b > 1 && b < a - 1) }'
}
check "the loss falls" learns
echo "1..1"
