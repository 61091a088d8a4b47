/* The training loop: a run that is killed and goes on ends as if nothing had been,
 * bit for bit; and it stops, scores and averages as its options say. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/train/candidates.h"
#include "mt/train/encoder_cache.h"
#include "mt/train/trainer.h"

/* Time stands still unless a test moves it: checkpoints of equal runs are equal. */
static double minutes;

int clock_gettime(clockid_t id, struct timespec *t) {
  (void)id;
  *t = (struct timespec){.tv_sec = 1000 + (time_t)(60 * minutes)};
  return 0;
}

/* Disks differ too much to wait for them; a short wait is a moment to be killed in. */
int fsync(int fd) {
  (void)fd;
  return usleep(200);
}

/* The disk has room unless a test takes it. */
static uint64_t disk_room = UINT64_C(1) << 40;

int fstatvfs(int fd, struct statvfs *s) {
  (void)fd;
  *s = (struct statvfs){.f_frsize = 1, .f_bavail = disk_room};
  return 0;
}

/* --- a language of few words ------------------------------------------------------------- */

static dg_parallel_text text[2]; /* train, dev */
static dg_tokenizer *tokenizer;
static char *checkpoint;

static void add_sentence(dg_parallel_text *p, dg_rng *r) {
  static const char *const words[2][8] = {
      {"one", "two", "red", "blue", "house", "tree", "a", "the"},
      {"un", "dous", "vermello", "azul", "casa", "arbore", "unha", "o"}};
  dg_strbuf sides[2] = {{0}, {0}};
  for (size_t n = 2 + dg_rng_below(r, 6); n > 0; n--) {
    size_t w = dg_rng_below(r, 8);
    for (int k = 0; k < 2; k++) {
      if (sides[k].length) dg_strbuf_addc(&sides[k], ' ');
      dg_strbuf_add(&sides[k], words[k][w]);
    }
  }
  dg_parallel_add(p, sides[0].text, sides[1].text);
  free(sides[0].text);
  free(sides[1].text);
}

static int next_sentence(void *context, const char **sentence, size_t *n, dg_error *err) {
  (void)err;
  size_t *i = context;
  if (*i == 2 * text[0].count) return 0;
  const dg_pair *p = &text[0].pairs[*i / 2];
  *sentence = *i % 2 ? p->target : p->source;
  *n = strlen(*sentence);
  ++*i;
  return 1;
}

static int set_up(void **state) {
  (void)state;
  dg_rng r = {dg_rng_key(11, 0), 0};
  for (int i = 0; i < 90; i++) add_sentence(&text[i >= 80], &r);
  dg_tokenizer_options o = dg_tokenizer_defaults();
  o.type = DG_TOKENIZER_BPE;
  o.vocab_size = 48;
  o.character_coverage = 1;
  o.byte_fallback = false;
  o.normalization = "identity";
  o.tags = (const char *const[]){"<2en>", "<2gl>"};
  o.tag_count = 2;
  o.quiet = true;
  dg_error err;
  size_t at = 0;
  tokenizer = dg_tokenizer_train(&o, next_sentence, &at, &err);
  if (!tokenizer) print_error("%s\n", err.message);
  const char *tmp = getenv("TMPDIR");
  checkpoint = dg_format("%s/test_trainer-%ld.checkpoint", tmp ? tmp : "/tmp", (long)getpid());
  return tokenizer ? 0 : -1;
}

static void clean(void) {
  unlink(checkpoint);
  char *lock = dg_format("%s.lock", checkpoint); /* of those that were killed */
  unlink(lock);
  free(lock);
}

static int tear_down(void **state) {
  (void)state;
  clean();
  free(checkpoint);
  dg_tokenizer_free(tokenizer);
  dg_parallel_free(&text[0]);
  dg_parallel_free(&text[1]);
  return 0;
}

/* --- one run -------------------------------------------------------------------------------- */

/* Everything dg_train needs, made anew for each run. */
typedef struct rig {
  dg_threads *threads;
  dg_base *base;
  dg_examples *examples, *dev;
  dg_direction directions[2];
  dg_dev_set set;
  const char *sources[4], *references[4];
  dg_train_options o;
  dg_train_task task;
  dg_train_result result;
  size_t total;
  /* What its callbacks do and saw. */
  uint64_t polls, kill_at, limit_at, stop_at, cut_at;
  double minutes_an_update;
  size_t reports, scored, bests;
  double lowest, highest;
  float *best, *average;
  dg_base *frozen; /* or NULL: the base learns */
  dg_adapter *adapter;
} rig;

static void set(rig *r, const char *name, const char *value) {
  dg_error err;
  if (!dg_options_set(dg_train_options_table, &r->o, name, value, &err))
    fail_msg("%s", err.message);
}

