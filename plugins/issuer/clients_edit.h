/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the text of clients.jsonc (clients.h) that leave everything else as it is, comments too.  Only
 * comments inside of a client that is removed go with it.  Pure. */
#pragma once

#include "core/err.h"
#include "core/slice.h"

#define CLIENTS_EDIT_INDENT "    " /* of a client on lines of its own */

/* The text to begin a file with. */
extern const char clients_edit_empty[];

/* `text` is one that clients_parse() accepts.  `object`: the client's value.  The new text is malloc'ed.
 * ERR_EXISTS, ERR_NO_MEMORY, ERR_BAD_INPUT. */
int clients_edit_add(struct slice text, struct slice id, struct slice object,
                     char **ret) MUST_CHECK;
/* ERR_NOT_FOUND, ERR_NO_MEMORY, ERR_BAD_INPUT. */
int clients_edit_remove(struct slice text, struct slice id, char **ret) MUST_CHECK;
