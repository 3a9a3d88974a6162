/* The state file. */
#include <ocelli/checkpoint.h>

#include "fuzz_file.h"

#include <string.h>
#include <sys/stat.h>

static char folder[600], path[700];

static void clean(void) {
    remove(path);
    rmdir(folder);
}

static void prepare(void) {
    static bool done;
    if (done)
        return;
    done = true;
    snprintf(folder, sizeof folder, "%s", fuzz_name());
    snprintf(path, sizeof path, "%s/checkpoint", folder);
    if (mkdir(folder, 0777) != 0)
        abort();
    atexit(clean);
}

int LLVMFuzzerTestOneInput(const unsigned char *input, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *input, size_t size) {
    prepare();
    char latest[256];
    oce_checkpoint_state *state = NULL;
    fuzz_store(path, input, size);
    oce_checkpoint_state_read(folder, &state);
    oce_checkpoint_latest(folder, latest, sizeof latest);
    for (size_t i = 0; state && i < oce_checkpoint_state_count(state); i++)
        if (strlen(oce_checkpoint_state_path(state, i)) > 6 * size + sizeof folder)
            abort();
    oce_checkpoint_state_destroy(state);
    return 0;
}
