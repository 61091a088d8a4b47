#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/metrics.h"
#include "mt/cli/cli.h"
#include "mt/core/file.h"

/* --- segments ------------------------------------------------------------------------------ */

typedef struct segments {
  const char *path; /* as errors name it */
  char **lines;
  size_t count, capacity;
} segments;

static bool read_segments(segments *s, const char *path, dg_error *err) {
  s->path = strcmp(path, "-") ? path : "standard input";
  dg_lines *r = dg_lines_open(path, err);
  if (!r) return false;
  char *line;
  size_t n;
  int got;
  while ((got = dg_lines_next(r, &line, &n, err)) > 0) {
    if (memchr(line, 0, n)) {
      dg_fail(err, DG_ERR_FORMAT, "%s: line %zu holds a NUL byte: this is no text file", s->path,
              dg_lines_number(r));
      got = -1;
      break;
    }
    DG_GROW(s->lines, s->capacity, s->count + 1);
    s->lines[s->count++] = dg_strndup(line, n);
  }
  dg_lines_close(r);
  return got == 0;
}

static void segments_free(segments *s) {
  for (size_t i = 0; i < s->count; i++) free(s->lines[i]);
  free(s->lines);
}

static bool blank(const char *s) { return !s[strspn(s, " \t\f\v\r")]; }

static bool comparable(const segments *hypothesis, const segments *reference, dg_error *err) {
  size_t texts = 0;
  for (size_t i = 0; i < reference->count; i++) texts += !blank(reference->lines[i]);
  if (!texts)
    return dg_fail(err, DG_ERR_FORMAT,
                   "%s: the reference is empty: name with -r the file of right translations",
                   reference->path);
  if (hypothesis->count != reference->count) {
    bool more = hypothesis->count > reference->count;
    return dg_fail(err, DG_ERR_FORMAT,
                   "%s has %zu lines but the reference %s has %zu: from line %zu on one has nothing "
                   "to stand beside; both must translate the same segments, a line each",
                   hypothesis->path, hypothesis->count, reference->path, reference->count,
                   (more ? reference->count : hypothesis->count) + 1);
  }
  /* A line empty on both sides separates paragraphs and counts for nothing. */
  for (size_t i = 0; i < reference->count; i++)
    if (blank(reference->lines[i]) && !blank(hypothesis->lines[i]))
      return dg_fail(err, DG_ERR_FORMAT,
                     "%s: line %zu is empty but that of %s is not: write its translation, or "
                     "remove the line from both",
                     reference->path, i + 1, hypothesis->path);
  return true;
}

/* --- scores -------------------------------------------------------------------------------- */

enum { BLEU, CHRF, METRICS };
static const char *const flag_names[] = {"bleu", "chrf"};

typedef struct score {
  const char *name, *signature;
  double value;
  char verbose[160]; /* "" for none */
} score;

static bool compute(int metric, const segments *hypothesis, const segments *reference, score *out,
                    dg_error *err) {
  const char *const *h = (const char *const *)hypothesis->lines;
  const char *const *r = (const char *const *)reference->lines;
  if (metric == CHRF) {
    dg_chrf_score s;
    if (!dg_chrf_corpus(h, r, reference->count, &s, err)) return false;
    *out = (score){.name = "chrF2", .signature = dg_chrf_signature(), .value = s.score};
    return true;
  }
  dg_bleu_score s;
  if (!dg_bleu_corpus(h, r, reference->count, &s, err)) return false;
  *out = (score){.name = "BLEU", .signature = dg_bleu_signature(), .value = s.score};
  double ratio = s.reference_length ? (double)s.system_length / (double)s.reference_length : 0;
  snprintf(out->verbose, sizeof out->verbose,
           "%.1f/%.1f/%.1f/%.1f (BP = %.3f ratio = %.3f hyp_len = %zu ref_len = %zu)",
           s.precisions[0], s.precisions[1], s.precisions[2], s.precisions[3], s.brevity_penalty,
           ratio, s.system_length, s.reference_length);
  return true;
}

/* Byte for byte what `sacrebleu` prints: a score is rounded, then written as Python does. */
static void print_json(const score *s, int width) {
  char number[40];
  size_t n = (size_t)snprintf(number, sizeof number - 2, "%.*f", width, s->value);
  if (!width) memcpy(number + n, ".0", 3);
  while (width > 1 && number[n - 1] == '0' && number[n - 2] != '.') number[--n] = 0;
  printf("{\n \"name\": \"%s\",\n \"score\": %s,\n \"signature\": \"%s\"", s->name, number,
         s->signature);
  if (*s->verbose) printf(",\n \"verbose_score\": \"%s\"", s->verbose);
  for (const char *p = s->signature; *p;) { /* its parts once more: "eff:no|tok:13a" */
    size_t name = strcspn(p, ":"), part = strcspn(p, "|");
    printf(",\n \"%.*s\": \"%.*s\"", (int)name, p, (int)(part - name - 1), p + name + 1);
    p += part + (p[part] == '|');
  }
  fputs("\n}", stdout);
}

