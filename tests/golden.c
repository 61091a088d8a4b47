#include "tests/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const char *const golden_names[GOLDEN_COUNT] = {
    "pre_norm",      "post_norm", "rms_relative",  "rms_post", "odd_width", "odd_sinusoids",
    "adapters",      "adapters_post", "adapters_blocks", "adapters_lora", "adapters_vectors",
    "adapters_mixed", "marian", "m2m100",   "mbart",     "t5"};

static const dg_st_tensor *find(const golden *g, const char *format, va_list args) {
  char name[128];
  vsnprintf(name, sizeof name, format, args);
  const dg_st_tensor *t = dg_safetensors_find(g->file, name);
  if (!t) fail_msg("%s has no %s", dg_safetensors_path(g->file), name);
  return t;
}

const void *golden_data(const golden *g, dg_dtype dtype, size_t count, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const dg_st_tensor *t = find(g, format, args);
  va_end(args);
  assert_int_equal(t->dtype, dtype);
  assert_int_equal(t->bytes, count * dg_dtype_size(dtype));
  return t->data;
}

static size_t rows_of(const golden *g, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static size_t rows_of(const golden *g, const char *format, ...) {
  va_list args;
  va_start(args, format);
  size_t rows = find(g, format, args)->shape[0];
  va_end(args);
  return rows;
}

static void fill(const golden *g, const char *prefix, dg_params *p) {
  size_t inside = 0;
  for (size_t i = 0; i < p->count; i++) {
    dg_tensor *t = &p->tensors[i];
    size_t n = t->rows * t->cols;
    const uint16_t *bf16 = golden_data(g, DG_BF16_T, n, "%s.%s", prefix, t->name);
    for (size_t k = 0; k < n; k++) {
      uint32_t bits = (uint32_t)bf16[k] << 16;
      memcpy(t->value + k, &bits, sizeof bits);
    }
  }
  for (size_t i = 0; i < dg_safetensors_count(g->file); i++) {
    const char *name = dg_safetensors_at(g->file, i)->name;
    inside += !strncmp(name, prefix, strlen(prefix)) && name[strlen(prefix)] == '.';
  }
  assert_int_equal(inside, p->count); /* and none that the model has no place for */
}

/* The files number tags right after the vocabulary. */
static int32_t *tags_moved(const golden *g, size_t n, const char *name) {
  const int32_t *ids = golden_data(g, DG_I32, n, "%s", name);
  int32_t *moved = dg_malloc((n + 1) * sizeof *moved);
  int32_t vocab = dg_first_extra(&g->model->config), far = dg_first_tag(&g->model->config) - vocab;
  for (size_t i = 0; i < n; i++) moved[i] = ids[i] < vocab ? ids[i] : ids[i] + far;
  return moved;
}

golden golden_open(const char *name) {
  golden g = {0};
  char path[128];
  dg_error err;
  snprintf(path, sizeof path, "tests/model/%s.safetensors", name);
  g.file = dg_safetensors_open(path, true, &err);
  if (!g.file) fail_msg("%s", err.message);
  dg_model_config config;
  dg_options_defaults(dg_model_config_options, &config);
  json_t *json = json_loads(dg_safetensors_metadata(g.file, "config"), 0, NULL);
  if (!dg_options_from_json(dg_model_config_options, &config, json, &err))
    fail_msg("%s", err.message);
  json_decref(json);
  g.model = dg_model_new(&config, &err);
  if (!g.model) fail_msg("%s", err.message);
  fill(&g, "weight", &g.model->params);
  g.network = (dg_network){.model = g.model, .precision = DG_FP32};
  const char *declared = dg_safetensors_metadata(g.file, "adapters");
  json = declared ? json_loads(declared, 0, NULL) : NULL;
  for (size_t k = 0; k < json_array_size(json); k++) {
    char prefix[32], key[64];
    snprintf(prefix, sizeof prefix, "adapter.%zu", k);
    snprintf(key, sizeof key, "%s.extra", prefix);
    dg_adapter_config c;
    dg_options_defaults(dg_adapter_config_options, &c);
    if (!dg_options_from_json(dg_adapter_config_options, &c, json_array_get(json, k), &err))
      fail_msg("%s", err.message);
    size_t extra = dg_safetensors_find(g.file, key) ? rows_of(&g, "%s", key) : 0;
    g.adapters[k] = dg_adapter_new(&g.model->config, &c, extra, &err);
    if (!g.adapters[k]) fail_msg("%s", err.message);
    fill(&g, prefix, &g.adapters[k]->params);
    g.network.adapters[g.network.adapter_count++] = g.adapters[k];
  }
  json_decref(json);
  dg_batch *b = &g.batch;
  b->sequences = rows_of(&g, "source_offsets") - 1;
  b->source_offsets = golden_data(&g, DG_I32, b->sequences + 1, "source_offsets");
  b->target_offsets = golden_data(&g, DG_I32, b->sequences + 1, "target_offsets");
  g.tokens = b->target_offsets[b->sequences];
  g.logits = g.tokens * (size_t)config.vocab_size;
  b->source = g.source = tags_moved(&g, b->source_offsets[b->sequences], "source");
  b->input = g.input = tags_moved(&g, g.tokens, "input");
  b->labels = golden_data(&g, DG_I32, g.tokens, "labels");
  const float *options = golden_data(&g, DG_F32, 2, "options");
  g.options = (dg_loss_options){.label_smoothing = options[0], .gradient_scale = options[1]};
  g.arena = dg_arena_new(1 << 16);
  return g;
}

void golden_close(golden *g) {
  dg_arena_free(g->arena);
  free(g->source);
  free(g->input);
  for (size_t k = 0; k < g->network.adapter_count; k++) dg_adapter_free(g->adapters[k]);
  dg_model_free(g->model);
  dg_safetensors_close(g->file);
}

double golden_largest(const float *x, size_t n) {
  double most = 0;
  for (size_t i = 0; i < n; i++) most = fmax(most, fabs((double)x[i]));
  return most;
}

void golden_close_to(const char *what, const float *got, const float *want, size_t n,
                     double tolerance, double least) {
  double scale = fmax(golden_largest(want, n), least);
  assert_true(scale > 0);
  for (size_t i = 0; i < n; i++)
    if (!(fabs((double)got[i] - (double)want[i]) <= tolerance * scale))
      fail_msg("%s[%zu] is %.9g, not %.9g; the largest is %.3g", what, i, (double)got[i],
               (double)want[i], scale);
}

dg_adapter *golden_adapter(const golden *g, const char *method, int width, size_t extra) {
  dg_adapter_config c;
  dg_error err;
  dg_options_defaults(dg_adapter_config_options, &c);
  strcpy(c.method, method);
  c.width = width;
  c.rank = 3;
  dg_adapter *a = dg_adapter_new(&g->model->config, &c, extra, &err);
  if (!a) fail_msg("%s", err.message);
  return a;
}
