/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/inherit.h"

#include <check.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FIRST 60 /* Check has a use for 3 */

static struct inherit inherit;

static void setup(void)
{
    inherit = (struct inherit){ .parent_fd = -1 };
}

static void teardown(void)
{
    inherit_done(&inherit);
    for (int i = 0; i < 3; i++) {
        close(FIRST + i);
    }
}

static void place(int slot, int fd)
{
    ck_assert_int_eq(dup2(fd, FIRST + slot), FIRST + slot);
    close(fd);
}

/* A socket on loopback at descriptor FIRST + slot; its port. */
static uint16_t listen_at(int slot, uint16_t port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    place(slot, fd);
    return ntohs(addr.sin_port);
}

static int read_with(const char *pid, const char *count, const char *names)
{
    char own[32];

    snprintf(own, sizeof(own), "%d", (int)getpid());
    setenv("LISTEN_PID", pid == NULL ? own : pid, 1);
    setenv("LISTEN_FDS", count, 1);
    setenv("LISTEN_FDNAMES", names, 1);
    return inherit_read(&inherit, FIRST);
}

static struct config_listener listener_at(uint16_t port, const char *name)
{
    struct config_listener listener = { .element = { .name = slice_str(name) } };
    struct sockaddr_in *addr = (struct sockaddr_in *)(void *)&listener.address;

    addr->sin_family = AF_INET;
    addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    addr->sin_port = htons(port);
    listener.address_len = sizeof(*addr);
    return listener;
}

START_TEST(without_an_environment_there_is_nothing)
{
    ck_assert_int_eq(inherit_read(&inherit, FIRST), 0);
    ck_assert_uint_eq(inherit.count, 0);
    ck_assert_int_eq(inherit.parent_fd, -1);
    inherit_tell_ready(&inherit); /* to nobody */
}
END_TEST

