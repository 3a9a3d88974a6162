#include "cli/data_set.h"

#include <string.h>

static const uint64_t synthetic_seed = 1;
static const char default_folder[] = "data";

static bool is_mnist(const char *network) {
    return strcmp(network, "mnist") == 0;
}

static oce_status open_split(const char *network, const cli_data_options *options, oce_split split,
                             oce_dataset **dataset) {
    const char *file = split == OCE_SPLIT_TEST ? options->test_file : options->train_file;
    const char *folder = options->data != NULL ? options->data : default_folder;
    if (file != NULL)
        return oce_dataset_open_cifar10_file(file, dataset);
    if (strcmp(folder, "synthetic") == 0)
        return oce_dataset_synthetic(network, split, synthetic_seed, 0, dataset);
    return is_mnist(network) ? oce_dataset_open_mnist(folder, split, dataset)
                             : oce_dataset_open_cifar10(folder, split, dataset);
}

/* Cuts the last `count` images off data->train. */
static oce_status hold_out(cli_data *data, int64_t count) {
    oce_dataset *all = data->train;
    const int64_t kept = oce_dataset_count(all) - count;
    data->train = NULL;
    oce_status status = oce_dataset_slice(all, kept, count, &data->validation);
    if (status == OCE_OK)
        status = oce_dataset_slice(all, 0, kept, &data->train);
    oce_dataset_destroy(all);
    return status;
}

oce_status cli_data_open(const char *network, const cli_data_options *options, unsigned wanted,
                         cli_data *data) {
    *data = (cli_data){0};
    oce_status status = OCE_OK;
    const bool own_validation = is_mnist(network) && options->train_file == NULL;
    if (wanted & CLI_DATA_TRAIN)
        status = open_split(network, options, OCE_SPLIT_TRAIN, &data->train);
    if (status == OCE_OK && (wanted & CLI_DATA_VALIDATION))
        status = own_validation
                     ? open_split(network, options, OCE_SPLIT_VALIDATION, &data->validation)
                     : hold_out(data, options->hold_out);
    if (status == OCE_OK && (wanted & CLI_DATA_TEST))
        status = open_split(network, options, OCE_SPLIT_TEST, &data->test);
    return status;
}

void cli_data_close(cli_data *data) {
    oce_dataset_destroy(data->train);
    oce_dataset_destroy(data->validation);
    oce_dataset_destroy(data->test);
    *data = (cli_data){0};
}
