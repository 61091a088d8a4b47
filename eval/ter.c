/* Translation edit rate as Tercom finds it, by way of sacreBLEU's reading of Tercom:
 * the shift search, its limits and its order of preference decide the score. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/pytext.h"
#include "eval/scorer.h"
#include "mt/core/utf8.h"

enum {
  SHIFT_LENGTH_MAX = 10,
  SHIFT_DISTANCE_MAX = 50,
  BEAM = 25,
  CANDIDATES_MAX = 1000,
  INFINITE = 1 << 29
};

typedef struct ter {
  dg_scorer metric;
  dg_ter_options options;
} ter;

/* --- words --------------------------------------------------------------------------------- */

static bool asian_punctuation(uint32_t c) {
  return c == 0x3001 || c == 0x3002 || (c >= 0x3008 && c <= 0x3011) ||
         (c >= 0x3014 && c <= 0x301F) || (c >= 0xFF61 && c <= 0xFF65) || c == 0x30FB;
}

static bool full_width_punctuation(uint32_t c) {
  return c == 0xFF0E || c == 0xFF0C || c == 0xFF1F || c == 0xFF1A || c == 0xFF1B || c == 0xFF01 ||
         c == 0xFF02 || c == 0xFF08 || c == 0xFF09;
}

static bool any_asian_punctuation(uint32_t c) {
  return asian_punctuation(c) || full_width_punctuation(c);
}

/* Everything that stands alone. Ranges that overlap only add spaces. U+3F22 is a slip of
 * sacreBLEU's for U+32FF, harmless because the rest is listed anyway. */
static bool ideograph(uint32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x31C0 && c <= 0x31EF) || (c >= 0x2E80 && c <= 0x2EFF) ||
         (c >= 0x3300 && c <= 0x33FF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0xFE30 && c <= 0xFE4F) || (c >= 0x3200 && c <= 0x3F22) || any_asian_punctuation(c);
}

static bool western_punctuation(uint32_t c) {
  return c < 0x80 && c && strchr(".,?:;!\"()", (int)c);
}

/* sacreBLEU means to set runs of kana apart as well, but anchors its expression at the start
 * of a text that by then begins with a space: it never matches. */
static void normalize_western(dg_split_buffers *b) {
  dg_split_entities(b);
  dg_split_pad(b);
  dg_split_symbols(b);
  dg_split_replace(b, "'s ", " 's ");
  dg_split_points(b);
}

static void tokenize(const ter *m, const char *text, dg_split_buffers *b) {
  size_t n = dg_py_rstrip(text, strlen(text));
  dg_strbuf_clear(&b->a);
  dg_strbuf_add(&b->a, "");
  if (!n) return;
  if (m->options.case_sensitive)
    dg_strbuf_addn(&b->a, text, n);
  else
    dg_py_lower(text, n, &b->a);
  if (m->options.normalized) {
    normalize_western(b);
    if (m->options.asian_support) dg_split_each(b, ideograph, false);
  }
  if (m->options.no_punct) {
    dg_split_each(b, western_punctuation, true);
    if (m->options.asian_support) dg_split_each(b, any_asian_punctuation, true);
  }
}

/* --- segments ------------------------------------------------------------------------------ */

typedef struct scratch {
  dg_scratch common;
  dg_strbuf once; /* a reference tokenized once */
  dg_items shifted, best;
  int32_t *costs, *row; /* [(hypothesis + 1) * (reference + 1)]; two rows */
  char *ops;
  size_t costs_capacity, row_capacity, ops_capacity;
  int *align;     /* by reference position: its place in the hypothesis */
  int *errors[2]; /* sums of errors before each place of hypothesis and reference */
  size_t align_capacity, errors_capacity[2];
} scratch;

static void scratch_free(dg_scratch *p) {
  scratch *s = (scratch *)p;
  free(s->once.text);
  free(s->shifted.list);
  free(s->best.list);
  free(s->costs);
  free(s->row);
  free(s->ops);
  free(s->align);
  free(s->errors[0]);
  free(s->errors[1]);
}

/* A space between words and none elsewhere. */
static void join_words(dg_strbuf *out, const char *text, size_t n) {
  const char *end = text + n, *word;
  size_t length;
  dg_strbuf_clear(out);
  dg_strbuf_add(out, "");
  while (dg_py_word(&text, end, &word, &length)) {
    if (out->length) dg_strbuf_addc(out, ' ');
    dg_strbuf_addn(out, word, length);
  }
}

