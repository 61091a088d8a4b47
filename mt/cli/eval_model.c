#include "mt/cli/eval_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/cli/models.h"
#include "mt/decode/translator.h"
#include "mt/model/adapter_file.h"
#include "mt/model/packed.h"

enum { CHUNK = 1024 };

typedef struct loaded {
  dg_base *base;
  dg_adapter_stacked adapters;
  dg_packed_model *packed;
  dg_network network;
  char *base_path;
  dg_strbuf adapter_paths; /* as a name for what they say together */
  char source[DG_LANG_MAX], target[DG_LANG_MAX];
} loaded;

static bool load(const dg_eval_model *m, const dg_cli *cli, loaded *l, dg_error *err) {
  if (!(l->base_path = dg_find_model(m->base ? m->base : "base", err)) ||
      !(l->base = dg_base_load(l->base_path, err)))
    return false;
  for (size_t i = 0; i < m->adapters.count; i++) {
    char *path = dg_find_model(m->adapters.items[i], err);
    bool ok = path && dg_adapter_stacked_add(&l->adapters, path, l->base, err);
    if (ok) dg_strbuf_addf(&l->adapter_paths, "%s%s", i ? " + " : "", path);
    free(path);
    if (!ok) return false;
  }
  const dg_language_pair *pair = NULL;
  if (!dg_adapter_stacked_choose(&l->adapters, m->source, m->target, &pair, err)) return false;
  const char *source = m->source ? m->source : pair ? pair->source : "en";
  const char *target = m->target ? m->target : pair ? pair->target : NULL;
  if (!target) return dg_fail(err, DG_ERR_USAGE, "say with -t into which language");
  if (!dg_lang_canonical(source, l->source, err) || !dg_lang_canonical(target, l->target, err))
    return false;
  l->network = (dg_network){
      .model = l->base->model, .threads = dg_threads_new(cli->threads), .precision = DG_BF16};
  l->packed = dg_packed_model_new(l->base->model, l->network.precision, err);
  l->network.packed = l->packed;
  return l->packed != NULL;
}

static void unload(loaded *l) {
  dg_packed_model_free(l->packed);
  dg_threads_free(l->network.threads);
  dg_adapter_stacked_free(&l->adapters);
  dg_base_free(l->base);
  free(l->base_path);
  free(l->adapter_paths.text);
}

/* A language that only the adapter knows, the base alone speaks as its relative. */
static const dg_language *relative(const loaded *l, const dg_cli *cli, const char *code,
                                   dg_side side) {
  const dg_language *found = dg_adapter_stacked_relative(&l->adapters, l->base, code, side);
  if (found && !cli->quiet)
    fprintf(stderr, "dragoman: the base alone has no %s: it translates with %s\n", code,
            found->code);
  return found;
}

static bool find_tag(const loaded *l, bool adapted, const dg_cli *cli, const char *code,
                     dg_side side, int32_t *tag, dg_error *err) {
  char canonical[DG_LANG_MAX];
  if (adapted)
    return dg_adapter_stacked_tag(&l->adapters, l->base, code, side, canonical, tag, err);
  const dg_language *found = dg_base_language(l->base, code, side, err);
  if (!found) found = relative(l, cli, code, side);
  if (found) *tag = found->tag;
  return found != NULL;
}

static bool translate(const loaded *l, bool adapted, const dg_eval_model *m, const dg_cli *cli,
                      const dg_text *source, dg_texts *out, dg_error *err) {
  int32_t from, to;
  if (!find_tag(l, adapted, cli, l->source, DG_SIDE_SOURCE, &from, err) ||
      !find_tag(l, adapted, cli, l->target, DG_SIDE_TARGET, &to, err))
    return false;
  dg_network network = l->network;
  if (adapted) dg_adapter_stacked_use(&l->adapters, &network);
  dg_translate_options o = dg_translate_defaults();
  o.beam = (size_t)m->beam;
  char **texts = dg_calloc(source->count ? source->count : 1, sizeof *texts);
  dg_translation *found = dg_calloc(CHUNK, sizeof *found);
  dg_progress progress = dg_progress_begin(cli, adapted ? "with the adapter" : "with the base");
  bool ok = true;
  for (size_t i = 0; ok && i < source->count; i += CHUNK) {
    size_t n = source->count - i < CHUNK ? source->count - i : CHUNK;
    if (dg_cli_interrupted(NULL)) ok = dg_fail(err, DG_ERR_INTERRUPTED, "interrupted");
    ok = ok && dg_translate(&network, l->base, from, to, &o, source->lines + i, n, found, err);
    for (size_t k = 0; ok && k < n; k++)
      texts[i + k] = dg_strdup(found[k].count ? found[k].texts[0] : "");
    if (ok) dg_translations_free(found, n);
    dg_progress_show(&progress, (double)(i + n), (double)source->count, "lines", NULL);
  }
  dg_progress_end(&progress);
  if (ok) dg_texts_add(out, adapted ? l->adapter_paths.text : l->base_path, texts, source->count);
  for (size_t i = 0; i < source->count; i++) free(texts[i]);
  free(texts);
  free(found);
  return ok;
}

bool dg_eval_translate(const dg_eval_model *m, const dg_cli *cli, const dg_text *source,
                       dg_texts *out, dg_error *err) {
  loaded l = {0};
  dg_cli_catch_signals();
  bool ok = load(m, cli, &l, err);
  if (ok) {
    bool alone = !l.adapters.count;
    ok = translate(&l, false, m, cli, source, out, err);
    if (!ok && !alone && err->status != DG_ERR_INTERRUPTED) {
      if (!cli->quiet)
        fprintf(stderr, "dragoman: the base alone is not compared: %s\n", err->message);
      ok = true;
    }
    if (ok && !alone) ok = translate(&l, true, m, cli, source, out, err);
  }
  unload(&l);
  return ok;
}
