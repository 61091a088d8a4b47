#include "data/clean.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>

#include "mt/core/file.h"
#include "mt/core/rng.h"
#include "mt/core/utf8.h"
#include "tokenizer/lang.h"
#include "tokenizer/placeholders.h"
#include "tokenizer/text.h"

enum { WORDS_MOST = 200 };

const char *dg_clean_verdict_name(dg_clean_verdict v) {
  static const char *const names[] = {"kept",   "empty",        "untranslated", "length", "script",
                                      "placeholders", "encoding", "credits", "duplicate",
                                      "held_back"};
  return names[v];
}

/* White space to single blanks, none at the ends. False: a character no text has. */
static bool squeeze(const char *text, dg_strbuf *out) {
  size_t n = strlen(text);
  dg_strbuf_clear(out);
  dg_strbuf_add(out, "");
  if (dg_utf8_valid_prefix(text, n) != n) return false;
  bool blank = false;
  for (const char *p = text, *end = text + n; p < end;) {
    const char *start = p;
    uint32_t c = dg_utf8_next(&p, end);
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      blank = out->length > 0;
      continue;
    }
    if (c < 0x20 || c == 0x7F || (c >= 0x80 && c < 0xA0) || c == 0xFFFD || c == 0xFEFF)
      return false;
    if (blank) dg_strbuf_addc(out, ' ');
    blank = false;
    dg_strbuf_addn(out, start, (size_t)(p - start));
  }
  return true;
}

static bool is_word_byte(char c) { return isalnum((unsigned char)c) || (unsigned char)c >= 0x80; }

/* Whether the word of n bytes stands in text, between blanks. */
static bool has_word(const char *text, const char *word, size_t n) {
  const char *end = text + strlen(text);
  for (const char *q = text; (q = memmem(q, (size_t)(end - q), word, n)); q++)
    if ((q == text || q[-1] == ' ') && (!q[n] || q[n] == ' ')) return true;
  return false;
}

/* Is the mark at p, before a letter, part of a name or an entity? GTK marks inside
 * words too ("Save _As", "E_xit"): a name (my_file, MY_FILE, __init__) has more marks
 * than one, a capital or digit around it, or stands untranslated in the other side. */
static bool is_literal(const char *text, const char *p, char mark, const char *other) {
  if (mark == '&') return strchr(p, ';') && strcspn(p, " ") > strcspn(p, ";");
  const char *begin = p;
  while (begin > text && begin[-1] != ' ') begin--;
  size_t n = strcspn(begin, " ");
  if (p == begin || !(is_word_byte(p[-1]) || p[-1] == '/' || p[-1] == mark))
    return memchr(p + 1, mark, n - (size_t)(p + 1 - begin)) != NULL;
  if (memchr(begin, mark, (size_t)(p - begin)) || memchr(p + 1, mark, n - (size_t)(p + 1 - begin)))
    return true;
  if (isdigit((unsigned char)p[1]) || isdigit((unsigned char)p[-1]) || p[-1] == '/') return true;
  return (isupper((unsigned char)p[1]) && isupper((unsigned char)p[-1])) ||
         has_word(other, begin, n);
}

/* Removes the mark before a letter ("_File", "&File"), halves doubled marks, and
 * drops the CJK form "(&F)" with the blank before it. */
static void strip_accelerator(char *s, char mark, const char *other) {
  char *copy = dg_strdup(s), *out = s; /* what has been read is still looked at */
  for (const char *p = copy; *p; p++) {
    if (*p == '(' && p[1] == mark && isalnum((unsigned char)p[2]) && p[3] == ')') {
      if (out > s && out[-1] == ' ') out--;
      p += 3;
      continue;
    }
    if (*p == mark && p[1] == mark && mark == '&') {
      *out++ = *p++;
      continue;
    }
    if (*p == mark && is_word_byte(p[1]) && !is_literal(copy, p, mark, other)) continue;
    *out++ = *p;
  }
  *out = 0;
  free(copy);
}

