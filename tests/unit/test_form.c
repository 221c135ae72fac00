/* SPDX-License-Identifier: Apache-2.0 */
#include "core/headers.h"
#include "plugins/issuer/form.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, NULL, 0, 1u << 16);
}

static void teardown(void)
{
    arena_done(&arena);
}

static bool has(const struct form *form, const char *name, const char *value)
{
    return slice_eq(form_get(form, slice_str(name)), slice_str(value));
}

START_TEST(pairs_are_decoded)
{
    struct form form;

    ck_assert_int_eq(form_read(&arena,
                               SLICE("grant_type=client_credentials&scope=a+b%20c&&x%3Dy=%26=%3d&"
                                     "e=&n&u=%C3%A9"),
                               &form),
                     0);
    ck_assert_uint_eq(form.count, 6);
    ck_assert(has(&form, "grant_type", "client_credentials"));
    ck_assert(has(&form, "scope", "a b c"));
    ck_assert(has(&form, "x=y", "&=="));
    ck_assert(has(&form, "u", "\xc3\xa9"));
    ck_assert(slice_is_absent(form_get(&form, SLICE("e")))); /* RFC 6749 section 3.2 */
    ck_assert(slice_is_absent(form_get(&form, SLICE("n"))));
    ck_assert(slice_is_absent(form_get(&form, SLICE("none"))));
    ck_assert_int_eq(form_read(&arena, SLICE(""), &form), 0);
    ck_assert_uint_eq(form.count, 0);
}
END_TEST

START_TEST(malformed_forms_are_refused)
{
    static const char *const bad[] = {
        "a=%",    "a=%4",     "a=%g0",       "a=%0g",   "%=a",
        "a=%00",  "a=%0a",    "a=\x01",      "a=%7f",   "a=%c2%80" /* a C1 control */,
        "a=\xff", "a=%C3%28", "a=%ed%a0%80", "a=1&a=1", "a=1&%61=2",
        "a&a",
    };
    struct form form;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(form_read(&arena, slice_str(bad[i]), &form) == ERR_BAD_INPUT, "%s", bad[i]);
    }
}
END_TEST

START_TEST(fields_and_memory_have_limits)
{
    char text[8 * (FORM_MAX_FIELDS + 1)];
    struct arena small;
    struct form form;
    size_t len = 0;

    for (unsigned i = 0; i < FORM_MAX_FIELDS; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "f%u=1&", i);
    }
    ck_assert_int_eq(form_read(&arena, slice_of(text, len), &form), 0);
    ck_assert_uint_eq(form.count, FORM_MAX_FIELDS);
    len += (size_t)snprintf(text + len, sizeof(text) - len, "more=1");
    ck_assert_int_eq(form_read(&arena, slice_of(text, len), &form), ERR_TOO_BIG);
    arena_init(&small, NULL, 0, 1);
    ck_assert_int_eq(form_read(&small, SLICE("a=b"), &form), ERR_NO_MEMORY);
    arena_done(&small);
}
END_TEST

START_TEST(only_the_type_of_forms_announces_one)
{
    static const struct {
        const char *value;
        bool is_form;
    } rows[] = {
        { "application/x-www-form-urlencoded", true },
        { "Application/X-WWW-Form-URLencoded ; charset=UTF-8", true },
        { "application/x-www-form-urlencodedx", false },
        { "application/json", false },
        { "", false },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct headers headers;

        ck_assert_int_eq(headers_init(&headers, &arena, 4), 0);
        ck_assert(!form_is_announced(&headers));
        ck_assert_int_eq(headers_add_id(&headers, HEADER_CONTENT_TYPE, slice_str(rows[i].value)),
                         0);
        ck_assert_msg(form_is_announced(&headers) == rows[i].is_form, "%s", rows[i].value);
        ck_assert_int_eq(headers_add_id(&headers, HEADER_CONTENT_TYPE, slice_str(rows[i].value)),
                         0);
        ck_assert(!form_is_announced(&headers));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("form");
    TCase *cases = tcase_create("form");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, pairs_are_decoded);
    tcase_add_test(cases, malformed_forms_are_refused);
    tcase_add_test(cases, fields_and_memory_have_limits);
    tcase_add_test(cases, only_the_type_of_forms_announces_one);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
