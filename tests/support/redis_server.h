/* SPDX-License-Identifier: Apache-2.0 */
/* A real redis-server of one test, on a unix socket in a folder of its own, with nothing saved. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct redis_server {
    pid_t pid; /* 0: not running */
    char folder[64];
    char socket[96];
    char url[112]; /* "unix:..." */
};

/* False: there is no redis-server on this machine, or it does not start. */
bool redis_server_start(struct redis_server *server, const char *password);
/* Start it again where it was, empty. */
bool redis_server_again(struct redis_server *server, const char *password);
/* By SIGKILL; the folder stays for redis_server_again(). */
void redis_server_kill(struct redis_server *server);
void redis_server_stop(struct redis_server *server);
