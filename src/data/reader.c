#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include "data/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum { INPUT_BYTES = 1 << 16, PATH_BYTES = 4096, GZIP_WINDOW = 15 + 16 };

/* Deflate's best case: 258 bytes from two bits. */
static const uint64_t MOST_EXPANSION = 1032;

struct oce_reader {
    FILE *file;
    char path[PATH_BYTES];
    uint64_t file_bytes;
    uint64_t delivered;
    bool gzipped;
    bool inflating; /* `stream` is initialised */
    bool finished;  /* gzipped: the last member ended and its CRC fits */
    z_stream stream;
    uint8_t input[INPUT_BYTES];
};

void oce_reader_close(oce_reader *reader) {
    if (!reader)
        return;
    if (reader->inflating)
        inflateEnd(&reader->stream);
    if (reader->file)
        fclose(reader->file);
    free(reader);
}

static oce_status io_error(const char *path, const char *verb, int cause) {
    const bool missing = cause == ENOENT || cause == ENOTDIR;
    return oce_fail(missing ? OCE_ERROR_NOT_FOUND : OCE_ERROR_IO, "%s: cannot %s: %s", path, verb,
                    strerror(cause));
}

/* Fills `input` from the file; leaves avail_in 0 at its end. */
static oce_status refill(oce_reader *reader) {
    reader->stream.next_in = reader->input;
    reader->stream.avail_in = (uInt)fread(reader->input, 1, INPUT_BYTES, reader->file);
    if (reader->stream.avail_in == 0 && ferror(reader->file))
        return io_error(reader->path, "read", errno);
    return OCE_OK;
}

static oce_status start(oce_reader *reader) {
    struct stat facts; /* asked for first: opening a pipe would wait for its writer */
    if (stat(reader->path, &facts) != 0)
        return io_error(reader->path, "open", errno);
    OCE_REQUIRE(S_ISREG(facts.st_mode), OCE_ERROR_IO, "%s: is not a regular file", reader->path);
    reader->file_bytes = (uint64_t)facts.st_size;
    reader->file = fopen(reader->path, "rb");
    if (!reader->file)
        return io_error(reader->path, "open", errno);
    OCE_TRY(refill(reader));
    reader->gzipped =
        reader->stream.avail_in >= 2 && reader->input[0] == 0x1F && reader->input[1] == 0x8B;
    if (!reader->gzipped)
        return OCE_OK;
    OCE_REQUIRE(inflateInit2(&reader->stream, GZIP_WINDOW) == Z_OK, OCE_ERROR_HOST_MEMORY,
                "%s: no memory for decompression", reader->path);
    reader->inflating = true;
    return OCE_OK;
}

oce_status oce_reader_open(const char *path, oce_reader **reader) {
    *reader = NULL;
    OCE_REQUIRE(strlen(path) < PATH_BYTES, OCE_ERROR_INVALID_ARGUMENT,
                "a file name of %zu bytes is too long", strlen(path));
    oce_reader *made = calloc(1, sizeof *made);
    OCE_REQUIRE(made, OCE_ERROR_HOST_MEMORY, "%s: no memory to read it", path);
    strcpy(made->path, path);
    const oce_status status = start(made);
    if (status != OCE_OK) {
        oce_reader_close(made);
        return status;
    }
    *reader = made;
    return OCE_OK;
}

const char *oce_reader_path(const oce_reader *reader) {
    return reader->path;
}

const char *oce_reader_unit(const oce_reader *reader) {
    return reader->gzipped ? " of the decompressed contents" : "";
}

uint64_t oce_reader_offset(const oce_reader *reader) {
    return reader->delivered;
}

uint64_t oce_reader_capacity(const oce_reader *reader) {
    return reader->gzipped ? reader->file_bytes * MOST_EXPANSION : reader->file_bytes;
}

/* Position in the file itself, for what is wrong with the compression. */
static uint64_t compressed_offset(const oce_reader *reader) {
    const long end = ftell(reader->file);
    return end < 0 ? 0 : (uint64_t)end - reader->stream.avail_in;
}

