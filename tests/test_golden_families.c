/* The golden training runs, by each family of convolutions and products. */
#include "support/golden.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>

/* Each family of convolutions and products, wherever the device and the layer allow it; a few
 * steps. */
static void follow_each_family(const char *file, int steps, double ties) {
    static const struct {
        oce_conv2d_family conv2d;
        oce_gemm_family gemm;
    } families[] = {{OCE_CONV2D_DIRECT, OCE_GEMM_PANEL},
                    {OCE_CONV2D_WINOGRAD, OCE_GEMM_THIN},
                    {OCE_CONV2D_IM2COL, OCE_GEMM_CLBLAST},
                    {OCE_CONV2D_IMPLICIT_GEMM, OCE_GEMM_TILED}};
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        const bool winograd = families[i].conv2d == OCE_CONV2D_WINOGRAD;
        golden g = golden_open_with(file, families[i].conv2d, !winograd, families[i].gemm);
        g.steps = steps;
        g.extra_drift = winograd ? 3e-4 : 0;
        g.gradient_tolerance = fmax(ties, winograd ? 1e-4 : 1e-5);
        fprintf(stderr, "%s, %s: ", oce_conv2d_family_name(families[i].conv2d),
                oce_gemm_family_name(families[i].gemm));
        golden_run(&g);
    }
}

Test(golden_families, mnist_by_each_family) {
    follow_each_family("golden_mnist.json", 5, 0);
}

Test(golden_families, cifar10_by_each_family) {
    follow_each_family("golden_cifar10_scaled.json", 3, GOLDEN_SCALED_TIES);
}

/* The families that always work; slow, so a few steps. */
Test(golden_families, mnist_by_the_naive_families) {
    golden g = golden_open_with("golden_mnist.json", OCE_CONV2D_NAIVE, false, OCE_GEMM_NAIVE);
    g.steps = 3;
    golden_run(&g);
}
