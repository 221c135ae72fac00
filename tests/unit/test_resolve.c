/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/resolve.h"
#include "core/slice.h"

#include <check.h>
#include <event2/event.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#define TYPE_A    1
#define TYPE_AAAA 28

/* A name server on the loop of the test.  It knows a few names. */
static struct {
    int fd;
    struct event *event;
    char address[32];
    unsigned questions;
} server;

static const struct record {
    const char *name;
    int type;
    uint8_t ttl;
    bool silent; /* no reply at all */
    uint8_t bytes[16];
} records[] = {
    { "both.test", TYPE_A, 77, false, { 192, 0, 2, 1 } },
    { "both.test", TYPE_AAAA, 33, false, { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } },
    { "four.test", TYPE_A, 55, false, { 192, 0, 2, 4 } },
    { "zero.test", TYPE_A, 0, false, { 192, 0, 2, 5 } },
    { "half.test", TYPE_A, 44, false, { 192, 0, 2, 6 } },
    { "half.test", TYPE_AAAA, 0, true, { 0 } },
    { "mute.test", TYPE_A, 0, true, { 0 } },
    { "mute.test", TYPE_AAAA, 0, true, { 0 } },
};

static struct loop *loop;
static struct resolver *resolver;
static struct resolve_answer got;
static unsigned answers;

/* The question's name with dots; the offset behind its type and class. */
static size_t read_question(const uint8_t *packet, char *ret_name, int *ret_type)
{
    size_t at = 12, out = 0;

    while (packet[at] != 0) {
        size_t len = packet[at++];
        for (size_t i = 0; i < len; i++) {
            ret_name[out++] = (char)packet[at++];
        }
        ret_name[out++] = '.';
    }
    ret_name[out > 0 ? out - 1 : 0] = '\0';
    *ret_type = packet[at + 1] << 8 | packet[at + 2];
    return at + 5;
}

/* Make a reply of the question; its length, 0 for none. */
static size_t make_reply(uint8_t *packet)
{
    char name[256];
    int type;
    bool known = false;
    size_t at = read_question(packet, name, &type);

    packet[2] |= 0x84;
    packet[3] = 0x80;
    packet[7] = packet[11] = 0;
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        const struct record *r = &records[i];
        if (!slice_eq_nocase(slice_str(name), slice_str(r->name))) {
            continue;
        }
        known = true;
        if (r->type != type) {
            continue;
        }
        uint8_t len = type == TYPE_A ? 4 : 16;
        uint8_t head[] = { 0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, 0, r->ttl, 0, len };
        memcpy(packet + at, head, sizeof(head));
        memcpy(packet + at + sizeof(head), r->bytes, len);
        packet[7] = 1;
        return r->silent ? 0 : at + sizeof(head) + len;
    }
    packet[3] |= known ? 0 : 3;
    return at;
}

static void server_on_event(evutil_socket_t fd, short what, void *arg)
{
    uint8_t packet[1024];
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    ssize_t n = recvfrom(fd, packet, 512, 0, (struct sockaddr *)&from, &from_len);

    loop_turn_begin(loop);
    if (n < 17) {
        return;
    }
    server.questions++;
    size_t len = make_reply(packet);
    if (len > 0) {
        (void)!sendto(fd, packet, len, 0, (struct sockaddr *)&from, from_len);
    }
}

static void server_start(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof(addr);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.questions = 0;
    server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(server.fd, (struct sockaddr *)&addr, len), 0);
    ck_assert_int_eq(getsockname(server.fd, (struct sockaddr *)&addr, &len), 0);
    snprintf(server.address, sizeof(server.address), "127.0.0.1:%d", ntohs(addr.sin_port));
    server.event =
        event_new(loop_base(loop), server.fd, EV_READ | EV_PERSIST, server_on_event, NULL);
    ck_assert_ptr_nonnull(server.event);
    ck_assert_int_eq(event_add(server.event, NULL), 0);
}

