/* SPDX-License-Identifier: Apache-2.0 */
#include "core/redis_address.h"

#include <check.h>

#include <stdlib.h>

static const struct {
    const char *url;
    int err;
    const char *host;
    unsigned port, database;
} urls[] = {
    { "redis://127.0.0.1:6379", 0, "127.0.0.1", 6379, 0 },
    { "redis://redis.internal", 0, "redis.internal", 6379, 0 },
    { "redis://redis.internal:7000/5", 0, "redis.internal", 7000, 5 },
    { "redis://[::1]:7000/", 0, "[::1]", 7000, 0 },
    { "redis://[::1]", 0, "[::1]", 6379, 0 },
    { "rediss://redis.internal:7000/1", 0, "redis.internal", 7000, 1 },
    { "redis://user:secret@host", ERR_BAD_INPUT, NULL, 0, 0 },
    { "redis://", ERR_BAD_INPUT, NULL, 0, 0 },
    { "redis://host:", ERR_BAD_INPUT, NULL, 0, 0 },
    { "redis://host:0", ERR_BAD_INPUT, NULL, 0, 0 },
    { "redis://host:65536", ERR_BAD_INPUT, NULL, 0, 0 },
    { "redis://host/x", ERR_BAD_INPUT, NULL, 0, 0 },
    { "redis://[::1", ERR_BAD_INPUT, NULL, 0, 0 },
    { "redis://[::1]x", ERR_BAD_INPUT, NULL, 0, 0 },
    { "http://host", ERR_BAD_INPUT, NULL, 0, 0 },
    { "unix:relative", ERR_BAD_INPUT, NULL, 0, 0 },
    { "unix:", ERR_BAD_INPUT, NULL, 0, 0 },
    { "", ERR_BAD_INPUT, NULL, 0, 0 },
};

START_TEST(urls_are_read)
{
    struct redis_address address;

    ck_assert_int_eq(redis_read_url(slice_str(urls[_i].url), &address), urls[_i].err);
    if (urls[_i].err == 0) {
        ck_assert(slice_eq(address.host, slice_str(urls[_i].host)));
        ck_assert_uint_eq(address.port, urls[_i].port);
        ck_assert_uint_eq(address.database, urls[_i].database);
    }
}
END_TEST

START_TEST(unix_urls_are_read)
{
    struct redis_address address;

    ck_assert_int_eq(redis_read_url(SLICE("unix:/run/redis.sock"), &address), 0);
    ck_assert(slice_eq(address.unix_path, SLICE("/run/redis.sock")));
    ck_assert_int_eq(redis_read_url(SLICE("unix:///run/redis.sock"), &address), 0);
    ck_assert(slice_eq(address.unix_path, SLICE("/run/redis.sock")));
    ck_assert(slice_is_absent(address.host));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core/redis_address");
    TCase *text = tcase_create("addresses");

    tcase_add_loop_test(text, urls_are_read, 0, sizeof(urls) / sizeof(urls[0]));
    tcase_add_test(text, unix_urls_are_read);
    suite_add_tcase(suite, text);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
