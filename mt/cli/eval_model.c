#include "mt/cli/eval_model.h"

#include <stdlib.h>

#include "mt/decode/translator.h"

static void show(void *progress, double share) {
  dg_progress_show(progress, 100 * share, 100, "%", NULL);
}

/* A language that only the adapter knows, the base alone speaks as its relative. */
static bool find_relative(const dg_loaded *l, const dg_cli *cli, const char *code, dg_side side,
                          int32_t *tag, dg_error *err) {
  const dg_language *found = dg_base_language(l->base, code, side, err);
  if (!found) {
    found = dg_adapter_stacked_relative(&l->adapters, l->base, code, side);
    if (found)
      dg_cli_say(cli, "dragoman: the base alone has no %s: it translates with %s\n", code,
                 found->code);
  }
  if (found) *tag = found->tag;
  return found != NULL;
}

static bool find_tags(const dg_loaded *l, bool adapted, const dg_cli *cli, int32_t *from,
                      int32_t *to, dg_error *err) {
  if (adapted) return dg_loaded_tags(l, from, to, err);
  return find_relative(l, cli, l->source, DG_SIDE_SOURCE, from, err) &&
         find_relative(l, cli, l->target, DG_SIDE_TARGET, to, err);
}

static bool translate(const dg_loaded *l, bool adapted, const dg_eval_model *m, const dg_cli *cli,
                      const int32_t tags[2], const dg_text *source, dg_texts *out, dg_error *err) {
  dg_network network = dg_loaded_network(l, adapted);
  dg_base base = dg_loaded_base(l, adapted);
  dg_translate_options o = dg_translate_defaults();
  dg_progress progress = dg_progress_begin(cli, adapted ? "with the adapter" : "with the base");
  o.beam = (size_t)m->beam;
  o.source_language = l->source;
  o.stop = dg_cli_interrupted, o.progress = show, o.context = &progress;
  size_t n = source->count;
  const char **texts = dg_calloc(n + 1, sizeof *texts);
  dg_translation *found = dg_calloc(n + 1, sizeof *found);
  bool ok = dg_translate(&network, &base, tags[0], tags[1], &o, source->lines, n, found, err);
  dg_progress_end(&progress);
  for (size_t i = 0; ok && i < n; i++) texts[i] = found[i].count ? found[i].texts[0] : "";
  if (ok) dg_texts_add(out, adapted ? l->adapter_paths.text : l->base_path, texts, n);
  dg_translations_free(found, n);
  free(texts);
  free(found);
  return ok;
}

bool dg_eval_translate(const dg_eval_model *m, const dg_cli *cli, const dg_text *source,
                       dg_systems_check *check, void *context, dg_texts *out, dg_error *err) {
  dg_loaded l;
  int32_t tags[2][2];
  dg_cli_catch_signals();
  bool ok = dg_loaded_open(&l, &m->choice, cli, err);
  bool adapted = ok && l.adapters.count;
  bool alone = ok && find_tags(&l, false, cli, &tags[0][0], &tags[0][1], err);
  if (ok && !alone && adapted)
    dg_cli_say(cli, "dragoman: the base alone is not compared: %s\n", err->message);
  ok = ok && (adapted ? find_tags(&l, true, cli, &tags[1][0], &tags[1][1], err) : alone) &&
       check(context, (size_t)alone + adapted, err);
  if (ok && alone) ok = translate(&l, false, m, cli, tags[0], source, out, err);
  if (ok && adapted) ok = translate(&l, true, m, cli, tags[1], source, out, err);
  dg_loaded_free(&l);
  dg_cli_let_signals(); /* scoring asks for none */
  if (ok && dg_cli_interrupted(NULL)) ok = dg_fail(err, DG_ERR_INTERRUPTED, "interrupted");
  return ok;
}
