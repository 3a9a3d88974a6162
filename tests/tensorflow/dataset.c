/*
 * Writes the first examples of a data set as NumPy arrays, so that TensorFlow sees the same bytes:
 *
 *   dataset mnist|cifar10 FOLDER|synthetic TRAIN TEST FILE.npz
 *
 * TRAIN and TEST are numbers of images. The arrays are {train,test}_images, uint8 [n, H, W, C], and
 * {train,test}_labels, uint8 [n]. Exit status 3: the folder does not hold the data set.
 */
#include <ocelli/ocelli.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOT_THERE = 3 };

static void check(oce_status status) {
    if (status == OCE_OK)
        return;
    fprintf(stderr, "dataset: %s\n", oce_last_error());
    exit(status == OCE_ERROR_NOT_FOUND ? NOT_THERE : EXIT_FAILURE);
}

static oce_dataset *open_first(const char *network, const char *folder, oce_split split,
                               int64_t count) {
    oce_dataset *all = NULL, *first = NULL;
    if (strcmp(folder, "synthetic") == 0)
        check(oce_dataset_synthetic(network, split, 1, 0, &all));
    else if (strcmp(network, "mnist") == 0)
        check(oce_dataset_open_mnist(folder, split, &all));
    else
        check(oce_dataset_open_cifar10(folder, split, &all));
    check(oce_dataset_slice(all, 0, count, &first));
    oce_dataset_destroy(all);
    return first;
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: dataset mnist|cifar10 FOLDER|synthetic TRAIN TEST FILE.npz\n");
        return 2;
    }
    oce_dataset *train = open_first(argv[1], argv[2], OCE_SPLIT_TRAIN, atoll(argv[3]));
    oce_dataset *test = open_first(argv[1], argv[2], OCE_SPLIT_TEST, atoll(argv[4]));
    int64_t shape[2][4];
    const oce_dataset *sets[2] = {train, test};
    for (int i = 0; i < 2; i++) {
        shape[i][0] = oce_dataset_count(sets[i]);
        shape[i][1] = oce_dataset_height(sets[i]);
        shape[i][2] = oce_dataset_width(sets[i]);
        shape[i][3] = oce_dataset_channels(sets[i]);
    }
    const oce_array arrays[] = {
        {"train_images", OCE_DTYPE_UINT8, 4, shape[0], oce_dataset_images(train)},
        {"train_labels", OCE_DTYPE_UINT8, 1, shape[0], oce_dataset_labels(train)},
        {"test_images", OCE_DTYPE_UINT8, 4, shape[1], oce_dataset_images(test)},
        {"test_labels", OCE_DTYPE_UINT8, 1, shape[1], oce_dataset_labels(test)},
    };
    check(oce_arrays_write(argv[5], OCE_ARRAY_NPZ, arrays, 4));
    printf("%s\n", oce_dataset_description(train));
    oce_dataset_destroy(train);
    oce_dataset_destroy(test);
    return 0;
}