static void setup(void)
{
    loop = loop_new();
    ck_assert_ptr_nonnull(loop);
    resolver = resolver_new(loop);
    ck_assert_ptr_nonnull(resolver);
    server_start();
    ck_assert_int_eq(resolver_set_nameserver(resolver, server.address), 0);
    answers = 0;
}

static void teardown(void)
{
    resolver_free(resolver);
    event_free(server.event);
    close(server.fd);
    loop_free(loop);
}

static void on_answer(void *arg, const struct resolve_answer *answer)
{
    answers++;
    got = *answer;
}

static void ask(const char *name)
{
    ck_assert_ptr_nonnull(resolver_ask(resolver, name, on_answer, NULL));
    ck_assert_uint_eq(answers, 0);
    while (answers == 0) {
        loop_turn(loop, true);
    }
    loop_turn(loop, false);
    ck_assert_uint_eq(answers, 1);
}

static void expect_address(unsigned i, const char *expected)
{
    char text[INET6_ADDRSTRLEN];
    const struct sockaddr_storage *addr = &got.addresses[i].addr;
    const void *bytes = addr->ss_family == AF_INET
                            ? (const void *)&((const struct sockaddr_in *)addr)->sin_addr
                            : (const void *)&((const struct sockaddr_in6 *)addr)->sin6_addr;

    ck_assert_uint_lt(i, got.count);
    ck_assert_ptr_nonnull(inet_ntop(addr->ss_family, bytes, text, sizeof(text)));
    ck_assert_str_eq(text, expected);
}

START_TEST(literals_are_recognised)
{
    static const struct {
        const char *host;
        int family; /* 0: no literal */
    } rows[] = {
        { "192.0.2.1", AF_INET },
        { "::1", AF_INET6 },
        { "[::1]", AF_INET6 },
        { "[192.0.2.1]", 0 },
        { "192.0.2", 0 },
        { "0x7f.0.0.1", 0 },
        { "", 0 },
        { "[", 0 },
        { "[]", 0 },
        { "example.com", 0 },
        { "::1]", 0 },
        { "1.2.3.4.5", 0 },
        { "2001:db8::1", AF_INET6 },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sockaddr_storage addr = { 0 };
        socklen_t len = 0;
        ck_assert_msg(resolve_literal(rows[i].host, 80, &addr, &len) == (rows[i].family != 0), "%s",
                      rows[i].host);
        ck_assert_int_eq(addr.ss_family, rows[i].family);
    }
}
END_TEST

START_TEST(a_literal_asks_nobody)
{
    ask("192.0.2.9");
    ck_assert_int_eq(got.err, 0);
    expect_address(0, "192.0.2.9");
    ck_assert_uint_eq(server.questions, 0);
}
END_TEST

START_TEST(localhost_is_always_known)
{
    ask("localhost");
    ck_assert_int_eq(got.err, 0);
    ck_assert_uint_ge(got.count, 1);
    ck_assert_uint_eq(got.ttl_s, 60);
    answers = 0;
    ask("Some.LocalHost.");
    ck_assert_int_eq(got.err, 0);
    expect_address(0, "127.0.0.1");
    ck_assert_uint_eq(server.questions, 0);
}
END_TEST

START_TEST(both_families_are_asked_and_the_smaller_ttl_counts)
{
    ask("both.test");
    ck_assert_int_eq(got.err, 0);
    ck_assert_uint_eq(got.count, 2);
    expect_address(0, "192.0.2.1");
    expect_address(1, "2001:db8::1");
    ck_assert_uint_eq(got.ttl_s, 33);
}
END_TEST

START_TEST(one_family_is_enough)
{
    ask("four.test");
    ck_assert_int_eq(got.err, 0);
    ck_assert_uint_eq(got.count, 1);
    expect_address(0, "192.0.2.4");
    ck_assert_uint_eq(got.ttl_s, 55);
}
END_TEST

START_TEST(a_ttl_of_zero_counts_as_one_second)
{
    ask("zero.test");
    ck_assert_int_eq(got.err, 0);
    ck_assert_uint_eq(got.ttl_s, 1);
}
END_TEST

