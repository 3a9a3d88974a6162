#include "io/sidecar.h"

#include "base/crc32c.h"
#include "base/file.h"
#include "base/path.h"
#include "base/status.h"
#include "io/bundle.h"
#include "io/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The file:
 *   ocelli_sidecar: "1"
 *   ocelli_index_crc32c: "0x........"     of the .index file it belongs to
 *   key: "value"                          ...
 *   ocelli_crc32c: "0x........"           of all bytes before this line
 */
#define OWN_PREFIX "ocelli_"
#define KEY_VERSION OWN_PREFIX "sidecar"
#define KEY_INDEX OWN_PREFIX "index_crc32c"
#define KEY_CHECKSUM OWN_PREFIX "crc32c"
#define VERSION "1"

enum { LIMIT = 1 << 24, MAX_KEYS = 4096, MAX_KEY = 255 };

typedef struct item {
    char *key, *value;
} item;

struct oce_sidecar {
    item *items;
    size_t count, capacity;
};

oce_status oce_sidecar_create(oce_sidecar **sidecar) {
    *sidecar = calloc(1, sizeof **sidecar);
    OCE_REQUIRE(*sidecar, OCE_ERROR_HOST_MEMORY, "no memory for a sidecar");
    return OCE_OK;
}

void oce_sidecar_destroy(oce_sidecar *sidecar) {
    if (!sidecar)
        return;
    for (size_t i = 0; i < sidecar->count; i++) {
        free(sidecar->items[i].key);
        free(sidecar->items[i].value);
    }
    free(sidecar->items);
    free(sidecar);
}

static item *find(const oce_sidecar *sidecar, const char *key) {
    for (size_t i = 0; i < sidecar->count; i++)
        if (strcmp(sidecar->items[i].key, key) == 0)
            return &sidecar->items[i];
    return NULL;
}

static oce_status append(oce_sidecar *sidecar, const char *key, char *value) {
    OCE_REQUIRE(sidecar->count < MAX_KEYS, OCE_ERROR_INVALID_ARGUMENT,
                "a sidecar holds at most %d keys", MAX_KEYS);
    if (sidecar->count == sidecar->capacity) {
        const size_t capacity = sidecar->capacity * 2 + 16;
        item *items = realloc(sidecar->items, capacity * sizeof *items);
        OCE_REQUIRE(items, OCE_ERROR_HOST_MEMORY, "no memory for %zu keys of a sidecar", capacity);
        sidecar->items = items;
        sidecar->capacity = capacity;
    }
    char *own_key;
    OCE_TRY(oce_text_copy(key, &own_key));
    item *added = &sidecar->items[sidecar->count++];
    added->key = own_key;
    added->value = value;
    return OCE_OK;
}

static bool is_own(const char *key) {
    return strncmp(key, OWN_PREFIX, strlen(OWN_PREFIX)) == 0;
}

static oce_status set(oce_sidecar *sidecar, const char *key, const char *value) {
    char *own_value;
    OCE_TRY(oce_text_copy(value, &own_value));
    item *present = find(sidecar, key);
    if (present) {
        free(present->value);
        present->value = own_value;
        return OCE_OK;
    }
    const oce_status status = append(sidecar, key, own_value);
    if (status != OCE_OK)
        free(own_value);
    return status;
}

oce_status oce_sidecar_set(oce_sidecar *sidecar, const char *key, const char *value) {
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    OCE_REQUIRE(*key && key[strspn(key, allowed)] == 0 && strlen(key) <= MAX_KEY,
                OCE_ERROR_INVALID_ARGUMENT,
                "'%s' cannot be a sidecar's key: up to %d letters, digits, '_', '-' and '.' can",
                key, MAX_KEY);
    OCE_REQUIRE(!is_own(key), OCE_ERROR_INVALID_ARGUMENT,
                "'%s' cannot be a sidecar's key: those with " OWN_PREFIX " are taken", key);
    return set(sidecar, key, value);
}

const char *oce_sidecar_get(const oce_sidecar *sidecar, const char *key) {
    const item *present = find(sidecar, key);
    return present ? present->value : NULL;
}

size_t oce_sidecar_count(const oce_sidecar *sidecar) {
    return sidecar->count;
}

const char *oce_sidecar_key(const oce_sidecar *sidecar, size_t index) {
    return index < sidecar->count ? sidecar->items[index].key : NULL;
}

static void append_crc(oce_bytes *text, const char *key, uint32_t crc) {
    char number[16];
    snprintf(number, sizeof number, "0x%08" PRIx32, crc);
    oce_text_field(text, key, number);
}

oce_status oce_sidecar_store(const oce_sidecar *sidecar, const char *prefix,
                             uint32_t index_crc32c) {
    oce_bytes text = {0}, path = {0};
    oce_bytes_printf(&path, "%s" OCE_SIDECAR_SUFFIX, prefix);
    oce_text_field(&text, KEY_VERSION, VERSION);
    append_crc(&text, KEY_INDEX, index_crc32c);
    for (size_t i = 0; i < sidecar->count; i++)
        oce_text_field(&text, sidecar->items[i].key, sidecar->items[i].value);
    append_crc(&text, KEY_CHECKSUM, oce_crc32c(text.data, text.size));
    oce_status status = oce_bytes_check(&text, prefix);
    if (status == OCE_OK)
        status = oce_bytes_check(&path, prefix);
    if (status == OCE_OK)
        status = oce_file_write(oce_bytes_string(&path), text.data, text.size);
    oce_bytes_finish(&text);
    oce_bytes_finish(&path);
    return status;
}

