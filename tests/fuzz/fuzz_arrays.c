/* safetensors, npz and npy: the input's first byte chooses the format. */
#include <ocelli/array.h>

#include "fuzz_file.h"

static char path[600];

static void clean(void) {
    remove(path);
}

static void prepare(void) {
    static bool done;
    if (done)
        return;
    done = true;
    snprintf(path, sizeof path, "%s", fuzz_name());
    atexit(clean);
}

int LLVMFuzzerTestOneInput(const unsigned char *input, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *input, size_t size) {
    prepare();
    if (size == 0)
        return 0;
    fuzz_store(path, input + 1, size - 1);
    const oce_array_format format = input[0] == 's'   ? OCE_ARRAY_SAFETENSORS
                                    : input[0] == 'z' ? OCE_ARRAY_NPZ
                                                      : OCE_ARRAY_NPY;
    oce_array_list *list = NULL;
    oce_arrays_read(path, format, &list);
    oce_array_list_destroy(list);
    return 0;
}