START_TEST(a_silent_second_family_delays_the_answer_only_shortly)
{
    uint64_t shortest_ms = UINT64_MAX;

    for (unsigned i = 0; i < 5 && shortest_ms >= 1900;
         i++) { /* once, but for a machine that is busy */
        uint64_t start_ms = clock_ms();

        answers = 0;
        ask("half.test");
        ck_assert_int_eq(got.err, 0);
        ck_assert_uint_eq(got.count, 1);
        shortest_ms = clock_ms() - start_ms;
    }
    ck_assert_uint_lt(shortest_ms, 1900); /* a name server has two seconds */
}
END_TEST

START_TEST(an_unknown_name_is_an_error)
{
    ask("unknown.test");
    ck_assert_int_eq(got.err, ERR_RESOLVE);
    ck_assert_uint_eq(got.count, 0);
}
END_TEST

START_TEST(a_bad_name_is_an_error)
{
    static char name[400];

    memset(name, 'a', sizeof(name) - 1);
    ask(name);
    ck_assert_int_eq(got.err, ERR_RESOLVE);
    answers = 0;
    ask("");
    ck_assert_int_eq(got.err, ERR_RESOLVE);
}
END_TEST

START_TEST(without_a_name_server_the_answer_is_an_error)
{
    ck_assert_int_eq(resolver_set_nameserver(resolver, NULL), 0);
    ask("both.test");
    ck_assert_int_eq(got.err, ERR_RESOLVE);
    ck_assert_int_eq(resolver_set_nameserver(resolver, "nonsense"), ERR_BAD_INPUT);
}
END_TEST

START_TEST(a_silent_name_server_is_a_timeout)
{
    ask("mute.test");
    ck_assert_int_eq(got.err, ERR_TIMEOUT);
}
END_TEST

START_TEST(a_cancelled_query_does_not_call_back)
{
    struct resolve_query *query = resolver_ask(resolver, "both.test", on_answer, NULL);

    resolver_cancel(query);
    query = resolver_ask(resolver, "both.test", on_answer, NULL);
    loop_turn(loop, true); /* the questions are out */
    resolver_cancel(query);
    query = resolver_ask(resolver, "localhost", on_answer, NULL);
    resolver_cancel(query);
    for (unsigned i = 0; i < 20; i++) {
        loop_turn(loop, false);
        usleep(1000);
    }
    ck_assert_uint_eq(answers, 0);
}
END_TEST

START_TEST(pending_queries_end_with_the_resolver)
{
    ck_assert_ptr_nonnull(resolver_ask(resolver, "mute.test", on_answer, NULL));
    ck_assert_ptr_nonnull(resolver_ask(resolver, "both.test", on_answer, NULL));
    loop_turn(loop, true);
    ck_assert_ptr_nonnull(resolver_ask(resolver, "localhost", on_answer, NULL));
    resolver_free(resolver);
    resolver = NULL;
    loop_turn(loop, false);
    ck_assert_uint_eq(answers, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resolve");
    TCase *tc = tcase_create("resolve");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, literals_are_recognised);
    tcase_add_test(tc, a_literal_asks_nobody);
    tcase_add_test(tc, localhost_is_always_known);
    tcase_add_test(tc, both_families_are_asked_and_the_smaller_ttl_counts);
    tcase_add_test(tc, one_family_is_enough);
    tcase_add_test(tc, a_ttl_of_zero_counts_as_one_second);
    tcase_add_test(tc, a_silent_second_family_delays_the_answer_only_shortly);
    tcase_add_test(tc, an_unknown_name_is_an_error);
    tcase_add_test(tc, a_bad_name_is_an_error);
    tcase_add_test(tc, without_a_name_server_the_answer_is_an_error);
    tcase_add_test(tc, a_silent_name_server_is_a_timeout);
    tcase_add_test(tc, a_cancelled_query_does_not_call_back);
    tcase_add_test(tc, pending_queries_end_with_the_resolver);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
