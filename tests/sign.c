#include "tests/sign.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

void sign_again(uint8_t *bytes, size_t n) {
  static const char key[] = "\"dragoman.hash\":\"";
  uint8_t *digits = memmem(bytes, n, key, sizeof key - 1);
  if (!digits || (size_t)(bytes + n - digits) < sizeof key - 1 + 32) return;
  digits += sizeof key - 1;
  memset(digits, '0', 32);
  XXH128_canonical_t c;
  XXH128_canonicalFromHash(&c, XXH3_128bits(bytes, n));
  char text[33];
  for (int i = 0; i < 16; i++) snprintf(text + 2 * i, 3, "%02x", c.digest[i]);
  memcpy(digits, text, 32);
}
