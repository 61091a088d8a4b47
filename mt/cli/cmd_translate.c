#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mt/cli/cli.h"
#include "mt/cli/models.h"
#include "mt/core/file.h"
#include "mt/core/lines.h"
#include "mt/decode/translator.h"

enum { CHUNK = 1024 }; /* lines read before they are sorted by length and searched */

typedef struct session {
  dg_cli *cli;
  dg_model_choice choice;
  const char *output;
  dg_translate_options options;
  dg_loaded models;
  dg_network network;
  int32_t source_tag, target_tag;
  dg_output *out;
  dg_progress progress;
  size_t done, at_work, lost; /* lines */
  char first_lost[512];
} session;

static void show(void *context, double share) {
  session *s = context;
  dg_progress_show(&s->progress, (double)s->done + share * (double)s->at_work, 0, "lines", NULL);
}

/* Said now rather than behind the translation of those before. */
static bool can_read_all(const dg_list *files, dg_error *err) {
  for (size_t i = 0; i < files->count; i++)
    if (strcmp(files->items[i], "-") && access(files->items[i], R_OK))
      return dg_fail_errno(err, "%s: cannot open", files->items[i]);
  return true;
}

static bool load(session *s, dg_error *err) {
  s->choice.output = s->output;
  if (!can_read_all(&s->cli->rest, err) || !dg_cli_spares_all(s->output, &s->cli->rest, err) ||
      !dg_loaded_open(&s->models, &s->choice, s->cli, err))
    return false;
  s->network = dg_loaded_network(&s->models, true);
  s->options.source_language = s->models.source;
  s->options.stop = dg_cli_interrupted, s->options.progress = show, s->options.context = s;
  return dg_loaded_tags(&s->models, &s->source_tag, &s->target_tag, err) &&
         (strcmp(s->models.source, s->models.target) ||
          dg_fail(err, DG_ERR_USAGE, "source and target are the same language, %s: say with -s and "
                  "-t from what into what", s->models.source));
}

/* --- text ------------------------------------------------------------------------------- */

typedef struct chunk {
  char **lines;
  size_t count;
} chunk;

static void chunk_clear(chunk *c) {
  for (size_t i = 0; i < c->count; i++) free(c->lines[i]);
  c->count = 0;
}

static bool write_json(session *s, const char *source, const dg_translation *t, dg_error *err) {
  json_t *list = json_array();
  for (size_t k = 0; k < t->count; k++)
    json_array_append_new(list, json_pack("{s:s,s:f}", "text", t->texts[k], "score", t->scores[k]));
  json_t *line = json_pack("{s:s,s:s,s:s,s:o}", "source", source, "from", s->models.source,
                           "to", s->models.target, "translations", list);
  if (t->cut) json_object_set_new(line, "cut", json_true());
  if (t->lost) json_object_set_new(line, "other_placeholders", json_true());
  char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(7));
  bool ok = dg_output_printf(s->out, err, "%s\n", text);
  free(text);
  json_decref(line);
  return ok;
}

static bool write_plain(session *s, size_t number, const dg_translation *t, dg_error *err) {
  if (s->options.nbest == 1)
    return dg_output_printf(s->out, err, "%s\n", t->count ? t->texts[0] : "");
  for (size_t k = 0; k < t->count; k++)
    if (!dg_output_printf(s->out, err, "%zu\t%.4f\t%s\n", number, t->scores[k], t->texts[k]))
      return false;
  return true;
}

static bool translate_chunk(session *s, const char *file, size_t first, const chunk *c,
                            dg_error *err) {
  const char *name = strcmp(file, "-") ? file : "stdin";
  dg_translation *found = dg_calloc(c->count, sizeof *found);
  dg_base base = dg_loaded_base(&s->models, true);
  s->at_work = c->count;
  s->options.first_line = first;
  bool ok = dg_translate(&s->network, &base, s->source_tag, s->target_tag, &s->options,
                         (const char *const *)c->lines, c->count, found, err) ||
            (err->status != DG_ERR_INTERRUPTED && dg_error_context(err, "%s", name));
  for (size_t i = 0; ok && i < c->count; i++) {
    if (found[i].cut)
      dg_cli_say(s->cli,
                 "dragoman: warning: %s:%zu: a sentence is too long for the base, its end is lost: "
                 "break it up\n",
                 name, first + i);
    if (found[i].lost && !s->lost++)
      snprintf(s->first_lost, sizeof s->first_lost, "%s:%zu", name, first + i);
    ok = s->cli->json ? write_json(s, c->lines[i], &found[i], err)
                      : write_plain(s, s->done + i + 1, &found[i], err);
  }
  dg_translations_free(found, c->count);
  free(found);
  s->done += c->count;
  return ok;
}

static bool translate_file(session *s, const char *file, dg_error *err) {
  dg_lines *r = dg_lines_open(file, err);
  if (!r) return false;
  size_t length;
  chunk c = {.lines = dg_calloc(CHUNK, sizeof *c.lines)};
  char *line;
  int more = 1;
  bool ok = true;
  while (ok && more > 0) {
    size_t first = dg_lines_number(r) + 1;
    if (dg_cli_interrupted(NULL)) { /* perhaps while the last lines were translated */
      ok = dg_fail(err, DG_ERR_INTERRUPTED, "interrupted");
      break;
    }
    /* Many are searched together, but who waits for an answer before the next line has one. */
    while (c.count < CHUNK && !(c.count && dg_lines_waits(r)) &&
           (more = dg_lines_next(r, &line, &length, err)) > 0)
      c.lines[c.count++] = dg_strndup(line, length);
    if (more < 0) ok = false;
    if (ok && dg_cli_interrupted(NULL)) ok = dg_fail(err, DG_ERR_INTERRUPTED, "interrupted");
    if (ok && c.count) ok = translate_chunk(s, file, first, &c, err);
    if (ok) ok = dg_output_flush(s->out, err);
    chunk_clear(&c);
  }
  chunk_clear(&c);
  free(c.lines);
  dg_lines_close(r);
  return ok;
}

