/* What a base, adapter, checkpoint, tokenizer or other safetensors file is. */
#ifndef DG_CLI_INFO_DESCRIBE_H
#define DG_CLI_INFO_DESCRIBE_H

#include <jansson.h>

#include "mt/core/error.h"

/* As an object, which is what info --json prints; the caller's. A damaged file is an error. */
json_t *dg_describe(const char *path, dg_error *err);
/* Into adapters: their share of the base, if that is among the files described. */
void dg_describe_shares(json_t **list, size_t count);

#endif
