/* Scaling, each axis on its own: every output pixel is a weighted mean of neighbouring pixels. */
#include "data/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* From where along an axis an output pixel is made: pixels first..last, of which the inner ones
 * have weight 1 and the outer ones these; `sum` is the sum of all weights. */
typedef struct span {
    int64_t first, last;
    float first_weight, last_weight, sum;
} span;

static int64_t clamp(int64_t value, int64_t most) {
    return value < 0 ? 0 : value > most ? most : value;
}

/* Averages the area start..end, in pixels, of an axis of `count` pixels. */
static span span_of_area(double start, double end, int64_t count) {
    span s;
    start = start < 0 ? 0 : start;
    end = end > (double)count ? (double)count : end;
    s.first = clamp((int64_t)floor(start), count - 1);
    s.last = clamp((int64_t)ceil(end) - 1, count - 1);
    if (s.last <= s.first) {
        s.last = s.first;
        s.first_weight = s.last_weight = s.sum = 1;
        return s;
    }
    s.first_weight = (float)((double)(s.first + 1) - start);
    s.last_weight = (float)(end - (double)s.last);
    s.sum = s.first_weight + s.last_weight + (float)(s.last - s.first - 1);
    return s;
}

/* Interpolates between the two pixels whose centres are around `centre`. */
static span span_of_point(double centre, int64_t count) {
    const double place = floor(centre - 0.5);
    const float share = (float)(centre - 0.5 - place);
    span s = {clamp((int64_t)place, count - 1), clamp((int64_t)place + 1, count - 1), 1 - share,
              share, 1};
    if (s.first == s.last)
        s.first_weight = 1;
    return s;
}

static span span_of(double start, double scale, int64_t index, int64_t count) {
    return scale >= 1 ? span_of_area(start + (double)index * scale,
                                     start + (double)(index + 1) * scale, count)
                      : span_of_point(start + ((double)index + 0.5) * scale, count);
}

static float weight_at(const span *s, int64_t i) {
    return i == s->first ? s->first_weight : i == s->last ? s->last_weight : 1.0F;
}

/* Adds `weight` times a row of the plane, scaled to `width` pixels, to sums [width, channels]. */
static void add_row(const oce_plane *plane, int64_t row, const span *columns, int64_t width,
                    float weight, float *sums) {
    const int64_t channels = plane->channels;
    const uint8_t *pixels = plane->pixels + row * plane->width * channels;
    for (int64_t x = 0; x < width; x++) {
        const span *s = &columns[x];
        for (int64_t c = 0; c < channels; c++) {
            float sum = 0;
            for (int64_t i = s->first; i <= s->last; i++)
                sum += weight_at(s, i) * (float)pixels[i * channels + c];
            sums[x * channels + c] += weight * sum / s->sum;
        }
    }
}

oce_status oce_image_resample(const oce_plane *plane, const oce_image_part *part, int64_t height,
                              int64_t width, float *pixels) {
    span *columns = malloc((size_t)width * sizeof *columns);
    OCE_REQUIRE(columns != NULL, OCE_ERROR_HOST_MEMORY, "no memory to scale to %lld columns",
                (long long)width);
    for (int64_t x = 0; x < width; x++)
        columns[x] = span_of(part->left, part->width / (double)width, x, plane->width);
    const int64_t row_size = width * plane->channels;
    memset(pixels, 0, (size_t)(height * row_size) * sizeof *pixels);
    for (int64_t y = 0; y < height; y++) {
        const span s = span_of(part->top, part->height / (double)height, y, plane->height);
        for (int64_t row = s.first; row <= s.last; row++)
            add_row(plane, row, columns, width, weight_at(&s, row) / s.sum, pixels + y * row_size);
    }
    free(columns);
    return OCE_OK;
}
