/* YAML as JSON: mappings, sequences and scalars, all scalars as strings. */
#ifndef DG_IMPORT_YAML_H
#define DG_IMPORT_YAML_H

#include <jansson.h>
#include <stdint.h>

#include "mt/core/error.h"

/* The first document; NULL on an error, which names the line. No anchors, no tags. */
json_t *dg_yaml_read(const uint8_t *bytes, size_t size, dg_error *err);

#endif
