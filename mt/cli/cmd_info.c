#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mt/cli/cli.h"
#include "mt/cli/models.h"
#include "mt/core/file.h"
#include "mt/core/lines.h"
#include "mt/core/hash.h"
#include "mt/core/mem.h"
#include "mt/model/adapter_file.h"
#include "tokenizer/lang.h"
#include "tokenizer/tokenizer.h"

/* A file is described as a JSON object; text output is that object laid out. */

/* --- describing ---------------------------------------------------------------------------- */

static void set_text(json_t *o, const char *key, const char *value) {
  if (value) json_object_set_new(o, key, json_string(value));
}

static json_t *language(const char *code) {
  char name[128];
  dg_lang_name(code, name, sizeof name);
  return json_pack("{s:s,s:s}", "code", code, "name", name);
}

/* Metadata that is JSON; anything else in its place is an error. */
static bool add_json(json_t *o, const char *key, const dg_safetensors *s, json_type type,
                     dg_error *err) {
  const char *text = dg_safetensors_metadata(s, key);
  json_t *j = text ? json_loads(text, 0, NULL) : NULL;
  if (j && json_typeof(j) == type) {
    json_object_set_new(o, key, j);
    return true;
  }
  json_decref(j);
  return dg_fail(err, DG_ERR_FORMAT, "%s: metadata \"%s\" is missing or damaged",
                 dg_safetensors_path(s), key);
}

static bool add_languages(json_t *o, const dg_safetensors *s, dg_error *err) {
  if (!add_json(o, "languages", s, JSON_ARRAY, err)) return false;
  if (dg_safetensors_metadata(s, "sides") && !add_json(o, "sides", s, JSON_OBJECT, err))
    return false;
  json_t *codes = json_object_get(o, "languages"), *list = json_array(), *code;
  size_t i;
  bool ok = true;
  json_array_foreach(codes, i, code) {
    ok = ok && json_is_string(code);
    if (ok) json_array_append_new(list, language(json_string_value(code)));
  }
  json_object_set_new(o, "languages", list);
  return ok || dg_fail(err, DG_ERR_FORMAT, "%s: its list of languages is damaged",
                       dg_safetensors_path(s));
}

/* The scales of an 8-bit matrix's rows, which are no weights of their own. */
static bool row_scales(const dg_safetensors *s, const dg_st_tensor *t) {
  if (!dg_ends_with(t->name, ".scale")) return false;
  char *of = dg_strndup(t->name, strlen(t->name) - strlen(".scale"));
  const dg_st_tensor *matrix = dg_safetensors_find(s, of);
  free(of);
  return matrix && matrix->dtype == DG_I8;
}

/* Weights, whatever they are stored as; the tokenizer's bytes are none. */
static void add_weights(json_t *o, const dg_safetensors *s) {
  size_t weights = 0, bytes = 0;
  bool int8 = false, bf16 = false;
  for (size_t i = 0; i < dg_safetensors_count(s); i++) {
    const dg_st_tensor *t = dg_safetensors_at(s, i);
    bytes += t->bytes;
    if (t->dtype == DG_U8 || row_scales(s, t)) continue;
    weights += t->bytes / dg_dtype_size(t->dtype);
    int8 = int8 || t->dtype == DG_I8;
    bf16 = bf16 || t->dtype == DG_BF16_T;
  }
  json_object_set_new(o, "parameters", json_integer((json_int_t)weights));
  set_text(o, "storage", int8 ? "int8" : bf16 ? "bf16" : "fp32");
  json_object_set_new(o, "tensor_bytes", json_integer((json_int_t)bytes));
}

/* Language tags are control pieces "<2gl>" or "__gl__" or ">>gl<<": what is a code
 * once the marks are gone. */
