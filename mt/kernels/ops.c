#include "mt/kernels/ops.h"

#include "mt/core/rng.h"
#include "mt/kernels/isa.h"
#include "mt/kernels/ops_tables.h"

dg_dropout dg_dropout_make(float p, uint64_t key) {
  if (p <= 0) return (dg_dropout){0, 0, 1, NULL};
  uint64_t h = dg_hash64(key);
  return (dg_dropout){(uint32_t)h, (uint32_t)((double)p * 4294967296.0), 1 / (1 - p), NULL};
}

size_t dg_attention_scratch(size_t keys, size_t width) {
  size_t padded = (keys + 15) / 16 * 16;
  return 2 * padded * width + 2 * padded * DG_ATTENTION_QUERIES;
}

const dg_ops *dg_ops_get(void) {
#if defined(__x86_64__)
  switch (dg_isa_level()) {
    case DG_ISA_AVX512_BF16:
    case DG_ISA_AVX512: return &dg_ops_avx512;
    case DG_ISA_AVX2: return &dg_ops_avx2;
    case DG_ISA_GENERIC: break;
  }
#endif
  return &dg_ops_generic;
}
