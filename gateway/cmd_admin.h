/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that ask a gateway that runs, through its admin listener. */
#pragma once

#include "core/slice.h"
#include "gateway/cmd.h"

#define CMD_ADMIN_TOKEN_BYTES 4128u
#define CMD_ADMIN_PATH_BYTES  108u

struct config;
struct fetcher;
struct loop;

enum { CMD_ADMIN_ADDRESS = 0x1000, CMD_ADMIN_TOKEN_FILE };

#define CMD_OPTION_ADMIN                                                                           \
    CMD_OPTION_CONFIG,                                                                             \
    {                                                                                              \
        .id = CMD_ADMIN_ADDRESS, .name = "address", .value = "ADDRESS",                            \
        .help = "HOST:PORT or unix:PATH; default: the configuration's", .is_long_only = true       \
    }
#define CMD_OPTION_ADMIN_TOKEN                                                                     \
    {                                                                                              \
        .id = CMD_ADMIN_TOKEN_FILE, .name = "token-file", .value = "FILE",                         \
        .help = "holds the admin token; default: admin.token", .is_long_only = true                \
    }

struct cmd_admin {
    const char *config_file, *address, *token_file; /* of the command line; NULL: not given */

    struct loop *loop;
    struct fetcher *fetcher;
    char url[128];                             /* "http://127.0.0.1:9901" */
    char socket[CMD_ADMIN_PATH_BYTES];         /* of a unix socket; empty: none */
    char authorization[CMD_ADMIN_TOKEN_BYTES]; /* "Bearer ..."; empty: no token */
};

struct cmd_admin_answer {
    unsigned status;
    char *body; /* malloc'ed, with NUL */
    size_t len;
};

/* An option of CMD_OPTION_ADMIN or CMD_OPTION_ADMIN_TOKEN; false: another one. */
bool cmd_admin_take(struct cmd_admin *admin, const struct cmd_line *line, int option);
/* Find out where it listens and, with `changes`, who we are.  EXIT_YES, or another one of enum
 * cmd_exit after a message on stderr. */
int cmd_admin_open(struct cmd_admin *admin, bool changes);
/* The same for a configuration that was read already, to ask only. */
int cmd_admin_open_for(struct cmd_admin *admin, const struct config *config);
/* The same, when nobody answers; then nothing is printed with `quiet`. */
int cmd_admin_ask(struct cmd_admin *admin, bool posts, const char *path, unsigned timeout_ms,
                  bool quiet, struct cmd_admin_answer *ret);
/* POST `body`, JSON. */
int cmd_admin_post(struct cmd_admin *admin, const char *path, struct slice body,
                   unsigned timeout_ms, bool quiet, struct cmd_admin_answer *ret);
/* Where it listens, for messages. */
const char *cmd_admin_place(const struct cmd_admin *admin);
/* Say on stderr why it refused. EXIT_NO. */
int cmd_admin_refused(const struct cmd_admin_answer *answer);
void cmd_admin_close(struct cmd_admin *admin); /* wipes the token */
