/* SPDX-License-Identifier: Apache-2.0 */
/* What the service manager is told (sd_notify(3)): one datagram, no library.  Without NOTIFY_SOCKET nothing. */
#pragma once

/* "READY=1\nSTATUS=..."; lines of NAME=value.  Any thread. */
void notify_send(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The configuration is read again: until the next READY=1. */
void notify_reloading(void);
