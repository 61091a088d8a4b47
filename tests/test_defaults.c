/* Settings that go by the method, by where a new language stands and by the amount of text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mt/core/mem.h"
#include "mt/train/defaults.h"
#include "mt/train/gain.h"

static bool is_kept(void *context, const char *name) { return context && !strcmp(context, name); }

static dg_adapter_config chosen(const char *method, size_t pairs, bool source, bool target,
                                const char *keep, char **told) {
  dg_adapter_config c;
  dg_options_defaults(dg_adapter_config_options, &c);
  strcpy(c.method, method);
  dg_strbuf text = {0};
  dg_train_adapter_defaults(&c, pairs, source, target, is_kept, (void *)(uintptr_t)keep, &text);
  if (told) *told = text.text;
  else free(text.text);
  return c;
}

/* What is said of a gain at the end. */
static void test_verdicts(void **state) {
  (void)state;
  static const struct {
    double bleu, bleu_p, chrf, chrf_p;
    dg_gain_verdict verdict;
  } cases[] = {{1, 0.01, 1, 0.01, DG_GAIN_REAL},    {1, 0.01, 1, 0.2, DG_GAIN_CHANCE},
               {-1, 0.2, 1, 0.01, DG_GAIN_REAL},    {-1, 0.01, 1, 0.01, DG_GAIN_LOSS},
               {1, 0.01, -0.1, 0.4, DG_GAIN_LOSS},  {0, 1, 0, 1, DG_GAIN_NONE},
               {0.1, 0.3, 0.1, 0.06, DG_GAIN_CHANCE}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    dg_gain g = {.bleu = {{0}, {.gain = cases[i].bleu, .p_value = cases[i].bleu_p}},
                 .chrf = {{0}, {.gain = cases[i].chrf, .p_value = cases[i].chrf_p}}};
    assert_int_equal(dg_gain_judge(&g), cases[i].verdict);
  }
}

static void test_sides(void **state) {
  (void)state;
  dg_adapter_config c = chosen("bottleneck", 2000, false, true, "method", NULL);
  assert_string_equal(c.method, "bottleneck");
  assert_string_equal(c.encoder_layers, "none");
  assert_string_equal(c.decoder_layers, "all");
  assert_true(c.new_pieces > 0 && c.embeddings > 0);
  c = chosen("bottleneck", 2000, true, false, NULL, NULL);
  assert_string_equal(c.encoder_layers, "all");
  assert_string_equal(c.decoder_layers, "none");
  c = chosen("bottleneck", 2000, true, true, NULL, NULL);
  assert_string_equal(c.encoder_layers, "all");
  assert_string_equal(c.decoder_layers, "all");
  c = chosen("bottleneck", 2000, false, false, NULL, NULL);
  assert_string_equal(c.encoder_layers, "all");
  assert_int_equal(c.new_pieces, 0);
  assert_int_equal(c.embeddings, 0);
}

static void test_much_text(void **state) {
  (void)state;
  dg_adapter_config little = chosen("bottleneck", 15999, false, false, NULL, NULL),
                    much = chosen("bottleneck", 16000, false, false, NULL, NULL);
  assert_true(much.width > little.width);
}

/* To say a language takes more weights than to read it. */
static void test_new_target(void **state) {
  (void)state;
  assert_string_equal(chosen("bottleneck", 6000, true, false, NULL, NULL).method, "bottleneck");
  /* Who asks for a width asks for bottlenecks. */
  dg_adapter_config c = chosen("bottleneck", 6000, false, true, "width", NULL);
  assert_string_equal(c.method, "bottleneck");
  assert_string_equal(c.encoder_layers, "none");
  char *told;
  dg_adapter_config untouched;
  dg_options_defaults(dg_adapter_config_options, &untouched);
  c = chosen("bottleneck", 100, false, true, NULL, &told);
  assert_string_equal(c.method, "lora");
  assert_true(c.new_pieces > 0 && c.embeddings > 0);
  assert_string_equal(c.encoder_layers, untouched.encoder_layers);
  assert_int_equal(strncmp(told, "method lora, new_pieces ", 24), 0);
  free(told);
}

static void test_methods(void **state) {
  (void)state;
  dg_adapter_config untouched;
  dg_options_defaults(dg_adapter_config_options, &untouched);
  dg_adapter_config c = chosen("lora", 2000, false, true, NULL, NULL);
  assert_int_equal(c.width, untouched.width);
  assert_true(c.new_pieces > 0);
  c = chosen("ia3", 2000, false, true, NULL, NULL);
  assert_int_equal(c.new_pieces, untouched.new_pieces);
  /* Of two methods that both have a setting one says it. */
  char *told;
  chosen("bottleneck+lora", 2000, false, true, NULL, &told);
  char *first = strstr(told, "new_pieces ");
  assert_non_null(first);
  assert_null(strstr(first + 1, "new_pieces "));
  free(told);
}

static void test_kept(void **state) {
  (void)state;
  char *told;
  dg_adapter_config untouched;
  dg_options_defaults(dg_adapter_config_options, &untouched);
  dg_adapter_config c = chosen("bottleneck", 2000, false, true, "width", &told);
  assert_int_equal(c.width, untouched.width);
  assert_true(c.new_pieces > 0);
  assert_non_null(strstr(told, "width "));
  free(told);
  assert_true(dg_train_looks_after("width") && dg_train_looks_after("batch_tokens"));
  assert_false(dg_train_looks_after("seed"));
}

static void test_training(void **state) {
  (void)state;
  dg_train_options o[3];
  const size_t pairs[] = {1599, 1600, 16000};
  for (int i = 0; i < 3; i++) {
    dg_options_defaults(dg_train_options_table, &o[i]);
    dg_strbuf told = {0};
    dg_train_defaults(&o[i], pairs[i], is_kept, NULL, &told);
    free(told.text);
  }
  assert_true(o[0].max_updates < o[1].max_updates && o[1].max_updates < o[2].max_updates);
  assert_true(o[0].eval_every < o[1].eval_every && o[1].eval_every < o[2].eval_every);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_verdicts),   cmocka_unit_test(test_sides),
      cmocka_unit_test(test_much_text),  cmocka_unit_test(test_new_target),
      cmocka_unit_test(test_methods),    cmocka_unit_test(test_kept),
      cmocka_unit_test(test_training),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
