/* Adapters as PEFT and AdapterHub save them (tests/goldens/exchange.py): the model with them
 * says what it says there; written again they are the same; what we cannot compute is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "mt/core/mem.h"
#include "mt/import/exchange.h"
#include "mt/model/loss.h"

#define ADAPTERS "tests/import/adapter/"
#define MODELS "tests/import/model/"

static const char *const names[] = {
    "peft_m2m100", "peft_marian",        "peft_t5",          "hub_mbart",
    "hub_mbart_bin", "hub_mbart_parallel", "hub_mbart_double", "hub_t5",
    "hub_t5_layer", "hub_m2m100",        "hub_marian"};
enum { NAMES = sizeof names / sizeof *names };

static char made[256]; /* a directory of the test's own */

static dg_model *load_model(const char *adapter, dg_family *family) {
  char kind[32], path[128];
  dg_error err;
  snprintf(path, sizeof path, ADAPTERS "%s/checkpoint.txt", adapter);
  FILE *f = fopen(path, "r");
  assert_non_null(f);
  assert_int_equal(fscanf(f, "%31s", kind), 1);
  fclose(f);
  snprintf(path, sizeof path, MODELS "%s/config.json", kind);
  dg_family_config config;
  if (!dg_family_config_read(path, &config, &err)) fail_msg("%s", err.message);
  snprintf(path, sizeof path, MODELS "%s", kind);
  dg_checkpoint *c = dg_checkpoint_open(path, &err);
  dg_model *m = dg_model_new(&config.model, &err);
  if (!c || !m) fail_msg("%s", err.message);
  for (size_t i = 0; i < m->params.count; i++) {
    dg_tensor *t = &m->params.tensors[i];
    if (!dg_family_rows(&config, c, t, 0, t->rows, t->value, &err)) fail_msg("%s", err.message);
  }
  dg_checkpoint_close(c);
  *family = config.family;
  return m;
}

static const void *data(const dg_safetensors *s, const char *name, size_t *count) {
  const dg_st_tensor *t = dg_safetensors_find(s, name);
  assert_non_null(t);
  *count = t->bytes / 4;
  return t->data;
}

static void check_logits(const char *name, const dg_model *m, const dg_adapter *a) {
  char path[128];
  dg_error err;
  snprintf(path, sizeof path, ADAPTERS "%s/expected.safetensors", name);
  dg_safetensors *s = dg_safetensors_open(path, true, &err);
  if (!s) fail_msg("%s", err.message);
  size_t n, tokens;
  dg_batch b = {.source = data(s, "source", &n), .input = data(s, "input", &tokens)};
  b.labels = b.input;
  b.source_offsets = data(s, "source_offsets", &n);
  b.target_offsets = data(s, "target_offsets", &n);
  b.sequences = n - 1;
  dg_network network = {.model = m, .adapters = {a}, .adapter_count = 1, .precision = DG_FP32};
  dg_arena *arena = dg_arena_new(1 << 16);
  const float *want = data(s, "logits", &n);
  assert_int_equal(n, tokens * (size_t)m->config.vocab_size);
  float *logits = dg_malloc(n * sizeof *logits);
  if (!dg_logits(&network, &b, arena, logits, &err)) fail_msg("%s", err.message);
  for (size_t i = 0; i < n; i++)
    if (!(fabs((double)logits[i] - (double)want[i]) < 1e-4))
      fail_msg("%s: logits[%zu] is %.7g, not %.7g", name, i, (double)logits[i], (double)want[i]);
  free(logits);
  dg_arena_free(arena);
  dg_safetensors_close(s);
}

static void remove_made(void) {
  static const char *const files[] = {"adapter_config.json", "adapter_model.safetensors",
                                      "adapter.safetensors", "adapter_model.bin",
                                      "pytorch_adapter.bin"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    char *path = dg_format("%s/%s", made, files[i]);
    unlink(path);
    free(path);
  }
  rmdir(made);
}

