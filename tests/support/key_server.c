/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/key_server.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_PAGES 4
#define MAX_HELD  16

struct page {
    char path[128], answer[2048];
    unsigned asked;
};

static struct {
    int fd;
    pthread_t thread;
    char origin[64], uri[80];
    pthread_mutex_t lock; /* of all below */
    struct page pages[MAX_PAGES];
    char head[4096];
    int held[MAX_HELD]; /* connections that are not answered */
    unsigned held_count;
} server = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct page *find_page(const char *path)
{
    struct page *page = server.pages;

    while (page < server.pages + MAX_PAGES && strcmp(page->path, path) != 0) {
        page++;
    }
    return page == server.pages + MAX_PAGES ? NULL : page;
}

/* NULL: none that may be sent. */
static const char *take_request(const char *head, char ret_answer[2048])
{
    struct page *page;
    char path[128] = "";

    (void)!sscanf(head, "GET %127s", path);
    pthread_mutex_lock(&server.lock);
    page = find_page(path);
    snprintf(server.head, sizeof(server.head), "%s", head);
    snprintf(ret_answer, 2048, "%s",
             page == NULL ? "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n" : page->answer);
    if (page != NULL) {
        page->asked++;
    }
    pthread_mutex_unlock(&server.lock);
    return ret_answer[0] == '\0' ? NULL : ret_answer;
}

static void answer(int fd)
{
    char head[4096] = "", text[2048];
    const char *reply = recv(fd, head, sizeof(head) - 1, 0) > 0 ? take_request(head, text) : "";

    if (reply == NULL && server.held_count < MAX_HELD) {
        server.held[server.held_count++] = fd; /* only this thread's, until it has ended */
        return;
    }
    if (reply != NULL) {
        (void)!send(fd, reply, strlen(reply), MSG_NOSIGNAL);
    }
    close(fd);
}

static void *serve(void *arg)
{
    int fd;

    while ((fd = accept(server.fd, NULL, NULL)) >= 0) {
        answer(fd);
    }
    return NULL;
}

void key_server_start(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof(addr);

    memset(server.pages, 0, sizeof(server.pages));
    server.head[0] = '\0';
    server.held_count = 0;
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(server.fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(server.fd, 16), 0);
    ck_assert_int_eq(getsockname(server.fd, (struct sockaddr *)&addr, &len), 0);
    snprintf(server.origin, sizeof(server.origin), "http://127.0.0.1:%u", ntohs(addr.sin_port));
    snprintf(server.uri, sizeof(server.uri), "%s/keys", server.origin);
    ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

void key_server_stop(void)
{
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.fd);
    while (server.held_count > 0) {
        close(server.held[--server.held_count]);
    }
}

const char *key_server_origin(void)
{
    return server.origin;
}

const char *key_server_uri(void)
{
    return server.uri;
}

void key_server_say(const char *path, const char *answer)
{
    struct page *page;

    pthread_mutex_lock(&server.lock);
    page = find_page(path);
    page = page == NULL ? find_page("") : page; /* a free one */
    ck_assert_ptr_nonnull(page);
    snprintf(page->path, sizeof(page->path), "%s", path);
    snprintf(page->answer, sizeof(page->answer), "%s", answer);
    pthread_mutex_unlock(&server.lock);
}

unsigned key_server_asked(const char *path)
{
    const struct page *page;
    unsigned asked;

    pthread_mutex_lock(&server.lock);
    page = find_page(path);
    asked = page == NULL ? 0 : page->asked;
    pthread_mutex_unlock(&server.lock);
    return asked;
}

const char *key_server_head(void)
{
    static char head[4096];

    pthread_mutex_lock(&server.lock);
    memcpy(head, server.head, sizeof(head));
    pthread_mutex_unlock(&server.lock);
    return head;
}
