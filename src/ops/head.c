/* The last dense layer and what is asked of its logits, in one launch. */
#include "ops/head.h"

#include "base/size.h"
#include "ops/lines.h"

#include <ocelli/softmax.h>

enum {
    MOST_FLOATS = 1 << 17, /* that the launch reads */
    CLASS_VECTORS = 4,     /* registers for a row of logits, at most */
    LAYER_ARGS = 10
};

/* Rounds of the loops of head_xent_classes, at most: of the layer, and of the passes over the
 * logits with what is left of vectors. */
static int64_t rounds_of(const oce_limits *limits, int64_t images, int64_t inputs, int64_t classes,
                         int splits) {
    const int64_t layer = oce_ceil_div(inputs, limits->vector_width) * (splits + 1);
    return images * (8 + layer + 5 * classes + 2 * limits->vector_width);
}

bool oce_head_serves(const oce_device *device, int64_t images, int64_t inputs, int64_t classes,
                     int splits) {
    const oce_limits *limits = oce_device_limits(device);
    const int64_t extents[] = {images, inputs, classes + splits};
    size_t floats = 0;
    return limits->is_cpu && images >= 1 && inputs >= 1 && classes >= 1 &&
           classes <= CLASS_VECTORS * limits->vector_width &&
           oce_size_product(extents, 3, &floats) && floats <= MOST_FLOATS &&
           rounds_of(limits, images, inputs, classes, splits) <= limits->loop_rounds;
}

static oce_status check(const oce_head *h) {
    OCE_REQUIRE(h->logits != NULL && h->weights != NULL && h->bias != NULL && h->parts != NULL,
                OCE_ERROR_INVALID_ARGUMENT,
                "head: logits, weights, bias or the layer's input were not given");
    const int64_t images = h->logits->dim[0], inputs = h->weights->dim[0],
                  classes = h->logits->dim[3];
    const int64_t logits[4] = {images, 1, 1, classes}, weights[4] = {inputs, 1, 1, classes};
    OCE_REQUIRE(h->splits >= 1 && oce_head_serves(h->device, images, inputs, classes, h->splits),
                OCE_ERROR_UNSUPPORTED,
                "head: %lld images, %d parts of %lld inputs, %lld classes are not for one launch",
                (long long)images, h->splits, (long long)inputs, (long long)classes);
    OCE_TRY(oce_tensor_expect(h->logits, "head: logits", logits));
    OCE_TRY(oce_tensor_expect(h->weights, "head: weights", weights));
    OCE_TRY(oce_tensor_expect_dense(h->logits, "head: logits", (size_t)(images * classes)));
    OCE_TRY(oce_tensor_expect_dense(h->weights, "head: weights", (size_t)(inputs * classes)));
    OCE_TRY(oce_tensor_expect_dense(h->bias, "head: bias", (size_t)classes));
    if (h->parts_bias != NULL)
        OCE_TRY(oce_tensor_expect_dense(h->parts_bias, "head: the parts' bias", (size_t)inputs));
    /* The launch reads no more than MOST_FLOATS of the parts, however far they are apart. */
    size_t end = 0;
    OCE_REQUIRE(oce_size_mul(h->part_size, (size_t)(h->splits - 1), &end) &&
                    oce_size_add(end, h->first, &end) &&
                    oce_size_add(end, (size_t)(images * inputs), &end) &&
                    oce_size_mul(end, sizeof(float), &end),
                OCE_ERROR_OVERFLOW, "head: parts of %zu floats cannot be represented",
                h->part_size);
    return oce_buffer_expect(h->parts, "head: parts", end);
}

/* The kernel, and its first arguments. */
static oce_status prepare(const oce_head *h, const char *name, oce_kernel **kernel,
                          oce_arg args[LAYER_ARGS]) {
    const int64_t inputs = h->weights->dim[0], classes = h->logits->dim[3];
    oce_defines defines = {0};
    oce_define(&defines, "VEC", oce_channel_vector(h->device, classes));
    oce_define(&defines, "CLASS_VECTORS",
               oce_ceil_div(classes, oce_device_limits(h->device)->vector_width));
    const oce_arg list[LAYER_ARGS] = {
        oce_arg_part(h->parts, h->first),
        oce_arg_long((int64_t)h->part_size),
        oce_arg_int(h->splits),
        oce_arg_tensor(h->parts_bias),
        oce_arg_int(h->activation == OCE_ACTIVATION_RELU),
        oce_arg_tensor(h->weights),
        oce_arg_tensor(h->bias),
        oce_arg_tensor(h->logits),
        oce_arg_int(inputs),
        oce_arg_int(classes),
    };
    for (int i = 0; i < LAYER_ARGS; i++)
        args[i] = list[i];
    return oce_kernel_get(h->device, "head.cl", name, &defines, kernel);
}

oce_status oce_head_softmax(const oce_head *head) {
    oce_kernel *kernel = NULL;
    oce_arg args[LAYER_ARGS];
    OCE_TRY(check(head));
    OCE_TRY(prepare(head, "head_softmax", &kernel, args));
    return oce_launch(kernel, oce_range_groups(head->logits->dim[0], 1, 1), args, LAYER_ARGS);
}

oce_status oce_head_xent_classes(const oce_head *head, const oce_buffer *labels,
                                 size_t labels_first, oce_buffer *sums, size_t slot,
                                 oce_buffer *predictions) {
    oce_kernel *kernel = NULL;
    oce_arg args[LAYER_ARGS + 4];
    OCE_TRY(check(head));
    const size_t images = (size_t)head->logits->dim[0];
    OCE_TRY(oce_bytes_expect(labels, "head: labels", labels_first, images));
    OCE_TRY(oce_slot_expect(sums, "head: sums", slot, sizeof(oce_xent_sums)));
    if (predictions != NULL)
        OCE_TRY(oce_buffer_expect(predictions, "head: predictions", images * sizeof(int32_t)));
    OCE_TRY(prepare(head, "head_xent_classes", &kernel, args));
    args[LAYER_ARGS] = oce_arg_part(labels, labels_first);
    args[LAYER_ARGS + 1] = oce_arg_part(sums, slot);
    args[LAYER_ARGS + 2] = oce_arg_buffer(predictions);
    args[LAYER_ARGS + 3] = oce_arg_int((int64_t)images);
    return oce_launch(kernel, oce_range_groups(1, 1, 1), args, OCE_COUNT(args));
}
