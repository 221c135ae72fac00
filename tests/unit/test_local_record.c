/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/local_record.h"

#include <check.h>

#include <stdlib.h>

static const struct local_entry entry = { { "blocklist:jti:a", 15 }, 7, 1764000000 };

START_TEST(what_was_written_is_read)
{
    struct local_record record = local_record_of(&entry);
    struct local_entry back = { .value = 0 };

    ck_assert_int_eq(local_record_read(entry.key, slice_of(&record, sizeof(record)), &back), 0);
    ck_assert(slice_eq(back.key, entry.key));
    ck_assert_int_eq(back.value, entry.value);
    ck_assert_int_eq(back.expires_at, entry.expires_at);
}
END_TEST

/* Each byte of it. */
START_TEST(a_changed_byte_is_noticed)
{
    struct local_record record = local_record_of(&entry);
    struct local_entry back;

    ((unsigned char *)&record)[_i] ^= 0x10;
    ck_assert_int_eq(local_record_read(entry.key, slice_of(&record, sizeof(record)), &back),
                     ERR_IO);
}
END_TEST

START_TEST(the_record_of_another_key_is_noticed)
{
    struct local_record record = local_record_of(&entry);
    struct local_entry back;

    ck_assert_int_eq(
        local_record_read(SLICE("blocklist:jti:b"), slice_of(&record, sizeof(record)), &back),
        ERR_IO);
}
END_TEST

START_TEST(a_record_of_another_length_is_noticed)
{
    struct local_record records[2] = { local_record_of(&entry), local_record_of(&entry) };
    struct local_entry back;

    ck_assert_int_eq(local_record_read(entry.key, slice_of(records, 0), &back), ERR_IO);
    ck_assert_int_eq(local_record_read(entry.key, slice_of(records, sizeof(records[0]) - 1), &back),
                     ERR_IO);
    ck_assert_int_eq(local_record_read(entry.key, slice_of(records, sizeof(records[0]) + 1), &back),
                     ERR_IO);
}
END_TEST

static const struct {
    int64_t value, expires_at, ret_value, ret_expires_at;
} merges[] = {
    { 7, 1764000000, 7, 1764000000 }, { 6, 1763999999, 7, 1764000000 },
    { 8, 1763999999, 8, 1764000000 }, { 6, 1764000001, 7, 1764000001 },
    { 8, INT64_MAX, 8, INT64_MAX },
};

START_TEST(nothing_gets_less)
{
    struct local_entry other = { SLICE("other"), merges[_i].value, merges[_i].expires_at };
    struct local_entry both = local_record_merge(&entry, &other);

    ck_assert(slice_eq(both.key, other.key));
    ck_assert_int_eq(both.value, merges[_i].ret_value);
    ck_assert_int_eq(both.expires_at, merges[_i].ret_expires_at);
}
END_TEST

START_TEST(ends_are_in_the_order_of_time)
{
    static const int64_t ends[] = { 0, 1, 255, 256, 1764000000, INT64_C(1) << 40, INT64_MAX };
    char bufs[2][LOCAL_END_BYTES];

    for (unsigned i = 1; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct slice before = local_end_key(bufs[0], ends[i - 1], SLICE("z"));
        struct slice after = local_end_key(bufs[1], ends[i], SLICE("a"));
        struct local_entry back;

        ck_assert_int_lt(memcmp(before.ptr, after.ptr, before.len), 0);
        ck_assert_int_eq(local_end_read(after, &back), 0);
        ck_assert_int_eq(back.expires_at, ends[i]);
        ck_assert(slice_eq(back.key, SLICE("a")));
    }
}
END_TEST

START_TEST(an_end_without_a_key_is_none)
{
    struct local_entry back;

    ck_assert_int_eq(local_end_read(SLICE(""), &back), ERR_IO);
    ck_assert_int_eq(local_end_read(SLICE("12345678"), &back), ERR_IO);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugins/revocation/local_record");
    TCase *tcase = tcase_create("local_record");

    tcase_add_test(tcase, what_was_written_is_read);
    tcase_add_loop_test(tcase, a_changed_byte_is_noticed, 0, sizeof(struct local_record));
    tcase_add_test(tcase, the_record_of_another_key_is_noticed);
    tcase_add_test(tcase, a_record_of_another_length_is_noticed);
    tcase_add_loop_test(tcase, nothing_gets_less, 0, sizeof(merges) / sizeof(merges[0]));
    tcase_add_test(tcase, ends_are_in_the_order_of_time);
    tcase_add_test(tcase, an_end_without_a_key_is_none);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
