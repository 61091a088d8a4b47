/* Base, adapter and checkpoint files: what is saved is what is loaded, within the
 * storage's precision, and nothing damaged or foreign is taken for one. */
#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/kernels/isa.h"
#include "mt/model/adapter_file.h"
#include "mt/model/decoder.h"
#include "mt/model/loss.h"
#include "mt/model/merge.h"
#include "mt/model/packed.h"
#include "mt/model/stack.h"
#include "mt/train/trainer.h"
#include "tests/sign.h"

static char *path, *other; /* files under test */
static dg_tokenizer *tokenizer;

enum { SENTENCES = 40 };
static char sentences[SENTENCES][40];

static int next_sentence(void *context, const char **sentence, size_t *n, dg_error *err) {
  (void)err;
  int *i = context;
  if (*i == SENTENCES) return 0;
  *sentence = sentences[(*i)++];
  *n = strlen(*sentence);
  return 1;
}

static int set_up(void **state) {
  (void)state;
  static const char *const words[] = {"one", "two", "red", "blue", "ten"};
  dg_rng r = {dg_rng_key(3, 0), 0};
  for (int i = 0; i < SENTENCES; i++)
    for (int k = 0; k < 3; k++) {
      if (k) strcat(sentences[i], " ");
      strcat(sentences[i], words[dg_rng_below(&r, 5)]);
    }
  dg_tokenizer_options o = dg_tokenizer_defaults();
  o.type = DG_TOKENIZER_BPE;
  o.vocab_size = 24;
  o.character_coverage = 1;
  o.byte_fallback = false;
  o.normalization = "identity";
  o.tags = (const char *const[]){"<2en>", "<2pt-BR>"};
  o.tag_count = 2;
  o.quiet = true;
  dg_error err;
  int at = 0;
  tokenizer = dg_tokenizer_train(&o, next_sentence, &at, &err);
  if (!tokenizer) print_error("%s\n", err.message);
  const char *tmp = getenv("TMPDIR");
  path = dg_format("%s/test_base-%ld", tmp ? tmp : "/tmp", (long)getpid());
  other = dg_format("%s.other", path);
  return tokenizer ? 0 : -1;
}

static int tear_down(void **state) {
  (void)state;
  unlink(path);
  unlink(other);
  free(path);
  free(other);
  dg_tokenizer_free(tokenizer);
  return 0;
}

/* Disks are slow and not what is tested. */
int fsync(int fd) {
  (void)fd;
  return 0;
}

/* --- making them ----------------------------------------------------------------------------- */

static dg_tokenizer *own_tokenizer(void) {
  size_t n;
  const void *bytes = dg_tokenizer_bytes(tokenizer, &n);
  return dg_tokenizer_load(bytes, n, NULL);
}

static dg_model_config configuration(void) {
  dg_model_config c;
  dg_options_defaults(dg_model_config_options, &c);
  c.d_model = 6, c.heads = 2, c.ffn_dim = 5, c.encoder_layers = c.decoder_layers = 1;
  c.position = DG_POSITION_RELATIVE, c.relative_buckets = 4, c.relative_distance = 8;
  c.attention_bias = c.norm_bias = c.final_norm = false;
  c.vocab_size = dg_tokenizer_size(tokenizer);
  return c;
}

static dg_base *new_base(uint64_t seed) {
  dg_error err;
  dg_model_config c = configuration();
  dg_model *m = dg_model_new(&c, &err);
  assert_non_null(m);
  dg_model_initialize(m, seed);
  for (size_t i = 0; i < m->params.count; i++) { /* biases and gains are not all alike */
    dg_tensor *t = &m->params.tensors[i];
    dg_rng r = {dg_rng_key(seed, i), 0};
    for (size_t k = 0; t->rows == 1 && k < t->cols; k++)
      t->value[k] += (float)dg_rng_uniform(&r);
  }
  float *w = dg_params_find(&m->params, "embedding")->value;
  w[0] = 1 + 0x1p-8f, w[1] = 1 + 0x3p-8f; /* in the middle between bf16 neighbours */
  dg_base *b = dg_base_new(m, own_tokenizer(), NULL,
                           (const dg_language[]){{.code = "eng"}, {.code = "pt_BR"}}, 2,
                           json_pack("{s:s}", "note", "\xC3\xA9"), &err);
  if (!b) fail_msg("%s", err.message);
  return b;
}

static dg_base *load_base(const char *name) {
  dg_error err;
  dg_base *b = dg_base_load(name, &err);
  if (!b) fail_msg("%s", err.message);
  return b;
}

/* The same with its weights in memory, in fp32. */
static dg_base *load_copied(const char *name) {
  dg_error err;
  dg_base *b = load_base(name), *copy = dg_base_copy(b, NULL, 0, &err);
  if (!copy) fail_msg("%s", err.message);
  memcpy(copy->hash, b->hash, sizeof b->hash);
  dg_base_free(b);
  return copy;
}

static void save_base(const dg_base *b, const char *name, dg_storage storage, char *hash) {
  dg_error err;
  if (!dg_base_save(b, name, storage, hash, &err)) fail_msg("%s", err.message);
}

static dg_adapter_file *new_adapter_of(const dg_base *b, const char *method) {
  dg_error err;
  dg_adapter_file *f = dg_calloc(1, sizeof *f);
  f->language_count = 1;
  f->languages = dg_calloc(1, sizeof *f->languages);
  f->languages[0] = (dg_language){.code = "gl", .tag = dg_first_tag(&b->model->config)};
  assert_true(dg_adapter_file_add_pair(f, "en", "gl", &err));
  strcpy(f->base_hash, b->hash);
  f->card = json_pack("{s:i}", "pairs", 7);
  dg_adapter_config c;
  dg_options_defaults(dg_adapter_config_options, &c);
  c.width = 3;
  c.rank = 2;
  strcpy(c.method, method);
  f->adapter = dg_adapter_new(&b->model->config, &c, 1, &err);
  dg_adapter_initialize(f->adapter, 5);
  dg_rng r = {dg_rng_key(5, 5), 0};
  for (size_t i = 0; i < f->adapter->params.count; i++) {
    dg_tensor *t = &f->adapter->params.tensors[i];
    for (size_t k = 0; k < t->rows * t->cols; k++) t->value[k] = (float)dg_rng_normal(&r);
  }
  return f;
}

static dg_adapter_file *new_adapter(const dg_base *b) { return new_adapter_of(b, "bottleneck"); }

/* --- precision --------------------------------------------------------------------------------- */