/* Polled before every update, so at poll n there have been n-1; and before translations. */
static bool on_stop(void *context) {
  rig *r = context;
  r->polls++;
  minutes += r->minutes_an_update;
  if (r->kill_at && r->polls == r->kill_at) raise(SIGKILL);
  if (r->limit_at && r->polls == r->limit_at) { /* dies when a file grows to this */
    struct rlimit limit = {r->cut_at, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  if (r->average && r->polls > 1) { /* as the option is documented */
    double n = (double)(r->polls - 1), decay = (1 + n) / (10 + n);
    float step = 1 - (float)(decay < r->o.ema ? decay : r->o.ema);
    const float *w = r->task.trained->values;
    for (size_t i = 0; i < r->total; i++) r->average[i] += step * (w[i] - r->average[i]);
  }
  return r->stop_at && r->polls == r->stop_at;
}

static void on_report(void *context, const dg_train_report *report) {
  rig *r = context;
  if (report->passing) return;
  r->reports++;
  const dg_train_point *p = &report->now;
  assert_true(report->history_count >= r->reports); /* more, when a run goes on */
  assert_memory_equal(&report->history[report->history_count - 1], p, sizeof *p);
  if (!report->scores) return;
  assert_true(report->scores->loss == p->dev_loss); /* one dev set */
  r->scored++;
  if (p->dev_loss < r->lowest) r->lowest = p->dev_loss;
  if (p->dev_chrf > r->highest) r->highest = p->dev_chrf;
}

static bool on_best(void *context, const dg_train_report *report, dg_error *err) {
  (void)err;
  rig *r = context;
  r->bests++;
  assert_true(report->now.best > 0);
  /* Before anything is overwritten. */
  if (r->task.evaluate_start) assert_int_equal(access(checkpoint, F_OK), 0);
  memcpy(r->best, r->task.trained->values, r->total * sizeof(float));
  return true;
}

static rig *rig_new(int threads) {
  dg_error err;
  rig *r = dg_calloc(1, sizeof *r);
  r->threads = threads > 1 ? dg_threads_new(threads) : NULL;
  r->lowest = INFINITY;
  dg_options_defaults(dg_train_options_table, &r->o);
  static const char *const settings[][2] = {
      {"max_updates", "12"},   {"batch_tokens", "48"},    {"micro_tokens", "24"},
      {"eval_every", "3"},     {"warmup", "4"},           {"learning_rate", "0.01"},
      {"dropout", "0.2"},      {"attention_dropout", "0.1"}, {"activation_dropout", "0.1"},
      {"checkpoint_minutes", "0"}, {"temperature", "2"}};
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
    set(r, settings[i][0], settings[i][1]);

  dg_model_config c;
  dg_options_defaults(dg_model_config_options, &c);
  c.d_model = 16, c.heads = 2, c.ffn_dim = 24, c.encoder_layers = c.decoder_layers = 1;
  c.max_positions = 64;
  size_t size;
  const void *bytes = dg_tokenizer_bytes(tokenizer, &size);
  dg_tokenizer *t = dg_tokenizer_load(bytes, size, &err);
  assert_non_null(t);
  c.vocab_size = dg_tokenizer_size(t);
  dg_model *m = dg_model_new(&c, &err);
  assert_non_null(m);
  dg_model_initialize(m, 1);
  r->base =
      dg_base_new(m, t, NULL, (const dg_language[]){{.code = "en"}, {.code = "gl"}}, 2, NULL, &err);
  if (!r->base || !dg_model_train(m, &err)) fail_msg("%s", err.message);
  r->examples = dg_examples_new(r->base, 64);
  r->dev = dg_examples_new(r->base, 64);
  size_t corpus;
  assert_true(dg_examples_add(r->examples, &text[0], NULL, r->threads, &corpus, &err));
  assert_int_equal(dg_examples_count(r->examples, corpus), 80);
  assert_true(dg_examples_add(r->dev, &text[1], NULL, r->threads, &corpus, &err));
  int32_t en = r->base->languages[0].tag, gl = r->base->languages[1].tag;
  r->directions[0] = (dg_direction){.source_tag = en, .target_tag = gl};
  r->directions[1] = (dg_direction){.reversed = true, .source_tag = gl, .target_tag = en};
  r->set = (dg_dev_set){.name = "en-gl", .direction = r->directions[0],
                        .sources = r->sources, .references = r->references};
  for (int i = 0; i < 4; i++) {
    r->sources[i] = text[1].pairs[i].source;
    r->references[i] = text[1].pairs[i].target;
  }
  r->total = m->params.total;
  r->best = dg_calloc(r->total, sizeof(float));
  r->task = (dg_train_task){
      .base = r->base,
      .network = {.model = m, .threads = r->threads, .precision = dg_train_precision(&r->o)},
      .trained = &m->params,
      .examples = r->examples,
      .directions = r->directions,
      .direction_count = 2,
      .dev_examples = r->dev,
      .dev_sets = &r->set,
      .dev_count = 1,
      .checkpoint_path = checkpoint,
      .identity = "this run",
      .context = r,
      .stop = on_stop,
      .report = on_report,
      .best = on_best,
  };
  return r;
}

static void rig_free(rig *r) {
  dg_train_result_free(&r->result);
  free(r->best);
  free(r->average);
  dg_examples_free(r->examples);
  dg_examples_free(r->dev);
  dg_base_free(r->base);
  dg_base_free(r->frozen);
  dg_adapter_free(r->adapter);
  dg_threads_free(r->threads);
  free(r);
}

static void train(rig *r) {
  dg_error err;
  if (!dg_train(&r->task, &r->o, &r->result, &err)) fail_msg("%s", err.message);
}

/* --- comparing runs --------------------------------------------------------------------------- */

/* How a run ended: its checkpoint's bytes, the weights it left, its counts. */
typedef struct ending {
  uint8_t *checkpoint;
  size_t checkpoint_size;
  float *weights;
  size_t total;
  uint64_t updates, best_update;
  double best_loss, epochs;
} ending;

static ending end_of(const rig *r) {
  ending e = {.total = r->total, .updates = r->result.updates,
              .best_update = r->result.best_update, .best_loss = r->result.best.loss,
              .epochs = r->result.epochs};
  dg_mapping m;
  dg_error err;
  if (!dg_map(checkpoint, &m, &err)) fail_msg("%s", err.message);
  e.checkpoint = dg_malloc(m.size);
  memcpy(e.checkpoint, m.data, e.checkpoint_size = m.size);
  dg_unmap(&m);
  e.weights = dg_malloc(r->total * sizeof(float));
  memcpy(e.weights, r->task.trained->values, r->total * sizeof(float));
  return e;
}

static void ending_free(ending *e) {
  free(e->checkpoint);
  free(e->weights);
}

static void assert_same_end(const ending *a, const ending *b) {
  assert_int_equal(a->updates, b->updates);
  assert_int_equal(a->best_update, b->best_update);
  assert_true(a->best_loss == b->best_loss && a->epochs == b->epochs);
  assert_int_equal(a->total, b->total);
  assert_memory_equal(a->weights, b->weights, a->total * sizeof(float));
  assert_int_equal(a->checkpoint_size, b->checkpoint_size);
  assert_memory_equal(a->checkpoint, b->checkpoint, a->checkpoint_size);
}

typedef void change(rig *r); /* of a run's options */

static ending whole_run(int threads, change *options) {
  clean();
  rig *r = rig_new(threads);
  if (options) options(r);
  train(r);
  ending e = end_of(r);
  rig_free(r);
  return e;
}

static ending resumed_run(int threads, change *options) {
  rig *r = rig_new(threads);
  if (options) options(r);
  train(r);
  ending e = end_of(r);
  rig_free(r);
  return e;
}

/* Starts or goes on with the run in a child that dies of a signal; false: it came to its end. */
static bool killed_run(int threads, change *options, uint64_t kill_at, uint64_t limit_at,
                       uint64_t cut_at, useconds_t after) {
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (!child) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGXFSZ, SIG_DFL);
    rig *r = rig_new(threads);
    if (options) options(r);
    r->kill_at = kill_at, r->limit_at = limit_at, r->cut_at = cut_at;
    _exit(dg_train(&r->task, &r->o, &r->result, NULL) ? 0 : 1);
  }
  if (after) {
    usleep(after);
    kill(child, SIGKILL);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  if (WIFEXITED(status)) assert_int_equal(WEXITSTATUS(status), 0);
  return WIFSIGNALED(status);
}

static void with_average(rig *r) { set(r, "ema", "0.9"); }
static void cosine(rig *r) {
  set(r, "schedule", "cosine");
  set(r, "weight_decay", "0.01");
  set(r, "seed", "77");
  set(r, "eval_every", "5");
  r->task.evaluate_start = true;
}
static void without_dev(rig *r) {
  r->task.dev_count = 0;
  with_average(r);
}
static void by_translation(rig *r) {
  set(r, "metric", "chrf");
  set(r, "eval_every", "6");
  r->set.sentences = 4;
}

static void varied(rig *r) {
  set(r, "subword_alpha", "0.2");
  set(r, "word_dropout", "0.1");
  set(r, "rdrop", "2");
  set(r, "average_best", "3");
  set(r, "eval_every", "2");
}

static void from_start(rig *r) {
  r->task.evaluate_start = true;
  set(r, "average_best", "3");
  set(r, "patience", "1");
}

static void overwriting(rig *r) {
  r->task.evaluate_start = true;
  set(r, "checkpoint_minutes", "1000");
}

static void over_pools(rig *r) { /* the sampler draws pairs for 32 updates at a time */
  set(r, "max_updates", "75");
  set(r, "batch_tokens", "24");
  set(r, "eval_every", "10");
}

static void by_muon(rig *r) {
  set(r, "optimizer", "muon");
  set(r, "weight_decay", "0.01");
}

static const struct {
  change *options;
  uint64_t updates;
} variants[] = {{NULL, 12},        {with_average, 12},   {cosine, 12},
                {without_dev, 12}, {by_translation, 12}, {over_pools, 75},
                {varied, 12},      {by_muon, 12}};
enum { VARIANTS = sizeof variants / sizeof *variants };

static void test_same_run_twice(void **state) {
  (void)state;
  for (int v = 0; v < VARIANTS; v++)
    for (int threads = 1; threads < 3; threads++) {
      ending a = whole_run(threads, variants[v].options),
             b = whole_run(threads, variants[v].options);
      assert_same_end(&a, &b);
      ending_free(&b);
      b = resumed_run(threads, variants[v].options); /* of a run that is over */
      assert_same_end(&a, &b);
      ending_free(&a);
      ending_free(&b);
    }
  ending a = whole_run(1, NULL); /* options matter */
  for (int v = 0; v < 2; v++) {
    ending b = whole_run(1, v ? by_muon : cosine);
    assert_memory_not_equal(a.weights, b.weights, a.total * sizeof(float));
    ending_free(&b);
  }
  ending_free(&a);
}

/* Killed between updates, once or again and again. */
static void test_killed_between_updates(void **state) {
  (void)state;
  for (int v = 0; v < VARIANTS; v++) {
    int threads = 1 + v % 2;
    change *options = variants[v].options;
    ending whole = whole_run(threads, options);
    uint64_t n = variants[v].updates, life = n / 5;
    const uint64_t moments[] = {1, 2, n / 3, n / 2 + 1, n};
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
      clean();
      assert_true(killed_run(threads, options, moments[i], 0, 0, 0));
      ending e = resumed_run(threads, options);
      assert_same_end(&whole, &e);
      ending_free(&e);
    }
    clean();
    size_t deaths = 0;
    while (killed_run(threads, options, life + 1, 0, 0, 0)) assert_true(++deaths < 20);
    assert_true(deaths >= (n - 1) / life); /* more where scores are cut off, too */
    ending e = resumed_run(threads, options);
    assert_same_end(&whole, &e);
    ending_free(&e);
    ending_free(&whole);
  }
}

