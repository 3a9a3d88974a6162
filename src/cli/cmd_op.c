/* ocelli op: one operation on a user's own arrays, to compare a device with NumPy. */
#include "cli/op.h"
#include "cli/open_device.h"
#include "cli/train_options.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct op_values {
    const char *device, *in, *out, *stride, *dilation, *padding, *window, *input_size;
    int conv, gemm, winograd;
    bool relu, transpose_a, transpose_b, quiet;
    double keep_prob;
    int64_t seed, step, layer;
} op_values;

static const cli_option options[] = {
    CLI_DEVICE_OPTION(op_values, device),
    {"in", "FILE", CLI_STRING(op_values, in),
     .help = "the first .npy file of inputs; the others follow it"},
    {"out", "FILE", CLI_STRING(op_values, out), .help = "the .npy file to write"},
    {"window", "HxW", CLI_STRING(op_values, window),
     .help = "size of the window; one number means a square. The filter of conv2d and "
             "conv2d_input_grad has it already; the others need it"},
    {"stride", "N", CLI_STRING(op_values, stride), .initial = "1",
     .help = "of the window; N or HxW"},
    {"dilation", "N", CLI_STRING(op_values, dilation), .initial = "1",
     .help = "of the window; N or HxW"},
    {"padding", "same|valid|T,B,L,R", CLI_STRING(op_values, padding), .initial = "same",
     .help = "TensorFlow's rules, or zeros at the top, bottom, left and right"},
    {"input-size", "HxW", CLI_STRING(op_values, input_size),
     .help = "height and width of dx, needed unless stride 1 and padding same keep those of dy"},
    {"relu", NULL, CLI_FLAG(op_values, relu), .help = "ReLU of the result"},
    {"transpose-a", NULL, CLI_FLAG(op_values, transpose_a), .help = "a is [K,M]"},
    {"transpose-b", NULL, CLI_FLAG(op_values, transpose_b), .help = "b is [N,K]"},
    {"conv", NULL, CLI_CHOICE(op_values, conv), .choices = cli_conv_families, .initial = "auto",
     .help = "algorithm of convolutions"},
    CLI_WINOGRAD_OPTION(op_values, winograd),
    {"gemm", NULL, CLI_CHOICE(op_values, gemm), .choices = cli_gemm_families, .initial = "auto",
     .help = "algorithm of the product; of convolutions with --conv im2col only"},
    {"keep-prob", "P", CLI_REAL(op_values, keep_prob), .initial = "0.8", .low = 0, .high = 1,
     .above_low = true, .help = "share of elements that are kept"},
    {"seed", "N", CLI_INT(op_values, seed), .initial = "0", .min = 0, .max = INT64_MAX,
     .help = "with --step and --layer decides which elements those are"},
    {"step", "N", CLI_INT(op_values, step), .initial = "0", .min = 0, .max = UINT32_MAX,
     .help = "the training step"},
    {"layer", "N", CLI_INT(op_values, layer), .initial = "0", .min = 0, .max = UINT32_MAX,
     .help = "the layer's number"},
    CLI_QUIET_OPTION(op_values, quiet),
    {0},
};

#define ON(number) (1U << (number))
#define CONVOLUTIONS (ON(OP_CONV2D) | ON(OP_CONV2D_INPUT_GRAD) | ON(OP_CONV2D_FILTER_GRAD))
#define POOLS (ON(OP_MAX_POOL) | ON(OP_MAX_POOL_GRAD) | ON(OP_AVG_POOL) | ON(OP_AVG_POOL_GRAD))
/* Operations of which no input has the window's size; of which only dy is given. */
#define WINDOWED (ON(OP_CONV2D_FILTER_GRAD) | POOLS)
#define BLIND (ON(OP_CONV2D_INPUT_GRAD) | ON(OP_AVG_POOL_GRAD))

/* Which operations take an option; what is not here serves all. */
static const cli_serving servings[] = {
    {"window", CONVOLUTIONS | POOLS},
    {"stride", CONVOLUTIONS | POOLS},
    {"dilation", CONVOLUTIONS},
    {"padding", CONVOLUTIONS | POOLS},
    {"input-size", BLIND},
    {"relu", ON(OP_CONV2D) | ON(OP_GEMM)},
    {"transpose-a", ON(OP_GEMM)},
    {"transpose-b", ON(OP_GEMM)},
    {"conv", CONVOLUTIONS},
    {"winograd", CONVOLUTIONS},
    {"gemm", CONVOLUTIONS | ON(OP_GEMM)},
    {"keep-prob", ON(OP_DROPOUT)},
    {"seed", ON(OP_DROPOUT)},
    {"step", ON(OP_DROPOUT)},
    {"layer", ON(OP_DROPOUT)},
    {0},
};

enum { MOST_EXTENT = 1 << 30 };

