/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that listen: each worker has its own for a public address (SO_REUSEPORT). */
#pragma once

#include "core/err.h"
#include "gateway/config.h"

#include <stdint.h>

#define LISTENING_BACKLOG 4096

/* A new one, not blocking; ERR_IO with errno.  *port: 0 for the first of several, then theirs.  `old`:
 * the configuration in use, NULL at the start; nobody else may have the port. */
int listening_open(const struct config_listener *config, const struct config *old, uint16_t *port,
                   int *ret_fd) MUST_CHECK;
uint16_t listening_port(int fd); /* 0: not known */
/* With its name in a folder, when nobody else (as after an upgrade) listens there. */
void listening_close(int fd);
/* How many wait to be accepted; when that is not known, as many as can. */
unsigned listening_queue(int fd);
