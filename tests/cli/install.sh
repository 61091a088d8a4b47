# make install: the program finds its models, and others can build on the library.
. tests/tap.sh
stage=$TMPDIR/stage
install() { make -s install BUILD="$DRAGOMAN_BUILD" PREFIX=/usr DESTDIR="$stage" MAKEFLAGS=; }
check "make install" install
check "the program runs" prints "$("$dragoman" --version)" "$stage/usr/bin/dragoman" --version
if ls data/models/*.safetensors >/dev/null 2>&1; then
  models() { (cd "$TMPDIR" && unset DRAGOMAN_MODELS && echo 'Open the file' | "$stage/usr/bin/dragoman" translate -t es --quiet | grep -q .); }
  check "it finds the installed models" models
  harmless() { # bytes that the base copies piece by piece
    printf 'Open \302\205 \302\23331m \342\200\250 the file\n' | DRAGOMAN_MODELS= "$stage/usr/bin/dragoman" translate -t es --quiet >"$TMPDIR/copied" &&
      tame "$TMPDIR/copied" && ! grep -q "$(printf '\342\200\250')" "$TMPDIR/copied"
  }
  check "a translation does not command the terminal" harmless
fi
headers() { # each by itself
  (cd "$stage/usr/include/dragoman" && find . -name '*.h') >"$TMPDIR/list"
  [ -s "$TMPDIR/list" ] && while read -r header; do
    echo "#include \"${header#./}\"" >"$TMPDIR/header.c"
    cc -fsyntax-only -I"$stage/usr/include/dragoman" "$TMPDIR/header.c" || return 1
  done <"$TMPDIR/list"
}
check "headers that others may include" headers
foreign() { nm -D --defined-only "$stage/usr/lib/libdragoman.so" | awk '$3 !~ /^dg_/ { print $3 }'; }
check "the library gives nothing but its own interface" prints "" foreign
cat >"$TMPDIR/user.c" <<'END'
#include <stdio.h>

#include "mt/decode/translator.h"
#include "mt/train/back_translation.h"
#include "mt/train/sides.h"
#include "mt/train/vocabulary.h"
#include "tokenizer/lang.h"

int main(void) {
  char code[DG_LANG_MAX];
  dg_error err;
  dg_trainee t = {0};
  if (!dg_lang_canonical("glg", code, &err)) return 1;
  dg_options_defaults(dg_adapter_config_options, &t.config);
  printf("%s %zu %d\n", code, dg_translate_defaults().beam, dg_trainee_is_full(&t));
  dg_trainee_free(&t);
  return 0;
}
END
# A sanitized library needs a sanitized program; one plain build shows what there is to show.
if nm "$DRAGOMAN_BUILD/dragoman" | grep -q __asan_init; then
  echo "ok $((n += 1)) - a program on the library # SKIP sanitized build"
else
  user() {
    cc -o "$TMPDIR/user" "$TMPDIR/user.c" -I"$stage/usr/include/dragoman" -L"$stage/usr/lib" -ldragoman &&
      LD_LIBRARY_PATH=$stage/usr/lib "$TMPDIR/user" | grep -qx 'gl 4 0'
  }
  check "a program on the library" user
fi
echo "1..$n"