/* --- edit distance around the diagonal ------------------------------------------------------ */

/* What part of row i of the matrix is filled. */
typedef struct beam {
  double ratio;
  long width;
  size_t hyp, ref;
} beam;

static beam beam_of(size_t hyp, size_t ref) {
  beam b = {.ratio = hyp ? (double)ref / (double)hyp : 1, .width = BEAM, .hyp = hyp, .ref = ref};
  if (BEAM < b.ratio / 2) b.width = (long)ceil(b.ratio / 2 + BEAM);
  return b;
}

static void beam_row(const beam *b, size_t i, size_t *from, size_t *to) {
  long diagonal = (long)floor((double)i * b->ratio), most = (long)b->ref + 1;
  long low = diagonal - b->width, high = diagonal + b->width;
  *from = low > 0 ? (size_t)low : 0;
  *to = (size_t)(i == b->hyp || high > most ? most : high);
}

/* Row i (from 1) of word `word`, given the one before; `ops`, if wanted, says how each cell
 * was reached: no change or substitution first, then deletion, then insertion. Cells
 * beside the beam are INFINITE. */
static void fill_row(const beam *b, const uint32_t *reference, uint32_t word, size_t i,
                     const int32_t *above, int32_t *row, char *ops) {
  size_t from, to;
  beam_row(b, i, &from, &to);
  for (size_t j = 0; j < from; j++) row[j] = INFINITE;
  for (size_t j = to; j <= b->ref; j++) row[j] = INFINITE;
  if (ops) memset(ops, 'x', b->ref + 1);
  int32_t left = INFINITE;
  size_t j = from;
  if (!j && to) {
    left = row[0] = above[0] < INFINITE ? above[0] + 1 : INFINITE;
    if (ops) ops[0] = 'd';
    j = 1;
  }
  if (ops) {
    for (; j < to; j++) {
      bool same = word == reference[j - 1];
      int32_t cost = INFINITE;
      char op = 'x';
      if (above[j - 1] + !same < cost) cost = above[j - 1] + !same, op = same ? ' ' : 's';
      if (above[j] + 1 < cost) cost = above[j] + 1, op = 'd';
      if (left + 1 < cost) cost = left + 1, op = 'i';
      left = row[j] = cost;
      ops[j] = op;
    }
    return;
  }
  for (; j < to; j++) {
    int32_t cost = above[j - 1] + (word != reference[j - 1]), down = above[j] + 1;
    if (down < cost) cost = down;
    if (left + 1 < cost) cost = left + 1;
    if (cost > INFINITE) cost = INFINITE;
    left = row[j] = cost;
  }
}

/* Fills the whole matrix for the hypothesis; returns the distance. */
static int32_t fill_matrix(scratch *s, const beam *b, const uint32_t *hypothesis) {
  size_t width = b->ref + 1, cells = (b->hyp + 1) * width;
  DG_GROW(s->costs, s->costs_capacity, cells);
  DG_GROW(s->ops, s->ops_capacity, cells);
  for (size_t j = 0; j < width; j++) s->costs[j] = (int32_t)j, s->ops[j] = 'i';
  for (size_t i = 1; i <= b->hyp; i++)
    fill_row(b, s->common.reference.list, hypothesis[i - 1], i, s->costs + (i - 1) * width,
             s->costs + i * width, s->ops + i * width);
  return s->costs[cells - 1];
}

/* The distance of a hypothesis that is that of the matrix up to its word `first`. */
static int32_t distance(scratch *s, const beam *b, const uint32_t *hypothesis, size_t first) {
  size_t width = b->ref + 1;
  DG_GROW(s->row, s->row_capacity, 2 * width);
  const int32_t *above = s->costs + first * width;
  int32_t *rows[2] = {s->row, s->row + width};
  for (size_t i = first + 1; i <= b->hyp; i++) {
    int32_t *row = rows[i & 1];
    fill_row(b, s->common.reference.list, hypothesis[i - 1], i, above, row, NULL);
    above = row;
  }
  return above[b->ref];
}

/* Where each word of the reference stands in the hypothesis (before the first: -1), and
 * running sums of the errors on both sides. False if the beam lost its way. */
