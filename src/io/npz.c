/* NumPy's .npz: a zip archive of .npy files. Written stored (not compressed), read stored or
 * deflated. Zip's records: PKWARE's APPNOTE.TXT. */
#include "base/status.h"
#include "io/array.h"

#include <zlib.h>

#include <stdlib.h>
#include <string.h>

#define LOCAL_MAGIC UINT32_C(0x04034b50)
#define CENTRAL_MAGIC UINT32_C(0x02014b50)
#define END_MAGIC UINT32_C(0x06054b50)
#define NPY_ENDING ".npy"

enum {
    LOCAL_BYTES = 30,
    END_BYTES = 22,
    ZIP_VERSION = 20,
    DATE_1980 = 0x21, /* 1 January 1980: equal arrays give equal files */
    FLAG_ENCRYPTED = 1,
    FLAG_UTF8 = 0x800,
    STORED = 0,
    DEFLATED = 8,
    MAX_ENTRIES = 65534,
    /* Deflate makes at most 1032 bytes of one. */
    DEFLATE_FACTOR = 1032,
    DEFLATE_SLACK = 1024
};

/* A file in the archive. */
typedef struct member {
    const char *name; /* not NUL-terminated */
    size_t name_length;
    unsigned flags, method;
    uint32_t crc, packed, size, offset;
} member;

/* ---- Writing ---- */

static uint32_t crc32_of(uint32_t crc, const unsigned char *data, size_t size) {
    while (size > 0) {
        const uInt piece = size < (1U << 30) ? (uInt)size : 1U << 30;
        crc = (uint32_t)crc32(crc, data, piece);
        data += piece;
        size -= piece;
    }
    return crc;
}

/* The part that local and central headers share. */
static void append_common(oce_bytes *bytes, const member *m) {
    oce_bytes_u16(bytes, ZIP_VERSION);
    oce_bytes_u16(bytes, m->flags);
    oce_bytes_u16(bytes, m->method);
    oce_bytes_u16(bytes, 0); /* time */
    oce_bytes_u16(bytes, DATE_1980);
    oce_bytes_u32(bytes, m->crc);
    oce_bytes_u32(bytes, m->packed);
    oce_bytes_u32(bytes, m->size);
    oce_bytes_u16(bytes, (unsigned)(m->name_length + strlen(NPY_ENDING)));
    oce_bytes_u16(bytes, 0); /* extra bytes */
}

static void append_name(oce_bytes *bytes, const member *m) {
    oce_bytes_append(bytes, m->name, m->name_length);
    oce_bytes_text(bytes, NPY_ENDING);
}

static void append_central(oce_bytes *central, const member *m) {
    oce_bytes_u32(central, CENTRAL_MAGIC);
    oce_bytes_u16(central, ZIP_VERSION);
    append_common(central, m);
    oce_bytes_u16(central, 0); /* comment bytes */
    oce_bytes_u16(central, 0); /* disk */
    oce_bytes_u16(central, 0); /* internal attributes */
    oce_bytes_u32(central, 0); /* external attributes */
    oce_bytes_u32(central, m->offset);
    append_name(central, m);
}

