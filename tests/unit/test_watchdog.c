/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/loop.h"
#include "gateway/gateway.h"
#include "gateway/watchdog.h"
#include "gateway/worker.h"

#include <check.h>

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WORKERS 3u

static int manager;
static uint64_t now_ms;
static struct worker made[WORKERS];
static struct worker *workers[WORKERS];
static struct gateway gateway;
static struct watchdog *watchdog;

static void setup(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    char name[64];
    int len = snprintf(name, sizeof(name), "@jwtgate-test-%d", (int)getpid());

    memcpy(addr.sun_path, name, (size_t)len);
    addr.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(manager, (struct sockaddr *)&addr,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
    now_ms = 1000;
    clock_set(now_ms, 1);
    for (unsigned i = 0; i < WORKERS; i++) {
        made[i] = (struct worker){ .index = i, .loop = loop_new() };
        workers[i] = &made[i];
    }
    gateway =
        (struct gateway){ .control = workers[0], .workers = workers, .worker_count = WORKERS };
}

static void teardown(void)
{
    watchdog_free(watchdog);
    watchdog = NULL;
    for (unsigned i = 0; i < WORKERS; i++) {
        loop_free(made[i].loop);
    }
    close(manager);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    clock_unset();
}

static void start(const char *us)
{
    setenv("WATCHDOG_USEC", us, 1);
    ck_assert_int_eq(watchdog_start(&gateway, &watchdog), 0);
}

/* A quarter of the manager's time passes; `turning`: a bit for each loop that turns. */
static bool barks(unsigned turning)
{
    char got[64] = "";

    for (unsigned i = WORKERS; i-- > 0;) {
        if (i == 0) {
            now_ms += 251;
            clock_set(now_ms, 1);
        }
        for (unsigned turn = 0; turn < 3 && (turning >> i & 1) != 0; turn++) {
            loop_turn(made[i].loop, false);
        }
    }
    (void)!recv(manager, got, sizeof(got) - 1, 0);
    return strcmp(got, "WATCHDOG=1") == 0;
}

START_TEST(it_barks_while_all_loops_turn)
{
    start("1000000");
    ck_assert(barks(7));
    ck_assert(barks(7));
}
END_TEST

START_TEST(it_is_silent_while_one_does_not)
{
    start("1000000");
    ck_assert(!barks(5));
    ck_assert(!barks(5));
    ck_assert(!barks(3));
    ck_assert(barks(7));
    ck_assert(!barks(3));
}
END_TEST

START_TEST(who_has_ended_is_not_asked)
{
    start("1000000");
    made[1].has_ended = true;
    ck_assert(barks(5));
    ck_assert(barks(5));
}
END_TEST

START_TEST(nobody_may_watch)
{
    static const char *const texts[] = { "", "0", "x", "1s", "-1", "99999999999999999999999" };

    ck_assert_int_eq(watchdog_start(&gateway, &watchdog), 0);
    ck_assert_ptr_null(watchdog);
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        start(texts[i]);
        ck_assert_ptr_null(watchdog);
    }
    setenv("WATCHDOG_PID", "1", 1);
    start("1000000");
    ck_assert_ptr_null(watchdog);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("watchdog");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, it_barks_while_all_loops_turn);
    tcase_add_test(cases, it_is_silent_while_one_does_not);
    tcase_add_test(cases, who_has_ended_is_not_asked);
    tcase_add_test(cases, nobody_may_watch);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
