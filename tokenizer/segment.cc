extern "C" {
#include "mt/core/mem.h"
#include "mt/core/rng.h"
}

#include "tokenizer/loaded.h"

#include <cmath>
#include <string>
#include <vector>

using sentencepiece::ImmutableSentencePieceText;
using std::string_view;

namespace spm {

void add(dg_tokens *out, int32_t id, uint32_t begin, uint32_t end) {
  if (out->count == out->capacity) {
    out->capacity = out->capacity ? out->capacity * 2 : 32;
    out->items =
        static_cast<dg_token *>(dg_realloc(out->items, out->capacity * sizeof *out->items));
  }
  out->items[out->count++] = {id, begin, end};
}

bool split(const dg_tokenizer *t, const char *text, size_t n, Units *u, dg_error *err) {
  ImmutableSentencePieceText result;
  auto status = t->characters.Encode({text, n}, result.mutable_proto());
  if (!status.ok()) return failed(err, "tokenizing", status);
  size_t left = 0;  // bytes to come of the last character
  for (size_t i = 0, count = result.pieces_size(); i < count; i++) {
    auto p = result.pieces(static_cast<int>(i));
    uint32_t id = p.id();
    if (id > 256) {
      u->list.push_back({u->text.size(), p.piece().size(), p.begin(), p.end(), true});
      u->text.append(p.piece());
      continue;
    }
    auto byte = static_cast<unsigned char>(id - 1);
    if (!left) {
      left = byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
      u->list.push_back({u->text.size(), 0, p.begin(), p.end(), false});
    }
    u->text += static_cast<char>(byte);
    u->list.back().size++;
    u->list.back().end = p.end();
    left--;
  }
  return true;
}

bool has_prefix(const Units &u) {
  return !u.list.empty() && u.span(0, 1) == kSpace && !u.list[0].end;
}

Units part_of(const Units &u, size_t from, size_t to) {
  Units part;
  for (; from < to; from++) {
    Unit unit = u.list[from];
    unit.at = part.text.size();
    part.text.append(u.span(from, from + 1));
    part.list.push_back(unit);
  }
  return part;
}

namespace {

int32_t find(const dg_tokenizer *t, string_view piece, bool whole) {
  int32_t id = t->sp.PieceToId({piece.data(), piece.size()});
  uint8_t type = whole ? kUser : kNormal;
  return id >= 0 && t->types[static_cast<size_t>(id)] == type ? id : -1;
}

// Adds units [from,to) as the piece `id`; -1 is a single unknown character.
void emit(const dg_tokenizer *t, const Units &u, size_t from, size_t to, int32_t id,
          dg_tokens *out) {
  uint32_t begin = u.list[from].begin, end = u.list[to - 1].end;
  if (id >= 0) {
    add(out, outside(t, id), begin, end);
  } else if (t->byte_fallback) {
    for (char c : u.span(from, to))
      add(out, t->byte_ids[static_cast<unsigned char>(c)], begin, end);
  } else if (out->count && out->items[out->count - 1].id == t->unk) {
    out->items[out->count - 1].end = end;  // a run of unknowns is one token
  } else {
    add(out, t->unk, begin, end);
  }
}

}  // namespace

void walk_lattice(const dg_tokenizer *t, const Units &u, double alpha, dg_rng *rng,
                  dg_tokens *out) {
  struct Edge {
    size_t from;
    int32_t id;
    double weight;  // log, paths up to `from` included
  };
  const size_t n = u.list.size();
  std::vector<std::vector<Edge>> into(n + 1);
  std::vector<double> total(n + 1, 0);
  for (size_t i = 0; i <= n; i++) {
    if (i) {
      double most = -HUGE_VAL, sum = 0;
      for (const Edge &e : into[i]) most = std::max(most, e.weight);
      for (const Edge &e : into[i]) sum += std::exp(e.weight - most);
      total[i] = rng ? most + std::log(sum) : most;
    }
    if (i == n) break;
    if (u.list[i].whole) {
      into[i + 1].push_back({i, find(t, u.span(i, i + 1), true), total[i]});
      continue;
    }
    int32_t single = -1;
    for (size_t j = i + 1; j <= n && !u.list[j - 1].whole; j++) {
      string_view piece = u.span(i, j);
      if (piece.size() > t->longest) break;
      int32_t id = find(t, piece, false);
      if (id < 0) continue;
      if (j == i + 1) single = id;
      into[j].push_back({i, id, total[i] + alpha * static_cast<double>(t->sp.GetScore(id))});
    }
    if (single < 0)
      into[i + 1].push_back({i, -1, total[i] + alpha * static_cast<double>(t->unknown_score)});
  }
  std::vector<const Edge *> path;
  for (size_t j = n; j > 0; j = path.back()->from) {
    const Edge *chosen = &into[j].back();
    double x = rng ? dg_rng_uniform(rng) : 0;
    for (const Edge &e : into[j]) {
      if (rng && (x -= std::exp(e.weight - total[j])) >= 0) continue;
      if (!rng && e.weight < total[j]) continue;
      chosen = &e;
      break;
    }
    path.push_back(chosen);
  }
  for (size_t k = path.size(), from = 0; k-- > 0;) {
    size_t to = k ? path[k - 1]->from : n;
    emit(t, u, from, to, path[k]->id, out);
    from = to;
  }
}

void sample_merges(const dg_tokenizer *t, const Units &u, double drop, dg_rng *rng,
                   dg_tokens *out) {
  const size_t n = u.list.size();
  std::vector<size_t> cuts;
  for (size_t from = 0, to; from < n; from = to) {
    to = from + 1;
    while (to < n && !(t->words_apart && u.span(to, to + 1) == kSpace)) to++;
    cuts.clear();
    for (size_t i = from; i <= to; i++) cuts.push_back(i);
    for (;;) {
      size_t best = 0;
      float score = 0;
      for (size_t k = 1; k + 1 < cuts.size(); k++) {
        if (u.list[cuts[k - 1]].whole || u.list[cuts[k]].whole) continue;
        int32_t id = find(t, u.span(cuts[k - 1], cuts[k + 1]), false);
        if (id < 0 || dg_rng_uniform(rng) < drop) continue;
        float s = t->sp.GetScore(id);
        if (!best || s > score) best = k, score = s;
      }
      if (!best) break;
      cuts.erase(cuts.begin() + static_cast<std::ptrdiff_t>(best));
    }
    for (size_t k = 0; k + 1 < cuts.size(); k++)
      emit(t, u, cuts[k], cuts[k + 1], find(t, u.span(cuts[k], cuts[k + 1]), u.list[cuts[k]].whole),
           out);
  }
}

}  // namespace spm
