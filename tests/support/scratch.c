#define _XOPEN_SOURCE 700
#include "scratch.h"

#include <criterion/criterion.h>

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *scratch_create(void) {
    const char *parent = getenv("TMPDIR");
    char *folder = malloc(512);
    cr_assert(folder);
    snprintf(folder, 512, "%s/ocelli-test-XXXXXX", parent && *parent ? parent : "/tmp");
    cr_assert(mkdtemp(folder), "cannot create %s", folder);
    return folder;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where) {
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

void scratch_remove(char *folder) {
    cr_expect(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, "cannot remove %s", folder);
    free(folder);
}

const char *scratch_path(const char *folder, const char *name) {
    static char paths[12][SCRATCH_PATH_BYTES];
    static int next;
    char *path = paths[next++ % 12];
    const int length = snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    cr_assert(length > 0 && (size_t)length < sizeof paths[0]);
    return path;
}

void scratch_write(const char *folder, const char *name, const void *data, size_t size) {
    file_store(scratch_path(folder, name), data, size);
}

void scratch_write_text(const char *folder, const char *name, const char *text) {
    scratch_write(folder, name, text, strlen(text));
}

void *scratch_read(const char *folder, const char *name, size_t *size) {
    return file_load(scratch_path(folder, name), size);
}

size_t scratch_count(const char *folder, const char *part) {
    DIR *stream = opendir(folder);
    cr_assert(stream, "cannot read %s", folder);
    size_t count = 0;
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            (!part || strstr(entry->d_name, part)))
            count++;
    closedir(stream);
    return count;
}

void *file_load(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    cr_assert(file, "cannot open %s", path);
    fseek(file, 0, SEEK_END);
    const long length = ftell(file);
    cr_assert(length >= 0);
    rewind(file);
    char *data = malloc((size_t)length + 1);
    cr_assert(data);
    cr_assert(fread(data, 1, (size_t)length, file) == (size_t)length, "cannot read %s", path);
    data[length] = 0;
    fclose(file);
    if (size)
        *size = (size_t)length;
    return data;
}

void file_store(const char *path, const void *data, size_t size) {
    remove(path); /* some file systems bring a file that is cut and rewritten to the disk at once */
    FILE *file = fopen(path, "wb");
    cr_assert(file, "cannot create %s", path);
    cr_assert(fwrite(data, 1, size, file) == size && fclose(file) == 0, "cannot write %s", path);
}

bool file_is_there(const char *path) {
    return access(path, F_OK) == 0;
}

static int digit_of(const char *digits, char c) {
    const char *at = c ? strchr(digits, c) : NULL;
    cr_assert(at, "bad digit '%c'", c);
    return (int)(at - digits);
}

void *decode_hex(const char *text, size_t *size) {
    static const char digits[] = "0123456789abcdef";
    *size = strlen(text) / 2;
    unsigned char *data = malloc(*size + 1);
    cr_assert(data);
    for (size_t i = 0; i < *size; i++)
        data[i] =
            (unsigned char)(digit_of(digits, text[2 * i]) * 16 + digit_of(digits, text[2 * i + 1]));
    return data;
}

void *decode_base64(const char *text, size_t *size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char *data = malloc(strlen(text) + 1);
    cr_assert(data);
    unsigned bits = 0;
    int count = 0;
    *size = 0;
    for (; *text && *text != '='; text++) {
        bits = (bits << 6 | (unsigned)digit_of(digits, *text)) & 0xFFFFFF;
        count += 6;
        if (count >= 8) {
            count -= 8;
            data[(*size)++] = (unsigned char)(bits >> count);
        }
    }
    return data;
}
