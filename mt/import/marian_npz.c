/* Marian's own files: MODEL.npz, whose special:model.yml has the settings, and beside it
 * vocabularies (.spm, or .yml with source.spm and target.spm). Names and computation are
 * those of marian's src/models/transformer.h; positions and epsilon are Marian's, from
 * which transformers' conversion differs. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/import/npz.h"
#include "mt/import/source.h"
#include "mt/import/vocabulary.h"
#include "mt/import/yaml.h"

enum { NAME_MOST = 128 };

typedef struct model {
  dg_npz *npz;
  dg_model_config shape;
} model;

static void close_model(void *context) {
  model *m = context;
  dg_npz_close(m->npz);
  free(m);
}

/* --- settings ------------------------------------------------------------------------------- */

static const char *setting(const json_t *s, const char *key, const char *absent) {
  const char *value = json_string_value(json_object_get(s, key));
  return value ? value : absent;
}

static bool truth(const json_t *s, const char *key) {
  return !strcmp(setting(s, key, "false"), "true");
}

static bool refuse(const json_t *s, const char *key, const char *why, dg_error *err) {
  return dg_fail(err, DG_ERR_UNSUPPORTED, "special:model.yml: %s: %.40s: %s", key,
                 setting(s, key, "(a list)"), why);
}

static bool read_size(const char *key, const char *text, long most, int *out, dg_error *err) {
  char *end = NULL;
  long n = text ? strtol(text, &end, 10) : 0;
  *out = (int)n;
  return (text && !*end && n > 0 && n <= most) ||
         dg_fail(err, DG_ERR_FORMAT, "special:model.yml: %s is no size between 1 and %ld", key,
                 most);
}

static bool size_setting(const json_t *s, const char *key, long most, int *out, dg_error *err) {
  return read_size(key, setting(s, key, NULL), most, out, err);
}

/* What changes the network and is not as it is here. Options that are absent were not known
 * to the Marian that wrote it. */
static bool check_settings(const json_t *s, dg_error *err) {
  static const struct {
    const char *key, *value, *why;
  } wanted[] = {
      {"type", "transformer", "only Transformers are imported"},
      {"transformer-ffn-depth", "2", "a feed-forward sublayer has two matrices here"},
      {"transformer-decoder-ffn-depth", "0", "a feed-forward sublayer has two matrices here"},
      {"transformer-decoder-dim-ffn", "0", "encoder and decoder have one width here"},
      {"transformer-decoder-autoreg", "self-attention", "the decoder attends to itself here"},
      {"transformer-no-projection", "false", "attention is projected here"},
      {"transformer-no-bias", "false", "there are biases here"},
      {"transformer-no-affine", "false", "norms have gains here"},
      {"transformer-rnn-projection", "false", "there are no recurrent layers here"},
      {"ulr", "false", "universal representations are not known here"},
      {"right-left", "false", "text is written in its order here"},
      {"lemma-dim-emb", "0", "factored vocabularies are not imported"},
      {"factors-combine", "sum", "factored vocabularies are not imported"},
      {"output-omit-bias", "false", "the output has a bias here"},
      {"transformer-disable-position-embeddings", "false", "there are positions here"},
      {"transformer-attention-mask", "default", "sources see all of themselves here"},
      {"transformer-pool", "false", "attention is no pool here"},
  };
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    const char *found = setting(s, wanted[i].key, wanted[i].value);
    if (strcmp(found, wanted[i].value)) return refuse(s, wanted[i].key, wanted[i].why, err);
  }
  const json_t *tied = json_object_get(s, "transformer-tied-layers");
  if (json_array_size(tied))
    return refuse(s, "transformer-tied-layers", "each layer has its own weights here", err);
  return true;
}

/* d: dropout, a: residual sum, n: norm. */
static bool set_norms(const json_t *s, dg_model_config *c, dg_error *err) {
  const char *before = setting(s, "transformer-preprocess", "");
  const char *after = setting(s, "transformer-postprocess", "dan");
  const char *top = setting(s, "transformer-postprocess-top", "");
  const char *embedded = setting(s, "transformer-postprocess-emb", "d");
  c->pre_norm = strchr(before, 'n') != NULL;
  if (strspn(before, "dn") != strlen(before) || strspn(top, "dn") != strlen(top))
    return refuse(s, before[strspn(before, "dn")] ? "transformer-preprocess"
                                                  : "transformer-postprocess-top",
                  "only dropout (d) and norms (n) are known there", err);
  if (strspn(embedded, "dn") != strlen(embedded))
    return refuse(s, "transformer-postprocess-emb", "only d and n are known there", err);
  const char *sum = strchr(after, 'a'), *norm = strchr(after, 'n');
  if (!sum || strspn(after, "dan") != strlen(after) || (norm != NULL) == c->pre_norm ||
      (norm && norm < sum))
    return refuse(s, "transformer-postprocess",
                  "after a sublayer da, with the norm before it, or dan are known", err);
  c->final_norm = strchr(top, 'n') != NULL;
  c->embedding_norm = strchr(embedded, 'n') != NULL;
  c->norm_eps = 1e-6;
  return true;
}

