/* What the kinds of `ocelli bench` share: its options, its shapes, and the table that it fills. */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "cli/table.h"
#include "cli/train_options.h"

#include <ocelli/bench.h>
#include <ocelli/dense.h>

#include <jansson.h>

typedef struct bench_values {
    const char *device, *shape;
    int pass; /* place in the choices: all, fwd, dgrad, wgrad */
    int pool; /* oce_pool_kind */
    cli_model_values model;
    int64_t images, repeat;
    bool quiet, json, first_step;
} bench_values;

/* One use of the verb. */
typedef struct bench_session {
    const cli_call *call;
    const bench_values *given;
    oce_device *device;
    oce_peak peak;      /* all 0 until it is measured */
    bool is_peak_asked; /* it is what --repeat is about */
    cli_table *table;   /* of operations; NULL with --json */
    json_t *root, *rows;
} bench_session;

/* `startup` starts at most so many processes. */
enum { BENCH_MOST_STARTS = 1000 };

oce_bench_options bench_options(const bench_values *given);

/* Opens the device; in JSON it says which. */
oce_status bench_open(bench_session *s);
/* Measures the device's limits, unless that is done. */
oce_status bench_measure_peak(bench_session *s);

/* ---- bench_rows.c: the table of operations ----------------------------------------------------
 */

/* Measures a piece of work, adds its row and destroys it. */
oce_status bench_add(bench_session *s, const char *what, const char *pass, oce_bench *bench);
/* Prints the rows. */
void bench_print_rows(const bench_session *s);
json_t *bench_timing_json(const oce_timing *timing);
/* "1.25 ms"; four digits at most. Returns `text`. */
const char *bench_time_text(double seconds, char *text, size_t bytes);

/* ---- bench_shape.c: shapes of operations ------------------------------------------------------
 */

/* What --pass says. */
enum { PASS_ALL, PASS_FORWARD, PASS_INPUT_GRAD, PASS_FILTER_GRAD };

/* What --shape says; false after a usage error. */
bool bench_conv_shape(const cli_call *call, oce_conv2d_desc *desc);
bool bench_gemm_shape(const cli_call *call, oce_gemm_desc *desc);
bool bench_pool_shape(const cli_call *call, oce_pool_desc *desc);

/* The extents that a layer of a network gets its input in. */
typedef struct bench_layer {
    const oce_layer *layer;
    int64_t batch, height, width, channels;
    bool is_first; /* nobody wants the gradient of its input */
} bench_layer;

/* Calls `visit` for each layer of `network`, with the batch of its recipe or `batch` if not 0. */
oce_status bench_visit_layers(const char *network, int64_t batch,
                              oce_status (*visit)(void *context, const bench_layer *layer),
                              void *context);

/* A convolution. */
oce_conv2d_desc bench_conv(const bench_layer *at, const bench_values *given);

/* A dense layer, with its weights stored as training has them. */
oce_dense_desc bench_dense(oce_device *device, const bench_layer *at, oce_gemm_family family);

enum { BENCH_CONV_TEXT = 256, BENCH_GEMM_TEXT = 160 };

void bench_window_text(const oce_window *window, char *text, size_t bytes);
void bench_conv_text(const oce_conv2d_desc *desc, int64_t images, char *text, size_t bytes);
void bench_gemm_text(const oce_gemm_desc *desc, char *text, size_t bytes);

/* ---- The kinds; each returns an exit code -----------------------------------------------------
 */

int bench_run_peak(bench_session *s);
int bench_run_conv(bench_session *s);
int bench_run_gemm(bench_session *s);
int bench_run_pool(bench_session *s);
int bench_run_model(bench_session *s, const char *network, bool training);
/* Whether --micro-batches divides the network's batch; false after a usage error. */
bool bench_check_parts(const bench_session *s, const char *network, bool training);
int bench_run_startup(bench_session *s, const char *network);

#endif
