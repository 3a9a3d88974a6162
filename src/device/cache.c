#include "device/cache.h"

#include "base/crc32c.h"
#include "base/file.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char magic[8] = {'O', 'C', 'E', 'L', 'L', 'I', 'B', '1'};
static const char suffix[] = ".clbin";
enum { LARGEST_FILE = 64 << 20, OLD_SECONDS = 3600 };

void oce_cache_key(const oce_device_info *info, const char *platform_version, const char *options,
                   const char *const *sources, int count, oce_bytes *key) {
    const char *const texts[] = {
        info->platform_name, info->platform_vendor, platform_version,     info->name,
        info->vendor,        info->driver_version,  info->device_version, options};
    *key = (oce_bytes){0};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        oce_bytes_append(key, texts[i], strlen(texts[i]) + 1);
    for (int i = 0; i < count; i++)
        oce_bytes_append(key, sources[i], strlen(sources[i]) + 1);
    if (key->failed)
        oce_bytes_finish(key);
}

/* FNV-1a. */
static uint64_t hash(const oce_bytes *key) {
    uint64_t value = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < key->size; i++)
        value = (value ^ key->data[i]) * UINT64_C(0x100000001b3);
    return value;
}

static bool is_set(const char *value) {
    return value != NULL && value[0] != '\0';
}

static char *cache_folder(void) {
    const char *own = getenv("OCELLI_CACHE"), *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    char *folder = NULL;
    oce_status status = OCE_ERROR_NOT_FOUND;
    if (is_set(own))
        status = strcmp(own, "off") == 0 ? OCE_ERROR_NOT_FOUND : oce_text_copy(own, &folder);
    else if (is_set(xdg))
        status = oce_path_join(xdg, "ocelli", &folder);
    else if (is_set(home))
#ifdef __APPLE__
        status = oce_path_join(home, "Library/Caches/ocelli", &folder);
#else
        status = oce_path_join(home, ".cache/ocelli", &folder);
#endif
    return status == OCE_OK ? folder : NULL;
}

oce_cache_use oce_cache_use_of(const oce_device_info *info, const char *platform_version) {
    const char *forced = getenv("OCELLI_CACHE_FORCE");
    char *folder = cache_folder();
    free(folder);
    if (folder == NULL)
        return OCE_CACHE_UNUSED;
    if (strstr(platform_version, "PoCL") != NULL)
        return OCE_CACHE_ON_DEMAND;
    if (forced != NULL && strcmp(forced, "1") == 0)
        return OCE_CACHE_AT_ONCE;
    return strstr(info->platform_vendor, "NVIDIA") == NULL &&
                   strstr(info->platform_vendor, "Mesa") == NULL &&
                   strstr(info->platform_name, "Oclgrind") == NULL
               ? OCE_CACHE_AT_ONCE
               : OCE_CACHE_UNUSED;
}

char *oce_cache_path(const oce_bytes *key) {
    char *folder = cache_folder(), *path = NULL;
    if (folder == NULL)
        return NULL;
    const oce_status status =
        oce_text_format(&path, "%s/%016llx%s", folder, (unsigned long long)hash(key), suffix);
    free(folder);
    return status == OCE_OK ? path : NULL;
}

/* Takes a whole file apart; false unless it is sound and was stored under `key`. */
static bool unpack(const oce_bytes *file, const oce_bytes *key, oce_view *binary) {
    oce_view view = {file->data, file->size};
    const unsigned char *at = NULL;
    uint64_t size = 0;
    uint32_t checksum = 0;
    if (!oce_view_take(&view, sizeof magic, &at) || memcmp(at, magic, sizeof magic) != 0)
        return false;
    if (!oce_view_u64(&view, &size) || size != key->size || !oce_view_take(&view, key->size, &at) ||
        memcmp(at, key->data, key->size) != 0)
        return false;
    if (!oce_view_u64(&view, &size) || size > view.size ||
        !oce_view_take(&view, (size_t)size, &binary->data))
        return false;
    binary->size = (size_t)size;
    return oce_view_u32(&view, &checksum) && view.size == 0 &&
           checksum == oce_crc32c(file->data, file->size - sizeof checksum);
}

bool oce_cache_load(const oce_bytes *key, oce_bytes *binary) {
    oce_bytes file = {0};
    oce_view view = {0};
    *binary = (oce_bytes){0};
    char *path = key->size > 0 ? oce_cache_path(key) : NULL;
    bool found = path != NULL && oce_file_read(path, LARGEST_FILE, &file) == OCE_OK &&
                 unpack(&file, key, &view);
    if (found) {
        oce_bytes_append(binary, view.data, view.size);
        found = !binary->failed;
    }
    oce_bytes_finish(&file);
    free(path);
    return found;
}

