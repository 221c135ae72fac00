/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing a file that somebody has named; all of it blocks.  Only a regular one is read: a pipe or a
 * device, which would have to be waited for, and a folder are refused at once. */
#pragma once

#include "core/err.h"
#include "core/slice.h"

#include <stddef.h>
#include <sys/stat.h>

/* A descriptor to read from, and what it is.  `flags`: O_NOFOLLOW, or 0.  -1: see errno, and `ret_why` for
 * people, until the next call of strerror(). */
int file_open(const char *path, int flags, struct stat *ret, const char **ret_why);
/* Until its end, or until there are `size` bytes.  ERR_IO: see errno. */
int file_read(int fd, void *buf, size_t size, size_t *ret_len) MUST_CHECK;
/* All of it, and on the disk.  ERR_IO: see errno. */
int file_write(int fd, struct slice content) MUST_CHECK;
/* A descriptor of the folder that `path` is in.  -1: see errno. */
int file_open_folder(const char *path);
/* So that a name made in that folder survives a loss of power.  ERR_IO: see errno. */
int file_sync_folder(const char *path) MUST_CHECK;