static void add_pieces(json_t *o, const dg_tokenizer *t, bool with_languages) {
  json_object_set_new(o, "pieces", json_integer(dg_tokenizer_size(t)));
  json_t *control = json_array(), *languages = json_array();
  for (int32_t id = 0; id < dg_tokenizer_size(t); id++) {
    if (!dg_tokenizer_is_control(t, id)) continue;
    const char *piece = dg_tokenizer_piece(t, id);
    json_array_append_new(control, json_string(piece));
    const char *code = piece + strspn(piece, "<>_2");
    char *bare = dg_strndup(code, strcspn(code, "<>_")), canonical[DG_LANG_MAX];
    bool special = id == dg_tokenizer_bos(t) || id == dg_tokenizer_eos(t) ||
                   id == dg_tokenizer_pad(t) || id == dg_tokenizer_unk(t);
    if (!special && dg_lang_canonical(bare, canonical, NULL))
      json_array_append_new(languages, language(canonical));
    free(bare);
  }
  if (with_languages) {
    json_object_set(o, "control_pieces", control);
    json_object_set(o, "languages", languages);
  }
  json_decref(control);
  json_decref(languages);
}

static bool describe_base(json_t *o, const dg_safetensors *s, dg_error *err) {
  const dg_st_tensor *model = dg_safetensors_find(s, "tokenizer");
  if (!add_json(o, "config", s, JSON_OBJECT, err) || !add_languages(o, s, err) ||
      !add_json(o, "card", s, JSON_OBJECT, err))
    return false;
  if (!model || model->dtype != DG_U8)
    return dg_fail(err, DG_ERR_FORMAT, "%s: it has no tokenizer", dg_safetensors_path(s));
  dg_tokenizer *t = dg_tokenizer_load(model->data, model->bytes, err);
  if (!t) return dg_error_context(err, "%s", dg_safetensors_path(s));
  add_pieces(o, t, false);
  dg_tokenizer_free(t);
  return true;
}

static bool describe_adapter(json_t *o, const dg_safetensors *s, dg_error *err) {
  const char *source = dg_safetensors_metadata(s, "source");
  const char *target = dg_safetensors_metadata(s, "target");
  const char *base = dg_safetensors_metadata(s, "base_hash");
  dg_adapter_config c;
  if (!source || !target || !base)
    return dg_fail(err, DG_ERR_FORMAT, "%s: its metadata is incomplete", dg_safetensors_path(s));
  if (!dg_adapter_file_config(s, &c, err))
    return dg_error_context(err, "%s", dg_safetensors_path(s));
  set_text(o, "base_hash", base);
  json_object_set_new(o, "source", language(source));
  json_object_set_new(o, "target", language(target));
  json_object_set_new(o, "adapter", dg_adapter_config_json(&c));
  static const char *const lists[] = {"pairs", "over"};
  for (size_t i = 0; i < 2; i++)
    if (dg_safetensors_metadata(s, lists[i]) && !add_json(o, lists[i], s, JSON_ARRAY, err))
      return false;
  if (c.new_pieces && !add_json(o, "new_pieces", s, JSON_OBJECT, err)) return false;
  return add_languages(o, s, err) && add_json(o, "card", s, JSON_OBJECT, err);
}

/* A checkpoint holds the optimizer too: its weights are one tensor of several. */
static bool describe_checkpoint(json_t *o, const dg_safetensors *s, dg_error *err) {
  const dg_st_tensor *weights = dg_safetensors_find(s, "weights");
  const char *identity = dg_safetensors_metadata(s, "identity");
  if (!weights || !identity)
    return dg_fail(err, DG_ERR_FORMAT, "%s: its metadata is incomplete", dg_safetensors_path(s));
  json_object_set_new(o, "parameters", json_integer((json_int_t)(weights->bytes / 4)));
  json_t *made_with = json_loads(identity, 0, NULL);
  if (made_with)
    json_object_set_new(o, "identity", made_with);
  else
    set_text(o, "identity", identity);
  return add_json(o, "state", s, JSON_OBJECT, err);
}

