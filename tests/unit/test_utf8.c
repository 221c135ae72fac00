/* SPDX-License-Identifier: Apache-2.0 */
#include "core/utf8.h"

#include <check.h>

#include <stdbool.h>

static const struct {
    const char *bytes;
    size_t len;
    unsigned used; /* 0: refused */
    uint32_t code;
} vectors[] = {
    { "a", 1, 1, 'a' },
    { "\0", 1, 1, 0 },
    { "\x7f", 1, 1, 0x7f },
    { "\xc2\x80", 2, 2, 0x80 },
    { "\xdf\xbf", 2, 2, 0x7ff },
    { "\xe0\xa0\x80", 3, 3, 0x800 },
    { "\xed\x9f\xbf", 3, 3, 0xd7ff },
    { "\xee\x80\x80", 3, 3, 0xe000 },
    { "\xef\xbf\xbf", 3, 3, 0xffff },
    { "\xf0\x90\x80\x80", 4, 4, 0x10000 },
    { "\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff },
    { "\xe2\x82\xac!", 4, 3, 0x20ac },
    /* not a first byte */
    { "\x80", 1, 0, 0 },
    { "\xbf\xbf", 2, 0, 0 },
    { "\xf5\x80\x80\x80", 4, 0, 0 },
    { "\xff", 1, 0, 0 },
    /* overlong */
    { "\xc0\x80", 2, 0, 0 },
    { "\xc1\xbf", 2, 0, 0 },
    { "\xe0\x9f\xbf", 3, 0, 0 },
    { "\xf0\x8f\xbf\xbf", 4, 0, 0 },
    /* surrogates, beyond the end */
    { "\xed\xa0\x80", 3, 0, 0 },
    { "\xed\xbf\xbf", 3, 0, 0 },
    { "\xf4\x90\x80\x80", 4, 0, 0 },
    /* cut, or followed by what is no continuation */
    { "\xc2", 1, 0, 0 },
    { "\xe2\x82", 2, 0, 0 },
    { "\xf0\x9f\x98", 3, 0, 0 },
    { "\xc2\x41", 2, 0, 0 },
    { "\xe2\x82\x41", 3, 0, 0 },
    { "\xf0\x9f\x41\x80", 4, 0, 0 },
};

START_TEST(one_character_is_decoded_or_refused)
{
    uint32_t code = 0;
    unsigned used = utf8_decode((const unsigned char *)vectors[_i].bytes, vectors[_i].len, &code);

    ck_assert_uint_eq(used, vectors[_i].used);
    if (used > 0) {
        ck_assert_uint_eq(code, vectors[_i].code);
    }
}
END_TEST

START_TEST(every_code_point_comes_back)
{
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        char text[4];
        uint32_t back = UINT32_MAX;

        if (code >= 0xd800 && code < 0xe000) {
            continue;
        }
        size_t len = utf8_encode(code, text);
        const unsigned char *bytes = (const unsigned char *)text;
        bool good = utf8_decode(bytes, len, &back) == len && back == code &&
                    (len == 1 || utf8_decode(bytes, len - 1, &back) == 0);
        if (!good) {
            ck_abort_msg("U+%04X", code);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("utf8");
    TCase *tc = tcase_create("all");

    tcase_add_loop_test(tc, one_character_is_decoded_or_refused, 0,
                        (int)(sizeof(vectors) / sizeof(vectors[0])));
    tcase_add_test(tc, every_code_point_comes_back);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
