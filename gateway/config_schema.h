/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration's keys as documentation, from the tables that parse it. */
#pragma once

#include "core/err.h"

#include <stdio.h>

struct option; /* core/options.h */

/* JSON Schema 2020-12. ERR_NO_MEMORY. */
int config_write_schema(FILE *out) MUST_CHECK;
/* The same of another file than the configuration, which `table` parses. */
void config_write_schema_of(FILE *out, const char *title, const struct option *table);

struct config_key {
    const char *path;  /* "upstreams.NAME.timeouts.connect" */
    const char *type;  /* "duration" */
    const char *def;   /* as JSON; NULL: none */
    const char *range; /* "1 to 10", "a or b"; NULL: nothing to say */
    const char *help;
    bool required;
};
typedef void config_key_fn(void *arg, const struct config_key *key);
/* Each key, parents before children. ERR_NO_MEMORY. */
int config_each_key(config_key_fn *fn, void *arg) MUST_CHECK;