static bool trace(scratch *s, const beam *b) {
  size_t width = b->ref + 1, i = b->hyp, j = b->ref;
  DG_GROW(s->align, s->align_capacity, b->ref + 1);
  DG_GROW(s->errors[0], s->errors_capacity[0], b->hyp + 1);
  DG_GROW(s->errors[1], s->errors_capacity[1], b->ref + 1);
  while (i > 0 || j > 0) {
    char op = s->ops[i * width + j];
    bool wrong = op != ' ';
    if (op == 'x' || (op != 'i' && !i) || (op != 'd' && !j)) return false;
    if (op != 'd') { /* the reference's word j-1 is consumed */
      j--;
      s->align[j] = (int)i - 1;
      s->errors[1][j + 1] = wrong;
    }
    if (op != 'i') {
      i--;
      s->errors[0][i + 1] = wrong;
    }
  }
  s->errors[0][0] = s->errors[1][0] = 0;
  for (i = 0; i < b->hyp; i++) s->errors[0][i + 1] += s->errors[0][i];
  for (j = 0; j < b->ref; j++) s->errors[1][j + 1] += s->errors[1][j];
  return true;
}

/* --- shifts -------------------------------------------------------------------------------- */

/* words with [start, start+length) moved before `target`, positions those of `words`. */
static void perform_shift(const uint32_t *words, size_t count, size_t start, size_t length,
                          size_t target, uint32_t *out) {
  size_t n = 0;
#define COPY(from, to)                                                     \
  do {                                                                     \
    size_t copy_to = (to) < count ? (to) : count;                          \
    if (copy_to > (from)) {                                                \
      memcpy(out + n, words + (from), (copy_to - (from)) * sizeof *words); \
      n += copy_to - (from);                                               \
    }                                                                      \
  } while (0)
  if (target < start) {
    COPY(0, target);
    COPY(start, start + length);
    COPY(target, start);
    COPY(start + length, count);
  } else if (target > start + length) {
    COPY(0, start);
    COPY(start + length, target);
    COPY(start, start + length);
    COPY(target, count);
  } else {
    COPY(0, start);
    COPY(start + length, length + target);
    COPY(start, start + length);
    COPY(length + target, count);
  }
#undef COPY
}

typedef struct candidate {
  int32_t gain;
  size_t length, start, target;
} candidate;

static bool better(const candidate *a, const candidate *b) {
  if (a->gain != b->gain) return a->gain > b->gain;
  if (a->length != b->length) return a->length > b->length;
  if (a->start != b->start) return a->start < b->start;
  return a->target < b->target;
}

/* The best shift of the hypothesis, whose matrix is filled; the shifted words go to
 * s->best. Returns what it gains. */
static int32_t best_shift(scratch *s, const beam *b, int32_t before, size_t *checked) {
  const uint32_t *h = s->common.hypothesis.list, *r = s->common.reference.list;
  candidate best = {0};
  bool any = false;
  if (!trace(s, b)) return 0;
  for (size_t i = 0; i < b->hyp; i++) {
    size_t from = i > SHIFT_DISTANCE_MAX ? i - SHIFT_DISTANCE_MAX : 0;
    size_t to = i + SHIFT_DISTANCE_MAX + 1 < b->ref ? i + SHIFT_DISTANCE_MAX + 1 : b->ref;
    for (size_t j = from; j < to; j++) {
      for (size_t length = 1; length <= SHIFT_LENGTH_MAX && i + length <= b->hyp &&
                              j + length <= b->ref && h[i + length - 1] == r[j + length - 1];
           length++) {
        /* Only what is wrong moves, to where something is wrong, and not into itself. */
        if (s->errors[0][i + length] == s->errors[0][i]) continue;
        if (s->errors[1][j + length] == s->errors[1][j]) continue;
        if ((int)i <= s->align[j] && s->align[j] < (int)(i + length)) continue;
        long last = -1;
        for (size_t k = 0; k <= length; k++) { /* before the j-th word, after it, ... */
          size_t target;
          if (j + k == 0)
            target = 0;
          else if (j + k - 1 < b->ref)
            target = (size_t)(s->align[j + k - 1] + 1);
          else
            break;
          if ((long)target == last) continue;
          last = (long)target;
          perform_shift(h, b->hyp, i, length, target, s->shifted.list);
          candidate c = {before - distance(s, b, s->shifted.list, target < i ? target : i), length,
                         i, target};
          (*checked)++;
          if (any && !better(&c, &best)) continue;
          any = true;
          best = c;
          memcpy(s->best.list, s->shifted.list, b->hyp * sizeof *h);
        }
        if (*checked >= CANDIDATES_MAX) return any ? best.gain : 0;
      }
    }
  }
  return any ? best.gain : 0;
}

