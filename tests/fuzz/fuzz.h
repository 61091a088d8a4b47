/* Readers of outside bytes, for libFuzzer (make fuzz) or to replay files (make test). A
 * target is a file tests/fuzz/NAME.c with this function, and says after "seeds:" which of
 * the tests' files it begins from. */
#ifndef DG_TESTS_FUZZ_H
#define DG_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A scratch file of these bytes, in a directory of this process. Its path stays valid. */
const char *fuzz_file(const char *name, const uint8_t *data, size_t size);
const char *fuzz_directory(void);
void fuzz_copy(const char *from, const char *name); /* a file of the repository, into it */

/* Imports what is at the path as a model from English to Galician, with its weights or
 * all but them, and throws the base away. */
void fuzz_import(const char *path, bool weights);

#endif
