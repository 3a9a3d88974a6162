/* Max and average pooling. */
#include <ocelli/pool.h>

#include "base/size.h"
#include "base/status.h"
#include "ops/lines.h"
#include "ops/pool_images.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_POSITIONS = 255 /* a winner is stored in a byte */ };
/* Loads of a CPU's work-item, about, and columns of a window that average_pool takes in a round
 * where loops must be short. */
enum { CPU_LOADS = 16384, WIDE_ROUND = 8 };

struct oce_pool_plan {
    oce_device *device;
    oce_pool_kind kind;
    oce_window_geometry geometry;
    int64_t x[4], y[4]; /* extents */
    int vector;         /* VEC */
    /* Of a CPU's work-item: pixels, and channels; 0: all, its loops end in any case. */
    int64_t item_pixels, item_channels;
};

static const char file[] = "pool.cl";

/* Fails if a window lies wholly in the padding; only the first and the last of an axis can. */
static oce_status check_windows(const oce_window_geometry *g, int axis) {
    const int64_t last = (g->output[axis] - 1) * g->stride[axis] - g->before[axis];
    OCE_REQUIRE(g->size[axis] > g->before[axis] && last < g->input[axis], OCE_ERROR_SHAPE,
                "pool: %lld %s of padding hold a whole window of %lld",
                (long long)(g->before[axis] > g->after[axis] ? g->before[axis] : g->after[axis]),
                axis == 0 ? "rows" : "columns", (long long)g->size[axis]);
    return OCE_OK;
}

oce_status oce_pool_resolve(const oce_pool_desc *d, oce_window_geometry *g) {
    OCE_REQUIRE(d->kind == OCE_POOL_MAX || d->kind == OCE_POOL_AVERAGE, OCE_ERROR_INVALID_ARGUMENT,
                "pool: unknown kind %d", (int)d->kind);
    OCE_REQUIRE(d->batch >= 0 && d->channels >= 0, OCE_ERROR_INVALID_ARGUMENT,
                "pool: batch %lld or channels %lld is negative", (long long)d->batch,
                (long long)d->channels);
    OCE_TRY(oce_window_resolve(&d->window, d->height, d->width, g));
    OCE_REQUIRE(g->dilation[0] == 1 && g->dilation[1] == 1, OCE_ERROR_INVALID_ARGUMENT,
                "pool: dilation %lld x %lld is not 1", (long long)g->dilation[0],
                (long long)g->dilation[1]);
    OCE_REQUIRE(d->kind == OCE_POOL_AVERAGE || g->size[0] <= MAX_POSITIONS / g->size[1],
                OCE_ERROR_INVALID_ARGUMENT,
                "max pool: a window of %lld x %lld has more than %d positions",
                (long long)g->size[0], (long long)g->size[1], MAX_POSITIONS);
    if (g->output[0] > 0 && g->output[1] > 0) {
        OCE_TRY(check_windows(g, 0));
        OCE_TRY(check_windows(g, 1));
    }
    return OCE_OK;
}

/* The kernels count the elements of an image, and what its padding and windows add, in ints. */
enum { INT_LIMIT = INT32_MAX / 4 };

/* Fails if an image of `rows` rows, which are `row` elements apart, is too large for that. */
static oce_status check_image(const char *name, int64_t rows, int64_t row) {
    OCE_REQUIRE(rows == 0 || row <= INT_LIMIT / rows, OCE_ERROR_OVERFLOW,
                "%s: an image of %lld rows of %lld elements is too large", name, (long long)rows,
                (long long)row);
    return OCE_OK;
}

/* The same for the images of a dense tensor. */
static oce_status check_dense(const char *name, const int64_t dim[4]) {
    size_t elements = 0;
    OCE_TRY(oce_tensor_elements(dim, NULL, &elements));
    if (elements == 0)
        return OCE_OK; /* nothing will be computed, whatever the other extents */
    return check_image(name, dim[1], dim[2] * dim[3]);
}

static oce_status check_sizes(const oce_pool_plan *plan) {
    const oce_window_geometry *g = &plan->geometry;
    for (int axis = 0; axis < 2; axis++)
        OCE_REQUIRE(g->size[axis] <= INT_LIMIT && g->stride[axis] <= INT_LIMIT &&
                        g->before[axis] <= INT_LIMIT && g->after[axis] <= INT_LIMIT,
                    OCE_ERROR_OVERFLOW,
                    "pool: window %lld, stride %lld or padding %lld, %lld is too large",
                    (long long)g->size[axis], (long long)g->stride[axis],
                    (long long)g->before[axis], (long long)g->after[axis]);
    OCE_TRY(check_dense("pool: x", plan->x));
    return check_dense("pool: y", plan->y);
}

