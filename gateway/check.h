/* SPDX-License-Identifier: Apache-2.0 */
/* What `jwtgate check` does, apart from its arguments. */
#pragma once

#include <stdbool.h>

struct check_request {
    const char *file; /* NULL: the default places */
    bool strict, print, quiet, json;
    bool online; /* also ask what the configuration depends on */
};

/* Messages go to stderr (as JSON to stdout), the effective configuration to stdout.  The exit
 * code. */
int check_config(const struct check_request *request);
