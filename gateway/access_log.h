/* SPDX-License-Identifier: Apache-2.0 */
/* One line per request (JSON, or combined), formatted on the worker into its ring, written by the
 * sink's thread. */
#pragma once

#include "core/slice.h"
#include "plugins/plugin.h"

struct request;

#define ACCESS_LOG_BYTES 4096u /* no line is longer */

/* Write the line of an ended request; nothing when the log is off, or for the admin listener (probes
 * and scrapes are no traffic). */
void access_log_write(const struct request *req);
/* A name of a person (an attribute) as the log shows it: itself, or with hash_subject a hash in `buf`. */
#define ACCESS_LOG_NAME_BYTES 16u
struct slice access_log_name(const struct request *req, enum gw_attr attr,
                             char buf[ACCESS_LOG_NAME_BYTES]);
/* The line with its newline, in `ret_text`. */
struct slice access_log_format(const struct request *req, char ret_text[ACCESS_LOG_BYTES]);
