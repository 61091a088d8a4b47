#include <stdlib.h>
#include <string.h>

#include "mt/cli/cli.h"
#include "mt/cli/models.h"
#include "mt/import/exchange.h"
#include "mt/model/adapter_file.h"

static bool export(const char *base_name, const char *adapter_name, dg_exchange layout,
                   const char *output, dg_error *err) {
  dg_base *base = NULL;
  dg_adapter_file *f = NULL;
  dg_family family;
  char *base_path = dg_find_model(base_name, err);
  char *path = base_path ? dg_find_model(adapter_name, err) : NULL;
  bool ok = path && (base = dg_base_load(base_path, err));
  if (ok && !dg_exchange_family(base->card, &family))
    ok = dg_fail(err, DG_ERR_UNSUPPORTED,
                 "%s was not imported from a public checkpoint: other projects could not use its "
                 "adapters",
                 base_path);
  ok = ok && (f = dg_adapter_file_load(path, base, err));
  if (ok && f->over_count)
    ok = dg_fail(err, DG_ERR_UNSUPPORTED,
                 "%s was trained on top of another adapter, which its layout cannot tell", path);
  const char *slash = strrchr(base_path ? base_path : "", '/');
  ok = ok && dg_exchange_write(f->adapter, family, layout, slash ? slash + 1 : base_path, output,
                               err);
  dg_adapter_file_free(f);
  dg_base_free(base);
  free(base_path);
  free(path);
  return ok;
}

int dg_cmd_export(int argc, char **argv) {
  const char *base = "base", *adapter = NULL, *format = NULL, *output = NULL;
  const dg_flag flags[] = {
      {"base", 'b', DG_FLAG_TEXT, &base, "BASE", "path or name of its base, an imported one"},
      {"adapter", 'a', DG_FLAG_TEXT, &adapter, "ADAPTER", "path or name"},
      {"format", 0, DG_FLAG_TEXT, &format, "NAME", "peft (LoRA) or adapterhub (bottlenecks)"},
      {"output", 'o', DG_FLAG_TEXT, &output, "DIR", "the directory to make"},
      {NULL, 0, DG_FLAG_BOOL, NULL, NULL, NULL},
  };
  dg_cli cli = {
      .usage = "export -b BASE -a ADAPTER --format peft|adapterhub -o DIR",
      .summary =
          "Writes an adapter as other projects have it: LoRA in the layout of Hugging Face's PEFT,\n"
          "bottlenecks in that of AdapterHub (whose library knows mBART and T5;\n"
          "mt/import/attach_adapter.py loads them on M2M-100, NLLB and Marian). The base must have\n"
          "been imported: other projects then have its checkpoint. `import --adapter` is the way\n"
          "back.",
      .examples =
          "  dragoman export -b nllb.safetensors -a en-ast.safetensors --format peft -o en-ast\n",
      .flags = flags,
      .no_json = true,
  };
  int code = dg_cli_parse(&cli, argc, argv);
  bool peft = format && !strcmp(format, "peft");
  if (code == DG_CLI_GO && !adapter) code = dg_cli_usage(&cli, "-a is missing: which adapter?");
  if (code == DG_CLI_GO && !output) code = dg_cli_usage(&cli, "say with -o where it goes");
  if (code == DG_CLI_GO && !peft && (!format || strcmp(format, "adapterhub")))
    code = dg_cli_usage(&cli, "--format is peft or adapterhub");
  if (code == DG_CLI_GO && cli.rest.count)
    code = dg_cli_usage(&cli, "\"%s\" is too much: one adapter at a time", cli.rest.items[0]);
  if (code == DG_CLI_GO) {
    dg_error err;
    code = export(base, adapter, peft ? DG_EXCHANGE_PEFT : DG_EXCHANGE_ADAPTERHUB, output, &err)
               ? DG_EXIT_OK
               : dg_cli_fail(&err);
  }
  dg_cli_free(&cli);
  return code;
}
