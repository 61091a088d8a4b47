#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/clean_text.h"
#include "data/harvest.h"
#include "data/parallel.h"
#include "data/split.h"
#include "mt/cli/cli.h"
#include "mt/core/utf8.h"
#include "tokenizer/lang.h"

static void note(void *context, const char *message) {
  (void)context;
  dg_cli_say(NULL, "dragoman: %s\n", message);
}

static void print_counts(const dg_cli *cli, const dg_harvest_config *c, const dg_harvest_counts *n) {
  if (cli->json) printf("{");
  for (size_t i = 0; i < c->language_count; i++) {
    if (cli->json)
      printf("%s\"%s\": {\"train\": %zu, \"dev\": %zu, \"test\": %zu", i ? ", " : "",
             c->languages[i], n[i].train, n[i].dev, n[i].test);
    else
      printf("%-6s train %8zu  dev %5zu  test %5zu ", c->languages[i], n[i].train, n[i].dev,
             n[i].test);
    for (int v = 0; v < DG_CLEAN_VERDICTS; v++)
      printf(cli->json ? ", \"%s\": %zu" : " %s %zu", dg_clean_verdict_name((dg_clean_verdict)v),
             n[i].verdicts[v]);
    fputs(cli->json ? "}" : "\n", stdout);
  }
  if (cli->json) puts("}");
}

