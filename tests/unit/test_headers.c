/* SPDX-License-Identifier: Apache-2.0 */
#include "core/headers.h"

#include <check.h>

#include <stdlib.h>

static struct arena arena;
static struct headers headers;

static void setup(void)
{
    arena_init(&arena, NULL, 0, 1 << 20);
    ck_assert_int_eq(headers_init(&headers, &arena, 2), 0);
}

static void teardown(void)
{
    arena_done(&arena);
}

static void add(const char *name, const char *value)
{
    ck_assert_int_eq(headers_add(&headers, slice_str(name), slice_str(value)), 0);
}

START_TEST(every_known_name_has_its_number)
{
    for (unsigned id = HEADER_OTHER + 1; id < HEADER_IDS; id++) {
        ck_assert_uint_eq(header_id_of(header_name_of((enum header_id)id)), id);
    }
}
END_TEST

START_TEST(other_names_have_no_number)
{
    static const char *const others[] = { "",
                                          "x",
                                          "hose",
                                          "tf",
                                          "host ",
                                          "Host",
                                          "cookif",
                                          "acceps",
                                          "connectiom",
                                          "x-real-iq",
                                          "a-name-that-is-longer-than-every-name-of-the-table" };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        ck_assert_uint_eq(header_id_of(slice_str(others[i])), HEADER_OTHER);
    }
}
END_TEST

START_TEST(fields_are_found_by_name_and_by_number)
{
    add("host", "a");
    add("x-one", "1");
    add("x-one", "2");
    add("cookie", "c");
    ck_assert_uint_eq(headers.count, 4);
    ck_assert(slice_eq(headers_get(&headers, SLICE("x-one")), SLICE("1")));
    ck_assert(slice_eq(headers_get_id(&headers, HEADER_COOKIE), SLICE("c")));
    ck_assert(slice_eq(headers_get(&headers, SLICE("host")), SLICE("a")));
    ck_assert(slice_is_absent(headers_get(&headers, SLICE("x-two"))));
    ck_assert(slice_is_absent(headers_get_id(&headers, HEADER_TE)));
    ck_assert_uint_eq(headers_count(&headers, SLICE("x-one")), 2);
    ck_assert_uint_eq(headers_count_id(&headers, HEADER_HOST), 1);
}
END_TEST

START_TEST(removed_fields_are_not_seen)
{
    add("x-one", "1");
    add("via", "v");
    add("x-one", "2");
    ck_assert_uint_eq(headers_remove(&headers, SLICE("x-one")), 2);
    ck_assert_uint_eq(headers_remove(&headers, SLICE("x-one")), 0);
    ck_assert_uint_eq(headers_remove_id(&headers, HEADER_VIA), 1);
    ck_assert_uint_eq(headers_count(&headers, SLICE("x-one")), 0);
    ck_assert(slice_is_absent(headers_get(&headers, SLICE("via"))));
}
END_TEST

START_TEST(folded_names_are_removed_together)
{
    add("x-user-id", "1");
    add("x_user_id", "2");
    add("x-user_id", "3");
    add("x-user-i", "4");
    add("x.user.id", "5");
    ck_assert_uint_eq(headers_remove_folded(&headers, SLICE("X-User-Id")), 3);
    ck_assert(slice_eq(headers_get(&headers, SLICE("x-user-i")), SLICE("4")));
    ck_assert(slice_eq(headers_get(&headers, SLICE("x.user.id")), SLICE("5")));
}
END_TEST

START_TEST(set_replaces_all_fields_of_the_name)
{
    add("x-one", "1");
    add("x-one", "2");
    ck_assert_int_eq(headers_set(&headers, SLICE("x-one"), SLICE("3")), 0);
    ck_assert_uint_eq(headers_count(&headers, SLICE("x-one")), 1);
    ck_assert(slice_eq(headers_get(&headers, SLICE("x-one")), SLICE("3")));
}
END_TEST

