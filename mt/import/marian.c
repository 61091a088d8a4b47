#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "mt/import/source.h"
#include "mt/import/vocabulary.h"

static dg_tokenizer *place(const dg_vocabulary *v, dg_pieces *p, size_t size, dg_languages *l,
                           dg_error *err) {
  bool ok = dg_vocabulary_place(v, "<unk>", p, size, err);
  for (size_t id = 0; id < v->count && ok && l; id++) {
    char code[DG_LANG_MAX];
    if (v->tokens[id] && dg_tag_code(DG_FAMILY_MARIAN, v->tokens[id], code))
      ok = dg_languages_add_tag(l, p, size, id, DG_FAMILY_MARIAN, v->tokens[id], DG_SIDE_TARGET);
  }
  return ok ? dg_pieces_tokenizer(p, size, err) : NULL;
}

bool dg_source_marian_tokenizers(dg_source *s, const dg_vocabulary *source,
                                 const dg_vocabulary *target, dg_pieces *source_pieces,
                                 dg_pieces *target_pieces, dg_error *err) {
  dg_model_config *c = &s->config.model;
  if (!target) target = source;
  s->tokenizer = place(source, source_pieces, (size_t)c->vocab_size, &s->languages, err);
  if (s->tokenizer)
    s->target_tokenizer = place(target, target_pieces, (size_t)dg_target_vocab(c), NULL, err);
  const char *start = dg_pieces_at(target_pieces, (size_t)s->config.decoder_start);
  bool ok = s->target_tokenizer != NULL;
  if (ok && (!start || strchr(start, ' ') || strlen(start) > DG_FORMAT_MAX - 24))
    ok = dg_fail(err, DG_ERR_FORMAT, "the decoder's first token, %d, is no piece",
                 s->config.decoder_start);
  if (ok && (dg_tokenizer_eos(s->tokenizer) != s->config.eos ||
             dg_tokenizer_eos(s->target_tokenizer) != s->config.eos))
    ok = dg_fail(err, DG_ERR_FORMAT, "</s> has the ids %d and %d, but the model ends with %d",
                 dg_tokenizer_eos(s->tokenizer), dg_tokenizer_eos(s->target_tokenizer),
                 s->config.eos);
  if (ok) {
    bool tagged = s->languages.count > 0;
    snprintf(c->source_format, sizeof c->source_format, "%sX </s>", tagged ? "<tgt> " : "");
    snprintf(c->target_format, sizeof c->target_format, "%s X </s>", start);
    snprintf(c->tag_format, sizeof c->tag_format, "<2%%s>");
  }
  dg_pieces_free(source_pieces);
  dg_pieces_free(target_pieces);
  return ok;
}

bool dg_source_set_sides(dg_source *s, const dg_import_options *o, const char *from,
                         const char *to, dg_error *err) {
  dg_languages *l = &s->languages;
  bool tagged = l->count > 0;
  if (tagged && s->config.family != DG_FAMILY_MARIAN)
    return (!o->source && !o->target) ||
           dg_fail(err, DG_ERR_USAGE,
                   "the model's tags say which languages it knows: leave -s and -t out");
  if (o->source) {
    if (!dg_languages_add_codes(l, o->source, DG_SIDE_SOURCE, err))
      return dg_error_context(err, "-s");
  } else {
    dg_languages_add_group(l, from ? from : "mul", DG_SIDE_SOURCE);
  }
  if (tagged && o->target)
    return dg_fail(err, DG_ERR_USAGE, "-t: the model's tags say which languages it writes");
  if (tagged) return true;
  if (o->target) {
    if (!dg_languages_add_codes(l, o->target, DG_SIDE_TARGET, err))
      return dg_error_context(err, "-t");
  } else if (to) {
    dg_languages_add_group(l, to, DG_SIDE_TARGET);
  }
  return dg_languages_count(l, DG_SIDE_TARGET) ||
         dg_fail(err, DG_ERR_USAGE,
                 "nothing in the files says which language the model translates into: say so, "
                 "-s en -t gl");
}

void dg_source_free(dg_source *s) {
  dg_tokenizer_free(s->tokenizer);
  dg_tokenizer_free(s->target_tokenizer);
  free(s->languages.list);
  if (s->close) s->close(s->weights);
  *s = (dg_source){0};
}