static int harvest(int argc, char **argv) {
  const char *config = NULL, *directory = NULL, *cache = "debs", *manifest = NULL;
  bool skip_missing = false;
  const dg_flag flags[] = {
      {"config", 'c', DG_FLAG_TEXT, &config, "FILE", "packages, languages and shares"},
      {"output", 'o', DG_FLAG_TEXT, &directory, "DIR", "where the corpus goes"},
      {"cache", 0, DG_FLAG_TEXT, &cache, "DIR", "where packages are kept (debs)"},
      {"manifest", 0, DG_FLAG_TEXT, &manifest, "FILE",
       "the packages in the versions that this manifest of a corpus lists"},
      {"skip-missing", 0, DG_FLAG_BOOL, &skip_missing, NULL,
       "go on without packages that are missing or damaged"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage = "data harvest -c CONFIG -o DIR [--cache DIR] [--manifest FILE | --skip-missing]",
      .summary =
          "Builds parallel corpora from Debian packages: downloads the listed packages with apt,\n"
          "reads what the configuration asks for (message catalogues, language packs, help pages,\n"
          "manuals), cleans, removes duplicates, and splits by document and by English string over\n"
          "all languages together, so that no dev or test sentence was seen in training in any\n"
          "language. The same packages give the same files; if one is missing or damaged, none is\n"
          "written. DIR/manifest.tsv lists the packages; with --manifest it makes that corpus anew,\n"
          "byte for byte, or says which of its archives cannot be had.",
      .examples = "  dragoman data harvest -c configs/harvest.conf -o corpus --cache debs\n"
                  "  dragoman data harvest -c configs/harvest.conf --manifest data/manifest.tsv \\\n"
                  "      -o corpus --cache debs\n",
      .flags = flags,
  };
  int code = dg_cli_parse(&cli, argc, argv);
  if (code == DG_CLI_GO && (!config || !directory))
    code = dg_cli_usage(&cli, "%s", config ? "-o is missing" : "-c is missing");
  if (code == DG_CLI_GO && cli.rest.count)
    code = dg_cli_usage(&cli, "\"%s\" is too much: the packages stand in the configuration",
                        cli.rest.items[0]);
  if (code == DG_CLI_GO && manifest && skip_missing)
    code = dg_cli_usage(&cli, "the corpus of a manifest has all its packages: leave --skip-missing out");
  if (code == DG_CLI_GO) {
    dg_error err = {0};
    dg_harvest_config c;
    bool ok = dg_harvest_read(&c, config, &err) && (!manifest || dg_harvest_as(&c, manifest, &err));
    dg_threads *threads = ok ? dg_threads_new(cli.threads) : NULL;
    dg_harvest_counts *n = dg_calloc(c.language_count + 1, sizeof *n);
    c.skip_missing = skip_missing;
    ok = ok && dg_harvest(&c, cache, directory, threads, cli.quiet && skip_missing ? NULL : note,
                          NULL, n, &err);
    code = ok ? DG_EXIT_OK : dg_cli_fail(&err);
    if (ok) print_counts(&cli, &c, n);
    free(n);
    dg_threads_free(threads);
    dg_harvest_free(&c);
  }
  dg_cli_free(&cli);
  return code;
}

/* Pairs of all the files named, one after another. */
static bool read_all(dg_parallel_text *p, const dg_list *files, dg_error *err) {
  for (size_t i = 0; i < files->count; i++)
    if (!dg_parallel_read(p, files->items[i], err)) return false;
  return true;
}

static bool hold_out(dg_key_set *held_out, const dg_list *files, const char *source,
                     const char *target, dg_error *err) {
  dg_parallel_text p = {0};
  bool ok = read_all(&p, files, err);
  if (ok) dg_clean_hold_out(held_out, &p, source, target);
  dg_parallel_free(&p);
  return ok;
}

static int clean(int argc, char **argv) {
  const char *source = NULL, *target = NULL, *output = "-";
  dg_list without = {0};
  const dg_flag flags[] = {
      {"source", 's', DG_FLAG_TEXT, &source, "LANG", "language of the first column"},
      {"target", 't', DG_FLAG_TEXT, &target, "LANG", "language of the second"},
      {"without", 0, DG_FLAG_REPEAT, &without, "FILE",
       "leave out what has a sentence in common with FILE, such as a test set"},
      {"output", 'o', DG_FLAG_TEXT, &output, "FILE", "TSV to write (standard output)"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage = "data clean -s SRC -t TGT [-o FILE] FILE...",
      .summary =
          "Drops pairs that teach nothing or harm: empty, untranslated, of unlike length, in the\n"
          "wrong script, with differing placeholders or tags, damaged, repeated. Says how many of\n"
          "each. Of the others goes what stands around a message for translators alone (contexts\n"
          "as in Menu|Open or Open[[verb]]) and the number that both begin with. FILE is TSV or\n"
          "a,b, plain or gzipped. Sentences are the same when they differ in case, punctuation and\n"
          "which digits 0 to 9 they have, not how many.",
      .examples = "  dragoman data clean -s en -t gl verses.tsv -o clean.tsv\n"
                  "  dragoman data clean -s en -t gl a.en,a.gl.gz -o clean.tsv.gz\n"
                  "  dragoman data clean -s en -t gl --without test.tsv -o train.tsv verses.tsv\n",
      .flags = flags,
  };
  int code = dg_cli_parse(&cli, argc, argv);
  if (code == DG_CLI_GO && (!source || !target || !cli.rest.count))
    code = dg_cli_usage(&cli, "say -s, -t and at least one file");
  if (code == DG_CLI_GO) {
    dg_error err = {0};
    dg_parallel_text p = {0};
    dg_key_set held_out = {0};
    char from[DG_LANG_MAX], to[DG_LANG_MAX];
    size_t verdicts[DG_CLEAN_VERDICTS] = {0};
    dg_list inputs = {0};
    const dg_list *lists[] = {&cli.rest, &without}, outputs = {.items = &output, .count = 1};
    for (int k = 0; k < 2; k++)
      for (size_t i = 0; i < lists[k]->count; i++) dg_list_add(&inputs, lists[k]->items[i]);
    bool ok = dg_cli_apart(&outputs, &inputs, &err) &&
              dg_lang_canonical(source, from, &err) && dg_lang_canonical(target, to, &err) &&
              hold_out(&held_out, &without, from, to, &err) && read_all(&p, &cli.rest, &err) &&
              dg_clean_write(&p, from, to, &held_out, output, verdicts, &err);
    free(inputs.items);
    code = ok ? DG_EXIT_OK : dg_cli_fail(&err);
    if (ok && (cli.json || !cli.quiet)) {
      FILE *told = cli.json && strcmp(output, "-") ? stdout : stderr;
      if (cli.json) fputc('{', told);
      for (int v = 0; v < DG_CLEAN_VERDICTS; v++)
        fprintf(told, cli.json ? "%s\"%s\": %zu" : "%s%s %zu", v ? ", " : "",
                dg_clean_verdict_name((dg_clean_verdict)v), verdicts[v]);
      fputs(cli.json ? "}\n" : "\n", told);
    }
    dg_key_set_free(&held_out);
    dg_parallel_free(&p);
  }
  dg_cli_free(&cli);
  return code;
}

static bool split_apart(const char *prefix, const dg_list *files, dg_error *err) {
  bool ok = true;
  for (int part = DG_PART_TRAIN; ok && part <= DG_PART_TEST; part++) {
    char *path = dg_split_path(prefix, (dg_part)part);
    ok = dg_cli_spares_all(path, files, err);
    free(path);
  }
  return ok;
}

static int split(int argc, char **argv) {
  const char *output = NULL;
  int dev = 500, test = 1000, seed = 1;
  const dg_flag flags[] = {
      {"output", 'o', DG_FLAG_TEXT, &output, "PREFIX", "writes PREFIX.{train,dev,test}.tsv"},
      {"dev", 0, DG_FLAG_INT, &dev, "N", "distinct sentences for dev (500)"},
      {"test", 0, DG_FLAG_INT, &test, "N", "distinct sentences for test (1000)"},
      {"seed", 0, DG_FLAG_INT, &seed, "N", "of the choice (1)"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage = "data split -o PREFIX [--dev N] [--test N] FILE...",
      .summary =
          "Sets dev and test sentences apart from training text: no sentence of either side stands\n"
          "in two parts, whatever its case, punctuation and digits (as many of them). The choice\n"
          "follows from the sentences and the seed, not from their order.",
      .examples = "  dragoman data split -o verses --dev 300 --test 500 verses.tsv\n",
      .flags = flags,
  };
  int code = dg_cli_parse(&cli, argc, argv);
  if (code == DG_CLI_GO && (!output || !cli.rest.count))
    code = dg_cli_usage(&cli, "say -o and at least one file");
  if (code == DG_CLI_GO) {
    dg_error err = {0};
    dg_parallel_text p = {0};
    size_t counts[3] = {0};
    bool ok = split_apart(output, &cli.rest, &err) && read_all(&p, &cli.rest, &err) &&
              dg_split_write(&p, output, (size_t)dev, (size_t)test, (uint64_t)seed, counts, &err);
    code = ok ? DG_EXIT_OK : dg_cli_fail(&err);
    if (ok && cli.json)
      printf("{\"train\": %zu, \"dev\": %zu, \"test\": %zu}\n", counts[0], counts[1], counts[2]);
    else if (ok && !cli.quiet)
      printf("train %zu, dev %zu, test %zu pairs\n", counts[0], counts[1], counts[2]);
    dg_parallel_free(&p);
  }
  dg_cli_free(&cli);
  return code;
}

static int sample(int argc, char **argv) {
  const char *output = "-";
  int count = 0, words = 0, seed = 1;
  const dg_flag flags[] = {
      {"output", 'o', DG_FLAG_TEXT, &output, "FILE", "TSV to write (standard output)"},
      {"count", 'n', DG_FLAG_INT, &count, "N", "pairs to choose"},
      {"words", 0, DG_FLAG_INT, &words, "N", "words their source sides have at least (0)"},
      {"seed", 0, DG_FLAG_INT, &seed, "N", "of the choice (1)"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage = "data sample -n N [-o FILE] FILE...",
      .summary =
          "Chooses pairs at random. The choice follows from the sentences and the seed, and a\n"
          "larger sample of the same text holds the smaller ones.",
      .examples = "  dragoman data sample -n 5000 --words 5 -o train.tsv corpus/train.gl.tsv.gz\n",
      .flags = flags,
  };
  int code = dg_cli_parse(&cli, argc, argv);
  if (code == DG_CLI_GO && !count) code = dg_cli_usage(&cli, "say with -n how many pairs");
  if (code == DG_CLI_GO && !cli.rest.count) code = dg_cli_usage(&cli, "name a file");
  if (code == DG_CLI_GO) {
    dg_error err = {0};
    dg_parallel_text p = {0};
    size_t written;
    bool ok =
        dg_cli_spares_all(output, &cli.rest, &err) && read_all(&p, &cli.rest, &err) &&
        dg_sample_write(&p, output, (size_t)count, (size_t)words, (uint64_t)seed, &written, &err);
    code = ok ? DG_EXIT_OK : dg_cli_fail(&err);
    if (ok && cli.json)
      fprintf(strcmp(output, "-") ? stdout : stderr, "{\"pairs\": %zu}\n", written);
    if (ok && written < (size_t)count)
      dg_cli_say(&cli, "dragoman: warning: there are only %zu such pairs\n", written);
    dg_parallel_free(&p);
  }
  dg_cli_free(&cli);
  return code;
}

static void print_stats(const char *path, size_t pairs, size_t sentences, const size_t words[2]) {
  char *name = dg_utf8_repair(path);
  json_t *j = json_pack("{s:s,s:I,s:I,s:I,s:I}", "file", name, "pairs", (json_int_t)pairs,
                        "of_5_words", (json_int_t)sentences, "source_words", (json_int_t)words[0],
                        "target_words", (json_int_t)words[1]);
  json_dumpf(j, stdout, 0);
  putchar('\n');
  json_decref(j);
  free(name);
}

static int stats(int argc, char **argv) {
  const dg_flag flags[] = {{NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL}};
  dg_cli cli = {
      .usage = "data stats FILE...",
      .summary = "Counts the pairs and words of parallel text.",
      .examples = "  dragoman data stats corpus/train.gl.tsv.gz corpus/test.gl.tsv.gz\n",
      .flags = flags,
  };
  int code = dg_cli_parse(&cli, argc, argv);
  if (code == DG_CLI_GO && !cli.rest.count) code = dg_cli_usage(&cli, "name a file");
  if (code == DG_CLI_GO) code = DG_EXIT_OK;
  else cli.rest.count = 0;
  for (size_t i = 0; i < cli.rest.count; i++) {
    dg_error err = {0};
    dg_parallel_text p = {0};
    if (!dg_parallel_read(&p, cli.rest.items[i], &err)) {
      code = dg_cli_fail(&err);
    } else {
      size_t words[2] = {0}, sentences = 0;
      for (size_t k = 0; k < p.count; k++) {
        size_t n = dg_word_count(p.pairs[k].source);
        words[0] += n;
        words[1] += dg_word_count(p.pairs[k].target);
        sentences += n >= 5;
      }
      if (cli.json)
        print_stats(cli.rest.items[i], p.count, sentences, words);
      else
        dg_cli_print("%s: %zu pairs, %zu of them of 5 words or more; %zu and %zu words\n",
                     cli.rest.items[i], p.count, sentences, words[0], words[1]);
    }
    dg_parallel_free(&p);
  }
  dg_cli_free(&cli);
  return code;
}

int dg_cmd_data(int argc, char **argv) {
  static const dg_cli_part parts[] = {{"harvest", "build corpora from Debian packages", harvest},
                                      {"clean", "drop pairs that teach nothing", clean},
                                      {"split", "set dev and test sentences apart", split},
                                      {"sample", "choose some pairs", sample},
                                      {"stats", "count pairs and words", stats}};
  return dg_cli_parts("data", parts, sizeof parts / sizeof *parts,
                      "  dragoman data clean -s en -t gl verses.tsv -o clean.tsv\n"
                      "  dragoman data split --help\n",
                      argc, argv);
}
