/* SPDX-License-Identifier: Apache-2.0 */
/* The last good set of a store on disk, so that a restart while its server is away still serves.  The
 * file's time is when the server last confirmed it.  What is read is checked like a fetched set. */
#pragma once

#include "core/err.h"
#include "core/slice.h"

#include <stdint.h>

struct disk_text { /* malloc'ed */
    char *ptr;
    size_t len;
    int64_t unix_time;
};

/* The name of the file in `folder` for this source ("issuer uri"); malloc'ed, NULL: no memory. */
char *disk_path(const char *folder, struct slice source);
/* ERR_NOT_FOUND, ERR_IO (also: not owned by us or root, or writable by others), ERR_TOO_BIG,
 * ERR_NO_MEMORY. */
int disk_load(const char *path, size_t max_bytes, struct disk_text *ret) MUST_CHECK;
/* Replace at once: a reader sees the old file or the new one. ERR_IO. */
int disk_save(const char *path, struct slice text) MUST_CHECK;
/* The server says that it is still so. */
void disk_touch(const char *path);
