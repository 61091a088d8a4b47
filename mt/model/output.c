#include "mt/model/output.h"

#include <string.h>

/* Of the one adapter of a network that has some. */
static const dg_linear *new_pieces(const dg_network *n) {
  for (size_t i = 0; i < n->adapter_count; i++)
    if (n->adapters[i]->config.new_pieces) return &n->adapters[i]->pieces.output;
  return NULL;
}

size_t dg_network_classes(const dg_network *n) {
  const dg_linear *more = new_pieces(n);
  return n->model->output.out + (more ? more->out : 0);
}

/* Columns of wide rows to rows of their own, or back. */
static void move(size_t rows, size_t columns, const float *from, size_t from_stride, float *to,
                 size_t to_stride) {
  for (size_t r = 0; r < rows; r++)
    memcpy(to + r * to_stride, from + r * from_stride, columns * sizeof *to);
}

static void forward(dg_pass *p, const dg_linear *l, size_t rows, const float *x, float *y) {
  dg_linear_forward(p, l, rows, x, y);
  dg_bias_forward(p, rows, l->out, l->bias, y);
}

void dg_output_forward(dg_pass *p, const dg_linear *base, size_t rows, const float *x,
                       float *logits) {
  const dg_linear *more = new_pieces(p->network);
  if (!more) {
    forward(p, base, rows, x, logits);
    return;
  }
  dg_arena_mark mark = dg_arena_save(p->arena);
  float *theirs = dg_pass_floats(p, rows, base->out), *mine = dg_pass_floats(p, rows, more->out);
  size_t classes = base->out + more->out;
  forward(p, base, rows, x, theirs);
  forward(p, more, rows, x, mine);
  move(rows, base->out, theirs, base->out, logits, classes);
  move(rows, more->out, mine, more->out, logits + base->out, classes);
  dg_arena_rewind(p->arena, mark);
}

void dg_output_backward(dg_pass *p, const dg_linear *base, size_t rows, const float *x,
                        const float *d_logits, float *dx) {
  const dg_linear *more = new_pieces(p->network);
  if (!more) {
    dg_linear_backward(p, base, rows, x, d_logits, 0, dx);
    return;
  }
  dg_arena_mark mark = dg_arena_save(p->arena);
  float *theirs = dg_pass_floats(p, rows, base->out), *mine = dg_pass_floats(p, rows, more->out);
  size_t classes = base->out + more->out;
  move(rows, base->out, d_logits, classes, theirs, base->out);
  move(rows, more->out, d_logits + base->out, classes, mine, more->out);
  dg_linear_backward(p, base, rows, x, theirs, 0, dx);
  dg_linear_backward(p, more, rows, x, mine, 1, dx);
  dg_arena_rewind(p->arena, mark);
}
