#include "mt/import/pieces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/core/file.h"
#include "mt/core/mem.h"

/* Numbers of sentencepiece_model.proto. */
enum { FIELD_PIECE = 1, FIELD_TRAINER = 2, FIELD_NORMALIZER = 3, FIELD_DENORMALIZER = 5 };
enum { TEXT = 1, SCORE = 2, TYPE = 3 };
enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, UNUSED = 5 };
enum { TRAINER_TYPE = 3, BPE = 2, CHARACTERS = 4 }; /* and of its trainer */
enum { FIELD_SIZE = 20018, WORD = 20021 };          /* our own: see model.cc */

typedef struct piece {
  char *text;
  uint8_t score[4];
  uint64_t type;
} piece;

typedef struct slot {
  size_t piece; /* 1 + a piece of the model, or 0: */
  char *name;   /* a control piece or a word, or NULL: a filler */
  bool word;
  unsigned added; /* DG_WORD... */
} slot;

struct dg_pieces {
  dg_tokenizer *original; /* has looked the file over */
  piece *pieces;
  size_t count, capacity;
  dg_strbuf rest; /* the other fields */
  bool bpe;
  slot *slots;
  size_t slot_count;
};

/* --- protobuf (protobuf.dev/programming-guides/encoding) ---------------------------------- */

typedef struct reader {
  const uint8_t *at, *end;
} reader;

typedef struct field {
  uint64_t number, value;
  unsigned wire;
  reader bytes; /* of all but varints */
} field;

static bool read_varint(reader *r, uint64_t *out) {
  *out = 0;
  for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
    uint8_t byte = *r->at++;
    *out |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) return true;
  }
  return false;
}

static bool read_field(reader *r, field *f) {
  uint64_t tag = 0, size = 0;
  if (!read_varint(r, &tag)) return false;
  *f = (field){.number = tag >> 3, .wire = tag & 7};
  if (f->wire == 0) return read_varint(r, &f->value);
  if (f->wire == 1) size = 8;
  else if (f->wire == 5) size = 4;
  else if (f->wire != 2 || !read_varint(r, &size)) return false;
  if (size > (uint64_t)(r->end - r->at)) return false;
  f->bytes = (reader){r->at, r->at + size};
  r->at += size;
  return true;
}

static void put_varint(dg_strbuf *b, uint64_t value) {
  for (; value >= 128; value >>= 7) dg_strbuf_addc(b, (char)(value | 128));
  dg_strbuf_addc(b, (char)value);
}

static void put_bytes(dg_strbuf *b, uint64_t number, const void *bytes, size_t n) {
  put_varint(b, number << 3 | 2);
  put_varint(b, n);
  dg_strbuf_addn(b, bytes, n);
}

static void put_piece(dg_strbuf *b, const char *text, const uint8_t score[4], uint64_t type,
                      unsigned added) {
  dg_strbuf one = {0};
  put_bytes(&one, TEXT, text, strlen(text));
  put_varint(&one, SCORE << 3 | 5);
  dg_strbuf_addn(&one, (const char *)score, 4);
  put_varint(&one, TYPE << 3);
  put_varint(&one, type);
  if (added) {
    put_varint(&one, (uint64_t)WORD << 3);
    put_varint(&one, added);
  }
  put_bytes(b, FIELD_PIECE, one.text, one.length);
  free(one.text);
}

/* --- reading ------------------------------------------------------------------------------ */

static bool read_piece(dg_pieces *p, reader r) {
  DG_GROW(p->pieces, p->capacity, p->count + 1);
  piece *x = &p->pieces[p->count++];
  *x = (piece){.type = NORMAL};
  for (field f; r.at < r.end;) {
    if (!read_field(&r, &f)) return false;
    size_t n = (size_t)(f.bytes.end - f.bytes.at);
    if (f.number == TEXT && f.wire == 2) {
      free(x->text);
      x->text = dg_strndup((const char *)f.bytes.at, n);
    }
    if (f.number == SCORE && f.wire == 5) memcpy(x->score, f.bytes.at, 4);
    if (f.number == TYPE && f.wire == 0) x->type = f.value;
  }
  return x->text != NULL;
}

static void read_trainer(dg_pieces *p, reader r) {
  for (field f; r.at < r.end && read_field(&r, &f);)
    if (f.number == TRAINER_TYPE && f.wire == 0) p->bpe = f.value == BPE;
}

static bool read_model(dg_pieces *p, reader r) {
  for (field f; r.at < r.end;) {
    if (!read_field(&r, &f)) return false;
    if (f.number == FIELD_PIECE && f.wire == 2 && !read_piece(p, f.bytes)) return false;
    if (f.number == FIELD_TRAINER && f.wire == 2) read_trainer(p, f.bytes);
    if ((f.number == FIELD_TRAINER || f.number == FIELD_NORMALIZER ||
         f.number == FIELD_DENORMALIZER) && f.wire == 2)
      put_bytes(&p->rest, f.number, f.bytes.at, (size_t)(f.bytes.end - f.bytes.at));
  }
  return true;
}