/* Reads whole numbers apart by `separator` that end the text; returns how many, 0 if it is not
 * that. */
static int read_numbers(const char *text, char separator, int64_t low, int64_t *numbers, int most) {
    int count = 0;
    for (;;) {
        char *end = NULL;
        if (*text < '0' || *text > '9')
            return 0;
        numbers[count] = strtoll(text, &end, 10);
        if (numbers[count] < low || numbers[count] > MOST_EXTENT)
            return 0;
        count++;
        if (*end == '\0')
            return count;
        if (*end != separator || count == most)
            return 0;
        text = end + 1;
    }
}

/* "N" or "HxW"; NULL is left alone. False after a usage error. */
static bool read_pair(const cli_call *call, const char *option, const char *text, int64_t pair[2]) {
    if (text == NULL)
        return true;
    const int count = read_numbers(text, 'x', 1, pair, 2);
    if (count == 1)
        pair[1] = pair[0];
    if (count == 0)
        cli_usage_error(call->verb, "--%s \"%s\" is not N or HxW with numbers from 1 to %d", option,
                        text, (int)MOST_EXTENT);
    return count > 0;
}

static bool read_padding(const cli_call *call, const char *text, oce_window *window) {
    int64_t sides[4];
    if (strcmp(text, "same") == 0) {
        window->padding = OCE_PADDING_SAME;
    } else if (strcmp(text, "valid") == 0) {
        window->padding = OCE_PADDING_VALID;
    } else if (read_numbers(text, ',', 0, sides, 4) == 4) {
        window->padding = OCE_PADDING_EXPLICIT;
        window->before[0] = sides[0];
        window->after[0] = sides[1];
        window->before[1] = sides[2];
        window->after[1] = sides[3];
    } else {
        cli_usage_error(call->verb,
                        "--padding \"%s\" is not same, valid or four numbers TOP,BOTTOM,LEFT,RIGHT",
                        text);
        return false;
    }
    return true;
}

static bool read_settings(const cli_call *call, op_settings *settings) {
    const op_values *given = call->options;
    *settings = (op_settings){.relu = given->relu,
                              .transpose_a = given->transpose_a,
                              .transpose_b = given->transpose_b,
                              .conv = (oce_conv2d_family)given->conv,
                              .no_winograd = given->winograd == CLI_WINOGRAD_OFF,
                              .gemm = (oce_gemm_family)given->gemm,
                              .keep_prob = given->keep_prob,
                              .seed = (uint64_t)given->seed,
                              .step = (uint64_t)given->step,
                              .layer = (uint64_t)given->layer};
    oce_window *w = &settings->window;
    return read_pair(call, "window", given->window, w->size) &&
           read_pair(call, "stride", given->stride, w->stride) &&
           read_pair(call, "dilation", given->dilation, w->dilation) &&
           read_pair(call, "input-size", given->input_size, settings->input_size) &&
           read_padding(call, given->padding, w);
}

/* Reads the one array of a .npy file onto the device. */
static int load(oce_device *device, const char *path, op_operand *operand) {
    oce_array_list *list = NULL;
    if (oce_arrays_read(path, OCE_ARRAY_NPY, &list) != OCE_OK)
        return cli_failure();
    const int code = op_upload(device, path, oce_array_list_items(list), operand);
    oce_array_list_destroy(list);
    return code;
}

static int store(const op_run *run, const char *path) {
    const size_t count = oce_tensor_count(&run->output.tensor);
    float *values = malloc((count > 0 ? count : 1) * sizeof *values);
    if (values == NULL)
        return cli_error("no memory for %zu floats", count);
    const oce_array array = {.name = "result",
                             .dtype = OCE_DTYPE_FLOAT32,
                             .rank = run->output.rank,
                             .shape = run->output.shape,
                             .data = values};
    const bool is_done = oce_tensor_read(&run->output.tensor, values) == OCE_OK &&
                         oce_arrays_write(path, OCE_ARRAY_NPY, &array, 1) == OCE_OK;
    free(values);
    return is_done ? CLI_SUCCESS : cli_failure();
}

static int compute(const op_values *given, int number, op_run *run, const char *const *inputs) {
    char shape[96];
    for (int i = 0; i < run->input_count; i++) {
        const int code = load(run->device, inputs[i], &run->inputs[i]);
        if (code != CLI_SUCCESS)
            return code;
    }
    int code = op_kinds[number].run(run);
    if (code == CLI_SUCCESS)
        code = store(run, given->out);
    if (code == CLI_SUCCESS && !given->quiet)
        printf("%s%s%s: %s %s\n", op_names[number], run->family[0] != '\0' ? ", " : "", run->family,
               given->out,
               oce_shape_text(run->output.rank, run->output.shape, shape, sizeof shape));
    return code;
}

