# Dependencies point one way: a folder includes only what stands below it.
. tests/tap.sh

# layer FOLDER MAY-INCLUDE...
layer() {
  folder=$1
  shift
  allowed="$folder"
  for name; do allowed="$allowed\|$name"; done
  points_down() {
    ! grep -n '^#include "' "$folder"/*.[ch]* | grep -v '#include "\('"$allowed"'\)/[a-z0-9_]*\.h"'
  }
  check "$folder" points_down
}
layer mt/core
layer mt/kernels mt/core
layer tokenizer mt/core
layer eval mt/core tokenizer
layer data mt/core tokenizer
layer mt/model mt/core mt/kernels tokenizer
layer mt/decode mt/core mt/kernels mt/model tokenizer
layer mt/train mt/core mt/kernels mt/model mt/decode tokenizer data eval
layer mt/import mt/core mt/model tokenizer
known() { ls -d mt/*/ | sed 's:/$::' | grep -v -x 'mt/core\|mt/kernels\|mt/model\|mt/decode\|mt/train\|mt/import\|mt/cli' ; [ $? -eq 1 ]; }
check "every folder of mt is one of these, or mt/cli" known
echo "1..$n"
