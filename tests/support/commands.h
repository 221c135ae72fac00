/* SPDX-License-Identifier: Apache-2.0 */
/* The program's commands, run inside the test: what they print and how they end.  In a scratch folder
 * that is the current one (tests/support/config_file.h). */
#pragma once

#include "gateway/cmd.h"

#include "tests/support/config_file.h"

/* A provider with the secret of config_file_setup(), and a route for which its tokens need "read". */
#define PROVIDER                                                                                   \
    "\"providers\": {\"p\": {\"issuer\": \"https://i.test/\", \"audiences\": [\"a\"],\n"           \
    "\"algorithms\": [\"HS256\"], \"max_lifetime\": \"1h\", \"keys\": [{\"kid\": \"k1\", "         \
    "\"secret\": "                                                                                 \
    "{\"env\": \"JWTGATE_HS256_SECRET\"}}]}},\n"
#define GUARDED                                                                                    \
    "\"routes\": {\"r\": {\"match\": {\"path_prefix\": \"/orders\"}, \"upstream\": \"u\", "        \
    "\"auth\": "                                                                                   \
    "{\"provider\": \"p\", \"scopes\": [\"read\"]}}}}\n"

/* What the last command wrote; valid until the next one. */
extern char command_out[262144], command_err[65536];

/* Run "check --strict -c t.jsonc": words are split at blanks.  `input`: its standard input, NULL: empty. */
int run_command(const char *words, const char *input);
/* Its exit code is `code`, and standard output and error hold these parts (NULL: anything). */
void expect_command(const char *words, const char *input, int code, const char *out,
                    const char *err);
/* t.jsonc with these. */
void write_guarded_config(void);
/* A file's text; valid until the next call. */
const char *read_file_text(const char *name);
