/* Tables that several verbs print. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <ocelli/device.h>
#include <ocelli/model.h>
#include <ocelli/train.h>

#include <jansson.h>

#include <stdio.h>

/* Images, correct answers and accuracy of each class. */
void cli_report_classes(FILE *stream, const oce_evaluation *evaluation, const oce_dataset *dataset);

/* ---- What oce_device_profile_start() recorded --------------------------------------------------
 */

/* The cost of each label, or of each kernel of all labels. */
typedef struct cli_profile {
    oce_profile_entry *labels; /* sums, in order of the first launch; kernel and build: those of the
                                  costliest */
    oce_profile_entry *kernels; /* sums, costliest first; no label */
    int label_count, kernel_count;
    double seconds; /* of everything */
} cli_profile;

/* Waits for the device and reads; release it also after a failure. Empty if there is no memory.
 * Strings are valid until oce_device_profile_stop(). */
oce_status cli_profile_read(oce_device *device, cli_profile *profile);
void cli_profile_release(cli_profile *profile);

/* How a kernel was built: "TILE_ROWS=6 TILE_VECTORS=4"; "" if nothing is special. Returns `text`.
 */
const char *cli_build_text(const char *build, char *text, size_t bytes);
/* The costliest kernel with its build, and the names of the others. Returns `text`. */
const char *cli_profile_kernels(const cli_profile *profile, char *text, size_t bytes);
/* An array of all kernels; what they took of one of `runs` runs. NULL if there is no memory. */
json_t *cli_profile_json(const cli_profile *profile, int runs);

/* Time, share, GFLOPS, GB/s, algorithm and costliest kernel of each of the model's layers and
 * passes: of all that was recorded, or, if `runs` is not 0, of one of so many runs. peak: the
 * device's flops a second; 0: not measured. */
void cli_report_profile(FILE *stream, const oce_model *model, const cli_profile *profile, int runs,
                        double peak);

/* ---- report_layers.c ------------------------------------------------------------------------ */

/* What a label stands for. */
typedef struct cli_pass {
    const char *family; /* algorithm of a convolution's or dense layer's pass; else "" */
    double bytes; /* a layer's inputs, weights and outputs, read and written once in each pass; of
                     all passes recorded; 0: not known */
} cli_pass;

/* Finds the layer and pass of one of the profile's labels in the model that was run. */
cli_pass cli_find_pass(const oce_model *model, const cli_profile *profile,
                       const oce_profile_entry *sum);

#endif