static oce_status index_checksum(const char *prefix, uint32_t *crc) {
    oce_bytes path = {0}, index = {0};
    oce_bytes_printf(&path, "%s.index", prefix);
    oce_status status = oce_bytes_check(&path, prefix);
    if (status == OCE_OK)
        status = oce_file_read(oce_bytes_string(&path), OCE_BUNDLE_INDEX_LIMIT, &index);
    *crc = oce_crc32c(index.data, index.size);
    oce_bytes_finish(&path);
    oce_bytes_finish(&index);
    return status;
}

oce_status oce_sidecar_write(const oce_sidecar *sidecar, const char *prefix) {
    uint32_t crc;
    OCE_TRY(index_checksum(prefix, &crc));
    return oce_sidecar_store(sidecar, prefix, crc);
}

/* Whether `text` is the number that append_crc() writes for `crc`. */
static bool is_crc(const char *text, uint32_t crc) {
    char number[16];
    snprintf(number, sizeof number, "0x%08" PRIx32, crc);
    return text && strcmp(text, number) == 0;
}

/* Splits off and checks the last line. */
static oce_status check_text(const char *path, oce_bytes *text) {
    oce_bytes last = {0};
    size_t start = text->size;
    while (start > 1 && text->data[start - 2] != '\n')
        start--;
    start = start > 0 ? start - 1 : 0;
    append_crc(&last, KEY_CHECKSUM, oce_crc32c(text->data, start));
    oce_status status = oce_bytes_check(&last, path);
    if (status == OCE_OK &&
        (text->size - start != last.size || memcmp(text->data + start, last.data, last.size) != 0))
        status =
            oce_fail(OCE_ERROR_CHECKSUM,
                     "%s: damaged: its last line does not hold the checksum of the others", path);
    oce_bytes_finish(&last);
    text->size = start;
    return status;
}

static oce_status parse(const char *path, const oce_bytes *text, oce_sidecar *sidecar) {
    oce_scanner scanner;
    oce_bytes value = {0};
    oce_status status = OCE_OK;
    oce_scanner_init(&scanner, text->data, text->size);
    while (status == OCE_OK && !oce_scanner_at_end(&scanner)) {
        const char *name;
        char key[MAX_KEY + 1];
        size_t length;
        if (!oce_scanner_name(&scanner, &name, &length) || !oce_scanner_string(&scanner, &value)) {
            status = oce_fail(OCE_ERROR_FORMAT, "%s: %s", path, scanner.problem);
        } else if (length >= sizeof key) {
            status = oce_fail(OCE_ERROR_FORMAT, "%s: a key of %zu bytes", path, length);
        } else {
            memcpy(key, name, length);
            key[length] = 0;
            status = oce_bytes_check(&value, path);
            if (status == OCE_OK)
                status = set(sidecar, key, oce_bytes_string(&value));
        }
    }
    oce_bytes_finish(&value);
    return status;
}

/* Checks the lines that are ours and takes them out. */
static oce_status check_own(const char *path, const char *prefix, oce_sidecar *sidecar) {
    const char *version = oce_sidecar_get(sidecar, KEY_VERSION);
    OCE_REQUIRE(version && strcmp(version, VERSION) == 0, OCE_ERROR_FORMAT,
                "%s: a sidecar of version %s, where %s is known", path, version ? version : "none",
                VERSION);
    uint32_t crc;
    OCE_TRY(index_checksum(prefix, &crc));
    OCE_REQUIRE(is_crc(oce_sidecar_get(sidecar, KEY_INDEX), crc), OCE_ERROR_CHECKSUM,
                "%s: belongs to another checkpoint than %s.index is", path, prefix);
    size_t kept = 0;
    for (size_t i = 0; i < sidecar->count; i++) {
        if (!is_own(sidecar->items[i].key)) {
            sidecar->items[kept++] = sidecar->items[i];
            continue;
        }
        free(sidecar->items[i].key);
        free(sidecar->items[i].value);
    }
    sidecar->count = kept;
    return OCE_OK;
}

oce_status oce_sidecar_read(const char *prefix, oce_sidecar **sidecar) {
    oce_bytes text = {0}, path = {0};
    oce_sidecar *created = NULL;
    *sidecar = NULL;
    oce_bytes_printf(&path, "%s" OCE_SIDECAR_SUFFIX, prefix);
    oce_status status = oce_bytes_check(&path, prefix);
    if (status == OCE_OK)
        status = oce_file_read(oce_bytes_string(&path), LIMIT, &text);
    if (status == OCE_OK)
        status = check_text(oce_bytes_string(&path), &text);
    if (status == OCE_OK)
        status = oce_sidecar_create(&created);
    if (status == OCE_OK)
        status = parse(oce_bytes_string(&path), &text, created);
    if (status == OCE_OK)
        status = check_own(oce_bytes_string(&path), prefix, created);
    if (status == OCE_OK)
        *sidecar = created;
    else
        oce_sidecar_destroy(created);
    oce_bytes_finish(&text);
    oce_bytes_finish(&path);
    return status;
}
