#include "mt/cli/info_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/cli/cli.h"
#include "mt/core/utf8.h"

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

static size_t width_of(const char *s) { /* names of files may be in any script */
  return dg_utf8_count(s, strlen(s));
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
  static const struct {
    const char *name, *key;
    int digits;
    bool before, translated;
  } columns[] = {{"direction", "direction", 0, false, false}, {"sentences", "sentences", 0, false, true},
                 {"loss", "loss", 4, false, false},           {"BLEU", "bleu", 2, false, true},
                 {"chrF2", "chrf", 2, false, true},           {"loss before", "loss", 4, true, false},
                 {"BLEU before", "bleu", 2, true, true},      {"chrF2 before", "chrf", 2, true, true}};
  enum { KINDS = sizeof columns / sizeof *columns };
  const char *names[KINDS];
  size_t chosen[KINDS], count = 0, i;
  table t = {.rows = 0};
  json_t *x;
  bool begun = false, translated = false;
  if (!json_array_size(list)) return;
  json_array_foreach((json_t *)list, i, x) {
    begun = begun || start_of(x);
    translated = translated || json_integer_value(json_object_get(x, "sentences"));
  }
  for (size_t k = 0; k < KINDS; k++)
    if ((begun || !columns[k].before) && (translated || !columns[k].translated))
      names[count] = columns[k].name, chosen[count++] = k;
  heading(&t, names, count);
  json_array_foreach((json_t *)list, i, x) {
    if (t.rows > ROWS_MOST) break;
    for (size_t k = 0; k < count; k++) {
      size_t c = chosen[k];
      const json_t *from = columns[c].before   ? start_of(x)
                           : columns[c].digits ? json_object_get(x, "score")
                                               : x;
      cell(&t, k, json_object_get(from, columns[c].key), columns[c].digits);
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

void dg_print_description(dg_strbuf *b, const json_t *o) {
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
