#define _XOPEN_SOURCE 700
#include "support/folder.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *folder_create(void) {
    const char *base = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/ocelli-test-XXXXXX",
             base != NULL && base[0] != '\0' ? base : "/tmp");
    cr_assert(mkdtemp(path) != NULL, "%s cannot be created", path);
    char *copy = malloc(strlen(path) + 1);
    cr_assert(copy != NULL);
    return strcpy(copy, path);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where) {
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

void folder_remove(char *folder) {
    cr_expect(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, "%s cannot be removed",
              folder);
    free(folder);
}

const char *folder_path(const char *folder, const char *name) {
    static char paths[12][1024];
    static unsigned next;
    char *path = paths[next++ % 12];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void folder_write(const char *folder, const char *name, const void *data, size_t size) {
    const char *path = folder_path(folder, name);
    FILE *file = fopen(path, "wb");
    cr_assert(file != NULL, "%s cannot be written", path);
    cr_assert(fwrite(data, 1, size, file) == size);
    cr_assert(fclose(file) == 0);
}

void folder_write_text(const char *folder, const char *name, const char *text) {
    folder_write(folder, name, text, strlen(text));
}

char *folder_read(const char *folder, const char *name, size_t *size) {
    const char *path = folder_path(folder, name);
    FILE *file = fopen(path, "rb");
    cr_assert(file != NULL, "%s cannot be read", path);
    cr_assert(fseek(file, 0, SEEK_END) == 0);
    const long length = ftell(file);
    cr_assert(length >= 0);
    rewind(file);
    char *data = calloc((size_t)length + 1, 1);
    cr_assert(data != NULL);
    cr_assert(fread(data, 1, (size_t)length, file) == (size_t)length);
    fclose(file);
    if (size != NULL)
        *size = (size_t)length;
    return data;
}

size_t folder_count(const char *folder) {
    size_t count = 0;
    DIR *stream = opendir(folder);
    cr_assert(stream != NULL, "%s cannot be listed", folder);
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(stream);
    return count;
}
