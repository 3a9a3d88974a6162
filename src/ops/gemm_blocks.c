/* How the panel family divides a product: register tile, K block, blocks of C, splits of K. */
#include "ops/gemm_internal.h"

#include "base/size.h"
#include "device/tuning.h"
#include "ops/register_tile.h"

#include <math.h>
#include <stdio.h>

/* ---- Register tile ------------------------------------------------------------------------- */

typedef struct tile {
    int rows, vectors;
} tile;

/* Tiles for 32 vector registers and for 16. Few, because each is a build; a tile of one or two rows
 * is as many vectors wide as hide the latency. None is wider than 64 floats: OCE_BUFFER_SLACK. */
static const tile tiles_of_32[] = {{6, 4}, {5, 4}, {4, 4}, {2, 4}, {1, 4}, {8, 2}, {4, 2}, {8, 1}};
static const tile tiles_of_16[] = {{6, 2}, {5, 2}, {4, 2}, {2, 4}, {1, 4}, {8, 1}};

static const tile *tiles_of(const oce_limits *limits, int *count) {
    const bool has_32 = limits->vector_registers >= 32;
    *count = has_32 ? OCE_COUNT(tiles_of_32) : OCE_COUNT(tiles_of_16);
    return has_32 ? tiles_of_32 : tiles_of_16;
}

/* The columns of a tile that keeps to the panels that C, or op(B), is stored in; 0: any. */
static int64_t tile_columns(const oce_gemm_desc *d) {
    if (d->c_panel > 0)
        return d->c_panel;
    return d->transpose_b ? 0 : d->b_panel;
}

/* A that is read in place has no rows beyond its edge. */
static bool fits(const oce_gemm_desc *d, int vector_width, tile t) {
    const int64_t columns = tile_columns(d);
    return (columns == 0 || columns == (int64_t)t.vectors * vector_width) &&
           (d->transpose_a || t.rows <= d->m || t.rows == 1);
}

/* What all tiles of C cost, the rows and columns beyond its edges counted in. */
static int64_t cost_of(const oce_gemm_desc *d, int vector_width, tile t) {
    return oce_ceil_div(d->m, t.rows) * oce_ceil_div(d->n, t.vectors * vector_width) *
           oce_register_tile_cost(t.rows, t.vectors);
}

/* The tile that computes C soonest, and its cost; INT64_MAX, and nothing is chosen: none fits. */
static int64_t choose_tile(const oce_gemm_desc *d, const oce_limits *limits,
                           oce_gemm_blocks *blocks) {
    int count = 0;
    const tile *tiles = tiles_of(limits, &count);
    int64_t best = INT64_MAX;
    for (int i = 0; i < count; i++) {
        const tile t = tiles[i];
        if (!fits(d, limits->vector_width, t))
            continue;
        const int64_t cost = cost_of(d, limits->vector_width, t);
        if (cost < best) {
            best = cost;
            blocks->tile_rows = t.rows;
            blocks->tile_vectors = t.vectors;
        }
    }
    return best;
}

bool oce_gemm_has_tile(const oce_gemm_desc *d, const oce_limits *limits) {
    oce_gemm_blocks blocks;
    const int64_t columns = tile_columns(d);
    if (d->b_panel > 0 &&
        (d->transpose_b ? d->b_panel % limits->vector_width != 0 : d->b_panel != columns))
        return false;
    return choose_tile(d, limits, &blocks) != INT64_MAX;
}

int64_t oce_gemm_best_panel(const oce_gemm_desc *d, const oce_limits *limits) {
    enum { WIDEST = 4 }; /* vectors */
    const bool is_open = d->family == OCE_GEMM_AUTO || d->family == OCE_GEMM_OWN;
    oce_gemm_blocks blocks;
    if (!limits->is_cpu || d->transpose_b || !(is_open || d->family == OCE_GEMM_PANEL) ||
        (is_open && oce_gemm_is_thin(d)))
        return 0;
    /* Arithmetic that a narrower tile, whose panels divide B where those of the best do not, may
     * cost more. */
    const double most = 1.05 * (double)choose_tile(d, limits, &blocks);
    double least = most;
    int64_t best = 0;
    for (int vectors = WIDEST; vectors > 0; vectors /= 2) {
        oce_gemm_desc stored = *d;
        stored.b_panel = (int64_t)vectors * limits->vector_width;
        const double cost = (double)choose_tile(&stored, limits, &blocks);
        if (d->n % stored.b_panel == 0 && cost <= most && (best == 0 || cost < least) &&
            oce_gemm_choose_blocks(&stored, limits, &blocks)) {
            best = stored.b_panel;
            least = cost;
        }
    }
    return best;
}

