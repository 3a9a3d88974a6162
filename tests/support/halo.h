/* What must hold of a tensor's halo. */
#ifndef TESTS_SUPPORT_HALO_H
#define TESTS_SUPPORT_HALO_H

#include <ocelli/tensor.h>

/* Fails the running test unless every element of the tensor's buffer outside its interior is 0; the
 * buffer must belong to this tensor alone. */
void test_expect_clear_halo(const oce_tensor *tensor, const char *name);

#endif
