/* The Snappy path of the bundle reader: the input is a compressed data block. */
#include <ocelli/checkpoint.h>

#include "fuzz_table.h"
#include "io/bundle.h"

int LLVMFuzzerTestOneInput(const unsigned char *input, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *input, size_t size) {
    oce_bundle_reader *reader = NULL;
    oce_bytes file = fuzz_table(input, size, 1);
    oce_bundle_reader_parse("none", file.data, file.size, &reader);
    oce_bundle_reader_close(reader);
    oce_bytes_finish(&file);
    return 0;
}