/* Killed while a checkpoint is half written: the one before it is still good. */
static void test_killed_while_writing(void **state) {
  (void)state;
  for (int v = 0; v < 2; v++) {
    change *options = variants[v].options;
    ending whole = whole_run(2, options);
    for (uint64_t at = 1; at <= 9; at += 4)
      for (uint64_t part = 0; part < 4; part++) {
        uint64_t cut = 1 + part * (whole.checkpoint_size * 3 / 4) / 4; /* early ones are smaller */
        clean();
        assert_true(killed_run(2, options, 0, at, cut, 0));
        assert_int_equal(access(checkpoint, F_OK), at == 1 ? -1 : 0);
        ending e = resumed_run(2, options);
        assert_same_end(&whole, &e);
        ending_free(&e);
      }
    ending_free(&whole);
  }
  /* What the dead left beside it is theirs to lose. */
  char *left = dg_format("rm -f %s.tmp-*", checkpoint);
  assert_int_equal(system(left), 0);
  free(left);
}

/* Killed from outside at any moment; with a checkpoint an update most time goes to them. */
static void test_killed_at_any_moment(void **state) {
  (void)state;
  ending whole = whole_run(2, with_average);
  size_t deaths = 0;
  for (useconds_t after = 2000; after < 42000; after += 4000) {
    clean();
    bool died = true;
    for (int life = 0; died && life < 3; life++)
      deaths += died = killed_run(2, with_average, 0, 0, 0, after + (useconds_t)life * 1700);
    ending e = resumed_run(2, with_average);
    assert_same_end(&whole, &e);
    ending_free(&e);
  }
  assert_true(deaths > 0);
  ending_free(&whole);
  char *left = dg_format("rm -f %s.tmp-*", checkpoint);
  assert_int_equal(system(left), 0);
  free(left);
}

/* --- how a run ends --------------------------------------------------------------------------- */

static void check_interruption(change *options, uint64_t stop_at, const char *where) {
  ending whole = whole_run(1, options);
  clean();
  rig *r = rig_new(1);
  options(r);
  r->stop_at = stop_at;
  set(r, "checkpoint_minutes", "10"); /* so that only the stop writes one */
  dg_error err;
  assert_false(dg_train(&r->task, &r->o, &r->result, &err));
  assert_int_equal(err.status, DG_ERR_INTERRUPTED);
  if (!strstr(err.message, where) || !strstr(err.message, checkpoint)) fail_msg("%s", err.message);
  rig_free(r);
  ending e = resumed_run(1, options);
  assert_same_end(&whole, &e);
  ending_free(&e);
  ending_free(&whole);
}

static void test_interruption(void **state) {
  (void)state;
  check_interruption(with_average, 6, "update 5");
}

/* Between updates or while translations are scored: a score that was cut off is made. */
static void test_interrupted_anywhere(void **state) {
  (void)state;
  for (uint64_t poll = 1; poll <= 14; poll++)
    check_interruption(by_translation, poll, "stopped at update ");
}

/* Before the first update: the start is scored once. */
static void test_interrupted_at_the_start(void **state) {
  (void)state;
  check_interruption(from_start, 1, "update 0");
}

static void test_overwriting(void **state) {
  (void)state;
  ending whole = whole_run(1, overwriting);
  clean();
  assert_true(killed_run(1, overwriting, 5, 0, 0, 0));
  assert_int_equal(access(checkpoint, F_OK), 0);
  ending e = resumed_run(1, overwriting);
  assert_same_end(&whole, &e);
  ending_free(&e);
  ending_free(&whole);
}

