#include "eval/splitter.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/mecab.h"
#include "eval/pytext.h"
#include "mt/core/hash.h"
#include "mt/core/utf8.h"
#include "tokenizer/tokenizer.h"

typedef enum split_kind {
  SPLIT_NONE,
  SPLIT_13A,
  SPLIT_INTL,
  SPLIT_CHAR,
  SPLIT_ZH,
  SPLIT_MECAB,
  SPLIT_SPM
} split_kind;

enum { BASIC = 0x10000, SIGNATURE_MAX = 64 };

struct dg_splitter {
  split_kind kind;
  char signature[SIGNATURE_MAX];
  dg_tokenizer *spm;
  dg_mecab *mecab;
  struct categories *categories; /* of intl */
};

void dg_split_buffers_free(dg_split_buffers *b) {
  free(b->a.text);
  free(b->b.text);
  *b = (dg_split_buffers){0};
}

static void swap(dg_split_buffers *b) {
  dg_strbuf t = b->a;
  b->a = b->b;
  b->b = t;
}

/* Room for n bytes more in a buffer that is written by hand. */
static char *reserve(dg_strbuf *b, size_t n) {
  dg_strbuf_clear(b);
  DG_GROW(b->text, b->capacity, n + 1);
  return b->text;
}

static void finish(dg_split_buffers *b, char *end) {
  *end = 0;
  b->b.length = (size_t)(end - b->b.text);
  swap(b);
}

static void take(dg_split_buffers *b, const char *text, size_t n) {
  reserve(&b->a, n);
  dg_strbuf_addn(&b->a, text, n);
}

/* --- 13a ------------------------------------------------------------------------------------ */

void dg_split_replace(dg_split_buffers *b, const char *from, const char *to) {
  size_t n = strlen(from), m = strlen(to);
  const char *s = b->a.text, *end = s + b->a.length;
  const char *hit = b->a.length < n ? NULL : memmem(s, b->a.length, from, n);
  if (!hit) return;
  size_t growth = m > n ? (b->a.length / n + 1) * (m - n) : 0;
  char *out = reserve(&b->b, b->a.length + growth);
  while (hit) {
    memcpy(out, s, (size_t)(hit - s));
    out += hit - s;
    memcpy(out, to, m);
    out += m;
    s = hit + n;
    hit = memmem(s, (size_t)(end - s), from, n);
  }
  memcpy(out, s, (size_t)(end - s));
  finish(b, out + (end - s));
}

void dg_split_entities(dg_split_buffers *b) {
  if (!b->a.length || !memchr(b->a.text, '&', b->a.length)) return;
  dg_split_replace(b, "&quot;", "\"");
  dg_split_replace(b, "&amp;", "&");
  dg_split_replace(b, "&lt;", "<");
  dg_split_replace(b, "&gt;", ">");
}

static bool digit(char c) { return c >= '0' && c <= '9'; }
static bool point(char c) { return c == '.' || c == ','; }

/* [{-~[-` -&(-+:-@/] */
static bool symbol(unsigned char c) {
  static const uint32_t set[8] = {0, 0xFC008F7F, 0xF8000001, 0x78000001};
  return set[c >> 5] >> (c & 31) & 1;
}

void dg_split_symbols(dg_split_buffers *b) {
  char *out = reserve(&b->b, 3 * b->a.length);
  const char *s = b->a.text, *end = s + b->a.length;
  while (s < end) {
    const char *from = s;
    /* A space is a symbol too, but three part no better than one. */
    while (s < end && (*s == ' ' || !symbol((unsigned char)*s))) s++;
    memcpy(out, from, (size_t)(s - from));
    out += s - from;
    if (s == end) break;
    *out++ = ' ';
    *out++ = *s++;
    *out++ = ' ';
  }
  finish(b, out);
}

/* Three substitutions, left to right without overlap as a regular expression makes them. On
 * bytes rather than characters they do the same. */