/* What PEFT wrote and what we write: the same tensors by name. */
static void check_tensors(const char *name) {
  char path[512];
  dg_error err;
  snprintf(path, sizeof path, ADAPTERS "%s/adapter_model.safetensors", name);
  if (access(path, R_OK)) return;
  dg_safetensors *theirs = dg_safetensors_open(path, true, &err);
  snprintf(path, sizeof path, "%s/adapter_model.safetensors", made);
  dg_safetensors *ours = dg_safetensors_open(path, true, &err);
  if (!theirs || !ours) fail_msg("%s", err.message);
  assert_int_equal(dg_safetensors_count(ours) >= dg_safetensors_count(theirs), true);
  for (size_t i = 0; i < dg_safetensors_count(theirs); i++) {
    const dg_st_tensor *t = dg_safetensors_at(theirs, i);
    const dg_st_tensor *o = dg_safetensors_find(ours, t->name);
    if (!o) fail_msg("%s: no %s", name, t->name);
    assert_int_equal(o->shape[1], t->dims == 2 && strstr(t->name, "lora_A") ? t->shape[1]
                                                                           : o->shape[1]);
  }
  dg_safetensors_close(theirs);
  dg_safetensors_close(ours);
}

static void test_logits(void **state) {
  (void)state;
  for (size_t i = 0; i < NAMES; i++) {
    dg_family family;
    dg_error err;
    dg_model *m = load_model(names[i], &family);
    char directory[128];
    snprintf(directory, sizeof directory, ADAPTERS "%s", names[i]);
    dg_adapter *a = dg_exchange_read(directory, family, &m->config, &err);
    if (!a) fail_msg("%s", err.message);
    check_logits(names[i], m, a);

    bool peft = !strncmp(names[i], "peft", 4);
    remove_made();
    if (!dg_exchange_write(a, family, peft ? DG_EXCHANGE_PEFT : DG_EXCHANGE_ADAPTERHUB, "tiny",
                           made, &err))
      fail_msg("%s", err.message);
    if (peft) check_tensors(names[i]);
    dg_adapter *again = dg_exchange_read(made, family, &m->config, &err);
    if (!again) fail_msg("%s", err.message);
    assert_int_equal(a->params.total, again->params.total);
    assert_memory_equal(a->params.values, again->params.values, a->params.total * sizeof(float));
    check_logits(names[i], m, again);
    assert_false(dg_exchange_write(a, family, peft ? DG_EXCHANGE_ADAPTERHUB : DG_EXCHANGE_PEFT,
                                   "tiny", directory, &err)); /* the other method */
    assert_non_null(strstr(err.message, peft ? "AdapterHub" : "PEFT"));
    assert_false(dg_exchange_write(a, family, peft ? DG_EXCHANGE_PEFT : DG_EXCHANGE_ADAPTERHUB,
                                   "tiny", made, &err)); /* it is there */
    assert_non_null(strstr(err.message, "exists"));
    dg_adapter_free(a);
    dg_adapter_free(again);
    dg_model_free(m);
  }
}

static void copy(const char *from, const char *to) {
  FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
  assert_true(in && out);
  for (int c; (c = getc(in)) != EOF;) putc(c, out);
  fclose(in);
  fclose(out);
}