/* --- likeness ------------------------------------------------------------------------------ */

size_t dg_word_count(const char *text) {
  size_t n = 0;
  for (const char *p = text; *p;) {
    p += strspn(p, " ");
    if (*p) n++;
    p += strcspn(p, " ");
  }
  return n;
}

/* Share of a's words that also stand in b, of those with 4 letters or more. */
static double overlap(const char *a, const char *b) {
  size_t words = 0, shared = 0;
  for (const char *p = a; *p;) {
    p += strspn(p, " ");
    size_t n = strcspn(p, " ");
    if (n >= 4) {
      words++;
      shared += has_word(b, p, n);
    }
    p += n;
  }
  return words ? (double)shared / (double)words : 0;
}

/* Vowel signs and the like tell words apart; what stands on a symbol only shapes it. */
static bool is_mark(uint32_t c) {
  return (U_GET_GC_MASK((UChar32)c) & U_GC_M_MASK) != 0;
}

uint64_t dg_sentence_key(const char *text) {
  char *normal = dg_text_normalize(text, strlen(text), DG_NFC, NULL);
  const char *start = normal ? normal : text;
  uint64_t h = 0;
  bool on_letter = false;
  for (const char *p = start, *end = start + strlen(start); p < end;) {
    uint32_t c = dg_utf8_next(&p, end);
    bool counts = true;
    if (c < 0x80) {
      on_letter = isalpha((int)c) != 0;
      if (c >= '0' && c <= '9') c = '0';
      else if (on_letter) c |= 32;
      else counts = false;
    } else if (u_isalpha((UChar32)c)) {
      on_letter = true;
      c = (uint32_t)u_foldCase((UChar32)c, U_FOLD_CASE_DEFAULT);
    } else {
      counts = on_letter = on_letter && is_mark(c);
    }
    if (counts) h = dg_hash64(h ^ c);
  }
  free(normal);
  return h;
}

static size_t letters(const char *text) {
  size_t n = 0;
  for (const char *p = text, *end = text + strlen(text); p < end;) {
    uint32_t c = dg_utf8_next(&p, end);
    n += c < 0x80 ? isalpha((int)c) != 0 : u_isalpha((UChar32)c) != 0;
  }
  return n;
}

static bool credits(const char *s) {
  static const char *const marks[] = {
      "translator-credits", "translator_credits", "EMAIL OF TRANSLATORS", "NAME OF TRANSLATORS",
      "Your names",         "Your emails",        "ROLES_OF_TRANSLATORS", "CREDIT_FOR_TRANSLATORS"};
  for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
    if (strstr(s, marks[i])) return true;
  return false;
}

static bool clean_side(const char *text, dg_strbuf *out) {
  if (!squeeze(text, out)) return false;
  char *normal = dg_text_normalize(out->text, out->length, DG_NFC, NULL);
  if (!normal) return false;
  dg_strbuf_clear(out);
  dg_strbuf_add(out, normal);
  free(normal);
  return true;
}

/* Each side is looked at beside the other as it was. */
static void strip_accelerators(dg_strbuf *a, dg_strbuf *b, char mark) {
  char *source = dg_strdup(a->text);
  strip_accelerator(a->text, mark, b->text);
  strip_accelerator(b->text, mark, source);
  a->length = strlen(a->text);
  b->length = strlen(b->text);
  free(source);
}

static void drop_start(dg_strbuf *s, size_t n) {
  s->length -= n;
  memmove(s->text, s->text + n, s->length + 1);
}

/* What programs put around a message for translators alone: "Menu|Open" (before GNU
 * gettext had contexts) and LyX's "Text[[what it is]]". */
