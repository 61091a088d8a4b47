#include "mt/cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "data/parallel.h"
#include "mt/core/file.h"
#include "mt/core/mem.h"

enum { THREADS_MOST = 1024 };

/* --- what is said ----------------------------------------------------------------------- */

/* Control characters, C0 and C1, but for those kept. */
static void add_safe(dg_strbuf *b, const char *s, const char *kept) {
  dg_strbuf_add(b, "");
  for (; *s; s++) {
    bool c1 = (unsigned char)*s == 0xC2 && (unsigned char)s[1] < 0xA0;
    bool c0 = (unsigned char)*s < 0x20 || *s == 0x7F;
    dg_strbuf_addc(b, (c0 && !strchr(kept, *s)) || c1 ? '?' : *s);
    if (c1 && s[1]) s++;
  }
}

void dg_cli_add_safe(dg_strbuf *b, const char *s) { add_safe(b, s, ""); }

static void print_safe(FILE *f, const char *kept, const char *format, va_list args) {
  char *text;
  if (vasprintf(&text, format, args) < 0) return;
  dg_strbuf safe = {0};
  add_safe(&safe, text, kept);
  fputs(safe.text, f);
  free(safe.text);
  free(text);
}

void dg_cli_print(const char *format, ...) {
  va_list args;
  va_start(args, format);
  print_safe(stdout, "\n\t", format, args);
  va_end(args);
}

void dg_cli_say(const dg_cli *c, const char *format, ...) {
  if (c && c->quiet) return;
  va_list args;
  va_start(args, format);
  print_safe(stderr, "\n\t", format, args);
  va_end(args);
}

int dg_cli_usage(const dg_cli *c, const char *format, ...) {
  fputs("dragoman: ", stderr);
  va_list args;
  va_start(args, format);
  print_safe(stderr, "", format, args);
  va_end(args);
  size_t n = strcspn(c->usage, " "); /* the command, and its part if it has any */
  if (c->usage[n] && islower((unsigned char)c->usage[n + 1])) n += 1 + strcspn(c->usage + n + 1, " ");
  fprintf(stderr, " (see dragoman %.*s --help)\n", (int)n, c->usage);
  return DG_EXIT_USAGE;
}

int dg_cli_fail(const dg_error *err) {
  dg_strbuf line = {0};
  dg_cli_add_safe(&line, err->message);
  fprintf(stderr, "dragoman: %s\n", line.text);
  free(line.text);
  if (err->status == DG_ERR_INTERRUPTED) return DG_EXIT_INTERRUPTED;
  return err->status == DG_ERR_USAGE ? DG_EXIT_USAGE : DG_EXIT_FAILURE;
}

/* --- flags ---------------------------------------------------------------------------- */

static void print_flag(char letter, const char *name, const char *argument, const char *help) {
  char left[64];
  snprintf(left, sizeof left, "%c%c%s --%s %s", letter ? '-' : ' ', letter ? letter : ' ',
           letter ? "," : " ", name, argument ? argument : "");
  printf("  %-28s %s\n", left, help);
}

static void print_help(const dg_cli *c) {
  printf("usage: dragoman %s\n\n%s\n\n", c->usage, c->summary);
  for (const dg_flag *f = c->flags; f && f->name; f++)
    print_flag(f->letter, f->name, f->argument, f->help);
  print_flag(0, "threads", "N", "threads to use (all CPUs)");
  print_flag(0, "quiet", NULL, "no progress, no remarks");
  if (!c->no_json) print_flag(0, "json", NULL, "results as JSON");
  print_flag('h', "help", NULL, "this text");
  for (const dg_cli_settings *s = c->settings; s->table; s++) {
    dg_strbuf text = {0};
    dg_options_help(s->table, s->chosen, &text);
    printf("\n%s (default):\n%s", s->title, text.text);
    free(text.text);
  }
  printf("\nexamples:\n%s", c->examples);
}

/* Edit distance of short names, for "did you mean". */
static size_t distance(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b), row[64];
  if (n > 60 || m > 60) return 99;
  for (size_t j = 0; j <= m; j++) row[j] = j;
  for (size_t i = 1; i <= n; i++) {
    size_t corner = row[0];
    row[0] = i;
    for (size_t j = 1; j <= m; j++) {
      size_t best = corner + (a[i - 1] != b[j - 1]);
      if (row[j] + 1 < best) best = row[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      corner = row[j];
      row[j] = best;
    }
  }
  return row[m];
}

static int unknown_flag(const dg_cli *c, const dg_flag *common, const char *word,
                        const char *name) {
  const char *near = NULL;
  size_t least = 3;
  const dg_flag *const tables[] = {c->flags, common};
  for (int t = 0; t < 2; t++)
    for (const dg_flag *f = tables[t]; f && f->name; f++)
      if (distance(name, f->name) < least) least = distance(name, f->name), near = f->name;
  for (const dg_cli_settings *s = c->settings; s->table; s++)
    for (const dg_option *o = s->table; o->name; o++)
      if (distance(name, o->name) < least) least = distance(name, o->name), near = o->name;
  if (near) return dg_cli_usage(c, "there is no flag %s; did you mean --%s?", word, near);
  return dg_cli_usage(c, "there is no flag %s", word);
}

