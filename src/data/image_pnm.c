/* The PNM formats P1 to P6: bitmaps, grey and colour, as text or bytes, of any largest value up to
 * 65535. (stb_image reads P5 and P6 only, without scaling, and takes truncated files for whole.)
 * netpbm.sourceforge.net/doc/pbm.html, pgm.html, ppm.html. */
#include "data/image.h"

#include "base/size.h"

#include <stdlib.h>

typedef struct scanner {
    const oce_image_source *source;
    size_t at;
} scanner;

typedef struct pnm_header {
    int64_t height, width, channels, largest;
    bool is_text, is_bitmap;
} pnm_header;

bool oce_image_is_pnm(const oce_image_source *source) {
    return source->size >= 2 && source->data[0] == 'P' && source->data[1] >= '1' &&
           source->data[1] <= '6';
}

static bool is_space(int c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next byte, -1 at the end; a comment up to its line's end is one blank. */
static int next_byte(scanner *s) {
    const oce_image_source *source = s->source;
    if (s->at == source->size)
        return -1;
    const int c = source->data[s->at++];
    if (c != '#')
        return c;
    while (s->at < source->size && source->data[s->at] != '\n' && source->data[s->at] != '\r')
        s->at++;
    return ' ';
}

static int next_visible(scanner *s) {
    int c = next_byte(s);
    while (is_space(c))
        c = next_byte(s);
    return c;
}

static oce_status fail_end(const scanner *s) {
    return oce_fail(OCE_ERROR_FORMAT, "%s: the picture is truncated: it ends at byte %zu",
                    s->source->name, s->source->size);
}

/* A decimal number of at most 6 digits and the one byte behind it. */
static oce_status scan_number(scanner *s, const char *what, int64_t *value) {
    int c = next_visible(s), digits = 0;
    *value = 0;
    if (c < 0)
        return fail_end(s);
    for (; c >= '0' && c <= '9' && digits < 6; c = next_byte(s), digits++)
        *value = *value * 10 + (c - '0');
    OCE_REQUIRE(digits > 0 && (c < 0 || is_space(c)), OCE_ERROR_FORMAT,
                "%s: the PNM's %s at byte %zu is no number of up to 6 digits", s->source->name,
                what, s->at);
    return OCE_OK;
}

static oce_status scan_header(scanner *s, pnm_header *header) {
    const int kind = s->source->data[1] - '0';
    s->at = 2;
    header->is_text = kind <= 3;
    header->is_bitmap = kind == 1 || kind == 4;
    header->channels = kind == 3 || kind == 6 ? 3 : 1;
    header->largest = 1;
    OCE_TRY(scan_number(s, "width", &header->width));
    OCE_TRY(scan_number(s, "height", &header->height));
    OCE_TRY(oce_image_check_extents(s->source, header->height, header->width));
    if (!header->is_bitmap)
        OCE_TRY(scan_number(s, "largest value", &header->largest));
    OCE_REQUIRE(header->largest >= 1 && header->largest <= 65535, OCE_ERROR_FORMAT,
                "%s: the PNM's largest value is %lld, not 1 to 65535", s->source->name,
                (long long)header->largest);
    return OCE_OK;
}

/* One sample of a text file. The digits of a bitmap need no blanks between them. */
static oce_status scan_sample(scanner *s, const pnm_header *header, int64_t *value) {
    if (!header->is_bitmap)
        return scan_number(s, "sample", value);
    const int c = next_visible(s);
    if (c < 0)
        return fail_end(s);
    OCE_REQUIRE(c == '0' || c == '1', OCE_ERROR_FORMAT,
                "%s: the PNM's sample at byte %zu is neither 0 nor 1", s->source->name, s->at);
    *value = c - '0';
    return OCE_OK;
}

/* Sample `column` of a row of bytes. */
static int64_t row_sample(const uint8_t *row, const pnm_header *header, int64_t column) {
    if (header->is_bitmap)
        return row[column / 8] >> (7 - column % 8) & 1;
    return header->largest < 256 ? row[column] : row[2 * column] << 8 | row[2 * column + 1];
}

static oce_status scale_sample(const scanner *s, const pnm_header *header, int64_t value,
                               uint8_t *pixel) {
    OCE_REQUIRE(value <= header->largest, OCE_ERROR_FORMAT,
                "%s: the PNM's sample %lld near byte %zu is over the largest value %lld",
                s->source->name, (long long)value, s->at, (long long)header->largest);
    const int64_t scaled = (value * 255 + header->largest / 2) / header->largest;
    *pixel = (uint8_t)(header->is_bitmap ? 255 - scaled : scaled); /* a bitmap's 1 is black */
    return OCE_OK;
}

static oce_status read_rows(scanner *s, const pnm_header *header, uint8_t *pixels) {
    const int64_t samples = header->width * header->channels;
    const size_t row_bytes = header->is_bitmap       ? (size_t)(samples + 7) / 8
                             : header->largest < 256 ? (size_t)samples
                                                     : 2 * (size_t)samples;
    for (int64_t y = 0; y < header->height; y++) {
        const uint8_t *row = s->source->data + s->at;
        if (!header->is_text && s->source->size - s->at < row_bytes)
            return fail_end(s);
        for (int64_t i = 0; i < samples; i++) {
            int64_t value = 0;
            if (header->is_text)
                OCE_TRY(scan_sample(s, header, &value));
            else
                value = row_sample(row, header, i);
            OCE_TRY(scale_sample(s, header, value, pixels++));
        }
        if (!header->is_text)
            s->at += row_bytes;
    }
    return OCE_OK;
}

oce_status oce_image_decode_pnm(const oce_image_source *source, oce_image *image) {
    scanner s = {.source = source};
    pnm_header header = {0};
    OCE_TRY(scan_header(&s, &header));
    uint8_t *pixels = malloc((size_t)(header.height * header.width * header.channels));
    OCE_REQUIRE(pixels != NULL, OCE_ERROR_HOST_MEMORY, "%s: no memory for the picture",
                source->name);
    const oce_status status = read_rows(&s, &header, pixels);
    if (status != OCE_OK) {
        free(pixels);
        return status;
    }
    *image = (oce_image){header.height, header.width, header.channels, pixels};
    return OCE_OK;
}