static void print_scores(const score *list, int count, int width, const dg_cli *cli) {
  int widest = 0;
  for (int i = 0; i < count; i++) {
    int n = (int)(strlen(list[i].name) + strlen(list[i].signature));
    if (n > widest) widest = n;
  }
  if (cli->json && count > 1) puts("[");
  for (int i = 0; i < count; i++) {
    const score *s = &list[i];
    if (cli->quiet) {
      printf("%.*f", width, s->value);
    } else if (cli->json) {
      print_json(s, width);
    } else {
      int pad = widest - (int)(strlen(s->name) + strlen(s->signature));
      printf("%*s%s|%s = %.*f%s%s", pad, "", s->name, s->signature, width, s->value,
             *s->verbose ? " " : "", s->verbose);
    }
    puts(cli->json && i + 1 < count ? "," : "");
  }
  if (cli->json && count > 1) puts("]");
}

/* Sets wanted[] from "bleu,chrf"; false at a name that is neither. */
static bool choose(const char *text, bool wanted[METRICS]) {
  for (const char *p = text;; p++) {
    size_t n = strcspn(p, ", ");
    int m = 0;
    while (m < METRICS && (strlen(flag_names[m]) != n || strncasecmp(flag_names[m], p, n))) m++;
    if (m == METRICS) return false;
    wanted[m] = true;
    p += n;
    if (!*p) return true;
  }
}

int dg_cmd_eval(int argc, char **argv) {
  const char *metrics = "bleu,chrf", *reference_path = NULL;
  int width = 1;
  const dg_flag flags[] = {
      {"metric", 'm', DG_FLAG_TEXT, &metrics, "LIST", "bleu, chrf or bleu,chrf (both)"},
      {"reference", 'r', DG_FLAG_TEXT, &reference_path, "REF", "the right translations"},
      {"width", 'w', DG_FLAG_INT, &width, "N", "digits after the point (1)"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage = "eval [-m bleu,chrf] -r REF [HYP]",
      .summary =
          "Scores translations against one reference, a segment a line, as sacreBLEU does:\n"
          "corpus BLEU (tokenizer 13a) and chrF2, each with the signature that says how. HYP is\n"
          "standard input unless named; both are plain text or gzipped. --json prints what\n"
          "sacreBLEU prints, --quiet the scores alone. Compare scores only on the same test\n"
          "set and under the same signature.",
      .examples =
          "  dragoman eval -r test.gl.txt output.txt\n"
          "  dragoman translate -b base.safetensors -s en -t gl test.en.txt | dragoman eval -r "
          "test.gl.txt\n"
          "  dragoman eval -m chrf -w 2 --quiet -r test.gl.txt.gz output.txt.gz\n",
      .flags = flags,
  };
  int code = dg_cli_parse(&cli, argc, argv);
  const char *hypothesis_path = cli.rest.count ? cli.rest.items[0] : "-";
  bool wanted[METRICS] = {false};
  if (code == DG_CLI_GO && !reference_path)
    code = dg_cli_usage(&cli, "say with -r where the reference translations are");
  if (code == DG_CLI_GO && cli.rest.count > 1)
    code = dg_cli_usage(&cli, "\"%s\" is too much: one file is scored at a time",
                        cli.rest.items[1]);
  if (code == DG_CLI_GO && !choose(metrics, wanted))
    code = dg_cli_usage(&cli, "-m \"%s\" is neither bleu, chrf nor bleu,chrf", metrics);
  if (code == DG_CLI_GO && width > 12)
    code = dg_cli_usage(&cli, "--width %d is more digits than mean anything (12)", width);
  if (code == DG_CLI_GO && !strcmp(reference_path, "-") && !strcmp(hypothesis_path, "-"))
    code = dg_cli_usage(&cli, "only one of REF and HYP can be standard input");
  if (code == DG_CLI_GO) {
    dg_error err = {0};
    segments reference = {0}, hypothesis = {0};
    score scores[METRICS];
    int count = 0;
    bool ok = read_segments(&reference, reference_path, &err) &&
              read_segments(&hypothesis, hypothesis_path, &err) &&
              comparable(&hypothesis, &reference, &err);
    for (int m = 0; ok && m < METRICS; m++)
      if (wanted[m]) ok = compute(m, &hypothesis, &reference, &scores[count++], &err);
    if (ok) print_scores(scores, count, width, &cli);
    code = ok ? DG_EXIT_OK : dg_cli_fail(&err);
    segments_free(&reference);
    segments_free(&hypothesis);
  }
  dg_cli_free(&cli);
  return code;
}
