/* SPDX-License-Identifier: Apache-2.0 */
/* Did you mean ...?  Pure. */
#pragma once

#include "core/slice.h"

/* The nearest of `names` by edit distance (at most 1/3 of its length, at least 1), or NULL. */
const char *nearest_name(struct slice word, const char *const *names, size_t count);
