#include "ops/conv2d_filter_tiles.h"

#include "base/size.h"
#include "base/status.h"
#include "ops/register_tile.h"

#include <stdio.h>
#include <string.h>

enum {
    MAX_TILE_ROWS = 8,
    LEAST_SUMS = 8, /* vectors: two multipliers, four cycles until a sum can be used again */
    PANEL_FLOATS = 1 << 16, /* of a filter that is read again and again: a part of the L2 cache */
    GROUPS = 256,           /* wanted: a few for each of 64 compute units */
    PACK_FLOATS = 1 << 13,  /* of an item, about */
    CLIPPED_SHARE = 16      /* one of so many taps must be outside the image */
};

/* Flops of a group: enough to hide what starting it costs, not so many that units run idle. */
static const int64_t least_flops = 500000, most_flops = 8000000;

static const char file[] = "conv2d_direct.cl";

/* Rows of a tile, at most: as the registers hold next to a row's shared vectors and the broadcast
 * number. */
static int most_rows(int registers, int vectors) {
    const int fit = (registers - vectors - 1) / vectors;
    return fit < MAX_TILE_ROWS ? fit : MAX_TILE_ROWS;
}

/* Rows of a tile: the most; fewer if that wastes less of the last tile, as long as the sums still
 * cover the latency of the multiplier. */
static int tile_rows(int registers, int vectors, int64_t rows) {
    const int most = most_rows(registers, vectors);
    int best = most;
    for (int fewer = most - 1; fewer * vectors >= LEAST_SUMS; fewer--)
        if (oce_ceil_div(rows, fewer) * fewer * 33 < oce_ceil_div(rows, best) * best * 32)
            best = fewer;
    return best;
}

/* Vectors of a tile's row, at most: with fewer, loading them takes longer than multiplying. */
static int most_vectors(int registers) {
    return registers >= 32 ? 4 : 2;
}

static oce_status get_part(oce_device *device, const char *source, const char *kernel,
                           oce_defines *defines, oce_conv2d_part *part) {
    oce_define(defines, "TILE_ROWS", part->rows);
    oce_define(defines, "TILE_VECTORS", part->vectors);
    return oce_kernel_get(device, source, kernel, defines, &part->kernel);
}

/* Whether there are tiles of so many rows and vectors. */
static bool is_tile(int registers, int rows, int vectors) {
    return vectors >= 1 && vectors <= most_vectors(registers) && rows >= 1 &&
           rows <= most_rows(registers, vectors);
}

/* Vectors of a block's row, of `all` vectors of channels: blocks as even as can be. */
static int64_t even_vectors(int64_t all, int64_t most) {
    return oce_ceil_div(all, oce_ceil_div(all, most));
}

/* Cuts a product into blocks of channels and chooses their tiles. asked: as of a device that has
 * it.
 */
static void cut(const oce_limits *limits, const oce_conv2d_choice *asked, int64_t rows,
                int64_t channels, oce_conv2d_tiles *tiles) {
    const int vector = limits->vector_width, registers = limits->vector_registers;
    *tiles = (oce_conv2d_tiles){
        .vector = vector, .loop_rounds = limits->loop_rounds, .channels = channels};
    if (channels == 0)
        return;
    const bool is_asked = asked->rows != 0 || asked->vectors != 0;
    const int64_t all = oce_ceil_div(channels, vector);
    const int64_t vectors = even_vectors(all, is_asked ? asked->vectors : most_vectors(registers));
    const int64_t blocks = oce_ceil_div(all, vectors);
    const int64_t last = all - (blocks - 1) * vectors; /* vectors of the last block */
    const int lanes = (int)(channels - (all - 1) * vector);
    const bool is_even = last == vectors && lanes == vector;
    tiles->padded = all * vector;
    const int64_t full = is_even ? blocks : blocks - 1;
    if (full > 0)
        tiles->parts[tiles->count++] =
            (oce_conv2d_part){.first = 0, .blocks = full, .vectors = (int)vectors, .lanes = vector};
    if (!is_even)
        tiles->parts[tiles->count++] = (oce_conv2d_part){
            .first = full * vectors * vector, .blocks = 1, .vectors = (int)last, .lanes = lanes};
    for (int i = 0; i < tiles->count; i++) {
        oce_conv2d_part *part = &tiles->parts[i];
        part->rows = is_asked && part->vectors == asked->vectors
                         ? asked->rows
                         : tile_rows(registers, part->vectors, rows);
    }
}

