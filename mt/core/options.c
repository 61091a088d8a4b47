#include "mt/core/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mt/core/lines.h"

static bool same_name(const char *a, const char *b) {
  for (; *a && *b; a++, b++) {
    char x = *a == '-' ? '_' : *a, y = *b == '-' ? '_' : *b;
    if (x != y) return false;
  }
  return !*a && !*b;
}

const dg_option *dg_options_find(const dg_option *table, const char *name) {
  for (; table->name; table++)
    if (same_name(table->name, name)) return table;
  return NULL;
}

static bool out_of_range(const dg_option *o, const char *value, dg_error *err) {
  return dg_fail(err, DG_ERR_USAGE, "%s = %s is out of range: use %g to %g", o->name, value,
                 o->least, o->most);
}

static bool set_number(const dg_option *o, void *member, const char *value, dg_error *err) {
  char *end;
  errno = 0;
  /* strtod also reads 1e6 for an integer option. */
  double x = strtod(value, &end);
  if (end == value || *end || errno == ERANGE || !isfinite(x))
    return dg_fail(err, DG_ERR_USAGE, "%s = \"%s\" is not a number", o->name, value);
  if (x < o->least || x > o->most) return out_of_range(o, value, err);
  if (o->type == DG_OPTION_FLOAT) {
    *(double *)member = x;
    return true;
  }
  if (x != floor(x) || fabs(x) > 2147483647.0)
    return dg_fail(err, DG_ERR_USAGE, "%s = %s is not a whole number", o->name, value);
  *(int *)member = (int)x;
  return true;
}

static bool set_bool(const dg_option *o, bool *member, const char *value, dg_error *err) {
  static const char *const words[] = {"false", "true", "no", "yes", "0", "1", "off", "on"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (!strcasecmp(value, words[i])) {
      *member = i % 2;
      return true;
    }
  return dg_fail(err, DG_ERR_USAGE, "%s = \"%s\" is neither true nor false", o->name, value);
}

static bool set_choice(const dg_option *o, void *member, const char *value, dg_error *err) {
  dg_strbuf known = {0};
  for (int i = 0; o->choices[i]; i++) {
    if (same_name(o->choices[i], value)) {
      *(int *)member = i;
      free(known.text);
      return true;
    }
    dg_strbuf_addf(&known, "%s%s", i ? ", " : "", o->choices[i]);
  }
  dg_fail(err, DG_ERR_USAGE, "%s = \"%s\" is not one of %s", o->name, value, known.text);
  free(known.text);
  return false;
}

static bool set_option(const dg_option *o, void *object, const char *value, dg_error *err) {
  char *member = (char *)object + o->offset;
  switch (o->type) {
    case DG_OPTION_INT:
    case DG_OPTION_FLOAT: return set_number(o, member, value, err);
    case DG_OPTION_BOOL: return set_bool(o, (bool *)member, value, err);
    case DG_OPTION_ENUM: return set_choice(o, member, value, err);
    default: {
      size_t n = strlen(value);
      if (n >= o->size)
        return dg_fail(err, DG_ERR_USAGE, "%s is %zu bytes long, at most %zu fit", o->name, n,
                       o->size - 1);
      memcpy(member, value, n + 1);
      return true;
    }
  }
}

bool dg_options_set(const dg_option *table, void *object, const char *name, const char *value,
                    dg_error *err) {
  const dg_option *o = dg_options_find(table, name);
  if (!o) return dg_fail(err, DG_ERR_USAGE, "there is no option \"%s\"", name);
  return set_option(o, object, value, err);
}

void dg_options_defaults(const dg_option *table, void *object) {
  for (; table->name; table++) {
    dg_error err;
    if (!set_option(table, object, table->initial, &err)) abort(); /* a wrong table */
  }
}

bool dg_options_check(const dg_option *table, const void *object, dg_error *err) {
  for (; table->name; table++) {
    const char *member = (const char *)object + table->offset;
    double x = table->type == DG_OPTION_INT     ? *(const int *)(const void *)member
               : table->type == DG_OPTION_FLOAT ? *(const double *)(const void *)member
                                                : table->least;
    if (x >= table->least && x <= table->most) continue;
    char value[32];
    snprintf(value, sizeof value, "%.15g", x);
    return out_of_range(table, value, err);
  }
  return true;
}

void dg_options_get(const dg_option *o, const void *object, dg_strbuf *out) {
  const char *member = (const char *)object + o->offset;
  switch (o->type) {
    case DG_OPTION_INT: dg_strbuf_addf(out, "%d", *(const int *)(const void *)member); return;
    case DG_OPTION_BOOL:
      dg_strbuf_add(out, *(const bool *)member ? "true" : "false");
      return;
    case DG_OPTION_ENUM:
      dg_strbuf_add(out, o->choices[*(const int *)(const void *)member]);
      return;
    case DG_OPTION_FLOAT: { /* the shortest text that reads back the same */
      double x = *(const double *)(const void *)member;
      char text[40];
      for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x) break;
      }
      dg_strbuf_add(out, text);
      return;
    }
    default: dg_strbuf_add(out, member); return;
  }
}

