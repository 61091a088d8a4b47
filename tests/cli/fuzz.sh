# Every reader of outside bytes over the seeds of its fuzz target, some of them damaged,
# and over what once broke it.
. tests/tap.sh
for name in $(tests/fuzz/targets); do
  check "$name" "$DRAGOMAN_BUILD/fuzz/$name" $(tests/fuzz/targets "$name")
done
echo "1..$n"