/* ---- Local memory -------------------------------------------------------------------------- */

enum {
    PANEL_FLOATS = 8192,  /* a panel of 32 KB stays in the first-level cache with rows of A */
    STRIP_FLOATS = 32768, /* a strip of 128 KB stays in the second-level cache */
    LARGEST_K_BLOCK = 256,
    LARGEST_STRIP = 256,
    LARGEST_BLOCK = 384,  /* rows of A, read in place, that a panel is used for */
    LARGEST_SPLIT = 12288 /* steps of K in one sum: bounds its rounding error, and its loops */
};

static int at_most(int value, int limit) {
    return value < limit ? value : limit;
}

/* The largest K block, up to `k_most`, and strip of a transposed A, that local memory has room for.
 */
static bool choose_local(const oce_gemm_desc *d, int vector_width, size_t local_bytes, int k_most,
                         oce_gemm_blocks *blocks) {
    const int width = blocks->tile_vectors * vector_width;
    const int floats =
        local_bytes / sizeof(float) < INT32_MAX ? (int)(local_bytes / sizeof(float)) : INT32_MAX;
    /* A step of K takes a row of the panel and of the strip, which may be padded by 16 floats. */
    const int padding = 16, usual_strip = 64;
    const int step = width + (d->transpose_a ? usual_strip + padding : 0);
    blocks->k_block = at_most(k_most, floats / step) / 16 * 16;
    if (blocks->k_block == 0)
        return false;
    if (d->transpose_a) {
        const int room = at_most(STRIP_FLOATS, floats - blocks->k_block * width);
        blocks->strip_rows = at_most((room / blocks->k_block - padding) / 16 * 16, LARGEST_STRIP);
    }
    return true;
}

/* ---- Blocks and splits --------------------------------------------------------------------- */

/* Into how many parts the rows, the columns and K are divided. */
typedef struct division {
    int64_t rows, columns;
    int splits;
} division;

static int64_t clamp(double value, int64_t low, int64_t high) {
    if (!(value > (double)low))
        return low;
    return value < (double)high ? (int64_t)value : high;
}

enum {
    GROUPS = 48,            /* wanted of a large product: work for most of 64 units */
    GROUPS_A_UNIT = 8,      /* that are enough for a device of few units to stay balanced */
    SMALL_GROUPS_A_UNIT = 4 /* the same, of a quarter of the usual work */
};

/*
 * The division into `goal` groups, or more, that takes the least time, with splits from
 * `splits_least` to `splits_most`. What a division costs, measured, as a part of the arithmetic: a
 * panel is fetched for a block's rows as if they were 2 more (16 if it must be transposed), a strip
 * of A for a block's columns as if they were 8 more, and a partial sum is worth 24 steps of K.
 */
static division divide_into(const oce_gemm_desc *d, int64_t goal, int64_t columns_wanted,
                            int64_t splits_least, int64_t splits_most) {
    const double m = (double)d->m, n = (double)d->n, k = (double)d->k;
    const double panel_cost = d->transpose_b ? 16 : 2, strip_cost = 8, partial_cost = 24;
    const int64_t columns_most = oce_ceil_div(d->n, 64);
    const int64_t rows_least = oce_ceil_div(d->m, d->transpose_a ? LARGEST_STRIP : LARGEST_BLOCK);
    const int64_t rows_most = clamp(m / 16, rows_least, rows_least > goal ? rows_least : goal);
    division best = {rows_least, 1, (int)splits_least};
    double best_time = 1e300;
    for (int64_t splits = splits_least; splits <= splits_most; splits++)
        for (int64_t rows = rows_least; rows <= rows_most; rows++) {
            int64_t columns = oce_ceil_div(columns_wanted, splits * rows);
            if (columns > columns_most)
                columns = columns_most;
            const int64_t groups = splits * rows * columns;
            double time = 1 + panel_cost * (double)rows / m;
            if (d->transpose_a)
                time += strip_cost * (double)columns / n;
            if (splits > 1)
                time += partial_cost * (double)splits / k;
            if (groups < goal)
                time *= (double)goal / (double)groups;
            if (time < best_time) {
                best_time = time;
                best = (division){rows, columns, (int)splits};
            }
        }
    return best;
}