static bool describe_safetensors(json_t *o, const char *path, dg_error *err) {
  dg_safetensors *s = dg_safetensors_open(path, true, err);
  if (!s) return false;
  const char *format = dg_safetensors_metadata(s, "format");
  const char *hash = dg_safetensors_hash(s);
  bool ok = true, ours = format && !strncmp(format, "dragoman.", 9);
  set_text(o, "kind", ours ? format + 9 : "safetensors");
  if (*hash) set_text(o, "hash", hash);
  if (ours) set_text(o, "version", dg_safetensors_metadata(s, "version"));
  add_weights(o, s);
  if (ours && !*hash)
    ok = dg_fail(err, DG_ERR_FORMAT, "%s: its content hash is gone: the file was altered", path);
  else if (!ours)
    json_object_set_new(o, "tensors", json_integer((json_int_t)dg_safetensors_count(s)));
  else if (!strcmp(format, "dragoman.base"))
    ok = describe_base(o, s, err);
  else if (!strcmp(format, "dragoman.adapter"))
    ok = describe_adapter(o, s, err);
  else if (!strcmp(format, "dragoman.checkpoint"))
    ok = describe_checkpoint(o, s, err);
  else
    ok = dg_fail(err, DG_ERR_UNSUPPORTED, "%s: a %.40s, which this version does not know", path,
                 format);
  dg_safetensors_close(s);
  return ok;
}

static bool describe_tokenizer(json_t *o, const char *path, const dg_mapping *map, dg_error *err) {
  dg_tokenizer *t = dg_tokenizer_load(map->data, map->size, err);
  if (!t) return dg_error_context(err, "%s", path);
  char hash[DG_HASH_TEXT];
  dg_hash_bytes(map->data, map->size, hash);
  set_text(o, "kind", "tokenizer");
  set_text(o, "hash", hash);
  add_pieces(o, t, true);
  dg_tokenizer_free(t);
  return true;
}

/* A safetensors file begins with its header's length, eight bytes, and "{". */
static bool describe(json_t *o, const char *path, dg_error *err) {
  dg_mapping map;
  if (!dg_map(path, &map, err)) return false;
  char *name = dg_utf8_repair(path);
  set_text(o, "file", name);
  free(name);
  json_object_set_new(o, "bytes", json_integer((json_int_t)map.size));
  bool ok;
  if (dg_ends_with(path, ".safetensors") || dg_ends_with(path, ".checkpoint") ||
      (map.size > 8 && map.data[8] == '{' && !map.data[5] && !map.data[6] && !map.data[7]))
    ok = describe_safetensors(o, path, err);
  else if (map.data[0] == '\n' || dg_ends_with(path, ".model") || dg_ends_with(path, ".tokenizer"))
    ok = describe_tokenizer(o, path, &map, err);
  else
    ok = dg_fail(err, DG_ERR_FORMAT,
                 "%s: neither a base, an adapter, a checkpoint nor a tokenizer: such files end in "
                 ".safetensors, .checkpoint or .model",
                 path);
  dg_unmap(&map);
  return ok;
}

/* --- text ---------------------------------------------------------------------------------- */

/* "19,283,968" */
static void add_grouped(dg_strbuf *b, json_int_t n) {
  char digits[32];
  int length = snprintf(digits, sizeof digits, "%" JSON_INTEGER_FORMAT, n);
  for (int i = 0; i < length; i++) {
    dg_strbuf_addc(b, digits[i]);
    if (i + 1 < length && (length - i - 1) % 3 == 0 && digits[i] != '-') dg_strbuf_addc(b, ',');
  }
}

static void add_value(dg_strbuf *b, const json_t *j) {
  if (json_is_string(j)) dg_cli_add_safe(b, json_string_value(j));
  else if (json_is_integer(j)) add_grouped(b, json_integer_value(j));
  else if (json_is_real(j)) dg_strbuf_addf(b, "%.6g", json_real_value(j));
  else if (json_is_boolean(j)) dg_strbuf_add(b, json_is_true(j) ? "yes" : "no");
}

enum { LABEL = 12, COLUMNS = 100, CELLS = 16 };

static void label(dg_strbuf *b, const char *name) {
  dg_strbuf safe = {0};
  dg_cli_add_safe(&safe, name);
  dg_strbuf_addf(b, "  %-*s%s", LABEL, safe.text, safe.length >= LABEL ? " " : "");
  free(safe.text);
}

static void line(dg_strbuf *b, const char *name, const json_t *value) {
  if (!value || json_is_null(value)) return;
  label(b, name);
  add_value(b, value);
  dg_strbuf_addc(b, '\n');
}

