#include "mt/train/evaluate.h"

bool dg_evaluate_loss(const dg_network *n, const dg_examples *e, const dg_direction *d,
                      size_t micro_tokens, dg_arena *arena, double *loss, dg_error *err) {
  dg_batch_buffer b = {0};
  dg_loss total = {0};
  dg_loss_options o = {0};
  size_t count = dg_examples_count(e, d->corpus);
  bool ok = true;
  for (size_t i = 0; i < count && ok;) {
    dg_batch_clear(&b);
    while (i < count && (!b.sequences || dg_batch_targets(&b) < micro_tokens))
      dg_batch_add(&b, e, d, i++);
    ok = dg_loss_forward(n, &b.batch, &o, arena, &total, err);
  }
  dg_batch_free(&b);
  *loss = total.labels ? total.nll / (double)total.labels : 0;
  return ok;
}
