/* A file of CIFAR-10 records, gzipped or not. */
#include <ocelli/data.h>

#include "fuzz_file.h"

static void clean(void) {
    remove(fuzz_name());
}

int LLVMFuzzerTestOneInput(const unsigned char *input, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *input, size_t size) {
    static bool prepared;
    oce_dataset *set = NULL;
    if (!prepared)
        atexit(clean);
    prepared = true;
    fuzz_store(fuzz_name(), input, size);
    if (oce_dataset_open_cifar10_file(fuzz_name(), &set) != OCE_OK)
        return 0;
    for (int64_t i = 0; i < oce_dataset_count(set); i++)
        if (oce_dataset_labels(set)[i] >= oce_dataset_classes(set))
            abort();
    oce_dataset_destroy(set);
    return 0;
}
