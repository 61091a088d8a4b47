/* Numbers of the types that weights are stored in. */
#ifndef DG_IMPORT_NUMBER_H
#define DG_IMPORT_NUMBER_H

#include <stdint.h>
#include <string.h>

#include "mt/core/safetensors.h"

static inline float dg_from_half(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 1023;
  float x;
  if (!exponent) { /* zero, or too small for a leading one */
    x = (float)mantissa * 0x1p-24f;
    return sign ? -x : x;
  }
  uint32_t bits = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | mantissa << 13;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* F16, BF16, F64, else F32. */
static inline float dg_number(dg_dtype type, const uint8_t *p) {
  float x = 0;
  double d;
  uint16_t h;
  uint32_t bits;
  switch (type) {
    case DG_F16: memcpy(&h, p, sizeof h); return dg_from_half(h);
    case DG_BF16_T:
      memcpy(&h, p, sizeof h);
      bits = (uint32_t)h << 16;
      memcpy(&x, &bits, sizeof x);
      return x;
    case DG_F64: memcpy(&d, p, sizeof d); return (float)d;
    default: memcpy(&x, p, sizeof x); return x;
  }
}

#endif
