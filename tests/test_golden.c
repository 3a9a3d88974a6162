/* The golden training runs, by the families that the library chooses. */
#include "support/golden.h"

#include <criterion/criterion.h>

Test(golden, mnist) {
    golden g = golden_open("golden_mnist.json", true);
    golden_run(&g);
}

/* As GOLDEN_SCALED_TIES, with unscaled inputs. */
static const double unscaled_ties = 1e-3;

Test(golden, cifar10_scaled) {
    golden g = golden_open("golden_cifar10_scaled.json", true);
    g.gradient_tolerance = GOLDEN_SCALED_TIES;
    golden_run(&g);
}

/* Unscaled inputs amplify rounding: only the first three losses can be compared. The plain sums of
 * the kernels for CPUs decide every tie as float64 does; those for GPUs add in another order. */
Test(golden, cifar10_unscaled) {
    golden g = golden_open("golden_cifar10.json", true);
    g.steps = 3;
    if (!oce_device_get_info(g.device)->cpu_kernels)
        g.gradient_tolerance = unscaled_ties;
    golden_run(&g);
}

/* Winograd, the default on CPUs, rounds worse: the vectors' README allows 3e-4 of the loss more. */
Test(golden, mnist_by_winograd) {
    golden g = golden_open("golden_mnist.json", false);
    g.extra_drift = 3e-4;
    g.gradient_tolerance = 1e-4;
    golden_run(&g);
}

Test(golden, cifar10_scaled_by_winograd) {
    golden g = golden_open("golden_cifar10_scaled.json", false);
    g.extra_drift = 3e-4;
    g.gradient_tolerance = GOLDEN_SCALED_TIES;
    golden_run(&g);
}

/* Its rounding is larger, and with it the ties that it decides. */
Test(golden, cifar10_unscaled_by_winograd) {
    golden g = golden_open("golden_cifar10.json", false);
    g.steps = 3;
    g.extra_drift = 3e-4;
    g.gradient_tolerance = 2 * unscaled_ties;
    golden_run(&g);
}
