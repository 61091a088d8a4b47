#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/cli/cli.h"
#include "mt/cli/models.h"
#include "mt/core/file.h"
#include "mt/core/lines.h"
#include "mt/core/mem.h"
#include "mt/core/rng.h"
#include "mt/core/safetensors.h"
#include "tokenizer/tokenizer.h"

/* --- lines of files --------------------------------------------------------------------- */

/* The lines of several files one after the other; standard input when none is named. */
typedef struct reader {
  const dg_list *files;
  size_t next; /* file */
  const char *path;
  dg_lines *lines;
  uint64_t count;
} reader;

static int read_line(reader *r, char **line, size_t *n, dg_error *err) {
  for (;;) {
    if (!r->lines) {
      if (r->next >= (r->files->count ? r->files->count : 1)) return 0;
      r->path = r->files->count ? r->files->items[r->next] : "-";
      r->next++;
      if (!(r->lines = dg_lines_open(r->path, err))) return -1;
    }
    int got = dg_lines_next(r->lines, line, n, err);
    if (got) {
      r->count += got > 0;
      return got;
    }
    dg_lines_close(r->lines);
    r->lines = NULL;
  }
}

static bool fail_at(const reader *r, dg_error *err) {
  return dg_error_context(err, "%s: line %zu", r->path, dg_lines_number(r->lines));
}

/* --- train -------------------------------------------------------------------------------- */

enum { COLUMNS_MOST = 16 };

typedef struct corpus {
  reader in;
  size_t columns[COLUMNS_MOST], column_count, last_column; /* from 1; none given: see wanted() */
  const char *line;                                        /* what is left of the current one */
  size_t left, column;
  uint64_t sentences;
  dg_progress progress;
} corpus;

/* Without --column: both sides of TSV, all of other lines. */
static bool wanted(const corpus *c, size_t column) {
  if (!c->column_count) return column <= 2;
  for (size_t i = 0; i < c->column_count; i++)
    if (c->columns[i] == column) return true;
  return false;
}

static bool in_columns(const corpus *c) {
  return c->column_count || dg_ends_with(c->in.path, ".tsv") || dg_ends_with(c->in.path, ".tsv.gz");
}

static int next_sentence(void *context, const char **text, size_t *n, dg_error *err) {
  corpus *c = context;
  for (;;) {
    if (!c->line) {
      char *line;
      int got = read_line(&c->in, &line, &c->left, err);
      if (got <= 0) return got;
      c->line = line;
      c->column = 0;
      dg_progress_show(&c->progress, (double)c->in.count, 0, "lines", NULL);
    }
    *text = c->line;
    c->column++;
    const char *tab = in_columns(c) ? memchr(c->line, '\t', c->left) : NULL;
    *n = tab ? (size_t)(tab - c->line) : c->left;
    c->left -= tab ? *n + 1 : *n;
    c->line = tab ? tab + 1 : NULL;
    if (!tab && c->column < c->last_column) {
      dg_fail(err, DG_ERR_FORMAT, "there is no column %zu, only %zu", c->last_column, c->column);
      fail_at(&c->in, err);
      return -1;
    }
    if (in_columns(c) && !wanted(c, c->column)) continue;
    c->sentences++;
    return 1;
  }
}

static bool write_model(const dg_tokenizer *t, const char *path, dg_error *err) {
  size_t n;
  const void *bytes = dg_tokenizer_bytes(t, &n);
  return dg_output_whole(path, bytes, n, err);
}

static int choose_columns(corpus *c, const dg_list *columns, const dg_cli *cli) {
  if (columns->count > COLUMNS_MOST)
    return dg_cli_usage(cli, "%d columns are the most", COLUMNS_MOST);
  for (size_t i = 0; i < columns->count; i++) {
    char *end;
    unsigned long n = strtoul(columns->items[i], &end, 10);
    if (*end || !n || n > 10000)
      return dg_cli_usage(cli, "there is no column \"%s\"", columns->items[i]);
    c->columns[c->column_count++] = n;
    if (n > c->last_column) c->last_column = n;
  }
  return DG_CLI_GO;
}

