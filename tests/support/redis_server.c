/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/redis_server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static bool answers(const struct redis_server *server)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_up;

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", server->socket);
    is_up = fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return is_up;
}

bool redis_server_again(struct redis_server *server, const char *password)
{
    server->pid = fork();
    if (server->pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", server->socket,
               "--dir", server->folder, "--save", "", "--appendonly", "no", "--loglevel", "warning",
               "--requirepass", password, (char *)NULL);
        _exit(127);
    }
    for (unsigned i = 0; i < 1000 && server->pid > 0; i++) {
        if (answers(server)) {
            return true;
        }
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid) {
            server->pid = 0;
            break;
        }
        poll(NULL, 0, 10);
    }
    redis_server_stop(server);
    return false;
}

bool redis_server_start(struct redis_server *server, const char *password)
{
    memset(server, 0, sizeof(*server));
    snprintf(server->folder, sizeof(server->folder), "/tmp/jwtgate-redis-XXXXXX");
    if (mkdtemp(server->folder) == NULL) {
        return false;
    }
    snprintf(server->socket, sizeof(server->socket), "%s/redis.sock", server->folder);
    snprintf(server->url, sizeof(server->url), "unix:%s", server->socket);
    return redis_server_again(server, password);
}

void redis_server_kill(struct redis_server *server)
{
    if (server->pid > 0) {
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
        server->pid = 0;
    }
    unlink(server->socket);
}

void redis_server_stop(struct redis_server *server)
{
    redis_server_kill(server);
    rmdir(server->folder);
}