static bool read_number(const char *text, double *out) {
  char *end;
  errno = 0;
  *out = strtod(text, &end);
  return end != text && !*end && !errno && isfinite(*out);
}

static int set_flag(const dg_cli *c, const dg_flag *f, const char *value) {
  double x;
  switch (f->type) {
    case DG_FLAG_TEXT: *(const char **)f->target = value; return DG_CLI_GO;
    case DG_FLAG_REPEAT:
    case DG_FLAG_LIST: dg_list_add(f->target, value); return DG_CLI_GO;
    case DG_FLAG_FLOAT:
      if (!read_number(value, &x)) break;
      *(double *)f->target = x;
      return DG_CLI_GO;
    default:
      if (!read_number(value, &x) || x != floor(x) || x < 0) break;
      if (x > INT_MAX)
        return dg_cli_usage(c, "--%s \"%s\": %d is the most", f->name, value, INT_MAX);
      *(int *)f->target = (int)x;
      return DG_CLI_GO;
  }
  return dg_cli_usage(c, "--%s \"%s\" is not %s number", f->name, value,
                      f->type == DG_FLAG_INT ? "a whole, non-negative" : "a");
}

int dg_cli_parse(dg_cli *c, int argc, char **argv) {
  const dg_flag common[] = {{"threads", 0, DG_FLAG_INT, &c->threads, "N", ""},
                            {"quiet", 0, DG_FLAG_BOOL, &c->quiet, NULL, ""},
                            {c->no_json ? NULL : "json", 0, DG_FLAG_BOOL, &c->json, NULL, ""},
                            {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL}};
  bool only_words = false;
  for (int i = 0; i < argc; i++) {
    char *word = argv[i];
    if (!*word) return dg_cli_usage(c, "\"\" is the name of nothing");
    if (only_words || word[0] != '-' || !word[1]) {
      dg_list_add(&c->rest, word);
      continue;
    }
    if (!strcmp(word, "--")) {
      only_words = true;
      continue;
    }
    if (!strcmp(word, "-h") || !strcmp(word, "--help")) {
      print_help(c);
      return DG_EXIT_OK;
    }
    bool is_long = word[1] == '-';
    const char *equals = is_long ? strchr(word, '=') : NULL;
    char name[64];
    size_t length = equals ? (size_t)(equals - word - 2) : strlen(word) - (is_long ? 2 : 1);
    snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), word + (is_long ? 2 : 1));
    const dg_flag *found = NULL;
    const dg_flag *const tables[] = {c->flags, common};
    for (int t = 0; t < 2 && !found; t++)
      for (const dg_flag *f = tables[t]; f && f->name; f++)
        if (is_long ? !strcmp(f->name, name) : f->letter && f->letter == name[0] && !name[1])
          found = f;
    const dg_cli_settings *settings = c->settings;
    while (settings->table && (found || !is_long || !dg_options_find(settings->table, name)))
      settings++;
    if (!found && !settings->table) return unknown_flag(c, common, word, name);
    if (found) dg_list_add(&c->given, found->name);
    if (found && found->type == DG_FLAG_BOOL) {
      if (equals) return dg_cli_usage(c, "--%s takes no value", name);
      *(bool *)found->target = true;
      continue;
    }
    const char *value = equals ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
    if (!value || (found && !*value)) return dg_cli_usage(c, "%s needs a value", word);
    if (!found) {
      dg_error err;
      if (!dg_options_set(settings->table, settings->object, name, value, &err))
        return dg_cli_usage(c, "%s", err.message);
      dg_list_add(&c->given, dg_options_find(settings->table, name)->name);
      continue;
    }
    int code = set_flag(c, found, value);
    if (code != DG_CLI_GO) return code;
    while (found->type == DG_FLAG_LIST && !equals && i + 1 < argc &&
           (argv[i + 1][0] != '-' || !argv[i + 1][1] || read_number(argv[i + 1], &(double){0})))
      dg_list_add(found->target, argv[++i]);
  }
  if (c->threads > THREADS_MOST)
    return dg_cli_usage(c, "--threads %d: %d are the most", c->threads, THREADS_MOST);
  return DG_CLI_GO;
}

void dg_cli_free(dg_cli *c) {
  for (const dg_flag *f = c->flags; f && f->name; f++)
    if (f->type == DG_FLAG_REPEAT || f->type == DG_FLAG_LIST) {
      dg_list *l = f->target;
      free(l->items);
      *l = (dg_list){0};
    }
  free(c->rest.items);
  free(c->given.items);
  c->rest = c->given = (dg_list){0};
}

bool dg_cli_given(void *cli, const char *name) {
  const dg_cli *c = cli;
  for (size_t i = 0; i < c->given.count; i++)
    if (!strcmp(c->given.items[i], name)) return true;
  return false;
}