static oce_status write_member(oce_writer *writer, const char *path, const oce_array *array,
                               uint64_t *written, oce_bytes *central, oce_bytes *header) {
    size_t bytes;
    OCE_TRY(oce_array_bytes(array, &bytes));
    header->size = 0;
    OCE_TRY(oce_npy_header(path, array, header));
    member m = {.name = array->name, .name_length = strlen(array->name), .method = STORED};
    OCE_REQUIRE(m.name_length <= 65535 - strlen(NPY_ENDING), OCE_ERROR_UNSUPPORTED,
                "%s: a name of %zu bytes is too long", path, m.name_length);
    const uint64_t size = (uint64_t)header->size + bytes;
    OCE_REQUIRE(*written + size < UINT32_MAX - 65536 - LOCAL_BYTES, OCE_ERROR_UNSUPPORTED,
                "%s: would be 4 GiB or more; write a .safetensors file instead", path);
    for (const char *c = m.name; *c; c++)
        if ((unsigned char)*c >= 0x80)
            m.flags = FLAG_UTF8;
    m.packed = m.size = (uint32_t)size;
    m.offset = (uint32_t)*written;
    m.crc = crc32_of(crc32_of(0, header->data, header->size), array->data, bytes);
    oce_bytes local = {0};
    oce_bytes_u32(&local, LOCAL_MAGIC);
    append_common(&local, &m);
    append_name(&local, &m);
    append_central(central, &m);
    oce_status status = oce_bytes_check(&local, path);
    if (status == OCE_OK)
        status = oce_writer_append(writer, local.data, local.size);
    if (status == OCE_OK)
        status = oce_writer_append(writer, header->data, header->size);
    if (status == OCE_OK)
        status = oce_writer_append(writer, array->data, bytes);
    *written += local.size + size;
    oce_bytes_finish(&local);
    return status;
}

oce_status oce_npz_write(oce_writer *writer, const char *path, const oce_array *arrays,
                         size_t count) {
    OCE_REQUIRE(count <= MAX_ENTRIES, OCE_ERROR_UNSUPPORTED,
                "%s: %zu arrays are too many for one archive", path, count);
    oce_bytes central = {0}, header = {0};
    uint64_t written = 0;
    oce_status status = OCE_OK;
    for (size_t i = 0; i < count && status == OCE_OK; i++)
        status = write_member(writer, path, &arrays[i], &written, &central, &header);
    const size_t directory = central.size;
    oce_bytes_u32(&central, END_MAGIC);
    oce_bytes_u32(&central, 0); /* disks */
    oce_bytes_u16(&central, (unsigned)count);
    oce_bytes_u16(&central, (unsigned)count);
    oce_bytes_u32(&central, (uint32_t)directory);
    oce_bytes_u32(&central, (uint32_t)written);
    oce_bytes_u16(&central, 0); /* comment bytes */
    if (status == OCE_OK)
        status = oce_bytes_check(&central, path);
    if (status == OCE_OK && written + directory >= UINT32_MAX)
        status = oce_fail(OCE_ERROR_UNSUPPORTED,
                          "%s: would be 4 GiB or more; write a .safetensors file instead", path);
    if (status == OCE_OK)
        status = oce_writer_append(writer, central.data, central.size);
    oce_bytes_finish(&central);
    oce_bytes_finish(&header);
    return status;
}

/* ---- Reading ---- */

/* The uncompressed bytes of a member, in order. */
typedef struct unpacker {
    const char *path;
    const oce_file *file;
    uint64_t offset, left; /* of the packed bytes not yet read */
    uint32_t crc;
    bool inflates;
    z_stream stream;
    unsigned char input[16384];
} unpacker;

static oce_status inflate_next(unpacker *u, unsigned char *data, size_t size) {
    u->stream.next_out = data;
    while (size > 0) {
        const uInt piece = size < (1U << 30) ? (uInt)size : 1U << 30;
        if (u->stream.avail_in == 0) {
            const size_t most = u->left < sizeof u->input ? (size_t)u->left : sizeof u->input;
            OCE_TRY(oce_file_read_at(u->file, u->offset, u->input, most));
            u->offset += most;
            u->left -= most;
            u->stream.next_in = u->input;
            u->stream.avail_in = (uInt)most;
        }
        u->stream.avail_out = piece;
        const int result = inflate(&u->stream, Z_NO_FLUSH);
        const size_t made = piece - u->stream.avail_out;
        size -= made;
        OCE_REQUIRE(result == Z_OK || (result == Z_STREAM_END && size == 0), OCE_ERROR_FORMAT,
                    "%s: damaged compressed data before byte %llu", u->path,
                    (unsigned long long)u->offset);
    }
    return OCE_OK;
}