/*
 * Splits are those of the best division for many units, a function of the shape alone: enough
 * groups that 48 of 64 units have work, as long as each has about a million multiply-adds. Rows and
 * columns are divided for the units that there are: the fewer blocks, the less is fetched and
 * packed, but until a thread that sleeps has woken, another can take several groups of a quarter of
 * that (5 us).
 */
static division divide(const oce_gemm_desc *d, int units) {
    /* With few rows it is reading B that takes the time: as long as 8 rows' arithmetic. */
    const double work = (double)(d->m + 8) * (double)(oce_ceil_div(d->n, 16) * 16) * (double)d->k;
    const int64_t goal = clamp(work / (1 << 20), 1, GROUPS);
    const int64_t many = clamp(work / (1 << 18), 1, INT32_MAX);
    const int64_t large = clamp((double)units * GROUPS_A_UNIT, 1, goal);
    const int64_t small =
        clamp((double)units * SMALL_GROUPS_A_UNIT, 1, many < GROUPS ? many : GROUPS);
    const int64_t near_goal = large > small ? large : small;
    const int64_t splits_least = oce_ceil_div(d->k > 0 ? d->k : 1, LARGEST_SPLIT);
    const int64_t splits_most =
        clamp((double)d->k / 64, splits_least, splits_least > goal ? splits_least : goal);
    /* Columns of a plain A may be divided at no cost: the more, the better balanced. */
    const division far =
        divide_into(d, goal, d->transpose_a ? goal : many, splits_least, splits_most);
    return divide_into(d, near_goal, d->transpose_a ? near_goal : many, far.splits, far.splits);
}

static int64_t round_up(int64_t value, int64_t multiple) {
    return oce_ceil_div(value, multiple) * multiple;
}

/* How often the loops of a group go round, at most. */
static int64_t rounds_of(const oce_gemm_desc *d, int vector_width, const oce_gemm_blocks *b) {
    const int64_t width = (int64_t)b->tile_vectors * vector_width;
    const int64_t depth = round_up(oce_ceil_div(d->k, b->splits), 16) + 16;
    const int64_t k_blocks = oce_ceil_div(depth, b->k_block);
    const int64_t stores = b->tile_rows * (width + 1); /* of a tile at the edge */
    const int64_t tiles = b->rows / b->tile_rows * (depth + k_blocks * (stores + 1));
    const int64_t turns = d->transpose_b ? width / vector_width * (depth / vector_width + 1) : 0;
    const int64_t strip = d->transpose_a ? depth * (oce_ceil_div(b->rows, vector_width) + 1) : 0;
    return strip + b->columns / width * (tiles + turns);
}

/* Divides blocks further until the loops of a group end before the driver ends them. */
static void shorten_loops(const oce_gemm_desc *d, const oce_limits *limits, oce_gemm_blocks *b) {
    const int64_t width = (int64_t)b->tile_vectors * limits->vector_width;
    while (rounds_of(d, limits->vector_width, b) > limits->loop_rounds) {
        if (b->columns > width)
            b->columns = round_up(b->columns / 2, width);
        else if (b->rows > b->tile_rows)
            b->rows = round_up(b->rows / 2, b->tile_rows);
        else
            break;
    }
}

/* The K block whose panel fits the first-level cache. With so few columns that reading a transposed
 * A takes the time, a shorter one, for strips of longer rows. */
static int usual_k_block(const oce_gemm_desc *d, const oce_gemm_blocks *b, int vector_width) {
    const int width = b->tile_vectors * vector_width;
    const bool is_reading = d->transpose_a && d->n <= 2 * width && d->k > LARGEST_K_BLOCK;
    return at_most(PANEL_FLOATS / width, is_reading ? LARGEST_K_BLOCK / 2 : LARGEST_K_BLOCK);
}

