/* SPDX-License-Identifier: Apache-2.0 */
/* A secret that the configuration names but does not hold: in the environment or in a file of its own,
 * which others may not read (only a group, when root owns it). */
#pragma once

#include "core/options.h"

#include <sys/stat.h>

#define SECRET_MAX_BYTES 4096u

struct secret_source {
    struct slice env; /* absent: file */
    const char *file;
};

extern const struct option secret_options[]; /* for OPT_OBJECT: of a struct secret_source */

/* May nobody but its owner read the file (or a group, when root owns it)? */
bool secret_file_is_private(const struct stat *st);

static inline bool secret_is_named(const struct secret_source *source)
{
    return !slice_is_absent(source->env) || source->file != NULL;
}

/* Read it without the newline at its end; the caller wipes `ret`.  Mistakes (neither or both, not set,
 * empty, too long, readable by others) go to ctx->diag at `where` and `path`. ERR_CONFIG. */
int secret_read(const struct secret_source *source, const struct option_context *ctx,
                const struct json *where, const char *path, char ret[SECRET_MAX_BYTES],
                size_t *ret_len) MUST_CHECK;
