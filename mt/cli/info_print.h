/* How info lays out what dg_describe says. */
#ifndef DG_CLI_INFO_PRINT_H
#define DG_CLI_INFO_PRINT_H

#include <jansson.h>

#include "mt/core/mem.h"

/* Appends lines for people. */
void dg_print_description(dg_strbuf *b, const json_t *description);

#endif