/* bf16 by the book: the nearest of the two neighbours, the even one in the middle. */
static float nearest_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  uint32_t low = bits & 0xFFFF0000u, high = low + 0x10000u;
  float a, b;
  memcpy(&a, &low, 4);
  memcpy(&b, &high, 4);
  double down = fabs((double)x - (double)a), up = fabs((double)b - (double)x);
  return down < up || (down == up && !(low & 0x10000u)) ? a : b;
}

static bool delicate(const dg_tensor *t) {
  size_t n = strlen(t->name);
  return t->rows == 1 || (n > 9 && !strcmp(t->name + n - 9, ".relative")) ||
         !strcmp(t->name, "extra");
}

static void check_params(const dg_params *a, const dg_params *b, dg_storage storage) {
  assert_int_equal(a->count, b->count);
  size_t coarse = 0, exact = 0;
  for (size_t i = 0; i < a->count; i++) {
    const dg_tensor *x = &a->tensors[i], *y = &b->tensors[i];
    size_t n = x->rows * x->cols;
    assert_string_equal(x->name, y->name);
    if (storage == DG_STORE_FP32 || delicate(x)) {
      assert_memory_equal(x->value, y->value, n * sizeof(float));
      exact++;
      continue;
    }
    coarse++;
    for (size_t k = 0; storage == DG_STORE_BF16 && k < n; k++)
      if (y->value[k] != nearest_bf16(x->value[k])) fail_msg("%s: element %zu", x->name, k);
    for (size_t row = 0; storage == DG_STORE_INT8 && row < x->rows; row++) {
      const float *p = x->value + row * x->cols, *q = y->value + row * x->cols;
      double top = 0, worst = 0;
      for (size_t k = 0; k < x->cols; k++) top = fmax(top, fabs((double)p[k]));
      for (size_t k = 0; k < x->cols; k++) worst = fmax(worst, fabs((double)p[k] - (double)q[k]));
      if (worst > top / 254 * (1 + 1e-5))
        fail_msg("%s: row %zu: %g of %g", x->name, row, worst, top);
    }
  }
  assert_true(exact > 3 && (coarse > 3 || storage == DG_STORE_FP32));
}

static void test_base_round_trip(void **state) {
  (void)state;
  dg_base *a = new_base(1);
  size_t sizes[3];
  for (int storage = DG_STORE_FP32; storage <= DG_STORE_INT8; storage++) {
    char hash[DG_HASH_TEXT], again[DG_HASH_TEXT];
    save_base(a, path, (dg_storage)storage, hash);
    dg_base *b = load_copied(path);
    assert_string_equal(b->hash, hash);
    check_params(&a->model->params, &b->model->params, (dg_storage)storage);
    json_t *x = dg_options_to_json(dg_model_config_options, &a->model->config),
           *y = dg_options_to_json(dg_model_config_options, &b->model->config);
    assert_true(json_equal(x, y) && json_equal(a->card, b->card));
    json_decref(x);
    json_decref(y);
    assert_int_equal(b->language_count, 2);
    assert_string_equal(b->languages[1].code, "pt-BR");
    assert_int_equal(b->languages[1].tag, dg_tokenizer_id(tokenizer, "<2pt-BR>"));
    size_t n, m;
    const void *p = dg_tokenizer_bytes(tokenizer, &n), *q = dg_tokenizer_bytes(b->tokenizer, &m);
    assert_int_equal(n, m);
    assert_memory_equal(p, q, n);
    if (storage != DG_STORE_INT8) { /* nothing is lost a second time */
      save_base(b, other, (dg_storage)storage, again);
      assert_string_equal(hash, again);
    }
    save_base(a, other, (dg_storage)storage, again);
    assert_string_equal(hash, again);
    dg_base_free(b);
    dg_mapping map;
    assert_true(dg_map(path, &map, NULL));
    sizes[storage] = map.size;
    dg_unmap(&map);
  }
  assert_true(sizes[DG_STORE_BF16] < sizes[DG_STORE_FP32]);
  dg_base_free(a);
  dg_base_free(NULL);
}

/* The ends of each storage's range. */
static void test_extreme_weights(void **state) {
  (void)state;
  dg_base *a = new_base(1);
  dg_tensor *t = dg_params_find(&a->model->params, "embedding");
  assert_true(t->rows >= 9);
  float *w = t->value;
  size_t d = t->cols;
  memset(w, 0, 9 * d * sizeof *w); /* row 0: nothing but zeros */
  for (size_t k = 0; k < d; k++) {
    w[d + k] = k % 2 ? -3e38f : 3e38f;
    w[2 * d + k] = FLT_TRUE_MIN;
    w[3 * d + k] = k ? 1e-38f : -1e-36f;
    w[4 * d + k] = -0.0f;
    w[6 * d + k] = (float)k - 2.5f;
  }
  w[5 * d] = 1e30f, w[5 * d + 1] = 1;
  dg_error err;
  for (int storage = 0; storage <= DG_STORE_INT8; storage++) {
    save_base(a, path, (dg_storage)storage, NULL);
    dg_base *b = load_copied(path);
    const float *v = dg_params_find(&b->model->params, "embedding")->value;
    for (size_t k = 0; k < 9 * d; k++) assert_true(isfinite(v[k]));
    for (size_t k = 0; k < d; k++) {
      assert_true(v[k] == 0 && v[4 * d + k] == 0);
      assert_true(fabsf(v[d + k]) >= 2.97e38f && (v[d + k] < 0) == (k % 2));
    }
    dg_base_free(b);
  }
  static const float wrong[] = {NAN, INFINITY, -INFINITY};
  for (int i = 0; i < 3; i++)
    for (int storage = 0; storage <= DG_STORE_INT8; storage++) {
      unlink(path);
      w[7] = wrong[i];
      assert_false(dg_base_save(a, path, (dg_storage)storage, NULL, &err));
      if (!strstr(err.message, "embedding") || !strstr(err.message, path))
        fail_msg("%s", err.message);
      assert_int_equal(access(path, F_OK), -1);
    }
  dg_base_free(a);
}

static void test_frozen(void **state) {
  (void)state;
  dg_base *a = new_base(1);
  save_base(a, path, DG_STORE_FP32, NULL);
  dg_base_free(a);
  a = load_base(path);
  fflush(NULL);
  pid_t child = fork();
  if (!child) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGSEGV, SIG_DFL); /* not a failed test to go on from */
    *(volatile float *)a->model->params.values = 1;
    _exit(0);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
  dg_base_free(a);
}

