/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base64url.h"

#include <check.h>

#include <stdlib.h>

static const struct {
    const char *bytes, *text;
} pairs[] = {
    { "", "" },
    { "f", "Zg" },
    { "fo", "Zm8" },
    { "foo", "Zm9v" },
    { "foob", "Zm9vYg" },
    { "fooba", "Zm9vYmE" },
    { "foobar", "Zm9vYmFy" },
    { "\xff\xef\xbe", "_---" },
    { "\xfb\xff", "-_8" },
};

START_TEST(text_and_bytes_correspond)
{
    uint8_t bytes[32];
    char text[32];
    size_t len;

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct slice in = slice_str(pairs[i].text);
        ck_assert_int_eq(base64url_decode(in, bytes, &len), 0);
        ck_assert(slice_eq(slice_of(bytes, len), slice_str(pairs[i].bytes)));
        size_t text_len = base64url_encode(bytes, len, text);
        ck_assert(slice_eq(slice_of(text, text_len), in));
    }
}
END_TEST

START_TEST(all_other_texts_are_refused)
{
    static const char *const refused[] = {
        "A",      "AAAAA", "Zg==",  "Zm8=",  "Zg=",    "=",       "====", /* length, padding */
        "Zh",     "Zm9",   "AB",    "AAB",   "Z_",                        /* unused bits */
        "Zm9v\n", " Zm9v", "Zm 9v", "Zm9v ", "Z\tm9v", "\r\n",            /* white space */
        "+/+/",   "Zm+v",  "Zm/v",  "Zm.v",  "Zm~v",   "Zm9\x80",         /* alphabet */
        "@AAA",   "AAA[",  "A`AA",  "AA{A",  "AAA:",   "AAA/",    "AA,A",
    };
    uint8_t bytes[32];
    size_t len;

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        ck_assert_int_eq(base64url_decode(slice_str(refused[i]), bytes, &len), ERR_BAD_INPUT);
    }
    ck_assert_int_eq(base64url_decode(slice_of("AA\0A", 4), bytes, &len), ERR_BAD_INPUT);
}
END_TEST

START_TEST(each_byte_string_has_one_text)
{
    char text[2];
    uint8_t bytes[8];
    size_t len;
    unsigned accepted = 0;

    for (unsigned i = 0; i < 65536; i++) {
        text[0] = (char)(i & 255);
        text[1] = (char)(i >> 8);
        accepted += base64url_decode(slice_of(text, 2), bytes, &len) == 0;
    }
    ck_assert_uint_eq(accepted, 256);
}
END_TEST

START_TEST(buffers_of_the_stated_size_suffice)
{
    for (size_t len = 0; len < 70; len++) {
        uint8_t *bytes = calloc(1, len + 1);
        char *text = malloc(BASE64URL_ENCODED_BYTES(len) + 1);
        ck_assert(bytes != NULL && text != NULL);
        size_t text_len = base64url_encode(bytes, len, text);
        ck_assert_uint_eq(text_len, BASE64URL_ENCODED_BYTES(len));
        uint8_t *back = malloc(BASE64URL_DECODED_BYTES(text_len));
        size_t back_len;
        ck_assert_ptr_nonnull(back);
        ck_assert_int_eq(base64url_decode(slice_of(text, text_len), back, &back_len), 0);
        ck_assert_uint_eq(back_len, len);
        free(bytes);
        free(text);
        free(back);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base64url");
    TCase *tc = tcase_create("base64url");

    tcase_add_test(tc, text_and_bytes_correspond);
    tcase_add_test(tc, all_other_texts_are_refused);
    tcase_add_test(tc, each_byte_string_has_one_text);
    tcase_add_test(tc, buffers_of_the_stated_size_suffice);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