bool oce_cache_has(const oce_bytes *key) {
    char *path = key->size > 0 ? oce_cache_path(key) : NULL;
    double time = 0;
    const bool is_there = path != NULL && oce_file_time(path, &time) == OCE_OK;
    free(path);
    return is_there;
}

/* Creates a folder and those above it. */
static oce_status create_folders(const char *folder) {
    char *path = NULL;
    OCE_TRY(oce_text_copy(folder, &path));
    oce_status status = OCE_OK;
    for (char *slash = strchr(path + 1, '/'); slash != NULL && status == OCE_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        status = oce_folder_create(path);
        *slash = '/';
    }
    if (status == OCE_OK)
        status = oce_folder_create(path);
    free(path);
    return status;
}

oce_status oce_cache_store(const oce_bytes *key, const void *binary, size_t size) {
    char *path = key->size > 0 ? oce_cache_path(key) : NULL;
    char *folder = NULL;
    OCE_REQUIRE(path != NULL, OCE_ERROR_NOT_FOUND, "the cache of programs has no place, or is off");
    oce_status status = oce_path_folder(path, &folder);
    if (status != OCE_OK) {
        free(path);
        return status;
    }
    oce_bytes file = {0};
    oce_bytes_append(&file, magic, sizeof magic);
    oce_bytes_u64(&file, key->size);
    oce_bytes_append(&file, key->data, key->size);
    oce_bytes_u64(&file, size);
    oce_bytes_append(&file, binary, size);
    oce_bytes_u32(&file, oce_crc32c(file.data, file.size));
    if (file.failed)
        status = oce_fail(OCE_ERROR_HOST_MEMORY, "no memory for a compiled program");
    else if (file.size > LARGEST_FILE)
        status = oce_fail(OCE_ERROR_OVERFLOW,
                          "a compiled program of %zu bytes is too large to keep", file.size);
    if (status == OCE_OK)
        status = create_folders(folder);
    if (status == OCE_OK)
        status = oce_file_write(path, file.data, file.size);
    if (status == OCE_OK)
        oce_cache_trim(folder, OCE_CACHE_LIMIT);
    oce_bytes_finish(&file);
    free(folder);
    free(path);
    return status;
}

typedef struct cached_file {
    char *path;
    uint64_t size;
    double time; /* of its last change, seconds since 1970 */
} cached_file;

typedef struct cached_files {
    const char *folder;
    cached_file *files;
    size_t count;
    uint64_t total; /* bytes */
} cached_files;

static bool ends_in(const char *name, const char *end) {
    const size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

/* Adds a file of ours to the list; one that goes away meanwhile, or is not ours, is passed over. */
static oce_status note_file(void *user, const char *name) {
    cached_files *list = user;
    cached_file file = {0};
    oce_file opened;
    const bool is_temporary = ends_in(name, OCE_TEMPORARY_SUFFIX) && strstr(name, suffix) != NULL;
    if (!is_temporary && !ends_in(name, suffix))
        return OCE_OK;
    OCE_TRY(oce_path_join(list->folder, name, &file.path));
    if (oce_file_time(file.path, &file.time) != OCE_OK ||
        oce_file_open(file.path, &opened) != OCE_OK) {
        free(file.path);
        return OCE_OK;
    }
    file.size = opened.size;
    oce_file_close(&opened);
    if (is_temporary) {
        if (file.time < (double)time(NULL) - OLD_SECONDS)
            oce_file_remove(file.path);
        free(file.path);
        return OCE_OK;
    }
    cached_file *files = realloc(list->files, (list->count + 1) * sizeof *files);
    if (files == NULL) {
        free(file.path);
        return oce_fail(OCE_ERROR_HOST_MEMORY, "no memory for a list of cached programs");
    }
    list->files = files;
    list->files[list->count++] = file;
    list->total += file.size;
    return OCE_OK;
}

static int by_age(const void *a, const void *b) {
    const double first = ((const cached_file *)a)->time, second = ((const cached_file *)b)->time;
    return (first > second) - (first < second);
}

void oce_cache_trim(const char *folder, uint64_t limit) {
    cached_files list = {.folder = folder};
    const oce_status status = oce_folder_visit(folder, note_file, &list);
    if (status == OCE_OK && list.total > limit) {
        qsort(list.files, list.count, sizeof *list.files, by_age);
        for (size_t i = 0; i < list.count && list.total > limit; i++) {
            list.total -= list.files[i].size;
            oce_file_remove(list.files[i].path);
        }
    }
    for (size_t i = 0; i < list.count; i++)
        free(list.files[i].path);
    free(list.files);
}
