/*
 * One convolution on your own arrays: a 5x4 image of one channel with a 3x3 filter that sums,
 * padding SAME.
 *
 *   conv2d [DEVICE_SELECTOR]
 */
#include <ocelli/ocelli.h>

#include <stdio.h>
#include <stdlib.h>

static void check(oce_status status) {
    if (status != OCE_OK) {
        fprintf(stderr, "conv2d: %s\n", oce_last_error());
        exit(1);
    }
}

int main(int argc, char **argv) {
    const oce_conv2d_desc desc = {
        .batch = 1,
        .height = 5,
        .width = 4,
        .channels = 1,
        .filters = 1,
        .window = {.size = {3, 3}, .padding = OCE_PADDING_SAME},
    };
    float image[5 * 4], weights[3 * 3], result[5 * 4];
    for (int i = 0; i < 5 * 4; i++)
        image[i] = (float)(i + 1);
    for (int i = 0; i < 3 * 3; i++)
        weights[i] = 1;

    oce_device *device = NULL;
    check(oce_device_open(argc > 1 ? argv[1] : NULL, &device));
    oce_conv2d_plan *plan = NULL;
    check(oce_conv2d_plan_create(device, &desc, OCE_PASS_FORWARD, &plan));

    /* a tensor with the halo that the plan asks for spares it a copy; {0} works too */
    const oce_halo halo = oce_conv2d_plan_halo(plan);
    oce_tensor x, filter, y;
    check(oce_tensor_create(device, (const int64_t[]){1, 5, 4, 1}, &halo, &x));
    check(oce_tensor_create(device, (const int64_t[]){3, 3, 1, 1}, NULL, &filter));
    check(oce_tensor_create(device, (const int64_t[]){1, 5, 4, 1}, NULL, &y));
    oce_buffer *workspace = NULL;
    check(oce_buffer_create(device, oce_conv2d_plan_workspace(plan, &halo), &workspace));

    check(oce_tensor_write(&x, image));
    check(oce_tensor_write(&filter, weights));
    check(oce_conv2d_forward(plan, &x, &filter, NULL, &y, workspace));
    check(oce_tensor_read(&y, result));
    for (int row = 0; row < 5; row++) {
        for (int column = 0; column < 4; column++)
            printf("%6g", (double)result[row * 4 + column]);
        printf("\n");
    }

    oce_buffer_destroy(workspace);
    oce_tensor_release(&x);
    oce_tensor_release(&filter);
    oce_tensor_release(&y);
    oce_conv2d_plan_destroy(plan);
    oce_device_close(device);
    return 0;
}
