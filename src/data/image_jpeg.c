/* Whether a JPEG's segments are in order. stb_image trusts the sizes of Huffman tables, and takes
 * what is missing at the end for zeros. ITU-T T.81, Annex B. */
#include "data/image.h"

#include <string.h>

enum {
    START = 0xD8,
    END = 0xD9,
    HUFFMAN_TABLES = 0xC4,
    START_OF_SCAN = 0xDA,
    TEMPORARY = 0x01,
    FIRST_RESTART = 0xD0,
    LAST_RESTART = 0xD7
};

/* A progressive JPEG has about ten scans. Each takes time for the whole picture, however little
 * data it has. */
enum { MOST_SCANS = 200 };

/* A Huffman table: class and number, the number of codes of each length 1 to 16, and the values. */
enum { LENGTHS = 16, TABLE_HEAD = 1 + LENGTHS, MOST_CODES = 256 };

typedef struct walk {
    const oce_image_source *source;
    size_t at;
} walk;

bool oce_image_is_jpeg(const oce_image_source *source) {
    return source->size >= 2 && source->data[0] == 0xFF && source->data[1] == START;
}

static oce_status fail_end(const walk *w) {
    return oce_fail(OCE_ERROR_FORMAT,
                    "%s: the picture is truncated: the JPEG's %zu bytes have no "
                    "end marker",
                    w->source->name, w->source->size);
}

/* Goes behind the next marker, over the data of a scan or other bytes before it. In data a byte 255
 * is followed by 0, or by a restart marker. */
static oce_status next_marker(walk *w, int *marker) {
    const oce_image_source *source = w->source;
    for (;;) {
        const uint8_t *found =
            w->at < source->size ? memchr(source->data + w->at, 0xFF, source->size - w->at) : NULL;
        if (found == NULL)
            return fail_end(w);
        w->at = (size_t)(found - source->data);
        while (w->at < source->size && source->data[w->at] == 0xFF)
            w->at++;
        if (w->at == source->size)
            return fail_end(w);
        *marker = source->data[w->at++];
        if (*marker != 0 && (*marker < FIRST_RESTART || *marker > LAST_RESTART))
            return OCE_OK;
    }
}

static oce_status check_tables(const walk *w, const uint8_t *data, size_t size) {
    while (size > 0) {
        size_t codes = 0;
        for (size_t i = 1; i < TABLE_HEAD && size >= TABLE_HEAD; i++)
            codes += data[i];
        OCE_REQUIRE(size >= TABLE_HEAD && codes <= MOST_CODES && codes <= size - TABLE_HEAD,
                    OCE_ERROR_FORMAT,
                    "%s: the picture is damaged: the JPEG's Huffman table near byte %zu has %zu "
                    "codes in %zu bytes",
                    w->source->name, w->at, codes, size);
        data += TABLE_HEAD + codes;
        size -= TABLE_HEAD + codes;
    }
    return OCE_OK;
}

/* Goes over the segment of a marker: two bytes with its size, themselves counted, and so on. */
static oce_status skip_segment(walk *w, int marker) {
    const size_t left = w->source->size - w->at;
    const uint8_t *data = w->source->data + w->at;
    const size_t size = left >= 2 ? (size_t)data[0] << 8 | data[1] : 0;
    if (left < 2 || size > left)
        return fail_end(w);
    OCE_REQUIRE(size >= 2, OCE_ERROR_FORMAT,
                "%s: the picture is damaged: the JPEG's segment at byte %zu has %zu bytes",
                w->source->name, w->at, size);
    if (marker == HUFFMAN_TABLES)
        OCE_TRY(check_tables(w, data + 2, size - 2));
    w->at += size;
    return OCE_OK;
}

oce_status oce_image_check_jpeg(const oce_image_source *source) {
    walk w = {source, 2};
    int scans = 0;
    for (;;) {
        int marker = 0;
        OCE_TRY(next_marker(&w, &marker));
        if (marker == END)
            return OCE_OK;
        OCE_REQUIRE(marker != START && marker != TEMPORARY, OCE_ERROR_FORMAT,
                    "%s: the picture is damaged: the JPEG has marker 0x%02x at byte %zu",
                    source->name, (unsigned)marker, w.at);
        scans += marker == START_OF_SCAN;
        OCE_REQUIRE(scans <= MOST_SCANS, OCE_ERROR_UNSUPPORTED, "%s: the JPEG has over %d scans",
                    source->name, MOST_SCANS);
        OCE_TRY(skip_segment(&w, marker));
    }
}
