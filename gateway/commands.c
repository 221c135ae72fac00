/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands: one line each. */
#include "gateway/cmd.h"

/* In the order of the help. */
const struct command *const commands[] = {
    /* clang-format off */
    &command_run,
    &command_check,
    &command_fmt,
    &command_demo,
    &command_reload,
    &command_drain,
    &command_stop,
    &command_status,
    &command_routes,
    &command_explain,
    &command_keys,
    &command_token,
    &command_client,
    &command_revoke,
    &command_revocations,
    &command_help,
    &command_completion,
    &command_version,
    NULL,
    /* clang-format on */
};