static int learn(corpus *c, const dg_tokenizer_options *o, const char *output, const dg_cli *cli) {
  dg_error err = {0};
  c->progress = dg_progress_begin(cli, "reading");
  bool apart = dg_cli_spares_all(output, &cli->rest, &err);
  dg_tokenizer *t = apart ? dg_tokenizer_train(o, next_sentence, c, &err) : NULL;
  uint64_t sentences = c->sentences;
  if (o->max_sentences && sentences > o->max_sentences) sentences = o->max_sentences;
  dg_progress_end(&c->progress);
  int code = t && write_model(t, output, &err) ? DG_EXIT_OK : dg_cli_fail(&err);
  if (code == DG_EXIT_OK && cli->json)
    fprintf(strcmp(output, "-") ? stdout : stderr,
            "{\"type\": \"%s\", \"pieces\": %" PRId32 ", \"sentences\": %" PRIu64 "}\n",
            o->type == DG_TOKENIZER_BPE ? "bpe" : "unigram", dg_tokenizer_size(t), sentences);
  else if (code == DG_EXIT_OK)
    dg_cli_say(cli, "%s: %" PRId32 " pieces from %" PRIu64 " sentences\n", output,
               dg_tokenizer_size(t), sentences);
  dg_tokenizer_free(t);
  dg_lines_close(c->in.lines);
  return code;
}