static size_t edits(scratch *s) {
  size_t n = s->common.hypothesis.count;
  if (!s->common.reference.count) return n;
  beam b = beam_of(n, s->common.reference.count);
  DG_GROW(s->shifted.list, s->shifted.capacity, n);
  DG_GROW(s->best.list, s->best.capacity, n);
  size_t shifts = 0, checked = 0;
  int32_t before;
  for (;; shifts++) {
    before = fill_matrix(s, &b, s->common.hypothesis.list);
    if (!before) break; /* nothing is wrong, nothing moves */
    int32_t gain = best_shift(s, &b, before, &checked);
    if (checked >= CANDIDATES_MAX || gain <= 0) break;
    memcpy(s->common.hypothesis.list, s->best.list, n * sizeof *s->best.list);
  }
  return shifts + (size_t)before;
}

enum { CELLS_MOST = 1 << 28 }; /* of the matrix; each takes five bytes */

static bool measure(const dg_scorer *metric, dg_scratch *s, const char *hypothesis,
                    const char *const *references, size_t count, double *out, dg_error *err) {
  const ter *m = (const ter *)metric;
  dg_strbuf *once = &((scratch *)s)->once;
  dg_strbuf_clear(&s->text);
  tokenize(m, hypothesis, &s->split);
  dg_strbuf_addn(&s->text, s->split.a.text, s->split.a.length);
  size_t end = s->text.length, least = SIZE_MAX, lengths = 0;
  for (size_t r = 0; r < count; r++) {
    s->text.length = end;
    tokenize(m, references[r], &s->split);
    if (m->options.normalized) { /* sacreBLEU tokenizes references twice, which shows */
      join_words(once, s->split.a.text, s->split.a.length);
      tokenize(m, once->text, &s->split);
    }
    dg_strbuf_addn(&s->text, s->split.a.text, s->split.a.length);
    dg_vocabulary_restart(&s->vocabulary, s->text.length / 2 + 2);
    dg_items_words(&s->hypothesis, &s->vocabulary, s->text.text, end, true);
    dg_items_words(&s->reference, &s->vocabulary, s->text.text + end, s->text.length - end, true);
    lengths += s->reference.count;
    if (s->hypothesis.count >= CELLS_MOST / (s->reference.count + 1))
      return dg_fail(err, DG_ERR_UNSUPPORTED,
                     "%zu words against %zu are too many for TER: score sentences, a line each",
                     s->hypothesis.count, s->reference.count);
    size_t e = edits((scratch *)s);
    if (e < least) least = e;
  }
  out[0] = (double)least;
  out[1] = (double)lengths / (double)count;
  return true;
}

/* --- the metric ---------------------------------------------------------------------------- */

static void score(const dg_scorer *metric, const double *totals, dg_numbers numbers,
                  dg_score *out) {
  (void)metric;
  double rate = totals[1] > 0 ? totals[0] / totals[1] : totals[0] > 0;
  if (numbers == DG_FLOAT32 && totals[1] > 0) rate = (double)(float)rate;
  out->score = 100 * rate;
  out->edits = totals[0];
  out->edit_length = totals[1];
}

static const char *yes(bool b) { return b ? "yes" : "no"; }

static void sign(const dg_scorer *metric, bool abbreviated, dg_strbuf *out) {
  const dg_ter_options *o = &((const ter *)metric)->options;
  dg_sign(out, abbreviated, "case", "c", o->case_sensitive ? "mixed" : "lc");
  dg_sign(out, abbreviated, "tok", "t", "tercom");
  dg_sign(out, abbreviated, "norm", "nr", yes(o->normalized));
  dg_sign(out, abbreviated, "punct", "pn", yes(!o->no_punct));
  dg_sign(out, abbreviated, "asian", "as", yes(o->asian_support));
}

static void free_ter(dg_scorer *m) { free(m); }

dg_scorer *dg_scorer_ter(const dg_ter_options *o, dg_error *err) {
  (void)err;
  static const dg_scorer_kind kind = {sizeof(scratch), scratch_free, measure, score, NULL, sign,
                                      free_ter};
  ter *m = dg_calloc(1, sizeof *m);
  m->metric = (dg_scorer){.kind = &kind, .name = "TER", .width = 2, .is_error = true};
  if (o) m->options = *o;
  return &m->metric;
}