/* Items one after another, on as many lines as they need. */
static void flow(dg_strbuf *b, size_t *column, const char *item, bool last) {
  size_t n = strlen(item) + 2;
  bool first = *column == LABEL + 2;
  if (!first && *column + n > COLUMNS) {
    dg_strbuf_addf(b, ",\n  %*s", LABEL, "");
    *column = LABEL + 2;
  } else if (!first) {
    dg_strbuf_add(b, ", ");
  }
  dg_strbuf_addf(b, "%s%s", item, last ? "\n" : "");
  *column += n;
}

/* `sides` has those that a model only reads, or only writes; or NULL. */
static void languages(dg_strbuf *b, const char *name, const json_t *list, const json_t *sides) {
  size_t i, column = LABEL + 2;
  json_t *x;
  if (!json_array_size(list)) return;
  label(b, name);
  json_array_foreach((json_t *)list, i, x) {
    dg_strbuf item = {0};
    add_value(&item, json_object_get(x, "code"));
    dg_strbuf_addc(&item, ' ');
    add_value(&item, json_object_get(x, "name"));
    const char *code = json_string_value(json_object_get(x, "code"));
    const char *side = code ? json_string_value(json_object_get(sides, code)) : NULL;
    if (side) dg_strbuf_add(&item, strcmp(side, "target") ? " (from)" : " (into)");
    flow(b, &column, item.text, i + 1 == json_array_size(list));
    free(item.text);
  }
}

static void settings(dg_strbuf *b, const char *name, const json_t *object) {
  size_t n = json_object_size(object), column = LABEL + 2;
  const char *key;
  json_t *x;
  if (!n) return;
  label(b, name);
  json_object_foreach((json_t *)object, key, x) {
    dg_strbuf item = {0};
    dg_cli_add_safe(&item, key);
    dg_strbuf_addc(&item, ' ');
    add_value(&item, x);
    flow(b, &column, item.text, --n == 0);
    free(item.text);
  }
}

static void pairs(dg_strbuf *b, const json_t *list) {
  size_t i, column = LABEL + 2;
  json_t *x;
  if (!json_array_size(list)) return;
  label(b, "pairs");
  json_array_foreach((json_t *)list, i, x) {
    dg_strbuf item = {0};
    add_value(&item, json_array_get(x, 0));
    dg_strbuf_addc(&item, '-');
    add_value(&item, json_array_get(x, 1));
    flow(b, &column, item.text, i + 1 == json_array_size(list));
    free(item.text);
  }
}

/* "40 for uk, 1.71 tokens a word instead of 6.38: _один ..." */
static void new_pieces(dg_strbuf *b, const json_t *pieces, const json_t *card) {
  enum { EXAMPLES = 12 };
  const json_t *list = json_object_get(pieces, "list");
  const json_t *languages = json_object_get(pieces, "languages");
  double before, after;
  size_t i;
  json_t *x;
  if (!json_array_size(list)) return;
  label(b, "pieces");
  dg_strbuf_addf(b, "%zu new ones for ", json_array_size(list));
  json_array_foreach((json_t *)languages, i, x) {
    if (i) dg_strbuf_add(b, ", ");
    add_value(b, x);
  }
  if (!json_unpack(json_object_get(card, "tokens_per_word"), "[F,F]", &before, &after))
    dg_strbuf_addf(b, ", %.2f tokens a word instead of %.2f", after, before);
  dg_strbuf_addc(b, '\n');
  label(b, "");
  json_array_foreach((json_t *)list, i, x) {
    if (i == EXAMPLES) break;
    if (i) dg_strbuf_addc(b, ' ');
    add_value(b, json_array_get(x, 0));
  }
  dg_strbuf_add(b, json_array_size(list) > EXAMPLES ? " ...\n" : "\n");
}

/* Rows of cells; the first row is the heading. Numbers stand to the right. */
typedef struct table {
  char *cells[64][CELLS];
  size_t rows, columns;
} table;

