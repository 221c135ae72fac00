/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/notify.h"

#include <check.h>

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int manager;
static char got[1024];

/* An abstract socket, which no file stays of. */
static void setup(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    char name[64];
    int len = snprintf(name, sizeof(name), "@jwtgate-test-%d", (int)getpid());

    memcpy(addr.sun_path, name, (size_t)len);
    addr.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(manager, 0);
    ck_assert_int_eq(bind(manager, (struct sockaddr *)&addr,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)),
                     0);
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
}

static void teardown(void)
{
    close(manager);
    unsetenv("NOTIFY_SOCKET");
}

static const char *receive(void)
{
    ssize_t n = recv(manager, got, sizeof(got) - 1, 0);

    got[n < 0 ? 0 : n] = '\0';
    return got;
}

START_TEST(the_manager_gets_the_lines)
{
    notify_send("READY=1\nSTATUS=%s", "well");
    ck_assert_str_eq(receive(), "READY=1\nSTATUS=well");
}
END_TEST

START_TEST(a_reload_has_its_time)
{
    unsigned long long us = 0;

    notify_reloading();
    ck_assert_int_eq(sscanf(receive(), "RELOADING=1\nMONOTONIC_USEC=%llu", &us), 1);
    ck_assert_uint_gt(us, 0);
}
END_TEST

START_TEST(a_long_text_is_cut)
{
    char text[2000];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    notify_send("STATUS=%s", text);
    ck_assert_uint_lt(strlen(receive()), 600);
    ck_assert_int_eq(strncmp(got, "STATUS=xxx", 10), 0);
}
END_TEST

START_TEST(without_a_manager_nothing_is_sent)
{
    static const char *const names[] = { "", "/", "relative", "@" };

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        notify_send("READY=1");
        ck_assert_str_eq(receive(), "");
    }
    unsetenv("NOTIFY_SOCKET");
    notify_send("READY=1");
    ck_assert_str_eq(receive(), "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("notify");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, the_manager_gets_the_lines);
    tcase_add_test(cases, a_reload_has_its_time);
    tcase_add_test(cases, a_long_text_is_cut);
    tcase_add_test(cases, without_a_manager_nothing_is_sent);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