static oce_status get_kernel(const oce_pool_plan *plan, const char *name, bool is_aligned,
                             oce_kernel **kernel) {
    oce_defines defines = {0};
    oce_define(&defines, "KH", plan->geometry.size[0]);
    oce_define(&defines, "KW", plan->geometry.size[1]);
    oce_define(&defines, "SH", plan->geometry.stride[0]);
    oce_define(&defines, "SW", plan->geometry.stride[1]);
    oce_define(&defines, "VEC", plan->vector);
    if (plan->item_channels > 0)
        oce_define(&defines, "ITEM_CHANNELS", plan->item_channels);
    if (is_aligned)
        oce_define(&defines, "OCE_ALIGNED", 1);
    return oce_kernel_get(plan->device, file, name, &defines, kernel);
}

static bool can_align(const oce_pool_plan *plan) {
    return !oce_device_limits(plan->device)->is_cpu && plan->vector == 4;
}

/* Rounds of an item's loops for a vector of a pixel, at most; that in which a loop finds its end
 * counts. In double, which no description overflows. */
static double vector_rounds(const oce_window_geometry *g, bool is_wide) {
    const int64_t columns = is_wide ? g->size[1] / WIDE_ROUND + WIDE_ROUND : g->size[1];
    const double forward = (double)g->size[0] * ((double)columns + 2);
    double windows[2]; /* that hold an input */
    for (int axis = 0; axis < 2; axis++)
        windows[axis] = (double)oce_min_int64(oce_ceil_div(g->size[axis], g->stride[axis]),
                                              oce_max_int64(g->output[axis], 1));
    return 2 + fmax(forward, windows[0] * (windows[1] + 2));
}

/* Divides rows among the items of a CPU, and channels where their loops would be too long. */
static oce_status set_items(oce_pool_plan *plan) {
    const oce_limits *limits = oce_device_limits(plan->device);
    const oce_window_geometry *g = &plan->geometry;
    const int64_t vectors = plan->x[3] / plan->vector;
    const double loads = (double)vectors * (double)g->size[0] * (double)g->size[1];
    const double most = (double)limits->loop_rounds;
    plan->item_pixels = loads >= 1 && loads < CPU_LOADS ? (int64_t)(CPU_LOADS / loads) : 1;
    if (!limits->is_cpu || limits->loop_rounds == INT64_MAX || vectors == 0)
        return OCE_OK;
    const double pixel_rounds = 2 + (double)vectors * vector_rounds(g, false);
    plan->item_pixels =
        oce_min_int64(plan->item_pixels, oce_max_int64((int64_t)(most / pixel_rounds), 1));
    if (pixel_rounds <= most)
        return OCE_OK;
    const double rounds = vector_rounds(g, plan->kind == OCE_POOL_AVERAGE);
    OCE_REQUIRE(rounds + 2 <= most, OCE_ERROR_UNSUPPORTED,
                "pool: a window of %lld x %lld takes %.0f rounds of a loop, and the driver may "
                "break loops off after %lld",
                (long long)g->size[0], (long long)g->size[1], rounds,
                (long long)limits->loop_rounds);
    plan->item_channels = oce_min_int64((int64_t)((most - 2) / rounds) * plan->vector, plan->x[3]);
    return OCE_OK;
}