static bool set_activation(const json_t *s, dg_model_config *c, dg_error *err) {
  const char *name = setting(s, "transformer-ffn-activation", "swish");
  c->activation = !strcmp(name, "relu") ? DG_RELU : DG_SILU;
  return !strcmp(name, "relu") || !strcmp(name, "swish") ||
         refuse(s, "transformer-ffn-activation", "relu and swish are known here", err);
}

static bool set_shape(model *m, const json_t *s, dg_error *err) {
  dg_model_config *c = &m->shape;
  dg_options_defaults(dg_model_config_options, c);
  const json_t *vocabs = json_object_get(s, "dim-vocabs");
  int source, target;
  if (!check_settings(s, err) || !set_norms(s, c, err) || !set_activation(s, c, err)) return false;
  if (json_array_size(vocabs) != 2)
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "special:model.yml: dim-vocabs has %zu sizes: models of one source and one "
                   "target are imported",
                   json_array_size(vocabs));
  const char *first = json_string_value(json_array_get(vocabs, 0));
  const char *second = json_string_value(json_array_get(vocabs, 1));
  if (!read_size("dim-vocabs", first, (1 << 22) - 1, &source, err) ||
      !read_size("dim-vocabs", second, (1 << 22) - 1, &target, err) ||
      !size_setting(s, "dim-emb", 16384, &c->d_model, err) ||
      !size_setting(s, "enc-depth", 256, &c->encoder_layers, err) ||
      !size_setting(s, "dec-depth", 256, &c->decoder_layers, err) ||
      !size_setting(s, "transformer-heads", 256, &c->heads, err) ||
      !size_setting(s, "transformer-dim-ffn", 131072, &c->ffn_dim, err))
    return false;
  bool all = truth(s, "tied-embeddings-all");
  c->tie_source_target = all || truth(s, "tied-embeddings-src");
  c->tie_output = all || truth(s, "tied-embeddings");
  c->vocab_size = source + (c->tie_source_target ? 1 : 0);
  if (target + 1 != c->vocab_size) c->target_vocab_size = target + 1;
  c->output_bias = true;
  c->sinusoid_inclusive = true;
  c->max_positions = DG_OPEN_POSITIONS;
  /* --transformer-train-position-embeddings has no effect in Marian, which asks for another word. */
  if (dg_npz_find(m->npz, "Wpos"))
    return dg_fail(err, DG_ERR_UNSUPPORTED, "Wpos: trained positions are not known here");
  return dg_model_config_check(c, err);
}

static bool read_settings(model *m, dg_error *err) {
  const dg_npz_array *a = dg_npz_find(m->npz, "special:model.yml");
  if (!a)
    return dg_fail(err, DG_ERR_FORMAT, "it has no special:model.yml: Marian did not write it");
  char *text = dg_npz_text(m->npz, a, err);
  json_t *s = text ? dg_yaml_read((const uint8_t *)text, strlen(text), err) : NULL;
  bool ok = json_is_object(s) && set_shape(m, s, err);
  if (s && !json_is_object(s)) dg_fail(err, DG_ERR_FORMAT, "special:model.yml is no mapping");
  json_decref(s);
  free(text);
  return ok;
}

/* --- weights -------------------------------------------------------------------------------- */

