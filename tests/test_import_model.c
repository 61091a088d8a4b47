/* Checkpoints as transformers saves them (tests/goldens/import_model.py): encodings and
 * logits of the imported model are those of its class; what it cannot be is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <jansson.h>

#include "mt/core/lines.h"
#include "mt/core/mem.h"
#include "mt/decode/beam.h"
#include "mt/import/family.h"
#include "mt/model/decoder.h"
#include "tests/imported.h"

#define DIR "tests/import/model/"

static const char *const names[] = {"m2m100", "m2m100_half", "mbart", "mbart_scaled", "marian",
                                    "marian_two", "t5", "t5_silu", "mt5"};
enum { NAMES = sizeof names / sizeof *names };

static dg_model *import_weights(const char *name, const char *directory, dg_family_config *f) {
  char *config = dg_format(DIR "%s/config.json", name);
  dg_error err;
  if (!dg_family_config_read(config, f, &err)) fail_msg("%s", err.message);
  dg_checkpoint *c = dg_checkpoint_open(directory, &err);
  if (!c) fail_msg("%s", err.message);
  dg_model *m = dg_model_new(&f->model, &err);
  if (!m) fail_msg("%s", err.message);
  for (size_t i = 0; i < m->params.count; i++) {
    dg_tensor *t = &m->params.tensors[i];
    if (!dg_family_rows(f, c, t, 0, t->rows, t->value, &err)) fail_msg("%s: %s", name, err.message);
  }
  dg_checkpoint_close(c);
  free(config);
  return m;
}

static dg_model *import(const char *name, dg_family_config *f) {
  char *directory = dg_format(DIR "%s", name);
  dg_model *m = import_weights(name, directory, f);
  free(directory);
  return m;
}

static void test_outputs(void **state) {
  (void)state;
  for (size_t k = 0; k < NAMES; k++) {
    dg_family_config f;
    dg_model *m = import(names[k], &f);
    char *directory = dg_format(DIR "%s", names[k]);
    imported_outputs(m, directory, (size_t)m->config.vocab_size);
    dg_model_free(m);
    free(directory);
  }
}

/* Safetensors or a pickle, whole or in shards (tests/goldens/import_layouts.py). */
static void test_layouts(void **state) {
  (void)state;
  static const char *const layouts[] = {"safetensors", "bin", "shards", "bin_shards"};
  static const char *const models[] = {"m2m100", "mbart", "marian_two", "t5"};
  size_t compared = 0;
  for (size_t k = 0; k < 4; k++)
    for (size_t l = 0; l < 4; l++) {
      char *directory = dg_format("tests/import/layouts/%s/%s", models[k], layouts[l]);
      struct stat there;
      if (!stat(directory, &there)) {
        dg_family_config f;
        dg_model *want = import(models[k], &f), *got = import_weights(models[k], directory, &f);
        for (size_t i = 0; i < want->params.count; i++) {
          const dg_tensor *a = &want->params.tensors[i], *b = &got->params.tensors[i];
          if (memcmp(a->value, b->value, a->rows * a->cols * sizeof *a->value))
            fail_msg("%s: %s differs", directory, a->name);
        }
        dg_model_free(want);
        dg_model_free(got);
        compared++;
      }
      free(directory);
    }
  assert_int_equal(compared, 12);
}

/* --- search -------------------------------------------------------------------------------- */

enum { BEAM = 4, LONGEST = 11, SOURCE = 5 };

static void step(void *context, size_t rows, const int32_t *tokens, const uint32_t *parents,
                 const uint32_t *sources, float *logits) {
  dg_decoder_step(context, rows, tokens, parents, sources, logits);
}

typedef struct search {
  const char *name;
  const dg_model *model;
  const int32_t *start, *source;
  dg_beam_options options;
} search;

/* The best hypotheses of a beam. */
static void find(const search *s, size_t beam, dg_hypothesis *found) {
  const uint32_t offsets[] = {0, SOURCE};
  dg_network network = {.model = s->model, .precision = DG_FP32};
  dg_error err;
  dg_decoder *d = dg_decoder_new(&network, s->source, offsets, 1, beam, LONGEST + 1, &err);
  if (!d) fail_msg("%s", err.message);
  dg_beam_options o = s->options;
  o.beam = o.nbest = beam;
  const dg_beam_sentence sentence = {s->start, 1, 0, LONGEST};
  dg_beam_search(step, d, &o, &sentence, 1, NULL, found);
  dg_decoder_free(d);
}

