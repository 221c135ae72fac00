/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/notify.h"

#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NOTIFY_BYTES 512u

static void send_text(const struct sockaddr_un *addr, socklen_t addr_len, const char *text)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return;
    }
    if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)addr, addr_len) < 0) {
        log_warning("gateway", "cannot notify the service manager error=\"%s\"", strerror(errno));
    }
    close(fd);
}

void notify_send(const char *format, ...)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    size_t len = path == NULL ? 0 : strlen(path);
    char text[NOTIFY_BYTES];
    va_list args;

    if (len < 2 || len >= sizeof(addr.sun_path) || (path[0] != '/' && path[0] != '@')) {
        return;
    }
    memcpy(addr.sun_path, path, len);
    if (path[0] == '@') {
        addr.sun_path[0] = '\0'; /* abstract */
    }
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    send_text(&addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len), text);
}

void notify_reloading(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    notify_send("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)now.tv_sec * 1000000u +
                                                        (unsigned long long)now.tv_nsec / 1000u);
}