static bool translate_all(session *s, dg_error *err) {
  dg_cli_catch_signals();
  s->progress = dg_progress_begin(s->cli, "translating");
  if (!s->output && isatty(STDOUT_FILENO)) s->progress.active = false;
  if (!(s->out = dg_output_open(s->output ? s->output : "-", err))) return false;
  const dg_list *files = &s->cli->rest;
  bool ok = true;
  if (!files->count) ok = translate_file(s, "-", err);
  for (size_t i = 0; ok && i < files->count; i++) ok = translate_file(s, files->items[i], err);
  dg_progress_end(&s->progress);
  if (ok && s->lost)
    dg_cli_say(s->cli,
               "dragoman: warning: %zu translations have other placeholders or tags than the source, "
               "the first of %s\n",
               s->lost, s->first_lost);
  if (ok) return dg_output_commit(s->out, err);
  dg_output_abort(s->out);
  return false;
}

int dg_cmd_translate(int argc, char **argv) {
  int beam = 4, nbest = 1, min_length = 0, max_length = 0;
  session s = {.options = dg_translate_defaults()};
  const dg_flag flags[] = {
      {"base", 'b', DG_FLAG_TEXT, &s.choice.base, "BASE", "path or name of the base (base)"},
      {"adapter", 'a', DG_FLAG_REPEAT, &s.choice.adapters, "ADAPTER",
       "path or name; again: stacked; none (SRC-TGT beside the base)"},
      {"source", 's', DG_FLAG_TEXT, &s.choice.source, "SRC",
       "language code (the adapter's, or en)"},
      {"target", 't', DG_FLAG_TEXT, &s.choice.target, "TGT", "language code (the adapter's)"},
      {"beam", 0, DG_FLAG_INT, &beam, "N", "hypotheses kept; 1: greedy (4)"},
      {"nbest", 0, DG_FLAG_INT, &nbest, "N", "give the N best: LINE, SCORE, TEXT (1)"},
      {"length-penalty", 0, DG_FLAG_FLOAT, &s.options.length_penalty, "X",
       "scores are divided by length^X (1)"},
      {"min-length", 0, DG_FLAG_INT, &min_length, "N", "tokens of a translation at least (0)"},
      {"max-length", 0, DG_FLAG_INT, &max_length, "N", "and at most (by the source)"},
      {"output", 'o', DG_FLAG_TEXT, &s.output, "OUT", "file to write (standard output)"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage = "translate [-b BASE] [-a ADAPTER] [-s SRC] -t TGT [-o OUT] [FILE...]",
      .summary =
          "Translates text, a line a segment, from files or standard input. Files may be gzipped.\n"
          "A line longer than the base was trained on is translated sentence by sentence. Lines\n"
          "that come slowly, from a pipe or terminal, are answered as they come. Of the hypotheses the\n"
          "best that has the source's placeholders and tags (%s, {0}, <b>) comes first.\n"
          "Models are paths, or names looked up in $DRAGOMAN_MODELS and the installed models. With\n"
          "--json each line gives an object with its translations and their scores.",
      .examples = "  echo 'Open the file' | dragoman translate -t gl\n"
                  "  dragoman translate -s gl -t en -o out.txt in.txt\n"
                  "  dragoman translate -b base.safetensors -a en-nah.safetensors --beam 8 in.txt\n"
                  "  dragoman translate -b nllb -a nah.safetensors -a bible.safetensors in.txt\n"
                  "  dragoman translate -t es --nbest 3 --json in.txt.gz\n",
      .flags = flags,
  };
  s.cli = &cli;
  int code = dg_cli_parse(&cli, argc, argv);
  if (code == DG_CLI_GO && (beam < 1 || beam > 256))
    code = dg_cli_usage(&cli, "--beam is not in 1..256");
  if (code == DG_CLI_GO && (nbest < 1 || nbest > beam))
    code = dg_cli_usage(&cli, "--nbest is not in 1..%d, the beam", beam);
  if (code == DG_CLI_GO && max_length && min_length > max_length)
    code = dg_cli_usage(&cli, "--min-length %d is more than --max-length %d", min_length,
                        max_length);
  if (code == DG_CLI_GO && !(fabs(s.options.length_penalty) <= 10))
    code = dg_cli_usage(&cli, "--length-penalty is not in -10..10");
  if (code == DG_CLI_GO) {
    dg_error err = {0};
    s.options.beam = (size_t)beam;
    s.options.nbest = (size_t)nbest;
    s.options.min_length = (size_t)min_length;
    s.options.max_length = (size_t)max_length;
    code = load(&s, &err) && translate_all(&s, &err) ? DG_EXIT_OK : dg_cli_fail(&err);
  }
  dg_loaded_free(&s.models);
  dg_cli_free(&cli);
  return code;
}
