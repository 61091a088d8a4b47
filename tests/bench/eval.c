/* How fast `dragoman eval` is and how much memory it takes, beside Python's sacreBLEU if
 * $SACREBLEU_PYTHON names a Python that has it; turn about, so that both meet the same
 * machine. Processor time of whole commands, one thread.
 *   bench/eval [SEGMENTS [ROUNDS [NAME]]]      a million, of which slow tests take a part; one
 * round; the tests whose name begins so */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mt/core/lines.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"

static const char *const languages[] = {"gl", "de", "tr", "ru", "el", "he", "hi", "ka", "ko"};

/* Real segments, word by word; [0, starts.count) are where segments begin. */
typedef struct words {
  char **list;
  size_t count, capacity;
  size_t *starts, start_count, start_capacity;
} words;

static void read_words(words *w, const char *language) {
  char path[64], *line;
  size_t n;
  dg_error err;
  snprintf(path, sizeof path, "tests/eval/%s.tsv", language);
  dg_lines *r = dg_lines_open(path, &err);
  if (!r) {
    fprintf(stderr, "%s\n", err.message);
    exit(1);
  }
  while (dg_lines_next(r, &line, &n, &err) > 0) {
    strsep(&line, "\t"); /* the English */
    for (char *segment; (segment = strsep(&line, "\t"));) {
      DG_GROW(w->starts, w->start_capacity, w->start_count + 1);
      w->starts[w->start_count++] = w->count;
      for (char *word; (word = strsep(&segment, " "));) {
        DG_GROW(w->list, w->capacity, w->count + 1);
        if (*word) w->list[w->count++] = dg_strdup(word);
      }
    }
  }
  dg_lines_close(r);
}

static const char *some(const words *w, dg_rng *r) { return w->list[dg_rng_below(r, w->count)]; }

/* A reference is real segments up to 5 to 35 words, of which one in ten is another, so that
 * no segment comes twice (Python keeps the words of those it has seen); outputs share most of
 * it, in places moved about. */
static void write_texts(const char *folder, size_t segments) {
  words w = {0};
  for (size_t i = 0; i < sizeof languages / sizeof *languages; i++) read_words(&w, languages[i]);
  dg_rng r = {dg_rng_key(1, 2), 0};
  FILE *files[3];
  for (int i = 0; i < 3; i++) {
    char *path = dg_format("%s/%d.txt", folder, i);
    files[i] = fopen(path, "w");
    free(path);
    if (!files[i]) exit(1);
  }
  for (size_t i = 0; i < segments; i++) {
    const char *reference[40];
    size_t n = 5 + dg_rng_below(&r, 31), from = w.starts[dg_rng_below(&r, w.start_count)];
    for (size_t k = 0; k < n; k++) {
      reference[k] = dg_rng_below(&r, 10) ? w.list[(from + k) % w.count] : some(&w, &r);
      fprintf(files[0], k ? " %s" : "%s", reference[k]);
    }
    for (int f = 1; f < 3; f++) {
      size_t turn = dg_rng_below(&r, 3) ? 0 : dg_rng_below(&r, n);
      for (size_t k = 0; k < n; k++)
        fprintf(
            files[f], k ? " %s" : "%s",
            dg_rng_below(&r, 10) < (unsigned)(5 + f) ? reference[(k + turn) % n] : some(&w, &r));
    }
    for (int f = 0; f < 3; f++) putc('\n', files[f]);
  }
  for (int i = 0; i < 3; i++) fclose(files[i]);
  for (size_t i = 0; i < w.count; i++) free(w.list[i]);
  free(w.list);
  free(w.starts);
}

typedef struct cost {
  double seconds;
  long kilobytes;
} cost;

