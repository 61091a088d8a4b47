/* Text in, text out: tokenize, batch by length, search, detokenize. */
#ifndef DG_DECODE_TRANSLATOR_H
#define DG_DECODE_TRANSLATOR_H

#include "mt/model/base.h"

typedef struct dg_translate_options {
  size_t beam, nbest;
  double length_penalty;
  size_t min_length, max_length; /* tokens; max 0: twice the source and a few */
  size_t batch_tokens;           /* source tokens searched together */
  size_t max_source;             /* a line of more tokens is translated sentence by sentence;
                                    0: what the base's card says it was trained on */
  size_t first_line;             /* the number of the first in messages: 1 */
  const char *source_language;   /* BCP-47, decides where sentences end; NULL: any */
  /* Asked between batches, true: DG_ERR_INTERRUPTED; and told how much is done. Or NULL. */
  bool (*stop)(void *context);
  void (*progress)(void *context, double share);
  void *context;
} dg_translate_options;
dg_translate_options dg_translate_defaults(void);

typedef struct dg_translation {
  char **texts; /* [count], best first, before them the best that keeps all placeholders and tags */
  double *scores;
  size_t count;
  bool cut;  /* a sentence was longer than the model can read: its end is lost */
  bool lost; /* the first has other placeholders or tags than the source; no hypothesis has its */
} dg_translation;

/* Translates lines[0,n); an empty line gives an empty line. The network is the
 * base's model with any adapters, the base as these speak (dg_adapter_stacked_base); tags are
 * token ids. */
bool dg_translate(const dg_network *network, const dg_base *base, int32_t source_tag,
                  int32_t target_tag, const dg_translate_options *o, const char *const *lines,
                  size_t n, dg_translation *out, dg_error *err);
void dg_translations_free(dg_translation *list, size_t n);

#endif
