/* The two networks of the tutorial, as tables. */
#include <ocelli/network.h>

#include <string.h>

#define SAME_WINDOW(k, s)                                                                          \
    { .size = {k, k}, .stride = {s, s}, .padding = OCE_PADDING_SAME }
#define CONV(layer_name, k, filters)                                                               \
    {                                                                                              \
        .name = layer_name, .kind = OCE_LAYER_CONV2D, .units = filters,                            \
        .window = SAME_WINDOW(k, 1), .activation = OCE_ACTIVATION_RELU, .bias_start = 0.1F         \
    }
#define MAX_POOL(layer_name, k, s)                                                                 \
    { .name = layer_name, .kind = OCE_LAYER_MAX_POOL, .window = SAME_WINDOW(k, s) }
#define DENSE(layer_name, outputs, act)                                                            \
    {                                                                                              \
        .name = layer_name, .kind = OCE_LAYER_DENSE, .units = outputs, .activation = act,          \
        .bias_start = 0.1F                                                                         \
    }

static const oce_layer mnist_layers[] = {
    CONV("conv1", 5, 32),
    MAX_POOL("pool1", 2, 2),
    CONV("conv2", 5, 64),
    MAX_POOL("pool2", 2, 2),
    DENSE("fc1", 1024, OCE_ACTIVATION_RELU),
    DENSE("output", 10, OCE_ACTIVATION_NONE),
};

static const oce_layer cifar10_layers[] = {
    CONV("conv1", 5, 64),
    MAX_POOL("pool1", 3, 2),
    CONV("conv2", 5, 64),
    MAX_POOL("pool2", 3, 2),
    CONV("conv3", 3, 128),
    CONV("conv4", 3, 128),
    CONV("conv5", 3, 128),
    DENSE("fc1", 384, OCE_ACTIVATION_RELU),
    {.name = "dropout", .kind = OCE_LAYER_DROPOUT, .keep_prob = 0.8F},
    DENSE("fc2", 10, OCE_ACTIVATION_NONE),
};

#define LAYERS(table) .layers = (table), .layer_count = (int)(sizeof(table) / sizeof *(table))

static const oce_network mnist = {
    .name = "mnist", .height = 28, .width = 28, .channels = 1, LAYERS(mnist_layers)};
static const oce_network cifar10 = {
    .name = "cifar10", .height = 32, .width = 32, .channels = 3, LAYERS(cifar10_layers)};

const oce_network *oce_network_mnist(void) {
    return &mnist;
}

const oce_network *oce_network_cifar10(void) {
    return &cifar10;
}

const oce_network *oce_network_find(const char *name) {
    if (strcmp(name, mnist.name) == 0)
        return &mnist;
    return strcmp(name, cifar10.name) == 0 ? &cifar10 : NULL;
}

const char *oce_layer_kind_name(oce_layer_kind kind) {
    switch (kind) {
    case OCE_LAYER_CONV2D:
        return "conv2d";
    case OCE_LAYER_MAX_POOL:
        return "max_pool";
    case OCE_LAYER_AVERAGE_POOL:
        return "average_pool";
    case OCE_LAYER_DENSE:
        return "dense";
    case OCE_LAYER_DROPOUT:
        return "dropout";
    }
    return "unknown";
}