static oce_status unpack_next(void *user, void *data, size_t size) {
    unpacker *u = user;
    if (u->inflates) {
        OCE_TRY(inflate_next(u, data, size));
    } else {
        OCE_REQUIRE(size <= u->left, OCE_ERROR_FORMAT, "%s: a member ends early", u->path);
        OCE_TRY(oce_file_read_at(u->file, u->offset, data, size));
        u->offset += size;
        u->left -= size;
    }
    u->crc = crc32_of(u->crc, data, size);
    return OCE_OK;
}

/* Where the packed bytes of a member start: its local header may have other extra bytes. */
static oce_status find_bytes(const char *path, const oce_file *file, const member *m,
                             uint64_t *offset) {
    unsigned char local[LOCAL_BYTES];
    OCE_TRY(oce_file_read_at(file, m->offset, local, sizeof local));
    oce_view view = {local, sizeof local}, lengths = {local + 26, 4};
    uint32_t number = 0;
    unsigned name = 0, extra = 0;
    oce_view_u32(&view, &number);
    oce_view_u16(&lengths, &name);
    oce_view_u16(&lengths, &extra);
    *offset = (uint64_t)m->offset + LOCAL_BYTES + name + extra;
    OCE_REQUIRE(number == LOCAL_MAGIC && *offset + m->packed <= file->size, OCE_ERROR_FORMAT,
                "%s: no member at byte %u", path, (unsigned)m->offset);
    return OCE_OK;
}

static oce_status read_member(const char *path, const oce_file *file, const member *m,
                              oce_array_list *list) {
    const size_t ending = strlen(NPY_ENDING);
    OCE_REQUIRE(m->name_length > ending &&
                    memcmp(m->name + m->name_length - ending, NPY_ENDING, ending) == 0,
                OCE_ERROR_UNSUPPORTED, "%s: holds '%.*s', which is no .npy file", path,
                (int)m->name_length, m->name);
    OCE_REQUIRE(!(m->flags & FLAG_ENCRYPTED), OCE_ERROR_UNSUPPORTED, "%s: is encrypted", path);
    OCE_REQUIRE(m->method == STORED || m->method == DEFLATED, OCE_ERROR_UNSUPPORTED,
                "%s: '%.*s' is compressed by method %u; 0 (stored) and 8 (deflate) are known", path,
                (int)m->name_length, m->name, m->method);
    OCE_REQUIRE(m->method == STORED
                    ? m->size == m->packed
                    : m->size <= (uint64_t)m->packed * DEFLATE_FACTOR + DEFLATE_SLACK,
                OCE_ERROR_FORMAT, "%s: '%.*s': %u bytes cannot hold %u", path, (int)m->name_length,
                m->name, (unsigned)m->packed, (unsigned)m->size);
    unpacker *u = calloc(1, sizeof *u);
    OCE_REQUIRE(u, OCE_ERROR_HOST_MEMORY, "%s: no memory to read it", path);
    u->path = path;
    u->file = file;
    u->left = m->packed;
    u->inflates = m->method == DEFLATED;
    oce_status status = find_bytes(path, file, m, &u->offset);
    if (status == OCE_OK && u->inflates && inflateInit2(&u->stream, -MAX_WBITS) != Z_OK)
        status = oce_fail(OCE_ERROR_HOST_MEMORY, "%s: no memory to decompress it", path);
    if (status == OCE_OK)
        status =
            oce_npy_parse(path, m->name, m->name_length - ending, m->size, unpack_next, u, list);
    if (status == OCE_OK && u->crc != m->crc)
        status =
            oce_fail(OCE_ERROR_CHECKSUM, "%s: '%.*s': the checksum is 0x%08x and should be 0x%08x",
                     path, (int)m->name_length, m->name, (unsigned)u->crc, (unsigned)m->crc);
    if (u->inflates)
        inflateEnd(&u->stream);
    free(u);
    return status;
}

