#include "mt/train/back_translation.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "data/check.h"
#include "mt/core/lines.h"
#include "mt/decode/translator.h"
#include "mt/model/packed.h"
#include "tokenizer/text.h"

enum { CHUNK = 256 }; /* sentences translated, then written */

typedef struct lines {
  char **items;
  size_t count, capacity;
} lines;

static bool wanted(const char *line, const dg_key_set *held_out, dg_key_set *seen) {
  const dg_pair both = {line, line};
  return !dg_text_is_blank(line) && !dg_held_out(held_out, &both) &&
         dg_key_set_add(seen, XXH3_64bits(line, strlen(line)));
}

static bool read_lines(const dg_back_translation *o, lines *out, dg_error *err) {
  dg_key_set seen = {0};
  bool ok = true;
  for (size_t i = 0; ok && i < o->files.count; i++) {
    dg_lines *r = dg_lines_open(o->files.items[i], err);
    char *line;
    size_t n;
    int got = r ? 1 : -1;
    while (r && (got = dg_lines_next(r, &line, &n, err)) > 0) {
      for (char *p = line; p < line + n; p++)
        if (*p == '\t') *p = ' '; /* the pairs are kept as TSV */
      if (!wanted(line, o->held_out, &seen)) continue;
      DG_GROW(out->items, out->capacity, out->count + 1);
      out->items[out->count++] = dg_strdup(line);
    }
    dg_lines_close(r);
    ok = got == 0;
  }
  dg_key_set_free(&seen);
  return ok;
}

int32_t dg_back_translation_mark(const dg_base *b) {
  int32_t bos = dg_tokenizer_bos(b->tokenizer);
  const char *piece = bos >= 0 ? dg_tokenizer_piece(b->tokenizer, bos) : NULL;
  return piece && !strstr(b->model->config.source_format, piece) ? bos
                                                                 : dg_tokenizer_unk(b->tokenizer);
}

/* --- the translator ------------------------------------------------------------------------- */

typedef struct translator {
  dg_adapter_stacked named;        /* --reverse */
  const dg_adapter_stacked *stack; /* what translates, on the base */
  dg_packed_model *packed;
  dg_network network;
  int32_t from, to; /* tags */
} translator;

/* Languages that no adapter at hand knows are read, or written, as a relative. */
static bool find_tag(const dg_back_translation *o, const translator *t, const char *code,
                     dg_side side, int32_t *tag, dg_error *err) {
  char canonical[DG_LANG_MAX];
  const dg_base *b = o->trainee->base;
  const dg_language *relative = dg_trainee_relative(o->trainee, code, side);
  if (dg_adapter_stacked_tag(t->stack, b, code, side, canonical, tag, relative ? NULL : err))
    return true;
  if (!relative) return dg_error_context(err, "--mono (--reverse names what translates back)");
  *tag = relative->tag;
  return true;
}

/* What goes back: the adapter named or, where those below do so, these; else the base alone. */
static bool find_adapters(const dg_back_translation *o, translator *t, dg_error *err) {
  t->stack = &t->named;
  if (!o->reverse) {
    if (dg_adapter_stacked_pair(&o->trainee->stack, o->target, o->source))
      t->stack = &o->trainee->stack;
    return true;
  }
  if (!dg_adapter_stacked_add(&t->named, o->reverse, o->trainee->base, err))
    return dg_error_context(err, "--reverse");
  return dg_adapter_stacked_pair(t->stack, o->target, o->source) ||
         dg_fail(err, DG_ERR_USAGE,
                 "--reverse %s does not translate from %s into %s: train such an adapter first, "
                 "with the same pairs and --reversed",
                 o->reverse, o->target, o->source);
}

static bool load(const dg_back_translation *o, translator *t, dg_error *err) {
  if (!find_adapters(o, t, err)) return false;
  dg_model *model = o->trainee->base->model;
  t->network = (dg_network){.model = model, .threads = o->threads, .precision = DG_INT8};
  dg_adapter_stacked_use(t->stack, &t->network);
  t->packed = dg_packed_model_new(model, t->network.precision, err);
  t->network.packed = t->packed;
  return t->packed && find_tag(o, t, o->target, DG_SIDE_SOURCE, &t->from, err) &&
         find_tag(o, t, o->source, DG_SIDE_TARGET, &t->to, err);
}

