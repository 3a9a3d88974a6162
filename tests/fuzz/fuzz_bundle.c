/*
 * Bundles: the input's first byte says what the rest is.
 *   'i'  a whole .index file
 *   'b'  a data block, to which a table with right checksums is made, so that the records are
 * reached
 */
#include <ocelli/checkpoint.h>

#include "fuzz_file.h"
#include "fuzz_table.h"
#include "io/bundle.h"

enum { DATA_BYTES = 4096 };

static char prefix[600], data_path[700];

static void clean(void) {
    remove(data_path);
}

/* A data file for the entries to point into. */
static void prepare(void) {
    static bool done;
    if (done)
        return;
    done = true;
    static const unsigned char zeros[DATA_BYTES];
    snprintf(prefix, sizeof prefix, "%s", fuzz_name());
    snprintf(data_path, sizeof data_path, "%s.data-00000-of-00001", prefix);
    fuzz_store(data_path, zeros, sizeof zeros);
    atexit(clean);
}

static void read_everything(oce_bundle_reader *reader) {
    static unsigned char data[DATA_BYTES];
    for (size_t i = 0; i < oce_bundle_reader_count(reader); i++) {
        const oce_bundle_entry *entry = oce_bundle_reader_entry(reader, i);
        if (oce_bundle_reader_find(reader, entry->name) != entry)
            abort();
        oce_bundle_reader_read_bytes(reader, i, data, sizeof data);
        if (entry->bytes <= sizeof data)
            oce_bundle_reader_read(reader, entry->name, entry->rank, entry->shape, (float *)data);
    }
    oce_bundle_reader_read(reader, "Variable", 0, NULL, (float *)data);
}

int LLVMFuzzerTestOneInput(const unsigned char *input, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *input, size_t size) {
    prepare();
    oce_bundle_reader *reader = NULL;
    if (size == 0)
        return 0;
    if (input[0] == 'b') {
        oce_bytes file = fuzz_table(input + 1, size - 1, 0);
        oce_bundle_reader_parse(prefix, file.data, file.size, &reader);
        oce_bytes_finish(&file);
    } else {
        oce_bundle_reader_parse(prefix, input + 1, size - 1, &reader);
    }
    if (reader)
        read_everything(reader);
    oce_bundle_reader_close(reader);
    return 0;
}
