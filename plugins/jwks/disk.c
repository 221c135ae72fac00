/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwks/disk.h"

#include "core/file.h"
#include "core/log.h"
#include "core/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

char *disk_path(const char *folder, struct slice source)
{
    static const uint64_t key[2] = { 0, 0 }; /* the same name in every run */
    char *path = NULL;

    if (asprintf(&path, "%s/jwks-%016llx.json", folder,
                 (unsigned long long)map_siphash13(key, source)) < 0) {
        return NULL;
    }
    return path;
}

/* Keys decide who passes: a file that others may have written is none of ours. */
static bool is_ours(const struct stat *st)
{
    return (st->st_uid == geteuid() || st->st_uid == 0) && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static int load_open(int fd, const struct stat *st, size_t max_bytes, struct disk_text *ret)
{
    size_t size = (size_t)st->st_size, len = 0;

    if (!is_ours(st)) {
        return ERR_IO;
    }
    if (size > max_bytes) {
        return ERR_TOO_BIG;
    }
    char *text = malloc(size + 1);

    if (text == NULL) {
        return ERR_NO_MEMORY;
    }
    if (file_read(fd, text, size, &len) < 0 || len < size) {
        free(text);
        return ERR_IO;
    }
    *ret = (struct disk_text){ .ptr = text, .len = len, .unix_time = (int64_t)st->st_mtime };
    return 0;
}

int disk_load(const char *path, size_t max_bytes, struct disk_text *ret)
{
    const char *why;
    struct stat st;
    int fd = file_open(path, O_NOFOLLOW, &st, &why);

    if (fd < 0) {
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    int err = load_open(fd, &st, max_bytes, ret);

    close(fd);
    return err;
}

static bool write_whole(int fd, struct slice text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        text = slice_skip(text, (size_t)n);
    }
    return true;
}

int disk_save(const char *path, struct slice text)
{
    char *temporary = NULL;
    bool ok;
    int fd;

    if (asprintf(&temporary, "%s.%ld", path, (long)getpid()) < 0) {
        return ERR_NO_MEMORY;
    }
    (void)unlink(temporary); /* of a process before us that had our number */
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    ok = fd >= 0 && write_whole(fd, text) && fdatasync(fd) == 0;
    if (fd >= 0) {
        ok = close(fd) == 0 && ok;
    }
    ok = ok && rename(temporary, path) == 0;
    if (!ok && fd >= 0) {
        (void)unlink(temporary);
    }
    free(temporary);
    return ok ? 0 : ERR_IO;
}

struct save {
    struct offload_job job; /* first */
    char *path, *names;
    char *text;
    size_t len;
    int err;
};

static void save_free(struct save *save)
{
    free(save->path);
    free(save->names);
    free(save->text);
    free(save);
}

static void save_work(struct offload_job *job)
{
    struct save *save = (struct save *)(void *)job;

    save->err = disk_save(save->path, slice_of(save->text, save->len));
    if (save->err < 0) {
        (void)unlink(save->path); /* it holds keys that may have been withdrawn */
    }
}

static void log_failure(const char *path, const char *names)
{
    log_warning("jwks", "cannot keep the keys on disk provider=%s file=%s", names, path);
}

static void save_done(struct offload_job *job)
{
    struct save *save = (struct save *)(void *)job;

    if (save->err < 0) {
        log_failure(save->path, save->names);
    }
    save_free(save);
}

void disk_save_later(struct offload *offload, struct loop *loop, const char *path,
                     struct slice text, const char *names)
{
    struct save *save = calloc(1, sizeof(*save));

    if (save == NULL) {
        log_failure(path, names);
        return;
    }
    save->job.work = save_work;
    save->job.done = save_done;
    save->path = strdup(path);
    save->names = strdup(names);
    save->text = malloc(text.len + 1);
    save->len = text.len;
    if (save->text != NULL) {
        memcpy(save->text, text.ptr, text.len);
    }
    if (save->path == NULL || save->names == NULL || save->text == NULL ||
        offload_submit(offload, loop, &save->job) < 0) {
        log_failure(path, names);
        save_free(save);
    }
}

bool disk_touch(const char *path)
{
    return utimensat(AT_FDCWD, path, NULL, 0) == 0;
}
