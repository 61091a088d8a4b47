#include "data/clean_text.h"

#include <stdlib.h>

#include "data/check.h"
#include "mt/core/file.h"

void dg_clean_hold_out(dg_key_set *held_out, const dg_parallel_text *p, const char *source,
                       const char *target) {
  dg_strbuf a = {0}, b = {0};
  for (size_t i = 0; i < p->count; i++) {
    const dg_pair *x = &p->pairs[i];
    dg_hold_out(held_out, x);
    dg_clean_verdict v =
        dg_clean_pair(x->source, x->target, source, target, DG_ACCELERATOR_NONE, &a, &b);
    if (v != DG_CLEAN_CREDITS && v != DG_CLEAN_ENCODING)
      dg_hold_out(held_out, &(dg_pair){a.text, b.text});
  }
  free(a.text);
  free(b.text);
}

bool dg_clean_write(const dg_parallel_text *p, const char *source, const char *target,
                    const dg_key_set *held_out, const char *path,
                    size_t verdicts[DG_CLEAN_VERDICTS], dg_error *err) {
  dg_output *out = dg_output_open(path, err);
  if (!out) return false;
  dg_strbuf a = {0}, b = {0};
  dg_key_set seen = {0};
  bool ok = true;
  for (size_t i = 0; i < p->count && ok; i++) {
    const dg_pair *x = &p->pairs[i];
    dg_clean_verdict v =
        dg_clean_pair(x->source, x->target, source, target, DG_ACCELERATOR_NONE, &a, &b);
    if (v == DG_CLEAN_KEPT &&
        !dg_key_set_add(&seen, dg_sentence_key(a.text) ^ 3 * dg_sentence_key(b.text)))
      v = DG_CLEAN_DUPLICATE;
    if (v == DG_CLEAN_KEPT &&
        (dg_held_out(held_out, x) || dg_held_out(held_out, &(dg_pair){a.text, b.text})))
      v = DG_CLEAN_HELD_BACK;
    verdicts[v]++;
    if (v == DG_CLEAN_KEPT) ok = dg_output_printf(out, err, "%s\t%s\n", a.text, b.text);
  }
  free(a.text);
  free(b.text);
  dg_key_set_free(&seen);
  if (ok) return dg_output_commit(out, err);
  dg_output_abort(out);
  return false;
}