static void check_beams(const char *name, const dg_model *m, const dg_family_config *f,
                        char *line) {
  bool banned[64] = {0};
  banned[f->pad] = true;
  const int32_t start = f->decoder_start;
  int32_t ids[SOURCE];
  search s = {name, m, &start, ids,
              {.banned = banned, .vocab = (size_t)dg_target_vocab(&m->config)}};
  assert_true(s.options.vocab <= 64);
  s.options.end = atoi(strsep(&line, "\t"));
  s.options.length_penalty = atof(strsep(&line, "\t"));
  char *source = strsep(&line, "\t");
  for (size_t i = 0; i < SOURCE; i++) ids[i] = (int32_t)strtol(source, &source, 10);
  dg_hypothesis found[BEAM];
  find(&s, BEAM, found);
  for (size_t k = 0; k < BEAM; k++) {
    char *at = strsep(&line, "\t");
    assert_non_null(at);
    double score = strtod(at, &at);
    if (!found[k].ids || fabs(found[k].score - score) > 1e-4)
      fail_msg("%s: hypothesis %zu scores %.6f, not %.6f", name, k, found[k].score, score);
    imported_same("token of hypothesis", name, found[k].ids, found[k].length, at);
    free(found[k].ids);
  }
  assert_non_null(line);
  find(&s, 1, found);
  imported_same("greedy token", name, found->ids, found->length, line);
  free(found->ids);
}

static void test_beams(void **state) {
  (void)state;
  for (size_t k = 0; k < NAMES; k++) {
    dg_family_config f;
    dg_model *m = import(names[k], &f);
    char *path = dg_format(DIR "%s/beams.tsv", names[k]), *line;
    dg_error err;
    dg_lines *lines = dg_lines_open(path, &err);
    if (!lines) fail_msg("%s", err.message);
    size_t n, count = 0;
    for (; dg_lines_next(lines, &line, &n, &err) == 1; count++) check_beams(names[k], m, &f, line);
    assert_true(count >= 4);
    dg_lines_close(lines);
    dg_model_free(m);
    free(path);
  }
}

/* --- configurations ------------------------------------------------------------------------- */

static char *changed_config(const char *name, const char *key, const char *value) {
  const char *tmp = getenv("TMPDIR");
  char *from = dg_format(DIR "%s/config.json", name);
  char *to = dg_format("%s/config.json", tmp ? tmp : "/tmp");
  json_t *j = json_load_file(from, 0, NULL);
  assert_non_null(j);
  if (value) json_object_set_new(j, key, json_loads(value, JSON_DECODE_ANY, NULL));
  else json_object_del(j, key);
  assert_int_equal(json_dump_file(j, to, 0), 0);
  json_decref(j);
  free(from);
  return to;
}

