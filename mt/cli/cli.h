/* The frame of every subcommand: flags, --help, errors, exit codes, progress. */
#ifndef DG_CLI_CLI_H
#define DG_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "mt/core/mem.h"
#include "mt/core/options.h"
#include "mt/core/threads.h"

enum { DG_EXIT_OK = 0, DG_EXIT_FAILURE = 1, DG_EXIT_USAGE = 2, DG_EXIT_INTERRUPTED = 130 };

typedef enum dg_flag_type {
  DG_FLAG_BOOL,   /* target: bool */
  DG_FLAG_INT,    /* target: int */
  DG_FLAG_FLOAT,  /* target: double */
  DG_FLAG_TEXT,   /* target: const char * */
  DG_FLAG_REPEAT, /* target: dg_list; one value each time it is given */
  DG_FLAG_LIST    /* target: dg_list; takes every word up to the next flag */
} dg_flag_type;

typedef struct dg_flag {
  const char *name; /* "beam" for --beam; a table ends with NULL */
  char letter;      /* 'b' for -b, or 0 */
  dg_flag_type type;
  void *target;
  const char *argument, *help;
} dg_flag;

/* Settings that are flags too, --name VALUE. */
typedef struct dg_cli_settings {
  const char *title; /* "settings of the adapter" */
  const dg_option *table;
  void *object;
  dg_chosen_fn *chosen; /* those that the command chooses when they are not given, or NULL */
} dg_cli_settings;

typedef struct dg_cli {
  const char *usage;    /* "translate [-b BASE] ... [FILE...]" */
  const char *summary;  /* what it does, a paragraph */
  const char *examples; /* lines of commands */
  const dg_flag *flags;
  dg_cli_settings settings[3]; /* the last has no table */
  bool no_json;         /* it has no results to print */
  /* filled by dg_cli_parse: */
  int threads;
  bool quiet, json;
  dg_list rest; /* words that are not flags */
  dg_list given; /* names of the flags and settings given, as their tables have them */
} dg_cli;

/* Reads the words after the subcommand. DG_CLI_GO: go on; else return it from
 * the command: the help was printed or the words made no sense. */
enum { DG_CLI_GO = -1 };
int dg_cli_parse(dg_cli *c, int argc, char **argv);
void dg_cli_free(dg_cli *c); /* the lists, those of the flags too */
/* Whether a flag or setting was given, by its name in the table. Matches dg_train_defaults. */
bool dg_cli_given(void *cli, const char *name);

/* Refuse an output that is an input, which would be lost; dg_cli_apart, outputs that are one
 * another, too, and standard input read twice. Inputs are files or specifications of parallel
 * text; names that are NULL are passed over. */
bool dg_cli_spares(const char *output, const char *input, dg_error *err);
bool dg_cli_spares_all(const char *output, const dg_list *inputs, dg_error *err);
bool dg_cli_apart(const dg_list *outputs, const dg_list *inputs, dg_error *err);
/* Refuses what cannot be written more than once: a pipe, a device. */
bool dg_cli_rewrites(const char *output, dg_error *err);

/* Names and texts of files may hold anything, and a terminal must not be told what to do by them:
 * '?' stands for each control character in what these print. */
void dg_cli_add_safe(dg_strbuf *b, const char *s);
/* Results for people, on standard output; lines and tabs stay. */
void dg_cli_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints "dragoman: message" and returns the exit code that fits. */
int dg_cli_fail(const dg_error *err);
/* The same for a mistake in the command line; points at --help. */
int dg_cli_usage(const dg_cli *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A remark on stderr, unless quiet (c NULL: even then). */
void dg_cli_say(const dg_cli *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Signals are caught while something asks for them, and end the program again from then on.
 * True once SIGINT or SIGTERM came; matches the trainers' stop callback. */
void dg_cli_catch_signals(void);
void dg_cli_let_signals(void);
bool dg_cli_interrupted(void *unused);

/* One line on a terminal's stderr, redrawn at most ten times a second: done of
 * total, rate, time left. Silent when stderr is no terminal or quiet is set. */
typedef struct dg_progress {
  const char *label;
  bool active, drawn;
  double begun, last, from;
} dg_progress;
dg_progress dg_progress_begin(const dg_cli *c, const char *label);
void dg_progress_show(dg_progress *p, double done, double total, const char *unit,
                      const char *note);
void dg_progress_end(dg_progress *p);    /* clears the line */

typedef int dg_command_fn(int argc, char **argv);

typedef struct dg_cli_part {
  const char *name, *summary;
  dg_command_fn *run;
} dg_cli_part;
/* A command that has parts: runs the one that argv[0] names, or says which there are. */
int dg_cli_parts(const char *command, const dg_cli_part *parts, size_t count, const char *examples,
                 int argc, char **argv);

dg_command_fn dg_cmd_translate, dg_cmd_train, dg_cmd_pretrain, dg_cmd_eval, dg_cmd_tokenizer,
    dg_cmd_data, dg_cmd_info, dg_cmd_import, dg_cmd_export, dg_cmd_merge;

#endif
