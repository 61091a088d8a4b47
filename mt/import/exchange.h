/* Adapters in the layouts of other projects, for bases imported from a public checkpoint:
 * LoRA as PEFT has it, bottlenecks as AdapterHub has them. */
#ifndef DG_IMPORT_EXCHANGE_H
#define DG_IMPORT_EXCHANGE_H

#include "mt/import/family.h"

typedef enum dg_exchange {
  DG_EXCHANGE_PEFT,      /* adapter_config.json, adapter_model.safetensors */
  DG_EXCHANGE_ADAPTERHUB /* adapter_config.json, adapter.safetensors */
} dg_exchange;

/* Reads a directory of either; the weights may also be what torch.save wrote. What this program
 * would compute otherwise, or not at all, is refused by name. */
dg_adapter *dg_exchange_read(const char *directory, dg_family family,
                             const dg_model_config *model, dg_error *err);
/* Makes the directory, which must not be there. `base_name` is for people. An adapter that the
 * layout has no place for is refused. */
bool dg_exchange_write(const dg_adapter *a, dg_family family, dg_exchange layout,
                       const char *base_name, const char *directory, dg_error *err);

/* The family an imported base's card names ("imported_from"); false: no family's. */
bool dg_exchange_family(const json_t *card, dg_family *out);

#endif