void dg_split_points(dg_split_buffers *b) {
  bool points =
      b->a.length && (memchr(b->a.text, '.', b->a.length) || memchr(b->a.text, ',', b->a.length));
  bool dashes = b->a.length && memchr(b->a.text, '-', b->a.length);
  if (points) {
    char *out = reserve(&b->b, 3 * b->a.length);
    const char *s = b->a.text, *end = s + b->a.length;
    while (s < end) { /* ([^0-9])([.,]) */
      const char *p = s + 1;
      while (p < end && (!point(*p) || digit(p[-1]))) p++;
      memcpy(out, s, (size_t)(p - s));
      out += p - s;
      s = p;
      if (s == end) break;
      *out++ = ' ';
      *out++ = *s++;
      *out++ = ' ';
    }
    finish(b, out);
    out = reserve(&b->b, 3 * b->a.length);
    s = b->a.text;
    end = s + b->a.length;
    while (s < end) { /* ([.,])([^0-9]) */
      const char *p = s;
      while (p < end && (!point(*p) || p + 1 == end || digit(p[1]))) p++;
      memcpy(out, s, (size_t)(p - s));
      out += p - s;
      s = p;
      if (s == end) break;
      *out++ = ' ';
      *out++ = *s++;
      *out++ = ' ';
      *out++ = *s++;
    }
    finish(b, out);
  }
  if (!dashes) return;
  char *out = reserve(&b->b, 3 * b->a.length);
  const char *s = b->a.text, *end = s + b->a.length;
  while (s < end) { /* ([0-9])(-) */
    *out++ = *s;
    if (digit(*s) && s + 1 < end && s[1] == '-') {
      *out++ = ' ';
      *out++ = *++s;
      *out++ = ' ';
    }
    s++;
  }
  finish(b, out);
}

void dg_split_pad(dg_split_buffers *b) {
  char *out = reserve(&b->b, b->a.length + 2);
  *out++ = ' ';
  memcpy(out, b->a.text, b->a.length);
  out += b->a.length;
  *out++ = ' ';
  finish(b, out);
}

static void split_13a(const char *text, size_t n, dg_split_buffers *b) {
  take(b, text, n);
  if (n && memchr(text, '<', n)) dg_split_replace(b, "<skipped>", "");
  dg_split_entities(b);
  dg_split_pad(b); /* so that a point at either end has something beside it */
  dg_split_symbols(b);
  dg_split_points(b);
}

/* --- intl, char, zh -------------------------------------------------------------------------- */

/* What intl asks of characters. */
typedef struct categories {
  char of[BASIC];    /* dg_py_category of those below */
  bool plain[0x100]; /* no character with this byte is punctuation or a symbol */
} categories;

static categories *categories_new(void) {
  categories *t = dg_calloc(1, sizeof *t);
  for (int byte = 0; byte < 0xF0; byte++) t->plain[byte] = true;
  for (uint32_t c = 0; c < BASIC; c++) {
    t->of[c] = dg_py_category(c);
    if (t->of[c] == 'P' || t->of[c] == 'S')
      t->plain[c < 0x80 ? c : c < 0x800 ? 0xC0 | c >> 6 : 0xE0 | c >> 12] = false;
  }
  return t;
}

/* The category of the character at *s, which moves past it. */
static char category(const categories *t, const char **s, const char *end) {
  uint32_t c = dg_utf8_next(s, end);
  return c < BASIC ? t->of[c] : dg_py_category(c);
}

static char category_before(const categories *t, const char *text, const char *s) {
  const char *end = s;
  do s--;
  while (s > text && ((unsigned char)*s & 0xC0) == 0x80);
  return category(t, &s, end);
}

/* sacreBLEU substitutes thrice:
 *   (\P{N})(\p{P}) -> "\1 \2 "   (\p{P})(\P{N}) -> " \1 \2"   (\p{S}) -> " \1 "
 * Matches do not overlap: what the first has set apart is no left side for the next. Such a
 * mark is bounded by spaces, so that the second concerns only marks the first has not. */
static void split_intl(const categories *t, const char *text, size_t n, dg_split_buffers *b) {
  char *out = reserve(&b->b, 3 * n);
  const char *s = text, *end = s + n, *rest = s; /* what is not yet copied */
  const char *set_apart = NULL;                  /* the end of what the first has */
  for (;;) {
    while (s < end && t->plain[(unsigned char)*s]) s++;
    if (s == end) break;
    const char *mark = s;
    char kind = category(t, &s, end);
    bool apart = kind == 'S';
    if (kind == 'P') {
      if (mark > text && mark != set_apart && category_before(t, text, mark) != 'N')
        set_apart = s, apart = true;
      const char *next = s;
      apart = apart || (s < end && category(t, &next, end) != 'N');
    }
    if (!apart) continue;
    memcpy(out, rest, (size_t)(mark - rest));
    out += mark - rest;
    *out++ = ' ';
    while (mark < s) *out++ = *mark++;
    *out++ = ' ';
    rest = s;
  }
  memcpy(out, rest, (size_t)(end - rest));
  finish(b, out + (end - rest));
}

