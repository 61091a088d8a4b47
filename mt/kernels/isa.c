#include "mt/kernels/isa.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const char *const names[] = {"generic", "avx2", "avx512", "avx512_bf16"};

const char *dg_isa_name(dg_isa isa) { return names[isa]; }

#if defined(__x86_64__)
static uint64_t xcr0(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

/* The flags each level's source files are compiled with, and the register state
 * the operating system must save (Intel SDM vol. 1, 13.3). */
static dg_isa best(void) {
  enum { OSXSAVE = 1 << 27, FMA = 1 << 12, F16C = 1 << 29, AVX = 1 << 28 };
  enum { AVX2 = 1 << 5, F = 1 << 16, DQ = 1 << 17, BW = 1 << 30 }; /* leaf 7.0 EBX */
  enum { BF16 = 1 << 5 };                                          /* leaf 7.1 EAX */
  const uint32_t need1 = OSXSAVE | FMA | F16C | AVX, vl = 1u << 31;
  const uint32_t need7 = F | DQ | BW | vl;
  const uint64_t ymm = 0x6, zmm = 0xe6;
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & need1) != need1 || (xcr0() & ymm) != ymm)
    return DG_ISA_GENERIC;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & AVX2)) return DG_ISA_GENERIC;
  if ((b & need7) != need7 || (xcr0() & zmm) != zmm) return DG_ISA_AVX2;
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & BF16)) return DG_ISA_AVX512;
  return DG_ISA_AVX512_BF16;
}
static bool has_vnni(void) {
  uint32_t a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c & 1 << 11;
}
#else
static dg_isa best(void) { return DG_ISA_GENERIC; }
static bool has_vnni(void) { return false; }
#endif

/* What the machine is does not change: asked once, since CPUID is slow under a
 * hypervisor. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static dg_isa cpu, chosen;
static bool refused, vnni;

static void choose(void) {
  cpu = chosen = best();
  const char *wanted = getenv("DRAGOMAN_ISA");
  refused = wanted && *wanted;
  for (int i = 0; refused && i <= (int)cpu; i++)
    if (!strcmp(wanted, names[i])) {
      chosen = (dg_isa)i;
      refused = false;
    }
  vnni = chosen >= DG_ISA_AVX512 && has_vnni();
}

dg_isa dg_isa_level(void) {
  pthread_once(&once, choose);
  return chosen;
}

bool dg_isa_vnni(void) {
  pthread_once(&once, choose);
  return vnni;
}

bool dg_isa_check(dg_error *err) {
  pthread_once(&once, choose);
  if (!refused) return true;
  const char *wanted = getenv("DRAGOMAN_ISA");
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (wanted && !strcmp(wanted, names[i]))
      return dg_fail(err, DG_ERR_UNSUPPORTED,
                     "DRAGOMAN_ISA=%s: this CPU offers %s at most; unset it or name a lower level",
                     wanted, names[cpu]);
  return dg_fail(err, DG_ERR_USAGE,
                 "DRAGOMAN_ISA=%s: unknown; choose generic, avx2, avx512 or avx512_bf16",
                 wanted ? wanted : "");
}
