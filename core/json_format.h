/* SPDX-License-Identifier: Apache-2.0 */
/* The canonical form of JSON with comments.  Depends on the values, their order, the comments and
 * empty lines between members, not on how the text was laid out: formatting twice changes nothing.
 *
 * Two spaces a level.  An object or array is on one line when it fits (100 columns), holds no comment
 * and nests at most two levels.  Strings and numbers stay as they were written.  A comment behind a
 * value stays behind it, every other one has a line of its own; at most one empty line is kept. */
#pragma once

#include "core/json.h"

/* The formatted text in `arena`.  ERR_BAD_INPUT with *ret_error filled: json_parse() refuses the text;
 * ERR_NO_MEMORY. */
int json_format(struct arena *arena, struct slice text, const struct json_limits *limits,
                struct json_error *ret_error, struct slice *ret) MUST_CHECK;