static void cell(table *t, size_t column, const json_t *value, int digits) {
  dg_strbuf b = {0};
  dg_strbuf_add(&b, "");
  if (json_is_real(value)) dg_strbuf_addf(&b, "%.*f", digits, json_real_value(value));
  else add_value(&b, value);
  t->cells[t->rows][column] = b.text;
  if (column + 1 > t->columns) t->columns = column + 1;
}

static void heading(table *t, const char *const *names, size_t n) {
  for (size_t i = 0; i < n; i++) t->cells[0][i] = dg_strdup(names[i]);
  t->columns = n;
  t->rows = 1;
}

static bool number(const char *s) { return !s[strspn(s, "0123456789.,-")]; }

static size_t width_of(const char *s) { /* code points: names of files may be in any script */
  size_t n = 0;
  for (; *s; s++) n += ((unsigned char)*s & 0xC0) != 0x80;
  return n;
}

static void print_table(dg_strbuf *b, const char *name, table *t) {
  for (size_t r = 0; r < t->rows; r++) {
    label(b, r ? "" : name);
    for (size_t c = 0; c < t->columns; c++) {
      size_t widest = 0;
      bool numbers = t->rows > 1;
      for (size_t k = 0; k < t->rows; k++) {
        if (!t->cells[k][c]) continue;
        if (width_of(t->cells[k][c]) > widest) widest = width_of(t->cells[k][c]);
        if (k) numbers = numbers && number(t->cells[k][c]);
      }
      const char *text = t->cells[r][c] ? t->cells[r][c] : "";
      int pad = (int)(widest - width_of(text));
      if (numbers) dg_strbuf_addf(b, "%*s%s", pad, "", text);
      else dg_strbuf_addf(b, "%s%*s", text, c + 1 < t->columns ? pad : 0, "");
      if (c + 1 < t->columns) dg_strbuf_add(b, "  ");
    }
    dg_strbuf_addc(b, '\n');
  }
  for (size_t r = 0; r < t->rows; r++)
    for (size_t c = 0; c < CELLS; c++) free(t->cells[r][c]);
}

enum { ROWS_MOST = 63 };

static void left_out(dg_strbuf *b, size_t rows) {
  if (rows <= ROWS_MOST) return;
  label(b, "");
  dg_strbuf_addf(b, "... and %zu more (--json shows all)\n", rows - ROWS_MOST);
}

static void trained_on(dg_strbuf *b, const json_t *list) {
  static const char *const names[] = {"", "pair", "pairs", "left out", "file"};
  table t = {.rows = 0};
  size_t i;
  json_t *x;
  if (!json_array_size(list)) return;
  heading(&t, names, sizeof names / sizeof *names);
  json_array_foreach((json_t *)list, i, x) {
    if (t.rows > ROWS_MOST) break;
    const char *from = json_string_value(json_object_get(x, "source"));
    const char *to = json_string_value(json_object_get(x, "target"));
    json_t *pair = json_sprintf("%s-%s", from ? from : "?", to ? to : "?");
    cell(&t, 0, json_object_get(x, "role"), 0);
    cell(&t, 1, pair, 0);
    cell(&t, 2, json_object_get(x, "pairs"), 0);
    cell(&t, 3, json_object_get(x, "left_out"), 0);
    cell(&t, 4, json_object_get(x, "file"), 0);
    json_decref(pair);
    t.rows++;
  }
  print_table(b, "data", &t);
  left_out(b, json_array_size(list));
}

static json_t *start_of(const json_t *set) {
  json_t *init = json_object_get(set, "init");
  return init ? init : json_object_get(set, "untouched");
}

/* Before training, but with the pieces that were learned, which cut text otherwise than the base's;
 * of the base itself is the gain. */