static void test_refused_switches(void **state) {
  (void)state;
  static const struct {
    const char *name, *key, *value, *says;
  } cases[] = {
      {"m2m100", "model_type", "\"bert\"", "\"model_type\": \"bert\": this program knows"},
      {"m2m100", "model_type", NULL, "\"model_type\": null"},
      {"m2m100", "activation_function", "\"mish\"", "\"activation_function\": \"mish\""},
      {"m2m100", "decoder_attention_heads", "3", "\"decoder_attention_heads\": 3: it must equal"},
      {"m2m100", "decoder_ffn_dim", "17", "\"decoder_ffn_dim\": 17"},
      {"m2m100", "d_model", NULL, "\"d_model\" is missing"},
      {"m2m100", "d_model", "0", "\"d_model\": 0"},
      {"m2m100", "d_model", "\"12\"", "\"d_model\": \"12\""},
      {"m2m100", "d_model", "13", "d_model 13 is not a multiple"},
      {"m2m100", "vocab_size", "-1", "\"vocab_size\": -1"},
      {"m2m100", "encoder_layers", "1e10", "\"encoder_layers\""},
      {"m2m100", "pad_token_id", "31", "\"pad_token_id\": 31: it is outside"},
      {"m2m100", "scale_embedding", "3", "\"scale_embedding\": 3: neither"},
      {"m2m100", "quantization_config", "{\"bits\": 4}", "\"quantization_config\": {\"bits\":4}"},
      {"m2m100", "pruned_heads", "{\"0\": [1]}", "\"pruned_heads\""},
      {"mbart", "is_encoder_decoder", "false", "\"is_encoder_decoder\": false"},
      {"m2m100", "vocab_size", "2000000000", "vocab_size"},
      {"m2m100", "d_model", "2000000000", "d_model"},
      {"m2m100", "encoder_layers", "2000000000", "encoder_layers"},
      {"t5", "d_ff", "2000000000", "ffn_dim"},
      {"mbart", "max_position_embeddings", "2000000000", "max_positions"},
      {"mbart", "is_decoder", "true", "\"is_decoder\": true: models of this family"},
      {"mbart", "tie_encoder_decoder", "true", "\"tie_encoder_decoder\": true"},
      {"mbart", "add_cross_attention", "true", "\"add_cross_attention\": true"},
      {"mbart", "cross_attention_hidden_size", "64", "\"cross_attention_hidden_size\": 64"},
      {"mbart", "architectures", "[\"MBartForSequenceClassification\"]",
       "\"architectures\": [\"MBartForSequenceClassification\"]: it must be a"},
      {"t5", "architectures", "[\"T5EncoderModel\"]", "\"architectures\": [\"T5EncoderModel\"]"},
      {"m2m100", "auto_map", "{\"AutoModelForSeq2SeqLM\": \"modeling.X\"}", "\"auto_map\""},
      {"mbart", "extra_pos_embeddings", "0", "\"extra_pos_embeddings\": 0"},
      {"mbart", "add_final_layer_norm", "false", "\"add_final_layer_norm\": false"},
      {"mbart", "do_blenderbot_90_layernorm", "true", "\"do_blenderbot_90_layernorm\": true"},
      {"marian", "add_bias_logits", "true", "\"add_bias_logits\": true"},
      {"marian", "static_position_embeddings", "false", "\"static_position_embeddings\": false"},
      {"t5", "dense_act_fn", "\"tanh\"", "\"dense_act_fn\": \"tanh\""},
      {"t5", "num_heads", "0", "\"num_heads\": 0"},
      {"t5", "d_kv", NULL, "\"d_kv\" is missing"},
      {"t5", "relative_attention_num_buckets", NULL,
       "\"relative_attention_num_buckets\" is missing"},
      {"t5", "tie_word_embeddings", "\"yes\"", "\"tie_word_embeddings\": \"yes\""},
      {"mbart", "normalize_before", "false", "\"normalize_before\": false"},
      {"mbart", "static_position_embeddings", "true", "\"static_position_embeddings\": true"},
      {"marian", "normalize_embedding", "true", "\"normalize_embedding\": true"},
      {"marian", "decoder_vocab_size", "40", "\"decoder_vocab_size\": 40"},
      {"t5", "feed_forward_proj", "\"gated-tanh\"", "\"feed_forward_proj\": \"gated-tanh\""},
      {"t5", "layer_norm_epsilon", "-1", "\"layer_norm_epsilon\": -1"},
      {"t5", "relative_attention_num_buckets", "7", "relative_buckets 7"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *path = changed_config(cases[i].name, cases[i].key, cases[i].value);
    dg_family_config f;
    dg_error err;
    if (dg_family_config_read(path, &f, &err)) fail_msg("taken: %s", cases[i].says);
    if (!strstr(err.message, cases[i].says) || strncmp(err.message, path, strlen(path)))
      fail_msg("\"%s\" lacks \"%s\"", err.message, cases[i].says);
    remove(path);
    free(path);
  }
}

/* What old configurations lack has the default of the class. */
static void test_defaults(void **state) {
  (void)state;
  char *path = changed_config("t5", "feed_forward_proj", NULL);
  dg_family_config f;
  dg_error err;
  assert_true(dg_family_config_read(path, &f, &err));
  assert_true(f.model.activation == DG_RELU && !f.model.gated_ffn);
  free(path);
  path = changed_config("mt5", "feed_forward_proj", NULL);
  assert_true(dg_family_config_read(path, &f, &err));
  assert_true(f.model.activation == DG_GELU_TANH && f.model.gated_ffn && !f.model.tie_output);
  free(path);
  path = changed_config("t5", "num_decoder_layers", NULL);
  assert_true(dg_family_config_read(path, &f, &err));
  assert_int_equal(f.model.decoder_layers, f.model.encoder_layers);
  remove(path);
  free(path);
}

/* A checkpoint that is not what its configuration says. */
static void test_misfits(void **state) {
  (void)state;
  static const struct {
    const char *key, *value, *says;
  } cases[] = {
      {"vocab_size", "32", "model.shared.weight of the checkpoint is 31 x 12, not 32 x 12"},
      {"encoder_layers", "2", "has no tensor model.encoder.layers.1."},
      {"tie_word_embeddings", "false", "has no tensor lm_head.weight"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *path = changed_config("m2m100", cases[i].key, cases[i].value);
    dg_family_config f;
    dg_error err = {0};
    assert_true(dg_family_config_read(path, &f, &err));
    dg_checkpoint *c = dg_checkpoint_open(DIR "m2m100", &err);
    dg_model *m = dg_model_new(&f.model, &err);
    assert_true(c && m);
    bool ok = true;
    for (size_t k = 0; k < m->params.count && ok; k++) {
      dg_tensor *t = &m->params.tensors[k];
      ok = dg_family_rows(&f, c, t, 0, t->rows, t->value, &err);
    }
    if (ok || !strstr(err.message, cases[i].says))
      fail_msg("\"%s\" lacks \"%s\"", err.message, cases[i].says);
    dg_model_free(m);
    dg_checkpoint_close(c);
    remove(path);
    free(path);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_outputs), cmocka_unit_test(test_layouts),
      cmocka_unit_test(test_beams),
      cmocka_unit_test(test_refused_switches),
      cmocka_unit_test(test_defaults),
      cmocka_unit_test(test_misfits),
  };
  return cmocka_run_group_tests_name("import_model", tests, NULL, NULL);
}