/* A loss that is no number is nothing a checkpoint may fail on. */
static void test_diverged(void **state) {
  (void)state;
  clean();
  static const char *const stopped[] = {"update 2", "update 4"};
  for (size_t k = 0; k < 2; k++) {
    rig *r = rig_new(1);
    for (size_t i = 0; !k && i < r->total; i++) r->task.trained->values[i] = NAN;
    r->stop_at = 3;
    set(r, "checkpoint_minutes", "10");
    dg_error err;
    assert_false(dg_train(&r->task, &r->o, &r->result, &err));
    if (!strstr(err.message, stopped[k])) fail_msg("%s", err.message);
    rig_free(r);
  }
  clean();
}

static void test_max_updates(void **state) {
  (void)state;
  clean();
  rig *r = rig_new(1);
  set(r, "max_updates", "40");
  set(r, "eval_every", "7");
  train(r);
  assert_int_equal(r->result.end, DG_TRAIN_FINISHED);
  assert_int_equal(r->result.updates, 40);
  assert_int_equal(r->polls, 40);
  assert_int_equal(r->scored, 6); /* at 7, 14, 21, 28, 35 and, because it is the last, 40 */
  assert_int_equal(r->reports, 7); /* and a word at 25 */
  assert_true(r->result.best.loss == r->lowest && r->lowest < 4);
  assert_true(r->result.best_scores[0].loss == r->lowest);
  assert_null(r->result.start_scores);
  assert_true(r->result.epochs > 0);
  /* The best weights are handed out when found, and left at the end. */
  assert_true(r->bests > 0);
  assert_memory_equal(r->best, r->task.trained->values, r->total * sizeof(float));
  rig_free(r);

  /* A run goes on with a larger max_updates as if it had always had it. */
  ending whole = whole_run(1, NULL);
  clean();
  r = rig_new(1);
  set(r, "max_updates", "6");
  train(r);
  assert_int_equal(r->result.updates, 6);
  double early = r->result.epochs; /* 6 updates of the 32 drawn at once */
  rig_free(r);
  ending e = resumed_run(1, NULL);
  assert_same_end(&whole, &e);
  assert_true(early > 0.3 * e.epochs && early < 0.7 * e.epochs);
  ending_free(&e);
  ending_free(&whole);
}

static void test_patience(void **state) {
  (void)state;
  for (int start = 0; start < 2; start++) {
    clean();
    rig *r = rig_new(1);
    float *initial = dg_malloc(r->total * sizeof(float));
    memcpy(initial, r->task.trained->values, r->total * sizeof(float));
    set(r, "max_updates", "1000");
    set(r, "learning_rate", "0"); /* nothing ever gets better */
    set(r, "patience", "4");
    r->task.evaluate_start = start;
    train(r);
    assert_int_equal(r->result.end, DG_TRAIN_PATIENCE);
    assert_int_equal(r->result.updates, start ? 12 : 15);
    assert_int_equal(r->result.best_update, start ? 0 : 3);
    assert_int_equal(r->scored, 5);
    assert_int_equal(r->bests, 1);
    assert_int_equal(r->result.start_scores != NULL, start);
    if (start) assert_true(r->result.start.loss == r->result.best.loss);
    assert_memory_equal(initial, r->task.trained->values, r->total * sizeof(float));
    free(initial);
    rig_free(r);
    /* Going on does not forget how long nothing got better. */
    r = rig_new(1);
    set(r, "max_updates", "1000");
    set(r, "learning_rate", "0");
    set(r, "patience", "6");
    r->task.evaluate_start = start;
    train(r);
    assert_int_equal(r->result.end, DG_TRAIN_PATIENCE);
    assert_int_equal(r->result.updates, start ? 18 : 21);
    rig_free(r);
  }
  clean();
  rig *r = rig_new(1); /* 0 is never */
  set(r, "max_updates", "60");
  set(r, "learning_rate", "0");
  set(r, "patience", "0");
  train(r);
  assert_int_equal(r->result.end, DG_TRAIN_FINISHED);
  rig_free(r);
}

/* The weights kept are the best by the metric, not the last. */
static void test_worse_weights_are_not_kept(void **state) {
  (void)state;
  clean();
  rig *r = rig_new(1);
  set(r, "learning_rate", "0.02");
  set(r, "max_updates", "30");
  train(r);
  float *good = dg_malloc(r->total * sizeof(float));
  memcpy(good, r->task.trained->values, r->total * sizeof(float));
  uint64_t best = r->result.best_update;
  rig_free(r);
  r = rig_new(1); /* goes on, ruinously */
  set(r, "learning_rate", "5");
  set(r, "max_updates", "60");
  set(r, "patience", "5");
  train(r);
  assert_int_equal(r->result.end, DG_TRAIN_PATIENCE);
  assert_int_equal(r->result.best_update, best);
  assert_memory_equal(good, r->task.trained->values, r->total * sizeof(float));
  free(good);
  rig_free(r);
}

static void test_metric(void **state) {
  (void)state;
  clean();
  rig *r = rig_new(1);
  set(r, "metric", "chrf");
  set(r, "max_updates", "60");
  set(r, "eval_every", "10");
  r->set.sentences = 4;
  train(r);
  assert_true(r->highest > 0);
  assert_true(r->result.best.chrf == r->highest);
  rig_free(r);
}

static void test_learns(void **state) {
  (void)state;
  clean();
  rig *r = rig_new(2);
  set(r, "max_updates", "250");
  set(r, "batch_tokens", "200");
  set(r, "micro_tokens", "200");
  set(r, "dropout", "0");
  set(r, "eval_every", "125");
  set(r, "checkpoint_minutes", "10");
  r->task.evaluate_start = true;
  train(r);
  if (r->result.start.loss < 3 || r->result.best.loss > 1.5)
    fail_msg("dev loss %g, at first %g", r->result.best.loss, r->result.start.loss);
  rig_free(r);
}

/* --- averages ---------------------------------------------------------------------------------- */

