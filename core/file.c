/* SPDX-License-Identifier: Apache-2.0 */
#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
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