/* The operation's number, or -1 after a usage error. */
static int find_kind(const cli_call *call) {
    for (int i = 0; i < OP_KINDS; i++)
        if (strcmp(op_names[i], call->operands[0]) == 0)
            return i;
    const char *near = cli_nearest(call->operands[0], op_names, OP_KINDS, sizeof op_names[0]);
    if (near != NULL)
        cli_usage_error(call->verb, "unknown operation \"%s\"; did you mean \"%s\"?",
                        call->operands[0], near);
    else
        cli_usage_error(call->verb, "unknown operation \"%s\"", call->operands[0]);
    return -1;
}

/* Whether the options fit each other, and none is missing; false after a usage error. */
static bool check_settings(const cli_call *call, int number, const op_settings *s) {
    const op_values *given = call->options;
    const unsigned bit = ON(number);
    const bool keeps_size = s->window.padding == OCE_PADDING_SAME && s->window.stride[0] <= 1 &&
                            s->window.stride[1] <= 1;
    if ((bit & CONVOLUTIONS) != 0 && s->gemm != OCE_GEMM_AUTO && s->conv != OCE_CONV2D_IM2COL)
        cli_usage_error(call->verb, "%s has a product for --gemm %s with --conv im2col only",
                        op_names[number], cli_gemm_families[given->gemm]);
    else if ((bit & WINDOWED) != 0 && s->window.size[0] == 0)
        cli_usage_error(call->verb, "--window HxW is missing, which %s needs", op_names[number]);
    else if ((bit & BLIND) != 0 && s->input_size[0] == 0 && !keeps_size)
        cli_usage_error(call->verb,
                        "--input-size HxW is missing, which %s needs with this stride or padding",
                        op_names[number]);
    else
        return cli_check_winograd(call, given->conv, given->winograd);
    return false;
}

static bool is_npy(const cli_call *call, const char *option, const char *path) {
    const size_t length = path != NULL ? strlen(path) : 0;
    if (path == NULL)
        cli_usage_error(call->verb, "--%s FILE is missing", option);
    else if (length < 5 || strcmp(path + length - 4, ".npy") != 0)
        cli_usage_error(call->verb, "\"%s\" does not end in .npy", path);
    else
        return true;
    return false;
}

static int run(const cli_call *call) {
    const op_values *given = call->options;
    const int number = find_kind(call);
    op_settings settings;
    if (number < 0 || !cli_check_kind(call, number) || !is_npy(call, "in", given->in) ||
        !is_npy(call, "out", given->out) || !read_settings(call, &settings) ||
        !check_settings(call, number, &settings))
        return CLI_USAGE;
    const op_kind *kind = &op_kinds[number];
    /* --in takes one value; the files that follow it are operands behind the operation's name. */
    const char *inputs[OP_MAX_INPUTS] = {given->in};
    const int count = call->operand_count;
    if (count < kind->min_inputs || count > kind->max_inputs)
        return cli_usage_error(call->verb, "%s takes %s; %d file%s given", op_names[number],
                               kind->inputs, count, count == 1 ? " was" : "s were");
    for (int i = 1; i < count; i++) {
        inputs[i] = call->operands[i];
        if (!is_npy(call, "in", inputs[i]))
            return CLI_USAGE;
    }
    op_run op = {.settings = &settings, .input_count = count};
    oce_device *device = NULL;
    if (cli_open_device(given->device, given->quiet, &device) != OCE_OK)
        return cli_failure();
    op.device = device;
    const int code = compute(given, number, &op, inputs);
    op_release(&op);
    cli_close_device(device, code == CLI_SUCCESS, given->quiet);
    return code;
}

const cli_verb cli_verb_op = {
    .name = "op",
    .operands = "NAME --in A.npy [B.npy [C.npy]] --out Y.npy",
    .min_operands = 1,
    .max_operands = OP_MAX_INPUTS,
    .summary = "runs one operation on arrays from .npy files",
    .description =
        "Reads arrays, runs one operation on the device in float32 and writes the result, so that "
        "any device can be compared with NumPy. Elements of float64, float16, integers and "
        "booleans are rounded to the nearest float32 first. NAME is one of (inputs in order):\n\n"
        "conv2d (x, filter[, bias]), conv2d_input_grad (dy, filter), conv2d_filter_grad (x, dy), "
        "max_pool (x), max_pool_grad (x, dy), avg_pool (x), avg_pool_grad (dy), gemm (a, b[, "
        "bias]), softmax (logits), softmax_xent (logits, labels), softmax_xent_grad (logits, "
        "labels), bias_grad (dy), relu (x), relu_grad (dy, y), dropout (x), add (x, y).\n\n"
        "Activations are [N,H,W,C], filters [R,S,C,K], matrices row-major, labels distributions "
        "over the classes.",
    .options = options,
    .options_bytes = sizeof(op_values),
    .kinds = op_names,
    .servings = servings,
    .run = run,
};