static void test_average(void **state) {
  (void)state;
  static const char *const decays[] = {"0.3", "0.9", "0.999999"};
  for (int i = 0; i < 3; i++) {
    clean();
    rig *r = rig_new(1);
    set(r, "ema", decays[i]);
    set(r, "max_updates", "21");
    r->task.dev_count = 0; /* then the average is what a run leaves */
    r->average = dg_malloc(r->total * sizeof(float));
    memcpy(r->average, r->task.trained->values, r->total * sizeof(float));
    train(r);
    float *left = dg_malloc(r->total * sizeof(float));
    memcpy(left, r->task.trained->values, r->total * sizeof(float));
    /* The weights of the last update stand in the checkpoint. */
    dg_error err;
    dg_safetensors *s = dg_safetensors_open(checkpoint, false, &err);
    assert_non_null(s);
    const dg_st_tensor *w = dg_safetensors_find(s, "weights");
    assert_int_equal(w->bytes, r->total * sizeof(float));
    memcpy(r->task.trained->values, w->data, w->bytes);
    dg_safetensors_close(s);
    on_stop(r);
    double far = 0;
    for (size_t k = 0; k < r->total; k++) {
      assert_true(fabsf(left[k] - r->average[k]) < 1e-6f);
      far = fmax(far, fabs((double)left[k] - (double)r->task.trained->values[k]));
    }
    assert_true(far > 1e-3);
    free(left);
    rig_free(r);
  }
  /* Without one the last weights are left. */
  clean();
  rig *r = rig_new(1);
  r->task.dev_count = 0;
  train(r);
  assert_int_equal(r->reports, 4); /* every 3 updates, as there would be scores */
  dg_safetensors *s = dg_safetensors_open(checkpoint, false, NULL);
  assert_memory_equal(dg_safetensors_find(s, "weights")->data, r->task.trained->values,
                      r->total * sizeof(float));
  assert_int_equal(r->result.best_update, 12);
  dg_safetensors_close(s);
  rig_free(r);
}

/* Weights at each score, as they stood in place. */
typedef struct scored_weights {
  float *weights[32];
  double losses[32];
  size_t count;
} scored_weights;
static scored_weights kept;

static void on_report_keeping(void *context, const dg_train_report *report) {
  rig *r = context;
  on_report(r, report);
  if (!report->scores) return;
  kept.weights[kept.count] = dg_malloc(r->total * sizeof(float));
  memcpy(kept.weights[kept.count], r->task.trained->values, r->total * sizeof(float));
  kept.losses[kept.count++] = report->now.dev_loss;
}

/* The mean of the best three is left where it scores better than the best, and then only for
 * what beats it: not in a run that goes on, to its ruin. */
static void go_on_from_mean(const rig *left, bool mean) {
  for (int longer = 0; longer < 2; longer++) {
    rig *r = rig_new(1);
    set(r, "average_best", "3");
    set(r, "learning_rate", "5");
    set(r, "schedule", "constant");
    set(r, "max_updates", longer ? "99" : "90");
    set(r, "patience", "0");
    train(r);
    assert_int_equal(r->result.updates, longer ? 99 : 90);
    assert_int_equal(r->result.averaged, mean ? 3 : 0);
    assert_int_equal(r->bests, 0);
    assert_true(r->result.best.loss == left->result.best.loss);
    assert_true(r->result.best_scores[0].loss == left->result.best.loss);
    assert_memory_equal(r->task.trained->values, left->task.trained->values,
                        r->total * sizeof(float));
    rig_free(r);
  }
  rig *r = rig_new(1); /* what beats the best alone is not handed out either */
  set(r, "average_best", "3");
  set(r, "learning_rate", "0.002");
  set(r, "max_updates", "150");
  train(r);
  assert_true(r->result.best.loss <= left->result.best.loss);
  assert_true(!r->bests || r->lowest < left->result.best.loss);
  rig_free(r);
}

static void test_average_best(void **state) {
  (void)state;
  size_t averaged = 0;
  static const char *const rates[] = {"0.001", "0.03", "0.06"};
  for (int i = 0; i < 3; i++) {
    clean();
    kept = (scored_weights){0};
    rig *r = rig_new(1);
    set(r, "average_best", "3");
    set(r, "learning_rate", rates[i]);
    set(r, "schedule", "constant");
    set(r, "max_updates", "90");
    set(r, "patience", "0");
    r->task.report = on_report_keeping;
    train(r);
    assert_int_equal(kept.count, 30);
    size_t best[3] = {0};
    for (size_t k = 0; k < 3; k++) {
      best[k] = SIZE_MAX;
      for (size_t s = 0; s < kept.count; s++) {
        bool taken = (k > 0 && s == best[0]) || (k > 1 && s == best[1]);
        if (!taken && (best[k] == SIZE_MAX || kept.losses[s] < kept.losses[best[k]])) best[k] = s;
      }
    }
    assert_int_equal(r->result.best_update, 3 * (best[0] + 1));
    bool mean = r->result.best.loss < kept.losses[best[0]];
    assert_int_equal(r->result.averaged, mean ? 3 : 0);
    assert_true(r->result.best_scores[0].loss == r->result.best.loss);
    averaged += mean;
    for (size_t k = 0; k < r->total; k++) {
      double want = kept.weights[best[0]][k];
      if (mean) want = (want + kept.weights[best[1]][k] + kept.weights[best[2]][k]) / 3;
      assert_true(fabs(r->task.trained->values[k] - want) < 1e-6);
    }
    for (size_t s = 0; s < kept.count; s++) free(kept.weights[s]);
    go_on_from_mean(r, mean);
    rig_free(r);
  }
  assert_true(averaged > 0 && averaged < 3);
}

static void by_train_text(rig *r) {
  r->task.evaluate_start = true;
  r->task.dev_examples = r->examples;
  r->task.report = on_report_keeping;
}

/* A run that goes on with other dev text compares by that alone, what it had kept too. */
static void test_another_dev_text(void **state) {
  (void)state;
  kept = (scored_weights){0};
  ending whole = whole_run(1, by_train_text); /* scored at 0, 3, 6, 9, 12 */
  ending_free(&whole);
  assert_int_equal(kept.count, 5);
  double want[5];
  for (size_t s = 0; s < 5; s++) {
    want[s] = kept.losses[s];
    free(kept.weights[s]);
  }
  for (int ruin = 0; ruin < 2; ruin++) {
    clean();
    rig *r = rig_new(1);
    r->task.evaluate_start = true;
    set(r, "max_updates", "6");
    train(r);
    assert_int_equal(r->result.best_update, 6);
    rig_free(r);
    r = rig_new(1);
    by_train_text(r);
    r->task.report = on_report;
    if (ruin) set(r, "learning_rate", "5");
    train(r);
    double best = ruin ? want[2] : fmin(want[2], fmin(want[3], want[4]));
    assert_true(r->result.start.loss == want[0] && r->result.start_scores[0].loss == want[0]);
    assert_true(r->result.best.loss == best && r->result.best_scores[0].loss == best);
    if (ruin) assert_int_equal(r->result.best_update, 6);
    rig_free(r);
  }
  /* Two texts after one, and none after two. */
  rig *r = rig_new(1);
  dg_dev_set sets[2] = {r->set, r->set};
  r->task.evaluate_start = true;
  r->task.dev_sets = sets;
  r->task.dev_count = 2;
  train(r);
  assert_int_equal(r->result.best_update, 6);
  assert_true(r->result.best_scores[1].loss == r->result.best.loss);
  rig_free(r);
  r = rig_new(1);
  r->task.dev_count = 0;
  train(r);
  assert_int_equal(r->result.best_update, 12);
  rig_free(r);
}

