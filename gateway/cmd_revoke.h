/* SPDX-License-Identifier: Apache-2.0 */
/* What `revoke` and `revocations` share. */
#pragma once

#include "gateway/config.h"
#include "plugins/revocation/writer.h"

/* The configuration with a key "revocation"; NULL: reported, *ret_exit is set. */
struct config *cmd_revoke_config(const char *config_file, int *ret_exit);
/* The store that it names; NULL: reported. */
struct revocation_writer *cmd_revoke_store(const struct config *config);
