#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mt/cli/cli.h"
#include "mt/cli/info_describe.h"
#include "mt/cli/info_print.h"
#include "mt/cli/models.h"
#include "mt/core/lines.h"
#include "mt/core/mem.h"
#include "mt/core/utf8.h"

/* Adapters only: a base's hash is what its adapters know it by. */
static bool edit(const char *path, const char *note, const char *licence, dg_error *err) {
  dg_safetensors *s = dg_safetensors_open(path, false, err);
  if (!s) return false;
  dg_st_writer *w = dg_st_writer_new();
  const char *format = dg_safetensors_metadata(s, "format");
  const char *text = dg_safetensors_metadata(s, "card");
  json_t *card = text ? json_loads(text, 0, NULL) : NULL;
  char *changed = NULL;
  bool ok = true;
  if (!format || strcmp(format, "dragoman.adapter") || !json_is_object(card))
    ok = dg_fail(err, DG_ERR_USAGE, "%s is not an adapter: only their cards can be changed", path);
  if (ok && note) json_object_set_new(card, "notes", json_string(note));
  char *its_licence = dg_utf8_repair(licence ? licence : "");
  if (ok && licence) json_object_set_new(card, "licence", json_string(its_licence));
  free(its_licence);
  if (ok) {
    changed = json_dumps(card, JSON_COMPACT);
    dg_st_writer_copy(w, s);
    dg_st_writer_metadata(w, "card", changed);
    ok = dg_st_writer_write(w, path, NULL, err);
  }
  free(changed);
  json_decref(card);
  dg_st_writer_free(w);
  dg_safetensors_close(s);
  return ok;
}

int dg_cmd_info(int argc, char **argv) {
  const char *note_path = NULL, *licence = NULL;
  const dg_flag flags[] = {
      {"set-note", 0, DG_FLAG_TEXT, &note_path, "FILE", "put this text into the adapter's card"},
      {"set-licence", 0, DG_FLAG_TEXT, &licence, "TEXT", "and this licence"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL}};
  dg_cli cli = {
      .usage = "info [--set-note FILE] [--set-licence TEXT] FILE|NAME...",
      .summary =
          "Says what a base, adapter, checkpoint or tokenizer is: content hash, size, languages,\n"
          "what it was trained on and how well it did. An adapter named together with its base\n"
          "is compared to it. A damaged file is an error. --json prints an object a line. A NAME\n"
          "is looked up as `dragoman translate -b NAME` does. A card that is changed gives its\n"
          "file another content hash: change it before others are trained on top of it.",
      .examples = "  dragoman info base\n"
                  "  dragoman info base.safetensors en-gl.safetensors\n"
                  "  dragoman info --json base.safetensors.checkpoint\n"
                  "  dragoman info --set-note limits.txt --set-licence CC-BY-4.0 en-gl.safetensors\n",
      .flags = flags,
  };
  int code = dg_cli_parse(&cli, argc, argv);
  if (code == DG_CLI_GO && !cli.rest.count) code = dg_cli_usage(&cli, "name a file");
  if (code == DG_CLI_GO) {
    dg_error err = {0};
    char *note = note_path ? dg_read_text(note_path, &err) : NULL; /* once: it may be a pipe */
    code = note || !note_path ? DG_EXIT_OK : dg_cli_fail(&err);
    json_t **list = dg_calloc(cli.rest.count, sizeof *list);
    size_t count = 0;
    for (size_t i = 0; (note || !note_path) && i < cli.rest.count; i++) {
      char *path = dg_find_model(cli.rest.items[i], &err);
      bool ok = path && ((!note && !licence) || edit(path, note, licence, &err));
      json_t *o = ok ? dg_describe(path, &err) : NULL;
      if (o) list[count++] = o;
      else code = dg_cli_fail(&err);
      free(path);
    }
    free(note);
    dg_describe_shares(list, count);
    for (size_t i = 0; i < count; i++) {
      if (cli.json) {
        json_dumpf(list[i], stdout, JSON_COMPACT | JSON_REAL_PRECISION(10));
        putchar('\n');
      } else {
        dg_strbuf b = {0};
        if (i) dg_strbuf_addc(&b, '\n');
        dg_print_description(&b, list[i]);
        fputs(b.text, stdout);
        free(b.text);
      }
      json_decref(list[i]);
    }
    free(list);
  }
  dg_cli_free(&cli);
  return code;
}