/* Their name of one of our tensors; projections are turned. */
static void name_of(const model *m, const char *ours, char out[NAME_MOST], bool *turned) {
  char side[8], part[8], item[8], kind[8];
  int layer;
  *turned = false;
  if (sscanf(ours, "%7[a-z].layers.%d.%7[a-z].%7[a-z].%7[a-z]", side, &layer, part, item, kind) ==
      5) {
    bool ffn = !strcmp(part, "ffn"), weight = !strcmp(kind, "weight");
    const char *block = ffn ? "ffn" : !strcmp(part, "self") ? "self" : "context";
    int n = snprintf(out, NAME_MOST, "%s_l%d_%s", side, layer + 1, block);
    char *at = out + n;
    size_t room = NAME_MOST - (size_t)n;
    if (!strcmp(item, "norm"))
      snprintf(at, room, "_%s_ln_%s%s", ffn ? "ffn" : "Wo",
               !strcmp(kind, "gain") ? "scale" : "bias", m->shape.pre_norm ? "_pre" : "");
    else
      snprintf(at, room, "_%c%c", weight ? 'W' : 'b',
               !ffn ? *item : !strcmp(item, "out") ? '2' : '1');
    *turned = weight;
    return;
  }
  if (!strcmp(ours, "embedding")) snprintf(out, NAME_MOST, "Wemb");
  else if (dg_ends_with(ours, ".embedding")) snprintf(out, NAME_MOST, "%.7s_Wemb", ours);
  else if (!strcmp(ours, "output.bias")) snprintf(out, NAME_MOST, "decoder_ff_logit_out_b");
  else if (!strcmp(ours, "output.weight")) {
    *turned = dg_npz_find(m->npz, "decoder_ff_logit_out_W") != NULL;
    snprintf(out, NAME_MOST, "decoder_ff_logit_out_W%s", *turned ? "" : "t");
  } else {
    const char *dot = strchr(ours, '.');
    bool embedded = !strncmp(dot, ".embedding_norm", 15);
    snprintf(out, NAME_MOST, "%.*s_%s_ln_%s%s", (int)(dot - ours), ours, embedded ? "emb" : "top",
             dg_ends_with(ours, ".gain") ? "scale" : "bias", embedded ? "_pre" : "");
  }
}

static bool read_rows(void *context, const dg_tensor *t, size_t first, size_t count, float *out,
                      dg_error *err) {
  const model *m = context;
  char name[NAME_MOST];
  bool turned, bias = !strcmp(t->name, "output.bias");
  name_of(m, t->name, name, &turned);
  const dg_npz_array *a = dg_npz_find(m->npz, name);
  if (!a) return dg_fail(err, DG_ERR_FORMAT, "the file has no array %s", name);
  bool added = bias || !strcmp(t->name, "output.weight") ||
               (dg_ends_with(t->name, "embedding") && strcmp(t->name, "encoder.embedding") != 0);
  /* Vectors are matrices of one row there. */
  size_t rows = t->rows == 1 ? 1 : t->rows - added;
  size_t cols = t->rows == 1 ? t->cols - added : t->cols;
  size_t high = turned ? cols : rows, wide = turned ? rows : cols;
  bool fits = (a->dims == 2 && a->shape[0] == high && a->shape[1] == wide) ||
              (a->dims == 1 && high == 1 && a->shape[0] == wide);
  if (!fits) {
    dg_strbuf shape = {0};
    for (size_t i = 0; i < a->dims; i++)
      dg_strbuf_addf(&shape, "%s%zu", i ? " x " : "", a->shape[i]);
    dg_fail(err, DG_ERR_FORMAT, "array %s is %s, not %zu x %zu as special:model.yml says", name,
            shape.text ? shape.text : "a single number", high, wide);
    free(shape.text);
    return false;
  }
  const float *x = dg_npz_read(m->npz, a, err);
  if (!x) return false;
  for (size_t r = first; r < first + count; r++)
    for (size_t k = 0; k < t->cols; k++) {
      bool beyond = r >= rows || k >= cols;
      *out++ = beyond ? (bias ? dg_source_never : 0) : turned ? x[k * wide + r] : x[r * wide + k];
    }
  return true;
}

/* --- vocabularies --------------------------------------------------------------------------- */

/* A file beside the model; names that lead elsewhere are cut to their end. */
static char *beside(const char *npz, const char *name) {
  const char *slash = strrchr(npz, '/'), *base = strrchr(name, '/');
  return dg_format("%.*s%s", slash ? (int)(slash + 1 - npz) : 0, npz, base ? base + 1 : name);
}

static json_t *read_yaml_file(const char *path) {
  dg_mapping map;
  if (access(path, F_OK) || !dg_map(path, &map, NULL)) return NULL;
  json_t *j = dg_yaml_read(map.data, map.size, NULL);
  dg_unmap(&map);
  return j;
}

static int is_vocabulary(const struct dirent *e) {
  return dg_ends_with(e->d_name, "vocab.yml") || dg_ends_with(e->d_name, "vocab.spm");
}

