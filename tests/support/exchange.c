/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/exchange.h"

#include <check.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int client, server;
bool closed;

void exchange_setup(void)
{
    fixture_setup();
    fixture_add_target(true);
    fixture_start();
    client = fixture_connect();
    server = -1;
}

void hang_up(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

void exchange_teardown(void)
{
    hang_up(&client);
    hang_up(&server);
    fixture_teardown();
}

void ask(const char *text)
{
    fixture_send(client, text);
    hang_up(&server);
    server = fixture_accept(0);
    ck_assert_int_ge(server, 0);
}

void expect(int fd, const char *part)
{
    const char *text = fixture_receive(fd, &closed);

    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" is not in \"%s\"", part, text);
}

void expect_end(enum outcome outcome, unsigned count)
{
    ck_assert_uint_eq(fx.end_count, count);
    ck_assert_str_eq(outcome_word(fixture_last_end()->outcome), outcome_word(outcome));
}

unsigned occurrences(const char *text, const char *part)
{
    unsigned count = 0;

    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) {
        count++;
    }
    return count;
}

size_t pump(int fd, size_t most)
{
    static char block[16384];
    size_t sum = 0;

    for (unsigned stalls = 0; stalls < 3 && sum < most;) {
        size_t n = most - sum < sizeof(block) ? most - sum : sizeof(block);
        ssize_t sent = send(fd, block, n, MSG_NOSIGNAL);
        stalls = sent > 0 ? 0 : stalls + 1;
        sum += sent > 0 ? (size_t)sent : 0;
        fixture_spin();
    }
    return sum;
}

size_t drink(int from, int to, size_t left_to_send)
{
    static char block[65536];
    size_t sum = 0;

    for (unsigned stalls = 0; stalls < 3;) {
        ssize_t n = recv(to, block, sizeof(block), 0);
        stalls = n > 0 ? 0 : stalls + 1;
        sum += n > 0 ? (size_t)n : 0;
        fixture_spin();
        left_to_send -= pump(from, left_to_send);
    }
    return sum;
}

size_t memory_bytes(void)
{
    return block_pool_in_use(loop_pool(fx.worker->loop)) * BUF_BLOCK_BYTES;
}
