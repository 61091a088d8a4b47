#include "mt/import/pieces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"
#include "tokenizer/pieces.h"

typedef struct slot {
  size_t piece; /* 1 + a piece of the model, or 0: */
  char *name;   /* a control piece or a word, or NULL: a filler */
  bool word;
  unsigned added; /* DG_WORD... */
} slot;

struct dg_pieces {
  dg_tokenizer *original;
  dg_piece *pieces;
  size_t count;
  slot *slots;
  size_t slot_count;
};

dg_pieces *dg_pieces_of(dg_tokenizer *original, dg_error *err) {
  if (!original) return NULL;
  dg_pieces *p = dg_calloc(1, sizeof *p);
  p->original = original;
  if ((p->pieces = dg_tokenizer_list(original, &p->count, err))) return p;
  dg_pieces_free(p);
  return NULL;
}

static void clear(slot *s) {
  free(s->name);
  *s = (slot){0};
}

void dg_pieces_free(dg_pieces *p) {
  if (!p) return;
  dg_tokenizer_free(p->original);
  for (size_t i = 0; i < p->slot_count; i++) clear(&p->slots[i]);
  free(p->pieces);
  free(p->slots);
  free(p);
}

size_t dg_pieces_count(const dg_pieces *p) { return p->count; }
const char *dg_pieces_text(const dg_pieces *p, size_t i) { return p->pieces[i].text; }

bool dg_pieces_is_special(const dg_pieces *p, size_t i) {
  return p->pieces[i].type == DG_PIECE_UNKNOWN || p->pieces[i].type == DG_PIECE_CONTROL;
}

bool dg_pieces_is_unknown(const dg_pieces *p, size_t i) {
  return p->pieces[i].type == DG_PIECE_UNKNOWN;
}

/* --- placing ------------------------------------------------------------------------------ */

static slot *slot_at(dg_pieces *p, size_t size, size_t id) {
  if (id >= size) return NULL;
  if (id >= p->slot_count) {
    p->slots = dg_realloc(p->slots, size * sizeof *p->slots);
    memset(p->slots + p->slot_count, 0, (size - p->slot_count) * sizeof *p->slots);
    p->slot_count = size;
  }
  clear(&p->slots[id]);
  return &p->slots[id];
}

bool dg_pieces_place(dg_pieces *p, size_t size, size_t id, size_t i) {
  slot *s = slot_at(p, size, id);
  if (s) s->piece = i + 1;
  return s != NULL;
}

bool dg_pieces_name(dg_pieces *p, size_t size, size_t id, const char *name) {
  slot *s = slot_at(p, size, id);
  if (s) s->name = dg_strdup(name);
  return s != NULL;
}

bool dg_pieces_word(dg_pieces *p, size_t size, size_t id, const char *word) {
  if (!dg_pieces_name(p, size, id, word)) return false;
  p->slots[id].word = true;
  return true;
}

bool dg_pieces_add_word(dg_pieces *p, size_t size, size_t id, const char *word, unsigned how) {
  if (!dg_pieces_at(p, id) && !dg_pieces_name(p, size, id, word)) return false;
  p->slots[id].added = how;
  return true;
}

const char *dg_pieces_at(const dg_pieces *p, size_t id) {
  if (id >= p->slot_count) return NULL;
  const slot *s = &p->slots[id];
  return s->piece ? p->pieces[s->piece - 1].text : s->name;
}

enum { FILLER = 32 }; /* bytes of its name */

/* What stands at an id. `filler` holds the name of one that nothing stands at. */
static dg_piece piece_at(const dg_pieces *p, size_t id, char filler[FILLER]) {
  const slot *s = id < p->slot_count ? &p->slots[id] : &(slot){0};
  dg_piece x = {.text = s->name, .type = DG_PIECE_CONTROL, .word = s->added};
  if (s->piece) {
    x = p->pieces[s->piece - 1];
    x.word = s->added;
  } else if (!s->name) {
    snprintf(filler, FILLER, "<filler-%zu>", id);
    x.text = filler;
  } else if (s->word && !dg_tokenizer_is_bpe(p->original)) { /* that would merge over it */
    x.type = DG_PIECE_UNUSED;
  }
  return x;
}

dg_tokenizer *dg_pieces_tokenizer(dg_pieces *p, size_t size, dg_error *err) {
  dg_piece *list = dg_calloc(size + p->count + 1, sizeof *list);
  char(*fillers)[FILLER] = dg_calloc(size + 1, sizeof *fillers);
  bool *placed = dg_calloc(p->count + 1, sizeof *placed);
  size_t count = 0;
  for (; count < size; count++) {
    list[count] = piece_at(p, count, fillers[count]);
    if (count < p->slot_count && p->slots[count].piece)
      placed[p->slots[count].piece - 1] = true;
  }
  for (size_t i = 0; i < p->count; i++) {
    if (placed[i] || dg_pieces_is_special(p, i)) continue;
    list[count] = p->pieces[i];
    list[count++].word = 0;
  }
  dg_tokenizer *t = dg_tokenizer_like(p->original, list, count, size, err);
  free(list);
  free(fillers);
  free(placed);
  return t;
}
