/* A handwritten digit as MNIST's were made: yann.lecun.com/exdb/mnist: "size normalized to fit in a
 * 20x20 pixel box while preserving their aspect ratio", grey levels from "the anti-aliasing
 * technique used by the normalization algorithm", then "centered in a 28x28 image by computing the
 * center of mass of the pixels, and translating the image so as to position this point at the
 * center". In MNIST's files that centre is pixel 14 of 0..27. */
#include "data/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEVELS = 256,
    FIELD = 28,          /* of the input, for a box of BOX */
    BOX = 20,            /* that the digit fills */
    LEAST_CONTRAST = 16, /* between the lightest and the darkest pixel */
    LEAST_INK = 128      /* of a pixel that counts for the digit's extents */
};

typedef struct histogram {
    int64_t count[LEVELS];
} histogram;

/* Which levels are ink, and how much. */
typedef struct ink_scale {
    bool is_light;         /* ink is lighter than the background */
    uint8_t table[LEVELS]; /* level to ink, 0..255 */
} ink_scale;

/* Otsu's threshold (IEEE Trans. Systems, Man, and Cybernetics 9, 1979): levels up to it are one
 * class, those above the other, so that the variance between the classes is largest. */
static int otsu_threshold(const histogram *levels) {
    double total = 0, sum = 0, below = 0, sum_below = 0, best = -1;
    int threshold = 0;
    for (int v = 0; v < LEVELS; v++) {
        total += (double)levels->count[v];
        sum += (double)levels->count[v] * v;
    }
    for (int v = 0; v + 1 < LEVELS; v++) {
        below += (double)levels->count[v];
        sum_below += (double)levels->count[v] * v;
        const double above = total - below;
        if (below == 0 || above == 0)
            continue;
        const double difference = sum_below / below - (sum - sum_below) / above;
        const double between = below * above * difference * difference;
        if (between > best) {
            best = between;
            threshold = v;
        }
    }
    return threshold;
}

/* All pixels, and those at the edge. */
static void count_levels(const oce_plane *grey, histogram *all, histogram *edge) {
    *all = *edge = (histogram){{0}};
    for (int64_t y = 0; y < grey->height; y++)
        for (int64_t x = 0; x < grey->width; x++) {
            const uint8_t level = grey->pixels[y * grey->width + x];
            const bool is_edge = y == 0 || x == 0 || y == grey->height - 1 || x == grey->width - 1;
            all->count[level]++;
            edge->count[level] += is_edge;
        }
}

static int64_t count_range(const histogram *levels, int first, int last) {
    int64_t sum = 0;
    for (int v = first; v <= last; v++)
        sum += levels->count[v];
    return sum;
}

/* The level below which (or at) `share` of the pixels of first..last are. */
static int level_at(const histogram *levels, int first, int last, double share) {
    const double wanted = share * (double)count_range(levels, first, last);
    int64_t sum = 0;
    for (int v = first; v < last; v++) {
        sum += levels->count[v];
        if ((double)sum >= wanted)
            return v;
    }
    return last;
}

/* Standard deviation of levels first..last about `centre`. */
static double spread_about(const histogram *levels, int first, int last, int centre) {
    double sum = 0;
    for (int v = first; v <= last; v++)
        sum += (double)levels->count[v] * (v - centre) * (v - centre);
    return sqrt(sum / (double)count_range(levels, first, last));
}

/* Median level of `count` pixels, each `step` after the other. */
static int median_along(const uint8_t *first, int64_t count, int64_t step) {
    histogram levels = {{0}};
    for (int64_t i = 0; i < count; i++)
        levels.count[first[i * step]]++;
    return level_at(&levels, 0, LEVELS - 1, 0.5);
}

/*
 * Evens out light that falls from one side: takes away the slopes between opposite edges. A
 * difference of half the contrast and more is no light but a digit that touches the edge.
 * OCE_ERROR_FORMAT if there is too little contrast for a digit.
 */
static oce_status level_light(const oce_plane *grey, uint8_t *levels) {
    const int64_t h = grey->height, w = grey->width;
    const uint8_t *p = grey->pixels;
    int lowest = LEVELS - 1, highest = 0;
    for (int64_t i = 0; i < h * w; i++) {
        lowest = p[i] < lowest ? p[i] : lowest;
        highest = p[i] > highest ? p[i] : highest;
    }
    const int contrast = highest - lowest;
    OCE_REQUIRE(contrast >= LEAST_CONTRAST, OCE_ERROR_FORMAT,
                "there is no digit: all pixels have a brightness of %d to %d (of 0 to 255)", lowest,
                highest);
    const int down = median_along(p + (h - 1) * w, w, 1) - median_along(p, w, 1);
    const int right = median_along(p + w - 1, h, w) - median_along(p, h, w);
    const float slope_down = 2 * abs(down) < contrast ? (float)down / (float)h : 0;
    const float slope_right = 2 * abs(right) < contrast ? (float)right / (float)w : 0;
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++) {
            const float light =
                slope_down * (float)(2 * y - h) / 2 + slope_right * (float)(2 * x - w) / 2;
            levels[y * w + x] = oce_pixel_byte((float)p[y * w + x] - light);
        }
    return OCE_OK;
}

/* Whether the levels up to `threshold` are the background: most of the edge, or, where a digit lies
 * along it and neither is clearly most, of the picture. */