/*
 * Panels that a group takes where one would be work enough: as few, for balance, as end within 2 %
 * of the least time. A group's first panel, which nothing has fetched, costs as much as FIRST_ROWS
 * rows more, unless B is so small that the caches hold it.
 */
static int64_t choose_panels(const oce_gemm_desc *d, int units, int width, const division *parts,
                             int k_block) {
    enum { FIRST_ROWS = 22, SMALL_FLOATS = 1 << 18, MOST = 256 };
    const int64_t panels = oce_ceil_div(d->n, width), most = panels < MOST ? panels : MOST;
    const double row_groups = (double)parts->rows * parts->splits;
    const double steps = (double)d->k / parts->splits, first = fmin(steps, k_block) * FIRST_ROWS;
    const double panel = (double)d->m / (double)parts->rows * steps;
    double least = 1e300, times[MOST] = {0};
    if ((double)d->k * (double)d->n < SMALL_FLOATS)
        return 1;
    for (int64_t i = 0; i < most; i++) {
        const double groups = row_groups * (double)oce_ceil_div(panels, i + 1);
        times[i] = ceil(groups / units) * ((double)(i + 1) * panel + first);
        least = fmin(least, times[i]);
    }
    int64_t fewest = 1;
    while (times[fewest - 1] > least * 1.02)
        fewest++;
    return fewest;
}

/*
 * With few steps of K it is writing C that takes the time, if the caches do not hold it. The rows
 * of a panel's tiles lie far apart: each is left for the next as soon as it is begun, and the
 * stores wait for line after line. A group takes few rows instead and writes along them, panel
 * after panel: 4096 x 4096 x 1 takes a quarter of the time (Ice Lake), with 32 steps half; with 48
 * the panels, fetched more often, cost as much again. In a C of panels a tile's rows do not lie
 * apart.
 */
static bool is_writing(const oce_gemm_desc *d) {
    return d->c_panel == 0 && d->k <= 32 && d->n >= 1024 && (double)d->m * (double)d->n >= 1 << 21;
}

static void divide_along_rows(const oce_gemm_desc *d, int units, int width,
                              oce_gemm_blocks *blocks) {
    enum { ROWS = 24, COLUMNS = 4096 };
    const int64_t rows = round_up(ROWS, blocks->tile_rows);
    const int64_t row_groups = oce_ceil_div(d->m, rows);
    const int64_t wanted = oce_ceil_div((int64_t)units * GROUPS_A_UNIT, row_groups);
    const int64_t parts = oce_ceil_div(d->n, COLUMNS);
    const int64_t columns = oce_ceil_div(d->n, parts > wanted ? parts : wanted);
    blocks->rows = (int)rows;
    blocks->columns = round_up(columns, width);
}

/* The rest, for a tile and K block. Some drivers keep a part of the local memory for themselves. */
static bool finish_blocks(const oce_gemm_desc *d, const oce_limits *limits, int k_most,
                          oce_gemm_blocks *blocks) {
    const int vector_width = limits->vector_width, units = limits->compute_units;
    const size_t local_bytes = limits->local_bytes - limits->local_bytes / 8;
    if (!choose_local(d, vector_width, local_bytes, k_most, blocks))
        return false;
    if (d->m == 0 || d->n == 0)
        return true;
    const division parts = divide(d, units);
    blocks->splits = parts.splits;
    blocks->rows = round_up(oce_ceil_div(d->m, parts.rows), blocks->tile_rows);
    const int width = blocks->tile_vectors * vector_width;
    const int64_t columns = oce_ceil_div(d->n, parts.columns);
    if (is_writing(d))
        divide_along_rows(d, units, width, blocks);
    else if (d->transpose_a)
        blocks->columns = round_up(columns, width);
    else if (columns >= 2 * width) /* down, for more groups: it costs nothing */
        blocks->columns = columns / width * width;
    else
        blocks->columns = choose_panels(d, units, width, &parts, blocks->k_block) * width;
    if (d->transpose_a && blocks->rows > blocks->strip_rows)
        blocks->rows = blocks->strip_rows / blocks->tile_rows * blocks->tile_rows;
    shorten_loops(d, limits, blocks);
    return true;
}

