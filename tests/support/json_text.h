/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that are JSON, read into an arena that is the test's own. */
#pragma once

#include "core/json.h"

#include <check.h>

extern struct arena json_arena;

/* Each test of `tc` has a fresh arena. */
void json_text_use(TCase *tc);
/* All that was read is gone. */
void json_text_forget(void);
const struct json *json_text(const char *text);