/* How far x is from `want`, to the length of this. */
static double distance(const float *x, const float *want, size_t n) {
  double apart = 0, length = 0;
  for (size_t i = 0; i < n; i++) {
    apart += ((double)x[i] - (double)want[i]) * ((double)x[i] - (double)want[i]);
    length += (double)want[i] * (double)want[i];
  }
  return sqrt(apart / length);
}

/* What a base computes while it is held as stored is what it computes in fp32; when operands may
 * be rounded, about that. */
static void test_held_as_stored(void **state) {
  (void)state;
  dg_base *a = new_base(1);
  const int32_t source[] = {5, 6, 7, 3, 8, 9, 3}, input[] = {3, 10, 11, 3, 12},
                labels[] = {10, 11, 3, 12, 3};
  const uint32_t source_offsets[] = {0, 4, 7}, target_offsets[] = {0, 3, 5};
  const dg_batch batch = {2, source, input, labels, source_offsets, target_offsets, NULL, NULL};
  const dg_loss_options o = {.gradient_scale = 1};
  for (int storage = 0; storage <= DG_STORE_INT8; storage++) {
    save_base(a, path, (dg_storage)storage, NULL);
    enum { HELD, COPIED, ROUNDED };
    double losses[3];
    float *grads[3];
    size_t total = 0;
    for (int way = HELD; way <= ROUNDED; way++) {
      bool copied = way == COPIED;
      dg_error err;
      dg_base *b = copied ? load_copied(path) : load_base(path);
      const dg_params *p = &b->model->params;
      assert_int_equal(dg_params_find(p, "embedding")->value != NULL, copied);
      assert_int_equal(p->size == p->total, copied);
      dg_adapter_file *f = new_adapter_of(b, "bottleneck+lora");
      for (size_t i = 0; i < f->adapter->params.count; i++) { /* roundings must not tip a maximum */
        dg_tensor *t = &f->adapter->params.tensors[i];
        for (size_t k = 0; k < t->rows * t->cols; k++) t->value[k] *= 0.1f;
      }
      assert_true(dg_adapter_train(f->adapter, &err));
      dg_network n = {.model = b->model, .adapters = {f->adapter}, .adapter_count = 1,
                      .precision = way == ROUNDED ? DG_ROUNDED : DG_FP32};
      dg_arena *arena = dg_arena_new(1 << 20);
      dg_loss loss = {0};
      if (!dg_loss_backward(&n, &batch, &o, arena, &loss, &err)) fail_msg("%s", err.message);
      losses[way] = loss.nll;
      total = f->adapter->params.total;
      grads[way] = memcpy(dg_malloc(total * sizeof(float)), f->adapter->params.grads,
                             total * sizeof(float));
      dg_arena_free(arena);
      dg_adapter_file_free(f);
      dg_base_free(b);
    }
    assert_true(losses[0] > 1 && fabs(losses[0] - losses[1]) < 1e-5 * losses[0]);
    if (dg_isa_level() != DG_ISA_GENERIC) /* which multiplies by BLAS */
      assert_memory_equal(grads[HELD], grads[COPIED], total * sizeof(float));
    bool bf16 = dg_isa_level() == DG_ISA_AVX512_BF16;
    double apart = distance(grads[ROUNDED], grads[HELD], total);
    assert_true(fabs(losses[ROUNDED] - losses[HELD]) < (bf16 ? 1e-2 : 1e-4) * losses[HELD]);
    if (apart > (bf16 ? 3e-2 : 3e-4)) fail_msg("storage %d: gradients %g apart", storage, apart);
    if (storage == DG_STORE_INT8 && dg_isa_level() == DG_ISA_AVX2) assert_true(apart > 0);
    for (int way = HELD; way <= ROUNDED; way++) free(grads[way]);
  }
  dg_base_free(a);
}

/* Of a large model what is held in 8 bits is packed all the same, and what the file's pages hold
 * is there still. */
static void test_packed_large(void **state) {
  (void)state;
  dg_base *a = new_base(1);
  enum { SMALL, LARGE };
  for (int storage = 0; storage <= DG_STORE_INT8; storage++) {
    save_base(a, path, (dg_storage)storage, NULL);
    float *logits[2];
    size_t classes = 0;
    for (int way = SMALL; way <= LARGE; way++) {
      dg_base *b = load_base(path);
      dg_error err;
      dg_packed_model *packed =
          dg_packed_model_limited(b->model, DG_INT8, way == LARGE ? 0 : SIZE_MAX, &err);
      assert_non_null(packed);
      bool eight = storage == DG_STORE_INT8 && dg_isa_level() != DG_ISA_GENERIC;
      assert_int_equal(dg_packed_model_find(packed, &b->model->output) != NULL,
                       way == SMALL || eight);
      dg_network n = {.model = b->model, .packed = packed, .precision = DG_INT8};
      const int32_t source[] = {5, 6, 7, 3}, token = 3;
      const uint32_t offsets[] = {0, 4}, zero = 0;
      dg_decoder *d = dg_decoder_new(&n, source, offsets, 1, 1, 4, &err);
      assert_non_null(d);
      classes = dg_network_classes(&n);
      logits[way] = dg_malloc(classes * sizeof(float));
      dg_decoder_step(d, 1, &token, &zero, &zero, logits[way]);
      dg_decoder_free(d);
      dg_packed_model_free(packed);
      dg_base_free(b);
    }
    if (dg_isa_level() != DG_ISA_GENERIC) /* which multiplies by BLAS */
      assert_memory_equal(logits[SMALL], logits[LARGE], classes * sizeof(float));
    free(logits[SMALL]), free(logits[LARGE]);
  }
  dg_base_free(a);
}

