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

/* What an adapter adds to logits of the base's pieces: columns[k] is that of its row k, or -1. */
typedef struct change {
  const dg_linear *rows;
  int32_t *columns;
} change;

static bool change_of(dg_pass *p, const dg_linear *base, size_t adapter, change *out) {
  const dg_row_changes *c = &p->network->adapters[adapter]->changes;
  *out = (change){.rows = &c->rows.output};
  size_t count = out->rows->out;
  if (!count || !c->place) return false;
  const int32_t *some = base->weight.chosen;
  if (!some) {
    out->columns = c->ids;
    return true;
  }
  out->columns = dg_arena_alloc(p->arena, count, sizeof *out->columns);
  memset(out->columns, -1, count * sizeof *out->columns);
  for (size_t i = 0; i < base->out; i++)
    if (c->place[some[i]] >= 0) out->columns[c->place[some[i]]] = (int32_t)i;
  return true;
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

static void add_changes(dg_pass *p, const dg_linear *base, size_t rows, const float *x,
                        float *logits, size_t classes) {
  dg_arena_mark mark = dg_arena_save(p->arena);
  change c;
  for (size_t k = 0; k < p->network->adapter_count; k++) {
    if (!change_of(p, base, k, &c)) continue;
    size_t count = c.rows->out;
    float *mine = dg_pass_floats(p, rows, count);
    forward(p, c.rows, rows, x, mine);
    for (size_t r = 0; r < rows; r++)
      for (size_t i = 0; i < count; i++)
        if (c.columns[i] >= 0) logits[r * classes + (size_t)c.columns[i]] += mine[r * count + i];
  }
  dg_arena_rewind(p->arena, mark);
}

static void changes_backward(dg_pass *p, const dg_linear *base, size_t rows, const float *x,
                             const float *d_logits, size_t classes, float *dx) {
  dg_arena_mark mark = dg_arena_save(p->arena);
  change c;
  for (size_t k = 0; k < p->network->adapter_count; k++) {
    if (!change_of(p, base, k, &c)) continue;
    size_t count = c.rows->out;
    float *mine = dg_pass_floats(p, rows, count);
    for (size_t r = 0; r < rows; r++)
      for (size_t i = 0; i < count; i++)
        mine[r * count + i] = c.columns[i] < 0 ? 0 : d_logits[r * classes + (size_t)c.columns[i]];
    dg_linear_backward(p, c.rows, rows, x, mine, 1, dx);
  }
  dg_arena_rewind(p->arena, mark);
}

static void project(dg_pass *p, const dg_linear *base, size_t rows, const float *x,
                    float *logits) {
  const dg_linear *more = new_pieces(p->network);
  size_t classes = base->out + (more ? more->out : 0);
  if (more) {
    dg_arena_mark mark = dg_arena_save(p->arena);
    float *theirs = dg_pass_floats(p, rows, base->out), *mine = dg_pass_floats(p, rows, more->out);
    forward(p, base, rows, x, theirs);
    forward(p, more, rows, x, mine);
    move(rows, base->out, theirs, base->out, logits, classes);
    move(rows, more->out, mine, more->out, logits + base->out, classes);
    dg_arena_rewind(p->arena, mark);
  } else {
    forward(p, base, rows, x, logits);
  }
  add_changes(p, base, rows, x, logits, classes);
}

static void project_backward(dg_pass *p, const dg_linear *base, size_t rows, const float *x,
                             const float *d_logits, float *dx) {
  const dg_linear *more = new_pieces(p->network);
  size_t classes = base->out + (more ? more->out : 0);
  if (more) {
    dg_arena_mark mark = dg_arena_save(p->arena);
    float *theirs = dg_pass_floats(p, rows, base->out), *mine = dg_pass_floats(p, rows, more->out);
    move(rows, base->out, d_logits, classes, theirs, base->out);
    move(rows, more->out, d_logits + base->out, classes, mine, more->out);
    dg_linear_backward(p, base, rows, x, theirs, 0, dx);
    dg_linear_backward(p, more, rows, x, mine, 1, dx);
    dg_arena_rewind(p->arena, mark);
  } else {
    dg_linear_backward(p, base, rows, x, d_logits, 0, dx);
  }
  changes_backward(p, base, rows, x, d_logits, classes, dx);
}

static float scale_of(const dg_pass *p) {
  return (float)p->network->model->config.output_scale;
}

static void scale(float by, size_t n, const float *x, float *out) {
  for (size_t i = 0; i < n; i++) out[i] = x[i] * by;
}

/* The states as the projection reads them; x itself at scale 1. */
static const float *scaled(dg_pass *p, size_t rows, size_t width, const float *x) {
  if (scale_of(p) == 1.0f) return x;
  float *out = dg_pass_floats(p, rows, width);
  scale(scale_of(p), rows * width, x, out);
  return out;
}

void dg_output_forward(dg_pass *p, const dg_linear *base, size_t rows, const float *x,
                       float *logits) {
  dg_arena_mark mark = dg_arena_save(p->arena);
  project(p, base, rows, scaled(p, rows, base->in, x), logits);
  dg_arena_rewind(p->arena, mark);
}

void dg_output_backward(dg_pass *p, const dg_linear *base, size_t rows, const float *x,
                        const float *d_logits, float *dx) {
  dg_arena_mark mark = dg_arena_save(p->arena);
  project_backward(p, base, rows, scaled(p, rows, base->in, x), d_logits, dx);
  if (scale_of(p) != 1.0f) scale(scale_of(p), rows * base->in, dx, dx);
  dg_arena_rewind(p->arena, mark);
}
