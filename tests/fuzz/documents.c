/* Mallard, DocBook, HTML, LibreOffice's help and manual pages, each reader on whatever comes.
 * seeds: tests/fuzz/seeds/page.xml tests/fuzz/seeds/page.html tests/fuzz/seeds/page.1 */
#include "data/help.h"
#include "data/libreoffice.h"
#include "data/man.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static bool (*const readers[])(const void *, size_t, dg_outline *) = {
      dg_help_outline, dg_html_outline, dg_libreoffice_outline, dg_man_outline};
  for (int i = 0; i < 4; i++) {
    dg_outline o = {0};
    readers[i](data, size, &o);
    dg_outline_free(&o);
  }
  return 0;
}