static bool take_member(oce_view *central, member *m) {
    uint32_t number = 0;
    unsigned skip16, name = 0, extra = 0, comment = 0;
    const unsigned char *skipped, *bytes;
    const bool good = oce_view_u32(central, &number) && number == CENTRAL_MAGIC &&
                      oce_view_u16(central, &skip16) && oce_view_u16(central, &skip16) &&
                      oce_view_u16(central, &m->flags) && oce_view_u16(central, &m->method) &&
                      oce_view_take(central, 4, &skipped) && oce_view_u32(central, &m->crc) &&
                      oce_view_u32(central, &m->packed) && oce_view_u32(central, &m->size) &&
                      oce_view_u16(central, &name) && oce_view_u16(central, &extra) &&
                      oce_view_u16(central, &comment) && oce_view_take(central, 8, &skipped) &&
                      oce_view_u32(central, &m->offset) && oce_view_take(central, name, &bytes) &&
                      oce_view_take(central, extra, &skipped) &&
                      oce_view_take(central, comment, &skipped);
    m->name = good ? (const char *)bytes : NULL;
    m->name_length = name;
    return good;
}

/* Finds the end record, which is the last thing but for a comment, and reads the directory. */
static oce_status read_directory(const char *path, const oce_file *file, oce_bytes *directory) {
    const size_t most = END_BYTES + 65535;
    const size_t size = file->size < most ? (size_t)file->size : most;
    unsigned char *tail = oce_bytes_grow(directory, size);
    OCE_TRY(oce_bytes_check(directory, path));
    OCE_TRY(oce_file_read_at(file, file->size - size, tail, size));
    for (size_t at = size; at-- > 0;) {
        oce_view end = {tail + at, size - at};
        uint32_t number, bytes, offset;
        unsigned comment;
        const unsigned char *skipped;
        if (!oce_view_u32(&end, &number) || number != END_MAGIC ||
            !oce_view_take(&end, 8, &skipped) || !oce_view_u32(&end, &bytes) ||
            !oce_view_u32(&end, &offset) || !oce_view_u16(&end, &comment) || end.size != comment)
            continue;
        OCE_REQUIRE(offset != UINT32_MAX, OCE_ERROR_UNSUPPORTED, "%s: a zip64 archive", path);
        OCE_REQUIRE((uint64_t)offset + bytes <= file->size - size + at, OCE_ERROR_FORMAT,
                    "%s: the archive's directory is said to be %u bytes from byte %u on", path,
                    (unsigned)bytes, (unsigned)offset);
        directory->size = 0;
        unsigned char *room = oce_bytes_grow(directory, bytes);
        OCE_TRY(oce_bytes_check(directory, path));
        return oce_file_read_at(file, offset, room, bytes);
    }
    return oce_fail(OCE_ERROR_FORMAT, "%s: not a zip archive, or cut short", path);
}

static oce_status read_archive(const char *path, const oce_file *file, oce_bytes *directory,
                               oce_array_list *list) {
    OCE_TRY(read_directory(path, file, directory));
    oce_view central = {directory->data, directory->size};
    uint64_t packed = 0;
    while (central.size > 0) {
        member m = {.name = NULL};
        OCE_REQUIRE(take_member(&central, &m), OCE_ERROR_FORMAT,
                    "%s: a malformed archive directory", path);
        OCE_REQUIRE(m.packed != UINT32_MAX && m.size != UINT32_MAX && m.offset != UINT32_MAX,
                    OCE_ERROR_UNSUPPORTED, "%s: a zip64 archive", path);
        packed += m.packed;
        OCE_REQUIRE(packed <= file->size, OCE_ERROR_FORMAT, "%s: its members overlap", path);
        OCE_TRY(read_member(path, file, &m, list));
    }
    return OCE_OK;
}

oce_status oce_npz_read(const char *path, oce_array_list *list) {
    oce_file file;
    oce_bytes directory = {0};
    OCE_TRY(oce_file_open(path, &file));
    const oce_status status = read_archive(path, &file, &directory, list);
    oce_bytes_finish(&directory);
    oce_file_close(&file);
    return status;
}