static void test_adapter_round_trip(void **state) {
  (void)state;
  dg_base *a = new_base(1), *elsewhere = new_base(2);
  save_base(a, path, DG_STORE_FP32, NULL);
  save_base(elsewhere, other, DG_STORE_FP32, NULL);
  dg_base_free(a);
  dg_base_free(elsewhere);
  a = load_base(path), elsewhere = load_base(other);
  dg_adapter_file *f = new_adapter(a);
  dg_error err;
  for (int storage = 0; storage <= DG_STORE_INT8; storage++) {
    char hash[DG_HASH_TEXT];
    assert_true(dg_adapter_file_save(f, path, (dg_storage)storage, hash, &err));
    dg_adapter_file *g = dg_adapter_file_load(path, a, &err);
    if (!g) fail_msg("%s", err.message);
    check_params(&f->adapter->params, &g->adapter->params,
                 storage == DG_STORE_FP32 ? DG_STORE_FP32 : (dg_storage)storage);
    assert_string_equal(g->pairs[0].source, "en");
    assert_string_equal(g->pairs[0].target, "gl");
    assert_string_equal(g->hash, hash);
    assert_string_equal(g->base_hash, a->hash);
    assert_int_equal(g->language_count, 1);
    assert_string_equal(g->languages[0].code, "gl");
    assert_int_equal(g->languages[0].tag, dg_first_tag(&a->model->config));
    assert_true(json_equal(f->card, g->card));
    dg_adapter_file_free(g);
    /* Another base is refused, by hash. */
    assert_null(dg_adapter_file_load(path, elsewhere, &err));
    assert_int_equal(err.status, DG_ERR_USAGE);
    if (!strstr(err.message, a->hash) || !strstr(err.message, elsewhere->hash) ||
        !strstr(err.message, path))
      fail_msg("%s", err.message);
  }
  assert_null(dg_base_load(path, &err)); /* an adapter is no base */
  assert_non_null(strstr(err.message, "not a base"));
  save_base(a, other, DG_STORE_FP32, NULL);
  assert_null(dg_adapter_file_load(other, a, &err));
  assert_non_null(strstr(err.message, "not an adapter"));
  f->adapter->params.values[0] = NAN;
  assert_false(dg_adapter_file_save(f, path, DG_STORE_FP32, NULL, &err));
  dg_adapter_file_free(f);
  dg_adapter_file_free(NULL);
  dg_base_free(a);
  dg_base_free(elsewhere);
}

/* Every method, and what it says of itself. */
static void test_methods_round_trip(void **state) {
  (void)state;
  static const char *const methods[] = {"lora", "ia3", "bitfit", "norms+tag",
                                        "bottleneck+lora+ia3+bitfit+tag"};
  dg_base *a = new_base(1);
  save_base(a, path, DG_STORE_FP32, NULL);
  dg_base_free(a);
  a = load_base(path);
  dg_error err;
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
    for (int storage = 0; storage <= DG_STORE_INT8; storage++) {
      dg_adapter_file *f = new_adapter_of(a, methods[i]);
      assert_true(dg_adapter_file_add_pair(f, "gl", "eng", &err));
      assert_true(dg_adapter_file_add_pair(f, "en", "gl", &err)); /* known already */
      assert_true(dg_adapter_file_save(f, path, (dg_storage)storage, NULL, &err));
      dg_adapter_file *g = dg_adapter_file_load(path, a, &err);
      if (!g) fail_msg("%s", err.message);
      size_t bytes = f->adapter->params.total * sizeof(float);
      if (strstr(methods[i], "bottleneck")) /* the others have few matrices or none */
        check_params(&f->adapter->params, &g->adapter->params, (dg_storage)storage);
      else if (storage == DG_STORE_FP32 || !strstr(methods[i], "lora"))
        assert_memory_equal(f->adapter->params.values, g->adapter->params.values, bytes);
      assert_string_equal(g->adapter->config.method, methods[i]);
      assert_int_equal(g->pair_count, 2);
      assert_string_equal(g->pairs[1].source, "gl");
      assert_string_equal(g->pairs[1].target, "en");
      dg_adapter_file_free(f);
      dg_adapter_file_free(g);
    }
  dg_base_free(a);
}

/* Tags of stacked adapters follow one another; one trained on top of another asks for it. */
static void test_stacked(void **state) {
  (void)state;
  dg_base *a = new_base(1);
  save_base(a, path, DG_STORE_FP32, NULL);
  dg_base_free(a);
  a = load_base(path);
  dg_adapter_file *f = new_adapter(a);
  dg_error err;
  char hash[DG_HASH_TEXT], canonical[DG_LANG_MAX];
  assert_true(dg_adapter_file_save(f, path, DG_STORE_FP32, hash, &err));
  strcpy(f->languages[0].code, "an");
  json_object_set_new(f->card, "like", json_string("pt-BR"));
  strcpy(f->over[0], hash);
  f->over_count = 1;
  assert_true(dg_adapter_file_save(f, other, DG_STORE_FP32, NULL, &err));
  dg_adapter_stacked s = {0};
  assert_false(dg_adapter_stacked_add(&s, other, a, &err));
  if (!strstr(err.message, hash)) fail_msg("%s", err.message);
  assert_true(dg_adapter_stacked_add(&s, path, a, &err));
  assert_true(dg_adapter_stacked_add(&s, other, a, &err));
  int32_t tag, vocab = a->model->config.vocab_size;
  assert_true(dg_adapter_stacked_tag(&s, a, "glg", DG_SIDE_BOTH, canonical, &tag, &err));
  assert_string_equal(canonical, "gl");
  int32_t first = dg_first_tag(&a->model->config);
  assert_int_equal(tag, first);
  assert_true(dg_adapter_stacked_tag(&s, a, "an", DG_SIDE_BOTH, canonical, &tag, &err));
  assert_int_equal(tag, first + 1);
  assert_true(dg_adapter_stacked_tag(&s, a, "en", DG_SIDE_BOTH, canonical, &tag, &err));
  assert_true(tag < vocab);
  assert_false(dg_adapter_stacked_tag(&s, a, "ast", DG_SIDE_BOTH, canonical, &tag, &err));
  /* One word is of the file's own language, not of another's. */
  assert_ptr_equal(dg_adapter_stacked_relative(&s, a, "an", DG_SIDE_BOTH), &a->languages[1]);
  assert_null(dg_adapter_stacked_relative(&s, a, "gl", DG_SIDE_BOTH));
  assert_non_null(dg_adapter_stacked_pair(&s, "en", NULL));
  assert_null(dg_adapter_stacked_pair(&s, "gl", "en"));
  while (dg_adapter_stacked_add(&s, path, a, &err)) assert_true(s.count <= DG_ADAPTERS_MAX);
  assert_int_equal(s.count, DG_ADAPTERS_MAX);
  dg_network n = {.model = a->model};
  dg_adapter_stacked_use(&s, &n);
  assert_int_equal(s.extra_tokens, DG_ADAPTERS_MAX);
  dg_adapter_stacked_free(&s);
  dg_adapter_file_free(f);
  dg_base_free(a);
}