/* Sampled segmentations say the same text, hidden pieces are read but never predicted, and
 * the mark stands before the source. */
static void test_noise(void **state) {
  (void)state;
  rig *r = rig_new(1);
  dg_batch_buffer plain = {0}, noisy = {0};
  dg_direction marked = r->directions[0];
  marked.marked = true;
  marked.mark = dg_tokenizer_bos(tokenizer);
  size_t hidden = 0, read = 0, others = 0;
  for (size_t pair = 0; pair < 40; pair++) {
    dg_noise noise = {0.3, 0.25, pair};
    dg_batch_clear(&plain);
    dg_batch_clear(&noisy);
    dg_batch_add(&plain, r->examples, &r->directions[0], pair, NULL);
    dg_batch_add(&noisy, r->examples, &marked, pair, &noise);
    size_t n = dg_batch_targets(&noisy);
    others += n != dg_batch_targets(&plain);
    char *want = dg_tokenizer_decode(tokenizer, plain.labels, dg_batch_targets(&plain), NULL);
    char *got = dg_tokenizer_decode(tokenizer, noisy.labels, n, NULL);
    assert_string_equal(want, got);
    free(want);
    free(got);
    int32_t unknown = dg_tokenizer_unk(tokenizer);
    for (size_t i = 1; i < n; i++) {
      if (noisy.labels[i - 1] < 0) continue; /* the format's own */
      assert_int_not_equal(noisy.labels[i - 1], unknown);
      assert_true(noisy.input[i] == unknown || noisy.input[i] == noisy.labels[i - 1]);
      hidden += noisy.input[i] == unknown, read++;
    }
    size_t marks = 0;
    for (size_t i = 0; i < dg_batch_sources(&noisy); i++) marks += noisy.source[i] == marked.mark;
    assert_int_equal(marks, 1);
    dg_batch_clear(&plain); /* the same again from the same seed */
    dg_batch_add(&plain, r->examples, &marked, pair, &noise);
    assert_int_equal(dg_batch_targets(&plain), n);
    assert_memory_equal(plain.input, noisy.input, n * sizeof *plain.input);
    assert_memory_equal(plain.source, noisy.source,
                        dg_batch_sources(&noisy) * sizeof *plain.source);
  }
  assert_true(others > 10);
  double share = (double)hidden / (double)read;
  if (share < 0.18 || share > 0.32) fail_msg("%g hidden", share);
  dg_batch_free(&plain);
  dg_batch_free(&noisy);
  rig_free(r);
}

static void with_one_score(rig *r) {
  with_average(r);
  set(r, "eval_every", "12");
}

/* Being scored changes nothing of what is trained, and it is the average that is scored. */
static void test_average_is_scored(void **state) {
  (void)state;
  ending apart = whole_run(1, without_dev), scored = whole_run(1, with_average),
         once = whole_run(1, with_one_score);
  assert_memory_equal(apart.weights, once.weights, apart.total * sizeof(float));
  assert_int_equal(once.best_update, 12);
  const ending *all[] = {&apart, &scored, &once};
  float *trained[3];
  for (int i = 0; i < 3; i++) {
    FILE *f = fopen(checkpoint, "wb");
    assert_int_equal(fwrite(all[i]->checkpoint, 1, all[i]->checkpoint_size, f),
                     all[i]->checkpoint_size);
    assert_int_equal(fclose(f), 0);
    dg_safetensors *s = dg_safetensors_open(checkpoint, false, NULL);
    trained[i] = dg_malloc(apart.total * sizeof(float));
    memcpy(trained[i], dg_safetensors_find(s, "weights")->data, apart.total * sizeof(float));
    dg_safetensors_close(s);
    assert_memory_equal(trained[i], trained[0], apart.total * sizeof(float));
  }
  for (int i = 0; i < 3; i++) free(trained[i]);
  ending_free(&apart);
  ending_free(&scored);
  ending_free(&once);
}

/* --- time -------------------------------------------------------------------------------------- */

static void test_max_minutes(void **state) {
  (void)state;
  clean();
  rig *r = rig_new(1);
  r->minutes_an_update = 1;
  set(r, "max_minutes", "5");
  set(r, "checkpoint_minutes", "1000");
  train(r);
  assert_int_equal(r->result.end, DG_TRAIN_TIME);
  assert_int_equal(r->result.updates, 5);
  assert_true(fabs(r->result.seconds - 300) < 1e-9);
  rig_free(r);
  r = rig_new(1);
  r->minutes_an_update = 1;
  set(r, "checkpoint_minutes", "1000");
  train(r);
  assert_int_equal(r->result.end, DG_TRAIN_FINISHED);
  assert_true(fabs(r->result.seconds - 720) < 1e-9); /* over both */
  float *weights = dg_malloc(r->total * sizeof(float));
  memcpy(weights, r->task.trained->values, r->total * sizeof(float));
  rig_free(r);
  ending whole = whole_run(1, NULL);
  assert_memory_equal(whole.weights, weights, whole.total * sizeof(float));
  ending_free(&whole);
  free(weights);
}

static bool watch(void *context) {
  rig *r = context;
  bool there = !access(checkpoint, F_OK);
  unlink(checkpoint);
  on_stop(r);
  if (there) r->cut_at = r->cut_at * 100 + r->polls - 1; /* the updates it was written after */
  return false;
}

static void test_checkpoint_minutes(void **state) {
  (void)state;
  clean();
  rig *r = rig_new(1);
  r->minutes_an_update = 1;
  r->task.stop = watch;
  set(r, "checkpoint_minutes", "4");
  set(r, "max_updates", "14");
  train(r);
  assert_int_equal(r->cut_at, 40812);
  rig_free(r);
}

/* --- refusals ---------------------------------------------------------------------------------- */

static void refuse(rig *r, dg_status status, const char *word) {
  dg_error err = {0};
  if (dg_train(&r->task, &r->o, &r->result, &err)) fail_msg("%s: passed", word);
  assert_int_equal(err.status, status);
  if (!strstr(err.message, word)) fail_msg("%s", err.message);
  assert_int_equal(r->polls, 0); /* no update was made */
  rig_free(r);
}

static void older_identity(rig *r) {
  r->task.identity = "{\"text\": 7, \"train\": {\"seed\": \"1\", \"warmup\": \"9\"}}";
}

/* An older program's checkpoint does not name settings that came after it: a run that
 * leaves them alone goes on from it, one that sets them does not. */