static void measured(dg_strbuf *b, const json_t *list) {
  static const char *const names[8] = {"direction", "sentences",   "loss",        "BLEU",
                                       "chrF2",     "loss before", "BLEU before", "chrF2 before"};
  static const char *const keys[] = {"loss", "bleu", "chrf"};
  table t = {.rows = 0};
  size_t i;
  json_t *x;
  bool begun = false;
  if (!json_array_size(list)) return;
  json_array_foreach((json_t *)list, i, x) begun = begun || start_of(x);
  heading(&t, names, begun ? 8 : 5);
  json_array_foreach((json_t *)list, i, x) {
    if (t.rows > ROWS_MOST) break;
    cell(&t, 0, json_object_get(x, "direction"), 0);
    cell(&t, 1, json_object_get(x, "sentences"), 0);
    for (size_t k = 0; k < 3; k++) {
      cell(&t, 2 + k, json_object_get(json_object_get(x, "score"), keys[k]), k ? 2 : 4);
      if (begun) cell(&t, 5 + k, json_object_get(start_of(x), keys[k]), k ? 2 : 4);
    }
    t.rows++;
  }
  print_table(b, "measured", &t);
  left_out(b, json_array_size(list));
}

/* What the adapter gained over its base. */
static void gains(dg_strbuf *b, const json_t *list) {
  size_t i;
  json_t *x;
  json_array_foreach((json_t *)list, i, x) {
    const char *role = NULL, *file = NULL;
    json_int_t sentences = 0;
    double bleu[3], chrf[3];
    if (json_unpack(x, "{s:s,s:s,s:I,s:{s:F,s:F,s:F},s:{s:F,s:F,s:F}}", "role", &role, "file",
                    &file, "sentences", &sentences, "bleu", "base", &bleu[0], "adapter", &bleu[1],
                    "p", &bleu[2], "chrf", "base", &chrf[0], "adapter", &chrf[1], "p", &chrf[2]))
      continue;
    label(b, i ? "" : "gain");
    dg_cli_add_safe(b, file);
    dg_strbuf_add(b, " (");
    dg_cli_add_safe(b, role);
    dg_strbuf_addf(b, ", %lld): BLEU %.2f -> %.2f (p = %.4f), chrF %.2f -> %.2f (p = %.4f)\n",
                   (long long)sentences, bleu[0], bleu[1], bleu[2], chrf[0], chrf[1], chrf[2]);
  }
}

static void card(dg_strbuf *b, const json_t *c) {
  static const char *const shown[] = {"kind", "data", "dev", "settings", "updates", "averaged",
                                      "best_update", "epochs", "minutes", "trained_parameters"};
  const char *key;
  json_t *x;
  if (!json_object_size(c)) return;
  if (json_object_get(c, "updates")) {
    label(b, "training");
    add_value(b, json_object_get(c, "updates"));
    dg_strbuf_add(b, " updates, ");
    if (json_object_get(c, "averaged")) {
      dg_strbuf_add(b, "the mean of the best ");
      add_value(b, json_object_get(c, "averaged"));
      dg_strbuf_add(b, ", the very ");
    } else {
      dg_strbuf_add(b, "the ");
    }
    dg_strbuf_add(b, "best after ");
    add_value(b, json_object_get(c, "best_update"));
    if (json_object_get(c, "epochs")) {
      dg_strbuf_add(b, "; ");
      add_value(b, json_object_get(c, "epochs"));
      dg_strbuf_add(b, " epochs, ");
      add_value(b, json_object_get(c, "minutes"));
      dg_strbuf_add(b, " minutes");
    }
    dg_strbuf_addc(b, '\n');
  }
  json_object_foreach((json_t *)c, key, x) { /* whatever else it says */
    bool known = json_is_array(x);
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
      known = known || !strcmp(key, shown[i]);
    if (known) continue;
    dg_strbuf name = {0};
    dg_cli_add_safe(&name, key);
    for (char *p = name.text; p && *p; p++) *p = *p == '_' ? ' ' : *p;
    if (name.length && json_is_object(x)) {
      settings(b, name.text, x);
    } else if (name.length) {
      label(b, name.text);
      add_value(b, x);
      dg_strbuf_addc(b, '\n');
    }
    free(name.text);
  }
  trained_on(b, json_object_get(c, "data"));
  measured(b, json_object_get(c, "dev"));
  gains(b, json_object_get(c, "measured"));
  settings(b, "settings", json_object_get(c, "settings"));
}

static void scores(dg_strbuf *b, const char *name, const json_t *s) {
  if (!s) return;
  label(b, name);
  dg_strbuf_addf(b, "loss %.4f, BLEU %.2f, chrF2 %.2f\n",
                 json_number_value(json_object_get(s, "loss")),
                 json_number_value(json_object_get(s, "bleu")),
                 json_number_value(json_object_get(s, "chrf")));
}

