/* model.bin of CTranslate2 (binary versions 2 to 6): named variables, quantized or not,
 * and aliases of them. */
#ifndef DG_IMPORT_CTRANSLATE2_H
#define DG_IMPORT_CTRANSLATE2_H

#include <stdint.h>

#include "mt/core/safetensors.h"

typedef struct dg_ct2 dg_ct2;

typedef struct dg_ct2_variable {
  char *name;
  dg_dtype dtype; /* F32, F16, BF16, I8, I16 or I32 */
  size_t dims, shape[DG_ST_DIMS], count;
  const uint8_t *data;
} dg_ct2_variable;

/* The bytes are borrowed until dg_ct2_close. */
dg_ct2 *dg_ct2_open(const uint8_t *bytes, size_t size, dg_error *err);
void dg_ct2_close(dg_ct2 *m);
uint32_t dg_ct2_version(const dg_ct2 *m);
const char *dg_ct2_spec(const dg_ct2 *m);  /* "TransformerSpec" */
const dg_ct2_variable *dg_ct2_find(const dg_ct2 *m, const char *name); /* aliases too, or NULL */
/* Whether all names of variables pass. */
bool dg_ct2_check(const dg_ct2 *m, bool (*passes)(const char *name, dg_error *err), dg_error *err);
/* A single number, `absent` without it. */
double dg_ct2_number(const dg_ct2 *m, const char *name, double absent);
/* Rows [first,first+count) as fp32, dequantized by the variable's _scale. Of a vector each
 * number is a row. */
bool dg_ct2_rows(const dg_ct2 *m, const dg_ct2_variable *v, size_t first, size_t count, float *out,
                 dg_error *err);

#endif