oce_status oce_conv2d_tiles_get(oce_device *device, const oce_conv2d_choice *asked,
                                const char *kernel, int64_t rows, int64_t channels,
                                oce_conv2d_tiles *tiles) {
    const oce_limits *limits = oce_device_limits(device);
    const bool is_asked = asked->rows != 0 || asked->vectors != 0;
    OCE_REQUIRE(!is_asked || channels == 0 ||
                    is_tile(limits->vector_registers, asked->rows, asked->vectors),
                OCE_ERROR_UNSUPPORTED,
                "conv2d: direct has no tile of %d rows and %d vectors in %d registers", asked->rows,
                asked->vectors, limits->vector_registers);
    cut(limits, asked, rows, channels, tiles);
    for (int i = 0; i < tiles->count; i++) {
        oce_defines defines = {0};
        OCE_TRY(get_part(device, file, kernel, &defines, &tiles->parts[i]));
    }
    return OCE_OK;
}

int64_t oce_conv2d_step_cost(const oce_limits *limits, int64_t rows, int64_t channels) {
    const oce_conv2d_choice none = {0};
    oce_conv2d_tiles tiles;
    int64_t cost = 0;
    cut(limits, &none, rows, channels, &tiles);
    for (int i = 0; i < tiles.count; i++) {
        const oce_conv2d_part *part = &tiles.parts[i];
        cost += part->blocks * oce_ceil_div(rows, part->rows) *
                oce_register_tile_cost(part->rows, part->vectors);
    }
    return cost;
}

int oce_conv2d_tile_configurations(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                                   char list[OCE_CONV2D_CONFIGURATIONS][OCE_CONV2D_CONFIGURATION]) {
    enum { TRIED_ROWS = 3 /* the most that fit, and fewer */ };
    const oce_limits *limits = oce_device_limits(device);
    const int registers = limits->vector_registers, most = most_vectors(registers);
    const int64_t *y = shape->y_dim;
    int64_t rows = y[0] * y[1] * y[2];
    int64_t channels = pass == OCE_PASS_INPUT_GRAD ? shape->channels : shape->filters;
    if (pass == OCE_PASS_FILTER_GRAD)
        oce_conv2d_filter_sides(shape, limits, &rows, &channels);
    const int64_t all = oce_ceil_div(channels, limits->vector_width);
    const int64_t usual = even_vectors(all, most);
    int count = 0;
    for (int v = most; v >= 1; v--) {
        if (v > all || even_vectors(all, v) != v)
            continue; /* another v gives the same blocks */
        for (int r = most_rows(registers, v), n = 0; n < TRIED_ROWS; r--, n++) {
            const bool is_usual = v == usual && r == tile_rows(registers, v, rows);
            if (!is_usual && r * v >= LEAST_SUMS && count < OCE_CONV2D_CONFIGURATIONS)
                snprintf(list[count++], OCE_CONV2D_CONFIGURATION, "rows=%d vectors=%d", r, v);
        }
    }
    return count;
}

oce_conv2d_tiles oce_conv2d_blocks_of(oce_device *device, int64_t channels) {
    const oce_limits *limits = oce_device_limits(device);
    const int vector = limits->vector_width;
    const int64_t all = channels / vector;
    int vectors = most_vectors(limits->vector_registers);
    while (all % vectors != 0)
        vectors--;
    oce_conv2d_tiles tiles = {.vector = vector,
                              .loop_rounds = limits->loop_rounds,
                              .channels = channels,
                              .padded = channels,
                              .count = 1};
    tiles.parts[0] =
        (oce_conv2d_part){.blocks = all / vectors,
                          .vectors = vectors,
                          .lanes = vector,
                          .rows = tile_rows(limits->vector_registers, vectors, INT32_MAX)};
    return tiles;
}

oce_status oce_conv2d_blocks_get(oce_device *device, const char *source, const char *kernel,
                                 oce_defines *defines, oce_conv2d_tiles *tiles) {
    return get_part(device, source, kernel, defines, &tiles->parts[0]);
}

oce_status oce_conv2d_pack(const oce_conv2d_layout *layout, const oce_conv2d_tiles *tiles,
                           const oce_tensor *filter, oce_buffer *workspace, size_t at) {
    const int64_t *f = filter->dim, rows = f[0] * f[1] * f[2];
    for (int i = 0; i < tiles->count; i++) {
        const oce_conv2d_part *part = &tiles->parts[i];
        const int64_t rows_per_item =
            oce_max_int64(PACK_FLOATS / (part->vectors * tiles->vector), 1);
        const oce_arg args[] = {oce_arg_tensor_at(filter, part->first),
                                oce_arg_part(workspace, at + (size_t)(rows * part->first)),
                                oce_arg_int(rows),
                                oce_arg_int(f[3]),
                                oce_arg_int(f[3] - part->first),
                                oce_arg_int(part->vectors),
                                oce_arg_int(rows_per_item)};
        OCE_TRY(oce_launch(layout->pack,
                           oce_range_groups(oce_ceil_div(rows, rows_per_item), part->blocks, 1),
                           args, OCE_COUNT(args)));
    }
    return OCE_OK;
}

