/* SPDX-License-Identifier: Apache-2.0 */
#include "core/uri.h"

#include <check.h>

#include <stdlib.h>

static const struct {
    const char *target;
    const char *path;  /* NULL: refused */
    const char *query; /* NULL: absent */
} vectors[] = {
    { "/", "/", NULL },
    { "/a", "/a", NULL },
    { "/a/", "/a/", NULL },
    { "/a/b.c-d_e~f", "/a/b.c-d_e~f", NULL },
    { "/!$&'()*+,;=:@", "/!$&'()*+,;=:@", NULL },
    /* runs of slashes */
    { "//", "/", NULL },
    { "///", "/", NULL },
    { "//admin", "/admin", NULL },
    { "/a//b", "/a/b", NULL },
    { "/a///b//", "/a/b/", NULL },
    { "//evil.example/admin", "/evil.example/admin", NULL },
    { "/a//../b", "/b", NULL },
    { "/a/b//../c", "/a/c", NULL },
    /* dot segments */
    { "/.", "/", NULL },
    { "/./", "/", NULL },
    { "/./admin", "/admin", NULL },
    { "/a/.", "/a/", NULL },
    { "/a/./b", "/a/b", NULL },
    { "/a/..", "/", NULL },
    { "/a/../", "/", NULL },
    { "/a/../b", "/b", NULL },
    { "/a/b/../../c", "/c", NULL },
    { "/a/b/c/../..", "/a/", NULL },
    { "/public/../admin", "/admin", NULL },
    { "/public/.//../admin", "/admin", NULL },
    { "/...", "/...", NULL },
    { "/..a", "/..a", NULL },
    { "/a..", "/a..", NULL },
    { "/.a/b", "/.a/b", NULL },
    { "/..", NULL, NULL },
    { "/../", NULL, NULL },
    { "/../admin", NULL, NULL },
    { "//../admin", NULL, NULL },
    { "/./../admin", NULL, NULL },
    { "/a/../../admin", NULL, NULL },
    /* encoded dots */
    { "/%2e", "/", NULL },
    { "/%2e/admin", "/admin", NULL },
    { "/a/%2e%2e/b", "/b", NULL },
    { "/a/%2E%2e/b", "/b", NULL },
    { "/a/%2E%2E/b", "/b", NULL },
    { "/a/.%2e/b", "/b", NULL },
    { "/a/%2e./b", "/b", NULL },
    { "/%2e%2e/admin", NULL, NULL },
    { "/a/%2e%2e/%2e%2e/admin", NULL, NULL },
    { "/a/%252e%252e/b", "/a/%252e%252e/b", NULL },
    { "/a%2eb", "/a.b", NULL },
    /* encoded unreserved bytes are decoded, others get upper case */
    { "/%61dmin", "/admin", NULL },
    { "/ad%6Din", "/admin", NULL },
    { "/%70ublic", "/public", NULL },
    { "/%41%5A%7a%30%7E%2d%5f", "/AZz0~-_", NULL },
    { "/%c3%a4", "/%C3%A4", NULL },
    { "/%3b", "/%3B", NULL },
    { "/%20", "/%20", NULL },
    { "/%3f%23", "/%3F%23", NULL },
    { "/%25", "/%25", NULL },
    { "/%252f", "/%252f", NULL },
    { "/%2561dmin", "/%2561dmin", NULL },
    { "/%22%3c%3e", "/%22%3C%3E", NULL },
    /* refused escapes */
    { "/%2f", NULL, NULL },
    { "/%2F", NULL, NULL },
    { "/a%2fb", NULL, NULL },
    { "/..%2fadmin", NULL, NULL },
    { "/%2e%2e%2fadmin", NULL, NULL },
    { "/%5c", NULL, NULL },
    { "/%5C", NULL, NULL },
    { "/..%5cadmin", NULL, NULL },
    { "/%00", NULL, NULL },
    { "/admin%00", NULL, NULL },
    { "/%0a", NULL, NULL },
    { "/%0d%0a", NULL, NULL },
    { "/%09", NULL, NULL },
    { "/%1f", NULL, NULL },
    { "/%7f", NULL, NULL },
    { "/%7F", NULL, NULL },
    /* bad escapes */
    { "/%", NULL, NULL },
    { "/%2", NULL, NULL },
    { "/a%", NULL, NULL },
    { "/%g0", NULL, NULL },
    { "/%0g", NULL, NULL },
    { "/%%32e", NULL, NULL },
    { "/%u002e", NULL, NULL },
    { "/%-1", NULL, NULL },
    { "/% 1", NULL, NULL },
    { "/%2/e", NULL, NULL },
    /* parameters */
    { "/a;b=c/d", "/a;b=c/d", NULL },
    { "/;/a", "/;/a", NULL },
    { "/a;/../b", "/b", NULL },
    { "/.a;b", "/.a;b", NULL },
    { "/...;", "/...;", NULL },
    { "/.;/admin", NULL, NULL },
    { "/..;/admin", NULL, NULL },
    { "/a/..;/admin", NULL, NULL },
    { "/a/..;", NULL, NULL },
    { "/a/..;x=y/admin", NULL, NULL },
    { "/a/..%3b/admin", NULL, NULL },
    { "/a/..%3B/admin", NULL, NULL },
    { "/a/.%3B", NULL, NULL },
    { "/a/%2e%2e;/admin", NULL, NULL },
    { "/a/%2e;/admin", NULL, NULL },
    { "/a/.%2E;x/admin", NULL, NULL },
    /* bytes that are no path characters */
    { "/\\", NULL, NULL },
    { "/a\\..\\admin", NULL, NULL },
    { "/..\\admin", NULL, NULL },
    { "/a b", NULL, NULL },
    { "/a\tb", NULL, NULL },
    { "/a\rb", NULL, NULL },
    { "/a\nb", NULL, NULL },
    { "/\x01", NULL, NULL },
    { "/\x7f", NULL, NULL },
    { "/\xc3\xa4", NULL, NULL },
    { "/\xff", NULL, NULL },
    { "/\"", NULL, NULL },
    { "/<a>", NULL, NULL },
    { "/[a]", NULL, NULL },
    { "/{a}", NULL, NULL },
    { "/a|b", NULL, NULL },
    { "/a^b", NULL, NULL },
    { "/a`b", NULL, NULL },
    { "/a#b", NULL, NULL },
    { "/#", NULL, NULL },
    /* query */
    { "/?", "/", "" },
    { "/a?b=c&d", "/a", "b=c&d" },
    { "/a/../b?x/../y", "/b", "x/../y" },
    { "/a?b?c", "/a", "b?c" },
    { "/a?%2f%61%00", "/a", "%2f%61%00" },
    { "/a?b[]={x}|y", "/a", "b[]={x}|y" },
    { "/a?%", NULL, NULL },
    { "/a?%4", NULL, NULL },
    { "/a?%zz", NULL, NULL },
    { "/a?b#c", NULL, NULL },
    { "/a?b c", NULL, NULL },
    { "/a?\"", NULL, NULL },
    { "/a?<", NULL, NULL },
    { "/a?\xc3\xa4", NULL, NULL },
    { "/a?\x7f", NULL, NULL },
    /* other forms */
    { "*", "*", NULL },
    { "", NULL, NULL },
    { "a", NULL, NULL },
    { "a/b", NULL, NULL },
    { "?a", NULL, NULL },
    { "**", NULL, NULL },
    { "./a", NULL, NULL },
    { "%2fa", NULL, NULL },
    { "example.com:443", NULL, NULL },
    { "http:/a", NULL, NULL },
    { "http:a", NULL, NULL },
    { "http//a", NULL, NULL },
    { "ftp://a/", NULL, NULL },
    { "ws://a/", NULL, NULL },
};