static void test_older_checkpoint(void **state) {
  (void)state;
  ending e = whole_run(1, older_identity);
  rig *r = rig_new(1);
  r->task.identity = "{\"text\": 7, \"train\": {\"seed\": \"1\", \"warmup\": \"9\", "
                     "\"word_dropout\": \"0\", \"optimizer\": \"adam\", \"cooldown\": \"50\"}}";
  train(r); /* nothing is left to do */
  assert_int_equal(r->polls, 0);
  rig_free(r);
  r = rig_new(1);
  r->task.identity = "{\"text\": 7, \"train\": {\"seed\": \"1\", \"warmup\": \"9\", "
                     "\"word_dropout\": \"0.1\"}}";
  refuse(r, DG_ERR_USAGE, "other settings");
  r = rig_new(1);
  r->task.identity = "{\"text\": 7, \"train\": {\"seed\": \"1\", \"warmup\": \"9\", "
                     "\"optimizer\": \"muon\"}}";
  refuse(r, DG_ERR_USAGE, "other settings");
  r = rig_new(1);
  r->task.identity = "{\"text\": 8, \"train\": {\"seed\": \"1\", \"warmup\": \"9\"}}";
  refuse(r, DG_ERR_USAGE, "other settings");
  ending_free(&e);
  clean();
}

static void test_refusals(void **state) {
  (void)state;
  ending e = whole_run(1, NULL);
  rig *r = rig_new(1);
  r->task.identity = "another run";
  refuse(r, DG_ERR_USAGE, "other settings");
  r = rig_new(1);
  with_average(r); /* a checkpoint without an average */
  refuse(r, DG_ERR_FORMAT, "average");
  r = rig_new(1);
  r->task.direction_count = 1;
  refuse(r, DG_ERR_FORMAT, "position");
  assert_int_equal(truncate(checkpoint, (off_t)e.checkpoint_size / 2), 0);
  refuse(rig_new(1), DG_ERR_FORMAT, "cannot resume");
  assert_int_equal(access(checkpoint, F_OK), 0); /* nobody deletes it */
  ending_free(&e);
  clean();
  r = rig_new(1);
  dg_parallel_text none = {0};
  size_t corpus;
  assert_true(dg_examples_add(r->examples, &none, NULL, NULL, &corpus, NULL));
  r->directions[0].corpus = r->directions[1].corpus = corpus;
  refuse(r, DG_ERR_USAGE, "no usable training pairs");
  r = rig_new(1);
  set(r, "metric", "chrf"); /* of no sentence */
  refuse(r, DG_ERR_USAGE, "eval_sentences is 0");
  /* A checkpoint that cannot be written ends the run; what it says is why. */
  r = rig_new(1);
  r->task.checkpoint_path = "/nonexistent/checkpoint";
  dg_error err = {0};
  assert_false(dg_train(&r->task, &r->o, &r->result, &err));
  assert_int_equal(err.status, DG_ERR_IO);
  assert_non_null(strstr(err.message, "/nonexistent/checkpoint"));
  rig_free(r);
}

/* The pieces of a loss: every target's exactly, the others once each on the average, and the sum
 * of exponentials that makes probabilities without bias. */
static void test_candidates(void **state) {
  (void)state;
  enum { VOCAB = 1000, SAMPLED = 60, DRAWS = 3000 };
  clean();
  rig *r = rig_new(1);
  dg_candidates *c = dg_candidates_new(r->examples, r->directions, 2, VOCAB, SAMPLED);
  assert_non_null(c);
  assert_null(dg_candidates_new(r->examples, r->directions, 2, VOCAB, 990)); /* spares nothing */
  assert_null(dg_candidates_new(r->examples, r->directions, 2, VOCAB, -1));
  size_t exact = dg_candidates_exact(c);
  bool seen[VOCAB] = {false};
  dg_batch_buffer b = {0};
  dg_batch_clear(&b);
  for (size_t d = 0; d < 2; d++)
    for (size_t i = 0; i < dg_examples_count(r->examples, r->directions[d].corpus); i++)
      dg_batch_add(&b, r->examples, &r->directions[d], i, NULL);
  for (size_t i = 0; i < dg_batch_targets(&b); i++)
    if (b.labels[i] >= 0) seen[b.labels[i]] = true;
  dg_batch_free(&b);
  double z[VOCAB], all = 0, times[VOCAB] = {0}, mean = 0, square = 0;
  dg_rng rng = {dg_rng_key(4, 2), 0};
  for (size_t i = 0; i < VOCAB; i++) all += exp(z[i] = 2 * dg_rng_normal(&rng) + (seen[i] ? 4 : 0));
  const int32_t beyond[] = {999, -1, 999};
  for (uint64_t n = 0; n < DRAWS; n++) {
    const dg_loss_classes *p = dg_candidates_draw(c, beyond, 3, n);
    assert_int_equal(p->exact, exact + 1);
    assert_int_equal(p->count, exact + 1 + SAMPLED);
    double sum = 0, stands = (double)p->exact;
    bool met[VOCAB] = {false};
    for (size_t i = 0; i < p->count; i++) {
      assert_false(met[p->ids[i]]);
      met[p->ids[i]] = true;
      assert_int_equal(p->class_of[p->ids[i]], i);
      double w = i < p->exact ? 1 : (double)p->weights[i - p->exact];
      if (i >= p->exact) stands += w;
      sum += w * exp(z[p->ids[i]]);
      times[p->ids[i]] += w / DRAWS;
    }
    size_t classes = 0;
    for (size_t i = 0; i < VOCAB; i++) {
      classes += p->class_of[i] >= 0;
      if (seen[i]) assert_true(p->class_of[i] >= 0 && (size_t)p->class_of[i] < exact);
    }
    assert_int_equal(classes, p->count);
    assert_true(stands == VOCAB && p->class_of[999] == (int32_t)exact);
    mean += sum / DRAWS, square += sum * sum / DRAWS;
  }
  double error = sqrt((square - mean * mean) / DRAWS);
  assert_true(error > 0 && fabs(mean - all) < 4 * error && error < 0.02 * all);
  for (size_t i = 0; i < VOCAB; i++) assert_true(fabs(times[i] - 1) < 0.4);
  dg_candidates_free(c);
  rig_free(r);
}

