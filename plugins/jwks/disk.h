/* SPDX-License-Identifier: Apache-2.0 */
/* The last good set of a store on disk, so that a restart while its server is away still serves.  The
 * file's time is when the server last confirmed it.  What is read is checked like a fetched set. */
#pragma once

#include "core/offload.h"
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
/* Replace at once: a reader sees the old file or the new one. ERR_IO, ERR_NO_MEMORY.  Blocks. */
int disk_save(const char *path, struct slice text) MUST_CHECK;
/* The same on a thread of the pool, in the order of the calls if it has one; all is copied.  A failure is
 * logged, with `names`, and the old copy removed: nobody would know that it is outdated. */
void disk_save_later(struct offload *offload, struct loop *loop, const char *path,
                     struct slice text, const char *names);
/* The server says that it is still so. False: there is no copy. */
bool disk_touch(const char *path);