static int train(int argc, char **argv) {
  const char *output = NULL, *type = "unigram", *normalization = NULL;
  int vocab_size = 0, most = 0;
  bool no_bytes = false, log = false;
  dg_list tags = {0}, symbols = {0}, columns = {0};
  dg_tokenizer_options o = dg_tokenizer_defaults();
  const dg_flag flags[] = {
      {"output", 'o', DG_FLAG_TEXT, &output, "MODEL", "where the tokenizer goes"},
      {"vocab-size", 'v', DG_FLAG_INT, &vocab_size, "N", "pieces in all"},
      {"type", 0, DG_FLAG_TEXT, &type, "TYPE", "unigram or bpe (unigram)"},
      {"tags", 0, DG_FLAG_LIST, &tags, "TAG...", "reserved pieces, as <2gl>, one a language"},
      {"symbols", 0, DG_FLAG_LIST, &symbols, "TEXT...", "text never split, as %s"},
      {"column", 0, DG_FLAG_REPEAT, &columns, "N",
       "column of tab-separated lines (1 and 2 of .tsv)"},
      {"sentences", 0, DG_FLAG_INT, &most, "N", "train on a sample of N (all)"},
      {"coverage", 0, DG_FLAG_FLOAT, &o.character_coverage, "X",
       "share of characters with pieces of their own (0.9995)"},
      {"normalization", 0, DG_FLAG_TEXT, &normalization, "RULE",
       "nmt_nfkc, nfkc, nmt_nfkc_cf, nfkc_cf or identity (nmt_nfkc)"},
      {"no-bytes", 0, DG_FLAG_BOOL, &no_bytes, NULL, "rare characters are unknown, not bytes"},
      {"log", 0, DG_FLAG_BOOL, &log, NULL, "show the trainer's own log"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage =
          "tokenizer train -o MODEL --vocab-size N [--tags TAG...] [--column N]... -- [FILE...]",
      .summary =
          "Learns how to split text into pieces, from lines of text, plain or gzipped, or columns\n"
          "of tab-separated files. The result is a sentencepiece model. The same text gives the\n"
          "same model on every machine.",
      .examples =
          "  dragoman tokenizer train -o gl.model -v 8000 wiki.gl.txt.gz\n"
          "  dragoman tokenizer train -o en-gl.model -v 8000 --tags '<2en>' '<2gl>' -- en-gl.tsv\n"
          "  zcat verses.gz | dragoman tokenizer train -o v.model -v 4000 --type bpe --column 2\n",
      .flags = flags,
  };
  int code = dg_cli_parse(&cli, argc, argv);
  corpus c = {.in = {.files = &cli.rest}};
  if (code == DG_CLI_GO && !output)
    code = dg_cli_usage(&cli, "say with -o where the tokenizer goes");
  if (code == DG_CLI_GO && !vocab_size) code = dg_cli_usage(&cli, "--vocab-size is missing");
  if (code == DG_CLI_GO && strcmp(type, "bpe") && strcmp(type, "unigram"))
    code = dg_cli_usage(&cli, "--type \"%s\" is neither unigram nor bpe", type);
  if (code == DG_CLI_GO) code = choose_columns(&c, &columns, &cli);
  if (code == DG_CLI_GO) {
    o.type = strcmp(type, "bpe") ? DG_TOKENIZER_UNIGRAM : DG_TOKENIZER_BPE;
    o.vocab_size = vocab_size;
    o.byte_fallback = !no_bytes;
    if (normalization) o.normalization = normalization;
    o.tags = tags.items, o.tag_count = tags.count;
    o.user_symbols = symbols.items, o.user_symbol_count = symbols.count;
    o.max_sentences = (size_t)most;
    o.quiet = !log;
    code = learn(&c, &o, output, &cli);
  }
  dg_cli_free(&cli);
  return code;
}

/* --- encode and decode ---------------------------------------------------------------------- */

/* The tokenizer inside a base; of two that of a side. */
static dg_tokenizer *load_from_base(const char *path, const char *side, dg_error *err) {
  dg_safetensors *s = dg_safetensors_open(path, false, err);
  if (!s) return NULL;
  const dg_st_tensor *bytes = dg_safetensors_find(s, "tokenizer");
  const dg_st_tensor *target = dg_safetensors_find(s, "target_tokenizer");
  dg_tokenizer *t = NULL;
  if (target && side && !strcmp(side, "target")) bytes = target;
  if (!bytes || bytes->dtype != DG_U8)
    dg_fail(err, DG_ERR_FORMAT, "%s: there is no tokenizer in it: give the base it belongs to",
            path);
  else if (target && !side)
    dg_fail(err, DG_ERR_USAGE, "%s has a tokenizer for each side: say --side source or target", path);
  else if (!(t = dg_tokenizer_load(bytes->data, bytes->bytes, err)))
    dg_error_context(err, "%s", path);
  dg_safetensors_close(s);
  return t;
}

static dg_tokenizer *load(const char *name, const char *side, dg_error *err) {
  char *path = dg_find_model(name, err);
  dg_tokenizer *t = !path                                   ? NULL
                    : dg_ends_with(path, ".safetensors") ? load_from_base(path, side, err)
                                                         : dg_tokenizer_load_file(path, err);
  free(path);
  return t;
}

static const char side_help[] = "source or target: which tokenizer of a base that has two";

static bool is_side(const char *side) {
  return !side || !strcmp(side, "source") || !strcmp(side, "target");
}

typedef struct encoding {
  bool ids, json;
  double alpha; /* NAN: the best segmentation */
  int nbest;
  uint64_t seed;
} encoding;

static bool encode_line(const dg_tokenizer *t, const encoding *e, uint64_t number, const char *text,
                        size_t n, dg_tokens *tokens, dg_error *err) {
  bool ok = isnan(e->alpha) ? dg_tokenizer_encode(t, text, n, tokens, err)
                            : dg_tokenizer_sample(t, text, n, e->nbest, e->alpha,
                                                  dg_rng_key(e->seed, number), tokens, err);
  if (!ok) return false;
  if (e->json) {
    json_t *list = json_array();
    for (size_t i = 0; i < tokens->count; i++) {
      const dg_token *k = &tokens->items[i];
      json_array_append_new(
          list, json_pack("{sisssisi}", "id", (int)k->id, "piece", dg_tokenizer_piece(t, k->id),
                          "begin", (int)k->begin, "end", (int)k->end));
    }
    json_t *line = json_pack("{ss%so}", "text", text, n, "tokens", list);
    json_dumpf(line, stdout, JSON_COMPACT);
    json_decref(line);
  }
  for (size_t i = 0; i < tokens->count && !e->json; i++) {
    if (i) putchar(' ');
    if (e->ids)
      printf("%" PRId32, tokens->items[i].id);
    else
      fputs(dg_tokenizer_piece(t, tokens->items[i].id), stdout);
  }
  putchar('\n');
  return true;
}

static int encode(int argc, char **argv) {
  const char *model = NULL, *side = NULL;
  encoding e = {.alpha = NAN, .nbest = -1};
  bool pieces = false;
  int seed = 1, nbest = 0;
  const dg_flag flags[] = {
      {"model", 'm', DG_FLAG_TEXT, &model, "MODEL", "a tokenizer, or a base that holds one"},
      {"side", 0, DG_FLAG_TEXT, &side, "SIDE", side_help},
      {"pieces", 0, DG_FLAG_BOOL, &pieces, NULL, "print pieces (so unless told)"},
      {"ids", 0, DG_FLAG_BOOL, &e.ids, NULL, "print numbers"},
      {"sample", 0, DG_FLAG_FLOAT, &e.alpha, "ALPHA",
       "a random segmentation: smoothing (unigram), merges dropped (bpe)"},
      {"nbest", 0, DG_FLAG_INT, &nbest, "N", "sample among the N best only (all; unigram)"},
      {"seed", 0, DG_FLAG_INT, &seed, "N", "the same seed, the same segmentations (1)"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage = "tokenizer encode -m MODEL [--pieces|--ids|--json] [--sample ALPHA] [FILE...]",
      .summary =
          "Splits each line into pieces. With --json each token says which bytes of the line\n"
          "it stands for.",
      .examples =
          "  echo Ola mundo | dragoman tokenizer encode -m gl.model\n"
          "  dragoman tokenizer encode -m base.safetensors --ids verses.txt\n"
          "  dragoman tokenizer encode -m gl.model --sample 0.2 --seed 7 verses.txt\n",
      .flags = flags,
  };
  int code = dg_cli_parse(&cli, argc, argv);
  if (code == DG_CLI_GO && !model) code = dg_cli_usage(&cli, "-m is missing");
  if (code == DG_CLI_GO && !is_side(side))
    code = dg_cli_usage(&cli, "--side \"%s\" is neither source nor target", side);
  if (code == DG_CLI_GO && pieces + e.ids + cli.json > 1)
    code = dg_cli_usage(&cli, "choose one of --pieces, --ids and --json");
  if (code == DG_CLI_GO && nbest && isnan(e.alpha))
    code = dg_cli_usage(&cli, "--nbest needs --sample");
  if (code == DG_CLI_GO) {
    e.json = cli.json;
    e.seed = (uint64_t)seed;
    if (nbest) e.nbest = nbest;
    dg_error err = {0};
    dg_tokenizer *t = load(model, side, &err);
    bool ok = t != NULL;
    reader in = {.files = &cli.rest};
    dg_tokens tokens = {0};
    char *line;
    size_t n;
    for (int got = 1; ok && got;) {
      got = read_line(&in, &line, &n, &err);
      ok = got >= 0;
      if (got > 0 && !encode_line(t, &e, in.count, line, n, &tokens, &err)) ok = fail_at(&in, &err);
    }
    code = ok ? DG_EXIT_OK : dg_cli_fail(&err);
    dg_lines_close(in.lines);
    dg_tokens_free(&tokens);
    dg_tokenizer_free(t);
  }
  dg_cli_free(&cli);
  return code;
}

/* The ids on a line of words, which is cut up. */
static bool read_ids(const dg_tokenizer *t, char *line, bool numbers, int32_t **ids,
                     size_t *capacity, size_t *count, dg_error *err) {
  *count = 0;
  for (char *word; (word = strsep(&line, " "));) {
    if (!*word) continue;
    char *end;
    long id = numbers ? strtol(word, &end, 10) : dg_tokenizer_id(t, word);
    if (numbers ? *end || id < 0 || id >= dg_tokenizer_size(t) : id < 0)
      return dg_fail(err, DG_ERR_FORMAT, "\"%.60s\" is no %s of this tokenizer%s", word,
                     numbers ? "id" : "piece", numbers ? "" : " (numbers need --ids)");
    DG_GROW(*ids, *capacity, *count + 1);
    (*ids)[(*count)++] = (int32_t)id;
  }
  return true;
}

static int decode(int argc, char **argv) {
  const char *model = NULL, *side = NULL;
  bool ids = false, pieces = false;
  const dg_flag flags[] = {
      {"model", 'm', DG_FLAG_TEXT, &model, "MODEL", "a tokenizer, or a base that holds one"},
      {"side", 0, DG_FLAG_TEXT, &side, "SIDE", side_help},
      {"pieces", 0, DG_FLAG_BOOL, &pieces, NULL, "lines are pieces (so unless told)"},
      {"ids", 0, DG_FLAG_BOOL, &ids, NULL, "lines are numbers"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage = "tokenizer decode -m MODEL [--side SIDE] [--pieces|--ids] [FILE...]",
      .summary =
          "Puts lines of pieces together again. Language tags and other control pieces leave\n"
          "no trace.",
      .examples =
          "  dragoman tokenizer encode -m gl.model a.txt | dragoman tokenizer decode -m gl.model\n"
          "  dragoman tokenizer decode -m gl.model --ids ids.txt\n",
      .flags = flags,
  };
  int code = dg_cli_parse(&cli, argc, argv);
  if (code == DG_CLI_GO && !model) code = dg_cli_usage(&cli, "-m is missing");
  if (code == DG_CLI_GO && !is_side(side))
    code = dg_cli_usage(&cli, "--side \"%s\" is neither source nor target", side);
  if (code == DG_CLI_GO && ids && pieces) code = dg_cli_usage(&cli, "choose --pieces or --ids");
  if (code == DG_CLI_GO) {
    dg_error err = {0};
    dg_tokenizer *t = load(model, side, &err);
    bool ok = t != NULL;
    reader in = {.files = &cli.rest};
    int32_t *list = NULL;
    size_t capacity = 0, count, n;
    char *line;
    for (int got = 1; ok && got;) {
      got = read_line(&in, &line, &n, &err);
      ok = got >= 0;
      if (got <= 0) continue;
      char *text = read_ids(t, line, ids, &list, &capacity, &count, &err)
                       ? dg_tokenizer_decode(t, list, count, &err)
                       : NULL;
      if (!text)
        ok = fail_at(&in, &err);
      else if (cli.json) {
        json_t *object = json_pack("{ss}", "text", text);
        json_dumpf(object, stdout, JSON_COMPACT);
        json_decref(object);
        putchar('\n');
      } else {
        puts(text);
      }
      free(text);
    }
    code = ok ? DG_EXIT_OK : dg_cli_fail(&err);
    dg_lines_close(in.lines);
    free(list);
    dg_tokenizer_free(t);
  }
  dg_cli_free(&cli);
  return code;
}

int dg_cmd_tokenizer(int argc, char **argv) {
  static const dg_cli_part parts[] = {{"train", "learn pieces from text", train},
                                      {"encode", "split lines into pieces", encode},
                                      {"decode", "put pieces together again", decode}};
  return dg_cli_parts("tokenizer", parts, sizeof parts / sizeof *parts,
                      "  dragoman tokenizer train -o gl.model --vocab-size 8000 wiki.gl.txt.gz\n"
                      "  echo Ola mundo | dragoman tokenizer encode -m gl.model\n",
                      argc, argv);
}