/* What sacreBLEU takes for a Chinese character. Two of its ranges were meant for planes 2
 * and 3 but are read as U+2001..U+2A6D and U+2F81..U+2FA1; dashes and arrows, therefore, are
 * set apart too. */
static bool chinese(uint32_t c) {
  static const uint32_t ranges[][2] = {
      {0x2001, 0x2A6D}, {0x2E80, 0x2EFF}, {0x2F00, 0x2FDF}, {0x2FF0, 0x2FFF}, {0x3000, 0x303F},
      {0x3100, 0x312F}, {0x31A0, 0x31BF}, {0x31C0, 0x31EF}, {0x3200, 0x33FF}, {0x3400, 0x4DB5},
      {0x4E00, 0x9FBB}, {0xF900, 0xFA2D}, {0xFA30, 0xFA6A}, {0xFA70, 0xFAD9}, {0xFE10, 0xFE1F},
      {0xFE30, 0xFE4F}, {0xFF00, 0xFFEF}};
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges && c >= ranges[i][0]; i++)
    if (c <= ranges[i][1]) return true;
  return false;
}

static bool every(uint32_t c) {
  (void)c;
  return true;
}

void dg_split_each(dg_split_buffers *b, bool (*which)(uint32_t), bool remove) {
  char *out = reserve(&b->b, 3 * b->a.length);
  for (const char *s = b->a.text, *end = s + b->a.length; s < end;) {
    const char *from = s;
    bool hit = which(dg_utf8_next(&s, end));
    if (hit && remove) continue;
    if (hit) *out++ = ' ';
    memcpy(out, from, (size_t)(s - from));
    out += s - from;
    if (hit) *out++ = ' ';
  }
  finish(b, out);
}

static void split_char(const char *text, size_t n, dg_split_buffers *b) {
  take(b, text, n);
  dg_split_each(b, every, false);
}

static void split_zh(const char *text, size_t n, dg_split_buffers *b) {
  size_t from = dg_py_lstrip(text, n);
  take(b, text + from, dg_py_rstrip(text + from, n - from));
  dg_split_each(b, chinese, false);
  dg_split_symbols(b);
  dg_split_points(b);
}

/* --- models ---------------------------------------------------------------------------------- */

static bool split_spm(const dg_splitter *s, const char *text, size_t n, dg_split_buffers *b,
                      dg_error *err) {
  dg_strbuf_clear(&b->a);
  char *pieces = dg_tokenizer_pieces(s->spm, text, n, err);
  if (!pieces) return false;
  dg_strbuf_add(&b->a, pieces);
  free(pieces);
  return true;
}

static bool split_mecab(const dg_splitter *s, const char *text, size_t n, dg_split_buffers *b,
                        dg_error *err) {
  dg_strbuf_clear(&b->a);
  size_t from = dg_py_lstrip(text, n);
  return dg_mecab_words(s->mecab, text + from, dg_py_rstrip(text + from, n - from), &b->a, err);
}

/* The name of the file that sacreBLEU keeps the model under. */
static char *cached_model(const char *file) {
  const char *home = getenv("SACREBLEU"), *user = getenv("HOME");
  char *path = home   ? dg_format("%s/models/%s", home, file)
               : user ? dg_format("%s/.sacrebleu/models/%s", user, file)
                      : dg_strdup(file);
  if (!access(path, R_OK)) return path;
  free(path);
  return NULL;
}

/* Only the published model has its name in the signature. Nothing tells a model that the user
 * names but its file's name: another is signed by its hash. */