/* The mean of two adapters, tags by language; what is not alike has none. */
static void test_merge(void **state) {
  (void)state;
  dg_base *a = new_base(1);
  save_base(a, path, DG_STORE_FP32, NULL);
  dg_base_free(a);
  a = load_base(path);
  dg_error err;
  dg_adapter_file *f[2] = {new_adapter_of(a, "bottleneck+ia3"),
                           new_adapter_of(a, "bottleneck+ia3")};
  dg_params *p = &f[1]->adapter->params;
  for (size_t i = 0; i < p->total; i++) p->values[i] = 2 - p->values[i];
  const char *const names[] = {"one", "two"};
  const dg_adapter_file *const both[] = {f[0], f[1]};
  dg_adapter_file *mean = dg_adapter_merge(both, names, (const double[]){3, 1}, 2, &err);
  if (!mean) fail_msg("%s", err.message);
  assert_int_equal(mean->language_count, 1);
  for (size_t i = 0; i < p->count; i++) {
    const dg_tensor *t = &mean->adapter->params.tensors[i];
    const float *x = f[0]->adapter->params.tensors[i].value;
    for (size_t k = 0; k < t->rows * t->cols; k++)
      assert_true(fabsf(t->value[k] - (0.5f * x[k] + 0.5f)) < 1e-5f * (1 + fabsf(x[k])));
  }
  dg_adapter_file_free(mean);

  strcpy(f[1]->languages[0].code, "an"); /* each keeps its own tag, and its relative */
  json_object_set_new(f[0]->card, "like", json_string("pt-BR"));
  json_object_set_new(f[1]->card, "like", json_string("en"));
  mean = dg_adapter_merge(both, names, (const double[]){1, 1}, 2, &err);
  if (!mean) fail_msg("%s", err.message);
  size_t bytes = f[0]->adapter->d_model * sizeof(float);
  assert_int_equal(mean->language_count, 2);
  assert_string_equal(mean->languages[1].code, "an");
  for (size_t i = 0; i < 2; i++)
    assert_memory_equal(mean->adapter->extra + i * f[0]->adapter->d_model, f[i]->adapter->extra,
                        bytes);
  assert_string_equal(dg_adapter_file_relative(mean, "gl"), "pt-BR");
  assert_string_equal(dg_adapter_file_relative(mean, "an"), "en");
  assert_true(dg_adapter_file_save(mean, path, DG_STORE_FP32, NULL, &err));
  dg_adapter_file_free(mean);

  assert_null(dg_adapter_merge(both, names, (const double[]){1, -1}, 2, &err));
  dg_adapter_config changing = f[1]->adapter->config; /* whichever is named first */
  changing.embeddings = 3, changing.embedding_side = DG_EMBED_TARGET;
  dg_adapter_free(f[1]->adapter);
  f[1]->adapter = dg_adapter_new(&a->model->config, &changing, 1, &err);
  assert_true(dg_adapter_choose(f[1]->adapter, (const int32_t[]){7, 20, 13}, &err));
  assert_null(dg_adapter_merge(both, names, (const double[]){1, 1}, 2, &err));
  assert_non_null(strstr(err.message, "embeddings"));
  const dg_adapter_file *const turned[] = {f[1], f[0]};
  assert_null(dg_adapter_merge(turned, names, (const double[]){1, 1}, 2, &err));
  assert_non_null(strstr(err.message, "embeddings"));
  dg_adapter_file_free(f[1]);
  f[1] = new_adapter_of(a, "bottleneck");
  const dg_adapter_file *const unlike[] = {f[0], f[1]};
  assert_null(dg_adapter_merge(unlike, names, (const double[]){1, 1}, 2, &err));
  assert_non_null(strstr(err.message, "method"));
  strcpy(f[0]->over[0], "00");
  f[0]->over_count = 1;
  f[1]->adapter->config = f[0]->adapter->config;
  assert_null(dg_adapter_merge(unlike, names, (const double[]){1, 1}, 2, &err));
  assert_non_null(strstr(err.message, "on top of"));
  for (size_t i = 0; i < 2; i++) dg_adapter_file_free(f[i]);
  dg_base_free(a);
}

/* --- damage ---------------------------------------------------------------------------------- */

static uint8_t *get(const char *name, size_t *n) {
  dg_mapping m;
  assert_true(dg_map(name, &m, NULL));
  uint8_t *bytes = dg_malloc(m.size);
  memcpy(bytes, m.data, m.size);
  *n = m.size;
  dg_unmap(&m);
  return bytes;
}

/* In place: file systems write a file made anew to disk, which takes its time. */
static void put(const char *name, size_t at, const void *bytes, size_t n) {
  int fd = open(name, O_WRONLY);
  assert_true(fd >= 0);
  assert_int_equal(pwrite(fd, bytes, n, (off_t)at), n);
  close(fd);
}

typedef bool opener(void *context, const char *name, dg_error *err);

static bool open_base(void *context, const char *name, dg_error *err) {
  (void)context;
  dg_base *b = dg_base_load(name, err);
  dg_base_free(b);
  return b != NULL;
}

static bool open_adapter(void *context, const char *name, dg_error *err) {
  dg_adapter_file *f = dg_adapter_file_load(name, context, err);
  dg_adapter_file_free(f);
  return f != NULL;
}

/* Every `cut`-th truncation; every `stride`-th bit flipped (odd, so that all bits of a byte have
 * their turn), and every `signed_stride`-th under a hash made anew. */
static void check_damage(const char *name, opener *opens, void *context, size_t cut,
                         size_t stride, size_t signed_stride) {
  size_t n;
  dg_error err = {0};
  /* Before it is read: a checkpoint that is gone on from is written again, with another time. */
  if (!opens(context, name, &err)) fail_msg("%s", err.message);
  uint8_t *all = get(name, &n), *copy = dg_malloc(n);
  for (size_t k = (n - 1) / cut + 1; k-- > 0;) {
    size_t size = k * cut;
    assert_int_equal(truncate(name, (off_t)size), 0);
    if (opens(context, name, &err)) fail_msg("cut to %zu of %zu bytes it passed", size, n);
    if (!strstr(err.message, name)) fail_msg("%s", err.message);
  }
  put(name, 0, all, n);
  for (size_t bit = 0; bit < 8 * n; bit += stride) {
    uint8_t flipped = all[bit / 8] ^ (uint8_t)(1u << bit % 8);
    put(name, bit / 8, &flipped, 1);
    if (opens(context, name, &err)) fail_msg("with bit %zu of %zu changed it passed", bit, 8 * n);
    if (!strstr(err.message, name)) fail_msg("%s", err.message);
    put(name, bit / 8, &all[bit / 8], 1);
  }
  size_t refused = 0;
  for (size_t bit = 0; bit < 8 * n; bit += signed_stride) {
    memcpy(copy, all, n);
    copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    sign_again(copy, n);
    put(name, 0, copy, n);
    refused += !opens(context, name, &err);
  }
  assert_true(refused > 50);
  free(all);
  free(copy);
}

