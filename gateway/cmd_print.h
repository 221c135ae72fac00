/* SPDX-License-Identifier: Apache-2.0 */
/* JSON on standard output, safe for a terminal: no byte of it is a control character. */
#pragma once

#include "core/json.h"

#include <stdio.h>

/* In quotes. */
void cmd_print_string(FILE *out, struct slice text);
void cmd_print_json(FILE *out, const struct json *value);
