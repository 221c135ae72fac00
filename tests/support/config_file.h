/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files for tests, in a scratch folder that is the current one. */
#pragma once

#include "gateway/config.h"

#include <check.h>

#define UPSTREAMS "\"upstreams\": {\"u\": {\"targets\": [\"127.0.0.1:9\"]}},\n"
#define LISTENERS "\"listeners\": {\"l\": {\"address\": \"127.0.0.1:0\"}},\n"
#define HEAD      "{\"version\": 1,\n" LISTENERS UPSTREAMS
#define ROUTES                                                                                     \
    "\"routes\": {\"r\": {\"match\": {\"path_prefix\": \"/\"}, "                                   \
    "\"upstream\": \"u\", \"auth\": \"none\"}}}\n"

struct config_error {
    const char *text; /* of a whole file */
    const char *line; /* how the first message starts */
};

extern struct diag diag;                 /* of the test under way */
extern const char *config_file_conf_dir; /* conf/ of the source tree; NULL: not found */

void config_file_setup(void);
void config_file_teardown(void);
void write_file(const char *name, const char *text);
struct config *load(const char *text); /* as t.jsonc; NULL: see diag */
char *printed(void);                   /* all messages; to be freed */
void assert_loads(struct config *config);
void config_file_expect_error(const struct config_error *error);
/* Run the suite in a scratch folder: what main() returns. */
int config_file_run(Suite *suite);