static void test_damaged_base(void **state) {
  (void)state;
  dg_base *a = new_base(1);
  for (int storage = 0; storage <= DG_STORE_INT8; storage++) {
    save_base(a, path, (dg_storage)storage, NULL);
    check_damage(path, open_base, NULL, 1, storage == DG_STORE_INT8 ? 7 : 19, 37);
  }
  dg_base_free(a);
}

static void test_damaged_adapter(void **state) {
  (void)state;
  dg_base *a = new_base(1);
  save_base(a, other, DG_STORE_BF16, NULL);
  dg_base_free(a);
  a = load_base(other);
  dg_adapter_file *f = new_adapter(a);
  dg_error err;
  for (int storage = 0; storage <= DG_STORE_INT8; storage++) {
    assert_true(dg_adapter_file_save(f, path, (dg_storage)storage, NULL, &err));
    check_damage(path, open_adapter, a, 1, storage == DG_STORE_INT8 ? 1 : 5, 11);
  }
  dg_adapter_file_free(f);
  dg_base_free(a);
}

/* What every kind of adapter says in its file is looked at, its pieces too. */
static void test_damaged_kinds(void **state) {
  (void)state;
  static const char *const methods[] = {"lora", "ia3", "bitfit", "norms+tag", "pieces", "changes"};
  static const int32_t changed[] = {7, 20, 13};
  dg_base *a = new_base(1);
  save_base(a, other, DG_STORE_BF16, NULL);
  dg_base_free(a);
  a = load_base(other);
  dg_error err;
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    bool pieces = !strcmp(methods[i], "pieces"), changes = !strcmp(methods[i], "changes");
    dg_adapter_file *f = new_adapter_of(a, pieces || changes ? "ia3" : methods[i]);
    if (pieces) {
      char *texts[] = {(char *)"\xD0\xB4", (char *)"\xD1\x89"};
      float scores[] = {-7.25f, -8};
      dg_new_pieces taken = {.list = {2, texts, scores}};
      dg_new_pieces_add(&f->pieces, &taken);
      dg_new_pieces_for(&f->pieces, "gl");
    }
    if (pieces || changes) {
      dg_adapter_config c = f->adapter->config;
      c.new_pieces = pieces ? 2 : 0;
      c.embeddings = changes ? 3 : 0;
      c.embedding_side = DG_EMBED_TARGET;
      dg_adapter_free(f->adapter);
      f->adapter = dg_adapter_new(&a->model->config, &c, 1, &err);
      for (size_t k = 0; k < f->adapter->params.total; k++)
        f->adapter->params.values[k] = 0.125f * (float)(k % 9);
    }
    if (changes) assert_true(dg_adapter_choose(f->adapter, changed, &err));
    assert_true(dg_adapter_file_save(f, path, DG_STORE_BF16, NULL, &err));
    check_damage(path, open_adapter, a, 53, 211, 131);
    assert_true(dg_adapter_file_save(f, path, DG_STORE_FP32, NULL, &err));
    dg_adapter_file *g = dg_adapter_file_load(path, a, &err);
    assert_non_null(g);
    check_params(&f->adapter->params, &g->adapter->params, DG_STORE_FP32);
    assert_true(dg_new_pieces_equal(&f->pieces, &g->pieces));
    if (changes) assert_memory_equal(g->adapter->changes.ids, changed, sizeof changed);
    if (pieces) { /* in its language they are cut up so, in others not */
      dg_tokenizer *t = dg_new_pieces_tokenizer(&g->pieces, a, "gl", DG_SIDE_TARGET);
      int32_t first = dg_first_extra(&a->model->config);
      dg_tokens tokens = {0};
      const char *text = "\xD0\xB4\xD1\x89";
      assert_true(dg_tokenizer_encode(t, text, strlen(text), &tokens, &err));
      assert_int_equal(tokens.items[tokens.count - 1].id, first + 1);
      assert_int_equal(tokens.items[tokens.count - 2].id, first);
      dg_tokens_free(&tokens);
      assert_true(dg_new_pieces_tokenizer(&g->pieces, a, "en", DG_SIDE_SOURCE) == a->tokenizer);
    }
    dg_adapter_file_free(g);
    dg_adapter_file_free(f);
  }
  dg_base_free(a);
}

/* A training run over its own small base. */
typedef struct run {
  dg_base *base;
  dg_examples *examples;
  dg_direction direction;
  dg_dev_set set;
  dg_train_options o;
  dg_train_task task;
} run;

static bool open_checkpoint(void *context, const char *name, dg_error *err) {
  run *r = context;
  dg_train_result result;
  r->task.checkpoint_path = name;
  bool ok = dg_train(&r->task, &r->o, &result, err);
  dg_train_result_free(&result);
  return ok;
}

static void test_damaged_checkpoint(void **state) {
  (void)state;
  dg_error err;
  run r = {.base = new_base(1)};
  assert_true(dg_model_train(r.base->model, &err));
  dg_parallel_text text = {0};
  for (int i = 0; i + 1 < SENTENCES; i++) dg_parallel_add(&text, sentences[i], sentences[i + 1]);
  r.examples = dg_examples_new(r.base, 64);
  size_t corpus;
  assert_true(dg_examples_add(r.examples, &text, NULL, NULL, &corpus, &err));
  r.direction = (dg_direction){.corpus = corpus, .source_tag = r.base->languages[0].tag,
                               .target_tag = r.base->languages[1].tag};
  r.set = (dg_dev_set){.name = "en-pt-BR", .direction = r.direction};
  dg_options_defaults(dg_train_options_table, &r.o);
  r.o.max_updates = 3, r.o.batch_tokens = 16, r.o.micro_tokens = 16, r.o.eval_every = 2;
  r.o.checkpoint_minutes = 0, r.o.ema = 0.9;
  r.task = (dg_train_task){
      .base = r.base,
      .network = {.model = r.base->model, .precision = DG_FP32},
      .trained = &r.base->model->params,
      .examples = r.examples,
      .directions = &r.direction,
      .direction_count = 1,
      .dev_examples = r.examples,
      .dev_sets = &r.set,
      .dev_count = 1,
      .identity = "a test",
  };
  unlink(path);
  if (!open_checkpoint(&r, path, &err)) fail_msg("%s", err.message);
  assert_int_equal(access(path, F_OK), 0);
  check_damage(path, open_checkpoint, &r, 1, 13, 59);
  dg_examples_free(r.examples);
  dg_parallel_free(&text);
  dg_base_free(r.base);
}

