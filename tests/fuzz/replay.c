/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over files, or every file of folders: the corpus as a test, with any
 * compiler. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

static int replay_bytes(FILE *file, size_t size)
{
    /* Exactly as large as the input, so that the sanitizer sees its end. */
    uint8_t *data = malloc(size > 0 ? size : 1);

    if (data == NULL || fread(data, 1, size, file) != size) {
        free(data);
        return -1;
    }
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 0;
}

static int replay_file(const char *path, const struct stat *info)
{
    FILE *file = fopen(path, "rb");
    int err;

    if (file == NULL) {
        return -1;
    }
    err = replay_bytes(file, (size_t)info->st_size);
    fclose(file);
    return err;
}

/* Files replayed, or -1. */
static int replay(const char *path)
{
    struct stat info;
    struct dirent *entry;
    int count = 0;
    DIR *dir;

    if (stat(path, &info) != 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(info.st_mode)) {
        return replay_file(path, &info) == 0 ? 1 : -1;
    }
    dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        return -1;
    }
    while (count >= 0 && (entry = readdir(dir)) != NULL) {
        char name[4096];
        int len = snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        int replayed;

        if (entry->d_name[0] == '.') {
            continue;
        }
        replayed = len > 0 && (size_t)len < sizeof(name) ? replay(name) : -1;
        count = replayed < 0 ? -1 : count + replayed;
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        int count = replay(argv[i]);

        if (count < 0) {
            fprintf(stderr, "cannot replay %s\n", argv[i]);
            return 1;
        }
        total += count;
    }
    printf("%d inputs replayed\n", total);
    return total > 0 ? 0 : 1;
}