bool oce_gemm_choose_blocks(const oce_gemm_desc *d, const oce_limits *limits,
                            oce_gemm_blocks *blocks) {
    return oce_gemm_configure_blocks(d, limits, "", blocks);
}

/* ---- Tuning -------------------------------------------------------------------------------- */

/* K blocks worth a try: a panel of half, all and twice the first-level cache. */
static int k_blocks_of(const oce_gemm_desc *d, const oce_gemm_blocks *b, int vector_width,
                       int list[3]) {
    const int usual = usual_k_block(d, b, vector_width) / 16 * 16;
    list[0] = usual;
    list[1] = usual * 2;
    list[2] = usual / 32 * 16;
    return list[2] > 0 ? 3 : 2;
}

bool oce_gemm_configure_blocks(const oce_gemm_desc *d, const oce_limits *limits,
                               const char *configuration, oce_gemm_blocks *blocks) {
    const int vector_width = limits->vector_width;
    *blocks = (oce_gemm_blocks){.tile_rows = 1, .tile_vectors = 1, .splits = 1};
    choose_tile(d, limits, blocks);
    const long rows = oce_tuning_value(configuration, "rows", blocks->tile_rows);
    const long vectors = oce_tuning_value(configuration, "vectors", blocks->tile_vectors);
    bool is_known = false;
    int count = 0, k_blocks[3];
    const tile *tiles = tiles_of(limits, &count);
    for (int i = 0; i < count && !is_known; i++)
        if (tiles[i].rows == rows && tiles[i].vectors == vectors &&
            fits(d, vector_width, tiles[i])) {
            is_known = true;
            blocks->tile_rows = tiles[i].rows;
            blocks->tile_vectors = tiles[i].vectors;
        }
    const int usual = usual_k_block(d, blocks, vector_width);
    const long k_block = oce_tuning_value(configuration, "k_block", usual);
    bool is_known_block = k_block == usual;
    for (int i = k_blocks_of(d, blocks, vector_width, k_blocks); i-- > 0 && !is_known_block;)
        is_known_block = k_blocks[i] == k_block;
    return is_known && is_known_block && finish_blocks(d, limits, (int)k_block, blocks);
}

/* Whether local memory has room for the K block of a configuration. */
static bool has_room(const oce_gemm_desc *d, const oce_limits *limits, const char *configuration,
                     int k_block) {
    oce_gemm_blocks blocks;
    return oce_gemm_configure_blocks(d, limits, configuration, &blocks) &&
           blocks.k_block == k_block;
}

int oce_gemm_configurations(const oce_gemm_desc *d, const oce_limits *limits,
                            char list[OCE_GEMM_CONFIGURATIONS][OCE_GEMM_TEXT]) {
    const int vector_width = limits->vector_width;
    oce_gemm_blocks own = {.tile_rows = 1, .tile_vectors = 1};
    int count = 0, tile_count = 0, k_blocks[3];
    const tile *tiles = tiles_of(limits, &tile_count);
    choose_tile(d, limits, &own);
    const int64_t least = cost_of(d, vector_width, (tile){own.tile_rows, own.tile_vectors});
    for (int i = 0; i < tile_count; i++) {
        const oce_gemm_blocks b = {.tile_rows = tiles[i].rows, .tile_vectors = tiles[i].vectors};
        const bool is_own = b.tile_rows == own.tile_rows && b.tile_vectors == own.tile_vectors;
        if (!fits(d, vector_width, tiles[i]) || cost_of(d, vector_width, tiles[i]) > least * 3 / 2)
            continue;
        const int blocks = k_blocks_of(d, &b, vector_width, k_blocks);
        for (int j = is_own; j < blocks && count < OCE_GEMM_CONFIGURATIONS; j++)
            if (j == 0 || d->k > k_blocks[2]) { /* else one K block either way */
                snprintf(list[count], OCE_GEMM_TEXT, "rows=%d vectors=%d k_block=%d", tiles[i].rows,
                         tiles[i].vectors, k_blocks[j]);
                count += has_room(d, limits, list[count], k_blocks[j]);
            }
    }
    return count;
}
