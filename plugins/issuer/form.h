/* SPDX-License-Identifier: Apache-2.0 */
/* application/x-www-form-urlencoded, as OAuth sends it (RFC 6749 appendix B).  Strict: escapes are two hex
 * digits, text is UTF-8 without control characters, no name comes twice (section 3.2).  Pure. */
#pragma once

#include "core/arena.h"
#include "core/err.h"
#include "core/slice.h"

#define FORM_MAX_FIELDS 32u

struct headers; /* core/headers.h */

struct form_field {
    struct slice name, value; /* decoded; in the arena */
};

struct form {
    struct form_field fields[FORM_MAX_FIELDS];
    size_t count;
};

/* Is there one Content-Type, and does it name a form? */
bool form_is_announced(const struct headers *headers);
/* ERR_BAD_INPUT, ERR_TOO_BIG (too many fields), ERR_NO_MEMORY. */
int form_read(struct arena *arena, struct slice text, struct form *ret) MUST_CHECK;
/* Absent: there is none, or it has no value, which is the same (RFC 6749 section 3.2). */
struct slice form_get(const struct form *form, struct slice name);

/* One name or value: "+" and escapes decoded, into the arena. ERR_BAD_INPUT, ERR_NO_MEMORY. */
int form_decode(struct arena *arena, struct slice text, struct slice *ret) MUST_CHECK;