static void checkpoint(dg_strbuf *b, const json_t *o) {
  const json_t *state = json_object_get(o, "state"), *identity = json_object_get(o, "identity");
  line(b, "update", json_object_get(state, "update"));
  label(b, "trained");
  dg_strbuf_addf(b, "%.1f minutes\n", json_number_value(json_object_get(state, "seconds")) / 60);
  if (json_is_true(json_object_get(state, "have_best"))) {
    line(b, "best update", json_object_get(state, "best_update"));
    scores(b, "best", json_object_get(state, "best"));
    scores(b, "mean of best", json_object_get(json_object_get(state, "mean"), "score"));
    if (json_is_true(json_object_get(state, "have_start")))
      scores(b, "at first", json_object_get(state, "start"));
  }
  if (!json_is_object(identity)) {
    line(b, "identity", identity);
    return;
  }
  const char *key;
  json_t *x;
  json_object_foreach((json_t *)identity, key, x) {
    if (json_is_object(x)) settings(b, key, x);
    else line(b, key, x);
  }
}

static void lay_out(dg_strbuf *b, const json_t *o) {
  const char *kind = json_string_value(json_object_get(o, "kind"));
  dg_cli_add_safe(b, json_string_value(json_object_get(o, "file")));
  dg_strbuf_addf(b, ": %s\n",
                 !strcmp(kind, "safetensors") ? "safetensors file of another program" : kind);
  line(b, "hash", json_object_get(o, "hash"));
  const json_t *source = json_object_get(o, "source"), *target = json_object_get(o, "target");
  if (source) {
    label(b, "pair");
    add_value(b, json_object_get(source, "name"));
    dg_strbuf_add(b, " to ");
    add_value(b, json_object_get(target, "name"));
    dg_strbuf_add(b, " (");
    add_value(b, json_object_get(source, "code"));
    dg_strbuf_addc(b, '-');
    add_value(b, json_object_get(target, "code"));
    dg_strbuf_add(b, ")\n");
  }
  line(b, "base", json_object_get(o, "base_hash"));
  settings(b, "adapter", json_object_get(o, "adapter"));
  pairs(b, json_object_get(o, "pairs"));
  new_pieces(b, json_object_get(o, "new_pieces"), json_object_get(o, "card"));
  if (json_object_get(o, "parameters")) {
    label(b, "parameters");
    add_value(b, json_object_get(o, "parameters"));
    const json_t *share = json_object_get(o, "share_of_base");
    if (share) dg_strbuf_addf(b, ", %.2f%% of its base's", 100 * json_real_value(share));
    dg_strbuf_addc(b, '\n');
  }
  line(b, "tensors", json_object_get(o, "tensors"));
  label(b, "storage");
  if (json_object_get(o, "storage")) {
    add_value(b, json_object_get(o, "storage"));
    dg_strbuf_add(b, ", ");
  }
  add_value(b, json_object_get(o, "bytes"));
  dg_strbuf_add(b, " bytes\n");
  line(b, "pieces", json_object_get(o, "pieces"));
  languages(b, source ? "adds" : "languages", json_object_get(o, "languages"),
            json_object_get(o, "sides"));
  settings(b, "config", json_object_get(o, "config"));
  card(b, json_object_get(o, "card"));
  if (!strcmp(kind, "checkpoint")) checkpoint(b, o);
}

/* --- command ------------------------------------------------------------------------------- */

/* An adapter's share of its base, if that is among the files named. */
static void relate(json_t **list, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const char *wanted = json_string_value(json_object_get(list[i], "base_hash"));
    for (size_t k = 0; wanted && k < count; k++) {
      const char *hash = json_string_value(json_object_get(list[k], "hash"));
      double whole = json_number_value(json_object_get(list[k], "parameters"));
      if (!hash || strcmp(hash, wanted) || whole < 1) continue;
      double part = json_number_value(json_object_get(list[i], "parameters"));
      json_object_set_new(list[i], "share_of_base", json_real(part / whole));
    }
  }
}