static void test_refusals(void **state) {
  (void)state;
  static const struct {
    const char *name, *key, *value, *says;
  } cases[] = {
      {"peft_m2m100", "use_dora", "true", "\"use_dora\": true"},
      {"peft_m2m100", "bias", "\"lora_only\"", "\"bias\": \"lora_only\""},
      {"peft_m2m100", "modules_to_save", "[\"lm_head\"]", "\"modules_to_save\""},
      {"peft_m2m100", "fan_in_fan_out", "true", "\"fan_in_fan_out\""},
      {"peft_m2m100", "lora_bias", "true", "\"lora_bias\""},
      {"peft_m2m100", "trainable_token_indices", "[3]", "\"trainable_token_indices\""},
      {"peft_m2m100", "peft_type", "\"IA3\"", "\"peft_type\": \"IA3\""},
      {"peft_m2m100", "peft_type", "\"ADALORA\"", "ADALORA"},
      {"peft_m2m100", "init_lora_weights", "\"pissa\"", "\"init_lora_weights\": \"pissa\""},
      {"peft_m2m100", "init_lora_weights", "\"loftq\"", "\"init_lora_weights\": \"loftq\""},
      {"peft_m2m100", "init_lora_weights", "\"OLoRA\"", "\"init_lora_weights\": \"OLoRA\""},
      {"peft_m2m100", "something_new", "{\"a\":1}", "\"something_new\""},
      {"peft_m2m100", "alpha_pattern", "{\".*fc1\":2}", "\"alpha_pattern\""},
      {"peft_m2m100", "lora_alpha", "null", "\"lora_alpha\""},
      {"peft_t5", "lora_alpha", "-1", "\"lora_alpha\""},
      {"hub_mbart", "phm_layer", "true", "\"phm_layer\": true"},
      {"hub_mbart", "ln_after", "true", "\"ln_after\""},
      {"hub_mbart", "use_gating", "true", "\"use_gating\""},
      {"hub_mbart", "inv_adapter", "\"nice\"", "\"inv_adapter\": \"nice\""},
      {"hub_mbart", "scaling", "\"learned\"", "\"scaling\": \"learned\""},
      {"hub_mbart", "non_linearity", "\"leakyrelu\"", "\"non_linearity\": \"leakyrelu\""},
      {"hub_mbart", "mh_adapter", "true", "\"mh_adapter\""},
      {"hub_mbart", "residual_before_ln", "false", "\"original_ln_after\""},
      {"hub_mbart", "residual_before_ln", "\"post_add\"", "\"residual_before_ln\""},
      {"hub_mbart", "ln_before", "true", "tensors belong"},
      {"hub_mbart", "name", NULL, "neither"},
      {"hub_mbart_double", "original_ln_after", "false", "\"original_ln_after\""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    bool peft = !strncmp(cases[i].name, "peft", 4);
    dg_family family;
    dg_error err;
    dg_model *m = load_model(cases[i].name, &family);
    remove_made();
    mkdir(made, 0777);
    const char *weights = peft ? "adapter_model.safetensors" : "adapter.safetensors";
    char *from = dg_format(ADAPTERS "%s/%s", cases[i].name, weights);
    char *to = dg_format("%s/%s", made, weights);
    copy(from, to);
    free(from);
    free(to);
    from = dg_format(ADAPTERS "%s/adapter_config.json", cases[i].name);
    to = dg_format("%s/adapter_config.json", made);
    json_t *j = json_load_file(from, 0, NULL), *inner = json_object_get(j, "config");
    assert_non_null(j);
    if (!cases[i].value) json_object_del(j, cases[i].key);
    else
      json_object_set_new(peft ? j : inner, cases[i].key,
                          json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
    assert_int_equal(json_dump_file(j, to, 0), 0);
    json_decref(j);
    if (dg_exchange_read(made, family, &m->config, &err))
      fail_msg("%s: %s passed", cases[i].key, cases[i].value);
    if (!strstr(err.message, cases[i].says)) fail_msg("%s", err.message);
    if (err.status != DG_ERR_UNSUPPORTED && err.status != DG_ERR_FORMAT)
      fail_msg("%s", err.message);
    free(from);
    free(to);
    dg_model_free(m);
  }
}

/* An adapter of another model: of other widths, or with projections that ours lacks. */
static void test_other_models(void **state) {
  (void)state;
  dg_family family;
  dg_error err;
  dg_model *m = load_model("peft_t5", &family);
  assert_null(dg_exchange_read(ADAPTERS "peft_m2m100", family, &m->config, &err));
  assert_non_null(strstr(err.message, "0 of its"));
  dg_model_config wider = m->config;
  wider.d_model *= 2;
  assert_null(dg_exchange_read(ADAPTERS "peft_t5", family, &wider, &err));
  assert_non_null(strstr(err.message, "numbers in rows of"));
  dg_model_config lower = m->config;
  lower.decoder_layers = 1;
  assert_null(dg_exchange_read(ADAPTERS "peft_t5", family, &lower, &err));
  assert_null(dg_exchange_read(ADAPTERS "nosuch", family, &m->config, &err));
  assert_int_equal(err.status, DG_ERR_IO);
  dg_model_free(m);
}

int main(void) {
  const char *tmp = getenv("TMPDIR");
  snprintf(made, sizeof made, "%s/exchanged", tmp ? tmp : "/tmp");
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_logits),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_other_models),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  remove_made();
  return failed;
}