json_t *dg_options_to_json(const dg_option *table, const void *object) {
  json_t *j = json_object();
  dg_strbuf value = {0};
  for (; table->name; table++) {
    dg_strbuf_clear(&value);
    dg_strbuf_add(&value, "");
    dg_options_get(table, object, &value);
    json_object_set_new(j, table->name, json_string(value.text));
  }
  free(value.text);
  return j;
}

bool dg_options_from_json(const dg_option *table, void *object, const json_t *json,
                          dg_error *err) {
  if (!json_is_object(json))
    return dg_fail(err, DG_ERR_FORMAT, "the settings are not a JSON object");
  dg_options_defaults(table, object);
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)json, key, value) {
    const char *text = json_string_value(value);
    if (!text) return dg_fail(err, DG_ERR_FORMAT, "setting \"%s\" is not a string", key);
    if (!dg_options_set(table, object, key, text, err)) return false;
  }
  return true;
}

void dg_options_help(const dg_option *table, dg_chosen_fn *chosen, dg_strbuf *out) {
  for (; table->name; table++) {
    char name[64];
    size_t n = 0;
    for (const char *p = table->name; *p && n + 1 < sizeof name; p++)
      name[n++] = *p == '_' ? '-' : *p;
    name[n] = 0;
    dg_strbuf_addf(out, "  --%-22s %s", name, table->help);
    for (int i = 0; table->type == DG_OPTION_ENUM && table->choices[i]; i++)
      dg_strbuf_addf(out, "%s%s", i ? ", " : ": ", table->choices[i]);
    const char *initial = chosen && chosen(table->name) ? "chosen" : table->initial;
    if (*initial) dg_strbuf_addf(out, " (%s)", initial);
    dg_strbuf_addc(out, '\n');
  }
}

static char *trim(char *s) {
  s += strspn(s, " \t");
  size_t n = strlen(s);
  while (n && (s[n - 1] == ' ' || s[n - 1] == '\t')) s[--n] = 0;
  return s;
}

/* A '#' begins a comment at the start of a line or after a blank. */
static void cut_comment(char *line) {
  for (char *p = line; *p; p++)
    if (*p == '#' && (p == line || p[-1] == ' ' || p[-1] == '\t')) {
      *p = 0;
      return;
    }
}

bool dg_config_read(const char *path, dg_config_entry *set, void *context, dg_error *err) {
  dg_lines *r = dg_lines_open(path, err);
  if (!r) return false;
  char *line;
  size_t length;
  int got;
  bool ok = true;
  while (ok && (got = dg_lines_next(r, &line, &length, err)) > 0) {
    cut_comment(line);
    char *name = trim(line);
    if (!*name) continue;
    char *equals = strchr(name, '=');
    if (!equals) {
      ok = dg_fail(err, DG_ERR_USAGE, "%s:%zu: \"%s\" is not `name = value`", path,
                   dg_lines_number(r), name);
      break;
    }
    *equals = 0;
    if (!set(context, trim(name), trim(equals + 1), err)) {
      dg_error_context(err, "%s:%zu", path, dg_lines_number(r));
      ok = false;
    }
  }
  if (ok && got < 0) ok = false;
  dg_lines_close(r);
  return ok;
}
