/* What the translator makes of the hypotheses that are found: a random network, whose vocabulary
 * has many placeholders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mt/core/mem.h"
#include "mt/decode/translator.h"
#include "tokenizer/placeholders.h"

static int next_sentence(void *context, const char **text, size_t *n, dg_error *err) {
  static const char *const sentences[] = {"open the file %s", "close <b>the</b> file",
                                          "the file {0} of {1}", "open <b>%s</b> and close {0}"};
  (void)err;
  size_t *next = context;
  if (*next == 40) return 0;
  *text = sentences[(*next)++ % 4];
  *n = strlen(*text);
  return 1;
}

static dg_base *random_base(uint64_t seed) {
  static const char *const symbols[] = {"%s", "%d", "{0}", "{1}", "<b>", "</b>"};
  static const char *const tags[] = {"<2en>", "<2gl>"};
  dg_tokenizer_options o = dg_tokenizer_defaults();
  o.type = DG_TOKENIZER_BPE;
  o.vocab_size = 40;
  o.character_coverage = 1;
  o.byte_fallback = false;
  o.normalization = "identity";
  o.tags = tags, o.tag_count = 2;
  o.user_symbols = symbols, o.user_symbol_count = 6;
  o.quiet = true;
  dg_error err;
  size_t at = 0;
  dg_tokenizer *t = dg_tokenizer_train(&o, next_sentence, &at, &err);
  if (!t) fail_msg("%s", err.message);
  dg_model_config c;
  dg_options_defaults(dg_model_config_options, &c);
  c.d_model = 8, c.heads = 2, c.ffn_dim = 8, c.encoder_layers = c.decoder_layers = 1;
  c.vocab_size = dg_tokenizer_size(t);
  dg_model *m = dg_model_new(&c, &err);
  if (!m) fail_msg("%s", err.message);
  dg_model_initialize(m, seed);
  dg_base *b = dg_base_new(m, t, NULL, (const dg_language[]){{.code = "en"}, {.code = "gl"}}, 2,
                           NULL, &err);
  if (!b) fail_msg("%s", err.message);
  return b;
}

static void translate(const dg_base *b, size_t nbest, const char *line, dg_translation *out) {
  dg_network n = {.model = b->model};
  dg_translate_options o = dg_translate_defaults();
  dg_error err;
  o.beam = 8, o.nbest = nbest, o.max_length = 4;
  if (!dg_translate(&n, b, b->languages[0].tag, b->languages[1].tag, &o, &line, 1, out, &err))
    fail_msg("%s", err.message);
}

static void test_placeholders(void **state) {
  (void)state;
  static const char *const lines[] = {"open the file", "open the file %s", "<b>close</b>", "{0}"};
  size_t moved = 0, first = 0, without = 0;
  for (uint64_t seed = 1; seed <= 20; seed++) {
    dg_base *b = random_base(seed);
    for (size_t i = 0; i < 4; i++) {
      dg_translation list, one;
      translate(b, 8, lines[i], &list);
      translate(b, 1, lines[i], &one);
      assert_int_equal(one.count, 1);
      assert_string_equal(one.texts[0], list.texts[0]);
      assert_true(one.scores[0] == list.scores[0]);
      size_t kept = 0;
      for (size_t k = 0; k < list.count; k++) kept += dg_placeholders_same(lines[i], list.texts[k]);
      bool keeps = dg_placeholders_same(lines[i], list.texts[0]);
      assert_int_equal(one.lost, !keeps);
      assert_int_equal(keeps, kept > 0);
      for (size_t k = 2; k < list.count; k++) assert_true(list.scores[k] <= list.scores[k - 1]);
      bool better = list.count > 1 && list.scores[1] > list.scores[0];
      if (better) { /* those before it have others */
        assert_true(keeps);
        for (size_t k = 1; k < list.count && list.scores[k] > list.scores[0]; k++)
          assert_false(dg_placeholders_same(lines[i], list.texts[k]));
      }
      moved += better, first += keeps && !better, without += !keeps;
      dg_translations_free(&list, 1);
      dg_translations_free(&one, 1);
    }
    dg_base_free(b);
  }
  if (!moved || !first || !without) fail_msg("%zu moved, %zu first, %zu none", moved, first, without);
}

static bool third(void *context) { return ++*(int *)context == 3; }
static void reach(void *context, double share) {
  (void)context;
  assert_true(share > 0 && share < 1);
}

/* It ends between batches, and leaves nothing behind. */
static void test_stopped(void **state) {
  (void)state;
  dg_base *b = random_base(1);
  const char *lines[] = {"open the file", "close the file", "the file", "{0}"};
  dg_translation out[4];
  dg_network n = {.model = b->model};
  dg_translate_options o = dg_translate_defaults();
  int asked = 0;
  o.batch_tokens = 1, o.stop = third, o.progress = reach, o.context = &asked;
  dg_error err;
  const int32_t from = b->languages[0].tag, to = b->languages[1].tag;
  assert_false(dg_translate(&n, b, from, to, &o, lines, 4, out, &err));
  assert_int_equal(err.status, DG_ERR_INTERRUPTED);
  assert_int_equal(asked, 3);
  for (size_t i = 0; i < 4; i++) assert_null(out[i].texts);
  dg_base_free(b);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_placeholders),
                                     cmocka_unit_test(test_stopped)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