/* --- files made wrong on purpose ---------------------------------------------------------- */

/* Copies path to other with one metadata text replaced (NULL: left out), and one tensor
 * left out, or given another type or shape. */
typedef struct edit {
  const char *key, *text;
  const char *tensor;
  bool drop;
  dg_dtype dtype;
  size_t dims, shape[2];
} edit;

static void rewrite(const edit *e) {
  static const char *const keys[] = {"format", "version", "config",  "languages", "card",
                                     "adapter", "source", "target",  "base_hash", "pairs", "over"};
  static const float zeros[4096];
  dg_safetensors *s = dg_safetensors_open(path, false, NULL);
  assert_non_null(s);
  dg_st_writer *w = dg_st_writer_new();
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    const char *text = dg_safetensors_metadata(s, keys[i]);
    if (e->key && !strcmp(e->key, keys[i])) text = e->text;
    if (text) dg_st_writer_metadata(w, keys[i], text);
  }
  bool found = !e->tensor;
  for (size_t i = 0; i < dg_safetensors_count(s); i++) {
    const dg_st_tensor *t = dg_safetensors_at(s, i);
    bool this = e->tensor && !strcmp(t->name, e->tensor);
    found |= this;
    if (this && e->drop) continue;
    dg_st_writer_add(w, t->name, this ? e->dtype : t->dtype, this ? e->dims : t->dims,
                     this ? e->shape : t->shape, this ? zeros : t->data);
  }
  assert_true(found);
  dg_error err;
  if (!dg_st_writer_write(w, other, NULL, &err)) fail_msg("%s", err.message);
  dg_st_writer_free(w);
  dg_safetensors_close(s);
}

static void refuse(opener *opens, void *context, edit e, const char *word) {
  dg_error err = {0};
  rewrite(&e);
  if (opens(context, other, &err))
    fail_msg("%s%s passed", e.key ? e.key : "", e.tensor ? e.tensor : "");
  if (err.status != DG_ERR_FORMAT && err.status != DG_ERR_UNSUPPORTED) fail_msg("%s", err.message);
  if (!strstr(err.message, other) || !strstr(err.message, word)) fail_msg("%s", err.message);
}

static char *configured(const char *name, const char *value) { /* the base's, but for one */
  dg_model_config c = configuration();
  json_t *j = dg_options_to_json(dg_model_config_options, &c);
  if (value) json_object_set_new(j, name, json_string(value));
  else json_object_del(j, name);
  char *text = json_dumps(j, JSON_COMPACT);
  json_decref(j);
  return text;
}

