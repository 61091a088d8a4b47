/* A CTranslate2 model's variables as our tensors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/import/ct2_model.h"

static const char *leaf(const char *kind) {
  return !strcmp(kind, "gain") ? "gamma" : kind;
}

/* Their name of one of our tensors, and how many rows of it come before ours: q, k and v
 * are one matrix there. */
static const dg_ct2_variable *locate(const dg_ct2_model *m, const char *ours, size_t rows,
                                     size_t *skip) {
  char side[8], part[8], item[8], kind[8];
  int layer;
  *skip = 0;
  if (sscanf(ours, "%7[a-z].layers.%d.%7[a-z].%7[a-z].%7[a-z]", side, &layer, part, item, kind) ==
      5) {
    bool self = !strcmp(part, "self"), ffn = !strcmp(part, "ffn"), out = !strcmp(item, "out");
    const char *block = ffn ? "ffn" : self ? "self_attention" : "attention";
    if (!strcmp(item, "norm"))
      return dg_ct2_part(m, "%s/layer_%d/%s/layer_norm/%s", side, layer, block,
                  !strcmp(kind, "bias") ? "beta" : "gamma");
    if (ffn)
      return dg_ct2_part(m, "%s/layer_%d/ffn/linear_%s/%s", side, layer,
                  out                     ? "1"
                  : !strcmp(item, "gate") ? "0_noact"
                                          : "0",
                  kind);
    size_t number = (size_t)(*item == 'k' ? 1 : *item == 'v' ? 2 : 0);
    int linear = self ? out : out ? 2 : number > 0;
    if (!out) *skip = (self ? number : number ? number - 1 : 0) * rows;
    return dg_ct2_part(m, "%s/layer_%d/%s/linear_%d/%s", side, layer, block, linear, kind);
  }
  if (!strcmp(ours, "embedding") || !strcmp(ours, "decoder.embedding"))
    return dg_ct2_embeddings(m, true);
  if (!strcmp(ours, "encoder.embedding")) return dg_ct2_embeddings(m, false);
  if (!strcmp(ours, "output.weight")) return dg_ct2_part(m, "decoder/projection/weight");
  if (!strcmp(ours, "output.bias")) return dg_ct2_part(m, "decoder/projection/bias");
  const char *dot = strchr(ours, '.'), *last = strrchr(ours, '.');
  int n = (int)(dot - ours);
  if (!strcmp(dot, ".positions"))
    return dg_ct2_part(m, "%.*s/position_encodings/encodings", n, ours);
  if (!strcmp(dot, ".relative"))
    return dg_ct2_part(m, "%.*s/layer_0/self_attention/relative_attention_bias", n, ours);
  const char *norm = !strncmp(dot, ".embedding_norm", 15) ? "layernorm_embedding" : "layer_norm";
  const char *kind_of = leaf(last + 1);
  return dg_ct2_part(m, "%.*s/%s/%s", n, ours, norm, !strcmp(kind_of, "bias") ? "beta" : kind_of);
}

static bool misfit(const dg_tensor *t, const dg_ct2_variable *v, dg_error *err) {
  dg_strbuf shape = {0};
  for (size_t i = 0; i < v->dims; i++)
    dg_strbuf_addf(&shape, "%s%zu", i ? " x " : "", v->shape[i]);
  dg_fail(err, DG_ERR_FORMAT, "%.80s is %s, which does not hold the %zu x %zu of %s", v->name,
          shape.text ? shape.text : "a single number", t->rows, t->cols, t->name);
  free(shape.text);
  return false;
}

static bool read_turned(const dg_ct2_model *m, const dg_ct2_variable *v, const dg_tensor *t,
                        size_t first, size_t count, float *out, dg_error *err) {
  float *x = dg_malloc(v->count * sizeof *x);
  bool ok = dg_ct2_rows(m->ct2, v, 0, v->shape[0], x, err);
  for (size_t r = 0; r < count && ok; r++)
    for (size_t k = 0; k < t->cols; k++) out[r * t->cols + k] = x[k * t->rows + first + r];
  free(x);
  return ok;
}

bool dg_ct2_weights(void *context, const dg_tensor *t, size_t first, size_t count, float *out,
                    dg_error *err) {
  const dg_ct2_model *m = context;
  size_t skip, units = t->rows > 1 ? t->rows : t->cols; /* a vector's numbers are its rows */
  const dg_ct2_variable *v = locate(m, t->name, units, &skip);
  bool bias = !strcmp(t->name, "output.bias");
  bool added = m->zero_start && (bias || !strcmp(t->name, "output.weight") ||
                                 dg_ends_with(t->name, "embedding")) &&
               strcmp(t->name, "encoder.embedding") != 0;
  if (!v && bias) { /* the model has none, only our added token */
    memset(out, 0, t->cols * sizeof *out);
    out[t->cols - 1] = dg_source_never;
    return true;
  }
  if (!v) return dg_fail(err, DG_ERR_FORMAT, "model.bin has nothing for %s", t->name);
  if (dg_ends_with(t->name, ".relative"))
    return v->dims == 2 && v->shape[0] == t->cols && v->shape[1] == t->rows
               ? read_turned(m, v, t, first, count, out, err)
               : misfit(t, v, err);
  size_t cols = t->rows > 1 ? t->cols : 1, theirs = units - added;
  size_t width = v->dims == 2 ? v->shape[1] : 1;
  if (!v->dims || v->dims > 2 || width != cols || v->shape[0] < skip + theirs ||
      (!skip && !strstr(v->name, "linear_") && v->shape[0] != theirs))
    return misfit(t, v, err);
  size_t begin = t->rows > 1 ? first : 0, n = t->rows > 1 ? count : t->cols;
  size_t real = begin + n > theirs ? theirs - begin : n;
  if (!dg_ct2_rows(m->ct2, v, skip + begin, real, out, err)) return false;
  dg_ct2_forget(v, skip + begin, real);
  for (size_t i = real * cols; i < n * cols; i++) out[i] = bias ? dg_source_never : 0;
  return true;
}