/* The base frozen, and its decoder adapted. */
static void adapt_decoder(rig *r) {
  dg_error err;
  r->frozen = dg_base_copy(r->base, NULL, 0, &err);
  if (!r->frozen) fail_msg("%s", err.message);
  dg_adapter_config c;
  dg_options_defaults(dg_adapter_config_options, &c);
  strcpy(c.encoder_layers, "none");
  c.width = 4;
  dg_model *m = r->frozen->model;
  r->adapter = dg_adapter_new(&m->config, &c, 0, &err);
  if (!r->adapter) fail_msg("%s", err.message);
  dg_adapter_initialize(r->adapter, 1);
  assert_true(dg_adapter_train(r->adapter, &err));
  r->task.base = r->frozen;
  r->task.network.model = m;
  r->task.network.adapters[r->task.network.adapter_count++] = r->adapter;
  r->task.trained = &r->adapter->params;
  r->total = r->adapter->params.total;
  set(r, "max_updates", "75"); /* some epochs */
}

static void adapt_decoder_uncached(rig *r) {
  adapt_decoder(r);
  set(r, "encoder_cache", "0");
}

/* Two runs on one checkpoint would spoil it; one that was killed holds nothing. */
static void test_one_run_at_a_time(void **state) {
  (void)state;
  clean();
  dg_error err = {0};
  dg_lock *other = dg_lock_new(checkpoint, &err);
  assert_non_null(other);
  rig *r = rig_new(1);
  refuse(r, DG_ERR_USAGE, "another process is at work");
  dg_lock_free(other);
  assert_true(killed_run(1, NULL, 5, 0, 0, 0));
  r = rig_new(1);
  train(r);
  assert_int_equal(r->result.updates, 12);
  rig_free(r);
  char *lock = dg_format("%s.lock", checkpoint);
  assert_int_equal(access(lock, F_OK), -1);
  free(lock);
}

/* A frozen encoder's states on disk change nothing, not the last bit. */
static void test_encoder_cache(void **state) {
  (void)state;
  ending without = whole_run(1, adapt_decoder_uncached);
  assert_true(without.epochs > 2);
  for (int threads = 1; threads <= 2; threads++) {
    ending with = whole_run(threads, adapt_decoder);
    assert_same_end(&without, &with);
    ending_free(&with);
  }
  clean();
  assert_true(killed_run(1, adapt_decoder, 50, 0, 0, 0));
  ending resumed = resumed_run(1, adapt_decoder);
  assert_same_end(&without, &resumed);
  ending_free(&resumed);
  ending_free(&without);
}

/* Sentences met before are read back, as many as there is room for; a disk without more room
 * costs time alone. */
static void test_encoder_cache_room(void **state) {
  (void)state;
  enum { DIRECTIONS = 60 };
  clean();
  rig *r = rig_new(1);
  dg_network learning = r->task.network;
  assert_null(dg_encoder_cache_new(&learning, r->examples, r->directions, 2, checkpoint, 1));
  adapt_decoder(r);
  dg_direction many[DIRECTIONS];
  for (size_t i = 0; i < DIRECTIONS; i++) many[i] = r->directions[i % 2];
  const dg_network *n = &r->task.network;
  assert_null(dg_encoder_cache_new(n, r->examples, many, 2, checkpoint, 0));
  assert_null(dg_encoder_cache_new(n, r->examples, many, 2, "/nonexistent/checkpoint", 1));
  signal(SIGXFSZ, SIG_IGN);
  dg_arena *arena = dg_arena_new(1 << 16);
  dg_error err;
  enum { CASES = 4 };
  size_t computed[CASES];
  const size_t all = 80 * DIRECTIONS;
  static const struct { size_t directions; rlim_t limit; uint64_t room; } cases[CASES] = {
      {2, RLIM_INFINITY, 1 << 30},
      {DIRECTIONS, RLIM_INFINITY, 1 << 30},
      {2, 4096, 1 << 30},
      {2, RLIM_INFINITY, 1 << 16}};
  for (size_t k = 0; k < CASES; k++) {
    disk_room = cases[k].room;
    dg_encoder_cache *c =
        dg_encoder_cache_new(n, r->examples, many, cases[k].directions, checkpoint, 1);
    assert_non_null(c);
    assert_int_equal(dg_encoder_cache_layers(c), 1);
    struct rlimit limit = {cases[k].limit, RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    dg_batch_buffer b = {0};
    for (int epoch = 0; epoch < 2; epoch++)
      for (uint32_t d = 0; d < cases[k].directions; d++)
        for (uint32_t i = 0; i < 80; i += 4) { /* one of them twice */
          const dg_sampled pairs[] = {{d, i}, {d, i + 1}, {d, i + 2}, {d, i}, {d, i + 3}};
          dg_batch_clear(&b);
          for (int s = 0; s < 5; s++) dg_batch_add(&b, r->examples, &many[d], pairs[s].pair, NULL);
          size_t floats = dg_batch_sources(&b) * 16;
          float *want = dg_malloc(floats * sizeof *want);
          assert_true(dg_encoder_states(n, &b.batch, 1, arena, want, &err));
          const float *got = dg_encoder_cache_states(c, pairs, &b.batch, &err);
          if (!got) fail_msg("%s", err.message);
          assert_memory_equal(got, want, floats * sizeof *want);
          free(want);
        }
    dg_batch_free(&b);
    computed[k] = dg_encoder_cache_computed(c);
    dg_encoder_cache_free(c);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
  }
  signal(SIGXFSZ, SIG_DFL);
  assert_int_equal(computed[0], 160 + 40);
  assert_true(computed[1] > all * 5 / 4 && computed[1] < 2 * all * 5 / 4);
  assert_int_equal(computed[2], 2 * 200); /* what was kept is given back */
  assert_true(computed[3] > 200 && computed[3] < 2 * 200);
  disk_room = UINT64_C(1) << 40;
  dg_arena_free(arena);
  rig_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same_run_twice),
      cmocka_unit_test(test_killed_between_updates),
      cmocka_unit_test(test_killed_while_writing),
      cmocka_unit_test(test_killed_at_any_moment),
      cmocka_unit_test(test_interruption),
      cmocka_unit_test(test_interrupted_at_the_start), cmocka_unit_test(test_overwriting),
      cmocka_unit_test(test_interrupted_anywhere),
      cmocka_unit_test(test_diverged),
      cmocka_unit_test(test_max_updates),
      cmocka_unit_test(test_one_run_at_a_time),
      cmocka_unit_test(test_encoder_cache),
      cmocka_unit_test(test_encoder_cache_room),
      cmocka_unit_test(test_patience),
      cmocka_unit_test(test_worse_weights_are_not_kept),
      cmocka_unit_test(test_metric),
      cmocka_unit_test(test_learns),
      cmocka_unit_test(test_average),
      cmocka_unit_test(test_average_is_scored),
      cmocka_unit_test(test_average_best), cmocka_unit_test(test_another_dev_text),
      cmocka_unit_test(test_noise),
      cmocka_unit_test(test_max_minutes),
      cmocka_unit_test(test_checkpoint_minutes),
      cmocka_unit_test(test_older_checkpoint), cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_candidates),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