oce_status oce_pool_plan_create_gradient(oce_device *device, const oce_pool_desc *desc,
                                         oce_pool_plan **result) {
    *result = NULL;
    oce_window_geometry g;
    OCE_TRY(oce_pool_resolve(desc, &g));
    oce_pool_plan plan = {.device = device,
                          .kind = desc->kind,
                          .geometry = g,
                          .x = {desc->batch, g.input[0], g.input[1], desc->channels},
                          .y = {desc->batch, g.output[0], g.output[1], desc->channels},
                          .vector = oce_channel_vector(device, desc->channels)};
    OCE_TRY(check_sizes(&plan));
    OCE_TRY(set_items(&plan));
    oce_pool_plan *copy = malloc(sizeof *copy);
    OCE_REQUIRE(copy != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a pool plan");
    *copy = plan;
    *result = copy;
    return OCE_OK;
}

oce_status oce_pool_plan_create(oce_device *device, const oce_pool_desc *desc,
                                oce_pool_plan **result) {
    OCE_TRY(oce_pool_plan_create_gradient(device, desc, result));
    /* A call with tensors that are not aligned, which a model never makes, builds its own. */
    oce_kernel *kernel = NULL;
    const char *name = desc->kind == OCE_POOL_MAX ? "max_pool" : "average_pool";
    const oce_status status = get_kernel(*result, name, can_align(*result), &kernel);
    if (status != OCE_OK) {
        oce_pool_plan_destroy(*result);
        *result = NULL;
    }
    return status;
}

void oce_pool_plan_destroy(oce_pool_plan *plan) {
    free(plan);
}

const oce_window_geometry *oce_pool_plan_geometry(const oce_pool_plan *plan) {
    return &plan->geometry;
}

static size_t output_bytes(const oce_pool_plan *plan) {
    size_t bytes = 0;
    (void)oce_size_product(plan->y, 4, &bytes); /* check_sizes() has proved that it fits */
    return bytes;
}

size_t oce_pool_plan_winner_bytes(const oce_pool_plan *plan) {
    return plan->kind == OCE_POOL_MAX ? output_bytes(plan) : 0;
}

static oce_status check_tensor(const oce_tensor *tensor, const char *name, const int64_t dim[4]) {
    OCE_TRY(oce_tensor_expect(tensor, name, dim));
    return check_image(name, dim[1], tensor->stride[1]);
}

/* A tensor as the kernels' IMAGES(name): 5 arguments. */
#define IMAGE_ARGS(t)                                                                              \
    oce_arg_tensor(t), oce_arg_long((t)->stride[0]), oce_arg_int((t)->stride[1]),                  \
        oce_arg_int((t)->stride[2])
#define EXTENT_ARGS(plan)                                                                          \
    oce_arg_int((plan)->x[1]), oce_arg_int((plan)->x[2]), oce_arg_int((plan)->x[3]),               \
        oce_arg_int((plan)->y[1]), oce_arg_int((plan)->y[2]),                                      \
        oce_arg_int((plan)->geometry.before[0]), oce_arg_int((plan)->geometry.before[1]),          \
        oce_arg_int((plan)->item_pixels)

/* Launches the items for a tensor of extents `dim`. */
static oce_status launch(const oce_pool_plan *plan, const char *name, bool is_aligned,
                         const int64_t dim[4], const oce_arg *args, int count) {
    oce_kernel *kernel = NULL;
    OCE_TRY(get_kernel(plan, name, is_aligned && can_align(plan), &kernel));
    const bool is_cpu = oce_device_limits(plan->device)->is_cpu;
    int64_t items = dim[2] * (dim[3] / plan->vector);
    if (is_cpu && items > 0)
        items = oce_ceil_div(dim[2], plan->item_pixels) *
                (plan->item_channels > 0 ? oce_ceil_div(dim[3], plan->item_channels) : 1);
    oce_range range = oce_range_groups(items, dim[1], dim[0]);
    if (!is_cpu)
        range.local[0] = 0;
    return oce_launch(kernel, range, args, count);
}

/* The tensor's images first..first+count-1. */
static oce_tensor images_of(const oce_tensor *tensor, int64_t first, int64_t count) {
    oce_tensor part = *tensor;
    part.offset += (size_t)(first * tensor->stride[0]);
    part.dim[0] = count;
    return part;
}

static oce_status check_images(const oce_pool_plan *plan, int64_t first, int64_t count) {
    const int64_t batch = plan->y[0];
    OCE_REQUIRE(first >= 0 && count >= 0 && first <= batch && count <= batch - first,
                OCE_ERROR_INVALID_ARGUMENT,
                "pool: %lld images from image %lld on, of a batch of "
                "%lld",
                (long long)count, (long long)first, (long long)batch);
    return OCE_OK;
}

/* The winners from image `first` on. */
static oce_arg winners_of(const oce_pool_plan *plan, const oce_buffer *winners, int64_t first) {
    const int64_t image = plan->y[1] * plan->y[2] * plan->y[3];
    return oce_arg_part(winners, winners != NULL ? (uint64_t)(first * image) : 0);
}

oce_status oce_pool_forward_images(oce_pool_plan *plan, int64_t first, int64_t count,
                                   const oce_tensor *x, const oce_tensor *all_y,
                                   oce_buffer *winners) {
    OCE_TRY(check_images(plan, first, count));
    const int64_t x_dim[4] = {count, plan->x[1], plan->x[2], plan->x[3]};
    const int64_t y_dim[4] = {count, plan->y[1], plan->y[2], plan->y[3]};
    OCE_TRY(check_tensor(x, "pool: x", x_dim));
    OCE_TRY(check_tensor(all_y, "pool: y", plan->y));
    const oce_tensor part = images_of(all_y, first, count), *y = &part;
    const bool is_aligned = oce_tensor_is_aligned(x) && oce_tensor_is_aligned(y);
    if (plan->kind == OCE_POOL_AVERAGE) {
        OCE_REQUIRE(winners == NULL, OCE_ERROR_INVALID_ARGUMENT, "average pool has no winners");
        const oce_arg args[] = {IMAGE_ARGS(x), IMAGE_ARGS(y), EXTENT_ARGS(plan)};
        return launch(plan, "average_pool", is_aligned, y_dim, args, OCE_COUNT(args));
    }
    if (winners != NULL)
        OCE_TRY(oce_buffer_expect(winners, "max pool: winners", output_bytes(plan)));
    const oce_arg args[] = {IMAGE_ARGS(x), IMAGE_ARGS(y), winners_of(plan, winners, first),
                            EXTENT_ARGS(plan)};
    return launch(plan, "max_pool", is_aligned, y_dim, args, OCE_COUNT(args));
}

oce_status oce_pool_forward(oce_pool_plan *plan, const oce_tensor *x, const oce_tensor *y,
                            oce_buffer *winners) {
    return oce_pool_forward_images(plan, 0, plan->y[0], x, y, winners);
}

oce_status oce_pool_grad_images(oce_pool_plan *plan, int64_t first, int64_t count,
                                const oce_tensor *all_dy, const oce_buffer *winners,
                                const oce_tensor *all_relu_output, const oce_tensor *dx) {
    OCE_TRY(check_images(plan, first, count));
    const int64_t x_dim[4] = {count, plan->x[1], plan->x[2], plan->x[3]};
    OCE_TRY(check_tensor(all_dy, "pool gradient: dy", plan->y));
    OCE_TRY(check_tensor(dx, "pool gradient: dx", x_dim));
    const oce_tensor dy_part = images_of(all_dy, first, count), *dy = &dy_part;
    const bool is_aligned = oce_tensor_is_aligned(dy) && oce_tensor_is_aligned(dx) &&
                            (all_relu_output == NULL || oce_tensor_is_aligned(all_relu_output));
    if (plan->kind == OCE_POOL_AVERAGE) {
        OCE_REQUIRE(winners == NULL && all_relu_output == NULL, OCE_ERROR_INVALID_ARGUMENT,
                    "the average pool's gradient takes neither winners nor a ReLU's output");
        const oce_arg args[] = {IMAGE_ARGS(dy), IMAGE_ARGS(dx), EXTENT_ARGS(plan)};
        return launch(plan, "average_pool_grad", is_aligned, x_dim, args, OCE_COUNT(args));
    }
    OCE_TRY(oce_buffer_expect(winners, "max pool gradient: winners", output_bytes(plan)));
    if (all_relu_output == NULL) {
        const oce_arg args[] = {IMAGE_ARGS(dy), winners_of(plan, winners, first), IMAGE_ARGS(dx),
                                EXTENT_ARGS(plan)};
        return launch(plan, "max_pool_grad", is_aligned, x_dim, args, OCE_COUNT(args));
    }
    OCE_TRY(check_tensor(all_relu_output, "pool gradient: relu_output", plan->y));
    const oce_tensor y_part = images_of(all_relu_output, first, count), *y = &y_part;
    const oce_arg args[] = {IMAGE_ARGS(dy), winners_of(plan, winners, first), IMAGE_ARGS(y),
                            IMAGE_ARGS(dx), EXTENT_ARGS(plan)};
    return launch(plan, "max_pool_relu_grad", is_aligned, x_dim, args, OCE_COUNT(args));
}

oce_status oce_pool_grad(oce_pool_plan *plan, const oce_tensor *dy, const oce_buffer *winners,
                         const oce_tensor *relu_output, const oce_tensor *dx) {
    return oce_pool_grad_images(plan, 0, plan->y[0], dy, winners, relu_output, dx);
}