oce_status oce_conv2d_prepare_grad(const oce_conv2d_layout *layout, const oce_conv2d_tiles *tiles,
                                   const oce_conv2d_grad_pack *pack, const oce_conv2d_copy *copy,
                                   const oce_tensor *cleared) {
    const int64_t *f = pack->filter->dim, none[4] = {0};
    const oce_conv2d_part *wide = &tiles->parts[0], *last = &tiles->parts[tiles->count - 1];
    const int64_t blocks = wide->blocks + (last != wide ? last->blocks : 0);
    const int64_t chunk =
        oce_max_int64(PACK_FLOATS / (wide->vectors * tiles->vector * tiles->vector), 1) *
        tiles->vector;
    const int64_t chunks = oce_ceil_div(f[3], chunk);
    const int64_t items = blocks * pack->count[0] * pack->count[1] * chunks;
    const int64_t *dim = cleared != NULL ? cleared->dim : none;
    const int64_t *stride = cleared != NULL ? cleared->stride : none;
    const int64_t clear_items = dim[0] * dim[1];
    const int64_t copy_items = copy != NULL ? copy->items : 0;
    oce_arg args[OCE_CONV2D_COPY_ARGS + 26];
    const oce_arg zero = oce_arg_int(0), zero_long = oce_arg_long(0), absent = oce_arg_tensor(NULL);
    const oce_arg no_copy[OCE_CONV2D_COPY_ARGS] = {
        absent, zero_long, zero_long, zero_long, absent,    zero, zero, oce_arg_int(f[3]),
        zero,   zero,      zero,      zero,      zero_long, zero};
    const oce_arg more[] = {oce_arg_int(copy_items),
                            oce_arg_tensor(cleared),
                            oce_arg_long(stride[0]),
                            oce_arg_long(stride[1]),
                            oce_arg_long(stride[2]),
                            oce_arg_int(dim[1]),
                            oce_arg_int(dim[2]),
                            oce_arg_int(f[2]),
                            oce_arg_int(clear_items),
                            oce_arg_tensor(pack->filter),
                            oce_arg_part(pack->workspace, pack->at),
                            oce_arg_int(f[0]),
                            oce_arg_int(f[1]),
                            oce_arg_int(pack->first[0]),
                            oce_arg_int(pack->count[0]),
                            oce_arg_int(pack->first[1]),
                            oce_arg_int(pack->count[1]),
                            oce_arg_int(pack->step[0]),
                            oce_arg_int(pack->step[1]),
                            oce_arg_int(wide->blocks),
                            oce_arg_int(wide->vectors),
                            oce_arg_int(last->vectors),
                            oce_arg_int(tiles->padded),
                            oce_arg_int(chunk),
                            oce_arg_int(chunks),
                            oce_arg_int(items)};
    memcpy(args, copy != NULL ? copy->args : no_copy, sizeof no_copy);
    memcpy(args + OCE_CONV2D_COPY_ARGS, more, sizeof more);
    return oce_launch(layout->prepare_grad,
                      oce_range_groups(copy_items + clear_items + items, 1, 1), args,
                      OCE_COUNT(args));
}

oce_conv2d_view oce_conv2d_view_of(const oce_tensor *tensor, int64_t row, int64_t column,
                                   int64_t stride_h, int64_t stride_w) {
    return (oce_conv2d_view){
        .buffer = tensor->buffer,
        .offset = (int64_t)tensor->offset + row * tensor->stride[1] + column * tensor->stride[2],
        .image = tensor->stride[0],
        .down = tensor->stride[1] * stride_h,
        .right = tensor->stride[2] * stride_w,
    };
}

int64_t oce_conv2d_group_pixels(const oce_conv2d_work *w, const oce_conv2d_tiles *tiles,
                                const oce_conv2d_part *part) {
    const int64_t flops = 2 * w->steps * part->vectors * tiles->vector;
    const int64_t most_tiles =
        tiles->loop_rounds / (w->most_steps * 5 / 4 + OCE_CONV2D_TILE_ROUNDS);
    const int64_t most = oce_max_int64(most_flops / flops, 48); /* so that a panel's load pays */
    int64_t group = w->pixels * w->products * part->blocks / GROUPS;
    group = oce_max_int64(oce_min_int64(group, most), least_flops / flops);
    group = oce_max_int64(oce_ceil_div(group, part->rows), 1);
    return oce_min_int64(group, oce_max_int64(most_tiles, 1)) * part->rows;
}