static void strip_context(dg_strbuf *source, const char *target) {
  char *bar = strchr(source->text, '|'), *note = strstr(source->text, "[[");
  if (bar && bar > source->text && bar[-1] != ' ' && bar[1] && bar[1] != ' ' &&
      !strchr(bar + 1, '|') && !strchr(target, '|'))
    drop_start(source, (size_t)(bar + 1 - source->text));
  else if (note && note > source->text && !strcmp(source->text + source->length - 2, "]]") &&
           !strstr(target, "[["))
    do source->text[source->length = (size_t)(note - source->text)] = 0;
    while (note > source->text && *--note == ' ');
}

/* The number of a heading ("3.2. ", "1) "), blank and all, or 0. */
static size_t number_length(const char *s) {
  size_t n = strspn(s, "0123456789.");
  n += s[n] == ')';
  size_t blanks = strspn(s + n, " ");
  return n > 1 && isdigit((unsigned char)*s) && !isdigit((unsigned char)s[n - 1]) && blanks
             ? n + blanks
             : 0;
}

static void strip_number(dg_strbuf *a, dg_strbuf *b) {
  size_t n = number_length(a->text);
  if (!n || number_length(b->text) != n || memcmp(a->text, b->text, n)) return;
  drop_start(a, n);
  drop_start(b, n);
}

/* Scripts that say in a letter what others say in a few. */
static bool is_dense(const char *script) {
  return !strcmp(script, "Jpan") || !strcmp(script, "Hans") || !strcmp(script, "Hant") ||
         !strcmp(script, "Kore");
}

static bool is_english(const char *language) {
  return !strncmp(language, "en", 2) && (!language[2] || language[2] == '-');
}

dg_clean_verdict dg_clean_pair(const char *source, const char *target, const char *source_language,
                               const char *target_language, dg_accelerator accelerator,
                               dg_strbuf *a, dg_strbuf *b) {
  dg_strbuf_clear(a);
  dg_strbuf_clear(b);
  if (credits(source)) return DG_CLEAN_CREDITS;
  if (!clean_side(source, a) || !clean_side(target, b)) return DG_CLEAN_ENCODING;
  strip_context(a, b->text);
  strip_number(a, b);
  if (accelerator) strip_accelerators(a, b, (char)accelerator);
  size_t x = letters(a->text), y = letters(b->text);
  if (x < 2 || y < 2) return DG_CLEAN_EMPTY;
  if (!strcmp(a->text, b->text)) return DG_CLEAN_UNTRANSLATED;
  if (dg_word_count(a->text) > WORDS_MOST || dg_word_count(b->text) > WORDS_MOST)
    return DG_CLEAN_LENGTH;
  char scripts[2][5];
  dg_lang_script(source_language, scripts[0]);
  dg_lang_script(target_language, scripts[1]);
  bool source_dense = is_dense(scripts[0]), target_dense = is_dense(scripts[1]);
  bool dense = source_dense != target_dense; /* one of them: its length over the other's */
  double ratio = dense && source_dense ? (double)x / (double)y : (double)y / (double)x;
  /* Of longer text what says far more or far less is another sentence. */
  double least = dense ? 0.12 : x + y > 60 ? 0.4 : 0.33, most = dense || x + y > 60 ? 2.5 : 3.2;
  if (x + y > 20 && (ratio < least || ratio > most)) return DG_CLEAN_LENGTH;
  if (!dg_placeholders_same(a->text, b->text)) return DG_CLEAN_PLACEHOLDERS;
  /* English quotes the scripts it speaks of. */
  bool from_english = is_english(source_language), to_english = is_english(target_language);
  if ((!from_english && !dg_text_in_script(a->text, a->length, scripts[0])) ||
      !dg_text_in_script(b->text, b->length, scripts[1]))
    return DG_CLEAN_SCRIPT;
  /* Relatives have most of their words in common; none of them is so near to English. */
  if (from_english != to_english && dg_word_count(a->text) >= 4 && overlap(a->text, b->text) > 0.6)
    return DG_CLEAN_UNTRANSLATED;
  return DG_CLEAN_KEPT;
}