static void test_wrong_bases(void **state) {
  (void)state;
  dg_base *a = new_base(1);
  save_base(a, path, DG_STORE_INT8, NULL);
  dg_error err;
  rewrite(&(edit){0});
  if (!open_base(NULL, other, &err)) fail_msg("%s", err.message); /* the copying is not it */
  static const struct {
    const char *key, *text, *word;
  } wrong[] = {{"format", "dragoman.adapter", "not a base"},
               {"format", NULL, "not a base"},
               {"version", "2", "version 2"},
               {"version", NULL, "unstated"},
               {"config", NULL, "config"},
               {"config", "{", "config"},
               {"config", "[]", "config"},
               {"config", "{\"d_model\":6}", "d_model"},
               {"config", "{\"colour\":\"red\"}", "colour"},
               {"languages", NULL, "languages"},
               {"languages", "{}", "languages"},
               {"languages", "[1]", "languages"},
               {"languages", "[\"en\",\"gl\"]", "<2gl>"},
               {"languages", "[\"en\",\"not a code\"]", "not a code"},
               {"card", "3", "card"},
               {"card", NULL, "card"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    refuse(open_base, NULL, (edit){.key = wrong[i].key, .text = wrong[i].text}, wrong[i].word);
  static const struct {
    const char *name, *value, *word;
  } configs[] = {{"vocab_size", "4194304", "weights"},   {"vocab_size", "23", ""},
                 {"vocab_size", "25", "embedding"},      {"d_model", "16384", "weights"},
                 {"d_model", "8", ""},                   {"d_model", "7", "7"},
                 {"encoder_layers", "256", ""},          {"encoder_layers", "2", "layers.1"},
                 {"max_positions", "1048577", "range"},  {"ffn_dim", "131072", "weights"},
                 {"head_dim", "4096", "weights"},        {"norm", "nonorm", "nonorm"},
                 {"source_format", "<src> </s>", "X"},   {"source_format", "<none> X", "<none>"},
                 {"target_format", "X X", "X"},          {"tag_format", "<2>", "tag_format"},
                 {"target_format", "X </s>", "begins"},  {"target_format", "<tgt> X", "ends"},
                 {"target_format", "<tgt> X <tgt> </s>", "ends"},
                 {"target_format", "<tgt> <tgt> <tgt> <tgt> <tgt> <tgt> <tgt> <tgt> <tgt> <tgt> "
                                   "<tgt> <tgt> <tgt> <tgt> <tgt> <tgt> <tgt> X </s>", "17 items"},
                 {"tag_format", "%s%n", "tag_format"},   {"tag_format", "<3%s>", "<3en>"},
                 {"relative_buckets", "8", ""},          {"norm_bias", "true", "bias"}};
  for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
    char *text = configured(configs[i].name, configs[i].value);
    refuse(open_base, NULL, (edit){.key = "config", .text = text}, configs[i].word);
    free(text);
  }
  refuse(open_base, NULL, (edit){.tensor = "tokenizer", .drop = true}, "tokenizer");
  refuse(open_base, NULL, (edit){.tensor = "tokenizer", .dtype = DG_F32, .dims = 1, .shape = {9}},
         "tokenizer");
  refuse(open_base, NULL, (edit){.tensor = "tokenizer", .dtype = DG_U8, .dims = 1, .shape = {90}},
         "");
  refuse(open_base, NULL, (edit){.tensor = "embedding", .drop = true}, "embedding");
  refuse(open_base, NULL, (edit){.tensor = "embedding.scale", .drop = true}, "embedding.scale");
  refuse(open_base, NULL, (edit){.tensor = "embedding.scale", .dtype = DG_F32, .dims = 1,
                                 .shape = {23}}, "embedding.scale");
  refuse(open_base, NULL,
         (edit){.tensor = "embedding", .dtype = DG_I8, .dims = 2, .shape = {6, 24}}, "6 x 24");
  refuse(open_base, NULL, (edit){.tensor = "embedding", .dtype = DG_I8, .dims = 1, .shape = {144}},
         "144");
  refuse(open_base, NULL,
         (edit){.tensor = "embedding", .dtype = DG_F16, .dims = 2, .shape = {24, 6}}, "F16");
  dg_base_free(a);
}

static void test_wrong_adapters(void **state) {
  (void)state;
  dg_base *a = new_base(1);
  save_base(a, other, DG_STORE_FP32, NULL);
  dg_base_free(a);
  a = load_base(other);
  dg_adapter_file *f = new_adapter(a);
  dg_error err;
  assert_true(dg_adapter_file_save(f, path, DG_STORE_FP32, NULL, &err));
  rewrite(&(edit){0});
  if (!open_adapter(a, other, &err)) fail_msg("%s", err.message);
  static const struct {
    const char *key, *text, *word;
  } wrong[] = {{"format", "dragoman.base", "not an adapter"}, {"version", "0", "version 0"},
               {"base_hash", NULL, "incomplete"},  {"adapter", NULL, "adapter"},
               {"adapter", "[]", "adapter"},       {"adapter", "{\"width\":\"0\"}", "width"},
               {"adapter", "{\"width\":\"3x\"}", "width"}, {"adapter", "{\"width\":\"4\"}", "4"},
               {"adapter", "{\"width\":\"99999999999999999999\"}", ""},
               {"adapter", "{\"width\":\"65536\"}", ""}, {"adapter", "{\"wide\":\"3\"}", "wide"},
               {"adapter", "{\"width\":\"3\",\"method\":\"dora\"}", "dora"},
               {"adapter", "{\"width\":\"3\",\"method\":\"bottleneck+lora\"}", "lora_a"},
               {"source", NULL, "incomplete"},
               {"source", "?", ""},               {"target", "", ""},
               {"card", "[]", "card"},            {"languages", "[]", ""},
               {"languages", "[\"gl\",\"an\"]", "extra"}, {"languages", "[\"!\"]", ""}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    if (!strcmp(wrong[i].key, "languages") && !strcmp(wrong[i].text, "[]")) continue;
    refuse(open_adapter, a, (edit){.key = wrong[i].key, .text = wrong[i].text}, wrong[i].word);
  }
  refuse(open_adapter, a, (edit){.tensor = "extra", .drop = true}, "extra");
  refuse(open_adapter, a,
         (edit){.tensor = "encoder.layers.0.down.weight", .dtype = DG_I32, .dims = 2,
                .shape = {3, 6}}, "I32");
  dg_adapter_file_free(f);
  dg_base_free(a);
}

/* --- languages and formats ------------------------------------------------------------------ */

static void test_languages(void **state) {
  (void)state;
  dg_base *a = new_base(1);
  dg_error err = {0};
  static const char *const spellings[] = {"pt-BR", "pt_BR", "por_br", "PT-br"};
  for (int i = 0; i < 4; i++)
    assert_ptr_equal(dg_base_language(a, spellings[i], DG_SIDE_BOTH, &err), &a->languages[1]);
  assert_null(dg_base_language(a, "pt", DG_SIDE_BOTH, &err)); /* European: another language */
  if (!strstr(err.message, "pt-BR") || strstr(err.message, "en (")) fail_msg("%s", err.message);
  assert_null(dg_base_language(a, "gl", DG_SIDE_BOTH, &err));
  if (!strstr(err.message, "alike: en (English), pt-BR (")) fail_msg("%s", err.message);
  assert_null(dg_base_language(a, "??", DG_SIDE_BOTH, &err));

  dg_model_config c = configuration();
  dg_model *m = dg_model_new(&c, &err);
  assert_null(dg_base_new(m, own_tokenizer(), NULL, &(dg_language){.code = "gl"}, 1, NULL, &err));
  if (!strstr(err.message, "<2gl>")) fail_msg("%s", err.message);
  c.vocab_size--;
  m = dg_model_new(&c, &err);
  assert_null(dg_base_new(m, own_tokenizer(), NULL, &(dg_language){.code = "en"}, 1, NULL, &err));
  if (!strstr(err.message, "24") || !strstr(err.message, "23")) fail_msg("%s", err.message);
  dg_base_free(a);
}

static void test_formats(void **state) {
  (void)state;
  dg_base *a = new_base(1);
  int32_t en = a->languages[0].tag, pt = a->languages[1].tag, eos = 3, out[8];
  const int32_t x[] = {10, 11, 12, 13, 14, 15, 16, 17};
  assert_int_equal(dg_format_source(a, en, pt, x, 3, out, 8), 6);
  assert_memory_equal(out, ((int32_t[]){en, pt, 10, 11, 12, eos}), 24);
  assert_int_equal(dg_format_target(a, en, pt, x, 2, out, 8), 4);
  assert_memory_equal(out, ((int32_t[]){pt, 10, 11, eos}), 16);
  assert_int_equal(dg_format_target(a, en, pt, NULL, 0, out, 8), 1); /* the forced prefix */
  assert_int_equal(out[0], pt);
  assert_int_equal(dg_format_source(a, en, pt, x, 8, out, 8), 8); /* cut; the end mark stays */
  assert_memory_equal(out, ((int32_t[]){en, pt, 10, 11, 12, 13, 14, eos}), 32);
  assert_int_equal(dg_format_source(a, en, pt, x, 0, out, 8), 3);
  assert_int_equal(dg_format_source(a, en, pt, x, 8, out, 2), 2);
  dg_base_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_base_round_trip),    cmocka_unit_test(test_extreme_weights),
      cmocka_unit_test(test_frozen),             cmocka_unit_test(test_adapter_round_trip),
      cmocka_unit_test(test_damaged_base),       cmocka_unit_test(test_damaged_adapter),
      cmocka_unit_test(test_damaged_kinds),
      cmocka_unit_test(test_damaged_checkpoint), cmocka_unit_test(test_wrong_bases),
      cmocka_unit_test(test_wrong_adapters),     cmocka_unit_test(test_languages),
      cmocka_unit_test(test_formats),            cmocka_unit_test(test_methods_round_trip),
      cmocka_unit_test(test_stacked),            cmocka_unit_test(test_merge),
      cmocka_unit_test(test_held_as_stored),
      cmocka_unit_test(test_packed_large),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
