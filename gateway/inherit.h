/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets that this process was given at its start: by the process that it replaces
 * (upgrade.h), or by a service manager (sd_listen_fds(3)).  They are descriptors from 3 on, LISTEN_FDS
 * of them, with LISTEN_FDNAMES; LISTEN_PID says for whom they are.
 *
 * A socket belongs to the listener that has its address; where a listener leaves the port to the
 * kernel, to the listener that has its name. */
#pragma once

#include "core/err.h"
#include "gateway/config.h"

#include <stddef.h>

#define INHERIT_NAME_BYTES 64u
#define INHERIT_FIRST_FD   3
/* Where a process tells the one that it replaces that it is ready: "FD" or "FD:ready", when that one is. */
#define INHERIT_PARENT_VARIABLE "JWTGATE_UPGRADE"

struct inherit_socket {
    int fd;
    char name[INHERIT_NAME_BYTES];
    struct sockaddr_storage address;
    bool taken; /* fd is a listener's now */
};

struct inherit {
    struct inherit_socket *sockets;
    size_t count;
    int parent_fd;        /* a pipe; -1: nobody is replaced */
    bool parent_is_ready; /* then so must we be */
};

/* Read the environment and take these variables out of it; no other thread runs yet.  `first_fd`:
 * INHERIT_FIRST_FD.  Errors (what is there is no listening socket) are logged. */
int inherit_read(struct inherit *ret, int first_fd) MUST_CHECK;
/* How many belong to the listener. */
unsigned inherit_count(const struct inherit *inherit, const struct config_listener *listener);
/* The nth of them, which is the caller's now.  With `shares`: a second descriptor of it. -1: none
 * (errno). */
int inherit_take(struct inherit *inherit, const struct config_listener *listener, unsigned nth,
                 bool shares);
/* May others listen on this address beside it (SO_REUSEPORT)? */
bool inherit_may_be_joined(int fd);
/* Close what nobody took, with a warning. */
void inherit_close_rest(struct inherit *inherit);
/* Tell the process that we replace: it ends now. */
void inherit_tell_ready(struct inherit *inherit);
void inherit_done(struct inherit *inherit);