static oce_status gzip_error(const oce_reader *reader, int code) {
    const char *reason = reader->stream.msg ? reader->stream.msg : "damaged";
    if (code == Z_MEM_ERROR)
        return oce_fail(OCE_ERROR_HOST_MEMORY, "%s: no memory for decompression", reader->path);
    if (strcmp(reason, "incorrect data check") == 0)
        return oce_fail(OCE_ERROR_CHECKSUM,
                        "%s: gzip CRC-32 before byte %" PRIu64
                        " does not fit the contents: the file is damaged",
                        reader->path, compressed_offset(reader));
    return oce_fail(OCE_ERROR_FORMAT, "%s: damaged gzip stream near byte %" PRIu64 ": %s",
                    reader->path, compressed_offset(reader), reason);
}

/* After a member: the file ends, or another member follows (gzip allows that). */
static oce_status next_member(oce_reader *reader) {
    if (reader->stream.avail_in == 0)
        OCE_TRY(refill(reader));
    if (reader->stream.avail_in == 0) {
        reader->finished = true;
        return OCE_OK;
    }
    OCE_REQUIRE(reader->stream.next_in[0] == 0x1F, OCE_ERROR_FORMAT,
                "%s: trailing bytes after the gzip stream, from byte %" PRIu64 " of %" PRIu64 " on",
                reader->path, compressed_offset(reader), reader->file_bytes);
    const int code = inflateReset(&reader->stream);
    return code == Z_OK ? OCE_OK : gzip_error(reader, code);
}

static oce_status inflate_some(oce_reader *reader) {
    if (reader->stream.avail_in == 0) {
        OCE_TRY(refill(reader));
        OCE_REQUIRE(reader->stream.avail_in > 0, OCE_ERROR_FORMAT,
                    "%s: truncated: the file ends at byte %" PRIu64
                    ", inside its gzip stream (after %" PRIu64 " bytes of contents)",
                    reader->path, compressed_offset(reader), reader->delivered);
    }
    const int code = inflate(&reader->stream, Z_NO_FLUSH);
    if (code == Z_STREAM_END)
        return next_member(reader);
    return code == Z_OK || code == Z_BUF_ERROR ? OCE_OK : gzip_error(reader, code);
}

static oce_status read_gzipped(oce_reader *reader, uint8_t *data, size_t size, size_t *got) {
    while (*got < size && !reader->finished) {
        const size_t left = size - *got;
        const uInt room = left > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uInt)left;
        reader->stream.next_out = data + *got;
        reader->stream.avail_out = room;
        const oce_status status = inflate_some(reader);
        *got += room - reader->stream.avail_out;
        reader->delivered += room - reader->stream.avail_out;
        OCE_TRY(status);
    }
    return OCE_OK;
}

static oce_status read_plain(oce_reader *reader, uint8_t *data, size_t size, size_t *got) {
    while (*got < size) {
        if (reader->stream.avail_in == 0)
            OCE_TRY(refill(reader));
        if (reader->stream.avail_in == 0)
            break;
        size_t part = size - *got;
        if (part > reader->stream.avail_in)
            part = reader->stream.avail_in;
        memcpy(data + *got, reader->stream.next_in, part);
        reader->stream.next_in += part;
        reader->stream.avail_in -= (uInt)part;
        *got += part;
        reader->delivered += part;
    }
    return OCE_OK;
}

oce_status oce_reader_read(oce_reader *reader, void *data, size_t size, size_t *got) {
    *got = 0;
    return reader->gzipped ? read_gzipped(reader, data, size, got)
                           : read_plain(reader, data, size, got);
}

oce_status oce_reader_exactly(oce_reader *reader, void *data, size_t size, const char *what) {
    const uint64_t begin = reader->delivered;
    size_t got;
    OCE_TRY(oce_reader_read(reader, data, size, &got));
    OCE_REQUIRE(got == size, OCE_ERROR_FORMAT,
                "%s: truncated: ends at byte %" PRIu64
                "%s; expected %zu bytes of %s from byte %" PRIu64 " on, found %zu",
                reader->path, reader->delivered, oce_reader_unit(reader), size, what, begin, got);
    return OCE_OK;
}

oce_status oce_reader_at_end(oce_reader *reader) {
    const uint64_t end = reader->delivered;
    uint8_t extra;
    size_t got;
    OCE_TRY(oce_reader_read(reader, &extra, 1, &got));
    OCE_REQUIRE(got == 0, OCE_ERROR_FORMAT,
                "%s: too long: expected to end at byte %" PRIu64 "%s, but more follows",
                reader->path, end, oce_reader_unit(reader));
    return OCE_OK;
}