int64_t oce_conv2d_pass_rows(int64_t steps, const oce_conv2d_part *part, int vector) {
    return oce_max_int64(PANEL_FLOATS / (steps * part->vectors * vector), 1);
}

int64_t oce_conv2d_inside(const oce_conv2d_axis *a, bool *is_idle) {
    int64_t inside = 0;
    *is_idle = false;
    for (int64_t tap = 0; tap < a->size; tap++) {
        /* Windows i with 0 <= at + i * step < input */
        const int64_t at = a->start + tap * a->dilation;
        const int64_t first = at < 0 ? oce_ceil_div(-at, a->step) : 0;
        const int64_t end = at < a->input ? oce_ceil_div(a->input - at, a->step) : 0;
        const int64_t windows = oce_max_int64(oce_min_int64(end, a->output) - first, 0);
        *is_idle = *is_idle || windows == 0;
        inside += windows;
    }
    return inside;
}

bool oce_conv2d_clips(const oce_conv2d_axis *a) {
    bool is_idle = false;
    const int64_t all = a->output * a->size, inside = oce_conv2d_inside(a, &is_idle);
    return all > 0 && (is_idle || (all - inside) * CLIPPED_SHARE > all);
}

static bool clips(const oce_conv2d_product *p, int axis) {
    const oce_conv2d_axis one = {p->size[axis],  p->output[axis], p->input[axis],
                                 p->start[axis], p->step[axis],   p->dilation[axis]};
    return oce_conv2d_clips(&one);
}

oce_status oce_conv2d_product_run(const oce_conv2d_tiles *tiles, const oce_conv2d_product *p) {
    const int64_t rows = p->size[0] * p->size[1] * p->channels;
    const int64_t pixels = p->images * p->output[0] * p->output[1];
    const oce_conv2d_work work = {
        .pixels = pixels, .products = 1, .steps = rows, .most_steps = rows};
    const bool side_by_side = p->size[1] == 1 || p->dilation_right == 1;
    for (int i = 0; i < tiles->count; i++) {
        const oce_conv2d_part *part = &tiles->parts[i];
        const int64_t width = part->vectors * tiles->vector;
        const int64_t group = oce_conv2d_group_pixels(&work, tiles, part);
        const int64_t pass_rows =
            oce_conv2d_pass_rows(p->size[1] * p->channels, part, tiles->vector);
        const int64_t panel = p->is_packed ? rows * part->first : part->first;
        const oce_arg args[] = {oce_arg_part(p->x.buffer, (uint64_t)p->x.offset),
                                oce_arg_long(p->x.image),
                                oce_arg_long(p->x.down),
                                oce_arg_long(p->x.right),
                                oce_arg_long(p->tap_down),
                                oce_arg_long(p->tap),
                                oce_arg_part(p->filter, (uint64_t)(p->filter_offset + panel)),
                                oce_arg_long(p->is_packed ? rows * width : width),
                                oce_arg_int(p->is_packed ? width : tiles->channels),
                                p->bias != NULL ? oce_arg_tensor_at(p->bias, part->first)
                                                : oce_arg_tensor(NULL),
                                oce_arg_part(p->y.buffer, (uint64_t)(p->y.offset + part->first)),
                                oce_arg_long(p->y.image),
                                oce_arg_long(p->y.down),
                                oce_arg_long(p->y.right),
                                oce_arg_int(p->output[0]),
                                oce_arg_int(p->output[1]),
                                oce_arg_long(pixels),
                                oce_arg_int(group),
                                oce_arg_int(p->size[0]),
                                oce_arg_int(p->size[1]),
                                oce_arg_int(p->channels),
                                oce_arg_int(side_by_side),
                                oce_arg_int(pass_rows),
                                oce_arg_int(part->lanes),
                                oce_arg_int(p->relu),
                                oce_arg_int(clips(p, 0) || clips(p, 1)),
                                oce_arg_int(p->input[0]),
                                oce_arg_int(p->start[0]),
                                oce_arg_int(p->step[0]),
                                oce_arg_int(p->dilation[0]),
                                oce_arg_int(p->input[1]),
                                oce_arg_int(p->start[1]),
                                oce_arg_int(p->step[1]),
                                oce_arg_int(p->dilation[1])};
        OCE_TRY(oce_launch(part->kernel,
                           oce_range_groups(part->blocks, oce_ceil_div(pixels, group), 1), args,
                           OCE_COUNT(args)));
    }
    return OCE_OK;
}
