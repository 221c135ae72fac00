/* SPDX-License-Identifier: Apache-2.0 */
#include "core/buf.h"

#include <check.h>

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct block_pool *pool;
static struct buf a, b;
static char pattern[200000];

static void setup(void)
{
    pool = block_pool_new(4);
    ck_assert_ptr_nonnull(pool);
    buf_init(&a, pool);
    buf_init(&b, pool);
    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (char)(i * 31u + i / 251u);
    }
}

static void teardown(void)
{
    buf_clear(&a);
    buf_clear(&b);
    ck_assert_uint_eq(block_pool_in_use(pool), 0);
    block_pool_free(pool);
}

/* `buf` holds exactly pattern[from, from + len). */
static void expect(const struct buf *buf, size_t from, size_t len)
{
    struct iovec iov[64];
    unsigned count = buf_iovecs(buf, iov, 64);
    size_t seen = 0;

    ck_assert_uint_eq(buf->len, len);
    for (unsigned i = 0; i < count; i++) {
        ck_assert_uint_gt(iov[i].iov_len, 0);
        ck_assert_mem_eq(iov[i].iov_base, pattern + from + seen, iov[i].iov_len);
        seen += iov[i].iov_len;
    }
    ck_assert_uint_eq(seen, len);
    ck_assert((buf->head == NULL) == (len == 0));
}

static void fill(struct buf *buf, size_t from, size_t len)
{
    ck_assert_int_eq(buf_append(buf, slice_of(pattern + from, len)), 0);
}

START_TEST(appended_bytes_come_out_in_order)
{
    fill(&a, 0, 10);
    fill(&a, 10, 50000);
    expect(&a, 0, 50010);
    ck_assert_uint_eq(block_pool_in_use(pool), 4);
    buf_drain(&a, 20000);
    expect(&a, 20000, 30010);
    buf_drain(&a, 30010);
    expect(&a, 0, 0);
    ck_assert_uint_eq(block_pool_in_use(pool), 0);
    ck_assert_uint_eq(buf_front(&a).len, 0);
}
END_TEST

START_TEST(reserve_and_commit_append)
{
    fill(&a, 0, BUF_BLOCK_BYTES - 3);
    char *room = buf_reserve(&a, 10);
    ck_assert_ptr_nonnull(room);
    memcpy(room, pattern + BUF_BLOCK_BYTES - 3, 10);
    buf_commit(&a, 10);
    expect(&a, 0, BUF_BLOCK_BYTES + 7);
}
END_TEST

START_TEST(committing_nothing_gives_the_block_back)
{
    ck_assert_ptr_nonnull(buf_reserve(&a, 10));
    buf_commit(&a, 0);
    ck_assert_uint_eq(block_pool_in_use(pool), 0);
    fill(&a, 0, BUF_BLOCK_BYTES);
    ck_assert_ptr_nonnull(buf_reserve(&a, 10));
    buf_commit(&a, 0);
    expect(&a, 0, BUF_BLOCK_BYTES);
    ck_assert_uint_eq(block_pool_in_use(pool), 1);
}
END_TEST

START_TEST(pullup_makes_the_front_contiguous)
{
    static const struct {
        size_t drop, have, n, capacity;
    } rows[] = {
        { 0, 100, 100, 100 },        { 0, 100, 100, 16384 },       { 16000, 1000, 1000, 16384 },
        { 16000, 1000, 800, 65536 }, { 100, 60000, 50000, 0 },     { 100, 60000, 60000, 65536 },
        { 0, 60000, 60000, 60000 },  { 16383, 20000, 2, 0 },       { 16383, 40000, 16384, 16384 },
        { 5, 20000, 10, 65536 },     { 10000, 16384, 6400, 9000 },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fill(&a, 0, rows[i].drop + rows[i].have);
        buf_drain(&a, rows[i].drop);
        ck_assert_int_eq(buf_pullup(&a, rows[i].n, rows[i].capacity), 0);
        ck_assert_uint_ge(buf_front(&a).len, rows[i].n);
        expect(&a, rows[i].drop, rows[i].have);
        if (buf_front(&a).len == a.len) {
            ck_assert_uint_ge(a.len + buf_tail_room(&a), rows[i].capacity);
        }
        fill(&a, rows[i].drop + rows[i].have, 100);
        expect(&a, rows[i].drop, rows[i].have + 100);
        buf_clear(&a);
    }
}
END_TEST

START_TEST(move_takes_exactly_the_first_bytes)
{
    static const struct {
        size_t drop, from, to, n;
    } rows[] = {
        { 0, 100, 0, 100 },           { 0, 100, 0, 1 },
        { 0, 100, 50, 99 },           { 0, 16384, 0, 16000 },
        { 0, 16384, 0, 100 },         { 0, 16384, 16380, 10 },
        { 3, 60000, 100, 60000 },     { 3, 60000, 100, 59999 },
        { 3, 60000, 0, 16381 },       { 3, 60000, 16384, 16382 },
        { 16380, 20000, 20, 4 },      { 16380, 20000, 20, 5 },
        { 0, 60000, 5, 0 },           { 0, 16384, 16384, 8192 },
        { 16000, 20000, 15000, 400 }, { 16000, 40000, 15000, 17000 },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t end = rows[i].drop + rows[i].to;
        fill(&b, rows[i].drop, rows[i].to);
        fill(&a, rows[i].to, rows[i].drop + rows[i].from);
        buf_drain(&a, rows[i].drop);
        ck_assert_int_eq(buf_move(&b, &a, rows[i].n), 0);
        expect(&b, rows[i].drop, rows[i].to + rows[i].n);
        expect(&a, end + rows[i].n, rows[i].from - rows[i].n);
        fill(&a, end + rows[i].from, 10);
        fill(&b, end + rows[i].n, 10);
        expect(&b, rows[i].drop, rows[i].to + rows[i].n + 10);
        expect(&a, end + rows[i].n, rows[i].from - rows[i].n + 10);
        buf_clear(&a);
        buf_clear(&b);
    }
}
END_TEST