/* --- changing a card ------------------------------------------------------------------------- */

/* Adapters only: a base's hash is what its adapters know it by. */
static bool edit(const char *path, const char *note_path, const char *licence, dg_error *err) {
  dg_safetensors *s = dg_safetensors_open(path, false, err);
  if (!s) return false;
  dg_st_writer *w = dg_st_writer_new();
  const char *format = dg_safetensors_metadata(s, "format");
  const char *text = dg_safetensors_metadata(s, "card");
  json_t *card = text ? json_loads(text, 0, NULL) : NULL;
  char *note = note_path ? dg_read_text(note_path, err) : NULL, *changed = NULL;
  bool ok = note || !note_path;
  if (ok && (!format || strcmp(format, "dragoman.adapter") || !json_is_object(card)))
    ok = dg_fail(err, DG_ERR_USAGE, "%s is not an adapter: only their cards can be changed", path);
  if (ok && note) json_object_set_new(card, "notes", json_string(note));
  char *its_licence = dg_utf8_repair(licence ? licence : "");
  if (ok && licence) json_object_set_new(card, "licence", json_string(its_licence));
  free(its_licence);
  if (ok) {
    changed = json_dumps(card, JSON_COMPACT);
    dg_st_writer_copy(w, s);
    dg_st_writer_metadata(w, "card", changed);
    ok = dg_st_writer_write(w, path, NULL, err);
  }
  free(note);
  free(changed);
  json_decref(card);
  dg_st_writer_free(w);
  dg_safetensors_close(s);
  return ok;
}

int dg_cmd_info(int argc, char **argv) {
  const char *note = NULL, *licence = NULL;
  const dg_flag flags[] = {
      {"set-note", 0, DG_FLAG_TEXT, &note, "FILE", "put this text into the adapter's card"},
      {"set-licence", 0, DG_FLAG_TEXT, &licence, "TEXT", "and this licence"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL}};
  dg_cli cli = {
      .usage = "info [--set-note FILE] [--set-licence TEXT] FILE|NAME...",
      .summary =
          "Says what a base, adapter, checkpoint or tokenizer is: content hash, size, languages,\n"
          "what it was trained on and how well it did. An adapter named together with its base\n"
          "is compared to it. A damaged file is an error. --json prints an object a line. A NAME\n"
          "is looked up as `dragoman translate -b NAME` does. A card that is changed gives its\n"
          "file another content hash: change it before others are trained on top of it.",
      .examples = "  dragoman info base\n"
                  "  dragoman info base.safetensors en-gl.safetensors\n"
                  "  dragoman info --json base.safetensors.checkpoint\n"
                  "  dragoman info --set-note limits.txt --set-licence CC-BY-4.0 en-gl.safetensors\n",
      .flags = flags,
  };
  int code = dg_cli_parse(&cli, argc, argv);
  if (code == DG_CLI_GO && !cli.rest.count) code = dg_cli_usage(&cli, "name a file");
  if (code == DG_CLI_GO) {
    code = DG_EXIT_OK;
    json_t **list = dg_calloc(cli.rest.count, sizeof *list);
    size_t count = 0;
    for (size_t i = 0; i < cli.rest.count; i++) {
      dg_error err = {0};
      json_t *o = json_object();
      char *path = dg_find_model(cli.rest.items[i], &err);
      bool changed = !note && !licence;
      changed = changed || (path && edit(path, note, licence, &err));
      if (path && changed && describe(o, path, &err)) {
        list[count++] = o;
      } else {
        code = dg_cli_fail(&err);
        json_decref(o);
      }
      free(path);
    }
    relate(list, count);
    for (size_t i = 0; i < count; i++) {
      if (cli.json) {
        json_dumpf(list[i], stdout, JSON_COMPACT | JSON_REAL_PRECISION(10));
        putchar('\n');
      } else {
        dg_strbuf b = {0};
        if (i) dg_strbuf_addc(&b, '\n');
        lay_out(&b, list[i]);
        fputs(b.text, stdout);
        free(b.text);
      }
      json_decref(list[i]);
    }
    free(list);
  }
  dg_cli_free(&cli);
  return code;
}