START_TEST(a_socket_belongs_to_the_listener_with_its_address)
{
    uint16_t port = listen_at(0, 0), other = listen_at(1, 0);
    listen_at(2, port);
    struct config_listener first = listener_at(port, "a"), second = listener_at(other, "b"),
                           none = listener_at(other == 1 ? 2 : 1, "x");

    ck_assert_int_eq(read_with(NULL, "3", "x:y:z"), 0);
    ck_assert_ptr_null(getenv("LISTEN_PID"));
    ck_assert_ptr_null(getenv("LISTEN_FDS"));
    ck_assert_ptr_null(getenv("LISTEN_FDNAMES"));
    ck_assert_uint_eq(inherit_count(&inherit, &first), 2);
    ck_assert_uint_eq(inherit_count(&inherit, &second), 1);
    ck_assert_uint_eq(inherit_count(&inherit, &none), 0);
    ck_assert_int_eq(inherit_take(&inherit, &first, 0, false), FIRST);
    ck_assert_int_eq(inherit_take(&inherit, &first, 1, false), FIRST + 2);
    ck_assert_int_eq(inherit_take(&inherit, &first, 2, false), -1);
    ck_assert(inherit_may_be_joined(FIRST));
    ck_assert_int_ne(fcntl(FIRST, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_ne(fcntl(FIRST, F_GETFL) & O_NONBLOCK, 0);
    inherit_close_rest(&inherit);
    ck_assert_int_eq(fcntl(FIRST + 1, F_GETFD), -1);
    ck_assert_int_ge(fcntl(FIRST, F_GETFD), 0);
}
END_TEST

START_TEST(a_port_of_the_kernel_is_found_by_its_name)
{
    struct config_listener named = listener_at(0, "b"), other = listener_at(0, "c"),
                           empty = listener_at(0, "");

    listen_at(0, 0);
    listen_at(1, 0);
    ck_assert_int_eq(read_with(NULL, "2", "a:b"), 0);
    ck_assert_uint_eq(inherit_count(&inherit, &named), 1);
    ck_assert_uint_eq(inherit_count(&inherit, &other), 0);
    ck_assert_uint_eq(inherit_count(&inherit, &empty), 0);
    int shared = inherit_take(&inherit, &named, 0, true);
    ck_assert_int_ge(shared, 0);
    ck_assert_int_ne(shared, FIRST + 1);
    ck_assert_int_eq(inherit_take(&inherit, &named, 0, false), FIRST + 1);
    close(shared);
}
END_TEST

START_TEST(those_of_another_process_are_left_alone)
{
    static const char *const pids[] = { "1", "", "x", "99999999999999999999" };

    listen_at(0, 0);
    for (unsigned i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
        ck_assert_int_eq(read_with(pids[i], "1", "a"), 0);
        ck_assert_uint_eq(inherit.count, 0);
        ck_assert_int_eq(fcntl(FIRST, F_GETFD) & FD_CLOEXEC, 0);
    }
    setenv("LISTEN_FDS", "1", 1); /* and nobody whom we replace */
    ck_assert_int_eq(inherit_read(&inherit, FIRST), 0);
    ck_assert_uint_eq(inherit.count, 0);
}
END_TEST

START_TEST(what_is_no_listening_socket_is_an_error)
{
    ck_assert_int_eq(read_with(NULL, "1", "a"), ERR_BAD_INPUT); /* closed */
    inherit_done(&inherit);
    place(0, socket(AF_INET, SOCK_STREAM, 0));
    ck_assert_int_eq(read_with(NULL, "1", "a"), ERR_BAD_INPUT); /* not listening */
    inherit_done(&inherit);
    place(0, open("/dev/null", O_RDONLY));
    ck_assert_int_eq(read_with(NULL, "1", "a"), ERR_BAD_INPUT);
    inherit_done(&inherit);
    ck_assert_int_eq(read_with(NULL, "65537", "a"), ERR_TOO_BIG);
    ck_assert_int_eq(read_with(NULL, "-1", "a"), 0);
    ck_assert_uint_eq(inherit.count, 0);
}
END_TEST

START_TEST(the_process_that_is_replaced_is_told)
{
    int ends[2];
    char word = '\0';

    listen_at(0, 0);
    ck_assert_int_eq(pipe(ends), 0);
    place(1, ends[1]);
    setenv("LISTEN_FDS", "1", 1);
    setenv(INHERIT_PARENT_VARIABLE, "61:ready", 1);
    ck_assert_int_eq(inherit_read(&inherit, FIRST), 0);
    ck_assert_ptr_null(getenv(INHERIT_PARENT_VARIABLE));
    ck_assert_uint_eq(inherit.count, 1);
    ck_assert(inherit.parent_is_ready);
    inherit_tell_ready(&inherit);
    ck_assert_int_eq(inherit.parent_fd, -1);
    ck_assert_int_eq(read(ends[0], &word, 1), 1);
    ck_assert_int_eq(word, 'R');
    ck_assert_int_eq(read(ends[0], &word, 1), 0);
    close(ends[0]);
}
END_TEST

START_TEST(who_is_replaced_must_be_a_pipe)
{
    static const char *const texts[] = { "", "x", "60", "60:ready", "1000", "61x", "99999999999" };

    listen_at(0, 0);
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        setenv(INHERIT_PARENT_VARIABLE, texts[i], 1);
        ck_assert_int_eq(inherit_read(&inherit, FIRST), ERR_BAD_INPUT);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inherit");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, without_an_environment_there_is_nothing);
    tcase_add_test(cases, a_socket_belongs_to_the_listener_with_its_address);
    tcase_add_test(cases, a_port_of_the_kernel_is_found_by_its_name);
    tcase_add_test(cases, those_of_another_process_are_left_alone);
    tcase_add_test(cases, what_is_no_listening_socket_is_an_error);
    tcase_add_test(cases, the_process_that_is_replaced_is_told);
    tcase_add_test(cases, who_is_replaced_must_be_a_pipe);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