START_TEST(move_of_part_of_a_large_block)
{
    static const size_t parts[] = { 1, 20000, 30000, 40000, 59999, 60000 };

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        fill(&a, 0, 60000);
        ck_assert_int_eq(buf_pullup(&a, 60000, 65536), 0);
        ck_assert_int_eq(buf_move(&b, &a, parts[i]), 0);
        expect(&b, 0, parts[i]);
        expect(&a, parts[i], 60000 - parts[i]);
        buf_clear(&a);
        buf_clear(&b);
    }
}
END_TEST

START_TEST(many_short_moves_share_blocks)
{
    for (size_t i = 0; i < 1000; i++) {
        fill(&a, i * 10, 10);
        ck_assert_int_eq(buf_move(&b, &a, 10), 0);
    }
    expect(&b, 0, 10000);
    ck_assert_uint_eq(block_pool_in_use(pool), 1);
}
END_TEST

START_TEST(random_operations_keep_the_bytes)
{
    size_t written = 0, moved = 0, drained = 0;

    srand(7);
    for (unsigned i = 0; i < 2000; i++) {
        size_t n = (size_t)rand() % 5000;
        if (written + n <= sizeof(pattern)) {
            fill(&a, written, n);
            written += n;
        }
        n = (size_t)rand() % (a.len + 1);
        if (b.len < 100000) {
            ck_assert_int_eq(buf_move(&b, &a, n), 0);
            moved += n;
        }
        n = (size_t)rand() % (b.len + 1);
        ck_assert_int_eq(buf_pullup(&b, n, (size_t)rand() % 70000), 0);
        n = (size_t)rand() % (b.len + 1);
        buf_drain(&b, n);
        drained += n;
        expect(&b, drained, moved - drained);
        expect(&a, moved, written - moved);
    }
}
END_TEST

START_TEST(bytes_survive_a_socket)
{
    int fds[2];
    bool filled;
    size_t sent = 0, got = 0;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    fill(&a, 0, 150000);
    while (got < 150000) {
        ssize_t n = buf_write_fd(&a, fds[0]);
        ck_assert(n >= 0 || n == ERR_BUSY);
        sent += n > 0 ? (size_t)n : 0;
        n = buf_read_fd(&b, fds[1], (unsigned)(got % 20) + 1, &filled);
        ck_assert(n > 0 || n == ERR_BUSY);
        got += n > 0 ? (size_t)n : 0;
    }
    ck_assert_uint_eq(sent, 150000);
    expect(&b, 0, 150000);
    ck_assert_int_eq(buf_read_fd(&b, fds[1], 16, &filled), ERR_BUSY);
    expect(&b, 0, 150000);
    close(fds[0]);
    ck_assert_int_eq(buf_read_fd(&b, fds[1], 1, &filled), 0);
    fill(&a, 0, 10);
    ck_assert_int_eq(buf_write_fd(&a, fds[1]), ERR_RESET);
    close(fds[1]);
}
END_TEST

START_TEST(a_read_goes_into_the_room_of_the_last_block)
{
    int fds[2];
    bool filled;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    fill(&a, 0, 100);
    ck_assert_int_eq(write(fds[0], pattern + 100, 50), 50);
    ck_assert_int_eq(buf_read_fd(&a, fds[1], 1, &filled), 50);
    ck_assert(!filled);
    expect(&a, 0, 150);
    ck_assert_uint_eq(block_pool_in_use(pool), 1);
    ck_assert_int_eq(write(fds[0], pattern + 150, 20000), 20000);
    ck_assert_int_eq(buf_read_fd(&a, fds[1], 1, &filled), BUF_BLOCK_BYTES - 150);
    ck_assert(filled);
    ck_assert_int_gt(buf_read_fd(&a, fds[1], 1, &filled), 0);
    expect(&a, 0, 20150);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("buf");
    TCase *tc = tcase_create("buf");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, appended_bytes_come_out_in_order);
    tcase_add_test(tc, reserve_and_commit_append);
    tcase_add_test(tc, committing_nothing_gives_the_block_back);
    tcase_add_test(tc, pullup_makes_the_front_contiguous);
    tcase_add_test(tc, move_takes_exactly_the_first_bytes);
    tcase_add_test(tc, move_of_part_of_a_large_block);
    tcase_add_test(tc, many_short_moves_share_blocks);
    tcase_add_test(tc, random_operations_keep_the_bytes);
    tcase_add_test(tc, bytes_survive_a_socket);
    tcase_add_test(tc, a_read_goes_into_the_room_of_the_last_block);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