/* What decides the translations names their file. */
static char *kept_path(const dg_back_translation *o, const translator *t) {
  dg_strbuf made_of = {0};
  dg_strbuf_addf(&made_of, "%s %d %d", o->trainee->base->hash, t->from, t->to);
  for (size_t i = 0; i < t->stack->count; i++)
    dg_strbuf_addf(&made_of, " %s", t->stack->files[i]->hash);
  char *path = dg_format("%s.back-%016llx.tsv", o->output,
                         (unsigned long long)XXH3_64bits(made_of.text, made_of.length));
  free(made_of.text);
  return path;
}

/* --- going on ------------------------------------------------------------------------------- */

/* Takes from the file what belongs to these sentences and returns where that ends: a run
 * that was killed may have left half a line, other text another order. */
static long take_kept(FILE *f, const lines *l, dg_parallel_text *out) {
  char *line = NULL;
  size_t size = 0, begun = out->count;
  ssize_t n;
  long end = 0;
  while (out->count - begun < l->count && (n = getline(&line, &size, f)) > 0) {
    char *tab = memchr(line, '\t', (size_t)n);
    if (line[n - 1] != '\n' || !tab) break;
    line[n - 1] = *tab = 0;
    if (strcmp(tab + 1, l->items[out->count - begun])) break;
    dg_parallel_add(out, line, tab + 1);
    end = ftell(f);
  }
  free(line);
  return end;
}

static bool translate_on(const translator *t, const dg_back_translation *o, const lines *l,
                         size_t first, FILE *f, dg_parallel_text *out, dg_error *err) {
  dg_translate_options to = dg_translate_defaults();
  to.source_language = o->target;
  to.beam = 1; /* where pairs are few, greedy serves as well as sampling (Edunov et al. 2018) */
  dg_translation found[CHUNK];
  dg_base base = dg_adapter_stacked_base(t->stack, o->trainee->base, o->target, o->source);
  bool ok = true;
  if (o->progress) o->progress(o->context, first, l->count);
  for (size_t i = first; ok && i < l->count; i += CHUNK) {
    size_t n = l->count - i < CHUNK ? l->count - i : CHUNK;
    if (o->stop && o->stop(o->context))
      ok = dg_fail(err, DG_ERR_INTERRUPTED,
                   "stopped while translating back sentence %zu of %zu; the same command goes on",
                   i, l->count);
    ok = ok && dg_translate(&t->network, &base, t->from, t->to, &to,
                            (const char *const *)l->items + i, n, found, err);
    for (size_t k = 0; ok && k < n; k++) {
      const char *text = found[k].count ? found[k].texts[0] : "";
      dg_parallel_add(out, text, l->items[i + k]);
      fprintf(f, "%s\t%s\n", text, l->items[i + k]);
    }
    if (ok) dg_translations_free(found, n);
    if (ok && (fflush(f) || ferror(f))) ok = dg_fail_errno(err, "the back-translations");
    if (ok && o->progress) o->progress(o->context, i + n, l->count);
  }
  return ok;
}

bool dg_back_translate(const dg_back_translation *o, dg_parallel_text *out, char **path,
                       dg_error *err) {
  lines l = {0};
  translator t = {0};
  FILE *f = NULL;
  bool ok = read_lines(o, &l, err) && load(o, &t, err);
  if (ok) {
    *path = kept_path(o, &t);
    f = fopen(*path, "a+");
    if (!f) ok = dg_fail_errno(err, "%s", *path);
  }
  if (ok) {
    rewind(f);
    size_t begun = out->count;
    long end = take_kept(f, &l, out);
    if (ftruncate(fileno(f), end)) ok = dg_fail_errno(err, "%s", *path);
    clearerr(f);
    fseek(f, end, SEEK_SET);
    ok = ok && translate_on(&t, o, &l, out->count - begun, f, out, err);
  }
  if (f && fclose(f) && ok) ok = dg_fail_errno(err, "%s", *path);
  dg_packed_model_free(t.packed);
  dg_adapter_stacked_free(&t.named);
  for (size_t i = 0; i < l.count; i++) free(l.items[i]);
  free(l.items);
  return ok;
}
