/* SPDX-License-Identifier: Apache-2.0 */
#include "core/redis_sentinel.h"

#include <check.h>

#include <stdlib.h>

static struct redis_reply *reply_of(const char *text)
{
    struct redis_reader *reader = redis_reader_new(4096);
    struct redis_reply *reply = NULL;

    ck_assert_ptr_nonnull(reader);
    ck_assert_int_eq(redis_reader_feed(reader, slice_str(text)), 0);
    ck_assert_int_eq(redis_reader_next(reader, &reply), 0);
    ck_assert_ptr_nonnull(reply);
    redis_reader_free(reader);
    return reply;
}

static const struct {
    const char *reply;
    int err;
    uint64_t epoch;
} epochs[] = {
    { "*4\r\n$2\r\nip\r\n$1\r\na\r\n$12\r\nconfig-epoch\r\n$2\r\n17\r\n", 0, 17 },
    { "*2\r\n$12\r\nconfig-epoch\r\n$1\r\n0\r\n", 0, 0 },
    { "*2\r\n$2\r\nip\r\n$12\r\nconfig-epoch\r\n", ERR_BAD_INPUT, 0 },
    { "*1\r\n$12\r\nconfig-epoch\r\n", ERR_BAD_INPUT, 0 },
    { "*2\r\n$12\r\nconfig-epoch\r\n$2\r\n-1\r\n", ERR_BAD_INPUT, 0 },
    { "*2\r\n$12\r\nconfig-epoch\r\n$0\r\n\r\n", ERR_BAD_INPUT, 0 },
    { "*2\r\n$12\r\nconfig-epoch\r\n$20\r\n99999999999999999999\r\n", ERR_BAD_INPUT, 0 },
    { "*2\r\n$12\r\nconfig-epoch\r\n:5\r\n", ERR_BAD_INPUT, 0 },
    { "*0\r\n", ERR_BAD_INPUT, 0 },
    { "-ERR No such master with that name\r\n", ERR_BAD_INPUT, 0 },
};

START_TEST(epochs_are_read)
{
    struct redis_reply *reply = reply_of(epochs[_i].reply);
    uint64_t epoch = 0;

    ck_assert_int_eq(redis_sentinel_read_epoch(reply, &epoch), epochs[_i].err);
    ck_assert_uint_eq(epoch, epochs[_i].epoch);
    redis_reply_free(reply);
}
END_TEST

static const struct {
    const char *reply;
    int err;
    const char *host;
    unsigned port;
} masters[] = {
    { "*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n", 0, "10.0.0.1", 6379 },
    { "*2\r\n$3\r\n::1\r\n$4\r\n7000\r\n", 0, "::1", 7000 },
    { "*2\r\n$8\r\n10.0.0.1\r\n$1\r\n0\r\n", ERR_BAD_INPUT, NULL, 0 },
    { "*2\r\n$8\r\n10.0.0.1\r\n:6379\r\n", ERR_BAD_INPUT, NULL, 0 },
    { "*2\r\n$0\r\n\r\n$4\r\n6379\r\n", ERR_BAD_INPUT, NULL, 0 },
    { "*2\r\n$16\r\nsixteen-bytes-xx\r\n$4\r\n6379\r\n", ERR_BAD_INPUT, NULL, 0 },
    { "*1\r\n$8\r\n10.0.0.1\r\n", ERR_BAD_INPUT, NULL, 0 },
    { "$-1\r\n", ERR_BAD_INPUT, NULL, 0 },
};

START_TEST(masters_are_read)
{
    struct redis_reply *reply = reply_of(masters[_i].reply);
    struct redis_address address = { 0 };
    char host[16];

    ck_assert_int_eq(redis_sentinel_read_master(reply, host, sizeof(host), &address),
                     masters[_i].err);
    redis_reply_free(reply);
    ck_assert(slice_eq(address.host, slice_str(masters[_i].host)));
    ck_assert_uint_eq(address.port, masters[_i].port);
}
END_TEST

START_TEST(what_is_said_under_a_lower_epoch_is_old)
{
    _Atomic uint64_t seen = 0;

    ck_assert(redis_sentinel_take_epoch(&seen, 0));
    ck_assert(redis_sentinel_take_epoch(&seen, 3));
    ck_assert(redis_sentinel_take_epoch(&seen, 3));
    ck_assert(!redis_sentinel_take_epoch(&seen, 2));
    ck_assert_uint_eq(atomic_load(&seen), 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core/redis_sentinel");
    TCase *tcase = tcase_create("what sentinels say");

    tcase_add_loop_test(tcase, epochs_are_read, 0, sizeof(epochs) / sizeof(epochs[0]));
    tcase_add_loop_test(tcase, masters_are_read, 0, sizeof(masters) / sizeof(masters[0]));
    tcase_add_test(tcase, what_is_said_under_a_lower_epoch_is_old);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