/* From the heap, so that the sanitizer sees the ends. */
static int parse(const char *text, struct uri *uri, char **ret_copy)
{
    size_t len = strlen(text);
    const char *reason = NULL;
    int err;

    *ret_copy = malloc(len > 0 ? len : 1);
    ck_assert_ptr_nonnull(*ret_copy);
    memcpy(*ret_copy, text, len);
    err = uri_parse(*ret_copy, len, uri, &reason);
    ck_assert_int_eq(err != 0, reason != NULL);
    return err;
}

static void check_slice(const char *target, struct slice actual, const char *expected)
{
    ck_assert_msg(slice_is_absent(actual) == (expected == NULL), "%s", target);
    ck_assert_msg(slice_eq(actual, slice_str(expected)), "%s: \"%.*s\"", target, SLICE_FMT(actual));
}

START_TEST(targets_are_normalised_or_refused)
{
    struct uri uri;
    char *copy;
    int err = parse(vectors[_i].target, &uri, &copy);

    ck_assert_msg((err == 0) == (vectors[_i].path != NULL), "%s", vectors[_i].target);
    if (err == 0) {
        check_slice(vectors[_i].target, uri.path, vectors[_i].path);
        check_slice(vectors[_i].target, uri.query, vectors[_i].query);
        ck_assert(slice_is_absent(uri.scheme) && slice_is_absent(uri.authority));
    }
    free(copy);
}
END_TEST

START_TEST(a_normal_form_is_its_own_normal_form)
{
    struct uri uri;
    char *copy;

    if (vectors[_i].path == NULL) {
        return;
    }
    ck_assert_int_eq(parse(vectors[_i].path, &uri, &copy), 0);
    check_slice(vectors[_i].path, uri.path, vectors[_i].path);
    free(copy);
}
END_TEST