START_TEST(a_full_arena_changes_nothing)
{
    char memory[64];
    struct arena small;
    struct headers list;

    arena_init(&small, memory, sizeof(memory), 0);
    ck_assert_int_eq(headers_init(&list, &small, 100), ERR_NO_MEMORY);
    ck_assert_int_eq(headers_init(&list, &small, 0), 0);
    ck_assert_int_eq(headers_add(&list, SLICE("a"), SLICE("b")), ERR_NO_MEMORY);
    ck_assert_uint_eq(list.count, 0);
    arena_done(&small);
}
END_TEST

START_TEST(list_members_are_trimmed_and_empty_ones_skipped)
{
    struct slice list = SLICE(" ,a ,\tb c\t,, d,");
    struct slice token;

    ck_assert(headers_next_token(&list, &token) && slice_eq(token, SLICE("a")));
    ck_assert(headers_next_token(&list, &token) && slice_eq(token, SLICE("b c")));
    ck_assert(headers_next_token(&list, &token) && slice_eq(token, SLICE("d")));
    ck_assert(!headers_next_token(&list, &token));
    list = SLICE_ABSENT;
    ck_assert(!headers_next_token(&list, &token));
}
END_TEST

START_TEST(tokens_are_found_in_any_field_and_any_case)
{
    add("connection", "x-a, x-b");
    add("connection", "Keep-Alive");
    ck_assert(headers_have_token(&headers, HEADER_CONNECTION, SLICE("keep-alive")));
    ck_assert(headers_have_token(&headers, HEADER_CONNECTION, SLICE("X-B")));
    ck_assert(!headers_have_token(&headers, HEADER_CONNECTION, SLICE("close")));
    ck_assert(!headers_have_token(&headers, HEADER_TE, SLICE("x-a")));
}
END_TEST

START_TEST(names_are_tokens)
{
    static const char tchars[] = "!#$%&'*+-.^_`|~";

    for (unsigned c = 0; c < 256; c++) {
        char byte = (char)c;
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool expected = alnum || (c != 0 && c < 128 && strchr(tchars, (int)c) != NULL);

        ck_assert_int_eq(header_name_is_valid(slice_of(&byte, 1)), expected);
        ck_assert_uint_eq(header_name_byte[c], expected ? (unsigned char)ascii_lower(byte) : 0);
    }
}
END_TEST

START_TEST(names_have_1_to_256_bytes)
{
    char name[257];

    memset(name, 'a', sizeof(name));
    ck_assert(!header_name_is_valid(slice_of(name, 0)));
    ck_assert(header_name_is_valid(slice_of(name, 256)));
    ck_assert(!header_name_is_valid(slice_of(name, 257)));
}
END_TEST

START_TEST(values_hold_no_control_byte_at_any_place)
{
    char value[40];

    for (unsigned c = 0; c < 256; c++) {
        bool expected = c == '\t' || (c >= 0x20 && c != 0x7f);

        for (size_t len = 1; len <= 33; len += 4) {
            for (size_t at = 0; at < len; at++) {
                memset(value, at % 2 == 0 ? '~' : '\xff', len);
                value[at] = (char)c;
                ck_assert_int_eq(header_value_is_valid(slice_of(value, len)), expected);
                ck_assert_uint_eq(header_value_span(value, len), expected ? len : at);
            }
        }
    }
    ck_assert(header_value_is_valid(SLICE_ABSENT));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("headers");
    TCase *tc = tcase_create("headers");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, every_known_name_has_its_number);
    tcase_add_test(tc, other_names_have_no_number);
    tcase_add_test(tc, fields_are_found_by_name_and_by_number);
    tcase_add_test(tc, removed_fields_are_not_seen);
    tcase_add_test(tc, folded_names_are_removed_together);
    tcase_add_test(tc, set_replaces_all_fields_of_the_name);
    tcase_add_test(tc, a_full_arena_changes_nothing);
    tcase_add_test(tc, list_members_are_trimmed_and_empty_ones_skipped);
    tcase_add_test(tc, tokens_are_found_in_any_field_and_any_case);
    tcase_add_test(tc, names_are_tokens);
    tcase_add_test(tc, names_have_1_to_256_bytes);
    tcase_add_test(tc, values_hold_no_control_byte_at_any_place);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
