/* MNIST's IDX files: the input's first byte, times four, is the length of the labels' file, the
 * rest is the images'. Either may be gzipped. */
#include <ocelli/data.h>

#include "fuzz_file.h"

#include <sys/stat.h>

static char folder[600], images[700], labels[700];

static void clean(void) {
    remove(images);
    remove(labels);
    rmdir(folder);
}

static void prepare(void) {
    static bool done;
    if (done)
        return;
    done = true;
    snprintf(folder, sizeof folder, "%s", fuzz_name());
    snprintf(images, sizeof images, "%s/t10k-images-idx3-ubyte", folder);
    snprintf(labels, sizeof labels, "%s/t10k-labels-idx1-ubyte", folder);
    if (mkdir(folder, 0777) != 0)
        abort();
    atexit(clean);
}

int LLVMFuzzerTestOneInput(const unsigned char *input, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *input, size_t size) {
    if (size < 1)
        return 0;
    prepare();
    const size_t rest = size - 1, wanted = 4 * (size_t)input[0];
    const size_t length = wanted < rest ? wanted : rest;
    oce_dataset *set = NULL;
    fuzz_store(labels, input + 1, length);
    fuzz_store(images, input + 1 + length, rest - length);
    if (oce_dataset_open_mnist(folder, OCE_SPLIT_TEST, &set) != OCE_OK)
        return 0;
    for (int64_t i = 0; i < oce_dataset_count(set); i++)
        if (oce_dataset_labels(set)[i] >= oce_dataset_classes(set))
            abort();
    oce_dataset_destroy(set);
    return 0;
}