static const struct {
    const char *target, *scheme, *authority, *path, *query;
} absolute_vectors[] = {
    { "http://a", "http", "a", "/", NULL },
    { "http://a/", "http", "a", "/", NULL },
    { "http://a?b", "http", "a", "/", "b" },
    { "http://a?", "http", "a", "/", "" },
    { "HTTPS://EXAMPLE.com:8443/A/../B?C", "https", "example.com:8443", "/B", "C" },
    { "http://Example.COM.:80/", "http", "example.com:80", "/", NULL },
    { "http://example.com./", "http", "example.com", "/", NULL },
    { "http://[::1]:80//x", "http", "[::1]:80", "/x", NULL },
    { "http://a#", NULL, NULL, NULL, NULL },
    { "http://a#/b", NULL, NULL, NULL, NULL },
    { "http://", NULL, NULL, NULL, NULL },
    { "http:///a", NULL, NULL, NULL, NULL },
    { "http://?a", NULL, NULL, NULL, NULL },
    { "http://u@a/", NULL, NULL, NULL, NULL },
    { "http://u:p@a/", NULL, NULL, NULL, NULL },
    { "http://a:/", NULL, NULL, NULL, NULL },
    { "http://a:0x50/", NULL, NULL, NULL, NULL },
    { "http://a\\b/", NULL, NULL, NULL, NULL },
    { "http://a/%2f", NULL, NULL, NULL, NULL },
    { "http://a/../b", NULL, NULL, NULL, NULL },
};

START_TEST(absolute_forms_are_split)
{
    struct uri uri;
    char *copy;
    int err = parse(absolute_vectors[_i].target, &uri, &copy);

    ck_assert_msg((err == 0) == (absolute_vectors[_i].path != NULL), "%s",
                  absolute_vectors[_i].target);
    if (err == 0) {
        check_slice(absolute_vectors[_i].target, uri.scheme, absolute_vectors[_i].scheme);
        check_slice(absolute_vectors[_i].target, uri.authority, absolute_vectors[_i].authority);
        check_slice(absolute_vectors[_i].target, uri.path, absolute_vectors[_i].path);
        check_slice(absolute_vectors[_i].target, uri.query, absolute_vectors[_i].query);
    }
    free(copy);
}
END_TEST

static const struct {
    const char *authority;
    const char *host; /* NULL: refused */
} authorities[] = {
    { "a", "a" },
    { "example.com", "example.com" },
    { "Example.COM:80", "Example.COM" },
    { "127.0.0.1:65535", "127.0.0.1" },
    { "a_b-c~d", "a_b-c~d" },
    { "[::1]", "[::1]" },
    { "[2001:db8::1]:8080", "[2001:db8::1]" },
    { "[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]" },
    { "example.com.", "example.com." },
    { "", NULL },
    { ".", NULL },
    { ".example.com", NULL },
    { "example..com", NULL },
    { "example.com..", NULL },
    { ":80", NULL },
    { "a:", NULL },
    { "a:0", NULL },
    { "a:65536", NULL },
    { "a:999999", NULL },
    { "a:+80", NULL },
    { "a:80:80", NULL },
    { "a:8 0", NULL },
    { "a@b", NULL },
    { "a b", NULL },
    { "a/x", NULL },
    { "a\\x", NULL },
    { "a,b", NULL },
    { "a?b", NULL },
    { "a#b", NULL },
    { "a%20", NULL },
    { "a\tb", NULL },
    { "a\x01", NULL },
    { "a\x7f", NULL },
    { "\xc3\xa4", NULL },
    { "::1", NULL },
    { "[", NULL },
    { "[]", NULL },
    { "[::1", NULL },
    { "[::1]x", NULL },
    { "[::1]]", NULL },
    { "[::1]:", NULL },
    { "[::g]", NULL },
    { "[fe80::1%25eth0]", NULL },
    { "[1.2.3.4]", NULL },
    { "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]", NULL },
};

START_TEST(authorities_are_checked)
{
    struct slice authority = slice_str(authorities[_i].authority);

    ck_assert_msg(uri_authority_is_valid(authority) == (authorities[_i].host != NULL), "%s",
                  authorities[_i].authority);
    if (authorities[_i].host != NULL) {
        ck_assert(slice_eq(uri_authority_host(authority), slice_str(authorities[_i].host)));
    }
}
END_TEST

START_TEST(authorities_may_hold_no_nul_and_have_a_bound)
{
    char name[256];

    memset(name, 'a', sizeof(name));
    ck_assert(uri_authority_is_valid(slice_of(name, 255)));
    ck_assert(!uri_authority_is_valid(slice_of(name, 256)));
    ck_assert(!uri_authority_is_valid(SLICE("a\0b")));
    ck_assert(!uri_authority_is_valid(SLICE("[::1\0]")));
    ck_assert(!uri_authority_is_valid(SLICE_ABSENT));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("uri");
    TCase *tc = tcase_create("uri");
    SRunner *runner = srunner_create(suite);
    int count = sizeof(vectors) / sizeof(vectors[0]);
    int absolutes = sizeof(absolute_vectors) / sizeof(absolute_vectors[0]);
    int failed;

    suite_add_tcase(suite, tc);
    tcase_add_loop_test(tc, targets_are_normalised_or_refused, 0, count);
    tcase_add_loop_test(tc, a_normal_form_is_its_own_normal_form, 0, count);
    tcase_add_loop_test(tc, absolute_forms_are_split, 0, absolutes);
    tcase_add_loop_test(tc, authorities_are_checked, 0,
                        sizeof(authorities) / sizeof(authorities[0]));
    tcase_add_test(tc, authorities_may_hold_no_nul_and_have_a_bound);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