/* Those that Marian's own decoder.yml names, else the one or two there are. */
static bool find_vocabularies(const char *npz, char *paths[2], dg_error *err) {
  char *decoder[2] = {dg_format("%s.decoder.yml", npz), beside(npz, "decoder.yml")};
  for (int i = 0; i < 2 && !paths[1]; i++) {
    json_t *settings = read_yaml_file(decoder[i]);
    const json_t *list = json_object_get(settings, "vocabs");
    for (size_t k = 0; k < 2 && json_array_size(list) == 2; k++) {
      const char *name = json_string_value(json_array_get(list, k));
      free(paths[k]);
      paths[k] = name ? beside(npz, name) : NULL;
    }
    json_decref(settings);
  }
  free(decoder[0]);
  free(decoder[1]);
  if (paths[0] && paths[1]) return true;
  char *folder = beside(npz, ".");
  struct dirent **found = NULL;
  int n = scandir(folder, &found, is_vocabulary, alphasort); /* src before trg */
  for (int k = 0; k < 2 && (n == 1 || n == 2); k++) {
    free(paths[k]);
    paths[k] = beside(npz, found[n == 2 ? k : 0]->d_name);
  }
  for (int i = 0; i < n; i++) free(found[i]);
  free(found);
  free(folder);
  return (n == 1 || n == 2) ||
         dg_fail(err, DG_ERR_IO,
                 "%s: beside it there must be its decoder.yml, or one or two files *vocab.yml or "
                 "*vocab.spm",
                 npz);
}

/* A side's tokens by id, and the sentencepiece model that cuts its text. */
static bool load_side(const char *npz, const char *path, bool target, dg_vocabulary *v,
                      dg_pieces **p, dg_error *err) {
  if (dg_ends_with(path, ".spm")) { /* Marian's own: ids are the model's */
    *p = dg_pieces_of(dg_tokenizer_load_file(path, err), err);
    for (size_t i = 0; *p && i < dg_pieces_count(*p); i++) {
      DG_GROW(v->tokens, v->capacity, i + 1);
      const char *token = dg_pieces_is_unknown(*p, i) ? "<unk>" : dg_pieces_text(*p, i);
      v->tokens[v->count++] = dg_strdup(token);
    }
    return *p != NULL;
  }
  char *spm = beside(npz, target ? "target.spm" : "source.spm");
  bool ok = dg_vocabulary_load(path, v, err);
  if (ok && access(spm, F_OK))
    ok = dg_fail(err, DG_ERR_UNSUPPORTED,
                 "%s: there is no such file: of models with .yml vocabularies those cut by "
                 "sentencepiece are imported, not subword-nmt's",
                 spm);
  ok = ok && (*p = dg_pieces_of(dg_tokenizer_load_file(spm, err), err));
  free(spm);
  return ok;
}

static bool add_start(dg_vocabulary *v, size_t size, dg_error *err) {
  if (v->count >= size)
    return dg_fail(err, DG_ERR_FORMAT, "the vocabulary has %zu tokens, the model %zu", v->count,
                   size - 1);
  DG_GROW(v->tokens, v->capacity, size);
  while (v->count < size) v->tokens[v->count++] = NULL;
  v->tokens[size - 1] = dg_strdup("<pad>");
  return true;
}

static bool make_tokenizers(dg_source *s, const char *npz, dg_error *err) {
  const dg_model_config *c = &s->config.model;
  char *paths[2] = {NULL, NULL};
  dg_vocabulary source = {0}, target = {0};
  dg_pieces *first = NULL, *second = NULL;
  bool ok = find_vocabularies(npz, paths, err) &&
            load_side(npz, paths[0], false, &source, &first, err) &&
            load_side(npz, paths[1], true, &target, &second, err);
  ok = ok && (!c->tie_source_target || add_start(&source, (size_t)c->vocab_size, err)) &&
       add_start(&target, (size_t)dg_target_vocab(c), err);
  if (ok) {
    long eos = dg_vocabulary_find(&target, "</s>");
    s->config.eos = (int)eos;
    s->config.decoder_start = dg_target_vocab(c) - 1;
    ok = eos >= 0 && eos == dg_vocabulary_find(&source, "</s>");
    if (!ok) dg_fail(err, DG_ERR_UNSUPPORTED, "its vocabularies have no </s>, or at two places");
  }
  if (ok) {
    ok = dg_source_marian_tokenizers(s, &source, &target, first, second, err);
    first = second = NULL;
  }
  dg_pieces_free(first);
  dg_pieces_free(second);
  dg_vocabulary_free(&source);
  dg_vocabulary_free(&target);
  free(paths[0]);
  free(paths[1]);
  return ok;
}

bool dg_source_marian_npz(dg_source *s, const char *path, const dg_import_options *o,
                          dg_error *err) {
  model *m = dg_calloc(1, sizeof *m);
  s->weights = m, s->rows = read_rows, s->close = close_model;
  s->format = "marian-npz"; /* transformers' Marian is another: its epsilon, its positions */
  s->config.family = DG_FAMILY_MARIAN;
  if (!(m->npz = dg_npz_open(path, err))) return false;
  bool ok = read_settings(m, err);
  s->config.model = m->shape;
  ok = ok && make_tokenizers(s, path, err) && dg_source_set_sides(s, o, NULL, NULL, err);
  if (!ok && err && !strstr(err->message, path)) dg_error_context(err, "%s", path);
  return ok;
}