bool dg_cli_rewrites(const char *output, dg_error *err) {
  struct stat st;
  return (strcmp(output, "-") && (stat(output, &st) || S_ISREG(st.st_mode))) ||
         dg_fail(err, DG_ERR_USAGE,
                 "-o %s: name a file, for it is written anew whenever the run has something better",
                 output);
}

bool dg_cli_spares(const char *output, const char *input, dg_error *err) {
  return !output || !input || !dg_parallel_reads(input, output) ||
         dg_fail(err, DG_ERR_USAGE, "%s is read, and would be overwritten: name another output",
                 output);
}

bool dg_cli_spares_all(const char *output, const dg_list *inputs, dg_error *err) {
  for (size_t i = 0; i < inputs->count; i++)
    if (!dg_cli_spares(output, inputs->items[i], err)) return false;
  return true;
}

static bool read_once(const dg_list *inputs, dg_error *err) {
  size_t times = 0;
  for (size_t i = 0; i < inputs->count; i++)
    times += inputs->items[i] && !strcmp(inputs->items[i], "-");
  return times < 2 ||
         dg_fail(err, DG_ERR_USAGE, "standard input can be read only once, not as %zu files",
                 times);
}

bool dg_cli_apart(const dg_list *outputs, const dg_list *inputs, dg_error *err) {
  if (!read_once(inputs, err)) return false;
  for (size_t i = 0; i < outputs->count; i++) {
    const char *path = outputs->items[i];
    for (size_t k = 0; path && k < i; k++)
      if (outputs->items[k] && dg_same_place(outputs->items[k], path))
        return dg_fail(err, DG_ERR_USAGE, "%s is to be written twice: name two files", path);
    if (!dg_cli_spares_all(path, inputs, err)) return false;
  }
  return true;
}

int dg_cli_parts(const char *command, const dg_cli_part *parts, size_t count, const char *examples,
                 int argc, char **argv) {
  for (size_t i = 0; argc && i < count; i++)
    if (!strcmp(argv[0], parts[i].name)) return parts[i].run(argc - 1, argv + 1);
  bool help = argc && (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"));
  FILE *out = help ? stdout : stderr;
  if (argc && !help)
    dg_cli_say(NULL, "dragoman: there is no %s command \"%s\"\n", command, argv[0]);
  fprintf(out, "usage: dragoman %s ", command);
  for (size_t i = 0; i < count; i++) fprintf(out, "%s%s", i ? "|" : "", parts[i].name);
  fputs(" ...\n\n", out);
  for (size_t i = 0; i < count; i++) fprintf(out, "  %-8s %s\n", parts[i].name, parts[i].summary);
  fprintf(out, "\nexamples:\n%s", examples);
  return help ? DG_EXIT_OK : DG_EXIT_USAGE;
}

/* --- signals --------------------------------------------------------------------------- */

/* The one piece of state a signal handler can reach. */
static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
  (void)number;
  interrupted = 1;
}

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

void dg_cli_catch_signals(void) {
  struct sigaction a = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND}, before;
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) /* a second one kills */
    if (!sigaction(signals[i], NULL, &before) && before.sa_handler != SIG_IGN)
      sigaction(signals[i], &a, NULL);
}

void dg_cli_let_signals(void) {
  struct sigaction a = {.sa_handler = SIG_DFL}, before;
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    if (!sigaction(signals[i], NULL, &before) && before.sa_handler == on_signal)
      sigaction(signals[i], &a, NULL);
}

bool dg_cli_interrupted(void *unused) {
  (void)unused;
  return interrupted;
}

/* --- progress -------------------------------------------------------------------------- */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

dg_progress dg_progress_begin(const dg_cli *c, const char *label) {
  return (dg_progress){.label = label, .active = !c->quiet && isatty(STDERR_FILENO),
                       .begun = now(), .from = -1};
}

void dg_progress_show(dg_progress *p, double done, double total, const char *unit,
                      const char *note) {
  double t = now();
  if (p->from < 0) p->from = done;
  if (!p->active || t - p->last < 0.1) return;
  p->last = t;
  p->drawn = true;
  double rate = t > p->begun ? (done - p->from) / (t - p->begun) : 0;
  fprintf(stderr, "\r\033[K%s %.0f", p->label, done);
  if (total > 0) fprintf(stderr, "/%.0f", total);
  fprintf(stderr, " %s, %.3g/s", unit, rate);
  if (total > done && rate > 0) {
    double left = (total - done) / rate;
    if (left >= 3600)
      fprintf(stderr, ", %.0f h %.0f min left", floor(left / 3600), floor(fmod(left, 3600) / 60));
    else fprintf(stderr, ", %.0f:%02.0f left", floor(left / 60), floor(fmod(left, 60)));
  }
  if (note && *note) fprintf(stderr, ", %s", note);
  fflush(stderr);
}

void dg_progress_end(dg_progress *p) {
  if (p->drawn) fputs("\r\033[K", stderr);
  p->drawn = false;
}
