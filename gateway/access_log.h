/* SPDX-License-Identifier: Apache-2.0 */
/* One line per request (JSON, or combined), formatted on the worker into its ring, written by the
 * sink's thread. */
#pragma once

#include "core/slice.h"

struct request;

#define ACCESS_LOG_BYTES 4096u /* no line is longer */

/* Write the line of an ended request; nothing when the log is off, or for the admin listener (probes
 * and scrapes are no traffic). */
void access_log_write(const struct request *req);
/* The line with its newline, in `ret_text`. */
struct slice access_log_format(const struct request *req, char ret_text[ACCESS_LOG_BYTES]);
