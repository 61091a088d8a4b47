/* A table of named settings describes a struct: the same table reads a
 * configuration file, command-line flags and JSON metadata, prints the
 * effective values, and writes --help. */
#ifndef DG_CORE_OPTIONS_H
#define DG_CORE_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "mt/core/error.h"
#include "mt/core/mem.h"

typedef enum dg_option_type {
  DG_OPTION_INT,    /* int */
  DG_OPTION_FLOAT,  /* double */
  DG_OPTION_BOOL,   /* bool: true/false, yes/no, 1/0 */
  DG_OPTION_STRING, /* char[size] inside the struct */
  DG_OPTION_ENUM    /* int-sized enum; `choices` names its values in order */
} dg_option_type;

typedef struct dg_option {
  const char *name;
  dg_option_type type;
  size_t offset, size;        /* offsetof and sizeof the member */
  const char *initial;        /* default, as text */
  double least, most;         /* accepted range of a number */
  const char *const *choices; /* NULL-terminated, for DG_OPTION_ENUM */
  const char *help;
} dg_option;

/* Tables end with an entry whose name is NULL. */
void dg_options_defaults(const dg_option *table, void *object);
bool dg_options_set(const dg_option *table, void *object, const char *name, const char *value,
                    dg_error *err);
/* NULL when the table has no such name; '-' and '_' are the same in names. */
const dg_option *dg_options_find(const dg_option *table, const char *name);
/* The value as text, in a form dg_options_set reads back exactly. */
void dg_options_get(const dg_option *o, const void *object, dg_strbuf *out);

/* Whether all numbers are in their ranges. */
bool dg_options_check(const dg_option *table, const void *object, dg_error *err);

/* An object with one string per option. Missing keys keep their defaults,
 * unknown keys are errors. */
json_t *dg_options_to_json(const dg_option *table, const void *object);
bool dg_options_from_json(const dg_option *table, void *object, const json_t *json, dg_error *err);

/* One aligned line per option: --name  help (default), or (chosen) where `chosen`, which may be
 * NULL, says that the program chooses. */
typedef bool dg_chosen_fn(const char *name);
void dg_options_help(const dg_option *table, dg_chosen_fn *chosen, dg_strbuf *out);

/* A configuration file: `name = value` lines, '#' comments, blank lines. Calls
 * `set` for each; an error gets file and line put in front. */
typedef bool dg_config_entry(void *context, const char *name, const char *value, dg_error *err);
bool dg_config_read(const char *path, dg_config_entry *set, void *context, dg_error *err);

#endif
