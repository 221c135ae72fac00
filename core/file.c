/* SPDX-License-Identifier: Apache-2.0 */
#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int file_open(const char *path, int flags, struct stat *ret, const char **ret_why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);

    if (fd < 0 || fstat(fd, ret) != 0) {
        *ret_why = strerror(errno);
    } else if (!S_ISREG(ret->st_mode)) {
        *ret_why = "it is not a regular file";
        errno = EINVAL;
    } else {
        return fd;
    }
    if (fd >= 0) {
        int saved = errno;

        close(fd);
        errno = saved;
    }
    return -1;
}

int file_read(int fd, void *buf, size_t size, size_t *ret_len)
{
    char *at = buf;
    size_t len = 0;
    ssize_t n = 1;

    while (n != 0 && len < size) {
        n = read(fd, at + len, size - len);
        if (n < 0 && errno != EINTR) {
            return ERR_IO;
        }
        len += n > 0 ? (size_t)n : 0;
    }
    *ret_len = len;
    return 0;
}

int file_write(int fd, struct slice content)
{
    while (content.len > 0) {
        ssize_t n = write(fd, content.ptr, content.len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return ERR_IO;
        }
        content = slice_skip(content, (size_t)n);
    }
    return fsync(fd) != 0 ? ERR_IO : 0;
}

int file_open_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL   ? strdup(".")
                   : slash == path ? strdup("/")
                                   : strndup(path, (size_t)(slash - path));
    int fd = folder == NULL ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    free(folder);
    return fd;
}

int file_sync_folder(const char *path)
{
    int fd = file_open_folder(path);
    int err = fd < 0 || fsync(fd) != 0 ? ERR_IO : 0;

    if (fd >= 0) {
        close(fd);
    }
    return err;
}
