/* SPDX-License-Identifier: Apache-2.0 */
/* The line of a text that an error is about, with its place marked.  Values of keys that are named like
 * secrets are shown as stars, also in a text that cannot be parsed. */
#pragma once

#include "core/diag.h"

/* Nothing when the place is not in the text. */
void diag_print_excerpt(FILE *out, struct slice text, const struct diag_entry *entry);
/* Is it the name of a key whose value must not be shown? */
bool diag_is_secret_name(struct slice name);
