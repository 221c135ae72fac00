/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a file that somebody has named.  Only a regular one: a pipe or a device, which would have to be
 * waited for, and a folder are refused at once. */
#pragma once

#include "core/err.h"

#include <stddef.h>
#include <sys/stat.h>

/* A descriptor to read from, and what it is.  `flags`: O_NOFOLLOW, or 0.  -1: see errno, and `ret_why` for
 * people, until the next call of strerror(). */
int file_open(const char *path, int flags, struct stat *ret, const char **ret_why);
/* Until its end, or until there are `size` bytes.  ERR_IO: see errno. */
int file_read(int fd, void *buf, size_t size, size_t *ret_len) MUST_CHECK;