static bool has_dark_background(const histogram *all, const histogram *edge, int threshold) {
    const int64_t dark = count_range(edge, 0, threshold);
    const int64_t light = count_range(edge, threshold + 1, LEVELS - 1);
    if (dark >= 2 * light || light >= 2 * dark)
        return dark > light;
    return count_range(all, 0, threshold) >= count_range(all, threshold + 1, LEVELS - 1);
}

static void find_ink(const oce_plane *plane, ink_scale *ink) {
    histogram every, edge;
    const histogram *all = &every;
    count_levels(plane, &every, &edge);
    const int threshold = otsu_threshold(all);
    ink->is_light = has_dark_background(all, &edge, threshold);
    const int low = ink->is_light ? 0 : threshold + 1;
    const int high = ink->is_light ? threshold : LEVELS - 1;
    const int background = level_at(all, low, high, 0.5);
    /* paper is never quite even: what lies within its own variation is no ink */
    const double spread = 2 * spread_about(all, low, high, background);
    const int full = ink->is_light ? level_at(all, threshold + 1, LEVELS - 1, 0.95)
                                   : level_at(all, 0, threshold, 0.05);
    const double noise = fmin(spread, abs(full - background) / 2.0);
    for (int v = 0; v < LEVELS; v++) {
        const int depth = ink->is_light ? v - background : background - v;
        const int most = abs(full - background);
        const int level = depth <= noise  ? 0
                          : depth >= most ? 255
                                          : (255 * depth + most / 2) / most;
        ink->table[v] = (uint8_t)level;
    }
}

/* The smallest part with all pixels of LEAST_INK and more; its extents are negative if there are
 * none. */
static oce_image_part find_box(const oce_plane *ink) {
    int64_t top = ink->height, bottom = -1, left = ink->width, right = -1;
    for (int64_t y = 0; y < ink->height; y++)
        for (int64_t x = 0; x < ink->width; x++) {
            if (ink->pixels[y * ink->width + x] < LEAST_INK)
                continue;
            top = y < top ? y : top;
            bottom = y;
            left = x < left ? x : left;
            right = x > right ? x : right;
        }
    return (oce_image_part){(double)top, (double)left, (double)(bottom - top + 1),
                            (double)(right - left + 1)};
}

/* Where an extent of `size` pixels begins in a field of `field` so that its `mass` (in pixels from
 * its beginning) comes to the centre, and none of it lies outside. */
static int64_t place(double mass, int64_t size, int64_t field) {
    const int64_t centre = field / 2, most = field - size;
    const int64_t start = (int64_t)floor((double)centre - mass + 0.5);
    return start < 0 ? 0 : start > most ? most : start;
}

static void put_digit(const float *digit, int64_t digit_height, int64_t digit_width, int64_t height,
                      int64_t width, uint8_t *pixels) {
    double mass = 0, down = 0, right = 0;
    for (int64_t y = 0; y < digit_height; y++)
        for (int64_t x = 0; x < digit_width; x++) {
            const double value = (double)digit[y * digit_width + x];
            mass += value;
            down += value * (double)y;
            right += value * (double)x;
        }
    const int64_t top = place(down / mass, digit_height, height);
    const int64_t left = place(right / mass, digit_width, width);
    memset(pixels, 0, (size_t)(height * width));
    for (int64_t y = 0; y < digit_height; y++)
        for (int64_t x = 0; x < digit_width; x++)
            pixels[(top + y) * width + left + x] = oce_pixel_byte(digit[y * digit_width + x]);
}

static int64_t scaled_extent(double extent, double scale, int64_t most) {
    const int64_t size = (int64_t)(extent / scale + 0.5);
    return size < 1 ? 1 : size > most ? most : size;
}

/* Scales the digit to its box and centres it. */
static oce_status fit_ink(const oce_plane *ink, int64_t height, int64_t width, uint8_t *pixels) {
    const oce_image_part box = find_box(ink);
    OCE_REQUIRE(box.height >= 1, OCE_ERROR_FORMAT,
                "there is no digit: nothing stands out from the background");
    const double box_height = (double)BOX / FIELD * (double)height;
    const double box_width = (double)BOX / FIELD * (double)width;
    const double scale = fmax(box.height / box_height, box.width / box_width);
    const int64_t digit_height = scaled_extent(box.height, scale, height);
    const int64_t digit_width = scaled_extent(box.width, scale, width);
    float *digit = malloc((size_t)(digit_height * digit_width) * sizeof *digit);
    OCE_REQUIRE(digit != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a digit");
    const oce_status status = oce_image_resample(ink, &box, digit_height, digit_width, digit);
    if (status == OCE_OK)
        put_digit(digit, digit_height, digit_width, height, width, pixels);
    free(digit);
    return status;
}

oce_status oce_image_fit_digit(const oce_plane *grey, int64_t height, int64_t width,
                               uint8_t *pixels) {
    const size_t count = (size_t)(grey->height * grey->width);
    uint8_t *levels = malloc(count);
    OCE_REQUIRE(levels != NULL, OCE_ERROR_HOST_MEMORY, "no memory for %zu pixels", count);
    ink_scale scale;
    oce_status status = level_light(grey, levels);
    const oce_plane levelled = {grey->height, grey->width, 1, levels};
    if (status == OCE_OK)
        find_ink(&levelled, &scale);
    if (status == OCE_OK && scale.is_light && grey->height == height && grey->width == width) {
        memcpy(pixels, grey->pixels, count);
    } else if (status == OCE_OK) {
        for (size_t i = 0; i < count; i++)
            levels[i] = scale.table[levels[i]];
        status = fit_ink(&levelled, height, width, pixels);
    }
    free(levels);
    return status;
}
