/* SPDX-License-Identifier: Apache-2.0 */
/* One line per request (JSON, or combined), formatted on the worker into its ring, written by the
 * sink's thread. */
#pragma once

struct request;

/* Write the line of an ended request; nothing when the log is off. */
void access_log_write(const struct request *req);
