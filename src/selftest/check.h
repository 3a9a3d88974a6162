/*
 * One check of the self test: host arrays and device memory that live as long as it, and the
 * comparison that ends it.
 */
#ifndef OCE_SELFTEST_CHECK_H
#define OCE_SELFTEST_CHECK_H

#include <ocelli/conv2d.h>
#include <ocelli/network.h>
#include <ocelli/selftest.h>
#include <ocelli/tensor.h>

#include <stddef.h>
#include <stdint.h>

enum { OCE_CHECK_BLOCKS = 64, OCE_CHECK_BUFFERS = 12, OCE_CHECK_TEXT = 96 };

typedef struct oce_check {
    oce_device *device;
    const oce_selftest_options *options;
    oce_selftest_summary *summary;
    uint32_t inputs; /* arrays drawn since the last oce_check_end(): each has its own random
                        numbers, whichever checks ran before */
    void *blocks[OCE_CHECK_BLOCKS];
    int block_count;
    oce_buffer *buffers[OCE_CHECK_BUFFERS];
    int buffer_count;
    double started; /* seconds; set by oce_check_start() */
} oce_check;

/* What is being checked. */
typedef struct oce_check_subject {
    const char *operation;
    char shape[OCE_CHECK_TEXT], family[OCE_CHECK_TEXT];
    double bound; /* of |got - expected|, as a part of the largest |expected|; 0: equal */
} oce_check_subject;

/* Whether the user asked for this check. */
bool oce_check_wanted(const oce_check *check, const oce_check_subject *subject);
/* The same for one check of several operations that run together; count: of `operations`. */
bool oce_check_any_wanted(const oce_check *check, const oce_check_subject *subject,
                          const char *const operations[], int count);

/* `bytes` bytes of host memory, zero, until oce_check_end(). */
oce_status oce_check_block(oce_check *check, size_t bytes, void **block);
/* An array of `count` floats, uniform in [low, high). */
oce_status oce_check_floats(oce_check *check, size_t count, float low, float high, float **values);
/* An array of `count` bytes below `bound`. */
oce_status oce_check_bytes(oce_check *check, size_t count, uint32_t bound, uint8_t **values);
/* Device memory until oce_check_end(); NULL data: not filled. */
oce_status oce_check_buffer(oce_check *check, size_t bytes, const void *data, oce_buffer **buffer);
/* A tensor until oce_check_end(); NULL values: filled with NaN, to see what is not written. */
oce_status oce_check_tensor(oce_check *check, const int64_t dim[4], const float *values,
                            oce_tensor *tensor);

/* The time counts from here. */
void oce_check_start(oce_check *check);

/* The status of a check that found itself that a result is wrong. */
enum { OCE_CHECK_WRONG = OCE_ERROR_DIVERGED };

/* Ends a check with a status: OCE_OK passed, OCE_ERROR_UNSUPPORTED skipped, else failed, with the
 * library's message: OCE_CHECK_WRONG for a wrong result, OCE_ERROR_BUILD for a program, any other
 * for a call. */
void oce_check_status(oce_check *check, const oce_check_subject *subject, oce_status status);
/* Ends a check by comparing `count` floats; dim: four extents, to name a wrong element. */
void oce_check_compare(oce_check *check, const oce_check_subject *subject, const float *got,
                       const float *expected, const int64_t dim[4]);
/* The same, but the bound is of the norm of all differences, as a part of the norm of `expected`:
 * for numbers of which a few may be far off. */
void oce_check_compare_norm(oce_check *check, const oce_check_subject *subject, const float *got,
                            const float *expected, const int64_t dim[4]);
/* The same for whole numbers, which must be equal. */
void oce_check_compare_ints(oce_check *check, const oce_check_subject *subject, const int32_t *got,
                            const int32_t *expected, int64_t count);
/* Reads the tensor after `status`, that of the operation, and compares it, or reports the status.
 */
void oce_check_tensor_is(oce_check *check, const oce_check_subject *subject, oce_status status,
                         const oce_tensor *tensor, const float *expected);

/* Gives the device memory back; host arrays stay, for the next family. */
void oce_check_end_device(oce_check *check);
/* Gives everything back. */
void oce_check_end(oce_check *check);

/* ---- The groups of checks. They fail only for want of host memory. -------------------------- */

typedef oce_status (*oce_check_group)(oce_check *check);

oce_status oce_selftest_memory(oce_check *check);
oce_status oce_selftest_convolutions(oce_check *check);
oce_status oce_selftest_pooled_convolutions(oce_check *check);
oce_status oce_selftest_products(oce_check *check);
oce_status oce_selftest_heads(oce_check *check);
oce_status oce_selftest_pools(oce_check *check);
oce_status oce_selftest_elements(oce_check *check);
oce_status oce_selftest_softmax(oce_check *check);
oce_status oce_selftest_optimizers(oce_check *check);
oce_status oce_selftest_networks(oce_check *check);
oce_status oce_selftest_models(oce_check *check);

/* ---- The layers of both networks ------------------------------------------------------------ */

typedef struct oce_check_layer {
    const oce_layer *layer;
    const oce_window *pool; /* of the max pool right above a convolution; NULL: there is none */
    int64_t batch;          /* the network's own, or at most 4 */
    int64_t own_batch;
    int64_t input[3], output[3]; /* height, width, channels */
} oce_check_layer;

/* The layer's convolution of `batch` images. */
oce_conv2d_desc oce_check_conv_desc(const oce_check_layer *l, int64_t batch);

/* Runs a check of each of both networks, named. */
oce_status oce_check_networks(oce_check *check,
                              oce_status (*one)(oce_check *check, const char *network));

/* Sets `output` from the layer and its input. */
void oce_check_layer_output(oce_check_layer *l);

/* All different layers of both networks, at the networks' own batches or at most 4; returns how
 * many. */
enum { OCE_CHECK_LAYERS = 24 };
int oce_check_layers(bool quick, oce_check_layer layers[OCE_CHECK_LAYERS]);

#endif