dg_pieces *dg_pieces_of(dg_tokenizer *original, dg_error *err) {
  if (!original) return NULL;
  dg_pieces *p = dg_calloc(1, sizeof *p);
  p->original = original;
  size_t n;
  const uint8_t *bytes = dg_tokenizer_bytes(original, &n);
  if (read_model(p, (reader){bytes, bytes + n})) return p;
  dg_fail(err, DG_ERR_FORMAT, "it is no sentencepiece model");
  dg_pieces_free(p);
  return NULL;
}

dg_pieces *dg_pieces_read(const void *bytes, size_t size, dg_error *err) {
  return dg_pieces_of(dg_tokenizer_load(bytes, size, err), err);
}

dg_pieces *dg_pieces_load(const char *path, dg_error *err) {
  return dg_pieces_of(dg_tokenizer_load_file(path, err), err);
}

dg_pieces *dg_pieces_characters(const char *const *characters, size_t count, dg_error *err) {
  static const uint8_t no_score[4];
  dg_strbuf model = {0}, trainer = {0}, normalizer = {0};
  put_piece(&model, "<unk>", no_score, UNKNOWN, 0);
  for (size_t i = 0; i < count; i++) put_piece(&model, characters[i], no_score, NORMAL, 0);
  put_varint(&trainer, TRAINER_TYPE << 3);
  put_varint(&trainer, CHARACTERS);
  /* Text is taken as it is: nothing in front, no blanks removed or escaped. */
  for (uint64_t number = 3; number <= 5; number++) {
    put_varint(&normalizer, number << 3);
    put_varint(&normalizer, 0);
  }
  put_bytes(&model, FIELD_TRAINER, trainer.text, trainer.length);
  put_bytes(&model, FIELD_NORMALIZER, normalizer.text, normalizer.length);
  dg_pieces *p = dg_pieces_read(model.text, model.length, err);
  free(model.text);
  free(trainer.text);
  free(normalizer.text);
  return p;
}

static void clear(slot *s) {
  free(s->name);
  *s = (slot){0};
}

void dg_pieces_free(dg_pieces *p) {
  if (!p) return;
  dg_tokenizer_free(p->original);
  for (size_t i = 0; i < p->count; i++) free(p->pieces[i].text);
  for (size_t i = 0; i < p->slot_count; i++) clear(&p->slots[i]);
  free(p->pieces);
  free(p->slots);
  free(p->rest.text);
  free(p);
}

size_t dg_pieces_count(const dg_pieces *p) { return p->count; }
const char *dg_pieces_text(const dg_pieces *p, size_t i) { return p->pieces[i].text; }

bool dg_pieces_is_special(const dg_pieces *p, size_t i) {
  return p->pieces[i].type == UNKNOWN || p->pieces[i].type == CONTROL;
}

bool dg_pieces_is_unknown(const dg_pieces *p, size_t i) { return p->pieces[i].type == UNKNOWN; }

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

dg_tokenizer *dg_pieces_tokenizer(dg_pieces *p, size_t size, dg_error *err) {
  static const uint8_t no_score[4];
  dg_strbuf model = {0};
  bool *placed = dg_calloc(p->count + 1, sizeof *placed), some_left = false;
  for (size_t id = 0; id < size; id++) {
    const slot *s = id < p->slot_count ? &p->slots[id] : &(slot){0};
    if (s->piece) {
      const piece *x = &p->pieces[s->piece - 1];
      put_piece(&model, x->text, x->score, x->type, s->added);
      placed[s->piece - 1] = true;
    } else if (s->name) { /* BPE would merge over unused pieces */
      put_piece(&model, s->name, no_score, s->word && !p->bpe ? UNUSED : CONTROL, s->added);
    } else {
      char filler[32];
      snprintf(filler, sizeof filler, "<filler-%zu>", id);
      put_piece(&model, filler, no_score, CONTROL, 0);
    }
  }
  for (size_t i = 0; i < p->count; i++) {
    const piece *x = &p->pieces[i];
    if (placed[i] || dg_pieces_is_special(p, i)) continue;
    put_piece(&model, x->text, x->score, x->type, 0);
    some_left = true;
  }
  free(placed);
  dg_strbuf_addn(&model, p->rest.text, p->rest.length);
  if (some_left) {
    put_varint(&model, (uint64_t)FIELD_SIZE << 3);
    put_varint(&model, size);
  }
  dg_tokenizer *t = dg_tokenizer_load(model.text, model.length, err);
  free(model.text);
  return t;
}
