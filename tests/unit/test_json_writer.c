/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json.h"

#include <check.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/json_text.h"

START_TEST(escaping_makes_valid_text_cut_at_characters)
{
    static const struct {
        struct slice text;
        size_t size;
        const char *escaped;
    } vectors[] = {
        { { "plain", 5 }, 64, "plain" },
        { { "a\"\\\n\x01\x7f", 6 }, 64, "a\\\"\\\\\\n\\u0001\\u007f" },
        { { "\0", 1 }, 64, "\\u0000" },
        { { "\xc3\xa9\xf0\x9f\x98\x80", 6 }, 64, "\xc3\xa9\xf0\x9f\x98\x80" },
        { { "a\xff"
            "b\xc3",
            4 },
          64,
          "a\xef\xbf\xbd"
          "b\xef\xbf\xbd" },
        { { "\xed\xa0\x80", 3 }, 64, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { { "ab\n", 3 }, 3, "ab" },
        { { "ab\xc3\xa9", 4 }, 3, "ab" },
        { { "ab", 2 }, 0, "" },
        { { NULL, 0 }, 8, "" },
    };
    char buf[64];

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        size_t len = json_escape(vectors[i].text, buf, vectors[i].size);
        ck_assert(slice_eq(slice_of(buf, len), slice_str(vectors[i].escaped)));
    }
}
END_TEST

START_TEST(what_is_written_can_be_read)
{
    struct json_writer w;

    json_writer_init(&w, 10000);
    json_write_begin(&w, NULL, '{');
    json_write_string(&w, "te\"xt", SLICE("a\n\xff"));
    json_write_begin(&w, "list", '[');
    json_write_int(&w, NULL, INT64_MIN);
    json_write_begin(&w, NULL, '{');
    json_write_end(&w, '}');
    json_write_bool(&w, NULL, true);
    json_write_end(&w, ']');
    json_write_bool(&w, "no", false);
    json_write_end(&w, '}');
    ck_assert(!w.failed);
    ck_assert_str_eq(w.buf, "{\"te\\\"xt\":\"a\\n\xef\xbf\xbd\","
                            "\"list\":[-9223372036854775808,{},true],\"no\":false}");
    ck_assert_uint_eq(w.len, strlen(w.buf));
    json_text(w.buf);
    json_writer_done(&w);
    ck_assert_ptr_null(w.buf);
}
END_TEST

START_TEST(a_tree_is_written_as_it_was_read)
{
    static const char text[] =
        "{\"a\":[1.50,-0,{},[]],\"b\\n\":{\"c\":\"\xc3\xa9\\\"\",\"d\":null},\"e\":true}";
    struct json_writer w;

    json_writer_init(&w, 10000);
    json_write_begin(&w, NULL, '{');
    json_write_int(&w, "before", 1);
    json_write_tree(&w, SLICE("tree"), json_text(text));
    json_write_int(&w, "after", 2);
    json_write_end(&w, '}');
    ck_assert(strstr(w.buf, text) == w.buf + strlen("{\"before\":1,\"tree\":"));
    ck_assert_ptr_nonnull(strstr(w.buf, "},\"after\":2}"));
    json_writer_done(&w);
}
END_TEST

START_TEST(a_writer_over_its_limit_fails_for_good)
{
    struct json_writer w;

    json_writer_init(&w, 20);
    json_write_begin(&w, NULL, '[');
    for (int i = 0; i < 100; i++) {
        json_write_int(&w, NULL, i);
    }
    ck_assert(w.failed);
    ck_assert_uint_le(w.len, 20);
    json_writer_done(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_writer");
    TCase *tc = tcase_create("all");

    json_text_use(tc);
    tcase_add_test(tc, escaping_makes_valid_text_cut_at_characters);
    tcase_add_test(tc, what_is_written_can_be_read);
    tcase_add_test(tc, a_tree_is_written_as_it_was_read);
    tcase_add_test(tc, a_writer_over_its_limit_fails_for_good);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
