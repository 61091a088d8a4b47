#include "mt/model/adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"

static void plan_adapter(dg_plan *p, void *structure) {
  dg_adapter *a = structure;
  for (int side = 0; side < 2; side++) {
    size_t layers = side ? a->decoder_layers : a->encoder_layers;
    dg_ffn *list = side ? a->decoder : a->encoder;
    for (size_t i = 0; i < layers; i++) {
      char path[64], sub[80];
      snprintf(path, sizeof path, "%s.layers.%zu", side ? "decoder" : "encoder", i);
      snprintf(sub, sizeof sub, "%s.norm", path);
      list[i].norm = dg_plan_norm(p, sub, a->d_model, true);
      list[i].in =
          dg_plan_linear(p, path, 1, (const char *[]){"down"}, a->width, a->d_model, true);
      list[i].out = dg_plan_linear(p, path, 1, (const char *[]){"up"}, a->d_model, a->width, true);
    }
  }
  if (a->extra_tokens) {
    dg_plan_align(p);
    dg_tensor *t = dg_plan_tensor(p, a->extra_tokens, a->d_model, "extra");
    a->extra = t->value, a->extra_grad = t->grad;
  }
  dg_plan_align(p);
}

dg_adapter *dg_adapter_new(const dg_model_config *config, size_t width, size_t extra_tokens,
                           dg_error *err) {
  if (!width || width > 65536 || extra_tokens > (1u << 20)) {
    dg_fail(err, DG_ERR_USAGE, "an adapter of width %zu with %zu tokens is out of range", width,
            extra_tokens);
    return NULL;
  }
  dg_adapter *a = dg_calloc(1, sizeof *a);
  a->d_model = (size_t)config->d_model;
  a->width = width;
  a->encoder_layers = (size_t)config->encoder_layers;
  a->decoder_layers = (size_t)config->decoder_layers;
  a->extra_tokens = extra_tokens;
  a->encoder = dg_calloc(a->encoder_layers, sizeof *a->encoder);
  a->decoder = dg_calloc(a->decoder_layers, sizeof *a->decoder);
  plan_adapter(&(dg_plan){.params = &a->params}, a);
  if (!dg_params_allocate(&a->params, plan_adapter, a, err)) {
    dg_adapter_free(a);
    return NULL;
  }
  return a;
}

void dg_adapter_initialize(dg_adapter *a, uint64_t seed) {
  dg_params_initialize(&a->params, seed, a->d_model);
  for (size_t i = 0; i < a->params.count; i++) {
    dg_tensor *t = &a->params.tensors[i];
    if (dg_ends_with(t->name, ".up.weight")) memset(t->value, 0, t->rows * t->cols * sizeof(float));
  }
}

bool dg_adapter_train(dg_adapter *a, dg_error *err) {
  return dg_params_train(&a->params, plan_adapter, a, err);
}

void dg_adapter_free(dg_adapter *a) {
  if (!a) return;
  dg_params_free(&a->params);
  free(a->encoder);
  free(a->decoder);
  free(a);
}
