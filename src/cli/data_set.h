/* Opening the data sets that --data, --train-file and --test-file name. */
#ifndef CLI_DATA_SET_H
#define CLI_DATA_SET_H

#include "cli/options.h"

#include <ocelli/data.h>

typedef struct cli_data_options {
    const char *data; /* a folder, or "synthetic" */
    const char *train_file, *test_file;
    int64_t hold_out; /* images of a validation set cut off the training set's end; 0: none */
} cli_data_options;

#define CLI_DATA_OPTION(record, field)                                                             \
    {                                                                                              \
        "data", "DIR", CLI_STRING(record, field.data),                                             \
            .environment = "OCELLI_DATA", .shown_initial = "./data",                               \
            .help = "folder with the publisher's files, gzipped or not (tools/fetch-data gets "    \
                    "them), or \"synthetic\" for a built-in set that the library draws itself"     \
    }

typedef struct cli_data {
    oce_dataset *train, *validation, *test; /* NULL: not asked for, or there is none */
} cli_data;

/* Which sets are wanted. */
enum { CLI_DATA_TRAIN = 1, CLI_DATA_VALIDATION = 2, CLI_DATA_TEST = 4 };

/* Opens the wanted sets of the network "mnist" or "cifar10"; cli_data_close() them also after a
 * failure. MNIST's validation set is its own, CIFAR-10's is cut off the training set. */
oce_status cli_data_open(const char *network, const cli_data_options *options, unsigned wanted,
                         cli_data *data);
void cli_data_close(cli_data *data);

#endif