static cost run(char *const *arguments, const char *folder, const char *out) {
  pid_t child = fork();
  if (child < 0) exit(1);
  if (!child) {
    int file = chdir(folder) ? -1 : open(out, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0) _exit(127);
    dup2(file, STDOUT_FILENO);
    execv(arguments[0], arguments);
    _exit(127);
  }
  struct rusage u;
  int status;
  wait4(child, &status, 0, &u);
  if (status) fprintf(stderr, "%s failed\n", arguments[0]);
  return (cost){(double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                    (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6,
                u.ru_maxrss};
}

static bool same_files(const char *folder) {
  char *command = dg_format("cd '%s' && cmp -s ours theirs", folder);
  bool same = system(command) == 0;
  free(command);
  return same;
}

int main(int argc, char **argv) {
  static const struct {
    const char *name, *ours, *theirs; /* words */
    size_t share;                     /* of the segments */
    bool paired;
  } tests[] = {
      {"BLEU", "-m bleu", "-m bleu", 1, false},
      {"BLEU, intl", "-m bleu --tokenize intl", "-m bleu -tok intl", 10, false},
      {"BLEU, zh", "-m bleu --tokenize zh", "-m bleu -tok zh", 10, false},
      {"BLEU, char", "-m bleu --tokenize char", "-m bleu -tok char", 20, false},
      {"BLEU, none", "-m bleu --tokenize none --force", "-m bleu -tok none", 10, false},
      {"chrF", "-m chrf", "-m chrf", 20, false},
      {"chrF++", "-m chrf++", "-m chrf --chrf-word-order 2", 20, false},
      {"TER", "-m ter", "-m ter", 500, false},
      {"paired bootstrap, BLEU and chrF", "-m bleu,chrf --paired-bs", "-m bleu chrf --paired-bs",
       250, true},
      {"paired randomization, BLEU", "-m bleu --paired-ar", "-m bleu --paired-ar", 250, true},
  };
  size_t segments = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
  int rounds = argc > 2 ? atoi(argv[2]) : 1;
  const char *only = argc > 3 ? argv[3] : "", *python = getenv("SACREBLEU_PYTHON");
  char folder[] = "/tmp/bench-eval-XXXXXX", program[4096];
  ssize_t n = readlink("/proc/self/exe", program, sizeof program - 32);
  if (n < 0 || !mkdtemp(folder)) return 1;
  program[n] = 0;
  strcpy(strstr(program, "/bench/eval"), "/dragoman");
  printf("%-32s %9s %11s %8s %11s %8s %7s\n", "", "segments", "ours, s", "MB", "Python, s", "MB",
         "ratio");
  for (size_t t = 0; t < sizeof tests / sizeof *tests; t++) {
    if (strncmp(tests[t].name, only, strlen(only))) continue;
    size_t count = segments / tests[t].share;
    write_texts(folder, count);
    cost best[2] = {{1e9, 0}, {1e9, 0}};
    for (int round = 0; round < rounds; round++)
      for (int who = 0; who < (python ? 2 : 1); who++) {
        char *words_of = dg_format(who ? "%s|-m|sacrebleu|0.txt|-q|-f|text|-w|6|-i|1.txt%s|%s"
                                       : "%s|eval|--threads|1|-w|6|-r|0.txt|1.txt%s|%s",
                                   who ? python : program, tests[t].paired ? "|2.txt" : "",
                                   who ? tests[t].theirs : tests[t].ours);
        char *list[64], *rest = words_of;
        size_t k = 0;
        while ((list[k] = strsep(&rest, "| "))) k++;
        cost c = run(list, folder, who ? "theirs" : "ours");
        if (c.seconds < best[who].seconds) best[who] = c;
        free(words_of);
      }
    printf("%-32s %9zu %11.3f %8.0f", tests[t].name, count, best[0].seconds,
           (double)best[0].kilobytes / 1024);
    if (python)
      printf(" %11.2f %8.0f %6.0fx%s", best[1].seconds, (double)best[1].kilobytes / 1024,
             best[1].seconds / best[0].seconds, same_files(folder) ? "" : "  UNEQUAL");
    puts("");
    fflush(stdout);
  }
  char *command = dg_format("rm -r '%s'", folder);
  int failed = system(command);
  free(command);
  return failed != 0;
}
