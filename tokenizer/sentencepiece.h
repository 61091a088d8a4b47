// What all that call sentencepiece share: its mark of a space, and no exception let through.
// Private to tokenizer/.
#ifndef DG_TOKENIZER_SENTENCEPIECE_H
#define DG_TOKENIZER_SENTENCEPIECE_H

extern "C" {
#include "mt/core/error.h"
}

#include <sentencepiece_processor.h>

#include <algorithm>
#include <exception>
#include <string>
#include <string_view>

namespace spm {

constexpr std::string_view kSpace = "\xe2\x96\x81";  // U+2581 stands for a space in pieces

// Runs f; a thrown exception becomes an error.
template <typename F>
bool guarded(dg_error *err, const char *what, F f) {
  try {
    return f();
  } catch (const std::exception &e) {
    return dg_fail(err, DG_ERR_FORMAT, "%s: %.300s", what, e.what());
  } catch (...) {
    return dg_fail(err, DG_ERR_FORMAT, "%s failed", what);
  }
}

inline bool failed(dg_error *err, const char *what, const sentencepiece::util::Status &s) {
  std::string text = s.ToString();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return dg_fail(err, DG_ERR_FORMAT, "%s: %.300s", what, text.c_str());
}

}  // namespace spm

#endif