static dg_tokenizer *load_spm(const char *name, const char *file, const char *model,
                              char signature[SIGNATURE_MAX], dg_error *err) {
  char *found = model ? dg_strdup(model) : cached_model(file);
  if (!found) {
    dg_fail(
        err, DG_ERR_USAGE,
        "the tokenizer %s needs its sentencepiece model: name it with --tokenizer-model, or put "
        "it where sacreBLEU does, ~/.sacrebleu/models/%s",
        name, file);
    return NULL;
  }
  dg_tokenizer *t = dg_tokenizer_load_file(found, err);
  const char *base = strrchr(found, '/');
  if (t && strcmp(base ? base + 1 : found, file)) {
    size_t size;
    const void *bytes = dg_tokenizer_bytes(t, &size);
    char hash[DG_HASH_TEXT];
    dg_hash_bytes(bytes, size, hash);
    snprintf(signature, SIGNATURE_MAX, "spm-%.8s", hash);
  }
  free(found);
  return t;
}

dg_splitter *dg_splitter_new(const char *name, const char *model, dg_error *err) {
  static const struct {
    const char *name;
    split_kind kind;
    const char *signature, *file;
  } known[] = {{"none", SPLIT_NONE, "none", NULL},
               {"13a", SPLIT_13A, "13a", NULL},
               {"intl", SPLIT_INTL, "intl", NULL},
               {"char", SPLIT_CHAR, "char", NULL},
               {"zh", SPLIT_ZH, "zh", NULL},
               {"ja-mecab", SPLIT_MECAB, "IPA", NULL},
               {"ko-mecab", SPLIT_MECAB, "KO", NULL},
               {"spm", SPLIT_SPM, "flores101", "sacrebleu_tokenizer_spm.model"},
               {"flores101", SPLIT_SPM, "flores101", "sacrebleu_tokenizer_spm.model"},
               {"flores200", SPLIT_SPM, "flores200", "flores200sacrebleuspm"},
               {"spBLEU-1K", SPLIT_SPM, "spBLEU-1K", "spbleu-1k_tokenizer_spm.model"}};
  size_t i = 0, count = sizeof known / sizeof *known;
  while (i < count && strcmp(known[i].name, name)) i++;
  if (i == count) {
    dg_fail(err, DG_ERR_USAGE,
            "there is no tokenizer \"%s\": none, 13a, intl, char, zh, ja-mecab, ko-mecab, spm, "
            "flores101, flores200 or spBLEU-1K",
            name);
    return NULL;
  }
  if (model && known[i].kind != SPLIT_SPM && known[i].kind != SPLIT_MECAB) {
    dg_fail(err, DG_ERR_USAGE, "the tokenizer %s takes no model: those of spm and MeCab do", name);
    return NULL;
  }
  dg_splitter *s = dg_calloc(1, sizeof *s);
  s->kind = known[i].kind;
  snprintf(s->signature, sizeof s->signature, "%s", known[i].signature);
  if (s->kind == SPLIT_INTL) s->categories = categories_new();
  if (s->kind == SPLIT_SPM) s->spm = load_spm(name, known[i].file, model, s->signature, err);
  if (s->kind == SPLIT_MECAB) {
    s->mecab = dg_mecab_open(name, model, err);
    if (s->mecab)
      snprintf(s->signature, sizeof s->signature, "%s-%.20s-%s", name, dg_mecab_version(s->mecab),
               known[i].signature);
  }
  if ((s->kind == SPLIT_SPM && !s->spm) || (s->kind == SPLIT_MECAB && !s->mecab)) {
    free(s);
    return NULL;
  }
  return s;
}

void dg_splitter_free(dg_splitter *s) {
  if (!s) return;
  dg_tokenizer_free(s->spm);
  dg_mecab_free(s->mecab);
  free(s->categories);
  free(s);
}

const char *dg_splitter_signature(const dg_splitter *s) { return s->signature; }

bool dg_splitter_run(const dg_splitter *s, const char *text, size_t n, dg_split_buffers *b,
                     const char **out, size_t *length, dg_error *err) {
  bool ok = true;
  switch (s->kind) {
    case SPLIT_NONE: *out = text, *length = n; return true;
    case SPLIT_13A: split_13a(text, n, b); break;
    case SPLIT_INTL: split_intl(s->categories, text, n, b); break;
    case SPLIT_CHAR: split_char(text, n, b); break;
    case SPLIT_ZH: split_zh(text, n, b); break;
    case SPLIT_MECAB: ok = split_mecab(s, text, n, b, err); break;
    case SPLIT_SPM: ok = split_spm(s, text, n, b, err); break;
  }
  *out = b->a.length ? b->a.text : "";
  *length = b->a.length;
  return ok;
}
