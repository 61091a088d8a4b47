/* Adapters of PEFT and AdapterHub: a configuration (it begins with a brace) beside the
 * weights of both, or PEFT's weights beside its configuration.
 * seeds: tests/import/adapter/peft_m2m100/adapter_config.json
 * tests/import/adapter/hub_m2m100/adapter_config.json
 * tests/import/adapter/peft_m2m100/adapter_model.safetensors */
#include "mt/import/exchange.h"

#include <stdio.h>
#include <stdlib.h>

#include "mt/core/file.h"
#include "tests/fuzz/fuzz.h"

#define FROM "tests/import/adapter/"

static dg_family_config family;
static dg_mapping config, peft;

static void prepare(void) {
  dg_mapping hub;
  if (!dg_family_config_read("tests/import/model/m2m100/config.json", &family, NULL) ||
      !dg_map(FROM "peft_m2m100/adapter_config.json", &config, NULL) ||
      !dg_map(FROM "peft_m2m100/adapter_model.safetensors", &peft, NULL) ||
      !dg_map(FROM "hub_m2m100/adapter.safetensors", &hub, NULL))
    abort();
  fuzz_file("adapter.safetensors", hub.data, hub.size);
  dg_unmap(&hub);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!config.data) prepare();
  bool json = size && data[0] == '{';
  fuzz_file("adapter_config.json", json ? data : config.data, json ? size : config.size);
  fuzz_file("adapter_model.safetensors", json ? peft.data : data, json ? peft.size : size);
  dg_error err;
  dg_adapter_free(dg_exchange_read(fuzz_directory(), family.family, &family.model, &err));
  return 0;
}
