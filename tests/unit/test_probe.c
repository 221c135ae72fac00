/* SPDX-License-Identifier: Apache-2.0 */
/* `check --online`: what is said of a key server that is there, is not, or talks nonsense. */
#include "plugins/jwks/probe.h"

#include <check.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SET                                                                                        \
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\","                               \
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},{\"kty\":\"oct\",\"kid\":\"s\","       \
    "\"k\":\"AAAA\"}]}"

static struct {
    int fd;
    pthread_t thread;
    char origin[64];
    const char *path, *answer; /* any other path: 404 */
    char metadata[256];        /* at `metadata_path`; empty: 404 */
    const char *metadata_path;
} server;

static struct {
    char text[4096];
    unsigned good, bad;
} said;

static void on_line(void *arg, bool ok, const char *text)
{
    size_t len = strlen(said.text);

    snprintf(said.text + len, sizeof(said.text) - len, "%s\n", text);
    said.good += ok;
    said.bad += !ok;
}

static void *serve(void *arg)
{
    for (;;) {
        char head[4096] = "", target[256] = "", text[1024];
        const char *body = NULL;
        int fd = accept(server.fd, NULL, NULL);

        if (fd < 0) {
            return NULL;
        }
        ssize_t len = recv(fd, head, sizeof(head) - 1, 0);
        (void)!sscanf(head, "GET %255s", target);
        if (server.path != NULL && strcmp(target, server.path) == 0) {
            body = server.answer;
        } else if (server.metadata_path != NULL && strcmp(target, server.metadata_path) == 0) {
            body = server.metadata;
        }
        snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nConnection: close\r\n\r\n%s",
                 body == NULL ? "404 Not Found" : "200 OK", body == NULL ? "" : body);
        if (len > 0) {
            (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
        }
        close(fd);
    }
}

static void setup(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof(addr);

    memset(&server, 0, sizeof(server));
    memset(&said, 0, sizeof(said));
    server.fd = socket(AF_INET, SOCK_STREAM, 0);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(server.fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(server.fd, 8), 0);
    getsockname(server.fd, (struct sockaddr *)&addr, &len);
    snprintf(server.origin, sizeof(server.origin), "http://127.0.0.1:%u", ntohs(addr.sin_port));
}

static void teardown(void)
{
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.fd);
}

static void probe(bool discovery)
{
    char uri[128];

    snprintf(uri, sizeof(uri), "%s/keys", server.origin);
    struct jwks_options options = { .uri = discovery ? SLICE_ABSENT : slice_str(uri),
                                    .discovery = discovery,
                                    .allow_http = true,
                                    .timeout_ms = 5000,
                                    .max_bytes = 4096 };
    ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
    jwks_probe(&options, SLICE("corp"), slice_str(server.origin), on_line, NULL);
}

static void assert_said(const char *text)
{
    ck_assert_msg(strstr(said.text, text) != NULL, "%s in:\n%s", text, said.text);
}

START_TEST(keys_that_came_are_listed)
{
    server.path = "/keys";
    server.answer = SET;
    probe(false);
    ck_assert_uint_eq(said.bad, 0);
    assert_said("jwks/corp: ok: 1 key from http://127.0.0.1:");
    assert_said("jwks/corp: key \"a\"");
    assert_said("key \"s\" skipped");
}
END_TEST

START_TEST(what_is_no_set_is_told)
{
    server.path = "/keys";
    server.answer = "<html>";
    probe(false);
    ck_assert_uint_eq(said.good, 0);
    assert_said("it is not JSON");
}
END_TEST

START_TEST(a_status_is_told)
{
    probe(false);
    ck_assert_uint_eq(said.bad, 1);
    assert_said("status 404");
}
END_TEST

static const char *const well_known[] = { "/.well-known/openid-configuration",
                                          "/.well-known/oauth-authorization-server" };

START_TEST(metadata_lead_to_the_keys)
{
    server.path = "/keys";
    server.answer = SET;
    server.metadata_path = well_known[_i];
    snprintf(server.metadata, sizeof(server.metadata),
             "{\"issuer\":\"%s\",\"jwks_uri\":\"%s/keys\"}", server.origin, server.origin);
    probe(true);
    ck_assert_uint_eq(said.bad, 0);
    assert_said("ok: 1 key from");
}
END_TEST

START_TEST(metadata_of_another_issuer_are_told)
{
    server.path = "/keys";
    server.answer = SET;
    server.metadata_path = well_known[1];
    snprintf(server.metadata, sizeof(server.metadata),
             "{\"issuer\":\"%s/\",\"jwks_uri\":\"%s/keys\"}", server.origin, server.origin);
    probe(true);
    ck_assert_uint_eq(said.good, 0);
    ck_assert_uint_eq(said.bad, 1); /* not one for each place that was looked at */
    assert_said("the metadata are of another issuer");
}
END_TEST

START_TEST(no_metadata_at_all_are_told_once)
{
    probe(true);
    ck_assert_uint_eq(said.good, 0);
    ck_assert_uint_eq(said.bad, 1);
    assert_said("status 404");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("probe");
    TCase *tcase = tcase_create("probe");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, keys_that_came_are_listed);
    tcase_add_test(tcase, what_is_no_set_is_told);
    tcase_add_test(tcase, a_status_is_told);
    tcase_add_loop_test(tcase, metadata_lead_to_the_keys, 0, 2);
    tcase_add_test(tcase, metadata_of_another_issuer_are_told);
    tcase_add_test(tcase, no_metadata_at_all_are_told_once);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
