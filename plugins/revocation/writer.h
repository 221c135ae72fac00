/* SPDX-License-Identifier: Apache-2.0 */
/* Revoking from a command: writes to the store that the configuration names, and waits until it has
 * it.  An entry that is there is never shortened, and never made older. */
#pragma once

#include "plugins/revocation/config.h"
#include "plugins/revocation/entry.h"
#include "plugins/revocation/local_store.h"

#define REVOCATION_ERROR_BYTES 256u

struct revocation_writer;

/* `state_dir` may be NULL with Redis.  On error `ret_error` says what is wrong. */
int revocation_writer_open(const struct revocation_settings *settings, const char *state_dir,
                           struct revocation_writer **ret,
                           char ret_error[REVOCATION_ERROR_BYTES]) MUST_CHECK;
void revocation_writer_close(struct revocation_writer *writer); /* NULL is fine */

/* 0: the store has it. */
int revocation_writer_put(struct revocation_writer *writer,
                          const struct revocation_entry *entry) MUST_CHECK;
/* Is the key there? ERR_NOT_FOUND: surely not. */
int revocation_writer_find(struct revocation_writer *writer, struct slice key) MUST_CHECK;
/* All entries of the store; fn returns false to stop. */
int revocation_writer_visit(struct revocation_writer *writer,
                            bool (*fn)(void *arg, const struct local_entry *entry),
                            void *arg) MUST_CHECK;
/* What went wrong last. */
const char *revocation_writer_error(const struct revocation_writer *writer);
