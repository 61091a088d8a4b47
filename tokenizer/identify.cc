#include <cstdio>

#include <cld2/public/compact_lang_det.h>
#include <cld2/public/encodings.h>

#include <climits>
#include <string>
#include <string_view>

extern "C" {
#include "tokenizer/identify.h"
}

using std::string_view;

namespace {

// The languages of CLD2's smaller tables, in canonical codes.
constexpr string_view kKnown =
    " af ar az be bg bn bs ca ceb cs cy da de dv el en es et eu fa fi fil fr ga gd gl gu he hi hr hmn"
    " ht hu hy id is it iu ja jv ka km kn ko lg lif lo lt lv mk ml mr ms mt nb ne nl nn or pa pl pt"
    " ro ru rw si sk sl sq sr sv sw syr ta te th tr uk ur vi yi zh ";

// Mistaken for each other, sentence by sentence, in the dev sets of the harvest.
constexpr string_view kAlike[] = {" nb nn da ", " hr bs sr ", " id ms "};

string_view language(const char *code) {
  string_view s = code;
  return s.substr(0, s.find('-'));
}

// Of a list with blanks around each word.
bool holds(string_view list, string_view word) {
  for (size_t at = 1; !word.empty() && (at = list.find(word, at)) != list.npos; at++)
    if (list[at - 1] == ' ' && list[at + word.size()] == ' ') return true;
  return false;
}

}  // namespace

size_t dg_lang_identify(const char *text, size_t n, dg_lang_share out[DG_LANG_SHARES]) {
  CLD2::Language languages[DG_LANG_SHARES];
  int percents[DG_LANG_SHARES], bytes;
  double scores[DG_LANG_SHARES];
  bool reliable;
  CLD2::CLDHints none = {nullptr, nullptr, CLD2::UNKNOWN_ENCODING, CLD2::UNKNOWN_LANGUAGE};
  CLD2::ExtDetectLanguageSummary(text, n < INT_MAX ? static_cast<int>(n) : INT_MAX, true, &none, 0,
                                 languages, percents, scores, nullptr, &bytes, &reliable);
  size_t count = 0;
  for (size_t i = 0; reliable && i < DG_LANG_SHARES; i++) {
    if (languages[i] == CLD2::UNKNOWN_LANGUAGE ||
        !dg_lang_canonical(CLD2::LanguageCode(languages[i]), out[count].code, nullptr))
      continue;
    out[count++].share = percents[i] / 100.0;
  }
  return count;
}

bool dg_lang_identifiable(const char *code) {
  const std::string name(language(code));
  if (!holds(kKnown, name)) return false;
  char script[5], usual[5];
  dg_lang_script(code, script);
  dg_lang_script(name.c_str(), usual);
  const string_view other(script);
  return other == usual || (name == "sr" && other == "Latn") || (name == "zh" && other == "Hant");
}

bool dg_lang_alike(const char *a, const char *b) {
  string_view x = language(a), y = language(b);
  for (string_view group : kAlike)
    if (holds(group, x) && holds(group, y)) return true;
  return x == y;
}
